"""The tables of docs/templates.md, from the outcomes of the gate."""

from collections.abc import Mapping
from pathlib import Path

from tests.prompts.conversations import CONVERSATIONS
from tests.prompts.template_gate import Result, outcomes, published, template_paths

from myna.prompts.template_probe import TemplateFeatures

_DOCS = Path(__file__).parents[2] / "docs"
_HEADS = {
    "templates.md": (
        *("Template", "Chat", "Instructions", "Tools and calls", "Parallel calls"),
        *("Calls read", "Thoughts read"),
    ),
    "templates.zh.md": ("模板", "对话", "指令", "工具与调用", "并行调用", "能读取的调用", "能读取的思考"),
}
_REFUSED = {"templates.md": "{} refused", "templates.zh.md": "拒绝 {}"}


def pages() -> dict[Path, str]:
    """Both pages with current tables, which are the last thing on each."""
    made = {}
    for name, heads in _HEADS.items():
        path = _DOCS / name
        text, _, _ = path.read_text(encoding="utf-8").partition(f"| {heads[0]} |")
        lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        for template in template_paths():
            history = _cells(outcomes(template), _REFUSED[name])
            lines.append(f"| {template.stem} | {history} | {_reads(published(template).features)} |")
        made[path] = text + "\n".join(lines) + "\n"
    return made


def _cells(results: Mapping[str, Result], refused: str) -> str:
    groups = dict[str, list[str]]((group, []) for group in ("chat", "instructions", "tools", "parallel"))
    for name, result in results.items():
        groups[_group(name)].append(result.outcome)
    cells = []
    for outcomes_ in groups.values():
        cell = f"{outcomes_.count('own')}/{len(outcomes_)}"
        if number := outcomes_.count("refused"):
            cell += ", " + refused.format(number)
        cells.append(cell)
    return " | ".join(cells)


def _reads(features: TemplateFeatures) -> str:
    """The name of the format of calls, and the marks around thoughts."""
    thinking = features.thinking
    marks = [thinking.begin, thinking.end] if thinking else []
    thoughts = " … ".join(f"`{mark}`".replace("|", "\\|") for mark in marks)
    return f"{features.call_format or '—'} | {thoughts or '—'}"


def _group(name: str) -> str:
    messages = CONVERSATIONS[name].messages
    if any(len(message.tool_calls) > 1 for message in messages):
        return "parallel"
    if CONVERSATIONS[name].tools or any(message.role == "tool" for message in messages):
        return "tools"
    return "instructions" if any(m.role in ("system", "developer") for m in messages) else "chat"
