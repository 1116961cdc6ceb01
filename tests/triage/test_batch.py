"""Many captures: every input has its row, in order, whatever happens to its neighbours."""

import json
import os
from pathlib import Path

import pytest

from analyzer.triage import gather
from analyzer.triage.batch import Row, TriageResult, triage
from analyzer.triage.gather import found
from tests.triage import targets

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

    monkeypatch.setattr(gather.os, "walk", walk)
    (one,) = found(tmp_path)
    assert (one.shown, one.problem) == ("closed", "folder could not be listed: Permission denied")


def test_findings_and_incidents_come_through(tmp_path: Path) -> None:
    path = tmp_path / "one.pcap"
    path.write_text(json.dumps(targets.report(targets.finding())))
    result = triage([path], target=TOLD)
    assert result.rows[0].findings == (targets.finding(),)
    assert [incident.captures for incident in result.incidents] == [("one.pcap",)]
    assert result.exit_status == 10


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
