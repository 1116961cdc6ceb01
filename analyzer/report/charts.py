"""Open sessions per account over time, with every refusal where it happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analyzer.report.curves import UNSEEN, Curve, curves, end_of, limit_of, named, span_of
from analyzer.report.picture import (
    LINE_COLOURS,
    QUIET_COLOUR,
    Picture,
    check_kind,
    head,
    lane_axis,
    legend,
    marks,
    seconds,
    short,
    time_axis,
    title_of,
    utc_column,
)
from analyzer.report.result import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from analyzer.language import Say

LINE_STYLES = ("-", "--", "-.", ":")
"""A second way to tell lines apart, for grey printers."""
MOST_LINES = 6
"""Accounts drawn by themselves: those with most refusals, then the highest; the rest is left out and counted."""
MOST_LANES = 24
"""Clients or servers drawn, one lane each."""


@dataclass(frozen=True, eq=False)
class Chart(Picture):
    """Open sessions over time.

    ``data`` has one row per change and per refusal: time (UTC), who, what ('open' or 'refused'), open (sessions open from
    then on, or just before).
    """

    limit: int | None = None
    """The server's limit, as told or found; drawn as a line."""
    lines: Sequence[Curve] = field(default=(), repr=False)

    @property
    def lanes(self) -> int:
        """How many lanes the figure must have room for; 0 where it has none."""
        return len(self.lines) if self.by != "account" else 0

    def _on(self, ax: Axes) -> None:
        (_draw_lines if self.by == "account" else _draw_lanes)(self, ax)


def connections(result: Result, by: str = "account", say: Say = str) -> Chart:
    """Draw open sessions as steps per account (or client, or server), and refused logins as crosses.

    Raises:
        AnalyzerError: ``by`` is not account, client or server.
    """
    check_kind(by)
    every = curves(result.sessions, by)
    shown = every[: MOST_LINES if by == "account" else MOST_LANES]
    left_out = len(every) - len(shown)
    return Chart(
        title=title_of(result, say),
        by=by,
        data=_data(shown),
        limit=limit_of(result) if by == "account" else None,
        note=say(f"{left_out} more not drawn") if left_out else "",
        end=end_of(result),
        subtitle=say(_subtitle(result, shown, by, say)),
        say=say,
        lines=tuple(shown),
    )


def _data(lines: Sequence[Curve]) -> pd.DataFrame:
    import pandas as pd

    rows: list[tuple[int, str, str, int]] = []
    for line in lines:
        rows += [(ts, line.name, "open", n) for ts, n in zip(line.steps.times, line.steps.counts, strict=True)]
        rows += [(ts, line.name, "refused", line.steps.at(ts)) for ts in line.refused]
    made = pd.DataFrame(rows, columns=["time", "who", "what", "open"])
    made["time"] = utc_column(made["time"])
    return made


def _subtitle(result: Result, lines: Sequence[Curve], by: str, say: Say) -> str:
    """Say what the picture shows of it."""
    first = lines[0] if lines else None
    if first is None or not first.refused:
        return f"{len(result.sessions)} mail sessions, no login refused in this view"
    if by != "account":
        refused = [x for x in lines if x.refused]
        return f"{len(refused)} of {len(lines)} {by}s shown were refused at least once; the bar's height is the number of open sessions"
    count = len(first.refused)
    if first.name == UNSEEN:
        return f"{count} connection{'s' * (count > 1)} turned away before login, so of no account"
    levels = {first.steps.at(ts) for ts in first.refused}
    low, high = min(levels), max(levels)
    seen = f"{low}" if low == high else f"{low} to {high}"
    return (
        f"{named(first.name, say)}: {count} refusal{'s' * (count > 1)}, with {seen} of its sessions open in this view"
    )


def _draw_lines(chart: Chart, ax: Axes) -> None:
    start, end = span_of(chart.lines, chart.end)
    handles = [_draw_steps(ax, line, number, start, end) for number, line in enumerate(chart.lines)]
    labels = [short(named(x.name, chart.say)) for x in chart.lines]
    refused = [(seconds(ts, start), line.steps.at(ts)) for line in chart.lines for ts in line.refused]
    top = max([1, *(n for line in chart.lines for n in line.steps.counts), *(y for _, y in refused)])
    if chart.limit is not None:
        _draw_limit(ax, chart.limit, chart.say)
        top = max(top, chart.limit)
    head(ax, chart, empty=not chart.lines)
    time_axis(ax, chart, start, end)
    _count_axis(ax, chart, top)
    legend(ax, handles + marks(ax, refused), [*labels, f"{chart.say('refusals')} ({len(refused)})"], chart.note)


def _draw_lanes(chart: Chart, ax: Axes) -> None:
    """One lane per client or server, from the top: a bar as high as its open sessions, a cross for each refusal."""
    start, end = span_of(chart.lines, chart.end)
    most = max((n for line in chart.lines for n in line.steps.counts), default=1) or 1
    for lane, line in enumerate(chart.lines):
        for begin, stop, n in zip(line.steps.times, (*line.steps.times[1:], end), line.steps.counts, strict=False):
            bar = [(seconds(begin, start), seconds(stop, begin))]
            ax.broken_barh(bar, (-lane - 0.4, 0.8 * n / most), facecolor=LINE_COLOURS[0], zorder=3)
    refused = [(seconds(ts, start), -lane) for lane, line in enumerate(chart.lines) for ts in line.refused]
    head(ax, chart, empty=not chart.lines)
    time_axis(ax, chart, start, end)
    lane_axis(ax, [named(x.name, chart.say) for x in chart.lines])
    labels = [f"{chart.say('refusals')} ({len(refused)})"]
    note = "\n".join(x for x in (chart.say(f"bar: 1 to {most} open"), chart.note) if x)
    legend(ax, marks(ax, refused), labels, note)


def _draw_steps(ax: Axes, line: Curve, number: int, start: int, end: int) -> Any:
    times, counts = [start, *line.steps.times, end], [0, *line.steps.counts, *line.steps.counts[-1:]]
    counts += [0] * (len(times) - len(counts))
    colour = LINE_COLOURS[number % len(LINE_COLOURS)]
    style = LINE_STYLES[number % len(LINE_STYLES)]
    return ax.step(
        [seconds(t, start) for t in times], counts, style, where="post", color=colour, linewidth=1.8, zorder=3
    )[0]


def _draw_limit(ax: Axes, limit: int, say: Say) -> None:
    ax.axhline(limit, color=QUIET_COLOUR, linestyle=(0, (6, 3)), linewidth=1.2, zorder=2)
    ax.annotate(
        say(f"limit {limit}"),
        xy=(0.005, limit),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        color=QUIET_COLOUR,
        fontweight="bold",
    )


def _count_axis(ax: Axes, chart: Chart, top: int) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_ylabel(chart.say(f"open sessions per {chart.by}"))
    ax.set_ylim(-0.04 * top, top * 1.15)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))
