"""llama.cpp as the oracle of the native engine's tests: logits of token sequences, nothing else."""

import ctypes
from collections.abc import Sequence

import llama_cpp
import numpy as np
import numpy.typing as npt


class Oracle:
    """One model in llama.cpp, with one sequence. `is_exact` keeps keys and values as float32. By default with
    one thread: several wait for each other by spinning, which takes time from the tests beside these."""

    def __init__(self, path: str, *, context: int = 2048, threads: int = 1, is_exact: bool = False) -> None:
        self._silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        model_params = llama_cpp.llama_model_default_params()
        # Built for a processor with AMX it would end this process; see `engines.llamacpp`.
        model_params.use_extra_bufts = b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()
        self._model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
        assert self._model
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = context
        params.n_ubatch = 512
        params.n_threads = params.n_threads_batch = threads
        params.n_seq_max = 1
        if is_exact:  # flash attention would round queries to halves
            params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
            params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        assert self._context
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

    def logits(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """Logits after each token of a fresh sequence, shape (tokens, vocabulary)."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i] = token, i
            batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 1, 0, 1
        assert llama_cpp.llama_decode(self._context, batch) == 0
        llama_cpp.llama_batch_free(batch)
        flat = llama_cpp.llama_get_logits(self._context)
        shape = (len(tokens), self.vocab_size)
        return np.ctypeslib.as_array(flat, shape=shape).copy()

    def tokenize(self, text: str) -> list[int]:
        vocab = llama_cpp.llama_model_get_vocab(self._model)
        data = text.encode()
        tokens = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(vocab, data, len(data), tokens, len(tokens), False, False)
        return list(tokens[:count])

    def close(self) -> None:
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)
