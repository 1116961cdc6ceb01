"""The geometry of the report's chart: where lines, marks, bars and ticks lie in a drawing of a given width.

No words, no colours and no markup: the page's template makes those. A drawing stays small however long the capture is:
what falls into one column of the drawing is drawn once, with its highest and lowest value.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from analyzer.report.curves import MOST_TICKS, Curve, span_of, step_of, ticks
from analyzer.sessions.concurrency import Steps

MARK_WIDTH = 8
"""Refusals of one curve nearer to each other than this share a mark."""
MOST_INTERVALS = 30
"""Rows of the chart's table, and columns that tell their numbers when pointed at."""
LINES_HEIGHT, FEW_HEIGHT, FEW = 230, 96, 2
"""The lines' part; so high where no more sessions than a few were open."""
LANE_HEIGHT, LANE_BAR = 26, 14
NARROW = 480
"""Drawings narrower than this write a lane's name above its bars."""
_TOP, _BOTTOM, _RIGHT = 14, 26, 12
_COUNT_STEPS = (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000)


class Tick(NamedTuple):
    """A mark on an axis."""

    place: float
    text: str


class Mark(NamedTuple):
    """Refusals of one curve at nearly one moment."""

    x: float
    y: float
    refusals: int
    first: int
    """ns UTC."""
    last: int
    level: int
    """Sessions open just before the first."""


class Bar(NamedTuple):
    """A stretch of a lane on which the number of open sessions stays the same."""

    x: float
    width: float
    height: float
    level: int
    first: int
    """ns UTC."""
    last: int


class Line(NamedTuple):
    """One curve as a stepped path."""

    name: str
    path: str
    area: str
    """The same, closed along the bottom."""
    level: int
    """Its highest."""
    marks: tuple[Mark, ...]


class Lane(NamedTuple):
    """One client's bars and marks."""

    name: str
    y: float
    """The bottom of its bars."""
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]


class Cell(NamedTuple):
    """What one curve did in one interval."""

    highest: int
    """Most sessions open."""
    refused: int


class Interval(NamedTuple):
    """One row of the chart's table."""

    x: float
    width: float
    start: int
    """ns UTC."""
    end: int
    cells: tuple[Cell, ...]
    """One for each line."""


class Plot(NamedTuple):
    """A drawing: lines above, lanes below, one axis of time."""

    width: int
    height: int
    left: float
    right: float
    top: float
    """Top and bottom of the lines' part."""
    bottom: float
    limit: float | None
    """Height of the limit's line."""
    counts: tuple[Tick, ...]
    times: tuple[Tick, ...]
    lines: tuple[Line, ...]
    lanes_top: float
    lanes: tuple[Lane, ...]
    most_lane: int
    """Sessions open of the highest bar of any lane."""
    intervals: tuple[Interval, ...]
    start: int
    """First and last moment drawn, ns UTC."""
    end: int


def plot(lines: Sequence[Curve], lanes: Sequence[Curve], limit: int | None, last_seen: int | None, width: int) -> Plot:
    """Lay out ``lines`` (open sessions of accounts) above ``lanes`` (of clients), ``width`` wide."""
    start, end = span_of([*lines, *lanes], last_seen)
    top = max([1, limit or 0, *(n for x in lines for n in x.steps.counts)])
    narrow = width < NARROW
    left = 30.0 if narrow else 122.0
    room = LINES_HEIGHT if top > FEW else FEW_HEIGHT
    frame = _Frame(start, end, left, width - _RIGHT, top * 1.12, room)
    gap = LANE_HEIGHT + (14 if narrow else 0)
    lanes_top = _TOP + room + 40
    highest = max([1, *(n for x in lanes for n in x.steps.counts)])
    height = lanes_top + gap * len(lanes) + _BOTTOM if lanes else _TOP + room + _BOTTOM
    return Plot(
        width=width,
        height=round(height),
        left=left,
        right=frame.right,
        top=_TOP,
        bottom=_TOP + room,
        limit=None if limit is None else frame.y(limit),
        counts=tuple(Tick(frame.y(n), str(n)) for n in _round_counts(top)),
        times=tuple(_times(frame, 4 if narrow else MOST_TICKS)),
        lines=tuple(_line(x, frame) for x in lines),
        lanes_top=lanes_top,
        lanes=tuple(_lane(x, frame, lanes_top + gap * (n + 1) - 6, highest) for n, x in enumerate(lanes)),
        most_lane=highest,
        intervals=tuple(_intervals(lines, frame)),
        start=start,
        end=end,
    )


