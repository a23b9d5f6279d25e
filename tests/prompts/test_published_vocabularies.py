"""llama.cpp's published vocabularies and test vectors, and each pre-tokenizer that it knows, against its
library."""

from collections.abc import Iterator
from functools import cache
from itertools import cycle
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from tests.conftest import llama_cpp_models
from tests.prompts.awkward import awkward_strings
from tests.prompts.gguf_files import Entry, gguf_bytes, write
from tests.prompts.oracle import Oracle, open_oracle

from myna.core.errors import ModelFileError
from myna.prompts.character_table import CharacterTable
from myna.prompts.gguf import Header, read_header
from myna.prompts.pretokenizers import PRE_TOKENIZERS
from myna.prompts.tokenizer import Tokenizer
from myna.prompts.vocabulary import Vocabulary

SMALL = "starcoder"  # 49,152 tokens of bytes
PLAIN = "gemma-4"  # of characters; a part of its 262,144 tokens is enough here
NAMES = (
    "aquila",
    "baichuan",
    "bert-bge",
    "command-r",
    "deepseek-coder",
    "deepseek-llm",
    "falcon",
    "gemma-4",
    "gpt-2",
    "gpt-neox",
    "llama-bpe",
    "llama-spm",
    "mpt",
    "nomic-bert-moe",
    "phi-3",
    "qwen2",
    "qwen35",
    "refact",
    "starcoder",
)


def file(name: str) -> Path:
    return llama_cpp_models() / f"ggml-vocab-{name}.gguf"


@pytest.fixture(scope="module", params=NAMES)
def published(request: pytest.FixtureRequest) -> Iterator[tuple[str, Vocabulary, Tokenizer, Oracle]]:
    path = file(request.param)
    with open_oracle(path) as oracle:
        vocabulary = Vocabulary.read(path)
        yield request.param, vocabulary, Tokenizer(vocabulary), oracle


Published = tuple[str, Vocabulary, Tokenizer, Oracle]


def differences(tokenizer: Tokenizer, oracle: Oracle, texts: list[str], *, parse_special: bool) -> list[str]:
    ours = tokenizer.encode_batch(texts, parse_special=parse_special)
    return [
        f"{text[:80]!r}: {row[:40]} but llama.cpp has {theirs[:40]}"
        for text, row in zip(texts, ours, strict=True)
        if row != (theirs := oracle.encode(text, parse_special=parse_special))
    ]


def test_all_published_vocabularies_are_tested() -> None:
    found = {path.stem.removeprefix("ggml-vocab-") for path in llama_cpp_models().glob("*.gguf")}
    assert found == set(NAMES)


@pytest.mark.parametrize("page", ["configuration.md", "configuration.zh.md"])
def test_the_page_says_which_names_are_compared_with_a_vocabulary_of_their_own(page: str) -> None:
    headers = [read_header(file(name)) for name in NAMES]
    own = {
        header.string("tokenizer.ggml.pre", "")
        for header in headers
        if header.string("tokenizer.ggml.model", "") == "gpt2"
    }
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    [paragraph] = [part for part in text.split("\n\n") if "`deepseek-llm`" in part]
    listed = {part for part in paragraph.split("`")[1::2] if part in PRE_TOKENIZERS}
    assert listed == own - {""}
    assert str(len(PRE_TOKENIZERS) - len(listed)) in paragraph


@pytest.mark.parametrize("parse_special", [False, True])
def test_awkward_strings_become_the_tokens_that_llamacpp_makes(
    published: Published, parse_special: bool
) -> None:
    _, _, tokenizer, oracle = published
    texts = awkward_strings(500)
    assert len(texts) >= 500
    assert differences(tokenizer, oracle, texts, parse_special=parse_special) == []


