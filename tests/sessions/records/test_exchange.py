from pathlib import Path

import pytest

from analyzer.sessions.records import Log, is_log
from tests.logs import DENIED, HEAD, LIMIT, PLANTED, exchange, log, refusal, row
from tests.records import ACCOUNT, CLIENT, SERVER, full_house, ns, one_pc

AT, SIP, CIP = "2024-03-04T09:15:57.910Z", f"{SERVER}:143", f"{CLIENT}:50001"


def read(folder: Path, *lines: str, head: str = HEAD) -> Log:
    return log(folder, head + "\n".join(lines) + "\n")


def test_a_refusal_with_its_reason(tmp_path: Path) -> None:
    (record,) = read(tmp_path, row(AT, SIP, CIP, f"CORP\\{ACCOUNT}", "authenticate", "PLAIN", refusal(LIMIT))).records
    assert (record.cause, record.sure, record.accepted, record.text) == (
        "per_user_connection_limit",
        True,
        False,
        LIMIT,
    )
    assert (record.account, record.domain) == (ACCOUNT, "CORP")
    assert (record.client, record.client_port, record.server, record.server_port) == (CLIENT, 50001, SERVER, 143)
    assert (record.ts, record.protocol, record.line) == (ns(117.91), "imap", 5)


@pytest.mark.parametrize(
    ("context", "cause", "sure"),
    [
        (refusal(DENIED), "bad_credentials", False),
        (refusal("AuthFailed:LogonDenied-BasicAuthBlocked"), "auth_method_refused", True),
        (refusal("UserDisabled"), "account_locked", True),
        (refusal("LogonFailed:AccountLockedOut"), "account_locked", True),
        (refusal("ProxyTimeout"), "server_unavailable", False),
        ('R="-ERR Logon failure: unknown user name or bad password.";Msg=UserConnectionLimitReached', "per_user_connection_limit", True),
        (refusal(""), None, False),
        (refusal("SomethingNew"), None, False),
        # What a client may write itself: its user name.
        ('R="A1 NO LOGIN failed.";Msg="AuthFailed:LogonDenied,User: UserConnectionLimitReached"', "bad_credentials", False),
        ('R="A1 NO LOGIN failed.";Msg="AuthFailed:LogonDenied,User: x;ErrMsg=UserConnectionLimitReached";ErrMsg=AuthFailed:LogonDenied', "bad_credentials", False),
    ],
)  # fmt: skip
def test_reasons(tmp_path: Path, context: str, cause: str | None, sure: bool) -> None:
    (record,) = read(tmp_path, row(AT, SIP, CIP, "u", "login", " *****", context)).records
    assert (record.cause, record.sure, record.accepted) == (cause, sure, False)


def test_an_acceptance_and_what_is_no_login(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        row(AT, SIP, CIP, "", "OpenSession", "", ""),
        row(AT, SIP, CIP, "u", "login", "u@corp.example *****", 'R=OK;Msg="Proxy:EXCH01.corp.example:1993:SSL;ProxySuccess"'),
        row(AT, SIP, CIP, "u", "select", "INBOX", "R=OK;Rows=0"),
        row(AT, SIP, CIP, "u", "select", "INBOX", 'R="A4 NO Server Unavailable. 15";Msg=MapiExceptionSessionLimit'),
    )  # fmt: skip
    assert [(r.accepted, r.cause) for r in found.records] == [(True, None), (None, "store_session_limit")]


@pytest.mark.parametrize(
    ("command", "user", "parameters", "account"),
    [
        ("login", "", f"desk {PLANTED}", "desk"),
        ("login", "", PLANTED, None),
        ("login", "", f'"two words" {PLANTED}', None),
        ("login", "", "*****", None),
        ("pass", "", PLANTED, None),
        ("authenticate", "", f"PLAIN {PLANTED}", None),
        ("login", "desk@corp.example/alias", f"x {PLANTED}", "desk@corp.example"),
        ("login", "CORP\\desk\\alias", "", "desk"),
    ],
)
def test_no_password_is_kept(tmp_path: Path, command: str, user: str, parameters: str, account: str | None) -> None:
    found = read(tmp_path, row(AT, SIP, CIP, user, command, parameters, refusal(LIMIT)))
    assert [r.account for r in found.records] == [account]
    assert PLANTED not in repr(found)


def test_a_line_without_a_user_takes_the_sessions(tmp_path: Path) -> None:
    head = HEAD.replace("IMAP4", "POP3")
    found = read(
        tmp_path,
        row(AT, SIP, CIP, "", "user", "desk", "R=ok", "A"),
        row(AT, SIP, CIP, "", "pass", "*****", refusal(LIMIT), "A"),
        row(AT, SIP, CIP, "", "pass", "*****", refusal(LIMIT), "B"),
        head=head,
    )
    assert [(r.account, r.protocol) for r in found.records] == [("desk", "pop3"), (None, "pop3")]
    assert found.kind == "Exchange POP3 protocol log"


def test_columns_are_where_the_header_says(tmp_path: Path) -> None:
    head = "#Fields: dateTime,sIp,cIp,command,context\n"
    (record,) = read(tmp_path, f"{AT},[2001:DB8::1]:143,[::ffff:{CLIENT}]:50001,login,R=OK", head=head).records
    assert (record.server, record.client, record.accepted, record.account) == ("2001:db8::1", CLIENT, True, None)


def test_a_whole_story(tmp_path: Path) -> None:
    story = (*full_house(agents=9), *one_pc())
    found = log(tmp_path, exchange(story))
    assert len(found.records) == sum(len(s.logins) for s in story)
    assert (found.utc, found.product, found.warnings) == (True, "exchange", ())


@pytest.mark.parametrize(
    "line",
    [
        '"' * 9000,
        "\x00" * 100,
        f"{AT},A0,2,,,,,,,login,,R=OK,",
        row("not a time", SIP, CIP, "u", "login", "", "R=OK"),
        row(AT, "x" * 400, ":::::", "u\x1b[31m\u202e", "login", "", "R=OK"),
        "a," * 4000,
    ],
    ids=lambda line: line[:12],
)
def test_hostile_lines_raise_nothing_and_leave_nothing_odd(tmp_path: Path, line: str) -> None:
    found = read(tmp_path, line, row(AT, SIP, CIP, "u", "login", "", "R=OK"))
    assert found.records[-1].account == "u"
    assert "\x1b" not in repr(found.records)
    assert all((r.account or "").isprintable() for r in found.records)


def test_another_protocol_log_is_none_of_these(tmp_path: Path) -> None:
    path = tmp_path / "RECV.LOG"
    path.write_text(
        "#Fields: date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context\n"
    )
    assert not is_log(path)
