"""Growing conversations on the fleet bench's machines: how much of their prefixes is found in caches, and how
evenly the replicas are used."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Any

import httpx
from bench.chaos_client import WORDS

_TURNS = 8
_ANSWER_TOKENS = 24
_SENT = re.compile(r'^myna_replica_prefix_cache_queries_total\{.*replica="([^"]+)".*\} (\S+)$', re.MULTILINE)


async def conversations(
    urls: Sequence[str], key: str, model: str, num: int, at_once: int
) -> dict[str, object]:
    """Each turn goes to the next server. Ideal is a cache that has all that was computed before."""
    numbers, results = count(), []
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(300)) as http:
        before = await _sent(http, urls)

        async def client() -> None:
            while (number := next(numbers)) < num:
                results.append(await _conversation(http, urls, model, number))

        await asyncio.gather(*(client() for _ in range(at_once)))
        sent = await _sent(http, urls)
        sent.subtract(before)
    cached, ideal, prompt = (sum(part) for part in zip(*results, strict=True))
    return {
        "conversations": num,
        "turns": _TURNS,
        "cached share of prompt tokens": round(cached / prompt, 4),
        "ideal": round(ideal / prompt, 4),
        "of ideal": round(cached / ideal, 4),
        "busiest replica / mean, prompt tokens": round(max(sent.values()) * len(sent) / sent.total(), 3),
    }


async def _conversation(
    http: httpx.AsyncClient, urls: Sequence[str], model: str, number: int
) -> tuple[int, int, int]:
    """Cached tokens, those that could have been, and all of the prompts."""
    generator = random.Random(number)
    messages: list[dict[str, str]] = []
    cached = ideal = prompt = known = 0
    for turn in range(_TURNS):
        words = " ".join(generator.choices(WORDS, k=30))
        messages.append({"role": "user", "content": f"{number}: {words}"})
        body: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": _ANSWER_TOKENS, "seed": 1}
        url = urls[(number + turn) % len(urls)]
        answer = (await http.post(f"{url}/v1/chat/completions", json=body)).raise_for_status().json()
        usage = answer["usage"]
        cached += usage["prompt_tokens_details"]["cached_tokens"]
        prompt += usage["prompt_tokens"]
        ideal += known
        known = usage["prompt_tokens"] + usage["completion_tokens"]
        messages.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"]})
    return cached, ideal, prompt


async def _sent(http: httpx.AsyncClient, urls: Sequence[str]) -> Counter[str]:
    """Prompt tokens by replica, of all servers."""
    found = Counter[str]()
    for url in urls:
        for replica, tokens in _SENT.findall((await http.get(f"{url}/metrics")).text):
            found[replica] += int(float(tokens))
    return found
