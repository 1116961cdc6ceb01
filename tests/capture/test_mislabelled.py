"""Bare IP packets in a file that says Ethernet are read; Ethernet is left alone."""

from pathlib import Path

import pytest

from analyzer.capture.mislabelled import WARNING
from tests.capture.building import (
    block,
    enhanced,
    ethernet,
    expected,
    interface,
    ipv6,
    pcap,
    pcapng,
    read,
    section,
    talk,
)


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_bare_ip_marked_ethernet(tmp_path: Path, make: object) -> None:
    assert callable(make)
    rows, facts, _ = read(tmp_path / "a", make(talk()))
    assert [row[:10] for row in rows] == [(*row[:1], rows[n][1], *row[2:10]) for n, row in enumerate(expected())]
    assert (facts.link_types, facts.warnings) == (["raw_ip"], [WARNING])


def test_bare_ipv6(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", pcap(talk(ipv6, "2001:db8::11", "2001:db8::10")))
    assert (len(rows), facts.link_types) == (7, ["raw_ip"])


def test_cut_by_the_snap_length(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", pcap([(datagram[:48], len(datagram)) for datagram in talk()]))
    assert (len(rows), facts.link_types, facts.warnings) == (7, ["raw_ip"], [WARNING])


def test_with_another_interface_that_tells_its_kind(tmp_path: Path) -> None:
    packets = [enhanced(datagram, number) for number, datagram in enumerate(talk())]
    content = (
        section() + interface(1) + interface(113) + b"".join(packets) + enhanced(bytes(40), 9, 1) + block(0xBAD, b"")
    )
    rows, facts, _ = read(tmp_path / "a", content)
    assert (len(rows), facts.link_types, facts.packets) == (7, ["linux_sll", "raw_ip"], 9)


@pytest.mark.parametrize(
    "frames",
    [
        [ethernet(datagram) for datagram in talk()],
        [b"\x45\0" + ethernet(datagram)[2:] for datagram in talk()],  # an address that begins like IP
        [b"\x45\0\0\x36\0\0" + ethernet(datagram)[6:] for datagram in talk()],
        [ethernet(datagram) for datagram in talk()] + talk()[:3],
        [],
    ],
)
def test_ethernet_is_left_alone(tmp_path: Path, frames: list[bytes]) -> None:
    rows, facts, _ = read(tmp_path / "a", pcap(frames))
    assert (len(rows), facts.link_types, facts.warnings) == (7 * bool(frames), ["ethernet"], [])
