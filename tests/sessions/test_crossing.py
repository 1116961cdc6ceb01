"""Captures at both ends of connections: what was lost or made up in between, and when they cannot tell."""

from collections.abc import Callable
from pathlib import Path

import pytest

import analyzer
from analyzer.rules import Finding
from analyzer.sessions.session import Crossing, Session
from tests.frames import Host, Segment
from tests.paths import CLIENT, SERVER, Film

Spoil = Callable[[Film], None]


def read(film: Film, folder: Path) -> tuple[tuple[Session, ...], list[Finding]]:
    result = analyzer.read(*film.save(folder)).result
    return result.sessions, [f for f in result.findings if f.severity == "fault"]


def crossing(film: Film, folder: Path, place: int = 0) -> Crossing:
    found = read(film, folder)[0][place].crossing
    assert found is not None
    return found


def quiet(film: Film, minutes: float = 4.2) -> None:
    film.now += minutes * 60_000


def frame_of(film: Film) -> Film:
    """A healthy connection before and one behind, so that both captures go on long enough."""
    film.login()
    film.close()
    film.now += 5000
    return film


def ended(film: Film) -> Film:
    film.now += 60_000
    film.login()
    film.close()
    return film


def reset(times: int = 1, *, to_client: int | None = 61, to_server: int | None = None, goes_on: bool = False) -> Film:
    film = frame_of(Film())
    for _ in range(times):
        film.login()
        quiet(film)
        film.reset(to_client=to_client, to_server=to_server)
        film.now += 1000
        if goes_on:
            film.passes = lambda x: False
            film.say(SERVER, b"* 3 EXISTS\r\n")
            film.passes = lambda x: True
        film.now += 4000
    return ended(film)


# -- resets


def test_a_reset_that_each_end_got_and_none_sent_is_proof(tmp_path: Path) -> None:
    film = reset(to_server=125)
    sessions, (found,) = read(film, tmp_path)
    told = sessions[1].crossing
    assert told is not None
    assert (told.near, told.far, told.forged) == ("client.pcap", "server.pcap", "both")
    assert (found.cause, str(found.verdict)) == ("middlebox_reset", "confirmed")
    assert found.evidence[0].text == (
        "client.pcap and server.pcap each got a reset in the other's name, and neither sent one"
    )
    assert {x.capture for x in found.evidence[0].frames} == {"client.pcap", "server.pcap"}


def test_a_server_that_goes_on_has_not_reset(tmp_path: Path) -> None:
    _, (found,) = read(reset(goes_on=True), tmp_path)
    assert (found.cause, str(found.verdict)) == ("middlebox_reset", "confirmed")
    assert "does not hold" in found.evidence[0].text


def test_one_reset_the_server_s_capture_may_have_lost(tmp_path: Path) -> None:
    """TTL equal, one connection, nothing behind it: suspected, no more."""
    _, found = read(reset(), tmp_path)
    assert [(f.cause, str(f.verdict)) for f in found] == [("middlebox_reset", "suspected")]
    assert found[0].missing


def test_several_it_has_not_lost(tmp_path: Path) -> None:
    _, (found,) = read(reset(2), tmp_path)
    assert (found.cause, str(found.verdict)) == ("middlebox_reset", "confirmed")


def test_a_reset_in_the_client_s_name(tmp_path: Path) -> None:
    _, (found,) = read(reset(2, to_client=None, to_server=125), tmp_path)
    assert (found.cause, str(found.verdict)) == ("middlebox_reset", "confirmed")
    assert "in the client's name" in found.evidence[0].text


def _sent(film: Film) -> None:
    """The server did send it: its own capture holds the resets, a moment before they came to the client."""
    came = [x for x in film.at_client if x.flags & 4]
    film.at_server += [x._replace(ts=x.ts - 5_000_000, src=film.server, dst=x.dst._replace(ttl=125)) for x in came]


