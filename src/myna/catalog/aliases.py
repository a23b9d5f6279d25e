"""The names of OpenAI's models, which existing code uses, as aliases of the default model."""

from typing import Final

from myna.catalog.registry import CardKind, ModelCard

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


def default_alias_cards(target: str) -> list[ModelCard]:
    """Cards of all default aliases of `target`; the listing fills in `created` and `owned_by`."""
    return [alias_card(name, target, kind) for name, kind in DEFAULT_ALIASES.items()]


def alias_card(name: str, target: str, kind: CardKind) -> ModelCard:
    return ModelCard(name, 0, "", kind, target)
