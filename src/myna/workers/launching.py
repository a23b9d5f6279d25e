"""Starts worker processes, at once for a model or early, before the model is known. Knows no frames."""

import os
import socket
import subprocess
from dataclasses import dataclass
from typing import Final

import msgspec

from myna.core.confinement import Confinement
from myna.core.environment import child_environment
from myna.workers.main import LENGTH, Launch
from myna.workers.program import OWN, WorkerProgram

_SOCKET_BUFFER_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Launched:
    """A process, the server's end of its socket, and the descriptor from which what it prints is read."""

    process: subprocess.Popen[bytes]
    socket: socket.socket
    output: int


@dataclass(frozen=True, slots=True)
class Inherited:
    """The descriptors of a worker's step lock and file of saved prefixes, None for those that it has not."""

    step_lock: int | None = None
    prefix_file: int | None = None

    def descriptors(self) -> list[int]:
        return [one for one in (self.step_lock, self.prefix_file) if one is not None]


def launch(program: WorkerProgram, confinement: Confinement | None, inherited: Inherited) -> Launched:
    """Start a process. It ends with the calling thread: that must be the event loop's. Raises `OSError`."""
    return _start(program, Launch(confinement, -1, inherited.step_lock, inherited.prefix_file), inherited)


class EarlyWorker:
    """At most one process of Myna's own program that was started before its model is known: until then it
    imports what every model needs. All methods must be called in the event loop's thread."""

    def __init__(self) -> None:
        self._launched: Launched | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, as long as nobody took it."""
        return None if self._launched is None else self._launched.process.pid

    def start(self) -> None:
        """Raises `OSError`."""
        if self._launched is None:
            self._launched = _start(OWN, Launch(None, -1, is_early=True), Inherited())

    def take(self, confinement: Confinement | None, inherited: Inherited) -> Launched | None:
        """The process, which is now confined and gets the descriptors; None if there is none, or if it has
        ended. It belongs to the caller."""
        launched, self._launched = self._launched, None
        if launched is None:
            return None
        descriptors = inherited.descriptors()
        places: dict[int | None, int] = {one: place for place, one in enumerate(descriptors)}
        payload = msgspec.json.encode(
            Launch(confinement, -1, places.get(inherited.step_lock), places.get(inherited.prefix_file))
        )
        try:
            socket.send_fds(launched.socket, [LENGTH.pack(len(payload)) + payload], descriptors)
        except OSError:
            _end(launched)
            return None
        return launched

    def close(self) -> None:
        """End the process, if nobody took it. Idempotent."""
        launched, self._launched = self._launched, None
        if launched is not None:
            _end(launched)


def _start(program: WorkerProgram, launch: Launch, inherited: Inherited) -> Launched:
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    try:
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            launch = msgspec.structs.replace(launch, socket=theirs.fileno())
            process = subprocess.Popen(  # noqa: S603 - our own command
                [program.python, "-P", "-m", program.module, msgspec.json.encode(launch).decode()],
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                env=child_environment(os.environ) | dict(program.variables or {}),
                pass_fds=[theirs.fileno(), *inherited.descriptors()],
                start_new_session=program.has_processes,
            )
    except BaseException:
        ours.close()
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return Launched(process, ours, read_end)


def _end(launched: Launched) -> None:
    launched.socket.close()
    os.close(launched.output)
    launched.process.kill()
    launched.process.wait()
