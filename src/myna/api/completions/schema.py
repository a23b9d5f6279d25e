"""The schemas of a completion request and its response. Knows no model and no HTTP."""

from typing import Annotated, Final

import msgspec
from pydantic import StrictInt

from myna.generation.json_parts import LazyArray
from myna.wire import validation_errors
from myna.wire.fields import (
    Biases,
    Count,
    Flag,
    Fraction,
    Label,
    MinTokens,
    Penalty,
    RepetitionPenalty,
    Seed,
    Stops,
    StopTokens,
    StreamOptions,
    Temperature,
    Text,
    TopK,
    integer,
    plain,
    within_limit,
)
from myna.wire.structured_outputs import GuidedChoice, GuidedJson, GuidedText, StructuredOutputs
from myna.wire.validation import WireModel

MAX_PROMPTS: Final = 2048
_FORMS: Final = "one of a string, array of strings, array of integers, or array of integer arrays"

Prompt = str | tuple[int, ...]


def _prompts(value: object) -> tuple[Prompt, ...]:
    """All forms as a tuple of prompts: text or token ids. None, the start of a document, is ()."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (within_limit(value, ""),)
    if not isinstance(value, list):
        raise validation_errors.invalid_type(_FORMS, value).in_validator()
    if not value:
        raise validation_errors.empty("array").in_validator()
    if type(value[0]) is int:
        return (_tokens(value, ""),)
    if len(value) > MAX_PROMPTS:
        raise validation_errors.too_long("array", MAX_PROMPTS, len(value)).in_validator()
    if isinstance(value[0], list):
        return tuple(_tokens(prompt, f"[{i}]") for i, prompt in enumerate(value))
    for i, prompt in enumerate(value):
        if not isinstance(prompt, str):
            expected = "a string" if i else _FORMS.removeprefix("one of ")
            raise validation_errors.invalid_type(expected, prompt).in_validator(f"[{i}]")
    return tuple(within_limit(prompt, f"[{i}]") for i, prompt in enumerate(value))


def _tokens(value: object, place: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise validation_errors.invalid_type("an array of integers", value).in_validator(place)
    if not value:
        raise validation_errors.empty("array").in_validator(place)
    for i, token in enumerate(value):
        if type(token) is not int:
            raise validation_errors.invalid_type("an integer", token).in_validator(f"{place}[{i}]")
        if token < 0:
            raise validation_errors.out_of_range("integer", "below", 0, token).in_validator(f"{place}[{i}]")
    return tuple(value)


class CompletionRequest(WireModel):
    """The body of `POST /v1/completions`; None means OpenAI's default, as does null."""

    model: str
    prompt: Annotated[tuple[Prompt, ...], plain(_prompts)] = ()
    suffix: Text = None
    best_of: Annotated[StrictInt | None, integer(0, 20)] = None
    echo: Flag = None
    max_tokens: Annotated[StrictInt | None, integer(0)] = None
    n: Count = None
    stop: Stops = ()
    temperature: Temperature = None
    top_p: Fraction = None
    presence_penalty: Penalty = None
    frequency_penalty: Penalty = None
    logprobs: Annotated[StrictInt | None, integer(0, 5)] = None
    logit_bias: Biases = ()
    user: Label = None
    seed: Seed = None
    stream: Flag = None
    stream_options: StreamOptions | None = None
    top_k: TopK = None
    min_p: Fraction = None
    repetition_penalty: RepetitionPenalty = None
    min_tokens: MinTokens = None
    stop_token_ids: StopTokens = ()
    ignore_eos: Flag = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: GuidedJson = None
    guided_regex: GuidedText = None
    guided_choice: GuidedChoice = None
    guided_grammar: GuidedText = None


class Logprobs(msgspec.Struct):
    """The legacy format: parallel lists, with one item per token."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class LazyLogprobs(msgspec.Struct):
    """The log-probabilities of a whole response, rendered when they are sent."""

    tokens: LazyArray
    token_logprobs: LazyArray
    top_logprobs: LazyArray
    text_offset: LazyArray


class Choice(msgspec.Struct):
    """One choice; its fields are in OpenAI's order."""

    text: str
    index: int
    logprobs: LazyLogprobs | None
    finish_reason: str


class Usage(msgspec.Struct):
    """Token counts of all prompts and all candidates."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(msgspec.Struct):
    """The response body."""

    id: str
    object: str
    created: int
    model: str
    choices: LazyArray
    usage: Usage
