"""Where every setting comes from: flags, then MYNA_*, then myna.toml, then defaults. Only `cli` and `app`
read settings; the layers below them get plain values."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from myna import setting_values as values
from myna.backends.table import engine_names
from myna.core.backend import KV_CACHE_TYPES, Section
from myna.core.errors import ConfigurationError
from myna.core.paths import expand_user
from myna.core.translatable import N_, Translatable

DEFAULT_MODEL: Final = "qwen2.5-coder-0.5b-instruct"
# Not settings, since they are read before or apart from them: the file to read, the engine's instruction set,
# the tests' models.
OTHER_VARIABLES: Final = ("MYNA_CONFIG", "MYNA_CPU", "MYNA_TEST_MODELS")


def _setting(default: Any, parse: values.Parser, doc: str, *, key: str = "") -> Any:
    return field(default=default, metadata={"parse": parse, "doc": doc, "key": key})


def default_home(environ: Mapping[str, str]) -> Path:
    """Raises `ConfigurationError` for a user without a home folder."""
    data = expand_user(environ.get("XDG_DATA_HOME") or "~/.local/share")
    if str(data).startswith("~"):
        raise ConfigurationError(
            N_("This user has no home folder, so Myna needs a folder of its own: set MYNA_HOME.")
        )
    return data / "myna"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. Attributes carry their unit; keys are what users write."""

    home: Path = _setting(
        Path(),
        values.path,
        "Folder for the models, the key and the database. Default: `~/.local/share/myna` (XDG_DATA_HOME).",
    )
    model: str = _setting(
        DEFAULT_MODEL,
        values.text,
        "The default model: an id from `myna models`, or the path of a GGUF file or of a folder of "
        "safetensors.",
    )
    models: tuple[values.ModelSetting, ...] = _setting(
        (),
        values.models,
        "Your own GGUF files or folders by id: a table in myna.toml, `id=path,id=path` elsewhere.",
    )
    aliases: tuple[values.AliasSetting, ...] = _setting(
        (),
        values.aliases,
        'Additional names for models: `name = "id"`, or `{ model = "id", kind = "instruct" }`.',
    )
    prompts: tuple[values.PromptSetting, ...] = _setting(
        (),
        values.prompts,
        "Texts that an embedding model expects before queries or documents, by model and name: "
        '`[prompts."id"]` with `query = "query: "` adds the model `id:query`.',
    )
    moderation: str = _setting(
        "",
        values.text,
        "The guard model that answers /v1/moderations: an id from `myna models` or an alias; empty: none.",
    )
    defaults: values.DefaultsSetting = _setting(
        values.PUBLISHED,
        values.defaults,
        "Sampling parameters of requests that don't set them: `model`: the publisher's; `openai`: OpenAI's; "
        "or a table of these or of values by model.",
    )
    upstreams: Section | None = _setting(
        None, values.section, "OpenAI-compatible servers whose models are offered too; see docs/upstreams.md."
    )
    fleet: Section | None = _setting(
        None, values.section, "The Ray cluster whose models are offered too; see docs/fleet.md."
    )
    engines: Section | None = _setting(
        None,
        values.section,
        "Environments of engines that have their own: `[engines.vllm]`; see docs/vllm.md.",
    )
    mirror: Path | None = _setting(
        None, values.optional_path, "Folder to copy catalog models from, tried before any network source."
    )
    database: str = _setting(
        "",
        values.text,
        "URL of the database for keys, limits and completions; empty: a file in `home`.",
    )
    stored_days: int = _setting(
        30, values.whole(0, 36500), "Days after which stored answers are deleted; 0: never."
    )
    max_stored_bytes: int = _setting(
        1 << 30,
        values.num_bytes,
        'Maximum size of a project\'s stored answers, such as "1G"; more are not stored. 0: unlimited.',
        key="max_stored",
    )
    files: Path | None = _setting(
        None,
        values.optional_path,
        "Folder for uploaded files and the results of batches; servers on one database must share it. "
        "Default: `files` in `home`.",
    )
    max_file_bytes: int = _setting(
        200 << 20, values.num_bytes, "Maximum size of an uploaded file. 0: unlimited.", key="max_file"
    )
    max_files_bytes: int = _setting(
        10 << 30,
        values.num_bytes,
        "Maximum size of a project's files; uploads beyond it are rejected. 0: unlimited.",
        key="max_files",
    )
    batch_requests: int = _setting(
        32, values.whole(1, 1024), "Number of requests of batches that run at once, behind all others."
    )
    batch_price: float = _setting(
        0.5, values.fraction, "What requests of batches cost, as a part of the model's price: 0 to 1."
    )
    usage: bool = _setting(True, values.flag, "Record every request in the ledger; see docs/usage.md.")
    usage_days: int = _setting(
        90, values.whole(0, 36500), "Days after which ledger rows are aggregated by hour; 0: never."
    )
    prices: tuple[values.PriceSetting, ...] = _setting(
        (), values.prices, "Price per model in dollars per million tokens, so that usage shows costs."
    )
    traces: str = _setting(
        "",
        values.text,
        "URL of an OpenTelemetry collector, such as http://localhost:4318/v1/traces; empty: none.",
    )
    metrics: bool = _setting(True, values.flag, "Collect metrics for GET /metrics; see docs/metrics.md.")
    engine: str = _setting(
        "auto",
        values.one_of(*engine_names()),
        "Engine that runs the model; `auto`: native if it can run the file, else llamacpp; vllm for folders.",
    )
    context_tokens: int = _setting(
        0,
        values.whole(0, 1 << 24),
        "Maximum length of prompt plus answer, in tokens; 0: the model's own.",
        key="context",
    )
    threads: int = _setting(
        0, values.whole(0, 4096), "Number of threads of the engine; 0: as many as the process may use."
    )
    memory_bytes: int = _setting(
        0,
        values.num_bytes,
        'Memory for the KV cache, such as "2G"; 0: a quarter of what is free.',
        key="memory",
    )
    kv_cache_type: str = _setting(
        "auto",
        values.one_of(*KV_CACHE_TYPES),
        "How the KV cache stores numbers; `auto`: in 16 bits; `q8_0`: in 8, so that almost twice as many "
        "tokens fit.",
    )
    prefix_cache_bytes: int = _setting(
        0,
        values.num_bytes,
        'Disk space per model for computed prompts, such as "4G", which then survive restarts; 0: none.',
        key="prefix_cache",
    )
    models_bytes: int = _setting(
        0,
        values.num_bytes,
        'Memory for all loaded models together, such as "12G"; 0: what the machine or its control group has.',
        key="models_memory",
    )
    idle_s: float = _setting(
        900.0,
        values.seconds,
        "How long a model other than the default stays loaded while idle; 0: until another needs memory.",
        key="idle",
    )
    host: str = _setting("127.0.0.1", values.text, "Address to listen on.")
    port: int = _setting(8000, values.whole(0, 65535), "Port to listen on; 0: any free one.")
    api_key: str = _setting("", values.text, "The key that clients send; empty: the one in the key file.")
    secret: str = _setting(
        "",
        values.text,
        "Secret with which keys are hashed, 32 characters or more; empty: the one in a file.",
    )
    no_auth: bool = _setting(False, values.flag, "Don't require a key; on a loopback address only.")
    allowed_hosts: tuple[str, ...] = _setting(
        (), values.names, "Additional Host header values to accept, besides the address itself and localhost."
    )
    cors_origins: tuple[str, ...] = _setting(
        (), values.names, "Origins whose pages may call the API from a browser; none by default."
    )
    tls_cert: Path | None = _setting(
        None,
        values.optional_path,
        "Certificate chain in PEM format; with it and `tls_key` the server uses HTTPS.",
    )
    tls_key: Path | None = _setting(
        None, values.optional_path, "The certificate's private key, as unencrypted PEM."
    )
    root_path: str = _setting(
        "", values.root_path, "Path under which a proxy serves this server, such as `/llm`; empty: none."
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (), values.networks, "Addresses or networks of proxies whose X-Forwarded-For and -Proto are trusted."
    )
    max_body_bytes: int = _setting(
        16 << 20, values.num_bytes, "Maximum size of a request body; a larger one is a 413.", key="max_body"
    )
    max_queue: int = _setting(
        256,
        values.whole(1, 1 << 20),
        "Maximum number of requests that wait for a model; the next gets a 503.",
    )
    max_answer_tokens: int = _setting(
        16384,
        values.whole(0, 1 << 24),
        "Maximum tokens of an answer, reasoning included; it ends there. 0: as the context allows.",
        key="max_answer",
    )
    strict_max_tokens: bool = _setting(
        False,
        values.flag,
        "Reject a token limit that doesn't fit, instead of ending the answer at what fits.",
    )
    unknown_parameters: str = _setting(
        "reject",
        values.one_of("reject", "ignore"),
        "What to do with parameters that this server doesn't support: a 400, or a header that names them.",
    )
    max_queue_tokens: int = _setting(
        4_000_000,
        values.whole(1, 1 << 40),
        "Maximum number of prompt tokens of all waiting requests together.",
    )
    keep_alive_s: float = _setting(
        620.0,
        values.seconds,
        "How long an idle connection stays open; longer than connection pools of clients and proxies.",
        key="keep_alive",
    )
    drain_s: float = _setting(
        30.0, values.seconds, "How long running requests may continue after Ctrl-C or SIGTERM.", key="drain"
    )
    log_level: str = _setting(
        "info", values.one_of("debug", "info", "warning", "error"), "Lowest severity that is logged."
    )
    log_format: str = _setting(
        "text", values.one_of("text", "json"), "One line per request: for people, or as JSON."
    )

    @property
    def database_url(self) -> str:
        """The database of keys, limits, usage and stored answers."""
        return self.database or f"sqlite:///{self.home / 'myna.db'}"

    @property
    def files_folder(self) -> Path:
        """The folder of uploaded files and results."""
        return self.files or self.home / "files"


