"""Why a cause was not claimed: what its rule said about each dispute, what outweighed it, and what was missing."""

from __future__ import annotations

from typing import NamedTuple

from analyzer.rules.engine import Hearing, hearings
from analyzer.rules.finding import CLAIMS, Evidence
from analyzer.rules.narrate import NAMES, missing, title
from analyzer.rules.scene import Scene
from analyzer.rules.weigh import KINDS_NEEDED, MARGIN_DB, THROTTLING, UNDETERMINED, strongest


class WhyNot(NamedTuple):
    """One dispute, as the rule of one cause saw it."""

    about: str
    """What was decided instead, or too, in one line."""
    verdict: str
    cause: str
    """What was decided."""
    evidence: tuple[Evidence, ...]
    """For and against the cause asked about, the strongest of each kind."""
    total_db: float
    reasons: tuple[str, ...]
    """The tests that failed."""
    missing: tuple[str, ...]
    """What would settle it."""

    @property
    def is_claimed(self) -> bool:
        """Whether the cause asked about is what was claimed."""
        return not self.reasons


def why_not(scene: Scene, cause: str) -> tuple[WhyNot, ...]:
    """Return for each dispute why it is not said to come from ``cause``, those that come nearest first."""
    found = [_explained(hearing, cause) for hearing in hearings(scene)]
    return tuple(sorted((x for x in found if x is not None), key=lambda x: (not x.evidence, -x.total_db)))


def _explained(hearing: Hearing, cause: str) -> WhyNot | None:
    dispute, weighed = hearing.dispute, hearing.weighed
    if weighed is None:
        return None
    evidence = tuple(strongest(hearing.testimony.get(cause, ())))
    facts = {"accepted": len(hearing.book.accepted)} if hearing.book else {}
    about = title(weighed, hearing.rules.get(weighed.cause), dispute, {**facts, "clients": len(dispute.clients)})
    total = sum(x.weight_db for x in evidence)
    reasons = tuple(_reasons(hearing, cause, evidence, total))
    steps = missing(weighed, dispute, hearing.book) if reasons and cause in hearing.rules else ()
    return WhyNot(about, weighed.verdict.value, weighed.cause, evidence, total, reasons, steps)


def _reasons(hearing: Hearing, cause: str, evidence: tuple[Evidence, ...], total: float) -> list[str]:
    """Return the tests of the way to a claim (see ``weigh``) that failed."""
    weighed = hearing.weighed
    if weighed is None or (weighed.cause == cause and weighed.verdict in CLAIMS):
        return []
    if cause not in hearing.rules:
        return [f"its rule has nothing to say where it happened ({hearing.dispute.kind})"]
    supporting = [x for x in evidence if x.weight_db > 0]
    if not supporting:
        return ["nothing in the capture speaks for it"]
    found = [*_outweighed(hearing, cause, total)]
    if cause in THROTTLING and not hearing.accepted and not any(x.decisive and x.kind == "words" for x in supporting):
        found.append("nobody was seen accepted: refusals alone are never called throttling")
    kinds = {x.kind for x in supporting}
    if not any(x.decisive for x in supporting) and len(kinds) < KINDS_NEEDED:
        found.append("no decisive fact, and only one kind of evidence speaks for it; a claim needs two")
    return found or ["it is as likely as what was decided"]


def _outweighed(hearing: Hearing, cause: str, total: float) -> list[str]:
    totals = {c: sum(x.weight_db for x in strongest(said)) for c, said in hearing.testimony.items() if c != cause}
    rival, most = max(totals.items(), key=lambda x: x[1], default=(UNDETERMINED, 0.0))
    if most < 0:
        rival, most = UNDETERMINED, 0.0
    if total - most >= MARGIN_DB:
        return []
    name = "something else" if rival == UNDETERMINED else NAMES.get(rival, rival)
    return [
        f"{total:+.0f} dB against {most:+.0f} dB for {name}: a claim must be {MARGIN_DB:.0f} dB ahead of every rival"
    ]
