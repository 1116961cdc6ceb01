"""No secret in any output: passwords planted in every mechanism, then every form of output searched for them."""

import base64
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pyarrow import parquet
from typer.testing import CliRunner

import analyzer
from analyzer.at import Side
from analyzer.cli import app
from analyzer.report import RENDERERS
from analyzer.report.dialogue import Dialogue
from analyzer.triage.batch import triage
from analyzer.triage.case import Filter
from analyzer.triage.store import Store
from analyzer.triage.table import FORMATS, render
from tests.transcript import PLANTED, Transcript, load_all
from tests.wire import Wire

PORTS = {"imap": 143, "pop3": 110, "smtp": 25}
FORMS = sorted(
    {
        PLANTED,
        PLANTED.encode().hex(),
        *(base64.b64encode(b" " * n + PLANTED.encode()).decode()[4 : (n and -4) or None].strip("=") for n in range(3)),
    }
)
"""The secret as it could show: plain, hexadecimal, and base64 at each of its three alignments (the sure middle part)."""
SAYING = tuple(t for protocol in PORTS for t in load_all(protocol))
VERBS = (["report"], ["report", "--format", "json"], ["sessions"], ["logins"], ["accounts"])


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One capture with every transcript as a connection of its own."""
    wire = Wire(seed=1)
    for number, transcript in enumerate(SAYING):
        host = f"192.0.2.{number % 250 + 1}"
        port = PORTS[transcript.protocol]
        wire.dialogue(transcript.steps, host, "198.51.100.10", at_ms=100.0 * number, port=port, sport=40_000 + number)
    path = tmp_path_factory.mktemp("secrets") / "all.pcap"
    wire.save(path)
    return path


def leaks(text: str) -> list[str]:
    return [form for form in FORMS if form and form in text]


def test_the_secret_really_is_in_the_capture(capture: Path) -> None:
    octets = capture.read_bytes()
    assert len(SAYING) > 20
    assert sum(octets.count(form.encode()) for form in FORMS) > 20
    assert any(side is Side.CLIENT for t in SAYING for side, _ in t.steps)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_no_verb_shows_it(capture: Path, verb: list[str]) -> None:
    ended = CliRunner().invoke(app, [*verb, str(capture)])
    assert ended.exit_code in {0, 10, 11}
    assert leaks(ended.output) == []


def test_debugging_shows_it_neither(capture: Path, tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "analyzer", "-v", "report", str(capture), str(tmp_path / f"{PLANTED[:3]}.pcap")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no such file" in told.stderr
    assert leaks(told.stdout + told.stderr) == []


def test_no_dialogue_shows_it(capture: Path) -> None:
    case = analyzer.read(capture)
    told = [str(line) for s in case.result.sessions for line in case.dialogue(s.uid)]
    assert len(told) > 100
    assert leaks("\n".join(told)) == []


@pytest.mark.parametrize("suffix", [".json", ".txt", ".csv", ".svg", ".html", ".md"])
def test_no_file_holds_it(capture: Path, tmp_path: Path, suffix: str) -> None:
    path = analyzer.read(capture).save(tmp_path / f"case{suffix}")
    assert leaks(path.read_text("utf-8")) == []


def test_no_packed_table_holds_it(capture: Path) -> None:
    result = analyzer.read(capture).result
    with zipfile.ZipFile(io.BytesIO(RENDERERS[".xlsx"](result))) as book:
        assert leaks("".join(book.read(x).decode() for x in book.namelist())) == []
    table = parquet.read_table(io.BytesIO(RENDERERS[".parquet"](result)))
    assert leaks(f"{table.to_pylist()} {table.schema.metadata}") == []


def test_no_dialogue_of_a_page_shows_it(capture: Path) -> None:
    case = analyzer.read(capture)
    told = tuple(Dialogue(s.capture, s.uid, tuple(case.dialogue(s.uid))) for s in case.result.sessions[:40])
    for first in range(0, len(told), 4):
        text = RENDERERS[".html"](case.result._replace(dialogues=told[first : first + 4])).decode()
        assert "What client and server said" in text
        assert leaks(text) == []


def test_no_table_card_or_repr_holds_it(capture: Path) -> None:
    case = analyzer.read(capture)
    shown = [
        repr(case),
        case._repr_html_(),
        repr(case.findings),
        repr(case.result),
        case.sessions.to_csv(),
        case.logins.to_csv(),
    ]
    assert leaks("\n".join(shown)) == []


def test_no_error_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "pasted.txt"
    path.write_text(f"a1 login u {PLANTED}\n")
    assert leaks(CliRunner().invoke(app, ["report", str(path)]).output) == []


def test_every_mechanism_is_among_them() -> None:
    said = {fact for t in SAYING for fact in _mechanisms(t)}
    assert {"LOGIN", "PLAIN", "CRAM-MD5", "DIGEST-MD5", "NTLM", "XOAUTH2", "OAUTHBEARER", "USER", "APOP"} <= said


def _mechanisms(transcript: Transcript) -> list[str]:
    return [str(login.get("mechanism")) for login in transcript.logins]


def test_no_store_and_no_triage_shows_it(capture: Path, tmp_path: Path) -> None:
    where = tmp_path / "cases.db"
    result = triage([capture, capture], store=where)
    for style in FORMATS:
        octets = render(result, style, terminal=False)
        text = str(parquet.read_table(io.BytesIO(octets)).to_pylist()) if style == "parquet" else octets.decode()
        assert leaks(text) == [], style
    with Store.open(where) as store:
        (case,) = store.captures(Filter(None))
        document = store.document(case.id, None)
    assert document is not None
    assert len(document["logins"]) > 20
    assert leaks(json.dumps(document)) == []
    for file in tmp_path.iterdir():
        assert leaks(file.read_bytes().decode("latin-1")) == [], file.name
