"""What speculative decoding gains if an answer repeats something, and costs if it doesn't.

    PYTHONPATH=src python bench/speculation.py MODEL.gguf [...] [--draft SMALL.gguf] [--rounds 5]

Generates the same answers with and without speculation alternately, with the scheduler in this process: a
file edited in one place, with and without that file as `prediction`, a text that repeats itself, and plain
text and code that don't. Prints tokens per second of processor time (which other programs on the machine
hardly affect), tokens per step, and the median of the pairs' ratios with its quartiles. The answers must be
the same. With --draft, both of a pair use repetitions, and one of them also the draft model.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from myna.core.conversation import Message
from myna.core.events import Done, TextDelta
from myna.core.requests import GenerationRequest, Sampling
from myna.prompts.renderer import GgufRenderer
from myna.scheduling.draft_model import DraftModel
from myna.scheduling.in_process import InProcessGenerator
from myna.scheduling.sequence import Sequence
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
PLAIN = "Tell me an original story about a lighthouse keeper who finds a message in a bottle."


FUNCTION = "Write a Python class for an LRU cache with type hints, then a test of it."


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    prompt: str
    max_tokens: int
    sampling: Sampling
    prediction: str = ""


OWNERS = itertools.count()
_DRAFT_BYTES = 256 << 20
CASES = (
    Case("edit, predicted", EDIT, 320, Sampling(temperature=0), CODE.replace("num_decodes", "num_running")),
    Case("edit, predicted as it was", EDIT, 320, Sampling(temperature=0), CODE),
    Case("edit", EDIT, 320, Sampling(temperature=0)),
    Case("repetitive", LIST, 400, Sampling(temperature=0)),
    Case("plain", PLAIN, 400, Sampling(temperature=1, seed=7)),
    Case("prose", PLAIN, 256, Sampling(temperature=0.7, top_p=0.8, seed=7)),
    Case("code", FUNCTION, 256, Sampling(temperature=0.7, top_p=0.8, seed=7)),
)


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    num_tokens: int
    cpu_s: float
    num_steps: int
    accepted: int


@dataclass(slots=True)
class Switch:
    """Switches what is measured off and on, and counts the steps."""

    is_on: bool = True
    num_steps: int = 0

    def install(self, *, has_draft_model: bool) -> None:
        propose, promise = Speculation.propose, DraftModel.promise

        def counted(self: Speculation, running: Collection[Sequence]) -> dict[Sequence, list[int]]:
            switch.num_steps += 1
            return propose(self, running) if switch.is_on or has_draft_model else {}

        switch = self
        Speculation.propose = counted  # type: ignore[method-assign]
        if has_draft_model:
            DraftModel.promise = (  # type: ignore[method-assign]
                lambda *arguments: promise(*arguments) if switch.is_on else 0.0
            )


SWITCH = Switch()


async def ask(service: InProcessGenerator, prompting: GgufRenderer, case: Case, *, drafts: bool) -> Answer:
    """One answer; from the second time on, its prompt comes from the prefix cache. Each has another owner, so
    that none learns from those before."""
    SWITCH.is_on, SWITCH.num_steps = drafts, 0
    request = GenerationRequest(
        id=case.name,
        prompt_tokens=tuple(prompting.encode_chat([Message.of("user", case.prompt)])),
        max_tokens=case.max_tokens,
        sampling=case.sampling,
        prediction_tokens=tuple(prompting.encode(case.prediction, parse_special=False)),
        ignore_eos=True,
        owner=str(next(OWNERS)),
    )
    started = time.process_time()
    events = [event async for event in await service.generate(request)]
    seconds = time.process_time() - started
    done = events[-1]
    assert isinstance(done, Done)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return Answer(text, case.max_tokens, seconds, SWITCH.num_steps, done.accepted_prediction_tokens)


async def measure(path: str, args: argparse.Namespace) -> list[dict[str, object]]:
    prompting = GgufRenderer.load(Path(path), None)
    spec = WorkerSpec(
        "native", path, threads=args.threads, draft=args.draft, draft_bytes=_DRAFT_BYTES if args.draft else 0
    )
    SWITCH.install(has_draft_model=bool(args.draft))
    service = InProcessGenerator(lambda: load_model(spec))
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
        per_step = [round(case.max_tokens / pairs[-1][i].num_steps, 2) for i in (0, 1)]
        rows.append(
            {
                "model": Path(path).stem,
                "case": case.name,
                "tokens_per_cpu_s": round(with_, 1),
                "without": round(without, 1),
                "ratio": round(statistics.median(ratios), 3),
                "tokens_per_step": per_step,
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
    parser.add_argument("--draft", default="", help="GGUF file of a draft model")
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
