"""Two analyses side by side, such as before and after a change: what is fixed, what is new, what is still there.

A trouble that is not found again is *fixed* only where the later captures show that it is: its accounts (or its server)
logged in again, from a client that was refused before, nobody of them was refused, and, for a limit, more sessions were
open than had met it. Otherwise it is *unsettled*, with the reason: a capture in which nobody logs in cures nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from analyzer.analysis import Analysis, read
from analyzer.report.result import Result
from analyzer.report.terminal import words
from analyzer.rules import Finding
from analyzer.sessions.concurrency import open_sessions
from analyzer.sessions.names import names
from analyzer.sessions.session import Login, LoginOutcome, Outcome, Session

if TYPE_CHECKING:
    import pandas as pd

    from analyzer.language import Say

Case = Analysis | str | Path | Sequence[str | Path]
"""An analysis, a path or pattern, or several of them."""

STATES = ("new", "still", "unsettled", "fixed")
"""In the order they are shown: what asks for work comes first."""
SLOTS = frozenset({
    "per_user_connection_limit", "per_ip_connection_limit", "server_connection_limit", "connection_limit_at_connect",
    "smtp_connection_limit", "store_session_limit",
})  # fmt: skip
"""Causes that count open sessions: cured only where more of them were open than had met the limit."""
_COLOURS = {"new": "#a40e26", "still": "#b35900", "unsettled": "#7a5c00", "fixed": "#1a6b3c"}
_TYPES = {
    "state": "category",
    "cause": "category",
    "before": "category",
    "after": "category",
    "accounts": "string",
    "server": "string",
    "reason": "string",
    "title": "string",
}


class Change(NamedTuple):
    """One trouble, before and after."""

    state: str
    """new, still, unsettled or fixed."""
    before: Finding | None
    """None for a new one."""
    after: Finding | None
    """None when it was not found again."""
    reason: str
    """Why it is called so."""

    @property
    def finding(self) -> Finding:
        """The later finding, else the earlier one."""
        found = self.after or self.before
        assert found is not None  # noqa: S101  # one of the two is always there
        return found


class Comparison:
    """What changed between two analyses; prints well as text and in a notebook."""

    def __init__(self, changes: Iterable[Change], say: Say = str) -> None:
        self._say = say
        self.changes = tuple(sorted(changes, key=lambda x: STATES.index(x.state)))
        """Every trouble of either side: new, still, unsettled, fixed."""

    @property
    def new(self) -> tuple[Finding, ...]:
        """Findings of the later case only."""
        return self._of("new")

    @property
    def still(self) -> tuple[Finding, ...]:
        """Findings of both, as the later case has them."""
        return self._of("still")

    @property
    def unsettled(self) -> tuple[Finding, ...]:
        """Findings not made again, though the later captures do not show that they are cured."""
        return self._of("unsettled")

    @property
    def fixed(self) -> tuple[Finding, ...]:
        """Findings of the earlier case that the later captures show to be gone."""
        return self._of("fixed")

    @property
    def table(self) -> pd.DataFrame:
        """One row per trouble: state, cause, verdict before and after, accounts, server, reason, title."""
        import pandas as pd

        return pd.DataFrame([_row(x) for x in self.changes], columns=list(_TYPES)).astype(_TYPES)

    def _of(self, state: str) -> tuple[Finding, ...]:
        return tuple(x.finding for x in self.changes if x.state == state)

    def __repr__(self) -> str:
        say = self._say
        rows = (f"{say(x.state):<10} {say(x.finding.title)}: {say(x.reason)}" for x in self.changes)
        return "\n".join(rows) or say("nothing wrong in either")

    def _repr_html_(self) -> str:
        nothing = f"<p><b>{self._say('nothing wrong in either')}</b></p>"
        body = "".join(_line(x, self._say) for x in self.changes) or nothing
        return f'<div style="border-left:4px solid #888;padding-left:1em">{body}</div>'


def compare(before: Case, after: Case, *, language: str | None = None) -> Comparison:
    """Tell which faults of ``before`` are fixed in ``after``, which are still there, and which are new.

    It is shown in ``language`` (en, es), by default that of the later analysis; ``table`` stays English.

    Raises:
        CaptureError: a file named cannot be read.
        AnalyzerError: no file is named, or there is no such language.
    """
    from analyzer.language import speaker

    first, second = _case(before), _case(after)
    earlier, later = first.result, second.result
    pairs = list(_pairs(earlier.faults, later.faults))
    kept = [new for _, new in pairs if new is not None]
    changes = [_still(old, new) if new is not None else _gone(old, later) for old, new in pairs]
    added = [Change("new", None, x, _news(x, earlier)) for x in later.faults if x not in kept]
    return Comparison([*added, *changes], speaker(language or second.language))


def _case(given: Case) -> Analysis:
    if isinstance(given, Analysis):
        return given
    return read(given) if isinstance(given, str | Path) else read(*given)


def _pairs(before: Sequence[Finding], after: Sequence[Finding]) -> Iterable[tuple[Finding, Finding | None]]:
    """Yield each earlier finding with the later one of the same trouble; none is used twice."""
    left = list(after)
    for old in before:
        new = next((x for x in left if _alike(old, x)), None)
        if new is not None:
            left.remove(new)
        yield old, new


def _alike(old: Finding, new: Finding) -> bool:
    a, b = old.subject, new.subject
    shared = bool(set(a.accounts) & set(b.accounts)) or not (a.accounts or b.accounts)
    return old.cause == new.cause and (a.server, a.protocol) == (b.server, b.protocol) and shared


def _still(old: Finding, new: Finding) -> Change:
    same = old.verdict == new.verdict
    reason = f"{new.verdict} before and after" if same else f"{old.verdict} before, {new.verdict} after"
    return Change("still", old, new, reason)


def _news(finding: Finding, earlier: Result) -> str:
    accepted, refused = _logins(finding, earlier, clients=False)
    if not accepted and not refused:
        return "the earlier captures show no login there"
    return f"not found in the earlier captures, which show {_count(len(accepted), 'accepted login')} there"


def _gone(old: Finding, later: Result) -> Change:
    """Judge a trouble that was not found again."""
    limited = old.cause in SLOTS
    accepted, refused = _logins(old, later, clients=not limited)  # whom a limit turns away is chance
    turned_away = sum(s.outcome is Outcome.REFUSED_AT_GREETING for s in _there(old, later))
    if refused or turned_away:
        causes = ", ".join(dict.fromkeys(words(x.cause) for x in later.faults)) or "nothing certain"
        reason = f"{_count(len(refused) + turned_away, 'refusal')} there, put down to {causes}"
    elif not accepted:
        reason = "no login of those concerned was accepted in the later captures"
    elif limited and (untried := _untried(old, later)):
        reason = untried
    else:
        at_once = f", with {_peak(old, later)} sessions open at once" * limited
        return Change("fixed", old, None, f"{_count(len(accepted), 'accepted login')} and no refusal there{at_once}")
    return Change("unsettled", old, None, f"not found again, but {reason}")


def _untried(old: Finding, later: Result) -> str:
    """Say why the later captures do not put a limit to the test; "" when they do: one session more than it let in."""
    met = next(
        (x for x in (old.facts.get("limit"), old.facts.get("peak")) if isinstance(x, int | float) and x > 0), None
    )
    if met is None:
        return "how many sessions met the limit is not known"
    peak = _peak(old, later)
    return f"at most {_count(peak, 'session')} at once, where {met:.0f} met the limit" if peak <= met else ""


def _there(finding: Finding, result: Result) -> list[Session]:
    """Return the sessions with the server a finding is about, in its protocol."""
    who = finding.subject
    return [s for s in result.sessions if who.server in {None, s.server} and who.protocol in {None, s.protocol}]


def _logins(finding: Finding, result: Result, *, clients: bool) -> tuple[list[Login], list[Login]]:
    """Return the logins accepted and refused of those a finding is about."""
    who = finding.subject
    known = names(result.logins)
    accounts = {x.casefold() for x in who.accounts}
    ours = [
        x
        for s in _there(finding, result)
        for x in s.logins
        if (not accounts or {(x.account or "").casefold(), (known.of(x) or "").casefold()} & accounts)
        and (not clients or not who.clients or x.client in who.clients)
    ]
    accepted = [x for x in ours if x.outcome is LoginOutcome.ACCEPTED]
    return accepted, [x for x in ours if x.outcome is LoginOutcome.REFUSED]


def _peak(finding: Finding, result: Result) -> int:
    """Return the most sessions open at once of those the limit counts: an account's, an address's or all of the server."""
    who = finding.subject
    by = "client" if "per_ip" in finding.cause else "account" if who.accounts else "server"
    counted = {x.casefold() for x in who.accounts} if by == "account" else None
    lines = open_sessions(_there(finding, result), by=by).items()
    return max((line.peak[0] for name, line in lines if counted is None or name.casefold() in counted), default=0)


def _count(n: int, what: str) -> str:
    return f"{n or 'no'} {what}{'s' * (n != 1)}"


def _row(change: Change) -> tuple[str | None, ...]:
    found = change.finding
    sides = [str(x.verdict) if x else None for x in (change.before, change.after)]
    return (
        change.state,
        found.cause,
        *sides,
        ", ".join(found.subject.accounts),
        found.subject.server,
        change.reason,
        found.title,
    )


def _line(change: Change, say: Say) -> str:
    return (
        f'<p><b style="color:{_COLOURS[change.state]}">{say(change.state).upper()}</b> '
        f"<b>{escape(say(change.finding.title))}</b><br>{escape(say(change.reason))}</p>"
    )
