"""`myna batch`: runs a file of requests on a server in the background, and shows what runs there."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from myna.cli.batch_client import BatchClient
from myna.cli.chat.server import ChatServer, open_server
from myna.cli.console import note
from myna.cli.language import _
from myna.core.errors import InvalidRequest, OperatorError
from myna.core.translatable import N_, Translatable
from myna.settings import load_settings

app = typer.Typer(
    help="Run files of requests in the background, and show their progress.", no_args_is_help=True
)
_ENDED: Final = ("completed", "failed", "expired", "cancelled")
_POLL_S: Final = 1.0
_MAX_SHOWN: Final = 10

BaseUrl = Annotated[
    str | None, typer.Option(help="Base URL of another OpenAI-compatible server; its key is OPENAI_API_KEY.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("run")
def run(
    file: Annotated[Path, typer.Argument(help="A .jsonl file, one request per line.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model of all requests, instead of their own.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the results; default: FILE with .results.jsonl."),
    ] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Run a file of requests and write their results, one per line in any order.

    A line is `{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {…}}`, as for
    OpenAI's Batch API; all lines have the same `url`. Results are joined to requests by `custom_id`. Requests
    that the server rejects are written to a second file, with .errors.jsonl.

    Uses the server that runs with your settings; if none is running, starts one until the command ends. A
    running server continues if this command is stopped. In any case, run the same command again to see the
    progress and get the results.

    The exit code is 0 if all requests were answered, and 1 otherwise.

    **Examples**

    - `myna batch run requests.jsonl`
    - `myna batch run requests.jsonl --model qwen2.5-coder-1.5b-instruct -o answers.jsonl`
    """
    results = output or file.with_suffix(".results.jsonl")
    endpoint = _endpoint_of(file)
    settings = load_settings({"model": model} if model else {})
    starting = N_("No server is running; starting one for this batch …")
    with open_server(settings, base_url, model, starting) as target:
        client, state = BatchClient(target.base_url, target.key), _State(results)
        batch = state.batch(client)
        if batch is None:
            with _with_model(file, model) as prepared:
                batch = client.create(client.upload(prepared), endpoint)
            state.save(batch["id"])
        batch = _wait(client, batch, _stopped_text(target, batch["id"], results))
        _fetch(client, batch, results)
        state.clear()
    _report(batch, results, as_json=as_json)


