"""The release argument: how likely is it by chance that somebody came in so soon after somebody had gone."""

from random import Random

import pytest

from analyzer.rules.release import LEAST_CHANCE, Closes, together_db

S = 1_000_000_000


def test_the_share_of_time_shortly_after_a_close() -> None:
    closes = Closes([20 * S, 50 * S], 100 * S)
    assert closes.share(1 * S, 100 * S) == pytest.approx(0.02)
    assert closes.share(40 * S, 100 * S) == pytest.approx(0.70)
    assert closes.share(500 * S, 100 * S) == pytest.approx(0.80)


def test_closes_at_once_are_one_occasion() -> None:
    alone, crowd = Closes([20 * S], 100 * S), Closes([20 * S] * 8, 100 * S)
    assert alone.share(S, 100 * S) == crowd.share(S, 100 * S)


def test_nothing_is_rarer_than_clocks_allow_nor_likelier_than_certain() -> None:
    assert Closes([20 * S], 100 * S).share(1, 100 * S) == LEAST_CHANCE
    assert Closes([], 100 * S).share(S, 0) == 1.0
    assert Closes([0], 100 * S).share(90 * S, 10 * S) == 1.0


def test_the_close_before_a_moment() -> None:
    closes = Closes([20 * S, 50 * S], 100 * S)
    assert closes.before(60 * S, 10 * S) == 50 * S
    assert closes.before(50 * S, 10 * S) == 50 * S
    assert closes.before(60 * S, 55 * S) is None
    assert closes.before(10 * S, 0) is None
    assert Closes([], S).before(S, 0) is None


def test_one_chance_is_itself_and_several_are_less_than_their_product() -> None:
    assert together_db([]) == 0.0
    assert together_db([0.01]) == pytest.approx(20.0)
    assert 20.0 < together_db([0.01, 0.01]) < 40.0
    assert together_db([1.0, 1.0]) == pytest.approx(0.0)
    assert together_db([0.01, 1.0]) < 20.0


@pytest.mark.parametrize("many", [1, 3, 8])
def test_mere_chance_reaches_ten_decibels_one_time_in_ten(many: int) -> None:
    rng = Random(many)
    drawn = [together_db([max(rng.random(), LEAST_CHANCE) for _ in range(many)]) for _ in range(2000)]
    assert 0.08 < sum(db >= 10.0 for db in drawn) / len(drawn) < 0.12
