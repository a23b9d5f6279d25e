"""One batch, from the claim to its end.

Exact after a kill at any point: a line is done when it is in a content (`output`), the row says which
contents those are, and they become files in the transaction that ends the batch.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from myna.batches.concurrency import ConcurrencyLimiter
from myna.batches.dispatch import LineRequest
from myna.batches.lease import BatchServices, Lease, LeaseLost
from myna.batches.lines import (
    BatchError,
    InputCheck,
    InputLine,
    InputReader,
    parse_line,
    request_id_of,
)
from myna.batches.output import Output, Result
from myna.batches.writer import RETRY_S, OutputWriter
from myna.core.batches import Batch
from myna.core.files import StoredFile
from myna.stores.files import Files

_ELSEWHERE_S: Final = 60.0
_READ_BYTES: Final = 256 << 10

Ending = Literal["completed", "expired", "cancelled"]
_UNANSWERED: Final[Mapping[Ending, tuple[str, str]]] = {
    "expired": (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    "cancelled": ("batch_cancelled", "This request was not executed, because the batch was cancelled."),
}

log = logging.getLogger("myna.serving")


@dataclass(frozen=True, slots=True)
class _Request:
    """A line that has no answer yet: the body to send, or the answer if it must not be sent."""

    custom_id: str
    body: bytes
    refusal: bytes


class BatchRun:
    """To be run once, as the holder of the batch's epoch."""

    def __init__(self, batch: Batch, services: BatchServices) -> None:
        self._services = services
        self._files = services.files
        self._lease = Lease(batch, services)
        self._output: Output | None = None
        self._limiter = ConcurrencyLimiter(services.concurrency)

    async def run(self) -> None:
        """Returns when the batch has ended, or another server runs it."""
        batch, lease, files = self._lease.batch, self._lease, self._files
        beats = asyncio.create_task(lease.keep(self._progress))
        try:
            if await files.disk.run(files.folder.path_of(batch.id).exists):
                await self._run()
            else:
                await self._leave_to_others()
        except LeaseLost:
            log.warning("another server has taken over %s", batch.id)
        finally:
            beats.cancel()
            await asyncio.wait([beats])

    async def _run(self) -> None:
        if self._lease.batch.in_progress_at is None and not await self._start():
            return
        output = self._output = await self._take_over()
        writer = OutputWriter(output, self._files)
        try:
            ending = await self._answer_all(output, writer)
            await self._finish(ending, output, writer)
        except asyncio.CancelledError:  # the server shuts down
            await writer.aclose()
            await self._lease.release(0.0, **output.totals.columns())
            raise
        finally:
            await self._files.disk.run(output.close)

    def _progress(self) -> Mapping[str, int]:
        return self._output.totals.columns() if self._output else {}

    async def _leave_to_others(self) -> None:
        """The input is not in this server's folder: another server may have it, until the window ends."""
        now = self._files.clock()
        log.error("the input of %s isn't in the folder of this server's files", self._lease.batch.id)
        if now >= self._lease.batch.expires_at:
            await self._lease.end([], status="expired", expired_at=int(now))
        else:
            await self._lease.release(now + _ELSEWHERE_S)

    # --- validation ---

    async def _start(self) -> bool:
        """Validate the input. False if that has ended the batch."""
        lease, check = self._lease, await self._validate()
        now = int(self._files.clock())
        if check is None:
            stop = lease.stop.result()
            if stop == "lost":
                raise LeaseLost
            await lease.end([], status=stop, **{f"{stop}_at": now})
            return False
        model = self._services.find_model(lease.batch.key_id, check.model)
        if model is None and check.model and not check.errors:
            text = f"The provided model '{check.model[:64]}' is not supported by the Batch API."
            check.errors.append(BatchError("model_not_found", text, check.model_line, "body.model"))
        if check.errors:
            errors = orjson.dumps([error.shape() for error in check.errors])
            await lease.end([], status="failed", failed_at=now, errors=errors)
            return False
        await lease.change(
            status="in_progress", in_progress_at=now, num_lines=check.num_lines, model=(model or "")[:256]
        )
        return True

    async def _validate(self) -> InputCheck | None:
        """What the input is; None if the batch has to stop before that is known."""
        check = InputCheck(self._lease.batch.endpoint)

        def check_all(lines: list[tuple[int, bytes | None]]) -> None:
            for number, data in lines:
                check.check(number, data)

        async with aclosing(_read(self._files, self._lease.batch.id)) as pieces:
            async for lines in pieces:
                await self._files.disk.run(check_all, lines)
                if self._lease.stop.done():
                    return None
                if check.is_decided:
                    break
        check.finish()
        return check

    # --- the lines ---

    async def _take_over(self) -> Output:
        """New contents with the lines that earlier runs have written."""
        files, batch = self._files, self._lease.batch
        old = (batch.output_work, batch.error_work)
        while True:
            try:
                output = await files.disk.open(Output, files.folder, *old)
                break
            except OSError as exc:
                log.error("the results of %s can't be written: %s", batch.id, exc)
                await asyncio.sleep(RETRY_S)
        try:
            await self._lease.change(output_work=output.results.path.name, error_work=output.errors.path.name)
        except BaseException:  # if the row has them after all, they are in use, else orphans
            await files.disk.run(output.close)
            raise
        for name in filter(None, old):
            await files.disk.run(files.folder.delete, name)
        return output

    async def _answer_all(self, output: Output, writer: OutputWriter) -> Ending:
        """Answer all lines that have no answer. Returns how the batch ends."""
        answering = asyncio.create_task(self._answer_lines(output, writer))
        either: tuple[asyncio.Future[Any], ...] = (answering, self._lease.stop)
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            await asyncio.wait([answering])
        if not answering.cancelled():
            answering.result()
            return "completed"
        await writer.flush()
        match self._lease.stop.result():
            case "lost":
                raise LeaseLost
            case "expired" if len(output.totals.done) == self._lease.batch.num_lines:
                return "completed"
            case stop:
                return stop

    async def _answer_lines(self, output: Output, writer: OutputWriter) -> None:
        window = asyncio.Semaphore(self._services.concurrency)
        async with asyncio.TaskGroup() as tasks, aclosing(self._unanswered(output)) as requests:
            async for request in requests:
                await window.acquire()
                task = tasks.create_task(self._answer(request, writer))
                task.add_done_callback(lambda _: window.release())

    async def _unanswered(self, output: Output) -> AsyncGenerator[_Request, None]:
        """The requests of the lines without an answer, read as they are needed."""
        endpoint, done = self._lease.batch.endpoint, output.totals.done

        def requests(lines: list[tuple[int, bytes | None]]) -> list[_Request]:
            found = (parse_line(number, data, endpoint) for number, data in lines)
            return [_request(line) for line in found if line.digest not in done]

        async with aclosing(_read(self._files, self._lease.batch.id)) as pieces:
            async for lines in pieces:
                for request in await self._files.disk.run(requests, lines):
                    yield request

    async def _answer(self, request: _Request, writer: OutputWriter) -> None:
        if request.refusal:
            await writer.put(Result(request.custom_id, 400, secrets.token_hex(16), request.refusal))
            return
        batch, services, attempt = self._lease.batch, self._services, 0
        request_id = request_id_of(batch.id, request.custom_id)
        line = LineRequest(request_id, batch.endpoint, batch.key_id, request.body)
        while True:
            attempt += 1
            async with self._limiter, services.slots:
                answer = await services.dispatch(line)
            wait_s = answer.wait_s(attempt)
            if wait_s is None:
                break
            self._limiter.refused(wait_s)
        self._limiter.answered()
        await writer.put(Result(request.custom_id, answer.status, answer.request_id, answer.body))

    # --- the end ---

    async def _finish(self, ending: Ending, output: Output, writer: OutputWriter) -> None:
        lease, now = self._lease, int(self._files.clock())
        if lease.batch.finalizing_at is None and ending != "cancelled":
            await lease.change(status="finalizing", finalizing_at=now)
            if lease.batch.status == "cancelling":  # after the last line: it ends as the client was told
                ending = "cancelled"
        if ending in _UNANSWERED:
            code, message = _UNANSWERED[ending]
            reason = orjson.dumps({"code": code, "message": message})
            async for request in self._unanswered(output):
                await writer.put(Result(request.custom_id, 0, "", reason))
        await writer.flush()
        now = int(self._files.clock())
        files, values = list[StoredFile](), dict[str, object]()
        for column, content in (("output", output.results), ("error", output.errors)):
            if content.num_bytes:
                file_id = content.path.name
                files.append(self._file(file_id, f"{lease.batch.id}_{column}.jsonl", content.num_bytes, now))
                values[f"{column}_file_id"] = file_id
        await lease.end(files, status=ending, **{f"{ending}_at": now}, **values, **output.totals.columns())
        for content in (output.results, output.errors):
            if not content.num_bytes:
                await self._files.disk.run(content.discard)

    def _file(self, file_id: str, filename: str, num_bytes: int, now: int) -> StoredFile:
        batch = self._lease.batch
        expires_at = now + batch.output_expires_s if batch.output_expires_s else None
        return StoredFile(file_id, batch.project, "batch_output", filename, num_bytes, now, expires_at)


async def _read(files: Files, name: str) -> AsyncGenerator[list[tuple[int, bytes | None]], None]:
    """The numbered lines of an input, some at a time."""
    reader = await files.disk.open(InputReader, files.folder.path_of(name))
    try:
        while lines := await files.disk.run(reader.read, _READ_BYTES):
            yield lines
    finally:
        reader.close()


def _request(line: InputLine) -> _Request:
    for name in ("stream", "background"):
        if line.body.get(name):
            text = f"Invalid value: '{name}' must be false in the requests of a batch."
            return _Request(line.custom_id, b"", _refusal(text, name))
    try:
        return _Request(line.custom_id, orjson.dumps(line.body), b"")
    except orjson.JSONEncodeError:  # it can be read, but not written: orjson's limits differ
        return _Request(line.custom_id, b"", _refusal("The body of this request is nested too deeply.", None))


def _refusal(text: str, param: str | None) -> bytes:
    """The answer to a request that can't run in a batch."""
    error = {"message": text, "type": "invalid_request_error", "param": param, "code": "invalid_value"}
    return orjson.dumps({"error": error})
