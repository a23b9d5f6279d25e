"""A 400 about a conversation says which part of it the model's template can't take, and what to do."""

from collections.abc import Sequence

import pytest
from tests.prompts.template_gate import in_process

from myna.core.conversation import Message, ToolCall, ToolSpec
from myna.core.errors import InvalidRequest
from myna.prompts.failing_part import find_part

CHAT = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}\n"
    "{% endfor %}{% for t in tools or [] %}{{ t.function | tojson }}{% endfor %}"
)
USER, BACK = Message.of("user", "Hello"), Message.of("assistant", "Hi")
ODD = Message.of("critic", "No.")
CALL = Message.of("assistant", None, tool_calls=(ToolCall("a", "g", '{"n": 1}'),))
TOOLS = (ToolSpec("f"), ToolSpec("g"))


@pytest.mark.parametrize(
    ("addition", "messages", "part"),
    [
        ("{{ 1 + m.role if m.role == 'critic' }}", [USER, BACK, ODD, USER, BACK], "messages[2]"),
        ("{{ raise_exception('so: ' ~ m.content) if m.role == 'critic' }}", [USER, ODD], "messages[1]"),
        (
            "{{ 1 + 'g' if m.tool_calls and m.tool_calls[0].function.name == 'g' }}",
            [USER, CALL, USER],
            "messages[1].tool_calls",
        ),
        ("{{ 1 + m.name if m.name }}", [USER, Message.of("user", "x", name="Al")], "messages[1].name"),
    ],
)
def test_the_message_or_its_field_is_named(addition: str, messages: list[Message], part: str) -> None:
    template = in_process(CHAT.replace("{{ m.role }}", addition + "{{ m.role }}", 1))
    with pytest.raises(InvalidRequest) as caught:
        template.render(messages)
    text, param = caught.value.message, caught.value.param
    assert part in text and param == part.replace("[", ".[")
    assert "so: No." in text or ("TypeError" in text and "set another chat_template" in text)


@pytest.mark.parametrize(("bad", "part"), [({1}, "tools[1]"), ({0, 1}, "tools[0]"), (set(), "tools")])
def test_a_tool_is_named(bad: set[int], part: str) -> None:
    def failure(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        fails = any(TOOLS[i] in tools for i in bad) if bad else len(tools) > 1
        return "odd" if fails else ""

    assert find_part(failure, [USER, BACK], TOOLS) == part


def test_a_thousand_messages_take_few_renders() -> None:
    renders = 0

    def failure(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
        nonlocal renders
        renders += 1
        return "odd" if ODD in messages else ""

    messages = [USER, BACK] * 350 + [ODD] + [USER, BACK] * 150
    assert find_part(failure, messages, TOOLS) == "messages[700]"
    assert renders < 20
