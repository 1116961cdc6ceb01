"""TLS as it may be shown: heads of records, what both sides offer and choose, alerts; names as pseudonyms, all else zeros.

Of what is said in clear the structure stays (RFC 8446 and RFC 5246: records, hellos, certificates, alerts), since the
verdict looks at versions, application protocols and the sizes of records. Randoms, keys, tickets and whatever is encrypted
become zeros.
"""

from __future__ import annotations

from collections.abc import Callable

from analyzer.protocols.tls import HANDSHAKE_LIMIT_BYTES, RECORD
from analyzer.protocols.tls_hello import is_retry
from analyzer.report.redaction.pseudonyms import Pseudonyms
from analyzer.report.redaction.windows import certificate

_HEAD_BYTES = 5
_CIPHER_CHANGE, _ALERT, _HANDSHAKE = 0x14, 0x15, 0x16
_READ = {_CIPHER_CHANGE: 1, _ALERT: 2, _HANDSHAKE: 1 << 14}
"""Kinds of records whose octets may be clear, and the most that such a record then has."""
_CLIENT_HELLO, _SERVER_HELLO, _CERTIFICATE = 1, 2, 11
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS = 0, 16, 43
_RANDOM = slice(2, 34)

Put = Callable[[int, bytes], None]


class Records:
    """The records of one side; ``put`` is told what is shown at which place."""

    def __init__(self, names: Pseudonyms, put: Put) -> None:
        self._names, self._put = names, put
        self._head = b""  # of a record, until it is whole
        self._kind = self._left = 0
        self._body: bytearray | None = None  # of a record that may be clear
        self._pieces: list[tuple[int, bytes]] = []  # handshake octets behind the last whole message, with their places
        self._closed = False  # the handshake makes no sense any more

    def feed(self, place: int, data: bytes) -> int:
        """Take octets at a place; return how many next ones hold nothing that could be shown."""
        place, data, self._head, at = place - len(self._head), self._head + data, b"", 0
        while at < len(data):
            if not self._left:
                at = self._begin(place, data, at)
                continue
            part = data[at : at + self._left]
            if self._body is not None:
                self._body += part
            self._left -= len(part)
            at += len(part)
            if not self._left:
                self._end(place + at)
        return self._left - 1 if self._left and self._body is None else 0

    def passed(self, count: int) -> None:
        """Take note of octets that were not shown to :meth:`feed`, or are missing."""
        self._head, self._body = b"", None
        self._pieces.clear()
        self._left = max(self._left - count, 0)

    def _begin(self, place: int, data: bytes, at: int) -> int:
        """Show a record's head, or look for the next one; return where to go on."""
        if len(data) - at < _HEAD_BYTES:
            self._head = data[at:]
            return len(data)
        found = RECORD.match(data, at) or RECORD.search(data, at)
        if found is None:
            self._head = data[1 - _HEAD_BYTES :]
            return len(data)
        self._put(place + found.start(), found[0])
        self._kind, self._left = found[0][0], int.from_bytes(found[0][3:], "big")
        clear = self._left <= _READ.get(self._kind, 0) and not (self._closed and self._kind == _HANDSHAKE)
        self._body = bytearray() if clear else None
        return found.end()

    def _end(self, end: int) -> None:
        """Show what a record says that is whole."""
        body, self._body = self._body, None
        if body is None:
            return
        start = end - len(body)
        if self._kind == _CIPHER_CHANGE or (self._kind == _ALERT and len(body) == _READ[_ALERT]):
            self._put(start, bytes(body))
        elif self._kind == _HANDSHAKE:
            self._pieces.append((start, bytes(body)))
            self._messages()

    def _messages(self) -> None:
        """Show the handshake messages that are whole; several may share a record, and one may fill several."""
        data, at = b"".join(octets for _, octets in self._pieces), 0
        while at + 4 <= len(data):
            size = int.from_bytes(data[at + 1 : at + 4], "big")
            if size > HANDSHAKE_LIMIT_BYTES:
                self._closed, at = True, len(data)
                break
            if at + 4 + size > len(data):
                break
            self._show(at, data[at : at + 4] + message(data[at], data[at + 4 : at + 4 + size], self._names))
            at += 4 + size
        self._pieces = list(_behind(self._pieces, at))

    def _show(self, at: int, octets: bytes) -> None:
        """Put octets of the joined pieces where they came from."""
        begin = 0
        for place, piece in self._pieces:
            first, last = max(at, begin), min(at + len(octets), begin + len(piece))
            if first < last:
                self._put(place + first - begin, octets[first - at : last - at])
            begin += len(piece)


