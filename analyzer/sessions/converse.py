"""Drive the right parser over the chunks of one connection and fold what it tells into a session."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from analyzer.at import At, Side
from analyzer.protocols import PARSERS, Event, Parser
from analyzer.protocols.events import TlsStarted
from analyzer.protocols.lines import EVERYTHING
from analyzer.sessions.fold import Fold
from analyzer.sessions.identify import ENOUGH, IMPLICIT_TLS_PORTS, PORT_PROTOCOL, PREAMBLE, identify
from analyzer.sessions.session import Session
from analyzer.streams import Chunk, Connection

_PARSER = {parser.name: parser for parser in PARSERS}
WAIT_LIMIT = 64
"""Chunks kept while the protocol is unknown; beyond that the connection is taken for something else."""


class Conversation:
    """Listens to one connection; :attr:`session` is set once it has ended."""

    def __init__(
        self, capture: str, connection: Connection, done: Callable[[Session], None], tap: list[Event] | None = None
    ) -> None:
        self._connection = connection
        self._done = done
        self._fold = Fold(capture, connection)
        self._tap = tap
        self._parser: Parser | None = None
        self._waiting: list[Chunk] | None = []
        self._heads = [b"", b""]

    def chunk(self, chunk: Chunk) -> int:
        """Take the next octets of one side; return how many next ones need not come."""
        parser = self._parser
        if parser is not None:
            return self._feed(parser, chunk)
        if self._waiting is None:
            return EVERYTHING
        self._wait(chunk)
        return 0

    def end(self) -> None:
        """Take note that the connection, or the capture, has ended; hand over the session."""
        connection = self._connection
        if self._parser is None and self._waiting:
            self._decide(by_port=True)
        if self._parser is not None:
            over = connection.fin_by is not None or connection.reset_by is not None
            self._tell(self._parser.close(At(connection.last_frame, connection.end), complete=over))
        self._done(self._fold.session())

    def _wait(self, chunk: Chunk) -> None:
        waiting = self._waiting
        if waiting is None:
            return
        if self._greets_behind_proxy(chunk):
            waiting.clear()
            self._heads = [b"", b""]
        waiting.append(chunk)
        if len(self._heads[chunk.side]) < ENOUGH:
            self._heads[chunk.side] += chunk.data[:ENOUGH]
        self._decide(by_port=len(waiting) >= WAIT_LIMIT)

    def _greets_behind_proxy(self, chunk: Chunk) -> bool:
        """Tell whether a server greets after the client has talked to a proxy: what was said before is not mail."""
        if chunk.side is Side.CLIENT or not PREAMBLE.match(self._heads[Side.CLIENT]):
            return False
        name = identify(chunk.side, chunk.data, self._connection.server_port, first=True)
        return name is not None and name != "tls"

    def _decide(self, *, by_port: bool) -> None:
        connection, waiting = self._connection, self._waiting
        if waiting is None:
            return
        name = None
        for side in (Side.SERVER, Side.CLIENT):
            head = self._heads[side]
            if head:
                first = (
                    connection.syn_at is not None
                    or connection.syn_ack_at is not None
                    or connection.client_known != "port"
                )
                name = name or identify(side, head, connection.server_port, first=first)
        enough = min(len(h) for h in self._heads) >= ENOUGH and not PREAMBLE.match(self._heads[Side.CLIENT])
        if name is None and not by_port and not enough:
            return
        port = PORT_PROTOCOL.get(connection.server_port)
        if name == "tls" or (name is None and connection.server_port in IMPLICIT_TLS_PORTS and any(self._heads)):
            self._fold.protocol = port
            self._fold.take(TlsStarted(waiting[0].at, implicit=True))
        else:
            self._fold.protocol = name
        kind = _PARSER.get(name or "")
        self._waiting = None
        if kind is not None:
            self._parser = kind()
            for chunk in waiting:
                self._feed(self._parser, chunk)

    def _feed(self, parser: Parser, chunk: Chunk) -> int:
        side, data, at, lost, passed = chunk
        if passed:
            parser.passed(side, passed)
        if lost:
            self._tell(parser.lost(side, lost, at))
        if data:
            self._tell(parser.feed(side, data, at))
        return parser.idle(side)

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self._fold.take(event)
            if self._tap is not None:
                self._tap.append(event)
