"""The table of backends: which of them the settings choose, and that together they are used like one."""

from collections.abc import Mapping

import pytest
from tests.backends.stand_in import OPTIONS, Elsewhere, FarCandidate, FarModel
from tests.http.scripted import local

from myna.backends.table import BACKENDS, BackendRow, Backends, engine_names, open_backends, section_names
from myna.backends.worker.backend import WorkerBackend
from myna.core.backend import Backend, BackendOptions
from myna.core.errors import ConfigurationError, ModelLoadFailed
from myna.core.ledger import Price
from myna.settings import Settings

ELSEWHERE = "tests.backends.stand_in:Elsewhere"
ROWS = {
    "worker": BACKENDS["worker"],
    "far": BackendRow(ELSEWHERE, engines=("far",)),
    "upstreams": BackendRow(ELSEWHERE, section="upstreams"),
}


def both(first: Elsewhere, second: Elsewhere) -> Backends:
    rows = {"first": BackendRow(ELSEWHERE), "second": BackendRow(ELSEWHERE, section="upstreams")}
    return Backends({"first": first, "second": second}, rows)


def chosen(engine: str, sections: Mapping[str, object]) -> list[str]:
    options = BackendOptions(OPTIONS.home, engine)
    opened = open_backends(options, sections, ROWS).opened
    return list(opened)


@pytest.mark.parametrize("name", BACKENDS)
def test_every_row_opens_without_a_loop_and_is_a_backend(name: str) -> None:
    row = BACKENDS[name]
    for engine in ("auto", *row.engines):
        backend: Backend = open_backends(
            BackendOptions(OPTIONS.home, engine), dict.fromkeys(section_names()), {name: row}
        ).opened[name]
        assert backend.announced() == ()


def test_the_setting_takes_what_the_table_names_and_every_name_means_one_backend() -> None:
    names = engine_names()
    assert names[0] == "auto"
    assert len(set(names)) == len(names)
    assert set(names) >= {"native", "llamacpp", "fake"}
    assert engine_names(ROWS)[-1] == "far"
    assert section_names(ROWS) == ("upstreams",)
    assert set(section_names()) <= set(Settings.__slots__)


@pytest.mark.parametrize(
    ("engine", "sections", "expected"),
    [
        ("auto", {}, ["worker", "far"]),
        ("native", {}, ["worker"]),
        ("far", {}, ["far"]),
        ("fake", {"upstreams": 1}, ["worker", "upstreams"]),
        ("auto", {"upstreams": 1}, ["worker", "far", "upstreams"]),
    ],
)
def test_settings_choose_the_backends(engine: str, sections: dict[str, object], expected: list[str]) -> None:
    assert chosen(engine, sections) == expected


async def test_a_model_goes_to_the_first_backend_that_accepts_it() -> None:
    worker, far = WorkerBackend(BackendOptions(OPTIONS.home, "fake")), Elsewhere(OPTIONS)
    backends = Backends({"worker": worker, "far": far}, ROWS)
    assert isinstance(await backends.prepare(FarModel("far-1")), FarCandidate)
    assert not isinstance(await backends.prepare(local("tiny")), FarCandidate)
    with pytest.raises(ModelLoadFailed, match="'tiny'"):
        await Backends({"far": far}, ROWS).prepare(local("tiny"))


async def test_only_the_backend_that_will_load_the_first_model_starts_for_it() -> None:
    first, second = Elsewhere(OPTIONS), Elsewhere(OPTIONS)
    await both(first, second).start(FarModel("far-1"))
    assert (first.calls, second.calls) == (["start for far-1"], ["start"])
    await both(first, second).start(local("tiny"))
    assert (first.calls[1:], second.calls[1:]) == (["start"], ["start"])


def test_a_server_without_any_usable_backend_says_what_to_install() -> None:
    first, second = Elsewhere(OPTIONS), Elsewhere(OPTIONS)
    first.is_installed = False
    both(first, second).check()
    second.is_installed = False
    with pytest.raises(ConfigurationError, match="not installed"):
        both(first, second).check()
    assert [finding.state for finding in both(first, second).findings()] == ["wrong", "wrong"]


def test_what_backends_announce_adds_up() -> None:
    first, second = Elsewhere(OPTIONS), Elsewhere(OPTIONS)
    first.models, second.models = (FarModel("far-1"),), (FarModel("far-2"), FarModel("far-3"))
    backends = both(first, second)
    assert [model.id for model in backends.announced()] == ["far-1", "far-2", "far-3"]
    assert backends.may_announce("far-9")
    assert not backends.may_announce("near")


def test_the_first_backend_with_a_price_for_a_model_sets_it() -> None:
    first, second = Elsewhere(OPTIONS), Elsewhere(OPTIONS)
    dear, cheap = Price(2.0, 1.0, 8.0), Price(0.2, 0.1, 0.8)
    first.prices, second.prices = {"far-1": dear}, {"far-1": cheap, "far-2": cheap}
    backends = both(first, second)
    assert [backends.price(f"far-{index}") for index in (1, 2, 3)] == [dear, cheap, None]


async def test_all_of_them_begin_change_and_end() -> None:
    first, second = Elsewhere(OPTIONS), Elsewhere(OPTIONS)
    backends = both(first, second)
    await backends.start()
    backends.change(BackendOptions(OPTIONS.home, max_queue=3), {"upstreams": "changed"})
    await backends.aclose()
    assert first.calls == second.calls == ["start", "aclose"]
    assert (first.options.max_queue, first.options.section) == (3, None)
    assert (second.options.max_queue, second.options.section) == (3, "changed")
