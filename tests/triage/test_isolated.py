"""One capture in a process of its own: every way to end has its answer, and what it must not do it cannot."""

import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import analyzer
from analyzer.triage import box, sealed
from analyzer.triage import isolated as subject
from analyzer.triage.isolated import Answer, isolated
from analyzer.triage.spares import ONE_THREAD, Spares
from tests.triage import targets
from tests.triage.processes import running, soon

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_pcaps"
posix = pytest.mark.skipif(os.name != "posix", reason="limits and signals are POSIX's")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")
needs_box = pytest.mark.skipif(box.bubblewrap() is None, reason="bubblewrap is not installed, or not allowed here")
needs_seal = pytest.mark.skipif(sealed.prepared(programs=False) is None, reason="seccomp is not there")


@pytest.fixture(autouse=True)
def _from_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture(params=[pytest.param("box", marks=needs_box), "plain", "fresh"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way a process is made: a spare's child in a box, a spare's child, a new interpreter."""
    if request.param == "plain":
        monkeypatch.setattr(box, "bubblewrap", lambda: None)
    if request.param == "fresh":
        monkeypatch.delattr(os, "fork")
    return str(request.param)


@pytest.fixture
def spares() -> Iterator[Spares]:
    """Spare processes of one test."""
    with Spares() as some:
        yield some


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "-a [1] *.pcap"
    path.write_text(json.dumps(targets.report()))
    return path


def run(path: Path, name: str, spares: Spares, **options: object) -> Answer:
    return isolated(
        path,
        timeout_s=20,
        cpu_s=1,
        memory_mb=600,
        target=f"tests.triage.targets:{name}",
        options=options,
        spares=spares,
    )


@pytest.mark.parametrize("name", ["told", "chatter"])
def test_an_answer_comes_back_whole_whatever_a_library_prints(
    way: str, capture: Path, name: str, spares: Spares
) -> None:
    assert run(capture, name, spares) == Answer("ok", None, targets.report())


def test_standard_input_is_empty(way: str, capture: Path, spares: Spares) -> None:
    answer = run(capture, "asks", spares)
    assert answer.document
    assert answer.document["conclusion"]["title"] == "''"


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        pytest.param("spin", ("timeout", "used more than 1 s of processor time"), marks=posix),
        pytest.param("eat", ("error", "memory limit of 600 MiB reached"), marks=posix),
        pytest.param("crash", ("error", "killed by signal 11"), marks=posix),
        pytest.param("kill", ("error", "killed by signal 9"), marks=posix),
        ("leave", ("error", "ended with status 7 and no answer")),
        ("flood", ("error", "answered more than 16 MiB")),
        ("strange", ("not_a_capture", "first octets 7b 22 belong to no capture")),
        ("broken", ("error", "cannot be read\N{REPLACEMENT CHARACTER}[31m")),
        ("bug", ("error", "KeyError: 'seq'")),
        ("nonsense", ("error", "answered what is no report")),
        ("nowhere", ("error", "AttributeError: module 'tests.triage.targets' has no attribute 'nowhere'")),
    ],
)
def test_every_failure_has_a_state_and_a_sentence(
    way: str, capture: Path, name: str, answer: tuple[str, str], spares: Spares
) -> None:
    assert run(capture, name, spares) == Answer(*answer, None)
    assert run(capture, "told", spares).state == "ok"


def test_a_capture_that_is_not_there_is_an_answer(way: str, tmp_path: Path, spares: Spares) -> None:
    answer = run(tmp_path / "none.pcap", "told", spares)
    assert answer.state == "error"
    assert answer.reason
    assert "No such file" in answer.reason


@linux
def test_a_hanging_run_is_ended_with_what_it_started(way: str, capture: Path, spares: Spares) -> None:
    if way == "fresh":
        pytest.skip("only where there is no other way")
    with ThreadPoolExecutor(1) as thread:
        target = "tests.triage.targets:hang"
        asked = thread.submit(
            isolated, capture, timeout_s=2, target=target, options={"mark": "mark-hang"}, spares=spares
        )
        assert soon(lambda: running("mark-hang"))
        assert asked.result(timeout=15) == Answer("timeout", "took longer than 2 s", None)
    assert soon(lambda: not running("mark-hang"))


@linux
def test_what_runs_dies_with_whoever_asked(way: str, capture: Path) -> None:
    """The triage desk's process may be killed at any moment."""
    if way == "fresh":
        pytest.skip("only where there is no other way")
    code = f"""
from analyzer.triage import box, isolated
if {way == "plain"}:
    box.bubblewrap = lambda: None
isolated.isolated({str(capture)!r}, target="tests.triage.targets:hang", options={{"mark": "mark-orphan"}})
"""
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}) as asking:
        assert soon(lambda: running("mark-orphan"))
        asking.kill()
    assert soon(lambda: not running("mark-orphan"))


