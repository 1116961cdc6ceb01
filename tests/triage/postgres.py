"""A PostgreSQL server of our own for the tests: in a temporary folder, reached by a socket, gone at the end."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

USER = "postgres"
"""Who runs the server when the tests run as root, which it refuses; Debian's package makes this user."""
START_S = 30


def program(name: str) -> str | None:
    """Return where a program of PostgreSQL is; Debian keeps it off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@contextmanager
def server() -> Iterator[str]:
    """Run a server and yield the URL of its database; skip where there is none, or fail where there must be one."""
    if importlib.util.find_spec("psycopg") is None:
        absent("psycopg is not installed")
    initdb, postgres = program("initdb") or absent(), program("postgres") or absent()
    folder = Path(tempfile.mkdtemp(prefix="mailscope-pg-"))  # short: the path of a socket has 107 octets at most
    become = []
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        try:
            shutil.chown(folder, USER)
        except LookupError:
            absent(f"there is no user {USER} to run PostgreSQL as")
        become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    made = [*become, initdb, "-D", str(folder / "data"), "-A", "trust", "-U", USER, "-E", "UTF8", "--no-sync"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd="/")
    command = [*become, postgres, "-D", str(folder / "data"), "-k", str(folder), "-c", "listen_addresses=", "-F"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/") as process:
        try:
            url = f"postgresql:///{USER}?host={folder}&user={USER}"
            await_start(url)
            yield url
        finally:
            process.terminate()
            process.wait(START_S)
            shutil.rmtree(folder, ignore_errors=True)


def await_start(url: str) -> None:
    """Wait until the server answers."""
    import psycopg

    end = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def required() -> bool:
    """Whether PostgreSQL must be there."""
    return os.environ.get("MAILSCOPE_REQUIRE_POSTGRES") == "1"


def absent(reason: str = "PostgreSQL is not installed") -> NoReturn:
    """Skip the test, or fail it where PostgreSQL must be there."""
    if required():
        pytest.fail(f"{reason}, and MAILSCOPE_REQUIRE_POSTGRES=1 says it must be")
    pytest.skip(reason)
