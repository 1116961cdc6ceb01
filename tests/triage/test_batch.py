"""Many captures: every input has its row, in order, whatever happens to its neighbours."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.triage import batch
from analyzer.triage.batch import TriageResult, triage
from analyzer.triage.case import Filter
from analyzer.triage.row import Row
from analyzer.triage.store import Store
from tests.triage import targets
from tests.triage.processes import soon

ROOT = Path(__file__).parents[2]
TOLD = "tests.triage.targets:told"


@pytest.fixture(autouse=True)
def _from_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def test_what_cannot_be_opened_is_told_and_not_dropped(tmp_path: Path) -> None:
    result = triage([tmp_path / "none.pcap", os.devnull], target=TOLD)
    assert [(row.path, row.state, row.reason, row.sha256) for row in result.rows] == [
        ("none.pcap", "error", "no such file", None),
        ("null", "error", "not a regular file", None),
    ]
    assert result.rows[0].conclusion == {"cause": "unreadable", "verdict": None, "title": "no such file"}
    assert result.exit_status == 3


def test_findings_and_incidents_come_through(tmp_path: Path) -> None:
    path = tmp_path / "one.pcap"
    path.write_text(json.dumps(targets.report(targets.finding())))
    result = triage([path], target=TOLD)
    assert result.rows[0].findings == (targets.finding(),)
    assert [incident.captures for incident in result.incidents] == [("one.pcap",)]
    assert result.exit_status == 10


def answers(folder: Path, *names: str, **changed: object) -> list[Path]:
    """Write files that hold their own answers, each with octets of its own."""
    for number, name in enumerate(names):
        (folder / name).write_text(json.dumps(targets.report(targets.finding(**changed))) + " " * number)
    return [folder / name for name in names]


def test_what_is_in_the_store_is_not_done_again(tmp_path: Path) -> None:
    store = tmp_path / "cases.db"
    folder = tmp_path / "in"
    folder.mkdir()
    answers(folder, "a.pcap", "b.pcap")
    first = triage([folder], store=store, target=TOLD)
    answers(folder, "c.pcap", title="new")
    (folder / "b.pcap").write_text(json.dumps(targets.report()))
    again = triage([folder], store=store, target=TOLD)
    with Store.open(store) as opened:
        cases = {case.path: case for case in opened.captures(Filter(None), order="newest")}
        assert opened.count(Filter(None)) == 4  # b twice: its octets were others
    assert [row.path for row in again.rows] == ["a.pcap", "b.pcap", "c.pcap"]
    assert again.rows[0] == first.rows[0]
    assert [row.conclusion["verdict"] for row in again.rows] == ["confirmed", None, "confirmed"]
    assert cases["a.pcap"].submitted_ns < cases["c.pcap"].submitted_ns
    assert [incident.captures for incident in again.incidents] == [("b.pcap", "a.pcap", "c.pcap")]


def test_other_options_are_another_question(tmp_path: Path) -> None:
    paths = answers(tmp_path, "a.pcap")
    store = tmp_path / "cases.db"
    done = []
    for options in ({"known": ["limit=16"]}, {"known": ["limit=16"]}, {"known": []}, {}):
        triage(paths, store=store, options=options, target=TOLD)
        with Store.open(store) as opened:
            (case,) = opened.captures(Filter(None))
            done.append(case.finished_ns)
    assert done[0] == done[1] < done[2] == done[3]


def test_the_same_octets_twice_are_analysed_once_and_have_two_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(
        targets.report(targets.finding()) | {"captures": [{"name": "a.pcap", "state": "ok", "packets": 1}]}
    )
    for name in ("a.pcap", "b.pcap", "c/a.pcap"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    store = tmp_path / "cases.db"
    seen = []
    result = triage(
        [tmp_path / "a.pcap", tmp_path / "b.pcap", tmp_path / "a.pcap"],
        store=store,
        target="tests.triage.targets:slow",
        progress=lambda row, done, total: seen.append((row.path, done, total)),
    )
    assert [row.path for row in result.rows] == ["a.pcap", "b.pcap", "a.pcap"]
    assert [(done, total) for _, done, total in seen] == [(1, 3), (2, 3), (3, 3)]
    with Store.open(store) as opened:
        cases = {case.path: case for case in opened.captures(Filter(None))}
        documents = {path: opened.document(case.id, None) for path, case in cases.items()}
    assert list(cases) == ["b.pcap", "a.pcap"]  # the same place named twice is one place
    assert {path: told["captures"][0]["name"] for path, told in documents.items() if told} == {x: x for x in cases}
    monkeypatch.setattr(batch, "answers", lambda captures, **_: (pytest.fail("read again") for _ in captures))
    later = triage([tmp_path / "c"], store=store, target="tests.triage.targets:slow")
    assert [row.state for row in later.rows] == ["ok"]


def test_what_fails_has_a_row_in_the_store(tmp_path: Path) -> None:
    store = tmp_path / "cases.db"
    triage([tmp_path / "none.pcap"], store=store, target=TOLD)
    with Store.open(store) as opened:
        (case,) = opened.captures(Filter(None))
    assert (case.path, case.state, case.reason, case.sha256, case.rank) == (
        "none.pcap",
        "error",
        "no such file",
        None,
        3,
    )


RUN = "import sys; from analyzer.triage.batch import triage; triage(sys.argv[1:2], store=sys.argv[2], jobs=2, target=sys.argv[3])"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills as POSIX does")
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, where: str) -> None:
    """Killed for real, in the middle: nothing finished is lost or done twice, nothing unfinished is left out."""
    folder = tmp_path / "in"
    folder.mkdir()
    names = [f"{number:02}.pcap" for number in range(12)]
    answers(folder, *names)
    slow = "tests.triage.targets:slow"
    command = [sys.executable, "-c", RUN, str(folder), where, slow]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Store.open(where) as store, subprocess.Popen(command, cwd=ROOT, env=environment) as coordinator:
        assert soon(lambda: store.count(Filter(None)) >= 3)
        coordinator.send_signal(signal.SIGKILL)
        coordinator.wait()
        before = {case.path: case for case in store.captures(Filter(None))}
        assert 3 <= len(before) < len(names)
        assert {case.state for case in before.values()} == {"ok"}
        result = triage([folder], store=store, jobs=2, target=slow)
        after = store.captures(Filter(None), order="given")
        (incident,) = store.incidents(Filter(None))
    assert [row.path for row in result.rows] == [case.path for case in after] == names
    assert {case.path: case.finished_ns for case in after if case.path in before} == {
        path: case.finished_ns for path, case in before.items()
    }
    assert (incident.captures, len(result.incidents[0].captures)) == (len(names), len(names))


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
