"""How BPE models split text into words before merging: the name in the file -> regular expressions and flags.

Knows all names that llama.cpp knows, and splits as it does, including where that differs from the model's
first tokenizer. Each expression splits what the previous ones left whole. An expression must take time linear
in the text, since clients choose the text: it may look ahead without limit only where that can't be repeated
for the same characters.
"""

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """`keeps_whole_words`: a word that is a token is used without merging. `adds_bos`: texts begin with BOS
    unless the file says otherwise. Without `is_byte_level`, the vocabulary is of plain text instead of
    GPT-2's alphabet of bytes, and a character that it lacks becomes byte tokens. `marks_spaces`: a space is
    written as "▁". `keeps_line_breaks`: line breaks in a row that are a token are used without merging."""

    patterns: tuple[str, ...]
    keeps_whole_words: bool = False
    adds_bos: bool = False
    is_byte_level: bool = True
    marks_spaces: bool = False
    keeps_line_breaks: bool = False


# --- parts ---

_ENDING = r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_BREAKS = r"\s*[\r\n]+"
_SPACES = r"\s+(?!\S)|\s+"
_SYMBOLS_AND_SPACE = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_BREAKS}|{_SPACES}"
_SLASHED_SYMBOLS_AND_SPACE = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_BREAKS}|{_SPACES}"
_PUNCTUATION_MARK = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"
_IDEOGRAPHS = "一-龥"
_KANA = "\u3040-\u309f\u30a0-\u30ff"
_HAN = (
    "\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002ebef\uf900-\ufaff\U0002f800-\U0002fa1f"
)
# Letters with case, as Unicode had them when DeepSeek LLM was made.
_CASED = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-"
    "\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-"
    "\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    "\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-"
    "\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-"
    "\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-"
    "\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-"
    "\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-"
    "\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_SOUTH_EAST_ASIAN = (
    "\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff"  # Thai to Myanmar
)


def _cased_word(upper: str, lower: str, ending: str = "") -> str:
    """A word of upper-case letters before lower-case ones; scripts without case count as both."""
    return rf"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{ending}|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{ending}"


# --- whole expressions ---

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = rf"{_ENDING}|{_WORD}|\p{{N}}{{1,3}}|{_SYMBOLS_AND_SPACE}"
_QWEN2 = rf"{_ENDING}|{_WORD}|\p{{N}}|{_SYMBOLS_AND_SPACE}"
_QWEN35 = (
    rf"{_ENDING}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_BREAKS}|{_SPACES}"
)
_DEEPSEEK3 = (
    rf"{_PUNCTUATION_MARK}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_BREAKS}|{_SPACES}"
)
_SPARK = (
    rf"{_PUNCTUATION_MARK}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
    rf"| ?[\p{{P}}\p{{S}}]+|[\r\n]|{_SPACES}"
)
_TEKKEN = _cased_word(r"[\p{L}&&[^a-z]]", r"[\p{L}&&[^A-Z]]") + rf"|\p{{N}}|{_SLASHED_SYMBOLS_AND_SPACE}"
_GPT4O = (
    _cased_word(r"[\p{L}&&[^a-z]]", r"[\p{L}&&[^A-Z]]", f"(?:{_ENDING})?")
    + rf"|\p{{N}}{{1,3}}|{_SLASHED_SYMBOLS_AND_SPACE}"
)
_GRANITE = (
    _cased_word(r"[[\p{L}\p{M}]&&[^a-z]]", r"[[\p{L}\p{M}]&&[^A-Z]]", f"(?:{_ENDING})?")
    + rf"|\p{{N}}{{1,3}}|{_SLASHED_SYMBOLS_AND_SPACE}"
)
_MARKED_WORD = rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+(?:{_ENDING})?"
_AYA = rf"{_MARKED_WORD}|\p{{N}}{{1,3}}|{_SLASHED_SYMBOLS_AND_SPACE}"
_YOUTU = rf"{_MARKED_WORD}|\p{{N}}|{_SLASHED_SYMBOLS_AND_SPACE}"
_UFAKZEKA = rf"{_WORD}|\p{{N}}|{_SYMBOLS_AND_SPACE}"
_MINICPM = rf"{_ENDING}|{_WORD}|\p{{N}}+|{_SYMBOLS_AND_SPACE}"
_KIMI = (
    rf"[{_HAN}]+|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}&&[^{_HAN}]]+(?:{_ENDING})?|\p{{N}}{{1,3}}"
    rf"|{_SYMBOLS_AND_SPACE}"
)
_BAILING = rf"{_ENDING}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]|{_SPACES}"
_EXAONE_MOE = (
    rf"{_ENDING}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]?|\s*[\r\n]|{_SPACES}"
)
_SEED = rf"{_ENDING}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_BREAKS}|{_SPACES}"
# A run of spaces is cut many times here, so line breaks are looked for at its start only.
_JAIS2 = (
    rf"{_ENDING}|{_WORD}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|(?<![^\S\r\n])\s*[\r\n]+|"
    + "|".join(rf"\s{{{size}}}(?!\S)" for size in ("512", "256", "128", "64", "32", "16", "8", "4", "1,2"))
    + r"|\s"
)
_BLOOM = " ?[^(\\s|.,!?…。\uff0c、।۔،)]+"
_ASIAN_WORDS = (
    "[가-힣ㄱ-ㆎ]+|[\uff01…\u201c\u201d\u2018\u2019—\uff1a\uff1b\uff0c、-〿\ufe30-\ufe4f]+"
    f"|[\u3105-\u312f]+|[{_IDEOGRAPHS}{_KANA}]+"
)
_EAST_ASIAN = "[[一-龥\u0800-一가-\ud7ff]&&\\S]+"
_AFMOE_WORDS = (
    "[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf"
    rf"{_SOUTH_EAST_ASIAN}\uac00-\ud7af\u1100-\u11ff]+"
)
_LINES = r"[^\n]+|\n+"
# Digits in groups of three from the right; only the first group of a run looks ahead. The text before a run
# belongs to its first group.
_THREES = r"\P{N}*+(?:(?<!\p{N})\p{N}{1,2}(?=(?:\p{N}{3})*+(?!\p{N}))|\p{N}{3}|\z)"
# A cut before each such group of ASCII digits, of runs of at least three.
_REST = r"[0-9]{1,2}(?=(?:[0-9]{3})++(?![0-9]))"
_SHORT = r"[0-9]{1,2}(?![0-9])"
_CUT_THREES = (
    rf"(?<![0-9]){_REST}|[0-9]{{3}}(?=[0-9])|(?:[0-9]{{3}}|{_SHORT})?(?:[^0-9]++(?:{_SHORT})?)*+(?:{_REST})?"
)


