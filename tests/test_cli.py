from __future__ import annotations

import csv
import gzip
import json
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from analyzer import cli
from analyzer.analysis import Analysis
from analyzer.at import Side
from analyzer.errors import AnalyzerError, RuleError, UnknownFormat
from analyzer.rules.finding import Verdict
from tests import frames
from tests.records import capture_seen, finding, full_house, one_pc, result
from tests.wire import Wire

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample_pcaps"
ONE = SAMPLES / "one_agent_refused.pcap"
LIMIT = SAMPLES / "server_side_limit.pcap"
HEALTHY = SAMPLES / "healthy.pcap"


class Ended(NamedTuple):
    """How a run of the command line ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> Ended:
        with pytest.raises(SystemExit) as end:
            cli.main([str(x) for x in words])
        assert isinstance(end.value.code, int)
        return Ended(end.value.code, *capfd.readouterr())

    return call


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Let every reading give this result, or raise this error."""

    def put(given: Any) -> None:
        def read(*paths: Path, **options: object) -> Analysis:
            if isinstance(given, BaseException):
                raise given
            return Analysis(given, paths, frozenset(), "auto")

        monkeypatch.setattr("analyzer.analysis.read", read)

    return put


@pytest.mark.parametrize(
    ("findings", "status"),
    [([Verdict.CONFIRMED], 10), ([Verdict.LIKELY], 10), ([Verdict.SUSPECTED], 11), ([], 0)],
)
def test_the_exit_status_tells_the_verdict(run: Run, answer: Any, findings: list[Verdict], status: int) -> None:
    answer(result(one_pc(), [finding(x) for x in findings]))
    assert run("x.pcap").status == status
    assert run("report", "x.pcap", "--format", "json").status == status
    assert run("x.pcap", "--exit-zero").status == 0


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (UnknownFormat("x: no capture", path="x", hint="give a pcap"), 3, "mailscope: x: no capture\n  give a pcap\n"),
        (
            AnalyzerError("--known a is not understood", hint="say b"),
            2,
            "mailscope: --known a is not understood\n  say b\n",
        ),
        (RuleError("bad.toml: check is missing", path="bad.toml"), 1, "mailscope: bad.toml: check is missing\n"),
        (KeyError("boom"), 1, "mailscope: a bug of ours: KeyError: 'boom'\n  --debug shows where; please report it.\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_one_sentence_and_a_hint(
    run: Run, answer: Any, error: BaseException, status: int, says: str
) -> None:
    answer(error)
    assert run("x.pcap") == Ended(status, "", says)


@pytest.mark.parametrize("flag", ["--debug", "-v"])
def test_debug_lets_the_traceback_out(answer: Any, flag: str) -> None:
    answer(KeyError("boom"))
    with pytest.raises(KeyError):
        cli.main(["x.pcap", flag])


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], []),
        (["a.pcap"], ["report", "a.pcap"]),
        (["--format", "json", "a.pcap"], ["report", "--format", "json", "a.pcap"]),
        (["report", "a.pcap"], ["report", "a.pcap"]),
        (["triage", "d"], ["triage", "d"]),
        (["--help"], ["--help"]),
        (["-h"], ["-h"]),
    ],
)
def test_a_capture_alone_is_reported(words: list[str], wanted: list[str]) -> None:
    assert cli.arguments(words) == wanted


def test_every_verb_is_known_to_the_short_form_and_has_help(run: Run) -> None:
    import typer

    names = set(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]
    assert names == set(cli.VERBS)
    for name in names:
        ended = run(name, "--help")
        assert ended.status == 0
        assert "Usage: mailscope" in ended.out


@pytest.mark.parametrize(
    "words",
    [
        ["report"],
        ["report", "x", "--format", "xml"],
        ["report", "x", "--port", "0"],
        ["chart", "x"],
        ["dialogue", str(ONE)],
        ["chart", str(ONE), "-o", "x.png", "--kind", "delays", "--by", "client"],
        ["chart", str(ONE), "-o", "x.png", "--by", "words"],
        ["explain", str(ONE), "x"],
        ["explain", str(ONE), "no.pcap:1"],
        ["rules", "nothing"],
        ["fields", "nothing"],
        ["remedy", "nothing"],
        ["explain", "x"],
        ["redact", "x"],
        ["evidence", "x"],
        ["report", "x", "--known", "nonsense"],
        ["report", "x", "--nonsense"],
    ],
)
def test_wrong_usage_is_status_two_and_silent_on_standard_output(run: Run, words: list[str]) -> None:
    ended = run(*words)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err
    assert "Traceback" not in ended.err


