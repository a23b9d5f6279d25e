"""The conversation so far: how it is sent, saved and loaded. Independent of terminal and server."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from myna.cli.chat.parameters import BY_NAME, Value, read_value
from myna.core.errors import InvalidRequest, MynaError
from myna.core.translatable import N_

Role = Literal["user", "assistant"]


@dataclass(slots=True)
class Turn:
    """One message. `is_stopped`: the answer was interrupted by the user or by a failure."""

    role: Role
    text: str
    reasoning: str = ""
    is_stopped: bool = False


@dataclass(slots=True)
class Conversation:
    """Turns alternate and begin with the user's; the last question may lack its answer."""

    model: str
    system: str = ""
    settings: dict[str, Value] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)

    @property
    def last_question(self) -> str | None:
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), None)

    @property
    def last_answer(self) -> str | None:
        return next((turn.text for turn in reversed(self.turns) if turn.role == "assistant"), None)

    def ask(self, text: str) -> None:
        """Add a question. It replaces one that was never answered."""
        if self.turns and self.turns[-1].role == "user":
            self.turns.pop()
        self.turns.append(Turn("user", text))

    def take_back(self) -> str | None:
        """Remove the last question and what followed it; returns the question."""
        while self.turns:
            turn = self.turns.pop()
            if turn.role == "user":
                return turn.text
        return None

    def answer(self, turn: Turn) -> None:
        """Add the answer, unless it is empty."""
        if turn.text or turn.reasoning:
            self.turns.append(turn)

    def body(self) -> dict[str, Any]:
        """The request for the next answer."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        messages = [{"role": turn.role, "content": turn.text} for turn in self.turns]
        return {"model": self.model, "messages": [*system, *messages], **self.settings}

    def as_json(self) -> str:
        """OpenAI's messages, with the model and the settings."""
        messages: list[dict[str, object]] = (
            [{"role": "system", "content": self.system}] if self.system else []
        )
        for turn in self.turns:
            extra: dict[str, object] = {"reasoning_content": turn.reasoning} if turn.reasoning else {}
            extra |= {"stopped": True} if turn.is_stopped else {}
            messages.append({"role": turn.role, "content": turn.text, **extra})
        kept = {"model": self.model, "settings": self.settings, "messages": messages}
        return json.dumps(kept, ensure_ascii=False, indent=1) + "\n"

    def as_markdown(self) -> str:
        """For reading: one heading per turn."""
        parts = [f"# {self.model}"]
        parts += [f"## system\n\n{self.system}"] if self.system else []
        for turn in self.turns:
            quoted = "\n".join(f"> {line}" for line in turn.reasoning.splitlines())
            stopped = "*(stopped)*" if turn.is_stopped else ""
            parts.append("\n\n".join(filter(None, (f"## {turn.role}", quoted, turn.text, stopped))))
        return "\n\n".join(parts) + "\n"


def read_conversation(text: str, name: str) -> Conversation:
    """What `as_json` wrote, or any object with OpenAI's messages. Raises `InvalidRequest`."""
    try:
        raw = json.loads(text)
        conversation = Conversation(str(raw.get("model") or ""))
        for key, value in (raw.get("settings") or {}).items():
            if key in BY_NAME:
                written = value if isinstance(value, str) else json.dumps(value)
                conversation.settings[key] = read_value(BY_NAME[key], written)
        for message in raw["messages"]:
            _add(conversation, message)
    except MynaError as exc:
        raise InvalidRequest(
            N_("The conversation in {name} can't be read: {reason}", name=name, reason=exc.text)
        ) from exc
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise InvalidRequest(
            N_("{name} is not a saved conversation; load a file that /save wrote.", name=name)
        ) from None
    return conversation


def _add(conversation: Conversation, message: dict[str, Any]) -> None:
    role, text = message["role"], message["content"]
    if not isinstance(text, str) or role not in ("system", "developer", "user", "assistant"):
        raise ValueError(role)
    if role == "user":
        conversation.ask(text)
    elif role == "assistant":
        if not conversation.turns or conversation.turns[-1].role != "user":
            raise ValueError("an answer without a question")
        reasoning = str(message.get("reasoning_content") or "")
        conversation.turns.append(Turn("assistant", text, reasoning, message.get("stopped") is True))
    else:
        conversation.system = text
