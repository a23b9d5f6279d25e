"""The server's cached keys and limits: at most a second old, and not polled while there are no requests."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from myna.accounts.administration import ANOTHER_SERVERS_KEYS, Administration
from myna.accounts.directory import Directory
from myna.accounts.keys import is_well_formed
from myna.accounts.principal import Principal
from myna.accounts.secret import Secret
from myna.core.accounts import Accounts, AccountStore, Limit
from myna.core.errors import ConfigurationError, DatabaseError

REFRESH_AFTER_S: Final = 0.5
"""From this age on, a request starts a poll of the store in the background."""
MAX_AGE_S: Final = 0.9
"""From this age on, a request waits for the poll."""
_TIMEOUT_S: Final = 5.0
_TIMEOUT_IN_OUTAGE_S: Final = 0.5
_WRITE_USES_EVERY_S: Final = 30.0

log = logging.getLogger("myna.serving")


class LiveAccounts:
    """Polls the store's version in a thread, and reloads the accounts when it has changed.

    If the store can't be reached, the last known accounts stay valid: no key can have been revoked either.
    All methods are for one event loop; `__init__` reads the store and may block.
    """

    def __init__(
        self,
        store: AccountStore,
        secret: Secret,
        *,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """Raises `ConfigurationError` if the keys in the store were made with another secret."""
        self.store = store
        self.administration = Administration(store, secret, clock)
        self._secret = secret
        self._clock = clock
        self._steady_clock = steady_clock
        self._timeout_s = timeout_s
        self._polled_at = self._uses_written_at = steady_clock()
        accounts = store.load()
        if accounts.fingerprint not in ("", secret.fingerprint):
            raise ConfigurationError(ANOTHER_SERVERS_KEYS)
        self._directory = Directory(accounts)
        self._poll: asyncio.Task[None] | None = None
        self._overdue: asyncio.Task[None] | None = None
        self._uses: dict[str, int] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="accounts")
        self._has_failed = False

    async def refresh(self) -> None:
        """Make sure that the results of `find` and `limits` are less than a second old."""
        now = self._steady_clock()
        age_s = now - self._polled_at
        if age_s >= MAX_AGE_S:
            while self._polled_at < now - REFRESH_AFTER_S:
                poll = self._start_poll()
                if poll is self._overdue:  # a request has already timed out on it; the others don't wait
                    return
                await self._wait_for(poll)
        elif age_s >= REFRESH_AFTER_S:
            self._start_poll()

    async def catch_up(self) -> None:
        """Returns once every change made before this call is visible."""
        if self._poll is not None and not self._poll.done():
            await self._wait_for(self._poll)  # it may have started too early
        await self._wait_for(self._start_poll())

    async def find(self, key: str) -> Principal | None:
        """The principal of a key; call `refresh` first. A well-formed unknown key may be new, so the store is
        polled again for it."""
        digest = self._secret.digest(key)
        principal = self._directory.find(digest, self._clock())
        if principal is None and is_well_formed(key) and not self.rejection_reason(key):
            await self.catch_up()
            principal = self._directory.find(digest, self._clock())
        if principal is not None:
            self._uses[principal.key_id] = int(self._clock())
        return principal

    def principal(self, key_id: str) -> Principal | None:
        """The principal of the key with that id, if it is valid; call `refresh` first."""
        return self._directory.principal(key_id, self._clock())

    def rejection_reason(self, key: str) -> str:
        """Why a key of ours is rejected, for its holder; empty if it isn't ours."""
        return self._directory.rejection_reason(self._secret.digest(key), self._clock())

    def limits(self, principal: Principal, names: Sequence[str]) -> tuple[Limit, ...]:
        """The limits of a request to the model with these names."""
        return self._directory.limits(principal, names)

    async def aclose(self) -> None:
        """Write the last uses of keys, and close the store."""
        if self._poll is not None:
            await asyncio.wait([self._poll], timeout=self._timeout_s)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _wait_for(self, poll: "asyncio.Task[None]") -> None:
        """Returns when the poll has ended or has timed out."""
        timeout_s = min(self._timeout_s, _TIMEOUT_IN_OUTAGE_S) if self._has_failed else self._timeout_s
        done, _ = await asyncio.wait([poll], timeout=timeout_s)
        if not done:
            self._overdue = poll
            self._fail("the database does not answer")
            self._polled_at = self._steady_clock()

    def _start_poll(self) -> "asyncio.Task[None]":
        if self._poll is None or self._poll.done():
            self._poll = asyncio.create_task(self._poll_once())
        return self._poll

    async def _poll_once(self) -> None:
        began = self._steady_clock()
        uses: Mapping[str, int] = {}
        if self._uses and began - self._uses_written_at >= _WRITE_USES_EVERY_S:
            uses, self._uses, self._uses_written_at = self._uses, {}, began
        loop = asyncio.get_running_loop()
        try:
            accounts = await loop.run_in_executor(self._thread, self._read, self._directory.version, uses)
            if accounts is not None:
                self._directory = Directory(accounts)
        except Exception as exc:
            self._uses = {**uses, **self._uses}
            self._fail(str(exc))
        else:
            self._has_failed = False
        self._polled_at = began

    def _read(self, version: int, uses: Mapping[str, int]) -> Accounts | None:
        if uses:
            self.store.touch(uses)
        return None if self.store.version() == version else self.store.load()

    def _close(self) -> None:
        try:
            if self._uses:
                self.store.touch(self._uses)
        except DatabaseError as exc:
            log.error("can't write when keys were last used: %s", exc)
        finally:
            self.store.close()

    def _fail(self, why: str) -> None:
        if not self._has_failed:
            log.error("can't read the keys, so the last known ones stay valid: %s", why)
        self._has_failed = True
