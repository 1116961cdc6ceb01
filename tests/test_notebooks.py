"""The notebooks run from top to bottom, show what their text says, and are kept without outputs."""

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FIRST_LOOK = ROOT / "notebooks" / "01_first_look.ipynb"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def load(path: Path) -> Any:
    import nbformat

    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def first_look() -> dict[str, list[Any]]:
    """Outputs of the executed notebook, by cell id."""
    from nbclient import NotebookClient

    notebook = load(FIRST_LOOK)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(FIRST_LOOK.parent)}})
        client.execute()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


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
