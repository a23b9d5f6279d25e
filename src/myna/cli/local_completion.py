"""A completion without a server: loads the model in a worker for one answer."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Iterator, Mapping

from myna.catalog.pool import ServedModel
from myna.cli.backends import backends_of
from myna.cli.console import note
from myna.cli.running import make_pool
from myna.cli.served_models import choose_models
from myna.core.events import ChoiceDone, TextDelta
from myna.core.requests import GenerationRequest, Sampling
from myna.core.translatable import N_
from myna.settings import Settings


def complete_alone(settings: Settings, body: Mapping[str, object]) -> Iterator[str]:
    """The texts of the answer as they are generated. Raises what loading and admission raise."""
    texts: queue.Queue[str | BaseException | None] = queue.Queue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(_run(settings, body, texts))
    thread = threading.Thread(target=_drive, args=(loop, task), daemon=True)
    thread.start()
    try:
        while (item := texts.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(task.cancel)
        thread.join()


def _drive(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]") -> None:
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def _run(
    settings: Settings, body: Mapping[str, object], texts: "queue.Queue[str | BaseException | None]"
) -> None:
    try:
        served = await asyncio.to_thread(choose_models, settings)
        note(
            N_(
                "Loading {model} for this one answer; a running server would answer immediately.",
                model=served.default,
            )
        )
        pool = make_pool(settings, served, backends_of(settings))
        try:
            async with pool.hold(pool.card(served.default)) as model:
                async for text in _texts(model, body):
                    texts.put(text)
        finally:
            await pool.aclose()
        texts.put(None)
    except BaseException as exc:
        texts.put(exc)
        if not isinstance(exc, Exception):
            raise


async def _texts(model: ServedModel, body: Mapping[str, object]) -> AsyncIterator[str]:
    prompt = await asyncio.to_thread(model.renderer.encode, str(body["prompt"]), parse_special=True)
    stop = body.get("stop")
    request = GenerationRequest(
        id="cmpl-alone",
        prompt_tokens=tuple(prompt),
        max_tokens=int(str(body["max_tokens"])),
        sampling=Sampling(temperature=float(str(body["temperature"])), seed=int(str(body.get("seed", 0)))),
        stop=tuple(stop) if isinstance(stop, list) else (),
    )
    stream = await model.generator.generate(request)
    try:
        async for event in stream:
            if isinstance(event, TextDelta):
                yield event.text
            elif isinstance(event, ChoiceDone):
                return
    finally:
        await stream.aclose()
