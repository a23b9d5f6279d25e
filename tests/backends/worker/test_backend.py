"""From a model file to a running worker: what is read, which engines are tried, what is refused by name."""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.http.scripted import INFO, ScriptedGenerator
from tests.prompts.gguf_files import gguf_bytes, tiny, write

from myna.backends.worker.backend import WorkerBackend
from myna.core.backend import BackendOptions, LocalModel
from myna.core.conversation import Message
from myna.core.errors import ConfigurationError, InvalidRequest, ModelLoadFailed
from myna.core.generator import EventStream
from myna.core.requests import EmbeddingRequest
from myna.core.translatable import N_
from myna.engines import registry
from myna.scheduling.admission import QueueLimits
from myna.workers.client import State
from myna.workers.frames import WorkerSpec


@dataclass
class Worker(ScriptedGenerator):
    """A `WorkerModel` without a process."""

    state: State = State.READY
    pid: int | None = None
    is_closed: bool = False

    async def aclose(self) -> None:
        self.is_closed = True

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return [len(text)]

    async def embed(self, request: EmbeddingRequest) -> EventStream:
        raise NotImplementedError


@dataclass
class Workers:
    """A `StartWorker`. Engines in `unfit` can't run the file."""

    unfit: set[str] = field(default_factory=set)
    specs: list[WorkerSpec] = field(default_factory=list)
    limits: list[QueueLimits] = field(default_factory=list)
    started: list[Worker] = field(default_factory=list)

    async def __call__(self, spec: WorkerSpec, limits: QueueLimits) -> Worker:
        self.specs.append(spec)
        self.limits.append(limits)
        if spec.engine in self.unfit:
            raise ModelLoadFailed(f"no {spec.engine} today")
        self.started.append(Worker([], info=INFO))
        return self.started[-1]


@pytest.fixture(autouse=True)
def every_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all of them were installed; none is loaded here."""
    monkeypatch.setattr(registry, "find_spec", lambda name: True)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Every file that this process opens."""
    paths: list[str] = []
    is_on = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if is_on and event == "open":
            paths.append(str(arguments[0]))

    sys.addaudithook(note)
    yield paths
    is_on = False


def model(path: Path) -> LocalModel:
    return LocalModel("bird", path, "me", 7, path.stat().st_size if path.exists() else 0, "file")


def backend(folder: Path, engine: str = "auto", workers: Workers | None = None, **more: Any) -> WorkerBackend:
    return WorkerBackend(BackendOptions(folder, engine, **more), workers or Workers())


async def test_the_header_is_read_once_for_all_that_the_server_needs(
    tmp_path: Path, opened: list[str]
) -> None:
    path = tiny(tmp_path)
    opened.clear()
    candidate = await backend(tmp_path).prepare(model(path))
    assert opened.count(str(path)) == 1
    loaded = await candidate.load(0)
    assert candidate.size is not None
    assert (candidate.size.kv_token_bytes, candidate.size.context_tokens) == (2 * 1 * (32 + 32), 64)
    assert loaded.renderer is not None
    assert loaded.renderer.encode("a", parse_special=False)
    assert loaded.weights
    assert opened.count(str(path)) == 2  # the hash of all its bytes


async def test_the_settings_may_replace_a_models_template(tmp_path: Path) -> None:
    path, other = tiny(tmp_path, tokenizer__chat_template="{% if %}"), tmp_path / "other.jinja"
    other.write_text("{% for m in messages %}<{{ m.content }}>{% endfor %}", encoding="utf-8")
    made = backend(tmp_path, "native", chat_templates={"bird": other})
    loaded = await (await made.prepare(model(path))).load(0)
    assert loaded.renderer is not None
    ids = loaded.renderer.encode_chat([Message.of("user", "a")])
    assert ids == loaded.renderer.encode("<a>", parse_special=False)
    other.unlink()
    with pytest.raises(ModelLoadFailed, match=r"other\.jinja of 'bird' can't be read"):
        await made.prepare(model(path))


