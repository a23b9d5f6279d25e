"""`system_fingerprint`: one for the same answers, another as soon as an answer could be another."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.http.scripted import INFO

from myna.core.requests import Sampling
from myna.request import fingerprint
from myna.request.fingerprint import system_fingerprint

DEFAULT = Sampling()


def of(
    weights: str = "w",
    template: str = "t",
    max_answer_tokens: int = 0,
    sampling: Sampling = DEFAULT,
    **info: Any,
) -> str:
    generator = SimpleNamespace(info=msgspec.structs.replace(INFO, **info))
    served: Any = SimpleNamespace(
        weights=weights,
        generator=generator,
        renderer=SimpleNamespace(template_id=template),
        sampling=sampling,
    )
    return system_fingerprint(served, max_answer_tokens)


def test_each_part_of_an_answers_making_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    prints = [
        of(),
        of(weights="v"),
        of(template="u"),
        of(arithmetic="native-2"),
        of(context_tokens=100),
        of(kv_tokens=200),
        of(max_answer_tokens=5),
        of(sampling=Sampling(top_k=20)),
    ]
    monkeypatch.setattr(fingerprint, "OUTPUT_VERSION", 2)
    prints.append(of())
    assert len(set(prints)) == len(prints)


def test_what_changes_no_answer_does_not_count() -> None:
    same = {of(), of(kv_tokens=INFO.kv_tokens * 2), of(max_sequences=3), of(engine="renamed")}
    assert len(same) == 1