def test_a_real_capture_is_reported(run: Run) -> None:
    ended = run(LIMIT)
    assert ended.status == 10
    assert "per-user connection throttling" in ended.out
    assert ended.err == ""
    assert max(map(len, ended.out.splitlines())) <= 80
    assert run(ONE).status == 11
    assert run(HEALTHY).status == 0


def test_json_is_the_contract_and_the_same_each_time(run: Run) -> None:
    first, second = run(LIMIT, "--format", "json"), run("report", LIMIT, "--format", "json")
    assert first == second
    made = json.loads(first.out)
    assert made["conclusion"]["cause"] == "per_user_connection_limit"
    assert made["captures"][0]["name"] == LIMIT.name
    assert str(SAMPLES) not in first.out


def test_the_report_goes_to_every_file_named(run: Run, tmp_path: Path) -> None:
    paths = [tmp_path / f"case{x}" for x in (".json", ".txt", ".csv", ".png", ".svg")]
    ended = run(LIMIT, *(x for path in paths for x in ("-o", path)))
    assert (ended.status, ended.out, ended.err) == (10, "", "")
    assert all(x.stat().st_size for x in paths)
    assert json.loads(paths[0].read_bytes())["schema_version"] == 1


@pytest.mark.parametrize("name", ["case.docx", "no/such/folder/case.json"])
def test_what_cannot_be_written_is_said(run: Run, tmp_path: Path, name: str) -> None:
    ended = run(LIMIT, "-o", tmp_path / name)
    assert ended.status == 2
    assert ended.err.startswith("mailscope: ")


@pytest.mark.parametrize("name", ["sessions", "logins", "accounts"])
def test_tables_come_as_text_csv_and_json(run: Run, name: str) -> None:
    text, comma, made = (run(name, LIMIT, "--format", x) for x in ("text", "csv", "json"))
    rows = json.loads(made.out)
    assert (text.status, comma.status, made.status) == (0, 0, 0)
    assert len(list(csv.DictReader(comma.out.splitlines()))) == len(rows) > 0
    assert len(text.out.splitlines()) == len(rows) + 2
    assert text.out.splitlines()[0].endswith(", times in UTC")


def test_a_dialogue_is_told_line_by_line(run: Run) -> None:
    uid = json.loads(run("sessions", ONE, "--format", "json").out)[0]["uid"]
    ended = run("dialogue", ONE, "--session", uid)
    assert ended.status == 0
    assert "Exchange IMAP4 service" in ended.out
    assert "client                    server" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "\x1b" not in ended.out
    missing = run("dialogue", ONE, "--session", "C999")
    assert missing.status == 2
    assert "C999" in missing.err


def test_of_several_captures_one_is_named(run: Run) -> None:
    full = SAMPLES / "server_full.pcap"
    ended = run("dialogue", ONE, full, "--session", f"{full.name}:C2")
    assert ended.out.splitlines()[0] == full.name
    assert ended.out.splitlines()[1:] == run("dialogue", full, "--session", "C2").out.splitlines()
    assert run("dialogue", ONE, full, "--session", "C2").out.splitlines()[0] == ONE.name
    for name in (full.name, full):  # the path does as well as the name
        assert run("explain", ONE, full, f"{name}:19").out == run("explain", full, 19).out
    assert f"frame 19 of {ONE.name}" in run("explain", ONE, full, 19).out


