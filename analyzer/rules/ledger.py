"""The ledger of a login dispute: who was accepted and refused when, with which secret, and how many sessions were open.

All rules about an account's logins read the same ledger, so that they argue about the same facts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import groupby, pairwise
from operator import itemgetter
from typing import NamedTuple

from analyzer.at import NS_PER_S
from analyzer.rules.plateau import Levels, Standing, compared, levels, standing
from analyzer.rules.scene import Dispute, Refusal
from analyzer.secret import Secret
from analyzer.sessions.concurrency import Span, Steps, spans, steps
from analyzer.sessions.session import Login, LoginOutcome, Session

SECRET_WINDOW_S = 900.0
"""Seconds within which one secret accepted and refused cannot be two passwords: a change back is not made that fast."""
PAIR_S = 3.0
"""Seconds within which two first logins of one host belong together: a client opens its connections at start."""
FAST_RETRY_S = 3.0
"""Seconds between attempts below which it is a program that retries, not a person who types."""


def host_of(login: Login) -> str:
    """Return who logs in: the address, with the workstation when NTLM names one."""
    return f"{login.client} {login.workstation}" if login.workstation else login.client


def by_host(logins: Iterable[Login]) -> dict[str, list[Login]]:
    """Return the logins of each host, in their order."""
    found: dict[str, list[Login]] = defaultdict(list)
    for login in logins:
        found[host_of(login)].append(login)
    return found


def left_by_itself(s: Session) -> bool:
    """Tell a session that its client ended; one that the server ended may have ended with the trouble."""
    return s.logged_out or s.closed_by == "client"


def _was_in(s: Session) -> bool:
    """Tell a session that was open; one whose answer to the login was lost took its leave as those do."""
    lost = s.logged_out and any(x.outcome is LoginOutcome.UNSEEN for x in s.logins)
    return s.opened is not None or lost


def decided_ts(login: Login) -> int:
    """Return when a login was decided, or begun when it never was, ns."""
    return login.decided.ts if login.decided else login.at.ts


class Ledger:
    """Facts of one login dispute; built once by :func:`ledger`."""

    def __init__(  # noqa: PLR0917
        self,
        dispute: Dispute,
        refused: list[Login],
        spans: list[Span],
        line: Steps,
        standing: Standing,
        left: list[int],
    ) -> None:
        self.dispute = dispute
        self.refused = refused
        """The refused logins of the dispute, by time."""
        self.accepted = dispute.accepted
        """The accepted logins of the account on the server, by time."""
        self.spans, self.line, self.standing = spans, line, standing
        self.witnesses = frozenset(host_of(x) for x in dispute.accepted)
        """Hosts accepted at least once: their credentials were good at some time."""
        self.left = left
        """When sessions were closed because their client wanted it, ns."""
        self.reversals: list[tuple[Login, Login, Login]] = []
        """(accepted, refused, accepted) with one and the same secret, in this order, within the window."""
        self.kept: list[tuple[Login, Login]] = []
        """(accepted, refused later) with one and the same secret."""
        self.regained: list[tuple[Login, Login]] = []
        """(refused, accepted later) with one and the same secret."""
        self.strange: list[Refusal] = []
        """Refusals whose secret was accepted nowhere, while another secret was."""
        self.corrected: list[tuple[Login, Login]] = []
        """(refused, accepted later by the same host with another secret)."""

    @cached_property
    def refused_hosts(self) -> frozenset[str]:
        """Hosts refused at least once."""
        return frozenset(host_of(x) for x in self.refused)

    @cached_property
    def outsiders(self) -> frozenset[str]:
        """Hosts refused and never accepted."""
        return self.refused_hosts - self.witnesses

    @property
    def wide(self) -> bool:
        """One capture holds several clients of the server: taken at the server or a mirror port, not on one PC.

        Captures of several PCs together are not: the PCs between them may hold the sessions that are missing.
        """
        return self.dispute.scene.is_wide(self.dispute.server)

    @property
    def late(self) -> bool:
        """Sessions were open before the capture began; silent ones among them leave no trace at all."""
        return self.dispute.scene.place(self.dispute.server).is_late

    @property
    def below(self) -> int:
        """Refusals with fewer sessions open than an acceptance had; one PC cannot tell, others' sessions come and go."""
        return self.standing.below if self.wide else 0

    @cached_property
    def superseded(self) -> tuple[Login, Login, Login] | None:
        """(accepted, refused later with the same secret, accepted later still with another): the password was changed."""
        if not self.kept or self.regained:
            return None
        before, refused = self.kept[0]
        old = refused.credential
        newer = next(
            (x for x in self.accepted if decided_ts(x) > decided_ts(refused) and x.credential not in {None, old}), None
        )
        return (before, refused, newer) if newer else None

    @cached_property
    def partners(self) -> list[tuple[Login, Login]]:
        """(accepted, refused) logins of one host within seconds, in this order: its two connections."""
        return [(a, r) for a, r in self.halves if a.credential is None or a.credential == r.credential]

    @cached_property
    def interleaved(self) -> list[Login]:
        """Acceptances between the first and the last refusal."""
        return [x for x in self.accepted_since(self.dispute.first) if decided_ts(x) < self.dispute.last]

    @cached_property
    def after_all(self) -> list[Login]:
        """Acceptances after the last refusal."""
        return self.accepted_since(self.dispute.last)

    @cached_property
    def members(self) -> frozenset[str]:
        """Names of the servers behind the one address, where each login tells which of several decided it; else none."""
        return members_of([*self.refused, *self.accepted])

    def accepted_since(self, ts: int) -> list[Login]:
        """Return the acceptances after a time, ns."""
        return self.accepted[bisect_right(self.accepted, ts, key=decided_ts) :]

    @property
    def episodes(self) -> int:
        """Runs of refusals of witnesses, with an acceptance between each two; retries within a run are one fact."""
        return self._runs[0]

    @property
    def comebacks(self) -> int:
        """How many of these runs were followed by an acceptance."""
        return self._runs[1]

    @cached_property
    def returns(self) -> list[tuple[list[Login], Login]]:
        """(run of refusals, the acceptance that ended it), in order; of all hosts."""
        found: list[tuple[list[Login], Login]] = []
        run: list[Login] = []
        for login in sorted([*self.accepted, *self.refused], key=decided_ts):
            if login.outcome is LoginOutcome.REFUSED:
                run.append(login)
            elif run:
                found.append((run, login))
                run = []
        return found

    @cached_property
    def _runs(self) -> tuple[int, int]:
        told = [x for x in self.refused if host_of(x) in self.witnesses]
        marks = sorted([(decided_ts(x), 1) for x in self.accepted] + [(decided_ts(x), 0) for x in told])
        kinds = [kind for kind, _ in groupby(marks, key=lambda mark: mark[1])]
        return kinds.count(0), sum(1 for a, b in pairwise(kinds) if (a, b) == (0, 1))

    @cached_property
    def halves(self) -> list[tuple[Login, Login]]:
        """(accepted, refused) first logins of one host, started together: the edge of a limit runs between them."""
        return _halves(self.accepted, self.refused)

    @cached_property
    def fast_retry_s(self) -> float | None:
        """Median seconds between refusals of one host, when it is a retry loop (three or more, each soon after)."""
        return _fast_retry(self.refused)