async def test_a_model_with_an_unusable_template_completes(tmp_path: Path) -> None:
    path = tiny(tmp_path, tokenizer__chat_template="{% if %}")
    loaded = await (await backend(tmp_path, "native").prepare(model(path))).load(0)
    assert loaded.renderer is not None
    assert loaded.renderer.encode("a", parse_special=False)
    with pytest.raises(InvalidRequest, match="set chat_template"):
        loaded.renderer.encode_chat([Message.of("user", "a")])


async def test_a_worker_gets_what_the_settings_say(tmp_path: Path) -> None:
    workers, path = Workers(), tiny(tmp_path)
    made = backend(
        tmp_path,
        "native",
        workers,
        context_tokens=9,
        memory_bytes=8,
        threads=7,
        max_queue=6,
        max_queue_tokens=5,
    )
    loaded = await (await made.prepare(model(path))).load(123)
    assert workers.specs == [WorkerSpec("native", str(path), 9, 8, 7, str(tmp_path / "step.lock"), 123)]
    assert workers.limits == [QueueLimits(6, 5)]
    made.change(BackendOptions(tmp_path, "native", max_queue=60, max_queue_tokens=50))
    assert workers.limits == [QueueLimits(60, 50)]  # of the worker that runs
    assert loaded.held_bytes() == 0
    assert not loaded.is_dead()
    assert isinstance(loaded.generator, Worker)
    loaded.generator.state = State.DEAD
    assert loaded.is_dead()


async def test_the_type_of_the_kv_cache_is_the_models_or_the_servers(tmp_path: Path) -> None:
    path, workers = tiny(tmp_path), Workers()
    for options, expected in (
        ({}, "auto"),
        ({"kv_cache_type": "q8_0"}, "q8_0"),
        ({"kv_cache_type": "q8_0", "kv_cache_types": {"bird": "auto"}}, "auto"),
        ({"kv_cache_types": {"bird": "q8_0", "other": "auto"}}, "q8_0"),
    ):
        candidate = await backend(tmp_path, "native", workers, **options).prepare(model(path))
        assert candidate.size is not None
        assert candidate.size.kv_token_bytes == (128 if expected == "auto" else 68)
        await candidate.load(0)
        assert workers.specs[-1].kv_cache_type == expected


async def test_a_draft_model_takes_its_part_of_the_memory(tmp_path: Path) -> None:
    workers, path = Workers(), tiny(tmp_path)
    small = write(tmp_path / "small.gguf", path.read_bytes())
    with_draft = replace(model(path), draft=replace(model(small), id="chick"))
    made = backend(tmp_path, "native", workers, memory_bytes=1000)
    candidate, alone = await made.prepare(with_draft), await made.prepare(model(path))
    await candidate.load(1000)
    lock = str(tmp_path / "step.lock")
    assert workers.specs == [
        WorkerSpec("native", str(path), 0, 500, 0, lock, 500, draft=str(small), draft_bytes=500)
    ]
    assert candidate.size is not None and alone.size is not None
    assert candidate.size.kv_token_bytes == 2 * alone.size.kv_token_bytes
    assert candidate.size.weights_bytes == 2 * alone.size.weights_bytes
    assert alone.size.process_bytes < candidate.size.process_bytes < 1.5 * alone.size.process_bytes


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"tokenizer__ggml__tokens": [*map(chr, range(33, 200)), *["x"] * 90]}, "their vocabularies differ"),
        ({"llama__pooling_type": 1}, "an embedding model neither has one nor is one"),
        ({"general__architecture": "tomorrow"}, "."),
    ],
    ids=["vocabulary", "embedding", "architecture"],
)
async def test_what_cannot_be_a_draft_model_is_refused_by_name(
    tmp_path: Path, wrong: dict[str, Any], reason: str
) -> None:
    path, folder = tiny(tmp_path), tmp_path / "elsewhere"
    folder.mkdir()
    draft = replace(model(tiny(folder, **wrong)), id="chick")
    with pytest.raises(
        ModelLoadFailed, match=f"'chick' can't be the draft model of 'bird': .*{reason}"
    ) as at:
        await backend(tmp_path, "native").prepare(replace(model(path), draft=draft))
    assert str(folder) not in at.value.message


