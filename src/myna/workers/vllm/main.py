"""The entry point of the vLLM worker, started by `workers.process` with the Python of vLLM's environment.

vLLM's own processes import this module, too, as `multiprocessing` has it: each ends with the process that
started it, however that ended. Otherwise they would stay, with all of a GPU's memory.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
from typing import Final

import msgspec

from myna.workers.main import Launch

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """Only Linux has this; elsewhere the server ends the group."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:  # it has ended already
            os._exit(1)


def main() -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the server drains, and needs its models for that
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    launch = msgspec.json.decode(sys.argv[1], type=Launch)
    from myna.workers.vllm.serving import run

    run(socket.socket(fileno=launch.socket))


if __name__ == "__mp_main__":
    die_with_parent()
if __name__ == "__main__":
    main()
