"""Octets of a dialogue -> one Session, through the conversation that listens to a connection; no packet in between."""

from __future__ import annotations

from collections.abc import Iterable

from analyzer.at import NS_PER_S, At, Side
from analyzer.protocols import Event
from analyzer.sessions.converse import Conversation
from analyzer.sessions.session import Session
from analyzer.streams import Chunk, Connection

START = 1_700_000_000 * NS_PER_S
STEP = NS_PER_S // 100
C, S = Side.CLIENT, Side.SERVER
GREETING = b"* OK The Microsoft Exchange IMAP4 service is ready.\r\n"


def at(step: int) -> At:
    """Step ``n`` is frame ``n + 1``, ten milliseconds after the one before."""
    return At(step + 1, START + step * STEP)


def connection(*, syn: bool = True, ended: Side | None = C, steps: int = 30, **changes: object) -> Connection:
    """A connection to port 143 that was seen from its SYN and closed by the client."""
    given: dict[str, object] = {
        "uid": "C1", "client": "192.0.2.11", "client_port": 50_001, "server": "198.51.100.10", "server_port": 143,
        "client_known": "syn" if syn else "port", "first_frame": 1, "start": START, "last_frame": steps,
        "end": at(steps - 1).ts, "conn_state": "SF" if syn else "OTH", "client_bytes": 100, "server_bytes": 200,
        "syn_at": at(0) if syn else None, "syn_count": int(syn), "established_at": at(1) if syn else None,
        "fin_by": ended, "fin_at": None if ended is None else at(steps - 1),
    }  # fmt: skip
    given |= changes
    made = Connection(
        "C1", str(given["client"]), 50_001, str(given["server"]), 143, str(given["client_known"]), 1, START
    )
    for name, value in given.items():
        setattr(made, name, value)
    return made


def converse(
    steps: Iterable[tuple[Side, bytes]], link: Connection | None = None, tap: list[Event] | None = None
) -> Session:
    """Play octets, step by step, to a conversation and return its session."""
    heard: list[Session] = []
    talk = Conversation("test.pcap", link or connection(), heard.append, tap)
    for n, (side, data) in enumerate(steps, 2):
        talk.chunk(Chunk(side, data, at(n)))
    talk.end()
    (session,) = heard
    return session
