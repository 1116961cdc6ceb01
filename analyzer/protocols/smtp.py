"""SMTP as a bystander hears it (RFC 5321, 2034, 2920, 3030, 3207, 4954): octets of both sides -> events.

A reply's status is its three digits, its code the enhanced status code (RFC 3463), its text all its lines joined. Every reply
but 334 and 354 is a Reply, but for one that decides AUTH, which is an AuthEnded. A 421 is a Closed too, wherever it comes.
Messages are skipped: after DATA up to the dot, after BDAT by count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.at import At, Side
from analyzer.protocols import sasl
from analyzer.protocols.events import Capability, Closed, Command, Event, Greeting, Reply
from analyzer.protocols.lines import Line
from analyzer.protocols.turns import TEXT_OCTETS, TLS_VERBS, WORDS_LIMIT, Asked, Half, Turns, grammar, shown
from analyzer.text import decoded

ARGS_LIMIT = 200
"""Characters of a command's arguments that are shown."""

_HARMLESS = "EHLO HELO LHLO MAIL RCPT DATA BDAT RSET VRFY EXPN NOOP QUIT STARTTLS ETRN HELP SEND SOML SAML TURN ATRN"
_SHOWN = frozenset(_HARMLESS.split())
_VERBS = _SHOWN | {"AUTH", "BURL", "XCLIENT", "XFORWARD", "X-EXPS", "XEXCH50", "X-ANONYMOUSTLS", "XSHADOW"}

# verb [SP arguments] (RFC 5321 section 4.1.1)
_COMMAND = re.compile(rb"([A-Za-z][A-Za-z0-9-]{2,15})(?:[ \t]+(.*))?\Z", re.DOTALL)
# Reply-line = *( Reply-code "-" [ textstring ] ) Reply-code [ SP textstring ] (RFC 5321 section 4.2)
_REPLY = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.DOTALL)
# class "." subject "." detail (RFC 3463 section 2); Exchange's class is not always that of the reply
_ENHANCED = re.compile(rb"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:[ \t]+|\Z)")
# BDAT chunk-size [SP "LAST"] (RFC 3030 section 2)
_CHUNK = re.compile(rb"([0-9]{1,18})(?: |\Z)")
_PROXY = re.compile(rb"PROXY (?:TCP[46]|UNKNOWN)\b")  # a load balancer's preamble (HAProxy, PROXY protocol version 1)
_VERB = "|".join(sorted(_VERBS, key=len, reverse=True)).encode()
_CLIENT_LINES = grammar(re.compile(rb"(?:" + _VERB + rb")(?:[ \t]|\Z)|TlRMTVNTUAA", re.IGNORECASE))
_SERVER_LINES = grammar(re.compile(rb"[2-5][0-9][0-9](?:[ -]|\Z)"))
_GREETINGS = frozenset({"220", "421", "554"})
_LOGIN_REFUSED = frozenset({"535"})  # only AUTH is answered so (RFC 4954 section 6)


