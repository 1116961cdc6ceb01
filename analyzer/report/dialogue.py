"""The conversation of one session as lines a person reads: who, when, which frame; secrets masked by the parser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from analyzer.at import NS_PER_S, At, Side
from analyzer.protocols.events import (
    AuthEnded,
    AuthIdentity,
    AuthServer,
    AuthStarted,
    Capability,
    Closed,
    Command,
    Event,
    Greeting,
    Lost,
    Malformed,
    Reply,
    TlsAlert,
    TlsCertificate,
    TlsHello,
    TlsStarted,
    TlsTalk,
)


class DialogueLine(NamedTuple):
    """One line of a conversation."""

    at: At
    delta_s: float
    """Seconds since the line before."""
    side: str
    """C, S, or '-' for a remark of ours."""
    text: str

    def __str__(self) -> str:
        return f"{self.at.frame:>8}  {self.delta_s:+10.6f} s  {self.side}: {self.text}"


class Dialogue(NamedTuple):
    """The conversation of one session."""

    capture: str
    session: str
    """Its uid."""
    lines: tuple[DialogueLine, ...]


def lines(events: Iterable[Event]) -> list[DialogueLine]:
    """Turn a session's events into the lines of its conversation."""
    found: list[DialogueLine] = []
    for event in events:
        told = _tell(event)
        if told is None:
            continue
        delta = (event.at.ts - found[-1].at.ts) / NS_PER_S if found else 0.0
        found.append(DialogueLine(event.at, delta, *told))
    return found


def placed(told: Iterable[DialogueLine], place: Callable[[int], tuple[str, int]]) -> list[DialogueLine]:
    """Return lines whose frames are counted through a series of files as each file counts them, and say which it is."""
    found: list[DialogueLine] = []
    before = None
    for line in told:
        name, frame = place(line.at.frame)
        at = At(frame, line.at.ts)
        if name != before:
            found.append(DialogueLine(at, 0.0, "-", f"in {name}"))
            before = name
        found.append(line._replace(at=at))
    return found


def _reply(tag: str, status: str, code: str | None, text: str) -> str:
    return " ".join(part for part in (tag, status, f"[{code}]" if code else "", text) if part)


def _hidden(event: TlsHello | TlsCertificate | TlsAlert | TlsTalk) -> str:
    """Tell what TLS shows of itself."""
    match event:
        case TlsHello(side=Side.SERVER, version=version, alpn=alpn):
            return " ".join(["the server chooses", version or "an unknown version of TLS", *alpn])
        case TlsHello(versions=versions, sni=sni, alpn=alpn):
            asked = f" for {sni}" if sni else ""
            return f"the client asks{asked}, offers {', '.join((*versions, *alpn)) or 'nothing known'}"
        case TlsCertificate(names=names, issuer=issuer):
            return f"certificate of {', '.join(names) or 'nobody'}, signed by {issuer or 'nobody'}"
        case TlsAlert(side=side, level=level, description=words):
            return f"{side.name.lower()}: TLS alert, {level}: {words}"
        case TlsTalk(turns=turns, records=records):
            sizes = " ".join(f"{'CS'[turn.side]}{turn.size_bytes}" for turn in turns)
            return (
                f"{records} records inside TLS, octets by turns: {sizes}" if records else "nothing was said inside TLS"
            )


def _tell(event: Event) -> tuple[str, str] | None:
    match event:
        case Greeting(status=status, code=code, text=text):
            return "S", _reply("*", status, code, text)
        case Command(tag=tag, verb=verb, args=args):
            return "C", " ".join(part for part in (tag, verb, args) if part)
        case Reply(tag=tag, status=status, code=code, text=text):
            return "S", _reply(tag, status, code, text)
        case AuthEnded(tag=tag, status=status, code=code, text=text, outcome=outcome):
            return ("S", _reply(tag, status, code, text)) if status else ("-", f"login {outcome}")
        case AuthIdentity(identity=who, complete=complete):
            name = f"{who.domain}\\{who.account}" if who.domain else who.account
            at = f" at {who.workstation}" if who.workstation else ""
            return (
                ("-", f"account {name}{at}{'' if complete else ' (message cut)'}, secret ***") if who.account else None
            )
        case AuthServer(name=name):
            return "-", f"the server calls itself {name}"
        case Capability(words=words):
            return "S", f"* CAPABILITY {' '.join(words)}"
        case TlsStarted(implicit=implicit):
            return "-", "TLS from the first octet" if implicit else "TLS starts"
        case TlsHello() | TlsCertificate() | TlsAlert() | TlsTalk():
            return "-", _hidden(event)
        case Lost(side=side, count=count):
            return "-", f"{count} octets of the {side.name.lower()} are missing from the capture"
        case Malformed(side=side, why=why):
            return "-", f"{side.name.lower()}: {why}"
        case AuthStarted() | Closed():
            return None
    return None
