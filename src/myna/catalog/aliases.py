"""The names of OpenAI's and Anthropic's models, which existing code uses, as aliases of the default and the
embedding model; and aliases whose names are patterns."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from myna.catalog.registry import AliasFor, CardKind, ModelCard

# Text models only: an alias must not promise a modality that its target lacks.
DEFAULT_ALIASES: Final[dict[str, CardKind]] = {
    "gpt-3.5-turbo": "alias",
    "gpt-3.5-turbo-instruct": "instruct",
    "gpt-4": "alias",
    "gpt-4-turbo": "alias",
    "gpt-4o": "alias",
    "gpt-4o-mini": "alias",
    "gpt-4.1": "alias",
    "gpt-4.1-mini": "alias",
    "gpt-4.1-nano": "alias",
    "davinci-002": "alias",
    "babbage-002": "alias",
}
# Of the embedding model, where there is only one.
EMBEDDING_ALIASES: Final = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")
# Of the guard model that the settings name.
MODERATION_ALIASES: Final = (
    "omni-moderation-latest",
    "omni-moderation-2024-09-26",
    "text-moderation-latest",
    "text-moderation-stable",
)
# The present and dated names of the same kind, such as gpt-5-mini, gpt-4o-2024-08-06 or o4-mini. Names of
# models for other modalities (gpt-4o-audio-preview) and of open models (gpt-oss-20b) don't match.
_TEXT_MODEL: Final = re.compile(
    r"(?:chat)?(?:gpt-[1-9][0-9]?(?:\.[0-9])?o?|o[1-9])"
    r"(?:-(?:16k|32k|chat|codex|instruct|latest|max|mini|nano|preview|pro|turbo"
    r"|astra|cyber|law|luna|rosalind|sol|terra))*"
    r"(?:-[0-9]{4}(?:-[0-9]{2}-[0-9]{2})?(?:-preview)?)?"
    # All of Anthropic's models are for text; claude-sonnet-5, claude-3-5-haiku-20241022.
    r"|claude(?:-[a-z0-9.]+)+(?:@[0-9]+)?",
    re.ASCII,
)


def default_alias_cards(target: str) -> list[ModelCard]:
    """Cards of the default aliases of `target` that are listed; the listing fills in `created` and
    `owned_by`."""
    return [alias_card(name, target, kind) for name, kind in DEFAULT_ALIASES.items()]


def unlisted_aliases(target: str) -> AliasFor:
    """A function that returns the card of any other name of OpenAI's text models."""
    return partial(_unlisted_alias, target)


def is_pattern(name: str) -> bool:
    """Whether the name of an alias is a pattern; `*` is any text."""
    return "*" in name


def pattern_aliases(patterns: Sequence[ModelCard]) -> AliasFor:
    """A function that returns the card of a name that matches one of the patterns, by the first of them."""
    compiled = [
        (re.compile(".*".join(map(re.escape, card.id.split("*"))), re.DOTALL), card) for card in patterns
    ]

    def find(name: str) -> ModelCard | None:
        found = next((card for pattern, card in compiled if pattern.fullmatch(name)), None)
        return None if found is None else replace(found, id=name)

    return find


def _unlisted_alias(target: str, name: str) -> ModelCard | None:
    if not _TEXT_MODEL.fullmatch(name):
        return None
    return alias_card(name, target, "instruct" if "-instruct" in name else "alias")


def alias_card(name: str, target: str, kind: CardKind, prefix: str = "", adapter: str = "") -> ModelCard:
    return ModelCard(name, 0, "", kind, target, prefix=prefix, adapter=adapter)