class Smtp:
    """The parser of one connection."""

    name = "smtp"
    ports = frozenset({25, 465, 587})
    opening = re.compile(rb"(?:220|421|554)(?:[ -]|\r|\Z)")

    def __init__(self) -> None:
        self._turns = Turns((Half(_CLIENT_LINES), Half(_SERVER_LINES)), self._client, self._server)
        self._parts: list[bytes] = []  # lines of the reply that goes on
        self._sending = False  # 354 was said: DATA waits for its last reply

    # the three methods of a parser

    def feed(self, side: Side, data: bytes, at: At) -> Iterator[Event]:
        """Take the next octets of one side."""
        return self._turns.feed(side, data, at)

    def idle(self, side: Side) -> int:
        """Return how many octets of a side would tell nothing if they came next: all when they are opaque."""
        del side
        return self._turns.idle()

    def passed(self, side: Side, count: int) -> None:
        """Be told that octets, no more than :meth:`idle` said, went by."""

    def lost(self, side: Side, count: int, at: At) -> Iterator[Event]:
        """Be told that octets of one side are missing."""
        events = list(self._turns.lost(side, count, at))
        if side is Side.SERVER:
            self._parts.clear()
        return iter(events)

    def close(self, at: At, *, complete: bool = True) -> Iterator[Event]:
        """Be told that the connection ended; ``complete`` is False when it was the capture that ended."""
        return self._turns.close(at, complete=complete)

    def unseal(self) -> None:
        """Go on in clear: what follows TLS comes decrypted."""
        self._turns.unseal()

    # lines of the client

    def _client(self, line: Line) -> None:
        found = _COMMAND.match(line.text)
        verb = found[1].upper().decode("ascii") if found else ""
        if self._turns.exchange is not None and self._turns.respond(line, command=verb in _VERBS):
            return
        args = (found[2] or b"").strip() if found else b""
        if verb in {"AUTH", "X-EXPS"} and args:
            self._turns.authenticate(line, args)
        elif verb in _VERBS:
            self._say(line, verb, args)
        elif self._turns.known or not _PROXY.match(line.text):
            self._turns.unknown(line)

    def _say(self, line: Line, verb: str, args: bytes) -> None:
        turns = self._turns
        words = decoded(args[:1000], ARGS_LIMIT) if verb in _SHOWN else "***" if args else ""
        turns.events.append(Command(line.at, "", verb, words))
        turns.ask(verb, line)
        client = turns.halves[Side.CLIENT]
        if verb == "DATA":
            # Nothing may follow before the 354, which may be lost; a refusal undoes this.
            client.skip_to_dot()
        elif verb == "BDAT":
            size = _CHUNK.match(args)
            client.skip(int(size[1]) if size and not line.cut else 0)
        elif verb in TLS_VERBS:
            turns.expect_tls()
        elif verb == "QUIT":
            turns.events.append(Closed(line.end, Side.CLIENT, ""))

    # lines of the server

    def _server(self, line: Line) -> None:
        found = _REPLY.match(line.text)
        if found is None:
            self._turns.malformed(line, Side.SERVER, "no reply")
            return
        if len(self._parts) < WORDS_LIMIT:
            self._parts.append((found[3] or b"")[:TEXT_OCTETS])
        if found[2] == b"-":
            return
        parts, self._parts = self._parts, []
        self._reply(line, found[1].decode("ascii"), parts)

    def _reply(self, line: Line, status: str, parts: list[bytes]) -> None:
        turns = self._turns
        head = turns.awaited(line)
        if not turns.greeted and self._may_greet(status, head):
            turns.known = turns.greeted = True
            told = _told(status, parts)
            turns.events.append(Greeting(line.end, *told))
            self._closes(line, told)
            return
        turns.greeted = turns.greeted or not turns.spoke[Side.CLIENT] or head is not None
        if status == "334":
            turns.challenge(sasl.unbase64(parts[-1].strip()), line.end)
        elif status == "354":
            self._sending = head is not None and head.verb == "DATA"
        else:
            self._answer(line, status, parts)

    def _may_greet(self, status: str, head: Asked | None) -> bool:
        """Tell whether a first reply is the greeting; in the middle of a session, 220 answers STARTTLS or XCLIENT."""
        if head is None:
            return status in _GREETINGS
        return status == "220" and head.verb in {"EHLO", "HELO", "LHLO"}  # a client that did not wait

    def _answer(self, line: Line, status: str, parts: list[bytes]) -> None:
        turns, good = self._turns, status[0] in "23"
        asked = turns.answered(line)
        strange = asked is None or asked.doubtful or asked.verb == "?"
        told = _told(status, parts, echo=strange and status.startswith("50"))
        verb = asked.verb if asked else None
        if verb == "DATA":
            if not good and not self._sending:
                turns.halves[Side.CLIENT].leave()
            self._sending = False
        if asked is not None and asked.attempt is not None:
            plain = status == "235"
            turns.decide(asked.attempt, line, "accepted" if good else "refused", told, plain=plain)
        elif turns.blind and (status == "235" or status in _LOGIN_REFUSED):
            turns.decide_unseen(line, "accepted" if good else "refused", told)
        else:
            turns.events.append(Reply(line.end, "", *told, verb, asked.last if asked else None))
        if verb in {"EHLO", "LHLO"} and good:
            turns.events.append(Capability(line.end, _capabilities(parts[1:])))
        elif verb in TLS_VERBS and status == "220":
            turns.secured(line.end)
        self._closes(line, told)

    def _closes(self, line: Line, told: tuple[str, str | None, str]) -> None:
        if told[0] == "421":
            self._turns.events.append(Closed(line.end, Side.SERVER, told[2]))


def _told(status: str, parts: list[bytes], *, echo: bool = False) -> tuple[str, str | None, str]:
    """Return a reply's status, enhanced code and text; every line of it may repeat the code."""
    code = None
    words = []
    for part in parts:
        found = _ENHANCED.match(part)
        if found is not None:
            code = code or found[1].decode("ascii")
        words.append(part[found.end() :] if found else part)
    return status, code, shown(b" ".join(words), echo=echo)


def _capabilities(lines: list[bytes]) -> tuple[str, ...]:
    """Return the keywords of an EHLO reply; mechanisms become AUTH=..., as IMAP says it."""
    found: list[str] = []
    for text in lines:
        # AUTH=LOGIN is how servers once said it to clients of that time
        words = decoded(text).upper().replace("AUTH=", "AUTH ").split()
        found += [f"AUTH={word}" for word in words[1:]] if words[:1] == ["AUTH"] else words[:1]
    return tuple(dict.fromkeys(found))[:WORDS_LIMIT]
