"""Any JSON, with the names and values that endpoints look for drawn more often, for fuzzing bodies."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

any_text = st.text(max_size=6) | st.sampled_from(
    ["auto", "json_object", "text", "user", "tool", "json", "\x00", "<user>"]
)
_scalar = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(-3, 130)
    | st.floats(allow_nan=False, allow_infinity=False)
    | any_text
)
any_json: st.SearchStrategy[Any] = st.recursive(
    _scalar,
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            any_text | st.sampled_from(["type", "role", "content", "schema", "include_usage"]),
            inside,
            max_size=3,
        )
    ),
    max_leaves=8,
)


def body_of(names: Iterable[str], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Up to six parameters, `fields` first; the others, and an unknown one, have any values."""
    extra = {name: any_json for name in names if name not in fields and name != "model"}
    return st.fixed_dictionaries(dict(fields), optional=extra | {"bogus": any_json}).map(
        lambda body: dict(list(body.items())[:6])
    )
