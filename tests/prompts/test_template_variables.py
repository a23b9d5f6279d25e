"""A client's variables for the template: its texts stay text, and words can be compared."""

from pathlib import Path
from typing import Any

import pytest
from tests.prompts.gguf_files import tiny

from myna.core.conversation import Message
from myna.prompts.renderer import GgufRenderer
from myna.prompts.template_variables import MAX_DEPTH, is_deep, texts_of, with_wrapped_texts

HI = [Message.of("user", "hi")]
TEMPLATE = (
    "{% if mode == 'endoftext' %}same{% endif %}"
    "{% for d in documents or [] %}{{ d.title }}{{ d.keys() | first }}{% endfor %}{{ messages[0].content }}"
)


@pytest.fixture
def prompting(tmp_path: Path) -> GgufRenderer:
    return GgufRenderer.load(tiny(tmp_path, tokenizer__chat_template=TEMPLATE))


def test_a_word_is_what_the_template_compares_it_with(prompting: GgufRenderer) -> None:
    """Though it is a part of a control token's text."""
    tokens = prompting.encode_chat(HI, switches={"mode": "endoftext"})
    assert prompting.decode(tokens) == "samehi"


@pytest.mark.parametrize("documents", [[{"title": "<|endoftext|>"}], [{"<|endoftext|>": 1, "title": "x"}]])
def test_a_text_never_becomes_a_control_token(prompting: GgufRenderer, documents: Any) -> None:
    tokens = prompting.encode_chat(HI, switches={"documents": documents})
    assert "<|endoftext|>" in prompting.decode(tokens)
    assert not any(prompting.vocabulary.is_control(token) for token in tokens)


def test_a_mark_is_not_in_the_texts(prompting: GgufRenderer) -> None:
    documents = [{"title": "<|endoftext|>\ue000"}]
    tokens = prompting.encode_chat(HI, switches={"documents": documents})
    assert "<|endoftext|>\ue000" in prompting.decode(tokens)


def test_every_text_is_found_and_wrapped_at_any_depth() -> None:
    value = {"a": ["x y", {"k<": "v<", "word": 1}], "b": None, "c": "word"}
    assert list(texts_of(value)) == ["a", "x y", "k<", "v<", "word", "b", "c", "word"]
    wrapped = with_wrapped_texts(value, lambda text: f"[{text}]")
    assert wrapped == {"a": ["[x y]", {"[k<]": "[v<]", "word": 1}], "b": None, "c": "word"}


def test_depth_is_counted_in_levels() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert not is_deep(value)
    assert is_deep([value])
