"""What steps of the native engine take, without a clock: products, bytes and operations as it counts them,
and instructions as callgrind does (which knows no AVX-512 yet, so the AVX2 kernels are counted).

    PYTHONPATH=src:. python -m tests.engines.native_cost --record    rewrite tests/data/native_cost.json
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

RECORD = Path(__file__).parent.parent / "data" / "native_cost.json"
MODELS = ("smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "gemma-3-270m")
COUNTED_MODEL = MODELS[0]
STEPS = {"decode": [1], "batch of 8": [1] * 8, "prompt of 128": [128]}
# Sizes of rows that are counted together: one prompt of 32 tokens, and four decodes.
_COUNTED = ([32], [1] * 4)
_TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)


def work(path: Path) -> dict[str, dict[str, int]]:
    """What each kind of step takes, as the engine counts it."""
    from myna.engines.base import BatchRow
    from myna.engines.native import load

    engine, found = load(str(path), context_tokens=256, memory_bytes=64 << 20, threads=1), {}
    for name, sizes in STEPS.items():
        before = engine.work
        engine.forward([BatchRow(i, [7] * size, 0, size - 1) for i, size in enumerate(sizes)])
        after = engine.work
        found[name] = {field: getattr(after, field) - getattr(before, field) for field in after._fields}
        for sequence in range(len(sizes)):
            engine.free(sequence)
    engine.close()
    return found


def instructions(path: Path) -> dict[str, int]:
    """Of a prompt of 32 tokens and of one decode after it, with the AVX2 kernels and one thread."""
    with tempfile.TemporaryDirectory() as folder:
        # Each call of the C library's getppid ends a part of the count.
        options = ["--tool=callgrind", f"--callgrind-out-file={folder}/count", "--dump-before=getppid"]
        environ = {"MYNA_CPU": "avx2", "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
        environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's idle threads would be counted
        # Coverage would be counted too, where it measures the tests' processes.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        run = subprocess.run(
            ["valgrind", *options, sys.executable, __file__, str(path)],
            env=inherited | environ,
            capture_output=True,
            text=True,
            check=False,
        )
        parts = [Path(folder, f"count.{number}") for number in range(1, len(_COUNTED) + 2)]
        assert run.returncode == 0 and all(part.exists() for part in parts), run.stderr[-2000:]
        _, prompt, decodes = (_total(part) for part in parts)
    return {"prompt of 32": prompt, "decode": decodes // len(_COUNTED[1])}


def _total(part: Path) -> int:
    found = _TOTAL.search(part.read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1])


def steps(path: str) -> None:
    """The rows of one sequence, one per step; the extension alone, since it is slow under callgrind."""
    from myna import _native

    engine = _native.Engine(path, context_tokens=256, memory_bytes=64 << 20, threads=1, max_sequences=1)
    start = 0
    os.getppid()
    for sizes in _COUNTED:
        for size in sizes:
            engine.forward([0, size, start, size - 1], list(range(start + 100, start + 100 + size)))
            start += size
        os.getppid()


def record(find: Callable[[str], Path]) -> None:
    found = {
        "work": {model: work(find(model)) for model in MODELS},
        "instructions": {COUNTED_MODEL: instructions(find(COUNTED_MODEL))},
    }
    RECORD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    if sys.argv[1] == "--record":
        from tests.conftest import models_folder

        record(lambda model: models_folder() / f"{model}.gguf")
    else:
        steps(sys.argv[1])


if __name__ == "__main__":
    main()
