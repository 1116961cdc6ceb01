"""One direction of a line protocol with literals -> lines; bounded, linear in time, resuming after a loss.

A line ends with CRLF (a bare LF is taken too). A piece of it that ends in ``{n}``, ``{n+}`` or ``~{n}`` announces ``n``
octets that belong to the same line (RFC 3501 section 4.3, RFC 7888, RFC 3516): they are skipped by count, neither copied
nor kept, except the short ones of a line the grammar wants (a LOGIN's arguments).

Only the newest piece is searched for ``{n}``: after a literal that ends the line the old one is still at its tail.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from analyzer.at import At

LINE_LIMIT = 65_536
"""Octets kept of one line without its literals; a Kerberos ticket with a large PAC stays below 50,000 in base64."""
KEEP_LIMIT = 512
"""Octets kept of one wanted literal; account names and passwords are far shorter."""
LITERAL_LIMIT = 2**32 - 1
"""Octets of the longest literal believed: RFC 3501 number, 32 bits."""

EVERYTHING = 1 << 62
"""More octets than any connection has."""

# literal = ["~"] "{" number ["+"] "}" CRLF
_LITERAL = re.compile(rb"~?\{([0-9]{1,10})(\+?)\}\Z")
_TAIL = 16  # octets that hold the longest announcement


class Line(NamedTuple):
    """One line of one side, without its line end."""

    text: bytes
    """All of it but the octets of literals; their ``{n}`` stay."""
    at: At
    """First octet."""
    end: At
    """Last octet."""
    literals: tuple[bytes | None, ...] = ()
    """One entry per literal: its octets when they were wanted and are whole, else None."""
    cut: str = ""
    """Why the line is not whole: 'lost', 'overlong', 'closed', 'refused'; '' when it is."""


class Grammar(NamedTuple):
    """What a protocol tells about the lines of one side."""

    prose: re.Pattern[bytes]
    """Lines that start so end in free text, never in a literal."""
    resume: re.Pattern[bytes]
    """What follows a loss and starts so is a line's start; anything else is dropped up to the next line end."""
    literal_after_loss: re.Pattern[bytes]
    """A line whose start was lost announces a literal only when it ends so."""
    keep: re.Pattern[bytes] | None = None
    """Lines whose short literals are wanted."""


