"""What Myna uses of its libraries beyond their documents. pyproject.toml bounds their versions, and these
tests name each attribute, so that a new version that lacks one fails here, by its name."""

import inspect
import tomllib
from pathlib import Path

import pytest
import typer
from llguidance import LLExecutor
from typer import rich_utils
from uvicorn import Server
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_PROJECT = Path(__file__).parent.parent / "pyproject.toml"


@pytest.mark.parametrize("library", ["uvicorn", "typer", "llguidance"])
def test_its_version_has_an_upper_bound(library: str) -> None:
    project = tomllib.loads(_PROJECT.read_text("utf-8"))["project"]
    [requirement] = [line for line in project["dependencies"] if line.startswith(library)]
    assert "<" in requirement


@pytest.mark.parametrize(
    "method",
    [
        "connection_made",
        "connection_lost",
        "data_received",
        "eof_received",
        "on_message_begin",
        "on_headers_complete",
        "on_message_complete",
        "send_400_response",
        "_start_asgi_task",
        "_unset_keepalive_if_required",
    ],
)
def test_uvicorns_protocol_has_the_methods_that_ours_overrides(method: str) -> None:
    assert callable(getattr(HttpToolsProtocol, method))


@pytest.mark.parametrize(
    "attribute", ["loop", "transport", "scheme", "url", "headers", "parser", "cycle", "pipeline"]
)
def test_uvicorns_protocol_sets_the_attributes_that_ours_reads(attribute: str) -> None:
    assert f"self.{attribute}" in inspect.getsource(HttpToolsProtocol)


@pytest.mark.parametrize(
    "attribute",
    [
        "scope",
        "more_body",
        "keep_alive",
        "response_started",
        "response_complete",
        "chunked_encoding",
        "expected_content_length",
    ],
)
def test_uvicorns_cycle_has_the_attributes_that_ours_reads_or_sets(attribute: str) -> None:
    assert f"self.{attribute}" in inspect.getsource(RequestResponseCycle)


def test_uvicorn_keeps_status_lines_by_number() -> None:
    assert STATUS_LINE[431].startswith(b"HTTP/1.1 431 ")
    assert STATUS_LINE is httptools_impl.STATUS_LINE


@pytest.mark.parametrize("method", ["startup", "capture_signals", "main_loop", "on_tick"])
def test_uvicorns_server_has_the_methods_that_ours_overrides_or_calls(method: str) -> None:
    assert callable(getattr(Server, method))


@pytest.mark.parametrize(
    "name",
    [
        "OPTIONS_PANEL_TITLE",
        "ARGUMENTS_PANEL_TITLE",
        "COMMANDS_PANEL_TITLE",
        "DEFAULT_STRING",
        "REQUIRED_LONG_STRING",
    ],
)
def test_typer_keeps_the_words_of_its_help_pages_in_one_module(name: str) -> None:
    assert isinstance(getattr(rich_utils, name), str)


def test_the_context_that_typers_commands_make_has_a_formatter_class() -> None:
    base = typer.Context.__mro__[1]
    assert callable(base.formatter_class.write_usage)  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["unsafe_compute_mask_ptr", "unsafe_compute_mask_ptr_with_draft_token"])
def test_llguidance_writes_masks_to_an_address(method: str) -> None:
    assert callable(getattr(LLExecutor, method))
