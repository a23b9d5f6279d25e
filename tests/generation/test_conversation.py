"""From any endpoint to a generation: plain values in, errors that name the endpoint's own parameters."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.api.stand_in import BytePrompting
from tests.http.scripted import INFO

from myna.core.conversation import Message, ToolSpec
from myna.core.errors import ContextLengthExceeded, InvalidRequest
from myna.core.renderer import Thinking
from myna.core.requests import GenerationRequest, Sampling
from myna.generation.budgets import NO_LIMITS, AnswerLimits
from myna.generation.conversation import ConversationRequest, to_generation
from myna.generation.tenant import Tenant
from myna.generation.tool_choice import AnswerFormat, DeclaredTool, ResolvedTools, ToolChoice

ASKED = ConversationRequest([Message.of("user", "hi")], Sampling(seed=1), messages_param="input")
NOW = DeclaredTool(ToolSpec("now", "the time"), "tools[0].parameters", {"type": "object", "properties": {}})
THEN = DeclaredTool(ToolSpec("then"), "tools[1].parameters", {"type": "object", "properties": {}})


def generation(
    asked: ConversationRequest,
    prompting: BytePrompting | None = None,
    limits: AnswerLimits = NO_LIMITS,
    hint: Callable[[str], object] = bool,
) -> tuple[GenerationRequest, ResolvedTools | None]:
    model = prompting or BytePrompting()
    requester = Tenant("key", "project")
    return to_generation(asked, model, INFO, requester, id="resp_1", limits=limits, hint=hint)


def test_a_plain_conversation_becomes_its_tokens_and_nothing_else() -> None:
    made, tools = generation(ASKED)
    assert made == GenerationRequest(
        id="resp_1",
        prompt_tokens=tuple(b"<user>hi<assistant>"),
        max_tokens=INFO.context_tokens - len(b"<user>hi<assistant>"),
        sampling=Sampling(seed=1),
        owner="key",
        cache_salt="project",
        is_collected=True,
        session=made.session,
    )
    assert tools is None


def test_all_turns_of_a_conversation_are_one_session() -> None:
    first, second, other = (
        generation(replace(ASKED, messages=messages))[0].session
        for messages in (
            (Message.of("system", "s"), Message.of("user", "hi")),
            (
                Message.of("system", "s"),
                Message.of("user", "hi"),
                Message.of("assistant", "yes"),
                Message.of("user", "go on"),
            ),
            (Message.of("system", "another"), Message.of("user", "hi")),
        )
    )
    assert first == second
    assert len({first, other, generation(ASKED)[0].session}) == 3


def test_the_requested_values_are_in_the_generation() -> None:
    asked = replace(
        ASKED,
        requested_tokens=9,
        num_choices=2,
        num_logprobs=3,
        stop=("x",),
        service_tier="flex",
        prediction="ab",
        ignore_eos=True,
        is_stream=True,
    )
    made, _ = generation(asked)
    assert (made.max_tokens, made.num_choices, made.best_of, made.num_logprobs) == (9, 2, 2, 3)
    assert (made.stop, made.priority, made.ignore_eos, made.is_collected) == (("x",), -1, True, False)
    assert made.prediction_tokens == tuple(b"ab")
    assert generation(ASKED, limits=AnswerLimits(7))[0].max_tokens == 7


def test_tools_are_declared_chosen_and_held_to() -> None:
    prompting = BytePrompting()
    asked = replace(ASKED, tools=(NOW, THEN), tool_choice=ToolChoice("required", ((True, "then"),)))
    made, tools = generation(asked, prompting)
    assert tools is not None
    assert [tool.name for tool in prompting.tools[0]] == ["now", "then"]
    assert [tool.name for tool in tools.callable] == ["then"]
    assert made.constraint is not None


def test_no_tools_and_no_form_mean_no_constraint() -> None:
    assert generation(ASKED)[0].constraint is None
    assert generation(replace(ASKED, answer=AnswerFormat("text.format")))[0].constraint is not None


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": [Message.of("user", "x" * 5000)]}, "input"),
        ({"requested_tokens": 4090}, "input"),
        ({"requested_tokens": 4090, "tools": (NOW,)}, "input"),
        ({"tools": (replace(NOW, schema={"type": "array"}),)}, "tools[0].parameters"),
        ({"answer": AnswerFormat("text.format", "a", {"type": "object"}, is_strict=True)}, "text.format"),
    ],
)
def test_an_error_names_the_endpoints_own_parameter(changes: dict[str, Any], param: str) -> None:
    with pytest.raises((InvalidRequest, ContextLengthExceeded)) as refused:
        generation(replace(ASKED, **changes), limits=AnswerLimits(is_strict=True))
    assert refused.value.param == param


def test_effort_is_how_long_a_model_thinks() -> None:
    prompting = BytePrompting(thinking=Thinking("<think>", "</think>", True, True, False))
    made, _ = generation(replace(ASKED, effort="low"), prompting)
    assert made.thought is not None
    assert made.thought.max_tokens == 1024
    assert made.constraint is not None
    assert generation(replace(ASKED, effort="none"), prompting)[0].thought is None
