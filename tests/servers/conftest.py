"""Real servers and a real capture: programs are started on loopback, each by these tests, and ended by them, by its id."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

READY_S = 10.0
"""How long a program may take to start."""

Find = Callable[[str], str]


@pytest.fixture(scope="session")
def program() -> Find:
    """Find a program, else skip, or fail where MAILSCOPE_REQUIRE_SERVERS says it must be there."""

    def find(name: str) -> str:
        path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
        return path or missing(f"{name} is not installed")

    return find


def missing(reason: str) -> str:
    """Skip the test, or fail it where the real servers must be there."""
    if os.environ.get("MAILSCOPE_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{reason}, and MAILSCOPE_REQUIRE_SERVERS=1 says it must be possible")
    pytest.skip(reason)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder every user may enter, with a name short enough for sockets in it."""
    path = Path(tempfile.mkdtemp(prefix="ms-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def port() -> int:
    """A TCP port of loopback nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(ready: Callable[[], object], what: str, running: "subprocess.Popen[bytes]") -> None:
    """Wait until it is so, as long as the program lives.

    Raises:
        TimeoutError: when it is not so in time, or the program has ended.
    """
    until = time.monotonic() + READY_S
    while not ready():
        if time.monotonic() > until or running.poll() is not None:
            raise TimeoutError(what)
        time.sleep(0.02)


def answers(port: int) -> bool:
    """Tell whether somebody greets there; the connection is over, on both sides, before a capture could begin."""
    with socket.socket() as client:
        client.settimeout(READY_S)
        if client.connect_ex(("127.0.0.1", port)) != 0 or not client.recv(512):
            return False
        client.shutdown(socket.SHUT_WR)
        while client.recv(512):
            pass
        return True


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a server in the foreground until the block ends."""
    out = log.with_suffix(".out")
    with out.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as server:
        try:
            wait_for(lambda: answers(port), f"{command[0]} listens on {port}", server)
            yield
        except TimeoutError as error:
            told = b"\n".join(x.read_bytes()[-2000:] for x in (log, out) if x.exists())
            pytest.fail(f"not reached: {error}\n{told.decode(errors='replace')}")
        finally:
            server.terminate()


@contextmanager
def captured(tcpdump: str, port: int, path: Path) -> Iterator[None]:
    """Capture what goes over loopback to and from the port while the block runs."""
    log = path.with_suffix(".log")
    as_root = ["-Z", "root"] if os.geteuid() == 0 else []
    options = ["-i", "lo", "-n", "--immediate-mode", "-U", "-w", str(path), *as_root, "tcp", "port", str(port)]
    with log.open("wb") as out, subprocess.Popen([tcpdump, *options], stdout=out, stderr=out) as process:
        try:
            wait_for(lambda: b"listening on" in log.read_bytes(), "tcpdump listens", process)
        except TimeoutError:
            process.terminate()
            missing(f"tcpdump cannot capture here: {log.read_text(errors='replace').strip()}")
        try:
            yield
            time.sleep(0.3)  # the last packets of closing connections
        finally:
            process.terminate()
