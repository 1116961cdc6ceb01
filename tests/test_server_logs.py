"""Logs given beside captures, from the command line and the facade to every output."""

import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analyzer
from analyzer import start
from analyzer.errors import AnalyzerError, EngineMissing, UnknownFormat
from analyzer.sessions.records import is_log, read_log
from analyzer.triage.batch import triage
from tests.logs import HEAD, LIMIT, PLANTED, event_xml, refusal, row

SAMPLES = Path(__file__).parents[1] / "sample_pcaps"
PC, LOG = SAMPLES / "one_agent_refused.pcap", SAMPLES / "one_agent_refused.LOG"


def run(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "analyzer", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SAMPLES.parent)},
    )


@pytest.mark.parametrize("paths", [(PC, LOG), (LOG, PC)])
def test_a_log_among_the_captures_is_a_record(paths: tuple[Path, Path]) -> None:
    found = analyzer.read(*paths).result
    assert [x.name for x in found.captures] == [PC.name]
    (seen,) = found.records
    assert (seen.name, seen.records, seen.matched, seen.times) == (LOG.name, 49, 49, "utc")
    assert seen.clock_offset_s == pytest.approx(2.0, abs=0.002)
    assert found.conclusion[:2] == ("per_user_connection_limit", "confirmed")
    assert found.exit_status == 10
    assert analyzer.read(PC).result.conclusion.verdict == "suspected"


def test_the_name_says_nothing(tmp_path: Path) -> None:
    renamed = tmp_path / "trace.pcap"
    renamed.write_bytes(LOG.read_bytes())
    assert analyzer.read(PC, renamed).result.records[0].matched == 49


def test_a_dialogue_of_the_capture_is_still_told() -> None:
    assert analyzer.read(LOG, PC).dialogue("C1")


