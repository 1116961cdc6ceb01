"""Connections that stand still: a hole for large packets, and what only looks like one."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import analyzer
from analyzer.rules import CLAIMS, Finding
from tests.frames import Segment
from tests.paths import CLIENT, Film, no_larger


def faults(*paths: Path) -> list[Finding]:
    return [f for f in analyzer.read(*paths).result.findings if f.severity == "fault"]


def hang(film: Film, times: int, size: int = 1400) -> Film:
    """Log in and ask for a long list, again and again; give up after ten seconds each time."""
    for _ in range(times):
        film.login()
        film.fetch(size)
        film.close()
        film.now += 2000
    return film


@pytest.mark.parametrize("view", [0, 1], ids=["at the client", "at the server"])
def test_a_hole_for_large_packets_is_claimed_from_either_end(tmp_path: Path, view: int) -> None:
    path = hang(Film(no_larger(1200)), 3).save(tmp_path)[view]
    (found,) = faults(path)
    assert (found.cause, found.verdict in CLAIMS) == ("network_stall", True)
    assert "stood still" in found.title
    assert [e.kind for e in found.evidence if e.weight_db > 0] == ["stalled", "small-pass"]


def test_both_ends_together_prove_it(tmp_path: Path) -> None:
    (found,) = faults(*hang(Film(no_larger(1200)), 3).save(tmp_path))
    assert (found.cause, str(found.verdict)) == ("network_stall", "confirmed")
    assert found.evidence[0].text == "they left server.pcap and never came to client.pcap: both ends were captured"


def test_large_packets_of_the_client_may_be_the_ones(tmp_path: Path) -> None:
    film = Film(no_larger(1200, only=CLIENT))
    for _ in range(3):
        film.login()
        film.say(CLIENT, b"2 APPEND x {1300+}\r\n" + b"x" * 1300)
        film.close()
        film.now += 2000
    (found,) = faults(film.save(tmp_path)[0])
    assert (found.cause, found.verdict in CLAIMS) == ("network_stall", True)
    assert "of the client" in found.evidence[0].text


def lossy(share: float, seed: int = 1) -> Callable[[Segment], bool]:
    rng = Random(seed)
    return lambda x: rng.random() >= share


def dies(after_ms: float) -> Callable[[Segment], bool]:
    """A line that is cut, both ways, for good."""
    return lambda x: x.ts < 1_709_543_640 * 10**9 + after_ms * 1_000_000


def _one(film: Film) -> Film:
    return hang(film, 1)


def _smaller_too(film: Film) -> Film:
    """Small answers get lost like large ones."""
    film.passes = lambda x: x.side is CLIENT or len(x.data) not in {1400, 40}
    for size in (1400, 40, 1400, 40):
        hang(film, 1, size)
    return film


def _large_pass(film: Film) -> Film:
    """Two connections stand still, a third one gets a whole mailbox through."""
    hang(film, 2)
    film.passes = lambda x: True
    film.login()
    for _ in range(30):
        film.fetch(1400)
    film.close()
    return film


LOOK_ALIKES: dict[str, Callable[[], Film]] = {
    "nothing lost": lambda: hang(Film(), 3),
    "plain loss": lambda: hang(Film(lossy(0.05)), 6),
    "heavy loss": lambda: hang(Film(lossy(0.2)), 6),
    "one connection only": lambda: _one(Film(no_larger(1200))),
    "small ones too": lambda: _smaller_too(Film()),
    "large ones pass elsewhere": lambda: _large_pass(Film(no_larger(1200))),
    "the line is cut": lambda: hang(Film(dies(60)), 3),
}


@pytest.mark.parametrize("view", [0, 1], ids=["at the client", "at the server"])
@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_look_alike_is_not_claimed(tmp_path: Path, name: str, view: int) -> None:
    path = LOOK_ALIKES[name]().save(tmp_path)[view]
    assert [f.title for f in faults(path) if f.cause == "network_stall" and f.verdict in CLAIMS] == []


def test_a_capture_that_lost_the_packets_itself_shows_no_hole(tmp_path: Path) -> None:
    film = hang(Film(), 3)
    film.at_client = [x for x in film.at_client if len(x.data) < 1400]
    assert faults(film.save(tmp_path)[0]) == []


def test_a_frozen_server_is_no_hole(tmp_path: Path) -> None:
    """It acknowledges nothing more, not even small commands."""
    film = Film()
    for _ in range(3):
        film.login()
        film.passes = lambda x: x.side is CLIENT
        at = len(film.at_client)
        film.say(CLIENT, b"2 SELECT INBOX\r\n")
        film.at_client = [x for n, x in enumerate(film.at_client) if n < at or x.side is CLIENT]
        film.passes = lambda x: True
        film.now += 30_000
    assert [f.cause for f in faults(film.save(tmp_path)[0]) if f.cause == "network_stall"] == []


def test_loss_that_kills_connections_is_a_fault_of_the_network(tmp_path: Path) -> None:
    film = Film(lossy(0.45, 3))
    hang(film, 14, 300)
    found = [f for f in faults(*film.save(tmp_path)) if f.cause == "network_loss"]
    assert [f.verdict in CLAIMS for f in found] == [True]
    assert any("both ends were captured" in e.text for e in found[0].evidence)


def test_the_warning_counts_what_left_one_end_and_never_came(tmp_path: Path) -> None:
    film = hang(Film(lossy(0.2)), 24, 300)
    warned = [f for f in analyzer.read(*film.save(tmp_path)).result.findings if f.rule == "network-loss"]
    assert [str(f.verdict) for f in warned] == ["confirmed"]
    assert warned[0].title.endswith(" packets left one end and never came to the other")
    alone = [f for f in analyzer.read(film.save(tmp_path)[1]).result.findings if f.rule == "network-loss"]
    assert [str(f.verdict) for f in alone] == ["likely"]
