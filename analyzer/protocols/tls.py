"""TLS as a bystander without keys: what both hellos say, whose certificate it was, alerts, and how much was said inside.

Not a mail protocol: it takes over where a mail parser tells ``TlsStarted``. RFC 8446 and RFC 5246 (records, handshake,
alerts), RFC 6066 section 3 (server name), RFC 7301 (application protocol). Octets inside are counted, never kept; nothing
raises on them. What cannot be a record is skipped up to the next octets that look like one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.at import At, Side
from analyzer.protocols.certificate import certificate
from analyzer.protocols.events import Event, Lost, TlsAlert, TlsCertificate, TlsHello, TlsTalk, TlsTurn
from analyzer.protocols.tls_hello import TLS_1_3, certificates, client_hello, is_retry, server_hello

RECORD = re.compile(rb"[\x14-\x17]\x03[\x00-\x04][\x00-\x48].", re.DOTALL)
"""ContentType, ProtocolVersion, a length of at most 2^14 + 2048 (RFC 5246, section 6.2.3)."""
TURNS_KEPT = 24
"""Turns kept of one session: a refused login has less than ten, and more tells nothing new."""
HANDSHAKE_LIMIT_BYTES = 1 << 16
"""Longest handshake message read; certificate chains of public servers have 3 to 6 kB."""

_HEAD_BYTES = 5
_CIPHER_CHANGE, _ALERT, _HANDSHAKE = 0x14, 0x15, 0x16
_CLIENT_HELLO, _SERVER_HELLO, _CERTIFICATE = 1, 2, 11
_SEALED_ALERT_BYTES = 19
"""An alert inside TLS 1.3: two octets, the inner type, 16 of authentication (RFC 8446, section 5.2)."""
_CLOSING = frozenset({0, 90})
"""close_notify and user_canceled: the normal end (RFC 8446, section 6.1)."""
_LEVELS = {1: "warning", 2: "fatal"}
_ALERTS = {
    0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed", 22: "record_overflow",
    30: "decompression_failure", 40: "handshake_failure", 41: "no_certificate", 42: "bad_certificate",
    43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown",
    47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error", 51: "decrypt_error",
    60: "export_restriction", 70: "protocol_version", 71: "insufficient_security", 80: "internal_error",
    86: "inappropriate_fallback", 90: "user_canceled", 100: "no_renegotiation", 109: "missing_extension",
    110: "unsupported_extension", 111: "certificate_unobtainable", 112: "unrecognized_name",
    113: "bad_certificate_status_response", 114: "bad_certificate_hash_value", 115: "unknown_psk_identity",
    116: "certificate_required", 120: "no_application_protocol",
}  # fmt: skip
"""RFC 8446, section 6; RFC 5246, section 7.2; IANA's registry of TLS alerts."""


class _Half:
    """What one side has sent."""

    __slots__ = ("body", "changed", "head", "heard", "kind", "left", "messages", "size")

    def __init__(self) -> None:
        self.head = b""  # of a record, until it is whole
        self.kind = self.size = self.left = 0  # of the record being read; octets still to come
        self.body: bytearray | None = None  # of a record that is readable
        self.messages = bytearray()  # handshake octets behind the last whole message
        self.changed = False  # it said ChangeCipherSpec: what follows is encrypted, up to TLS 1.2
        self.heard = False  # its hello was read


