"""How byte-level BPE models split text into words before merging: name in the file -> regular expressions.

Each expression splits what the previous ones left whole. Only lists names whose splits are tested against
llama.cpp's.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """`keeps_whole_words`: a word that is a token is used without merging."""

    patterns: tuple[str, ...]
    keeps_whole_words: bool = False


_CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_SYMBOLS_AND_SPACE = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_SYMBOLS_AND_SPACE}"
_QWEN2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_SYMBOLS_AND_SPACE}"
_QWEN35 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK3_WORDS = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_by_gpt2 = PreTokenizer((_GPT2,))
_by_digit_and_gpt2 = PreTokenizer((r"\p{N}", _GPT2))
_by_llama3 = PreTokenizer((_LLAMA3,))
_by_llama3_whole = PreTokenizer((_LLAMA3,), keeps_whole_words=True)
_by_qwen2 = PreTokenizer((_QWEN2,))
_by_deepseek3 = PreTokenizer((r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", _DEEPSEEK3_WORDS))

PRE_TOKENIZERS: Final[dict[str, PreTokenizer]] = {
    "gpt-2": _by_gpt2,
    "phi-2": _by_gpt2,
    "mpt": _by_gpt2,
    "olmo": _by_gpt2,
    "jais": _by_gpt2,
    "trillion": _by_gpt2,
    "gigachat": _by_gpt2,
    "a.x-4.0": _by_gpt2,
    "mellum": _by_gpt2,
    "exaone4": _by_gpt2,
    "granite-docling": _by_gpt2,
    "starcoder": _by_digit_and_gpt2,
    "refact": _by_digit_and_gpt2,
    "command-r": _by_digit_and_gpt2,
    "smollm": _by_digit_and_gpt2,
    "codeshell": _by_digit_and_gpt2,
    "exaone": _by_digit_and_gpt2,
    "minerva-7b": _by_digit_and_gpt2,
    "mellum2": _by_digit_and_gpt2,
    "dbrx": _by_llama3,
    "smaug-bpe": _by_llama3,
    "chatglm-bpe": _by_llama3,
    "llama3": _by_llama3_whole,
    "llama-v3": _by_llama3_whole,
    "llama-bpe": _by_llama3_whole,
    "falcon3": _by_llama3_whole,
    "falcon-h1": _by_llama3_whole,
    "pixtral": _by_llama3_whole,
    "midm-2.0": _by_llama3_whole,
    "lfm2": _by_llama3_whole,
    "glm4": _by_llama3_whole,
    "glm5": _by_llama3_whole,
    "qwen2": _by_qwen2,
    "deepseek-r1-qwen": _by_qwen2,
    "kormo": _by_qwen2,
    "megrez": _by_qwen2,
    "stablelm2": _by_qwen2,
    "hunyuan": _by_qwen2,
    "solar-open": _by_qwen2,
    "qwen35": PreTokenizer((_QWEN35,)),
    "deepseek-v3": _by_deepseek3,
    "hunyuan-dense": _by_deepseek3,
    "joyai-llm": _by_deepseek3,
}
