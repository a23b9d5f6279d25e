"""The command line: one file per verb. An error is one sentence that says what to do, and exit code 1."""

import errno
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
        _write_nothing_more()  # the reader of our output is gone (`myna models | head`)
        sys.exit(1)
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _write_nothing_more()
        _tell(N_("The disk is full, so that the output or a file can't be written; free some space."))
        sys.exit(1)
    except KeyboardInterrupt:
        _tell(N_("Stopped."))
        sys.exit(130)


def _write_nothing_more() -> None:
    """To the standard output, also not at exit what is buffered."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(message: str | Translatable) -> None:
    from myna.cli.console import print_error

    print_error(message)
