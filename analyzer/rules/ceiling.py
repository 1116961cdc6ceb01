"""How sure a finding may be: no surer than the capture that holds its evidence is good for such a question.

What a capture lacks matters only where the finding rests on it. A server's own words are words, whatever is missing around
them; a cut payload takes nothing from a count of sessions; a session that began before the capture has no say in whether a
SYN was answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from analyzer.rules.engine import rank
from analyzer.rules.finding import CLAIMS, Candidate, Finding, Verdict
from analyzer.rules.weigh import UNDETERMINED
from analyzer.sessions.coverage import CaptureSeen, Lack

CEILINGS: tuple[tuple[float, Verdict], ...] = (
    (1.0, Verdict.CONFIRMED),
    (0.98, Verdict.CONFIRMED),
    (0.95, Verdict.CONFIRMED),
    (0.90, Verdict.LIKELY),
    (0.75, Verdict.SUSPECTED),
)
"""Steps lacking -> the highest share and the strongest word. Ten to one, 0.9, is what a claim needs at all."""

_PATH_CAUSES = frozenset(
    {"port_filtered", "port_closed", "middlebox_reset", "network_stall", "network_loss", "server_slow"}
)
_PATH_LACKS = frozenset({"listing", "gaps", "one-sided", "clock", "syns"})
"""What matters for the packets of one connection."""
_COUNT_LACKS = _PATH_LACKS | {"late"}
"""What matters for who was in, when, and how often."""
_WORDS_LACKS = frozenset[str]()
_ORDER = {verdict: place for place, verdict in enumerate(Verdict)}


def limited(findings: Iterable[Finding], captures: Sequence[CaptureSeen]) -> tuple[Finding, ...]:
    """Return the findings, none surer than its capture allows, best first again."""
    lacks = {c.name: c.quality.lacks for c in captures if c.quality.lacks}
    if not lacks:
        return tuple(findings)
    return tuple(sorted((_limited(f, lacks) if f.severity == "fault" else f for f in findings), key=rank))


def _limited(finding: Finding, lacks: dict[str, tuple[Lack, ...]]) -> Finding:
    missing = [x for x in lacks.get(_capture_of(finding), ()) if x.steps and x.kind in _rests_on(finding)]
    share, strongest = CEILINGS[min(sum(x.steps for x in missing), len(CEILINGS) - 1)]
    over = max(0.0, finding.confidence - share)
    weaker = finding.verdict in CLAIMS and _ORDER[finding.verdict] < _ORDER[strongest]
    if not over and not weaker:
        return finding
    made = finding._replace(
        confidence=round(finding.confidence - over, 4),
        candidates=_shared(finding.candidates, finding.cause, over),
    )
    return _weaker(made, strongest, missing) if weaker else made


def _weaker(finding: Finding, verdict: Verdict, missing: Sequence[Lack]) -> Finding:
    worst = max(missing, key=lambda x: x.steps)
    steps = (
        (*finding.missing, f"Take a better capture: {worst.text}.") if verdict is Verdict.SUSPECTED else finding.missing
    )
    return finding._replace(
        verdict=verdict, missing=steps, summary=f"{finding.summary} The capture allows no more: {worst.text}."
    )


def _capture_of(finding: Finding) -> str:
    """Return the capture that holds most of a finding's evidence."""
    counted = Counter(ref.capture for e in finding.evidence for ref in e.frames)
    counted = counted or Counter(capture for capture, _ in finding.sessions)
    return counted.most_common(1)[0][0] if counted else ""


def _rests_on(finding: Finding) -> frozenset[str]:
    if any(e.decisive and e.kind == "words" for e in finding.evidence):
        return _WORDS_LACKS
    return _PATH_LACKS if finding.cause in _PATH_CAUSES else _COUNT_LACKS


def _shared(candidates: Sequence[Candidate], cause: str, over: float) -> tuple[Candidate, ...]:
    """Give what a cause may not have to "something else"."""
    shares = {c.cause: c.confidence for c in candidates}
    if not over or cause not in shares:
        return tuple(candidates)
    shares[cause] -= over
    shares[UNDETERMINED] = shares.get(UNDETERMINED, 0.0) + over
    return tuple(sorted((Candidate(c, p) for c, p in shares.items()), key=lambda c: (-c.confidence, c.cause != cause)))
