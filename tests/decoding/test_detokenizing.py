"""Bytes of tokens become text without a broken, lost or early character, and tokens are counted with it."""

from codecs import utf_8_decode

from hypothesis import example, given
from hypothesis import strategies as st

from myna.decoding.detokenizing import ChoiceText

TEXTS = ["", "plain", "naïve", "漢字とかな", "👩‍👩‍👧‍👦 🇨🇭", "\ufffd", "a\u0301"]
valid = st.one_of(st.sampled_from(TEXTS), st.text(max_size=20)).map(lambda text: text.encode())
# Pieces of characters, lone continuations, surrogates, overlong forms.
broken = st.one_of(
    st.binary(max_size=8),
    st.lists(st.sampled_from([0x61, 0x80, 0xC3, 0xED, 0xA0, 0xF0, 0x9F, 0xF5])).map(bytes),
)
contents = st.lists(st.one_of(valid, broken), max_size=8).map(b"".join)
stops = st.lists(st.text(alphabet="ab\ufffd漢👩", max_size=3), max_size=4)


@st.composite
def splits(draw: st.DrawFn) -> list[bytes]:
    content = draw(contents)
    cuts = sorted(draw(st.lists(st.integers(0, len(content)), max_size=12)))
    return [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]


def run(tokens: list[bytes], stops: list[str]) -> tuple[list[str], ChoiceText]:
    text = ChoiceText(tokens, stops, is_tracking=True)
    shown = []
    for token in range(len(tokens)):
        shown.append(text.push(token))
        if text.is_stopped:
            return shown, text
    return [*shown, text.finish()], text


@given(splits())
@example([b"\xf0", b"\x9f", b"\x91", b"\xa9"])
@example([b"\xf0\x9f", b"a"])
@example([b"\xed", b"\xa0", b"\x80"])
@example([b"\xe6\xbc"])
def test_any_split_is_the_whole_decoded_without_half_a_character_at_its_end(tokens: list[bytes]) -> None:
    shown, text = run(tokens, [])
    assert "".join(shown) == _whole(b"".join(tokens))
    assert text.num_shown == len(tokens)


@given(splits(), stops)
def test_stop_strings_cut_the_decoded_text(tokens: list[bytes], stops: list[str]) -> None:
    shown, text = run(tokens, stops)
    whole = _whole(b"".join(tokens))
    found = [(whole.find(stop) + len(stop), whole.find(stop)) for stop in stops if stop and stop in whole]
    assert "".join(shown) == (whole[: min(found)[1]] if found else whole)
    assert text.is_stopped or not found


@given(splits(), stops)
def test_tokens_are_shown_with_their_first_character(tokens: list[bytes], stops: list[str]) -> None:
    text = ChoiceText(tokens, stops, is_tracking=True)
    num_chars_shown = 0
    for token in range(len(tokens)):
        num_chars_shown += len(text.push(token))
        # Where each token's text begins: after the characters that were whole before it.
        starts = [len(_whole(b"".join(tokens[:index]))) for index in range(token + 1)]
        assert text.num_shown >= sum(start < num_chars_shown for start in starts)
        hidden = starts[text.num_shown :]
        assert all(start >= num_chars_shown for start in hidden)
        if text.is_stopped:
            return
    text.finish()
    assert text.is_stopped or text.num_shown == len(tokens)


@given(splits(), stops)
def test_tracking_changes_no_text(tokens: list[bytes], stops: list[str]) -> None:
    tracked, _ = run(tokens, stops)
    plain = ChoiceText(tokens, stops)
    pieces = []
    for token in range(len(tokens)):
        pieces.append(plain.push(token))
        if plain.is_stopped:
            break
    else:
        pieces.append(plain.finish())
    assert pieces == tracked


def test_nothing_whole_is_kept_waiting() -> None:
    tokens = ["héllo ".encode(), b"\xf0\x9f", b"\x91\xa9", b"!", b"\n", b"\n#"]
    text = ChoiceText(tokens, ["\n\n"], is_tracking=True)
    assert [(text.push(token), text.num_shown) for token in range(6)] == [
        ("héllo ", 1),
        ("", 1),
        ("👩", 3),
        ("!", 4),
        ("", 4),
        ("", 4),
    ]
    assert text.is_stopped
    assert text.finish() == ""
    assert text.push(0) == ""


def test_the_token_that_a_stop_string_cuts_is_shown() -> None:
    text = ChoiceText([b"one", b" two\nUs", b"er: three"], ["\nUser:"], is_tracking=True)
    assert [text.push(token) for token in range(3)] == ["one", " two", ""]
    assert text.num_shown == 2


def _whole(data: bytes) -> str:
    """The characters that are certain, whatever follows."""
    return utf_8_decode(data, "replace", False)[0]
