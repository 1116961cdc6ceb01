from __future__ import annotations

import re
from itertools import pairwise

import pytest

from analyzer.at import NS_PER_S
from analyzer.report.curves import Curve, curves
from analyzer.report.plot import MOST_INTERVALS, Plot, plot
from analyzer.sessions.concurrency import Steps
from tests.records import BASE, full_house, one_pc

NUMBER = re.compile(r"([MHV])([\d.]+)(?: ([\d.]+))?")


def drawn(width: int = 920, limit: int | None = 16) -> Plot:
    sessions = full_house()
    return plot(curves(sessions, "account"), curves(sessions, "client"), limit, None, width)


@pytest.mark.parametrize("width", [920, 340])
def test_all_lies_inside_the_drawing(width: int) -> None:
    p = drawn(width)
    for letter, first, second in NUMBER.findall(p.lines[0].path):
        x, y = (float(first), float(second)) if letter == "M" else (float(first), None)
        if letter != "V":
            assert p.left <= x <= p.right
        for value in (y, float(first) if letter == "V" else None):
            assert value is None or p.top <= value <= p.bottom
    places = [m for line in (*p.lines, *p.lanes) for m in line.marks]
    assert all(p.left <= m.x <= p.right and 0 <= m.y <= p.height for m in places)
    assert all(p.left <= b.x and b.x + b.width <= p.right + 2 for lane in p.lanes for b in lane.bars)
    assert all(lane.y <= p.height for lane in p.lanes)
    assert all(left.place < right.place for left, right in pairwise(p.times))


def test_no_refusal_is_lost_where_marks_are_shared() -> None:
    p = drawn()
    assert sum(m.refusals for m in p.lines[0].marks) == 42
    assert sum(m.refusals for lane in p.lanes for m in lane.marks) == 42
    assert sum(i.cells[0].refused for i in p.intervals) == 42
    assert {m.level for m in p.lines[0].marks} == {16}
    assert max(i.cells[0].highest for i in p.intervals) == 16
    assert len(p.intervals) <= MOST_INTERVALS + 1


def test_the_limit_is_drawn_at_its_height() -> None:
    p = drawn()
    by_count = {t.text: t.place for t in p.counts}
    assert p.limit is not None
    assert by_count["15"] > p.limit > p.top
    assert drawn(limit=None).limit is None


def test_a_long_capture_stays_a_small_drawing() -> None:
    times = tuple(BASE + n * NS_PER_S // 50 for n in range(100_000))
    counts = tuple(3 + n % 7 for n in range(100_000))
    curve = Curve("busy", Steps(times, counts), times[::3])
    p = plot([curve], [curve], 9, None, 920)
    assert len(p.lines[0].path) < 40_000
    assert len(p.lines[0].marks) < 120
    assert len(p.lanes[0].bars) < 1000
    assert sum(m.refusals for m in p.lines[0].marks) == len(times[::3])


def test_nothing_is_drawn_where_no_session_is_open() -> None:
    times = tuple(BASE + n * 10 * NS_PER_S for n in range(1, 5))
    line = plot([Curve("c", Steps(times, (1, 0, 2, 0)), ())], [], None, BASE + 60 * NS_PER_S, 920).lines[0]
    assert [letter for letter, _, _ in NUMBER.findall(line.path)] == ["M", "V", "H", "V", "M", "V", "H", "V"]
    assert line.area.startswith("M")
    assert line.area.endswith("Z")


def test_refusals_without_a_session_and_nothing_at_all_are_drawings_too() -> None:
    sessions = one_pc()
    p = plot(curves(sessions, "account"), curves(sessions, "client"), None, None, 340)
    assert p.lines[0].level == 0
    assert p.lines[0].marks[0].y == p.bottom
    assert p.lanes[0].bars == ()
    empty = plot([], [], None, BASE, 920)
    assert (empty.lines, empty.intervals) == ((), ())


def test_a_bar_ends_where_the_last_session_closed() -> None:
    times = (BASE, BASE + 10 * NS_PER_S)
    curve = Curve("c", Steps(times, (2, 0)), ())
    (bar,) = plot([], [curve], None, BASE + 20 * NS_PER_S, 920).lanes[0].bars
    assert (bar.level, bar.first, bar.last) == (2, *times)
