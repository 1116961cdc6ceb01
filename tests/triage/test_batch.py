"""Many captures: every input has its row, in order, whatever happens to its neighbours."""

import gzip
import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from analyzer.triage import batch
from analyzer.triage.batch import Row, TriageResult, found, triage
from tests.triage import targets
from tests.triage.processes import running, soon

ROOT = Path(__file__).parents[2]
TOLD = "tests.triage.targets:told"


@pytest.fixture(autouse=True)
def _from_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def test_a_folder_is_walked_in_order_without_hidden_files_and_loops(tmp_path: Path) -> None:
    for name in ("b.pcap", "a/z.pcap", "a/.hidden", ".git/config", "c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    assert [one.shown for one in found(tmp_path)] == ["b.pcap", "c.txt", "a/z.pcap"]
    assert not any(one.named for one in found(tmp_path))


def test_what_cannot_be_opened_is_told_and_not_dropped(tmp_path: Path) -> None:
    result = triage([tmp_path / "none.pcap", os.devnull], target=TOLD)
    assert [(row.path, row.state, row.reason, row.sha256) for row in result.rows] == [
        ("none.pcap", "error", "no such file", None),
        ("null", "error", "not a regular file", None),
    ]
    assert result.rows[0].conclusion == {"cause": "unreadable", "verdict": None, "title": "no such file"}
    assert result.exit_status == 3


def test_a_folder_that_cannot_be_listed_has_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def walk(folder: Path, onerror: object) -> list[tuple[str, list[str], list[str]]]:
        onerror(PermissionError(13, "Permission denied", str(folder / "closed")))  # type: ignore[operator]
        return []

    monkeypatch.setattr(batch.os, "walk", walk)
    (one,) = found(tmp_path)
    assert (one.shown, one.problem) == ("closed", "folder could not be listed: Permission denied")


def test_poison_costs_its_own_row_only(tmp_path: Path) -> None:
    """All the ways to end badly, each once among good ones."""
    sample = (ROOT / "sample_pcaps" / "wrong_password_one_pc.pcap").read_bytes()
    bad = {"segfault", "loop", "eater", "exception", "kill"} if os.name == "posix" else {"exception"}
    for name in (*bad, *(f"good{number:02}" for number in range(40))):
        (tmp_path / f"{name}.pcap").write_bytes(sample)
    (tmp_path / "truncated.pcap").write_bytes(sample[:-5])
    with gzip.open(tmp_path / "bomb.pcap.gz", "wb", 1) as bomb:
        for _ in range(200):
            bomb.write(bytes(1 << 20))
    seen = []
    result = triage(
        [tmp_path],
        jobs=2,
        timeout_s=2,
        memory_mb=300,
        target="tests.triage.targets:poisoned",
        progress=lambda row, done, total: seen.append((row.path, done, total)),
    )
    rows = {row.path: (row.state, row.reason) for row in result.rows}
    names = sorted(path.name for path in tmp_path.iterdir())
    assert list(rows) == names == sorted(path for path, _, _ in seen)
    assert [(done, total) for _, done, total in seen] == [(n, len(names)) for n in range(1, len(names) + 1)]
    good = {path: told for path, told in rows.items() if path.startswith("good")}
    assert good == {f"good{number:02}.pcap": ("ok", None) for number in range(40)}
    assert rows.pop("exception.pcap") == ("error", "KeyError: 'seq'")
    assert rows["truncated.pcap"][0] == "partial"
    assert rows["bomb.pcap.gz"][0] == "not_a_capture"
    if os.name == "posix":
        assert rows["segfault.pcap"] == ("error", "killed by signal 11")
        assert rows["eater.pcap"] == ("error", "memory limit of 300 MiB reached")
        assert rows["kill.pcap"] == ("error", "killed by signal 9")
        assert rows["loop.pcap"][0] == "timeout"
    sums = {row.sha256 for row in result.rows} - {None}
    assert hashlib.sha256(sample).hexdigest() in sums
    assert result.exit_status == 10


def test_findings_and_incidents_come_through(tmp_path: Path) -> None:
    path = tmp_path / "one.pcap"
    path.write_text(json.dumps(targets.report(targets.finding())))
    result = triage([path], target=TOLD)
    assert result.rows[0].findings == (targets.finding(),)
    assert [incident.captures for incident in result.incidents] == [("one.pcap",)]
    assert result.exit_status == 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_an_interrupt_ends_what_runs(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").touch()
    (tmp_path / "victim.pcap").touch()

    def stop(row: Row, done: int, total: int) -> None:
        assert soon(lambda: running("mark-interrupted"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        triage(
            [tmp_path],
            jobs=2,
            timeout_s=50,
            target="tests.triage.targets:waits",
            options={"mark": "mark-interrupted"},
            progress=stop,
        )
    assert soon(lambda: not running("mark-interrupted"))


def row(state: str = "ok", *verdicts: str, named: bool = True, severity: str = "fault") -> Row:
    findings = tuple(targets.finding(verdict=verdict, severity=severity) for verdict in verdicts)
    return Row("a", "a", None, state, None, {"cause": "x", "verdict": "x", "title": "x"}, findings, named)


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([], 0),
        ([row()], 0),
        ([row("no_mail"), row("empty")], 0),
        ([row("ok", "ruled_out", "failed")], 0),
        ([row("ok", "confirmed", severity="info")], 0),
        ([row("ok", "confirmed", severity="warning")], 0),
        ([row("not_a_capture", named=False)], 0),
        ([row("not_a_capture")], 3),
        ([row("timeout")], 3),
        ([row("partial")], 0),
        ([row("error"), row("ok", "suspected")], 11),
        ([row("error"), row("ok", "suspected"), row("ok", "likely")], 10),
        ([row("ok", "confirmed")], 10),
    ],
)
def test_the_exit_status_tells_what_was_found_first(rows: list[Row], status: int) -> None:
    assert TriageResult(tuple(rows), ()).exit_status == status


def test_real_captures_beside_other_files(tmp_path: Path) -> None:
    for name in ("one_agent_refused.pcap", "server_side_limit.pcap", "healthy.pcap"):
        (tmp_path / name).write_bytes((ROOT / "sample_pcaps" / name).read_bytes())
    (tmp_path / "empty.pcap").touch()
    (tmp_path / "notes.csv").write_text("pc,agent\n1,2\n")
    rows = {row.path: row for row in triage([tmp_path], jobs=2).rows}
    assert {path: row.state for path, row in rows.items()} == {
        "empty.pcap": "empty",
        "healthy.pcap": "ok",
        "notes.csv": "not_a_capture",
        "one_agent_refused.pcap": "ok",
        "server_side_limit.pcap": "ok",
    }
    verdicts = {path: row.conclusion["verdict"] for path, row in rows.items() if row.state == "ok"}
    assert verdicts == {
        "healthy.pcap": None,
        "one_agent_refused.pcap": "suspected",
        "server_side_limit.pcap": "confirmed",
    }
