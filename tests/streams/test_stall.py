"""Where a connection stands still: what one side sent and the other never took; nothing where it took it after all."""

from __future__ import annotations

import pytest

from analyzer.at import Side
from analyzer.streams import Stall
from tests.streams.talk import HANDSHAKE, one

GREETING = "S PA 1 1 ready\nC PA 1 6 go\nS A 6 3\n"
BIG = "x" * 40
MS = 1_000_000


def stall(text: str) -> Stall | None:
    return one(HANDSHAKE + GREETING + text).connection.stall


def test_a_segment_sent_again_and_never_taken() -> None:
    found = stall(f"S A 6 3 {BIG}\nS A 6 3 {BIG} +300\nC A 3 6 +10\nS A 6 3 {BIG} +600\nC A 3 6 +10")
    assert found is not None
    assert (found.side, found.size, found.times, found.taken) == (Side.SERVER, 40, 3, 5)
    assert found.at.frame == 10
    assert found.heard - found.since == 620 * MS


def test_what_follows_came_and_it_did_not() -> None:
    found = stall("S PA 46 3 tail\nC A 3 6\nC A 3 6 +4000")
    assert found is not None
    assert (found.side, found.size, found.times, found.taken, found.at.frame) == (Side.SERVER, 40, 0, 5, 7)
    assert found.heard - found.since == 4010 * MS


def test_the_client_may_be_the_one_who_is_not_heard() -> None:
    found = stall(f"C PA 3 6 {BIG}\nC PA 3 6 {BIG} +300\nS A 6 3")
    assert found is not None
    assert (found.side, found.times, found.taken) == (Side.CLIENT, 2, 2)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("C FA 3 6\nS FA 6 4\nC A 4 7", id="nothing sent again"),
        pytest.param(f"S A 6 3 {BIG}\nS A 6 3 {BIG} +300\nC A 3 46 +10", id="taken at last"),
        pytest.param(f"S A 6 3 {BIG}\nC A 3 46\nS A 6 3 {BIG} +300", id="sent again although taken"),
        pytest.param(f"S PA 46 3 tail\nC A 3 6\nS A 6 3 {BIG} +300\nC A 3 50", id="the hole was filled"),
        pytest.param("S PA 46 3 tail\nC A 3 50\nC A 3 50 +4000", id="the capture lost it: it was acknowledged"),
        pytest.param("S A 5 3 y +9000\nC A 3 6", id="keep-alive"),
        pytest.param("C PA 3 6 hello", id="not acknowledged, not sent again"),
    ],
)
def test_nothing_stands_still(text: str) -> None:
    assert stall(text) is None


def test_one_side_alone_cannot_tell() -> None:
    assert one(f"S PA 1 1 ready\nS PA 6 1 {BIG}\nS PA 6 1 {BIG} +300").connection.stall is None


def test_the_oldest_octets_count_and_a_later_stall_replaces_one_that_was_overcome() -> None:
    overcome = f"S A 6 3 {BIG}\nS A 6 3 {BIG} +300\nC A 3 46 +10\n"
    found = stall(overcome + "S A 46 3 abcdef\nS A 46 3 abcdef +300\nS A 46 3 abc +300\nC A 3 46 +10")
    assert found is not None
    assert (found.size, found.taken) == (6, 45)


def test_packets_and_repeats_of_the_server_are_counted_apart() -> None:
    connection = one(HANDSHAKE + GREETING + "S PA 1 3 ready +300\nC PA 1 6 go +300\nC PA 1 6 go +300").connection
    assert (connection.retransmits, connection.server_retransmits) == (3, 1)
    assert (connection.packets, connection.server_packets) == (9, 4)


@pytest.mark.parametrize(
    ("text", "ttl", "after_ms"),
    [
        ("C PA 3 6 hello +50\nS RA 6 8 +2.5 ttl=250", 64, 2.5),
        ("S PA 6 3 hello +50 ttl=61\nC R 3 11 +1 ttl=33", 64, 1.0),
    ],
)
def test_a_reset_is_compared_with_the_data_of_the_side_it_names(text: str, ttl: int, after_ms: float) -> None:
    connection = one(HANDSHAKE + GREETING + text).connection
    assert (connection.data_ttl, connection.reset_after_ms) == (ttl, after_ms)


def test_without_data_of_that_side_nothing_is_compared() -> None:
    assert one(HANDSHAKE + "C R 1 1 ttl=33").connection.data_ttl is None
    assert one("S R 1 1").connection.reset_after_ms is None
