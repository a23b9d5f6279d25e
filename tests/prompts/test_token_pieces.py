"""The bytes of tokens: those of many at once are those of each alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.prompts.token_pieces import TokenKind, byte_alphabet, token_pieces

_BYTES = {char: bytes([byte]) for byte, char in byte_alphabet().items()}
_OWN = st.text(st.sampled_from(sorted(_BYTES)), min_size=1)
_ANY = st.text(min_size=1).map(lambda text: text.encode("utf-8", "replace"))


def pieces(texts: list[bytes], kinds: bytes = b"") -> tuple[bytes, ...]:
    """With the extension, if it is built, and without."""
    kinds = kinds or bytes([TokenKind.NORMAL]) * len(texts)
    made = token_pieces("bpe", texts, kinds, is_byte_level=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("myna.prompts.token_pieces.IS_NATIVE", False)
        assert token_pieces("bpe", texts, kinds, is_byte_level=True) == made
    return made


def test_only_normal_tokens_are_in_the_alphabet() -> None:
    kinds = bytes([TokenKind.NORMAL, TokenKind.CONTROL, TokenKind.USER_DEFINED, TokenKind.UNUSED])
    assert pieces(["Ġa".encode()] * 4, kinds) == (b" a", "Ġa".encode(), "Ġa".encode(), b"")


def one_by_one(text: bytes) -> bytes:
    return b"".join(_BYTES.get(char, char.encode()) for char in text.decode("utf-8", "replace"))


@given(st.lists(_OWN, min_size=1))
def test_tokens_in_the_byte_alphabet_are_the_bytes_that_it_writes(texts: list[str]) -> None:
    encoded = [text.encode() for text in texts]
    assert pieces(encoded) == tuple(one_by_one(text) for text in encoded)


@given(st.lists(_OWN.map(str.encode) | _ANY | st.binary(min_size=1), min_size=1))
def test_other_tokens_change_none_of_those_in_the_alphabet(texts: list[bytes]) -> None:
    assert pieces(texts) == tuple(one_by_one(text) for text in texts)


@pytest.mark.parametrize("other", ["two\nlines", "Ж", "\U0001f426", "\uffff", b"\xff", b"\xe9"])
def test_one_token_outside_the_alphabet_keeps_its_own_bytes(other: str | bytes) -> None:
    text = other if isinstance(other, bytes) else other.encode()
    kept = "\ufffd".encode() if isinstance(other, bytes) else text
    assert pieces(["Ġb".encode(), text, "Ċ".encode()]) == (b" b", kept, b"\n")
