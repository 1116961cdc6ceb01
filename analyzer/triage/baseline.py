"""Incidents of an earlier store against those of now: new, still there, fixed, or unsettled.

One that is not found again is *fixed* only where the captures of now show its accounts (or its server) logging in and
nobody of them refused; otherwise it is *unsettled*: captures in which nobody logs in cure nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.triage.case import Filter, StoredIncident
from analyzer.triage.incidents import MOST_INCIDENTS, Incident
from analyzer.triage.store import Store

STATES = ("new", "still", "unsettled", "fixed")
"""In the order they are shown: what asks for work comes first."""


@dataclass(frozen=True, slots=True)
class Change:
    """One incident, then and now."""

    state: str
    """new, still, unsettled or fixed."""
    cause: str
    server: str | None
    accounts: tuple[str, ...]
    """The first of them."""
    title: str
    before: str | None
    """Verdict in the baseline; None for a new one."""
    after: str | None
    """Verdict now; None when it was not found again."""
    reason: str
    """Why it is called so."""


def changes(before: Store, now: Store, found: Sequence[Incident], batch: str) -> tuple[Change, ...]:
    """Compare the incidents of the command line in an earlier store with those of a batch."""
    earlier = before.incidents(Filter(None), limit=MOST_INCIDENTS)
    told = [_of_now(one, [old for old in earlier if _alike(old, one)]) for one in found]
    gone = [old for old in earlier if not any(_alike(old, one) for one in found)]
    told += [_gone(old, now, batch) for old in gone]
    return tuple(sorted(told, key=lambda change: STATES.index(change.state)))


def _alike(old: StoredIncident, one: Incident) -> bool:
    shared = bool(set(old.accounts) & set(one.accounts)) or not (old.accounts or one.accounts)
    return (old.cause, old.server) == (one.cause, one.server) and shared


def _of_now(one: Incident, earlier: Sequence[StoredIncident]) -> Change:
    who = (one.cause, one.server, one.accounts, one.title)
    if not earlier:
        return Change("new", *who, None, one.verdict, "not in the baseline")
    before = earlier[0].verdict
    same = before == one.verdict
    return Change(
        "still",
        *who,
        before,
        one.verdict,
        f"{before} before and now" if same else f"{before} before, {one.verdict} now",
    )


def _gone(old: StoredIncident, now: Store, batch: str) -> Change:
    accepted, refused = now.logins_there(old, batch)
    who = (old.cause, old.server, old.accounts, old.title, old.verdict, None)
    if refused:
        return Change(
            "unsettled", *who, f"not found again, but {_count(refused, 'login')} there refused for other reasons"
        )
    if not accepted:
        return Change("unsettled", *who, "not found again, but nobody concerned logs in in these captures")
    return Change("fixed", *who, f"{_count(accepted, 'login')} accepted there and none refused")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
