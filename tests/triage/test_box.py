"""Which folders go into the box, and when there is none."""

import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.triage import box


def test_a_folder_that_holds_a_home_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home" / "me" / "venv").mkdir(parents=True)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home" / "me")
    packages = [
        tmp_path,
        tmp_path / "home",
        tmp_path / "home" / "me",
        tmp_path / "home" / "me" / "venv",
        tmp_path / "no",
    ]
    shown = set(box._shown([str(x) for x in packages]))
    assert {x for x in packages if str(x) in shown} == {packages[3]}
    assert {"/usr", sys.prefix} <= shown or not Path("/usr").exists()


@pytest.mark.parametrize("status", [None, 1])
def test_without_bubblewrap_or_where_it_may_not_work_there_is_none(
    status: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if status is not None:
        program = tmp_path / "bwrap"
        program.write_text(f"#!/bin/sh\nexit {status}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert box.bubblewrap.__wrapped__() is None


@pytest.mark.skipif(box.bubblewrap() is None, reason="bubblewrap is not installed, or not allowed here")
def test_nothing_can_be_written_but_temporary_files(tmp_path: Path) -> None:
    code = (
        "import os\n"
        "for place in ('/', '/dev', '/dev/shm', '/usr', '/etc', '/scratch'):\n"
        "    try: open(place + '/x', 'w')\n"
        "    except OSError as e: print(place)\n"
    )
    words = box.boxed(box.bubblewrap() or "", [sys.executable, "-I", "-c", code], [], tmp_path)
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["/", "/dev", "/dev/shm", "/usr", "/etc"]
    assert (tmp_path / "x").exists()
