"""Constraints compile off the loop: once each, within a deadline, and no stream waits for one."""

import asyncio
import json
import threading
from queue import SimpleQueue
from types import SimpleNamespace

import pytest

from myna.core.constraints import JsonSchema, Origin, Regex
from myna.core.errors import (
    ConstraintTooComplex,
    GenerationFailed,
    InvalidRequest,
    ModelFileError,
    MynaError,
    Overloaded,
)
from myna.core.events import Event, TextDelta
from myna.core.requests import GenerationRequest, Sampling, Thought
from myna.decoding.grammar import Grammar, Grammars
from myna.decoding.token_table import TokenTable
from myna.engines import fake
from myna.engines.fake import FakeEngine
from myna.scheduling.generation_loop import LoadedEngine
from myna.scheduling.grammar_compiler import GrammarCompiler, no_grammars
from myna.scheduling.in_process import InProcessGenerator

Result = Grammar | MynaError
ORIGIN = Origin("Invalid schema for response_format 'x'", "response_format", "a code")


class GatedGrammars(Grammars):
    """Compiles only while the gate is open; counts."""

    def __init__(self) -> None:
        super().__init__(
            fake.VOCABULARY,
            fake.SPECIAL_IDS,
            {fake.END},
            lambda text: fake.tokenize(text, parse_special=False),
            len(fake.VOCABULARY),
        )
        self.gate = threading.Event()
        self.entered: SimpleQueue[str] = SimpleQueue()
        self.num_compiled = 0

    def compile(self, grammar: str) -> Grammar:
        self.entered.put(grammar)
        self.gate.wait()
        self.num_compiled += 1
        return super().compile(grammar)


def word(text: str) -> JsonSchema:
    return JsonSchema(json.dumps({"const": text}), origin=ORIGIN)


def wait_for_compiles() -> None:
    for thread in threading.enumerate():
        if thread.name == "myna-grammar":
            thread.join()


def is_json(grammar: Result) -> bool:
    return isinstance(grammar, Grammar) and not grammar.may_stop


def test_equal_constraints_are_compiled_once_and_each_gets_its_own_grammar() -> None:
    grammars, done = GatedGrammars(), SimpleQueue[Result]()
    compiler = GrammarCompiler(lambda: grammars)
    for _ in range(3):
        compiler.submit(word("a"), None, done.put)
    grammars.gate.set()
    first, *others = (done.get() for _ in range(3))
    assert all(map(is_json, [first, *others]))
    assert all(first is not other for other in others)
    assert grammars.num_compiled == 1
    compiler.close()


def test_what_was_compiled_is_known_by_its_content_refusals_too() -> None:
    grammars, done = GatedGrammars(), SimpleQueue[Result]()
    compiler = GrammarCompiler(lambda: grammars)
    grammars.gate.set()
    for pattern in ("[a-z]+", "("):
        compiler.submit(Regex(pattern), None, done.put)
        first = done.get()
        wait_for_compiles()
        compiler.submit(Regex("".join(pattern)), None, done.put)
        assert type(done.get_nowait()) is type(first), "answered at once"
        assert isinstance(first, InvalidRequest) == (pattern == "(")
    assert grammars.entered.qsize() == 2
    compiler.close()


def test_what_is_overdue_is_refused_by_name_and_never_begun_twice() -> None:
    grammars, done = GatedGrammars(), SimpleQueue[Result]()
    compiler = GrammarCompiler(lambda: grammars, deadline_s=0)
    for _ in range(2):
        compiler.submit(word("slow"), None, done.put)
        error = done.get()
        assert isinstance(error, ConstraintTooComplex)
        assert (error.param, error.code) == ("response_format", "a code")
        assert "compiling it takes more than 0 s" in error.message
    grammars.gate.set()
    wait_for_compiles()
    assert grammars.num_compiled == 1
    compiler.submit(word("slow"), None, done.put)
    assert is_json(done.get()), "in the end it was compiled, and kept"
    compiler.close()


def test_there_are_never_more_overdue_than_a_few() -> None:
    grammars, done = GatedGrammars(), SimpleQueue[Result]()
    compiler = GrammarCompiler(lambda: grammars, deadline_s=0, num_threads=1, max_overdue=1)
    errors = []
    for text in "abcd":
        compiler.submit(word(text), None, done.put)
        errors.append(type(done.get()))
    assert errors == [ConstraintTooComplex, ConstraintTooComplex, Overloaded, Overloaded]
    assert grammars.entered.qsize() <= 2
    grammars.gate.set()
    wait_for_compiles()
    compiler.close()


