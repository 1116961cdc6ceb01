from __future__ import annotations

import io
import json
from typing import Any

import pandas as pd
import pytest
from pyarrow import parquet as files

from analyzer.report.parquet import KEY, parquet
from analyzer.sessions.table import SESSION_COLUMNS
from tests.records import finding, full_house, one_pc, result, session
from tests.report import hostile


def read(made: Any) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(parquet(made)))


def test_a_row_for_each_session_with_the_types_of_the_tables() -> None:
    table = read(result(full_house()))
    assert list(table.columns) == [*SESSION_COLUMNS, "logins"]
    assert str(table["start"].dtype) == "datetime64[ns, UTC]"
    assert str(table["client_port"].dtype) == "Int64"
    assert table["start"].iloc[0].value == full_house()[0].start


def test_the_logins_lie_in_their_sessions_row() -> None:
    two = session("C1")
    made = result([session("C0", logins=()), two._replace(logins=(*two.logins, *one_pc(1)[0].logins)), *one_pc(1)])
    logins = read(made)["logins"]
    assert [len(x) for x in logins] == [0, 2, 1]
    assert [x["outcome"] for x in logins.iloc[1]] == ["accepted", "refused"]
    assert "session" not in logins.iloc[2][0]


def test_the_rest_is_beside_the_columns() -> None:
    table = files.read_table(io.BytesIO(parquet(result(one_pc(), [finding()]))))
    rest = json.loads(table.schema.metadata[KEY])
    assert rest["conclusion"]["verdict"] == "suspected"
    assert [x["cause"] for x in rest["findings"]] == ["per_user_connection_limit"]
    assert "sessions" not in rest


@pytest.mark.parametrize(
    "made", [result(), result([session(logins=())]), hostile.case()], ids=["nothing", "no login", "hostile"]
)
def test_any_result_is_a_table(made: Any) -> None:
    assert len(read(made)) == len(made.sessions)
    assert parquet(made) == parquet(made)
