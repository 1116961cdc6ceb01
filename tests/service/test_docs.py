"""What docs/service.md shows to type is typed here, against a real service; what it says of options and tests is so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from analyzer.service.identity import add_token
from analyzer.service.settings import GIB, Limits
from analyzer.triage.isolated import isolated
from tests.service import test_checklist
from tests.service.served import SAMPLES, Served, until
from tests.test_docs import blocks

PAGE = Path(__file__).parents[2] / "docs" / "service.md"


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="curl is not installed")
def test_the_requests_of_the_page_are_answered(tmp_path: Path) -> None:
    token = add_token(tmp_path / "tokens", "ann")
    for name in ("healthy.pcap", "server_side_limit.pcap"):
        shutil.copy(SAMPLES / name, tmp_path)
    shown = [text for text in blocks(PAGE, "sh") if "curl" in text]
    assert len(shown) == 3
    with Served(tmp_path, isolated, tokens=tmp_path / "tokens") as service:
        words = {"TOKEN": token, "MAILSCOPE": service.address, "ID": ""}
        headers = {"authorization": f"Bearer {token}"}
        for text in shown:
            done = subprocess.run(
                ["bash", "-ec", text],
                cwd=tmp_path,
                env={**os.environ, **words},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, text + done.stdout + done.stderr
            until(lambda: service.ask("GET", "/api/status", headers=headers).json["waiting"] == 0, 40)
            every = service.ask("GET", "/api/captures", headers=headers).json["captures"]
            words["ID"] = next((one["id"] for one in every if one["name"] == "server_side_limit.pcap"), "")
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (tmp_path / "proof.pcapng").read_bytes()[:4] == b"\n\r\r\n"
    assert "mailscope-capture:" in done.stdout


def test_every_risk_of_the_page_has_its_tests() -> None:
    text = PAGE.read_text("utf-8")
    numbers = [int(n) for n in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert numbers == list(range(1, 25))
    tests = [name for name in vars(test_checklist) if name.startswith("test_")]
    for prefix in re.findall(r"`(test_\d+_(?:to_\d+_)?)`", text):
        assert any(name.startswith(prefix) for name in tests), prefix
    for name in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (PAGE.parents[1] / name).is_file(), name


def test_the_limits_of_the_page_are_the_real_ones() -> None:
    limits, text = Limits(), PAGE.read_text("utf-8")
    for shown in (
        f"--upload-gib {limits.upload_bytes // GIB}`",
        f"--quota-gib {limits.quota_bytes // GIB}`",
        f"--free-gib {limits.free_bytes // GIB}`",
        f"--keep-days {limits.keep_days:g}`",
    ):
        assert shown in text
