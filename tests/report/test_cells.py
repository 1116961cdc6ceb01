from __future__ import annotations

import csv
import io

import pytest

from analyzer.report.cells import FINDING_COLUMNS, findings_csv, to_csv
from tests.records import evidence, finding, one_pc, result


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_a_spreadsheet_would_run_gets_a_quote(start: str) -> None:
    text = to_csv([{"a": f"{start}cmd|'/C calc'!A0", "b": [f"{start}x", "y"]}], ["a", "b"])
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row == {"a": f"'{start}cmd|'/C calc'!A0", "b": f"'{start}x y"}


def test_numbers_none_and_lists_stay_plain() -> None:
    text = to_csv(
        [{"n": -5, "f": 1.5, "none": None, "list": ["a", "b"], "quoted": 'a,"b"\nc'}],
        ["n", "f", "none", "list", "quoted"],
    )
    assert text == 'n,f,none,list,quoted\r\n-5,1.5,,a b,"a,""b""\nc"\r\n'


def test_findings_one_line_each_with_their_frames() -> None:
    made = result(one_pc(), [finding(evidence=(evidence(frames=(5, 7)), evidence(frames=(7, 9)))), finding()])
    rows = list(csv.DictReader(io.StringIO(findings_csv(made), newline="")))
    assert len(rows) == 2
    assert tuple(rows[0]) == FINDING_COLUMNS
    assert rows[0]["frames"] == "agent-pc-07.pcapng:5 agent-pc-07.pcapng:7 agent-pc-07.pcapng:9"
    assert rows[0]["accounts"] == "uccx-mail"
