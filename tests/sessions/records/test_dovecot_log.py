from pathlib import Path

import pytest

from analyzer.sessions.records import is_log
from tests.logs import LIMIT_WORDS, PLANTED, log

WHO = "user=<desk>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.9, session=<a1>"
HOST, PLAIN = "Mar  4 09:15:57 mail dovecot: ", "Mar 04 09:15:57 "


@pytest.mark.parametrize(
    ("line", "cause", "accepted", "sure"),
    [
        (f"{HOST}imap-login: Login: {WHO}", None, True, False),
        (f"{PLAIN}imap-login: Info: Login: {WHO}", None, True, False),
        (f"Mar  4 09:15:57 mail dovecot[160]: pop3-login: {LIMIT_WORDS}: {WHO}", "per_user_connection_limit", False, True),
        (f"{HOST}imap-login: Disconnected: {LIMIT_WORDS}: {WHO}", "per_user_connection_limit", False, True),
        (f"{HOST}imap-login: Login aborted: {LIMIT_WORDS} (connection_limit): {WHO}", "per_user_connection_limit", False, True),
        (f"{PLAIN}imap-login: Info: Disconnected (auth failed, 1 attempts in 2 secs): {WHO}", "bad_credentials", False, False),
        (f"{PLAIN}imap-login: Info: Aborted login (auth failed, 3 attempts in 4 secs): {WHO}", "bad_credentials", False, False),
        (f"{HOST}imap-login: Login aborted: Logged out (auth failed, 1 attempts in 3 secs) (auth_failed): {WHO}", "bad_credentials", False, False),
        (f"{HOST}imap-login: Disconnected (user disabled): {WHO}", "account_locked", False, True),
        (f"{HOST}imap-login: Disconnected (tried to use disallowed plaintext auth): {WHO}", "tls_required", False, True),
        (f"{HOST}imap-login: Disconnected (auth service reported temporary failure): {WHO}", "server_unavailable", False, True),
        (f"{HOST}auth: passwd-file(desk,192.0.2.1,<a1>): Password mismatch", "bad_credentials", False, True),
        (f"{HOST}auth-worker(77): sql(desk,192.0.2.1,<a1>): unknown user", "bad_credentials", False, True),
        (f"{HOST}auth-worker(desk,192.0.2.1)<148><a1>: request [3]: pam(desk,192.0.2.1): pam_authenticate() failed: Authentication failure (Password mismatch?)", "bad_credentials", False, True),
        (f"{HOST}master: Warning: service(imap-login): process_limit (100) reached, client connections are being dropped", "server_connection_limit", None, True),
        (f"{HOST}imap-login: Disconnected: Connection queue full: user=<>, rip=192.0.2.1, lip=192.0.2.9", "server_connection_limit", None, True),
        (f"2024-03-04T09:15:57.123456+01:00 mail dovecot: imap-login: Login: {WHO}", None, True, False),
        (f"Mon 2024-03-04 09:15:57 UTC mail dovecot[1]: imap-login: Info: Login: {WHO}", None, True, False),
        # The user name is the client's to write.
        (f"{HOST}imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<{LIMIT_WORDS}>, rip=192.0.2.1", "bad_credentials", False, False),
        (f"{HOST}auth: passwd-file(account disabled,192.0.2.1): unknown user", "bad_credentials", False, True),
    ],
)  # fmt: skip
def test_lines(tmp_path: Path, line: str, cause: str | None, accepted: bool | None, sure: bool) -> None:
    (record,) = log(tmp_path, line + "\n").records
    assert (record.cause, record.accepted, record.sure) == (cause, accepted, sure)


@pytest.mark.parametrize(
    "line",
    [
        f"{HOST}imap-login: Disconnected (no auth attempts in 0 secs): user=<>, rip=192.0.2.1, lip=192.0.2.9",
        f"{HOST}imap(desk)<7><a>: Logged out in=12 out=477",
        f"{HOST}lda(desk): Login: {WHO}",
        "Mar  4 09:15:57 mail postfix/smtpd[7]: warning: SASL LOGIN authentication failed",
        f"no time imap-login: Login: {WHO}",
    ],
)
def test_lines_that_say_nothing_of_a_login(tmp_path: Path, line: str) -> None:
    assert log(tmp_path, f"{HOST}imap-login: Login: {WHO}\n{line}\n").records[1:] == ()


def test_what_a_line_tells(tmp_path: Path) -> None:
    found = log(tmp_path, f"other\n{HOST}imap-login: {LIMIT_WORDS}: {WHO}, rport=50001\n")
    (record,) = found.records
    assert (record.account, record.client, record.client_port, record.server) == (
        "desk",
        "192.0.2.1",
        50001,
        "192.0.2.9",
    )
    assert (record.limit, record.line, record.protocol) == (10, 2, "imap")
    assert (found.utc, found.dated, found.kind) == (False, False, "Dovecot log")


def test_a_zone_makes_it_utc(tmp_path: Path) -> None:
    here = log(tmp_path, f"2024-03-04 10:15:57+0100 mail dovecot: imap-login: Login: {WHO}\n")
    there = log(tmp_path, f"2024-03-04T09:15:57Z mail dovecot: imap-login: Login: {WHO}\n")
    assert (here.utc, here.dated) == (True, True)
    assert here.records[0].ts == there.records[0].ts


def test_debugging_shows_no_password(tmp_path: Path) -> None:
    line = f"{HOST}auth: passwd-file(desk,192.0.2.1): Password mismatch (given password: {PLANTED})"
    found = log(tmp_path, f"{line}\n{HOST}imap-login: Login: user=<desk>, rip=192.0.2.1, pass={PLANTED}\n")
    assert len(found.records) == 2
    assert PLANTED not in repr(found)


def test_a_syslog_of_others_is_no_log_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_text("Mar  4 09:15:57 mail sshd[7]: Accepted password\n" * 50)
    assert not is_log(path)
