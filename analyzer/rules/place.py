"""Place: one server of a scene, with what many rules ask about it, each worked out once and only when asked.

A capture may hold thousands of disputes about one server; whatever each of them asks must not cost a walk over all its
sessions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

from analyzer.rules.signatures import heard
from analyzer.sessions.concurrency import Span, account_of, peak_of
from analyzer.sessions.names import Names
from analyzer.sessions.session import Login, LoginOutcome, Outcome, Session


class Timed(NamedTuple):
    """Logins in the order they were decided."""

    times: list[int]
    """When, ns UTC, ascending."""
    logins: list[Login]
    accounts: list[str | None]
    """The account each counts for."""

    def between(self, first: int, last: int) -> tuple[int, int]:
        """Return the places of the logins decided from ``first`` to ``last``, ns: the first one, and one past the last."""
        return bisect_left(self.times, first), bisect_right(self.times, last)


class Place:
    """What was seen of one server."""

    def __init__(self, sessions: list[Session], names: Callable[[], Names]) -> None:
        self.sessions = sessions
        """In the order of the scene."""
        self._spelled = names
        self._at_once: dict[str, int] = {}

    @cached_property
    def _names(self) -> Names:
        return self._spelled()

    @cached_property
    def hosts(self) -> set[str]:
        """Addresses that connected."""
        return {s.client for s in self.sessions}

    @cached_property
    def is_wide(self) -> bool:
        """One capture holds several clients."""
        clients: dict[str, str] = {}
        return any(clients.setdefault(s.capture, s.client) != s.client for s in self.sessions)

    @cached_property
    def is_late(self) -> bool:
        """Sessions were open before the capture began."""
        return any(s.opened_before for s in self.sessions)

    @cached_property
    def is_alive(self) -> bool:
        """It greeted somebody, or let somebody in."""
        return any(s.opened is not None or s.greeting_status == "OK" for s in self.sessions)

    @cached_property
    def unsure(self) -> int:
        """Sessions that may have been open without the capture showing it."""
        return sum(map(_maybe_open, self.sessions))

    @cached_property
    def product(self) -> str | None:
        """The product, as the first session that tells."""
        return next((s.product for s in self.sessions if s.product), None)

    @cached_property
    def welcome(self) -> list[tuple[Session, Login]]:
        """The accepted logins, each with its session."""
        return [(s, x) for s in self.sessions for x in s.logins if x.outcome is LoginOutcome.ACCEPTED]

    @cached_property
    def ways(self) -> set[tuple[str, str]]:
        """(how the session was encrypted, mechanism) of accepted logins."""
        return {(s.tls, x.mechanism) for s, x in self.welcome}

    @cached_property
    def accepted(self) -> Timed:
        """The accepted logins, by time."""
        return self._timed(x for _, x in self.welcome)

    @cached_property
    def accepted_of(self) -> dict[str | None, list[Login]]:
        """The accepted logins of each account, by time."""
        found: dict[str | None, list[Login]] = defaultdict(list)
        for x, account in zip(self.accepted.logins, self.accepted.accounts, strict=True):
            found[account].append(x)
        return found

    @cached_property
    def refused(self) -> list[tuple[Session, Login]]:
        """The refused logins, each with its session."""
        return [(s, x) for s in self.sessions for x in s.logins if x.outcome is LoginOutcome.REFUSED]

    @cached_property
    def unexplained(self) -> Timed:
        """The refused logins whose words name no reason, by time."""
        return self._timed(x for s, x in self.refused if not _explained(s, x))

    @cached_property
    def slowest_ms(self) -> float:
        """The longest wait for one of them, ms."""
        return max((x.auth_ms or 0.0 for x in self.unexplained.logins), default=0.0)

    @cached_property
    def by_client(self) -> dict[str, list[Session]]:
        """The sessions of each client."""
        found: dict[str, list[Session]] = defaultdict(list)
        for s in self.sessions:
            found[s.client].append(s)
        return found

    @cached_property
    def by_account(self) -> dict[str | None, list[Session]]:
        """The sessions of each account; see :func:`account_of`."""
        found: dict[str | None, list[Session]] = defaultdict(list)
        for s in self.sessions:
            found[account_of(s, self._names)].append(s)
        return found

    @cached_property
    def refused_of(self) -> dict[str | None, list[Login]]:
        """The refused logins of each account."""
        found: dict[str | None, list[Login]] = defaultdict(list)
        for _, x in self.refused:
            found[self._names.of(x)].append(x)
        return found

    @cached_property
    def guesses(self) -> dict[str, int]:
        """For each client that got into no account: how many it was refused for."""
        entered = {s.client for s, _ in self.welcome}
        tried: dict[str, set[str]] = defaultdict(set)
        for s, x in self.refused:
            if s.client not in entered and (account := self._names.of(x)) is not None:
                tried[s.client].add(account)
        return {client: len(accounts) for client, accounts in tried.items()}

    def at_once(self, client: str) -> int:
        """Return how many connections a client had open at once, at most."""
        if client not in self._at_once:
            mine = [Span(s.start, s.closed_at.ts if s.closed_at else s.end) for s in self.by_client.get(client, ())]
            self._at_once[client] = peak_of(mine)[0]
        return self._at_once[client]

    def _timed(self, logins: Iterable[Login]) -> Timed:
        found = sorted([(x.decided.ts, x) for x in logins if x.decided is not None], key=itemgetter(0))
        ordered = [x for _, x in found]
        return Timed([ts for ts, _ in found], ordered, list(map(self._names.of, ordered)))


def _maybe_open(s: Session) -> bool:
    """Tell a session that may have been open without the capture showing it."""
    unseen = s.syn_at is None or s.missed_bytes > 0 or s.outcome is Outcome.OPAQUE
    return s.opened is None and s.greeting_status != "BYE" and unseen


def _explained(s: Session, login: Login) -> bool:
    """Tell a refusal whose words name another reason."""
    return heard("login", (login.status, login.code, login.text), s.product, s.protocol)[1].explicit
