"""Which names are aliases without being listed: those of OpenAI's text models, whatever their date, of
Anthropic's, and those that match a pattern of the owner's."""

import pytest
from tests.catalog.weights import Yard, local

from myna.catalog.aliases import (
    alias_card,
    default_alias_cards,
    is_pattern,
    pattern_aliases,
    unlisted_aliases,
)
from myna.catalog.pool import ModelPool
from myna.catalog.registry import ModelRegistry
from myna.core.errors import ModelNotFound, PermissionDenied

TEXT_MODELS = [
    *("gpt-3.5-turbo-0125", "gpt-3.5-turbo-1106", "gpt-3.5-turbo-16k", "gpt-3.5-turbo-16k-0613"),
    *("gpt-4-0613", "gpt-4-32k", "gpt-4-1106-preview", "gpt-4-0125-preview", "gpt-4-turbo-preview"),
    *("gpt-4-turbo-2024-04-09", "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "chatgpt-4o-latest"),
    *("gpt-4.1-2025-04-14", "gpt-4.1-nano-2025-04-14", "gpt-4.5-preview", "gpt-4.5-preview-2025-02-27"),
    *("gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5-pro", "gpt-5-codex", "gpt-5-chat-latest", "gpt-5.1"),
    *("gpt-5-mini-2025-08-07", "gpt-5.1-codex-max", "gpt-5.2-pro", "o1", "o1-mini", "o1-preview-2024-09-12"),
    *("gpt-5.6-luna", "gpt-5.6-cyber", "gpt-6-rosalind", "gpt-6.1-terra", "gpt-6.2-astra-law", "gpt-6.2-sol"),
    *("o3", "o3-mini", "o3-pro", "o4-mini", "o4-mini-2025-04-16"),
    *("claude-sonnet-5", "claude-3-5-haiku-20241022", "claude-opus-4-6", "claude-3-5-sonnet-latest"),
]
OTHERS = [
    *("gpt-4o-audio-preview", "gpt-4o-realtime-preview", "gpt-4o-transcribe", "gpt-4o-mini-tts"),
    *("gpt-image-1", "gpt-4-vision-preview", "gpt-4o-search-preview", "gpt-oss-20b", "gpt-oss-120b"),
    *("dall-e-3", "whisper-1", "tts-1", "text-embedding-3-small", "omni-moderation-latest", "gpt-"),
    *(
        "gpt-5.2-proo",
        "xgpt-5",
        "gpt-5 ",
        "gpt-5\n",
        "GPT-5",
        "o",
        "o10",
        "gpt-5-20250807-x",
        "claude",
        "claude-",
        "claude-sonnet-5[1m]",
        "",
    ),
]


def make_pool() -> ModelPool:
    files, yard = [local("bird"), local("gpt-5-nano")], Yard()
    registry = ModelRegistry(files, default_alias_cards("bird"), None, alias_for=unlisted_aliases("bird"))
    return ModelPool(registry.poll, yard, delete_files=yard.forget)


@pytest.mark.parametrize("name", [name for name in TEXT_MODELS if name != "gpt-5-nano"])
def test_a_present_or_dated_name_is_an_alias_that_is_not_listed(name: str) -> None:
    pool = make_pool()
    card = pool.card(name)
    assert (card.id, card.target, card.kind) == (name, "bird", "alias")
    assert (card.created, card.owned_by) == (7, "me")
    assert name not in [listed.id for listed in pool.cards()]


@pytest.mark.parametrize("name", OTHERS)
def test_another_name_is_none(name: str) -> None:
    assert make_pool().find(name) is None


def test_an_instruct_model_stays_one() -> None:
    assert make_pool().card("gpt-3.5-turbo-instruct-0914").kind == "instruct"


async def test_a_models_own_name_comes_first_and_an_alias_is_not_deleted() -> None:
    pool = make_pool()
    assert pool.card("gpt-5-nano").kind == "model"
    with pytest.raises(PermissionDenied):
        await pool.remove("gpt-5-mini")
    await pool.remove("bird")
    with pytest.raises(ModelNotFound):
        pool.card("gpt-5-mini")


def test_a_pattern_is_an_alias_of_every_name_that_matches_it_and_the_first_counts() -> None:
    patterns = [alias_card("claude-*haiku*", "small", "alias"), alias_card("claude-*", "large", "alias")]
    alias_for = pattern_aliases(patterns)

    def target(name: str) -> str | None:
        card = alias_for(name)
        assert card is None or card.id == name
        return None if card is None else card.target

    assert target("claude-haiku-4-5") == "small"
    assert target("claude-sonnet-5[1m]") == "large"
    assert target("claude-") == "large"
    assert target("xclaude-sonnet") is None
    assert is_pattern("claude-*")
    assert not is_pattern("claude-sonnet-5")
