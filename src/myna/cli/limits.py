"""`myna limits`: how much a key, a project or everyone may use, of one model or of all models."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from myna.accounts.administration import LIMIT_NAMES
from myna.accounts.checks import check_model
from myna.cli.administration import (
    AdministrationSession,
    key_of,
    open_administration,
    plain,
    project_of,
    show_columns,
    show_json,
)
from myna.cli.console import note, say
from myna.cli.language import _
from myna.core.accounts import ALL_MODELS, EVERYONE, Accounts, Limit
from myna.core.errors import InvalidRequest, OperatorError
from myna.core.translatable import N_, Translatable

app = typer.Typer(no_args_is_help=True, help="Set and list limits.")
NONE = "none"

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Amount = str | None


@app.command("set")
def set_limit(
    key: Annotated[str | None, typer.Option(help="Limit this key, by id or name.")] = None,
    project: Annotated[str | None, typer.Option(help="Limit all keys of this project together.")] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="Limit all projects together.")] = False,
    model: Annotated[
        str, typer.Option(help="Only for this model; default: all models together.")
    ] = ALL_MODELS,
    requests_per_minute: Annotated[Amount, typer.Option(help="A number, or `none`.")] = None,
    tokens_per_minute: Annotated[Amount, typer.Option(help="A number, or `none`.")] = None,
    tokens_per_day: Annotated[Amount, typer.Option(help="A number, or `none`.")] = None,
    concurrent_requests: Annotated[Amount, typer.Option(help="A number, or `none`.")] = None,
    priority_requests_per_minute: Annotated[
        Amount, typer.Option(help="A number, or `none`; more are served at the default tier.")
    ] = None,
    budget: Annotated[Amount, typer.Option(help="Dollars per calendar month, or `none`.")] = None,
    as_json: AsJson = False,
) -> None:
    """Limit a key, a project or everyone; limits that are not named stay as they are.

    **Examples**

    - `myna limits set --key ci --requests-per-minute 60 --tokens-per-day 200000`
    - `myna limits set --project Website --model smollm2-135m-instruct --concurrent-requests 4`
    - `myna limits set --key ci --tokens-per-day none`
    """
    changes: dict[str, int | None] = {}
    amounts = (
        requests_per_minute,
        tokens_per_minute,
        tokens_per_day,
        concurrent_requests,
        priority_requests_per_minute,
    )
    for name, text in zip(LIMIT_NAMES, amounts, strict=False):
        if text is not None:
            changes[name] = None if text == NONE else _whole(text)
    if budget is not None:
        changes["budget_cents"] = None if budget == NONE else _cents(budget)
    if not changes:
        raise OperatorError(N_("Name a limit to set, such as --requests-per-minute 60."))
    with open_administration() as session:
        owner = _owner(session, key, project, everyone)
        limit = session.administration.set_limit(
            session.actor, owner, check_model(model, "model") if model else ALL_MODELS, changes
        )
    if as_json:
        show_json(plain(limit))
    else:
        say(N_("{owner}: {limits}.", owner=_shown_owner(limit), limits=_shown(limit)))


@app.command("list")
def list_limits(as_json: AsJson = False) -> None:
    """List the limits that are set."""
    with open_administration() as session:
        accounts = session.accounts()
    if as_json:
        show_json([plain(limit) for limit in accounts.limits])
        return
    if accounts.limits:
        show_columns(_columns(accounts))
    else:
        note(N_("There are no limits yet; set one with: myna limits set --key KEY --requests-per-minute 60"))


def _owner(session: AdministrationSession, key: str | None, project: str | None, everyone: bool) -> str:
    if (key is not None) + (project is not None) + everyone != 1:
        raise OperatorError(N_("Say whose limit it is: one of --key, --project or --everyone."))
    accounts = session.accounts()
    if key is not None:
        return key_of(accounts, key).id
    return EVERYONE if project is None else project_of(accounts, project)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InvalidRequest(
            N_("{text!r} is not a whole number; write one, or `none` to remove the limit.", text=text)
        )
    return int(text)


def _cents(text: str) -> int:
    dollars, _, cents = text.removeprefix("$").partition(".")
    if len(cents) > 2:
        raise InvalidRequest(
            N_("{text!r} is not an amount in dollars; write it like 20 or 12.50.", text=text)
        )
    return _whole(dollars) * 100 + (_whole(cents.ljust(2, "0")) if cents else 0)


def _shown_owner(limit: Limit) -> str:
    return limit.owner or _("everyone")


def _amounts(limit: Limit) -> list[Any]:
    amounts = [getattr(limit, name) for name in LIMIT_NAMES]
    budget = amounts.pop()
    return [*amounts, None if budget is None else f"${budget / 100:.2f}"]


def _shown(limit: Limit) -> str:
    names = ("requests/min", "tokens/min", "tokens/day", "concurrent", "priority/min", "budget")
    pairs = [f"{amount} {name}" for name, amount in zip(names, _amounts(limit), strict=True) if amount]
    return ", ".join(pairs) or _("no limits")


def _columns(accounts: Accounts) -> dict[Translatable, Sequence[str]]:
    """Without columns that have no value."""
    names = {project.id: project.name for project in accounts.projects}
    names |= {key.id: key.name for key in accounts.keys}
    limits = accounts.limits
    columns: dict[Translatable, Sequence[str]] = {
        N_("OWNER"): [_shown_owner(limit) for limit in limits],
        N_("NAME"): [names.get(limit.owner, "") for limit in limits],
        N_("MODEL"): [limit.model or _("all") for limit in limits],
    }
    titles = (
        N_("REQ/MIN"),
        N_("TOKENS/MIN"),
        N_("TOKENS/DAY"),
        N_("CONCURRENT"),
        N_("PRIORITY/MIN"),
        N_("BUDGET"),
    )
    for title, amounts in zip(titles, zip(*map(_amounts, limits), strict=True), strict=True):
        if any(amount is not None for amount in amounts):
            columns[title] = ["" if amount is None else str(amount) for amount in amounts]
    return columns
