"""Lark rules of a list of named values with separators, some of them optional."""

from collections.abc import Sequence
from typing import Final

from myna.core.errors import ConstraintTooComplex
from myna.core.translatable import N_
from myna.prompts.call_formats.layout import quoted

_MAX_RULES: Final = 20_000


def sequence_rules(
    name: str,
    items: Sequence[tuple[str, bool]],
    separator: str,
    closing: str,
    more: str | None = None,
    *,
    least: int = 0,
    most: int | None = None,
) -> str:
    """The rule `name`: the rules `items` in their order, each with whether it is required, then any number of
    `more`, and `closing`. Other rules begin with that name. In all, there are at least `least` and at most
    `most` of them; "" if that is impossible. Raises `ConstraintTooComplex` if it takes too many rules."""

    def rule(i: int, count: int) -> str:
        return f"{name}_n{count}_{i}"

    def may_take(count: int) -> bool:
        return most is None or count < most

    # For each item, how many may have come before it; larger numbers than this are all alike.
    enough = max(1 if separator else 0, least if most is None else most)
    counts = [{0}]
    for _, is_required in items:
        taken = {min(count + 1, enough) for count in counts[-1] if may_take(count)}
        counts.append(taken if is_required else taken | counts[-1])
    if sum(map(len, counts)) > _MAX_RULES:
        raise ConstraintTooComplex(N_("An object has too many properties for its 'minProperties'."))
    ends = {count: _end(count, separator, closing, more, least, most) for count in counts[-1]}
    possible = {count for count, end in ends.items() if end is not None}
    rules = [f"{rule(len(items), count)}: {ends[count]}\n" for count in sorted(possible)]
    for i in reversed(range(len(items))):
        item, is_required = items[i]
        ways = dict[int, list[str]]()
        for count in sorted(counts[i]):
            after = min(count + 1, enough)
            if may_take(count) and after in possible:
                before = f"{quoted(separator)} " if count else ""
                ways[count] = [f"{before}{item} {rule(i + 1, after)}"]
            if not is_required and count in possible:
                ways.setdefault(count, []).append(rule(i + 1, count))
        rules += (f"{rule(i, count)}: {' | '.join(found)}\n" for count, found in ways.items())
        possible = set(ways)
    return "".join([f"{name}: {rule(0, 0)}\n", *reversed(rules)]) if possible else ""


def _end(
    count: int, separator: str, closing: str, more: str | None, least: int, most: int | None
) -> str | None:
    """What follows the items, after so many of them; None if these are too few, or too many."""
    fewest, rest = max(least - count, 0), None if most is None else most - count
    if more is None or rest == 0:
        return quoted(closing) if fewest == 0 else None
    if rest is not None and rest < fewest:
        return None
    return f"{repeated(more, separator, fewest, rest, is_first=count == 0)} {quoted(closing)}"


def repeated(item: str, separator: str, least: int, most: int | None, *, is_first: bool) -> str:
    """So many items, with a separator before each, unless it `is_first`; `most` isn't 0."""
    later = f"({quoted(separator)} {item})"
    if not is_first:
        return later + _times(least, most)
    whole = f"{item} {later}{_times(max(least, 1) - 1, None if most is None else most - 1)}"
    return whole if least else f"({whole})?"


def _times(least: int, most: int | None) -> str:
    return f"{{{least},{'' if most is None else most}}}" if least or most is not None else "*"
