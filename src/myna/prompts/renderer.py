"""The `core.renderer.Renderer` of a GGUF file: texts and conversations to tokens, according to its
metadata."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from myna.core.conversation import Message, ToolSpec
from myna.core.renderer import NO_SWITCHES, Thinking
from myna.prompts.call_formats.table import BARE, FORMATS, find_by_tokens
from myna.prompts.conversation import client_texts
from myna.prompts.gguf import Header, read_header
from myna.prompts.model_check import check_model
from myna.prompts.special_token_escaping import Marker
from myna.prompts.template import ChatTemplate
from myna.prompts.template_probe import TemplateFeatures
from myna.prompts.template_variables import texts_of
from myna.prompts.tokenizer import EngineTokenize, Tokenizer
from myna.prompts.vocabulary import Vocabulary

_log: Final = logging.getLogger(__name__)
TEMPLATE: Final = "tokenizer.chat_template"
TOOL_TEMPLATE: Final = "tokenizer.chat_template.tool_use"
_DOCUMENT_STARTS: Final = (b"<|endoftext|>", b"<|end_of_text|>")


class GgufRenderer:
    """`has_chat_template` is False for a model without one. `encode_chat` then uses a plain template, but the
    caller may refuse instead."""

    def __init__(
        self,
        header: Header,
        vocabulary: Vocabulary,
        tokenizer: Tokenizer,
        template: ChatTemplate | None,
        tool_template: ChatTemplate | None = None,
        *,
        adds_bos_to_chats: bool = True,
    ) -> None:
        """`adds_bos_to_chats`: also where the template lacks it, as llama.cpp does."""
        self.vocabulary = vocabulary
        self.architecture = header.architecture
        self.context_tokens = header.integer(f"{self.architecture}.context_length")
        self.name = header.string("general.name", Path(header.path).stem)
        self.has_chat_template = template is not None
        self._tokenizer = tokenizer
        self._document_start = _document_start(vocabulary)
        self._controls = _control_texts(vocabulary)
        is_chatml = {"<|im_start|>", "<|im_end|>"} <= self._controls
        self._template = template or ChatTemplate.plain(is_chatml=is_chatml)
        self._tool_template = tool_template or self._template  # for conversations with tools
        self.template_id: str = self._template.source + (tool_template.source if tool_template else "")
        self.thinking: Thinking | None = self._template.features.thinking
        self.call_format = _call_format(self._tool_template.features, vocabulary)
        self._marker = Marker(self._controls)
        self._adds_bos_to_chats = adds_bos_to_chats or template is None

    @classmethod
    def load(
        cls,
        path: str | Path,
        engine_tokenize: EngineTokenize | None = None,
        *,
        chat_template: str | None = None,
    ) -> "GgufRenderer":
        """Read and check everything that prompts need from the model file (the first shard of a split model).

        `engine_tokenize` (text without special tokens -> ids) is used for models whose pre-tokenizer is
        unknown; without it they raise `UnsupportedTokenizer`. `chat_template` replaces the file's own. Raises
        `ModelFileError`.
        """
        header = read_header(path)
        check_model(header)
        return cls.from_header(header, engine_tokenize, chat_template=chat_template)

    @classmethod
    def from_header(
        cls,
        header: Header,
        engine_tokenize: EngineTokenize | None = None,
        *,
        chat_template: str | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> "GgufRenderer":
        """`load` with a header that was already read and passed `check_model`; `vocabulary` is its own, if
        that was already read."""
        vocabulary = vocabulary or Vocabulary.of(header)
        with ThreadPoolExecutor(1) as helper:  # templates are checked in another process
            templates = helper.submit(_templates, header, vocabulary, chat_template)
            tokenizer = Tokenizer(vocabulary, engine_tokenize)
        return cls(header, vocabulary, tokenizer, *templates.result())

    @classmethod
    def of(
        cls,
        header: Header,
        vocabulary: Vocabulary,
        tokenizer: Tokenizer,
        *,
        chat_template: str | None = None,
        adds_bos_to_chats: bool = True,
    ) -> "GgufRenderer":
        """The renderer with the templates in the header, unless `chat_template` replaces them."""
        templates = _templates(header, vocabulary, chat_template)
        return cls(header, vocabulary, tokenizer, *templates, adds_bos_to_chats=adds_bos_to_chats)

    @property
    def uses_engine_tokenizer(self) -> bool:
        return self._tokenizer.is_engines

    @property
    def document_start(self) -> list[int]:
        """The tokens used for an absent prompt: what the model saw before each document."""
        return list(self._document_start)

    def least_tokens(self, text: str) -> int:
        """A lower bound of `encode`'s length, without tokenizing."""
        return self._tokenizer.least_tokens(text)

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        """The tokens of a raw prompt, after BOS if the model uses it."""
        return self._with_bos(self._tokenizer.encode(text, parse_special=parse_special))

    def encode_batch(self, texts: Sequence[str], *, parse_special: bool) -> list[list[int]]:
        return [
            self._with_bos(ids) for ids in self._tokenizer.encode_batch(texts, parse_special=parse_special)
        ]

    def encode_chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        switches: Mapping[str, object] = NO_SWITCHES,
        prefill: str = "",
        add_generation_prompt: bool = True,
    ) -> list[int]:
        """The tokens of the conversation and of `prefill`, the beginning of the answer; `switches` are
        additional variables for the template. Text from the client that looks like a special token stays
        text. Raises `InvalidRequest` if the template rejects the conversation."""
        template = self._tool_template if tools else self._template
        texts = [*client_texts(messages, tools), *texts_of(switches), prefill, template.source]
        mark = Marker.unused_mark(texts)
        marked = False

        def wrap(text: str) -> str:
            nonlocal marked
            broken = self._marker.mark(text, mark)
            marked = marked or len(broken) != len(text)
            return broken

        text = template.render(
            messages,
            tools=tools,
            form=FORMATS[self.call_format],
            add_generation_prompt=add_generation_prompt,
            switches=switches,
            wrap=wrap,
        ) + wrap(prefill)
        if marked:
            ids = self._tokenizer.encode_marked(text, mark)
        else:
            ids = self._tokenizer.encode(text, parse_special=True)
        return self._with_bos(ids) if self._adds_bos_to_chats else ids

    def render_chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        add_generation_prompt: bool = True,
    ) -> str:
        """The conversation as the template renders it, for people to read."""
        template = self._tool_template if tools else self._template
        return template.render(
            messages,
            tools=tools,
            form=FORMATS[self.call_format],
            add_generation_prompt=add_generation_prompt,
        )

    def fim(self, prefix: str, suffix: str) -> list[int] | None:
        """The tokens of a fill-in-the-middle prompt; None if the model doesn't support it. Special tokens in
        `prefix` and `suffix` are treated as text."""
        fill = self.vocabulary.fill
        if fill.prefix is None or fill.suffix is None or fill.middle is None:
            return None
        before, after = self._tokenizer.encode_batch([prefix, suffix], parse_special=False)
        return self._with_bos([fill.prefix, *before, fill.suffix, *after, fill.middle])

    def decode(self, tokens: Sequence[int]) -> str:
        pieces = self.vocabulary.pieces
        return b"".join(pieces[token] for token in tokens).decode("utf-8", "replace")

    def _with_bos(self, ids: list[int]) -> list[int]:
        bos = self.vocabulary.bos
        if not self.vocabulary.adds_bos or bos is None or (ids and ids[0] == bos):
            return ids
        return [bos, *ids]


