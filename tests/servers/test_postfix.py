"""A real Postfix turns connections away: what mailscope says of it must be what Postfix was told to do."""

import os
import signal
import smtplib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer import read
from analyzer.probe import probe
from analyzer.rules.finding import CLAIMS
from analyzer.sessions.session import Outcome
from tests.servers.conftest import Find, captured, missing, running

LIMIT = 3
MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.test
mydestination =
local_recipient_maps =
alias_maps =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = {limit}
smtpd_client_event_limit_exceptions =
anvil_status_update_time = 600s
"""
MASTER = """
127.0.0.1:{port} inet n - n - 20 smtpd
postlog unix-dgram n - n - 1 postlogd
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
rewrite unix - - n - - trivial-rewrite
"""


@pytest.fixture
def postfix(program: Find, folder: Path, port: int) -> Iterator[int]:
    """The port of a Postfix that takes three connections at a time from one address."""
    postfix = program("postfix")
    if os.geteuid() != 0:
        missing("Postfix is started by root only")
    for name in ("queue", "data", "etc"):
        (folder / name).mkdir()
    (folder / "etc" / "main.cf").write_text(MAIN.format(folder=folder, limit=LIMIT))
    (folder / "etc" / "master.cf").write_text(MASTER.format(port=port))
    subprocess.run(["chown", "postfix", str(folder / "data")], check=True)
    try:
        with running([postfix, "-c", str(folder / "etc"), "start-fg"], port, folder / "postfix.log"):
            yield port
    finally:  # the program started waits for Postfix's master, which leads a session of its own and is not taken along
        pid = folder / "queue" / "pid" / "master.pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)


def greeted(port: int) -> smtplib.SMTP | None:
    """Connect and return the connection; None when turned away."""
    try:
        return smtplib.SMTP("127.0.0.1", port, "client.example.test", timeout=10)
    except smtplib.SMTPConnectError:
        return None


def test_the_limit_of_a_real_postfix_is_found(program: Find, postfix: int, folder: Path) -> None:
    path = folder / "limit.pcap"
    with captured(program("tcpdump"), postfix, path):
        tried = [greeted(postfix) for _ in range(LIMIT + 2)]
        inside = [client for client in tried if client]
        assert [bool(client) for client in tried] == [True] * LIMIT + [False] * 2
        inside.pop(0).quit()
        time.sleep(0.3)
        another = greeted(postfix)
        assert another
        for client in (*inside, another):
            client.quit()
    result = read(path, ports=[postfix]).result
    # "too many connections" is what Postfix says of its rate limit too, so the words alone confirm nothing.
    assert [f.cause for f in result.findings if f.verdict in CLAIMS and f.severity == "fault"] == [
        "smtp_connection_limit"
    ]
    assert result.findings[0].facts["refused"] == 2
    outcomes = [s.outcome for s in result.sessions]
    assert outcomes.count(Outcome.REFUSED_AT_GREETING) == 2
    assert {s.greeting_code for s in result.sessions} >= {"4.7.0"}
    assert len(outcomes) == LIMIT + 3


def test_what_a_real_postfix_welcomes_is_no_limit(program: Find, postfix: int, folder: Path) -> None:
    path = folder / "welcome.pcap"
    with captured(program("tcpdump"), postfix, path):
        for _ in range(LIMIT + 2):
            client = greeted(postfix)
            assert client
            client.quit()
            time.sleep(0.1)
    result = read(path, ports=[postfix]).result
    assert result.findings == ()
    assert len(result.sessions) == LIMIT + 2


def test_a_real_postfix_answers_the_probe_until_it_is_full(postfix: int) -> None:
    (found,) = probe("127.0.0.1", postfix)
    assert (found.state, found.protocol, found.starttls) == ("greeted", "smtp", False)
    assert "PIPELINING" in found.capability
    inside = [greeted(postfix) for _ in range(LIMIT)]
    (found,) = probe("127.0.0.1", postfix)
    assert found.state == "turned_away"
    for client in inside:
        assert client
        client.quit()
