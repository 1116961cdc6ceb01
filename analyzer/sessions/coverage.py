"""What a capture can and cannot show: its state, its grade and the reasons for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from analyzer.at import NS_PER_S
from analyzer.capture.mislabelled import WARNING as REPAIRED
from analyzer.capture.packets import Facts, Stopped
from analyzer.sessions.session import Session

if TYPE_CHECKING:
    from analyzer.capture.instead import Instead


class Lack(NamedTuple):
    """One thing that a capture does not show as it should."""

    kind: str
    """listing, stopped, cut, gaps, one-sided, late, syns, clock, copies, encrypted, repaired, no-mail, vpn, loopback."""
    steps: int
    """Steps it costs from grade A."""
    text: str


class Quality(NamedTuple):
    """How much a verdict may rest on this capture."""

    grade: str
    """A (nothing missing) to F (nothing usable)."""
    reasons: tuple[str, ...]
    """Why it is not an A."""
    lacks: tuple[Lack, ...] = ()
    """The same, to be reckoned with."""


class CaptureSeen(NamedTuple):
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


MANY = 4
"""From one in this many on, a lack is no exception."""
SEVERAL = 3
"""Connections that cannot all be chance."""
SYN_WAIT_NS = 3 * NS_PER_S
"""After this long every system has sent an unanswered SYN again."""
JUMP_NS = NS_PER_S
"""Steps back of less are queues that swap packets, or interfaces joined in one file."""

_GRADES = "ABCDEF"
_LISTING = "packet "


def capture_seen(
    name: str, sha256: str | None, facts: Facts, sessions: Sequence[Session], found: Instead | None = None
) -> CaptureSeen:
    """Describe a capture that was read; ``found`` is what it holds instead of mail."""
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
        quality=_quality(facts, sessions, found),
        warnings=tuple(x for x in facts.warnings if x != REPAIRED or not sessions),
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
    grade = _GRADES[min(_GRADES.index(quality.grade) + 1, len(_GRADES) - 1)]
    return Quality(grade, (*quality.reasons, reason), (*quality.lacks, Lack("series", 1, reason)))


def _quality(facts: Facts, sessions: Sequence[Session], found: Instead | None) -> Quality:
    """Grade by steps from A: each lack costs some; F is kept for a capture with nothing to judge."""
    if not sessions:
        return _nothing(found)
    lacks = list(_lacks(facts, sessions))
    place = min(sum(lack.steps for lack in lacks), len(_GRADES) - 2)
    return Quality(_GRADES[place], tuple(lack.text for lack in lacks), tuple(lacks))


def _nothing(found: Instead | None) -> Quality:
    """Grade a capture without mail; say what it holds instead."""
    kind, text = "no-mail", "no mail connection in it"
    if found is not None and found.vpn * 2 >= found.frames:
        kind, text = (
            "vpn",
            f"{text}: {found.vpn} of the first {found.frames} frames are a VPN's, and the mail may be inside",
        )
    elif found is not None and found.loopback * 2 >= found.frames:
        kind, text = "loopback", f"{text}: {found.loopback} of the first {found.frames} frames never left the machine"
    elif found is not None:
        text = f"{text}: {found.tcp} of the first {found.frames} frames are TCP, none of mail"
    return Quality("F", (text,), (Lack(kind, 0, text),))


def _lacks(facts: Facts, sessions: Sequence[Session]) -> Iterator[Lack]:
    """Yield what the capture lacks, in the order of the story of its making."""
    spoke = [s for s in sessions if s.client_bytes or s.server_bytes]
    if facts.format.startswith(_LISTING):
        yield Lack("listing", 1, "a list of packets only")
    if facts.stopped:
        yield Lack("stopped", 1, f"reading stopped after frame {facts.stopped.frame}: {facts.stopped.reason}")
    if facts.snapped:
        yield Lack("cut", *_snapped(facts.snapped, sessions))
    gaps = sum(1 for s in spoke if s.missed_bytes and not _never_came(s))
    if gaps > facts.snapped:
        steps = 2 if gaps * MANY > len(spoke) else 1
        yield Lack("gaps", steps, f"{gaps} of {len(spoke)} mail connections have octets missing from the capture")
    if one_sided := sum(1 for s in spoke if s.one_sided):
        steps = 3 if one_sided == len(spoke) else 2 if one_sided * MANY > len(spoke) else 1
        yield Lack("one-sided", steps, f"{one_sided} of {len(spoke)} mail connections show one direction only")
    if late := sum(1 for s in spoke if s.syn_at is None):
        yield Lack("late", 1, f"{late} of {len(spoke)} mail connections began before the capture")
    if not spoke and _only_syns(facts, sessions):
        yield Lack("syns", 2, f"of {len(sessions)} mail connections there is nothing but the SYN packets")
    if back := _clock_steps(sessions):
        yield Lack(
            "clock", 1, f"the clock jumps back {back} time{'s' if back > 1 else ''}: what came first is uncertain"
        )
    if doubled := sum(s.duplicates for s in sessions):
        yield Lack("copies", 0, f"{doubled} mirrored copies of packets were set aside")
    if opaque := sum(1 for s in spoke if s.tls != "none" and not s.decrypted):
        steps = 2 if opaque == len(spoke) else 0
        yield Lack("encrypted", steps, f"{opaque} of {len(spoke)} mail connections are encrypted")
    if REPAIRED in facts.warnings:
        yield Lack("repaired", 0, REPAIRED)


def _never_came(s: Session) -> bool:
    """Tell a session whose missing octets its receiver has not got either: the network lost them, not the capture."""
    return s.stall is not None and s.stall.times == 0


def _only_syns(facts: Facts, sessions: Sequence[Session]) -> bool:
    """Tell a capture whose filter let only the first packets of connections through.

    A SYN that is not answered is sent again after a second or three (RFC 6298, section 2); here none is.
    """
    if len(sessions) < SEVERAL or facts.end is None or facts.end - sessions[0].start < SYN_WAIT_NS:
        return False
    return all(set(s.history) <= {"S", "h"} and s.syn_count <= 1 for s in sessions)


def _clock_steps(sessions: Sequence[Session]) -> int:
    """Count how often a connection, in order of frames, begins long before the one in front of it."""
    latest, steps = 0, 0
    for s in sessions:
        if s.start < latest - JUMP_NS:
            steps += 1
            latest = s.start
        elif s.start > latest:
            latest = s.start
    return steps
