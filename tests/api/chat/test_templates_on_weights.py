"""Random weights under every published chat template, from the model file to the client: what Myna's own
engine is forced to write is a call in the template's form, and is read back as one."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from httpx import AsyncClient
from msgspec import structs
from tests.api.chat.agent import ask, client_of
from tests.api.chat.histories import Json
from tests.engines.tiny_models import Tiny, byte_level, write_tiny
from tests.prompts.call_formats.test_call_probe import FOUND
from tests.prompts.template_gate import template_paths

from myna.core.constraints import CallableTool
from myna.core.conversation import Message, ToolCall, ToolSpec
from myna.core.events import TextDelta
from myna.core.harmony import CALL_HEAD, MESSAGE
from myna.core.requests import GenerationRequest, ModelRequest
from myna.prompts.call_formats.table import BARE, FORMATS
from myna.prompts.renderer import GgufRenderer
from myna.prompts.token_pieces import TokenKind
from myna.scheduling.in_process import InProcessGenerator
from myna.scheduling.streams import RequestStream
from myna.workers.frames import WorkerSpec
from myna.workers.loading import load_model

CONTEXT: Final = 32768
BOS, EOS = "<s>", "<eos>"
TAG: Final = re.compile(r"</?[A-Za-z:_]{2,30}>")
MARK: Final = re.compile(r"<[|｜][^<>\s'\"{}]{1,40}>|<[a-z_]+[|｜]>|\[/?[A-Z_ ]{2,30}\]")
# Ends of thoughts that are several tokens: random weights write them as one, since they don't know the order.
ENDS: Final = {"muse-glimmer": "<|eom|><|start|>assistant"}
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "colour": {"type": "string", "enum": ["red", "青"]},
        "n": {"type": "integer", "minimum": 1, "maximum": 99},
        "城市": {"type": "string", "enum": ["北京", "Paris"]},
    },
    "required": ["colour", "n", "城市"],
    "additionalProperties": False,
}
TOOL: Json = {"name": "paint", "description": "Paints", "strict": True, "parameters": SCHEMA}
QUESTION: Json = {"role": "user", "content": "Paint it 青."}
ID: Final = "abcdefghi"
# In histories these don't write the calls as they are asked for: one only names the form, one leaves out the
# mark that ends calls; the others have none, so that Myna's own is used.
OTHERWISE: Final = {
    "ibm-granite-granite-3.3-2B-Instruct",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
    *(name for name, form in FOUND.items() if not form),
}


class Model(InProcessGenerator):
    """Random weights; remembers the requests."""

    def __init__(self, path: Path) -> None:
        super().__init__(lambda: load_model(WorkerSpec("native", str(path), CONTEXT, threads=1)))
        self.requests: list[GenerationRequest] = []

    async def generate(self, request: ModelRequest) -> RequestStream:
        assert isinstance(request, GenerationRequest)
        self.requests.append(request)
        return await super().generate(request)

    async def answer_to(self, request: GenerationRequest) -> tuple[str, list[int]]:
        """The answer that the request had, before anybody looks for calls in it, and its tokens."""
        stream = await super().generate(structs.replace(request, num_logprobs=0))
        deltas = [event async for event in stream if isinstance(event, TextDelta) and not event.is_thought]
        text = "".join(delta.text for delta in deltas)
        return text, [entry.token for delta in deltas for entry in delta.logprobs]


def marks_of(name: str, source: str) -> dict[str, TokenKind]:
    """What is a token of its own in the vocabularies for which such templates are written."""
    marks = dict.fromkeys(sorted(set(TAG.findall(source))), TokenKind.USER_DEFINED)
    marks |= dict.fromkeys(sorted(set(MARK.findall(source))), TokenKind.CONTROL)
    if name in ENDS:
        marks[ENDS[name]] = TokenKind.CONTROL
    return marks | {BOS: TokenKind.CONTROL, EOS: TokenKind.CONTROL}


def write_model(folder: Path, template: Path) -> Path:
    source = template.read_text(encoding="utf-8")
    vocabulary = byte_level(marks_of(template.stem, source), bos=BOS, eos=EOS)
    overrides = {**vocabulary, "tokenizer.chat_template": source, "llama.context_length": CONTEXT}
    return write_tiny(folder / "tiny.gguf", Tiny(layers=1, overrides=overrides))


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Model]:
    model = Model(path)
    await model.start()
    try:
        yield model
    finally:
        await model.aclose()


@pytest.mark.parametrize("path", template_paths(), ids=lambda path: path.stem)
async def test_random_weights_speak_the_templates_language(path: Path, tmp_path: Path) -> None:
    file = await asyncio.to_thread(write_model, tmp_path, path)
    renderer = await asyncio.to_thread(GgufRenderer.load, file)
    assert renderer.call_format == (FOUND.get(path.stem, "harmony") or BARE.name)
    head = FORMATS[renderer.call_format].call_head(CallableTool("paint"))
    first = _special(renderer.encode(head, parse_special=True), renderer)[:1]
    async with running(file) as model, client_of(model, renderer) as client:
        forced = await _same(client, _forced(renderer))
        arguments = _checked(forced)
        text, tokens = await model.answer_to(model.requests[-1])
        # What is forced is not spelled out. Harmony's reader gives no log-probabilities of marks.
        assert _special(tokens, renderer)[: len(first)] == first or renderer.call_format == "harmony"
        await asyncio.to_thread(_check_form, text, arguments, renderer, is_own=path.stem not in OTHERWISE)
        # Whatever they say by themselves, it is the same in both ways.
        await _same(client, {"max_tokens": 40, "seed": 6})
        await _same(client, {"max_tokens": 80, "seed": 7, "tools": [{"type": "function", "function": TOOL}]})


def _forced(renderer: GgufRenderer) -> Json:
    """The options of a request for one call. A thought that can't be avoided ends as soon as possible."""
    ends = {}
    if renderer.thinking is not None:
        end, vocabulary = renderer.thinking.end.encode(), renderer.vocabulary
        parts = [token for token in vocabulary.special_ids if vocabulary.texts[token] in end]
        whole = [token for token in parts if vocabulary.texts[token] == end]
        ends = {str(token): 100 for token in whole or parts}
    return {
        "tools": [{"type": "function", "function": TOOL}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "reasoning_effort": "none",
        "logit_bias": ends,
        "max_tokens": 1500,
        "seed": 5,
    }


async def _same(client: AsyncClient, options: Json) -> tuple[Json, str]:
    """The answer, the same whole and streamed."""
    body = {"messages": [QUESTION], **options}
    whole, streamed = [_essence(*await ask(client, body, is_stream=is_stream)) for is_stream in (False, True)]
    assert streamed == whole
    return whole


def _essence(message: Json, reason: str) -> tuple[Json, str]:
    calls = [(call["type"], call["function"]) for call in message.get("tool_calls") or ()]
    content, thought = message["content"] or None, message.get("reasoning_content") or None
    return {"content": content, "thought": thought, "calls": calls}, reason


def _special(tokens: Sequence[int], renderer: GgufRenderer) -> list[int]:
    """Those that aren't spelled out."""
    special = frozenset(renderer.vocabulary.special_ids)
    return [token for token in tokens if token in special]


def _checked(answer: tuple[Json, str]) -> str:
    """The arguments of the only call."""
    message, reason = answer
    assert (message["content"], reason) == (None, "tool_calls"), message
    [(kind, function)] = message["calls"]
    assert (kind, function["name"]) == ("function", "paint")
    values: dict[str, Any] = json.loads(function["arguments"])
    assert list(values) == SCHEMA["required"]
    assert values["colour"] in ("red", "青")
    assert type(values["n"]) is int and 1 <= values["n"] <= 99
    assert values["城市"] in ("北京", "Paris")
    return str(function["arguments"])


def _check_form(text: str, arguments: str, renderer: GgufRenderer, *, is_own: bool) -> None:
    """The text is what the format writes for the call, and so does the template."""
    call = ToolCall(ID, "paint", arguments)
    form = FORMATS[renderer.call_format]
    written = _plain(form.write([call]))
    ways = [written, _plain(f"{CALL_HEAD}paint{MESSAGE}{arguments}")] if form.name == "harmony" else [written]
    assert any(re.fullmatch(_pattern(way), _plain(text)) for way in ways), (text, ways)
    if is_own:
        turns = [Message.of("user", "Paint."), Message("assistant", tool_calls=(call,))]
        tool = ToolSpec("paint", "Paints", json.dumps(SCHEMA), strict=True)
        history = renderer.render_chat(turns, tools=[tool], add_generation_prompt=False)
        assert re.search(_pattern(written), _plain(history)), history[-500:]


def _plain(text: str) -> str:
    """Without differences that templates leave open: white space, kinds of quotes, escapes."""
    unescaped = re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), text)
    return "".join(unescaped.split()).replace("'", '"')


def _pattern(written: str) -> str:
    """The text with any id, or none where it is a property, and with any numbers: calls may be counted."""
    pattern = re.sub(r"\d+", lambda _: r"\d+", re.escape(written))
    return pattern.replace(f',"id":"{ID}"', f'(,"id":"{ID}")?').replace(ID, r"[\w-]+")