async def test_a_missing_draft_model_is_named_without_its_place(tmp_path: Path) -> None:
    draft = replace(model(tmp_path / "elsewhere" / "gone.gguf"), id="chick")
    with pytest.raises(ModelLoadFailed, match="'chick' can't be the draft model of 'bird': ") as caught:
        await backend(tmp_path, "native").prepare(replace(model(tiny(tmp_path)), draft=draft))
    assert "elsewhere" not in caught.value.message


async def test_engines_are_tried_in_order_and_all_reasons_reported(tmp_path: Path) -> None:
    workers = Workers(unfit={"native"})
    candidate = await backend(tmp_path, workers=workers).prepare(model(tiny(tmp_path)))
    await candidate.load(0)
    assert [spec.engine for spec in workers.specs] == ["native", "llamacpp"]
    workers.unfit.add("llamacpp")
    with pytest.raises(
        ModelLoadFailed, match=r"'bird'.* native: no native today llamacpp: no llamacpp today"
    ):
        await candidate.load(0)


async def test_a_pre_tokenizer_that_nobody_here_knows_is_refused_at_load_by_name(tmp_path: Path) -> None:
    path = tiny(tmp_path, tokenizer__ggml__pre="of-tomorrow")
    with pytest.raises(
        ModelLoadFailed, match=r"'bird' .*pre-tokenizer 'of-tomorrow'.*, then choose the engine llamacpp\."
    ):
        await backend(tmp_path, "native").prepare(model(path))


@pytest.mark.parametrize("kind", ["rwkv", "plamo2"])
async def test_a_kind_of_tokenizer_that_only_its_engine_has_runs_there_or_is_refused(
    tmp_path: Path, kind: str
) -> None:
    workers, path = Workers(), tiny(tmp_path, tokenizer__ggml__model=kind)
    with pytest.raises(
        ModelLoadFailed, match=rf"tokenizer model '{kind}'.*, then choose the engine llamacpp"
    ):
        await backend(tmp_path, "native").prepare(model(path))
    await (await backend(tmp_path, workers=workers).prepare(model(path))).load(0)
    assert [spec.engine for spec in workers.specs] == ["llamacpp"]


@pytest.mark.parametrize("kind", ["none", "hybriddna", "of-tomorrow"])
async def test_a_kind_of_tokenizer_that_nobody_has_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tiny(tmp_path, tokenizer__ggml__model=kind)
    with pytest.raises(
        ModelLoadFailed, match=rf"model file 'bird' can't be used: its tokenizer model '{kind}'"
    ):
        await backend(tmp_path).prepare(model(path))


@pytest.mark.parametrize("name", ["tekken", "deepseek-coder", "gpt-4o", "llama4", "kimi-k2", "default", ""])
async def test_known_pre_tokenizers_need_no_other_engine(tmp_path: Path, name: str) -> None:
    workers, path = Workers(), tiny(tmp_path, tokenizer__ggml__pre=name)
    await (await backend(tmp_path, workers=workers).prepare(model(path))).load(0)
    assert [spec.engine for spec in workers.specs] == ["native"]


async def test_a_pre_tokenizer_of_another_s_runs_on_engines_that_tokenize(tmp_path: Path) -> None:
    workers, path = Workers(), tiny(tmp_path, tokenizer__ggml__pre="of-tomorrow")
    candidate = await backend(tmp_path, workers=workers).prepare(model(path))
    await candidate.load(0)
    assert [spec.engine for spec in workers.specs] == ["llamacpp"]


