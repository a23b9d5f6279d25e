"""What a request asks for without effect, where unsupported parameters are dropped instead of rejected."""

from collections.abc import Iterable, Mapping
from typing import Final

_MAX_PATH: Final = 256


class IgnoredFields:
    """Collects what is dropped from one request while its body is validated."""

    def __init__(self) -> None:
        self._found: list[tuple[object, str]] = []  # the object, which stays alive so that its id is unique

    def add(self, names: Iterable[str], owner: object = None) -> None:
        """`owner`: the object of the body that has these keys; None for names that are not below another."""
        self._found += ((owner, name) for name in names)

    def paths(self, body: Mapping[str, object]) -> list[str]:
        """The paths in the body, such as `messages[].name`: all elements of an array share one."""
        places = _places(body, {id(owner) for owner, _ in self._found if owner is not None})
        return list(dict.fromkeys(_join(places.get(id(owner), ""), name) for owner, name in self._found))


def _places(body: Mapping[str, object], wanted: set[int]) -> dict[int, str]:
    """The paths of the objects with these ids. Objects that validation has replaced are not found."""
    places: dict[int, str] = {}
    rest: list[tuple[str, object]] = [("", body)]
    while rest and len(places) < len(wanted):
        path, value = rest.pop()
        if isinstance(value, Mapping):
            if id(value) in wanted:
                places[id(value)] = path
            rest += (
                (_join(path, key), child) for key, child in value.items() if isinstance(child, dict | list)
            )
        elif isinstance(value, list):
            rest += ((f"{path}[]", child) for child in value if isinstance(child, dict | list))
    return places


def _join(path: str, key: str) -> str:
    """Cut, since the path of a long key is copied to everything below it."""
    return (f"{path}.{key}" if path else key)[:_MAX_PATH]
