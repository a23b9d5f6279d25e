"""The kinds of values that settings have, and how each is parsed from text or TOML."""

import contextlib
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from myna.core.backend import KV_CACHE_TYPES, Section
from myna.core.paths import expand_user
from myna.core.sampling_defaults import NO_DEFAULTS, OPENAI, SamplingDefaults, read_defaults
from myna.core.translatable import N_
from myna.core.units import parse_bytes, parse_seconds

AliasKind = Literal["alias", "instruct"]
# Takes a raw value (text, or TOML's own type) and the folder that relative paths start from. Raises
# ValueError with what is accepted, as a `Translatable`.
Parser = Callable[[object, Path], object]

MAX_NAME: Final = 256  # characters of a model's id, as requests may name it


@dataclass(frozen=True, slots=True)
class AliasSetting:
    """`name` answers as `target` ("" is the default model); `instruct` wraps raw prompts in its template.
    With `adapter`, the folder of a LoRA adapter, it answers as the model `target` with that."""

    name: str
    target: str
    kind: AliasKind
    adapter: Path | None = None


@dataclass(frozen=True, slots=True)
class PromptSetting:
    """The embedding `model` also answers as `model:name`, with `prefix` before each text."""

    model: str
    name: str
    prefix: str


@dataclass(frozen=True, slots=True)
class PriceSetting:
    """Prices of a model's tokens in dollars per million; cached prompt tokens have their own."""

    model: str
    prompt: float
    cached: float
    completion: float


@dataclass(frozen=True, slots=True)
class DefaultsSetting:
    """Sampling defaults that take precedence over those of files and the catalog."""

    all: SamplingDefaults = NO_DEFAULTS
    models: tuple[tuple[str, SamplingDefaults], ...] = ()

    def of(self, model: str) -> SamplingDefaults:
        return dict(self.models).get(model, self.all)


PUBLISHED: Final = DefaultsSetting()


@dataclass(frozen=True, slots=True)
class ModelSetting:
    """A model file of the user's own, served under `id`; or, without `path`, a setting of another model.
    `chat_template` is a file that replaces the model's own template, `draft` the id of a smaller model that
    proposes tokens to it, `vllm` are options of vLLM's, by name. `kv_cache_type` is "" if it isn't set."""

    id: str
    path: Path | None
    chat_template: Path | None = None
    vllm: Mapping[str, object] = field(default_factory=dict)
    draft: str = ""
    kv_cache_type: str = ""


def text(raw: object, base: Path) -> str:
    if not isinstance(raw, str) or "\0" in raw:
        raise ValueError(N_("text in quotes"))
    return raw


def flag(raw: object, base: Path) -> bool:
    if isinstance(raw, bool):
        return raw
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False}
    words |= {"off": False, "": False}
    if str(raw).lower() not in words:
        raise ValueError(N_("true or false"))
    return words[str(raw).lower()]


def whole(low: int, high: int) -> Parser:
    def parse(raw: object, base: Path) -> int:
        try:
            value = int(raw) if isinstance(raw, str) else raw
        except ValueError:
            value = None
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(N_("a whole number from {low} to {high}", low=low, high=high))
        return value

    return parse


def num_bytes(raw: object, base: Path) -> int:
    return int(parse_bytes(raw))


def seconds(raw: object, base: Path) -> float:
    return parse_seconds(raw)


def fraction(raw: object, base: Path) -> float:
    try:
        value = float(raw) if isinstance(raw, str | int | float) and not isinstance(raw, bool) else -1.0
    except (ValueError, OverflowError):
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(N_("a number from 0 to 1"))
    return value


def names(raw: object, base: Path) -> tuple[str, ...]:
    items = [part.strip() for part in raw.split(",")] if isinstance(raw, str) else raw
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError(N_("a list of names"))
    return tuple(item for item in items if item)


def networks(raw: object, base: Path) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(name, strict=False)) for name in names(raw, base))
    except ValueError:
        raise ValueError(N_('a list of addresses or networks, such as "10.0.0.0/8"')) from None


def root_path(raw: object, base: Path) -> str:
    path = text(raw, base).rstrip("/")
    if path and re.fullmatch(r"(/[A-Za-z0-9_.~-]+)+", path) is None:
        raise ValueError(N_('a path such as "/llm"'))
    return path


def one_of(*allowed: str) -> Parser:
    def parse(raw: object, base: Path) -> str:
        if raw not in allowed:
            raise ValueError(N_("one of {allowed}", allowed=", ".join(allowed)))
        return str(raw)

    return parse


def path(raw: object, base: Path) -> Path:
    written = text(raw, base)
    found = expand_user(written)
    if written.startswith("~") and str(found).startswith("~"):  # a file of such a name is written ./~name
        raise ValueError(N_("a path whose home folder exists"))
    return base / found


def optional_path(raw: object, base: Path) -> Path | None:
    return path(raw, base) if raw else None


