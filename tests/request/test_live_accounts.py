"""What a server knows of keys: a second old at most, asked for only on demand, kept where nobody answers."""

import asyncio
import threading
from collections.abc import AsyncIterator

import msgspec
import pytest

from myna.accounts.administration import Actor, Administration
from myna.accounts.keys import new_key
from myna.accounts.secret import Secret
from myna.core.accounts import ALL_MODELS, EVERYONE, Accounts
from myna.core.errors import ConfigurationError, DatabaseError
from myna.request.live_accounts import LiveAccounts
from myna.stores.memory_accounts import MemoryAccounts

SECRET = Secret("a secret of the tests, long enough for it")
ANA = Actor("session", "ana")


class Watched(MemoryAccounts):
    """Counts its calls, and fails on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.num_versions = self.num_loads = 0
        self.is_away = False
        self.is_closed = False

    def version(self) -> int:
        self.num_versions += 1
        if self.is_away:
            raise DatabaseError("the database is away")
        return super().version()

    def load(self) -> Accounts:
        self.num_loads += 1
        return super().load()

    def close(self) -> None:
        self.is_closed = True


class Server:
    """A server's accounts with clocks that the test sets, and another server's acts on the same store."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.store = Watched()
        self.live = LiveAccounts(
            self.store, SECRET, clock=lambda: 1_800_000_000 + self.now, steady_clock=lambda: self.now
        )
        self.elsewhere = Administration(self.store, SECRET)
        self.store.num_loads = 0

    async def opens(self, key: str) -> bool:
        await self.live.refresh()
        return await self.live.find(key) is not None


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    running = Server()
    yield running
    await running.live.aclose()
    assert running.store.is_closed


async def test_a_key_that_was_just_made_elsewhere_opens_at_once(server: Server) -> None:
    made = server.elsewhere.create_key(ANA, "default", "x")
    assert await server.opens(made.value)


async def test_a_key_revoked_elsewhere_opens_nothing_after_less_than_a_second(server: Server) -> None:
    made = server.elsewhere.create_key(ANA, "default", "x")
    assert await server.opens(made.value)
    server.elsewhere.revoke_key(ANA, None, made.key.id)
    server.now += 0.95
    assert not await server.opens(made.value)
    assert server.live.rejection_reason(made.value) == "This key was revoked."


async def test_between_half_a_second_and_a_whole_one_nobody_waits(server: Server) -> None:
    made = server.elsewhere.create_key(ANA, "default", "x")
    assert await server.opens(made.value)
    server.elsewhere.revoke_key(ANA, None, made.key.id)
    server.now += 0.55
    assert await server.opens(made.value), "the look has only begun"
    await server.live.catch_up()
    assert not await server.opens(made.value)


async def test_the_store_is_asked_for_its_version_alone_and_seldom(server: Server) -> None:
    made = server.elsewhere.create_key(ANA, "default", "x")
    assert await server.opens(made.value)
    server.store.num_versions = server.store.num_loads = 0
    for _ in range(1000):
        assert await server.opens(made.value)
    assert server.store.num_versions == 0
    for _ in range(10):
        server.now += 1
        await asyncio.gather(*(server.opens(made.value) for _ in range(20)))
    assert (server.store.num_versions, server.store.num_loads) == (10, 0)


async def test_a_stranger_is_looked_for_only_if_the_checksum_is_right(server: Server) -> None:
    server.store.num_versions = 0
    assert not await server.opens("sk-something-else")
    assert not await server.opens(new_key()[:-1] + "!")
    assert server.store.num_versions == 0
    server.now += 0.1
    assert not await server.opens(new_key())
    assert server.store.num_versions == 1


async def test_while_the_store_is_away_the_last_state_stays_valid_and_is_logged_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    made = server.elsewhere.create_key(ANA, "default", "x")
    assert await server.opens(made.value)
    server.store.is_away = True
    for _ in range(5):
        server.now += 2
        assert await server.opens(made.value)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "the database is away" in caplog.text
    server.store.is_away = False
    server.elsewhere.revoke_key(ANA, None, made.key.id)
    server.now += 2
    assert not await server.opens(made.value)


async def test_limits_follow_as_keys_do(server: Server) -> None:
    made = server.elsewhere.create_key(ANA, "default", "x")
    principal = await server.live.find(made.value)
    assert principal is not None
    assert server.live.limits(principal, ("tiny",)) == ()
    server.elsewhere.set_limit(ANA, EVERYONE, ALL_MODELS, {"requests_per_minute": 5})
    server.now += 0.95
    await server.live.refresh()
    (limit,) = server.live.limits(principal, ("tiny",))
    assert limit.requests_per_minute == 5


async def test_last_uses_are_written_together_now_and_then_and_at_the_end() -> None:
    server = Server()
    first = server.elsewhere.create_key(ANA, "default", "first")
    second = server.elsewhere.create_key(ANA, "default", "second")
    for made in (first, second):
        assert await server.opens(made.value)

    def used() -> list[int | None]:
        return [key.last_used_at for key in server.store.load().keys]

    assert used() == [None, None]
    server.now += 31
    assert await server.opens(first.value)
    await server.live.catch_up()
    assert used() == [1_800_001_000, 1_800_001_000]
    server.now += 5
    assert await server.opens(second.value)
    await server.live.aclose()
    assert sorted(map(int, map(str, used()))) == [1_800_001_031, 1_800_001_036]


def test_a_store_whose_keys_another_secret_made_is_refused() -> None:
    store = MemoryAccounts()
    Administration(store, SECRET).create_key(ANA, "default", "x")
    with pytest.raises(ConfigurationError, match="another secret"):
        LiveAccounts(store, Secret("another secret, which is long enough too"))


async def test_a_store_that_is_away_at_the_end_is_closed_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    made = server.elsewhere.create_key(ANA, "default", "x")
    assert await server.opens(made.value)

    def fail(uses: object) -> None:
        raise DatabaseError("the database is away")

    monkeypatch.setattr(server.store, "touch", fail)
    await server.live.aclose()
    assert server.store.is_closed
    assert "the database is away" in caplog.text


class Hanging(Watched):
    """Takes until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()

    def version(self) -> int:
        assert self.go.wait(60)
        return super().version()


async def test_a_store_that_hangs_makes_one_request_wait_in_vain_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 1000.0
    store = Hanging()
    live = LiveAccounts(
        store, SECRET, clock=lambda: 1_800_000_000 + now, steady_clock=lambda: now, timeout_s=0.001
    )
    made = live.administration.create_key(ANA, "default", "x")
    await live.catch_up()
    store.go.clear()
    now += 2
    await live.refresh()
    live._timeout_s = 3600
    for _ in range(5):
        now += 2
        await live.refresh()
        assert await live.find(made.value) is not None, "what was known last stands"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    store.go.set()
    live.administration.revoke_key(ANA, None, made.key.id)
    await live.catch_up()
    assert await live.find(made.value) is None
    await live.aclose()


async def test_accounts_that_make_no_sense_leave_those_that_were_known(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = server.elsewhere.create_key(ANA, "default", "x")
    assert await server.opens(made.value)
    server.elsewhere.create_key(ANA, "default", "y")
    load = server.store.load
    monkeypatch.setattr(server.store, "load", lambda: None.accounts)  # type: ignore[attr-defined]
    server.now += 2
    assert await server.opens(made.value)
    monkeypatch.setattr(server.store, "load", lambda: msgspec.structs.replace(load(), keys=[None]))
    server.now += 2
    assert await server.opens(made.value)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
