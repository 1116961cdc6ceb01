"""Listener: hears one connection as the parsers do and notes what of its octets is shown, and in which form.

The parsers themselves say what a line is: it is fed to them alone, and what they tell of it decides what is kept. A line of
which they tell nothing is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from analyzer.at import At, Side
from analyzer.protocols import Event, Parser
from analyzer.protocols.events import (
    AuthEnded,
    AuthIdentity,
    AuthStarted,
    Capability,
    Closed,
    Command,
    Greeting,
    Lost,
    Reply,
    TlsStarted,
)
from analyzer.report.redaction import lines
from analyzer.report.redaction.overlay import Overlay
from analyzer.report.redaction.pseudonyms import Pseudonyms
from analyzer.report.redaction.tls import Records
from analyzer.sessions.converse import Conversation
from analyzer.streams import Chunk, Connection

WAITING_BYTES = 131_072
"""Octets of one side kept until what they belong to is told: twice the longest line, for one with literals."""

DATA_LINES = 1000
"""Lines of a mailbox's data whose kind is shown; more tell nothing new, and each has to be remembered."""

_TOLD = (Greeting, Reply, AuthEnded, Capability, Closed)
_UNTAGGED = b"* "
_ECHO = "***"
"""How a parser hides what may be the client's own line given back."""


