"""Reads the table `[upstreams]` of myna.toml."""

import difflib
import os
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

from myna.core.backend import Section
from myna.core.errors import ConfigurationError
from myna.core.ledger import Price
from myna.core.paths import expand_user
from myna.core.translatable import N_
from myna.core.units import parse_seconds

_Dollars = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class PriceEntry(msgspec.Struct, frozen=True):
    """Dollars per million tokens; by default cached prompt tokens cost as much as others."""

    prompt: _Dollars
    completion: _Dollars
    cached: _Dollars | None = None


class UpstreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One server. `url` is the API's root (`…/v1`). The key, if needed, is in an environment variable or a
    file. `models` are ids, or patterns with `*`. `timeout` limits the wait for the start of a response, for
    each further event of a stream, and for a whole response."""

    url: str
    key_env: str = ""
    key_file: str = ""
    models: tuple[str, ...] = ("*",)
    timeout: str | float = 600.0
    max_requests: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 64
    weight: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 1.0
    price: PriceEntry | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("url takes an address such as https://llm.example.org/v1")
        if parts.username is not None or parts.query or parts.fragment or not self.url.isascii():
            raise ValueError("url takes no user, password, query or fragment")
        if self.key_env and self.key_file:
            raise ValueError("a key is in key_env or in key_file, not in both")
        if not 0 < self.timeout_s <= 86_400:
            raise ValueError("timeout takes a time of up to a day")

    @property
    def timeout_s(self) -> float:
        return parse_seconds(self.timeout)

    @property
    def token_price(self) -> Price | None:
        price = self.price
        if price is None:
            return None
        return Price(price.prompt, price.prompt if price.cached is None else price.cached, price.completion)

    def read_key(self) -> str:
        """Read the key; blocking. Raises `ConfigurationError`, whose message never contains the key."""
        where, key = self.key_env or self.key_file, ""
        if self.key_env:
            key = os.environ.get(self.key_env, "")
        elif self.key_file:
            try:
                key = Path(self.key_file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as exc:
                raise ConfigurationError(N_("Its key can't be read from {where}.", where=where)) from exc
        key = key.strip()
        if where and not key:
            raise ConfigurationError(N_("It has no key: {where} is empty or not set.", where=where))
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError(N_("The key in {where} has characters that no key has.", where=where))
        return key


_FIELDS: Final = UpstreamConfig.__struct_fields__


def read_section(section: object) -> dict[str, UpstreamConfig]:
    """The upstreams by name, in the order of the file; empty if the setting is absent. Raises
    `ConfigurationError`."""
    if not isinstance(section, Section):
        return {}
    return {name: _read(name, values, section.folder) for name, values in section.values.items()}


def _read(name: str, values: object, folder: Path) -> UpstreamConfig:
    where = f"upstreams.{name}"
    if not isinstance(values, dict):
        example = '{ url = "https://llm.example.org/v1" }'
        raise ConfigurationError(
            N_("{where} takes a table, such as {example}.", where=where, example=example)
        )
    for field in values:
        if field not in _FIELDS:
            nearest = difflib.get_close_matches(field, _FIELDS, n=1, cutoff=0.5)
            raise ConfigurationError(
                N_(
                    "{where} sets {field}, which is not a setting of an upstream; choose one of {known}.",
                    where=where,
                    field=field,
                    known=", ".join(nearest or _FIELDS),
                )
            )
    try:
        config = msgspec.convert(values, UpstreamConfig)
    except msgspec.ValidationError as exc:
        raise ConfigurationError(N_("{where}: {reason}.", where=where, reason=exc)) from exc
    if not config.key_file:
        return config
    return msgspec.structs.replace(config, key_file=str(folder / expand_user(config.key_file)))
