"""Connections on unwatched ports, on columns: only those that greet like mail cost more than a few comparisons.

Remembered of all others is where their SYN stands. When a packet begins like a mail greeting, the packets of its
connection from the SYN on go through the same selection as on the plain road; connections that it follows are kept
whole from then on. What the plain road comes upon (in a tunnel, behind options) wakes its connection in the same way,
so that the selection is told of any connection either nothing or, in order, all that it would hear on the plain road.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from analyzer.capture.packets import ACK, SYN
from analyzer.capture.select import LOOKBACK_FRAMES, Selection
from analyzer.capture.window import Segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analyzer.capture.bulk import Bulk, Look, Picked, Region
    from analyzer.capture.choose import Group
    from analyzer.capture.lanes import Stretch
    from analyzer.capture.walk import Walk

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
_SYN_OR_ACK = SYN | ACK
_TCP_BYTES = 20
CHAIN_FACTOR = 4
"""Times the look-back over which one SYN, repeated again and again, is traced to its first: more nobody retries."""
_MIX_ONE, _MIX_TWO = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F  # odd numbers without pattern: golden ratio, xxHash's prime

_Job = tuple[int, tuple[Any, tuple[Any, ...]]]


class _Syn(NamedTuple):
    """Where a connection, which the selection knows nothing of, began."""

    number: int
    """Its initial number, as it stands in the packet."""
    place: int
    frame: int
    last: int
    """Frame of the latest repetition."""


class _Aside(Selection):
    """Stands in for the selection where the plain road looks first: puts aside what it is offered."""

    def __init__(self, walk: Walk) -> None:
        super().__init__(walk.window)
        self.found: list[tuple[bytes, Segment]] = []

    def offer(self, key: bytes, segment: Segment) -> None:
        """Put a packet on another port aside."""
        self.found.append((key, segment))


class OddPorts:
    """Watches the other ports of one capture."""

    def __init__(self, bulk: Bulk, walk: Walk) -> None:
        import numpy as np

        self._np, self._bulk, self._selection = np, bulk, walk.selection
        self._aside = walk.selection = _Aside(walk)
        words = [int.from_bytes(word, "little") | _CASE for word in _GREETINGS]
        self._greetings = np.array(words, np.uint32)
        self._openers = np.zeros(256, np.bool_)
        self._openers[[word & 255 for word in words]] = True
        self._asleep: dict[int, _Syn] = {}
        """Connections that the selection was told nothing of, by the frame of their SYN."""
        self._followed = {_key(exact) for exact in walk.selection.followed}
        self._waiting: dict[int, int] = {}
        """Key of a connection the selection waits for -> its frame."""
        self._asked: dict[int, bytes] = {}

    def look(self, region: Region, found: Stretch, looks: list[Look]) -> tuple[list[Picked], list[_Job]]:
        """Return the rows of followed connections, and what the selection is to look at, by frame number."""
        others = [look for look in looks if len(look.group.other)]
        jobs, hits = self._met()
        syns: list[tuple[int, int, int, int]] = []
        for look in others:
            hits.update(self._hits(region, look))
            syns += self._new(region, found, look)
        jobs += self._woken(hits)
        asked = (hits | self._waiting.keys()) - self._followed
        self._note(syns, asked)
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

    def between(self, *, last: bool) -> list[_Job]:
        """Return what the selection is to look at between two stretches: what the plain road came upon there.

        ``last``: nobody can go back any further, so that it must be told of all connections now.
        """
        jobs, hits = self._met()
        return [*self._woken([*self._asleep] if last else hits), *jobs]

    def _met(self) -> tuple[list[_Job], set[int]]:
        """Return what was put aside, and its connections."""
        jobs: list[_Job] = []
        hits: set[int] = set()
        for exact, segment in self._aside.found:
            key = _key(exact)
            hits.add(key)
            self._asked[key] = exact
            jobs.append((segment.frame, (self._selection.offer, (exact, segment))))
        self._aside.found.clear()
        return jobs, hits

    def settle(self) -> None:
        """After the selection has looked: note which connections it follows and which it waits for."""
        selection = self._selection
        for key, exact in self._asked.items():
            if exact in selection.followed:
                self._followed.add(key)
                self._waiting.pop(key, None)
            elif exact in selection.waiting:
                self._waiting[key] = selection.waiting[exact].frame
            else:
                self._waiting.pop(key, None)
        self._asked.clear()

    def _place_of_word(self, region: Region, look: Look) -> Any:
        group, at = look.group, look.block.at
        cells = group.other if group.cells is None else group.cells[group.other]
        offset = (group.rows[:, group.tcp + 12][group.other] >> 2 & 60).astype(self._np.int64)
        return self._np.minimum(at[cells] + (group.tcp + offset), len(region.words) - 1)

    def _hits(self, region: Region, look: Look) -> list[int]:
        """Return the connections of packets that begin like a greeting."""
        words = region.words[self._place_of_word(region, look)] | _CASE
        likely = self._np.flatnonzero(self._openers[words & 255])
        which = likely[(words[likely, None] == self._greetings).any(1)]
        hits: list[int] = self._keys(look.group, look.group.other[which]).tolist()
        return hits

    def _new(self, region: Region, found: Stretch, look: Look) -> list[tuple[int, int, int, int]]:
        """Return (frame, key, initial number, place) of each SYN."""
        group = look.group
        flags = group.rows[:, group.tcp + 13][group.other]
        rows = group.other[flags & _SYN_OR_ACK == SYN]
        if not len(rows):
            return []
        picked = self._bulk.pick(look, rows, found)
        numbers = picked.rows[:, group.tcp + 4 : group.tcp + 8].view("<u4")[:, 0]
        total = picked.rows[:, group.ip + (4 if group.six else 2) :][:, :2].view(">u2")[:, 0]
        whole = (total == 0) | (total >= (_TCP_BYTES if group.six else 2 * _TCP_BYTES))
        places = picked.at + region.origin
        keys = self._keys(group, rows)
        columns = (picked.number, keys, numbers, places)
        return list(zip(*(column[whole].tolist() for column in columns), strict=True))

    def _note(self, syns: list[tuple[int, int, int, int]], asked: set[int]) -> None:
        """Remember where connections begin, except of those that the selection is told of anyway."""
        asleep = self._asleep
        for frame, key, number, place in sorted(syns):
            old = asleep.pop(key, None)
            if key in asked or key in self._followed:
                continue
            if old is not None and old.number == number and _repeated(old, frame):
                asleep[key] = old._replace(last=frame)
            else:
                asleep[key] = _Syn(number, place, frame, frame)
        frame = self._bulk.frame
        for key in list(asleep):
            if frame - asleep[key].last <= LOOKBACK_FRAMES:
                break
            del asleep[key]
        for key in [key for key, since in self._waiting.items() if frame - since > LOOKBACK_FRAMES]:
            del self._waiting[key]

    def _woken(self, hits: Iterable[int]) -> list[_Job]:
        """Return the packets, before this stretch, of connections that the selection must hear of now."""
        found = ((key, self._asleep.pop(key, None)) for key in hits)
        wanted = {key: old for key, old in found if old and self._bulk.frame - old.last <= LOOKBACK_FRAMES}
        if not wanted:
            return []
        first = min(wanted.values(), key=lambda old: old.frame)
        return self._again(first.place, first.frame - 1, wanted)

    def _again(self, place: int, frame: int, wanted: Mapping[int, _Syn]) -> list[_Job]:
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

    def _jobs(self, region: Region, picked: Picked, since: Mapping[int, _Syn] = MappingProxyType({})) -> Iterator[_Job]:
        """Yield each packet as the selection takes it; none before its connection's frame in ``since``."""
        group, data, base = picked.group, region.data, self._bulk.base
        keys = self._keys_of_rows(group, picked.rows).tolist()
        columns = (picked.at, picked.number, picked.ts, picked.sizes, picked.wires)
        for key, at, number, ts, size, wire in zip(keys, *(column.tolist() for column in columns), strict=True):
            if key in since and number < since[key].frame:
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


def _repeated(old: _Syn, frame: int) -> bool:
    """Tell whether the same SYN at ``frame`` may be a repetition, of which only the selection knows what to think."""
    return frame - old.last <= LOOKBACK_FRAMES and frame - old.frame <= CHAIN_FACTOR * LOOKBACK_FRAMES


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
