"""Who was connected when: a lane for each client, account or server, a bar for each session, a cross for each refusal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappush, heapreplace
from typing import TYPE_CHECKING, Any

from analyzer.report.curves import UNSEEN, end_of, named, natural, refusals
from analyzer.report.picture import (
    Picture,
    check_kind,
    head,
    lane_axis,
    legend,
    marks,
    seconds,
    time_axis,
    title_of,
    utc_column,
)
from analyzer.report.result import Result
from analyzer.sessions.concurrency import account_of
from analyzer.sessions.names import Names, names
from analyzer.sessions.session import Outcome, Session

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from analyzer.language import Say

BARS = {
    "logged in": ("#0072B2", ""),
    "refused": ("#F0B68A", ""),
    "encrypted": ("#56B4E9", "///"),
    "not logged in": ("#BBBBBB", ""),
}
"""What a session came to: the bar's colour, and a hatch where two colours are near in grey."""
MOST_LANES = 24
"""Those with most refusals; the rest is left out and counted."""
MOST_BARS = 5_000
"""Sessions drawn, the first in time: more would only make the picture large and slow."""
LANE = 0.8
"""Height of a lane whose rows are all taken; the next lane begins 1 below."""
_COLUMNS = ["who", "what", "start", "end", "row", "capture", "session"]


@dataclass(frozen=True, eq=False)
class Swimlanes(Picture):
    """Sessions in lanes.

    ``data`` has one row per session and per refusal: who (the lane), what ('logged in', 'refused', 'encrypted', 'not logged
    in', or 'refusal' for the instant of one), start, end (UTC), row (its place within the lane, from 0; sessions at the same
    time stand in different rows), capture, session. A session that logged in ends when it closed, or with the captures.
    """

    @property
    def lanes(self) -> int:
        """How many lanes the figure must have room for."""
        return len(self.who)

    @property
    def who(self) -> list[str]:
        """The lanes, from the top: in order of their first session."""
        return list(dict.fromkeys(self.data.sort_values("start", kind="stable")["who"]))

    def _on(self, ax: Axes) -> None:
        _draw(self, ax)


def lanes(result: Result, by: str = "client", say: Say = str) -> Swimlanes:
    """Draw each session as a bar in the lane of its client, account or server.

    Raises:
        AnalyzerError: ``by`` is not client, account or server.
    """
    check_kind(by)
    known = names(login for s in result.sessions for login in s.logins)
    of = {key: list(found) for key, found in _by(result.sessions, by, known).items()}
    refused = {key: sum(_is_refused(s) for s in found) for key, found in of.items()}
    shown = sorted(of, key=lambda who: (-refused[who], natural(who), who))[:MOST_LANES]
    last = end_of(result)
    rows = [row for who in shown for row in _rows(who, of[who], by, known, last or 0)]
    kept = sorted(rows, key=lambda row: row[2])[:MOST_BARS]
    left = [(len(of) - len(shown), f"{by}s"), (len(rows) - len(kept), "sessions and refusals")]
    counts = [who for who in shown if refused[who]]
    return Swimlanes(
        title=title_of(result, say),
        by=by,
        data=_table(kept),
        note="\n".join(say(f"{n} more {what} not drawn") for n, what in left if n > 0),
        end=last,
        subtitle=say(f"{len(counts)} of {len(shown)} {by}s shown were refused at least once; each bar is a session"),
        say=say,
    )


def _by(sessions: Iterable[Session], by: str, known: Names) -> dict[str, list[Session]]:
    found: dict[str, list[Session]] = {}
    for s in sessions:
        who = (account_of(s, known) or UNSEEN) if by == "account" else getattr(s, by)
        found.setdefault(who, []).append(s)
    return found


def _is_refused(session: Session) -> bool:
    return session.outcome in {Outcome.REFUSED, Outcome.REFUSED_AT_GREETING}


def _kind(session: Session) -> str:
    if session.opened is not None:
        return "logged in"
    if _is_refused(session):
        return "refused"
    return "encrypted" if session.outcome is Outcome.OPAQUE else "not logged in"


def _end(s: Session, last: int) -> int:
    """Return when a session ended: an open one may be quiet, so its last packet is not its end."""
    if s.opened is None:
        return s.end
    return max(s.start, last if s.closed is None else s.closed)


def _rows(who: str, sessions: Iterable[Session], by: str, known: Names, last: int) -> Iterable[tuple[Any, ...]]:
    """Yield the bars and crosses of a lane; a session takes the row that has been free longest."""
    free: list[tuple[int, int]] = []  # (end of the row's last session, row), a heap
    for s in sorted(sessions, key=lambda s: (s.start, s.uid)):
        end = _end(s, last)
        row = free[0][1] if free and free[0][0] <= s.start else len(free)
        if row < len(free):
            heapreplace(free, (end, row))
        else:
            heappush(free, (end, row))
        yield who, _kind(s), s.start, end, row, s.capture, s.uid
        for _, ts in refusals(s, by, known):
            yield who, "refusal", ts, ts, row, s.capture, s.uid


def _table(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=_COLUMNS)
    for name in ("start", "end"):
        table[name] = utc_column(table[name])
    types = {"who": "string", "what": "category", "row": "Int64", "capture": "category", "session": "string"}
    return table.astype(types)


def _draw(chart: Swimlanes, ax: Axes) -> None:
    data, who = chart.data, chart.who
    starts, ends = data["start"].astype("int64").tolist(), data["end"].astype("int64").tolist()
    start, end = min(starts, default=chart.end or 0), max([*ends, chart.end or 0], default=0)
    rows = [int(x) for x in data["row"]]
    high = LANE / (max(rows, default=0) + 1)
    place = {name: number for number, name in enumerate(who)}
    tops = [LANE / 2 - place[name] - high * row for name, row in zip(data["who"], rows, strict=True)]
    bars: dict[str, list[tuple[float, float, float]]] = {}
    for what, begin, stop, top in zip(data["what"], starts, ends, tops, strict=True):
        bars.setdefault(what, []).append((seconds(begin, start), seconds(stop, start), top))
    crosses = [(x, top - high / 2) for x, _, top in bars.pop("refusal", [])]
    head(ax, chart, empty=not who)
    time_axis(ax, chart, start, end)
    lane_axis(ax, [named(x, chart.say) for x in who])
    drawn = [what for what in BARS if what in bars]
    handles = [_bars(ax, bars[what], high, *BARS[what], least=seconds(end, start) / 500) for what in drawn]
    labels = [f"{chart.say(f'session {what}')} ({len(bars[what])})" for what in drawn]
    legend(ax, [*handles, *marks(ax, crosses)], [*labels, f"{chart.say('refusals')} ({len(crosses)})"], chart.note)


def _bars(
    ax: Axes, places: Sequence[tuple[float, float, float]], high: float, colour: str, hatch: str, *, least: float
) -> Any:
    """Draw the bars of one kind; one shorter than ``least`` seconds is drawn as long as that, to be seen at all."""
    from matplotlib.collections import PolyCollection

    gap = high * 0.08
    shapes = [
        [(x, top - gap), (max(y, x + least), top - gap), (max(y, x + least), top - high + gap), (x, top - high + gap)]
        for x, y, top in places
    ]
    made = PolyCollection(shapes, facecolor=colour, edgecolor="white" if hatch else "none", hatch=hatch, zorder=3)
    ax.add_collection(made)
    return made
