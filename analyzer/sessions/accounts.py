"""Accounts: what became of each identity's logins on each server, and how many sessions it had open at most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from analyzer.sessions.concurrency import account_of, peak_of, spans
from analyzer.sessions.names import names
from analyzer.sessions.session import Login, LoginOutcome, Session


class Account(NamedTuple):
    """One account on one server, in this view."""

    account: str
    """As most logins spelled it."""
    server: str
    protocol: str
    logins_accepted: int
    logins_refused: int
    clients: tuple[str, ...]
    """Addresses that tried, in numeric order of first login."""
    clients_refused: tuple[str, ...]
    """Those of them refused at least once."""
    peak_open: int
    """Most sessions of the account open at once, in this view."""
    peak_open_at: int | None
    """When that was first reached, ns UTC."""


def accounts(sessions: Sequence[Session]) -> tuple[Account, ...]:
    """Count per account and server; most refused first, then by name."""
    known = names(chain.from_iterable([s.logins for s in sessions]))
    tried: dict[tuple[str, str, str], list[Login]] = defaultdict(list)
    opened: dict[tuple[str, str, str], list[Session]] = defaultdict(list)
    for s in sessions:
        account = None
        for login in s.logins:
            account = known.of(login)
            if account is not None:
                tried[account, s.server, s.protocol or ""].append(login)
        if s.opened is not None:
            if len(s.logins) != 1:
                account = account_of(s, known)
            if account is not None:
                opened[account, s.server, s.protocol or ""].append(s)
    rows = [_row(key, logins, opened.get(key, [])) for key, logins in tried.items()]
    return tuple(sorted(rows, key=lambda row: (-row.logins_refused, row.account, row.server)))


def _row(key: tuple[str, str, str], logins: list[Login], sessions: list[Session]) -> Account:
    peak, peak_at = peak_of(spans(sessions))
    refused = [x.client for x in logins if x.outcome is LoginOutcome.REFUSED]
    return Account(
        account=key[0],
        server=key[1],
        protocol=key[2],
        logins_accepted=len([1 for x in logins if x.outcome is LoginOutcome.ACCEPTED]),
        logins_refused=len(refused),
        clients=tuple(dict.fromkeys([x.client for x in logins])),
        clients_refused=tuple(dict.fromkeys(refused)),
        peak_open=peak,
        peak_open_at=peak_at,
    )