class Lines:
    """The reader of one direction."""

    __slots__ = (
        "_began",
        "_doubt",
        "_drop",
        "_grammar",
        "_half",
        "_held",
        "_kept",
        "_literals",
        "_pieces",
        "_skip",
        "_tail",
        "_unsent",
    )

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._doubt = False  # octets were lost just before: is this a line's start?
        self._reset()

    def _reset(self) -> None:
        self._began: At | None = None
        self._half: list[bytes] = []  # the newest piece, as far as it came
        self._pieces: list[bytes] = []  # earlier pieces, each closed by a literal
        self._literals: list[bytes | None] = []
        self._held = 0  # octets in both
        self._skip = 0  # octets of the literal still to come
        self._kept: bytearray | None = None
        self._unsent = False  # the literal waits for the other side's leave and none of it came
        self._drop = False  # the line was overlong; its rest is thrown away
        self._tail = b""

    def feed(self, data: bytes, at: At) -> list[Line]:
        """Take the next octets; return the lines they complete."""
        lines: list[Line] = []
        start, size = 0, len(data)
        while start < size:
            if self._skip:
                start = self._pass(data, start)
                continue
            if self._began is None:
                self._began = at
            end = data.find(b"\n", start)
            if end < 0:
                self._hold(data[start:], at, lines)
                break
            self._ended(data[start:end], at, lines)
            start = end + 1
        return lines

    def lost(self, count: int, at: At) -> Line | None:
        """Be told that ``count`` octets are missing; return what was there of the line they cut."""
        if self._skip >= count:
            self._kept, self._unsent = None, False
            self._skip -= count
            if not self._skip:
                self._close_literal()
            return None
        line = self.take(at, "lost")
        self._doubt = True
        return line

    def take(self, at: At, why: str) -> Line | None:
        """Give up waiting for the rest of the line and return what is there, if anything."""
        if self._began is None:
            return None
        began, dropping = self._began, self._drop
        pieces = [*self._pieces, *self._half]
        literals = (*self._literals, None) if self._skip else tuple(self._literals)
        self._reset()
        text = b"".join(pieces).rstrip(b"\r")
        doubt, self._doubt = self._doubt, why == "lost"
        if dropping or not text or (doubt and not self._grammar.resume.match(text)):
            return None
        return Line(text, began, at, literals, why)

    @property
    def half(self) -> bytes:
        """What is there of the line that has not ended, without earlier pieces; b"" between lines."""
        return b"".join(self._half)

    @property
    def head(self) -> bytes:
        """The first piece of a line that goes on behind a literal; b"" when there is none."""
        return self._pieces[0] if self._pieces else b""

    @property
    def unsent(self) -> bool:
        """Whether the line waits at a literal that needs the other side's leave, with nothing of it sent."""
        return self._unsent

    @property
    def idle(self) -> int:
        """Octets that may come next without changing anything but their own count: a literal's, up to its last one."""
        return 0 if self._unsent or self._kept is not None or not self._skip else self._skip - 1

    def passed(self, count: int) -> None:
        """Be told that octets, no more than ``idle``, went by."""
        self._skip -= count

    def _pass(self, data: bytes, start: int) -> int:
        end = min(start + self._skip, len(data))
        if self._kept is not None:
            self._kept += data[start:end]
        self._skip -= end - start
        self._unsent = False
        if not self._skip:
            self._close_literal()
        return end

    def _close_literal(self) -> None:
        if not self._drop:
            self._literals.append(None if self._kept is None else bytes(self._kept))
        self._kept = None

    def _hold(self, piece: bytes, at: At, lines: list[Line]) -> None:
        if self._drop:
            self._tail = (self._tail + piece[-_TAIL:])[-_TAIL:]
            return
        self._half.append(piece)
        self._held += len(piece)
        if self._held > LINE_LIMIT + 1:  # one more: the CR of a line that just fits
            self._overflow(at, lines)

    def _overflow(self, at: At, lines: list[Line]) -> None:
        tail = b"".join(self._half[-_TAIL:])[-_TAIL:]
        line = self.take(at, "overlong")
        if line is not None:
            lines.append(line._replace(text=line.text[:LINE_LIMIT]))
        self._began, self._drop, self._tail = at, True, tail

    def _ended(self, piece: bytes, at: At, lines: list[Line]) -> None:
        if self._held + len(piece) > LINE_LIMIT + 1 and not self._drop:
            self._hold(piece, at, lines)
            piece = b""
        if self._drop:
            piece, self._tail = (self._tail + piece[-_TAIL:])[-_TAIL:], b""
        elif self._half:
            piece = b"".join([*self._half, piece])
        if piece[-1:] == b"\r":
            piece = piece[:-1]
        if piece[-1:] == b"}" and self._announces(piece):
            return
        if self._drop:
            self._reset()
        elif (line := self._finish(piece, at)) is not None:
            lines.append(line)

    def _announces(self, piece: bytes) -> bool:
        """Start skipping the literal that ``piece`` announces, if it announces one."""
        found = _LITERAL.search(piece[-_TAIL:])
        head = self._pieces[0] if self._pieces else piece
        if found is None or int(found[1]) > LITERAL_LIMIT or self._grammar.prose.match(head):
            return False
        if self._doubt and not self._grammar.literal_after_loss.search(piece):
            return False
        count, keep = int(found[1]), self._grammar.keep
        wanted = count <= KEEP_LIMIT and keep is not None and not self._drop and keep.match(head) is not None
        if not self._drop:
            self._pieces.append(piece)
            self._held = self._held - sum(map(len, self._half)) + len(piece)
            self._half.clear()
        self._kept = bytearray() if wanted else None
        self._skip, self._unsent = count, not found[2]
        if not count:
            self._close_literal()
        return True

    def _finish(self, piece: bytes, at: At) -> Line | None:
        began = self._began or at
        text = piece
        literals: tuple[bytes | None, ...] = ()
        if self._pieces:
            text = b"".join([*self._pieces, piece])
            literals = tuple(self._literals)
            self._reset()
        elif self._half:
            self._reset()
        else:
            self._began = None
        if self._doubt:
            self._doubt = False
            if not self._grammar.resume.match(text):
                return None
        return Line(text, began, at, literals)