def test_every_capture_has_a_process_of_its_own(way: str, capture: Path, spares: Spares) -> None:
    for _ in range(3):
        answer = run(capture, "counts", spares)
        assert answer.document
        assert answer.document["conclusion"]["title"] == 1


@posix
def test_a_spare_serves_one_capture_after_the_other(capture: Path, spares: Spares) -> None:
    for _ in range(3):
        assert run(capture, "told", spares).state == "ok"
    assert len(spares._idle) == 1


def test_many_threads_each_get_their_own_answer(way: str, tmp_path: Path, spares: Spares) -> None:
    for number in range(12):
        (tmp_path / f"{number}.pcap").write_text(str(number))
    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(lambda path: run(path, "names", spares), sorted(tmp_path.iterdir()))
        shown = [answer.document["conclusion"]["title"] for answer in answers if answer.document]
    assert shown == [[[f"{n}.pcap", f"{n}"]] for n in sorted(range(12), key=str)]


def test_captures_that_belong_together_are_read_together(way: str, tmp_path: Path, spares: Spares) -> None:
    paths: list[Path | str] = [tmp_path / "pc1" / "trace.pcap", tmp_path / "pc2" / "trace.pcap"]
    for path in map(Path, paths):
        path.parent.mkdir()
        path.write_text(path.parent.name)
    answer = isolated(paths, target="tests.triage.targets:names", spares=spares)
    assert answer.document
    assert answer.document["conclusion"]["title"] == [["trace.pcap", "pc1"], ["trace.pcap", "pc2"]]


def test_too_many_at_once_are_an_answer(capture: Path) -> None:
    assert isolated([capture] * 201) == Answer("error", "more than 200 captures at once", None)


def test_an_incident_is_judged_as_in_one_process(way: str, spares: Spares) -> None:
    paths: list[Path | str] = [SAMPLES / "one_agent_refused.pcap", SAMPLES / "server_side_limit.pcap"]
    answer = isolated(paths, spares=spares)
    result = analyzer.read(*paths).result
    assert answer.document
    assert [x["title"] for x in answer.document["findings"]] == [x.title for x in result.findings]


@posix
def test_a_spare_that_was_killed_is_replaced(way: str, capture: Path, spares: Spares) -> None:
    if way == "fresh":
        pytest.skip("there are no spares then")
    assert run(capture, "slow", spares).state == "ok"
    (idle,) = spares._idle
    assert idle._process
    os.killpg(idle._process.pid, signal.SIGKILL)
    assert run(capture, "slow", spares).state == "ok"
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(run, capture, "slow", spares)
        assert soon(lambda: bool(spares._busy))
        (busy,) = spares._busy
        assert busy._process
        os.killpg(busy._process.pid, signal.SIGKILL)
        assert asked.result().state == "ok"
    assert busy not in spares._idle


@linux
def test_what_takes_spares_with_it_again_and_again_is_given_up(capture: Path, spares: Spares) -> None:
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(
            isolated, capture, target="tests.triage.targets:hang", options={"mark": "mark-again"}, spares=spares
        )
        for _ in range(2):
            assert soon(lambda: running("mark-again"))
            (busy,) = spares._busy
            assert busy._process
            os.killpg(busy._process.pid, signal.SIGKILL)
            assert soon(lambda busy=busy: busy not in spares._busy)  # type: ignore[misc]
        assert asked.result() == Answer("error", "its process was lost 2 times", None)