class _Frame(NamedTuple):
    """Where times and counts lie."""

    start: int
    end: int
    left: float
    right: float
    top: float
    """The count at the upper edge."""
    height: int

    def x(self, ts: int) -> float:
        share = (ts - self.start) / max(self.end - self.start, 1)
        return round(self.left + share * (self.right - self.left), 1)

    def y(self, count: float) -> float:
        return round(_TOP + self.height * (1 - count / self.top), 1)


def _times(frame: _Frame, most: int) -> Iterator[Tick]:
    """Yield ticks of time; one whose text would be cut off at the right edge is left out."""
    for ts, text in ticks(frame.start, frame.end, most):
        if frame.x(ts) <= frame.right - 4 * len(text):
            yield Tick(frame.x(ts), text)


def _round_counts(top: int) -> Iterable[int]:
    step = next((x for x in _COUNT_STEPS if top / x <= 6), top)
    return range(0, top + 1, step)


def _line(curve: Curve, frame: _Frame) -> Line:
    floor, stretches, closed, level = f"{frame.y(0):g}", [], [f"M{frame.left:g} {frame.y(0):g}"], 0
    for x, changes in groupby(zip(curve.steps.times, curve.steps.counts, strict=True), lambda c: round(frame.x(c[0]))):
        levels = _told(changes)
        heights = "".join(f"V{frame.y(n):g}" for n in levels)
        stretches.append(f"H{x}{heights}" if level else f"M{x} {floor}{heights}")  # nothing is drawn where none is open
        closed.append(f"H{x}{heights}")
        level = levels[-1]
    end = f"H{frame.right:g}"
    path = "".join(stretches) + (end if level else "")
    area = "".join(closed) + f"{end}V{floor}Z"
    return Line(curve.name, path, area, curve.steps.peak[0], tuple(_marks(curve, frame, frame.y)))


def _told(changes: Iterable[tuple[int, int]]) -> list[int]:
    """Return what must be drawn of the levels of one column: its first, lowest, highest and last."""
    levels = [n for _, n in changes]
    if len(levels) <= 4:
        return levels
    return [levels[0], min(levels), max(levels), levels[-1]]


def _marks(curve: Curve, frame: _Frame, height: Callable[[int], float]) -> Iterator[Mark]:
    for _, group in groupby(curve.refused, lambda ts: frame.x(ts) // MARK_WIDTH):
        times = list(group)
        level = curve.steps.at(times[0])
        yield Mark(frame.x((times[0] + times[-1]) // 2), height(level), len(times), times[0], times[-1], level)


def _lane(curve: Curve, frame: _Frame, y: float, highest: int) -> Lane:
    bars = tuple(_bars(curve.steps, frame, highest))
    return Lane(curve.name, y, bars, tuple(_marks(curve, frame, lambda _: y - LANE_BAR / 2)))


def _bars(steps: Steps, frame: _Frame, highest: int) -> Iterator[Bar]:
    """Yield the stretches of a lane; those that share one column are drawn as one, as high as the highest of them."""
    ends = (*steps.times[1:], frame.end)
    stretches = zip(steps.times, ends, steps.counts, strict=False)
    for x, group in groupby(stretches, lambda s: round(frame.x(s[0]))):
        told = list(group)
        first, last, level = told[0][0], told[-1][1], max(n for _, _, n in told)
        if level:
            ending = frame.x(last) if told[-1][2] else frame.x(told[-1][0])
            until = last if told[-1][2] else told[-1][0]
            yield Bar(x, max(ending - x, 1.5), round(max(LANE_BAR * level / highest, 2), 1), level, first, until)


def _intervals(lines: Sequence[Curve], frame: _Frame) -> Iterator[Interval]:
    if not any(x.steps.times or x.refused for x in lines):
        return
    step = step_of(frame.end - frame.start, MOST_INTERVALS)
    for begin in range(frame.start // step * step, frame.end + 1, step):
        first, last = max(begin, frame.start), min(begin + step, frame.end)
        x = frame.x(first)
        cells = tuple(_cell(line, begin, begin + step) for line in lines)
        yield Interval(x, round(max(frame.x(last) - x, 1), 1), begin, begin + step, cells)


def _cell(curve: Curve, start: int, end: int) -> Cell:
    """Count what happened from ``start`` until just before ``end``."""
    here = slice(bisect_left(curve.steps.times, start), bisect_left(curve.steps.times, end))
    before = bisect_right(curve.steps.times, start) - 1
    level = curve.steps.counts[before] if before >= 0 else 0
    refused = bisect_left(curve.refused, end) - bisect_left(curve.refused, start)
    return Cell(max([level, *curve.steps.counts[here]]), refused)
