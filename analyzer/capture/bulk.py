"""Bulk: the walk over the frames of a large capture, on columns instead of frame by frame; the same rows come out.

A stretch of the file is taken at a time: its records are found in lanes, what matters is chosen on columns, and only
rows that are kept, or that the plain road must look at, cost Python anything. A connection on an unwatched port is
looked at when one of its packets begins like a mail greeting: then its packets since its SYN go through the selection.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from analyzer.capture.choose import Chooser, Group
from analyzer.capture.lanes import ROW_BYTES, Block, Columns, Lanes, Stretch
from analyzer.capture.odd_ports import OddPorts
from analyzer.capture.packets import Packets, Row, Stopped
from analyzer.capture.record import DamageError, Data
from analyzer.capture.window import PAYLOAD_LIMIT_BYTES, ROWS_LIMIT, Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analyzer.capture import pcap, pcapng
    from analyzer.capture.walk import Walk

STRETCH_BYTES = 32 << 20
"""Octets of the file looked at together, at most; their pages are given back afterwards."""

STRETCH_RECORDS = 65_536
"""Records looked at together, about: their heads take 7 MB."""

CUTS_LIMIT = 64
"""Stretches cut short in a row, after which packets between such blocks are read the plain way, too."""

ODD_RUN_LIMIT = 1 << 14
"""Blocks read the plain way in a row, at most, before lanes are tried again."""

LEAST_STRETCH_BYTES = 1 << 16
"""Stretches do not become shorter than this where blocks of other kinds stand between the packets."""

KEPT_BYTES = STRETCH_BYTES
"""Octets of the file that stay mapped because payloads of rows that wait lie in them."""

_FLAGS = 0x1F


class Region(NamedTuple):
    """The capture, or a padded copy of its end."""

    data: Data
    lanes: Lanes
    words: NDArray[np.uint32]
    """The 32 bits at every octet."""
    origin: int
    end: int
    """Octets that are the file's."""


class Picked(NamedTuple):
    """Rows taken out of a block."""

    group: Group
    rows: NDArray[np.uint8]
    at: NDArray[np.int64]
    number: NDArray[np.int64]
    """Frame number, once all lanes are counted; before that the step and lane."""
    ts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    wires: NDArray[np.int64]


class Look(NamedTuple):
    """One group of one block, with what its record heads say."""

    block: Block
    columns: Columns
    group: Group


