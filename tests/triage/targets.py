"""What the tests run inside the isolated process instead of the analysis."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from analyzer.errors import CaptureError, UnknownFormat


def told(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """The file holds the answer itself."""
    return json.loads(Path(path).read_text())


def hang(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Start a child that hangs too, leave its pid beside the file, and hang."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(options["pid"]).write_text(str(child.pid))
    time.sleep(60)
    return {}


def spin(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Use up the processor time at once, as far as the limit is concerned."""
    os.kill(os.getpid(), signal.SIGXCPU)
    return {}


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
    """Answer at once, except for the victim, who waits to be killed."""
    if Path(path).name == "victim.pcap":
        time.sleep(60)
    return report()


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
