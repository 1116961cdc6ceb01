"""A store in a notebook: exact tables, a report by name, and what is printed is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import analyzer
from analyzer.errors import StoreError
from analyzer.sessions.table import LOGIN_COLUMNS, SESSION_COLUMNS
from analyzer.triage.batch import triage
from analyzer.triage.case import Item
from analyzer.triage.isolated import Answer
from analyzer.triage.store import Store
from tests.triage.targets import finding, report

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"
NAMES = ("healthy.pcap", "one_agent_refused.pcap", "server_side_limit.pcap")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[analyzer.Cases]:
    """What triage found in some samples."""
    where = tmp_path_factory.mktemp("store") / "cases.db"
    triage([*(SAMPLES / name for name in NAMES), where.parent / "none.pcap"], store=where, jobs=2)
    opened = analyzer.cases(where)
    yield opened
    opened.close()


def test_captures_are_a_table(cases: analyzer.Cases) -> None:
    table = cases.captures
    assert table["path"].tolist() == ["server_side_limit.pcap", "one_agent_refused.pcap", "none.pcap", "healthy.pcap"]
    assert table["verdict"].tolist()[:2] == ["confirmed", "suspected"]
    assert table["verdict"].isna().tolist() == [False, False, True, True]
    assert table["accounts"].tolist()[:2] == ["uccx-mail", "uccx-mail"]
    assert str(table["start"].dtype) == str(table["submitted"].dtype) == "datetime64[ns, UTC]"
    assert str(table["size_bytes"].dtype) == "Int64"
    assert table["sha256"].isna().sum() == 1


def test_sessions_and_logins_are_those_of_the_captures(cases: analyzer.Cases) -> None:
    whole = [analyzer.read(SAMPLES / name) for name in NAMES]
    assert list(cases.sessions.columns) == ["id", "path", *SESSION_COLUMNS]
    assert list(cases.logins.columns) == ["id", "path", *LOGIN_COLUMNS]
    for name, alone in zip(NAMES, whole, strict=True):
        for here, there in ((cases.sessions, alone.sessions), (cases.logins, alone.logins)):
            mine = here[here["path"] == name].drop(columns=["id", "path"]).reset_index(drop=True)
            for column in there.columns:
                a, b = mine[column], there[column]
                if column.endswith("_ms"):
                    pd.testing.assert_series_equal(a, b, atol=0.0006)  # the report has microseconds
                elif str(a.dtype).startswith("datetime"):
                    assert ((a - b).abs().dropna() < pd.Timedelta("1us")).all()
                else:
                    assert a.astype(object).fillna("-").tolist() == b.astype(object).fillna("-").tolist()


def test_findings_lead_to_their_incidents(cases: analyzer.Cases) -> None:
    faults = cases.findings[cases.findings["severity"] == "fault"]
    (incident,) = cases.incidents.itertuples()
    assert set(faults["incident_id"]) == {incident.id}
    assert (incident.cause, incident.verdict, incident.captures) == ("per_user_connection_limit", "confirmed", 2)
    assert not incident.together


def test_a_report_by_id_or_path(cases: analyzer.Cases) -> None:
    told = cases.report("server_side_limit.pcap")
    assert cases.report(told.case.id).case == told.case
    assert told.document is not None
    assert told.document["conclusion"]["cause"] == "per_user_connection_limit"
    lines = repr(told).splitlines()
    assert lines[0].startswith("server_side_limit.pcap: per-user connection throttling")
    assert lines[1].startswith("CONFIRMED")
    assert any("frames" in line for line in lines[2:])
    assert repr(cases.report("none.pcap")) == "none.pcap: no such file"
    with pytest.raises(StoreError, match=r"no capture is called other\.pcap"):
        cases.report("other.pcap")


def test_it_prints_the_worst_first(cases: analyzer.Cases) -> None:
    lines = repr(cases).splitlines()
    assert lines[0] == "4 captures, 1 incidents"
    assert lines[1].startswith("confirmed")
    assert "<table>" in cases._repr_html_()


def test_what_a_capture_says_is_no_markup(tmp_path: Path) -> None:
    with Store.open(tmp_path / "cases.db") as store:
        evil = "<img src=x onerror=alert(1)>"
        fault = finding(title=evil, summary=evil, accounts=[evil], server=evil, evidence=[{"text": evil, "frames": []}])
        for name in ("a", "b"):
            item = Item(evil, evil, name * 64, location=name)
            store.record(item, Answer("ok", None, report(fault)), key="k")
    opened = analyzer.cases(tmp_path / "cases.db")
    some = opened.captures["id"].iloc[0]
    assert "<img" not in opened._repr_html_() + opened.report(some)._repr_html_()
    with pytest.raises(StoreError, match="several captures are called"):
        opened.report(evil)
    opened.close()


def test_owners_are_kept_apart_when_one_is_named(tmp_path: Path) -> None:
    where = tmp_path / "cases.db"
    with Store.open(where) as store:
        for owner in ("alice", "bob"):
            store.submit(Item("a", "a", "0" * 64), owner)
    for owner, count in (({}, 2), ({"owner": "bob"}, 1), ({"owner": None}, 0)):
        opened = analyzer.cases(where, **owner)  # type: ignore[arg-type]
        assert len(opened.captures) == count
        opened.close()


def test_an_empty_store_has_tables_with_the_same_columns(tmp_path: Path, cases: analyzer.Cases) -> None:
    Store.open(tmp_path / "cases.db").close()
    empty = analyzer.cases(tmp_path / "cases.db")
    for name in ("captures", "incidents", "findings", "sessions", "logins"):
        table = getattr(empty, name)
        assert len(table) == 0
        assert list(table.columns) == list(getattr(cases, name).columns)
        assert [str(x) for x in table.dtypes if str(x) != "category"] == [
            str(x) for x in getattr(cases, name).dtypes if str(x) != "category"
        ]
    empty.close()


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(analyzer.StoreError, match="there is no store"):
        analyzer.cases(tmp_path / "cases.db")
    assert list(tmp_path.iterdir()) == []