def _began_later(film: Film) -> None:
    last = max(x.ts for x in film.at_client if x.flags & 4)
    film.at_server = [x for x in film.at_server if x.ts > last]


def _was_cut(film: Film) -> None:
    first = min(x.ts for x in film.at_client if x.flags & 4)
    film.at_server = [x for x in film.at_server if x.ts < first]


@pytest.mark.parametrize("spoil", [_sent, _began_later, _was_cut], ids=lambda f: f.__name__.strip("_"))
def test_captures_that_cannot_tell_accuse_nobody(tmp_path: Path, spoil: Spoil) -> None:
    film = reset(3)
    spoil(film)
    sessions, found = read(film, tmp_path)
    assert [s.crossing.forged for s in sessions if s.crossing] == [None] * sum(1 for s in sessions if s.crossing)
    assert [f.title for f in found if f.cause == "middlebox_reset"] == []


def test_a_ring_buffer_at_the_server_is_one_witness(tmp_path: Path) -> None:
    """The second file of the ring holds the server's own reset."""
    film = reset(3)
    _sent(film)
    middle = min(x.ts for x in film.at_client if x.flags & 4) - 1_000_000_000
    first, second = Film(), Film()
    first.at_server = [x for x in film.at_server if x.ts < middle]
    second.at_server = [x for x in film.at_server if x.ts >= middle]
    for name, part in (("one", first), ("two", second)):
        part.at_client = film.at_client
        (tmp_path / name).mkdir()
        part.save(tmp_path / name)
        (tmp_path / name / "server.pcap").rename(tmp_path / f"server_{name}.pcap")
    result = analyzer.read(tmp_path / "one" / "client.pcap", *sorted(tmp_path.glob("server_*.pcap"))).result
    assert len(result.sessions) == film.flows
    assert [f.title for f in result.findings if f.cause == "middlebox_reset"] == []


# -- losses


def dropping(side: object, sizes: set[int], every: int = 2) -> Callable[[Segment], bool]:
    """Lose the first copy of packets of one side with so many octets."""
    seen: dict[tuple[int, int], int] = {}

    def passes(x: Segment) -> bool:
        if x.side is not side or len(x.data) not in sizes:
            return True
        seen[x.flow, x.seq] = seen.get((x.flow, x.seq), 0) + 1
        return seen[x.flow, x.seq] % every == 0

    return passes


def test_packets_seen_at_one_end_only_were_lost_between(tmp_path: Path) -> None:
    film = Film()
    frame_of(film)
    film.passes = dropping(SERVER, {300})
    film.login()
    film.fetch(300)
    film.close()
    film.passes = dropping(CLIENT, {20})
    film.login()
    film.close()
    film.passes = lambda x: True
    sessions, found = read(ended(film), tmp_path)
    told = [s.crossing for s in sessions if s.crossing]
    assert [(c.lost_up, c.lost_down) for c in told] == [(0, 0), (0, 1), (1, 0), (0, 0)]
    assert found == []


def test_what_a_capture_lost_itself_was_not_lost_on_the_way(tmp_path: Path) -> None:
    film = frame_of(Film())
    film.login()
    film.fetch(300)
    film.close()
    ended(film)
    for kept in (film.at_client, film.at_server):
        kept[:] = [x for x in kept if len(x.data) != 300]
    assert (crossing(film, tmp_path, 1).lost_up, crossing(film, tmp_path, 1).lost_down) == (0, 0)


def test_a_capture_cut_in_between_counts_no_losses(tmp_path: Path) -> None:
    film = frame_of(Film(dropping(SERVER, {300})))
    film.login()
    film.fetch(300)
    last = film.at_client[-1].ts
    film.now += 60_000
    film.say(SERVER, b"* 3 EXISTS\r\n")
    film.at_client = [x for x in film.at_client if x.ts <= last - 200_000_000]
    assert (crossing(film, tmp_path, 1).lost_up, crossing(film, tmp_path, 1).lost_down) == (0, 0)


# -- handshakes


