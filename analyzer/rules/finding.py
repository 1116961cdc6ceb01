"""Verdict, Evidence, Finding: what rules yield and what the engine makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Verdict(StrEnum):
    """How sure a finding is; the words of the output contract."""

    CONFIRMED = "confirmed"
    LIKELY = "likely"
    SUSPECTED = "suspected"
    RULED_OUT = "ruled_out"
    NOT_SEEN = "not_seen"
    FAILED = "failed"


CLAIMS = frozenset({Verdict.CONFIRMED, Verdict.LIKELY})
"""Verdicts that assert a cause; a wrong one is the worst defect there is."""


class FrameRef(NamedTuple):
    """A frame in one of the captures."""

    capture: str
    frame: int


FRAMES_SHOWN = 50
"""Frames listed with one piece of evidence; more would hide the proof instead of showing it."""


def filter_of(refs: tuple[FrameRef, ...]) -> str:
    """Return a Wireshark display filter for frames of one capture (the first one's)."""
    if not refs:
        return ""
    first = refs[0].capture
    numbers = sorted({ref.frame for ref in refs if ref.capture == first})
    return f"frame.number in {{{', '.join(map(str, numbers))}}}"


class Evidence(NamedTuple):
    """One fact for or against one cause."""

    text: str
    """One plain sentence a stranger understands."""
    frames: tuple[FrameRef, ...] = ()
    """Where to look, at most 50."""
    weight_db: float = 0.0
    """Decibels: > 0 speaks for the cause, < 0 against it."""
    decisive: bool = False
    """Alone enough to claim the cause, when no rival is near."""
    filter: str = ""
    """Wireshark display filter that shows it."""
    kind: str = ""
    """Kind of fact; of one kind only the strongest counts."""
    source: str = ""
    """RFC, vendor document, or what the engineer said."""


class Subject(NamedTuple):
    """Whom a finding is about; empty means not tied to one."""

    accounts: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    server: str | None = None
    protocol: str | None = "imap"


class Candidate(NamedTuple):
    """A cause still alive, with its share among its rivals."""

    cause: str
    confidence: float


class Finding(NamedTuple):
    """What the engine concluded about one subject."""

    rule: str
    """id of the rule that speaks for the cause."""
    cause: str
    """One of the contract's causes."""
    verdict: Verdict
    confidence: float
    """0..1, the cause's share among its rivals."""
    severity: str
    """fault, warning or info."""
    subject: Subject
    candidates: tuple[Candidate, ...]
    """Most likely first, the finding's own cause among them."""
    start: int
    """First sign, ns UTC."""
    end: int
    """Last sign, ns UTC."""
    title: str
    """The answer in one line."""
    summary: str
    """Two or three sentences: who, when, how many, how sure and why."""
    evidence: tuple[Evidence, ...]
    """For and against, strongest first."""
    missing: tuple[str, ...] = ()
    """What would settle it, as instructions."""
    remedies: tuple[str, ...] = ()
    """ids of remedies."""
    sessions: tuple[tuple[str, str], ...] = ()
    """(capture, uid) of the sessions that show it, at most 200."""
    facts: Mapping[str, float | int | str] = MappingProxyType({})
    """Numbers a remedy or chart needs: 'limit', 'clients', 'per_client', 'refused', 'accepted', 'peak', 'servers'."""
