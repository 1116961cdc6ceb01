"""What a capture can and cannot show: its state, its grade and the reasons for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from analyzer.capture.packets import Facts, Stopped
from analyzer.sessions.session import Session


class Quality(NamedTuple):
    """How much a verdict may rest on this capture."""

    grade: str
    """A (nothing missing) to F (nothing usable)."""
    reasons: tuple[str, ...]
    """Why it is not an A."""


@dataclass(frozen=True, slots=True)
class CaptureSeen:
    """One input file, as far as it could be read."""

    name: str
    """Base name, cleaned."""
    sha256: str | None
    format: str | None
    link_types: tuple[str, ...]
    packets: int
    """All frames, mail or not."""
    start: int | None
    """Earliest frame, ns UTC."""
    end: int | None
    resolution: int
    """Decimal digits of a second the capture's clock has."""
    state: str
    """ok, partial, empty, no_mail, not_a_capture, password_needed, timeout, error."""
    stopped: Stopped | None
    quality: Quality
    warnings: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    """Names of the files that were read as one capture, itself among them, in order; none when it stands alone."""

    @property
    def unread(self) -> bool:
        """Not one frame of it could be read: there is no format that it has."""
        return self.format is None


_GRADES = "ABCDF"


def capture_seen(name: str, sha256: str | None, facts: Facts, sessions: Sequence[Session]) -> CaptureSeen:
    """Describe a capture that was read."""
    state = "partial" if facts.stopped else "empty" if not facts.packets else "ok" if sessions else "no_mail"
    return CaptureSeen(
        name=name,
        sha256=sha256,
        format=facts.format,
        link_types=tuple(facts.link_types),
        packets=facts.packets,
        start=facts.start,
        end=facts.end,
        resolution=facts.resolution,
        state=state,
        stopped=facts.stopped,
        quality=_quality(facts, sessions),
        warnings=tuple(facts.warnings),
    )


def unread(name: str, state: str, reason: str, sha256: str | None = None, hint: str = "") -> CaptureSeen:
    """Describe an input that could not be read at all; the hint says what to do now."""
    quality = Quality("F", (reason, hint) if hint else (reason,))
    return CaptureSeen(name, sha256, None, (), 0, None, None, 6, state, None, quality)


def _snapped(packets: int, sessions: Sequence[Session]) -> tuple[int, str]:
    """Return what the snap length costs, by how much of what was said it left."""
    left = sum(s.client_bytes + s.server_bytes for s in sessions)
    missed = sum(s.missed_bytes for s in sessions)
    what = f"{packets} mail packets were cut by the snap length"
    if not left:
        return 3, f"{what}: nothing of what was said is left; capture whole packets"
    return (2, f"{what}: most of what was said is missing; capture whole packets") if missed > left else (1, what)


def worse(quality: Quality, reason: str) -> Quality:
    """Take one grade off for a reason."""
    return Quality(_GRADES[min(_GRADES.index(quality.grade) + 1, len(_GRADES) - 1)], (*quality.reasons, reason))


def _quality(facts: Facts, sessions: Sequence[Session]) -> Quality:
    """Grade by the worst thing met: each reason costs steps from A; F is kept for a capture with nothing to judge."""
    spoke = [s for s in sessions if s.client_bytes or s.server_bytes]
    costs: list[tuple[int, str]] = []
    if facts.stopped:
        costs.append((1, f"reading stopped after frame {facts.stopped.frame}: {facts.stopped.reason}"))
    if facts.snapped:
        costs.append(_snapped(facts.snapped, sessions))
    gaps = sum(1 for s in spoke if s.missed_bytes)
    if gaps > facts.snapped:
        cost = 2 if gaps * 4 > len(spoke) else 1
        costs.append((cost, f"{gaps} of {len(spoke)} mail connections have octets missing from the capture"))
    one_sided = sum(1 for s in spoke if s.one_sided)
    if one_sided:
        costs.append((2, f"{one_sided} of {len(spoke)} mail connections show one direction only"))
    late = sum(1 for s in spoke if s.syn_at is None)
    if late:
        costs.append((1, f"{late} of {len(spoke)} mail connections began before the capture"))
    doubled = sum(s.duplicates for s in sessions)
    if doubled:
        costs.append((0, f"{doubled} mirrored copies of packets were set aside"))
    opaque = sum(1 for s in spoke if s.tls != "none")
    if opaque:
        costs.append((2 if opaque == len(spoke) else 0, f"{opaque} of {len(spoke)} mail connections are encrypted"))
    place = min(sum(cost for cost, _ in costs), 3) if sessions else 4
    reasons = tuple(text for _, text in costs) or (() if sessions else ("no mail connection in it",))
    return Quality(_GRADES[place], reasons)
