"""Drive the right parser over the chunks of one connection and fold what it tells into a session."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from analyzer.at import At, Side
from analyzer.protocols import PARSERS, Event, Parser
from analyzer.protocols.events import TlsStarted
from analyzer.protocols.lines import EVERYTHING
from analyzer.sessions.fold import Fold
from analyzer.sessions.identify import ENOUGH, IMPLICIT_TLS_PORTS, PORT_PROTOCOL, PREAMBLE, TLS_RECORD, identify
from analyzer.sessions.session import Session
from analyzer.streams import Chunk, Connection

if TYPE_CHECKING:
    from analyzer.protocols.tls import Tls

_PARSER = {parser.name: parser for parser in PARSERS}
WAIT_LIMIT = 64
"""Chunks kept while the protocol is unknown; beyond that the connection is taken for something else."""


class Conversation:
    """Listens to one connection; :attr:`session` is set once it has ended."""

    def __init__(
        self,
        capture: str,
        connection: Connection,
        done: Callable[[Session], None],
        tap: list[Event] | None = None,
        wait: Callable[[Conversation], bool] | None = None,
    ) -> None:
        """Listen; ``wait`` is asked at the end of a TLS connection whether its octets are still to come, decrypted."""
        self._connection = connection
        self._done = done
        self._fold = Fold(capture, connection)
        self._tap = tap
        self._parser: Parser | None = None
        self._waiting: list[Chunk] | None = []
        self._heads = [b"", b""]
        self._await = wait
        self._tls: Tls | None = None
        self._before: Parser | None = None  # the parser of what was said before TLS

    def chunk(self, chunk: Chunk) -> int:
        """Take the next octets of one side; return how many next ones need not come."""
        parser = self._parser
        if parser is not None:
            idle = self._feed(parser, chunk)
            if self._tls is None:
                return idle
            if not TLS_RECORD.match(chunk.data):  # what the parser knew it by
                return 0
        elif self._waiting is not None:
            self._wait(chunk)
            return 0
        return EVERYTHING if self._tls is None else self._hear(self._tls, chunk)

    def end(self) -> None:
        """Take note that the connection, or the capture, has ended; hand over the session."""
        if self._parser is None and self._waiting:
            self._decide(by_port=True)
        if self._tls is None or self._await is None or not self._await(self):
            self.finish()

    def clear(self, chunk: Chunk) -> None:
        """Take decrypted octets of one side: after :meth:`end`, when ``wait`` said that they are still to come."""
        if not self._fold.is_decrypted:
            self._fold.decrypted()
            if self._before is None:
                self._waiting, self._heads = [], [b"", b""]
            else:
                self._before.unseal()
                self._parser = self._before
        if self._parser is not None:
            self._feed(self._parser, chunk)
        elif self._waiting is not None:
            self._wait(chunk)

    def finish(self) -> None:
        """Hand over the session: nothing more will be heard."""
        if self._parser is None and self._waiting:
            self._decide(by_port=True)
        at, over = self._end
        if self._tls is not None:
            self._tell(self._tls.close(at, complete=over))
        if self._parser is not None:
            hole = self._tls is not None and bool(self._connection.missed_bytes)  # behind it nothing can be decrypted
            self._tell(self._parser.close(at, complete=over and not hole))
        self._done(self._fold.session())

    @property
    def connection(self) -> Connection:
        """The connection listened to."""
        return self._connection

    @property
    def service(self) -> tuple[int, str | None]:
        """The server's port, and the protocol spoken before TLS; None where TLS came first."""
        return self._connection.server_port, None if self._before is None else self._before.name

    @property
    def _end(self) -> tuple[At, bool]:
        """The last packet, and whether the connection ended with it."""
        c = self._connection
        return At(c.last_frame, c.end), c.fin_by is not None or c.reset_by is not None

    def _secured(self) -> None:
        """Listen to TLS records from now on."""
        from analyzer.protocols.tls import Tls

        self._tls, self._before, self._parser = Tls(), self._parser, None

    def _hear(self, tls: Tls, chunk: Chunk) -> int:
        if chunk.passed:
            tls.passed(chunk.side, chunk.passed)
        if chunk.lost:
            self._tell(tls.lost(chunk.side, chunk.lost, chunk.at))
        if chunk.data:
            self._tell(tls.feed(chunk.side, chunk.data, chunk.at))
        return tls.idle(chunk.side)

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
        secret = name == "tls" or (name is None and connection.server_port in IMPLICIT_TLS_PORTS and any(self._heads))
        if secret and not self._fold.is_decrypted:
            self._fold.protocol = port
            self._fold.take(TlsStarted(waiting[0].at, implicit=True))
            self._secured()
        else:
            self._fold.protocol = name
        kind = _PARSER.get(name or "")
        self._waiting = None
        self._parser = kind() if kind is not None else None
        for chunk in waiting:
            self.chunk(chunk)

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
            if type(event) is TlsStarted:
                self._secured()
            if self._tap is not None:
                self._tap.append(event)
