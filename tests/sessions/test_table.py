"""Records -> DataFrames with the right types, empty ones too."""

from collections.abc import Callable
from typing import Any

import pytest

from analyzer.sessions.accounts import accounts
from analyzer.sessions.table import account_table, login_table, session_table
from tests.records import ACCOUNT, full_house, login, ns, refused, session

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
    import pandas as pd

    row = session_table([session("C1", lasts_s=None)]).iloc[0]
    assert row["closed"] is pd.NaT
    row = login_table([login(outcome="unseen")]).iloc[0]
    assert row["decided_frame"] is pd.NA
    assert row["auth_ms"] is pd.NA


def test_times_are_exact_to_the_nanosecond() -> None:
    odd = session("C1")._replace(start=ns(0.0) + 1)
    assert session_table([odd])["start"].astype("int64").iloc[0] == ns(0.0) + 1


def test_no_column_holds_a_secret() -> None:
    text = session_table(STORY).to_csv() + login_table(LOGINS).to_csv()
    assert "planted" not in text
    assert "***" not in text


def test_client_lists_become_text() -> None:
    (row,) = account_table(accounts(STORY)).to_dict("records")
    assert row["account"] == ACCOUNT
    assert row["clients"].count(", ") == 3
