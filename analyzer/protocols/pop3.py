"""POP3 as a bystander hears it (RFC 1939, 2449, 2595, 3206, 5034): octets of both sides -> events.

A login is USER and PASS (it begins at USER, and a refused USER ends it), APOP, or AUTH. Every reply is a Reply but for one
that decides a login, which is an AuthEnded. Multi-line replies are skipped up to their dot, but for lists of capabilities.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.at import At, Side
from analyzer.protocols import sasl
from analyzer.protocols.events import Capability, Closed, Command, Event, Greeting, Reply
from analyzer.protocols.lines import Line
from analyzer.protocols.turns import WORDS_LIMIT, Asked, Attempt, Half, Turns, grammar, shown
from analyzer.secret import Secret
from analyzer.text import decoded

ARGS_LIMIT = 200
"""Characters of a command's arguments that are shown."""

_HARMLESS = "CAPA STLS STAT LIST RETR DELE NOOP RSET QUIT TOP UIDL LANG UTF8"
_SHOWN = frozenset(_HARMLESS.split())
_VERBS = _SHOWN | {"USER", "PASS", "APOP", "AUTH", "XTND", "XOIP"}
_DOTTED = frozenset({"RETR", "TOP"})  # RFC 1939 sections 5 and 7: a good reply is multi-line
_DOTTED_BARE = frozenset({"LIST", "UIDL"})  # only without an argument

# keyword [SP arguments] (RFC 2449 section 4); PASS takes the rest of the line as it is (RFC 1939 section 7)
_COMMAND = re.compile(rb"([A-Za-z][A-Za-z0-9-]{2,15})(?: (.*))?\Z", re.DOTALL)
# "+OK" / "-ERR", then [SP text] (RFC 1939 section 3)
_STATUS = re.compile(rb"(\+OK|-ERR)(?:[ \t]+(.*)|)\Z", re.DOTALL | re.IGNORECASE)
# resp-code = "[" resp-level *("/" resp-level) "]" (RFC 2449 section 8)
_CODE = re.compile(rb"\[([A-Za-z][A-Za-z0-9./-]{0,39})(?: [^\]]*)?\] ?(.*)", re.DOTALL)
_VERB = "|".join(sorted(_VERBS)).encode()
_CLIENT_LINES = grammar(re.compile(rb"(?:" + _VERB + rb")(?: |\Z)|TlRMTVNTUAA", re.IGNORECASE))
_SERVER_LINES = grammar(re.compile(rb"(?:\+OK|-ERR)(?:[ \t]|\Z)|\+(?: |\Z)", re.IGNORECASE))

# Words that by themselves say how a login ended: Exchange, Dovecot, Cyrus, Courier, hMailServer
_ACCEPTED = re.compile(rb"Logged in|User successfully logged on|mailbox locked and ready|logged in\.?\Z", re.IGNORECASE)
_REFUSED = re.compile(
    rb"(?:Logon|Authentication|Login) fail|Invalid (?:login|user name)|Maximum number of connections from user"
    rb"|Too many open connections",
    re.IGNORECASE,
)
_LOGIN_CODES = frozenset({"AUTH", "LOGIN-DELAY", "IN-USE"})  # RFC 2449 section 8.1, RFC 3206
# Replies in the middle of a session, whose beginning was not captured
_NEVER_A_GREETING = re.compile(
    rb"\d|\Z|.*\b(?:octets|follows?|deleted|logged in|logging out)\b", re.IGNORECASE | re.DOTALL
)
# Replies to RETR whose command was not seen
_BODY = re.compile(rb"\d+ octets\b|message follows", re.IGNORECASE)
# A server speaks unasked, or without a status (Exchange), only to say that it closes
_GOODBYE = re.compile(rb"\bclos(?:ed|ing)\b|disconnect|time(?:d )?-?out|inactiv|auto-?log|\bbye\b|shut", re.IGNORECASE)


