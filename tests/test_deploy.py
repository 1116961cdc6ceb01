"""The files that deploy: what they ask for is there."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer

from analyzer.cli import app

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "docs" / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    there = tmp_path / unit.name.replace("@", "@srv-captures")
    program = shutil.which("true") or "/bin/true"
    there.write_text(unit.read_text().replace("/opt/mailscope/bin/mailscope", program))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(there)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_command_of_a_unit_is_ours(unit: Path) -> None:
    started = re.search(r"^ExecStart=/opt/mailscope/bin/mailscope (\w+) (.*)$", unit.read_text(), re.MULTILINE)
    assert started
    verb, words = started.groups()
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    if verb not in commands:
        pytest.skip(f"there is no verb {verb} here")
    known = {name for parameter in commands[verb].params for name in parameter.opts}
    assert {word for word in words.split() if word.startswith("--")} <= known


def test_the_image_installs_what_there_is() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    (asked,) = re.findall(r"'\.\[(.*?)\]'", text)
    if "serve" not in extras:
        pytest.skip("there is no extra serve here")
    assert set(asked.split(",")) <= extras
    assert all(
        (ROOT / name).exists()
        for line in re.findall(r"^COPY (?!--)(.*)", text, re.MULTILINE)
        for name in line.split()[:-1]
    )
    assert re.search(r"^USER 65532", text, re.MULTILINE)