def _templates(
    header: Header, vocabulary: Vocabulary, replacement: str | None
) -> tuple[ChatTemplate | None, ChatTemplate | None]:
    """The templates in the header, in general and for conversations with tools, unless one replaces them."""

    def template(source: str) -> ChatTemplate | None:
        if not source.strip():
            return None
        bos = _own_text(header, vocabulary, "bos", vocabulary.bos)
        eos = _own_text(header, vocabulary, "eos", vocabulary.eos)
        made = ChatTemplate.load(source, bos=bos, eos=eos)
        if made.fault is not None:
            _log.warning("%s: %s", header.path, made.fault)
        return made

    if replacement is not None:
        return template(replacement), None
    return template(header.string(TEMPLATE, "")), template(header.string(TOOL_TEMPLATE, ""))


def _text(vocabulary: Vocabulary, token: int | None) -> str:
    return "" if token is None else vocabulary.texts[token].decode("utf-8", "replace")


def _own_text(header: Header, vocabulary: Vocabulary, name: str, token: int | None) -> str:
    """The text of a token for templates; "" for one that only llama.cpp's defaults make special."""
    is_own = f"tokenizer.ggml.{name}_token_id" in header.metadata
    is_special = token is not None and (is_own or vocabulary.is_control(token))
    return _text(vocabulary, token) if is_special else ""


def _call_format(features: TemplateFeatures, vocabulary: Vocabulary) -> str:
    """The format in which the template writes calls. If it only lists tools: the one for which the model has
    tokens."""
    if features.call_format:
        return features.call_format
    return (find_by_tokens(vocabulary.texts) if features.has_tools else None) or BARE.name


def _document_start(vocabulary: Vocabulary) -> tuple[int, ...]:
    bos = vocabulary.bos
    if vocabulary.adds_bos and bos is not None:
        return (bos,)
    for text in _DOCUMENT_STARTS:
        if text in vocabulary.texts and vocabulary.is_control(token := vocabulary.texts.index(text)):
            return (token,)
    start = bos if bos is not None else vocabulary.eos
    return () if start is None else (start,)


def _control_texts(vocabulary: Vocabulary) -> frozenset[str]:
    special = vocabulary.special_ids
    return frozenset(_text(vocabulary, token) for token in special if vocabulary.is_control(token))
