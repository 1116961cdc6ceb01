"""The result as one Parquet file: a row for each session with its logins in it, and all the rest beside the columns.

Columns and types are those of the DataFrames (``mailscope fields``): times with nanoseconds in UTC, names as categories. The
logins of a session are a list in its row. Findings, accounts and captures are JSON under the key ``mailscope`` of the
file's own metadata.
"""

from __future__ import annotations

import io
import json
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from analyzer.report.model import document
from analyzer.report.result import Result
from analyzer.sessions.table import login_table, session_table

if TYPE_CHECKING:
    import pyarrow as pa

KEY = b"mailscope"
_INSIDE = ("capture", "session")
"""Columns of a login that its session's row has already."""


def parquet(result: Result) -> bytes:
    """Return a .parquet file.

    Raises:
        ImportError: pyarrow is not installed.
    """
    import pyarrow as pa
    from pyarrow import parquet as format_of

    table = pa.Table.from_pandas(session_table(result.sessions), preserve_index=False)
    table = table.append_column("logins", _logins(result))
    rest = {key: value for key, value in document(result).items() if key not in {"sessions", "logins"}}
    told = json.dumps(rest, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    out = io.BytesIO()
    format_of.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: told}), out)
    return out.getvalue()


def _logins(result: Result) -> pa.Array[Any]:
    """Return each session's logins as a list of structs."""
    import pyarrow as pa

    logins = [x for s in result.sessions for x in s.logins]
    frame = login_table(logins).drop(columns=list(_INSIDE))
    columns = pa.Table.from_pandas(frame, preserve_index=False).combine_chunks()
    plain = [_plain(columns.column(name)) for name in columns.column_names]
    rows = pa.StructArray.from_arrays(plain, names=columns.column_names)
    ends = [0, *accumulate(len(s.logins) for s in result.sessions)]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), rows)


def _plain(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """Return a column in one piece; categories inside a list are not understood by all readers."""
    import pyarrow as pa

    whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole
