"""The command line: one file a verb. Errors are one sentence that says what to do next, and exit code 1."""

import os
import sys

from myna.core.errors import MynaError


def main() -> None:
    """The entry point `myna`."""
    from myna.cli.root import run
    from myna.cli.screen import print_error

    try:
        sys.exit(run())
    except MynaError as exc:
        print_error(exc.message)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output left (`myna models | head`): nothing more to say, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print_error("Stopped.")
        sys.exit(130)
