"""Where every setting comes from: flags, then MYNA_*, then myna.toml, then defaults. Read by `cli` and
`app` alone; below them there are plain values."""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from myna.core.errors import ConfigurationError

AliasKind = Literal["alias", "instruct"]
Parser = Callable[[object, Path], object]

DEFAULT_MODEL: Final = "qwen2.5-coder-0.5b-instruct"
MAX_NAME: Final = 256  # characters of a model's id, as requests may name it
# Read before or beside the settings, so no setting of their own: the file to read, the tests' models.
OTHER_VARIABLES: Final = ("MYNA_CONFIG", "MYNA_TEST_MODELS")


@dataclass(frozen=True, slots=True)
class AliasSetting:
    """`name` answers as `target` ("" is the default model); `instruct` wraps raw prompts in its template."""

    name: str
    target: str
    kind: AliasKind


@dataclass(frozen=True, slots=True)
class PriceSetting:
    """What a model's tokens cost, in dollars a million; cached prompt tokens apart."""

    model: str
    prompt: float
    cached: float
    completion: float


@dataclass(frozen=True, slots=True)
class ModelSetting:
    """A model file of the user's own, served under `id`."""

    id: str
    path: Path


# --- parsers: a raw value (text, or TOML's own type) and the folder that relative paths start from ---


def _text(raw: object, base: Path) -> str:
    if not isinstance(raw, str):
        raise ValueError("text in quotes")
    return raw


def _flag(raw: object, base: Path) -> bool:
    if isinstance(raw, bool):
        return raw
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False}
    words |= {"off": False, "": False}
    if str(raw).lower() not in words:
        raise ValueError("true or false")
    return words[str(raw).lower()]


def _whole(low: int, high: int) -> Parser:
    def parse(raw: object, base: Path) -> int:
        try:
            value = int(raw) if isinstance(raw, str) else raw
        except ValueError:
            value = None
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return parse


def _scaled(units: Mapping[str, int], what: str) -> Callable[[object], float]:
    def parse(raw: object) -> float:
        words = str(raw).strip().lower()
        unit = words.lstrip("0123456789.")
        try:
            number = float(words[: len(words) - len(unit)])
        except ValueError:
            raise ValueError(what) from None
        if unit.strip() not in units or isinstance(raw, bool):
            raise ValueError(what)
        return number * units[unit.strip()]

    return parse


_BYTE_UNITS: Final = {
    unit + tail: 1024**power
    for power, unit in enumerate(["", "k", "m", "g", "t"])
    for tail in ("", "b", "ib")
    if unit or tail != "ib"
}
_bytes_scaled = _scaled(_BYTE_UNITS, 'a size such as "4G" or "512M"')
_seconds_scaled = _scaled({"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}, 'a time such as "30s" or "5m"')


def _bytes(raw: object, base: Path) -> int:
    return int(_bytes_scaled(raw))


def _seconds(raw: object, base: Path) -> float:
    return _seconds_scaled(raw)


def _names(raw: object, base: Path) -> tuple[str, ...]:
    items = [part.strip() for part in raw.split(",")] if isinstance(raw, str) else raw
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError("a list of names")
    return tuple(item for item in items if item)


def _networks(raw: object, base: Path) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(name, strict=False)) for name in _names(raw, base))
    except ValueError:
        raise ValueError('a list of addresses or networks, such as "10.0.0.0/8"') from None


def _root_path(raw: object, base: Path) -> str:
    path = _text(raw, base).rstrip("/")
    if path and re.fullmatch(r"(/[A-Za-z0-9_.~-]+)+", path) is None:
        raise ValueError('a path such as "/llm"')
    return path


def _one_of(*allowed: str) -> Parser:
    def parse(raw: object, base: Path) -> str:
        if raw not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return str(raw)

    return parse


def _path(raw: object, base: Path) -> Path:
    return base / Path(_text(raw, base)).expanduser()


def _optional_path(raw: object, base: Path) -> Path | None:
    return _path(raw, base) if raw else None


def _table(raw: object) -> dict[str, object]:
    """A TOML table, or `name=value,name=value` from the environment."""
    if isinstance(raw, str):
        pairs = [part.split("=", 1) for part in raw.split(",") if part.strip()]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("name=value pairs with commas between them")
        names = [name.strip() for name, _ in pairs]
        if len(set(names)) < len(names):
            raise ValueError("each name once")
        return {name.strip(): value.strip() for name, value in pairs}
    if not isinstance(raw, dict):
        raise ValueError("a table")
    if not all(0 < len(name) <= MAX_NAME and name.isprintable() for name in raw):
        raise ValueError(f"names of 1 to {MAX_NAME} visible characters")
    return raw


