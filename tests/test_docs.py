"""The README and the pages under docs/ say what is so: their commands run, their Python runs, their links lead somewhere.

Conventions: in a ``console`` block every line ``$ mailscope ...`` is run in a folder that holds ``sample_pcaps``. It ends
with a documented status, or with the one named behind it (``$ mailscope x.pcap   # status 11``). Lines below it, up to the
next command, are its output: each must be found there, in this order; a line of three dots stands for any number of lines.
All ``python`` blocks of one page run one after the other in one namespace.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGES.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
STATUS = re.compile(r"\s+# status (\d+)$")
DOCUMENTED = {0, 3, 10, 11}


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [text for word, text in FENCE.findall(page.read_text(encoding="utf-8")) if word == language]


def commands(text: str) -> Iterator[tuple[str, set[int], list[str]]]:
    """Yield each command of a console block, the statuses it may end with, and the output lines shown below it."""
    for piece in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        first, *shown = piece.rstrip().splitlines()
        status = STATUS.search(first)
        wanted = [line.strip() for line in shown if line.strip() not in {"", "..."}]
        yield STATUS.sub("", first), {int(status[1])} if status else DOCUMENTED, wanted


def consoles() -> list[tuple[str, set[int], list[str]]]:
    """Every console command of every page."""
    return [command for page in PAGES for text in blocks(page, "console") for command in commands(text)]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder to work in, with the sample captures."""
    (tmp_path / "sample_pcaps").symlink_to(ROOT / "sample_pcaps", target_is_directory=True)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "statuses", "shown"), consoles(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_command_of_the_pages_runs(desk: Path, command: str, statuses: set[int], shown: list[str]) -> None:
    program, *arguments = shlex.split(command)
    assert program == "mailscope"
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", *arguments],
        cwd=desk,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in statuses, done.stderr
    assert "Traceback" not in done.stderr
    told = iter([line.strip() for line in done.stdout.splitlines()])
    assert [line for line in shown if line not in told] == [], done.stdout


def test_the_readme_shows_commands_and_python() -> None:
    assert len(consoles()) >= 5
    assert blocks(ROOT / "README.md", "python")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Path, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    names: dict[str, object] = {}
    for number, text in enumerate(blocks(page, "python")):
        exec(compile(text, f"{page.name}, block {number}", "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target.partition("#")[0] for target in LINK.findall(page.read_text(encoding="utf-8"))]
    local = [target for target in targets if target and not target.startswith(("https://", "mailto:"))]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_what_the_conventions_catch() -> None:
    text = "$ mailscope a  # status 11\nfirst\n...\nlast\n$ mailscope b\n"
    assert list(commands(text)) == [("mailscope a", {11}, ["first", "last"]), ("mailscope b", DOCUMENTED, [])]


def test_the_readme_names_the_tests_own_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    steps = [
        line.removeprefix('say "').removesuffix('"') for line in ci() if line.startswith('say "') and ".venv" in line
    ]
    assert len(steps) == 3
    assert " && ".join(steps) in readme


def ci() -> list[str]:
    """Lines of the automatic check."""
    return (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
