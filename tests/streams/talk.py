"""Lines of text -> rows of packets, and what a listener heard -> text.

    C S 0 0            side, flags, sequence and acknowledgement number (relative), 10 ms after the line before
    S PA 1 1 hello     payload: one word, _ for a space
    S PA 6 1 you +0.5 id=7 ttl=63 link=2 cut=3 port=5000 window=9 frame=12     0.5 ms later; columns set by name

Heard text: ``C:abc@4`` octets of the client at frame 4, ``S:-12@9`` twelve octets of the server lost, ``S:-2+xy@9`` both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analyzer.at import NS_PER_MS, Side
from analyzer.capture.packets import ACK, FIN, PSH, RST, SYN, Packets, Unreachable
from analyzer.streams import Chunk, Connection, connections
from analyzer.streams.flows import MAIL_PORTS_DEFAULT

LETTERS = {"S": SYN, "A": ACK, "P": PSH, "F": FIN, "R": RST, "-": 0}
ADDRESSES = ("192.0.2.11", "198.51.100.10", "203.0.113.5")
ISN = {"C": 1000, "S": 900_000}
HANDSHAKE = """
C S 0 0
S SA 0 1
C A 1 1
"""


def window(text: str, *, isn: dict[str, int] = ISN, ports: tuple[int, int] = (50_000, 143), first: int = 1) -> Packets:
    """Return the packets that the lines describe."""
    rows, buffer, ts = [], bytearray(), 1_700_000_000 * 10**9 + first * 10 * NS_PER_MS
    lines = [line.split("#")[0].split() for line in text.strip().splitlines()]
    for frame, (side, letters, seq, ack, *rest) in enumerate(filter(None, lines), first):
        column = {"id": frame + 100, "ttl": 64, "link": 1, "cut": 0, "window": 500, "port": ports[0], "frame": frame}
        step, data = 10.0, b""
        for word in rest:
            name, equals, value = word.partition("=")
            if equals:
                column[name] = int(value)
            elif word[0] == "+" and word[1].isdigit():
                step = float(word)
            else:
                data = word.replace("_", " ").encode()
        ts += round(step * NS_PER_MS)
        client, server, other = (0, column["port"]), (1, ports[1]), "S" if side == "C" else "C"
        (src, sport), (dst, dport) = (client, server) if side == "C" else (server, client)
        numbers = (int(seq) + isn[side]) % 2**32, (int(ack) + isn[other]) % 2**32
        flags = sum(LETTERS[letter] for letter in letters)
        place = (len(buffer), len(data), column["cut"], column["id"], column["ttl"], column["link"], column["window"])
        rows.append((column["frame"], ts, src, dst, sport, dport, *numbers, flags, *place))
        buffer += data
    return packets(rows, bytes(buffer))


def packets(rows: Sequence[tuple[int, ...]], buffer: bytes, unreachable: Sequence[Unreachable] = ()) -> Packets:
    columns = tuple(zip(*rows, strict=True)) if rows else ((),) * 16
    return Packets(buffer, ADDRESSES, columns, unreachable)


class Ear:
    """A listener that keeps what it hears."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.chunks: list[Chunk] = []
        self.ends = 0

    def chunk(self, chunk: Chunk) -> int:
        assert not self.ends
        assert chunk.data or chunk.lost > 0
        self.chunks.append(chunk)
        return 0

    def end(self) -> None:
        self.ends += 1

    def octets(self, side: Side) -> bytes:
        return b"".join(chunk.data for chunk in self.chunks if chunk.side is side)

    @property
    def text(self) -> str:
        return " ".join(map(_spell, self.chunks))


def _spell(chunk: Chunk) -> str:
    lost = f"-{chunk.lost}" if chunk.lost else ""
    plus = "+" if lost and chunk.data else ""
    return f"{'CS'[chunk.side]}:{lost}{plus}{chunk.data.decode('latin-1')}@{chunk.at.frame}"


def hear(*windows: Packets, ports: frozenset[int] = MAIL_PORTS_DEFAULT) -> list[Ear]:
    """Return the listeners of all connections, in the order the connections ended."""
    return list(_heard(windows, ports))


def _heard(windows: Iterable[Packets], ports: frozenset[int]) -> Iterable[Ear]:
    ears: dict[str, Ear] = {}

    def listen(connection: Connection) -> Ear:
        assert connection.uid not in ears
        ears[connection.uid] = Ear(connection)
        return ears[connection.uid]

    for connection in connections(windows, listen, ports=ports):
        ear = ears[connection.uid]
        assert ear.connection is connection
        assert ear.ends == 1
        yield ear


def one(text: str, **how: object) -> Ear:
    """Return the listener of the only connection."""
    (ear,) = hear(window(text, **how))
    return ear
