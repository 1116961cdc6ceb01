"""Several captures, one story."""

from analyzer.at import NS_PER_S, At
from analyzer.sessions.merge import merge
from analyzer.sessions.session import Session
from tests.records import session

AHEAD = 90 * NS_PER_S


def view(uid: str, at_s: float, capture: str, *, isn: int | None, ahead: int = 0, **more: object) -> Session:
    """One connection as a capture whose clock may be ahead holds it."""
    made = session(uid, at_s=at_s, capture=capture, **more)
    syn = made.syn_at or At(made.first_frame, made.start)
    return made._replace(
        start=made.start + ahead,
        end=made.end + ahead,
        opened=made.opened and made.opened + ahead,
        closed=made.closed and made.closed + ahead,
        syn_at=At(syn.frame, syn.ts + ahead) if isn is not None else None,
        syn_ack_at=At(syn.frame + 1, syn.ts + ahead + 1000) if isn is not None else None,
        client_isn=isn,
        server_isn=isn and isn + 1,
        logins=tuple(x._replace(decided=x.decided and At(x.decided.frame, x.decided.ts + ahead)) for x in made.logins),
    )


def test_one_capture_stays_as_it_is() -> None:
    story = (view("C1", 1, "a.pcap", isn=1), view("C2", 2, "a.pcap", isn=None))
    assert merge(story).sessions == story


def test_a_connection_seen_twice_counts_once() -> None:
    both = (view("C1", 1, "pc.pcap", isn=7), view("C1", 1, "server.pcap", isn=7))
    made = merge(both)
    assert len(made.sessions) == made.seen_twice == 1


def test_other_sequence_numbers_are_another_connection() -> None:
    assert len(merge((view("C1", 1, "pc.pcap", isn=7), view("C1", 1, "server.pcap", isn=8))).sessions) == 2


def test_the_view_without_gaps_is_kept() -> None:
    holed = view("C1", 1, "pc.pcap", isn=7)._replace(missed_bytes=5)
    whole = view("C1", 1, "server.pcap", isn=7)
    assert merge((holed, whole)).sessions[0].capture == "server.pcap"
    assert merge((whole, holed._replace(missed_bytes=0, one_sided=True))).sessions[0].capture == "server.pcap"


def test_of_equal_views_the_one_that_sees_more_clients_is_kept() -> None:
    others = [view(f"C{n}", n, "server.pcap", isn=n, client=f"192.0.2.{n}") for n in range(2, 5)]
    made = merge((view("C1", 1, "pc.pcap", isn=1), view("C1", 1, "server.pcap", isn=1), *others))
    assert {s.capture for s in made.sessions} == {"server.pcap"}


def test_clocks_are_set_alike() -> None:
    near, far = view("C1", 1, "pc.pcap", isn=7), view("C1", 1, "server.pcap", isn=7, ahead=AHEAD)
    later = view("C10", 5, "server.pcap", isn=9, ahead=AHEAD, client="192.0.2.77")
    made = merge((near, far, later))
    assert made.offsets == {"pc.pcap": 0, "server.pcap": AHEAD}
    assert [s.start for s in made.sessions] == [near.start, later.start - AHEAD]
    assert made.sessions[1].opened == (later.opened or 0) - AHEAD
    assert made.sessions[1].first_frame == later.first_frame


def test_a_small_difference_is_left_alone() -> None:
    made = merge((view("C1", 1, "pc.pcap", isn=7), view("C1", 1, "server.pcap", isn=7, ahead=1_000_000)))
    assert set(made.offsets.values()) == {0}


def test_captures_without_a_shared_handshake_keep_their_times() -> None:
    made = merge((view("C1", 1, "pc.pcap", isn=7), view("C9", 1, "other.pcap", isn=8, ahead=AHEAD, client="192.0.2.9")))
    assert set(made.offsets.values()) == {0}
    assert len(made.sessions) == 2


def test_the_middle_of_a_connection_belongs_to_it() -> None:
    begun = view("C1", 1, "first.pcap", isn=7, lasts_s=20)
    rest = view("C1", 10, "second.pcap", isn=None, lasts_s=15)
    apart = view("C2", 900, "second.pcap", isn=None)
    assert len(merge((begun, rest)).sessions) == 1
    assert len(merge((begun, apart)).sessions) == 2
