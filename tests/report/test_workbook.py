from __future__ import annotations

import io

import pytest
from openpyxl import load_workbook

from analyzer.report import workbook as module
from analyzer.report.workbook import workbook
from tests.records import account_row, capture_seen, finding, one_pc, refused, result
from tests.report import hostile


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_text_is_a_formula_whatever_it_begins_with(start: str) -> None:
    name = f"{start}cmd|'/C calc'!A0"
    made = result([refused(account=name)], [finding(title=name)], [capture_seen(name)], accounts=(account_row(name),))
    book = load_workbook(io.BytesIO(workbook(made)))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value == name]
    assert len(cells) >= 5
    assert {(cell.data_type, cell.quotePrefix) for cell in cells} == {("s", True)}


def test_hostile_texts_are_kept_as_they_are() -> None:
    book = load_workbook(io.BytesIO(workbook(hostile.case())))
    assert {cell.data_type for sheet in book for row in sheet.iter_rows() for cell in row} <= {
        "s",
        "inlineStr",
        "n",
        "b",
    }
    assert [row[0].value for row in book["accounts"].iter_rows(min_row=2)] == list(hostile.EVIL)


def test_numbers_are_numbers_and_nothing_is_empty() -> None:
    book = load_workbook(io.BytesIO(workbook(result(one_pc(), [finding(facts={"limit": 16})]))))
    head = [cell.value for cell in book["findings"][1]]
    row = dict(zip(head, [cell.value for cell in book["findings"][2]], strict=True))
    assert (row["fact limit"], row["confidence"], row["accounts"]) == (16, 0.5, "uccx-mail")
    assert book["evidence"].max_row == 2
    assert book["sessions"].max_row == 4
    assert {cell.value for cell in book["logins"][2]} >= {"refused", 10566}


def test_the_same_result_gives_the_same_octets() -> None:
    made = result(one_pc(), [finding()])
    assert workbook(made) == workbook(made)


def test_rows_beyond_a_sheet_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 8)
    book = load_workbook(io.BytesIO(workbook(result(one_pc(11)))))
    told = {row[0].value: row[1].value for row in book["verdict"].iter_rows(min_row=2)}
    assert book["sessions"].max_row == 9
    assert (told["sessions"], told["sessions left out"]) == (11, 3)


def test_nothing_at_all_is_a_workbook() -> None:
    assert "verdict" in load_workbook(io.BytesIO(workbook(result()))).sheetnames
