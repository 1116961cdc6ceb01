"""Pictures: open sessions per account over time, with every refusal where it happened.

A :class:`Chart` is a value: it holds the data it draws, draws itself on any axes, shows itself in a notebook and saves
itself. Only ``Figure`` objects, never pyplot: no global state, and the same result gives the same octets.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.at import NS_PER_S
from analyzer.errors import OutputError
from analyzer.report.curves import Curve, curves, day, end_of, limit_of, span_of, ticks
from analyzer.report.result import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's colours, told apart by colour-blind eyes; vermilion is kept for refusals."""
REFUSED_COLOUR = "#D55E00"
LIMIT_COLOUR = "#555555"
LINE_STYLES = ("-", "--", "-.", ":")
"""A second way to tell lines apart, for grey printers."""
MOST_LINES = 6
"""Accounts drawn by themselves: those with most refusals, then the highest; the rest is left out and counted."""
MOST_LANES = 24
"""Clients or servers drawn, one lane each."""
SIZE_INCHES = (10.0, 5.2)
DPI = 120
TITLE_COLUMNS = 92
NAME_COLUMNS = 40
"""Characters of a name in the legend."""
KINDS = ("account", "client", "server")
_STYLE: Any = {  # Any: the stubs list every key by name
    "text.parse_math": False,  # '$' in an account name is a dollar
    "svg.hashsalt": "mailscope",  # same picture, same octets
    "svg.fonttype": "none",
    "font.size": 10.0,
    "axes.unicode_minus": False,
}


