"""Forty conversations with tools: what is declared, what is chosen, what is asked. Data, and no judgement."""

from typing import Any, NamedTuple


class Scenario(NamedTuple):
    """`must_call`: an answer without a call would be wrong; `refused`: a 400 that names this."""

    name: str
    messages: list[dict[str, Any]]
    options: dict[str, Any]
    must_call: bool = False
    refused: str = ""


def tool(name: str, is_strict: bool = True, **properties: Any) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters, "strict": is_strict}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named(n) for n in names]}}


def ask(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


SHORT = {"type": "string", "maxLength": 20}
WEATHER = tool("get_weather", city=SHORT, unit={"type": "string", "enum": ["C", "F"]})
TIME = tool("get_time")
SUM = tool("add", a={"type": "number"}, b={"type": "number"})
MAIL = tool("send_mail", to=SHORT, subject=SHORT, urgent={"type": "boolean"})
CHINESE = tool("查询天气", False, 城市=SHORT)
CHINESE_ARGUMENTS = tool("weather_cn", 城市=SHORT, 单位={"enum": ["摄氏", "华氏"]})
LIST = tool("buy", items={"type": "array", "items": SHORT, "minItems": 1, "maxItems": 3})
DEEP = tool(
    "plan",
    step={
        "type": "object",
        "properties": {"what": SHORT, "when": {"anyOf": [SHORT, {"type": "null"}]}},
        "required": ["what", "when"],
        "additionalProperties": False,
    },
)
NESTING = {
    "type": "function",
    "function": {
        "name": "tree",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"root": {"$ref": "#/$defs/node"}},
            "required": ["root"],
            "additionalProperties": False,
            "$defs": {
                "node": {
                    "type": "object",
                    "properties": {
                        "name": {"enum": ["a", "b"]},
                        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 1},
                    },
                    "required": ["name", "children"],
                    "additionalProperties": False,
                }
            },
        },
    },
}
LOOSE = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Searches the web",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string", "maxLength": 40}, "limit": {"type": "integer"}},
            "required": ["query"],
        },
    },
}
BARE = {"type": "function", "function": {"name": "ping"}}
MANY = [tool(f"tool_{i}", x={"type": "integer", "minimum": i, "maximum": i + 9}) for i in range(40)]
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
}
CALLED = [*ask("Weather in Paris?"), {"role": "assistant", "tool_calls": [CALL]}]
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 21}'}
ANSWER = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"answer": SHORT},
            "required": ["answer"],
            "additionalProperties": False,
        },
    },
}
ONE = {"parallel_tool_calls": False}
REQUIRED = {"tool_choice": "required", **ONE}


def _forced(name: str, text: str, *tools: dict[str, Any], **options: Any) -> Scenario:
    return Scenario(name, ask(text), {"tools": list(tools), **REQUIRED, **options}, must_call=True)


def _free(name: str, text: str, *tools: dict[str, Any], **options: Any) -> Scenario:
    return Scenario(name, ask(text), {"tools": list(tools), **options})


def _wrong(name: str, refused: str, messages: list[dict[str, Any]], **options: Any) -> Scenario:
    return Scenario(name, messages, options, refused=refused)


SCENARIOS = [
    _free("weather", "What is the weather in Paris?", WEATHER),
    _free("weather in Chinese", "北京今天天气怎么样？", WEATHER),
    _free("nothing to call", "Say hello.", WEATHER),
    _free("one of three", "What is 2 + 3?", WEATHER, SUM, TIME),
    _free("two cities at once", "Weather in Paris and in Rome?", WEATHER),
    _free("a tool without strict", "Search for parrots.", LOOSE),
    _free("a tool without parameters", "Ping.", BARE),
    _free("a Chinese property", "上海的天气？", CHINESE_ARGUMENTS),
    _free("none", "What is the weather in Paris?", WEATHER, tool_choice="none"),
    _free("allowed, auto", "What is 2 + 3?", WEATHER, SUM, tool_choice=allowed("auto", "add")),
    _free("a schema with tools", "What is the weather in Rome?", WEATHER, response_format=ANSWER),
    _free("a schema with tools, none", "Rome?", WEATHER, response_format=ANSWER, tool_choice="none"),
    _free("forty tools", "RequestContext tool_7.", *MANY),
    _forced("required", "What is the weather in Paris?", WEATHER),
    _forced("required without a reason", "Say hello.", WEATHER),
    _forced("required among three", "What time is it?", WEATHER, SUM, TIME),
    _forced("required of forty", "RequestContext tool_7.", *MANY),
    _forced("numbers", "What is 2.5 + 3?", SUM),
    _forced("booleans", "Write Ann an urgent mail about lunch.", MAIL),
    _forced("arrays", "Buy bread and milk.", LIST),
    _forced("nested objects", "Plan a walk at noon.", DEEP),
    _forced("a recursive tool", "Draw a small tree.", NESTING),
    _forced("Chinese arguments", "广州的天气？", CHINESE_ARGUMENTS),
    _forced("required without strict", "Search for parrots.", LOOSE),
    _forced("required without parameters", "Ping.", BARE),
    _forced("named", "Say hello.", WEATHER, SUM, tool_choice=named("add")),
    _forced("named, in Chinese", "你好", WEATHER, TIME, tool_choice=named("get_weather")),
    _forced("named without parameters", "Say hello.", WEATHER, TIME, tool_choice=named("get_time")),
    _forced("allowed, required", "Hello", WEATHER, SUM, tool_choice=allowed("required", "get_weather")),
    _forced("required with a schema", "Weather in Oslo?", WEATHER, response_format=ANSWER),
    Scenario("a result is answered", [*CALLED, RESULT], {"tools": [WEATHER]}),
    Scenario("after a result, another", [*CALLED, RESULT, *ask("And Rome?")], {"tools": [WEATHER]}),
    Scenario(
        "a call after a result", [*CALLED, RESULT, *ask("Rome?")], {"tools": [WEATHER], **REQUIRED}, True
    ),
    Scenario("a result without tools", [*CALLED, RESULT], {}),
    _wrong("an answer without a call", "tool", [*ask("x"), RESULT], tools=[WEATHER]),
    _wrong("a call without its answer", "call_1", [*CALLED, *ask("x")], tools=[WEATHER]),
    _wrong("an unknown name", "function_call", ask("x"), tools=[WEATHER], tool_choice=named("nothing")),
    _wrong("a choice without tools", "tool_choice", ask("x"), tool_choice="required"),
    _wrong("a name with a space", "tools[0].function.name", ask("x"), tools=[tool("two words")]),
    _wrong("a Chinese name", "tools[0].function.name", ask("x"), tools=[CHINESE]),
]
