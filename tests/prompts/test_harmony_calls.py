"""gpt-oss's calls under its grammar, and read from what its channels' reader passes on."""

import pytest

from myna.core.constraints import CallableTool
from myna.core.conversation import ToolCall, ToolSpec
from myna.core.harmony import ANALYSIS, CALL_HEAD, COMMENTARY, END, FINAL, MESSAGE, START
from myna.decoding.grammar import Grammars
from myna.decoding.harmony import HarmonyText
from myna.prompts.call_formats.base import CallArguments, CallStarted, Piece, TextPiece
from myna.prompts.call_formats.harmony import HarmonyFormat
from myna.prompts.harmony_grammar import final_channel

FORMAT = HarmonyFormat()
CITY = (
    '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], '
    '"additionalProperties": false}'
)
TOOLS = [CallableTool("weather", CITY), CallableTool("now")]
NEXT = END + START
CALL = f"{COMMENTARY} to=functions.weather <|constrain|>json{MESSAGE}" + '{"city": "北京"}'
MARKS = [b"<|channel|>", b"<|message|>", b"<|start|>", b"<|end|>", b"<|constrain|>"]
PIECES = [*(bytes([byte]) for byte in range(256)), *MARKS, b"<|return|>"]
RETURN = len(PIECES) - 1


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    return Grammars(PIECES, [RETURN], [RETURN], lambda text: list(text.encode()), len(PIECES))


def tokens_of(text: str) -> list[int]:
    data, tokens = text.encode(), list[int]()
    while data:
        mark = next((mark for mark in MARKS if data.startswith(mark)), data[:1])
        tokens.append(PIECES.index(mark))
        data = data[len(mark) :]
    return tokens


def allows(grammars: Grammars, text: str, answer: str) -> bool:
    grammar = grammars.begin(grammars.compile(text))
    return all(grammar.advance(token) for token in tokens_of(answer)) and grammar.may_stop


@pytest.mark.parametrize(
    "answer",
    [
        CALL,
        f"{ANALYSIS}Look <there>.\n{NEXT}{CALL}",
        f"{ANALYSIS}a{NEXT}{ANALYSIS}b{NEXT}{CALL}",
        f"{COMMENTARY}{MESSAGE}I look.{NEXT}{CALL}",
        f'{ANALYSIS}a{NEXT} to=functions.weather{COMMENTARY} json{MESSAGE}{{"city": "x"}}',
        f'<|channel|>analysis to=functions.weather code{MESSAGE}{{"city": "x"}}',
        f"{COMMENTARY} to=functions.now{MESSAGE}{{}}",
        f"{CALL}{NEXT}{CALL}",
    ],
)
def test_a_required_call_may_come_in_any_of_the_models_forms(grammars: Grammars, answer: str) -> None:
    forced = FORMAT.grammar(TOOLS, must_call=True, is_parallel=True)
    assert allows(grammars, forced, answer)
    assert allows(grammars, FORMAT.grammar(TOOLS, must_call=False, is_parallel=True), answer)
    assert not allows(grammars, FORMAT.no_call_grammar(), answer)


@pytest.mark.parametrize(
    "answer",
    [
        f"{FINAL}Just words.",
        f"{ANALYSIS}a{NEXT}{FINAL}Words, 你 <b>.",
        f"{COMMENTARY}{MESSAGE}I look.{NEXT}{FINAL}Words",
    ],
)
def test_words_are_a_final_message(grammars: Grammars, answer: str) -> None:
    assert allows(grammars, FORMAT.grammar(TOOLS, must_call=False, is_parallel=True), answer)
    assert allows(grammars, FORMAT.no_call_grammar(), answer)
    assert not allows(grammars, FORMAT.grammar(TOOLS, must_call=True, is_parallel=True), answer)


