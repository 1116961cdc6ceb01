"""Record: one frame as a container hands it over; DamageError: where and why a container cannot be read on."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator

from analyzer.capture.packets import Facts

Data = bytes | mmap.mmap
"""The whole (unpacked) file; slices are bytes."""

Record = tuple[int, int, int, int, int]
"""(ts ns, first octet in the data, octets in the file, octets on the wire, link type)."""

Reader = Callable[[Data, Facts], Iterator[Record]]
"""Yields the records of a container in file order, fills the facts it knows, raises DamageError where it must stop."""

FRAME_LIMIT_BYTES = 262_144
"""Longest frame believed: the largest snap length of libpcap and Wireshark; more means a damaged record header."""

BIG_FRAME_LIMIT_BYTES = 128 << 20
"""The same for link types that really have huge frames (USB, D-Bus), as in Wireshark."""

_BIG_LINKS = frozenset({186, 189, 220, 231, 249, 266, 288, 292, 293, 294, 295})

LINK_NAMES = {
    0: "null",
    1: "ethernet",
    6: "token_ring",
    8: "slip",
    9: "ppp",
    10: "fddi",
    12: "raw_ip",
    14: "raw_ip",
    50: "ppp_hdlc",
    51: "pppoe",
    101: "raw_ip",
    104: "cisco_hdlc",
    105: "ieee802_11",
    107: "frame_relay",
    108: "loop",
    113: "linux_sll",
    119: "ieee802_11_prism",
    127: "ieee802_11_radiotap",
    163: "ieee802_11_avs",
    187: "bluetooth_hci",
    189: "usb_linux",
    192: "ppi",
    195: "ieee802_15_4",
    197: "erf",
    201: "bluetooth_hci",
    204: "ppp_with_direction",
    220: "usb_linux",
    227: "can",
    228: "raw_ipv4",
    229: "raw_ipv6",
    230: "ieee802_15_4",
    239: "nflog",
    249: "usb_pcap",
    253: "netlink",
    276: "linux_sll2",
}
"""Link type -> our name (tcpdump.org's registry of LINKTYPE_ values)."""


class DamageError(Exception):
    """A container that cannot be read on; caught by the walk, which keeps everything before it."""

    def __init__(self, offset_bytes: int, reason: str) -> None:
        super().__init__(reason)
        self.offset_bytes = offset_bytes
        self.reason = reason


def link_name(link: int) -> str:
    """Return our name of a link type."""
    return LINK_NAMES.get(link, f"linktype_{link}")


def announce(facts: Facts, link: int) -> None:
    """Note a link type in the facts, once."""
    name = link_name(link)
    if name not in facts.link_types:
        facts.link_types.append(name)


def frame_limit(link: int) -> int:
    """Return the longest frame believed for a link type."""
    return BIG_FRAME_LIMIT_BYTES if link in _BIG_LINKS else FRAME_LIMIT_BYTES
