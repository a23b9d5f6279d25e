"""The entry point of the worker process: confines it, then imports and starts the rest.

Started by `workers.process` as `python -m myna.workers.main LAUNCH`. Imports nothing that starts threads:
those that run before the confinement would not be confined.
"""

import ctypes
import logging
import signal
import sys
from typing import Final

import msgspec

from myna.core.confinement import Confinement, confine

_PR_SET_PDEATHSIG: Final = 1


class Launch(msgspec.Struct, frozen=True):
    """The only command-line argument, as JSON: what the process may do (None: anything), and the inherited
    descriptors of the socket, the step lock and the file of saved prefixes, if any."""

    confinement: Confinement | None
    socket: int
    step_lock: int | None = None
    prefix_file: int | None = None


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the server drains, and needs its models for that
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with_parent()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    launch = msgspec.json.decode(sys.argv[1], type=Launch)
    if launch.confinement is not None:
        confine(launch.confinement)
    from myna.workers.serving import run

    run(launch.socket, launch.step_lock, launch.prefix_file)


def _die_with_parent() -> None:
    """Die with the server even while loading blocks everything."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
