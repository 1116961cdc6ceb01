"""A series read as one capture: its sessions, and each frame back in the file that it stands in.

Names are looked at for one thing only: a number that is missing among them is a file that is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from analyzer.at import At
from analyzer.capture.packets import Capture
from analyzer.capture.series import Series
from analyzer.sessions.coverage import CaptureSeen, capture_seen, worse
from analyzer.sessions.series import Run
from analyzer.sessions.session import Login, Session

_NUMBER = re.compile(r"\d+")
_DUMPCAP = re.compile(r"_(\d{5})_\d{14}")
_NUMBER_DIGITS = 9
"""More digits are a date and time, no counter."""


def join(
    run: Run, parts: Iterable[Capture], read: Callable[[Capture], list[Session]], seen: Sequence[CaptureSeen]
) -> Joined:
    """Read a series as one capture.

    Args:
        run: which captures, in order.
        parts: the same, opened when asked for.
        read: what turns a capture into sessions.
        seen: what is known of each from reading it by itself.
    """
    series = Series(run.names[0], parts)
    sessions = read(series)
    digests = {x.name: x.sha256 for x in seen}
    whole = [
        capture_seen(name, digests[name], facts, _within(run, part, sessions))
        for part, (name, facts) in enumerate(series.read)
    ]
    return Joined(run, tuple(sessions), _told(whole))


class Joined(NamedTuple):
    """A series that was read as one capture, named like its first part."""

    run: Run
    sessions: tuple[Session, ...]
    """Frames counted through."""
    seen: tuple[CaptureSeen, ...]
    """The parts, each graded by the sessions that it holds a part of."""

    def adds_up(self, apart: Iterable[Session]) -> bool:
        """Tell whether connections that go on brought their octets along.

        If not, they were other octets of the same time, from another capture point with another clock.
        """
        apart = list(apart)
        carried = sum(_octets(s) for s in apart if s.syn_at is None and s.capture != self.run.names[0])
        lost = sum(map(_octets, apart)) - sum(map(_octets, self.sessions))
        return 2 * lost <= carried

    def placed(self, s: Session) -> Session:
        """Return a session with its frames as each file counts them."""
        name, first = self.run.place(s.first_frame)
        end, last = self.run.place(s.last_frame)
        moved: dict[str, Any] = {
            name: self._at(value) for name, value in zip(s._fields, s, strict=True) if isinstance(value, At)
        }
        return s._replace(
            capture=name,
            first_frame=first,
            last_frame=last,
            last_capture=None if end == name else end,
            logins=tuple(self._login(x) for x in s.logins),
            complaints=tuple(x._replace(at=self._at(x.at)) for x in s.complaints),
            **moved,
        )

    def _at(self, at: At) -> At:
        return At(self.run.place(at.frame)[1], at.ts)

    def _login(self, x: Login) -> Login:
        name = self.run.place(x.at.frame)[0]
        if x.decided is None:
            return x._replace(capture=name, at=self._at(x.at))
        end = self.run.place(x.decided.frame)[0]
        decided = None if end == name else end
        return x._replace(capture=name, at=self._at(x.at), decided=self._at(x.decided), decided_capture=decided)


def _octets(s: Session) -> int:
    return s.client_bytes + s.server_bytes


def _within(run: Run, part: int, sessions: Iterable[Session]) -> list[Session]:
    """Return the sessions of a series of which a part may hold packets."""
    first = run.before[part]
    last = run.before[part + 1] if part + 1 < len(run.before) else None
    return [s for s in sessions if s.last_frame > first and (last is None or s.first_frame <= last)]


def _told(seen: Sequence[CaptureSeen]) -> tuple[CaptureSeen, ...]:
    """Say of each part of a series that it is one, and where a file is missing before it."""
    names = tuple(x.name for x in seen)
    lost = _missing(names)
    parts = [x._replace(series=names) for x in seen]
    for place, words in lost.items():
        parts[place] = parts[place]._replace(quality=worse(parts[place].quality, words))
    return tuple(parts)


def _missing(names: Sequence[str]) -> dict[int, str]:
    """Return, for parts before which the numbers in the names leave one out, a sentence about it."""
    numbers = _counters(names)
    lost: dict[int, str] = {}
    for place, (one, other) in enumerate(pairwise(numbers), 1):
        missing = other - one - 1
        if missing > 0:
            what = f"file {one + 1}" if missing == 1 else f"files {one + 1} to {other - 1}"
            lost[place] = f"{what} of the series {'is' if missing == 1 else 'are'} missing before {names[place]}"
    return lost


def _counters(names: Sequence[str]) -> list[int]:
    """Return the number in each name that counts files; nothing when there is no such number.

    dumpcap's stands before date and time; another is the same place of names alike but for numbers, if it goes up by one.
    """
    found = [_DUMPCAP.search(name) for name in names]
    if all(found):
        return [int(x[1]) for x in found if x]
    if len({_NUMBER.sub("#", name) for name in names}) > 1:
        return []
    for column in zip(*(_NUMBER.findall(name) for name in names), strict=True):
        numbers = [int(digits[:_NUMBER_DIGITS]) for digits in column]
        steps = [b - a for a, b in pairwise(numbers)]
        if min(steps) == 1 and max(map(len, column)) <= _NUMBER_DIGITS:
            return numbers
    return []