class Bulk:
    """One pass over a large capture."""

    def __init__(self, walk: Walk, container: pcap.Records | pcapng.Records, data: Data) -> None:
        import numpy as np

        self._np, self._walk, self._container, self._data = np, walk, container, data
        self.base = container.chain.head
        self._chooser = Chooser(walk.ports, self.base)
        self._frame, self._here, self._odd_run, self._cuts = 0, 0, 1, 0
        self._regions: list[Region] = []
        self._span, self._mean = LEAST_STRETCH_BYTES, 0.0
        self._first, self._last = 1 << 64, -1
        self._pending = _Pending(walk.window, data)
        self._odd_ports = OddPorts(self, walk) if walk.any_port else None

    def packets(self, damage: str | None) -> Iterator[Packets]:
        """Yield window after window, as :meth:`Walk.packets` does."""
        np, facts, data = self._np, self._walk.facts, self._data
        octets = np.frombuffer(data, np.uint8)
        at, total = self._container.at, len(data)
        try:
            region = self._region(data, octets, 0, total)
            self._regions = [region]
            while at < region.lanes.limit:
                at = self._advance(region, at, min(at + self._span, region.lanes.limit))
                yield from self._pending.full()
                self._walk.release(self._pending.before(at))
            if at < total:
                rest = data[at:] + bytes(2 * ROW_BYTES)
                region = self._region(rest, np.frombuffer(rest, np.uint8), at, total - at)
                self._regions.append(region)
                near = 0
                while near < total - at:
                    near = self._advance(region, near, total - at)
                    yield from self._pending.full()
        except DamageError as found:
            facts.stopped = Stopped(self._frame, found.offset_bytes, damage or found.reason)
        self._regions.clear()
        del region, octets
        self._walk.complete(self._frame, self._first, self._last, damage)
        yield from self._pending.rest()

    def _region(self, data: Data, octets: Any, origin: int, end: int) -> Region:
        np = self._np
        words = np.ndarray((max(len(octets) - 3, 0),), "<u4", octets, strides=(1,))
        return Region(data, Lanes(data, octets), words, origin, end)

    # -- from stretch to stretch

    def _advance(self, region: Region, start: int, end: int) -> int:
        """Take the records that start in [start, end), and what stands in their way; return where to go on."""
        self._here = region.origin + start
        found = self._found(region, start, end)
        looks = self._looks(region, found)
        cut = None
        if isinstance(looks, int):
            cut = looks
            self._span = max(LEAST_STRETCH_BYTES, 2 * (cut - start))
            if cut > start:
                found = self._found(region, start, cut)
                looks = self._looks(region, found)
        if not isinstance(looks, int):
            self._take(region, found, looks)
        if cut is None:
            self._mean = (found.after - start) / max(found.total, 1)
            self._span = min(2 * self._span, STRETCH_BYTES, max(int(self._mean * STRETCH_RECORDS), LEAST_STRETCH_BYTES))
            return found.after
        self._cuts = self._cuts + 1 if cut - start < LEAST_STRETCH_BYTES // 8 else 0
        self._odd_run = min(2 * self._odd_run, ODD_RUN_LIMIT) if self._cuts > CUTS_LIMIT else 1
        return self._step(region.origin + cut) - region.origin

    def _step(self, at: int) -> int:
        """Read some blocks the plain way: one, or ever more where such blocks follow each other."""
        for _ in range(self._odd_run):
            if at >= len(self._data):
                break
            self._here = at
            if self._odd_ports is not None and self._container.ends(at):
                self._do(self._odd_ports.between(last=True))
            at, record = self._container.step(at)
            if record is not None:
                self._frame += 1
                ts, place, size, wire, link = record
                self._first, self._last = min(self._first, ts), max(self._last, ts)
                self._walk.general(self._frame, ts, self._data[place : place + size], wire, link)
                self._pending.add_plain([self._frame] * self._walk.window.waiting)
                if self._odd_ports is not None:
                    self._do(self._odd_ports.between(last=False))
        self._pending.settle()
        return at

    def _found(self, region: Region, start: int, end: int) -> Stretch:
        records = (end - start) / (self._mean or 256.0)
        lanes = int((2 * records) ** 0.5) + 1
        return region.lanes.stretch(self._container.chain, start, end, lanes, int(records / lanes))

    def _looks(self, region: Region, found: Stretch) -> list[Look] | int:
        """Choose what matters in each block; or return the place of the first record for the plain reader."""
        looks: list[Look] = []
        cut: int | None = None
        first, last = self._first, self._last
        for block in found.blocks:
            columns = self._container.columns(block, region.words, region.end)
            odd = columns.odd & block.valid
            if odd.any():
                place = int(block.at[odd].min())
                cut = place if cut is None else min(cut, place)
            if cut is not None or not block.valid.any():
                continue
            ts = columns.ts[block.valid]
            first, last = min(first, int(ts.min())), max(last, int(ts.max()))
            looks += self._groups(block, columns)
        if cut is not None:
            return cut
        self._first, self._last = first, last
        return looks

    def _groups(self, block: Block, columns: Columns) -> Iterator[Look]:
        links = columns.links
        if isinstance(links, int):
            for group in self._chooser.groups(block.rows, block.valid, columns.sizes, links):
                yield Look(block, columns, group)
            return
        for link in self._np.unique(links[block.valid]).tolist():
            for group in self._chooser.groups(block.rows, block.valid & (links == link), columns.sizes, link):
                yield Look(block, columns, group)

    def pick(self, look: Look, which: Any, found: Stretch) -> Picked:
        """Take rows out of a group, with their frame numbers."""
        block, columns, group = look
        cells = which if group.cells is None else group.cells[which]
        step, lane = self._np.divmod(cells, len(block.lanes))
        number = self._frame + 1 + found.first[block.lanes[lane]] + block.step + step
        ts, sizes, wires = columns.ts[cells], columns.sizes[cells], columns.wires[cells]
        return Picked(group, group.rows[which], block.at[cells], number, ts, sizes, wires)

    def _take(self, region: Region, found: Stretch, looks: list[Look]) -> None:
        """Keep the rows on the ports asked for, and whatever the plain road makes of the others."""
        picked = [self.pick(look, look.group.mail, found) for look in looks if len(look.group.mail)]
        plain: list[tuple[int, Any]] = []
        for look in looks:
            if len(look.group.odd):
                plain += self._plain_jobs(region, self.pick(look, look.group.odd, found))
        self._do(plain)
        if self._odd_ports is not None:
            followed, jobs = self._odd_ports.look(region, found, looks)
            picked += followed
            self._do(jobs)
        for batch in self._batches(region, picked):
            self._pending.add(batch)
        self._pending.settle()
        self._frame += found.total
        if found.total:
            last = max(int(block.at[block.valid].max()) for block in found.blocks if block.valid.any())
            self._container.passed(region.origin + last)

    @property
    def frame(self) -> int:
        """The last frame before those at hand."""
        return self._frame

    def again(self, place: int, frame: int) -> Iterator[tuple[Region, Stretch, list[Look]]]:
        """Walk again over the records from ``place`` to the stretch at hand; ``frame`` is the one before them."""
        now, self._frame = self._frame, frame
        first, last = self._first, self._last
        for region in self._regions:
            end = min(self._here, region.origin + region.lanes.limit)
            while region.origin <= place < end:
                found = self._found(region, place - region.origin, min(end, place + self._span) - region.origin)
                looks = self._looks(region, found)
                cut = None
                if isinstance(looks, int):
                    cut = looks
                    found = self._found(region, place - region.origin, cut)
                    looks = self._looks(region, found)
                if not isinstance(looks, int):
                    yield region, found, looks
                self._frame += found.total
                place = region.origin + found.after
                if cut is not None:
                    place, frames = self._container.skip(region.origin + cut)
                    self._frame += frames
        self._frame, self._first, self._last = now, first, last

    def _plain_jobs(self, region: Region, picked: Picked) -> Iterator[tuple[int, Any]]:
        data, link, base = region.data, picked.group.link, self.base
        columns = (picked.at, picked.number, picked.ts, picked.sizes, picked.wires)
        for at, number, ts, size, wire in zip(*(column.tolist() for column in columns), strict=True):
            yield number, (self._walk.general, (number, ts, data[at + base : at + base + size], wire, link))

    def _do(self, jobs: list[tuple[int, Any]]) -> None:
        """Let the plain road look at frames, in order; note at which frame each row was kept."""
        if not jobs:
            return
        jobs.sort(key=lambda job: job[0])
        arrivals: list[int] = []
        window = self._walk.window
        for number, (what, arguments) in jobs:
            what(*arguments)
            if window.waiting > len(arrivals):
                arrivals += [number] * (window.waiting - len(arrivals))
        self._pending.add_plain(arrivals)
        if self._odd_ports is not None:
            self._odd_ports.settle()

    # -- kept rows

    def _batches(self, region: Region, picked: Sequence[Picked]) -> Iterator[_Batch]:
        """Turn rows into columns, shape by shape."""
        np = self._np
        shapes: dict[tuple[int, bool], list[Picked]] = {}
        for part in picked:
            shapes.setdefault((part.group.ip, part.group.six), []).append(part)
        for (ip, six), parts in shapes.items():
            rows, at, number, ts, sizes, wires = (
                np.concatenate(columns) if len(parts) > 1 else columns[0]
                for columns in zip(*(part[1:] for part in parts), strict=True)
            )
            yield self._batch(region, rows, ip, six, at + self.base, number, ts, sizes, wires)

    def _batch(  # noqa: PLR0917
        self, region: Region, rows: Any, ip: int, six: bool, at: Any, number: Any, ts: Any, sizes: Any, wires: Any
    ) -> _Batch:
        np = self._np
        wide = np.int64
        head = at + (ip - self.base)
        tcp = ip + (40 if six else 20)
        end = at + sizes
        total = _half(rows, ip + (4 if six else 2)).astype(wide)
        wire_end = np.where(total, head + total + (40 if six else 0), at + np.maximum(wires, sizes))
        end = np.minimum(end, wire_end)
        words = rows[:, tcp + 12]
        payload = head + (tcp - ip) + ((words >> 4).astype(wide) << 2)
        good = (head + (tcp - ip + 20) <= end) & (words >= 0x50) & (payload <= wire_end)
        if not good.all():
            rows, at, number, ts, end, wire_end, payload = (
                column[good] for column in (rows, at, number, ts, end, wire_end, payload)
            )
        size = np.maximum(end - payload, 0)
        cut = wire_end - np.maximum(end, payload)
        order = np.argsort(number)
        rows, number, ts, payload, size, cut = (column[order] for column in (rows, number, ts, payload, size, cut))
        count = len(number)
        return _Batch(
            number.tolist(),
            ts.tolist(),
            _addresses(rows, ip + (8 if six else 12), 16 if six else 4),
            _addresses(rows, ip + (24 if six else 16), 16 if six else 4),
            _half(rows, tcp).tolist(),
            _half(rows, tcp + 2).tolist(),
            _word(rows, tcp + 4).tolist(),
            _word(rows, tcp + 8).tolist(),
            (rows[:, tcp + 13] & _FLAGS).tolist(),
            (payload + region.origin).tolist(),
            size.tolist(),
            cut.tolist() if cut.any() else [0] * count,
            [0] * count if six else _half(rows, ip + 4).tolist(),
            rows[:, ip + (7 if six else 8)].tolist(),
            _crcs(rows[:, self.base : ip]),
            _half(rows, tcp + 14).tolist(),
        )


