"""Lanes: the records of a stretch of a capture found many at a time, walking in lock step.

The length of a record is all that leads to the next one, so a plain walk waits for memory at every step. Here some
hundred lanes start at places that look like records, and every step fetches the heads of all of them at once. What looks
like a record may be one inside a captured frame (somebody copied a capture file), so no start is believed before it is
proved: the lane before must land on it exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from analyzer.capture.record import Data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Octets = NDArray[np.uint8]

ROW_BYTES = 112
"""Octets of a record looked at: its head, link header, IPv6 and TCP headers."""

STEPS = 16
"""Steps between two looks at which lanes have arrived; the rows of that many steps stay in the processor's cache."""

CELLS = 4096
"""Rows of a block of records that were found one by one."""

SEARCH_BYTES = 1 << 17
"""Octets searched for a start: the longest frame of segmentation offload and some."""

LEAST_LANES = 64
"""Fewer lanes are slower than one record after the other."""

MISSES_LIMIT = 16
"""Vain searches for a start, being half of all, after which no more are made: the records do not look like the last one."""

STRAY_FACTOR = 8
"""Times the expected number of steps after which a lane that has not arrived is given up: it reads no records."""


class Chain(NamedTuple):
    """How the records of a container follow each other."""

    order: str
    """Byte order of the record heads."""
    head: int
    """Octets before the frame."""
    length_at: int
    """Where the 32-bit length stands in the record."""
    extra: int
    """Octets to add to that length to reach the next record."""
    least: int
    """Shortest record possible; less does not lead on."""
    guess: Callable[[Data, int, int], int]
    """(data, from, to) -> a place that looks like a record, or -1."""


class Block(NamedTuple):
    """Record heads of some lanes and steps, step by step: cell = step x lanes + lane."""

    rows: Octets
    """(cells, ROW_BYTES)."""
    at: Ints
    """Where each record starts."""
    valid: NDArray[np.bool_]
    """Cells that belong to their lane; the others ran on into the next one."""
    lanes: Ints
    """Which lane each column is."""
    step: int
    """Number of the first step."""


class Columns(NamedTuple):
    """What the heads of a block's records say."""

    ts: Ints
    sizes: Ints
    """Octets of each frame in the file."""
    wires: Ints
    """Octets of each frame on the wire."""
    links: int | Ints
    """Link type of all frames, or of each."""
    odd: NDArray[np.bool_]
    """Records that the plain reader must look at: damaged ones, and blocks that are no packets."""


class Stretch(NamedTuple):
    """The records that start between two places."""

    blocks: list[Block]
    first: Ints
    """Records before each lane's first one."""
    total: int
    """Records of all lanes."""
    after: int
    """Where the record behind the last one starts."""


class Lanes:
    """Finds records in one capture."""

    def __init__(self, data: Data, octets: Octets) -> None:
        import numpy as np

        self._np, self._data = np, data
        self._row = np.dtype(f"V{ROW_BYTES}")
        self._heads: NDArray[np.void] = np.ndarray(
            (max(len(octets) - ROW_BYTES + 1, 0),), self._row, octets, strides=(1,)
        )

    @property
    def limit(self) -> int:
        """Behind the last place at which a whole row can be looked at."""
        return max(len(self._heads) - 1, 0)

    def stretch(self, chain: Chain, start: int, end: int, lanes: int, steps: int) -> Stretch:
        """Return the records that start in [start, end).

        ``start`` is one for certain, ``end`` is not above the limit; each of ``lanes`` is expected to take ``steps``.
        """
        np = self._np
        if lanes >= LEAST_LANES:
            starts = np.array([start, *self._guesses(chain, start, end, lanes)], np.int64)
            if len(starts) >= LEAST_LANES:
                found = self._walk(chain, starts, end, STRAY_FACTOR * (steps + STEPS))
                if found is not None:
                    return found
        return self._one_by_one(chain, start, end)

    def _guesses(self, chain: Chain, start: int, end: int, lanes: int) -> Iterator[int]:
        """Yield places that look like records, ascending, about evenly apart."""
        step = max((end - start) // lanes, ROW_BYTES)
        guess, data, last = chain.guess, self._data, start
        reach, missed = min(2 * step, SEARCH_BYTES), 0
        for place in range(start + step, end, step):
            if place <= last:
                continue
            found = guess(data, place, min(place + reach, end))
            missed += found < 0
            if missed > MISSES_LIMIT and missed * 2 > lanes:
                return
            if found > last:
                last = found
                yield found

    def _walk(self, chain: Chain, starts: Ints, end: int, patience: int) -> Stretch | None:
        """Walk from all starts at once; None when a lane does not land on the next one's start."""
        np, heads, word = self._np, self._heads, self._np.dtype(chain.order + "u4")
        column, extra, least = chain.length_at // 4, chain.extra, chain.least
        lanes, limits, top = np.arange(len(starts)), np.append(starts[1:], end), self.limit
        counts, landed = np.zeros(len(starts), np.int64), np.zeros(len(starts), np.int64)
        blocks: list[Block] = []
        at, bound, step = starts, limits, 0
        while len(at):
            places = np.empty((STEPS + 1, len(at)), np.int64)
            rows = np.empty((STEPS, len(at)), self._row)
            for k in range(STEPS):
                places[k] = at
                row = rows[k] = heads[np.minimum(at, top)]
                size = row.view(word).reshape(len(at), -1)[:, column]
                at = at + size
                at += extra
                if extra < least:
                    at[size < least] += top
            places[STEPS] = at
            valid = places[:STEPS] < bound
            steps = valid.sum(0)
            counts[lanes] += steps
            landed[lanes] = places[steps, np.arange(len(at))]
            blocks.append(
                Block(
                    rows.view(np.uint8).reshape(-1, ROW_BYTES),
                    places[:STEPS].reshape(-1),
                    valid.reshape(-1),
                    lanes,
                    step,
                )
            )
            step += STEPS
            going = at < bound
            if not going.all():
                lanes, bound, at = lanes[going], bound[going], at[going]
            if step > patience:
                return None
        if (landed[:-1] != limits[:-1]).any():
            return None
        return Stretch(blocks, np.cumsum(counts) - counts, int(counts.sum()), int(landed[-1]))

    def _one_by_one(self, chain: Chain, start: int, end: int) -> Stretch:
        """Walk the plain way: slower, and never astray."""
        np = self._np
        length = Struct(chain.order + "I").unpack_from
        data, length_at, extra, places, at = self._data, chain.length_at, chain.extra, [], start
        while at < end:
            places.append(at)
            size = length(data, at + length_at)[0] + extra
            at += size if size >= chain.least else self.limit
        blocks = []
        for first in range(0, len(places), CELLS):
            part = np.array(places[first : first + CELLS], np.int64)
            rows = self._heads[part].view(np.uint8).reshape(-1, ROW_BYTES)
            blocks.append(Block(rows, part, np.ones(len(part), np.bool_), np.arange(first, first + len(part)), 0))
        return Stretch(blocks, np.arange(len(places)), len(places), at)
