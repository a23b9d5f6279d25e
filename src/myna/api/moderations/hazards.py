"""The hazards that guard models name, as OpenAI's categories. Data, and how to read a model's own list.

OpenAI's categories are defined in its API reference (Moderations, "categories"), those of Llama Guard in its
model cards (versions 1 to 4; from 2 on the taxonomy of MLCommons), those of Qwen3Guard in the card of
Qwen3Guard-Gen. A hazard counts for each category whose definition covers part of its own; a category below
another one counts for that one, too.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "sexual",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm/intent",
    "self-harm/instructions",
    "self-harm",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""In the order of OpenAI's answers."""

_VIOLENT_CRIMES: Final = ("illicit", "illicit/violent", "violence")
_WEAPONS: Final = ("illicit", "illicit/violent")

LLAMA_GUARD: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "violent crimes": _VIOLENT_CRIMES,
        "non-violent crimes": ("illicit",),
        "sex crimes": ("illicit", "sexual"),
        "sex-related crimes": ("illicit", "sexual"),
        "child exploitation": ("sexual", "sexual/minors"),
        "child sexual exploitation": ("sexual", "sexual/minors"),
        "defamation": (),
        "specialized advice": (),
        "privacy": (),
        "intellectual property": (),
        "indiscriminate weapons": _WEAPONS,
        "hate": ("hate",),
        "self-harm": ("self-harm",),
        "suicide & self-harm": ("self-harm",),
        "sexual content": ("sexual",),
        "elections": (),
        "code interpreter abuse": (),
        # Version 1's own.
        "violence and hate": ("hate", "violence"),
        "criminal planning": ("illicit",),
        "guns and illegal weapons": _WEAPONS,
        "regulated or controlled substances": ("illicit",),
    }
)
"""By the names in its prompts, in lower case. Its answers have codes, which mean what the prompt says."""

QWEN3_GUARD: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "violent": _VIOLENT_CRIMES,
        "non-violent illegal acts": ("illicit",),
        "sexual content or sexual acts": ("sexual",),
        "pii": (),
        "personally identifiable information": (),
        "suicide & self-harm": ("self-harm",),
        "unethical acts": ("harassment", "hate"),
        "politically sensitive topics": (),
        "copyright violation": (),
        "jailbreak": (),
    }
)
"""By the names in its answers, in lower case."""

_CODE: Final = re.compile(r"^[ \t]*([A-Z]\d{1,2}): *(\S.*?)\.?[ \t]*$", re.MULTILINE)


def codes_in(prompt: str) -> dict[str, str]:
    """The hazards that Llama Guard's prompt lists, in lower case, by their codes."""
    codes: dict[str, str] = {}
    for code, name in _CODE.findall(prompt):
        codes.setdefault(code, name.lower())
    return codes


def categories_of(hazards: Iterable[str], table: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """The categories of these hazards. Those that the table doesn't have belong to none."""
    return frozenset(category for hazard in hazards for category in table.get(hazard.lower(), ()))
