"""The queue before a server: newcomers that waited long, when their turn came, and who had gone just before.

Read by the rules about servers that accept connections and then say nothing: one whose places are all taken serves the
next as soon as somebody goes, a slow or stuck one does not wait for that.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property
from math import log10
from operator import attrgetter, itemgetter
from typing import NamedTuple

from analyzer.at import NS_PER_S
from analyzer.rules.ledger import left_by_itself
from analyzer.rules.release import Closes
from analyzer.rules.scene import SILENCE_S, Dispute, Refusal
from analyzer.sessions.session import Session

LONG_NS = int(SILENCE_S * NS_PER_S)
NEAREST = 100
"""Ends looked at before a service: of thousands only the nearest matter."""
TOGETHER_NS = NS_PER_S
"""Newcomers served within this time of each other were let in by one and the same event."""


class Wait(NamedTuple):
    """A newcomer that waited long and was served in the end."""

    since: int
    """When it began to wait, ns."""
    served: int
    """When its turn came, ns."""
    session: Session


class Gone(NamedTuple):
    """A connection that had been served, and ended."""

    ts: int
    session: Session


class Release(NamedTuple):
    """A moment at which newcomers were served after a long wait."""

    wait: Wait
    """The first of them."""
    gone: Gone | None
    """Who had made way; None when nobody had."""
    chance: float
    """How likely it is by chance that somebody had gone so shortly before."""


class Waiting:
    """What a dispute about silence shows of the queue."""

    def __init__(self, dispute: Dispute) -> None:
        self.dispute = dispute

    @cached_property
    def hung(self) -> list[Refusal]:
        """Those that waited long; the others were cut off without a word."""
        return [r for r in self.dispute.refusals if _end(r) - r.at.ts >= LONG_NS or r.session.closed_by != "server"]

    @cached_property
    def at_greeting(self) -> bool:
        """They waited for the greeting, before anybody had said who he is; else for the answer to the login."""
        mute = sum(1 for r in self.dispute.refusals if r.session.greeting is None)
        return 2 * mute > len(self.dispute.refusals)

    @cached_property
    def served(self) -> list[Wait]:
        """Newcomers served late, by time of service."""
        found = [w for s in self._there if (w := _late(s, at_greeting=self.at_greeting)) is not None]
        return sorted(found, key=attrgetter("served"))

    @cached_property
    def gone(self) -> list[Gone]:
        """Ends of all connections, by time."""
        found = [Gone(s.closed_at.ts, s) for s in self._there if s.closed_at is not None]
        return sorted(found, key=attrgetter("ts"))

    @cached_property
    def moments(self) -> list[Release]:
        """The moments at which newcomers that had waited were served, each with who had just gone."""
        scene = self.dispute.scene
        freed = [g for g in self.gone if self._held(g.session) and left_by_itself(g.session)]
        times = [g.ts for g in freed]
        closes = Closes(times, scene.end)
        found: list[Release] = []
        for wait in self.served:
            if found and wait.served - found[-1].wait.served < TOGETHER_NS:
                continue
            last = bisect_right(times, wait.served)
            near = freed[max(bisect_left(times, wait.since), last - NEAREST) : last]
            gone = next((g for g in reversed(near) if self._made_way(g.session, wait)), None)
            chance = 1.0 if gone is None else closes.share(wait.served - gone.ts, scene.end - scene.start)
            found.append(Release(wait, gone, chance))
        return found

    @cached_property
    def unreleased(self) -> list[Wait]:
        """Newcomers for whom nobody had made way: more were served than had gone since the first of them began to wait."""
        late = {id(w.session): w for w in self.served}
        events = [(g.ts, _GONE, g.session) for g in self.gone]
        for s in self._there:
            begin, turn = _turn(s, at_greeting=self.at_greeting)
            if begin is not None:
                events.append((begin, _COME, s))
            if turn is not None:
                events.append((turn, _SERVED, s))
        waiting: set[int] = set()
        places, found = 0, []
        for _, what, s in sorted(events, key=itemgetter(0, 1)):
            if what == _COME:
                places = places if waiting else 0  # somebody waits: no place is free
                waiting.add(id(s))
            elif what == _GONE:
                places += 1
                waiting.discard(id(s))
            else:
                places -= 1
                if places < 0 and id(s) in late:
                    found.append(late[id(s)])
                places = max(places, 0)
                waiting.discard(id(s))
        return found

    @property
    def _there(self) -> list[Session]:
        return self.dispute.scene.on(self.dispute.server)

    def _held(self, s: Session) -> bool:
        """Tell a connection that took a place: it was served."""
        return s.greeting_at is not None or s.server_bytes > 0 if self.at_greeting else s.opened is not None

    def _made_way(self, gone: Session, newcomer: Wait) -> bool:
        """Tell whether a connection held a place all the while the newcomer waited, and that place is one of all.

        They are of different clients, and of different accounts where these matter: no limit but the server's joins them.
        """
        _, turn = _turn(gone, at_greeting=self.at_greeting)
        held_since = gone.start if turn is None else turn
        if gone.client == newcomer.session.client or held_since > newcomer.since:
            return False
        return self.at_greeting or len({gone.account, newcomer.session.account} - {None}) == 2


def _end(refusal: Refusal) -> int:
    s = refusal.session
    return s.closed_at.ts if s.closed_at is not None else s.end


_GONE, _COME, _SERVED = range(3)


def _turn(s: Session, *, at_greeting: bool) -> tuple[int | None, int | None]:
    """Return since when a connection waited and when its turn came, ns."""
    if at_greeting:
        turn = s.greeting_at.ts if s.greeting_at is not None else None
        return (s.established_at.ts if s.established_at is not None else None), turn
    return (s.login.at.ts if s.login is not None else None), s.opened


def _late(s: Session, *, at_greeting: bool) -> Wait | None:
    since, turn = _turn(s, at_greeting=at_greeting)
    return Wait(since, turn, s) if since is not None and turn is not None and turn - since >= LONG_NS else None


CLOCK_NS = 1_000_000
"""Waits are not compared more closely than this."""
EQUAL = 0.02
"""Share by which waits that are one delay differ at most; clients that all give up after the same time make turns alike, too."""
EQUAL_DB = 30.0
"""How unlikely it must be that waits of a queue are as equal as these: one in a thousand."""


def equal(waits: list[Wait]) -> int:
    """Return how many waits began apart and were equally long, 0 unless all were: a delay is, a turn in a queue is not."""
    lengths = [w.served - w.since for w in waits]
    if len(lengths) < 2:
        return 0
    spread = max(max(lengths) - min(lengths), CLOCK_NS)
    if spread > EQUAL * max(lengths):
        return 0
    apart, last = 0, None
    for wait in sorted(waits, key=attrgetter("since")):
        # Two that began together and were served together waited equally long whatever they waited for.
        if last is None or wait.since - last > 2 * spread:
            apart, last = apart + 1, wait.since
    # Of waits that end whenever somebody goes, each falls within the spread of the first by chance only.
    return apart if (apart - 1) * 10 * log10(max(lengths) / spread) >= EQUAL_DB else 0
