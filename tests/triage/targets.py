"""What the tests run inside the isolated process instead of the analysis."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analyzer.errors import CaptureError, UnknownFormat

SEEN: list[str] = []


def told(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """The file holds the answer itself."""
    return json.loads(Path(path).read_text())


def hang(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Start a child that hangs too, known by a word in its command, and hang."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", options["mark"]])
    time.sleep(60)
    return {}


def slow(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Take a while."""
    time.sleep(0.5)
    return told(path, options)


def spin(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Never end."""
    while True:
        pass


def eat(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Take more memory than allowed."""
    return {"size": len(bytearray(4 << 30))}


def crash(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Die as a fault in native code does."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def leave(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """End without a word."""
    os._exit(7)


def flood(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Answer far too much."""
    return {"more": "x" * (20 << 20)}


def nonsense(path: str, options: dict[str, Any]) -> Any:
    """Answer what is no report."""
    return {"captures": [7]}


def chatter(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Print on standard output before answering."""
    print("{not json")
    os.write(1, b"nor this")
    return told(path, options)


def asks(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Read standard input, which must be empty."""
    return {**report(), "conclusion": {"title": repr(sys.stdin.read())}}


def strange(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Be given a file of an unknown format."""
    raise UnknownFormat("first octets 7b 22 belong to no capture", path=path)


def broken(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Be given a file that cannot be read."""
    raise CaptureError("cannot be read\x1b[31m", path=path)


def bug(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Fail as our own fault would."""
    raise KeyError("seq")


def waits(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Answer at once, except for the victim, who hangs."""
    if Path(path).name == "victim.pcap":
        return hang(path, options)
    return report()


def poisoned(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Do what the file's name says, or analyse it."""
    from analyzer.triage.worker import analysed

    bad = {"segfault": crash, "loop": spin, "eater": eat, "exception": bug, "kill": kill}
    return bad.get(Path(path).stem, analysed)(path, options=options)


def kill(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def counts(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Say how many captures this process has seen."""
    SEEN.append(path)
    return {**report(), "conclusion": {"title": len(SEEN)}}


def names(*paths: str, options: dict[str, Any]) -> dict[str, Any]:
    """Say what the captures are called, and what is in them."""
    return {**report(), "conclusion": {"title": [[Path(path).name, Path(path).read_text()] for path in paths]}}


def tries(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Try what is forbidden; say what came of it."""
    attempts = {
        "socket": lambda: socket.create_connection(("127.0.0.1", options["port"]), 5),
        "fork": lambda: os.fork() or os._exit(0),
        "program": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        "thread": lambda: threading.Thread(target=int).start(),
        "write": lambda: Path(options["place"]).write_text("x"),
        "scratch": lambda: Path(tempfile.gettempdir(), "x").write_bytes(bytes(4096)),
        "large": lambda: Path(tempfile.gettempdir(), "y").write_bytes(bytes(3 << 20)),
        "home": lambda: [path.name for path in Path(options["home"]).iterdir()],
        "neighbour": lambda: Path(options["neighbour"]).read_text(),
        "environment": lambda: sorted(os.environ),
    }
    return {**report(), "conclusion": {name: _tried(attempt) for name, attempt in attempts.items()}}


def _tried(attempt: Callable[[], Any]) -> Any:
    try:
        done = attempt()
    except OSError as error:
        return error.strerror
    return done if isinstance(done, list) else "done"


def report(*findings: dict[str, Any], state: str = "ok") -> dict[str, Any]:
    """Return what triage keeps of a report."""
    best = findings[0] if findings else {"cause": "healthy", "verdict": None, "title": "nothing wrong found"}
    conclusion = {key: best[key] for key in ("cause", "verdict", "title")}
    return {"captures": [{"state": state, "packets": 12}], "findings": list(findings), "conclusion": conclusion}


def finding(cause: str = "server_restart", verdict: str = "confirmed", **changed: Any) -> dict[str, Any]:
    """Return a finding of the report contract, as far as triage reads it."""
    subject = {
        "accounts": changed.pop("accounts", []),
        "clients": changed.pop("clients", []),
        "server": changed.pop("server", "192.0.2.1"),
        "protocol": "imap",
    }
    return {
        "cause": cause,
        "verdict": verdict,
        "confidence": 0.9,
        "severity": "fault",
        "subject": subject,
        "start": "2024-05-06T08:00:00.000000Z",
        "end": "2024-05-06T08:01:00.000000Z",
        "title": f"{cause} somewhere",
        **changed,
    }


def unpacks(path: str, folder: str) -> None:
    """Unpack an archive whose only member tells what could be done meanwhile."""
    from analyzer.capture import content
    from analyzer.triage import unpacked

    def hostile(path: Path) -> list[content.Content]:
        attempts = {"socket": socket.socket, "program": lambda: subprocess.run([sys.executable, "-V"], check=True)}
        return [
            content.Content(", ".join(f"{name} {allowed(attempt)}" for name, attempt in attempts.items()), (), b"\0")
        ]

    content.contents = hostile
    unpacked.main(path, folder)


def allowed(attempt: Callable[[], object]) -> str:
    """Say whether the system let it happen."""
    try:
        attempt()
    except PermissionError:
        return "refused"
    return "done"
