"""Connections on unwatched ports, on columns: only those that greet like mail cost more than a few comparisons.

Remembered of all others is where their SYN stands. When a packet begins like a mail greeting, the packets of its
connection from the SYN on go through the same selection as on the plain road; connections that it follows are kept
whole from then on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zlib import crc32

from analyzer.capture.select import LOOKBACK_FRAMES, WAITING_LIMIT, Selection
from analyzer.capture.window import Segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analyzer.capture.bulk import Bulk, Look, Picked, Region
    from analyzer.capture.choose import Group
    from analyzer.capture.lanes import Stretch

    Keys = NDArray[np.uint64]

_GREETINGS = (
    b"* ok",
    b"* by",
    b"* pr",
    b"+ok ",
    b"220 ",
    b"220-",
    b"421 ",
    b"421-",
    b"554 ",
    b"554-",
    b"ehlo",
    b"helo",
    b"lhlo",
)
"""How what the selection may take for a greeting begins, without case."""
_CASE = 0x20202020
_WORD = (1 << 64) - 1
_SYN_OR_ACK, _SYN = 0x12, 0x02
_MIX_ONE, _MIX_TWO = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F  # odd numbers without pattern: golden ratio, xxHash's prime

_Job = tuple[int, tuple[Any, tuple[Any, ...]]]


class OddPorts:
    """Watches the other ports of one capture."""

    def __init__(self, bulk: Bulk, selection: Selection) -> None:
        import numpy as np

        self._np, self._bulk, self._selection = np, bulk, selection
        words = [int.from_bytes(word, "little") | _CASE for word in _GREETINGS]
        self._greetings = np.array(words, np.uint32)
        self._openers = np.zeros(256, np.bool_)
        self._openers[[word & 255 for word in words]] = True
        self._syns: OrderedDict[int, tuple[int, int, int]] = OrderedDict()
        """Key -> initial number, place, frame of the SYN; of connections that nobody greeted on."""
        self._followed: set[int] = set()
        self._waiting: dict[int, int] = {}
        """Key of a connection the selection waits for -> its frame."""
        self._asked: dict[int, bytes] = {}
        selection.fresh = []

    def look(self, region: Region, found: Stretch, looks: list[Look]) -> tuple[list[Picked], list[_Job]]:
        """Return the rows of followed connections, and what the selection is to look at, by frame number."""
        others = [look for look in looks if len(look.group.other)]
        hits: dict[int, int] = {}
        syns: list[tuple[int, int, int, int]] = []
        for look in others:
            self._hits(region, found, look, hits)
            syns += self._new(region, found, look)
        syns.sort()
        jobs = self._earlier(hits, {key for _, key, _, _ in syns})
        self._note(syns)
        asked = (hits.keys() | self._waiting.keys()) - self._followed
        picked: list[Picked] = []
        if asked or self._followed:
            for look in others:
                keys = self._keys(look.group, look.group.other)
                if self._followed:
                    picked += self._picked(found, look, keys, self._followed)
                if asked:
                    for part in self._picked(found, look, keys, asked):
                        jobs += self._jobs(region, part)
        return picked, jobs

    def settle(self) -> None:
        """After the selection has looked: note which connections it follows and which it waits for."""
        selection = self._selection
        fresh, selection.fresh = selection.fresh or (), []
        self._asked.update((_key(exact), exact) for exact in fresh)
        for key, exact in self._asked.items():
            if exact in selection.followed:
                self._followed.add(key)
                self._waiting.pop(key, None)
            elif exact in selection.waiting:
                self._waiting.setdefault(key, selection.waiting[exact].frame)
            else:
                self._waiting.pop(key, None)
        self._asked.clear()

    def _place_of_word(self, region: Region, look: Look) -> Any:
        group, at = look.group, look.block.at
        cells = group.other if group.cells is None else group.cells[group.other]
        offset = (group.rows[:, group.tcp + 12][group.other] >> 2 & 60).astype(self._np.int64)
        return self._np.minimum(at[cells] + (group.tcp + offset), len(region.words) - 1)

    def _hits(self, region: Region, found: Stretch, look: Look, hits: dict[int, int]) -> None:
        """Add the connections of packets that begin like a greeting, each with the first such frame."""
        words = region.words[self._place_of_word(region, look)] | _CASE
        likely = self._np.flatnonzero(self._openers[words & 255])
        which = likely[(words[likely, None] == self._greetings).any(1)]
        if not len(which):
            return
        rows = look.group.other[which]
        numbers = self._bulk.pick(look, rows, found).number
        for key, number in zip(self._keys(look.group, rows).tolist(), numbers.tolist(), strict=True):
            hits[key] = min(number, hits.get(key, number))

    def _new(self, region: Region, found: Stretch, look: Look) -> list[tuple[int, int, int, int]]:
        """Return (frame, key, initial number, place) of each SYN."""
        group = look.group
        flags = group.rows[:, group.tcp + 13][group.other]
        rows = group.other[flags & _SYN_OR_ACK == _SYN]
        if not len(rows):
            return []
        picked = self._bulk.pick(look, rows, found)
        numbers = picked.rows[:, group.tcp + 4 : group.tcp + 8].view("<u4")[:, 0]
        places = picked.at + region.origin
        keys = self._keys(group, rows)
        return list(zip(picked.number.tolist(), keys.tolist(), numbers.tolist(), places.tolist(), strict=True))

    def _note(self, syns: list[tuple[int, int, int, int]]) -> None:
        known, since = self._syns, self._bulk.since
        for frame, key, number, place in syns:
            old = known.get(key)
            if old is None or old[0] != number or old[1] < since:
                known[key] = (number, place, frame)
                known.move_to_end(key)
        while len(known) > WAITING_LIMIT:
            known.popitem(last=False)

    def _earlier(self, hits: dict[int, int], fresh: set[int]) -> list[_Job]:
        """Return the packets, before this stretch, of connections that greet in it; forget those that took too long."""
        wanted: dict[int, tuple[int, int, int]] = {}
        for key in [key for key in hits if key not in self._followed and key not in self._waiting]:
            old = self._syns.pop(key, None)
            if old is None or old[1] < self._bulk.since:
                continue
            if hits[key] - old[2] <= LOOKBACK_FRAMES:
                wanted[key] = old
            elif key not in fresh:
                self._syns[key] = old
                del hits[key]
        if not wanted:
            return []
        _, place, frame = min(wanted.values(), key=lambda old: old[2])
        return self._again(place, frame - 1, wanted)

    def _again(self, place: int, frame: int, wanted: dict[int, tuple[int, int, int]]) -> list[_Job]:
        jobs: list[_Job] = []
        for region, found, looks in self._bulk.again(place, frame):
            for look in looks:
                if not len(look.group.other):
                    continue
                keys = self._keys(look.group, look.group.other)
                for part in self._picked(found, look, keys, wanted):
                    jobs += self._jobs(region, part, wanted)
        return jobs

    def _picked(self, found: Stretch, look: Look, keys: Keys, wanted: Any) -> Iterator[Picked]:
        np = self._np
        some = np.fromiter(wanted, np.uint64, len(wanted))
        near = np.zeros(1 << 16, np.bool_)
        near[(some & 0xFFFF).astype(np.intp)] = True
        likely = np.flatnonzero(near[(keys & 0xFFFF).astype(np.intp)])
        which = likely[np.isin(keys[likely], some)]
        if len(which):
            yield self._bulk.pick(look, look.group.other[which], found)

    def _jobs(
        self, region: Region, picked: Picked, since: Mapping[int, tuple[int, int, int]] = MappingProxyType({})
    ) -> Iterator[_Job]:
        """Yield each packet as the selection takes it; none before its connection's frame in ``since``."""
        group, data, base = picked.group, region.data, self._bulk.base
        keys = self._keys_of_rows(group, picked.rows).tolist()
        columns = (picked.at, picked.number, picked.ts, picked.sizes, picked.wires)
        for key, at, number, ts, size, wire in zip(keys, *(column.tolist() for column in columns), strict=True):
            if key in since and number < since[key][2]:
                continue
            exact, segment = _segment(data, group, at + base, at + group.ip, number, ts, size, wire)
            self._asked[key] = exact
            yield number, (self._selection.offer, (exact, segment))

    def _keys(self, group: Group, which: Any) -> Keys:
        return self._keys_of_rows(group, group.rows, which)

    def _keys_of_rows(self, group: Group, rows: Any, which: Any = slice(None)) -> Keys:
        """Return a number for each connection, the same in both directions."""
        ports, at = rows[:, group.tcp : group.tcp + 4], group.ip + (8 if group.six else 12)
        sport, dport = ports[:, :2].view("<u2")[:, 0][which], ports[:, 2:].view("<u2")[:, 0][which]
        if group.six:
            ends = [rows[:, at + n : at + n + 8].view("<u8")[:, 0][which] for n in (0, 8, 16, 24)]
            src, dst = ends[0] * _MIX_TWO ^ ends[1], ends[2] * _MIX_TWO ^ ends[3]
        else:
            src, dst = (rows[:, at + n : at + n + 4].view("<u4")[:, 0][which].astype("<u8") for n in (0, 4))
        keys: Keys = _mixed(src, sport) + _mixed(dst, dport)
        return keys


