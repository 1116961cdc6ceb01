"""Connections cut in mid-session: by a box on the way, by the server, or as connections end."""

from collections.abc import Callable
from pathlib import Path

import pytest

import analyzer
from analyzer.at import Side
from analyzer.rules import Verdict
from analyzer.sessions.session import Session
from tests.rules.stories import begun, cut, findings, ok
from tests.wire import Host, Wire

CONFIRMED, LIKELY, SUSPECTED = Verdict.CONFIRMED, Verdict.LIKELY, Verdict.SUSPECTED
Story = Callable[[], tuple[Session, ...]]
HOUR = 3600.0
JUDGED: dict[str, tuple[Story, Verdict]] = {
    "foreign TTL, the server's data known": (lambda: (begun(1, 0), cut(2, 1, 30, 254)), CONFIRMED),
    "foreign TTL, session begun before": (lambda: (cut(2, 1, 30, 64, syn_at=None, established_at=None),), CONFIRMED),
    "foreign TTL, the server's own reset known": (
        lambda: (cut(1, 0, 9, 126, fin_by="server"), cut(2, 1, 30, 254)),
        CONFIRMED,
    ),
    "a box may answer the SYN": (lambda: (cut(2, 1, 30, 254), cut(3, 2, 30, 254)), SUSPECTED),
    "data of the server known in another capture": (lambda: (begun(1, 0, capture="b"), cut(2, 1, 30, 254)), SUSPECTED),
    "foreign TTL at a round age": (
        lambda: tuple(cut(n, n, n + 950.0, 254, quiet_s=901.0) for n in (1, 2)),
        LIKELY,
    ),
    "a round age alone": (
        lambda: tuple(cut(n, 90 * n, 90 * n + HOUR + 50, 126, quiet_s=HOUR - 2) for n in (1, 2, 3)),
        SUSPECTED,
    ),
    "a round age, TTL unknown": (
        lambda: tuple(cut(n, 90 * n, 90 * n + 400.0, 126, quiet_s=300.0, server_ttl=None) for n in (1, 2)),
        SUSPECTED,
    ),
}
NOTHING: dict[str, Story] = {
    "the server's own TTL": lambda: (begun(1, 0), cut(2, 1, 30, 126), cut(3, 2, 30, 125)),
    "a route one router longer": lambda: (begun(1, 0), cut(2, 1, 30, 124)),
    "another first TTL, as many routers away": lambda: (
        begun(1, 0, server_ttl=125),
        cut(2, 1, 30, 252, server_ttl=125),
        cut(3, 1, 30, 61, server_ttl=125),
    ),
    "after a FIN": lambda: (begun(1, 0), cut(2, 1, 30, 250, fin_by="client")),
    "after LOGOUT": lambda: (begun(1, 0), cut(2, 1, 30, 250, logged_out=True)),
    "by the client": lambda: (begun(1, 0), cut(2, 1, 30, 250, reset_by="client", closed_by="client")),
    "one round age": lambda: (cut(2, 1, 1000, 126, quiet_s=900.0),),
    "ages of all kinds": lambda: tuple(cut(n, n, n + 2000.0, 126, quiet_s=250.0 * n + 100) for n in (1, 2, 3, 4)),
    "two of five at a round age": lambda: (
        *(cut(n, n, n + 1000.0, 126, quiet_s=900.0) for n in (1, 2)),
        *(cut(n, n, n + 1000.0, 126, quiet_s=40.0 * n) for n in (3, 4, 5)),
    ),
    "TTL unknown": lambda: (begun(1, 0), cut(2, 1, 30, 254, server_ttl=None)),
}


@pytest.mark.parametrize("name", JUDGED)
def test_it_is_judged_by_how_sure_it_is(name: str) -> None:
    story, verdict = JUDGED[name]
    assert [(f.cause, f.verdict) for f in findings(story())] == [("middlebox_reset", verdict)]


@pytest.mark.parametrize("name", NOTHING)
def test_other_resets_are_no_finding(name: str) -> None:
    assert [f.title for f in findings(NOTHING[name]()) if f.cause == "middlebox_reset"] == []


def test_title_and_summary_do_not_blame_the_server() -> None:
    (found,) = findings((begun(1, 0), cut(2, 1, 30, 254), cut(3, 2, 33, 254)))
    assert found.title == "connections cut on the way: server 10.4.3.90, 2 connections cut in mid-session in 3.0 s"
    assert "cut in mid-session in 3.0 s on the way to 10.4.3.90." in found.summary
    assert found.evidence[0].text == "resets in the server's name came with TTL 254, its other packets with 126"
    assert [x.frame for x in found.evidence[0].frames] == [220, 320]


def test_resets_from_elsewhere_all_at_once_are_no_restart() -> None:
    story = (begun(1, 0), *(cut(n, n, 50.0 + n / 10, 254) for n in range(2, 7)))
    assert [f.cause for f in findings(story)] == ["middlebox_reset"]


def _film(wire: Wire, ttl: int, *, begun_before: bool = False) -> None:
    """A login, then a reset in the server's name with this TTL."""
    talk = wire.conversation("192.0.2.11", Host("198.51.100.10", 126), at_ms=wire.flows * 900.0)
    if not begun_before:
        talk.open().say(Side.SERVER, b"* OK ready\r\n")
    talk.say(Side.CLIENT, b"1 LOGIN joe secret\r\n").say(Side.SERVER, b"1 OK LOGIN completed.\r\n")
    talk.say(Side.CLIENT, b"2 SELECT INBOX\r\n").say(Side.SERVER, b"2 OK SELECT completed.\r\n")
    talk.close(Side.SERVER, "rst")
    last = wire.segments[-1]
    wire.segments[-1] = last._replace(src=Host(last.src.address, ttl))


@pytest.mark.parametrize(
    ("begun_before", "ttl", "judged"),
    [(True, 64, [CONFIRMED]), (False, 64, [CONFIRMED]), (True, 126, []), (False, 126, [])],
)
def test_from_packets_to_the_finding(tmp_path: Path, begun_before: bool, ttl: int, judged: list[Verdict]) -> None:
    wire = Wire()
    _film(wire, ttl, begun_before=begun_before)
    _film(wire, ttl)
    found = analyzer.read(wire.save(tmp_path / "cut.pcap"))
    assert [s.reset_ttl for s in found.result.sessions] == [ttl, ttl]
    assert [s.server_ttl for s in found.result.sessions] == [126, 126]
    assert all(s.said_at is not None and s.closed_at is not None for s in found.result.sessions)
    assert [f.verdict for f in found.result.findings if f.cause == "middlebox_reset"] == judged


def test_an_open_question_says_what_settles_it() -> None:
    (found,) = findings((ok(1, 0), cut(2, 1, 30, 254)))
    assert found.missing == (
        "Capture at the mail server and at the client at once: a reset the server never sent is not its own.",
    )
