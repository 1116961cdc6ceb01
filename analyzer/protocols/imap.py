"""IMAP as a bystander hears it (RFC 3501, RFC 9051): octets of both sides -> events.

State is the current handler of each side: the server's lines are first a greeting, then replies; the client's lines are
commands, or responses of a SASL exchange. After STARTTLS or COMPRESS was accepted the rest is opaque.

Which line tells what: the untagged OK, PREAUTH or BYE that opens the connection is a Greeting; every later untagged NO,
BAD, BYE or OK [ALERT] is a Reply with tag '*' (and any untagged OK while a login waits, which is how a slow server speaks);
a tagged reply is a Reply, but for a login's, which is an AuthEnded. A BYE is a Closed too, wherever it comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from analyzer.at import NS_PER_MS, At, Side
from analyzer.protocols import imap_syntax as syntax
from analyzer.protocols import ntlm, sasl
from analyzer.protocols.events import (
    AuthEnded,
    AuthIdentity,
    AuthServer,
    AuthStarted,
    Capability,
    Closed,
    Command,
    Event,
    Greeting,
    Identity,
    Lost,
    Malformed,
    Reply,
    TlsStarted,
)
from analyzer.protocols.lines import EVERYTHING, Line, Lines

WAITING_LIMIT = 64
"""Commands remembered until their tagged reply; clients pipeline a handful."""

_TLS_RECORD = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")  # ContentType, ProtocolVersion (RFC 8446 section 5.1)
_TLS_HEAD = 3
# sasl-mech = 1*20mech-char (RFC 4422 section 3.1), then an initial response (RFC 4959)
_MECHANISM = re.compile(rb"([A-Za-z][A-Za-z0-9_-]{0,19})(?: +(\S*))?")
_OUTCOMES = {"OK": "accepted", "NO": "refused", "BAD": "refused"}


class _Asked:
    """A command whose tagged reply has not come."""

    __slots__ = ("cancelled", "doubtful", "exchange", "last", "tag", "verb")

    def __init__(self, tag: bytes, verb: str, last: At, exchange: sasl.Exchange | None = None) -> None:
        self.tag = tag
        self.verb = verb
        self.last = last  # the client's last octets that belong to it
        self.exchange = exchange  # of a login
        self.cancelled = False
        self.doubtful = False  # octets were lost since: the reply may be among them


class Imap:
    """The parser of one connection."""

    name = "imap"
    ports = frozenset({143, 993})
    opening = re.compile(rb"\* (?:OK|PREAUTH|BYE)\b", re.IGNORECASE)

    def __init__(self) -> None:
        self._lines = (Lines(syntax.CLIENT_LINES), Lines(syntax.SERVER_LINES))
        # functions, not bound methods: a parser that knows itself would have to wait for the garbage collector
        self._handlers: list[Callable[[Imap, Line], None]] = [Imap._command, Imap._greeting]
        self._events: list[Event] = []
        self._opaque = False
        self._fresh = [b"", b""]  # first octets of a side while they may be a TLS record's
        self._sniff = [True, True]
        self._spoke = [False, False]
        self._greeted = False
        self._imap = False  # something only IMAP would say was seen
        self._asked: list[_Asked] = []
        self._login: _Asked | None = None  # whose SASL exchange the client's lines belong to
        self._bye: Reply | None = None
        self._lost = [False, False]
        self._guess: Identity | None = None  # from SASL messages of a command that was not seen
        self._guess_server: str | None = None
        self._guessed = False
        self._prompted = False  # one direction only: the last line was a continuation request without words
        self._complained = False

    # the three methods of a parser

    def feed(self, side: Side, data: bytes, at: At) -> Iterator[Event]:
        """Take the next octets of one side."""
        if self._opaque or not data:
            return iter(())
        events = self._events = []
        self._spoke[side] = True
        if self._sniff[side]:
            data = self._without_tls(side, data, at)
        for line in self._lines[side].feed(data, at):
            self._handle(side, line)
            if self._opaque:
                break
        return iter(events)

    def idle(self, side: Side) -> int:
        """Return how many octets of a side would tell nothing if they came next: a literal's, or all when opaque."""
        return EVERYTHING if self._opaque else self._lines[side].idle

    def passed(self, side: Side, count: int) -> None:
        """Be told that octets, no more than :meth:`idle` said, went by."""
        if not self._opaque:
            self._lines[side].passed(count)

    def lost(self, side: Side, count: int, at: At) -> Iterator[Event]:
        """Be told that octets of one side are missing."""
        if self._opaque or count <= 0:
            return iter(())
        events = self._events = []
        line = self._lines[side].lost(count, at)
        if line is not None:
            self._handle(side, line)
        events.append(Lost(at, side, count))
        for asked in self._asked:
            asked.doubtful = True
        self._lost[side] = True
        if side is Side.CLIENT:
            if self._login is not None and self._login.exchange is not None:
                self._login.exchange.lost()
        elif self._handlers[side] is Imap._greeting:
            self._handlers[side] = Imap._reply
        self._sniff[side] = any(asked.verb == "STARTTLS" for asked in self._asked)
        self._fresh[side] = b""
        return iter(events)

    def close(self, at: At, *, complete: bool = True) -> Iterator[Event]:
        """Be told that the connection ended; ``complete`` is False when it was the capture that ended."""
        events = self._events = []
        if self._opaque:
            return iter(())
        for side in (Side.CLIENT, Side.SERVER):
            line = self._lines[side].take(at, "closed")
            if line is not None:
                self._handle(side, line)
        for asked in self._asked:
            if asked.exchange is not None:
                self._give_up(asked, at, seen=complete or self._bye is not None)
        self._asked.clear()
        self._opaque = True
        return iter(events)

    def unseal(self) -> None:
        """Go on in clear: what follows TLS comes decrypted."""
        self._opaque, self._sniff = False, [False, False]

    # what both sides share

    def _handle(self, side: Side, line: Line) -> None:
        if line.cut == "overlong":
            self._malformed(line, side, "line too long")
        self._handlers[side](self, line)

    def _malformed(self, line: Line, side: Side, why: str) -> None:
        """Say once per connection that something makes no sense: once is enough, and hostile peers repeat themselves."""
        if not self._complained:
            self._complained = True
            self._events.append(Malformed(line.at, side, why))

    def _foreign(self, line: Line, side: Side) -> bool:
        if self._imap or not syntax.FOREIGN.match(line.text):
            return False
        self._malformed(line, side, "another protocol")
        self._turn_opaque(line.end)
        return True

    def _without_tls(self, side: Side, data: bytes, at: At) -> bytes:
        """Return the octets to be read as lines: none while, or because, they are a TLS record's."""
        data = self._fresh[side] + data
        self._fresh[side] = b""
        if not 0x14 <= data[0] <= 0x17:
            self._sniff[side] = False
        elif len(data) < _TLS_HEAD:
            self._fresh[side], data = data, b""
        elif _TLS_RECORD.match(data):
            asked = any(x.verb == "STARTTLS" for x in self._asked)
            self._events.append(TlsStarted(at, implicit=not asked))
            self._turn_opaque(at)
            data = b""
        else:
            self._sniff[side] = False
        return data

    def _ask(self, asked: _Asked, at: At) -> None:
        self._imap = True
        if asked.exchange is not None:
            for older in [x for x in self._asked if x.exchange is not None and x.doubtful]:
                self._asked.remove(older)
                self._give_up(older, at, seen=False)
        if len(self._asked) >= WAITING_LIMIT:
            oldest = self._asked.pop(0)
            if oldest.exchange is not None:
                self._give_up(oldest, at, seen=False)
        self._asked.append(asked)

    def _turn_opaque(self, at: At) -> None:
        """Read nothing from here on; logins that still wait will not be seen to end."""
        self._opaque = True
        for asked in self._asked:
            if asked.exchange is not None:
                self._give_up(asked, at, seen=False)
        self._asked.clear()

    def _give_up(self, asked: _Asked, at: At, *, seen: bool) -> None:
        """End a login that no tagged reply decided."""
        tag = asked.tag.decode("ascii", "replace")
        bye = self._bye
        if asked.doubtful or not seen or not self._spoke[Side.SERVER]:
            self._events.append(AuthEnded(at, tag, "unseen", None, "", "", None))
        elif bye is not None:
            ms = (bye.at.ts - asked.last.ts) / NS_PER_MS
            self._events.append(AuthEnded(bye.at, tag, "abandoned", bye.code, bye.text, "BYE", ms))
        else:
            self._events.append(AuthEnded(at, tag, "abandoned", None, "", "", None))

    # lines of the client

    def _command(self, line: Line) -> None:
        found = syntax.COMMAND.match(line.text)
        if found is None:
            self._loose(line)
            return
        tag, uid, word, args = found.groups()
        verb = word.upper().decode("ascii")
        if line.cut and not args and syntax.is_cut_authenticate(verb):
            self._start_authenticate(line, tag, b"")
        elif verb not in syntax.VERBS:
            self._unknown(line, tag)
        elif verb == "LOGIN" and args:
            self._start_login(line, tag, args)
        elif verb == "AUTHENTICATE" and args:
            self._start_authenticate(line, tag, args)
        else:
            self._plain_command(line, tag, f"UID {verb}" if uid else verb, args)

    def _plain_command(self, line: Line, tag: bytes, verb: str, args: bytes | None) -> None:
        self._events.append(Command(line.at, tag.decode("ascii"), verb, syntax.masked(verb, args)))
        self._ask(_Asked(tag, verb, line.end), line.end)
        if verb == "LOGOUT":
            self._events.append(Closed(line.end, Side.CLIENT, ""))
        elif verb == "STARTTLS":
            self._sniff = [True, True]

    def _unknown(self, line: Line, tag: bytes) -> None:
        """Take a command nobody knows; its words may be anything, a password too, and stay here."""
        if self._foreign(line, Side.CLIENT):
            return
        if not self._imap or line.cut:
            self._malformed(line, Side.CLIENT, "no command")
            return
        self._events.append(Command(line.at, "?", "?", "***"))
        self._ask(_Asked(tag, "?", line.end), line.end)

    def _loose(self, line: Line) -> None:
        """Take a line that is no command: the end of IDLE, or SASL whose AUTHENTICATE was not seen."""
        if line.text.upper() == b"DONE":
            for asked in self._asked:
                if asked.verb == "IDLE":
                    asked.last = line.end
        elif not self._foreign(line, Side.CLIENT) and not self._guess_from(line):
            self._malformed(line, Side.CLIENT, "no command")

    def _guess_from(self, line: Line) -> bool:
        octets = sasl.unbase64(line.text)
        if octets and self._blind:
            mechanism = "NTLM" if octets.startswith(ntlm.SIGNATURE) else "PLAIN"
            who = sasl.Exchange(mechanism).client(octets, whole=not line.cut)
            if who is not None and "\N{REPLACEMENT CHARACTER}" not in (who.account or ""):
                self._guess = who
        return bool(octets)

    def _start_login(self, line: Line, tag: bytes, args: bytes) -> None:
        account, password = syntax.login_arguments(line, args)
        exchange = sasl.Exchange("LOGIN")
        who = exchange.client(account, whole=True) if account else None
        if who is not None and password is not None:
            who = exchange.client(password, whole=True)
        name = tag.decode("ascii")
        shown = "***" if who is None else f"{syntax.masked('ID', account)} ***"
        self._events.append(Command(line.at, name, "LOGIN", shown))
        self._ask(_Asked(tag, "LOGIN", line.end, exchange), line.end)
        self._events.append(AuthStarted(line.at, name, "LOGIN"))
        if who is not None:
            self._events.append(AuthIdentity(line.end, who, who.credential is not None))

    def _start_authenticate(self, line: Line, tag: bytes, args: bytes) -> None:
        found = _MECHANISM.match(args)
        mechanism = found[1].upper().decode("ascii") if found else "?"
        first = found[2] if found else None
        name = tag.decode("ascii")
        self._events.append(Command(line.at, name, "AUTHENTICATE", f"{mechanism} ***" if first else mechanism))
        asked = _Asked(tag, "AUTHENTICATE", line.end, sasl.Exchange(mechanism))
        self._ask(asked, line.end)
        self._events.append(AuthStarted(line.at, name, mechanism))
        self._login = asked
        self._handlers[Side.CLIENT] = Imap._response
        if first:
            self._message(asked, line, first)

    def _response(self, line: Line) -> None:
        """Take a client's line of a SASL exchange; it is never shown."""
        asked = self._login
        found = syntax.COMMAND.match(line.text) if b" " in line.text else None
        if asked is None or (found is not None and found[3].upper().decode("ascii") in syntax.VERBS):
            # no base64 holds a space: the verdict was lost, or the client did not wait for it
            self._leave_exchange()
            self._command(line)
        elif line.text == b"*":
            asked.cancelled = True
            asked.last = line.end
        else:
            asked.last = line.end
            self._message(asked, line, line.text)

    def _message(self, asked: _Asked, line: Line, text: bytes) -> None:
        if asked.exchange is not None:
            octets = sasl.unbase64(text)
            if not octets and text != b"=":  # not RFC 4959's empty initial response: an empty or unreadable user name
                asked.exchange.secret_next()
            who = asked.exchange.client(octets, whole=not line.cut)
            if who is not None:
                self._events.append(AuthIdentity(line.end, who, not line.cut))

    def _leave_exchange(self) -> None:
        self._login = None
        self._handlers[Side.CLIENT] = Imap._command

    # lines of the server

    def _greeting(self, line: Line) -> None:
        self._handlers[Side.SERVER] = Imap._reply
        found = syntax.UNTAGGED.match(line.text)
        name = found[1].upper() if found else b""
        spoken = self._spoke[Side.CLIENT]  # capture order, or a client that does not wait, or a start in the middle
        if found is None or name not in {b"OK", b"PREAUTH", b"BYE"} or (spoken and name == b"BYE"):
            if not self._foreign(line, Side.SERVER):
                self._reply(line)
        elif not syntax.may_greet(found[2]):
            self._reply(line)
        else:
            self._imap = self._greeted = True
            told = syntax.status(name, found[2])
            self._events.append(Greeting(line.end, told.status, told.code, told.text))
            self._capability(told, line)
            if told.status == "BYE":
                self._bye = Reply(line.end, "*", "BYE", told.code, told.text)
                self._events.append(Closed(line.end, Side.SERVER, told.text))

    def _reply(self, line: Line) -> None:
        text = line.text
        prompted, self._prompted = self._prompted, False
        if text[:2] == b"* ":
            self._untagged(line)
        elif text[:1] == b"+":
            self._continuation(line)
        elif found := syntax.TAGGED.match(text):
            self._tagged(line, found[1], syntax.status(found[2], found[3]), found, prompted=prompted)
        elif syntax.UNTAGGED_FAILURE.match(text):
            told = syntax.status(b"NO", text)
            self._events.append(Reply(line.end, "*", "NO", None, told.text))
        elif not self._imap:
            self._malformed(line, Side.SERVER, "no reply")

    def _untagged(self, line: Line) -> None:
        # most lines of a busy mailbox are data ("* 5 EXISTS"): out at once
        found = syntax.UNTAGGED.match(line.text) if line.text[2:3] in b"OoNnBbPpCc" else None
        if found is None:
            if warned := syntax.TOO_MANY.match(line.text):
                self._events.append(Reply(line.end, "*", "NO", None, syntax.status(b"NO", warned[1]).text))
            return
        self._imap = True
        if found[1].upper() == b"CAPABILITY":
            self._events.append(Capability(line.end, syntax.words(found[2] or b"")))
            return
        told = syntax.status(found[1], found[2])
        self._capability(told, line)
        waits = any(asked.exchange is not None for asked in self._asked)
        if told.status != "OK" or told.code == "ALERT" or (waits and told.code is None):
            reply = Reply(line.end, "*", told.status, told.code, told.text)
            self._events.append(reply)
            if told.status == "BYE":
                self._bye = reply
                self._events.append(Closed(line.end, Side.SERVER, told.text))

    def _capability(self, told: syntax.Status, line: Line) -> None:
        if told.code == "CAPABILITY":
            self._events.append(Capability(line.end, syntax.words(told.code_args)))

    def _continuation(self, line: Line) -> None:
        octets = sasl.unbase64(line.text[1:].strip(b" "))
        self._prompted = bool(octets) or not line.text[1:].strip(b" ")
        if self._login is not None and self._login.exchange is not None:
            server = self._login.exchange.server(octets)
            if server is not None:
                self._events.append(AuthServer(line.end, server))
        elif octets and self._blind:
            server = sasl.Exchange("NTLM").server(octets)
            if server is not None:
                self._guess = self._guess or Identity("NTLM")
                self._guess_server = server

    def _tagged(self, line: Line, tag: bytes, told: syntax.Status, found: re.Match[bytes], *, prompted: bool) -> None:
        self._imap = True
        self._settle_client(tag, line)
        asked = self._answered(tag, line)
        if asked is not None and asked.exchange is not None:
            self._decide(asked, told, line)
        elif asked is None and self._blind and self._says_login(found, prompted=prompted):
            self._decide_unseen(tag, told, line)
        else:
            verb, began = (asked.verb, asked.last) if asked else (None, None)
            self._events.append(Reply(line.end, tag.decode("ascii"), told.status, told.code, told.text, verb, began))
        self._capability(told, line)
        if asked is not None and told.status == "OK" and asked.verb in {"STARTTLS", "COMPRESS"}:
            self._turn_opaque(line.end)
            if asked.verb == "STARTTLS":
                self._events.append(TlsStarted(line.end, implicit=False))

    def _decide(self, asked: _Asked, told: syntax.Status, line: Line) -> None:
        if asked is self._login:
            self._leave_exchange()
        cancelled = told.tells_cancel or (asked.cancelled and told.status != "OK")
        outcome = "abandoned" if cancelled else _OUTCOMES[told.status]
        ms = (line.end.ts - asked.last.ts) / NS_PER_MS
        tag = asked.tag.decode("ascii")
        self._events.append(AuthEnded(line.end, tag, outcome, told.code, told.words, told.status, ms))

    @property
    def _blind(self) -> bool:
        """Whether a login's command may have gone unseen, and what looks like its reply is no line of a mail."""
        if self._lost[Side.SERVER] and any(asked.verb.endswith("FETCH") for asked in self._asked):
            return False
        if self._lost[Side.CLIENT] or not self._spoke[Side.CLIENT]:
            return True
        # a start in the middle: only a command sent just before it can be answered still
        return not self._greeted and not self._lost[Side.SERVER] and not self._guessed

    def _says_login(self, found: re.Match[bytes], *, prompted: bool) -> bool:
        """Tell whether a tagged reply to a command that was not seen decides a login."""
        if syntax.decides_login(found[2], found[3]):
            return True
        # after a bare "+" or a challenge; a literal's or IDLE's continuation has words
        return prompted and found[2].upper() == b"NO" and not self._spoke[Side.CLIENT]

    def _decide_unseen(self, tag: bytes, told: syntax.Status, line: Line) -> None:
        who, self._guess = self._guess, None
        self._guessed = True
        name = tag.decode("ascii")
        self._events.append(AuthStarted(line.at, name, who.mechanism if who else "?"))
        if who is not None and who != Identity(who.mechanism):
            self._events.append(AuthIdentity(line.at, who))
        if self._guess_server is not None:
            self._events.append(AuthServer(line.at, self._guess_server))
            self._guess_server = None
        outcome = "abandoned" if told.tells_cancel else _OUTCOMES[told.status]
        self._events.append(AuthEnded(line.end, name, outcome, told.code, told.words, told.status, None))

    def _answered(self, tag: bytes, line: Line) -> _Asked | None:
        """Find and forget the command a tagged reply answers; earlier ones whose reply was lost end here too."""
        same = [x for x in self._asked if x.tag == tag]
        if not same and self._lost[Side.CLIENT]:  # the tag's first octets were lost
            same = [x for x in self._asked if tag.endswith(x.tag)]
        if not same:
            return None
        asked = next((x for x in same if not x.doubtful), same[-1])
        place = self._asked.index(asked)
        for older in [x for x in self._asked[:place] if x.doubtful]:
            self._asked.remove(older)
            if older.exchange is not None:
                if older is self._login:
                    self._leave_exchange()
                self._give_up(older, line.end, seen=False)
        self._asked.remove(asked)
        return asked

    def _settle_client(self, tag: bytes, line: Line) -> None:
        """Read what is there of a client's line that will not go on: its rest was cut, or its literal refused."""
        client = self._lines[Side.CLIENT]
        why = ""
        if client.unsent and client.head.startswith(tag + b" "):
            why = "refused"
        elif half := client.half:
            in_exchange = self._login is not None and self._login.tag == tag and b" " not in half
            if in_exchange or (half.startswith(tag + b" ") and all(x.tag != tag for x in self._asked)):
                why = "lost"
        if why:
            cut = client.take(line.at, why)
            if cut is not None:
                self._handle(Side.CLIENT, cut)