@pytest.mark.parametrize(
    "answer",
    [
        f'{COMMENTARY} to=functions.weather{MESSAGE}{{"town": "x"}}',
        f"{COMMENTARY} to=functions.other{MESSAGE}{{}}",
        f"{FINAL}a{NEXT}{CALL}",
        "Words without a channel",
    ],
)
def test_what_no_tool_takes_is_not_allowed(grammars: Grammars, answer: str) -> None:
    assert not allows(grammars, FORMAT.grammar(TOOLS, must_call=False, is_parallel=True), answer)


def test_one_call_if_only_one_is_wanted(grammars: Grammars) -> None:
    single = FORMAT.grammar(TOOLS, must_call=True, is_parallel=False)
    assert allows(grammars, single, CALL)
    assert not allows(grammars, single, f"{CALL}{NEXT}{CALL}")


def test_json_is_the_final_message_or_a_call(grammars: Grammars) -> None:
    either = FORMAT.grammar(TOOLS, must_call=False, is_parallel=True, answer={"type": "integer"})
    assert allows(grammars, either, f"{ANALYSIS}a{NEXT}{FINAL}7")
    assert allows(grammars, either, CALL)
    assert not allows(grammars, either, f"{FINAL}seven")


def test_json_without_tools_is_the_final_message(grammars: Grammars) -> None:
    form = final_channel('{"grammars": [{"json_schema": {"type": "integer"}}]}')
    assert allows(grammars, form, f"{ANALYSIS}a{NEXT}{ANALYSIS}b{NEXT}{FINAL}7")
    assert allows(grammars, form, f"{FINAL}7")
    assert not allows(grammars, form, f"{FINAL}seven")
    assert not allows(grammars, form, "7")


def test_a_custom_tools_input_follows_its_grammar(grammars: Grammars) -> None:
    custom = CallableTool("sum", kind="grammar", grammar='start: /[0-9]+/ "+" /[0-9]+/')
    forced = FORMAT.grammar([custom], must_call=True, is_parallel=True)
    assert allows(grammars, forced, f'{COMMENTARY} to=functions.sum{MESSAGE}{{"input": "1+22')


def read(text: str, size: int) -> list[Piece]:
    """Through both readers, in pieces of that size."""
    channels = HarmonyText(has_calls=True)
    reader = FORMAT.reader([ToolSpec("weather", parameters=CITY), ToolSpec("now")])
    data, pieces = text.encode(), list[Piece]()
    for at in range(0, len(data), size):
        channels.push(data[at : at + size])
        shown = b"".join(part for part in channels.classifier.take() if part is not None)
        pieces += reader.feed(shown.decode("utf-8", "ignore")) if size > 1 else reader.feed(shown.decode())
    channels.finish()
    shown = b"".join(part for part in channels.classifier.take() if part is not None)
    return [*pieces, *reader.feed(shown.decode()), *reader.end()]


def merged(pieces: list[Piece]) -> tuple[str, list[tuple[str, str]]]:
    text, calls = "", list[tuple[str, str]]()
    for piece in pieces:
        match piece:
            case TextPiece():
                text += piece.text
            case CallStarted():
                calls.append((piece.name, ""))
            case CallArguments():
                calls[-1] = calls[-1][0], calls[-1][1] + piece.text
    return text, calls


def test_streamed_calls_equal_the_whole() -> None:
    text = f"{COMMENTARY}{MESSAGE}I look.{NEXT}" + CALL.replace("北京", "Wien") + NEXT
    text += f"{ANALYSIS}b{NEXT} to=functions.now{COMMENTARY}{MESSAGE}{{}}{NEXT}{FINAL}Wait."
    whole = merged(read(text, 10_000))
    assert whole == ("I look.\nWait.", [("weather", '{"city": "Wien"}'), ("now", "{}")])
    for size in range(1, 30):
        assert merged(read(text, size)) == whole


def test_earlier_calls_are_written_as_the_template_writes_them() -> None:
    assert FORMAT.write([ToolCall("c1", "now", "{}")]) == (f" to=functions.now{COMMENTARY} json{MESSAGE}{{}}")
    assert FORMAT.marks.anywhere == (CALL_HEAD,)
