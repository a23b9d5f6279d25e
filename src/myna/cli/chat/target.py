"""The server that a chat talks to, and what its errors mean for the user."""

import os
from dataclasses import dataclass

from myna.cli.client import BrokenOff, Refused, is_up
from myna.cli.complete import local_base_url
from myna.cli.key import server_keys
from myna.core.errors import MynaError, OperatorError
from myna.core.translatable import N_
from myna.settings import Settings


@dataclass(frozen=True, slots=True)
class Target:
    """An OpenAI-compatible server."""

    base_url: str
    key: str


def find_target(settings: Settings, base_url: str | None) -> Target:
    """The server named by the option or OPENAI_BASE_URL, else the one of this machine's settings.

    Raises `OperatorError` if none is running.
    """
    if named := base_url or os.environ.get("OPENAI_BASE_URL"):
        return Target(named, os.environ.get("OPENAI_API_KEY", ""))
    local = local_base_url(settings)
    if not is_up(local):
        raise OperatorError(
            N_(
                "No server is running at {base_url}; start one in another terminal with: myna serve",
                base_url=local,
            )
        )
    return Target(local, "" if settings.no_auth else server_keys(settings)[0])


def plainly(exc: MynaError) -> MynaError:
    """The error; for a rejected key, one that says what to do here."""
    if isinstance(exc, Refused) and exc.status in (401, 403):
        said = exc.message.partition(". ")[0].rstrip(".")
        return OperatorError(
            N_("The server rejected the key ({reason}); set OPENAI_API_KEY to one of its own.", reason=said)
        )
    return exc


def explained(exc: MynaError, model: str) -> MynaError:
    """An error that says what to do in a chat about a failed question."""
    said = exc.message.strip().rstrip(".;")
    if isinstance(exc, BrokenOff):
        return OperatorError(N_("{reason} (The partial answer is kept; /retry asks again.)", reason=exc.text))
    if not isinstance(exc, Refused):
        return OperatorError(N_("{reason} (The question is kept; /retry asks again.)", reason=exc.text))
    if exc.status in (401, 403):
        return plainly(exc)
    if exc.code == "context_length_exceeded" or (exc.status == 400 and "context" in said):
        return OperatorError(
            N_(
                "The conversation is too long for {model} ({reason}); /save and /reset it, or shorten "
                "the question with /edit.",
                model=model,
                reason=said,
            )
        )
    if exc.status == 404:
        return OperatorError(N_("{reason} (Choose a model with /model.)", reason=exc.text))
    if exc.status == 429 or exc.status >= 500:
        why = said.partition("! ")[0].partition(". ")[0]
        return OperatorError(N_("The server can't answer now ({reason}); /retry in a moment.", reason=why))
    return OperatorError(N_("The server rejected the request ({reason}); see /set and /system.", reason=said))