def test_a_session_alone_needs_no_name(run: Run, tmp_path: Path) -> None:
    wire = Wire(seed=5)
    talk = wire.conversation("192.0.2.11", "198.51.100.10").open()
    talk.say(Side.SERVER, b"* OK ready\r\n", think_ms=5)
    alone = frames.save(tmp_path / "alone.pcap", wire.frames(), frames.Look())
    assert "* OK ready" in run("dialogue", alone).out
    ended = run("dialogue", ONE)
    assert (ended.status, ended.out) == (2, "")
    assert "--session with one of C1, C2, " in ended.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["explain", str(ONE), "x"], "mailscope explain CAPTURE 12"),
        (["explain", str(ONE), "0" * 40], "must be a frame number"),
        (["explain", str(ONE), "no.pcap:1"], f"the captures are {ONE.name}"),
        (["explain", str(ONE), "99999"], "its frames are 1 to 758"),
        (["dialogue", str(ONE), "--session", "C999"], "the sessions are C1, C2"),
        (["dialogue", str(ONE), "--session", "no.pcap:C1"], f"the captures are {ONE.name}"),
        (["chart", str(ONE), "-o", "x.png", "--by", "words"], "by is one of account, client, server"),
    ],
)
def test_an_error_says_what_to_type(run: Run, words: list[str], says: str) -> None:
    ended = run(*words)
    assert (ended.status, ended.out) == (2, "")
    assert says in ended.err


def test_a_frame_is_explained(run: Run) -> None:
    ended = run("explain", ONE, 19)
    assert (ended.status, ended.err) == (0, "")
    assert "proves  SUSPECTED per-user connection throttling" in ended.out
    assert run("explain", ONE, 99_999).status == 2


def test_why_a_cause_was_not_claimed(run: Run) -> None:
    ended = run("report", ONE, "--why-not", "per-user-connection-limit")
    assert ended.status == 11
    assert "           nobody was seen accepted" in ended.out
    assert run("report", ONE, "--why-not", "nonsense").status == 2
    assert run("report", HEALTHY, "--why-not", "bad-credentials").status == 0


def test_evidence_is_written_and_packed(run: Run, tmp_path: Path) -> None:
    proof, packed = tmp_path / "proof.pcapng", tmp_path / "proof.zip"
    assert run("evidence", ONE, "-o", proof, "--pack", packed) == Ended(0, "", "")
    assert proof.read_bytes().startswith(b"\x0a\x0d\x0d\x0a")
    with zipfile.ZipFile(packed) as archive:
        assert archive.read("evidence.pcapng") == proof.read_bytes()
        assert b"uccx-mail" in archive.read("report.json")
        assert ONE.name in archive.read("originals.json").decode()
    assert run("evidence", ONE).status == 2
    assert run("evidence", ONE, "-o", tmp_path / "no" / "folder").status == 2


def test_what_is_redacted_names_nobody(run: Run, tmp_path: Path) -> None:
    out, packed = tmp_path / "capture-1.pcap", tmp_path / "proof.zip"
    ended = run("redact", ONE, out, "--case", "4711")
    assert (ended.status, ended.out) == (0, "")
    assert ended.err == "758 frames, 758 of mail; of the others only time and length are left\n"
    told = run("report", "--redact", "--case", "4711", ONE)
    assert told.out == run("report", out).out
    assert (told.status, run("evidence", ONE, "--redact", "--pack", packed).status) == (11, 0)
    with zipfile.ZipFile(packed) as archive:
        held = [told.out.encode(), *(archive.read(name) for name in archive.namelist())]
    assert [x for x in held if b"uccx" in x or b"198.51.100.10" in x or ONE.name.encode() in x] == []
    assert run("report", "--redact", "--log", ONE, ONE).status == 2
    assert run("redact", out, out).status == 2


