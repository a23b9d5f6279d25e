"""What `model_size` predicts is what workers take: every architecture's weights to the byte or nearly, and
whole processes within a tenth."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest
from tests.engines.architectures import LAYOUTS
from tests.engines.gemma_layouts import gemma4
from tests.engines.layouts import Mixture
from tests.engines.tiny_encoders import TinyEncoder, write_tiny_encoder
from tests.engines.tiny_models import Kind, Tiny, byte_level, write_hollow

from myna.backends.worker.draft_file import Pair, with_draft
from myna.backends.worker.loaded_model import start_worker
from myna.backends.worker.model_size import model_size
from myna.catalog.memory_planner import MIN_STATES, memory_need
from myna.core.backend import LocalModel
from myna.core.constraints import TextChoice
from myna.core.requests import EmbeddingRequest, GenerationRequest
from myna.prompts.gguf import read_header
from myna.prompts.token_pieces import TokenKind
from myna.scheduling.admission import QueueLimits
from myna.workers.frames import WorkerSpec

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

CONTEXT = 512
VOCABULARY = byte_level({"<|end|>": TokenKind.CONTROL}, bos="<|end|>", eos="<|end|>")
Write = Callable[[Path], Path]
MODELS: dict[str, Write] = {
    # Tensors of latent attention are narrower than the blocks of quantised types.
    name: partial(
        write_hollow, tiny=Tiny(name, scale=8, weights=Kind.F16 if name == "deepseek2" else Kind.Q8_0)
    )
    for name in LAYOUTS
}
MODELS["gemma4 with inputs"] = partial(
    write_hollow, tiny=Tiny("gemma4", scale=8, variant=gemma4(96, shared=3, inputs=512))
)
MODELS["layers that guess"] = partial(
    write_hollow, tiny=Tiny("glm4moe", scale=8, metadata={"nextn_predict_layers": 1})
)
for name in ("bert", "nomic-bert", "gemma-embedding", "qwen3"):
    tiny = TinyEncoder(name, head_dim=128, is_joined="bert" in name, scale=8)
    MODELS[f"{name} that embeds"] = partial(write_tiny_encoder, tiny=tiny)

# Loads each file and prints the memory that it took, without huge pages, which are only taken as a whole.
LOADER = """
import ctypes, json, sys
from myna.engines.native import load
from myna.engines.native_embedding import load as load_embedder

PR_SET_THP_DISABLE = 41

def held():
    with open("/proc/self/smaps_rollup") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("Anonymous:"))

ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
for line in sys.stdin:
    path, memory_bytes, embeds = json.loads(line)
    before = held()
    engine = (load_embedder if embeds else load)(path, context_tokens=0, memory_bytes=memory_bytes, threads=1)
    print(json.dumps([held() - before, engine.info.kv_tokens]))
    engine.close()
