"""Times to first token of coding agents on a running server, and how much of their prompts is in its cache.

The requests have the shape of what Codex 0.171 (Responses) and Claude Code 2.1.197 (Messages) were recorded
to send: fields, number and order of messages and tools, lengths in proportion, and what differs between
requests, which is the ids of messages, sessions and turns, the question, and the first system block of
Claude Code, whose value changes in many of its versions. Their words are common nouns, chosen again in each
run, so that the first turn finds nothing in the cache, and as many as give the usual number of tokens of
these programs' first requests. Each program sends

    turn one         the instructions, the tools and a question
    turn two         turn one, a tool call, and what the tool returned
    new session      the instructions and the tools again, and another question

    myna serve qwen2.5-coder-0.5b-instruct --context 32768
    python bench/agents.py --model qwen2.5-coder-0.5b-instruct --key "$(myna key)" --out agents.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from loadtest import WORDS

ANSWER_TOKENS = 16
CALL_ID = "call_0123456789abcdefABCDEF01"
TOOL_OUTPUT_CHARS = 1200
QUESTIONS = ("What does this folder do?", "Which of the tests are slow?")
# Characters of descriptions and number of parameters, as recorded.
CODEX_TOOLS = {
    "exec_command": (700, 10),
    "write_stdin": (400, 4),
    "request_user_input": (1000, 1),
    "view_image": (200, 1),
    "get_goal": (122, 0),
    "create_goal": (500, 2),
    "update_goal": (1900, 1),
}
CODEX_AGENTS = {
    "close_agent": (400, 1),
    "resume_agent": (200, 1),
    "send_input": (1300, 4),
    "spawn_agent": (7100, 6),
    "wait_agent": (550, 2),
}
CLAUDE_TOOLS = {
    "Agent": (5454, 6),
    "Bash": (10393, 5),
    "CronCreate": (2924, 4),
    "CronDelete": (167, 1),
    "CronList": (106, 0),
    "Edit": (1094, 4),
    "EnterWorktree": (3031, 2),
    "ExitWorktree": (1923, 2),
    "NotebookEdit": (619, 5),
    "Read": (1830, 4),
    "ReportFindings": (574, 2),
    "ScheduleWakeup": (2802, 3),
    "SendMessage": (655, 3),
    "Skill": (1713, 2),
    "TaskCreate": (2146, 4),
    "TaskGet": (732, 1),
    "TaskList": (998, 0),
    "TaskOutput": (1049, 3),
    "TaskStop": (203, 2),
    "TaskUpdate": (2243, 9),
    "WebFetch": (1479, 2),
    "WebSearch": (1321, 3),
    "Workflow": (18780, 7),
    "Write": (618, 2),
}


class Texts:
    """The same texts each time for the same seed. `scale`: how long they are, compared with the recorded."""

    def __init__(self, seed: int, scale: float) -> None:
        self._random = random.Random(seed)
        self._scale = scale

    def prose(self, num_chars: int) -> str:
        chosen = self._random.choices(WORDS, k=max(1, round(num_chars * self._scale / 6)))
        return " ".join(chosen)

    def schema(self, num_parameters: int) -> dict[str, Any]:
        names = [
            f"{word}_{number}" for number, word in enumerate(self._random.choices(WORDS, k=num_parameters))
        ]
        properties = {name: {"type": "string", "description": self.prose(60)} for name in names}
        return {
            "type": "object",
            "properties": properties,
            "required": names[:1],
            "additionalProperties": False,
        }


def codex(texts: Texts, session: str, question: str, *, has_called: bool) -> dict[str, Any]:
    def message(role: str, *parts: str) -> dict[str, Any]:
        content = [{"type": "input_text", "text": part} for part in parts]
        return {"type": "message", "id": f"msg_{uuid.uuid4()}", "role": role, "content": content}

    def functions(table: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
        return [
            {
                "type": "function",
                "name": name,
                "description": texts.prose(num_chars),
                "strict": False,
                "parameters": texts.schema(num_parameters),
            }
            for name, (num_chars, num_parameters) in table.items()
        ]

    environment = "<environment_context>\n  <cwd>/work</cwd>\n  <shell>bash</shell>\n</environment_context>"
    items = [
        message("developer", texts.prose(16979)),
        message("developer", texts.prose(2117), texts.prose(341)),
        message("user", environment),
        message("user", question),
    ]
    agents = {"type": "namespace", "name": "multi_agent_v1", "description": texts.prose(43)}
    search = {"type": "web_search", "external_web_access": False}
    tools = [*functions(CODEX_TOOLS), agents | {"tools": functions(CODEX_AGENTS)}, search]
    if has_called:
        arguments = json.dumps({"cmd": "ls"})
        call = {"type": "function_call", "status": "completed", "id": f"fc_{uuid.uuid4().hex}"}
        items += [
            call | {"name": "exec_command", "arguments": arguments, "call_id": CALL_ID},
            {
                "type": "function_call_output",
                "id": f"fco_{uuid.uuid4()}",
                "call_id": CALL_ID,
                "output": texts.prose(TOOL_OUTPUT_CHARS),
            },
        ]
    return {
        "stream": True,
        "input": items,
        "tools": tools,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": session,
        "client_metadata": {"session_id": session, "turn_id": str(uuid.uuid4())},
        "max_output_tokens": ANSWER_TOKENS,
    }


def claude_code(texts: Texts, session: str, question: str, *, has_called: bool) -> dict[str, Any]:
    cached = {"cache_control": {"type": "ephemeral"}}

    def text(value: str) -> dict[str, Any]:
        return {"type": "text", "text": value}

    system = [
        text(f"x-anthropic-billing-header: cc_version=2.1.197.{uuid.uuid4().hex[:3]}; cc_entrypoint=cli;"),
        text(texts.prose(62)) | cached,
        text(texts.prose(26400)) | cached,
    ]
    tools = [
        {
            "name": name,
            "description": texts.prose(num_chars),
            "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema"} | texts.schema(num),
        }
        for name, (num_chars, num) in CLAUDE_TOOLS.items()
    ]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [text(texts.prose(306)), text(question) | cached]},
        {"role": "system", "content": texts.prose(6269)},
    ]
    if has_called:
        use = {"type": "tool_use", "id": f"toolu_{CALL_ID[5:]}", "name": "Bash", "input": {"command": "ls"}}
        result = {"type": "tool_result", "tool_use_id": use["id"], "is_error": False}
        messages += [
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result | {"content": texts.prose(TOOL_OUTPUT_CHARS)} | cached]},
        ]
    return {
        "system": system,
        "messages": messages,
        "tools": tools,
        "max_tokens": ANSWER_TOKENS,
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": json.dumps({"session_id": session})},
        "stream": True,
    }


@dataclass(frozen=True)
class Program:
    name: str
    build: Callable[..., dict[str, Any]]
    path: str
    count_path: str
    num_tokens: int


PROGRAMS = (
    Program("codex", codex, "responses", "responses/input_tokens", 9800),
    Program("claude-code", claude_code, "messages?beta=true", "messages/count_tokens", 19000),
)


class Bench:
    """Sends the requests of one program."""

    def __init__(self, http: httpx.Client, model: str, program: Program) -> None:
        self._http = http
        self._model = model
        self._program = program
        self._seed = random.randrange(1 << 40)
        self._scale = 1.0
        low, high = (self._count(scale) for scale in (0.1, 1.0))
        self._scale = 0.1 + 0.9 * (program.num_tokens - low) / (high - low)

    def run(self) -> Iterator[dict[str, Any]]:
        sessions = [str(uuid.uuid4()) for _ in QUESTIONS]
        yield self._turn("turn one", sessions[0], QUESTIONS[0])
        yield self._turn("turn two", sessions[0], QUESTIONS[0], has_called=True)
        yield self._turn("new session", sessions[1], QUESTIONS[1])

    def _body(self, session: str, question: str, *, has_called: bool = False) -> dict[str, Any]:
        texts = Texts(self._seed, self._scale)
        return {"model": self._model} | self._program.build(texts, session, question, has_called=has_called)

    def _count(self, scale: float) -> int:
        self._scale = scale
        body = self._body("", QUESTIONS[0])
        kept = ("model", "input", "system", "messages", "tools", "tool_choice", "parallel_tool_calls")
        asked = {name: value for name, value in body.items() if name in kept}
        answer = self._http.post(self._program.count_path, json=asked)
        return int(checked(answer).json()["input_tokens"])

    def _turn(self, name: str, session: str, question: str, *, has_called: bool = False) -> dict[str, Any]:
        body = self._body(session, question, has_called=has_called)
        first_s, usage = 0.0, dict[str, Any]()
        begun = time.perf_counter()
        with self._http.stream("POST", self._program.path, json=body) as answer:
            if answer.status_code != 200:
                answer.read()
            for line in checked(answer).iter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line.removeprefix("data: "))
                if event["type"] in ("error", "response.failed"):
                    raise SystemExit(f"{self._program.name} got an error: {line}")
                # The last alternative: the end of an answer that shows no text.
                if not first_s and event["type"].endswith(("delta", "completed", "incomplete")):
                    first_s = time.perf_counter() - begun
                usage |= event.get("usage") or event.get("response", {}).get("usage") or {}
        cached = usage.get("cache_read_input_tokens")
        if cached is None:
            cached, prompt = usage["input_tokens_details"]["cached_tokens"], usage["input_tokens"]
        else:
            prompt = cached + usage["input_tokens"] + usage["cache_creation_input_tokens"]
        return {
            "program": self._program.name,
            "request": name,
            "prompt_tokens": prompt,
            "cached_tokens": cached,
            "first_token_s": round(first_s, 3),
        }


def checked(answer: httpx.Response) -> httpx.Response:
    if answer.status_code != 200:
        raise SystemExit(f"{answer.url} answered {answer.status_code}: {answer.text[:500]}")
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--key", default=os.environ.get("OPENAI_API_KEY", "none"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = list[dict[str, Any]]()
    headers = {"authorization": f"Bearer {options.key}", "anthropic-version": "2023-06-01"}
    with httpx.Client(base_url=options.base_url, headers=headers, timeout=900, trust_env=False) as http:
        for program in PROGRAMS:
            for row in Bench(http, options.model, program).run():
                print(json.dumps(row), flush=True)
                rows.append(row)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    report = {"model": options.model, "rows": rows, "load": round(os.getloadavg()[0], 1), "machine": machine}
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
