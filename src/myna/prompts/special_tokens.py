"""The usual texts of special tokens, for files whose metadata doesn't name them. Names only, no code.

The lists match llama.cpp's; where it takes any, the first one here is used.
"""

from typing import Final


def _tokens(text: str) -> tuple[bytes, ...]:
    return tuple(token.encode() for token in text.split())


END_OF_TURN_TEXTS: Final = _tokens(
    "<|eot_id|> <|im_end|> <end_of_turn> <|end|> <EOT> _<EOT> [EOT] "
    "<｜end▁of▁sentence｜> <end_of_utterance> <|end_of_text|> <|endoftext|>"
)
END_OF_MESSAGE_TEXTS: Final = _tokens("<|eom_id|>")
END_OF_GENERATION_TEXTS: Final = _tokens(
    "<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn> <|endoftext|> </s> "
    "<|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> <eos> <turn|> <|tool_response> "
    "<｜end▁of▁sentence｜> [e~["
)
# Parts of an answer's format (gpt-oss) that its parser needs to see.
ALWAYS_VISIBLE_TEXTS: Final = _tokens("<|channel|> <|message|> <|start|> <|constrain|>")
# In these vocabularies "</s>" is an ordinary token.
NORMAL_S_MARKERS: Final = _tokens("<|tool_response> <|plamo:eos|>")
# Special tokens of Phi-3 that don't swallow the white space after them.
NOT_STRIPPING_TEXTS: Final = _tokens("<unk> <s> <|endoftext|>")

# field of FillTokens -> (metadata key, older names of the key, texts)
FILL_TEXTS: Final[dict[str, tuple[str, tuple[str, ...], tuple[bytes, ...]]]] = {
    "prefix": (
        "fim_pre",
        ("prefix",),
        _tokens(
            "<|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE> <|code_prefix|> <|prefix|>"
        ),
    ),
    "suffix": (
        "fim_suf",
        ("suffix",),
        _tokens(
            "<|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF> <|code_suffix|> <|suffix|>"
        ),
    ),
    "middle": (
        "fim_mid",
        ("middle",),
        _tokens(
            "<|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID> <|code_middle|> <|middle|>"
        ),
    ),
    "pad": ("fim_pad", (), _tokens("<|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD]")),
    "repository": ("fim_rep", (), _tokens("<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>")),
    "file_separator": ("fim_sep", (), _tokens("<|file_sep|>")),
}
