"""`myna chat`: a conversation at the terminal, or one question through a pipe."""

import sys
from typing import Annotated

import typer

from myna.cli.chat.conversation import Conversation
from myna.cli.chat.files import load
from myna.cli.chat.parameters import find_parameter, read_value
from myna.cli.chat.server import open_server, with_key_advice
from myna.cli.client import Refused, first_model
from myna.core.errors import InvalidRequest, OperatorError
from myna.core.translatable import N_
from myna.settings import load_settings


def chat(
    question: Annotated[
        str | None, typer.Argument(help="Ask only this question, then exit; piped input is appended to it.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Model to use; default: the first that the server lists."),
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", "-s", help="Instructions for the whole conversation.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter such as temperature=0.2; may be repeated; /set lists them."),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--load", help="Continue a conversation that /save wrote as .json.")
    ] = None,
    stats: Annotated[
        bool, typer.Option("--stats", help="Show tokens per second and the time to the first token.")
    ] = False,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="Base URL of any OpenAI-compatible server; default: OPENAI_BASE_URL, else your own server."
        ),
    ] = None,
) -> None:
    """Chat with a model in the terminal.

    Talks to your running server, on any port, or starts one for the chat; or to any other that speaks
    OpenAI's API, whose key is OPENAI_API_KEY. With a question, or with one piped in, prints the answer as
    plain text and exits.

    **Examples**

    - `myna chat`: type /help there
    - `git diff | myna chat "Explain this change."`
    - `myna chat --system "You are a poet." --set temperature=1.2`
    - `myna chat --base-url http://127.0.0.1:11434/v1 -m llama3.2`
    """
    asked = _question(question)
    conversation = load(file)[0] if file else Conversation("")
    _configure(conversation, model, system, settings or [])
    with open_server(load_settings({"model": model} if model else {}), base_url, model) as target:
        try:
            conversation.model = conversation.model or first_model(target.base_url, target.key)
        except Refused as exc:
            raise with_key_advice(exc) from exc
        from myna.cli.chat.loop import answer_once, talk
        from myna.cli.chat.session import Chat

        session = Chat(target, conversation, shows_stats=stats)
        if asked:
            answer_once(session, asked)
        else:
            talk(session)


def _question(argument: str | None) -> str:
    """What is asked once, of the argument and what is piped in; empty for a conversation at the terminal."""
    piped = "" if sys.stdin.isatty() else _piped_text()
    asked = "\n\n".join(part for part in (argument, piped) if part and part.strip())
    if not asked and not sys.stdin.isatty():
        raise InvalidRequest(N_("There is no question; write it after `myna chat`, or pipe it in."))
    if not asked and not sys.stdout.isatty():
        raise InvalidRequest(N_("A chat needs a terminal; ask one question with: myna chat 'QUESTION'"))
    return asked


def _configure(
    conversation: Conversation, model: str | None, system: str | None, settings: list[str]
) -> None:
    conversation.model = model or conversation.model
    conversation.system = conversation.system if system is None else system
    for assignment in settings:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InvalidRequest(N_("Write --set as NAME=VALUE, not {assignment}.", assignment=assignment))
        parameter = find_parameter(name)
        conversation.settings[parameter.name] = read_value(parameter, text)


def _piped_text() -> str:
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise OperatorError(
            N_(
                "The piped input is not UTF-8 text (byte {position} is {byte:#04x}); convert it first, "
                "for example with: iconv -f GBK -t UTF-8",
                position=exc.start,
                byte=data[exc.start],
            )
        ) from None
