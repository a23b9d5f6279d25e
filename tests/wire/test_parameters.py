"""No parameter of OpenAI's is unknown to the table, and none of the table's is ignored."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from myna.api.chat.schema import ChatRequest
from myna.api.completions.schema import CompletionRequest
from myna.api.embeddings.schema import EmbeddingsRequest
from myna.api.responses.schema import ResponsesRequest
from myna.wire.parameters import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, Parameter, Support
from myna.wire.validation import WireModel

OPENAI = json.loads((Path(__file__).parent.parent / "data" / "openai_parameters.json").read_text("utf-8"))
ENDPOINTS = [
    ("completions", COMPLETIONS, CompletionRequest),
    ("chat", CHAT, ChatRequest),
    ("responses", RESPONSES, ResponsesRequest),
    ("embeddings", EMBEDDINGS, EmbeddingsRequest),
]


@pytest.mark.parametrize(("endpoint", "table", "schema"), ENDPOINTS, ids=[row[0] for row in ENDPOINTS])
def test_the_table_has_openais_fields_and_our_extensions_and_no_other(
    endpoint: str, table: Mapping[str, Parameter], schema: type[WireModel]
) -> None:
    assert {name for name, parameter in table.items() if not parameter.is_extension} == set(OPENAI[endpoint])


@pytest.mark.parametrize(("endpoint", "table", "schema"), ENDPOINTS, ids=[row[0] for row in ENDPOINTS])
def test_the_schema_reads_what_is_not_refused(
    endpoint: str, table: Mapping[str, Parameter], schema: type[WireModel]
) -> None:
    read = {
        name for name, parameter in table.items() if parameter.support in (Support.SUPPORTED, Support.HINT)
    }
    assert set(schema.model_fields) == read


@pytest.mark.parametrize(("endpoint", "table", "schema"), ENDPOINTS, ids=[row[0] for row in ENDPOINTS])
def test_what_is_honoured_is_used_where_requests_are_converted(
    endpoint: str, table: Mapping[str, Parameter], schema: type[WireModel]
) -> None:
    folder = Path(__file__).parent.parent.parent / "src" / "myna"
    shared = ("sampling.py", "structured_outputs.py")
    sources = [
        *folder.joinpath("api", endpoint).glob("*.py"),
        *(folder / "generation" / name for name in shared),
    ]
    code = "".join(path.read_text("utf-8") for path in sources)
    honoured = {name for name, parameter in table.items() if parameter.support is Support.SUPPORTED} - {
        "model"
    }
    reads = ("request", "fields", "self")
    assert {name for name in honoured if not any(f"{value}.{name}" in code for value in reads)} == set()
