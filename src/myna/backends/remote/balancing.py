"""Chooses among several upstreams."""

import asyncio

from myna.backends.remote.upstream import Upstream
from myna.core.errors import Overloaded


class Balancer:
    """`upstreams` and `max_queue`, the number of requests that may wait for one, may change at any time."""

    def __init__(self) -> None:
        self.upstreams: tuple[Upstream, ...] = ()
        self.max_queue = 0
        self._waiting: list[asyncio.Future[None]] = []

    def serving(self, model: str) -> list[Upstream]:
        """The upstreams that serve the model, even if they are failing."""
        return [upstream for upstream in self.upstreams if model in upstream.models]

    async def choose(self, model: str, tried: list[Upstream]) -> Upstream | None:
        """The least busy of the untried upstreams, by weight; those in cooldown only if there is no other.
        Waits while all are full. None if none is left; raises `Overloaded` if too many requests are
        waiting."""
        while able := [upstream for upstream in self.serving(model) if upstream not in tried]:
            ready = [one for one in able if not one.cooldown.is_active]
            candidates = ready or [min(able, key=lambda one: one.cooldown.until)]
            free = [one for one in candidates if one.num_running < one.config.max_requests]
            if free:
                return min(free, key=lambda one: (one.num_running + 1) / one.config.weight)
            if len(self._waiting) >= self.max_queue:
                raise Overloaded(f"{len(self._waiting)} requests are waiting for upstreams of {model}.")
            await self._wait(min(one.config.timeout_s for one in candidates))
        return None

    async def _wait(self, timeout_s: float) -> None:
        """Wait until a request on any upstream has ended. Raises `Overloaded`."""
        freed = asyncio.get_running_loop().create_future()
        self._waiting.append(freed)
        try:
            async with asyncio.timeout(timeout_s):
                await freed
        except TimeoutError as exc:
            raise Overloaded("No upstream became free in time.") from exc
        finally:
            if freed in self._waiting:
                self._waiting.remove(freed)

    def wake(self) -> None:
        """Let all waiting requests try again, in order: the first one may need another upstream."""
        waiting, self._waiting = self._waiting, []
        for freed in waiting:
            if not freed.done():
                freed.set_result(None)
