"""Clocks of several captures: how far ahead, and how fast they drift."""

from analyzer.at import NS_PER_S, At
from analyzer.sessions.clocks import Clock, clocks
from analyzer.sessions.session import Session
from tests.records import BASE, session

SECOND = NS_PER_S


def pair(n: int, at_s: float, ahead: int, capture: str = "b", near: str = "a") -> tuple[Session, Session]:
    """One handshake as two captures saw it."""
    one = session(f"C{n}", at_s=at_s, capture=near)
    one = one._replace(syn_at=At(1, one.start), syn_ack_at=At(2, one.start + 10_000_000))
    # Three ms from one capture point to the other, each way.
    syn, answer = one.start + 3_000_000 + ahead, one.start + 7_000_000 + ahead
    return one, one._replace(capture=capture, start=syn, syn_at=At(1, syn), syn_ack_at=At(2, answer))


def test_half_the_sum_cancels_the_way() -> None:
    told = clocks(["a", "b"], [pair(1, 0, 5 * SECOND)])
    assert told["a"] == Clock(0)
    assert told["b"].ahead_at(BASE) == 5 * SECOND


def test_differences_that_change_no_order_are_left_alone() -> None:
    assert clocks(["a", "b"], [pair(1, 0, 19_000_000)])["b"].ahead_at(BASE) == 0


def test_a_drift_is_followed() -> None:
    pairs = [pair(n, 600.0 * n, SECOND + n * SECOND // 10) for n in range(12)]  # 100 ms in ten minutes
    told = clocks(["a", "b"], pairs)["b"]
    for n in (0, 5, 11):
        ns = SECOND + n * SECOND // 10
        assert abs(told.ahead_at(pairs[n][1].start) - ns) < 2_000_000


def test_jitter_and_few_handshakes_are_no_drift() -> None:
    jitter = [pair(n, 600.0 * n, SECOND + n % 2 * 15_000_000) for n in range(12)]
    assert clocks(["a", "b"], jitter)["b"].rate == 0
    few = [pair(n, 600.0 * n, SECOND + n * SECOND // 10) for n in range(5)]
    assert clocks(["a", "b"], few)["b"].rate == 0
    at_once = [pair(n, 0.0, SECOND + n * SECOND // 10) for n in range(12)]
    assert abs(clocks(["a", "b"], at_once)["b"].ahead_at(BASE) - SECOND) < 2 * SECOND


def test_clocks_are_set_from_capture_to_capture() -> None:
    shared = [pair(1, 0, SECOND), pair(2, 5, 2 * SECOND, capture="c", near="b")]
    told = clocks(["a", "b", "c"], shared)
    assert told["c"].ahead_at(BASE) == 3 * SECOND


def test_what_shares_nothing_keeps_its_time() -> None:
    assert clocks(["a", "b"], [])["b"] == Clock(0)
