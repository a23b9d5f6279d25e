"""What administrators do: each action changes something, is logged, and reveals no secret."""

import contextlib
import threading
from typing import Any

import pytest

from myna.accounts.administration import ANOTHER_SERVERS_KEYS, Actor, Administration
from myna.accounts.directory import Directory
from myna.accounts.keys import is_well_formed
from myna.accounts.principal import ALL_SCOPES, KEY_SCOPES
from myna.accounts.secret import Secret
from myna.core.accounts import ALL_MODELS, EVERYONE, AuditQuery, Limit
from myna.core.errors import ConfigurationError, InvalidRequest, NotFound, PermissionDenied
from myna.stores.memory_accounts import MemoryAccounts

NOW = 1_800_000_000
ANA = Actor("session", "ana")
SECRET = Secret("a secret of the tests, long enough for it")


class AdministrationSession:
    """An administration with a clock that the test sets."""

    def __init__(self) -> None:
        self.now = float(NOW)
        self.store = MemoryAccounts()
        self.acts = Administration(self.store, SECRET, lambda: self.now)

    def opens(self, value: str, after_s: float = 0) -> bool:
        directory = Directory(self.store.load())
        return directory.find(SECRET.digest(value), self.now + after_s) is not None

    def rejection_reason(self, value: str, after_s: float = 0) -> str:
        return Directory(self.store.load()).rejection_reason(SECRET.digest(value), self.now + after_s)

    def written(self) -> list[str]:
        page = self.store.events(AuditQuery(limit=100))
        assert page is not None
        return [event.type for event in page.events]


def test_a_key_opens_from_the_moment_it_is_made_and_is_kept_as_a_hash() -> None:
    session = AdministrationSession()
    made = session.acts.create_key(ANA, "default", "  Ana's laptop ")
    assert is_well_formed(made.value)
    assert session.opens(made.value)
    assert not session.opens(made.value[:-1])
    assert made.key.name == "Ana's laptop"
    assert made.value not in repr(made)
    accounts = session.store.load()
    assert made.value not in repr(accounts)
    assert Secret("x" * 32).digest(made.value) != accounts.keys[0].digest
    assert made.key.redacted == f"{made.value[:11]}...{made.value[-4:]}"


def test_a_key_may_what_its_scopes_say() -> None:
    session = AdministrationSession()
    made = session.acts.create_key(
        ANA, "default", "x", scopes=["read", "inference", "read"], models=["b", "a", "b"]
    )
    principal = Directory(session.store.load()).find(SECRET.digest(made.value), NOW)
    assert principal is not None
    assert made.key.scopes == ("inference", "read")
    assert principal.scopes == KEY_SCOPES["inference"] | KEY_SCOPES["read"]
    assert principal.models == frozenset("ab")
    assert principal.may_use("alias", "a")
    assert not principal.may_use("c")
    missing = {"api.management.read", "api.management.write", "model.request.priority"}
    assert ALL_SCOPES - principal.scopes == missing


def test_the_priority_tier_needs_a_scope_of_its_own() -> None:
    session = AdministrationSession()
    for scopes, may in (
        (["inference"], False),
        (["inference", "priority"], True),
        (["read", "admin"], False),
    ):
        made = session.acts.create_key(ANA, "default", "x", scopes=scopes)
        principal = Directory(session.store.load()).find(SECRET.digest(made.value), NOW)
        assert principal is not None
        assert principal.may("model.request.priority") == may


def test_a_key_ends_when_its_time_is_over() -> None:
    session = AdministrationSession()
    made = session.acts.create_key(ANA, "default", "x", expires_in_s=60)
    assert session.opens(made.value, 59)
    assert not session.opens(made.value, 60)
    assert session.rejection_reason(made.value, 60) == "This key has expired."
    session.acts.change_key(ANA, None, made.key.id, {"expires_in_seconds": None})
    assert session.opens(made.value, 1e9)


