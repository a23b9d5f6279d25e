"""Conversations to render with every chat template. Each part has a word of its own, such as `word07`."""

from dataclasses import dataclass

from myna.core.conversation import Message, TextPart, ToolCall, ToolSpec


@dataclass(frozen=True)
class Conversation:
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()


def tool(name: str) -> ToolSpec:
    return ToolSpec(
        name,
        f"Does {name}",
        '{"type": "object", "properties": {"word91": {"type": "string", "description": "place"}}}',
    )


TOOLS = (tool("word90"), tool("word92"))
UNTYPED = (ToolSpec("word90", "Does", '{"type": "object", "properties": {"word91": true}}'),)


def system(text: str) -> Message:
    return Message.of("system", text)


def developer(text: str) -> Message:
    return Message.of("developer", text)


def user(text: str | None) -> Message:
    return Message.of("user", text)


def assistant(text: str | None, *calls: ToolCall, thought: str | None = None) -> Message:
    return Message.of("assistant", text, tool_calls=calls, reasoning=thought)


def call(n: int, arguments: str | None = None, id: str | None = None) -> ToolCall:
    """A call whose name, key and value are the words n, n + 1 and n + 2."""
    made = f'{{"word{n + 1}": "word{n + 2}"}}' if arguments is None else arguments
    return ToolCall(id or f"call_{n}abcdefghijklmnopqrstuv", f"word{n}", made)


def result(n: int, text: str, id: str | None = None) -> Message:
    """The result of `call(n)`."""
    return Message.of("tool", text, tool_call_id=id or f"call_{n}abcdefghijklmnopqrstuv")


Q, A = user("word10 asks"), assistant("word11 answers")
NEXT, LAST = user("word12 follows"), assistant("word13 closes")
S, S2 = system("word14 rules"), system("word15 rules")
D, D2 = developer("word16 rules"), developer("word17 rules")
CALL, RESULT = assistant(None, call(20)), result(20, "word30 measured")
CALL2, RESULT2 = assistant(None, call(40)), result(40, "word50 measured")
PARALLEL = assistant(None, call(20), call(40))
SAID = assistant("word18 announces", call(20))
AGENT = [S, Q, S2, assistant("word18 announces", call(20), call(40)), RESULT, RESULT2]

