"""What every chart is: a value with its data that draws itself on any axes, shows itself in a notebook and saves itself.

Only ``Figure`` objects, never pyplot: no global state, and the same data gives the same octets. Texts of a capture are
drawn as they are: no mathematics between dollars, no name dropped for its leading underscore.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.at import NS_PER_S
from analyzer.errors import AnalyzerError, OutputError
from analyzer.report.curves import day, ticks
from analyzer.report.result import Result
from analyzer.text import clean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from analyzer.language import Say

LINE_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's colours, told apart by colour-blind eyes; vermilion is kept for refusals."""
REFUSED_COLOUR = "#D55E00"
QUIET_COLOUR = "#555555"
SIZE_INCHES = (10.0, 5.2)
LANE_INCHES = 0.34
DPI = 120
TITLE_COLUMNS = 92
LEAST_COLUMNS = 24
COLUMNS_PER_INCH = 12
"""Of the letters of titles and legends."""
HANDLE_COLUMNS = 7
"""What the mark before a label takes."""
POINTS_PER_INCH = 72
LEGEND_POINTS = 36
"""Between axes and legend: the numbers and the name of the axis of time."""
NAME_COLUMNS = 40
"""Characters of a name in the legend."""
KINDS = ("account", "client", "server")
NOTHING = "no mail session with a login in this view"
STYLE: Any = {  # Any: the stubs list every key by name
    "text.parse_math": False,  # '$' in an account name is a dollar
    "svg.hashsalt": "mailscope",  # same picture, same octets
    "svg.fonttype": "none",
    "font.size": 10.0,
    "axes.unicode_minus": False,
}


@dataclass(frozen=True, eq=False)
class Picture:
    """A chart as a value; what it draws is in ``data``."""

    title: str
    """The answer."""
    by: str
    """What a line, lane or colour stands for."""
    data: pd.DataFrame = field(repr=False)
    note: str = ""
    """What is left out."""
    end: int | None = None
    """End of the captures, ns UTC."""
    subtitle: str = ""
    """What the picture shows of it."""
    say: Say = field(default=str, repr=False)
    """Puts what is written on the axes into the reader's language; ``data`` stays as it is."""

    @property
    def lanes(self) -> int:
        """How many lanes the figure must have room for; 0 where it has none."""
        return 0

    def draw(self, ax: Axes | None = None) -> Axes:
        """Draw on ``ax``, or on a new figure, and return the axes."""
        import matplotlib as mpl

        with mpl.rc_context(STYLE):
            if ax is None:
                ax = _figure(self.lanes).add_subplot()
            self._on(ax)
            _plain(ax)
        return ax

    def _on(self, ax: Axes) -> None:
        """Draw on these axes; each kind of chart in its own way."""
        raise NotImplementedError

    def render(self, kind: str) -> bytes:
        """Return the picture as 'png' or 'svg' octets; the same chart always gives the same."""
        import matplotlib as mpl

        out = io.BytesIO()
        figure: Any = self.draw().figure
        with mpl.rc_context(STYLE), warnings.catch_warnings():
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


def check_kind(by: str, kinds: Sequence[str] = KINDS) -> None:
    """Refuse what is no kind of line or lane.

    Raises:
        AnalyzerError: ``by`` is none of ``kinds``.
    """
    if by not in kinds:
        raise AnalyzerError(f"sessions cannot be shown by {clean(by, 40)}", hint=f"by is one of {', '.join(kinds)}")


def title_of(result: Result, say: Say) -> str:
    """Say the answer."""
    _, verdict, title = result.conclusion
    return textwrap.fill(f"{say(verdict).upper()}: {say(title)}" if verdict else say(title), TITLE_COLUMNS)


def utc_column(times: Iterable[int | None]) -> Any:
    """Return ns as a column of times in UTC, to the nanosecond; None becomes a missing one."""
    import pandas as pd

    column = pd.Series(list(times), dtype="Int64")
    return pd.to_datetime(column, unit="ns", utc=True).astype("datetime64[ns, UTC]")