class Tls:
    """The records of one connection."""

    def __init__(self) -> None:
        self._halves = (_Half(), _Half())
        self._events: list[Event] = []
        self._version: str | None = None
        self._sealed = False  # TLS 1.3: the client has sent its first encrypted record
        self._turns: list[TlsTurn] = []
        self._records = 0
        self._whole = True

    def feed(self, side: Side, data: bytes, at: At) -> Iterator[Event]:
        """Take the next octets of one side."""
        events = self._events = []
        half = self._halves[side]
        data, half.head, place = half.head + data, b"", 0
        while place < len(data):
            if not half.left:
                place = self._begin(half, side, data, place, at)
                continue
            part = data[place : place + half.left]
            if half.body is not None:
                half.body += part
            half.left -= len(part)
            place += len(part)
            if not half.left:
                self._record(half, side, at)
        return iter(events)

    def idle(self, side: Side) -> int:
        """Return how many octets of a side would tell nothing if they came next: a record's, up to its last one."""
        half = self._halves[side]
        return half.left - 1 if half.left and half.body is None else 0

    def passed(self, side: Side, count: int) -> None:
        """Be told that octets, no more than :meth:`idle` said, went by."""
        self._halves[side].left -= count

    def lost(self, side: Side, count: int, at: At) -> Iterator[Event]:
        """Be told that octets of one side are missing; a record whose end is still to come keeps its size."""
        if count <= 0:
            return iter(())
        events: list[Event] = [Lost(at, side, count)]
        self._events = events
        half = self._halves[side]
        half.head, half.body = b"", None
        half.messages.clear()
        known, half.left = half.left, max(half.left - count, 0)
        self._whole = self._whole and count <= known
        if known and not half.left:
            self._record(half, side, at)
        return iter(events)

    def close(self, at: At, *, complete: bool = True) -> Iterator[Event]:
        """Be told that the connection ended; ``complete`` is False when it was the capture that ended."""
        return iter([TlsTalk(at, tuple(self._turns), self._records, self._whole and complete)])

    def _begin(self, half: _Half, side: Side, data: bytes, place: int, at: At) -> int:
        """Read a record's header at ``place``, or look for the next one; return where to go on."""
        if len(data) - place < _HEAD_BYTES:
            half.head = data[place:]
            return len(data)
        found = RECORD.match(data, place)
        if found is None:
            self._whole = False
            found = RECORD.search(data, place)
        if found is None:
            half.head = data[1 - _HEAD_BYTES :]
            return len(data)
        place = found.end()
        half.kind, half.size = data[found.start()], int.from_bytes(data[place - 2 : place], "big")
        half.left = half.size
        half.body = bytearray() if self._readable(half) else None
        if not half.left:
            self._record(half, side, at)
        return place

    def _readable(self, half: _Half) -> bool:
        if half.kind == _HANDSHAKE:
            return self._version == TLS_1_3 or not half.changed
        return half.kind == _ALERT

    def _record(self, half: _Half, side: Side, at: At) -> None:
        """Take a record that is whole."""
        body, half.body = half.body, None
        if half.kind == _CIPHER_CHANGE:
            half.changed = True
        elif half.kind == _ALERT:
            self._alert(side, bytes(body or b""), at)
        elif half.kind == _HANDSHAKE:
            if body is not None:
                half.messages += body
                self._messages(half, side, at)
        else:
            self._inside(side, half.size, at)

    def _alert(self, side: Side, body: bytes, at: At) -> None:
        """Tell of an alert that can be read; up to TLS 1.2 the others come behind the handshake, and say goodbye."""
        if len(body) == 2:
            level, number = body
            if number not in _CLOSING:
                name = _ALERTS.get(number, f"alert_{number}")
                self._events.append(TlsAlert(at, side, _LEVELS.get(level, "unknown"), name))

    def _inside(self, side: Side, size: int, at: At) -> None:
        """Count a record of application data; in TLS 1.3 the end of the handshake looks like one."""
        if self._version == TLS_1_3 and not self._sealed:
            if side is Side.CLIENT:  # its Finished, or an alert in its place
                self._sealed = True
                if size == _SEALED_ALERT_BYTES:
                    self._events.append(TlsAlert(at, side, "unknown", "encrypted"))
            return
        if self._version == TLS_1_3 and size == _SEALED_ALERT_BYTES:
            return
        self._records += 1
        turns = self._turns
        if turns and turns[-1].side is side:
            last = turns[-1]
            if len(turns) < TURNS_KEPT:
                turns[-1] = TlsTurn(side, last.size_bytes + size, last.records + 1, at)
        elif len(turns) < TURNS_KEPT:
            turns.append(TlsTurn(side, size, 1, at))

    def _messages(self, half: _Half, side: Side, at: At) -> None:
        """Read the handshake messages that are whole; several may share a record, and one may fill several."""
        data, place = bytes(half.messages), 0
        while place + 4 <= len(data):
            size = int.from_bytes(data[place + 1 : place + 4], "big")
            if size > HANDSHAKE_LIMIT_BYTES:
                half.changed = True  # no handshake: read no more of it
                place = len(data)
                break
            if place + 4 + size > len(data):
                break
            self._message(half, side, data[place], data[place + 4 : place + 4 + size], at)
            place += 4 + size
        del half.messages[:place]

    def _message(self, half: _Half, side: Side, kind: int, body: bytes, at: At) -> None:
        told: TlsHello | None = None
        if kind == _CLIENT_HELLO and side is Side.CLIENT and not half.heard:
            told = client_hello(body, at)
        elif kind == _SERVER_HELLO and side is Side.SERVER and not half.heard:
            told = None if is_retry(body) else server_hello(body, at)
            self._version = told.version if told else TLS_1_3 if is_retry(body) else self._version
        elif kind == _CERTIFICATE and side is Side.SERVER and self._version != TLS_1_3:
            first = next(certificates(body), b"")
            found = certificate(first) if first else None
            if found is not None:
                self._events.append(TlsCertificate(at, found.names, found.issuer, found.valid_until))
        if told is not None:
            half.heard = True
            self._events.append(told)