def _table(raw: object) -> dict[str, object]:
    """A TOML table, or `name=value,name=value` from the environment."""
    if isinstance(raw, str):
        pairs = [part.split("=", 1) for part in raw.split(",") if part.strip()]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(N_("name=value pairs separated by commas"))
        names = [name.strip() for name, _ in pairs]
        if len(set(names)) < len(names):
            raise ValueError(N_("each name once"))
        return {name.strip(): value.strip() for name, value in pairs}
    if not isinstance(raw, dict):
        raise ValueError(N_("a table"))
    if not all(0 < len(name) <= MAX_NAME and name.isprintable() for name in raw):
        raise ValueError(N_("names of 1 to {length} visible characters", length=MAX_NAME))
    return raw


def section(raw: object, base: Path) -> Section | None:
    """A table that a backend reads for itself."""
    if isinstance(raw, str):
        raise ValueError(N_("a table in myna.toml"))
    values = _table(raw)
    return Section(values, base) if values else None


def models(raw: object, base: Path) -> tuple[ModelSetting, ...]:
    return tuple(_model(name, value, base) for name, value in _table(raw).items())


def _model(name: str, value: object, base: Path) -> ModelSetting:
    if isinstance(value, str):
        return ModelSetting(name, path(value, base))
    known = {"path", "chat_template", "draft", "vllm", "kv_cache_type"}
    if isinstance(value, dict) and value and set(value) <= known:
        file, template = (
            path(value[key], base) if key in value else None for key in ("path", "chat_template")
        )
        draft = text(value.get("draft", ""), base)
        cache = value.get("kv_cache_type", "")
        if cache and not (isinstance(cache, str) and cache in KV_CACHE_TYPES):
            raise ValueError(N_("for kv_cache_type one of {allowed}", allowed=", ".join(KV_CACHE_TYPES)))
        return ModelSetting(
            name, file, template, vllm=_table(value.get("vllm", {})), draft=draft, kv_cache_type=cache
        )
    raise ValueError(
        N_(
            'a GGUF file or a folder, or { path = "...", chat_template = "...", draft = "...", '
            'kv_cache_type = "q8_0", vllm = { … } }'
        )
    )


def aliases(raw: object, base: Path) -> tuple[AliasSetting, ...]:
    return tuple(_alias(name, value, base) for name, value in _table(raw).items())


def _alias(name: str, value: object, base: Path) -> AliasSetting:
    if isinstance(value, str):
        return AliasSetting(name, value, "alias")
    if isinstance(value, dict) and set(value) <= {"model", "kind", "adapter"}:
        kind, target = value.get("kind", "alias"), text(value.get("model", ""), Path())
        adapter = path(value["adapter"], base) if "adapter" in value else None
        if kind in ("alias", "instruct") and (target or adapter is None):
            return AliasSetting(name, target, kind, adapter)
    raise ValueError(
        N_('a model\'s id, or { model = "...", kind = "instruct" }, or { model = "...", adapter = "..." }')
    )


def prompts(raw: object, base: Path) -> tuple[PromptSetting, ...]:
    if isinstance(raw, str):
        raise ValueError(N_("a table in myna.toml"))
    return tuple(
        PromptSetting(model, name, text(prefix, base))
        for model, prefixes in _table(raw).items()
        for name, prefix in _table(prefixes).items()
    )


def defaults(raw: object, base: Path) -> DefaultsSetting:
    """A word for all models, or a table with a word or a table of values by model."""
    if isinstance(raw, str) and "=" not in raw:
        return DefaultsSetting(_model_defaults(raw))
    return DefaultsSetting(
        models=tuple((name, _model_defaults(value)) for name, value in _table(raw).items())
    )


def _model_defaults(value: object) -> SamplingDefaults:
    if value in ("model", "openai"):
        return OPENAI if value == "openai" else NO_DEFAULTS
    if isinstance(value, dict):
        with contextlib.suppress(ValueError):
            return read_defaults(value)
    raise ValueError(N_('"model", "openai", or by model one of these or { temperature = 0.7, top_p = 0.8 }'))


def prices(raw: object, base: Path) -> tuple[PriceSetting, ...]:
    return tuple(_price(name, value) for name, value in _table(raw).items())


def _price(name: str, value: object) -> PriceSetting:
    """A table, or `prompt/completion` from the environment. Cached tokens default to the price of others."""
    if isinstance(value, str):
        value = dict(zip(("prompt", "completion"), value.split("/"), strict=False))
    allowed = {"prompt", "cached", "completion"}
    if isinstance(value, dict) and allowed - {"cached"} <= set(value) <= allowed:
        numbers = {key: _dollars(number) for key, number in value.items()}
        return PriceSetting(
            name, numbers["prompt"], numbers.get("cached", numbers["prompt"]), numbers["completion"]
        )
    raise ValueError(N_("{ prompt = 0.1, cached = 0.05, completion = 0.4 }, in dollars per million tokens"))


def _dollars(raw: object) -> float:
    try:
        number = float(raw) if isinstance(raw, str | int | float) and not isinstance(raw, bool) else -1.0
    except (ValueError, OverflowError):
        number = -1.0
    if not 0 <= number <= 1e6:
        raise ValueError(N_("dollars per million tokens, from 0 to 1000000"))
    return number
