"""What a newcomer does: make a key, use it, set a limit, hit it, read why, rotate, revoke."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from openai import AuthenticationError, NotFoundError, OpenAI, RateLimitError
from tests.e2e.server import KEY, MODEL, ServerProcess, serving, variables

Myna = Callable[..., str]
Connect = Callable[..., Any]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with serving(tmp_path, "--engine", "fake", MYNA_PRICES="fake=1000000/1000000") as running:
        yield running


@pytest.fixture
def myna(tmp_path: Path, server: ServerProcess) -> Myna:
    """The output of a command that runs in a shell, next to the server."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "myna.cli", *arguments],
            env=variables(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def connect(server: ServerProcess) -> Iterator[Connect]:
    """A client with a key. Its connections end with the test."""
    with ExitStack() as stack:

        def new(key: str, retries: int = 0) -> OpenAI:
            return stack.enter_context(
                OpenAI(base_url=server.base_url, api_key=key, admin_api_key=key, max_retries=retries)
            )

        yield new


def _chat(client: Any, **options: Any) -> Any:
    return client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "hi"}], max_tokens=8, **options
    )


def test_a_newcomer_makes_a_key_uses_it_limits_it_and_reads_why(connect: Connect, myna: Myna) -> None:
    key = myna("keys", "create", "Ana's laptop")
    client = connect(key)
    assert _chat(client).usage.completion_tokens > 0

    myna("limits", "set", "--key", "Ana's laptop", "--requests-per-minute", "1")
    deadline = time.monotonic() + 30
    while True:
        try:
            _chat(client)
        except RateLimitError as exc:
            refusal = exc
            break
        assert time.monotonic() < deadline, "the limit is not heard of"
    assert refusal.code == "rate_limit_exceeded"
    assert refusal.type == "requests"
    assert "on requests per min (RPM): Limit 1, Used 1, Requested 1. Please try again in" in refusal.message
    assert refusal.response.headers["x-ratelimit-limit-requests"] == "1"
    assert 0 < int(refusal.response.headers["retry-after"]) <= 60

    listed = json.loads(myna("keys", "list", "--json"))
    assert [entry["name"] for entry in listed] == ["Ana's laptop"]
    assert key not in json.dumps(listed)


def test_a_revoked_key_fails_within_a_second_and_a_rotated_one_when_its_overlap_is_over(
    connect: Connect, myna: Myna
) -> None:
    first = myna("keys", "create", "ci")
    both = myna("keys", "rotate", "ci", "--overlap", "1h")
    for key in (first, both):
        assert connect(key).models.list().data
    alone = myna("keys", "rotate", "ci")
    _is_refused_from(time.monotonic(), connect, first)
    # `both` is the old one of `alone` now, without an overlap.
    with pytest.raises(AuthenticationError):
        connect(both).models.list()
    assert connect(alone).models.list().data
    myna("keys", "revoke", "ci")
    _is_refused_from(time.monotonic(), connect, alone)
    with pytest.raises(AuthenticationError) as caught:
        connect(alone).models.list()
    assert caught.value.code == "invalid_api_key"
    assert caught.value.response.headers["x-myna-hint"] == "This key was revoked."


def _is_refused_from(ended_at: float, connect: Connect, key: str) -> None:
    """No request opens anything that is sent a second after that time or later."""
    client = connect(key)
    while True:
        asked_at = time.monotonic()
        try:
            client.models.list()
        except AuthenticationError:
            return
        assert asked_at < ended_at + 1, "the key still opens the server"


def test_a_key_of_one_model_sees_no_other_and_one_without_the_scope_manages_nothing(
    connect: Connect, myna: Myna
) -> None:
    client = connect(myna("keys", "create", "narrow", "--model", "gpt-4o-mini"))
    assert [model.id for model in client.models.list()] == ["gpt-4o-mini"]
    with pytest.raises(NotFoundError):
        _chat(client)
    with pytest.raises(AuthenticationError, match=r"Missing scopes: api\.management\.read"):
        client.admin.organization.projects.retrieve("default")
    boss = connect(myna("keys", "create", "boss", "--scope", "admin")).admin.organization
    acts = [(act.type, act.actor.type) for act in boss.audit_logs.list()]
    assert acts == [(act, "session") for act in ("api_key.created", "api_key.created", "project.created")]
    project = boss.projects.create(name="Website")
    (act, *_) = boss.audit_logs.list(limit=1).data
    assert (act.type, act.actor.type, act.actor.ip_address) == ("project.created", "api_key", "127.0.0.1")
    assert act.project_created.id == project.id


def test_a_spent_budget_is_a_quota_that_no_client_tries_again(connect: Connect, myna: Myna) -> None:
    client = connect(myna("keys", "create", "spender"), retries=5)
    myna("limits", "set", "--key", "spender", "--budget", "1")
    deadline = time.monotonic() + 30
    while True:
        try:
            _chat(client)  # a dollar a token
        except RateLimitError as exc:
            refusal = exc
            break
        assert time.monotonic() < deadline, "the budget is not heard of"
    assert (refusal.type, refusal.code) == ("insufficient_quota", "insufficient_quota")
    assert refusal.response.request.headers["x-stainless-retry-count"] == "0"
    assert refusal.response.headers["x-myna-hint"] == "This month's budget is used up: $1.00."


def test_no_log_ever_holds_a_key(server: ServerProcess, connect: Connect, myna: Myna, tmp_path: Path) -> None:
    key = myna("keys", "create", "secretive")
    _chat(connect(key))
    for wrong in (key[:-1] + "x", key.upper()):
        with pytest.raises(AuthenticationError):
            connect(wrong).models.list()
    myna("keys", "revoke", "secretive")
    _is_refused_from(time.monotonic(), connect, key)
    assert server.stop() == 0
    log = "\n".join(server.log)
    secret = (tmp_path / "secret").read_text().strip()
    assert "/v1/models" in log
    for hidden in (key, key[8:-6], key.upper()[8:-6], KEY, secret):
        assert hidden not in log
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert key[8:-6].encode() not in path.read_bytes(), path
            assert path.name == "secret" or secret.encode() not in path.read_bytes(), path
