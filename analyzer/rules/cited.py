"""Findings about a series of files, with each frame cited as its own file counts it."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.rules.finding import Evidence, Finding, FrameRef
from analyzer.rules.rule import filter_of


def cited(
    finding: Finding, place: Callable[[FrameRef], FrameRef], session: Callable[[tuple[str, str]], tuple[str, str]]
) -> Finding:
    """Return a finding with its frames and its sessions (capture, uid) moved to where they really are."""
    evidence = tuple(_moved(fact, place) for fact in finding.evidence)
    return finding._replace(evidence=evidence, sessions=tuple(session(x) for x in finding.sessions))


def _moved(fact: Evidence, place: Callable[[FrameRef], FrameRef]) -> Evidence:
    refs = tuple(place(ref) for ref in fact.frames)
    return fact._replace(frames=refs, filter=filter_of(refs) if fact.filter else "")