@dataclass(frozen=True, eq=False)
class Chart:
    """Open sessions over time; ``data`` is what is drawn, one row per change and per refusal."""

    title: str
    by: str
    data: pd.DataFrame = field(repr=False)
    """Columns: time (UTC), who, what ('open' or 'refused'), open (sessions open from then on, or just before)."""
    limit: int | None = None
    """The server's limit, as told or found; drawn as a line."""
    note: str = ""
    end: int | None = None
    """End of the captures, ns UTC: where the lines stop."""
    subtitle: str = ""
    lines: Sequence[Curve] = field(default=(), repr=False)

    def draw(self, ax: Axes | None = None) -> Axes:
        """Draw on ``ax``, or on a new figure, and return the axes."""
        import matplotlib as mpl

        with mpl.rc_context(_STYLE):
            if ax is None:
                ax = _figure(len(self.lines) if self.by != "account" else 0).add_subplot()
            (_draw_lines if self.by == "account" else _draw_lanes)(self, ax)
        return ax

    def render(self, kind: str) -> bytes:
        """Return the picture as 'png' or 'svg' octets; the same chart always gives the same."""
        import matplotlib as mpl

        out = io.BytesIO()
        figure: Any = self.draw().figure
        with mpl.rc_context(_STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # an account name in a script the font lacks
            metadata = {"Date": None, "Creator": "mailscope"} if kind == "svg" else {"Software": None}
            figure.savefig(out, format=kind, metadata=metadata)
        return out.getvalue()

    def save(self, path: Path | str) -> Path:
        """Write a .png or .svg file and return its path.

        Raises:
            OutputError: another suffix, or the file cannot be written.
        """
        from analyzer.report import write

        target = Path(path)
        kind = target.suffix.lower().lstrip(".")
        if kind not in {"png", "svg"}:
            raise OutputError(
                f"{target.name}: a chart is saved as .png or .svg", path=target, hint="Change the suffix."
            )
        write(target, self.render(kind))
        return target

    def _repr_png_(self) -> bytes:
        return self.render("png")

    def _repr_svg_(self) -> str:
        return self.render("svg").decode()


def connections(result: Result, by: str = "account") -> Chart:
    """Draw open sessions as steps per account (or client, or server), and refused logins as crosses.

    Raises:
        ValueError: ``by`` is not account, client or server.
    """
    if by not in KINDS:
        raise ValueError(f"by is {by!r}, not one of {', '.join(KINDS)}")
    every = curves(result.sessions, by)
    shown = every[: MOST_LINES if by == "account" else MOST_LANES]
    left_out = len(every) - len(shown)
    return Chart(
        title=_title(result),
        by=by,
        data=_data(shown),
        limit=limit_of(result) if by == "account" else None,
        note=f"{left_out} more not drawn" if left_out else "",
        end=end_of(result),
        subtitle=_subtitle(result, shown, by),
        lines=tuple(shown),
    )


def _data(lines: Sequence[Curve]) -> pd.DataFrame:
    import pandas as pd

    rows: list[tuple[int, str, str, int]] = []
    for line in lines:
        rows += [(ts, line.name, "open", n) for ts, n in zip(line.steps.times, line.steps.counts, strict=True)]
        rows += [(ts, line.name, "refused", line.steps.at(ts)) for ts in line.refused]
    made = pd.DataFrame(rows, columns=["time", "who", "what", "open"])
    made["time"] = pd.to_datetime(made["time"].astype("int64"), unit="ns", utc=True)
    return made


def _title(result: Result) -> str:
    """Say the answer."""
    _, verdict, title = result.conclusion
    return textwrap.fill(f"{verdict.upper()}: {title}" if verdict else title, TITLE_COLUMNS)


def _subtitle(result: Result, lines: Sequence[Curve], by: str) -> str:
    """Say what the picture shows of it."""
    first = lines[0] if lines else None
    if first is None or not first.refused:
        return f"{len(result.sessions)} mail sessions, no login refused in this view"
    if by != "account":
        refused = [x for x in lines if x.refused]
        return f"{len(refused)} of {len(lines)} {by}s shown were refused at least once; the bar's height is the number of open sessions"
    levels = {first.steps.at(ts) for ts in first.refused}
    low, high = min(levels), max(levels)
    seen = f"{low}" if low == high else f"{low} to {high}"
    count = len(first.refused)
    return f"{first.name}: {count} refusal{'s' * (count > 1)}, with {seen} of its sessions open in this view"


def _figure(lanes: int) -> Figure:
    from matplotlib.figure import Figure

    width, height = SIZE_INCHES
    return Figure(figsize=(width, max(height, 1.8 + 0.34 * lanes)), dpi=DPI, layout="constrained")


def _draw_lines(chart: Chart, ax: Axes) -> None:
    start, end = span_of(chart.lines, chart.end)
    handles = [_draw_steps(ax, line, number, start, end) for number, line in enumerate(chart.lines)]
    labels = [x.name if len(x.name) <= NAME_COLUMNS else x.name[: NAME_COLUMNS - 3] + "..." for x in chart.lines]
    marks = [(_x(ts, start), line.steps.at(ts)) for line in chart.lines for ts in line.refused]
    top = max([1, *(n for line in chart.lines for n in line.steps.counts), *(y for _, y in marks)])
    if chart.limit is not None:
        _draw_limit(ax, chart.limit)
        top = max(top, chart.limit)
    _axes(ax, chart, start, end)
    _count_axis(ax, chart, top)
    _legend(ax, handles + _draw_marks(ax, marks), [*labels, f"refused ({len(marks)})"], chart.note)


def _draw_lanes(chart: Chart, ax: Axes) -> None:
    """One lane per client or server, from the top: a bar as high as its open sessions, a cross for each refusal."""
    start, end = span_of(chart.lines, chart.end)
    most = max((n for line in chart.lines for n in line.steps.counts), default=1) or 1
    for lane, line in enumerate(chart.lines):
        for begin, stop, n in zip(line.steps.times, (*line.steps.times[1:], end), line.steps.counts, strict=False):
            bar = [(_x(begin, start), _x(stop, begin))]
            ax.broken_barh(bar, (-lane - 0.4, 0.8 * n / most), facecolor=LINE_COLOURS[0], zorder=3)
    marks = [(_x(ts, start), -lane) for lane, line in enumerate(chart.lines) for ts in line.refused]
    _axes(ax, chart, start, end)
    ax.set_yticks([-lane for lane in range(len(chart.lines))], [x.name[:NAME_COLUMNS] for x in chart.lines])
    for label in ax.get_yticklabels():
        label.set_parse_math(False)  # the axes may have been made before the style was set
    ax.set_ylim(-max(len(chart.lines), 1) + 0.4, 0.6)
    labels = [f"refused ({len(marks)})"]
    _legend(ax, _draw_marks(ax, marks), labels, "\n".join(x for x in (f"bar: 1 to {most} open", chart.note) if x))


def _draw_marks(ax: Axes, marks: Sequence[tuple[float, int]]) -> list[Any]:
    if not marks:
        return []
    xs, ys = zip(*marks, strict=True)
    return ax.plot(xs, ys, "x", color=REFUSED_COLOUR, markersize=8, markeredgewidth=2, zorder=4, clip_on=False)


def _draw_steps(ax: Axes, line: Curve, number: int, start: int, end: int) -> Any:
    times, counts = [start, *line.steps.times, end], [0, *line.steps.counts, *line.steps.counts[-1:]]
    counts += [0] * (len(times) - len(counts))
    colour = LINE_COLOURS[number % len(LINE_COLOURS)]
    style = LINE_STYLES[number % len(LINE_STYLES)]
    return ax.step([_x(t, start) for t in times], counts, style, where="post", color=colour, linewidth=1.8, zorder=3)[0]


def _draw_limit(ax: Axes, limit: int) -> None:
    ax.axhline(limit, color=LIMIT_COLOUR, linestyle=(0, (6, 3)), linewidth=1.2, zorder=2)
    ax.annotate(
        f"limit {limit}",
        xy=(0.005, limit),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        color=LIMIT_COLOUR,
        fontweight="bold",
    )


def _count_axis(ax: Axes, chart: Chart, top: int) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_ylabel(f"open sessions per {chart.by}")
    ax.set_ylim(-0.04 * top, top * 1.15)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))


def _axes(ax: Axes, chart: Chart, start: int, end: int) -> None:
    if not chart.lines:
        text = "no mail session with a login in this view"
        ax.text(0.5, 0.5, text, ha="center", transform=ax.transAxes, color=LIMIT_COLOUR)
    ax.set_title(chart.title, loc="left", fontsize=11, fontweight="bold", pad=22)
    ax.annotate(chart.subtitle, xy=(0, 1), xycoords="axes fraction", xytext=(0, 7), textcoords="offset points")
    width = max(_x(end, start), 1e-6)
    ax.set_xlim(-0.01 * width, width * 1.01)
    marked = ticks(start, end)
    ax.set_xticks([_x(ts, start) for ts, _ in marked], [text for _, text in marked])
    ax.set_xlabel(f"time, UTC ({day(start)})" if chart.end is not None else "time, UTC")
    ax.grid(axis="y", color="#dddddd", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)


def _legend(ax: Axes, handles: list[Any], labels: list[str], note: str) -> None:
    if not handles and not note:
        return
    labels = labels[: len(handles)]  # the last one names the refusals, of which there may be none
    legend = ax.legend(
        handles, ["?"] * len(labels), loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, title=note or None
    )
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)  # set afterwards: a legend drops labels that begin with '_'


def _x(ts: int, start: int) -> float:
    return (ts - start) / NS_PER_S
