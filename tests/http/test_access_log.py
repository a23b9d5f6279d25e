"""The log's two forms."""

import json
import logging
import sys

import pytest

from myna.core.errors import DatabaseError, DatabaseUnavailable
from myna.core.ledger import UsageRow
from myna.http.access_log import JsonLines, printable, record_failure, request_fields
from myna.http.record import RequestRecord


def test_a_strangers_text_stays_on_its_line() -> None:
    assert printable("a\nb c\x1b[31m\u202e") == "a\\nb%20c\\x1b[31m\\u202e"
    assert printable("你好") == "你好"
    assert len(printable("x" * 1000)) == 200


def test_a_line_has_who_what_how_many_and_how_it_ended() -> None:
    record = RequestRecord(key_id="key_1", model="tiny", status=200)
    record.usage = UsageRow(
        record.id, "ours", "key_1", "chat", 0, prompt_tokens=3, cached_tokens=1, completion_tokens=2
    )
    fields = request_fields({"method": "POST", "path": "/v1/x"}, record)
    assert fields["id"] == record.id
    assert (fields["key"], fields["model"], fields["outcome"]) == ("key_1", "tiny", "completed")
    assert (fields["prompt_tokens"], fields["cached_tokens"], fields["completion_tokens"]) == (3, 1, 2)


def test_json_lines_carry_the_fields_or_the_message_with_its_traceback() -> None:
    form = JsonLines()
    record = logging.LogRecord("myna.access", logging.INFO, "f", 1, "text", (), None)
    record.fields = {"id": "req_1", "model": "你"}
    line = json.loads(form.format(record))
    assert (line["id"], line["model"], line["level"]) == ("req_1", "你", "info")
    assert "message" not in line
    try:
        raise ValueError("two\nlines")
    except ValueError:
        failed = logging.LogRecord("myna", logging.ERROR, "f", 1, "it %s", ("broke",), sys.exc_info())
    text = form.format(failed)
    assert "\n" not in text
    assert json.loads(text)["message"] == "it broke"
    assert "ValueError" in json.loads(text)["traceback"]


def test_what_the_database_has_logged_is_not_logged_again_by_each_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = RequestRecord()
    record_failure(record, DatabaseUnavailable("away"))
    assert record.outcome == "DatabaseUnavailable"
    assert caplog.records == []
    record_failure(record, DatabaseError("no such column"))
    assert [line.levelname for line in caplog.records] == ["ERROR"]