def test_the_published_vectors_hold(published: Published) -> None:
    name, _, tokenizer, _ = published
    vectors = file(name).with_suffix(".gguf.inp")
    if not vectors.exists():
        return  # a vocabulary without vectors
    end = "\n__ggml_vocab_test__\n"
    texts = vectors.read_text("utf-8").removesuffix(end).split(end)
    rows = vectors.with_suffix(".out").read_text("utf-8").removesuffix("\n").split("\n")
    assert len(rows) == len(texts) > 40
    expected = [[int(number) for number in row.split()] for row in rows]
    assert tokenizer.encode_batch(texts, parse_special=False) == expected


def test_each_token_has_the_bytes_that_llamacpp_gives_it(published: Published) -> None:
    _, vocabulary, _, oracle = published
    assert len(vocabulary) == oracle.num_tokens
    wrong = [
        (piece, theirs)
        for token, piece in enumerate(vocabulary.pieces)
        # llama.cpp writes the bytes of a token that isn't in GPT-2's alphabet as a remark in brackets.
        if piece != (theirs := oracle.piece(token)) and b"[UNK_BYTE_" not in theirs
    ]
    assert wrong == []


def test_special_tokens_have_the_roles_that_llamacpp_gives_them(published: Published) -> None:
    _, vocabulary, _, oracle = published
    vocab = oracle.vocab
    assert vocabulary.eog == {t for t in range(len(vocabulary)) if llama_cpp.llama_vocab_is_eog(vocab, t)}
    assert [-1 if t is None else t for t in (vocabulary.bos, vocabulary.eos)] == [
        llama_cpp.llama_vocab_bos(vocab),
        llama_cpp.llama_vocab_eos(vocab),
    ]
    assert vocabulary.adds_bos == llama_cpp.llama_vocab_get_add_bos(vocab)
    assert vocabulary.adds_eos == llama_cpp.llama_vocab_get_add_eos(vocab)


# --- pre-tokenizers by name ---


@cache
def metadata(name: str) -> dict[str, Entry]:
    """The entries of a published vocabulary, without those that the pre-tokenizer's name decides."""
    found: dict[str, Entry] = {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in read_header(file(name)).metadata.items()
    }
    for key in ("pre", "add_bos_token", "add_eos_token"):
        found.pop(f"tokenizer.ggml.{key}", None)
    if name == PLAIN:
        found |= part(read_header(file(name)))
    return found


def part(header: Header) -> dict[str, Entry]:
    """The first 49,152 tokens, all single characters, and the merges that need no others."""
    tokens, merges = (header.strings(f"tokenizer.ggml.{key}") for key in ("tokens", "merges"))
    kept = [i for i, token in enumerate(tokens) if i < 49152 or len(token.decode("utf-8", "replace")) == 1]
    known = {tokens[i] for i in kept}
    numbers = {key: header.metadata[f"tokenizer.ggml.{key}"] for key in ("token_type", "scores")}
    return {
        "tokenizer.ggml.tokens": [tokens[i] for i in kept],
        "tokenizer.ggml.merges": [
            merge for merge in merges if known.issuperset((*merge.split(b" "), merge.replace(b" ", b"")))
        ],
        **{f"tokenizer.ggml.{key}": np.asarray(row)[kept].tolist() for key, row in numbers.items()},
    }


def is_plain(name: str) -> bool:
    return name in PRE_TOKENIZERS and not PRE_TOKENIZERS[name].is_byte_level


@pytest.mark.parametrize("name", [*sorted(PRE_TOKENIZERS), ""])
def test_each_pre_tokenizer_splits_as_llamacpp_does(tmp_path: Path, name: str) -> None:
    entries = metadata(PLAIN if is_plain(name) else SMALL) | {"tokenizer.ggml.model": "gpt2"}
    if name:
        entries["tokenizer.ggml.pre"] = name
    path = write(tmp_path / "v.gguf", gguf_bytes(entries))
    texts = awkward_strings(500)
    if name == "whitespace":  # llama.cpp ends the process if it meets a space here
        texts = [text.replace(" ", "") for text in texts]
    vocabulary = Vocabulary.read(path)
    tokenizer = Tokenizer(vocabulary)
    with open_oracle(path) as oracle:
        both = [texts[::2], texts[1::2]]
        assert [
            difference
            for half, parse_special in zip(both, cycle((True, False)), strict=False)
            for difference in differences(tokenizer, oracle, half, parse_special=parse_special)
        ] == []
        assert vocabulary.adds_bos == llama_cpp.llama_vocab_get_add_bos(oracle.vocab)
        bos = llama_cpp.llama_vocab_bos(oracle.vocab)
        assert vocabulary.bos == (None if bos < 0 else bos)


