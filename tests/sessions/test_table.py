"""Records -> DataFrames with the right types, empty ones too."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from analyzer.sessions.accounts import accounts
from analyzer.sessions.coverage import CaptureSeen, Lack, Quality
from analyzer.sessions.table import account_table, capture_table, login_table, quality_table, session_table
from tests.records import ACCOUNT, CAPTURE, capture_seen, full_house, login, ns, refused, session

SEEN: CaptureSeen = capture_seen()

STORY = (*full_house(agents=4, limit=5), refused("C900", at_s=1.0, account=None, secret=b"planted"))
LOGINS = tuple(x for s in STORY for x in s.logins)
TABLES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "sessions": (session_table, STORY),
    "logins": (login_table, LOGINS),
    "accounts": (account_table, accounts(STORY)),
}
TYPES = {
    "sessions": {
        "start": "datetime64[ns, UTC]", "opened": "datetime64[ns, UTC]", "closed": "datetime64[ns, UTC]",
        "outcome": "category", "account": "category", "client": "category", "client_port": "Int64",
        "first_frame": "Int64", "handshake_ms": "Float64", "greeting": "string", "uid": "string",
    },
    "logins": {
        "time": "datetime64[ns, UTC]", "decided_time": "datetime64[ns, UTC]", "frame": "Int64",
        "decided_frame": "Int64", "auth_ms": "Float64", "mechanism": "category", "text": "string",
    },
    "accounts": {
        "account": "category", "logins_refused": "Int64", "peak_open": "Int64", "peak_open_at": "datetime64[ns, UTC]",
        "clients": "string",
    },
}  # fmt: skip


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("name", TABLES)
def test_types_hold_for_full_and_empty_tables(name: str, empty: bool) -> None:
    make, records = TABLES[name]
    table = make(() if empty else records)
    assert len(table) == (0 if empty else len(records))
    assert {column: str(table[column].dtype) for column in TYPES[name]} == TYPES[name]


@pytest.mark.parametrize("name", TABLES)
def test_one_row_or_many_have_the_same_columns(name: str) -> None:
    make, records = TABLES[name]
    assert list(make(records[:1]).columns) == list(make(()).columns) == list(make(records).columns)


def test_unset_is_missing_never_zero() -> None:
    row = session_table([session("C1", lasts_s=None)]).iloc[0]
    assert row["closed"] is pd.NaT
    row = login_table([login(outcome="unseen")]).iloc[0]
    assert row["decided_frame"] is pd.NA
    assert row["auth_ms"] is pd.NA


def test_times_are_exact_to_the_nanosecond() -> None:
    odd = session("C1")._replace(start=ns(0.0) + 1)
    assert session_table([odd])["start"].astype("int64").iloc[0] == ns(0.0) + 1


def test_times_beside_missing_ones_are_as_exact() -> None:
    pair = [session("C1")._replace(closed=ns(9.0) + 1), session("C2", lasts_s=None)]
    closed = session_table(pair)["closed"]
    assert closed.iloc[0].value == ns(9.0) + 1
    assert closed.iloc[1] is pd.NaT


def test_no_column_holds_a_secret() -> None:
    text = session_table(STORY).to_csv() + login_table(LOGINS).to_csv()
    assert "planted" not in text
    assert "***" not in text


def test_client_lists_become_text() -> None:
    (row,) = account_table(accounts(STORY)).to_dict("records")
    assert row["account"] == ACCOUNT
    assert row["clients"].count(", ") == 3


def test_a_flag_is_a_flag() -> None:
    table = session_table([session("C1"), session("C2")._replace(decrypted=True)])
    assert str(table["decrypted"].dtype) == "boolean"
    assert table["decrypted"].tolist() == [False, True]
    assert str(session_table(())["decrypted"].dtype) == "boolean"


def test_names_with_odd_first_letters_stay_whole() -> None:
    odd = ["_service", "$cost$", "=SUM(A1)"]
    assert login_table([login(account=x) for x in odd])["account"].tolist() == odd


def test_every_column_has_a_type_of_its_own_never_object() -> None:
    tables = [make(records) for make, records in TABLES.values()]
    tables += [capture_table([SEEN]), capture_table(()), quality_table([SEEN]), quality_table(())]
    assert [(x, str(kind)) for table in tables for x, kind in table.dtypes.items() if kind == "object"] == []


def test_quality_has_a_row_for_each_thing_a_capture_lacks() -> None:
    poor = Quality("C", ("cut", "late"), (Lack("cut", 1, "cut"), Lack("late", 1, "late")))
    unread = Quality("F", ("not a capture",))
    table = quality_table([SEEN, SEEN._replace(name="b", quality=poor), SEEN._replace(name="c", quality=unread)])
    assert table[["capture", "grade"]].to_numpy().tolist() == [[CAPTURE, "A"], ["b", "C"], ["b", "C"], ["c", "F"]]
    assert table["kind"].isna().tolist() == [True, False, False, True]
    assert table["reason"].isna().tolist() == [True, False, False, False]
    assert table["steps"].sum() == 2
    assert (table["grade"] > "B").tolist() == [False, True, True, True]


def test_captures_tell_their_grade_and_why() -> None:
    row = capture_table([SEEN._replace(quality=Quality("B", ("cut", "late")), start=None)]).iloc[0]
    assert (row["name"], row["grade"], row["reasons"]) == (CAPTURE, "B", "cut; late")
    assert row["start"] is pd.NaT
