"""A model whose chat template is hostile: its requests are refused, and nobody else notices."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, cast

import pytest
from tests.api.stand_in import BytePrompting
from tests.http.live import Live, running
from tests.http.scripted import ScriptedGenerator, loading, local, looking_at, services, words

from myna.catalog.pool import ModelPool
from myna.core.conversation import Message, ToolSpec
from myna.prompts.render_pool import RenderLimits, RenderPool
from myna.prompts.renderer import GgufRenderer
from myna.prompts.template import ChatTemplate
from myna.prompts.template_probe import TemplateFeatures

ATTACKS = {
    "endless": "{% set r = range(99999) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
    "squares": "{% set n = namespace(x=9) %}{% for i in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "ljust": "{{ 'a'.ljust(1000000000) }}",
    "zfill": "{{ 'a'.zfill(20000000000) }}",
    "format": "{{ '{:>882000000}'.format(1) }}",
    "memory": (
        "{% set n = namespace(l=[]) %}"
        "{% for i in range(99) %}{% set n.l = n.l + [('a' ~ i) * 9999999] %}{% endfor %}"
    ),
    "sort": "{{ ((range(99999) | list) * 100) | sort | length }}",
    "indent": "{{ [[]] | tojson(indent=2000000000) }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
}
# Harmless until a message says otherwise, so that no trial at its load shows it.
HOSTILE = (
    "{% for m in messages %}{% if false %}"
    + "".join(f"{{% elif m.content == '{name}' %}}{attack}" for name, attack in ATTACKS.items())
    + "{% endif %}{{ m.content }}{% endfor %}"
)


@dataclass
class HostilePrompting(BytePrompting):
    """Bytes as tokens, after a real rendering of the hostile template."""

    template: ChatTemplate = field(default_factory=lambda: ChatTemplate.plain(is_chatml=True))

    def encode_chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        switches: Mapping[str, object] = MappingProxyType({}),
        prefill: str = "",
    ) -> list[int]:
        return list(self.template.render(messages, tools=tools, switches=switches).encode())


@asynccontextmanager
async def hostile_model(cpu_s: float = 0.3) -> AsyncIterator[Live]:
    renders = RenderPool(RenderLimits(cpu_s=cpu_s), size=2)
    render = partial(renders.render, HOSTILE)
    template = ChatTemplate(HOSTILE, TemplateFeatures(), bos="", eos="", render_values=render)
    generator = ScriptedGenerator([words("caw") for _ in range(9)])
    load = loading(generator, cast(GgufRenderer, HostilePrompting(template=template)))
    pool = ModelPool(looking_at([local("tiny")], []), load, delete_files=lambda file: None)
    async with running(services(pool), families=("myna.api.chat.routes",)) as live:
        yield live
    renders.close()


async def ask(live: Live, content: str) -> tuple[int, dict[str, Any]]:
    body = {"model": "tiny", "messages": [{"role": "user", "content": content}]}
    reply = await live.ask("POST", "/v1/chat/completions", json.dumps(body).encode())
    return reply.status, json.loads(reply.body)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_is_a_400_and_the_next_request_works(attack: str) -> None:
    async with hostile_model() as live:
        assert (await ask(live, "hello"))[0] == 200
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        status, body = await ask(live, attack)
        assert status == 400
        assert body["error"]["message"].startswith("The model's chat template")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 50_000
        assert (await ask(live, "hello"))[0] == 200


async def test_health_is_answered_while_a_template_runs() -> None:
    async with hostile_model(cpu_s=1.0) as live:
        assert (await ask(live, "hello"))[0] == 200
        attack = asyncio.create_task(ask(live, "endless"))
        answers = [(await live.ask("GET", "/health")).status for _ in range(5)]
        assert answers == [200] * 5
        assert not attack.done()
        assert (await attack)[0] == 400
