from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture.packets import Stopped
from analyzer.report.model import document, rfc3339, schema, to_json
from analyzer.rules.finding import Verdict
from analyzer.sessions.coverage import Quality
from analyzer.sessions.records import LogSeen
from tests.records import (
    BASE,
    account_row,
    capture_seen,
    changed,
    evidence,
    finding,
    full_house,
    one_pc,
    refused,
    result,
)

ROOT = Path(__file__).parents[2]
CONTRACT = {
    "captures": "name sha256 format link_types packets start end state stopped quality",
    "sessions": (
        "capture uid protocol tls client client_port server server_port start end first_frame last_frame conn_state greeting "
        "product account mechanism outcome opened closed closed_by client_bytes server_bytes missed_bytes retransmits"
    ),
    "logins": (
        "capture session frame decided_frame time decided_time mechanism account domain workstation outcome code text auth_ms"
    ),
    "accounts": "account server protocol logins_accepted logins_refused clients clients_refused peak_open peak_open_at",
    "findings": (
        "rule cause verdict confidence severity subject candidates start end title summary evidence missing remedies"
    ),
}


@pytest.fixture(scope="module")
def whole() -> Any:
    seen = capture_seen(
        state="partial", stopped=Stopped(10, 1234, "cut"), quality=Quality("C", ("one direction only",)), resolution=9
    )
    sessions = (*full_house(agents=3, limit=4), *one_pc(secret=b"hunter2 planted", mechanism="PLAIN"))
    return result(
        sessions, [finding(), finding(Verdict.RULED_OUT)], [seen, capture_seen("b")], accounts=(account_row(),)
    )


def test_every_field_of_the_contract_is_there_in_its_order(whole: Any) -> None:
    made = document(whole)
    assert list(made)[:8] == [
        "schema_version", "tool", "captures", "sessions", "logins", "accounts", "findings", "conclusion",
    ]  # fmt: skip
    for table, names in CONTRACT.items():
        for row in made[table]:
            wanted = names.split()
            assert list(row)[: len(wanted)] == wanted
    assert list(made["findings"][0]["subject"]) == ["accounts", "clients", "server", "protocol"]
    assert list(made["findings"][0]["evidence"][0])[:5] == ["text", "frames", "weight_db", "decisive", "filter"]
    assert made["captures"][0]["stopped"] == {"frame": 10, "offset_bytes": 1234, "reason": "cut"}
    assert made["conclusion"] == {
        "cause": "per_user_connection_limit",
        "verdict": "suspected",
        "title": whole.findings[0].title,
    }


def test_the_schema_is_2020_12_and_the_report_fits_it(whole: Any) -> None:
    published = schema()
    jsonschema.Draft202012Validator.check_schema(published)
    for made in (whole, result(), result(captures=[capture_seen(sha256=None, format=None, start=None, end=None)])):
        jsonschema.validate(json.loads(to_json(made)), published)
    broken = document(whole) | {"findings": [{"verdict": "sure"}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, published)


def test_the_same_result_gives_the_same_octets_and_no_secret(whole: Any) -> None:
    octets = to_json(whole)
    assert octets == to_json(whole)
    assert b"hunter2" not in octets
    assert b"credential" not in octets.replace(b"credentials", b"")
    assert octets.endswith(b"}\n")


def test_logs_beside_the_captures_are_told() -> None:
    seen = LogSeen("a.LOG", "Exchange IMAP4 protocol log", 5, 3, -0.25, BASE, BASE + 10**9, "utc", ("only the first",))
    made = document(result(records=(seen,)))["records"]
    names = "name kind records matched clock_offset_s start end times warnings"
    assert [list(x) for x in made] == [names.split()]
    assert (made[0]["start"], made[0]["clock_offset_s"]) == ("2024-03-04T09:14:00.000000Z", -0.25)
    jsonschema.validate(document(result(records=(seen,))), schema())
    broken = document(result()) | {"records": [{"name": "x"}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema())


def test_unset_is_null(whole: Any) -> None:
    made = document(result(one_pc()))
    row = made["sessions"][0]
    assert row["opened"] is None
    assert row["closed"] is None
    assert made["logins"][0]["code"] is None
    assert document(result())["conclusion"]["verdict"] is None


@pytest.mark.parametrize(
    ("ns", "digits", "text"),
    [
        (BASE, 6, "2024-03-04T09:14:00.000000Z"),
        (BASE + 1, 9, "2024-03-04T09:14:00.000000001Z"),
        (BASE + 999_999_999, 6, "2024-03-04T09:14:00.999999Z"),
        (BASE, 0, "2024-03-04T09:14:00Z"),
        (0, 3, "1970-01-01T00:00:00.000Z"),
        (-1, 9, "1969-12-31T23:59:59.999999999Z"),
        (None, 6, None),
        (2**63, 6, "2262-04-11T23:47:16.854775Z"),
        (2**70, 6, None),
    ],
)
def test_times_are_rfc_3339_with_the_captures_own_resolution(ns: int | None, digits: int, text: str | None) -> None:
    assert rfc3339(ns, digits) == text


def test_each_capture_keeps_its_resolution() -> None:
    made = document(
        result(
            [refused(capture="a"), refused("C2", capture="b")],
            captures=[capture_seen("a", resolution=9), capture_seen("b", resolution=3)],
        )
    )
    lengths = [len(x["start"]) for x in made["sessions"]]
    assert lengths == [len("2024-03-04T09:14:00.123456789Z"), len("2024-03-04T09:14:00.123Z")]


@given(st.integers(-(2**62), 2**63), st.integers(0, 9))
@settings(deadline=None, max_examples=50)
def test_any_time_is_well_formed_or_null(ns: int, digits: int) -> None:
    text = rfc3339(ns, digits)
    assert text is None or re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{{{digits}}})?Z", text)


@given(st.text(max_size=30))
@settings(deadline=None, max_examples=50)
def test_any_text_survives_as_json(text: str) -> None:
    made = result([changed(one_pc()[0], greeting=text)], [finding(title=text, evidence=(evidence(text),))])
    read = json.loads(to_json(made).decode())
    wanted = text.encode("utf-8", "replace").decode()
    assert read["findings"][0]["title"] == wanted
    assert read["sessions"][0]["greeting"] == wanted


def test_the_fast_path_imports_no_heavy_package() -> None:
    code = (
        "import sys; from tests.records import *; from analyzer.report.model import to_json; to_json(result(one_pc(), [finding()]));"
        "print(sorted({'pydantic','pandas','matplotlib','rich','typer','numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