def ledger(dispute: Dispute) -> Ledger:
    """Gather the facts of a login dispute."""
    refused = [r.login for r in dispute.refusals if r.login is not None]
    sessions = dispute.scene.sessions_of(dispute.server, dispute.account)
    open_spans = spans(sessions)
    line = steps(open_spans)
    stand = _standing(dispute, refused, sessions, open_spans, line)
    left = [s.closed_at.ts for s in sessions if s.closed_at is not None and _was_in(s) and left_by_itself(s)]
    result = Ledger(dispute, refused, open_spans, line, stand, left)
    _compare_secrets(result)
    return result


class _Part(NamedTuple):
    """What one of several servers behind an address saw: when it decided logins (ns), and which sessions it kept."""

    refused: list[int]
    accepted: list[int]
    sessions: list[Session]


def members_of(logins: Sequence[Login]) -> frozenset[str]:
    """Return the names of the servers that decided some logins, when there are several and all of them are known."""
    names = {x.server_name for x in logins}
    return frozenset(x for x in names if x is not None) if len(names) > 1 and None not in names else frozenset()


def _standing(
    dispute: Dispute, refused: Sequence[Login], sessions: Sequence[Session], open_spans: Sequence[Span], line: Steps
) -> Standing:
    """Compare refusals with acceptances; each server behind a load balancer counts its own sessions."""
    unsure = dispute.scene.unsure(dispute.server)
    if not members_of([*refused, *dispute.accepted]):
        times = [decided_ts(x) for x in refused], [decided_ts(x) for x in dispute.accepted]
        return standing(*times, open_spans, line, unsure=unsure)
    parts: dict[str | None, _Part] = defaultdict(lambda: _Part([], [], []))
    for login in refused:
        parts[login.server_name].refused.append(decided_ts(login))
    for login in dispute.accepted:
        parts[login.server_name].accepted.append(decided_ts(login))
    for s in sessions:
        parts[s.server_name].sessions.append(s)
    unsure += len(spans(parts.pop(None, _Part([], [], [])).sessions))
    found = Levels([], [], [])
    for part in parts.values():
        mine = spans(part.sessions)
        there = levels(part.refused, part.accepted, mine, steps(mine))
        for all_of_them, its_own in zip(found, there, strict=True):
            all_of_them.extend(its_own)
    return compared(found, unsure=unsure)


