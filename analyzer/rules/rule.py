"""Rule: what a file in the catalogue must offer; and the loader that finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from analyzer.errors import RuleError
from analyzer.rules.crowd import Crowd, crowd
from analyzer.rules.finding import FRAMES_SHOWN, Evidence, FrameRef, filter_of
from analyzer.rules.ledger import Ledger
from analyzer.rules.scene import Dispute
from analyzer.rules.signatures import CAUSES
from analyzer.rules.waiting import Waiting
from analyzer.sessions.session import Login, Session

if TYPE_CHECKING:
    from analyzer.rules.habit import Habit
__all__ = [
    "EXPLICIT_DB",
    "FRAMES_SHOWN",
    "Question",
    "Rule",
    "filter_of",
    "frame_filter",
    "frames",
    "load_rules",
    "named",
    "page_of",
    "shown_by",
    "words",
]


class Question:
    """What a rule is asked: a dispute, and what all rules share about it."""

    def __init__(self, dispute: Dispute, ledger: Ledger | None = None) -> None:
        self.dispute = dispute
        self.ledger = ledger
        """For logins."""

    @cached_property
    def crowd(self) -> Crowd:
        """For those turned away before login: who else was there."""
        return crowd(self.dispute)

    @property
    def at_door(self) -> bool:
        """Turned away before anybody could say who he is: by words instead of a greeting, or by a bare close."""
        silent = self.dispute.kind == "silence" and self.waiting.at_greeting and not self.waiting.hung
        return self.dispute.kind == "greeting" or silent

    @property
    def is_limit(self) -> bool:
        """It is a limit that turns away, if anything does: somebody was welcomed again, or the words lean that way.

        A service that stops turns everybody away as well, and takes nobody back.
        """
        means = self.dispute.signature.means
        leaning = max(means.get(cause, 0.0) for cause in LIMITS_AT_DOOR) - means.get("server_unavailable", 0.0)
        return self.crowd.is_back or leaning >= LEANING_DB

    @cached_property
    def waiting(self) -> Waiting:
        """For those left without an answer: the queue they stood in."""
        return Waiting(self.dispute)


class Rule(NamedTuple):
    """A rule testifies for or against one cause; the engine judges."""

    id: str
    title: str
    """One line that names the cause to a person."""
    cause: str
    kinds: tuple[str, ...]
    """Kinds of dispute it has something to say about."""
    remedies: tuple[str, ...]
    """ids of remedies."""
    since: str
    check: Callable[[Question], Iterator[Evidence]]
    page: str = ""
    """Its manual page."""


@cache
def load_rules() -> tuple[Rule, ...]:
    """Return every rule of the catalogue folder, by name.

    Raises:
        RuleError: when a file offers no rule, or a rule names an unknown cause.
    """
    from analyzer.rules import catalogue as folder

    rules = []
    for name in modules_in(folder):
        module = import_module(f"{folder.__name__}.{name}")
        rule = getattr(module, "RULE", None)
        if not isinstance(rule, Rule) or rule.cause not in CAUSES:
            raise RuleError(f"{name} offers no well-formed RULE", path=name, hint="see docs/architecture.md")
        rules.append(rule)
    return tuple(rules)


def modules_in(folder: ModuleType) -> list[str]:
    """Return the names of the modules of a package, sorted; pkgutil would load half of the standard library for that."""
    return sorted(path.stem for path in Path(folder.__path__[0]).glob("*.py") if path.stem != "__init__")


def page_of(rule: Rule | Habit) -> str:
    """Return the manual page of a rule or habit: the doc string of its file."""
    return import_module(rule.check.__module__).__doc__ or ""


def shown_by(text: str, weight_db: float, kind: str, logins: Iterable[Login], *, decisive: bool = False) -> Evidence:
    """Return one fact that some logins show, with the frames that decided them."""
    refs = tuple(FrameRef(x.capture, x.decided.frame) for x in logins if x.decided)[:FRAMES_SHOWN]
    return Evidence(text, refs, weight_db, decisive=decisive, filter=filter_of(refs), kind=kind)


def words(question: Question, cause: str) -> Iterator[Evidence]:
    """Yield what the server's own words weigh for a cause."""
    dispute = question.dispute
    signature = dispute.signature
    weight = signature.means.get(cause, 0.0)
    if not weight:
        return
    said = dispute.refusals[0].text.removeprefix("* ")
    if signature.explicit and weight >= EXPLICIT_DB:
        text = f"the server says so itself: «{said}»"
    elif weight > 0:
        text = f"the server said «{said}», which does not tell causes apart but fits this one"
    else:
        text = f"the server's words «{said}» are not those it uses for this"
    yield Evidence(
        text=text,
        frames=frames(dispute),
        weight_db=weight,
        decisive=signature.explicit and weight >= EXPLICIT_DB,
        filter=frame_filter(dispute),
        kind="words",
        source=signature.source,
    )


LIMITS_AT_DOOR = ("connection_limit_at_connect", "server_connection_limit", "per_ip_connection_limit")
LEANING_DB = 5.0
"""How much more words must mean a limit than a service that fails."""
EXPLICIT_DB = 30.0
"""Weight of a phrase that names the cause."""


def frames(dispute: Dispute) -> tuple[FrameRef, ...]:
    """Return the first frames of a dispute's refusals."""
    return dispute.frames


def named(sessions: Iterable[Session], most: int) -> tuple[tuple[str, str], ...]:
    """Return (capture, uid) of the first ``most`` sessions, each once."""
    found: dict[tuple[str, str], None] = {}
    for s in sessions:
        found[s.capture, s.uid] = None
        if len(found) == most:
            break
    return tuple(found)


def frame_filter(dispute: Dispute) -> str:
    """Return the display filter that shows a dispute's refusals."""
    return dispute.filter
