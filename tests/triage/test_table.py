"""The result in its dresses: what is worst stands first, and no file name can do harm."""

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.errors import OutputError
from analyzer.triage import table
from analyzer.triage.baseline import Change
from analyzer.triage.batch import TriageResult
from analyzer.triage.incidents import Incident, Outlier
from analyzer.triage.row import Row
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
    who = {"server": "192.0.2.1", "start": "2024-05-06T08:00:00Z", "end": "2024-05-06T08:01:00Z"}
    sure = Incident(
        "per_user_connection_limit", "confirmed", accounts=("u",), captures=("sure.pcap",), title="t", **who
    )
    maybe = Incident(
        "bad_credentials", "suspected", accounts=("[red]u",), captures=("sub/maybe.pcap",), title="m", **who
    )
    return TriageResult(rows, (sure, maybe))


def text(result: TriageResult, style: str = "table") -> str:
    return table.render(result, style, terminal=False).decode()


def test_the_table_ranks_by_severity_and_leaves_out_what_is_no_capture(result: TriageResult) -> None:
    lines = text(result).splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["VERDICT", "CONFIRMED", "SUSPECTED", "TIMEOUT", "ok"]
    assert lines[1].split(maxsplit=4)[1:] == ["90", "%", "sure.pcap", "throttling of u"]
    assert "notes.txt" not in "\n".join(lines)
    assert lines[5:] == [
        "",
        "2 incidents",
        "  1  CONFIRMED  per-user connection throttling  u  on 192.0.2.1  1 capture: sure.pcap",
        "  2  SUSPECTED  wrong or changed password  [red]u  on 192.0.2.1  1 capture: sub/maybe.pcap",
        "",
        "5 inputs, 1 not read, 1 no captures",
    ]


def test_a_terminal_gets_colour_and_a_pipe_does_not(result: TriageResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert b"\x1b[" in table.render(result, terminal=True)
    assert b"\x1b[" not in table.render(result, terminal=False)
    assert table.render(result) == table.render(result, terminal=False)


def test_json_is_the_contract_in_input_order(result: TriageResult) -> None:
    told = json.loads(text(result, "json"))
    assert list(told) == ["schema_version", "tool", "captures", "incidents"]
    assert [entry["path"] for entry in told["captures"]] == [row.path for row in result.rows]
    assert list(told["captures"][0]) == ["path", "name", "sha256", "state", "reason", "conclusion", "findings", "id"]
    assert list(told["incidents"][0]) == [
        "cause", "verdict", "server", "accounts", "start", "end", "captures", "title", "id", "clients", "outliers", "joined",
    ]  # fmt: skip


def test_json_lines_are_the_entries(result: TriageResult) -> None:
    lines = text(result, "ndjson").splitlines()
    assert [json.loads(line) for line in lines] == [table.entry(row) for row in result.rows]


def test_csv_has_a_row_each_and_runs_no_formula(result: TriageResult) -> None:
    told = list(csv.DictReader(io.StringIO(text(result, "csv"))))
    assert [entry["path"] for entry in told] == [
        "ok.pcap", "notes.txt", "'=cmd|x.pcap", "sub/maybe.pcap", "sure.pcap",
    ]  # fmt: skip
    assert (told[4]["cause"], told[4]["verdict"], told[4]["confidence"]) == (
        "per_user_connection_limit", "confirmed", "0.9",
    )  # fmt: skip


def test_nothing_asked_is_a_table_too() -> None:
    assert text(TriageResult((), ())) == "\n0 inputs\n"


def test_an_unknown_format_is_named(result: TriageResult) -> None:
    with pytest.raises(ValueError, match="'yaml' is not one of table, json"):
        table.render(result, "yaml")


def test_what_rests_on_several_captures_and_what_is_otherwise_is_said(result: TriageResult) -> None:
    joined = {"captures": ["a", "b", "c"], "alone": "suspected", "finding": finding()}
    other = Outlier("account_locked", "confirmed", ("c",))
    one = replace(result.incidents[0], captures=("a", "b"), joined=joined, outliers=(other,))
    lines = text(TriageResult((), (one,))).splitlines()
    assert lines[2:5] == [
        "  1  CONFIRMED  per-user connection throttling  u  on 192.0.2.1  2 captures: a, b",
        "     together: 3 captures read as one; alone they were suspected",
        "     but 1 of 3: confirmed account locked or disabled (c)",
    ]


def test_many_captures_are_not_all_named(result: TriageResult) -> None:
    one = replace(result.incidents[0], captures=tuple("abcdefghij"))
    assert "10 captures: a, b, c, d, e, f, g, h, ..." in text(TriageResult((), (one,)))


def test_what_changed_since_the_baseline_is_told(result: TriageResult) -> None:
    changes = (
        Change("new", "port_closed", "192.0.2.1", (), "t", None, "confirmed", "not in the baseline"),
        Change(
            "fixed", "bad_credentials", None, ("u",), "t", "likely", None, "3 logins accepted there and none refused"
        ),
    )
    told = replace(result, changes=changes)
    assert text(told).splitlines()[10:13] == [
        "against the baseline: 1 new, 0 still, 0 unsettled, 1 fixed",
        "      NEW  port closed  on 192.0.2.1  not in the baseline",
        "    FIXED  wrong or changed password  u  3 logins accepted there and none refused",
    ]
    assert [one["state"] for one in json.loads(text(told, "json"))["changes"]] == ["new", "fixed"]
    assert "changes" not in json.loads(text(result, "json"))


def test_parquet_has_the_rows_of_the_csv_and_the_incidents_beside_them(result: TriageResult) -> None:
    pa = pytest.importorskip("pyarrow.parquet")
    told = pa.read_table(io.BytesIO(table.render(result, "parquet")))
    assert told.column_names == list(table.CSV_FIELDS)
    assert told.column("path").to_pylist() == [row.path for row in result.rows]
    assert told.column("confidence").to_pylist() == [None, None, None, 0.5, 0.9]
    beside = json.loads(told.schema.metadata[b"mailscope"])
    assert [one["cause"] for one in beside["incidents"]] == ["per_user_connection_limit", "bad_credentials"]


def test_without_its_package_parquet_says_what_to_install(
    result: TriageResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OutputError, match="needs the package pyarrow") as told:
        table.render(result, "parquet")
    assert told.value.hint == "pip install 'mailscope[parquet]'"


@pytest.mark.parametrize("suffix", table.SUFFIXES)
def test_a_suffix_picks_the_form(result: TriageResult, tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"out{suffix.upper()}"
    table.save(result, path)
    assert path.read_bytes() == table.render(result, table.SUFFIXES[suffix], terminal=False)


def test_an_unknown_suffix_is_named(result: TriageResult, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no triage has the suffix '\.docx'"):
        table.save(result, tmp_path / "out.docx")
