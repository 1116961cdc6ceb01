import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer import cli, start
from analyzer.analysis import read
from analyzer.capture import walk

SAMPLES = sorted((Path(__file__).parents[1] / "sample_pcaps").glob("*.pcap*"))[:3]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([str(SAMPLES[0])], ("text", False)),
        (["report", str(SAMPLES[0]), str(SAMPLES[1])], ("text", False)),
        (["report", "--format", "json", str(SAMPLES[0]), "--exit-zero"], ("json", True)),
    ],
)
def test_plain_questions_are_answered_at_the_door(words: list[str], what: tuple[str, bool]) -> None:
    asked = start.plain(words)
    assert asked is not None
    assert asked[1:] == what
    assert all(path.is_file() for path in asked.captures)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["report"],
        ["sessions", str(SAMPLES[0])],
        ["--help"],
        [str(SAMPLES[0]), "--port", "1143"],
        ["report", "--format", "csv", str(SAMPLES[0])],
        ["no/such.pcap"],
        ["-"],
    ],
)
def test_anything_else_goes_to_the_whole_command_line(words: list[str]) -> None:
    assert start.plain(words) is None


def test_a_verb_is_a_verb_though_a_file_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for verb in cli.VERBS:
        (tmp_path / verb).touch()
        assert start.plain([verb]) is None


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_both_ways_say_the_same(path: Path, style: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    words = ["report", "--format", style, str(path)]
    asked = start.plain(words)
    assert asked is not None
    status = start._answered(asked)
    at_the_door = capsysbinary.readouterr().out
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert (status, at_the_door) == (end.value.code, capsysbinary.readouterr().out)


def test_what_goes_wrong_is_told_by_the_whole_command_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pcap"
    bad.write_bytes(b"no capture at all, but text")
    ran = subprocess.run(
        [sys.executable, "-m", "analyzer", str(bad)], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert ran.returncode == cli.UNREADABLE
    assert "bad.pcap" in ran.stderr


def test_reading_a_small_capture_loads_neither_options_nor_numpy() -> None:
    code = (
        "import sys; from analyzer import start\n"
        f"try: start.main([{str(SAMPLES[0])!r}])\n"
        "except SystemExit: pass\n"
        "print([x for x in ('typer', 'pydantic', 'numpy', 'pandas', 'matplotlib', 'scapy') if x in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_told_on_a_terminal_and_wiped_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large capture tells where it is; a small one nothing, and what is no terminal nothing either."""
    monkeypatch.setattr(walk, "_RELEASE_BYTES", 4096)
    monkeypatch.setattr(sys, "stderr", terminal := _Terminal())
    with start.progress() as watch:
        read(SAMPLES[0], watch=watch)
        shown = terminal.getvalue()
    assert shown.startswith(f"\rreading {SAMPLES[0].name}  ")
    assert [int(x) for x in re.findall(r"(\d+) %", shown)] == sorted(int(x) for x in re.findall(r"(\d+) %", shown))
    assert terminal.getvalue().endswith("\r\x1b[K")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with start.progress() as watch:
        assert watch is None
