"""llama.cpp's own reading of a vocabulary, for comparison."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _silent(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Oracle:
    vocab: Any
    num_tokens: int

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        data = text.encode()
        room = len(data) + 16
        out = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self.vocab, data, len(data), out, room, False, parse_special)
        assert count >= 0
        return list(out[:count])

    def piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(4096)
        count = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, 4096, 0, True)
        assert count >= 0
        return buffer.raw[:count]


@contextmanager
def open_oracle(path: Path) -> Iterator[Oracle]:
    llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    assert model, f"llama.cpp refused {path}"
    try:
        vocab = llama_cpp.llama_model_get_vocab(model)
        yield Oracle(vocab, llama_cpp.llama_vocab_n_tokens(vocab))
    finally:
        llama_cpp.llama_model_free(model)
