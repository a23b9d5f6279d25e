"""Templates: what is found out about them, what they make of conversations, what hostile ones can't do."""

import re
from collections.abc import Iterator
from functools import partial

import pytest
from tests.prompts import templates

from myna.core.conversation import Message, TextPart, ToolCall, ToolSpec
from myna.core.errors import InvalidRequest, ModelFileError
from myna.prompts.call_formats.table import FORMATS
from myna.prompts.render_pool import RenderLimits, RenderPool, shared_pool
from myna.prompts.template import ChatTemplate
from myna.prompts.template_probe import TemplateFeatures, find_features
from myna.prompts.template_sandbox import CompiledTemplate

SYSTEM, USER = Message.of("system", "Be brief."), Message.of("user", "Hello")
BACK = Message.of("assistant", "Hi")
NESTED = "{% for a in r %}{% for b in r %}{% for c in r %}{% endfor %}{% endfor %}{% endfor %}"


@pytest.fixture
def pool() -> Iterator[RenderPool]:
    """One that gives a render little time."""
    pool = RenderPool(RenderLimits(cpu_s=0.3))
    yield pool
    pool.close()


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, features(source), bos="<s>", eos="</s>")


def features(source: str) -> TemplateFeatures:
    found = find_features(source, bos="<s>", eos="</s>")
    assert not found.fault
    return found


def test_features_are_those_that_the_template_has() -> None:
    assert features(templates.CHATML) == TemplateFeatures()
    assert features(templates.DEVELOPER).has_developer
    text = features(templates.ARGUMENTS_AS_TEXT)
    assert (text.has_tools, text.has_calls, text.forms.arguments) == (True, True, "text")
    assert features(templates.ARGUMENTS_AS_EITHER).forms.arguments == "object"
    assert features(templates.TYPED_PARTS).forms.content == "parts"
    mistral = features(templates.SHORT_IDS).forms
    assert (mistral.ids, mistral.no_content) == ("short", "null")
    assert features(templates.NAMED_RESULTS).forms.names_results
    assert features(templates.THINKING).forms.thought == "thinking"
    assert features(templates.UNGUARDED).forms.no_tools == "undefined"


def test_a_plain_conversation_is_rendered_as_written() -> None:
    expected = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
    made = template(templates.CHATML)
    assert made.render([SYSTEM, USER]) == expected + "<|im_start|>assistant\n"
    assert made.render([SYSTEM, USER], add_generation_prompt=False) == expected


def test_content_parts_are_joined_and_no_content_is_none() -> None:
    made = template(templates.CHATML)
    parts = Message("user", (TextPart("one"), TextPart("two")))
    assert made.render([parts], add_generation_prompt=False) == "<|im_start|>user\none\ntwo<|im_end|>\n"
    nothing = Message.of("user", None)
    assert made.render([nothing], add_generation_prompt=False) == "<|im_start|>user\n<|im_end|>\n"


def test_developer_is_system_where_the_template_knows_no_developer() -> None:
    developer = Message.of("developer", "Speak French.")
    made = template(templates.CHATML)
    assert made.render([developer, USER]) == made.render([Message.of("system", "Speak French."), USER])
    both = made.render([SYSTEM, developer, USER])
    assert both == made.render([SYSTEM, Message.of("system", "Speak French."), USER])
    first_only = template(templates.FIRST_SYSTEM_ONLY)
    joined = first_only.render([Message.of("system", "Be brief.\n\nSpeak French."), USER])
    assert first_only.render([SYSTEM, developer, USER]) == joined
    assert template(templates.DEVELOPER).render([developer, USER]).startswith("<|developer|>Speak French.")


def test_late_instructions_stay_where_the_template_can_place_them() -> None:
    late = [USER, BACK, SYSTEM, USER]
    assert template(templates.CHATML).render(late).index("Be brief.") > 30
    first_only = template(templates.FIRST_SYSTEM_ONLY)
    assert first_only.render(late) == first_only.render([SYSTEM, USER, BACK, USER])


