from __future__ import annotations

from typing import Any

import pytest

from analyzer.fields import Field, fields
from analyzer.rules.finding import Evidence, Finding, FrameRef
from analyzer.sessions.session import Login, Session


@pytest.mark.parametrize("record", [Session, Login, Finding, Evidence])
def test_every_field_is_found_in_order(record: Any) -> None:
    assert [x.name for x in fields(record)] == list(record._fields)


def test_types_and_docs_are_as_written() -> None:
    assert fields(FrameRef) == (Field("capture", "str", ""), Field("frame", "int", ""))
    found = {x.name: x for x in fields(Session)}
    assert found["handshake_ms"] == Field("handshake_ms", "float | None", "SYN to SYN/ACK.")
    assert found["complaints"].type == "tuple[Complaint, ...]"
