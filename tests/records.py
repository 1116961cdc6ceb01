"""Records with sensible defaults, so that a test names only what it is about.

    session("C1", at_s=3.0, account="uccx-mail")                      one accepted Exchange session
    refused("C2", at_s=3.1, client="10.4.4.95")                       one refused at login
    finding(Verdict.SUSPECTED, cause="per_user_connection_limit")
    one_pc(), full_house(agents=10, limit=16)                         whole stories as tuples of sessions

Times are seconds after ``BASE`` in the arguments and ns since the epoch in the records.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from analyzer.at import NS_PER_S, At
from analyzer.rules.finding import Candidate, Evidence, Finding, FrameRef, Subject, Verdict
from analyzer.secret import Secret
from analyzer.sessions.session import Login, LoginOutcome, Outcome, Session

BASE = 1_709_543_640 * NS_PER_S
"""2024-03-04T09:14:00Z."""
CAPTURE = "agent-pc-07.pcapng"
SERVER = "10.4.3.90"
CLIENT = "10.4.4.95"
ACCOUNT = "uccx-mail"
GREETING = "The Microsoft Exchange IMAP4 service is ready."


def ns(at_s: float) -> int:
    """Seconds after ``BASE`` as ns since the epoch."""
    return BASE + round(at_s * 1_000_000) * 1_000


def place(frame: int, at_s: float) -> At:
    return At(frame, ns(at_s))


def login(
    uid: str = "C1",
    *,
    at_s: float = 0.0,
    frame: int = 10,
    outcome: LoginOutcome = LoginOutcome.ACCEPTED,
    secret: bytes | None = None,
    took_s: float = 0.08,
    **changes: Any,
) -> Login:
    """One AUTHENTICATE; the reply comes ``took_s`` later, two frames on, in Exchange's words."""
    accepted = outcome is LoginOutcome.ACCEPTED
    decided = outcome in {LoginOutcome.ACCEPTED, LoginOutcome.REFUSED}
    mechanism = changes.get("mechanism", "NTLM")
    word = "LOGIN" if mechanism == "LOGIN" else "AUTHENTICATE"
    given: dict[str, Any] = {
        "capture": CAPTURE,
        "session": uid,
        "at": place(frame, at_s),
        "decided": place(frame + 2, at_s + took_s) if decided else None,
        "mechanism": mechanism,
        "account": ACCOUNT,
        "domain": "CORP" if mechanism == "NTLM" else None,
        "account_from": {"NTLM": "ntlm", "LOGIN": "login", "PLAIN": "plain"}.get(mechanism, "token"),
        "mailbox": None,
        "workstation": "AGENTPC07" if mechanism == "NTLM" else None,
        "credential": None if secret is None else Secret(secret),
        "outcome": outcome,
        "status": ("OK" if accepted else "NO") if decided else "",
        "code": None,
        "text": (f"{word} completed." if accepted else f"{word} failed.") if decided else None,
        "auth_ms": round(took_s * 1000, 3) if decided else None,
        "client": CLIENT,
        "server": SERVER,
        "server_port": 143,
    }
    return Login(**(given | changes))


