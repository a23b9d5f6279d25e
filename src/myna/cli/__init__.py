"""The command line: one file a verb. Errors are one sentence that says what to do next, and exit code 1."""

import os
import sys

from myna.core.errors import MynaError
from myna.core.translatable import N_, Translatable


def main() -> None:
    """The entry point `myna`."""
    try:
        from myna.cli.root import run

        sys.exit(run())
    except MynaError as exc:
        _tell(exc.text)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output left (`myna models | head`): nothing more to say, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        _tell(N_("Stopped."))
        sys.exit(130)


def _tell(message: str | Translatable) -> None:
    from myna.cli.screen import print_error

    print_error(message)