def test_without_a_system_role_instructions_open_the_first_user_message() -> None:
    made = template(templates.NO_SYSTEM)
    expected = made.render([Message.of("user", "Be brief.\n\nHello")])
    assert made.render([SYSTEM, USER]) == expected
    assert made.render([Message.of("developer", "Be brief."), USER]) == expected
    assert made.render([SYSTEM]) == made.render([Message.of("user", "Be brief.")])
    assert expected.startswith("<s><start_of_turn>user\nBe brief.")


def test_a_later_instruction_never_replaces_the_first() -> None:
    made = template(templates.LAST_SYSTEM_WINS)
    prompt = made.render([SYSTEM, USER, BACK, Message.of("system", "Speak French."), USER])
    assert prompt == "{Be brief.\n\nSpeak French.}[user]Hello[assistant]Hi[user]Hello"


def test_neighbours_are_merged_only_where_the_template_refuses_or_drops_them() -> None:
    assert template(templates.ALTERNATING).render([USER, USER]) == "[INST]Hello\n\nHello[/INST]"
    assert template(templates.CHATML).render([USER, USER]).count("<|im_start|>user") == 2


def test_a_refusal_by_the_template_is_the_clients_error_with_its_words() -> None:
    with pytest.raises(InvalidRequest, match="roles must alternate") as caught:
        template(templates.ALTERNATING).render([BACK, USER])
    assert caught.value.param == "messages.[0]"


def test_a_message_that_the_template_drops_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match=r"messages\[1\] \(role 'critic'\)") as caught:
        template(templates.KNOWN_ROLES).render([USER, Message.of("critic", "No."), USER])
    assert caught.value.param == "messages.[1]"


def test_typed_parts_are_parts_where_the_template_takes_nothing_else() -> None:
    made = template(templates.TYPED_PARTS)
    parts = Message("user", (TextPart("one"), TextPart("two")))
    assert made.render([SYSTEM, parts]) == "system: Be brief.user: onetwo"


def test_ids_are_as_short_as_the_template_demands_and_match() -> None:
    call = ToolCall("call_" + "x" * 24, "add", '{"a": 1}')
    turns = [
        USER,
        Message.of("assistant", None, tool_calls=(call,)),
        Message.of("tool", "2", None, (), call.id),
    ]
    first, second = re.findall(r"#(\w+)", template(templates.SHORT_IDS).render(turns))
    assert (first, len(first)) == (second, 9)
    short = ToolCall("abcDEF123", "add", "{}")
    assert "#abcDEF123" in template(templates.SHORT_IDS).render(
        [USER, Message.of("assistant", "", None, (short,))]
    )


def test_tools_are_none_without_any() -> None:
    assert template("{{ tools is none }}{{ messages[0].content }}").render([USER]) == "TrueHello"


def test_functions_are_given_to_templates_that_fail_without() -> None:
    source = "{{ '' + functions + datetime }}" + templates.CHATML
    assert '"name": "add"' in template(source).render([USER], tools=[ToolSpec("add")])


def test_tools_are_given_as_xml_tools_where_the_template_takes_these() -> None:
    made = template(templates.XML_TOOLS)
    assert made.features.call_format == "hermes"
    call = ToolCall("call_1", "weather", '{"city": "Bern"}')
    messages = [
        Message.of("user", "Warm?"),
        Message.of("assistant", None, tool_calls=(call,)),
        Message.of("tool", "18C", tool_call_id="call_1"),
    ]
    form = FORMATS["hermes"]
    prompt = made.render(messages, tools=[ToolSpec("weather", "now")], form=form)
    assert "<tools>{'name': 'weather', 'description': 'now', 'parameters': {" in prompt
    assert f"assistant\n{form.write([call])}<|im_end|>" in prompt
    assert "user\n" in prompt.partition("Bern")[2] and "18C<|im_end|>" in prompt
    assert "tools" not in made.render(messages[:1])


