"""The query parameters of the usage endpoints: each is supported or rejected by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import QueryParams

from myna.accounts.principal import Principal
from myna.core.errors import InvalidRequest, PermissionDenied
from myna.core.ledger import UsageFilter
from myna.wire import validation_errors

_MAX_TIME_S: Final = 253_402_300_799  # the last second that has a date
_PAGE: Final = "page_"
NAMES: Final = ("project_ids", "user_ids", "api_key_ids", "models")


class Query:
    """A request's parameters by name; lists as `a=1&a=2` or `a[]=1&a[]=2`."""

    def __init__(self, params: QueryParams, known: Sequence[str]) -> None:
        self._values: dict[str, list[str]] = {}
        for raw, value in params.multi_items():
            name = raw.removesuffix("[]")
            if name not in known:
                raise InvalidRequest(f"Unknown parameter: '{raw}'.", param=raw, code="unknown_parameter")
            if "\0" in value:  # PostgreSQL's texts can't hold it
                raise InvalidRequest(f"'{name}' contains a NUL character.", param=name, code="invalid_value")
            self._values.setdefault(name, []).append(value)

    def text(self, name: str) -> str | None:
        values = self._values.get(name)
        return values[-1] if values else None

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._values.get(name, ()))

    def choices(self, name: str, allowed: Sequence[str]) -> tuple[str, ...]:
        """Each value once, in the order requested."""
        for value in self.texts(name):
            if value not in allowed:
                raise validation_errors.not_one_of(allowed, value).at_param(name)
        return tuple(dict.fromkeys(self.texts(name)))

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        return (self.choices(name, allowed) or (default,))[-1]

    def integer(self, name: str, low: int, high: int, default: int) -> int:
        raw = self.text(name)
        if raw is None:
            return default
        try:
            value = int(raw)
        except ValueError:
            raise validation_errors.invalid_type("an integer", raw).at_param(name) from None
        if value < low:
            raise validation_errors.out_of_range("integer", "below", low, value).at_param(name)
        if value > high:
            raise validation_errors.out_of_range("integer", "above", high, value).at_param(name)
        return value

    def time_s(self, name: str, default: int) -> int:
        return self.integer(name, 0, _MAX_TIME_S, default)

    def flag(self, name: str) -> bool | None:
        raw = self.text(name)
        if raw is None:
            return None
        if raw.lower() not in ("true", "false"):
            raise validation_errors.invalid_type("a boolean", raw).at_param(name)
        return raw.lower() == "true"


@dataclass(frozen=True, slots=True)
class Span:
    """`count` buckets of `width_s` from `start_s` on, and the start of the next page, if there is one. Rows
    at or after `end_s` are excluded."""

    start_s: int
    end_s: int
    width_s: int
    count: int
    next_s: int | None

    def starts(self) -> range:
        return range(self.start_s, self.start_s + self.count * self.width_s, self.width_s)


def span_of(query: Query, width_s: int, most: int | None, now_s: int) -> Span:
    """The requested time span in whole buckets. At most `most` of them are on a page; None: no limit."""
    if query.text("start_time") is None:
        raise validation_errors.missing().at_param("start_time")
    start_s = query.time_s("start_time", 0) // width_s * width_s
    end_s = query.time_s("end_time", now_s + 1)
    if query.text("end_time") is not None and end_s <= query.time_s("start_time", 0):
        raise InvalidRequest("'end_time' must be after 'start_time'.", param="end_time", code="invalid_value")
    if (page := query.text("page")) is not None:
        start_s = max(start_s, _page_start(page, width_s))
    num_buckets = max(0, -(-(end_s - start_s) // width_s))
    count = num_buckets if most is None else min(num_buckets, most)
    page_end_s = start_s + count * width_s
    return Span(start_s, min(end_s, page_end_s), width_s, count, page_end_s if count < num_buckets else None)


def page_name(start_s: int) -> str:
    return f"{_PAGE}{start_s:x}"


def filter_of(query: Query, principal: Principal, start_s: int, end_s: int) -> UsageFilter:
    """The filter for the requested rows that this key may see."""
    return UsageFilter(
        start_s,
        end_s,
        projects=_projects(query, principal),
        key_ids=query.texts("api_key_ids"),
        models=query.texts("models"),
        users=query.texts("user_ids"),
    )


def _projects(query: Query, principal: Principal) -> Sequence[str]:
    requested = query.texts("project_ids")
    if principal.may("api.management.read"):
        return requested
    if any(project != principal.project for project in requested):
        raise PermissionDenied(
            f"This key may only read the usage of its own project, {principal.project}.", param="project_ids"
        )
    return (principal.project,)


def _page_start(page: str, width_s: int) -> int:
    try:
        start_s = int(page.removeprefix(_PAGE), 16) if page.startswith(_PAGE) else -1
    except ValueError:
        start_s = -1
    if not 0 <= start_s <= _MAX_TIME_S or start_s % width_s:
        raise InvalidRequest(
            "'page' is not a cursor of this query: pass 'next_page' unchanged.",
            param="page",
            code="invalid_value",
        )
    return start_s


GROUPS: Final[Mapping[str, str]] = {
    "project_id": "project",
    "user_id": "user",
    "api_key_id": "key_id",
    "model": "model",
    "service_tier": "service_tier",
}
"""Maps OpenAI's names for grouping to ours."""
