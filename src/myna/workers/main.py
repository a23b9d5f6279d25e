"""The entry point of the worker process: confines it before it reads anything, then starts the rest.

Started by `workers.launching` as `python -m myna.workers.main LAUNCH`. Threads that run before the
confinement would not be confined, so nothing may start any until then.
"""

import ctypes
import gc
import logging
import os
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Final

import msgspec

from myna.core.confinement import Confinement, confine

LENGTH: Final = struct.Struct("<I")
_PR_SET_PDEATHSIG: Final = 1
_MAX_DESCRIPTORS: Final = 2


class Launch(msgspec.Struct, frozen=True):
    """The only command-line argument, as JSON: what the process may do (None: anything), and the inherited
    descriptors of the socket, the step lock and the file of saved prefixes, if any.

    `is_early`: only the socket is known yet. The rest follows there as another one, in which the descriptors
    are their places among those that come with it."""

    confinement: Confinement | None
    socket: int
    step_lock: int | None = None
    prefix_file: int | None = None
    is_early: bool = False


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the server drains, and needs its models for that
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with_parent()
    gc.disable()  # what is imported and loaded stays; the loop collects garbage when idle
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's library would start threads when it is imported
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    launch = msgspec.json.decode(sys.argv[1], type=Launch)
    if launch.is_early:
        import myna.workers.serving  # noqa: F401 - the model is not known yet: until then, import

        received = _receive(launch.socket)
        if received is None:
            return
        launch = received
        if has_threads():
            _start_again(launch)
    if launch.confinement is not None:
        confine(launch.confinement)
    from myna.workers.serving import run

    run(launch.socket, launch.step_lock, launch.prefix_file)


def has_threads() -> bool:
    """Whether this process has started threads. Only Linux says so; elsewhere nothing confines them."""
    try:
        return len(list(Path("/proc/self/task").iterdir())) > 1
    except OSError:
        return False


def _receive(number: int) -> Launch | None:
    """The rest of an early launch, with the numbers that its descriptors have here; None if the server has
    closed the socket."""
    connection = socket.socket(fileno=number)
    try:
        head, descriptors, _, _ = socket.recv_fds(
            connection, LENGTH.size, _MAX_DESCRIPTORS, socket.MSG_WAITALL
        )
        if len(head) < LENGTH.size:
            return None
        (size,) = LENGTH.unpack(head)
        payload = connection.recv(size, socket.MSG_WAITALL)
    except ConnectionError:
        return None
    finally:
        connection.detach()
    launch = msgspec.json.decode(payload, type=Launch)
    places = launch.step_lock, launch.prefix_file
    step_lock, prefix_file = (None if place is None else descriptors[place] for place in places)
    return Launch(launch.confinement, number, step_lock, prefix_file)


def _start_again(launch: Launch) -> None:
    """Replace this process by one that is confined before it imports what has started threads."""
    for descriptor in (launch.socket, launch.step_lock, launch.prefix_file):
        if descriptor is not None:
            os.set_inheritable(descriptor, True)
    os.execv(sys.executable, [*sys.orig_argv[:-1], msgspec.json.encode(launch).decode()])  # noqa: S606


def _die_with_parent() -> None:
    """Die with the server even while loading blocks everything."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
