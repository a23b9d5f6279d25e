"""A server that answers as a test wrote it, and keeps what it was asked: any OpenAI-compatible one."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODELS = ["bird-1", "bird-2"]


def piece(finish: str | None = None, **delta: str) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


@dataclass
class Script:
    """`answers` in order: (status, body) for a whole one, or the data of events, "[DONE]" included."""

    base_url: str
    answers: list[tuple[int, object] | list[str]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    hold: threading.Event | None = None  # an answer's connection stays open until this is set
    models: object = field(default_factory=lambda: [{"id": model} for model in MODELS])

    def say(self, *texts: str) -> None:
        self.answers.append([*(piece(content=text) for text in texts), piece("stop"), "[DONE]"])

    def refuse(self, status: int, message: str, code: str | None = None) -> None:
        self.answers.append((status, {"error": {"message": message, "code": code}}))


@contextmanager
def scripted() -> Iterator[Script]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._whole(200, {"data": script.models})

        def do_POST(self) -> None:
            script.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            script.keys.append(self.headers["Authorization"])
            answer = script.answers.pop(0)
            if isinstance(answer, tuple):
                self._whole(*answer)
                return
            self.send_response(200)
            self.end_headers()
            for data in answer:
                self.wfile.write(f": a comment\n\ndata: {data}\n\n".encode())
            if script.hold:
                script.hold.wait()

        def _whole(self, status: int, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script = Script(f"http://127.0.0.1:{server.server_address[1]}/v1")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield script
        server.shutdown()
        thread.join()
