"""Debian's Dovecot refuses for real: what mailscope says of it must be what Dovecot was told to do."""

import getpass
import grp
import imaplib
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from analyzer import read
from analyzer.probe import probe
from analyzer.report.result import Result
from analyzer.rules.finding import CLAIMS
from tests.servers.conftest import Find, captured, running

ACCOUNT, PASSWORD, LIMIT = "desk@example.test", "right-horse", 4
CONFIGURATION = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = maildir:{folder}/mail/%u
mail_max_userip_connections = {limit}
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/passwords
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


def configured(folder: Path, port: int) -> Path:
    """Write Dovecot's configuration: as root it changes to the users its package made, else all runs as ourselves."""
    uid, gid, me = os.geteuid(), os.getegid(), getpass.getuser()
    users = {"internal": me, "login": me, "group": grp.getgrgid(gid).gr_name, "uid": uid, "gid": gid}
    if uid == 0:
        users = {"internal": "dovecot", "login": "dovenull", "group": "dovecot", "uid": 65534, "gid": 65534}
    (folder / "mail").mkdir()
    (folder / "mail").chmod(0o777)
    (folder / "passwords").write_text(f"{ACCOUNT}:{PASSWORD}\n")
    path = folder / "dovecot.conf"
    path.write_text(CONFIGURATION.format(folder=folder, port=port, limit=LIMIT, **users))
    return path


@pytest.fixture
def dovecot(program: Find, folder: Path, port: int) -> Iterator[int]:
    """The port of a Dovecot that allows one account four connections from one address."""
    command = [program("dovecot"), "-F", "-c", str(configured(folder, port))]
    with running(command, port, folder / "dovecot.log"):
        yield port


def log_in(port: int, password: str = PASSWORD) -> imaplib.IMAP4 | None:
    """Log in and return the connection; None when refused."""
    client = imaplib.IMAP4("127.0.0.1", port, timeout=10)
    try:
        client.login(ACCOUNT, password)
    except imaplib.IMAP4.error:
        with suppress(imaplib.IMAP4.error, OSError):
            client.logout()
            return None
        with suppress(OSError):
            client.shutdown()  # a logout the server cut short leaves the socket open
        return None
    return client


def judged(path: Path, port: int) -> Result:
    """What mailscope says of the capture."""
    return read(path, ports=[port]).result


def claims(result: Result) -> list[tuple[str, str]]:
    """What it asserts: verdict and cause."""
    return [(f.verdict.value, f.cause) for f in result.findings if f.verdict in CLAIMS and f.severity == "fault"]


def test_the_limit_of_a_real_dovecot_is_confirmed(program: Find, dovecot: int, folder: Path) -> None:
    path = folder / "limit.pcap"
    with captured(program("tcpdump"), dovecot, path):
        tried = [log_in(dovecot) for _ in range(6)]
        inside = [client for client in tried if client]
        assert [bool(client) for client in tried] == [True] * LIMIT + [False] * 2
        inside.pop(0).logout()
        time.sleep(0.3)
        another = log_in(dovecot)
        assert another
        for client in (*inside, another):
            client.logout()

    result = judged(path, dovecot)
    assert claims(result) == [("confirmed", "per_user_connection_limit")]
    assert result.findings[0].facts["limit"] == LIMIT
    assert result.findings[0].subject.accounts == (ACCOUNT,)
    account = result.accounts[0]
    assert (account.logins_accepted, account.logins_refused, account.peak_open) == (LIMIT + 1, 2, LIMIT)
    assert {s.product for s in result.sessions} == {"dovecot"}

    beside = read(path, folder / "dovecot.log", ports=[dovecot]).result
    assert claims(beside) == [("confirmed", "per_user_connection_limit")]
    (log,) = beside.records
    assert (log.kind, log.records, log.matched) == ("Dovecot log", LIMIT + 3, LIMIT + 3)
    (proof,) = [e for e in beside.findings[0].evidence if e.kind == "record" and e.weight_db > 0]
    assert proof.text.startswith("dovecot.log line ")
    alone = read(folder / "dovecot.log").result
    assert claims(alone) == [("confirmed", "per_user_connection_limit")]
    assert alone.findings[0].facts["limit"] == LIMIT


def test_a_wrong_password_at_a_real_dovecot_is_no_limit(program: Find, dovecot: int, folder: Path) -> None:
    path = folder / "wrong.pcap"
    with captured(program("tcpdump"), dovecot, path):
        assert [log_in(dovecot, "wrong-horse") for _ in range(3)] == [None] * 3
    result = judged(path, dovecot)
    assert {cause for _, cause in claims(result)} <= {"bad_credentials"}
    account = result.accounts[0]
    assert (account.logins_accepted, account.logins_refused) == (0, 3)
    beside = read(path, folder / "dovecot.log", ports=[dovecot]).result
    assert {cause for _, cause in claims(beside)} == {"bad_credentials"}
    assert beside.records[0].matched == 3


def test_a_real_dovecot_answers_the_probe(dovecot: int) -> None:
    (found,) = probe("127.0.0.1", dovecot)
    assert (found.state, found.protocol, found.product) == ("greeted", "imap", "dovecot")
    assert "AUTH=PLAIN" in found.capability
    assert found.starttls is False