def test_a_rotated_key_opens_with_both_until_the_overlap_is_over() -> None:
    session = AdministrationSession()
    first = session.acts.create_key(ANA, "default", "x")
    second = session.acts.rotate_key(ANA, "default", first.key.id, 60)
    assert second.key.id == first.key.id
    assert session.opens(second.value)
    assert session.opens(first.value, 59)
    assert not session.opens(first.value, 60)
    assert "rotated" in session.rejection_reason(first.value, 60)
    third = session.acts.rotate_key(ANA, None, first.key.id, 60)
    assert not session.opens(first.value), "a second rotation ends the oldest at once"
    assert session.opens(second.value)
    fourth = session.acts.rotate_key(ANA, None, first.key.id)
    assert [session.opens(made.value) for made in (second, third, fourth)] == [False, False, True]


def test_a_revoked_key_opens_nothing_nor_does_what_it_was_before() -> None:
    session = AdministrationSession()
    first = session.acts.create_key(ANA, "default", "x")
    second = session.acts.rotate_key(ANA, None, first.key.id, 60)
    session.acts.revoke_key(ANA, None, first.key.id)
    assert not session.opens(first.value)
    assert not session.opens(second.value)
    assert session.rejection_reason(second.value) == "This key was revoked."
    for again in (session.acts.revoke_key, session.acts.rotate_key):
        with pytest.raises(NotFound):
            again(ANA, None, first.key.id)


def test_keys_of_an_archived_project_open_nothing() -> None:
    session = AdministrationSession()
    project = session.acts.create_project(ANA, "Website")
    made = session.acts.create_key(ANA, project.id, "x")
    assert session.opens(made.value)
    archived = session.acts.archive_project(ANA, project.id)
    assert session.acts.archive_project(ANA, project.id) == archived, "once is enough"
    assert not session.opens(made.value)
    with pytest.raises(InvalidRequest, match="archived"):
        session.acts.create_key(ANA, project.id, "y")
    with pytest.raises(PermissionDenied):
        session.acts.archive_project(ANA, "default")


def test_a_key_is_found_in_its_own_project_alone() -> None:
    session = AdministrationSession()
    made = session.acts.create_key(ANA, "default", "x")
    project = session.acts.create_project(ANA, "Website")
    for act in (session.acts.revoke_key, session.acts.rotate_key):
        with pytest.raises(NotFound):
            act(ANA, project.id, made.key.id)
    with pytest.raises(NotFound):
        session.acts.change_key(ANA, project.id, made.key.id, {"name": "stolen"})


def test_limits_are_set_changed_and_taken_away() -> None:
    session = AdministrationSession()
    key = session.acts.create_key(ANA, "default", "x").key
    session.acts.set_limit(ANA, key.id, ALL_MODELS, {"requests_per_minute": 60})
    session.acts.set_limit(ANA, key.id, ALL_MODELS, {"tokens_per_day": 5})
    session.acts.set_limit(ANA, EVERYONE, "tiny", {"concurrent_requests": 2})
    expected = [
        Limit(EVERYONE, "tiny", concurrent_requests=2),
        Limit(key.id, ALL_MODELS, requests_per_minute=60, tokens_per_day=5),
    ]
    assert session.store.load().limits == expected
    directory = Directory(session.store.load())
    principal = directory._principals[key.id]
    assert directory.limits(principal, ("alias", "tiny")) == (expected[1], expected[0])
    assert directory.limits(principal, ("other",)) == (expected[1],)
    session.acts.set_limit(ANA, key.id, ALL_MODELS, {"requests_per_minute": None, "tokens_per_day": None})
    assert session.store.load().limits == [expected[0]]
    with pytest.raises(NotFound):
        session.acts.set_limit(ANA, "key_unknown", ALL_MODELS, {"requests_per_minute": 1})
    with pytest.raises(NotFound):
        session.acts.set_limit(ANA, "proj_unknown", ALL_MODELS, {"requests_per_minute": 1})


