"""The text side of a model's folder as Hugging Face lays it out: vocabulary, tokenizer, chat template, and
the defaults of its publisher."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from myna.core.sampling_defaults import SamplingDefaults, read_defaults
from myna.prompts.file_encoder import FileEncoder, begins_with
from myna.prompts.gguf import Header, Value
from myna.prompts.model_folder import JsonFolder
from myna.prompts.normalization import Stripping
from myna.prompts.renderer import TEMPLATE, TOOL_TEMPLATE, GgufRenderer
from myna.prompts.token_pieces import TokenKind
from myna.prompts.tokenizer import Tokenizer
from myna.prompts.tokenizer_file import TokenizerFile
from myna.prompts.vocabulary import Vocabulary

_SPECIAL: Final = {"bos": "bos_token", "eos": "eos_token", "padding": "pad_token"}
_SAMPLING: Final = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
_MAX_CONTEXT_TOKENS: Final = 1 << 28


class _Template(msgspec.Struct):
    name: str
    template: str


class _Templates(msgspec.Struct):
    chat_template: str | list[_Template] | None = None


@dataclass(frozen=True, slots=True)
class FolderText:
    """`header` describes the folder as a GGUF file's header would, so that both kinds of models are rendered
    by the same code. `special` are the tokens that the file's library finds in no text, by their names."""

    header: Header
    vocabulary: Vocabulary
    tokenizer: Tokenizer
    special: Mapping[str, int]
    sampling: SamplingDefaults

    @classmethod
    def read(cls, path: Path) -> "FolderText":
        """Blocks for up to a second. Raises `ModelFileError`."""
        folder = JsonFolder(path)
        config = text_config(folder)
        generation = folder.json("generation_config.json")
        file = TokenizerFile(folder, "BPE", _num_tokens(folder, config), may_have_more=True)
        header = Header(str(path), 0, _metadata(folder, config, file), (), 0)
        vocabulary = Vocabulary.of(header)
        ends = {*_ids(generation.get("eos_token_id")), *_ids(config.get("eos_token_id"))}
        vocabulary = replace(
            vocabulary,
            bos=_own(header, "bos"),
            eos=_own(header, "eos"),
            eog=_named(vocabulary, header) | {token for token in ends if token < len(vocabulary)},
            stripping=Stripping(
                frozenset(token.id for token in file.added if token.lstrip),
                frozenset(token.id for token in file.added if token.rstrip),
            ),
        )
        tokenizer = Tokenizer(vocabulary, encoder=FileEncoder(folder))
        special = {token.content: token.id for token in file.added if token.special}
        return cls(header, vocabulary, tokenizer, special, _sampling(generation))

    def renderer(self, chat_template: str | None = None) -> GgufRenderer:
        """As Transformers and vLLM do, the template alone decides what a conversation begins with."""
        return GgufRenderer.of(
            self.header,
            self.vocabulary,
            self.tokenizer,
            chat_template=chat_template,
            adds_bos_to_chats=False,
        )


def text_config(folder: JsonFolder) -> Mapping[str, Any]:
    """What `config.json` says about the model that writes text, of one that also reads pictures, too."""
    config = folder.json("config.json")
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else config


def _metadata(folder: JsonFolder, config: Mapping[str, Any], file: TokenizerFile) -> dict[str, Value]:
    architecture = str(config.get("model_type", ""))[:64] or "unknown"
    is_sentencepiece = bool(file.model.byte_fallback)
    if is_sentencepiece:
        for byte in range(256):
            if (number := file.ids.get(f"<0x{byte:02X}>")) is not None:
                file.kinds[number] = TokenKind.BYTE
    metadata: dict[str, Value] = {
        "general.architecture": architecture,
        "general.name": folder.path.name,
        f"{architecture}.context_length": _context_tokens(folder, config),
        "tokenizer.ggml.model": "llama" if is_sentencepiece else "gpt2",
        "tokenizer.ggml.pre": "tokenizer.json",  # whose own rules are used
        "tokenizer.ggml.tokens": [text.encode("utf-8", "replace") for text in file.texts],
        "tokenizer.ggml.token_type": file.kinds,
        "tokenizer.ggml.merges": list[bytes](),
        "tokenizer.ggml.add_space_prefix": False,
        **file.special(_SPECIAL),
    }
    metadata["tokenizer.ggml.add_bos_token"] = _adds_bos(folder, file, metadata)
    metadata["tokenizer.ggml.add_eos_token"] = False
    templates = zip((TEMPLATE, TOOL_TEMPLATE), _templates(folder), strict=True)
    return metadata | {key: source for key, source in templates if source}


def _num_tokens(folder: JsonFolder, config: Mapping[str, Any]) -> int:
    size = config.get("vocab_size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise folder.error("vocab_size in config.json should be a number")
    return size


def _context_tokens(folder: JsonFolder, config: Mapping[str, Any]) -> int:
    for key in ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx"):
        size = config.get(key)
        if isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= _MAX_CONTEXT_TOKENS:
            return size
    raise folder.error("config.json doesn't say how long its context is (max_position_embeddings)")


def _adds_bos(folder: JsonFolder, file: TokenizerFile, metadata: Mapping[str, Value]) -> bool:
    """Whether a text that isn't a conversation begins with a token."""
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    if bos is None:
        return False
    says = folder.json("tokenizer_config.json").get("add_bos_token")
    return says if isinstance(says, bool) else file.ids.get(begins_with(folder)) == bos


def _templates(folder: JsonFolder) -> tuple[str, str]:
    """The chat template, and that for conversations with tools if there is another."""
    own = folder.read("chat_template.jinja")
    if own is not None:
        for_tools = folder.read("additional_chat_templates/tool_use.jinja") or b""
        return own.decode("utf-8", "replace"), for_tools.decode("utf-8", "replace")
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = folder.decoded(name, _Templates)
        if found is None or found.chat_template is None:
            continue
        if isinstance(found.chat_template, str):
            return found.chat_template, ""
        by_name = {one.name: one.template for one in found.chat_template}
        return by_name.get("default", ""), by_name.get("tool_use", "")
    return "", ""


def _own(header: Header, name: str) -> int | None:
    """A special token that the folder names; None instead of what old GGUF files imply."""
    key = f"tokenizer.ggml.{name}_token_id"
    return header.integer(key) if key in header.metadata else None


def _named(vocabulary: Vocabulary, header: Header) -> frozenset[int]:
    implied = set() if vocabulary.eos == _own(header, "eos") else {vocabulary.eos}
    return vocabulary.eog - implied


def _ids(value: object) -> list[int]:
    values = value if isinstance(value, list) else [value]
    return [
        token for token in values if isinstance(token, int) and not isinstance(token, bool) and token >= 0
    ]


def _sampling(generation: Mapping[str, Any]) -> SamplingDefaults:
    """Values that no request could have are ignored."""
    found = SamplingDefaults()
    for name in _SAMPLING:
        try:
            found = read_defaults({name: generation[name]}).over(found)
        except (KeyError, ValueError):
            continue
    return found
