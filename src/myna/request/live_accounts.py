"""What the server knows of keys and limits: never more than a second old, at no cost while nobody asks."""

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

LOOK_AGAIN_S: Final = 0.5
"""From this age on, a look at the store is begun beside the request."""
WAIT_S: Final = 0.9
"""From this age on, the request waits for it."""
_PATIENCE_S: Final = 5.0
_PATIENCE_IN_OUTAGE_S: Final = 0.5
_TOUCH_EVERY_S: Final = 30.0

log = logging.getLogger("myna.serving")


class LiveAccounts:
    """The store is asked for its version alone, in a thread, and read again only when that has changed.

    If it can't be reached, what was known last stands: nobody can have revoked a key there either.
    All methods are for one event loop; `__init__` reads the store and may block.
    """

    def __init__(
        self,
        store: AccountStore,
        secret: Secret,
        *,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """Raises `ConfigurationError` if the keys in the store were made with another secret."""
        self.store = store
        self.administration = Administration(store, secret, clock)
        self._secret = secret
        self._clock = clock
        self._steady_clock = steady_clock
        self._patience_s = patience_s
        self._looked_at = self._touched_at = steady_clock()
        accounts = store.load()
        if accounts.fingerprint not in ("", secret.fingerprint):
            raise ConfigurationError(ANOTHER_SERVERS_KEYS)
        self._directory = Directory(accounts)
        self._look: asyncio.Task[None] | None = None
        self._overdue: asyncio.Task[None] | None = None
        self._uses: dict[str, int] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="accounts")
        self._has_failed = False

    async def refresh(self) -> None:
        """Make sure that what `find` and `limits` say is less than a second old."""
        now = self._steady_clock()
        age_s = now - self._looked_at
        if age_s >= WAIT_S:
            while self._looked_at < now - LOOK_AGAIN_S:
                look = self._begin_look()
                if look is self._overdue:  # someone has waited for it in vain: once is enough
                    return
                await self._end_of(look)
        elif age_s >= LOOK_AGAIN_S:
            self._begin_look()

    async def catch_up(self) -> None:
        """See every change that was made before this call."""
        if self._look is not None and not self._look.done():
            await self._end_of(self._look)  # it may have begun too early
        await self._end_of(self._begin_look())

    async def find(self, key: str) -> Principal | None:
        """Who the key stands for; `refresh` comes first. One that may just have been made is looked for in
        the store."""
        digest = self._secret.digest(key)
        principal = self._directory.find(digest, self._clock())
        if principal is None and is_well_formed(key) and not self._directory.fault(digest, self._clock()):
            await self.catch_up()
            principal = self._directory.find(digest, self._clock())
        if principal is not None:
            self._uses[principal.key_id] = int(self._clock())
        return principal

    def fault(self, key: str) -> str:
        """Why a key of ours opens nothing, for its holder; empty if it isn't ours."""
        return self._directory.fault(self._secret.digest(key), self._clock())

    def limits(self, principal: Principal, names: Sequence[str]) -> tuple[Limit, ...]:
        """The limits that a request to the model of these names falls under."""
        return self._directory.limits(principal, names)

    async def aclose(self) -> None:
        """Write down the last uses, and close the store."""
        if self._look is not None:
            await asyncio.wait([self._look], timeout=self._patience_s)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _end_of(self, look: "asyncio.Task[None]") -> None:
        """Returns when it has ended, or takes too long for anyone to wait."""
        patience_s = min(self._patience_s, _PATIENCE_IN_OUTAGE_S) if self._has_failed else self._patience_s
        done, _ = await asyncio.wait([look], timeout=patience_s)
        if not done:
            self._overdue = look
            self._fail("the database does not answer")
            self._looked_at = self._steady_clock()

    def _begin_look(self) -> "asyncio.Task[None]":
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_once())
        return self._look

    async def _look_once(self) -> None:
        began = self._steady_clock()
        uses: Mapping[str, int] = {}
        if self._uses and began - self._touched_at >= _TOUCH_EVERY_S:
            uses, self._uses, self._touched_at = self._uses, {}, began
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
        self._looked_at = began

    def _read(self, version: int, uses: Mapping[str, int]) -> Accounts | None:
        if uses:
            self.store.touch(uses)
        return None if self.store.version() == version else self.store.load()

    def _close(self) -> None:
        try:
            if self._uses:
                self.store.touch(self._uses)
        except DatabaseError as exc:
            log.error("the last uses of keys can't be written: %s", exc)
        finally:
            self.store.close()

    def _fail(self, why: str) -> None:
        if not self._has_failed:
            log.error("the keys can't be read, those that were known last stay: %s", why)
        self._has_failed = True