@pytest.mark.parametrize(
    "act",
    [
        lambda acts: acts.create_key(ANA, "default", "line\nbreak"),
        lambda acts: acts.create_key(ANA, "default", "\x00"),
        lambda acts: acts.create_key(ANA, "default", "n" * 10_000_000),
        lambda acts: acts.create_key(ANA, "default", "   "),
        lambda acts: acts.create_key(ANA, "default", "\ud800"),
        lambda acts: acts.create_key(ANA, "default", "x", scopes=["ādmin"]),
        lambda acts: acts.create_key(ANA, "default", "x", scopes=["s" * 10_000_000]),
        lambda acts: acts.create_key(ANA, "default", "x", scopes=[]),
        lambda acts: acts.create_key(ANA, "default", "x", models=[]),
        lambda acts: acts.create_key(ANA, "default", "x", models=["a\tb"]),
        lambda acts: acts.create_key(ANA, "default", "x", models=["m"] * 1001),
        lambda acts: acts.create_key(ANA, "default", "x", expires_in_s=-5),
        lambda acts: acts.create_key(ANA, "default", "x", expires_in_s=0),
        lambda acts: acts.create_key(ANA, "default", "x", expires_in_s=2**70),
        lambda acts: acts.rotate_key(ANA, "default", "key", -1),
        lambda acts: acts.create_project(ANA, ""),
        lambda acts: acts.set_limit(ANA, EVERYONE, "", {"requests_per_minute": -1}),
        lambda acts: acts.set_limit(ANA, EVERYONE, "", {"requests_per_minute": 0}),
        lambda acts: acts.set_limit(ANA, EVERYONE, "", {"budget_cents": 2**53 + 1}),
    ],
)
def test_hostile_values_get_one_short_sentence_and_change_nothing(act: Any) -> None:
    session = AdministrationSession()
    with pytest.raises(InvalidRequest) as caught:
        act(session.acts)
    assert len(caught.value.message) < 200
    assert caught.value.message.isprintable()
    assert caught.value.param
    accounts = session.store.load()
    assert (accounts.keys, accounts.limits, accounts.version) == ([], [], 0)


def test_every_act_is_written_down_with_who_did_it_and_no_secret() -> None:
    session = AdministrationSession()
    admin = Actor("api_key", "key_boss", "203.0.113.9")
    project = session.acts.create_project(admin, "Website")
    session.acts.rename_project(admin, project.id, "Shop")
    made = session.acts.create_key(admin, project.id, "x", models=["tiny"])
    rotated = session.acts.rotate_key(admin, project.id, made.key.id, 5)
    session.acts.change_key(admin, project.id, made.key.id, {"name": "y"})
    session.acts.set_limit(admin, made.key.id, "tiny", {"requests_per_minute": 5})
    session.acts.revoke_key(admin, project.id, made.key.id)
    session.acts.archive_project(admin, project.id)
    assert session.written() == [
        "project.archived", "api_key.deleted", "rate_limit.updated", "api_key.updated", "api_key.updated",
        "api_key.created", "project.updated", "project.created",
    ]  # fmt: skip
    page = session.store.events(AuditQuery())
    assert page is not None
    assert {(event.actor_type, event.actor, event.address, event.effective_at) for event in page.events} == {
        ("api_key", "key_boss", "203.0.113.9", NOW)
    }
    assert {event.project for event in page.events} == {project.id}
    everything = repr(page.events)
    for secret in (made.value, rotated.value, SECRET.digest(made.value), SECRET.digest(rotated.value)):
        assert secret not in everything


def test_of_two_administrators_neither_undoes_the_other() -> None:
    session = AdministrationSession()
    made = session.acts.create_key(ANA, "default", "x")
    started = threading.Barrier(8)

    def rename(number: int) -> None:
        started.wait()
        with contextlib.suppress(NotFound):  # it was revoked before
            session.acts.change_key(ANA, None, made.key.id, {"name": f"name {number}"})

    threads = [threading.Thread(target=rename, args=(number,)) for number in range(7)]
    for thread in threads:
        thread.start()
    started.wait()
    session.acts.revoke_key(ANA, None, made.key.id)
    for thread in threads:
        thread.join()
    assert not session.opens(made.value)


def test_a_server_with_another_secret_makes_no_keys_that_others_could_not_check() -> None:
    session = AdministrationSession()
    session.acts.create_key(ANA, "default", "x")
    stranger = Administration(session.store, Secret("another secret, which is long enough too"))
    with pytest.raises(ConfigurationError) as caught:
        stranger.create_key(ANA, "default", "y")
    assert caught.value.text == ANOTHER_SERVERS_KEYS