@posix
def test_whoever_closes_the_spares_ends_what_runs(capture: Path) -> None:
    spares = Spares()
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(
            isolated, capture, target="tests.triage.targets:hang", options={"mark": "x"}, spares=spares
        )
        assert soon(lambda: bool(spares._busy))
        spares.close()
        assert asked.result() == Answer("error", "stopped", None)


@pytest.fixture
def attempts(tmp_path: Path, capture: Path, spares: Spares) -> Callable[..., dict[str, Any]]:
    """What comes of trying what is forbidden."""
    (tmp_path / "neighbour.pcap").write_text("another customer's")

    def made(**changed: Any) -> dict[str, Any]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            options = {
                "engine": "native",
                "port": listening.getsockname()[1],
                "place": str(tmp_path / "written"),
                "neighbour": str(tmp_path / "neighbour.pcap"),
                "home": str(Path.home()),
            }
            target = "tests.triage.targets:tries"
            answer = isolated(capture, scratch_mb=1, options=options | changed, target=target, spares=spares)
        assert answer.document
        return dict(answer.document["conclusion"])

    return made


@needs_seal
def test_no_connection_and_no_other_program_even_without_a_box(
    monkeypatch: pytest.MonkeyPatch, attempts: Callable[..., dict[str, Any]]
) -> None:
    monkeypatch.setattr(box, "bubblewrap", lambda: None)
    monkeypatch.setenv("SECRET", "x")
    done = attempts()
    assert [done[x] for x in ("socket", "fork", "program", "thread")] == [*["Operation not permitted"] * 3, "done"]
    assert (done["scratch"], done["large"]) == ("done", "File too large")
    assert set(done["environment"]) <= {"PATH", "LD_LIBRARY_PATH", "TMPDIR", "LC_ALL", *ONE_THREAD}


@needs_seal
def test_tshark_can_be_asked_unless_the_engine_is_our_own(attempts: Callable[..., dict[str, Any]]) -> None:
    done = attempts(engine="auto")
    assert (done["program"], done["socket"]) == ("done", "Operation not permitted")


@needs_box
def test_in_a_box_there_is_nothing_to_see_or_to_write_to(
    tmp_path: Path, attempts: Callable[..., dict[str, Any]]
) -> None:
    done = attempts()
    gone = "No such file or directory"
    assert done["neighbour"] == gone
    assert done["home"] == gone or set(done["home"]) <= way_to_python()
    assert done["write"] in {gone, "Read-only file system"}
    assert (done["scratch"], done["large"]) == ("done", "File too large")
    assert not (tmp_path / "written").exists()


def way_to_python() -> set[str]:
    """What of the home leads to this Python or to the modules under test, if they lie there."""
    places = [Path(place) for place in (sys.prefix, sys.base_prefix, *sys.path)]
    return {place.relative_to(Path.home()).parts[0] for place in places if Path.home() in place.parents}


@needs_box
def test_a_box_has_no_network_either() -> None:
    """Below the filter: it holds for every program in the box."""
    code = "import socket; s = socket.socket(); print(s.connect_ex(('192.0.2.1', 9)))"
    program = box.bubblewrap() or ""
    words = box.boxed(program, [sys.executable, "-I", "-c", code], [], None)
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    assert int(done.stdout) == 101  # ENETUNREACH


@posix
def test_what_protects_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ("no other capture" in subject.protection()) == (box.bubblewrap() is not None)
    monkeypatch.setattr(subject, "bubblewrap", lambda: None)
    assert "bubblewrap is missing or not allowed" in subject.protection()


@posix
def test_temporary_files_are_gone_after_each_capture_and_at_the_end(
    attempts: Callable[..., dict[str, Any]], spares: Spares
) -> None:
    attempts()
    (spare,) = spares._idle
    assert spare._scratch.is_dir()
    assert soon(lambda: not list(spare._scratch.iterdir()))
    spares.close()
    assert not spare._scratch.exists()


