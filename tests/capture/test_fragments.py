"""IP datagrams in fragments."""

import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analyzer.capture import fragments
from tests.capture.building import CLIENT6, GREETING, SERVER6, ethernet, ipv4, ipv6, pcap, read, tcp

SEGMENT = tcp(143, 40000, 5, 6, 24, GREETING * 4)


def four(offset: int, size: int, ident: int = 9, octets: bytes = SEGMENT) -> bytes:
    more = 0x2000 if offset + size < len(octets) else 0
    return ethernet(ipv4(octets[offset : offset + size], ident=ident, part=more | offset // 8))


def six(offset: int, size: int, ident: int = 9, octets: bytes = SEGMENT, following: int = 6) -> bytes:
    part = offset | (offset + size < len(octets))
    return ethernet(ipv6(struct.pack(">BxHI", following, part, ident) + octets[offset : offset + size], proto=44))


@pytest.mark.parametrize("piece", [four, six])
@pytest.mark.parametrize("order", list(itertools.permutations([(0, 16), (16, 64), (80, 200)])))
def test_any_order_gives_the_datagram_at_the_completing_frame(
    tmp_path: Path, piece: Callable[..., bytes], order: tuple[tuple[int, int], ...]
) -> None:
    rows, facts, _ = read(tmp_path / "a", pcap([piece(*place) for place in order]))
    assert [(row[0], row[4:10]) for row in rows] == [(3, (143, 40000, 5, 6, 24, GREETING * 4))]
    assert facts.packets == 3
    assert rows[0][11:13] == ((9, 64) if piece is four else (0, 64))


def test_an_extension_header_inside_the_fragments(tmp_path: Path) -> None:
    octets = b"\x06\x00" + bytes(6) + SEGMENT
    frames = [six(0, 40, octets=octets, following=60), six(40, 200, octets=octets, following=60)]
    assert [row[9] for row in read(tmp_path / "a", pcap(frames))[0]] == [GREETING * 4]


@pytest.mark.parametrize("piece", [four, six])
def test_overlaps_keep_what_lies_earlier_and_doubles_do_no_harm(tmp_path: Path, piece: Callable[..., bytes]) -> None:
    wrong = bytes(octet ^ 1 for octet in SEGMENT)
    frames = [piece(0, 80), piece(0, 80), piece(64, 16, octets=wrong), piece(80, 200), piece(80, 200)]
    rows, _, _ = read(tmp_path / "a", pcap(frames))
    assert [(row[0], row[9]) for row in rows] == [(4, GREETING * 4)]


def test_two_datagrams_at_once_are_kept_apart(tmp_path: Path) -> None:
    other = tcp(143, 40000, 999, 6, 24, b"x" * 100)
    frames = [four(0, 80), four(0, 80, 10, other), four(80, 20 + 20, 10, other), four(80, 200)]
    rows, _, _ = read(tmp_path / "a", pcap(frames))
    assert [(row[0], row[6], row[11]) for row in rows] == [(3, 999, 10), (4, 5, 9)]


@pytest.mark.parametrize(
    "frames",
    [
        [four(0, 80)],
        [four(80, 200)],
        [four(0, 64), four(80, 200)],
        [(four(0, 80)[:60], 114), four(80, 200)],
        [four(0, 80), ethernet(ipv4(b"x" * 100, ident=9, part=0x1FFF))],
        [ethernet(ipv4(SEGMENT[:80], proto=17, part=0x2000)), ethernet(ipv4(SEGMENT[80:], proto=17, part=10))],
        [six(0, 80, following=17), six(80, 200, following=17)],
    ],
    ids=["first", "last", "hole", "cut", "past the end", "udp", "udp six"],
)
def test_what_never_becomes_whole_gives_no_row(tmp_path: Path, frames: list[Any]) -> None:
    assert read(tmp_path / "a", pcap(frames))[0] == []


def test_an_old_first_half_does_not_meet_a_new_second_half(tmp_path: Path) -> None:
    content = bytearray(pcap([four(0, 80), four(80, 200)]))
    at = 24 + 16 + len(four(0, 80))
    content[at : at + 4] = (int.from_bytes(content[at : at + 4], "little") + 61).to_bytes(4, "little")
    assert read(tmp_path / "a", bytes(content))[0] == []


def test_a_flood_of_first_halves_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments, "OPEN_LIMIT", 3)
    kept, lost = ([four(0, 80), *(four(0, 80, ident) for ident in range(20, 20 + n)), four(80, 200)] for n in (2, 3))
    assert len(read(tmp_path / "a", pcap(kept))[0]) == 1
    assert read(tmp_path / "a", pcap(lost))[0] == []


def test_the_addresses_of_the_six_builder_are_those_asked_for(tmp_path: Path) -> None:
    rows, _, _ = read(tmp_path / "a", pcap([six(0, 80), six(80, 200)]))
    assert rows[0][2:4] == (CLIENT6, SERVER6)
