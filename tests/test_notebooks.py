"""The notebooks run from top to bottom, show what their text says, and are kept without outputs."""

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def load(path: Path) -> Any:
    import nbformat

    return nbformat.read(path, as_version=4)


def run(name: str) -> dict[str, list[Any]]:
    """Outputs of the executed notebook, by cell id."""
    from nbclient import NotebookClient

    path = ROOT / "notebooks" / f"{name}.ipynb"
    notebook = load(path)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}})
        client.execute()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


@pytest.fixture(scope="module")
def first_look() -> dict[str, list[Any]]:
    return run("01_first_look")


@pytest.fixture(scope="module")
def over_time() -> dict[str, list[Any]]:
    return run("02_one_account_over_time")


@pytest.fixture(scope="module")
def many() -> dict[str, list[Any]]:
    return run("03_many_captures")


def shown(outputs: list[Any], kind: str) -> str:
    """Everything a cell shows in one format, one after the other; printed text is text/plain."""
    data = [output.data.get(kind, "") for output in outputs if "data" in output]
    printed = [output.text for output in outputs if output.output_type == "stream" and kind == "text/plain"]
    return "\n".join([*data, *printed])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    cells = [cell for cell in load(path).cells if cell.cell_type == "code"]
    assert cells
    assert [cell.id for cell in cells if cell.outputs or cell.execution_count is not None] == []


def test_the_card_tells_the_verdict(first_look: dict[str, list[Any]]) -> None:
    assert [output.output_type for output in first_look["card"]] == ["execute_result"]
    for kind in ("text/html", "text/plain"):
        told = shown(first_look["card"], kind).lower()
        assert "suspected" in told
        assert "per-user connection throttling" in told


def test_the_finding_is_told_with_its_rival(first_look: dict[str, list[Any]]) -> None:
    assert "bad_credentials" in shown(first_look["rivals"], "text/plain")


def test_the_evidence_names_frames(first_look: dict[str, list[Any]]) -> None:
    assert "dB" in shown(first_look["evidence"], "text/plain")
    assert "frame" in shown(first_look["evidence"], "text/plain")


def test_the_server_side_decides(first_look: dict[str, list[Any]]) -> None:
    told = shown(first_look["server"], "text/plain").lower()
    assert "confirmed" in told
    assert "per-user connection throttling" in told


def test_sessions_are_a_table(first_look: dict[str, list[Any]]) -> None:
    table = shown(first_look["sessions"], "text/html")
    assert "<table" in table
    assert "refused" in table


def test_the_chart_is_a_picture(first_look: dict[str, list[Any]]) -> None:
    assert len(shown(first_look["chart"], "image/png")) > 5_000


def test_the_most_open_sessions_are_a_number(first_look: dict[str, list[Any]]) -> None:
    assert "16" in shown(first_look["concurrency"], "text/plain")


def test_the_dialogue_has_both_sides_and_no_secret(first_look: dict[str, list[Any]]) -> None:
    told = shown(first_look["dialogue"], "text/plain")
    assert "C:" in told
    assert "S:" in told
    assert "***" in told


def test_the_remedy_has_a_command(first_look: dict[str, list[Any]]) -> None:
    assert "MaxConnectionsPerUser" in shown(first_look["remedies"], "text/plain")


def test_the_look_alike_is_not_called_throttling(first_look: dict[str, list[Any]]) -> None:
    told = shown(first_look["look-alike"], "text/plain").lower()
    assert "password" in told
    assert "throttling" not in told


def numbers(outputs: list[Any]) -> dict[str, str]:
    """A printed column: its last word by its first."""
    rows = [line.split() for line in shown(outputs, "text/plain").splitlines()]
    return {row[0]: row[-1] for row in rows if len(row) > 1}


def test_the_capture_is_trusted_before_it_is_read(over_time: dict[str, list[Any]]) -> None:
    assert numbers(over_time["quality"])["0"] == "<NA>"
    assert "server_side_limit.pcap     A" in shown(over_time["quality"], "text/plain")


@pytest.mark.parametrize("cell", ["lanes", "connections", "refusals", "delays", "locked"])
def test_time_is_told_in_pictures(over_time: dict[str, list[Any]], cell: str) -> None:
    assert len(shown(over_time[cell], "image/png")) > 5_000
    assert "<svg" in shown(over_time[cell], "image/svg+xml")


def test_every_refusal_comes_at_the_height_of_the_limit(over_time: dict[str, list[Any]]) -> None:
    assert "16    76\n" in shown(over_time["height-of-refusals"], "text/plain")


def test_whoever_gets_in_later_takes_a_slot_that_was_freed(over_time: dict[str, list[Any]]) -> None:
    table = shown(over_time["freed"], "text/html")
    assert table.count("<tr>") == 8
    assert "NaT" not in table


def test_a_refusal_takes_no_longer_than_a_login(over_time: dict[str, list[Any]]) -> None:
    took = numbers(over_time["medians"])
    assert abs(float(took["accepted"]) - float(took["refused"])) < 10


def test_the_proof_and_the_other_limit_are_told(over_time: dict[str, list[Any]]) -> None:
    assert "every refusal came with 16 or more sessions" in shown(over_time["why"], "text/plain")
    assert "76 of 76 refusals spared by 32; 24 would" in shown(over_time["what-if"], "text/plain")


def test_the_locked_account_is_no_limit(over_time: dict[str, list[Any]]) -> None:
    first, second = shown(over_time["verdict"], "text/plain").splitlines()
    assert "account locked" in first
    assert "wrong password on 192.0.2.21" in second
    seen = numbers(over_time["room"])
    assert int(seen["max"]) < 16
    assert int(seen["min"]) < int(seen["max"])


def test_every_sample_has_a_row_with_its_cause(many: dict[str, list[Any]]) -> None:
    count = int(shown(many["import"], "text/plain"))
    assert count == len([x for x in (ROOT / "sample_pcaps").iterdir() if x.suffix in {".pcap", ".pcapng"}])
    assert shown(many["read"], "text/html").count("<tr>") == count
    causes = numbers(many["causes"])
    assert causes["bad_credentials"] == "5"
    assert causes["per_user_connection_limit"] == "4"


def test_the_same_words_stand_for_several_causes(many: dict[str, list[Any]]) -> None:
    assert {"bad_credentials", "per_user_connection_limit", "account_locked"} <= numbers(many["same-words"]).keys()


def test_two_charts_stand_side_by_side(many: dict[str, list[Any]]) -> None:
    assert len(shown(many["side-by-side"], "image/png")) > 5_000


def test_the_server_s_log_settles_what_the_pc_suspects(many: dict[str, list[Any]]) -> None:
    assert "suspected  per_user_connection_limit" in shown(many["alone"], "text/plain")
    assert "confirmed  per_user_connection_limit" in shown(many["with-log"], "text/plain")


def test_only_what_was_put_to_the_test_is_fixed(many: dict[str, list[Any]]) -> None:
    assert shown(many["fixed"], "text/plain").startswith("fixed ")
    assert ">FIXED<" in shown(many["fixed"], "text/html")
    assert shown(many["unsettled"], "text/plain").startswith("unsettled ")
    assert "at most 12 sessions at once, where 16 met the limit" in shown(many["unsettled"], "text/html")
    table = shown(many["new"], "text/html")
    assert table.index("bad_credentials") < table.index("per_user_connection_limit")
