"""A conversation in which every command gets one reply, in order: what POP3 and SMTP share.

Replies carry no tag, so a queue says which command one answers. After a loss it may not: a login whose reply could be
another command's is then only decided by replies that say so themselves, and is 'unseen' otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from analyzer.at import NS_PER_MS, At, Side
from analyzer.protocols import sasl
from analyzer.protocols.events import (
    AuthEnded,
    AuthIdentity,
    AuthServer,
    AuthStarted,
    Command,
    Event,
    Identity,
    Lost,
    Malformed,
    TlsStarted,
)
from analyzer.protocols.lines import EVERYTHING, Grammar, Line, Lines
from analyzer.text import decoded

WAITING_LIMIT = 1024
"""Commands remembered until their reply; clients pipeline all recipients of a message, of which servers take 100 to 1000."""
ATTEMPTS_LIMIT = 16
"""Logins remembered until their reply; one at a time is what real clients do."""
TEXT_OCTETS = 2_000
"""Octets of a reply that are decoded; five times what is kept of them as text."""
WORDS_LIMIT = 200
"""Words kept of one capability list; real servers send fewer than 40."""

TLS_VERBS = frozenset({"STARTTLS", "STLS", "X-ANONYMOUSTLS"})
"""Commands after whose good reply TLS begins (RFC 3207, RFC 2595, and between Exchange servers)."""

NO_LITERAL = re.compile(b"")
"""Every line is free text: neither protocol has literals."""
_TLS_RECORD = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")  # ContentType, ProtocolVersion (RFC 8446 section 5.1)
_TLS_HEAD = 3
_END = b"\r\n.\r\n"  # RFC 5321 section 4.1.1.4, RFC 1939 section 3
# A server may repeat what it did not understand, and that may be a password out of place
_ECHO = re.compile(rb"\s*(?:['\"<`(\[]|: ).*", re.DOTALL)


def grammar(resume: re.Pattern[bytes]) -> Grammar:
    """Return the grammar of lines without literals."""
    return Grammar(prose=NO_LITERAL, resume=resume, literal_after_loss=NO_LITERAL)


def shown(text: bytes, *, echo: bool = False) -> str:
    """Return a reply's words as text; ``echo`` hides what may be the client's own line given back."""
    text = text[:TEXT_OCTETS]
    return decoded(_ECHO.sub(b" ***", text) if echo else text)


# sasl-mech = 1*20mech-char (RFC 4422 section 3.1), then an initial response
_MECHANISM = re.compile(rb"([A-Za-z][A-Za-z0-9_-]{0,19})(?: +(\S*))?")


class Half:
    """One direction: lines, and bodies that are skipped by count or up to the line with a single dot."""

    __slots__ = ("_count", "_lines", "_tail", "unsure")

    def __init__(self, lines: Grammar) -> None:
        self._lines = Lines(lines)
        self._count = 0  # octets of a counted body still to come
        self._tail: bytes | None = None  # last octets of the dotted body being skipped
        self.unsure = False
        """Whether the end of the body may have been lost."""

    @property
    def in_body(self) -> bool:
        """Whether a body is being skipped."""
        return self._tail is not None or self._count > 0

    def skip(self, count: int) -> None:
        """Skip a body of so many octets."""
        self._count = count

    def skip_to_dot(self, *, unsure: bool = False) -> None:
        """Skip a body that begins at a line's start, up to its line with a single dot."""
        self._tail, self.unsure = b"\r\n", unsure

    def leave(self) -> None:
        """Read lines again: no body is coming, or it must be over."""
        self._count, self._tail, self.unsure = 0, None, False

    def feed(self, data: bytes, at: At) -> Iterator[Line]:
        """Yield the lines the octets complete; between two of them a body may be announced."""
        start, size = 0, len(data)
        while start < size:
            if self._count:
                passed = min(self._count, size - start)
                self._count -= passed
                start += passed
            elif self._tail is not None:
                start = self._pass(self._tail, data, start)
            else:
                end = data.find(b"\n", start) + 1 or size
                yield from self._lines.feed(data[start:end], at)
                start = end

    def _pass(self, tail: bytes, data: bytes, start: int) -> int:
        seam = (tail + data[start : start + 4]).find(_END)
        if seam >= 0:
            end = start + seam + len(_END) - len(tail)
        elif (place := data.find(_END, start)) >= 0:
            end = place + len(_END)
        else:
            self._tail = (tail + data[max(start, len(data) - 4) :])[-4:]
            return len(data)
        self.leave()
        return end

    def lost(self, count: int, at: At) -> tuple[bool, Line | None]:
        """Be told of a loss; say whether it lies wholly in a counted body, and what was there of the line it cut."""
        if self._count >= count:
            self._count -= count
            return True, None
        self._count = 0
        if self._tail is not None:
            self._tail, self.unsure = b"", True
        return False, self._lines.lost(count, at)

    def take(self, at: At, why: str) -> Line | None:
        """Give up waiting for the rest of a line and return what is there."""
        return self._lines.take(at, why)