def current_folder() -> Path:
    """Raises `ConfigurationError` if the folder has been deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError as exc:
        raise ConfigurationError(N_("The current folder has been deleted; change to another one.")) from exc


def key_of(setting: "Field[Any]") -> str:
    """The name that users write: in myna.toml as it is, in the environment as MYNA_<KEY>."""
    return str(setting.metadata["key"] or setting.name)


def config_path(environ: Mapping[str, str], directory: Path) -> Path | None:
    """The file to read: MYNA_CONFIG, else ./myna.toml, else that of the user, else None."""
    if named := environ.get("MYNA_CONFIG"):
        return directory / expand_user(named)
    config = expand_user(environ.get("XDG_CONFIG_HOME") or "~/.config")
    candidates = [directory / "myna.toml", config / "myna" / "myna.toml"]
    return next((path for path in candidates if path.is_file()), None)


def load_settings(
    flags: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """Read all sources. `flags` maps keys to values; None there means not given.

    Raises `ConfigurationError` for an unknown name (with the closest valid name) or a wrong value.
    """
    environ = os.environ if environ is None else environ
    directory = current_folder() if directory is None else directory
    known = {key_of(setting): setting for setting in fields(Settings)}
    chosen: dict[str, object] = {}
    path = config_path(environ, directory)
    for key, raw in (_read_toml(path) if path else {}).items():
        name = _check_name(key, list(known), f"{path}")
        chosen[known[name].name] = _parse(known[name], raw, path.parent if path else directory, f"{path}")
    by_variable = {f"MYNA_{key.upper()}": key for key in known}
    for variable, text in environ.items():
        if variable.startswith("MYNA_") and variable not in OTHER_VARIABLES:
            key = by_variable[_check_name(variable, list(by_variable), N_("the environment"))]
            if text:  # an empty variable, as in a compose file, counts as unset
                chosen[known[key].name] = _parse(known[key], text, directory, variable)
    for key, raw in (flags or {}).items():
        if raw is not None:
            chosen[known[key].name] = _parse(known[key], raw, directory, f"--{key.replace('_', '-')}")
    if "home" not in chosen:
        chosen["home"] = default_home(environ)
    return Settings(**chosen)  # type: ignore[arg-type]


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigurationError(
            N_("Can't read the configuration {path}: {reason}.", path=path, reason=exc.strerror)
        ) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigurationError(N_("{path} is not valid TOML: {reason}.", path=path, reason=exc)) from exc


def _check_name(name: str, known: list[str], where: str | Translatable) -> str:
    if name in known:
        return name
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = (
        N_("did you mean {name}?", name=nearest[0])
        if nearest
        else N_("choose one of {names}.", names=", ".join(known))
    )
    raise ConfigurationError(
        N_("Unknown setting {name} in {where}; {hint}", where=where, name=name, hint=hint)
    )


def _parse(setting: "Field[Any]", raw: object, base: Path, where: str) -> object:
    try:
        return setting.metadata["parse"](raw, base)
    except ValueError as exc:
        key, wanted = key_of(setting), exc.args[0]
        if setting.name in ("api_key", "secret"):  # whose values are not shown
            raise ConfigurationError(
                N_("{where}: {key} takes {wanted}.", where=where, key=key, wanted=wanted)
            ) from exc
        raise ConfigurationError(
            N_(
                "{where}: {key} takes {wanted}, not {value}.",
                where=where,
                key=key,
                wanted=wanted,
                value=repr(raw),
            )
        ) from exc
