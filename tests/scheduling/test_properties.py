"""Whatever arrives, in whatever order and room: requests end, say their own script, and leak nothing."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from tests.scheduling.model import GREEDY, Model, prompt, spoken

from myna.core.errors import GenerationFailed
from myna.core.events import ChoiceDone, Done, PromptDone
from myna.core.requests import GenerationRequest
from myna.engines import fake
from myna.engines.fake import FakeEngine
from myna.scheduling.kv_cache import KVCacheManager

_BEGINNINGS = (
    "",
    "the same beginning of many requests, ",
    "the same beginning of many requests, and longer, ",
)


@dataclass(frozen=True)
class Plan:
    """One request and when it comes; `abort_after` steps it is aborted, if that is not -1."""

    request: GenerationRequest
    wait: int
    abort_after: int

    @property
    def fails(self) -> bool:
        return b"[[fail]]" in b"".join(fake.VOCABULARY[token] for token in self.request.prompt_tokens)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    text = draw(st.sampled_from(_BEGINNINGS)) + draw(st.text("ab ", max_size=40)) + "?"
    if draw(st.integers(0, 11)) == 0:
        text += "[[fail]]"
    num_choices = draw(st.integers(1, 3))
    request = GenerationRequest(
        id="",
        prompt_tokens=prompt(text),
        max_tokens=draw(st.integers(0, 40)),
        num_choices=num_choices,
        best_of=num_choices + draw(st.integers(0, 1)),
        sampling=GREEDY,
        num_prompt_logprobs=draw(st.sampled_from([None, None, None, 1])),
        ignore_eos=draw(st.booleans()),
        priority=draw(st.integers(0, 1)),
        owner=draw(st.sampled_from("xyz")),
        cache_salt=draw(st.sampled_from("pq")),
    )
    return Plan(request, draw(st.integers(0, 4)), draw(st.sampled_from([-1, -1, -1, 0, 2, 9])))


def expected(request: GenerationRequest) -> list[int]:
    said = fake.script(request.prompt_tokens, request.max_tokens)
    if not request.ignore_eos and fake.END in said:
        return said[: said.index(fake.END) + 1]
    return said


@given(
    arrivals=st.lists(plans(), min_size=1, max_size=10),
    kv_blocks=st.integers(10, 40),
    max_sequences=st.integers(2, 12),
    prefix_cache_tokens=st.sampled_from([0, 40, 200]),
    chunk=st.sampled_from([1, 7, 64, 512]),
    has_draft_model=st.booleans(),
)
def test_every_request_says_its_script_and_nothing_leaks(
    arrivals: list[Plan],
    kv_blocks: int,
    max_sequences: int,
    prefix_cache_tokens: int,
    chunk: int,
    has_draft_model: bool,
) -> None:
    model = Model(
        kv_blocks * 16,
        max_sequences=max_sequences,
        prefix_cache_tokens=prefix_cache_tokens,
        draft_engine=FakeEngine(4096, kv_blocks * 16, max_sequences) if has_draft_model else None,
    )
    aborts: dict[int, int] = {}
    aborted: set[int] = set()

    def step() -> None:
        for number in [number for number, left in aborts.items() if left <= 0]:
            del aborts[number]
            aborted.add(number)
            model.scheduler.abort(number)
        for number in aborts:
            aborts[number] -= 1
        if not model.scheduler.is_idle:
            model.step(chunk)

    for plan in arrivals:
        for _ in range(plan.wait):
            step()
        number = model.add(plan.request)
        if plan.abort_after >= 0:
            aborts[number] = plan.abort_after
    for _ in range(20_000):
        if model.scheduler.is_idle and not aborts:
            break
        step()
    assert model.scheduler.is_idle

    for number, plan in enumerate(arrivals):
        heard = model.heard[number]
        if number in aborted and not heard.is_ended:
            continue
        if plan.fails and plan.request.max_tokens:
            assert isinstance(heard.error, GenerationFailed)
        elif not plan.fails:
            check(plan.request, model, number)
    free_everything(model)


def check(request: GenerationRequest, model: Model, number: int) -> None:
    heard, said = model.heard[number], expected(request)
    assert heard.error is None
    assert isinstance(heard.events[0], PromptDone)
    shown = said[:-1] if said and said[-1] == fake.END and not request.ignore_eos else said
    for choice in range(request.num_choices):
        assert heard.text(choice) == spoken(shown)
        assert heard.num_tokens(choice) == len(said)
    assert len([event for event in heard.events if isinstance(event, ChoiceDone)]) == request.num_choices
    assert heard.events[-1] == Done(len(said) * request.best_of)
    if request.num_prompt_logprobs is not None:
        assert [entry.token for entry in heard.events[0].logprobs] == list(request.prompt_tokens)


def free_everything(model: Model) -> None:
    """Donors are within the budget, and all that is still held."""
    free_all(model.scheduler.queues.kv_cache, model.engine)
    if model.draft_model is not None and model.draft_engine is not None:
        assert not model.draft_model.has_failed
        free_all(model.draft_model.kv_cache, model.draft_engine)


def free_all(kv_cache: KVCacheManager, engine: FakeEngine) -> None:
    assert kv_cache.prefix_cache.num_tokens <= engine.prefix_cache_tokens
    while kv_cache.evict_one():
        pass
    assert kv_cache.prefix_cache.num_tokens == 0
    assert engine.free_tokens == engine.info.kv_tokens
    assert len(kv_cache.free_slots) == engine.info.max_sequences
    assert len(kv_cache.index) == 0
