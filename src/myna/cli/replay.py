"""`myna replay`: repeats a stored completion and compares the results."""

import json
from collections.abc import Sequence
from itertools import takewhile, zip_longest
from typing import Annotated, Any

import typer

from myna.cli.client import post
from myna.cli.console import say
from myna.cli.key import server_keys
from myna.cli.local_servers import find_server, local_base_url
from myna.core.errors import OperatorError
from myna.core.stored import StoredCompletion
from myna.core.translatable import N_, Translatable
from myna.settings import Settings, load_settings
from myna.stores.registry import open_stores


def replay(
    completion_id: Annotated[
        str, typer.Argument(help="The id of a completion that was requested with `store: true`.")
    ],
    project: Annotated[str, typer.Option(help="The project that the completion belongs to.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Repeat a stored completion on the running server and compare the two.

    The exit code is 0 if every choice is identical, 1 if one differs. A changed fingerprint explains a
    difference: other weights, another template, or other arithmetic.

    **Example**

    - `myna replay chatcmpl-…`
    """
    settings = load_settings({})
    stored = _find(settings, project, completion_id)
    item = json.loads(stored.item)
    answer = post(
        find_server(settings) or local_base_url(settings),
        server_keys(settings)[0],
        "chat/completions",
        _again(json.loads(stored.replay)),
    )
    differences = [
        difference
        for then, now in zip(item["choices"], answer["choices"], strict=True)
        if (difference := _difference(then, now))
    ]
    same_print = item["system_fingerprint"] == answer["system_fingerprint"]
    if as_json:
        finding = {
            "identical": not differences,
            "same_fingerprint": same_print,
            "differences": [str(difference) for difference in differences],
        }
        typer.echo(json.dumps(finding, ensure_ascii=False))
    else:
        for difference in differences:
            say(difference)
        if not differences:
            say(N_("identical"))
        if not same_print:
            say(
                N_(
                    "fingerprint: {then} then, {now} now",
                    then=item["system_fingerprint"],
                    now=answer["system_fingerprint"],
                )
            )
    if differences:
        raise typer.Exit(1)


def _find(settings: Settings, project: str, completion_id: str) -> StoredCompletion:
    store = open_stores(settings.database_url).completions()
    try:
        stored = store.get(project, completion_id)
    finally:
        store.close()
    if stored is None:
        raise OperatorError(
            N_(
                "No completion {completion_id} is stored in the project {project!r}; send requests "
                "with store=True to keep them.",
                completion_id=completion_id,
                project=project,
            )
        )
    return stored


def _again(body: dict[str, Any]) -> dict[str, Any]:
    """The request, with log-probabilities if they are allowed in it: they contain the tokens. Without a
    temperature it was stored before models had sampling defaults, when OpenAI's applied to it."""
    asked = {"temperature": 1.0, **body}
    return asked if body.get("prediction") else {**asked, "logprobs": True}


def _difference(then: dict[str, Any], now: dict[str, Any]) -> Translatable | None:
    """Where a choice differs; None if it doesn't."""
    index, old, new = then["index"], then["message"], now["message"]
    before, after = old["content"] or "", new["content"] or ""
    if before != after:
        common = _common(before, after)
        token = _token_at((now["logprobs"] or {}).get("content") or [], common)
        place = (
            N_("at character {character}", character=common)
            if token is None
            else N_("at token {token}", token=token)
        )
        return _differs(index, place, before[common:], after[common:])
    for number, (made, remade) in enumerate(zip_longest(_calls(old), _calls(new), fillvalue="")):
        if made != remade:
            common = _common(made, remade)
            place = N_("in call {number} at character {character}", number=number, character=common)
            return _differs(index, place, made[common:], remade[common:])
    if then["finish_reason"] != now["finish_reason"]:
        return N_(
            "choice {index} ended with {then} then, {now} now",
            index=index,
            then=then["finish_reason"],
            now=now["finish_reason"],
        )
    return None


def _differs(index: int, place: Translatable, then: str, now: str) -> Translatable:
    return N_(
        "choice {index} differs {place}: {then!r} then, {now!r} now",
        index=index,
        place=place,
        then=then[:40],
        now=now[:40],
    )


def _common(before: str, after: str) -> int:
    """The length of the common prefix."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))


def _token_at(entries: Sequence[dict[str, Any]], character: int) -> int | None:
    """The index of the token that contains that character of the text, from the tokens' bytes."""
    data = b""
    for number, entry in enumerate(entries):
        data += bytes(entry["bytes"] or ())
        if len(data.decode("utf-8", "ignore")) > character:
            return number
    return None


def _calls(message: dict[str, Any]) -> list[str]:
    """Each call as text, from `tool_calls` and the older `function_call`."""
    made = [call[call["type"]] for call in message.get("tool_calls") or ()]
    if message.get("function_call"):
        made.append(message["function_call"])
    return [f"{call['name']} {call.get('arguments', call.get('input'))}" for call in made]
