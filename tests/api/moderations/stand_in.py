"""The real application over a scripted guard model, next to a model that chats."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openai
from tests.api.stand_in import BytePrompting
from tests.http.live import Live, running
from tests.http.scripted import KEY, Ledger, ScriptedGenerator, Step, Weightless, local, services, words

from myna.batches.service import Batches
from myna.catalog.aliases import MODERATION_ALIASES
from myna.catalog.pool import ModelPool
from myna.catalog.registry import ModelRegistry
from myna.core.backend import Candidate, LoadedModel, ModelSpec
from myna.core.events import ChoiceDone, Done, PromptDone, TextDelta, TokenLogprob
from myna.stores.database_threads import DatabaseThreads
from myna.stores.files import Files
from myna.stores.files_memory import MemoryBatches, MemoryFiles

FAMILIES = (
    "myna.api.models.routes",
    "myna.api.chat.routes",
    "myna.api.moderations.routes",
    "myna.api.files.routes",
    "myna.api.batches.routes",
)
LLAMA_GUARD = """Task: Check for unsafe content in 'User' messages.
<BEGIN UNSAFE CONTENT CATEGORIES>
S1: Violent Crimes.
S2: Non-Violent Crimes.
S3: Hate.
S4: Elections.
<END UNSAFE CONTENT CATEGORIES>
<BEGIN CONVERSATION>
"""


@dataclass
class GuardPrompting(BytePrompting):
    """A renderer whose template begins with `task`."""

    task: str = LLAMA_GUARD

    def encode_chat(self, messages: Any, **options: Any) -> list[int]:
        return [*self.task.encode(), *super().encode_chat(messages, **options)]


def token(text: str, likely: Mapping[str, float]) -> TokenLogprob:
    """A token and the most likely ones in its place with their probabilities, maybe itself among them."""
    data = text.encode()
    top = tuple((i, math.log(p), word.encode()) for i, (word, p) in enumerate(likely.items(), 100))
    own = next((entry for entry in top if entry[2] == data), (0, math.log(0.9), data))
    return TokenLogprob(own[0], own[1], data, top)


def says(*tokens: str | tuple[str, Mapping[str, float]]) -> list[Step]:
    """The events of an answer with these tokens; of those in pairs, the likely ones are given."""
    steps: list[Step] = [PromptDone(9, 1)]
    for entry in tokens:
        made = token(entry, {}) if isinstance(entry, str) else token(*entry)
        steps.append(TextDelta(0, made.data.decode(), 1, (made,)))
    return [*steps, ChoiceDone(0, "stop", 1, len(tokens) + 1), Done(len(tokens) + 1)]


def safe(unsafe: float = 0.25) -> list[Step]:
    return says("\n\n", ("safe", {"safe": 1 - unsafe, "unsafe": unsafe}))


def unsafe(codes: str = "", probability: float = 0.75) -> list[Step]:
    rest = ("\n", codes) if codes else ()
    return says("\n\n", ("unsafe", {"unsafe": probability, "safe": 1 - probability}), *rest)


@dataclass
class Guard:
    """What a test talks to, and what it may look at afterwards."""

    client: openai.AsyncOpenAI
    live: Live
    generator: ScriptedGenerator
    prompting: GuardPrompting
    ledger: Ledger


@asynccontextmanager
async def guarding(
    *scripts: Sequence[Step] | Exception,
    guard: str = "guard",
    prompting: GuardPrompting | None = None,
    folder: Path | None = None,
) -> AsyncIterator[Guard]:
    """`guard` is the setting. With a `folder` for files there are batches, which run one line at a time."""
    generator, prompting, ledger = ScriptedGenerator(list(scripts)), prompting or GuardPrompting(), Ledger()

    async def load(model: ModelSpec) -> Candidate:
        if model.id == "guard":
            return Weightless(LoadedModel(generator, prompting))
        return Weightless(LoadedModel(ScriptedGenerator([words("Hi")]), BytePrompting()))

    listing = ModelRegistry(
        [local("guard"), local("tiny")], [], None, guard=guard, guard_aliases=MODERATION_ALIASES
    )
    pool = ModelPool(listing.poll, load, delete_files=lambda file: None)
    made = services(pool, ledger)
    if folder is not None:
        rows, threads = MemoryFiles(), DatabaseThreads(1)
        files = Files(rows, folder, threads)
        made = replace(made, files=files, batches=Batches(MemoryBatches(rows), files, threads, 1))
    async with (
        running(made, families=FAMILIES) as live,
        openai.AsyncOpenAI(base_url=live.base_url, api_key=KEY, max_retries=0) as client,
    ):
        yield Guard(client, live, generator, prompting, ledger)
