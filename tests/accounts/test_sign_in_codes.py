"""Single-use sign-in codes."""

import pytest

from myna.accounts.sign_in_codes import VALID_S, SignInCodes, new_sign_in_code

KEY = "sk-myna-test"


def test_a_code_is_exchanged_once() -> None:
    codes = SignInCodes(KEY, lambda: 1000.0)
    first, second = (new_sign_in_code(KEY, 1000.0) for _ in range(2))
    assert codes.redeem(first) == KEY
    assert codes.redeem(first) is None
    assert codes.redeem(second) == KEY


def test_a_code_expires() -> None:
    now = [1000.0]
    codes = SignInCodes(KEY, lambda: now[0])
    code, other = (new_sign_in_code(KEY, 1000.0) for _ in range(2))
    assert codes.redeem(code) == KEY
    now[0] += VALID_S
    assert codes.redeem(other) is None
    assert codes.redeem(code) is None  # also when the server has forgotten that it was used


@pytest.mark.parametrize(
    "code",
    ["", "x", "é", "A" * 54, "=" * 54, pytest.param(new_sign_in_code("another", 1000.0), id="another")],
)
def test_an_invalid_code_is_refused(code: str) -> None:
    assert SignInCodes(KEY, lambda: 1000.0).redeem(code) is None


def test_a_code_from_a_far_future_is_refused() -> None:
    assert SignInCodes(KEY, lambda: 1000.0).redeem(new_sign_in_code(KEY, 9999.0)) is None


def test_a_code_from_before_a_restart_is_refused() -> None:
    code = new_sign_in_code(KEY, 1000.0)
    assert SignInCodes(KEY, lambda: 1001.0).redeem(code) is None
