"""The house rules, each a test that can fail and a planted violation that shows it does."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests import house

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "analyzer"
RECORDS = (
    "at.py",
    "capture/packets.py",
    "streams/connection.py",
    "sessions/accounts.py",
    "sessions/coverage.py",
    "sessions/session.py",
    "sessions/records/record.py",
    "rules/finding.py",
    "report/result.py",
    "triage/batch.py",
    "triage/baseline.py",
    "triage/case.py",
    "triage/gather.py",
    "triage/row.py",
    "triage/unpacked.py",
    "comparison.py",
    "triage/incidents.py",
    "protocols/certificate.py",
    "report/probed.py",
)
PLAIN = frozenset({
    "client", "client_port", "server", "server_port", "sport", "dport", "dst", "frame", "ts", "at", "start", "end",
    "first_frame", "last_frame", "client_bytes", "server_bytes", "missed_bytes", "retransmits", "duplicates", "one_sided",
    "syn_count", "syn_at", "syn_ack_at", "established_at", "fin_by", "fin_at", "reset_at", "greeting_at", "bye_at",
    "side", "ack", "cause", "confidence", "verdict", "accounts", "clients", "protocol", "capture", "outcome", "logins",
    "status", "code", "text", "after_login", "facts", "flags", "unreachable_frame", "last_verb", "subject",
    "buffer", "unreachable", "stopped", "reason", "title", "path", "name",
    "logins_accepted", "logins_refused", "captures", "sessions", "rows", "incidents", "order", "finding",
    "sha256", "format", "link_types", "quality", "warnings", "id", "size_bytes", "state",
})  # fmt: skip
"""Field names that say all there is to say; every other field has its sentence."""
KEPT = {".py", ".md", ".toml", ".ipynb", ".txt", ".html", ".css", ".json", ".csv", ".svg", ""}
"""Suffixes of the project's own text files."""
SKIPPED = {".git", ".hypothesis", ".venv", "__pycache__", "build", "dist", "node_modules"}

Check = Callable[[str, str], Iterator[str]]
FIELDS: Check = partial(house.undocumented_fields, plain=PLAIN)