class _Heard:
    """Lines of one side that wait for what they belong to; the last may be unfinished."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, int, bytes]] = []  # (number of the piece it began with, place, octets)
        self.half: tuple[int, int, bytes] | None = None
        self.size = 0

    def add(self, number: int, place: int, data: bytes) -> bytes | None:
        """Take a piece; return the line it completes."""
        if self.half is None:
            self.half = number, place, data
        elif len(self.half[2]) < WAITING_BYTES:
            self.half = (*self.half[:2], self.half[2] + data)
        if not data.endswith(b"\n"):
            return None
        line = self.half[2]
        self.lines.append(self.half)
        self.half = None
        self.size += len(line)
        return line

    def take(self) -> list[tuple[int, int, bytes]]:
        """Give all lines away, an unfinished one, too."""
        found = [*self.lines, *([self.half] if self.half else [])]
        self.clear()
        return found

    def clear(self) -> None:
        """Forget what waits."""
        self.lines, self.half, self.size = [], None, 0


class Listener(Conversation):
    """Takes the chunks of one connection; :attr:`shown` says what is shown of each side."""

    def __init__(
        self, connection: Connection, names: Pseudonyms, seq_of: Callable[[int], tuple[int, int] | None]
    ) -> None:
        super().__init__("", connection, lambda _: None)
        self.shown = (Overlay(), Overlay())
        self._names, self._seq_of = names, seq_of
        self._heard = (_Heard(), _Heard())
        self._new: list[Event] = []
        self._places: dict[int, tuple[Side, int]] = {}  # of pieces that wait for the protocol to be known
        self._number = 0
        self._early: list[Chunk] = []
        self._begun: list[tuple[int, bytes]] = []  # the server's first octets and their places: they tell the protocol
        self._deciding = False  # what waited for the protocol to be known is heard again
        self._sealed: tuple[Records, Records] | None = None  # from TLS on
        self._exchange: str | None = None  # mechanism of the SASL exchange going on
        self._commanded = False
        self._data_lines = 0

    # -- what a listener must offer

    def chunk(self, chunk: Chunk) -> int:
        """Take the next octets of one side; return how many next ones need not come."""
        if self._deciding:
            return self._hear_again(chunk)
        side, data, at, lost, passed = chunk
        overlay = self.shown[side]
        overlay.next += passed + lost
        if overlay.base is None and data:
            self._anchor(side, at, len(data))
        if self._sealed is None and self._parser is None:
            self._hear_early(chunk)
            return 0
        if passed or lost:
            self._skip(side, passed, lost, at)
        wanted = 0
        if self._sealed is not None:
            place, overlay.next = overlay.next, overlay.next + len(data)
            return self._sealed[side].feed(place, data)
        for piece in _pieces(data):
            wanted = self._piece(side, piece, at)
        return wanted

    def end(self) -> None:
        """Take note that the connection, or the capture, has ended."""
        self._new, self._deciding = [], True
        super().end()
        events, self._new, self._deciding = self._new, [], False
        if self._parser is None and self._early:
            self._turn_opaque(self._early)
        for side in (Side.CLIENT, Side.SERVER):
            if self._sealed is None:
                self._settle_cut(side, _of(side, events))
            self.shown[side].close()

    # -- octets

    def _anchor(self, side: Side, at: At, size: int) -> None:
        """Find the sequence number of this side's first octet: of the first packet some octets may be old ones."""
        place = self._seq_of(at.frame)
        isn = (self._connection.client_isn, self._connection.server_isn)[side]
        overlay = self.shown[side]
        if place is not None:
            seq, carried = place
            overlay.base = (seq + max(carried - size, 0) - overlay.next) & 0xFFFFFFFF
        elif isn is not None:
            overlay.base = (isn + 1) & 0xFFFFFFFF

    def _skip(self, side: Side, passed: int, lost: int, at: At) -> None:
        """Take note of octets that went by unread, or are missing."""
        if self._sealed is not None:
            self._sealed[side].passed(passed + lost)
        elif self._parser is not None:
            if passed:
                self._heard[side].half = None
            self._feed(self._parser, Chunk(side, b"", self._at(at), lost, passed))

    def _hear_early(self, chunk: Chunk) -> None:
        """Keep a chunk until the protocol is known: whole, for it is decided by chunks."""
        side, data, at, lost, passed = chunk
        overlay = self.shown[side]
        place, overlay.next = overlay.next, overlay.next + len(data)
        kept = Chunk(side, data, self._at(at), lost, passed)
        self._places[kept.at.frame] = side, place
        self._early.append(kept)
        if side is Side.SERVER and len(self._begun) < len(_UNTAGGED):
            self._begun += [(place + n, data[n : n + 1]) for n in range(min(len(data), len(_UNTAGGED)))]
        self._deciding = True
        self._wait(kept)
        self._deciding = False
        if self._waiting is None:
            early, self._early = self._early, []
            if self._parser is None and self._sealed is None:
                self._turn_opaque(early)
            else:
                self._show_how_it_began()

    def _hear_again(self, chunk: Chunk) -> int:
        """Take a chunk that waited for the protocol to be known."""
        side, data, at, lost, passed = chunk
        wanted = 0
        if self._parser is None:
            return wanted
        _, place = self._places.pop(at.frame)
        if lost or passed:
            self._skip(side, passed, lost, at)
        for piece in _pieces(data):
            wanted = self._line(side, place, piece, at)
            place += len(piece)
        return wanted

    def _at(self, at: At) -> At:
        self._number += 1
        return At(self._number, at.ts)

    def _piece(self, side: Side, data: bytes, at: At) -> int:
        """Take octets up to a line's end."""
        overlay = self.shown[side]
        place, overlay.next = overlay.next, overlay.next + len(data)
        return self._line(side, place, data, at)

    def _line(self, side: Side, place: int, data: bytes, at: At) -> int:
        if self._sealed is not None:
            return self._sealed[side].feed(place, data)
        if self._parser is None:
            return 0
        chunk = Chunk(side, data, self._at(at))
        self._places[chunk.at.frame] = side, place
        wanted = self._feed(self._parser, chunk)
        return wanted if self._sealed is None else 0

    def _show_how_it_began(self) -> None:
        """Show by what an IMAP server was known, though its greeting may be lost but for that."""
        first = self._begun[: len(_UNTAGGED)]
        if b"".join(octet for _, octet in first) == _UNTAGGED:
            for place, octet in first:
                self.shown[Side.SERVER].offer(place, octet)

    def _greets_behind_proxy(self, chunk: Chunk) -> bool:
        """Show what the client said to the proxy when a mail server greets behind it."""
        dropped = super()._greets_behind_proxy(chunk)
        if dropped and self._waiting:
            begun = next((x for x in self._waiting if x.side is Side.CLIENT), None)
            if begun is not None:
                _, place = self._places[begun.at.frame]
                self.shown[Side.CLIENT].put(place, lines.preamble(begun.data))
        return dropped

    def _turn_opaque(self, early: Iterable[Chunk]) -> None:
        """Take everything for TLS, or for nothing we know."""
        sealed = self._seal()
        for overlay in self.shown:
            overlay.secure(0)
        for chunk in early:
            side, place = self._places[chunk.at.frame]
            sealed[side].feed(place, chunk.data)
        self._places.clear()

    def _seal(self) -> tuple[Records, Records]:
        client, server = self.shown
        self._sealed = Records(self._names, client.put), Records(self._names, server.put)
        return self._sealed

    # -- lines

    def _tell(self, events: Iterable[Event]) -> None:
        self._new.extend(events)

    def _feed(self, parser: Parser, chunk: Chunk) -> int:
        """Let the parser hear a piece, and see what it tells of it."""
        self._new = []
        wanted = super()._feed(parser, chunk)
        events, self._new = self._new, []
        side, place = self._places.pop(chunk.at.frame, (chunk.side, 0))
        if chunk.data:
            self._heed(side, place, chunk, events)
        elif chunk.lost:
            self._settle_cut(side, _of(side, events))
            self._commanded = self._commanded and side is Side.SERVER
        return wanted

    def _heed(self, side: Side, place: int, chunk: Chunk, events: list[Event]) -> None:
        heard = self._heard[side]
        line = heard.add(chunk.at.frame, place, chunk.data)
        if any(isinstance(x, TlsStarted) for x in events):
            self._start_tls(side, events)
            return
        mine = _of(side, events)
        if side is Side.SERVER and self._settles(events):  # the reply ends the client's unfinished line
            self._settle(Side.CLIENT, _of(Side.CLIENT, events))
        if mine:
            self._settle(side, mine)
        elif line is not None:
            self._loose(side, line)
        if heard.size > WAITING_BYTES:
            del heard.lines[1:]
            heard.size = len(heard.lines[0][2]) if heard.lines else 0
        turns = [x for x in events if isinstance(x, (AuthStarted, AuthEnded))]
        if turns and isinstance(turns[-1], AuthEnded):  # a new command may end what was never answered, and begin anew
            self._exchange = None

    def _settles(self, events: list[Event]) -> bool:
        if any(isinstance(x, Command) for x in events):
            return True
        told = any(isinstance(x, AuthIdentity) for x in events)
        return told and self._exchange is not None and not any(isinstance(x, AuthStarted) for x in events)

    def _start_tls(self, side: Side, events: list[Event]) -> None:
        """Settle what was said in clear; the rest is TLS."""
        begun = self._heard[side].take()
        plain = _of(side, [x for x in events if not isinstance(x, TlsStarted)])
        if plain:  # the reply that says yes
            self._heard[side].lines = begun
            self._settle(side, plain)
            begun = []
        for number, overlay in enumerate(self.shown):
            start = begun[-1][1] if begun and number == side else overlay.next
            overlay.secure(start)
        sealed = self._seal()
        for _, place, data in begun[-1:]:
            sealed[side].feed(place, data)

    def _settle(self, side: Side, events: list[Event]) -> None:
        """Show the lines that were waited for, now that it is told what they are."""
        waiting = self._heard[side].take()
        if not waiting or not events:
            return
        if side is Side.SERVER:
            self._answer(waiting, events)
        elif (command := next((x for x in events if isinstance(x, Command)), None)) is not None:
            self._ask(waiting, command, events)
        elif self._exchange is not None:
            self._respond(waiting[-1], events)
        elif any(isinstance(x, AuthIdentity) for x in events):  # of an exchange whose command was lost
            _, place, line = waiting[-1]
            self._put(side, place, lines.loose_client(line, self._names, early=True))

    def _settle_cut(self, side: Side, events: list[Event]) -> None:
        """Show what there is of a line that will not go on, told of or not."""
        heard = self._heard[side]
        if events:
            self._settle(side, events)
            heard.clear()
            return
        if heard.half is not None and self._parser is not None:
            line = heard.half[2]
            heard.lines.append(heard.half)
            heard.half = None
            self._loose(side, line)
        heard.half = None  # what came before may go on: the loss may lie in a literal

    def _put(self, side: Side, place: int, octets: bytes) -> None:
        if octets != lines.masked(octets):  # what is masked anyway need not be remembered
            self.shown[side].put(place, octets)

    def _ask(self, waiting: list[tuple[int, int, bytes]], command: Command, events: list[Event]) -> None:
        """Show a command."""
        self._commanded = True
        mine = [x for x in waiting if x[0] >= command.at.frame] or waiting[-1:]
        started = next((x.mechanism for x in events if isinstance(x, AuthStarted)), "")
        verb = command.verb
        self._exchange = started if verb in lines.AUTHENTICATING and started else None
        if self._name != "imap":
            _, place, line = mine[-1]
            self._put(Side.CLIENT, place, lines.turns_command(line, verb, self._names, started))
            return
        whole = _together(mine)
        made = lines.imap_command([x[2] for x in whole], verb, self._names, started)
        self._put(Side.CLIENT, whole[0][1], made)
        for _, place, line in mine[len(whole) :]:
            self._put(Side.CLIENT, place, lines.arguments(line, self._names))

    def _respond(self, last: tuple[int, int, bytes], events: list[Event]) -> None:
        """Show a message of the client in a SASL exchange."""
        named = any(isinstance(x, AuthIdentity) and x.identity.credential is None for x in events)
        made = lines.response(last[2], self._names, self._exchange or "", is_name=named)
        self._put(Side.CLIENT, last[1], made)

    def _answer(self, waiting: list[tuple[int, int, bytes]], events: list[Event]) -> None:
        """Show what the server said."""
        if not any(isinstance(x, _TOLD) for x in events):
            self._loose_server(waiting[-1])
            return
        strange = any(isinstance(x, Reply) and x.verb == "?" for x in events)
        echo = strange or any(isinstance(x, (Reply, AuthEnded)) and _ECHO in x.text for x in events)
        listed = any(isinstance(x, Capability) for x in events) and self._name == "pop3"
        for _, place, line in waiting if listed or self._name == "smtp" else waiting[-1:]:
            if self._name != "smtp" or line[:3].isdigit():
                self._put(Side.SERVER, place, lines.reply(self._name, line, self._names, echo=echo, strange=strange))

    def _loose(self, side: Side, line: bytes) -> None:
        """Show a line that told nothing, or let it wait."""
        heard = self._heard[side]
        if side is Side.SERVER:
            self._data_lines += 1
            if self._data_lines < DATA_LINES or self._name != "imap":
                self._loose_server(heard.lines[-1])
            if self._name == "imap":
                heard.clear()
            return
        if self._exchange is not None:
            self._respond(heard.take()[-1], [])
        elif self._name != "imap" or (len(heard.lines) == 1 and not line.rstrip(b"\r\n").endswith(b"}")):
            _, place, line = heard.take()[-1]
            self._put(side, place, lines.loose_client(line, self._names, early=not self._commanded))

    def _loose_server(self, last: tuple[int, int, bytes]) -> None:
        _, place, line = last
        mechanism = self._exchange or ""
        made = lines.challenge(self._name, line, self._names, mechanism)
        self._put(Side.SERVER, place, lines.loose_server(self._name, line, self._names) if made is None else made)

    @property
    def _name(self) -> str:
        return self._parser.name if self._parser is not None else ""


def _together(waiting: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Return the first lines as far as each begins where the one before it ended."""
    count = 1
    while count < len(waiting) and waiting[count][1] == waiting[count - 1][1] + len(waiting[count - 1][2]):
        count += 1
    return waiting[:count]


def _of(side: Side, events: Iterable[Event]) -> list[Event]:
    """Return the events that tell of what one side said."""
    client = (Command, AuthStarted, AuthIdentity)
    found: list[Event] = []
    for event in events:
        if isinstance(event, Lost):
            continue
        said = getattr(event, "side", None)
        if said is None:
            said = Side.CLIENT if isinstance(event, client) else Side.SERVER
        if said is side:
            found.append(event)
    return found


def _pieces(data: bytes) -> list[bytes]:
    """Split octets behind each line feed."""
    found, start = [], 0
    while (end := data.find(b"\n", start) + 1) > 0:
        found.append(data[start:end])
        start = end
    return [*found, data[start:]] if start < len(data) else found
