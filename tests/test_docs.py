"""The README and the pages under docs/ say what is so: their commands run, their Python runs, their links lead somewhere.

Conventions: in a ``console`` block every line ``$ mailscope ...`` is run in a folder that holds ``sample_pcaps``. It ends
with a documented status, or with the one named behind it (``$ mailscope x.pcap   # status 11``). Lines below it, up to the
next command, are its output: each must be found there, in this order; a line of three dots stands for any number of lines.
All ``python`` blocks of one page run one after the other in one namespace.
"""

import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from analyzer.cli import VERBS
from analyzer.remedies import lint
from analyzer.rules import retake
from analyzer.rules.signatures import CAUSES, limit_in, read_signatures

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGES.md", ROOT / "sample_pcaps/README.md", *(ROOT / "docs").rglob("*.md")]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"``.*?``|`[^`]*`")
HEADING = re.compile(r"^#+ (.*?)\s*$", re.MULTILINE)
NO_SLUG = re.compile(r"[^\w\- ]")
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


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to work in, with the sample captures and a store of cases."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "sample_pcaps").symlink_to(ROOT / "sample_pcaps", target_is_directory=True)
    assert run("mailscope triage sample_pcaps/server_side_limit.pcap --store cases.db", folder).returncode == 10
    return folder


@cache
def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a command did; pages that show the same command share one run."""
    program, *arguments = shlex.split(command)
    assert program == "mailscope"
    return subprocess.run(
        [sys.executable, "-m", "analyzer", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "statuses", "shown"), consoles(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_command_of_the_pages_runs(desk: Path, command: str, statuses: set[int], shown: list[str]) -> None:
    done = run(command, desk)
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


def broken(page: Path) -> list[str]:
    """The links of a page that lead to no file, or to no heading of it; links to other sites are not followed."""
    targets = LINK.findall(CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8"))))
    return [target for target in targets if not target.startswith(("https://", "mailto:")) and not leads(page, target)]


def leads(page: Path, target: str) -> bool:
    """Whether a link written in a page has an end."""
    name, _, anchor = target.partition("#")
    there = page.parent / name if name else page
    return there.exists() and (not anchor or anchor in anchors(there))


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub does it: a name taken already gets a number."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    found = [NO_SLUG.sub("", heading.lower()).replace(" ", "-") for heading in headings]
    return {f"{x}-{before}" if (before := found[:n].count(x)) else x for n, x in enumerate(found)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_seen(tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_text("# Fix `it`, now\n\n## Twice\n\n```sh\n# no heading\n```\n\n## Twice\n", encoding="utf-8")
    page = tmp_path / "page.md"
    good = "[a](other.md) [b](other.md#fix-it-now) [c](other.md#twice-1) [d](#here) [e](https://example.com/x)"
    bad = "[f](gone.md) [g](other.md#gone) [h](#there) [i](other.md#no-heading) [j](other.md#twice-2)"
    page.write_text(f"# Here\n\n{good}\n{bad}\n`[k](code.md)`\n", encoding="utf-8")
    assert broken(page) == ["gone.md", "other.md#gone", "#there", "other.md#no-heading", "other.md#twice-2"]


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            targets = [x.partition("#")[0] for x in LINK.findall(page.read_text(encoding="utf-8"))]
            waiting += [(page.parent / x).resolve() for x in targets if x and "://" not in x]
    assert [page.name for page in PAGES if page not in reached] == []


def test_the_reference_is_what_the_code_says() -> None:
    """When this fails: python docs/make_reference.py, and look at what changed."""
    made = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))["pages"]()
    kept = {page.name: page.read_text(encoding="utf-8") for page in REFERENCE.iterdir()}
    assert sorted(made) == sorted(kept)
    assert [name for name in made if made[name] != kept[name]] == [], "stale: run python docs/make_reference.py"


def test_the_reference_holds_what_the_code_has() -> None:
    """Not made from the code that makes it."""
    commands = (REFERENCE / "commands.md").read_text(encoding="utf-8")
    assert "| `-o, --output FILE` | Write a .html" in commands
    assert "| `--engine` | " in commands
    assert "| `auto`, `native`, `tshark` | `auto` |" in commands
    assert anchors(REFERENCE / "commands.md") >= {f"mailscope-{verb}" for verb in VERBS}
    assert anchors(REFERENCE / "causes.md") >= CAUSES
    sources = [
        *(ROOT / "analyzer/rules/catalogue").glob("[a-z]*.py"),
        *(ROOT / "analyzer/rules/habits").glob("[a-z]*.py"),
    ]
    assert len(anchors(REFERENCE / "rules.md")) == 1 + len(sources)
    assert "| `decided_frame` | integer or null |" in (REFERENCE / "schema.md").read_text(encoding="utf-8")
    assert "| `decided` | `At \\| None` |" in (REFERENCE / "fields.md").read_text(encoding="utf-8")


def test_the_page_on_capturing_has_the_commands_that_a_report_prints() -> None:
    page = (ROOT / "docs" / "capturing-on-windows.md").read_text(encoding="utf-8")
    lines = page.splitlines()
    printed = [x.partition(": ")[2].partition("   (")[0] for x in retake.commands("198.51.100.10", [143])]
    assert len(printed) == 4
    assert [x for x in printed if x not in lines] == []


def test_the_entries_shown_to_copy_are_accepted() -> None:
    phrase, remedy = [tomllib.loads(text) for text in blocks(ROOT / "docs" / "extending.md", "toml")]
    (signature,) = read_signatures(phrase, "extending.md")
    assert signature.search("NO [LIMIT] Too many sessions for this mailbox (20)")
    assert limit_in("NO Too many sessions for this mailbox (20)", signature) == 20
    assert not signature.search("NO Too many messages for this mailbox (20)")
    assert lint(remedy["remedy"]) == []


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