def filtered(drop: Callable[[Segment], bool], **more: object) -> Film:
    film = frame_of(Film(**more))  # type: ignore[arg-type]
    film.passes = lambda x: not drop(x)
    film.open()
    film.open()
    film.passes = lambda x: True
    return ended(film)


@pytest.mark.parametrize(
    ("drop", "told", "words"),
    [
        (lambda x: x.flags == 2, "unseen", "holds none of these SYNs: they were dropped on the way"),
        (lambda x: x.flags == 18, "answer lost", "its SYN/ACKs were dropped on the way back"),
    ],
)
def test_where_a_handshake_was_dropped(tmp_path: Path, drop: Callable[[Segment], bool], told: str, words: str) -> None:
    sessions, (found,) = read(filtered(drop), tmp_path)
    assert [s.crossing.syn for s in sessions if s.crossing and s.crossing.syn] == [told, told]
    assert (found.cause, str(found.verdict)) == (
        "port_filtered",
        "confirmed" if told == "unseen" else str(found.verdict),
    )
    assert any(words in e.text for e in found.evidence)


def test_the_server_itself_may_not_answer(tmp_path: Path) -> None:
    film = filtered(lambda x: x.flags == 18)
    film.at_server = [x for x in film.at_server if not (x.flags == 18 and x.flow in {2, 3})]
    sessions, (found,) = read(film, tmp_path)
    assert {s.crossing.syn for s in sessions if s.crossing} == {None, "unanswered"}
    assert any("nothing there answered" in e.text for e in found.evidence)


@pytest.mark.parametrize("part", ["later", "earlier"])
def test_a_capture_of_another_time_lacks_a_syn_for_its_own_reasons(tmp_path: Path, part: str) -> None:
    film = filtered(lambda x: x.flags == 2)
    middle = next(x.ts for x in film.at_client if x.flow == 2)
    film.at_server = [x for x in film.at_server if (x.ts > middle) == (part == "later")]
    sessions, _ = read(film, tmp_path)
    assert {s.crossing.syn for s in sessions if s.crossing} <= {None}


# -- clocks and addresses


def test_clocks_that_differ_and_drift_change_nothing(tmp_path: Path) -> None:
    film = Film(ahead_ms=90_000, drift=0.0005)
    for _ in range(8):
        frame_of(film)
        quiet(film, 10)
    film.login()
    quiet(film)
    film.reset(to_client=61, to_server=125)
    film.now += 5000
    sessions, (found,) = read(ended(film), tmp_path)
    assert len(sessions) == film.flows
    assert (found.cause, str(found.verdict)) == ("middlebox_reset", "confirmed")
    assert all(abs(s.start - min(s.start for s in sessions)) < 7200 * 10**9 for s in sessions)


def test_an_address_translated_on_the_way_is_one_connection(tmp_path: Path) -> None:
    film = reset(to_server=125)
    assert len(read(film, tmp_path)[0]) == film.flows
    translated = Film(outside=Host("203.0.113.7"))
    frame_of(translated)
    translated.login()
    quiet(translated)
    translated.reset(to_client=61, to_server=125)
    translated.now += 5000
    sessions, (found,) = read(ended(translated), tmp_path)
    assert len(sessions) == translated.flows
    assert (found.cause, str(found.verdict)) == ("middlebox_reset", "confirmed")


def test_the_same_numbers_with_another_greeting_are_another_connection(tmp_path: Path) -> None:
    film = Film(outside=Host("203.0.113.7"))
    frame_of(film)
    film.at_server = [x._replace(data=x.data.replace(b"ready", b"REady")) for x in film.at_server]
    assert len(read(film, tmp_path)[0]) == 2 * film.flows


def test_two_captures_at_one_place_are_no_two_ends(tmp_path: Path) -> None:
    film = reset(2)
    film.at_server = list(film.at_client)
    sessions, _ = read(film, tmp_path)
    assert [s.crossing for s in sessions] == [None] * film.flows