def test_a_machine_without_threads_refuses_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    grammars, done = GatedGrammars(), SimpleQueue[Result]()
    compiler = GrammarCompiler(lambda: grammars)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr("myna.scheduling.grammar_compiler._start_with_stack", refuse)
        compiler.submit(word("a"), None, done.put)
        assert isinstance(done.get(), Overloaded)
    grammars.gate.set()
    compiler.submit(word("a"), None, done.put)
    assert is_json(done.get())
    compiler.close()


def test_a_thought_whose_marks_cant_be_tokenised_is_an_answer_too() -> None:
    def unknown(text: str) -> list[int]:
        raise ModelFileError("no tokenizer")

    pieces = [bytes([byte]) for byte in range(256)] + [b""]
    done = SimpleQueue[Result]()
    compiler = GrammarCompiler(lambda: Grammars(pieces, [256], [256], unknown, len(pieces)))
    for _ in range(2):  # compiled, then known
        compiler.submit(word("a"), Thought("<think>", "</think>"), done.put)
        assert isinstance(done.get(), ModelFileError)
    compiler.close()


def test_a_model_that_ends_no_answer_follows_no_grammar() -> None:
    done = SimpleQueue[Result]()
    compiler = GrammarCompiler(no_grammars)
    compiler.submit(word("a"), None, done.put)
    assert isinstance(done.get(), InvalidRequest)
    compiler.close()


def request(text: str, constraint: JsonSchema | None) -> GenerationRequest:
    tokens = tuple(fake.tokenize(text, parse_special=True))
    return GenerationRequest(text, tokens, 60, constraint=constraint, sampling=Sampling(temperature=0))


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_a_stream_with_a_grammar_goes_on_while_others_compile() -> None:
    grammars = GatedGrammars()
    tokens = TokenTable(fake.VOCABULARY, fake.VOCABULARY, frozenset({fake.END}))
    service = InProcessGenerator(lambda: LoadedEngine(FakeEngine(4096, 65536, 64), tokens, lambda: grammars))
    await service.start()
    known = word("this one was compiled before the others came")
    grammars.gate.set()
    [_ async for _ in await service.generate(request("warm", known))]
    grammars.gate.clear()
    waiting = [await service.generate(request(text, word(text))) for text in ("a", "b", "c", "d")]
    tasks = [asyncio.create_task(anext(aiter(stream))) for stream in waiting]
    events = [event async for event in await service.generate(request("constrained", known))]
    assert json.loads(text_of(events)) == "this one was compiled before the others came"
    assert not any(task.done() for task in tasks)
    grammars.gate.set()
    await asyncio.gather(*tasks)
    for stream in waiting:
        await stream.aclose()
    await service.aclose()


async def test_only_requests_with_a_grammar_wait_until_grammars_are_prepared() -> None:
    gate, grammars = threading.Event(), GatedGrammars()
    grammars.gate.set()

    def prepare() -> Grammars:
        gate.wait()
        return grammars

    tokens = TokenTable(fake.VOCABULARY, fake.VOCABULARY, frozenset({fake.END}))
    service = InProcessGenerator(lambda: LoadedEngine(FakeEngine(4096, 65536, 64), tokens, prepare))
    await service.start()
    constrained = await service.generate(request("first", word("a")))
    free = request("free", None)
    assert text_of([event async for event in await service.generate(free)])
    assert not grammars.num_compiled
    gate.set()
    assert json.loads(text_of([event async for event in constrained])) == "a"
    await service.aclose()


def test_no_deadline_begins_before_grammars_are_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, grammars, done = threading.Event(), GatedGrammars(), SimpleQueue[Result]()
    now = [0.0]
    monkeypatch.setattr("myna.scheduling.grammar_compiler.time", SimpleNamespace(monotonic=lambda: now[0]))

    def prepare() -> Grammars:
        gate.wait()
        return grammars

    compiler = GrammarCompiler(prepare, deadline_s=5)
    compiler.submit(word("a"), None, done.put)
    now[0] = 60.0
    grammars.gate.set()
    gate.set()
    assert is_json(done.get())
    compiler.close()


def test_a_vocabulary_that_grammars_cannot_use_is_an_error_of_each_request() -> None:
    def prepare() -> Grammars:
        raise ValueError("no such vocabulary")

    done = SimpleQueue[Result]()
    compiler = GrammarCompiler(prepare)
    for text in ("a", "b"):
        compiler.submit(word(text), None, done.put)
        error = done.get()
        assert isinstance(error, GenerationFailed) and "no such vocabulary" in error.message
    compiler.close()