@pytest.mark.parametrize("style", ["text", "json"])
def test_both_doors_say_the_same(style: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    asked = start.plain([str(PC), str(LOG), "--format", style])
    assert asked is not None
    assert start._answered(asked) == 10
    at_the_door = capsysbinary.readouterr().out.decode()
    ended = run("report", PC, LOG, "--format", style, "--port", "1143")
    assert (ended.returncode, ended.stdout) == (10, at_the_door)


def test_a_log_alone_is_judged_and_shown(tmp_path: Path) -> None:
    ended = run("report", LOG)
    assert ended.returncode == 10
    assert "one_agent_refused.LOG   Exchange IMAP4 protocol log   49 records" in ended.stdout
    assert "CONFIRMED" in ended.stdout
    made = json.loads(run(LOG, "--format", "json").stdout)
    assert (made["captures"], made["sessions"]) == ([], [])
    assert made["records"][0]["matched"] == 0
    assert made["findings"][0]["evidence"][0]["frames"] == []
    empty = tmp_path / "empty.LOG"
    empty.write_text(HEAD)
    assert run(empty).returncode == 0
    assert "the log says nothing about logins" in run(empty).stdout


def test_log_forces_and_says_why_not(tmp_path: Path) -> None:
    assert run("report", PC, "--log", LOG).returncode == 10
    assert run("report", "--format", "json", PC, "--log", LOG).stdout == run(PC, LOG, "--format", "json").stdout
    other = tmp_path / "notes.txt"
    other.write_text("hello\n")
    ended = run("report", PC, "--log", other)
    assert ended.returncode == 11
    assert "notes.txt: not a server log we read" in ended.stderr
    with pytest.raises(UnknownFormat, match="not a server log"):
        analyzer.read(PC, logs=[other])
    with pytest.raises(AnalyzerError, match="no capture was named"):
        analyzer.read()


def test_an_event_log_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evtx", None)
    path = tmp_path / "Application.evtx"
    path.write_bytes(b"ElfFile\0" + bytes(4096))
    with pytest.raises(EngineMissing):
        analyzer.read(PC, path)
    found = analyzer.read(PC, path, strict=False).result
    assert [x.state for x in found.captures] == ["error", "ok"]
    assert "needs the package evtx" in found.captures[0].quality.reasons[0]
    assert found.conclusion.verdict == "suspected"


def test_triage_takes_a_log_as_an_input_of_its_own() -> None:
    (found,) = triage([LOG], jobs=1).rows
    assert (found.state, found.conclusion["cause"]) == ("ok", "per_user_connection_limit")


def test_no_output_shows_a_password_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "secret.LOG"
    ends = "10.4.3.90:143", "10.4.4.95:50001"
    lines = [
        row("2024-03-04T09:15:57.910Z", *ends, "", "login", f"desk {PLANTED}", refusal(LIMIT)),
        row("2024-03-04T09:15:57.910Z", *ends, "", "pass", PLANTED, refusal(f"AuthFailed-{PLANTED}")),
        row(
            "2024-03-04T09:15:57.910Z", *ends, "", "authenticate", PLANTED, f'R="A1 NO {PLANTED} failed.";Msg={PLANTED}'
        ),
    ]
    path.write_text(HEAD + "\n".join(lines) + "\n")
    case = analyzer.read(path, PC)
    case.save(tmp_path / "case.json")
    case.save(tmp_path / "case.txt")
    shown = [
        repr(case),
        case._repr_html_(),
        repr(case.result),
        *((tmp_path / f"case.{x}").read_text() for x in ("json", "txt")),
    ]
    assert "desk" in shown[2]
    assert PLANTED not in "".join(shown)
    assert PLANTED not in run("-v", "report", path, "--format", "json").stdout


def test_a_large_hostile_log_takes_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.LOG"
    with path.open("w") as file:
        file.write(HEAD)
        for _ in range(8):
            file.write("x" * (4 << 20))
        file.write(
            "\n"
            + row("2024-03-04T09:15:57.910Z", "10.4.3.90:143", "10.4.4.95:1", "u", "login", "", refusal(LIMIT))
            + "\n"
        )
    tracemalloc.start()
    found = analyzer.read(path).result
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.records[0].records == 1
    assert peak < 24 << 20


@pytest.mark.parametrize(
    "line",
    [
        row("2024-03-04T09:15:57.910Z", "a:1", "b:1", "u", "login", "", "R=x;" * 2000),
        event_xml(1009, "MSExchangeIMAP4", 0, (), "user" + " " * 8000),
        event_xml(1009, "MSExchangeIMAP4", 0, (), "user a " * 1000),
        "<Event " + "<Provider " * 6000 + "<Data " * 2000,
        "Mar  4 09:15:57 mail dovecot: imap-login" + "(" * 8000,
        "Mar  4 09:15:57 mail dovecot: auth: " + "(a," * 2700,
        "3/4/2024 " + " " * 8000,
    ],
    ids=range(7),
)
def test_lines_made_to_be_slow_are_not(tmp_path: Path, line: str) -> None:
    path = tmp_path / "slow.LOG"
    first = "Mar  4 09:15:57 mail dovecot: imap-login: Login: user=<a>\n" if line.startswith("Mar") else HEAD
    path.write_text((first if not line.startswith("<") else "") + f"{line}\n" * 100)
    begun = time.process_time()
    if is_log(path):
        read_log(path)
    assert time.process_time() - begun < 2.0


@given(
    st.sampled_from(
        [HEAD, "Level,Date and Time,Source,Event ID,Task Category\n", "<Event xmlns='x'>", "Event[0]:\n", ""]
    ),
    st.text(max_size=300),
)
@settings(deadline=None, max_examples=60)
def test_any_text_is_read_or_refused(head: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any.LOG")
        path.write_text(head + text, encoding="utf-8", errors="replace")
        if is_log(path):
            assert all((r.account or "").isprintable() for r in read_log(path).records)


def test_reading_captures_loads_nothing_of_logs() -> None:
    code = f"import sys, analyzer; analyzer.read({str(PC)!r}); print([x for x in sys.modules if 'records' in x or 'logged' in x])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SAMPLES.parent)
    assert done.stdout.strip() == "[]"
