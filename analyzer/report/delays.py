"""How long the server let wait: for its greeting, and for the answer to each login."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from analyzer.report.curves import end_of
from analyzer.report.picture import (
    REFUSED_COLOUR,
    Picture,
    head,
    legend,
    seconds,
    time_axis,
    title_of,
    utc_column,
)
from analyzer.report.result import Result
from analyzer.sessions.names import Names, names
from analyzer.sessions.session import LoginOutcome, Session

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from analyzer.language import Say

LOOKS = {
    "greeting": ("s", "#999999", 4.0),
    "accepted": ("o", "#0072B2", 5.5),
    "refused": ("x", REFUSED_COLOUR, 7.0),
}
"""Mark, colour and size of what was waited for."""
LEAST_MS = 0.01
"""Anything faster is drawn here: an axis by powers of ten has no zero."""
MOST_SHAPES = 5_000
"""Points that an SVG holds as shapes; more are put into it as a picture."""


@dataclass(frozen=True, eq=False)
class Delays(Picture):
    """Waiting times.

    ``data`` has one row per answer: time (when it came, UTC), what ('greeting', 'accepted', 'refused'), ms (waited for it:
    since the connection stood, or since the client's last octets of the login), account, client, server, capture, session.
    """

    def _on(self, ax: Axes) -> None:
        _draw(self, ax)


def delays(result: Result, say: Say = str) -> Delays:
    """Draw how long each greeting and each answer to a login took, over time."""
    known = names(login for s in result.sessions for login in s.logins)
    rows = [row for s in result.sessions for row in _rows(s, known)]
    return Delays(
        title=title_of(result, say),
        by="what",
        data=_table(rows),
        end=end_of(result),
        subtitle=say(_subtitle(rows)),
        say=say,
    )


def _rows(s: Session, known: Names) -> Iterable[tuple[Any, ...]]:
    place = (s.client, s.server, s.capture, s.uid)
    if s.greeting_ms is not None and s.greeting_at is not None:
        yield s.greeting_at.ts, "greeting", s.greeting_ms, None, *place
    for login in s.logins:
        decided = login.outcome in {LoginOutcome.ACCEPTED, LoginOutcome.REFUSED}
        if decided and login.decided is not None and login.auth_ms is not None:
            yield login.decided.ts, str(login.outcome), login.auth_ms, known.of(login), *place


def _table(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    import pandas as pd

    columns = ["time", "what", "ms", "account", "client", "server", "capture", "session"]
    table = pd.DataFrame(list(rows), columns=columns).sort_values("time", kind="stable", ignore_index=True)
    table["time"] = utc_column(table["time"])
    words = dict.fromkeys(("what", "account", "client", "server", "capture"), "category")
    return table.astype({**words, "ms": "Float64", "session": "string"})


def _subtitle(rows: Sequence[tuple[Any, ...]]) -> str:
    slow = max(rows, key=lambda row: row[2], default=None)
    if slow is None:
        return "no greeting and no answer to a login was seen"
    what = "a greeting" if slow[1] == "greeting" else f"a login that was {slow[1]}"
    return f"{len(rows)} answers; the longest wait was {length(slow[2])}, for {what}"


def length(ms: float) -> str:
    """Write a duration as people say it: 0.2 ms, 35 ms, 4.8 s, 2.5 min."""
    if ms < 1000:
        return f"{ms:.2g} ms" if ms < 10 else f"{ms:.0f} ms"
    return f"{ms / 1000:.3g} s" if ms < 120_000 else f"{ms / 60_000:.3g} min"


def _draw(chart: Delays, ax: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    data = chart.data
    times = data["time"].astype("int64").tolist()
    start, end = min(times, default=chart.end or 0), max([*times, chart.end or 0])
    points: dict[str, list[tuple[float, float]]] = {}
    for ts, what, ms in zip(times, data["what"], data["ms"], strict=True):
        points.setdefault(what, []).append((seconds(ts, start), float(ms)))
    ax.set_yscale("log")
    drawn = [what for what in LOOKS if what in points]
    handles = [_points(ax, points[what], *LOOKS[what]) for what in drawn]
    head(ax, chart, empty=not times)
    time_axis(ax, chart, start, end)
    ax.set_ylabel(chart.say("time waited for the answer"))
    _room(ax, [ms for found in points.values() for _, ms in found])
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if _narrow(ax) else (1.0,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda ms, _: length(ms)))
    ax.yaxis.set_minor_formatter(NullFormatter())
    labels = [
        f"{chart.say(_label(what))} ({len(points[what])}, {chart.say('median')} {length(median(ms for _, ms in points[what]))})"
        for what in drawn
    ]
    legend(ax, handles, labels, chart.note)


def _label(what: str) -> str:
    return what if what == "greeting" else f"login {what}"


def _points(ax: Axes, places: Sequence[tuple[float, float]], mark: str, colour: str, size: float) -> Any:
    xs, ys = [x for x, _ in places], [max(ms, LEAST_MS) for _, ms in places]
    (made,) = ax.plot(
        xs, ys, mark, color=colour, markersize=size, markeredgewidth=1.6 if mark == "x" else 0.5, zorder=3
    )
    made.set_rasterized(len(places) > MOST_SHAPES)
    if mark != "x":
        made.set_markeredgecolor("white")
    return made


def _room(ax: Axes, waits: Sequence[float]) -> None:
    low, high = min(waits, default=1.0), max(waits, default=100.0)
    ax.set_ylim(max(low, LEAST_MS) / 1.6, max(high, LEAST_MS) * 1.6)


def _narrow(ax: Axes) -> bool:
    """Tell whether powers of ten alone would leave the axis with too few numbers."""
    low, high = ax.get_ylim()
    return high / low < 3_000
