"""What the loop makes of the times of its steps."""

import contextlib

from myna.core.errors import MynaError
from myna.core.generator import ModelInfo
from myna.core.requests import GenerationRequest
from myna.core.stats import SchedulerStats
from myna.decoding.token_table import TokenTable
from myna.engines import fake
from myna.scheduling.generation_loop import GenerationLoop, LoadedEngine
from myna.scheduling.loop import Mailbox
from myna.scheduling.sequence import RequestEvent


class Sink:
    def ready(self, info: ModelInfo) -> None: ...
    def events(self, events: list[RequestEvent]) -> None: ...
    def tokenized(self, number: int, result: list[int] | MynaError) -> None: ...
    def stats(self, stats: SchedulerStats) -> None: ...
    def ended(self, error: MynaError | None) -> None: ...


def test_a_step_with_a_prompt_bounds_the_time_of_one_token() -> None:
    """The first decode may have been slow for a reason that has passed."""
    engine = fake.FakeEngine(8192, 8192, 16)
    table = TokenTable(fake.VOCABULARY, fake.VOCABULARY, frozenset({fake.END}))
    loop = GenerationLoop(Mailbox(), Sink(), contextlib.nullcontext(), LoadedEngine(engine, table))
    costs = loop._scheduler.speculation.costs
    costs.observe(1, 3600.0)
    loop._add(1, GenerationRequest("a", (1, 2, 3), 5))
    loop._step()
    assert costs.seconds < 3600.0
    loop._compiler.close()