_by_gpt2 = PreTokenizer((_GPT2,))
_by_llama3 = PreTokenizer((_LLAMA3,))
_DEEPSEEK = (r"\p{N}{1,3}", f"[{_IDEOGRAPHS}{_KANA}]+")
_by_lines = PreTokenizer((_LINES,), is_byte_level=False, marks_spaces=True)

# Names, separated by spaces, and what they mean.
_ROWS: Final = {
    (
        "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jina-v1-en "
        "jina-v2-code roberta-bpe mpt olmo jais trillion granite-docling exaone4"
    ): _by_gpt2,
    "starcoder refact command-r smollm codeshell exaone minerva-7b mellum2": PreTokenizer((r"\p{N}", _GPT2)),
    "default": PreTokenizer((r"[\p{P}$+<=>^~|]+", _GPT2, r"\p{N}+", "[0-9]{3}")),
    "falcon": PreTokenizer((r"[\p{P}$+<=>^~|`]+", _GPT2, "[0-9]{3}")),
    "dbrx smaug-bpe chatglm-bpe": _by_llama3,
    "glm4 glm5": replace(_by_llama3, keeps_whole_words=True),
    "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano": replace(
        _by_llama3, keeps_whole_words=True, adds_bos=True
    ),
    "jais-2": PreTokenizer((_JAIS2,)),
    "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2": PreTokenizer(
        (_QWEN2,)
    ),
    "qwen35": PreTokenizer((_QWEN35,)),
    "ufakzeka": PreTokenizer((_UFAKZEKA,)),
    "laguna": PreTokenizer((_LINES, _QWEN2)),
    "minicpm5": PreTokenizer((r"\p{N}{1,3}", _MINICPM), keeps_whole_words=True),
    "tekken": PreTokenizer((_TEKKEN,), keeps_whole_words=True, adds_bos=True),
    "gpt-4o llama4 kanana2 talkie minimax-m2": PreTokenizer((_GPT4O,)),
    "granite-embed-multi-97m": PreTokenizer((_GRANITE,), keeps_whole_words=True),
    "tiny_aya cohere2moe": PreTokenizer((_THREES, _AYA)),
    "kimi-k2": PreTokenizer((_KIMI,)),
    "deepseek-v3 hunyuan-dense joyai-llm hy_v4": PreTokenizer((*_DEEPSEEK, _DEEPSEEK3)),
    "spark2_5": PreTokenizer((*_DEEPSEEK, _SPARK, r"\p{N}")),
    "deepseek-llm": PreTokenizer(
        (
            "[\r\n]",
            rf"\s?[{_CASED}]+",
            "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3001\u3002]+",
            r"(?<!\s)\s+\z",
            _EAST_ASIAN,
            r"\p{N}+",
        )
    ),
    "deepseek-coder": PreTokenizer(("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _EAST_ASIAN, r"\p{N}")),
    "youtu": PreTokenizer((_ASIAN_WORDS, _YOUTU), keeps_whole_words=True),
    "poro-chat bloom gpt3-finnish": PreTokenizer((_BLOOM,)),
    "viking": PreTokenizer((_BLOOM, r"\p{N}")),
    "chameleon": PreTokenizer(
        (
            "<sentinel:[0-9]+>",
            "IMGIMG[A-I]{1,4}Z",
            r"[\t\n]|    |  ",
            r"\p{N}",
            r"[\p{P}!-/:-@\[-`{-~]",
            _GPT2,
        ),
        adds_bos=True,
    ),
    "superbpe": PreTokenizer((r"\p{N}+", _CUT_THREES)),
    "bailingmoe bailingmoe2 llada-moe": PreTokenizer((_BAILING,)),
    "seed-coder": PreTokenizer((_SEED,)),
    "afmoe": PreTokenizer((_THREES, _AFMOE_WORDS, _DEEPSEEK3)),
    "exaone-moe": PreTokenizer((_EXAONE_MOE,)),
    "sarvam-moe": _by_lines,
    "gemma4 granite-embed-multi-311m": replace(_by_lines, adds_bos=True, keeps_line_breaks=True),
    "whitespace": PreTokenizer((r"\S+",), is_byte_level=False),
}
PRE_TOKENIZERS: Final = {name: rule for names, rule in _ROWS.items() for name in names.split()}
