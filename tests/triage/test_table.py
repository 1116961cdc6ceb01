"""The result in its dresses: what is worst stands first, and no file name can do harm."""

import csv
import io
import json

import pytest

from analyzer.triage import table
from analyzer.triage.batch import Row, TriageResult
from analyzer.triage.incidents import incidents
from tests.triage.targets import finding, report


def row(
    path: str, state: str = "ok", *findings: dict[str, object], reason: str | None = None, named: bool = False
) -> Row:
    if state in {"ok", "no_mail"}:
        conclusion = report(*findings)["conclusion"]
    else:
        conclusion = {"cause": "unreadable", "verdict": None, "title": reason or state}
    return Row(path, path.rpartition("/")[2], "0" * 64, state, reason, conclusion, findings, named)


@pytest.fixture
def result() -> TriageResult:
    rows = (
        row("ok.pcap"),
        row("notes.txt", "not_a_capture", reason="not a capture file"),
        row("=cmd|x.pcap", "timeout", reason="took longer than 60 s"),
        row("sub/maybe.pcap", "ok", finding("bad_credentials", "suspected", accounts=["[red]u"], confidence=0.5)),
        row("sure.pcap", "ok", finding("per_user_connection_limit", accounts=["u"], title="throttling of u")),
    )
    return TriageResult(rows, incidents((entry.path, entry.findings) for entry in rows))


def test_the_table_ranks_by_severity_and_leaves_out_what_is_no_capture(result: TriageResult) -> None:
    lines = table.render(result, terminal=False).splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["VERDICT", "CONFIRMED", "SUSPECTED", "TIMEOUT", "ok"]
    assert lines[1].split(maxsplit=4)[1:] == ["90", "%", "sure.pcap", "throttling of u"]
    assert "notes.txt" not in "\n".join(lines)
    assert lines[5:] == [
        "",
        "2 incidents",
        "  1  CONFIRMED  per user connection limit  u  on 192.0.2.1  1 capture: sure.pcap",
        "  2  SUSPECTED  bad credentials  [red]u  on 192.0.2.1  1 capture: sub/maybe.pcap",
        "",
        "5 inputs, 1 not read, 1 no captures",
    ]


def test_a_terminal_gets_colour_and_a_pipe_does_not(result: TriageResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in table.render(result, terminal=True)
    assert "\x1b[" not in table.render(result, terminal=False)
    assert table.render(result) == table.render(result, terminal=False)


def test_json_is_the_contract_in_input_order(result: TriageResult) -> None:
    told = json.loads(table.render(result, "json"))
    assert list(told) == ["schema_version", "tool", "captures", "incidents"]
    assert [entry["path"] for entry in told["captures"]] == [row.path for row in result.rows]
    assert list(told["captures"][0]) == ["path", "name", "sha256", "state", "reason", "conclusion", "findings"]
    assert list(told["incidents"][0]) == [
        "cause", "verdict", "server", "accounts", "start", "end", "captures", "title",
    ]  # fmt: skip


def test_json_lines_are_the_entries(result: TriageResult) -> None:
    lines = table.render(result, "ndjson").splitlines()
    assert [json.loads(line) for line in lines] == [table.entry(row) for row in result.rows]


def test_csv_has_a_row_each_and_runs_no_formula(result: TriageResult) -> None:
    told = list(csv.DictReader(io.StringIO(table.render(result, "csv"))))
    assert [entry["path"] for entry in told] == [
        "ok.pcap", "notes.txt", "'=cmd|x.pcap", "sub/maybe.pcap", "sure.pcap",
    ]  # fmt: skip
    assert (told[4]["cause"], told[4]["verdict"], told[4]["confidence"]) == (
        "per_user_connection_limit", "confirmed", "0.9",
    )  # fmt: skip


def test_nothing_asked_is_a_table_too() -> None:
    assert table.render(TriageResult((), ()), terminal=False) == "\n0 inputs\n"


def test_an_unknown_format_is_named(result: TriageResult) -> None:
    with pytest.raises(ValueError, match="'yaml' is not one of table, json"):
        table.render(result, "yaml")
