"""The same incident seen in several captures, as one row: same cause, same server, accounts in common, near in time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

NEAR = timedelta(minutes=30)
"""Exchange keeps an idle session for 30 minutes: after a longer quiet no slot is still held by the earlier incident."""
RANK = {"confirmed": 0, "likely": 1, "suspected": 2}
"""Verdicts that make an incident, strongest first."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One trouble, told by one or more captures."""

    cause: str
    verdict: str
    """The strongest among its findings."""
    server: str | None
    accounts: tuple[str, ...]
    """All accounts of its findings, sorted."""
    start: str | None
    """First sign in any of the captures, RFC 3339."""
    end: str | None
    captures: tuple[str, ...]
    """Paths of the inputs that show it, in input order."""
    title: str
    """That of its strongest finding."""


@dataclass(frozen=True, slots=True)
class _Sign:
    """One finding in one input."""

    order: int
    path: str
    finding: dict[str, Any]

    @property
    def accounts(self) -> frozenset[str]:
        return frozenset(self.finding["subject"]["accounts"])

    @property
    def strength(self) -> tuple[int, float]:
        return RANK[self.finding["verdict"]], -(self.finding.get("confidence") or 0.0)


def is_fault(finding: Mapping[str, Any]) -> bool:
    """Whether a finding says that something is wrong, or may be."""
    return finding["severity"] == "fault" and finding["verdict"] in RANK


def incidents(rows: Iterable[tuple[str, Iterable[dict[str, Any]]]]) -> tuple[Incident, ...]:
    """Group the findings of (path, findings) pairs into incidents, strongest and then earliest first."""
    groups: dict[tuple[str, str | None], list[list[_Sign]]] = {}
    for sign in sorted(_signs(rows), key=lambda sign: (_time(sign.finding["start"]), sign.order)):
        place = groups.setdefault((sign.finding["cause"], sign.finding["subject"]["server"]), [])
        alike = [group for group in place if _belongs(sign, group)]
        place[:] = [group for group in place if group not in alike]
        place.append([one for group in alike for one in group] + [sign])
    found = [_incident(group) for place in groups.values() for group in place]
    return tuple(sorted(found, key=lambda one: (RANK[one.verdict], _time(one.start), one.cause, one.captures)))


def _signs(rows: Iterable[tuple[str, Iterable[dict[str, Any]]]]) -> Iterator[_Sign]:
    for order, (path, findings) in enumerate(rows):
        for finding in findings:
            if is_fault(finding):
                yield _Sign(order, path, finding)


def _belongs(sign: _Sign, group: list[_Sign]) -> bool:
    last = max(_time(one.finding["end"]) for one in group)
    near = _time(sign.finding["start"]) - last <= NEAR
    return near and any(sign.accounts & one.accounts or sign.accounts == one.accounts for one in group)


def _incident(group: list[_Sign]) -> Incident:
    best = min(group, key=lambda sign: sign.strength).finding
    by_order = sorted(group, key=lambda sign: sign.order)
    return Incident(
        cause=best["cause"],
        verdict=best["verdict"],
        server=best["subject"]["server"],
        accounts=tuple(sorted({account for sign in group for account in sign.accounts})),
        start=min((sign.finding["start"] for sign in group), key=_time),
        end=max((sign.finding["end"] for sign in group), key=_time),
        captures=tuple(dict.fromkeys(sign.path for sign in by_order)),
        title=best["title"],
    )


def _time(text: str | None) -> datetime:
    """Return a time that can be compared, whatever its resolution; a finding without one sorts first."""
    return datetime.fromisoformat(text or "1970-01-01T00:00:00Z")
