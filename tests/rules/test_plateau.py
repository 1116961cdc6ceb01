"""Refusals against open sessions."""

from math import comb, log10

import pytest

from analyzer.at import NS_PER_S
from analyzer.rules.plateau import RELEASE_S, Standing, rank_db, standing
from analyzer.sessions.concurrency import Span, steps


@pytest.mark.parametrize(("accepted", "refused"), [(0, 0), (5, 0), (0, 5), (1, 1), (16, 4), (300, 80)])
def test_rank_db_is_the_logarithm_of_the_orders(accepted: int, refused: int) -> None:
    assert rank_db(accepted, refused) == pytest.approx(10 * log10(comb(accepted + refused, refused)), abs=1e-9)


def test_rank_db_of_many_is_finite() -> None:
    assert rank_db(10**6, 10**6) > 6_000_000


def stand(refused: list[float], opens: list[tuple[float, float | None]], unsure: int = 0) -> Standing:
    def ns(at_s: float) -> int:
        return round(at_s * NS_PER_S)

    line = [Span(ns(a), None if b is None else ns(b)) for a, b in opens]
    accepted = [ns(a) for a, _ in opens]
    return standing([ns(x) for x in refused], accepted, line, steps(line), unsure=unsure)


OPEN = [(0.0, None), (10.0, None)]


def test_without_refusals_there_is_no_height() -> None:
    assert stand([], OPEN) == Standing(None, None, 1, 0, 0, 0)
    assert not stand([], OPEN).clean


def test_without_acceptances_nothing_is_clean() -> None:
    found = stand([5.0, 6.0], [])
    assert (found.height, found.most_accepted, found.clean) == (0, None, False)


def test_all_refusals_on_top_are_clean() -> None:
    found = stand([20.0, 30.0], OPEN)
    assert found == Standing(height=2, least_refused=2, most_accepted=1, at_height=2, below=0, counted=2)
    assert found.clean


def test_a_refusal_as_low_as_an_acceptance_is_below() -> None:
    found = stand([5.0, 20.0, 30.0], OPEN)
    assert (found.height, found.least_refused, found.below, found.counted) == (2, 1, 1, 3)
    assert not found.clean


def test_unseen_sessions_may_fill_the_gap() -> None:
    assert stand([5.0, 20.0], OPEN, unsure=1).below == 0


def test_just_after_a_close_the_server_may_still_count_it() -> None:
    opens = [(0.0, 40.0), (10.0, None)]
    assert stand([40.0 + RELEASE_S - 0.1], opens).counted == 0
    found = stand([40.0 + RELEASE_S], opens)
    assert (found.counted, found.height, found.below) == (1, 1, 1)


def test_just_after_a_close_it_counts_no_more_than_had_been_open() -> None:
    """A refusal that lies below an acceptance even so is no limit's, and one that does not speaks for none."""
    opens = [(0.0, 40.0), (10.0, None), (20.0, 30.0), (21.0, 30.0), (22.0, 30.0)]
    low, high = stand([41.0], opens), stand([31.0], opens)
    assert (low.blurred, low.counted, low.least_refused, low.below, low.clean) == (1, 0, 2, 1, False)
    assert (high.blurred, high.counted, high.least_refused, high.below, high.clean) == (1, 0, 5, 0, True)
    assert (high.near, high.height) == (False, None)


def test_the_height_is_the_most_frequent_number_and_the_higher_of_two() -> None:
    opens = [(0.0, None), (10.0, None), (20.0, None)]
    assert stand([15.0, 16.0, 30.0], opens).height == 2
    assert stand([15.0, 30.0], opens).height == 3
