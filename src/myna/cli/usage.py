"""`myna usage`: usage by model and by key, read from the ledger itself."""

import json
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
import typer

from myna.cli.administration import project_of, show_table
from myna.cli.console import note, say
from myna.cli.language import _
from myna.core.errors import ConfigurationError
from myna.core.ledger import Dimension, LedgerStore, UsageFilter, UsageSum
from myna.core.translatable import N_, Translatable
from myna.settings import Settings, load_settings
from myna.stores.registry import open_stores
from myna.usage.reports import csv_text, dollars, mean_duration_ms, mean_first_token_ms

_DAY_S: Final = 86_400
_GROUPS: Final[Sequence[tuple[Dimension, Translatable]]] = (("model", N_("MODEL")), ("key_id", N_("KEY")))
_TITLES: Final = (
    N_("REQUESTS"),
    N_("ERRORS"),
    N_("PROMPT"),
    N_("CACHED"),
    N_("ANSWER"),
    N_("FIRST TOKEN"),
    N_("TIME"),
)
_CSV_GROUPS: Final[Sequence[Dimension]] = ("project", "key_id", "model")


def usage(
    days: Annotated[int, typer.Option(min=1, max=36500, help="Number of days, including today.")] = 1,
    project: Annotated[str | None, typer.Option(help="Only this project.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the totals as JSON.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV with a line per day, project, key and model.")
    ] = False,
) -> None:
    """Show today's usage, by model and by key.

    Days follow this machine's clock; in CSV output, they are days of UTC.

    **Examples**

    - `myna usage`
    - `myna usage --days 30 --csv > usage.csv`
    - `myna usage --json | jq .total.completion_tokens`
    """
    settings = load_settings()
    if settings.database_url.startswith("memory:"):
        raise ConfigurationError(
            N_(
                "The setting `database` keeps everything in the server's memory; set it to a file or a "
                "PostgreSQL database to keep usage."
            )
        )
    names, projects = _names(settings, project)
    ledger = open_stores(settings.database_url).ledger()
    try:
        if as_csv:
            start_s = int(time.time()) // _DAY_S * _DAY_S - (days - 1) * _DAY_S
            sums = ledger.sums(UsageFilter(start_s, projects=projects), _DAY_S, _CSV_GROUPS)
            typer.echo(csv_text(sums, _CSV_GROUPS), nl=False)
        else:
            _show(ledger, UsageFilter(_midnight_s(days), projects=projects), names, as_json=as_json)
    finally:
        ledger.close()


def _show(ledger: LedgerStore, wanted: UsageFilter, names: dict[str, str], *, as_json: bool) -> None:
    total = next(iter(ledger.sums(wanted, 0)), None)
    groups = {name: ledger.sums(wanted, 0, (name,)) for name, _ in _GROUPS}
    if as_json:
        shown: dict[str, object] = {
            "start": wanted.start_s,
            "total": None if total is None else _plain(total),
        }
        shown |= {f"by_{name}": [_plain(part) for part in groups[name]] for name, _ in _GROUPS}
        typer.echo(json.dumps(shown, ensure_ascii=False))
        return
    if total is None:
        note(N_("No requests since {since}.", since=_moment(wanted.start_s)))
        return
    has_costs = bool(total.cost_nano)
    say(N_("Since {since}:", since=_moment(wanted.start_s)))
    for name, title in _GROUPS:
        rows = [_row(_name(getattr(part, name), names), part, has_costs) for part in groups[name]]
        if name == "model":
            rows.append(_row(_("all"), total, has_costs))
        typer.echo()
        show_table((title, *_TITLES, *((N_("COST"),) if has_costs else ())), rows)


def _name(raw: str, names: dict[str, str]) -> str:
    """Requests for an unknown model have no name."""
    return names.get(raw, raw) or "-"


def _row(name: str, part: UsageSum, has_costs: bool) -> list[str]:
    numbers = (part.num_requests, part.num_failed + part.num_refused)
    tokens = (part.prompt_tokens, part.cached_tokens, part.completion_tokens)
    means = (mean_first_token_ms(part), mean_duration_ms(part))
    row = [name, *(f"{number:,}" for number in (*numbers, *tokens))]
    row += ["-" if mean is None else f"{mean:,.0f} ms" for mean in means]
    return [*row, f"${dollars(part.cost_nano):,.4f}"] if has_costs else row


def _plain(part: UsageSum) -> dict[str, object]:
    fields = msgspec.structs.asdict(part)
    del fields["start_s"]
    known = {name: value for name, value in fields.items() if value is not None}
    return known | {"cost_usd": dollars(part.cost_nano)}


def _names(settings: Settings, project: str | None) -> tuple[dict[str, str], Sequence[str]]:
    """Keys' names by id, and the projects to show (none: all)."""
    store = open_stores(settings.database_url).accounts()
    try:
        accounts = store.load()
    finally:
        store.close()
    names = {key.id: f"{key.name} ({key.id})" for key in accounts.keys}
    return names, () if project is None else (project_of(accounts, project),)


def _midnight_s(days: int) -> int:
    """The start of the first of the last `days` days, by this machine's clock."""
    now = datetime.now().astimezone()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return int(today.timestamp()) - (days - 1) * _DAY_S


def _moment(at_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_s))
