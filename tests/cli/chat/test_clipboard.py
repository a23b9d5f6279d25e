"""Where a copied text goes."""

from pathlib import Path

import pytest

from myna.cli.chat.clipboard import copy


def program(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o700)


def test_the_desktop_s_program_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "wl-copy", f"cat > {tmp_path}/copied")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    environ = {"WAYLAND_DISPLAY": "wayland-0", "PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert copy("鸟\n", environ) == "wl-copy"
    assert (tmp_path / "copied").read_text(encoding="utf-8") == "鸟\n"


@pytest.mark.parametrize("environ", [{}, {"DISPLAY": ":0"}], ids=["no desktop", "one that fails"])
def test_the_terminal_gets_it_elsewhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environ: dict[str, str],
) -> None:
    program(tmp_path, "xclip", "exit 1")
    program(tmp_path, "wl-copy", f"touch {tmp_path}/used")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert copy("bird", environ | {"PATH": str(tmp_path)}) == "OSC 52"
    assert capsys.readouterr().out == "\x1b]52;c;YmlyZA==\x07"
    assert not (tmp_path / "used").exists()
