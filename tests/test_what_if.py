"""The replay as a user meets it: the option, the facade, the JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import analyzer
from analyzer.errors import AnalyzerError

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample_pcaps" / "server_side_limit.pcap"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analyzer", "report", str(SAMPLE), *words],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_screen_answers_what_a_limit_would_have_spared() -> None:
    shown = " ".join(run("--what-if", "20").stdout.split())
    assert "what if account uccx-mail on 198.51.100.10, a limit of 20: 46 of 76 refusals spared" in shown
    assert "the smallest limit that spares all is 24" in shown


def test_the_json_has_the_same() -> None:
    (row,) = json.loads(run("--what-if", "24", "--format", "json").stdout)["what_if"]
    assert (row["limit"], row["refused"], row["spared"], row["lost"], row["enough"]) == (24, 76, 76, 0, 24)
    assert json.loads(run("--format", "json").stdout)["what_if"] is None


def test_the_facade_asks_the_same() -> None:
    analysis = analyzer.read(SAMPLE)
    assert [x.spared for x in analysis.what_if(limit=32)] == [76]
    with pytest.raises(AnalyzerError, match="nobody"):
        analysis.what_if(limit=0)