# --- what only some vocabularies do ---


def test_phi3s_special_tokens_swallow_the_white_space_after_them() -> None:
    path = file("phi-3")
    texts = [
        "<|user|>\n\n Hi <|end|>\n<|assistant|>\n",
        "<s> \n a</s> \n b<unk> c <|endoftext|> \n",
        "<|user|> ",
    ]
    tokenizer = Tokenizer(Vocabulary.read(path))
    with open_oracle(path) as oracle:
        assert differences(tokenizer, oracle, texts, parse_special=True) == []
        assert differences(tokenizer, oracle, texts, parse_special=False) == []
    assert len(tokenizer.encode("<|user|>" + "\n" * 9999, parse_special=True)) == 1
    assert tokenizer.least_tokens("<|user|>" + "\n" * 9999) <= 1


def test_a_mask_swallows_the_white_space_before_it() -> None:
    path = file("nomic-bert-moe")
    with open_oracle(path) as oracle:
        tokenizer = Tokenizer(Vocabulary.read(path))
        assert (
            differences(tokenizer, oracle, ["Paris is \n <mask> x <mask>", " <mask>"], parse_special=True)
            == []
        )


def test_composed_characters_are_normalized_as_llamacpp_does() -> None:
    path = file("nomic-bert-moe")
    texts = [
        "e\u0301\u0323x",
        "ㅎㅏㄴ㉣ㅛﾾ",
        "ﬁ\u200bne ①ｶﾞ",
        "  two  spaces ",
        "\u1100\u1161\u11a8",
        "a\u0000b",
    ]
    with open_oracle(path) as oracle:
        tokenizer = Tokenizer(Vocabulary.read(path))
        texts = [text.replace("\0", "\x01") for text in texts]
        assert differences(tokenizer, oracle, texts, parse_special=False) == []


@pytest.mark.parametrize(
    "data", [b"\1", b"\4\0\0\0", b"\5\0\0\0" + bytes(9), b"\xff\xff\xff\xff" + bytes(64)], ids=ascii
)
def test_a_damaged_table_of_characters_is_refused(data: bytes) -> None:
    with pytest.raises(ModelFileError, match="table of characters"):
        CharacterTable(data)


def test_a_table_that_goes_round_in_circles_ends() -> None:
    units = np.array([byte | 0x100 for byte in range(256)], "<u4")  # each byte leads back to the start
    table = CharacterTable((1024).to_bytes(4, "little") + units.tobytes() + b"x\0" * 200)
    assert table.replace("ab" * 1000) != ""


@pytest.mark.parametrize("model", ["rwkv", "plamo2"])
def test_the_tokens_of_models_that_only_their_engine_tokenizes_for_have_their_bytes(
    tmp_path: Path, model: str
) -> None:
    words = ["a", "bc", "\\n", "\\x41\\\\", "\\'x", "▁d"]
    tokens = [*words, *(f"<0x{byte:02X}>" for byte in range(256 if model == "plamo2" else 0))]
    entries: dict[str, Entry] = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": model,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * len(words) + [6] * (len(tokens) - len(words)),
        "tokenizer.ggml.scores": [0.0] * len(tokens),
    }
    path = write(tmp_path / "v.gguf", gguf_bytes(entries))
    with open_oracle(path) as oracle:
        pieces = Vocabulary.read(path).pieces
        assert list(pieces) == [oracle.piece(token) for token in range(len(tokens))]