def session(
    uid: str = "C1",
    *,
    at_s: float = 0.0,
    lasts_s: float | None = 60.0,
    frame: int = 1,
    logins: Iterable[Login] | None = None,
    login_s: float = 0.1,
    account: str | None = ACCOUNT,
    outcome: Outcome = Outcome.ACCEPTED,
    capture: str = CAPTURE,
    secret: bytes | None = None,
    mechanism: str = "NTLM",
    capture_ends_s: float = 600.0,
    **changes: Any,
) -> Session:
    """One session that began at ``at_s``; ``lasts_s=None`` means the capture ended first, at ``capture_ends_s``."""
    word = {Outcome.ACCEPTED: LoginOutcome.ACCEPTED, Outcome.REFUSED: LoginOutcome.REFUSED}.get(outcome)
    if logins is None:
        logins = (
            ()
            if word is None
            else (
                login(
                    uid,
                    at_s=at_s + login_s,
                    frame=frame + 6,
                    outcome=word,
                    account=account,
                    capture=capture,
                    secret=secret,
                    mechanism=mechanism,
                    **{k: changes[k] for k in ("client", "server", "server_port") if k in changes},
                ),
            )
        )
    logins = tuple(logins)
    won = next((x for x in logins if x.outcome is LoginOutcome.ACCEPTED), None)
    end_s = capture_ends_s if lasts_s is None else at_s + lasts_s
    end = place(frame + 20, end_s)
    closed = None if lasts_s is None else end.ts
    given: dict[str, Any] = {
        "capture": capture,
        "uid": uid,
        "protocol": "imap",
        "tls": "none",
        "client": CLIENT,
        "client_port": 50_000 + int(uid.lstrip("C") or 0),
        "server": SERVER,
        "server_port": 143,
        "start": ns(at_s),
        "end": end.ts,
        "first_frame": frame,
        "last_frame": end.frame,
        "conn_state": "S1" if lasts_s is None else "SF",
        "history": "ShAdD" if lasts_s is None else "ShAdDFf",
        "handshake_ms": 0.4,
        "greeting_ms": 2.0,
        "greeting": GREETING,
        "greeting_status": "OK",
        "greeting_at": place(frame + 3, at_s + 0.003),
        "product": "exchange",
        "capability": ("IMAP4", "IMAP4REV1", "AUTH=NTLM", "AUTH=GSSAPI", "AUTH=PLAIN", "STARTTLS", "IDLE"),
        "logins": logins,
        "outcome": outcome,
        "opened": won.decided.ts if won is not None and won.decided is not None else None,
        "closed": closed if won is not None else None,
        "closed_by": None if lasts_s is None else "client",
        "opened_before": False,
        "commands": 3 if won is not None else 0,
        "last_verb": "SELECT" if won is not None else None,
        "complaints": (),
        "complaints_more": 0,
        "bye": None,
        "bye_at": None,
        "logged_out": False,
        "client_bytes": 400,
        "server_bytes": 900,
        "missed_bytes": 0,
        "retransmits": 0,
        "duplicates": 0,
        "one_sided": False,
        "reset_by": None,
        "fin_by": None if lasts_s is None else "client",
        "syn_count": 1,
        "syn_at": place(frame, at_s),
        "syn_ack_at": None,
        "greeting_code": None,
        "client_isn": None,
        "server_isn": None,
        "established_at": place(frame + 2, at_s + 0.001),
        "end_at": end,
        "closed_at": None if lasts_s is None else end,
        "unreachable": None,
        "client_known": "syn",
        "packets": 24,
        "login_disabled_at": None,
        "said_at": place(frame + 18, max(at_s, end_s - 0.01)),
        "server_ttl": 126,
        "reset_ttl": None,
        "data_ttl": None,
        "reset_after_ms": None,
        "server_packets": 12,
        "server_retransmits": 0,
        "stall": None,
    }
    return Session(**(given | changes))


def refused(uid: str = "C1", *, at_s: float = 0.0, frame: int = 1, **changes: Any) -> Session:
    """One session refused at login and closed at once by the client."""
    given = {"outcome": Outcome.REFUSED, "lasts_s": 0.2} | changes
    return session(uid, at_s=at_s, frame=frame, **given)


def one_pc(refusals: int = 3, **changes: Any) -> tuple[Session, ...]:
    """The seed case: one PC, a burst of refusals a tenth of a second apart, nobody accepted."""
    return tuple(refused(f"C{i + 1}", at_s=117.9 + i / 10, frame=10_560 + 30 * i, **changes) for i in range(refusals))


