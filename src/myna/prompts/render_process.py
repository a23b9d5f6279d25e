"""Renders chat templates, which are untrusted programs, in a process with bounded memory and time.

Started by `render_pool` as `python -m myna.prompts.render_process DESCRIPTOR`; ends when its socket closes.
"""

import contextlib
import marshal
import signal
import socket
import sys
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import msgspec

from myna.core.confinement import Confinement, confine
from myna.prompts.render_frames import Kind, receive, send
from myna.prompts.template_bounds import TemplateOutOfBounds
from myna.prompts.template_probe import find_features
from myna.prompts.template_sandbox import RENDER_ERRORS, CompiledTemplate, TemplateRefusal

MEMORY_BYTES: Final = 512 << 20
_MAX_TEMPLATES: Final = 16
_LIMITS: Final = Confinement(address_space_bytes=MEMORY_BYTES, max_files=16, oom_score_adj=1000)


class Templates:
    """The most recently used templates, compiled."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[str, CompiledTemplate] = OrderedDict()

    def get(self, source: str) -> CompiledTemplate:
        template = self._compiled.get(source)
        if template is None:
            template = self._compiled[source] = CompiledTemplate(source)
            if len(self._compiled) > _MAX_TEMPLATES:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(source)
        return template

    def render(self, source: str, variables: Mapping[str, object]) -> tuple[Kind, str]:
        try:
            return Kind.TEXT, self.get(source).render(variables)
        except TemplateRefusal as exc:
            return Kind.REFUSAL, str(exc)
        except TemplateOutOfBounds as exc:
            return Kind.OUT_OF_BOUNDS, str(exc)
        except RENDER_ERRORS as exc:
            return Kind.FAULT, type(exc).__name__


def serve(connection: socket.socket) -> None:
    """Reply to requests until the socket closes, or memory runs out: then a new process is better."""
    templates = Templates()
    while (request := receive(connection)) is not None:
        command, cpu_s, *arguments = marshal.loads(request)  # noqa: S302 - written by the server
        _bound_time(cpu_s)
        try:
            if command == "render":
                kind, text = templates.render(*arguments)
            else:
                source, bos, eos = arguments
                features = find_features(source, bos=bos, eos=eos)
                kind, text = Kind.FEATURES, msgspec.json.encode(features).decode()
            reply = kind.encode() + text.encode("utf-8", "surrogatepass")
        except MemoryError:
            send(connection, (Kind.OUT_OF_BOUNDS + "it used too much memory").encode())
            return
        _bound_time(0)
        send(connection, reply)


def _bound_time(cpu_s: float) -> None:
    """Have the kernel kill the process after that much processor time, whatever it is doing; 0: no limit."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, cpu_s)


def main() -> None:
    # On Ctrl-C the server drains, and needs its templates for that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    confine(_LIMITS)
    with socket.socket(fileno=int(sys.argv[1])) as connection, contextlib.suppress(OSError):
        serve(connection)


if __name__ == "__main__":
    main()
