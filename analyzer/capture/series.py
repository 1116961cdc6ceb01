"""Series: the files of a ring buffer as one capture, one behind the other.

``dumpcap -b``, ``tcpdump -C`` and others begin a new file every so often; connections do not care. The frames of all files
are counted through, and addresses have one table, so that the floors above see one capture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from analyzer.capture.packets import Capture, Facts, Packets, Row

_FRAME, _SRC, _DST = (Row._fields.index(name) for name in ("frame", "src", "dst"))


class Series:
    """Captures read as one; each is opened when its turn comes."""

    def __init__(self, name: str, parts: Iterable[Capture]) -> None:
        self.name = name
        self.facts = Facts()
        """Of no use: every part has its own."""
        self.read: list[tuple[str, Facts]] = []
        """Name and facts of each part whose windows are all out."""
        self._parts = parts
        self._addresses: list[str] = []
        self._indexes: dict[str, int] = {}

    def windows(self) -> Iterator[Packets]:
        """Yield the windows of one part after the other, frames counted through."""
        before = 0
        for part in self._parts:
            table: list[int] = []
            for window in part.windows():
                yield self._moved(window, table, before)
            self.read.append((part.name, part.facts))
            before += part.facts.packets

    def _moved(self, window: Packets, table: list[int], before: int) -> Packets:
        for address in window.addresses[len(table) :]:
            index = self._indexes.setdefault(address, len(self._addresses))
            if index == len(self._addresses):
                self._addresses.append(address)
            table.append(index)
        columns = list(window.columns)
        columns[_FRAME] = [frame + before for frame in columns[_FRAME]]
        for ends in (_SRC, _DST):
            columns[ends] = [table[index] for index in columns[ends]]
        complaints = [x._replace(frame=x.frame + before) for x in window.unreachable]
        return Packets(window.buffer, self._addresses, tuple(columns), complaints)
