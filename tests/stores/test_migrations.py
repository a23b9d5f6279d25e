"""The steps of the database end where the tables are, from nothing and from what the first version wrote."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, column, create_engine, insert, inspect, table
from tests.stores.rows import usage_row

from myna.core.ledger import UsageFilter
from myna.stores import database
from myna.stores.database import open_database
from myna.stores.registry import open_stores
from myna.stores.tables import COUNTERS, METADATA
from myna.stores.usage_sums import COUNTS, HOUR_S


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/myna.db"
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgresql_url"))
    opened = open_database(url)
    yield opened.engine
    opened.close()


def test_the_steps_end_where_the_tables_are(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, METADATA)
    # PostgreSQL has one table more, which is in no metadata: SQLite keeps it in another file.
    assert [change for change in differences if getattr(change[1], "name", "") != COUNTERS.name] == []


def test_what_the_first_version_kept_is_there_after_the_steps_and_in_the_copy(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = create_engine(f"sqlite:///{path}")
    with old.begin() as connection:
        migrate(connection, "0001")
        connection.exec_driver_sql(
            "INSERT INTO completions (id, project, created, model, item, messages, replay) "
            "VALUES ('chatcmpl-1', 'default', 1, 'tiny', x'7b7d', x'5b5d', x'')"
        )
    old.dispose()
    completions = open_stores(f"sqlite:///{path}").completions()
    assert completions.get("default", "chatcmpl-1") is not None
    completions.close()
    accounts = open_stores(f"sqlite:///{path}").accounts()
    assert [project.id for project in accounts.load().projects] == ["default"]
    accounts.close()
    copy = sqlite3.connect(f"{path}.before-upgrade-from-0001")
    assert copy.execute("SELECT id FROM completions").fetchall() == [("chatcmpl-1",)]
    copy.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_hourly_sums_of_before_endpoints_count_as_before(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/old.db" if kind == "sqlite" else request.getfixturevalue("postgresql_url")
    texts = {"project": "ours", "key_id": "key_a", "model": "tiny", "user": "", "service_tier": "flex"}
    values = {"hour_s": HOUR_S, **texts, **dict.fromkeys(COUNTS, 1), "prompt_tokens": 7}
    old = create_engine(url)
    with old.begin() as connection:
        migrate(connection, "0009")
        connection.execute(insert(table("usage_hours", *map(column, values))), values)
    old.dispose()
    ledger = open_stores(url).ledger()
    row = usage_row(1, arrived_ms=HOUR_S * 1000, service_tier="flex")
    ledger.add([row])
    assert ledger.roll_up(2 * HOUR_S) == 1
    (total,) = ledger.sums(UsageFilter(), HOUR_S, ("model",))
    apart = ledger.sums(UsageFilter(), HOUR_S, ("endpoint", "service_tier"))
    ledger.close()
    assert (total.num_requests, total.prompt_tokens) == (2, 7 + row.prompt_tokens)
    assert [(part.endpoint, part.service_tier, part.prompt_tokens) for part in apart] == [
        ("", "flex", 7),
        ("chat.completions", "flex", row.prompt_tokens),
    ]


def migrate(connection: Connection, revision: str) -> None:
    """From nothing to that revision."""
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def test_the_newest_revision_is_the_one_that_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).with_name("migrations")))
    assert database.newest_revision() == ScriptDirectory.from_config(config).get_current_head()


def test_a_database_that_is_up_to_date_is_opened_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    script = (
        "import sys; from myna.stores.registry import open_stores; "
        f"open_stores({url!r}).ledger().close(); print('alembic' in sys.modules)"
    )

    def open_in_new_process() -> str:
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout

    assert open_in_new_process() == "True\n"
    assert open_in_new_process() == "False\n"


def test_servers_that_start_at_once_migrate_one_after_the_other(tmp_path: Path) -> None:
    for attempt in range(5):
        url = f"sqlite:///{tmp_path / f'{attempt}.db'}"
        with ThreadPoolExecutor(4) as starters:
            opened = list(starters.map(open_database, [url] * 4))
        for one in opened:
            assert "completions" in inspect(one.engine).get_table_names()
            one.close()
