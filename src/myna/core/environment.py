"""The environment variables that processes handling untrusted files get: none that may hold a secret."""

import re
from collections.abc import Mapping
from typing import Final

_NAMES: Final = frozenset(
    [
        "PATH",
        "HOME",
        "USER",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "TEMP",
        "TMP",
        "SYSTEMROOT",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "DYLD_LIBRARY_PATH",
        "VIRTUAL_ENV",
        "MYNA_CPU",
    ]
)
# Locale, interpreter and coverage; numeric libraries; sanitizers and the C library's allocator.
_PREFIXES: Final = (
    *("LC_", "PYTHON", "COVERAGE_"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "GGML_", "LLAMA_", "CUDA_", "RAYON_", "TOKENIZERS_"),
    *("ASAN_", "LSAN_", "TSAN_", "UBSAN_", "MALLOC_", "GLIBC_"),
)
# Some of these prefixes also begin secrets: LLAMA_API_KEY is the key of llama.cpp's server.
_SECRET: Final = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)(?:_|$)")


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a worker or a template process needs. This is an allowlist, so that variables which
    hold secrets are excluded even if they are unknown here."""
    return {
        name: value
        for name, value in environ.items()
        if name in _NAMES or (name.startswith(_PREFIXES) and not _SECRET.search(name))
    }
