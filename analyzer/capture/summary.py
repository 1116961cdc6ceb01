"""Packet lists as captures: the last resort, when all there is is what somebody pasted or exported from Wireshark.

The list becomes rows like those of a capture: each line said is one segment in order. Frame numbers, times, addresses and
texts are the list's; sequence numbers are invented, ports too where the list shows none, and the warnings say so.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator

from analyzer.at import NS_PER_S
from analyzer.capture.content import UTF16
from analyzer.capture.details import detailed
from analyzer.capture.dialogues import OPEN_LIMIT, Dialogue, Line, chosen, heard, heard_among
from analyzer.capture.listing import CLOCK, DATE, Listed, is_address, listed
from analyzer.capture.packets import ACK, FIN, PSH, RST, SYN, Facts, Packets, Row, Stopped
from analyzer.capture.record import Data
from analyzer.text import clean

TEXT_LIMIT_BYTES = 64 << 20
"""Octets of a text looked at: the details of some 20 000 packets."""

LISTED_LIMIT = 200_000
"""Packets of one list; a list that long was not pasted, and the capture behind it should be had."""

WINDOW_ROWS = 65_536
DIALOGUES_LIMIT = 60_000
"""Connections of one list: their invented ports must differ."""

_PORTS = {"imap": 143, "pop": 110, "smtp": 25}
_END_OF_MAIL = b".\r\n"
"""Put where the server answers to a mail (RFC 5321, section 4.1.1.4): without it all that follows would be part of it."""
_DAY_NS = 86_400 * NS_PER_S
_NO_COLUMNS: tuple[tuple[int, ...], ...] = ((),) * len(Row._fields)


def packet_list(name: str, data: Data, ports: frozenset[int]) -> ListedCapture | None:
    """Return the packets listed in a text as a capture, None when it lists none."""
    text = _decoded(data[:TEXT_LIMIT_BYTES])
    found = {} if "Frame " not in text else _numbered(detailed(io.StringIO(text)))
    kind = "packet details (text)" if found else "packet list (text)"
    if not found:
        found = _numbered(listed(io.StringIO(text)))
        if text.lstrip("\ufeff\r\n ")[:1] == '"':
            kind = "packet list (CSV)"
    if not any(is_address(packet.src) for packet in found.values()):
        return None  # some other table
    return ListedCapture(clean(name), kind, [found[number] for number in sorted(found)], ports)


def _decoded(octets: bytes) -> str:
    if octets.startswith(UTF16):
        return octets.decode("utf-16", "replace")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        return octets.decode("cp1252", "replace")


def _numbered(packets: Iterable[Listed]) -> dict[int, Listed]:
    """Return the packets by number; those without one are counted, of those listed twice the first counts."""
    found: dict[int, Listed] = {}
    for packet in packets:
        number = packet.number or len(found) + 1
        found.setdefault(number, packet._replace(number=number))
        if len(found) >= LISTED_LIMIT:
            break
    return found


class ListedCapture:
    """A capture of which only a list of packets is there."""

    def __init__(self, name: str, kind: str, packets: list[Listed], ports: frozenset[int]) -> None:
        self.name, self.facts = name, Facts(format=kind)
        self._packets, self._ports = _dated(packets), ports
        self._addresses: list[str] = []
        self._indexes: dict[str, int] = {}
        self._dialogues: dict[tuple[str, str], list[Dialogue]] = defaultdict(list)
        self._count = 0
        self._invented = False
        self._clear()

    def windows(self) -> Iterator[Packets]:
        """Yield the mail packets window by window; the facts are complete once the last one is out."""
        self._describe()
        for packet in self._packets:
            self._take(packet)
            if len(self._rows) >= WINDOW_ROWS:
                yield self._window()
        if self._invented:
            self.facts.warnings.append(
                "the list shows no ports: connections were told apart by what was said, and the clients' ports are made up"
            )
        if self._rows:
            yield self._window()

    def _describe(self) -> None:
        facts, packets = self.facts, self._packets
        facts.packets = len(packets)
        facts.start, facts.end = min(p.ts for p in packets), max(p.ts for p in packets)
        facts.resolution = max(p.digits for p in packets)
        if len(packets) >= LISTED_LIMIT:
            facts.stopped = Stopped(packets[-1].number or 0, 0, f"the list holds more than {LISTED_LIMIT} packets")
        facts.warnings.append(
            "this is a list of packets, not a capture: frame numbers, times and texts are the list's, "
            "everything else is missing or made up; get the capture itself to be sure"
        )
        if not all(p.told == DATE for p in packets):
            facts.warnings.append("the list has no date: its times count from 1970-01-01")

    def _clear(self) -> None:
        self._rows: list[tuple[int, ...]] = []
        self._buffer = bytearray()

    def _window(self) -> Packets:
        columns = tuple(zip(*self._rows, strict=True)) or _NO_COLUMNS
        packets = Packets(self._buffer, self._addresses, columns)
        self._clear()
        return packets

    # -- one packet

    def _take(self, packet: Listed) -> None:
        if packet.sport is not None and packet.dport is not None:
            self._with_ports(packet, packet.sport, packet.dport)
        elif packet.protocol and packet.said and packet.by_server is not None:
            self._without_ports(packet, by_server=packet.by_server)

    def _with_ports(self, packet: Listed, sport: int, dport: int) -> None:
        """Take a packet whose ports are listed; of a list without ports these are only the packets that say nothing."""
        if sport not in self._ports and dport not in self._ports and not packet.protocol:
            return
        by_server = sport in self._ports if (sport in self._ports) != (dport in self._ports) else sport < dport
        client, server = (packet.dst, packet.src) if by_server else (packet.src, packet.dst)
        port, server_port = (dport, sport) if by_server else (sport, dport)
        flags = packet.flags if packet.flags is not None else PSH | ACK if packet.said else ACK
        known = self._dialogues[client, server]
        dialogue = next((d for d in reversed(known) if d.port == port), None)
        if dialogue is not None and dialogue.closed and flags & SYN and not flags & ACK:
            dialogue = None
        if dialogue is None:
            if not packet.said and not flags & SYN:
                return
            dialogue = self._begin(client, server, port, server_port)
        if packet.said:
            line = heard(packet.protocol, packet.said, by_server=by_server)
            self._say(packet, dialogue, line, by_server=by_server, flags=flags)
            return
        self._row(packet, dialogue, by_server, flags, b"")
        if flags & (SYN | FIN):
            dialogue.numbers[by_server] += 1 if flags & FIN or dialogue.numbers[by_server] in (1000, 5000) else 0
        dialogue.closed = dialogue.closed or bool(flags & (FIN | RST))

    def _without_ports(self, packet: Listed, *, by_server: bool) -> None:
        client, server = (packet.dst, packet.src) if by_server else (packet.src, packet.dst)
        known = self._dialogues[client, server]
        line = heard_among(known, packet.protocol, packet.said, by_server=by_server)
        dialogue = chosen(known, line)
        if dialogue is None:
            dialogue = self._begin(client, server, 0, _PORTS[packet.protocol])
        self._say(packet, dialogue, line, by_server=by_server, flags=PSH | ACK)

    def _begin(self, client: str, server: str, port: int, server_port: int) -> Dialogue:
        """Start a connection; an invented port is a small number, which no client uses."""
        self._count += 1
        self._invented = self._invented or not port
        dialogue = Dialogue(port or min(self._count, DIALOGUES_LIMIT), server_port)
        known = self._dialogues[client, server]
        known.append(dialogue)
        del known[:-OPEN_LIMIT]
        return dialogue

    def _say(self, packet: Listed, dialogue: Dialogue, line: Line, *, by_server: bool, flags: int) -> None:
        if by_server and dialogue.sends_mail:
            self._speak(
                packet._replace(src=packet.dst, dst=packet.src), dialogue, _END_OF_MAIL, by_server=False, flags=flags
            )
        dialogue.take(line, packet.said)
        self._speak(packet, dialogue, packet.said, by_server=by_server, flags=flags)

    def _speak(self, packet: Listed, dialogue: Dialogue, said: bytes, *, by_server: bool, flags: int) -> None:
        self._row(packet, dialogue, by_server, flags, said)
        dialogue.numbers[by_server] += len(said)

    def _row(self, packet: Listed, dialogue: Dialogue, by_server: bool, flags: int, said: bytes) -> None:
        dialogue.touched = frame = packet.number or 0
        ports = (dialogue.server_port, dialogue.port) if by_server else (dialogue.port, dialogue.server_port)
        numbers = (dialogue.numbers[by_server], dialogue.numbers[not by_server])
        ends = (self._index(packet.src), self._index(packet.dst))
        self._rows.append(
            (frame, packet.ts, *ends, *ports, *numbers, flags, len(self._buffer), len(said), 0, 0, 0, 0, 0)
        )
        self._buffer += said

    def _index(self, address: str) -> int:
        index = self._indexes.get(address)
        if index is None:
            index = self._indexes[address] = len(self._addresses)
            self._addresses.append(clean(address))
        return index


def _dated(packets: list[Listed]) -> list[Listed]:
    """Let times of day go on behind midnight."""
    days, before, dated = 0, 0, []
    for packet in packets:
        if packet.told == CLOCK:
            days += packet.ts + days < before - _DAY_NS // 2 and _DAY_NS
            before = packet.ts + days
        dated.append(packet._replace(ts=packet.ts + days))
    return dated
