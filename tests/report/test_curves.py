from __future__ import annotations

from analyzer.report.curves import curves, natural, span_of
from tests.records import BASE, full_house, one_pc, refused, session


def test_the_most_refused_comes_first_then_the_highest_then_by_natural_name() -> None:
    told = curves(
        [
            session("C1", client="10.0.0.10"),
            session("C2", client="10.0.0.9"),
            session("C3", client="10.0.0.8"),
            session("C4", client="10.0.0.8"),
            refused("C5", client="10.0.0.99"),
        ],
        "client",
    )
    assert [x.name for x in told] == ["10.0.0.99", "10.0.0.8", "10.0.0.9", "10.0.0.10"]


def test_names_of_any_script_are_sorted() -> None:
    assert min(["a10", "a9", "\N{ARABIC-INDIC DIGIT THREE}", "", "7"], key=natural) == ""


def test_a_curve_holds_every_refusal_in_order() -> None:
    (curve,) = curves(full_house(), "account")
    assert len(curve.refused) == 42
    assert list(curve.refused) == sorted(curve.refused)
    assert curve.steps.peak[0] == 16


def test_the_span_has_room_around_a_single_instant() -> None:
    start, end = span_of(curves(one_pc(1), "account"), None)
    assert start < BASE + 118_080_000_000 < end
    assert span_of([], BASE)[0] < BASE