def _models(raw: object, base: Path) -> tuple[ModelSetting, ...]:
    return tuple(ModelSetting(name, _path(value, base)) for name, value in _table(raw).items())


def _aliases(raw: object, base: Path) -> tuple[AliasSetting, ...]:
    return tuple(_alias(name, value) for name, value in _table(raw).items())


def _alias(name: str, value: object) -> AliasSetting:
    if isinstance(value, str):
        return AliasSetting(name, value, "alias")
    if isinstance(value, dict) and set(value) <= {"model", "kind"}:
        kind = value.get("kind", "alias")
        if kind in ("alias", "instruct"):
            return AliasSetting(name, _text(value.get("model", ""), Path()), kind)
    raise ValueError('a model\'s id, or { model = "...", kind = "instruct" }')


def _prices(raw: object, base: Path) -> tuple[PriceSetting, ...]:
    return tuple(_price(name, value) for name, value in _table(raw).items())


def _price(name: str, value: object) -> PriceSetting:
    """A table, or `prompt/completion` from the environment. Cached tokens cost as others do, unless told."""
    if isinstance(value, str):
        value = dict(zip(("prompt", "completion"), value.split("/"), strict=False))
    allowed = {"prompt", "cached", "completion"}
    if isinstance(value, dict) and allowed - {"cached"} <= set(value) <= allowed:
        numbers = {key: _dollars(number) for key, number in value.items()}
        return PriceSetting(
            name, numbers["prompt"], numbers.get("cached", numbers["prompt"]), numbers["completion"]
        )
    raise ValueError("{ prompt = 0.1, cached = 0.05, completion = 0.4 }, dollars a million tokens")


