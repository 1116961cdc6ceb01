"""Which captures continue one another: what goes on, and everything that only looks like it."""

from typing import Any

import pytest

from analyzer.sessions.coverage import CaptureSeen
from analyzer.sessions.series import Run, run_of, runs
from analyzer.sessions.session import Session
from tests.records import capture_seen, ns, place, session

A, B, C = "a.pcap", "b.pcap", "c.pcap"


def seen(name: str, start_s: float, end_s: float, **changes: Any) -> CaptureSeen:
    given = {"start": ns(start_s), "end": ns(end_s), "packets": 100}
    found: CaptureSeen = capture_seen(name, **(given | changes))
    return found


def part(capture: str, start_s: float, end_s: float, *, begun: bool, **changes: Any) -> Session:
    """Some of connection C1 that is still open when the capture ends."""
    given = {"syn_at": place(1, start_s) if begun else None, "end": ns(end_s), "lasts_s": None}
    return session(capture=capture, at_s=start_s, **(given | changes))


def names(found: list[Run]) -> list[tuple[str, ...]]:
    return [run.names for run in found]


SEEN = [seen(A, 0, 60), seen(B, 61, 120)]
BEGUN, REST = part(A, 10, 59, begun=True), part(B, 70, 110, begun=False)


def test_an_open_connection_that_goes_on_makes_a_series() -> None:
    assert names(runs(SEEN, [BEGUN, REST])) == [(A, B)]
    assert names(runs(SEEN[::-1], [REST, BEGUN])) == [(A, B)]
    assert runs(SEEN, [BEGUN, REST])[0].before == (0, 100)


def test_guessing_wrongly_who_the_client_is_does_not_matter() -> None:
    turned = part(
        B, 70, 110, begun=False, client=REST.server, client_port=143, server=REST.client, server_port=REST.client_port
    )
    assert names(runs(SEEN, [BEGUN, turned])) == [(A, B)]


def test_a_connection_silent_for_a_whole_file_joins_its_neighbours() -> None:
    three = [*SEEN, seen(C, 121, 180)]
    assert names(runs(three, [BEGUN, part(C, 130, 170, begun=False)])) == [(A, C)]
    other = {"client_port": 50_777, "begun": True}
    rest = [part(C, 130, 170, begun=False), part(C, 140, 150, client_port=50_777, begun=False)]
    assert names(runs(three, [BEGUN, part(B, 70, 110, **other), *rest])) == [(A, B, C)]


def test_a_syn_repeated_in_the_next_file_goes_on_when_nobody_had_answered() -> None:
    asked = part(A, 10, 59, begun=True, client_isn=7)
    again = part(B, 61, 110, begun=True, client_isn=7, syn_ack_at=place(2, 61.1), server_isn=8)
    assert names(runs(SEEN, [asked, again])) == [(A, B)]
    assert runs(SEEN, [part(A, 10, 59, begun=True, client_isn=6), again]) == []


def test_the_answer_alone_in_the_next_file_goes_on() -> None:
    answered = part(B, 61, 110, begun=False, syn_ack_at=place(1, 61.0))
    assert names(runs(SEEN, [BEGUN, answered])) == [(A, B)]
    assert runs(SEEN, [part(A, 10, 59, begun=True, syn_ack_at=place(2, 10.1)), answered]) == []


def test_last_words_of_a_closed_connection_go_on_for_a_minute() -> None:
    closed = part(A, 10, 59, begun=True, closed_at=place(90, 59))
    assert names(runs(SEEN, [closed, part(B, 70, 71, begun=False)])) == [(A, B)]
    assert runs([seen(A, 0, 60), seen(B, 61, 320)], [closed, part(B, 300, 310, begun=False)]) == []


@pytest.mark.parametrize(
    "captures",
    [
        pytest.param([seen(A, 0, 80), seen(B, 61, 120)], id="they overlap"),
        pytest.param([seen(A, 0, 60), seen(B, 86_400, 86_520)], id="a day between them"),
        pytest.param([seen(A, 0, 60), seen(B, 61, 120, link_types=("linux_sll",))], id="other links"),
        pytest.param([seen(A, 0, 60), seen(B, 61, 120, resolution=9)], id="other clocks"),
        pytest.param([seen(A, 0, 60), seen(B, 61, 120, start=None, end=None)], id="no times"),
        pytest.param([seen(A, 0, 60), seen(A, 61, 120)], id="one name"),
        pytest.param([seen(A, 0, 60)], id="one capture"),
    ],
)
def test_captures_that_cannot_be_a_series(captures: list[CaptureSeen]) -> None:
    held = [BEGUN, part(captures[-1].name, 86_410 if captures[-1].start == ns(86_400) else 70, 110, begun=False)]
    assert runs(captures, held) == []


def test_a_lost_file_may_be_as_long_as_two_others() -> None:
    rest = part(B, 5400, 5500, begun=False)
    assert names(runs([seen(A, 0, 1800), seen(B, 5300, 6000)], [BEGUN, rest])) == [(A, B)]
    assert runs([seen(A, 0, 1800), seen(B, 5500, 6000)], [BEGUN, rest]) == []


def test_a_handshake_in_both_means_two_capture_points() -> None:
    both = {"client_isn": 7, "server_isn": 8, "client_port": 50_500, "begun": True, "syn_ack_at": place(2, 20)}
    there = [part(A, 20, 30, **both), part(B, 80, 90, **both)]
    assert runs(SEEN, [BEGUN, REST, *there]) == []


def test_two_that_overlap_do_not_both_continue_a_third() -> None:
    three = [*SEEN, seen(C, 90, 180)]
    assert names(runs(three, [BEGUN, REST, part(C, 130, 170, begun=False)])) == [(A, B)]
    other = part(A, 20, 58, begun=True, client_port=50_777)
    assert runs(three, [BEGUN, other, REST, part(C, 130, 170, begun=False, client_port=50_777)]) == []


def test_places() -> None:
    run = run_of([A, B, C], {A: 3, B: 1, C: 9})
    assert [run.place(frame) for frame in (1, 3, 4, 5, 6)] == [(A, 1), (A, 3), (B, 1), (C, 1), (C, 2)]