@app.command("list")
def list_batches(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the batches of your key's project, newest first."""
    with _client(base_url) as client:
        batches = client.list(limit)
    if as_json:
        typer.echo(json.dumps(batches, ensure_ascii=False, indent=1))
        return
    table = Table("", _("status"), _("requests"), _("failed"), _("model"))
    for batch in batches:
        counts = batch["request_counts"]
        done = f"{counts['completed'] + counts['failed']:,} / {counts['total']:,}"
        table.add_row(batch["id"], batch["status"], done, f"{counts['failed']:,}", batch["model"] or "")
    Console().print(table)


@app.command("status")
def status(
    batch_id: Annotated[str, typer.Argument(help="An id from `myna batch list`.")], base_url: BaseUrl = None
) -> None:
    """Show a batch as JSON."""
    with _client(base_url) as client:
        batch = client.retrieve(batch_id)
    if batch is None:
        raise OperatorError(N_("There is no batch {id}; see: myna batch list", id=batch_id))
    typer.echo(json.dumps(batch, ensure_ascii=False, indent=2))


@app.command("cancel")
def cancel(
    batch_id: Annotated[str, typer.Argument(help="An id from `myna batch list`.")], base_url: BaseUrl = None
) -> None:
    """Cancel a batch; finished results are kept."""
    with _client(base_url) as client:
        typer.echo(client.cancel(batch_id)["status"])


class _State:
    """The batch of a results file that isn't written yet, next to it."""

    def __init__(self, results: Path) -> None:
        self._path = results.with_name(f"{results.name}.batch")

    def batch(self, client: BatchClient) -> dict[str, Any] | None:
        """The batch that an earlier run has created, if the server has it."""
        try:
            batch_id = self._path.read_text(encoding="utf-8").strip()
        except OSError:
            return None
        batch = client.retrieve(batch_id)
        if batch is not None:
            note(N_("Continuing with {id}; delete {path} to start again.", id=batch_id, path=self._path))
        return batch

    def save(self, batch_id: str) -> None:
        try:
            self._path.write_text(f"{batch_id}\n", encoding="utf-8")
        except OSError as exc:
            raise OperatorError(
                N_("Can't write {path}: {reason}.", path=self._path, reason=exc.strerror or exc)
            ) from exc

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def _client(base_url: str | None) -> Iterator[BatchClient]:
    starting = N_("No server is running; starting one …")
    with open_server(load_settings({}), base_url, None, starting) as target:
        yield BatchClient(target.base_url, target.key)


def _endpoint_of(path: Path) -> str:
    """The URL of the first line. Raises `OperatorError` for any other file."""
    try:
        with path.open("rb") as file:
            first = next((line for line in file if line.strip()), b"")
        request = json.loads(first)
        return str(request["url"])
    except OSError as exc:
        raise OperatorError(
            N_("Can't read {path}: {reason}.", path=path, reason=exc.strerror or exc)
        ) from exc
    except (ValueError, LookupError, TypeError):
        raise InvalidRequest(
            N_("{path} doesn't begin with a request; see: myna batch run --help", path=path)
        ) from None


@contextlib.contextmanager
def _with_model(path: Path, model: str | None) -> Iterator[Path]:
    """The file, or a copy in which all requests have that model."""
    if model is None:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder, path.open("rb") as source:
        copy = Path(folder, path.name)
        with copy.open("wb") as target:
            for number, line in enumerate(source, start=1):
                if line.strip():
                    target.write(_line_with_model(line, model, number, path))
        yield copy


def _line_with_model(line: bytes, model: str, number: int, path: Path) -> bytes:
    try:
        request = json.loads(line)
        request["body"]["model"] = model
    except (ValueError, LookupError, TypeError):
        raise InvalidRequest(
            N_("Line {number} of {path} is not a request.", number=number, path=path)
        ) from None
    return json.dumps(request).encode() + b"\n"


def _stopped_text(server: ChatServer, batch_id: str, results: Path) -> Translatable:
    """What becomes of a batch when this command is stopped."""
    if server.is_started:
        return N_(
            "{id} pauses, since the server that this command started ends with it. Run the same command "
            "again to continue.",
            id=batch_id,
        )
    return N_(
        "{id} continues on the server. Run the same command again for {results}, or stop the batch with: "
        "myna batch cancel {id}",
        id=batch_id,
        results=results,
    )


def _wait(client: BatchClient, batch: dict[str, Any], stopped: Translatable) -> dict[str, Any]:
    """The batch once it has ended; shows its progress until then, and `stopped` after Ctrl-C."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(batch["status"], total=None)
            while batch["status"] not in _ENDED:
                time.sleep(_POLL_S)
                batch = client.retrieve(batch["id"]) or batch
                counts = batch["request_counts"]
                done = counts["completed"] + counts["failed"]
                bars.update(task, description=batch["status"], total=counts["total"] or None, completed=done)
    except KeyboardInterrupt:
        note(stopped)
        raise typer.Exit(130) from None
    return batch


def _fetch(client: BatchClient, batch: dict[str, Any], results: Path) -> None:
    for file_id, path in (
        (batch["output_file_id"], results),
        (batch["error_file_id"], _errors_path(results)),
    ):
        if file_id:
            client.download(file_id, path)


def _errors_path(results: Path) -> Path:
    stem = results.name.removesuffix(".jsonl").removesuffix(".results")
    return results.with_name(f"{stem}.errors.jsonl")


def _report(batch: dict[str, Any], results: Path, *, as_json: bool) -> None:
    counts = batch["request_counts"]
    if as_json:
        typer.echo(json.dumps(batch, ensure_ascii=False, indent=2))
    elif batch["status"] == "failed":
        for fault in batch["errors"]["data"][:_MAX_SHOWN]:
            note(N_("Line {line}: {message}", line=fault["line"] or "-", message=fault["message"]))
    if batch["status"] == "failed":
        raise OperatorError(N_("The file is not a valid batch, so no request was run."))
    note(
        N_(
            "{completed:,} of {total:,} requests answered; the results are in {path}.",
            completed=counts["completed"],
            total=counts["total"],
            path=results,
        )
    )
    if batch["error_file_id"]:
        note(N_("The other requests are in {path}.", path=_errors_path(results)))
        raise typer.Exit(1)