def test_an_unusable_template_refuses_with_its_reason() -> None:
    made = ChatTemplate.load("{% if %}", bos="", eos="")
    with pytest.raises(InvalidRequest, match=r"not a valid template .* set chat_template") as caught:
        made.render([USER])
    assert caught.value.param == "model"


def test_arguments_are_given_as_the_template_wants_them() -> None:
    call = ToolCall("call_1", "add", '{"a": 1,  "b": "é"}')
    made = template(templates.ARGUMENTS_AS_TEXT).render(
        [USER, Message.of("assistant", None, tool_calls=(call,))]
    )
    assert 'add({"a": 1,  "b": "é"})' in made


def test_tools_are_shown_in_the_shape_that_templates_know() -> None:
    tool = ToolSpec("add", "Adds <b>", '{"type": "object", "properties": {"a": {"type": "integer"}}}')
    made = template(templates.ARGUMENTS_AS_TEXT).render([USER], tools=[tool])
    assert (
        '[{"type": "function", "function": {"name": "add", "description": "Adds <b>", '
        '"parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}]'
    ) in made


def test_parameters_that_are_not_json_are_the_clients_error() -> None:
    with pytest.raises(InvalidRequest, match="'add'"):
        template(templates.ARGUMENTS_AS_TEXT).render([USER], tools=[ToolSpec("add", "", "{")])


def test_the_furniture_that_authors_expect_is_there() -> None:
    made = CompiledTemplate(templates.FURNISHED)
    messages = [{"role": "skip"}, {"role": "user", "content": "é<"}]
    assert made.render({"messages": messages}) == ('{\n  "role": "user",\n  "content": "é<"\n}4a1None07')


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ 'In 2024: %s, %5.2f' % ('a', 1) }}", "In 2024: a,  1.00"),
        ("{{ 'In 2024: %(a)s' | format(a=1) }}", "In 2024: 1"),
        ("{{ '{{\"2024\": {}}}'.format(1) }}", '{"2024": 1}'),
        ("{{ '{:>3}{a}'.format(1, a=2024) }}", "  12024"),
        ("{{ 'a,b'.replace(',', ';').split(';') | join('+') }}", "a+b"),
        ("{{ [{'a': 1}, {'a': 2}] | join(', ', attribute='a') }}", "1, 2"),
        ("{{ 'a\nb' | indent(2, true) }}{{ 'x' | replace('x', 1) }}{{ '7'.zfill(3) }}", "  a\n  b1007"),
        ("{{ 2 ** 10 * 3 + 1 }}{{ 'ab' * 2 }}{{ '|' | center(3) }}", "3073abab | "),
    ],
)
def test_what_is_within_bounds_is_as_in_jinja(source: str, text: str) -> None:
    assert CompiledTemplate(source).render({}) == text