def short(name: str, most: int = NAME_COLUMNS) -> str:
    """Cut a name to what a legend has room for."""
    return name if len(name) <= most else name[: most - 3] + "..."


def seconds(ts: int, start: int) -> float:
    """Return where a time stands on the axis: seconds after ``start``, exact where ns since 1970 would not be."""
    return (ts - start) / NS_PER_S


def head(ax: Axes, chart: Picture, *, empty: bool) -> None:
    """Write title and subtitle, and that there is nothing to see where that is so."""
    if empty:
        ax.text(0.5, 0.5, chart.say(NOTHING), ha="center", transform=ax.transAxes, color=QUIET_COLOUR)
    columns = min(TITLE_COLUMNS, max(LEAST_COLUMNS, _columns(ax)))
    ax.set_title(textwrap.fill(chart.title, columns), loc="left", fontsize=11, fontweight="bold", pad=22)
    ax.annotate(chart.subtitle, xy=(0, 1), xycoords="axes fraction", xytext=(0, 7), textcoords="offset points")
    ax.spines[["top", "right"]].set_visible(False)


def time_axis(ax: Axes, chart: Picture, start: int, end: int) -> None:
    """Make the axis of time: round UTC times, the day in its name."""
    width = max(seconds(end, start), 1e-6)
    ax.set_xlim(-0.01 * width, width * 1.01)
    marked = ticks(start, end)
    ax.set_xticks([seconds(ts, start) for ts, _ in marked], [text for _, text in marked])
    ax.set_xlabel(chart.say("time, UTC") + (f" ({day(start)})" if chart.end is not None else ""))
    ax.grid(axis="y", color="#dddddd", linewidth=0.8)
    ax.set_axisbelow(True)


def lane_axis(ax: Axes, names: Sequence[str]) -> None:
    """Name the lanes, the first at the top."""
    ax.set_yticks([-lane for lane in range(len(names))], [short(x) for x in names])
    ax.set_ylim(-max(len(names), 1) + 0.4, 0.6)


def marks(ax: Axes, places: Sequence[tuple[float, float]]) -> list[Any]:
    """Draw the crosses of refusals."""
    if not places:
        return []
    xs, ys = zip(*places, strict=True)
    return ax.plot(xs, ys, "x", color=REFUSED_COLOUR, markersize=8, markeredgewidth=2, zorder=4, clip_on=False)


def legend(ax: Axes, handles: Sequence[Any], labels: Sequence[str], note: str) -> None:
    """Write the legend below the axis of time, side by side as far as the axes are wide, so that it takes no width away."""
    if not handles and not note:
        return
    from matplotlib.transforms import ScaledTranslation

    labels = labels[: len(handles)]  # the last one names the refusals, of which there may be none
    longest = max((len(line) for x in labels for line in x.splitlines()), default=0) + HANDLE_COLUMNS
    below = ax.transAxes + ScaledTranslation(0, -LEGEND_POINTS / POINTS_PER_INCH, ax.figure.dpi_scale_trans)
    made = ax.legend(
        handles,
        ["?"] * len(labels),
        loc="upper left",
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=below,
        borderaxespad=0.0,
        ncols=min(max(_columns(ax) // longest, 1), max(len(labels), 1)),
        frameon=False,
        title=note or None,
        alignment="left",
    )
    for text, label in zip(made.get_texts(), labels, strict=True):
        text.set_text(label)  # set afterwards: a legend drops labels that begin with '_'


def _columns(ax: Axes) -> int:
    """Return about how many characters fit side by side."""
    return int(ax.bbox.width / ax.figure.dpi * COLUMNS_PER_INCH)


def _figure(lanes: int) -> Figure:
    from matplotlib.figure import Figure

    width, height = SIZE_INCHES
    return Figure(figsize=(width, max(height, 1.8 + LANE_INCHES * lanes)), dpi=DPI, layout="constrained")


def _plain(ax: Axes) -> None:
    """Let no text of the axes be read as mathematics: they may have been made before the style was set."""
    from matplotlib.text import Text

    texts: list[Text] = ax.findobj(Text)
    for text in texts:
        text.set_parse_math(False)
