"""The answer for one input, as lists show it: how bad it is, and the same in the contract's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from analyzer import __version__
from analyzer.at import NS_PER_S
from analyzer.report.result import UNREADABLE_STATES
from analyzer.triage.isolated import Answer

VERDICT_RANK = {"confirmed": 0, "likely": 1, "suspected": 2}
"""Verdicts that make an incident, strongest first."""
UNREAD_RANK, WELL_RANK, STRANGE_RANK, WAITING_RANK = 3, 4, 5, 6
"""Behind them: what could not be read, what is well, what is no capture and nobody said it was, what has no answer yet."""
WAITING = frozenset({"queued", "running"})
"""States of a capture without an answer."""
JUDGES = ("capture", "protocols", "remedies", "report", "rules", "sessions", "streams")
"""Folders of the package that a verdict depends on."""


@dataclass(frozen=True, slots=True)
class Row:
    """The answer for one input."""

    path: str
    """Relative to what was asked for."""
    name: str
    sha256: str | None
    """Of the file as it lies there; None when it could not be opened."""
    state: str
    """ok, partial, empty, no_mail, not_a_capture, password_needed, timeout or error."""
    reason: str | None
    """One sentence when the state is not ok."""
    conclusion: dict[str, Any]
    """cause, verdict and title."""
    findings: tuple[dict[str, Any], ...]
    """As in the report contract."""
    named: bool = True
    """Asked for by name, not found in a folder."""
    id: str | None = None
    """In the store."""

    @property
    def faults(self) -> tuple[dict[str, Any], ...]:
        """The findings that say something is wrong, or may be, best first."""
        return tuple(finding for finding in self.findings if is_fault(finding))

    @property
    def unread(self) -> bool:
        """Nothing of it could be read, though it should; a file in a folder that is no capture is no failure."""
        return self.state in UNREADABLE_STATES and (self.named or self.state != "not_a_capture")

    @property
    def rank(self) -> int:
        """How bad it is, 0 worst."""
        return rank(self.state, self.faults[0]["verdict"] if self.faults else None, named=self.named)


def is_fault(finding: Mapping[str, Any]) -> bool:
    """Whether a finding says that something is wrong, or may be."""
    return finding["severity"] == "fault" and finding["verdict"] in VERDICT_RANK


def rank(state: str, verdict: str | None, *, named: bool) -> int:
    """Return how bad a capture is, 0 worst; ``verdict`` is that of its first fault."""
    if state in WAITING:
        return WAITING_RANK
    if verdict in VERDICT_RANK:
        return VERDICT_RANK[verdict]
    if state == "not_a_capture" and not named:
        return STRANGE_RANK
    return UNREAD_RANK if state in UNREADABLE_STATES else WELL_RANK


def conclusion(answer: Answer) -> dict[str, Any]:
    """Return cause, verdict and title of an answer."""
    nothing = {"cause": "unreadable", "verdict": None, "title": answer.reason or answer.state.replace("_", " ")}
    return dict((answer.document or {}).get("conclusion", nothing))


def findings(answer: Answer) -> tuple[dict[str, Any], ...]:
    """Return the findings of an answer, best first."""
    return tuple((answer.document or {}).get("findings", ()))


def ns(text: str | None) -> int | None:
    """Read a time of the contract (RFC 3339, UTC): nanoseconds since the epoch, exactly."""
    if text is None:
        return None
    whole, _, rest = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * NS_PER_S + int(f"{rest:0<9}"[:9] or 0)


def key(options: Mapping[str, Any]) -> str:
    """Return what a result depends on besides the capture: it is used again only under the same key."""
    said = repr(sorted((name, value) for name, value in options.items() if value))
    return f"{__version__} {_rules()} {sha256(said.encode()).hexdigest()[:12]}"


@cache
def _rules() -> str:
    """Return a digest of all that judges: rules change more often than versions."""
    package, whole = Path(__file__).parents[1], sha256()
    for path in sorted(path for folder in JUDGES for path in (package / folder).rglob("*")):
        if path.suffix in {".py", ".toml"}:
            whole.update(path.read_bytes())
    return whole.hexdigest()[:12]
