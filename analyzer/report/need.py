"""What the clients of a finding need, held against every limit in play."""

from __future__ import annotations

from typing import NamedTuple

from analyzer.remedies import capacity_of
from analyzer.remedies.capacity import Capacity, InPlay, in_play
from analyzer.rules.finding import CLAIMS, Finding
from analyzer.rules.narrate import bounds

OF_AN_ACCOUNT = frozenset({"per_user_connection_limit", "store_session_limit"})
"""Causes whose limit is met by all the clients of one account."""
SCOPES = {
    "account": "per account",
    "account and address": "per account and address",
    "address": "per address",
    "server": "whole server",
    "store": "store, per account",
}
"""What a limit counts, in words."""


class Need(NamedTuple):
    """The sum, and the limits it meets."""

    plan: Capacity
    limits: tuple[InPlay, ...]


def need(finding: Finding) -> Need | None:
    """Return what a finding's clients need; None where the cause is no such limit, or the capture shows too few of them."""
    if finding.cause not in OF_AN_ACCOUNT:
        return None
    facts = {**finding.facts, "protocol": finding.subject.protocol or ""}
    plan = capacity_of(facts)
    return None if plan is None else Need(plan, in_play(plan, finding.cause, facts))


def height(finding: Finding) -> str:
    """Return a limit's height with its range and what ships with it; empty when the finding tells none worth a line."""
    facts = finding.facts
    if "limit_high" not in facts:
        low = facts.get("limit_low") if finding.verdict in CLAIMS else None
        return str(facts["limit"]) if "limit" in facts else f"at least {low}" if low is not None else ""
    known = str(facts.get("known_default", ""))
    told = bounds(facts)
    return known if known.startswith(f"{told} = ") else f"{told}: {known}" if known else told


def sentences(found: Need) -> list[str]:
    """Return what becomes of the sum at each limit: one line for each that is, or may be, too low, one for the rest."""
    low = [_verdict(x) for x in found.limits if not x.enough]
    rest = [f"{x.setting} ({SCOPES[x.scope]})" for x in found.limits if x.enough]
    return low + ([f"enough: {', '.join(rest)}"] if rest else [])


def _verdict(limit: InPlay) -> str:
    high = "?" if limit.high is None else f"{limit.high}"
    value = f"{limit.low}" if limit.low == limit.high else f"{limit.low} to {high}"
    whence = "seen" if limit.seen else "by default"
    meant = {True: "enough", False: "too low", None: "depends on the version"}[limit.enough]
    if limit.seen and limit.enough is None:
        meant = "may be too low"
    return f"{SCOPES[limit.scope]}: {limit.setting} {value} {whence}, {limit.needed} needed: {meant}"
