"""The height of a limit, as far as the capture bounds it: an acceptance lies below it, a refusal does not.

With ``a`` sessions open the next one was let in, so the limit is at least ``a + 1``; with ``r`` open one was refused, so it
is at most ``r``. From one client's capture only the first holds: how many others were open is not in it; nor is it where
some sessions are encrypted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from analyzer.rules.catalogue.store_session_limit import working
from analyzer.rules.crowd import crowd
from analyzer.rules.ledger import Ledger
from analyzer.rules.plateau import Standing
from analyzer.rules.scene import Dispute
from analyzer.sessions.defaults import SCOPES, defaults
from analyzer.sessions.session import Outcome


class Estimate(NamedTuple):
    """Bounds of a limit; None where the capture sets none."""

    low: int | None
    high: int | None
    known_default: str | None = None
    """The shipped value that fits, in words."""


def limit_facts(dispute: Dispute, book: Ledger | None, cause: str) -> Mapping[str, float | int | str]:
    """Return what a finding about a limit tells of its height: 'limit_low', 'limit_high', 'known_default'."""
    if cause not in SCOPES:
        return {}
    found = estimate(dispute, book, cause)
    named = (("limit_low", found.low), ("limit_high", found.high), ("known_default", found.known_default))
    return {name: value for name, value in named if value is not None}


def estimate(dispute: Dispute, book: Ledger | None, cause: str) -> Estimate:
    """Bound the height of the limit that ``cause`` names."""
    told = dispute.told_limit or (dispute.scene.known.limit if book is not None else None)
    low, high = (told, told) if told else _bounds(_standings(dispute, book, cause), whole=_whole(dispute))
    return Estimate(low, high, _known(dispute, cause, low, high))


def _whole(dispute: Dispute) -> bool:
    """Tell whether the sessions that count are in the capture and can be read: those of one client, or encrypted, are not."""
    hidden = any(s.outcome is Outcome.OPAQUE for s in dispute.scene.on(dispute.server))
    return dispute.scene.is_wide(dispute.server) and not hidden


def _standings(dispute: Dispute, book: Ledger | None, cause: str) -> list[Standing]:
    if book is not None:
        return [book.standing]
    if dispute.kind == "mailbox":
        return [working(dispute)] if cause == "store_session_limit" else []
    if dispute.kind != "greeting":
        return []
    stands = crowd(dispute)
    each = cause == "per_ip_connection_limit" or len(stands.refused) == 1
    return list(stands.by_client.values()) if each else [stands.total]


def _bounds(standings: Iterable[Standing], *, whole: bool) -> tuple[int | None, int | None]:
    told = list(standings)
    low = max((x.most_accepted + 1 for x in told if x.most_accepted is not None), default=None)
    high = min((x.least_refused + x.unsure for x in told if x.least_refused is not None), default=None)
    if not whole or (low is not None and high is not None and high < low):
        return low, None  # some sessions are not in the capture, or refusals had another reason
    return low, high or None


def _known(dispute: Dispute, cause: str, low: int | None, high: int | None) -> str | None:
    """Return the shipped values within the bounds; without an upper one any value would fit."""
    if low is None or high is None:
        return None
    product = next((s.product for s in dispute.scene.on(dispute.server) if s.product), None)
    fits = [x for x in defaults(product, dispute.protocol) if x.scope in SCOPES[cause] and low <= x.value <= high]
    return "; ".join(x.text for x in fits) or None
