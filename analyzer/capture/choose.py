"""Which of many record heads matter, decided on columns: mail ports first, then what the plain road must look at.

The same decisions as in ``walk``, a few thousand rows at a time. What is passed on to the plain road may be too much,
never too little; a field is believed only where the frame is long enough to hold it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.capture.headers import ICMP, ICMPV6, TCP, UDP, VLAN_KINDS
from analyzer.capture.tunnels import TUNNEL_PORTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Octets = NDArray[np.uint8]
    Cells = NDArray[np.intp]
    Mask = NDArray[np.bool_]

_V4, _V6, _TAG, _ODD, _LLC = 1, 2, 3, 4, 5
_KIND_AT = {1: (12, 14), 113: (14, 16), 276: (0, 20)}
"""Link type -> (where the EtherType stands, octets of the header)."""
_RAW = frozenset({12, 14, 101, 228, 229})
_ODD_KINDS = (0x8847, 0x8848, 0x8864, 0x6558)
_LENGTHS = range(1501)
_SNAP = (0xAA, 0xAA, 0x03)
_TAGS_IN_COLUMNS = 2
_TUNNELS = (4, 41, 47, 97, 137)
_EXTENSIONS = (0, 43, 44, 51, 60, 135, 139, 140)
_PART = 0xFF3F  # fragment offset and 'more', octets swapped
_UNREACHABLE = 3


class Group(NamedTuple):
    """Rows of one shape, and those of them that matter."""

    rows: Octets
    cells: Cells | None
    """Cell of each row in its block; None when row and cell are the same."""
    ip: int
    """Where the IP header stands in the row."""
    six: bool
    link: int
    mail: Cells
    """Rows of TCP packets to or from the ports asked for."""
    other: Cells
    """Rows of TCP packets on other ports."""
    odd: Cells
    """Rows for the plain road."""

    @property
    def tcp(self) -> int:
        """Where the TCP header stands in the row."""
        return self.ip + (40 if self.six else 20)


class Chooser:
    """Splits rows by shape and picks those that matter."""

    def __init__(self, ports: frozenset[int], base: int) -> None:
        import numpy as np

        self._np, self._base = np, base
        self._ports = np.zeros(1 << 16, np.bool_)
        self._ports[[_swapped(port) for port in ports]] = True
        self._tunnels = np.zeros(1 << 16, np.bool_)
        self._tunnels[[_swapped(port) for port in TUNNEL_PORTS]] = True
        self._kinds = _kind_table()
        self._rest4 = _members((ICMP, TCP, *_TUNNELS))
        self._rest6 = _members((*_EXTENSIONS, *_TUNNELS))

    def groups(self, rows: Octets, valid: Mask, sizes: Any, link: int) -> Iterator[Group]:
        """Yield the groups of the valid rows, whose frames of one link type start at ``base`` and hold ``sizes`` octets."""
        np, base = self._np, self._base
        if link in _KIND_AT:
            at, head = _KIND_AT[link]
            codes = self._kinds[_half(rows, base + at)]
            yield from self._split(rows, None, codes * valid, sizes, base + head, link, 0)
        elif link in _RAW:
            version = rows[:, base] >> 4
            codes = np.where(version == 4, _V4, np.where(version == 6, _V6, 0)).astype(np.uint8)
            yield from self._split(rows, None, codes * valid, sizes, base, link, 0)
        else:
            none = np.zeros(0, np.intp)
            yield Group(rows, None, base, False, link, none, none, np.flatnonzero(valid))

    def _split(  # noqa: PLR0917
        self, rows: Octets, cells: Cells | None, codes: Octets, sizes: Any, ip: int, link: int, tags: int
    ) -> Iterator[Group]:
        np = self._np
        found = np.bincount(codes, minlength=6)
        if found[_V4]:
            yield self._version4(rows, cells, codes == _V4, sizes, ip, link)
        if found[_V6]:
            yield self._version6(rows, cells, codes == _V6, sizes, ip, link)
        odd = codes == _ODD
        if found[_TAG]:
            if tags == _TAGS_IN_COLUMNS:
                odd |= codes == _TAG
            elif found[_TAG] == len(rows):
                yield from self._split(rows, cells, self._kinds[_half(rows, ip + 2)], sizes, ip + 4, link, tags + 1)
            else:
                part = np.flatnonzero(codes == _TAG)
                inner = rows[part]
                kinds = self._kinds[_half(inner, ip + 2)]
                yield from self._split(
                    inner, part if cells is None else cells[part], kinds, sizes[part], ip + 4, link, tags + 1
                )
        if link == 1 and not tags and found[_LLC]:  # 802.3: only SNAP has an EtherType inside
            odd |= (codes == _LLC) & (rows[:, ip : ip + 3] == _SNAP).all(1)
        if odd.any():
            none = np.zeros(0, np.intp)
            yield Group(rows, cells, ip, False, link, none, none, np.flatnonzero(odd))

    def _version4(self, rows: Octets, cells: Cells | None, mine: Mask, sizes: Any, ip: int, link: int) -> Group:  # noqa: PLR0917
        np = self._np
        proto, part = rows[:, ip + 9], _half(rows, ip + 6) & _PART
        plain = (rows[:, ip] == 0x45) & mine
        whole = part == 0
        good = plain & whole & (sizes >= ip - self._base + 40)
        tcp = good & (proto == TCP)
        sport, dport = _half(rows, ip + 20), _half(rows, ip + 22)
        mail = (self._ports[sport] | self._ports[dport]) & tcp
        plain &= whole
        odd = mine & self._rest4[proto] & (whole | (proto == TCP))
        odd &= ~plain | ((proto != TCP) & ((proto != ICMP) | (rows[:, ip + 20] == _UNREACHABLE)))
        odd |= mine & whole & (proto == UDP) & (self._tunnels[sport] | self._tunnels[dport] | ~plain)
        return Group(
            rows, cells, ip, False, link, np.flatnonzero(mail), np.flatnonzero(tcp & ~mail), np.flatnonzero(odd)
        )  # fmt: skip

    def _version6(self, rows: Octets, cells: Cells | None, mine: Mask, sizes: Any, ip: int, link: int) -> Group:  # noqa: PLR0917
        np = self._np
        proto = rows[:, ip + 6]
        good = mine & (rows[:, ip] >> 4 == 6)
        tcp = good & (proto == TCP) & (sizes >= ip - self._base + 60)
        sport, dport = _half(rows, ip + 40), _half(rows, ip + 42)
        mail = (self._ports[sport] | self._ports[dport]) & tcp
        odd = good & self._rest6[proto]
        odd |= good & (proto == ICMPV6) & (rows[:, ip + 40] <= 2)
        odd |= good & (proto == UDP) & (self._tunnels[sport] | self._tunnels[dport])
        return Group(
            rows, cells, ip, True, link, np.flatnonzero(mail), np.flatnonzero(tcp & ~mail), np.flatnonzero(odd)
        )  # fmt: skip


def _half(rows: Octets, at: int) -> Any:
    """Return a column of 16 bits, octets swapped where the machine is little-endian: compared, never counted with."""
    return rows[:, at : at + 2].view("<u2")[:, 0]


def _swapped(number: int) -> int:
    return (number & 255) << 8 | number >> 8


@cache
def _kind_table() -> Octets:
    """Return EtherType (octets swapped) -> what to do with it."""
    import numpy as np

    table = np.zeros(1 << 16, np.uint8)
    for what, kinds in ((_LLC, _LENGTHS), (_ODD, _ODD_KINDS), (_V4, (0x0800,)), (_V6, (0x86DD,)), (_TAG, VLAN_KINDS)):
        table[[_swapped(kind) for kind in kinds]] = what
    return table


def _members(numbers: tuple[int, ...]) -> Mask:
    import numpy as np

    table = np.zeros(256, np.bool_)
    table[list(numbers)] = True
    return table
