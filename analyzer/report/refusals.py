"""Refusals over time: how many logins were refused in each interval, in which words, beside those accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

from analyzer.report.curves import OTHERS, SILENT, UNSEEN, end_of, named, step_of
from analyzer.report.picture import (
    KINDS,
    REFUSED_COLOUR,
    Picture,
    check_kind,
    head,
    legend,
    seconds,
    short,
    time_axis,
    title_of,
    utc_column,
)
from analyzer.report.result import Result
from analyzer.sessions.names import Names, names
from analyzer.sessions.session import LoginOutcome, Outcome, Session

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from analyzer.language import Say

MOST_BARS = 60
"""Intervals the span is parted into, at most; each has a round length."""
LEAST_STEP_NS = 10_000_000
"""A shorter interval tells logins apart that belong together."""
MOST_GROUPS = 5
"""Words (or accounts, clients, servers) with a colour of their own: those refused most; the rest is one more."""
WORDS_COLUMNS = 140
"""Characters of a server's words in the legend."""
LABEL_COLUMNS = 88
"""Columns of the legend, whose words are sentences."""
ACCEPTED, UNDECIDED = "accepted", "no answer seen"
Look = tuple[str, str]
"""Colour and hatch."""
_LOOKS: tuple[Look, ...] = (
    (REFUSED_COLOUR, ""),
    ("#E69F00", "///"),
    ("#CC79A7", "..."),
    ("#000000", ""),
    ("#F0E442", "xxx"),
    ("#888888", "\\\\\\"),
)
"""Okabe and Ito's warm colours for refusals, with a hatch for grey printers."""
_UNITS = ((86_400_000_000_000, "d"), (60_000_000_000, "min"), (1_000_000_000, "s"), (1_000_000, "ms"))
_CALM = {ACCEPTED: "#56B4E9", UNDECIDED: "#DDDDDD"}


@dataclass(frozen=True, eq=False)
class Refusals(Picture):
    """Refused logins per interval.

    ``data`` has one row per interval and kind of attempt in it: time (start of the interval, UTC), what ('refused',
    'accepted', 'no answer seen'), who (of the refused: the server's words, or the account, client or server), attempts.
    """

    step: int = 0
    """Length of an interval, ns."""

    def _on(self, ax: Axes) -> None:
        _draw(self, ax)


def refusals(result: Result, by: str = "words", say: Say = str) -> Refusals:
    """Count attempts to log in per interval, those refused by the server's words, or by account, client or server.

    Raises:
        AnalyzerError: ``by`` is not words, account, client or server.
    """
    check_kind(by, ("words", *KINDS))
    known = names(login for s in result.sessions for login in s.logins)
    seen = [x for s in result.sessions for x in _attempts(s, by, known)]
    times = [ts for ts, _, _ in seen]
    step = max(step_of(max(times, default=0) - min(times, default=0), MOST_BARS), LEAST_STEP_NS)
    most = Counter(who for _, what, who in seen if what == "refused").most_common()
    own = {who for who, _ in most[:MOST_GROUPS]} | {""}
    counts = Counter((ts // step * step, what, who if who in own else OTHERS) for ts, what, who in seen)
    refused = sum(n for _, n in most)
    return Refusals(
        title=title_of(result, say),
        by=by,
        data=_table(counts),
        end=end_of(result),
        subtitle=say(f"{refused} of {len(seen)} attempts refused; each bar counts {_length(step)}"),
        say=say,
        step=step,
    )


def _attempts(session: Session, by: str, known: Names) -> Iterable[tuple[int, str, str]]:
    """Yield when, what and whose each login was."""
    if session.outcome is Outcome.REFUSED_AT_GREETING:
        words = session.greeting or session.bye or SILENT
        yield session.start, "refused", _who(session, by, words, None)
    for login in session.logins:
        if login.outcome is LoginOutcome.ACCEPTED:
            yield (login.decided or login.at).ts, ACCEPTED, ""
        elif login.outcome is LoginOutcome.REFUSED:
            words = " ".join(x for x in (login.status, login.text) if x) or SILENT
            yield (login.decided or login.at).ts, "refused", _who(session, by, words, known.of(login))
        else:
            yield login.at.ts, UNDECIDED, ""


def _who(session: Session, by: str, words: str, account: str | None) -> str:
    if by == "words":
        return words
    return (account or UNSEEN) if by == "account" else str(getattr(session, by))


def _length(step: int) -> str:
    unit, name = next(x for x in _UNITS if step % x[0] == 0)
    return f"{step // unit} {name}"


def _table(counts: Counter[tuple[int, str, str]]) -> pd.DataFrame:
    import pandas as pd

    rows = [(*key, n) for key, n in sorted(counts.items())]
    table = pd.DataFrame(rows, columns=["time", "what", "who", "attempts"])
    table["time"] = utc_column(table["time"])
    return table.astype({"what": "category", "who": "string", "attempts": "Int64"})


def _draw(chart: Refusals, ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    times = chart.data["time"].astype("int64").tolist()
    start, end = min(times, default=chart.end or 0), max(times, default=chart.end or 0) + chart.step
    stack: dict[float, int] = {}
    handles, labels = [], []
    for label, look, rows in _layers(chart):
        handles.append(_layer(ax, [(seconds(ts, start), n) for ts, n in rows], stack, seconds(chart.step, 0), look))
        labels.append(fill(f"{short(label, WORDS_COLUMNS)} ({sum(n for _, n in rows)})", LABEL_COLUMNS))
    head(ax, chart, empty=not times)
    time_axis(ax, chart, start, end)
    ax.set_ylabel(chart.say(f"attempts per {_length(chart.step)}"))
    ax.set_ylim(0, max(stack.values(), default=1) * 1.08)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))
    legend(ax, handles, labels, chart.note)


def _layers(chart: Refusals) -> Iterable[tuple[str, Look, list[tuple[int, int]]]]:
    """Yield label, look and (time, logins) of each layer from the ground up: refusals first, most of them lowest."""
    data = chart.data
    rows = list(zip(data["time"].astype("int64"), data["what"], data["who"], data["attempts"], strict=True))
    refused = Counter[str]()
    for _, what, who, n in rows:
        refused[who] += n * (what == "refused")
    ranked = sorted((who for who, n in refused.items() if n), key=lambda who: (who == OTHERS, -refused[who], who))
    for who, look in zip(ranked, _LOOKS, strict=False):
        yield (
            f"{chart.say('refused')}: {named(who, chart.say)}",
            look,
            [(ts, n) for ts, what, x, n in rows if what == "refused" and x == who],
        )
    for kind, colour in _CALM.items():
        if found := [(ts, n) for ts, what, _, n in rows if what == kind]:
            yield chart.say(kind), (colour, ""), found


def _layer(ax: Axes, rows: Sequence[tuple[float, int]], stack: dict[float, int], width: float, look: Look) -> Any:
    """Put one layer of bars, of (seconds, attempts), on those below it."""
    below = [stack.get(x, 0) for x, _ in rows]
    stack.update({x: ground + n for (x, n), ground in zip(rows, below, strict=True)})
    lefts, heights = [x for x, _ in rows], [n for _, n in rows]
    made = ax.bar(lefts, heights, width, below, align="edge", edgecolor="white", linewidth=0.6, zorder=3)
    for bar in made:
        bar.set(facecolor=look[0], hatch=look[1])
    return made