"""


def test_weights_and_cells_take_what_is_predicted(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.gguf") for name, write in MODELS.items()]
    sizes = [model_size(read_header(path), [path], is_packed=True) for path in files]
    lines = [
        json.dumps([str(path), size.cache_bytes(size.context_tokens, 0), "embeds" in path.name])
        for path, size in zip(files, sizes, strict=True)
    ]
    loader = subprocess.run(
        [sys.executable, "-c", LOADER], input="\n".join(lines), stdout=subprocess.PIPE, text=True, check=True
    )
    found: list[list[int]] = [json.loads(line) for line in loader.stdout.splitlines()]
    for path, size, (num_bytes, kv_tokens) in zip(files, sizes, found, strict=True):
        assert num_bytes == pytest.approx(size.weights_bytes, rel=0.1), path.name
        if size.kv_token_bytes and not size.state_bytes:
            assert kv_tokens == size.context_tokens, path.name


WHOLE: dict[str, Write] = {
    name: partial(write_hollow, tiny=tiny)
    for name, tiny in {
        # As in real mixtures, a row needs few of the experts.
        "a mixture": Tiny(
            "qwen3moe",
            layers=6,
            scale=8,
            weights=Kind.Q8_0,
            mixture=Mixture(experts=64, used=2),
            overrides=VOCABULARY,
        ),
        "a model with a draft model": Tiny(
            "qwen3", layers=6, scale=16, weights=Kind.Q8_0, overrides=VOCABULARY
        ),
        "recurrent layers": Tiny("qwen35", scale=32, weights=Kind.Q8_0, overrides=VOCABULARY),
        "an embedding model": Tiny(
            "qwen3",
            layers=4,
            scale=32,
            weights=Kind.Q8_0,
            metadata={"pooling_type": 3, "context_length": CONTEXT},
            overrides=VOCABULARY,
        ),
    }.items()
}


DRAFT = Tiny("qwen3", layers=3, scale=16, weights=Kind.Q8_0, overrides=VOCABULARY)


def local(path: Path, draft: LocalModel | None = None) -> LocalModel:
    return LocalModel(path.stem, path, "me", 0, path.stat().st_size, "file", draft)


def held_bytes(pid: int | None) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


@pytest.mark.parametrize("name", ["gemma-3-270m", *WHOLE])
async def test_a_process_takes_what_is_predicted(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name in WHOLE:
        path = WHOLE[name](tmp_path / "model.gguf")
    else:
        path = request.getfixturevalue("model_path")(name)
    header = read_header(path)
    pair = Pair(model_size(header, [path], is_packed=True), 0.0)
    draft = None
    if name == "a model with a draft model":
        draft = write_hollow(tmp_path / "draft.gguf", tiny=DRAFT)
        pair = with_draft(local(path, local(draft)), header, pair.size, is_packed=True)
    kv_bytes = pair.size.cache_bytes(CONTEXT, MIN_STATES)
    need = memory_need(name, pair.size, context_tokens=CONTEXT, memory_bytes=kv_bytes)
    draft_bytes = int(pair.draft_part * kv_bytes)
    spec = WorkerSpec(
        "native",
        str(path),
        CONTEXT,
        kv_bytes - draft_bytes,
        2,
        str(tmp_path / "step.lock"),
        draft=str(draft or ""),
        draft_bytes=draft_bytes,
    )
    assert await taken(spec) == pytest.approx(need.min_bytes, rel=0.1)


async def test_a_process_of_llama_cpp_takes_what_is_predicted(tmp_path: Path) -> None:
    """Besides the file, which it maps: not only the KV cache."""
    words = {f"word{i}": TokenKind.NORMAL for i in range(60_000)}
    vocabulary = byte_level({**words, "<|end|>": TokenKind.CONTROL}, bos="<|end|>", eos="<|end|>")
    tiny = Tiny("llama", scale=16, weights=Kind.F16, overrides=vocabulary)  # of a type that isn't repacked
    path = write_hollow(tmp_path / "model.gguf", tiny)
    size = model_size(read_header(path), [path], is_packed=False)
    kv_bytes = size.cache_bytes(CONTEXT, MIN_STATES)
    need = memory_need("it", size, context_tokens=CONTEXT, memory_bytes=kv_bytes)
    spec = WorkerSpec("llamacpp", str(path), CONTEXT, kv_bytes, 2, str(tmp_path / "step.lock"))
    assert await taken(spec) == pytest.approx(need.min_bytes - size.weights_bytes, rel=0.1)


async def taken(spec: WorkerSpec) -> int:
    """The memory of its own that a worker has after a text that fills the cache. A constrained request waits
    for what all grammars need, which is prepared after loading."""
    async with aclosing(await start_worker(spec, QueueLimits(2, 2 * CONTEXT))) as worker:
        prompt = (5,) * (worker.info.context_tokens - 1)  # fills the cache
        if worker.info.embedding:
            streams = [await worker.embed(EmbeddingRequest("r", (prompt,)))]
        else:
            constrained = GenerationRequest("c", (5,), 1, constraint=TextChoice(("a",)))
            streams = [
                await worker.generate(request)
                for request in (constrained, GenerationRequest("r", prompt, 1, ignore_eos=True))
            ]
        for stream in streams:
            async for _ in stream:
                pass
        return held_bytes(worker.pid)
