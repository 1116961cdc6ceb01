"""The benchmarks themselves are not run here; that their captures hold what they say is."""

from pathlib import Path

import pytest

from analyzer.analysis import read
from analyzer.capture import open_capture
from tests.benchmarks import captures
from tests.benchmarks.draw import draw


@pytest.mark.parametrize("kind", captures.KINDS)
def test_a_capture_holds_what_it_says(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.cap"
    truth = captures.make(kind, path, 1)
    capture = open_capture(path)
    mail = sum(len(window) for window in capture.windows())
    result = read(path).result
    refused = sum(login.outcome == "refused" for login in result.logins)
    assert captures.Truth(capture.facts.packets, mail, len(result.sessions), refused) == truth
    assert truth.refused > 0


def test_the_picture(tmp_path: Path) -> None:
    row = {"cpu_s": 1.0, "ratio": 1.0, "peak_mb": 9.0, "scaled": False}
    tools = {"cat": row | {"ratio": 0.3}, "mailscope, verdict": row | {"ratio": 4.0}, "x": row | {"scaled": True}}
    made = draw({"mixed": {"size_bytes": 10**9, "tools": tools}}, tmp_path / "a.png")
    assert made.read_bytes().startswith(b"\x89PNG")