def test_a_chart_is_drawn(run: Run, tmp_path: Path) -> None:
    for by in ("account", "client", "server"):
        assert run("chart", LIMIT, "-o", tmp_path / f"{by}.png", "--by", by) == Ended(0, "", "")
        assert (tmp_path / f"{by}.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_read_is_named_and_status_three(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("this is no capture\n")
    ended = run(text)
    assert ended.status == 3
    assert "notes.txt" in ended.err
    assert "give the capture file itself" in ended.err
    assert ended.out == ""
    assert '"state": "not_a_capture"' in run(text, "--format", "json").out
    assert run(tmp_path / "missing.pcap").status == 3
    assert run("sessions", text).status == 3
    assert run("chart", text, "-o", tmp_path / "a.png").status == 3
    assert run("dialogue", text, "--session", "C1").status == 3
    assert run(LIMIT, text).status == 10


def test_what_is_known_from_elsewhere_is_heard(run: Run) -> None:
    made = json.loads(run(ONE, "--known", "credentials-verified", "--known", "others-working", "--format", "json").out)
    assert made["known"] == ["credentials-verified", "others-working"]


def test_a_remedy_is_printed_with_its_numbers(run: Run) -> None:
    ended = run("remedy", "per-user-connection-limit", "--server", "exchange-2010-sp2", "--agents", 20)
    assert ended.status == 0
    assert "Set-ImapSettings -Server <server> -MaxConnectionsPerUser 53" in ended.out
    for head in ("look first", "change", "restart", "look again", "undo", "risk", "notes", "source"):
        assert f"\n{head}\n" in ended.out
    assert "-MaxConnectionsPerUser <N>" in run("remedy", "per-user-connection-limit", "--server", "exchange").out


def test_rules_fields_schema_and_doctor_print_themselves(run: Run) -> None:
    rules = run("rules").out.splitlines()
    assert len(rules) > 10
    name = rules[0].split()[0]
    assert run("rules", name).out == run("rules", name.replace("-", "_")).out
    assert "Looks for" in run("rules", name).out
    assert "handshake_ms" in run("fields").out
    assert run("fields", "Login").out.startswith("login\n  capture ")
    assert json.loads(run("schema").out)["$schema"].endswith("2020-12/schema")
    assert "tshark" in run("doctor").out
    assert "isolates" in run("doctor").out
    assert run("--version").out.startswith("mailscope ")


def test_triage_gives_every_input_a_row(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no capture")
    ended = run("triage", HEALTHY, tmp_path, "--format", "json")
    made = json.loads(ended.out)
    assert [x["state"] for x in made["captures"]] == ["ok", "not_a_capture"]
    lines = run("triage", HEALTHY, "--format", "ndjson", "-j", 1).out.splitlines()
    assert [json.loads(x)["name"] for x in lines] == [HEALTHY.name]


def test_triage_keeps_its_answers_and_goes_on(run: Run, tmp_path: Path) -> None:
    store, page = tmp_path / "cases.db", tmp_path / "out.html"
    first = run("triage", HEALTHY, LIMIT, "--store", store)
    assert first.status == 10
    assert "per-user connection throttling" in first.out
    again = run("triage", HEALTHY, LIMIT, "--store", store, "--baseline", store, "-o", page, "-o", tmp_path / "out.csv")
    assert (again.status, again.out, again.err) == (10, "", "")
    assert "Per-user connection throttling" in page.read_text("utf-8")
    assert (tmp_path / "out.csv").read_text("utf-8").count("\n") == 3
    assert run("triage", HEALTHY, "--store", store, "--format", "html").out.startswith("<!DOCTYPE html>")


def test_triage_takes_patterns_and_addresses(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(HEALTHY.read_bytes())
    ended = run("triage", tmp_path / "*.pcap", "nosuch://host/b.pcap", "--format", "csv")
    assert [line.split(",")[0] for line in ended.out.splitlines()[1:]] == ["a.pcap", "nosuch://host/b.pcap"]
    assert ended.status == 3


def test_triage_says_what_is_wrong_with_a_store_or_a_file_before_it_works(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("no database, only words about one\n" * 40)
    for words, said in (
        (["--store", tmp_path / "notes.db"], "this file is no store of cases"),
        (["--baseline", tmp_path / "none.db"], "there is no store"),
        (["-o", tmp_path / "out.docx"], "no triage has the suffix"),
    ):
        ended = run("triage", HEALTHY, *words)
        assert (ended.status, ended.out) == (2, "")
        assert said in ended.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.db"]


def test_no_traceback_when_the_reader_goes_away() -> None:
    code = "import sys; from analyzer.cli import main; main(sys.argv[1:])"
    words = [sys.executable, "-c", code, "report", str(LIMIT), "--format", "json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 10


def test_help_costs_little() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert "report" in done.stdout
    assert cpu_s < 0.5, "the aim is 0.15 s; this allows for a busy machine"


def test_help_and_json_load_no_heavy_package() -> None:
    code = (
        "import sys, contextlib; from analyzer.cli import main\n"
        "with contextlib.suppress(SystemExit): main(sys.argv[1:])\n"
        "print(sorted({'pandas','matplotlib','rich','scapy','pyshark'} & sys.modules.keys()), file=sys.stderr)"
    )
    for words in (["--help"], [str(LIMIT), "--format", "json"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert done.stderr.strip() == "[]"


def test_text_of_a_capture_is_never_markup(run: Run, answer: Any) -> None:
    answer(
        result(full_house(agents=1, account="[red]x[/]"), [finding(title="[red]x[/] \N{SNOWMAN}")], [capture_seen()])
    )
    assert "[red]x[/] \N{SNOWMAN}" in run("x.pcap").out
    assert "[red]x[/]" in run("logins", "x.pcap").out


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input_is_a_capture(packed: bool) -> None:
    content = gzip.compress(ONE.read_bytes()) if packed else ONE.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", "-", "--format", "json"],
        input=content,
        capture_output=True,
        check=False,
        cwd=ROOT,
    )
    document = json.loads(done.stdout)
    assert (document["captures"][0]["name"], document["captures"][0]["state"]) == ("stdin", "ok")
    assert len(document["logins"]) > 0
    assert done.stderr == b""


def test_what_came_from_standard_input_is_asked_for_again_as_it_came(run: Run) -> None:
    def piped(*words: str) -> str:
        command = [sys.executable, "-m", "analyzer", *words]
        return subprocess.run(
            command, input=ONE.read_bytes(), capture_output=True, check=False, cwd=ROOT
        ).stdout.decode()

    words = next(line for line in piped("-").splitlines() if "mailscope dialogue" in line).split()
    assert words[words.index("dialogue") + 1] == "-"
    assert piped(*words[words.index("dialogue") :]) == run("dialogue", ONE, *words[-2:]).out
    assert "A1 NO AUTHENTICATE" in run("dialogue", ONE, *words[-2:]).out


def test_a_folder_is_the_captures_in_it(run: Run, tmp_path: Path) -> None:
    for name in ("ring10.pcap", "ring2.pcap"):
        shutil.copy(ONE, tmp_path / name)
    (tmp_path / "notes.txt").write_text("taken on Monday")
    (tmp_path / ".hidden").write_bytes(b"x")
    document = json.loads(run("report", tmp_path, "--format", "json").out)
    assert [x["name"] for x in document["captures"]] == ["ring2.pcap", "ring10.pcap"]
    (tmp_path / "none").mkdir()
    assert "it is a directory" in run("report", tmp_path / "none").err


def test_a_member_of_an_archive_is_named_and_can_be_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "case.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(ONE, "day/one.pcap")
        archive.write(HEALTHY, "healthy.pcap")
    document = json.loads(run("report", path, "--format", "json").out)
    assert [x["name"] for x in document["captures"]] == ["case.zip!/day/one.pcap", "case.zip!/healthy.pcap"]
    assert {x["state"] for x in document["captures"]} == {"ok"}
    assert (
        run("dialogue", f"{path}!/day/one.pcap", "--session", "C1").out == run("dialogue", ONE, "--session", "C1").out
    )
    assert "A0 CAPABILITY" in run("dialogue", path, "--session", "C2").out


def test_an_encrypted_archive_needs_a_password(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "case.enc"
    path.write_bytes(b"Salted__" + bytes(100))
    ended = run("report", path, "--format", "json")
    assert (ended.status, json.loads(ended.out)["captures"][0]["state"]) == (3, "password_needed")


def test_an_empty_file_is_one_sentence_at_the_front_door_too(tmp_path: Path) -> None:
    path = tmp_path / "empty.pcap"
    path.touch()
    ended = subprocess.run([sys.executable, "-m", "analyzer", str(path)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "empty.pcap: the file is empty" in ended.stderr