def _dollars(raw: object) -> float:
    try:
        number = float(raw) if isinstance(raw, str | int | float) and not isinstance(raw, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1e6:
        raise ValueError("dollars a million tokens, from 0 to 1000000")
    return number


def _setting(default: Any, parse: Parser, doc: str, *, key: str = "") -> Any:
    return field(default=default, metadata={"parse": parse, "doc": doc, "key": key})


def default_home(environ: Mapping[str, str]) -> Path:
    data = environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "myna"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. A field's attribute carries its unit; its key is what users write."""

    home: Path = _setting(
        Path(), _path, "Folder of the models and the key. Default: `~/.local/share/myna` (XDG_DATA_HOME)."
    )
    model: str = _setting(
        DEFAULT_MODEL, _text, "The default model: an id from `myna models`, or the path of a GGUF file."
    )
    models: tuple[ModelSetting, ...] = _setting(
        (), _models, "Your own GGUF files by id: a table in myna.toml, `id=path,id=path` elsewhere."
    )
    aliases: tuple[AliasSetting, ...] = _setting(
        (), _aliases, 'More names for models: `name = "id"`, or `{ model = "id", kind = "instruct" }`.'
    )
    mirror: Path | None = _setting(
        None, _optional_path, "Folder to copy catalog models from before any network source is asked."
    )
    database: str = _setting(
        "", _text, "Where keys, limits and completions are kept: a database's URL; empty: a file in `home`."
    )
    usage: bool = _setting(True, _flag, "Keep a row of every request in the ledger; see docs/usage.md.")
    usage_days: int = _setting(
        90, _whole(0, 36500), "Rows of the ledger that are older become sums of their hour; 0: never."
    )
    prices: tuple[PriceSetting, ...] = _setting(
        (), _prices, "Dollars a million tokens by model, so that usage shows what it costs."
    )
    traces: str = _setting(
        "", _text, "URL of an OpenTelemetry collector, such as http://localhost:4318/v1/traces; empty: none."
    )
    metrics: bool = _setting(True, _flag, "Count for GET /metrics; see docs/metrics.md.")
    engine: str = _setting(
        "auto",
        _one_of("auto", "native", "llamacpp", "fake"),
        "What runs the model; `auto` takes native where it can run the file, else llamacpp.",
    )
    context_tokens: int = _setting(
        0, _whole(0, 1 << 24), "Longest prompt plus answer, in tokens; 0: the model's own.", key="context"
    )
    threads: int = _setting(0, _whole(0, 4096), "Threads of the engine; 0: as many as the process may use.")
    memory_bytes: int = _setting(
        0, _bytes, 'Room for the KV cache, such as "2G"; 0: a quarter of what is free.', key="memory"
    )
    models_bytes: int = _setting(
        0,
        _bytes,
        'Memory of all loaded models together, such as "12G"; 0: what the machine or its control group has.',
        key="models_memory",
    )
    idle_s: float = _setting(
        900.0,
        _seconds,
        "How long a model other than the default stays loaded unasked; 0: until another needs its room.",
        key="idle",
    )
    host: str = _setting("127.0.0.1", _text, "Address to listen on.")
    port: int = _setting(8000, _whole(0, 65535), "Port to listen on; 0: any free one.")
    api_key: str = _setting("", _text, "The key that clients send; empty: the one in the key file.")
    secret: str = _setting(
        "", _text, "The secret by which keys are hashed, 32 characters or more; empty: the one in a file."
    )
    no_auth: bool = _setting(False, _flag, "Ask for no key; on a loopback address alone.")
    allowed_hosts: tuple[str, ...] = _setting(
        (), _names, "More values of the Host header to accept, beside the address itself and localhost."
    )
    cors_origins: tuple[str, ...] = _setting(
        (), _names, "Origins whose pages may call the API from a browser; none by default."
    )
    tls_cert: Path | None = _setting(
        None, _optional_path, "Certificate chain, as PEM; with it and `tls_key` the server speaks HTTPS."
    )
    tls_key: Path | None = _setting(None, _optional_path, "The certificate's key, as unencrypted PEM.")
    root_path: str = _setting(
        "", _root_path, "Path under which a proxy shows the server, such as `/llm`; empty: none."
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (), _networks, "Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed."
    )
    max_body_bytes: int = _setting(
        16 << 20, _bytes, "Largest request body; over it is a 413.", key="max_body"
    )
    max_queue: int = _setting(
        256, _whole(1, 1 << 20), "Requests that may wait for a model; the next gets a 503."
    )
    max_answer_tokens: int = _setting(
        16384,
        _whole(0, 1 << 24),
        "Most tokens of an answer, thought included; over it is a 400. 0: as the context allows.",
        key="max_answer",
    )
    drain_s: float = _setting(
        30.0, _seconds, "How long running requests may go on after Ctrl-C or SIGTERM.", key="drain"
    )
    log_level: str = _setting(
        "info", _one_of("debug", "info", "warning", "error"), "What the log shows at least."
    )
    log_format: str = _setting("text", _one_of("text", "json"), "One line a request: for people, or as JSON.")

    @property
    def database_url(self) -> str:
        """The database of everything that is kept."""
        return self.database or f"sqlite:///{self.home / 'myna.db'}"


def key_of(setting: "Field[Any]") -> str:
    """The name that users write: in myna.toml as it is, in the environment as MYNA_<KEY>."""
    return str(setting.metadata["key"] or setting.name)


def config_path(environ: Mapping[str, str], directory: Path) -> Path | None:
    """The file to read: MYNA_CONFIG, else ./myna.toml, else the user's own, else none."""
    if named := environ.get("MYNA_CONFIG"):
        return directory / Path(named).expanduser()
    config = Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    candidates = [directory / "myna.toml", config / "myna" / "myna.toml"]
    return next((path for path in candidates if path.is_file()), None)


def load_settings(
    flags: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """Read all sources once. `flags` maps keys to values; None there means not given.

    Raises `ConfigurationError` for an unknown name (with the nearest right one) or a wrong value.
    """
    environ = os.environ if environ is None else environ
    directory = Path.cwd() if directory is None else directory
    known = {key_of(setting): setting for setting in fields(Settings)}
    values: dict[str, object] = {"home": default_home(environ)}
    path = config_path(environ, directory)
    for key, raw in (_read_toml(path) if path else {}).items():
        name = _check_name(key, list(known), f"{path}")
        values[known[name].name] = _parse(known[name], raw, path.parent if path else directory, f"{path}")
    by_variable = {f"MYNA_{key.upper()}": key for key in known}
    for variable, text in environ.items():
        if variable.startswith("MYNA_") and variable not in OTHER_VARIABLES:
            key = by_variable[_check_name(variable, list(by_variable), "the environment")]
            if text:  # an empty variable, as in a compose file, is one that is not set
                values[known[key].name] = _parse(known[key], text, directory, variable)
    for key, raw in (flags or {}).items():
        if raw is not None:
            values[known[key].name] = _parse(known[key], raw, directory, f"--{key.replace('_', '-')}")
    return Settings(**values)  # type: ignore[arg-type]


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigurationError(f"Can't read the configuration {path}: {exc.strerror}.") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path} is not valid TOML: {exc}.") from exc


def _check_name(name: str, known: list[str], where: str) -> str:
    if name in known:
        return name
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}."
    raise ConfigurationError(f"{where} sets {name}, which is no setting of Myna's; {hint}")


def _parse(setting: "Field[Any]", raw: object, base: Path, where: str) -> object:
    try:
        return setting.metadata["parse"](raw, base)
    except ValueError as exc:
        shown = "" if setting.name in ("api_key", "secret") else f", not {raw!r}"
        raise ConfigurationError(f"{where}: {key_of(setting)} takes {exc}{shown}.") from exc
