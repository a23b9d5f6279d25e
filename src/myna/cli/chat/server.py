"""The server that a chat talks to, and what its errors mean for the user."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from myna.cli.client import BrokenOff, Refused
from myna.cli.console import note
from myna.cli.key import server_keys
from myna.cli.local_servers import find_server, running_servers, started_server
from myna.core.errors import MynaError, OperatorError
from myna.core.translatable import N_, Translatable
from myna.settings import Settings

_STARTING: Final = N_("No server is running; starting one for this chat …")


@dataclass(frozen=True, slots=True)
class ChatServer:
    """An OpenAI-compatible server; `is_started`: by this command, with which it ends."""

    base_url: str
    key: str
    is_started: bool = False


@contextlib.contextmanager
def open_server(
    settings: Settings,
    base_url: str | None,
    model: str | None,
    starting: Translatable = _STARTING,
) -> Iterator[ChatServer]:
    """The server named by the option or OPENAI_BASE_URL, else this user's running one, on any port, else one
    that is started for the block; then `starting` is shown."""
    if named := base_url or os.environ.get("OPENAI_BASE_URL"):
        yield ChatServer(named, _key_for(settings, named))
    elif found := find_server(settings):
        yield ChatServer(found, _own_key(settings))
    else:
        note(starting)
        with started_server(settings, model) as url:
            yield ChatServer(url, _own_key(settings), is_started=True)


def _key_for(settings: Settings, base_url: str) -> str:
    """OPENAI_API_KEY, else this user's own key for this user's own servers."""
    key = os.environ.get("OPENAI_API_KEY", "")
    is_own = base_url.rstrip("/") in {server.base_url for server in running_servers(settings.home)}
    return key or (_own_key(settings) if is_own else "")


def _own_key(settings: Settings) -> str:
    return "" if settings.no_auth else server_keys(settings)[0]


def with_key_advice(exc: MynaError) -> MynaError:
    """The error; for a rejected key, one that says what to do here."""
    if isinstance(exc, Refused) and exc.status in (401, 403):
        said = exc.message.partition(". ")[0].rstrip(".")
        return OperatorError(
            N_("The server rejected the key ({reason}); set OPENAI_API_KEY to one of its own.", reason=said)
        )
    return exc


def with_chat_advice(exc: MynaError, model: str) -> MynaError:
    """An error that says what to do in a chat about a failed question."""
    said = exc.message.strip().rstrip(".;")
    if isinstance(exc, BrokenOff):
        return OperatorError(N_("{reason} (The partial answer is kept; /retry asks again.)", reason=exc.text))
    if not isinstance(exc, Refused):
        return OperatorError(N_("{reason} (The question is kept; /retry asks again.)", reason=exc.text))
    if exc.status in (401, 403):
        return with_key_advice(exc)
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
