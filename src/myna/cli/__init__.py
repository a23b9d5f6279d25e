"""The command line: one file per verb. An error is one sentence that says what to do, and exit code 1."""

import gc
import os
import sys

from myna.core.errors import MynaError
from myna.core.translatable import N_, Translatable


def main() -> None:
    """The entry point `myna`."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's library starts threads that nobody needs
    try:
        gc.disable()  # what is imported stays
        from myna.cli.root import run

        gc.freeze()
        gc.enable()
        sys.exit(run())
    except MynaError as exc:
        _tell(exc.text)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output is gone (`myna models | head`): write nothing more, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        _tell(N_("Stopped."))
        sys.exit(130)


def _tell(message: str | Translatable) -> None:
    from myna.cli.console import print_error

    print_error(message)