def _behind(pieces: list[tuple[int, bytes]], at: int) -> list[tuple[int, bytes]]:
    """Return the pieces without their first ``at`` octets."""
    found = []
    for place, piece in pieces:
        cut = min(at, len(piece))
        at -= cut
        if cut < len(piece):
            found.append((place + cut, piece[cut:]))
    return found


def message(kind: int, body: bytes, names: Pseudonyms) -> bytes:
    """Return a handshake message's body fit to be shown, of the same length."""
    out = bytearray(len(body))
    if kind in {_CLIENT_HELLO, _SERVER_HELLO}:
        _hello(body, out, names, from_client=kind == _CLIENT_HELLO)
    elif kind == _CERTIFICATE:
        _certificates(body, out, names)
    return bytes(out)


def _hello(body: bytes, out: bytearray, names: Pseudonyms, *, from_client: bool) -> None:
    out[:2] = body[:2]
    if is_retry(body):  # known by its random, which is the same in all of them
        out[_RANDOM] = body[_RANDOM]
    if len(body) <= 34:
        return
    out[34] = body[34]  # length of the session's identifier
    at = 35 + body[34]
    if from_client:
        for width in (2, 1):  # cipher suites, compression methods
            size = width + int.from_bytes(body[at : at + width], "big")
            out[at : at + size] = body[at : at + size]
            at += size
    else:
        out[at : at + 3] = body[at : at + 3]
        at += 3
    out[at : at + 2] = body[at : at + 2]
    _extensions(body, out, at + 2, names)
    del out[len(body) :]


def _extensions(body: bytes, out: bytearray, at: int, names: Pseudonyms) -> None:
    while at + 4 <= len(body):
        kind, size = int.from_bytes(body[at : at + 2], "big"), int.from_bytes(body[at + 2 : at + 4], "big")
        out[at : at + 4] = body[at : at + 4]
        start, at = at + 4, at + 4 + size
        if at > len(body):
            return
        if kind == _SUPPORTED_VERSIONS:
            out[start:at] = body[start:at]
        elif kind in {_SERVER_NAME, _ALPN}:
            _vectors(body, out, start, at, names, host=kind == _SERVER_NAME)


def _vectors(body: bytes, out: bytearray, start: int, end: int, names: Pseudonyms, *, host: bool) -> None:
    """Copy a list of names: of hosts behind a type and two octets of length, of protocols behind one."""
    out[start : min(start + 2, end)] = body[start : min(start + 2, end)]
    at, head = start + 2, 3 if host else 1
    while at + head <= end:
        size = int.from_bytes(body[at + head - (2 if host else 1) : at + head], "big")
        out[at : at + head] = body[at : at + head]
        name = body[at + head : min(at + head + size, end)]
        out[at + head : at + head + len(name)] = names.octets(name) if host else names.words(name)
        at += head + size


def _certificates(body: bytes, out: bytearray, names: Pseudonyms) -> None:
    out[:3] = body[:3]
    at = 3
    while at + 3 <= len(body):
        size = int.from_bytes(body[at : at + 3], "big")
        out[at : at + 3] = body[at : at + 3]
        made = certificate(body[at + 3 : at + 3 + size], names)
        out[at + 3 : at + 3 + len(made)] = made
        at += 3 + size