FAULTY = {
    "a syntax error": ("{% for %}", "not a valid template"),
    "a failure on any message": ("{{ messages[7].content }}", "fails on a simple message"),
    "a refusal of any message": ("{{ raise_exception('never') }}", "never"),
    "a way out of the sandbox": ("{{ ''.__class__.__mro__ }}", "fails on a simple message"),
    "a call of what it should not have": (
        "{{ cycler.__init__.__globals__.os }}",
        "fails on a simple message",
    ),
    "a change of its input": ("{{ messages.clear() }}", "fails on a simple message"),
    "no text": ("{{ messages | length }}", "doesn't show the text"),
    "a big product": ("{{ 'a' * 10**12 }}", "too long"),
    "a big power": ("{{ 9**99999 }}", "out of range"),
    "a big format": ("{{ '%999999999d' % 1 }}", "out of range"),
    "a big join": ("{{ range(99999) | map('string') | join(range(99999) | join) | length }}", "too long"),
    "a big join by method": ("{{ (range(99999) | join).join(['a'] * 99999) }}", "too long"),
    "a big zfill": ("{{ 'a'.zfill(3000000000) }}", "too long"),
    "a big ljust": ("{{ 'a'.ljust(1000000000) }}", "too long"),
    "big tabs": (r"{{ '\t'.expandtabs(1000000000) }}", "too long"),
    "a big replacement": ("{{ ('a' * 99999).replace('a', 'b' * 99999) }}", "too long"),
    "a big replacement by filter": ("{{ ('a' * 99999) | replace('a', 'b' * 99999) }}", "too long"),
    "a big indent": ("{{ 'a' | indent(1000000000, true) }}", "too long"),
    "a big format by filter": ("{{ '%*d' | format(1000000000, 1) }}", "out of range"),
    "a big format by method": ("{{ '{:>2000000000}'.format(1) }}", "out of range"),
    "a big format within a format": ("{{ '{:>{}}'.format(1, 2000000000) }}", "out of range"),
    "a big JSON": ("{{ [1] | tojson(indent=2000000000) }}", "out of range"),
    "big squares": (
        "{% set n = namespace(x=9) %}{% for i in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}",
        "out of range",
    ),
    "a wide line": ("{{ 'a' | center(10**10) }}", "too long"),
    "doubling by ~": (
        "{% set n = namespace(t='aaaaaaaa') %}{% for i in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}",
        "too long",
    ),
    "doubling by +": (
        "{% set n = namespace(t='aaaaaaaa') %}{% for i in range(60) %}{% set n.t = n.t + n.t %}{% endfor %}",
        "too long",
    ),
    "output without end": ("{% for i in range(90000) %}{{ 'a' * 90000 }}{% endfor %}", "wrote more than"),
    "a macro that calls itself": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_or_hostile_template_is_refused(name: str) -> None:
    source, fault = FAULTY[name]
    with pytest.raises(ModelFileError, match=fault):
        shared_pool().probe(source, bos="", eos="")


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set r = range(99999) %}" + NESTED,
        "{% set n = namespace(l=[]) %}"
        "{% for i in range(99) %}{% set n.l = n.l + [('a' ~ i) * 9999999] %}{% endfor %}",
    ],
)
def test_a_template_that_takes_for_ever_ends_with_its_process(source: str) -> None:
    pool = RenderPool(RenderLimits(probe_s=1.0))
    with pytest.raises(ModelFileError, match="chat template can't be used"):
        pool.probe(source, bos="", eos="")
    assert pool.pids == []


def test_a_later_render_has_a_deadline_too(pool: RenderPool) -> None:
    source = "{% set r = range(9999) %}" + NESTED
    made = ChatTemplate(
        source, TemplateFeatures(), bos="", eos="", render_values=partial(pool.render, source)
    )
    with pytest.raises(InvalidRequest, match="took too long"):
        made.render([USER])


def test_all_renders_of_a_request_have_a_deadline_together() -> None:
    """A slow template that refuses each way of writing the conversation."""
    loops = "{% for a in range(800) %}{% for b in range(800) %}{% endfor %}{% endfor %}"
    source = loops + "{{ raise_exception('not so') }}"
    pool = RenderPool(RenderLimits(request_s=0.05))
    messages = [SYSTEM, USER, SYSTEM, USER]
    try:
        alone = ChatTemplate(
            source, TemplateFeatures(), bos="", eos="", render_values=partial(pool.render, source)
        )
        with pytest.raises(InvalidRequest, match="not so"):
            alone.render(messages)
        together = ChatTemplate(
            source, TemplateFeatures(), bos="", eos="", render_values=pool.for_request(source)
        )
        with pytest.raises(InvalidRequest, match="took too long"):
            together.render(messages)
    finally:
        pool.close()


def test_the_probe_sees_what_the_template_sees() -> None:
    assert shared_pool().probe(templates.NO_SYSTEM, bos="<s>", eos="") == features(templates.NO_SYSTEM)
