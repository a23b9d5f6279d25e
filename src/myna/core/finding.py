"""The results of a check and how to fix problems. Texts are translated when they are shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from myna.core.translatable import Translatable

State = Literal["ok", "advice", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice`: works, but could be better. `wrong`: keeps something from working, or is unsafe."""

    state: State
    text: str | Translatable
    remedy: str | Translatable = ""


Findings = Iterator[Finding]


def ok(text: str | Translatable) -> Finding:
    return Finding("ok", text)


def advice(text: str | Translatable, *, remedy: str | Translatable) -> Finding:
    return Finding("advice", text, remedy)


def wrong(text: str | Translatable, *, remedy: str | Translatable) -> Finding:
    return Finding("wrong", text, remedy)
