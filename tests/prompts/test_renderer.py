"""The face that the server sees: beginnings, fill-in-the-middle, models without a template, threads."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.prompts.awkward import awkward_strings
from tests.prompts.gguf_files import tiny

from myna.core.conversation import Message, ToolCall, ToolSpec
from myna.core.errors import InvalidRequest, ModelFileError
from myna.prompts.gguf import read_header
from myna.prompts.renderer import GgufRenderer
from myna.prompts.template import ChatTemplate
from myna.prompts.token_pieces import byte_alphabet
from myna.prompts.tokenizer import EngineTokenize, Tokenizer
from myna.prompts.vocabulary import Vocabulary

ModelPath = Callable[[str], Path]
HELLO = [Message.of("user", "Hello")]
HEADER_BYTES = 4_000


@pytest.fixture(scope="module")
def coder(model_path: ModelPath) -> GgufRenderer:
    return GgufRenderer.load(model_path("qwen2.5-coder-0.5b-instruct"))


@pytest.fixture(scope="module")
def gemma(model_path: ModelPath) -> GgufRenderer:
    return GgufRenderer.load(model_path("gemma-3-270m"))


@pytest.fixture(scope="module")
def small(model_path: ModelPath) -> GgufRenderer:
    return GgufRenderer.load(model_path("smollm2-135m-instruct"))


def token(prompting: GgufRenderer, text: bytes) -> int:
    return prompting.vocabulary.texts.index(text)


def test_it_knows_what_the_file_says(coder: GgufRenderer, gemma: GgufRenderer) -> None:
    assert (coder.architecture, coder.context_tokens, coder.has_chat_template) == ("qwen2", 32_768, True)
    assert coder.name == "Qwen2.5 Coder 0.5B Instruct AWQ"
    assert (gemma.architecture, gemma.has_chat_template) == ("gemma3", False)
    assert not coder.uses_engine_tokenizer


def test_a_document_begins_with_the_models_own_token(
    coder: GgufRenderer, gemma: GgufRenderer, small: GgufRenderer
) -> None:
    assert coder.document_start == [token(coder, b"<|endoftext|>")]
    assert small.document_start == [token(small, b"<|endoftext|>")]
    assert gemma.document_start == [token(gemma, b"<bos>")]


def test_only_models_that_want_it_begin_with_bos_and_only_once(
    coder: GgufRenderer, gemma: GgufRenderer
) -> None:
    bos = token(gemma, b"<bos>")
    assert gemma.encode("Hi", parse_special=False)[0] == bos
    assert gemma.encode("", parse_special=False) == [bos]
    assert gemma.encode("<bos>Hi", parse_special=True).count(bos) == 1
    assert gemma.encode_chat(HELLO).count(bos) == 1
    assert coder.encode("", parse_special=False) == []
    rows = gemma.encode_batch(["Hi", ""], parse_special=False)
    assert rows == [gemma.encode("Hi", parse_special=False), [bos]]


def test_the_middle_is_asked_for_with_the_models_tokens(coder: GgufRenderer, small: GgufRenderer) -> None:
    ids = coder.fim("def f(", "<|fim_middle|>):\n    pass")
    assert ids is not None
    fill = coder.vocabulary.fill
    assert (ids[0], ids[-1]) == (fill.prefix, fill.middle)
    assert ids.count(fill.suffix or -1) == 1
    assert ids.count(fill.middle or -1) == 1
    text = b"".join(coder.vocabulary.pieces[i] for i in ids)
    assert text == b"<|fim_prefix|>def f(<|fim_suffix|><|fim_middle|>):\n    pass<|fim_middle|>"
    assert coder.fim("", "") == [fill.prefix, fill.suffix, fill.middle]
    assert small.fim("a", "b") is None


def test_a_model_without_a_template_gets_a_plain_one(gemma: GgufRenderer) -> None:
    assert gemma.render_chat([Message.of("system", "Be brief."), *HELLO]) == (
        "System: Be brief.\n\nUser: Hello\n\nAssistant:"
    )


def test_chat_is_the_same_from_many_threads(coder: GgufRenderer) -> None:
    conversations = [[Message.of("user", text)] for text in awkward_strings(40)]
    expected = [coder.encode_chat(messages) for messages in conversations]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(coder.encode_chat, conversations)) == expected


GOOD = "{% for m in messages %}{{ m.role }}={{ m.content }};{% endfor %}"


def test_a_file_with_a_faulty_template_completes_and_another_template_replaces_it(tmp_path: Path) -> None:
    good = GgufRenderer.load(tiny(tmp_path, tokenizer__chat_template=GOOD))
    assert good.encode_chat(HELLO) == good.encode("user=Hello;", parse_special=True)
    path = tiny(tmp_path, tokenizer__chat_template="{% if %}")
    faulty = GgufRenderer.load(path)
    assert faulty.encode("Hello", parse_special=False)
    with pytest.raises(InvalidRequest, match="not a valid template"):
        faulty.encode_chat(HELLO)
    assert GgufRenderer.load(path, chat_template=GOOD).encode_chat(HELLO) == good.encode_chat(HELLO)


def test_a_files_template_for_tools_is_used_with_tools(tmp_path: Path) -> None:
    for_tools = "{% for t in tools %}{{ t.function.name }} {{ t.function.description }}{% endfor %}" + GOOD
    path = tiny(tmp_path, tokenizer__chat_template=GOOD, **{"tokenizer__chat_template.tool_use": for_tools})
    made = GgufRenderer.load(path)
    assert made.render_chat(HELLO) == "user=Hello;"
    assert made.render_chat(HELLO, tools=[ToolSpec("add", "Adds")]) == "add Addsuser=Hello;"
    assert made.template_id == GOOD + for_tools


def test_a_file_without_bos_gives_its_template_none(tmp_path: Path) -> None:
    path = tiny(tmp_path, tokenizer__chat_template="[{{ bos_token }}]" + GOOD)
    assert GgufRenderer.load(path).render_chat(HELLO) == "[]user=Hello;"


def test_a_file_whose_shape_lies_is_refused_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="block_count is 65536"):
        GgufRenderer.load(tiny(tmp_path, llama__block_count=65_536))


@given(
    flips=st.lists(st.integers(0, 8 * HEADER_BYTES - 1), max_size=5),
    splice=st.none() | st.tuples(st.integers(0, HEADER_BYTES), st.binary(min_size=1, max_size=8)),
)
def test_a_damaged_file_is_served_or_refused_by_name(
    tmp_path: Path, flips: list[int], splice: tuple[int, bytes] | None
) -> None:
    path = tiny(tmp_path)
    data = bytearray(path.read_bytes())
    for bit in flips:
        data[bit // 8] ^= 1 << bit % 8
    if splice is not None:
        data[splice[0] : splice[0] + len(splice[1])] = splice[1]
    path.write_bytes(bytes(data))
    try:
        prompting = GgufRenderer.load(path)
    except ModelFileError:
        return
    assert prompting.encode_chat(HELLO)


def test_a_model_whose_template_only_lists_tools_calls_in_the_format_that_it_has_tokens_for(
    tmp_path: Path,
) -> None:
    lists = "{{ tools | tojson if tools }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    for mark, expected in (("<|tool_call_start|>", "lfm2"), ("<|another|>", "bare")):
        tokens = [*byte_alphabet().values(), "<|endoftext|>", mark]
        path = tiny(
            tmp_path,
            tokenizer__chat_template=lists,
            tokenizer__ggml__tokens=tokens,
            tokenizer__ggml__token_type=[1] * 256 + [3, 3],
        )
        assert GgufRenderer.from_header(read_header(path)).call_format == expected


def test_templates_are_checked_while_the_tokenizer_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_checking, check = threading.Event(), ChatTemplate.load

    def load(source: str, *, bos: str, eos: str) -> ChatTemplate:
        is_checking.set()
        return check(source, bos=bos, eos=eos)

    def build(vocabulary: Vocabulary, engine_tokenize: EngineTokenize | None = None) -> Tokenizer:
        assert is_checking.wait(30)  # the bound is for failures only
        return Tokenizer(vocabulary, engine_tokenize)

    monkeypatch.setattr(ChatTemplate, "load", load)
    monkeypatch.setattr("myna.prompts.renderer.Tokenizer", build)
    path = tiny(tmp_path, tokenizer__chat_template="{% for m in messages %}{{ m.content }}{% endfor %}")
    assert GgufRenderer.load(path).has_chat_template


def test_the_marks_of_a_spelled_call_are_tokens_and_those_in_clients_texts_are_text(tmp_path: Path) -> None:
    lists = "{{ tools | tojson if tools }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    begin, end = "<|tool_call_start|>", "<|tool_call_end|>"
    path = tiny(
        tmp_path,
        tokenizer__chat_template=lists,
        tokenizer__ggml__tokens=[*byte_alphabet().values(), "<|endoftext|>", begin, end],
        tokenizer__ggml__token_type=[1] * 256 + [3, 3, 3],
    )
    made = GgufRenderer.from_header(read_header(path))
    hidden = ToolCall("call_1", "add", '{"a": "\\u003c|tool_call_end|>", "b": "' + begin + '"}')
    turns = [*HELLO, Message.of("assistant", f"{begin} look", tool_calls=(hidden,))]
    ids = made.encode_chat(turns)
    assert [ids.count(257), ids.count(258)] == [1, 1]
    assert made.decode(ids) == made.render_chat(turns)
