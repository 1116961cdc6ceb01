"""Which packets are mail: by port, and by greeting on any other port, then the whole connection.

A connection on another port is remembered from its SYN while nobody has said anything that rules mail out. When one side
opens with a mail greeting, the remembered packets and all later ones are kept. Without a SYN in the capture the greeting
must say so more plainly.
"""

from __future__ import annotations

import re
from collections import deque
from struct import Struct

from analyzer.capture.packets import ACK, SYN
from analyzer.capture.window import Segment, Window

MAIL_PORTS = frozenset({25, 110, 143, 465, 587, 993, 995})
"""SMTP, POP3, IMAP, SMTPS, submission, IMAPS, POP3S (IANA)."""

LOOKBACK_FRAMES = 65_536
"""Frames of the capture after its SYN for which a connection is remembered, whatever became of it: one SYN a frame at
most, so this bounds their number, too (port scans open many). One that greets later must say so as if it had no SYN."""

WAITING_PACKETS_LIMIT = 24
"""Packets remembered of one such connection: handshake, retransmissions and the first words of a proxy's client."""

FOLLOWED_LIMIT = 65_536
"""Connections followed for their greeting."""

GREETING_BYTES = 1024
"""Octets of a first payload looked at: RFC 5321 allows a reply line of 512, some servers write several."""

OPENERS = frozenset(b"*+245")
"""First octets a greeting can have."""

_MAIL_WORD = rb"(?:E?SMTP|LMTP|mail|postfix|exim|sendmail|exchange)"

# IMAP (RFC 3501, section 7.1): "* OK" / "* PREAUTH" / "* BYE"; POP3 (RFC 1939, section 4): "+OK" and text;
# SMTP (RFC 5321, section 4.2): 220, 421 or 554 and text, which must name mail, because FTP and others say 220 too;
# where it does not, the client's first word does
_GREETING = re.compile(
    rb"\* (?:OK|PREAUTH|BYE)[ \r]|\+OK [^\r\n]|(?:220|421|554)[ -](?![^\r\n]*FTP|[^\r\n]*FileZilla)[^\r\n]*"
    + _MAIL_WORD
    + rb"|(?:EHLO|HELO|LHLO) ",
    re.IGNORECASE,
)
_PLAIN_GREETING = re.compile(
    rb"(?:\* (?:OK|PREAUTH|BYE) [^\r\n]*(?:IMAP|mail|ready|dovecot|courier|cyrus|exchange)"
    rb"|\+OK [^\r\n]*(?:POP|mail|ready|dovecot|courier|exchange)"
    rb"|(?:220|421|554)[ -](?![^\r\n]*FTP|[^\r\n]*FileZilla)[^\r\n]*" + _MAIL_WORD + rb")[^\r\n]*\r?\n",
    re.IGNORECASE,
)
# HTTP CONNECT (RFC 9110, section 9.3.6), the PROXY protocol, SOCKS 4 and 5 (RFC 1928): the mail greeting comes later
_PREAMBLE = re.compile(rb"CONNECT |PROXY |\x04\x01|\x05[\x01-\x09]")
_OFFSET_FLAGS = Struct(">12xBB").unpack_from
_TCP_BYTES = 20

_Key = bytes
"""Source, destination, source port, destination port as on the wire."""


class _Waiting:
    """A connection that has not yet shown what it speaks."""

    __slots__ = ("frame", "isn", "keys", "proxied", "segments", "spoke")

    def __init__(self, key: _Key, back: _Key, frame: int, isn: bytes) -> None:
        self.keys = (key, back)
        self.frame, self.isn = frame, isn
        self.segments: list[Segment] = []
        self.spoke: set[_Key] = set()
        self.proxied = False


class Selection:
    """Follows connections on other ports that greet like mail; kept packets go to the window."""

    def __init__(self, window: Window) -> None:
        self.followed: set[_Key] = set()
        self.waiting: dict[_Key, _Waiting] = {}
        self._dismissed: dict[_Key, _Waiting] = {}
        self._begun: deque[_Waiting] = deque()
        self._window = window

    def offer(self, key: _Key, segment: Segment) -> None:
        """Take a packet on another port: keep it, remember it or forget its connection."""
        if key in self.followed:
            self._window.add(segment)
            return
        data, at, end = segment.data, segment.at, segment.end
        if at + _TCP_BYTES > end:
            return
        words, flags = _OFFSET_FLAGS(data, at)
        payload = data[at + (words >> 4) * 4 : min(end, at + (words >> 4) * 4 + GREETING_BYTES)]
        if flags & SYN and not flags & ACK:
            self._begin(key, segment.frame, data[at + 4 : at + 8])
        known = self.waiting.get(key)
        if known is not None and segment.frame - known.frame > LOOKBACK_FRAMES:
            self._forget(known)
            known = None
        if payload:
            self._heard(key, payload, segment, known)
        elif known is not None:
            self._remember(segment, known)

    def _begin(self, key: _Key, frame: int, isn: bytes) -> None:
        """Await the first words of a new connection; a repeated SYN, as long as nobody has spoken, changes nothing."""
        known = self.waiting.get(key)
        if known is not None:
            if known.isn == isn and not known.spoke and frame - known.frame <= LOOKBACK_FRAMES:
                return
            self._forget(known)
        while self._begun and frame - self._begun[0].frame > LOOKBACK_FRAMES:
            self._forget(self._begun.popleft())
        back = _turned(key)
        self._dismissed.pop(key, None)
        self._dismissed.pop(back, None)
        new = self.waiting[key] = self.waiting[back] = _Waiting(key, back, frame, isn)
        self._begun.append(new)

    def _heard(self, key: _Key, payload: bytes, segment: Segment, known: _Waiting | None) -> None:
        if known is None:
            old = self._dismissed.get(key)
            free = old is None or segment.frame - old.frame > LOOKBACK_FRAMES
            if free and payload[0] in OPENERS and _PLAIN_GREETING.match(payload):
                self._follow(key, [segment])
            return
        if (known.proxied or key not in known.spoke) and _GREETING.match(payload):
            self._forget(known)
            self._follow(key, [*known.segments, segment])
            return
        known.spoke.add(key)
        known.proxied = known.proxied or bool(_PREAMBLE.match(payload))
        if len(known.spoke) == 2 and not known.proxied:
            self._dismiss(known)
        else:
            self._remember(segment, known)

    def _follow(self, key: _Key, segments: list[Segment]) -> None:
        if len(self.followed) < 2 * FOLLOWED_LIMIT:
            self.followed.update((key, _turned(key)))
            self._window.add_late(segments)

    def _remember(self, segment: Segment, known: _Waiting) -> None:
        known.segments.append(segment)
        if len(known.segments) > WAITING_PACKETS_LIMIT:
            self._dismiss(known)

    def _dismiss(self, known: _Waiting) -> None:
        """Forget what a connection that speaks something else said, but not that it does."""
        self._forget(known)
        known.segments.clear()
        self._dismissed.update(dict.fromkeys(known.keys, known))

    def _forget(self, known: _Waiting) -> None:
        for there in (self.waiting, self._dismissed):
            for key in known.keys:
                if there.get(key) is known:
                    del there[key]


def _turned(key: _Key) -> _Key:
    """Return the key of the other direction."""
    half = (len(key) - 4) // 2
    return key[half:-4] + key[:half] + key[-2:] + key[-4:-2]
