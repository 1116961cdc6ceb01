"""Habit: what a file in ``habits/`` must offer; its loader; and :func:`warn`, which turns what they see into warnings.

A habit is seen or not: it has no rivals, is not weighed, and never changes the conclusion about a capture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import NamedTuple

from analyzer.errors import RuleError
from analyzer.rules.finding import Evidence, Finding, FrameRef, Subject, Verdict
from analyzer.rules.rule import FRAMES_SHOWN, filter_of, modules_in, named
from analyzer.rules.scene import Scene
from analyzer.rules.signatures import CAUSES
from analyzer.sessions.session import Session

SESSIONS_NAMED = 200
"""Sessions a warning lists."""


class Sight(NamedTuple):
    """One habit as it was seen at one server."""

    title: str
    """The fact in one short line: it is shown beside an answer that matters more."""
    meaning: str
    """One sentence: what may come of it."""
    server: str
    sessions: Sequence[Session]
    """Those that show it, by time; at least one."""
    frames: Sequence[FrameRef]
    """The first of them, at most ``FRAMES_SHOWN``."""
    accounts: tuple[str, ...] = ()
    verdict: Verdict = Verdict.CONFIRMED


class Habit(NamedTuple):
    """Something clients, servers or the network do that is worth a warning."""

    id: str
    title: str
    cause: str
    """The contract's cause when it is one; else 'undetermined', so that no script takes a warning for a claim."""
    remedies: tuple[str, ...]
    since: str
    check: Callable[[Scene], Iterator[Sight]]
    source: str
    """RFC or vendor document that speaks of it."""


@cache
def load_habits() -> tuple[Habit, ...]:
    """Return every habit of the folder, by name.

    Raises:
        RuleError: when a file offers no habit, or names an unknown cause.
    """
    from analyzer.rules import habits as folder

    found = []
    for name in modules_in(folder):
        habit = getattr(import_module(f"{folder.__name__}.{name}"), "HABIT", None)
        if not isinstance(habit, Habit) or habit.cause not in CAUSES:
            raise RuleError(f"{name} offers no well-formed HABIT", path=name, hint="see docs/architecture.md")
        found.append(habit)
    return tuple(found)


def warn(scene: Scene) -> tuple[Finding, ...]:
    """Return a warning for each habit seen at each server, in order of habits; one that raises is a failed finding."""
    return tuple(finding for habit in load_habits() for finding in _seen(habit, scene))


def _seen(habit: Habit, scene: Scene) -> Iterator[Finding]:
    try:
        yield from [_warning(habit, sight) for sight in habit.check(scene)]
    except Exception as error:  # noqa: BLE001
        text = f"rule {habit.id} failed: {type(error).__name__}: {error}"
        about = "This is a fault of the rule, not of the capture. The other findings are unaffected."
        yield Finding(
            habit.id, habit.cause, Verdict.FAILED, 0.0, "info", Subject(), (), scene.start, scene.end, text, about, ()
        )


def _warning(habit: Habit, sight: Sight) -> Finding:
    frames = tuple(sight.frames)[:FRAMES_SHOWN]
    clients = tuple(dict.fromkeys([s.client for s in sight.sessions]))
    fact = Evidence(sight.title, frames, filter=filter_of(frames), kind="habit", source=habit.source)
    return Finding(
        rule=habit.id,
        cause=habit.cause,
        verdict=sight.verdict,
        confidence=1.0,
        severity="warning",
        subject=Subject(sight.accounts, clients, sight.server, sight.sessions[0].protocol),
        candidates=(),
        start=sight.sessions[0].start,
        end=max([s.end for s in sight.sessions]),
        title=sight.title,
        summary=f"{sight.title[0].upper()}{sight.title[1:]}. {sight.meaning}",
        evidence=(fact,),
        remedies=habit.remedies,
        sessions=named(sight.sessions, SESSIONS_NAMED),
    )