async def test_merges_that_only_an_engine_understands_lead_there_or_are_refused(tmp_path: Path) -> None:
    workers, path = Workers(), tiny(tmp_path, tokenizer__ggml__merges=["nobody knows"])
    candidate = await backend(tmp_path, workers=workers).prepare(model(path))
    loaded = await candidate.load(0)
    assert [spec.engine for spec in workers.specs] == ["native", "llamacpp"]
    assert loaded.renderer is not None
    assert await asyncio.to_thread(loaded.renderer.encode, "four", parse_special=False) == [4]
    refused = await backend(tmp_path, "native", workers).prepare(model(path))
    with pytest.raises(ModelLoadFailed, match=r"'bird' .*merges.*, then choose the engine llamacpp\."):
        await refused.load(0)
    assert [worker.is_closed for worker in workers.started] == [True, False, True]


async def test_a_worker_that_cannot_load_ends_the_tokenizers_making(tmp_path: Path) -> None:
    workers = Workers(unfit={"native"})
    path = tiny(tmp_path, tokenizer__ggml__merges=["nobody knows"])
    candidate = await backend(tmp_path, "native", workers).prepare(model(path))
    with pytest.raises(ModelLoadFailed, match="no native today"):
        await candidate.load(0)
    assert not workers.started


async def test_a_later_file_of_a_split_model_names_the_first(tmp_path: Path) -> None:
    path = write(tmp_path / "m-00002-of-00003.gguf", gguf_bytes({"split.count": 3, "split.no": 1}))
    with pytest.raises(ModelLoadFailed, match=r"shard 2 of 3; open the one named …-00001-of-00003\.gguf"):
        await backend(tmp_path).prepare(model(path))


async def test_a_file_that_is_not_a_model_or_is_gone_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "pointer.gguf", b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelLoadFailed, match=r"'bird' can't be used: it is not a GGUF file"):
        await backend(tmp_path).prepare(model(path))
    with pytest.raises(ModelLoadFailed, match=r"'bird' can't be read"):
        await backend(tmp_path).prepare(model(tmp_path / "gone.gguf"))


async def test_a_client_reads_the_model_s_id_and_the_log_has_its_path(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = tiny(tmp_path, split__count=2, split__no=0).rename(tmp_path / "m-00001-of-00002.gguf")
    with pytest.raises(ModelLoadFailed, match=r"'bird' is split into 2 files, and m-00002-of-") as missing:
        await backend(tmp_path).prepare(model(first))
    broken = write(tmp_path / "broken.gguf", b"GGUF")
    with pytest.raises(ModelLoadFailed, match="'bird' can't be used") as caught:
        await backend(tmp_path).prepare(model(broken))

    async def fails(spec: WorkerSpec, limits: QueueLimits) -> Worker:
        raise ModelLoadFailed(N_("{path} can't be loaded: {reason}.", path=spec.path, reason=f"{spec.path}!"))

    candidate = await WorkerBackend(BackendOptions(tmp_path, "auto"), fails).prepare(model(tiny(tmp_path)))
    with pytest.raises(ModelLoadFailed, match="native: 'bird' can't be loaded: 'bird'!") as failed:
        await candidate.load(0)
    for error in (missing, caught, failed):
        assert str(tmp_path) not in error.value.message
    for name in (first, broken, tmp_path / "tiny.gguf"):
        assert str(name) in caplog.text


async def test_the_fake_engine_reads_no_file(tmp_path: Path) -> None:
    workers = Workers()
    candidate = await backend(tmp_path, "fake", workers).prepare(model(tmp_path / "nothing"))
    loaded = await candidate.load(0)
    assert [spec.engine for spec in workers.specs] == ["fake"]
    assert loaded.renderer is not None
    assert loaded.renderer.decode(loaded.renderer.encode("hello", parse_special=False)) == "hello"


def test_a_missing_engine_is_reported_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend(tmp_path).check()
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError):
        backend(tmp_path).check()
    assert [finding.state for finding in backend(tmp_path).findings()] == ["wrong"]
