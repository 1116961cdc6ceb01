"""Evidence in decibels to a verdict: the sum per cause, its share among its rivals, and the gate before a claim.

One kind of fact counts once: a thousand identical refusals weigh as much as one. The confidence of a cause is its share,
10^(w/10) over the sum of all causes and one standing rival, "something else", at 0 dB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from analyzer.rules.finding import Candidate, Evidence, Verdict

MARGIN_DB = 10.0
"""A claim needs every rival this far behind: ten to one."""
KINDS_NEEDED = 2
"""Independent kinds of evidence for a claim without a decisive fact."""
ALIVE = 0.005
"""Share below which a rival is not worth naming."""
UNDETERMINED = "undetermined"
SAID = frozenset({"words", "record"})
"""Kinds of evidence in which the server itself says why: on the wire, or in its own log."""
THROTTLING = frozenset({"per_user_connection_limit", "per_ip_connection_limit", "store_session_limit"})
"""Causes that need an acceptance, explicit words or outside knowledge before they may be claimed."""


class Weighed(NamedTuple):
    """The judgement on one dispute."""

    cause: str
    verdict: Verdict
    confidence: float
    candidates: tuple[Candidate, ...]


def strongest(evidence: Iterable[Evidence]) -> list[Evidence]:
    """Keep the strongest of each kind, for and against apart; strongest first."""
    best: dict[tuple[str, bool], Evidence] = {}
    for item in evidence:
        key = item.kind, item.weight_db > 0
        if key not in best or abs(item.weight_db) > abs(best[key].weight_db):
            best[key] = item
    return sorted(best.values(), key=lambda e: (not e.decisive, -e.weight_db))


def shares(totals: Mapping[str, float]) -> tuple[Candidate, ...]:
    """Return each cause's share among all and the standing rival, most likely first."""
    powers = {cause: 10 ** (min(db, 60.0) / 10) for cause, db in totals.items()}
    whole = sum(powers.values()) + 1.0
    ranked = [Candidate(cause, power / whole) for cause, power in powers.items()]
    ranked.append(Candidate(UNDETERMINED, 1.0 / whole))
    return tuple(sorted(ranked, key=lambda c: (-c.confidence, c.cause == UNDETERMINED, _order(c.cause))))


def _order(cause: str) -> str:
    return "" if cause == "per_user_connection_limit" else cause


def weigh(testimony: Mapping[str, Sequence[Evidence]], *, accepted: bool, known: bool) -> Weighed:
    """Judge: ``testimony`` holds the evidence for and against each cause.

    ``accepted`` says that an acceptance of the subject was seen, ``known`` that the engineer vouched for something.
    """
    kept = {cause: strongest(items) for cause, items in testimony.items()}
    totals = {cause: sum(e.weight_db for e in items) for cause, items in kept.items() if items}
    candidates = shares(totals)
    best = candidates[0]
    if best.cause == UNDETERMINED:
        return Weighed(UNDETERMINED, Verdict.SUSPECTED, best.confidence, _alive(candidates))
    rivals = [db for cause, db in totals.items() if cause != best.cause]
    margin = totals[best.cause] - max([0.0, *rivals])
    supporting = [e for e in kept[best.cause] if e.weight_db > 0]
    decisive = any(e.decisive for e in supporting)
    explicit = any(e.decisive and e.kind in SAID for e in supporting)
    verdict = Verdict.SUSPECTED
    if margin >= MARGIN_DB and (best.cause not in THROTTLING or accepted or explicit or known):
        if decisive:
            verdict = Verdict.CONFIRMED
        elif len({e.kind for e in supporting}) >= KINDS_NEEDED:
            verdict = Verdict.LIKELY
    return Weighed(best.cause, verdict, best.confidence, _alive(candidates))


def _alive(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    return tuple(c for c in candidates if c.confidence >= ALIVE)