def _compare_secrets(book: Ledger) -> None:
    good: dict[Secret, list[Login]] = defaultdict(list)
    for accepted in book.accepted:
        if accepted.credential is not None:
            good[accepted.credential].append(accepted)
    entered = by_host(book.accepted) if good else {}
    for refusal in book.dispute.refusals:
        login = refusal.login
        if login is None or login.credential is None:
            continue
        same = good.get(login.credential)
        if same is not None:
            _compare(book, login, same)
        elif good:
            book.strange.append(refusal)
            if (later := _next(entered.get(host_of(login), ()), login)) is not None:
                book.corrected.append((login, later))


def _compare(book: Ledger, login: Login, same: Sequence[Login]) -> None:
    """Note the nearest acceptances of a refused login's own secret, before and after it."""
    place = bisect_left(same, decided_ts(login), key=decided_ts)
    before = same[place - 1] if place else None
    after = same[place] if place < len(same) else None
    window = SECRET_WINDOW_S * NS_PER_S
    if before is not None and decided_ts(login) - decided_ts(before) <= window:
        book.kept.append((before, login))
    else:
        before = None
    if after is not None and decided_ts(after) - decided_ts(login) <= window:
        book.regained.append((login, after))
        if before is not None:
            book.reversals.append((before, login, after))


def _next(entered: Sequence[Login], login: Login) -> Login | None:
    """Return the first of a host's acceptances after a login."""
    place = bisect_left(entered, decided_ts(login), key=decided_ts)
    return entered[place] if place < len(entered) else None


def _halves(accepted: Iterable[Login], refused: Iterable[Login]) -> list[tuple[Login, Login]]:
    entered: dict[str, list[tuple[int, int, Login]]] = defaultdict(list)
    for place, login in enumerate(accepted):
        entered[host_of(login)].append((login.at.ts, place, login))
    for logins in entered.values():
        logins.sort()
    found: dict[str, tuple[Login, Login]] = {}
    pair = int(PAIR_S * NS_PER_S)
    for login in refused:
        host = host_of(login)
        if host in found:
            continue
        mine = entered.get(host, [])
        near = mine[bisect_left(mine, (login.at.ts - pair,)) : bisect_left(mine, (login.at.ts + 1,))]
        if near:
            found[host] = (max(near, key=itemgetter(1))[2], login)
    return list(found.values())


def _fast_retry(refused: Iterable[Login]) -> float | None:
    by_host: dict[str, list[int]] = defaultdict(list)
    for login in refused:
        by_host[host_of(login)].append(login.at.ts)
    gaps = sorted((b - a) / NS_PER_S for times in by_host.values() for a, b in pairwise(times))
    if len(gaps) < 2:
        return None
    median = gaps[len(gaps) // 2]
    return median if median <= FAST_RETRY_S else None