def full_house(agents: int = 10, limit: int = 16, per_client: int = 2, **changes: Any) -> tuple[Session, ...]:
    """Seen at the server: agents arrive every 10 s, each opens ``per_client``; the rest is refused.

    From minute five on one agent after the other leaves and the refused ones, trying every 20 s, get in.
    """
    story: list[Session] = []
    ends: list[float] = []
    uid = 0
    arrivals = sorted((10.0 * agent + 0.05 * n, agent, n, 0) for agent in range(agents) for n in range(per_client))
    while arrivals:
        at_s, agent, n, tries = arrivals.pop(0)
        uid += 1
        more = {"client": f"10.4.4.{91 + agent}", "frame": 100 * uid, "capture": "exchange.pcap"} | changes
        if sum(end > at_s + 0.18 for end in ends) >= limit:
            story.append(refused(f"C{uid}", at_s=at_s, **more))
            if at_s < 560:
                arrivals.append((at_s + 20.0 + agent / 7, agent, n, tries + 1))
                arrivals.sort()
            continue
        lasts = 300.0 + 12.0 * agent - at_s if agent < agents // 2 and tries == 0 else None
        ends.append(1e9 if lasts is None else at_s + lasts)
        story.append(session(f"C{uid}", at_s=at_s, lasts_s=lasts, **more))
    return tuple(story)


def evidence(text: str = "A burst of refusals.", *, frames: Iterable[int] = (), **changes: Any) -> Evidence:
    """One fact, its frames all in ``CAPTURE`` (or ``capture=``)."""
    capture = changes.pop("capture", CAPTURE)
    given = {"text": text, "frames": tuple(FrameRef(capture, x) for x in frames), "weight_db": 6.0} | changes
    return Evidence(**given)


def finding(
    verdict: Verdict = Verdict.SUSPECTED, *, cause: str = "per_user_connection_limit", **changes: Any
) -> Finding:
    """What the engine might say about ``ACCOUNT`` on ``SERVER``."""
    given: dict[str, Any] = {
        "rule": cause,
        "cause": cause,
        "verdict": verdict,
        "confidence": 0.5,
        "severity": "fault",
        "subject": Subject(accounts=(ACCOUNT,), server=SERVER),
        "candidates": (Candidate(cause, 0.5),),
        "start": ns(117.9),
        "end": ns(118.2),
        "title": f"per-user connection throttling: account {ACCOUNT} on {SERVER} refused 3 of 3 times",
        "summary": "Three logins were refused within 0.2 s.",
        "evidence": (evidence(frames=(10_569, 10_627, 10_647)),),
    }
    return Finding(**(given | changes))


def capture_seen(name: str = CAPTURE, **changes: Any) -> Any:
    """One capture that was read whole and shows both sides."""
    from analyzer.sessions.coverage import CaptureSeen, Quality

    given: dict[str, Any] = {
        "name": name,
        "sha256": "0" * 64,
        "format": "pcapng",
        "link_types": ("ethernet",),
        "packets": 10_647,
        "start": ns(0.0),
        "end": ns(117.9),
        "resolution": 6,
        "state": "ok",
        "stopped": None,
        "quality": Quality("A", ()),
        "warnings": (),
    }
    if changes.get("state") in {"not_a_capture", "password_needed", "timeout", "error"}:
        given["format"] = None
    return CaptureSeen(**(given | changes))


def account_row(account: str | None = ACCOUNT, **changes: Any) -> Any:
    """One line of the accounts table."""
    from analyzer.sessions.accounts import Account

    given: dict[str, Any] = {
        "account": account,
        "server": SERVER,
        "protocol": "imap",
        "logins_accepted": 16,
        "logins_refused": 4,
        "clients": (CLIENT,),
        "clients_refused": (CLIENT,),
        "peak_open": 16,
        "peak_open_at": ns(80.0),
    }
    return Account(**(given | changes))


def result(
    sessions: Iterable[Session] = (),
    findings: Iterable[Finding] = (),
    captures: Iterable[Any] | None = None,
    **changes: Any,
) -> Any:
    """A whole result around these sessions and findings, with one clean capture."""
    from analyzer.report.result import Result

    sessions = tuple(sessions)
    given: dict[str, Any] = {
        "captures": (capture_seen(),) if captures is None else tuple(captures),
        "sessions": sessions,
        "logins": tuple(x for s in sessions for x in s.logins),
        "accounts": (),
        "findings": tuple(findings),
        "remedies": (),
        "known": (),
    }
    return Result(**(given | changes))


def changed(record: Any, **changes: Any) -> Any:
    """Return a copy of a record with other values."""
    return record._replace(**changes)