PLAIN = {
    "one turn": [Q],
    "three turns": [Q, A, NEXT],
    "five turns": [Q, A, NEXT, LAST, user("word19 ends")],
    "system": [S, Q],
    "system and three turns": [S, Q, A, NEXT],
    "developer": [D, Q],
    "system and developer": [S, D, Q],
    "two systems": [S, S2, Q],
    "two developers": [D, D2, Q],
    "a late system": [Q, A, S, NEXT],
    "a late developer": [Q, A, D, NEXT],
    "an early and a late system": [S, Q, A, S2, NEXT],
    "an early system and a late developer": [S, Q, A, D, NEXT],
    "a system at the end": [S, Q, A, NEXT, S2],
    "a system between users": [Q, S, NEXT],
    "only a system": [S],
    "two users": [Q, NEXT],
    "two users after a system": [S, Q, NEXT, A, user("word19 ends")],
    "two assistants": [Q, A, LAST, NEXT],
    "an assistant first": [A, Q],
    "an assistant last": [Q, A],
    "an empty user": [Q, A, user("")],
    "an empty assistant": [Q, assistant(""), NEXT],
    "no content": [Q, assistant(None), NEXT],
    "an empty system": [system(""), Q],
    "typed parts": [Message("user", (TextPart("word10 one"), TextPart("word11 two"))), LAST, NEXT],
    "typed parts in a system": [Message("system", (TextPart("word14 a"), TextPart("word15 b"))), Q],
    "names": [Message.of("user", "word10", name="Ana"), A, Message.of("user", "word12", name="Bo")],
    "a thought": [Q, assistant("word11", thought="word31 thinks"), NEXT],
    "a thought at the end": [Q, A, NEXT, assistant("word13", thought="word31 thinks")],
    "Chinese": [system("你是word14助手。"), user("请介绍word10，谢谢！"), assistant("好的word11。"), NEXT],
    "emoji": [user("word10 👩‍👩‍👧 é \u200d"), A, user("🇨🇳 word12")],
    "special tokens": [user("word10 <|im_end|>\n<|im_start|>system"), A, user("word12 </s>[INST] <eos>")],
    "tags of thoughts and calls": [
        system("word14 <think> [THINK]"),
        user("word10 </think> word11 [/THINK] <tool_call> word15 <tool_response>"),
        LAST,
        user("<tool_response>word12</tool_response>"),
    ],
    "JSON": [user('{"word10": [1, {"a": "word11"}]}'), LAST, user('["word12"]')],
    "JSON answers": [Q, assistant('{"name": "word11", "arguments": {"a": 1}}'), NEXT],
    "markup": [user("word10 {{ messages }} {% if %} <b>&amp;"), A, NEXT],
    "lines": [user("word10\n\nword11\n"), LAST, user("  word12\tword15  ")],
}
WITH_TOOLS = {
    "tools declared": [Q],
    "tools and a system": [S, Q],
    "tools and a developer": [D, Q],
    "tools and a late system": [S, Q, A, S2, NEXT],
    "a call and its result": [Q, CALL, RESULT],
    "a call, its result, an answer": [Q, CALL, RESULT, A],
    "a call, its result, an answer, a question": [Q, CALL, RESULT, A, NEXT],
    "a question after a result": [Q, CALL, RESULT, NEXT],
    "system, a call, its result, an answer, a question": [S, Q, CALL, RESULT, A, NEXT],
    "parallel calls": [Q, PARALLEL, RESULT, RESULT2],
    "parallel calls, an answer, a question": [Q, PARALLEL, RESULT, RESULT2, A, NEXT],
    "two steps": [Q, CALL, RESULT, CALL2, RESULT2],
    "two steps, an answer, a question": [Q, CALL, RESULT, CALL2, RESULT2, A, NEXT],
    "two loops": [Q, CALL, RESULT, A, NEXT, CALL2, RESULT2],
    "a call with words": [Q, SAID, RESULT],
    "a call with words, an answer, a question": [Q, SAID, RESULT, A, NEXT],
    "a call after a thought": [Q, assistant(None, call(20), thought="word31 thinks"), RESULT],
    "words, a thought and a call": [Q, assistant("word18", call(20), thought="word31 thinks"), RESULT],
    "a call with empty content": [Q, assistant("", call(20)), RESULT],
    "a call without arguments": [Q, assistant(None, call(20, "{}")), RESULT],
    "a call with nested arguments": [
        Q,
        assistant(None, call(20, '{"word21": {"word22": ["word23", 7, true, null]}}')),
        RESULT,
    ],
    "a call with Chinese arguments": [Q, assistant(None, call(20, '{"word21": "城市word22"}')), RESULT],
    "an empty result": [Q, CALL, result(20, ""), A, NEXT],
    "a JSON result": [Q, CALL, result(20, '{"word30": {"degrees": 18}}')],
    "a result of typed parts": [
        Q,
        CALL,
        Message("tool", (TextPart("word30"), TextPart("word33")), tool_call_id=CALL.tool_calls[0].id),
    ],
    "a call with tags in arguments and result": [
        Q,
        assistant(None, call(20, '{"word21": "</tool_call> word22 <|im_end|>"}')),
        result(20, "word30 </think> word33 </tool_response>"),
    ],
    "short ids": [Q, assistant(None, call(20, id="abcDEF123")), result(20, "word30", "abcDEF123"), A, NEXT],
    "a named result": [
        Q,
        CALL,
        Message.of("tool", "word30", name="word20", tool_call_id=CALL.tool_calls[0].id),
    ],
    "a system after a result": [Q, CALL, RESULT, S],
    "all at once": AGENT,
    "all at once, and after it": [*AGENT, A, assistant(""), user("word19 goes on"), NEXT],
}
CONVERSATIONS = (
    {name: Conversation(tuple(messages)) for name, messages in PLAIN.items()}
    | {name: Conversation(tuple(messages), TOOLS) for name, messages in WITH_TOOLS.items()}
    | {
        # As with `tool_choice: none`, or a client that no longer declares its tools.
        f"{name}, undeclared": Conversation(tuple(WITH_TOOLS[name]))
        for name in ("a call and its result", "parallel calls, an answer, a question")
    }
    # A schema that most templates can't write.
    | {"a parameter without a schema": Conversation(tuple(AGENT), UNTYPED)}
)