class _Batch(NamedTuple):
    """Kept rows as columns, by frame number, in the order of Row; payloads start where they do in the file."""

    number: list[int]
    ts: list[int]
    src: list[Any]
    dst: list[Any]
    sport: list[int]
    dport: list[int]
    seq: list[int]
    ack: list[int]
    flags: list[int]
    start: list[int]
    size: list[int]
    cut: list[int]
    ip_id: list[int]
    ttl: list[int]
    link: list[int]
    window: list[int]


def _half(rows: Any, at: int) -> Any:
    return rows[:, at : at + 2].view(">u2")[:, 0]


def _word(rows: Any, at: int) -> Any:
    return rows[:, at : at + 4].view(">u4")[:, 0]


def _addresses(rows: Any, at: int, size: int) -> list[Any]:
    import numpy as np

    octets: list[Any] = np.ascontiguousarray(rows[:, at : at + size]).view(f"V{size}")[:, 0].tolist()
    return octets


def _crcs(heads: Any) -> list[int]:
    """Return the CRC-32 of each link header; a capture holds few different ones."""
    import numpy as np

    size = heads.shape[1]
    if not size:
        return [0] * len(heads)
    known: dict[bytes, int] = {}
    octets = np.ascontiguousarray(heads).view(f"V{size}")[:, 0].tolist()
    for head in set(octets):
        known[head] = crc32(head)
    return [known[head] for head in octets]