def _mixed(addresses: Any, ports: Any) -> Any:
    numbers = (addresses ^ ports.astype("<u8") * _MIX_TWO) * _MIX_ONE
    return (numbers ^ numbers >> 29) * _MIX_TWO


def _key(exact: bytes) -> int:
    """Return the same number for the exact key of one connection."""
    half, words = (len(exact) - 4) // 2, []
    for at, port_at in ((0, -4), (half, -2)):
        address = int.from_bytes(exact[at : at + 4], "little")
        if half == 16:
            high, low = (int.from_bytes(exact[at + n : at + n + 8], "little") for n in (0, 8))
            address = high * _MIX_TWO & _WORD ^ low
        port = int.from_bytes(exact[port_at : len(exact) + port_at + 2], "little")
        number = (address ^ port * _MIX_TWO & _WORD) * _MIX_ONE & _WORD
        words.append((number ^ number >> 29) * _MIX_TWO & _WORD)
    return sum(words) & _WORD


def _segment(  # noqa: PLR0917
    data: Any, group: Group, at: int, ip: int, number: int, ts: int, size: int, wire: int
) -> tuple[bytes, Segment]:
    """Return the exact key and the segment of a plain TCP packet."""
    if group.six:
        total = int.from_bytes(data[ip + 4 : ip + 6], "big")
        ident, ttl, src, dst, tcp = 0, data[ip + 7], data[ip + 8 : ip + 24], data[ip + 24 : ip + 40], ip + 40
        total += 40 if total else 0
    else:
        total, ident = int.from_bytes(data[ip + 2 : ip + 4], "big"), int.from_bytes(data[ip + 4 : ip + 6], "big")
        ttl, src, dst, tcp = data[ip + 8], data[ip + 12 : ip + 16], data[ip + 16 : ip + 20], ip + 20
    wire_end = ip + total if total else at + max(wire, size)
    segment = Segment(
        number, ts, data, src, dst, tcp, min(at + size, wire_end), wire_end, ident, ttl, crc32(data[at:ip])
    )
    return src + dst + data[tcp : tcp + 4], segment
