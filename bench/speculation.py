"""What speculative decoding gains if an answer repeats something, and costs if it doesn't.

    PYTHONPATH=src python bench/speculation.py MODEL.gguf [...] [--rounds 5] [--threads 1]

Generates the same answers with and without speculation alternately, with the scheduler in this process: a
file edited in one place, with and without that file as `prediction`, a text that repeats itself, and plain
text that doesn't. Prints tokens per second of processor time (which other programs on the machine hardly
affect) and the median of the pairs' ratios with its quartiles. The answers must be the same.
"""

import argparse
import asyncio
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from myna.core.conversation import Message
from myna.core.events import Done, TextDelta
from myna.core.requests import GenerationRequest, Sampling
from myna.prompts.renderer import GgufRenderer
from myna.scheduling.in_process import InProcessGenerator
from myna.scheduling.speculation import Speculation
from myna.workers.frames import WorkerSpec
from myna.workers.loading import load_model

CODE = '''\
    __slots__ = ("prompt_tokens",)

    def __init__(self) -> None:
        self.prompt_tokens = 128

    def observe(self, num_prompt_tokens: int, num_decodes: int, seconds: float) -> None:
        """Record that a step computed these tokens in that time. Small prompts are ignored."""
        if num_prompt_tokens < _FEWEST_TELLING:
            return
        rate = (num_prompt_tokens + num_decodes) / max(seconds, 1e-6)
        fitting = rate * _TARGET_S - num_decodes
        if fitting > self.prompt_tokens > 2 * num_prompt_tokens:
            return  # the step was far below the current budget
        bounded = min(max(fitting, self.prompt_tokens / _CHANGE), self.prompt_tokens * _CHANGE)
        self.prompt_tokens = int(min(max(bounded, _FEWEST), _MOST))'''
EDIT = (
    "Rename `num_decodes` to `num_running` in this file. Answer with the whole file and nothing else."
    f"\n\n{CODE}"
)
LIST = (
    "Write the SQL INSERT statements for a table users(id, name, email) with 40 rows named user1 to user40."
)
PROPOSE = Speculation.propose
PLAIN = "Tell me an original story about a lighthouse keeper who finds a message in a bottle."


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    prompt: str
    max_tokens: int
    sampling: Sampling
    prediction: str = ""


CASES = (
    Case("edit, predicted", EDIT, 320, Sampling(temperature=0), CODE.replace("num_decodes", "num_running")),
    Case("edit, predicted as it was", EDIT, 320, Sampling(temperature=0), CODE),
    Case("edit", EDIT, 320, Sampling(temperature=0)),
    Case("repetitive", LIST, 400, Sampling(temperature=0)),
    Case("plain", PLAIN, 400, Sampling(temperature=1, seed=7)),
)


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    num_tokens: int
    cpu_s: float
    accepted: int


async def ask(service: InProcessGenerator, prompting: GgufRenderer, case: Case, *, drafts: bool) -> Answer:
    """One answer; from the second time on, its prompt comes from the prefix cache."""
    Speculation.propose = PROPOSE if drafts else lambda self, running: {}  # type: ignore[method-assign]
    request = GenerationRequest(
        id=case.name,
        prompt_tokens=tuple(prompting.encode_chat([Message.of("user", case.prompt)])),
        max_tokens=case.max_tokens,
        sampling=case.sampling,
        prediction_tokens=tuple(prompting.encode(case.prediction, parse_special=False)),
        ignore_eos=True,
    )
    started = time.process_time()
    events = [event async for event in await service.generate(request)]
    seconds = time.process_time() - started
    done = events[-1]
    assert isinstance(done, Done)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return Answer(text, case.max_tokens, seconds, done.accepted_prediction_tokens)


async def measure(path: str, args: argparse.Namespace) -> list[dict[str, object]]:
    prompting = GgufRenderer.load(Path(path), None)
    service = InProcessGenerator(lambda: load_model(WorkerSpec("native", path, threads=args.threads)))
    await service.start()
    rows: list[dict[str, object]] = []
    for case in (case for case in CASES if args.only in case.name):
        await ask(service, prompting, case, drafts=True)
        pairs = []
        for turn in range(args.rounds):  # in alternating order, so that drift favours neither
            first = await ask(service, prompting, case, drafts=turn % 2 == 0)
            second = await ask(service, prompting, case, drafts=turn % 2 == 1)
            pairs.append((first, second) if turn % 2 == 0 else (second, first))
        assert len({answer.text for pair in pairs for answer in pair}) == 1, "the same answer either way"
        ratios = sorted(off.cpu_s / on.cpu_s for on, off in pairs)
        quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        with_, without = (
            statistics.median(case.max_tokens / pair[i].cpu_s for pair in pairs) for i in (0, 1)
        )
        rows.append(
            {
                "model": Path(path).stem,
                "case": case.name,
                "tokens_per_cpu_s": round(with_, 1),
                "without": round(without, 1),
                "ratio": round(statistics.median(ratios), 3),
                "quartiles": [round(quartiles[0], 3), round(quartiles[2], 3)],
                "predicted_tokens_met": pairs[0][0].accepted,
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    await service.aclose()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="+", help="GGUF files")
    parser.add_argument("--only", default="", help="only cases whose name contains this text")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the results to this file as JSON")
    args = parser.parse_args()
    rows = [row for path in args.model for row in asyncio.run(measure(path, args))]
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