class _Pending:
    """Kept rows until they fill a window; the windows are cut where the plain walk would cut them."""

    def __init__(self, window: Window, data: Data) -> None:
        self._window, self._data = window, data
        self._columns: tuple[list[Any], ...] = tuple([] for _ in Row._fields)
        self._arrivals: list[int] = []
        self._fresh: list[tuple[list[int], Sequence[list[Any]]]] = []
        self._octets = 0
        self._copied = 0
        self._late = False

    def add(self, batch: _Batch) -> None:
        """Take rows of the stretch."""
        ends = dict.fromkeys(chain(batch.src, batch.dst))
        if not self._window.room_for(len(ends)):  # then the order decides which ones are left out
            ends = dict.fromkeys(chain.from_iterable(zip(batch.src, batch.dst, strict=True)))
        seen = {address: self._window.index(address) for address in ends}
        columns: list[list[Any]] = list(batch)
        columns[2], columns[3] = [seen[a] for a in batch.src], [seen[a] for a in batch.dst]
        if -1 in seen.values():
            keep = [place for place, ends in enumerate(zip(columns[2], columns[3], strict=True)) if -1 not in ends]
            columns = [[column[place] for place in keep] for column in columns]
        self._window.count_snapped(sum(1 for cut in columns[11] if cut))
        self._fresh.append((columns[0], columns))

    def add_plain(self, arrivals: list[int]) -> None:
        """Take the rows the plain road kept, with the frame at which each was."""
        if arrivals:
            columns = self._window.surrender()
            self._late = self._late or arrivals != columns[0]
            self._fresh.append((arrivals, columns))

    def settle(self) -> None:
        """Put the stretch's rows in order behind those that wait."""
        fresh, self._fresh = self._fresh, []
        if not fresh:
            return
        if len(fresh) == 1:
            arrivals, columns = fresh[0]
        else:
            arrivals = [arrival for part, _ in fresh for arrival in part]
            order = sorted(range(len(arrivals)), key=arrivals.__getitem__)
            arrivals = [arrivals[place] for place in order]
            joined = [[x for _, part in fresh for x in part[n]] for n in range(len(Row._fields))]
            columns = [[column[place] for place in order] for column in joined]
        for column, more in zip(self._columns, columns, strict=True):
            column.extend(more)
        self._arrivals += arrivals
        self._octets += sum(columns[10])

    def before(self, at: int) -> int:
        """Return the place in the file before which no payload is pointed to; what lies far before ``at`` is copied."""
        places, sizes = self._columns[9], self._columns[10]
        oldest = min((x for x in places[self._copied :] if type(x) is int), default=at)
        if oldest >= at - KEPT_BYTES:
            return min(oldest, at)
        places[self._copied :] = self._octets_of(places[self._copied :], sizes[self._copied :])
        self._copied = len(places)
        return at

    def _octets_of(self, places: Sequence[int | bytes], sizes: Sequence[int]) -> list[bytes]:
        data = self._data
        return [x if isinstance(x, bytes) else data[x : x + n] for x, n in zip(places, sizes, strict=True)]

    def full(self) -> Iterator[Packets]:
        """Yield the windows that are full."""
        while len(self._arrivals) >= ROWS_LIMIT or self._octets > PAYLOAD_LIMIT_BYTES:
            count = self._cut()
            if count is None:
                return
            yield self._packets(count)

    def rest(self) -> Iterator[Packets]:
        """Yield what is left."""
        yield from self.full()
        if self._arrivals or self._window.complaining:
            yield self._packets(len(self._arrivals))

    def _cut(self) -> int | None:
        """Return how many rows make a full window; None when the last row only might complete it."""
        ends = list(accumulate(self._columns[10][:ROWS_LIMIT]))
        # a row that starts behind the limit is the last one: it stands behind the one whose end is beyond
        last = min(bisect_right(ends, PAYLOAD_LIMIT_BYTES) + 1, ROWS_LIMIT - 1)
        if last >= len(self._arrivals):
            return None
        return bisect_right(self._arrivals, self._arrivals[last])

    def _packets(self, count: int) -> Packets:
        columns = [column[:count] for column in self._columns]
        for column in self._columns:
            del column[:count]
        arrivals, self._arrivals = self._arrivals[:count], self._arrivals[count:]
        if self._late and arrivals != columns[0]:
            order = sorted(range(count), key=columns[0].__getitem__)
            columns = [[column[place] for place in order] for column in columns]
        places, sizes = columns[9], columns[10]
        self._octets -= sum(sizes)
        self._copied = max(self._copied - count, 0)
        if set(map(type, places)) <= {int}:
            return self._window.packets(self._data, tuple(columns))
        columns[9] = list(accumulate(sizes[:-1], initial=0))
        return self._window.packets(b"".join(self._octets_of(places, sizes)), tuple(columns))
