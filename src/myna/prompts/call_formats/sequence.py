"""Lark rules of a list of named values with separators, some of them optional."""

from collections.abc import Sequence

from myna.prompts.call_formats.layout import quoted


def sequence_rules(
    name: str,
    items: Sequence[tuple[str, bool]],
    separator: str,
    closing: str,
    more: str | None = None,
    *,
    may_be_empty: bool = True,
) -> str:
    """The rule `name`: the rules `items` in their order, each with whether it is required, then any number of
    `more`, and `closing`. Other rules begin with that name. At least one of all is there, unless
    `may_be_empty`."""
    end = len(items)
    rules = f"{name}: {name}_a0\n"
    for i, (item, is_required) in enumerate(items):
        first, later = f"{item} {name}_b{i + 1}", f"{quoted(separator)} {item} {name}_b{i + 1}"
        is_needed = is_required or (i + 1 == end and more is None and not may_be_empty)
        rules += f"{name}_a{i}: {first}{'' if is_needed else f' | {name}_a{i + 1}'}\n"
        if i:
            rules += f"{name}_b{i}: {later}{'' if is_required else f' | {name}_b{i + 1}'}\n"
    first, later = quoted(closing), quoted(closing)
    if more is not None:
        again = f"({quoted(separator)} {more})*"
        mark = "?" if may_be_empty else ""
        first, later = f"({more} {again}){mark} {quoted(closing)}", f"{again} {later}"
    rules += f"{name}_a{end}: {first}\n"
    return rules + (f"{name}_b{end}: {later}\n" if items else "")
