"""A real terminal for the tests: tmux on a socket of its own. What a program prints wakes the test, which
then looks at the screen; nothing polls."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from threading import Timer
from typing import Final

import pytest

_LONGEST_S: Final = 600.0
needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is not here; install it with: apt-get install tmux"
)


@dataclass(frozen=True, slots=True)
class Terminal:
    """`output` is all that the program prints, as it prints it."""

    socket: Path
    output: BufferedReader

    def type(self, *keys: str) -> None:
        """Names of keys as tmux has them, such as Enter and C-c; other text as it is."""
        self._tmux("send-keys", *keys)

    def paste(self, text: str) -> None:
        self._tmux("set-buffer", text)
        self._tmux("paste-buffer", "-p")

    def screen(self, *, joined: bool = True) -> str:
        """What is shown now, and what has scrolled off; `joined`: wrapped rows as one."""
        shown = self._tmux("capture-pane", "-p", "-S", "-", *(["-J"] if joined else []))
        return "\n".join(row.rstrip() for row in shown.splitlines())

    def wait_for(self, text: str, *, times: int = 1, prompts: bool = False) -> str:
        """The screen once the text is on it that often; and, if it `prompts`, an empty line awaits more."""
        while True:
            screen = self.screen()
            if screen.count(text) >= times and (not prompts or screen.rstrip().endswith("\n>")):
                return screen
            assert self.output.read1(65536), f"the terminal ended without {text!r}:\n{screen}"

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self.socket), *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
        return ran.stdout


@contextmanager
def terminal(
    folder: Path, arguments: str, environ: Mapping[str, str], *, columns: int = 80, rows: int = 24
) -> Iterator[Terminal]:
    """`myna ARGUMENTS` in a shell that prints its exit code at the end."""
    socket, pipe = folder / "tmux", folder / "output"
    os.mkfifo(pipe)
    kept = {"PATH", "HOME", "PYTHONPATH", "LC_ALL", "VIRTUAL_ENV"}
    inherited = {name: value for name, value in os.environ.items() if name in kept}
    python_path = ":".join(str(Path(part).absolute()) for part in sys.path if part)
    environment = {**inherited, "PYTHONPATH": python_path, "MYNA_HOME": str(folder / "home"), **environ}
    # The program starts when its output is watched: the shell waits for a line.
    words = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    program = f"env {words} {shlex.quote(sys.executable)} -m myna.cli {arguments}"
    script = f"trap : INT; stty -echo; read -r go; stty echo; {program}; echo code=$?; read -r end"
    tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
    size = ["-x", str(columns), "-y", str(rows), "-c", str(folder)]
    subprocess.run(
        [*tmux, "new-session", "-d", *size, f"sh -c {shlex.quote(script)}"], check=True, env=environment
    )
    watchdog = Timer(_LONGEST_S, lambda: subprocess.run([*tmux, "kill-server"], check=False))
    watchdog.start()
    try:
        subprocess.run([*tmux, "pipe-pane", f"cat > {shlex.quote(str(pipe))}"], check=True)
        with pipe.open("rb") as output:
            started = Terminal(socket, output)
            started.type("Enter")
            yield started
    finally:
        watchdog.cancel()
        subprocess.run([*tmux, "kill-server"], check=False, capture_output=True)
