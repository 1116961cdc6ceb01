"""Open sessions over time."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.at import NS_PER_S
from analyzer.sessions.concurrency import Span, Steps, levels, open_sessions, peak_of, spans, steps
from tests.records import full_house, ns, one_pc, session

TWO = [Span(10, 30), Span(20, None)]


def test_steps() -> None:
    assert steps(TWO) == Steps((10, 20, 30), (1, 2, 1))
    assert steps([]) == Steps((), ())


@pytest.mark.parametrize(("ts", "count"), [(9, 0), (10, 0), (11, 1), (20, 1), (21, 2), (30, 2), (31, 1), (99, 1)])
def test_the_number_just_before(ts: int, count: int) -> None:
    assert steps(TWO).at(ts) == count


def test_a_slot_is_free_in_the_instant_it_is_given_back() -> None:
    line = steps([Span(10, 20), Span(20, 30)])
    assert line.peak == (1, 10)
    assert line.at(20) == 1


def test_a_session_that_closes_before_it_opens_counts_for_nothing() -> None:
    assert steps([Span(20, 10)]).peak == (0, 20)


def test_peak() -> None:
    assert steps(TWO).peak == (2, 20)
    assert steps([]).peak == (0, None)


def test_how_long_each_level_lasted() -> None:
    assert levels(steps([Span(10, 30), Span(20, 50)])) == {1: 30, 2: 10}


def test_open_before_the_capture_counts_from_its_first_packet() -> None:
    early = session("C1", at_s=0.0, lasts_s=None)
    before = session("C2", at_s=50.0, lasts_s=None, logins=(), opened=ns(50.0), opened_before=True)
    assert spans([early, before])[1] == Span(ns(0.0), None)


def test_refused_sessions_are_not_open() -> None:
    assert spans(one_pc()) == []
    assert open_sessions(one_pc()) == {}


def test_by_account_client_and_server() -> None:
    pair = [
        session("C1", at_s=0.0, lasts_s=30, account="a", client="192.0.2.1"),
        session("C2", at_s=10.0, lasts_s=30, account="b", client="192.0.2.1"),
    ]
    assert {key: line.peak[0] for key, line in open_sessions(pair).items()} == {"a": 1, "b": 1}
    assert {key: line.peak[0] for key, line in open_sessions(pair, by="client").items()} == {"192.0.2.1": 2}
    assert {key: line.peak[0] for key, line in open_sessions(pair, by="server").items()} == {"10.4.3.90": 2}


def test_an_unseen_account_has_a_line_of_its_own() -> None:
    before = session("C2", logins=(), opened=ns(0.0), opened_before=True)
    assert list(open_sessions([before])) == ["(account not seen)"]


def test_the_account_is_that_of_the_accepted_login() -> None:

    first, second = session("C1", account="right"), session("C1", account="other")
    refused = second.logins[0]._replace(outcome="refused")
    both = first._replace(logins=(*first.logins, refused))
    assert list(open_sessions([both])) == ["right"]


def test_a_full_house_stands_at_its_limit() -> None:
    (line,) = open_sessions(full_house(limit=16)).values()
    assert line.peak[0] == 16


_SPANS = st.lists(
    st.tuples(st.integers(0, 50), st.none() | st.integers(0, 50)).map(
        lambda x: Span(x[0] * NS_PER_S, None if x[1] is None else (x[0] + x[1]) * NS_PER_S)
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(_SPANS, st.integers(0, 110))
def test_the_line_is_the_plain_count(intervals: list[Span], second: int) -> None:
    ts = second * NS_PER_S
    plain = sum(s.opened < ts and (s.closed is None or s.closed >= ts) and s.closed != s.opened for s in intervals)
    assert steps(intervals).at(ts) == plain


@pytest.mark.parametrize("seed", range(20))
def test_the_fast_peak_is_that_of_the_step_line(seed: int) -> None:
    rng = Random(seed)
    some = [Span(begin := rng.randrange(20), rng.choice((None, begin + rng.randrange(9)))) for _ in range(1 + seed)]
    most, at = steps(some).peak
    assert peak_of(some) == (most, at if most else None)


def test_nothing_open_has_no_peak() -> None:
    assert peak_of([]) == (0, None)
    assert peak_of([Span(5, 5)]) == (0, None)