class Attempt:
    """A login that has begun."""

    __slots__ = ("answered", "cancelled", "doubtful", "exchange", "last", "prompted", "who")

    def __init__(self, mechanism: str, last: At) -> None:
        self.who = Identity(mechanism)
        self.exchange = sasl.Exchange(mechanism)
        self.last = last  # the client's last octets that belong to it
        self.prompted = False  # the server asked, and the client has not answered yet
        self.answered = False  # the client sent a message
        self.cancelled = False
        self.doubtful = False  # octets were lost since: its reply may be among them


class Asked:
    """A command whose reply has not come."""

    __slots__ = ("attempt", "body", "doubtful", "last", "verb")

    def __init__(self, verb: str, last: At, attempt: Attempt | None, body: str) -> None:
        self.verb = verb
        self.last = last
        self.attempt = attempt
        self.body = body  # what follows a good reply: '', 'dots', 'list'
        self.doubtful = False


class Turns:
    """The state of one connection, whatever its protocol; a parser owns it and hears its lines."""

    def __init__(
        self, halves: tuple[Half, Half], client: Callable[[Line], None], server: Callable[[Line], None]
    ) -> None:
        self.halves = halves
        self.hears = [client, server]
        """Handlers of the two sides' lines; a parser exchanges them as the conversation goes on."""
        self.events: list[Event] = []
        self.spoke = [False, False]
        self.greeted = False
        self.known = False
        """Something only this protocol would say was seen."""
        self.exchange: Attempt | None = None
        """Whose SASL responses the client's lines are."""
        self.opaque = False
        self._asked: list[Asked] = []
        self._attempts: list[Attempt] = []
        self._sniff = [True, True]
        self._fresh = [b"", b""]  # first octets of a side while they may be a TLS record's
        self._hole = False  # octets were lost, and commands and replies have not been paired since
        self._client_lost = False
        self._guess: Identity | None = None
        self._complained = False
        self._accepted = False

    # the three methods of a parser

    def feed(self, side: Side, data: bytes, at: At) -> Iterator[Event]:
        """Take the next octets of one side."""
        if self.opaque or not data:
            return iter(())
        events = self.events = []
        self.spoke[side] = True
        if self._sniff[side]:
            data = self._without_tls(side, data, at)
        for line in self.halves[side].feed(data, at):
            self._handle(side, line)
            if self.opaque:
                break
        return iter(events)

    def idle(self) -> int:
        """Return how many octets of either side would tell nothing if they came next."""
        return EVERYTHING if self.opaque else 0

    def lost(self, side: Side, count: int, at: At) -> Iterator[Event]:
        """Be told that octets of one side are missing."""
        if self.opaque or count <= 0:
            return iter(())
        events = self.events = []
        self._sniff[side] = any(asked.verb in TLS_VERBS for asked in self._asked)
        self._fresh[side] = b""
        absorbed, line = self.halves[side].lost(count, at)
        if line is not None:
            self._handle(side, line)
        events.append(Lost(at, side, count))
        if not absorbed:
            self._doubt(side)
        return iter(events)

    def close(self, at: At, *, complete: bool = True) -> Iterator[Event]:
        """Be told that the connection ended; ``complete`` is False when it was the capture that ended."""
        events = self.events = []
        if self.opaque:
            return iter(())
        for side in (Side.CLIENT, Side.SERVER):
            line = self.halves[side].take(at, "closed")
            if line is not None and not self.opaque:
                self._handle(side, line)
        for attempt in self._attempts[:]:
            self.give_up(attempt, at, seen=complete)
        self._asked.clear()
        self.opaque = True
        return iter(events)

    def unseal(self) -> None:
        """Go on in clear: what follows TLS comes decrypted."""
        self.opaque, self._sniff = False, [False, False]

    def _handle(self, side: Side, line: Line) -> None:
        if line.cut == "overlong":
            self.malformed(line, side, "line too long")
        self.hears[side](line)

    def _doubt(self, side: Side) -> None:
        self._hole = True
        for attempt in self._attempts:
            attempt.doubtful = True
        if side is Side.CLIENT:
            self._client_lost = True
            if self.exchange is not None:
                self._secret_next(self.exchange)
            return
        self.greeted = True  # it is among what was lost, or was seen before
        for asked in self._asked:
            asked.doubtful = True

    def _without_tls(self, side: Side, data: bytes, at: At) -> bytes:
        """Return the octets to be read as lines: none while, or because, they are a TLS record's."""
        data = self._fresh[side] + data
        self._fresh[side] = b""
        if 0x14 <= data[0] <= 0x17 and len(data) < _TLS_HEAD:
            self._fresh[side] = data
            return b""
        self._sniff[side] = False
        if not _TLS_RECORD.match(data):
            return data
        self.secured(at, implicit=not any(asked.verb in TLS_VERBS for asked in self._asked))
        return b""

    # what a parser says

    @property
    def blind(self) -> bool:
        """Whether commands of the client may have gone unseen."""
        return self._client_lost or not self.greeted or not self.spoke[Side.CLIENT]

    @property
    def head(self) -> Asked | None:
        """The command the next reply answers."""
        return self._asked[0] if self._asked and not (self._asked[0].doubtful and len(self._asked) > 1) else None

    def malformed(self, line: Line, side: Side, why: str) -> None:
        """Say once per connection that something makes no sense: hostile peers repeat themselves."""
        if not self._complained:
            self._complained = True
            self.events.append(Malformed(line.at, side, why))

    def secured(self, at: At, *, implicit: bool = False) -> None:
        """Tell that the rest is TLS."""
        self.events.append(TlsStarted(at, implicit))
        self.opaque = True

    def expect_tls(self) -> None:
        """Look for a TLS record at the next octets of each side."""
        self._sniff = [True, True]

    def ask(self, verb: str, line: Line, attempt: Attempt | None = None, body: str = "") -> Asked:
        """Remember a command until its reply."""
        self.known = True
        if self.halves[Side.SERVER].unsure:
            self.halves[Side.SERVER].leave()  # a client speaks again when it has read the whole body
        if len(self._asked) >= WAITING_LIMIT:
            self._asked.clear()
            self._doubt(Side.CLIENT)
        asked = Asked(verb, line.end, attempt, body)
        asked.doubtful = self._hole or line.cut == "lost"
        self._asked.append(asked)
        return asked

    def awaited(self, line: Line) -> Asked | None:
        """Return the command a reply answers; None when there is none, or when that cannot be told.

        A reply that a loss cut short is heard late: what was said after it began is not what it answers.
        """
        head = self.head
        if head is None or not line.cut:
            return head
        last = head.attempt.last if head.attempt is not None else head.last
        return None if last.frame > line.at.frame else head

    def answered(self, line: Line) -> Asked | None:
        """Return the command a reply answers, and forget it; see :meth:`awaited`."""
        asked = self.awaited(line)
        if asked is None and self.head is not None:
            return None
        if asked is None:
            self._asked.clear()
        else:
            self._asked.pop(0)
        self._hole = self._hole and bool(self._asked)
        if self.halves[Side.CLIENT].unsure:
            self.halves[Side.CLIENT].leave()
        return asked

    # logins

    def begin(self, line: Line, mechanism: str) -> Attempt:
        """Tell that a login begins."""
        for older in [x for x in self._attempts if x.doubtful]:
            self.give_up(older, line.at, seen=False)
        if len(self._attempts) >= ATTEMPTS_LIMIT:
            self.give_up(self._attempts[0], line.at, seen=False)
        attempt = Attempt(mechanism, line.end)
        attempt.doubtful = self._hole or line.cut == "lost"
        self._attempts.append(attempt)
        self.events.append(AuthStarted(line.at, "", mechanism))
        return attempt

    def goes_on(self, attempt: Attempt | None) -> Attempt | None:
        """Return the login while nothing has ended it."""
        return attempt if attempt in self._attempts else None

    def identified(self, attempt: Attempt, who: Identity, line: Line, *, complete: bool = True) -> None:
        """Tell who wants to log in."""
        attempt.who, attempt.last = who, line.end
        self.events.append(AuthIdentity(line.end, who, complete))

    def message(self, attempt: Attempt, line: Line, text: bytes) -> None:
        """Take one SASL message of the client; it is never shown."""
        attempt.last = line.end
        attempt.prompted, attempt.answered = False, True
        who = attempt.exchange.client(sasl.unbase64(text), whole=not line.cut)
        if who is not None:
            self.identified(attempt, who, line, complete=not line.cut)

    def respond(self, line: Line, *, command: bool) -> bool:
        """Take a client's line in a SASL exchange; return False when it is a command after all.

        ``command`` says that it looks like one. No base64 holds a space, but ``QUIT`` is base64: then it is a message
        only when the server has asked for one.
        """
        attempt = self.exchange
        if attempt is not None and not line.text:
            self._secret_next(attempt)
        if attempt is None or (command and (b" " in line.text or not attempt.prompted)):
            self.exchange = None
            return False
        if line.text == b"*":
            attempt.cancelled = True
            attempt.last = line.end
        else:
            self.message(attempt, line, line.text)
        return True

    def challenge(self, octets: bytes, at: At) -> None:
        """Take the server's decoded challenge."""
        attempt = self.exchange
        if attempt is None:
            return
        attempt.prompted = True
        name = attempt.exchange.server(octets)
        if name is not None:
            self.events.append(AuthServer(at, name))
        if octets[:8].lower() == b"password":
            self._secret_next(attempt)

    def _secret_next(self, attempt: Attempt) -> None:
        """Make sure that the next message of AUTH LOGIN is not taken for an account: its user name is empty or lost."""
        who = attempt.exchange.who
        if who.mechanism == "LOGIN" and who.account_from == "none":
            attempt.exchange.who = who._replace(account_from="login")

    def decide(
        self, attempt: Attempt, line: Line, outcome: str, told: tuple[str, str | None, str], *, plain: bool = False
    ) -> None:
        """End a login by a reply, given as status, code and text; ``plain`` says that its words alone decide."""
        if attempt is self.exchange:
            self.exchange = None
        if attempt not in self._attempts:
            return
        if attempt.doubtful and outcome == "accepted" and not plain:
            self.give_up(attempt, line.end, seen=False)
            return
        self._attempts.remove(attempt)
        if attempt.cancelled and outcome == "refused":
            outcome = "abandoned"
        self._accepted = self._accepted or outcome == "accepted"
        status, code, text = told
        ms = (line.end.ts - attempt.last.ts) / NS_PER_MS
        self.events.append(AuthEnded(line.end, "", outcome, code, text, status, ms))

    def decide_unseen(self, line: Line, outcome: str, told: tuple[str, str | None, str]) -> None:
        """Tell of a login whose command was not seen, known by the words of its reply; one accepted login is all there is."""
        if self._accepted:
            return
        self._accepted = outcome == "accepted"
        for older in self._attempts[:]:
            self.give_up(older, line.at, seen=False)
        who, self._guess = self._guess, None
        self.events.append(AuthStarted(line.at, "", who.mechanism if who else "?"))
        if who is not None:
            self.events.append(AuthIdentity(line.at, who))
        status, code, text = told
        self.events.append(AuthEnded(line.end, "", outcome, code, text, status, None))

    def give_up(self, attempt: Attempt, at: At, *, seen: bool) -> None:
        """End a login that no reply decided."""
        if attempt in self._attempts:
            self._attempts.remove(attempt)
            unseen = attempt.doubtful or not seen or not self.spoke[Side.SERVER]
            self.events.append(AuthEnded(at, "", "unseen" if unseen else "abandoned", None, "", "", None))
        if attempt is self.exchange:
            self.exchange = None

    def authenticate(self, line: Line, args: bytes) -> None:
        """Take an AUTH command, with or without an initial response (RFC 4954, section 4; RFC 5034, section 4)."""
        found = _MECHANISM.match(args)
        mechanism = found[1].upper().decode("ascii") if found else "?"
        first = found[2] if found else None
        self.events.append(Command(line.at, "", "AUTH", f"{mechanism} ***" if first else mechanism))
        attempt = self.begin(line, mechanism)
        self.ask("AUTH", line, attempt)
        self.exchange = attempt
        if first:
            self.message(attempt, line, first)

    def unknown(self, line: Line) -> None:
        """Take a command nobody knows; its words may be anything, a password too, and stay here."""
        if self.known and not line.cut:
            self.events.append(Command(line.at, "", "?", "***"))
            self.ask("?", line)
        elif not self.guess(line):
            self.malformed(line, Side.CLIENT, "no command")

    def guess(self, line: Line) -> bool:
        """Take a client's line that is no command; return whether it is a SASL message of an exchange not seen."""
        octets = sasl.unbase64(line.text)
        mechanism = "NTLM" if octets.startswith(b"NTLMSSP\0") else "PLAIN" if octets.count(b"\0") == 2 else ""
        if mechanism and self.blind:
            self._guess = sasl.Exchange(mechanism).client(octets, whole=not line.cut)
        return bool(octets)
