"""Logs of servers as tests need them: written by our own code from the sessions of ``tests.records``.

exchange(story, "UserConnectionLimitReached")     an IMAP4 protocol log with a line for each login
dovecot(story, zone_h=-5)                         Dovecot's lines of the same, in local time
event_xml(1009, ...), event_text(...), event_table(...)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from analyzer.at import NS_PER_S
from analyzer.sessions.records import Log, read_log
from analyzer.sessions.session import Login, LoginOutcome, Session

HEAD = (
    "#Software: Microsoft Exchange Server\n#Version: 15.0.0.0\n#Log-type: IMAP4 Protocol Log\n"
    "#Fields: dateTime,sessionId,seqNumber,sIp,cIp,user,duration,rqsize,rpsize,command,parameters,context,puid\n"
)
LIMIT, DENIED, PLANTED = "UserConnectionLimitReached", "AuthFailed:LogonDenied", "Corrct-Horse-planted-7"
Why = Callable[[Login], str]


def utc(ns: int) -> datetime:
    """The time of a record."""
    return datetime.fromtimestamp(ns / NS_PER_S, UTC)


def row(  # noqa: PLR0917
    at: str, sip: str, cip: str, user: str, command: str, parameters: str, context: str, session: str = "A0"
) -> str:
    """One line of a protocol log."""
    told = '"' + context.replace('"', '""') + '"' if '"' in context else context
    return f"{at},{session},2,{sip},{cip},{user},80,31,30,{command},{parameters},{told},"


def refusal(reason: str) -> str:
    """The context of a refused login."""
    return (
        f'R="A1 NO AUTHENTICATE failed.";Msg="{reason},User: CORP\\x";ErrMsg={reason}'
        if reason
        else 'R="A1 NO LOGIN failed."'
    )


def exchange(
    story: Iterable[Session],
    why: str | Why = LIMIT,
    *,
    ahead_s: float = 0.0,
    server: str | None = None,
    account: str | None = None,
    moved: int = 0,
) -> str:
    """The protocol log of a server that had these sessions; ``moved`` is added to the clients' ports."""
    lines = []
    for s in story:
        for login in s.logins:
            assert login.decided
            at = utc(login.decided.ts + round(ahead_s * NS_PER_S)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
            reason = why if isinstance(why, str) else why(login)
            told = "R=OK" if login.outcome is LoginOutcome.ACCEPTED else refusal(reason)
            ends = f"{server or s.server}:143", f"{s.client}:{s.client_port + moved}"
            lines.append(row(at, *ends, account or login.account or "", "authenticate", "NTLM", told, s.uid))
    return HEAD + "\n".join(lines) + "\n"


def dovecot(
    story: Iterable[Session], *, zone_h: float = 0.0, iso: bool = False, server: str | None = None, words: str = ""
) -> str:
    """Dovecot's lines of the same logins, in syslog's form or with dates and zones."""
    lines = []
    for s in story:
        for login in s.logins:
            assert login.decided
            local = utc(login.decided.ts + round(zone_h * 3600 * NS_PER_S))
            at = utc(login.decided.ts).isoformat() if iso else local.strftime("%b %e %H:%M:%S")
            said = "Login" if login.outcome is LoginOutcome.ACCEPTED else words or LIMIT_WORDS
            lines.append(
                f"{at} mail dovecot: imap-login: {said}: user=<{login.account}>, method=PLAIN, rip={s.client}, "
                f"lip={server or s.server}, session=<{s.uid}>"
            )
    return "\n".join(lines) + "\n"


LIMIT_WORDS = "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)"
STORE_TEXT = 'Mapi session "/o=First/ou=X/cn=Recipients/cn={}" exceeded the maximum of 16 objects of type "session".'
USER_TEXT = "Number of simultaneous connections made by user {} exceeded maximum (16)."


def event_xml(number: int, source: str, ns: int, data: Iterable[str], text: str = "") -> str:
    """One event as 'wevtutil qe /f:xml' prints it."""
    told = "".join(f"<Data>{x}</Data>" for x in data)
    rendered = f"<RenderingInfo Culture='en-US'><Message>{text}</Message></RenderingInfo>" if text else ""
    return (
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
        f"<Provider Name='{source}'/><EventID Qualifiers='32768'>{number}</EventID><Level>3</Level>"
        f"<TimeCreated SystemTime='{utc(ns).strftime('%Y-%m-%dT%H:%M:%S.%f')}000Z'/><EventRecordID>7</EventRecordID>"
        f"<Channel>Application</Channel><Computer>EXCH01</Computer><Security/></System>"
        f"<EventData>{told}</EventData>{rendered}</Event>"
    )


def event_text(number: int, source: str, at: str, text: str) -> str:
    """One event as 'wevtutil qe /f:text' prints it."""
    return (
        f"Event[0]:\n  Log Name: Application\n  Source: {source}\n  Date: {at}\n  Event ID: {number}\n  Task: Server\n"
        f"  Level: Warning\n  Opcode: N/A\n  Keyword: Classic\n  User: N/A\n  User Name: N/A\n  Computer: EXCH01\n"
        f"  Description: \n{text}\n\n"
    )


def log(folder: Path, text: str | bytes, name: str = "server.LOG") -> Log:
    """What the reader makes of a file with this text."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_log(path)
