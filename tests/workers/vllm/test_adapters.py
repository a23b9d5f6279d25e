"""What a vLLM worker reads of LoRA adapters, and the options that it makes of them."""

import json
from pathlib import Path

import pytest

from myna.core.errors import ConfigurationError
from myna.workers.frames import WorkerSpec
from myna.workers.vllm.adapters import lora_arguments, read_adapters
from myna.workers.vllm.engine import engine_arguments

KNOWN = dict.fromkeys(("max_loras", "enforce_eager"))


def folder_of(folder: Path, rank: object, weights: bytes = b"weights") -> str:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank, "peft_type": "LORA"}))
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return str(folder)


def test_all_adapters_have_room(tmp_path: Path) -> None:
    ranks = (4, 20, 16)
    adapters = read_adapters({f"a{rank}": folder_of(tmp_path / str(rank), rank) for rank in ranks})
    assert lora_arguments(adapters) == {
        "enable_lora": True,
        "max_lora_rank": 32,
        "max_loras": 3,
        "max_cpu_loras": 3,
    }
    assert lora_arguments([]) == {}


def test_an_adapter_is_known_by_its_weights(tmp_path: Path) -> None:
    paths = {str(number): folder_of(tmp_path / str(number), 8, b"x" * (number // 2)) for number in range(3)}
    one, same, other = (adapter.digest for adapter in read_adapters(paths))
    assert one == same != other


def test_options_of_the_model_come_first(tmp_path: Path) -> None:
    adapters = read_adapters({"a": folder_of(tmp_path / "a", 8), "b": folder_of(tmp_path / "b", 8)})
    spec = WorkerSpec("vllm", "/m", options={"max_loras": 1})
    arguments = engine_arguments(spec, KNOWN, adapters, is_cpu=True)
    assert (arguments["enable_lora"], arguments["max_loras"]) == (True, 1)
    assert "enable_lora" not in engine_arguments(WorkerSpec("vllm", "/m"), KNOWN, is_cpu=True)


def test_a_folder_that_is_not_an_adapter_is_named_without_its_place(tmp_path: Path) -> None:
    folder_of(tmp_path / "text", "eight")
    folder_of(tmp_path / "wide", 513)
    folder_of(tmp_path / "flat", 0)
    (tmp_path / "bare").mkdir()
    for name, reason in (
        ("text", r"`int`, got `str`"),
        ("wide", "its rank is 513, and vLLM has room for 512"),
        ("flat", "`int` >= 1"),
        ("bare", r"no adapter_config\.json; .* as PEFT saves it"),
        ("none", "its folder is not there; correct it"),
    ):
        with pytest.raises(ConfigurationError, match=f"'{name}' can't be loaded: .*{reason}") as caught:
            read_adapters({name: str(tmp_path / name)})
        assert str(tmp_path) not in str(caught.value)