def sources() -> list[tuple[str, str]]:
    """Every module of the package: path relative to it, and text."""
    paths = sorted(PACKAGE.rglob("*.py"))
    assert len(paths) > 10
    return [(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def texts() -> Iterator[Path]:
    """Every text file of the project itself."""
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        own = not SKIPPED.intersection(parts) and not any(part.endswith(("_cache", ".egg-info")) for part in parts)
        if own and path.is_file() and path.suffix in KEPT:
            yield path


@pytest.mark.parametrize(
    "check", [house.upward, house.eager, house.undocumented, house.clocks, house.connections, house.prints]
)
def test_the_package_keeps_the_rule(check: Check) -> None:
    assert [wrong for path, source in sources() for wrong in check(path, source)] == []


@pytest.mark.parametrize("path", RECORDS)
def test_record_fields_are_documented(path: str) -> None:
    assert list(FIELDS(path, (PACKAGE / path).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("check", "path", "source", "count"),
    [
        pytest.param(house.upward, "streams/flows.py", "from analyzer.sessions.fold import fold", 1, id="up"),
        pytest.param(house.upward, "streams/flows.py", "def f():\n    import analyzer.cli", 1, id="up, hidden"),
        pytest.param(house.upward, "streams/flows.py", "from analyzer import report", 1, id="up, by name"),
        pytest.param(house.upward, "rules/engine.py", "from analyzer import read", 1, id="up, the facade"),
        pytest.param(house.upward, "rules/engine.py", "import analyzer", 1, id="up, the package"),
        pytest.param(house.upward, "rules/engine.py", "from analyzer import __version__", 0, id="the version"),
        pytest.param(house.upward, "capture/pcap.py", "from analyzer.protocols import Imap", 1, id="strangers"),
        pytest.param(
            house.upward, "remedies/capacity.py", "from analyzer.rules.finding import Finding", 1, id="strangers 2"
        ),
        pytest.param(house.upward, "rules/engine.py", "from .. import cli", 1, id="relative"),
        pytest.param(house.upward, "rules/engine.py", "from analyzer.sessions.session import Session", 0, id="down"),
        pytest.param(house.upward, "rules/engine.py", "from analyzer.rules.finding import Finding", 0, id="level"),
        pytest.param(house.upward, "rules/engine.py", "import analyzers, json", 0, id="others"),
        pytest.param(house.eager, "capture/walk.py", "import numpy as np", 1, id="numpy"),
        pytest.param(
            house.eager, "capture/walk.py", "try:\n    import pandas.core\nexcept ImportError:\n    pass", 1, id="try"
        ),
        pytest.param(house.eager, "capture/walk.py", "class A:\n    from rich import print", 1, id="class"),
        pytest.param(house.eager, "capture/walk.py", "def f():\n    import numpy", 0, id="function"),
        pytest.param(house.eager, "capture/walk.py", "if TYPE_CHECKING:\n    import numpy", 0, id="types"),
        pytest.param(house.eager, "cli.py", "import typer", 0, id="typer"),
        pytest.param(house.eager, "report/cli.py", "import typer", 1, id="typer elsewhere"),
        pytest.param(house.undocumented, "a.py", "def f(): ...\nclass A:\n    def g(self): ...", 4, id="nothing said"),
        pytest.param(house.undocumented, "a.py", '"""A."""\ndef _f(): ...', 0, id="private"),
        pytest.param(house.clocks, "rules/a.py", "import time", 1, id="time"),
        pytest.param(house.clocks, "rules/a.py", "x = datetime.now(UTC)", 1, id="now"),
        pytest.param(house.clocks, "rules/a.py", "from urllib.request import urlopen", 1, id="network"),
        pytest.param(house.clocks, "rules/a.py", "x = datetime.fromtimestamp(0, UTC)", 0, id="a time from the capture"),
        pytest.param(house.clocks, "triage/a.py", "import time", 0, id="above"),
        pytest.param(house.connections, "analysis.py", "import ssl", 1, id="tls"),
        pytest.param(house.connections, "cli.py", "s = socket.socket()", 1, id="connection"),
        pytest.param(house.connections, "probe.py", "import ssl\ns = socket.socket()", 0, id="the probe's own"),
        pytest.param(house.connections, "cli.py", "import socket\ns = socket.inet_ntop(1, b)", 0, id="no connection"),
        pytest.param(house.connections, "cli.py", "s = socket.socket(fileno=3)", 0, id="an end that was handed over"),
        pytest.param(house.prints, "rules/a.py", "print(1)", 1, id="print"),
        pytest.param(house.prints, "rules/a.py", "console.print(1)", 0, id="console"),
        pytest.param(house.prints, "cli.py", "print(1)", 0, id="print in cli"),
        pytest.param(FIELDS, "a.py", "class A:\n    strange: int\n    ts: int\n    b: int\n    'Said.'", 1, id="field"),
        pytest.param(FIELDS, "a.py", "class A:\n    strange: int", 1, id="last field"),
    ],
)
def test_a_planted_violation_is_caught(check: Check, path: str, source: str, count: int) -> None:
    assert len(list(check(path, source))) == count


def test_every_file_has_a_floor() -> None:
    assert {house.floor_of(path) for path, _ in sources()} <= house.FLOORS.keys()


def test_no_file_is_named_after_nothing() -> None:
    named = {part for path, _ in sources() for part in Path(path).with_suffix("").parts}
    assert named & house.BANNED_NAMES == set()


@pytest.mark.parametrize("module", ["analyzer", "analyzer.cli", "analyzer.analysis"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    allowed = house.HEAVY_ALLOWED["cli.py"] if module == "analyzer.cli" else set()
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert loaded & house.HEAVY - allowed == set()


def test_no_path_of_this_machine_is_in_a_file() -> None:
    places = {str(place) for place in (ROOT, Path.home(), Path(sys.prefix))}
    pattern = re.compile("|".join(rf"{re.escape(place)}(?=[/\\])" for place in places if len(Path(place).parts) > 1))
    found = [path for path in texts() if pattern.search(path.read_text(encoding="utf-8", errors="replace"))]
    assert [path.relative_to(ROOT).as_posix() for path in found] == []


def test_every_verb_has_help_and_is_named_in_the_readme() -> None:
    import typer

    from analyzer.cli import app

    commands = typer.main.get_command(app).commands
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name, command in commands.items() if not command.hidden and not command.help] == []
    unnamed = [name for name, command in commands.items() if not command.hidden and f"mailscope {name}" not in readme]
    assert unnamed == []


def test_the_version_is_told_once() -> None:
    import tomllib

    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert re.search(rf"^## {re.escape(told)}\b", (ROOT / "CHANGES.md").read_text(encoding="utf-8"), re.MULTILINE)
