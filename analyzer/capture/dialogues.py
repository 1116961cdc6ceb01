"""Dialogues: which connection a listed packet belongs to, where the list shows no ports.

Wireshark's list tells addresses, not ports, of a mail packet; a client that opens one connection after the other, or two
at once, is told apart by what each connection waits for: a greeting opens one, a capability goes to the newest greeted
one, a tagged answer to the one whose command it answers or that was prompted, oldest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

OPEN_LIMIT = 512
"""Dialogues of one client and server kept for further packets; the oldest is left alone."""

_GREETING = re.compile(
    rb"\* (?:OK|PREAUTH|BYE)\b(?! \[(?!CAPABILITY|ALERT|REFERRAL))(?! +still)|220[ -]", re.IGNORECASE
)
_POP_GREETING = re.compile(rb"\+OK [^\r\n]*(?:POP|ready|<[^>]+@|dovecot|server|service)", re.IGNORECASE)
_TAGGED = re.compile(rb"([^\s*+]\S{0,63}) (?:OK|NO|BAD)\b")
_ASKED = re.compile(rb"([A-Za-z0-9._-]{1,64}) ([A-Za-z]{2,20})\b")
_IMAP_LOGIN, _LOGINS = ("LOGIN", "AUTHENTICATE"), ("USER", "PASS", "APOP", "AUTH")
_BEFORE_LOGIN = re.compile(rb" OK [^\r\n]*(?:capabilit|\bTLS\b|\bID\b)", re.IGNORECASE)
_WORDS = re.compile(rb"[A-Za-z]{3,12}(?= |\r)")
_VERBS = frozenset({
    "APOP", "AUTH", "BDAT", "CAPA", "DATA", "DELE", "EHLO", "EXPN", "HELO", "HELP", "LHLO", "LIST", "MAIL", "NOOP", "PASS",
    "QUIT", "RCPT", "RETR", "RSET", "STARTTLS", "STAT", "STLS", "TOP", "UIDL", "USER", "VRFY",
})  # fmt: skip
"""Commands of POP and SMTP (RFC 1939, RFC 5321); other words are the answer to a challenge."""
_CAPABILITY, _FAREWELLS = "CAPABILITY", ("LOGOUT", "QUIT")


class Line(NamedTuple):
    """What one packet says, as far as it tells its dialogue."""

    kind: str
    """greeting, capability, prompt, tagged, other (of the server); login, ask, answer (of the client)."""
    tag: bytes = b""
    verb: str = ""


class Dialogue:
    """One connection of a list."""

    __slots__ = (
        "accepted", "asked", "capable", "closed", "decided", "greeted", "numbers", "port", "prompted", "sends_mail",
        "server_port", "tags", "touched",
    )  # fmt: skip

    def __init__(self, port: int, server_port: int) -> None:
        self.port, self.server_port = port, server_port
        self.greeted = self.capable = self.prompted = self.decided = self.accepted = self.closed = False
        self.sends_mail = False
        """The server awaits a mail, which a list does not show whole."""
        self.asked: list[Line] = []
        self.tags: set[bytes] = set()
        self.numbers = [1000, 5000]
        """Next sequence numbers of client and server; any will do."""
        self.touched = 0

    def take(self, line: Line, said: bytes) -> None:
        """Note what was said."""
        kind = line.kind
        if kind in ("login", "ask"):
            self.asked = [*self.asked[-15:], line]
            self.tags.add(line.tag)
        elif kind == "prompt":
            self.prompted = True
        elif kind == "capability":
            self.greeted = self.capable = True
        elif kind == "greeting":
            self.greeted = True
        elif kind in ("tagged", "reply"):
            self.sends_mail = said.startswith(b"354")
            self._answered(line, said)

    def _answered(self, line: Line, said: bytes) -> None:
        mine = [asked for asked in self.asked if asked.tag == line.tag][:1]
        for asked in mine:
            self.asked.remove(asked)
            self.closed = self.closed or asked.verb in _FAREWELLS
        self.tags.add(line.tag)
        self.capable = self.capable or any(asked.verb == _CAPABILITY for asked in mine)
        if not mine and not self.decided and _BEFORE_LOGIN.search(said):
            self.capable = True
            return
        login = any(asked.kind == "login" for asked in mine) or (not mine and not self.decided)
        if login and line.verb != "CONTINUE":
            self.decided, self.accepted = True, said[len(line.tag) + bool(line.tag) :][:1] in (b"O", b"o", b"+", b"2")


def heard(protocol: str, said: bytes, *, by_server: bool) -> Line:
    """Tell what kind of line this is."""
    if protocol == "imap":
        return _imap_server(said) if by_server else _imap_client(said)
    if by_server:
        if _GREETING.match(said) or _POP_GREETING.match(said):
            return Line("greeting")
        prompt = said.startswith((b"+ ", b"+\r", b"334"))
        return Line("prompt") if prompt else Line("reply", verb="CONTINUE" if said[:1] == b"3" else "")
    found = _WORDS.match(said)
    verb = found[0].decode().upper() if found else ""
    return Line("login" if verb in _LOGINS else "ask" if verb in _VERBS else "answer", verb=verb)


def _imap_server(said: bytes) -> Line:
    if _GREETING.match(said):
        return Line("greeting")
    if said[:13].upper() == b"* CAPABILITY ":
        return Line("capability")
    if said[:1] == b"+":
        return Line("prompt")
    found = _TAGGED.match(said)
    return Line("tagged", found[1]) if found else Line("other")


def _imap_client(said: bytes) -> Line:
    found = _ASKED.match(said)
    if found is None:
        return Line("answer")
    verb = found[2].decode().upper()
    return Line("login" if verb in _IMAP_LOGIN else "ask", found[1], verb)


_Test = Callable[[Dialogue, Line], object]
_OLDEST, _NEWEST, _LATEST = "oldest", "newest", "latest"
_ROADS: dict[str, tuple[tuple[_Test, str], ...]] = {
    "greeting": ((lambda d, _: not d.greeted and not d.tags, _OLDEST),),
    "capability": (
        (lambda d, _: any(asked.verb == _CAPABILITY for asked in d.asked), _OLDEST),
        (lambda d, _: d.greeted and not d.capable and not d.prompted and not d.decided, _NEWEST),
    ),
    "prompt": (
        (lambda d, _: not d.prompted and any(asked.kind == "login" for asked in d.asked), _OLDEST),
        (lambda d, _: d.capable and not d.prompted and not d.decided, _NEWEST),
        (lambda d, _: d.greeted and not d.prompted and not d.decided, _NEWEST),
        (lambda d, _: not d.decided or d.asked, _LATEST),
        (lambda d, _: d.accepted, _LATEST),
    ),
    "tagged": (
        (lambda d, line: any(asked.tag == line.tag for asked in d.asked), _OLDEST),
        (lambda d, line: d.prompted and not d.decided and not d.asked and line.tag not in d.tags, _OLDEST),
        (lambda d, line: d.capable and not d.decided and not d.asked and line.tag not in d.tags, _NEWEST),
        (lambda d, line: d.greeted and not d.decided and not d.asked and line.tag not in d.tags, _NEWEST),
        (lambda d, line: d.accepted and line.tag not in d.tags, _LATEST),
    ),
    "reply": (
        (lambda d, _: d.asked, _OLDEST),
        (lambda d, _: d.greeted and not d.decided, _NEWEST),
        (lambda _d, _l: True, _LATEST),
    ),
    "other": ((lambda d, _: d.asked, _LATEST), (lambda _d, _l: True, _LATEST)),
    "login": (
        (lambda d, line: d.capable and not d.decided and not d.asked and line.tag not in d.tags, _OLDEST),
        (lambda d, line: d.greeted and not d.decided and not d.asked and _fresh(d, line), _NEWEST),
        (lambda d, line: d.greeted and not d.asked and _fresh(d, line), _LATEST),
    ),
    "ask": (
        (lambda d, line: d.greeted and not d.decided and not d.asked and _fresh(d, line), _NEWEST),
        (lambda d, line: not d.asked and _fresh(d, line), _LATEST),
        (lambda d, line: not line.tag or line.tag not in d.tags, _LATEST),
    ),
    "answer": (
        (lambda d, _: d.prompted and not d.decided, _LATEST),
        (lambda _d, _l: True, _LATEST),
    ),
}
"""Kind of line -> (which dialogues may take it, which of these does), tried in order."""


def _fresh(dialogue: Dialogue, line: Line) -> bool:
    return not line.tag or line.tag not in dialogue.tags


def heard_among(dialogues: list[Dialogue], protocol: str, said: bytes, *, by_server: bool) -> Line:
    """Tell what kind of line this is where others are open: what looks like a greeting may be an answer."""
    line = heard(protocol, said, by_server=by_server)
    if line.kind == "greeting" and protocol != "imap":
        asked = {asked.verb for dialogue in dialogues if not dialogue.closed for asked in dialogue.asked}
        if "STARTTLS" in asked or (protocol == "pop" and asked):
            return Line("reply")
    return line


def chosen(dialogues: list[Dialogue], line: Line) -> Dialogue | None:
    """Return the dialogue a line belongs to; None when it begins one."""
    alive = [dialogue for dialogue in dialogues if not dialogue.closed]
    for test, which in _ROADS[line.kind]:
        fitting = [dialogue for dialogue in alive if test(dialogue, line)]
        if fitting:
            if which == _LATEST:
                return max(fitting, key=lambda dialogue: dialogue.touched)
            return fitting[0 if which == _OLDEST else -1]
    return None