@posix
def test_a_bomb_bursts_in_its_own_process(way: str, tmp_path: Path, spares: Spares) -> None:
    """A third of a MiB that unpacks to 300 MiB: more than may be written here."""
    if way == "fresh":
        pytest.skip("only where there is no other way")
    bomb = tmp_path / "bomb.pcap.gz"
    head = (SAMPLES / "healthy.pcap").read_bytes()[:24]
    with gzip.open(bomb, "wb", 1) as file:
        file.write(head)
        for _ in range(300):
            file.write(bytes(1 << 20))
    answer = isolated(bomb, scratch_mb=1, spares=spares)
    assert answer.state in {"error", "partial"}
    assert answer.reason
    assert "File too large" in answer.reason


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_in_the_box_what_our_readers_do_not_know(tmp_path: Path, spares: Spares) -> None:
    path = tmp_path / "sample.5vw"
    made = subprocess.run(
        ["editcap", "-F", "visual", str(SAMPLES / "healthy.pcap"), str(path)], capture_output=True, check=False
    )
    assert made.returncode == 0, made.stderr
    answer = isolated(path, spares=spares)
    assert answer.state == "ok", answer
    assert answer.document
    assert answer.document["captures"][0]["format"] == "tshark"


@pytest.mark.parametrize(
    ("states", "answer"),
    [
        (["ok"], ("ok", None)),
        (["no_mail"], ("no_mail", "no mail among 12 frames")),
        (["empty"], ("empty", "empty")),
        (["not_a_capture"], ("not_a_capture", "not a capture")),
        (["password_needed"], ("password_needed", "password needed")),
        (["ok", "no_mail"], ("partial", "no mail among 12 frames")),
        ([], ("empty", None)),
    ],
)
def test_the_state_is_that_of_the_captures_inside(tmp_path: Path, states: list[str], answer: tuple[str, str]) -> None:
    captures = [{"state": state, "packets": 12, "quality": {"reasons": []}} for state in states]
    told = subject._reported({**targets.report(), "captures": captures})
    assert (told.state, told.reason) == answer


def test_why_a_file_was_not_read_is_told() -> None:
    capture = {"state": "not_a_capture", "packets": 0, "quality": {"grade": "F", "reasons": ["it begins with 'PK'"]}}
    assert subject._reported({"captures": [capture]}).reason == "it begins with 'PK'"


def test_where_reading_stopped_is_told() -> None:
    capture = {"state": "partial", "packets": 9, "stopped": {"frame": 8, "offset_bytes": 700, "reason": "file is cut"}}
    assert subject._reported({"captures": [capture]}).reason == "stopped after frame 8: file is cut"


def test_a_process_that_cannot_start_is_an_answer(
    way: str, capture: Path, monkeypatch: pytest.MonkeyPatch, spares: Spares
) -> None:
    monkeypatch.setattr(sys, "executable", str(capture / "no-such-python"))
    told = run(capture, "told", spares)
    assert told.state == "error"
    assert told.reason
    assert told.reason.startswith("no process could be started")


@posix
def test_a_fork_of_ours_has_spares_of_its_own(capture: Path) -> None:
    """Else it would hear the answers to other questions, and end what is not its own."""
    code = f"""
import os, sys
from analyzer.triage.isolated import SPARES, isolated
ask = lambda: isolated({str(capture)!r}, target="tests.triage.targets:told").state
assert ask() == "ok"
(spare,) = SPARES._idle
if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
    assert ask() == "ok" and SPARES._idle == [spare]
else:
    assert ask() == "ok" and SPARES._idle != [spare]
"""
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60, check=True)


def test_it_works_from_any_folder_and_ignores_what_lies_there(tmp_path: Path, capture: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n")
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from analyzer.triage.isolated import isolated
answer = isolated({str(capture)!r}, timeout_s=20, target="tests.triage.targets:told")
print(answer.state, answer.reason)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "no")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("ok None\n", "")
