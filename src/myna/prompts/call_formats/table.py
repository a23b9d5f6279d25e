"""The table of call formats. A new family is a row here, or, for a syntax of its own, a class that the row
names."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from myna.prompts.call_formats.bare import BareFormat
from myna.prompts.call_formats.base import CallFormat
from myna.prompts.call_formats.functionary import FunctionaryFormat
from myna.prompts.call_formats.gemma_style import GemmaStyle
from myna.prompts.call_formats.harmony import HarmonyFormat
from myna.prompts.call_formats.json_style import JsonStyle
from myna.prompts.call_formats.marked import MarkedFormat
from myna.prompts.call_formats.minimax_style import MARK, MiniMaxStyle
from myna.prompts.call_formats.python_style import PythonStyle
from myna.prompts.call_formats.xml_style import XmlStyle

_JSON: Final = JsonStyle()
_NAMED: Final = '{"name": "{name}", "arguments": '
_DSML_MARKS: Final = {"string": "true", "": "false"}
_TYPE_MARKS: Final = {t: t for t in ("string", "number", "boolean", "null", "array", "object")}

_CODER: Final = XmlStyle("<parameter=", ">", "</parameter>", "</function>", after="\n", line="\n")
_SEED: Final = XmlStyle("<parameter=", ">", "</parameter>", "</function>", after="\n")
_INVOKE: Final = XmlStyle('<parameter name="', '">', "</parameter>", "</invoke>", after="\n")
_ATEM: Final = XmlStyle('<atem:parameter name="', '">', "</atem:parameter>", "</atem:invoke>", after="\n")
_MINICPM: Final = XmlStyle('<param name="', '">', "</param>", "</function>")
_GLM: Final = XmlStyle("<arg_key>", "</arg_key><arg_value>", "</arg_value>", "</tool_call>")
_GLM_LINES: Final = XmlStyle(
    "<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>", "</tool_call>", after="\n"
)
_LING: Final = XmlStyle("<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>", "\n</tool_call>")
_HUNYUAN: Final = XmlStyle(
    "<arg_key:opensource>",
    "</arg_key:opensource>\n<arg_value:opensource>",
    "</arg_value:opensource>",
    "</tool_call:opensource>",
    after="\n",
)
_DSML: Final = XmlStyle(
    '<｜DSML｜parameter name="',
    '" string="{name}">',
    "</｜DSML｜parameter>",
    "</｜DSML｜invoke>",
    after="\n",
    marks=_DSML_MARKS,
)
_KIMI_K3: Final = XmlStyle(
    '<|open|>argument key="',
    '" type="{name}"<|sep|>',
    "<|close|>argument<|sep|>",
    "<|close|>call<|sep|>",
    marks=_TYPE_MARKS,
)


def _tagged(name: str, between: str) -> MarkedFormat:
    """The object in tags of its own, as Hermes and Qwen write it."""
    is_loose = name == "hermes"
    return MarkedFormat(
        name, "<tool_call>", "<tool_call>\n", _NAMED, "}", between, "\n</tool_call>", is_loose=is_loose
    )


def _listed(name: str, begin: str, end: str, tail: str = "}") -> MarkedFormat:
    """A JSON array of objects."""
    return MarkedFormat(name, begin, begin + "[", _NAMED, tail, ", ", "]" + end)


def _functions(name: str, tag: str, style: XmlStyle, gap: str = "\n") -> MarkedFormat:
    """`<function=…>` in a tag."""
    begin = f"<{tag}>\n<function="
    between = f"\n</{tag}>{gap}{begin}"
    return MarkedFormat(name, f"<{tag}>", begin, "{name}>\n", "", between, f"\n</{tag}>", style)


def _invocations(name: str, tag: str, prefix: str, style: XmlStyle) -> MarkedFormat:
    """`<invoke name="…">` in a tag around all calls."""
    begin = f'<{prefix}invoke name="'
    return MarkedFormat(
        name, f"<{tag}>", f"<{tag}>\n{begin}", '{name}">\n', "", f"\n{begin}", f"\n</{tag}>", style
    )


def _keyed(name: str, after_name: str, gap: str, style: XmlStyle) -> MarkedFormat:
    """A name and `<arg_key>`s in `<tool_call>`."""
    tag = "<tool_call>"
    return MarkedFormat(name, tag, tag, "{name}" + after_name, "", gap + tag, "", style)


_ROWS: Final[tuple[CallFormat, ...]] = (
    _tagged("hermes", "\n</tool_call>\n<tool_call>\n"),
    _tagged("reka", "\n</tool_call><tool_call>\n"),
    _listed("mistral", "[TOOL_CALLS]", "", '«, "id": "{id}"»}'),
    _listed("apriel", "<tool_calls>", "</tool_calls>", '«, "id": "{id}"»}'),
    _listed("nemotron-v2", "<TOOLCALL>", "</TOOLCALL>"),
    _listed("granite-3", "<|tool_call|>", ""),
    # Its mark alone is a word that may be in any answer.
    MarkedFormat("firefunction", "functools[", "functools[", _NAMED, "}", ", ", "]"),
    MarkedFormat("minimax-m1", "<tool_calls>", "<tool_calls>\n", _NAMED, "}", "\n", "\n</tool_calls>"),
    MarkedFormat(
        "command",
        "<|START_ACTION|>",
        "<|START_ACTION|>[\n    ",
        '{"tool_call_id": "{index}", "tool_name": "{name}", "parameters": ',
        "}",
        ",\n    ",
        "\n]<|END_ACTION|>",
    ),
    MarkedFormat(
        "gigachat",
        "function call<|role_sep|>",
        "function call<|role_sep|>\n",
        _NAMED,
        "}",
        None,
        "",
    ),
    MarkedFormat("gigachat-3.1", "<|function_call|>", "<|function_call|>", _NAMED, "}", None, ""),
    MarkedFormat(
        "apertus", "<|tools_prefix|>", "<|tools_prefix|>[", '{"{name}": ', "}", ", ", "]<|tools_suffix|>"
    ),
    MarkedFormat("functionary-3.1", "<function=", "<function=", "{name}>", "</function>", "<function=", ""),
    MarkedFormat("devstral", "[TOOL_CALLS]", "[TOOL_CALLS]", "{name}[ARGS]", "", "[TOOL_CALLS]", ""),
    MarkedFormat(
        "mistral-small-3.2",
        "[TOOL_CALLS]",
        "[TOOL_CALLS]",
        "{name}[CALL_ID]{id}[ARGS]",
        "",
        "[TOOL_CALLS]",
        "",
    ),
    MarkedFormat(
        "kimi-k2",
        "<|tool_calls_section_begin|>",
        "<|tool_calls_section_begin|>",
        "<|tool_call_begin|>functions.{name}:{index}<|tool_call_argument_begin|>",
        "<|tool_call_end|>",
        "",
        "<|tool_calls_section_end|>",
    ),
    MarkedFormat(
        "deepseek-v3.1",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>",
        "<｜tool▁call▁end｜>",
        "",
        "<｜tool▁calls▁end｜>",
    ),
    MarkedFormat(
        "deepseek-r1",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n",
        "\n```<｜tool▁call▁end｜>",
        "\n",
        "<｜tool▁calls▁end｜>",
    ),
    MarkedFormat(
        "solar",
        "<|tool_calls|>",
        "<|tool_calls|>",
        "<|tool_call:begin|>{id}<|tool_call:name|>{name}<|tool_call:args|>",
        "<|tool_call:end|>",
        "",
        "",
    ),
    _functions("qwen3-coder", "tool_call", _CODER),
    _functions("step", "tool_call", _CODER, gap=""),
    _functions("seed", "seed:tool_call", _SEED),
    _invocations("minimax-m2", "minimax:tool_call", "", _INVOKE),
    MarkedFormat(
        "muse",
        " to=",
        " to=",
        '{name}<|message|><atem:function_calls>\n<atem:invoke name="{name}">\n',
        "\n</atem:function_calls>",
        "<|eom|><|start|>assistant to=",
        "",
        _ATEM,
    ),
    _invocations("deepseek-v3.2", "｜DSML｜function_calls", "｜DSML｜", _DSML),
    _invocations("deepseek-v4", "｜DSML｜tool_calls", "｜DSML｜", _DSML),
    _keyed("glm-4.7", "", "", _GLM),
    _keyed("glm-4.6", "\n", "\n", _GLM_LINES),
    _keyed("ling", "\n", "\n", _LING),
    MarkedFormat(
        "hunyuan",
        "<tool_calls:opensource>",
        "<tool_calls:opensource>\n<tool_call:opensource>",
        "{name}<tool_sep:opensource>\n",
        "",
        "\n<tool_call:opensource>",
        "\n</tool_calls:opensource>",
        _HUNYUAN,
    ),
    MarkedFormat(
        "minicpm5", '<function name="', '<function name="', '{name}">', "", '\n<function name="', "", _MINICPM
    ),
    MarkedFormat(
        "kimi-k3",
        "<|open|>tools<|sep|>",
        "<|open|>tools<|sep|>",
        '<|open|>call tool="{name}" index="{number}"<|sep|>',
        "",
        "",
        "<|close|>tools<|sep|>",
        _KIMI_K3,
    ),
    MarkedFormat(
        "lfm2",
        "<|tool_call_start|>",
        "<|tool_call_start|>[",
        "{name}(",
        "",
        ", ",
        "]<|tool_call_end|>",
        PythonStyle(),
    ),
    MarkedFormat(
        "command-r-plus",
        "Action:\n```json",
        "Action:\n```json\n[\n    ",
        '{\n        "tool_name": "{name}",\n        "parameters": ',
        "\n    }",
        ",\n    ",
        "\n]```",
    ),
    MarkedFormat(
        "gemma-4",
        "<|tool_call>",
        "<|tool_call>call:",
        "{name}",
        "<tool_call|>",
        "<|tool_call>call:",
        "",
        GemmaStyle(),
    ),
    MarkedFormat(
        "minimax-m3",
        MARK + "<tool_call>",
        f'{MARK}<tool_call>\n{MARK}<invoke name="',
        '{name}">',
        "",
        f'\n{MARK}<invoke name="',
        f"\n{MARK}</tool_call>",
        MiniMaxStyle(),
    ),
    HarmonyFormat(),
    FunctionaryFormat(),
    BareFormat("parameters", "parameters"),
    BareFormat("bare", "arguments"),
)
FORMATS: Final[Mapping[str, CallFormat]] = MappingProxyType({row.name: row for row in _ROWS})
"""By name; of formats that read the same text the first counts."""

BARE: Final = FORMATS["bare"]
"""For models whose template knows no tools."""


def find_by_tokens(texts: Collection[bytes]) -> str | None:
    """The name of the first format whose trigger is one of a vocabulary's tokens. That of one with recipients
    may be any vocabulary's."""
    rows = (row for row in _ROWS if not row.marks.has_recipients)
    return next(
        (row.name for row in rows if any(mark.encode() in texts for mark in row.marks.anywhere)), None
    )