class Pop3:
    """The parser of one connection."""

    name = "pop3"
    ports = frozenset({110, 995})
    opening = re.compile(rb"(?:\+OK|-ERR)(?=\s|\Z)", re.IGNORECASE)

    def __init__(self) -> None:
        self._turns = Turns((Half(_CLIENT_LINES), Half(_SERVER_LINES)), self._client, self._server)
        self._user: Attempt | None = None  # USER was said, PASS not yet
        self._list: list[str] | None = None  # capabilities being told
        self._list_verb = ""

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
            self._list = None
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
        args = (found[2] or b"") if found else b""
        if verb == "USER":
            self._say_user(line, args)
        elif verb == "PASS":
            self._say_pass(line, args)
        elif verb == "APOP":
            self._say_apop(line, args)
        elif verb == "AUTH" and args.strip():
            self._turns.authenticate(line, args.strip())
        elif verb in _VERBS:
            self._say(line, verb, args)
        else:
            self._turns.unknown(line)

    def _say(self, line: Line, verb: str, args: bytes) -> None:
        words = decoded(args[:1000], ARGS_LIMIT) if verb in _SHOWN else "***" if args else ""
        self._turns.events.append(Command(line.at, "", verb, words))
        body = "list" if verb in {"CAPA", "AUTH"} else ""
        if verb in _DOTTED or (verb in _DOTTED_BARE and not args.strip()):
            body = "dots"
        self._turns.ask(verb, line, body=body)
        if verb == "STLS":
            self._turns.expect_tls()
        elif verb == "QUIT":
            self._turns.events.append(Closed(line.end, Side.CLIENT, ""))

    def _say_user(self, line: Line, args: bytes) -> None:
        turns = self._turns
        if self._user is not None:
            turns.give_up(self._user, line.at, seen=True)
        turns.events.append(Command(line.at, "", "USER", decoded(args[:1000], ARGS_LIMIT)))
        attempt = self._user = turns.begin(line, "USER")
        if args and not line.cut:
            turns.identified(attempt, sasl.named(attempt.who, args, "login"), line)
        turns.ask("USER", line, attempt)

    def _say_pass(self, line: Line, args: bytes) -> None:
        turns = self._turns
        turns.events.append(Command(line.at, "", "PASS", "***"))
        attempt, self._user = turns.goes_on(self._user) or turns.begin(line, "USER"), None
        attempt.last = line.end
        if not line.cut:
            turns.identified(attempt, attempt.who._replace(credential=Secret(args)), line)
        turns.ask("PASS", line, attempt)

    def _say_apop(self, line: Line, args: bytes) -> None:
        turns = self._turns
        name, space, _digest = args.rpartition(b" ")
        turns.events.append(Command(line.at, "", "APOP", f"{decoded(name[:1000], ARGS_LIMIT)} ***".strip()))
        attempt = turns.begin(line, "APOP")
        if space and name:
            turns.identified(attempt, sasl.named(attempt.who, name, "digest"), line)
        turns.ask("APOP", line, attempt)

    # lines of the server

    def _server(self, line: Line) -> None:
        turns = self._turns
        if self._list is not None:
            self._listed(line, self._list)
        elif found := _STATUS.match(line.text):
            status = found[1].upper().decode("ascii")
            coded = _CODE.match(found[2] or b"")
            code = coded[1].upper().decode("ascii") if coded else None
            self._status(line, status, code, coded[2] if coded else found[2] or b"")
        elif line.text[:1] == b"+":
            self._challenge(line)
        elif _GOODBYE.search(line.text[:200]) and turns.greeted and not turns.blind:
            turns.events.append(Closed(line.end, Side.SERVER, shown(line.text)))
        elif line.text != b".":
            # the middle of a multi-line reply whose start was not seen
            if not turns.known and not turns.greeted:
                turns.malformed(line, Side.SERVER, "no reply")
            turns.halves[Side.SERVER].skip_to_dot(unsure=True)

    def _status(self, line: Line, status: str, code: str | None, words: bytes) -> None:
        turns = self._turns
        if not turns.greeted and turns.awaited(line) is None and self._may_greet(status, words):
            self._greet(line, status, code, words)
            return
        turns.greeted = True
        if self._asks_on(status):
            return
        asked = turns.answered(line)
        if asked is None:
            self._unasked(line, status, code, words)
        else:
            self._answer(asked, line, status, code, words)

    def _may_greet(self, status: str, words: bytes) -> bool:
        if status == "-ERR":
            return not self._turns.spoke[Side.CLIENT]
        return not _NEVER_A_GREETING.match(words[:200])

    def _greet(self, line: Line, status: str, code: str | None, words: bytes) -> None:
        turns = self._turns
        turns.known = turns.greeted = True
        told = shown(words)
        turns.events.append(Greeting(line.end, status, code, told))
        if status == "-ERR":
            turns.events.append(Closed(line.end, Side.SERVER, told))

    def _asks_on(self, status: str) -> bool:
        """Tell whether a +OK invites to a mechanism that the client begins (Exchange, MS-POP3 on NTLM)."""
        head = self._turns.head
        attempt = head.attempt if head else None
        if status != "+OK" or attempt is None or attempt.who.mechanism != "NTLM" or attempt.answered:
            return False
        self._turns.challenge(b"", attempt.last)
        return True

    def _challenge(self, line: Line) -> None:
        self._turns.challenge(sasl.unbase64(line.text[1:].strip(b" ")), line.end)

    def _answer(self, asked: Asked, line: Line, status: str, code: str | None, words: bytes) -> None:
        turns, good = self._turns, status == "+OK"
        told = (status, code, shown(words, echo=asked.verb == "?" or asked.doubtful))
        if asked.attempt is not None and not (good and asked.verb == "USER"):
            if asked.attempt is self._user:
                self._user = None
            plain = _ACCEPTED.search(words[:200]) is not None
            turns.decide(asked.attempt, line, "accepted" if good else "refused", told, plain=plain)
            return
        turns.events.append(Reply(line.end, "", *told, asked.verb, asked.last))
        if good and asked.body == "dots":
            turns.halves[Side.SERVER].skip_to_dot()
        elif good and asked.body == "list":
            self._list, self._list_verb = [], asked.verb
        elif good and asked.verb == "STLS":
            turns.secured(line.end)

    def _unasked(self, line: Line, status: str, code: str | None, words: bytes) -> None:
        turns, good = self._turns, status == "+OK"
        decides = _ACCEPTED.search(words[:200]) if good else code in _LOGIN_CODES or _REFUSED.search(words[:200])
        if turns.blind and decides:
            turns.decide_unseen(line, "accepted" if good else "refused", (status, code, shown(words)))
            return
        if good and _BODY.match(words[:200]):
            turns.halves[Side.SERVER].skip_to_dot(unsure=True)
        told = (status, code, shown(words, echo=not good))
        turns.events.append(Reply(line.end, "", *told))
        if not good and _GOODBYE.search(words[:200]):
            turns.events.append(Closed(line.end, Side.SERVER, told[2]))

    def _listed(self, line: Line, words: list[str]) -> None:
        """Take one line of CAPA, or of the list AUTH gives."""
        if line.text != b".":
            if len(words) < WORDS_LIMIT:
                words += _capability(line.text, self._list_verb)
            return
        self._turns.events.append(Capability(line.end, tuple(words[:WORDS_LIMIT])))
        self._list = None


def _capability(text: bytes, verb: str) -> list[str]:
    """Return the words of one capability; mechanisms become AUTH=..., as IMAP says it."""
    words = decoded(text[:1000]).upper().split()
    if verb == "AUTH":
        return [f"AUTH={word}" for word in words]
    if words[:1] == ["SASL"]:
        return [f"AUTH={word}" for word in words[1:]]
    return words[:1]
