"""NTLM messages -> names (MS-NLMP section 2.2.1); no response, key or challenge is looked at.

Each text is described by a field of eight octets: length u16, room u16, offset u32 from the message's start, little-endian.
A message may be cut anywhere: a field is read when all of its octets are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from analyzer.text import decoded

SIGNATURE = b"NTLMSSP\0"
NAME_LIMIT = 512
"""Octets of the longest name believed; DNS names have at most 255 characters, here two octets each."""

# MS-NLMP section 2.2.2.5
_UNICODE, _OEM_DOMAIN, _OEM_WORKSTATION, _TARGET_IS_SERVER, _TARGET_INFO = 0x1, 0x1000, 0x2000, 0x20000, 0x800000
# MS-NLMP section 2.2.2.1: AV_PAIR identifiers
_AV_END, _AV_NETBIOS_COMPUTER, _AV_DNS_COMPUTER = 0, 1, 3
_AV_COUNT = 32  # pairs looked at; eleven identifiers are defined

_NEGOTIATE, _CHALLENGE, _AUTHENTICATE = 1, 2, 3
_DOMAIN, _USER, _WORKSTATION = 28, 36, 44  # fields of an AUTHENTICATE message
_FULL_HEADER = 64  # an AUTHENTICATE header with session key and flags; Windows 9x and NT 3 sent 52 octets
_FIELD = struct.Struct("<H2xI")
_U32 = struct.Struct("<I")
_AV = struct.Struct("<HH")


class Ntlm(NamedTuple):
    """What one message tells."""

    kind: int
    """1 NEGOTIATE, 2 CHALLENGE, 3 AUTHENTICATE."""
    user: str | None = None
    domain: str | None = None
    workstation: str | None = None
    server: str | None = None
    """CHALLENGE: DNS or NetBIOS name of the computer that answers."""


def read(octets: bytes) -> Ntlm | None:
    """Read one message, whole or cut; None when it is not NTLM."""
    if not octets.startswith(SIGNATURE) or len(octets) < 12:
        return None
    (kind,) = _U32.unpack_from(octets, 8)
    reader = {_NEGOTIATE: _negotiate, _CHALLENGE: _challenge, _AUTHENTICATE: _authenticate}.get(kind)
    return reader(octets) if reader else None


def _negotiate(octets: bytes) -> Ntlm:
    flags = _u32(octets, 12) or 0
    # always OEM, even when UNICODE is offered (MS-NLMP section 2.2.1.1)
    domain = _name(octets, 16, unicode=False) if flags & _OEM_DOMAIN else None
    workstation = _name(octets, 24, unicode=False) if flags & _OEM_WORKSTATION else None
    return Ntlm(_NEGOTIATE, domain=domain, workstation=workstation)


def _challenge(octets: bytes) -> Ntlm:
    flags = _u32(octets, 20) or 0
    info = _field(octets, 40, limit=65_535) if flags & _TARGET_INFO else None
    names = dict(_av_pairs(info or b""))
    server = names.get(_AV_DNS_COMPUTER) or names.get(_AV_NETBIOS_COMPUTER)
    if server is None and flags & _TARGET_IS_SERVER:
        server = _name(octets, 12, unicode=bool(flags & _UNICODE))
    return Ntlm(_CHALLENGE, server=server)


def _authenticate(octets: bytes) -> Ntlm:
    starts = [start for at in range(12, 52, 8) if (start := _offset(octets, at))]
    flags = _u32(octets, 60) if starts and min(starts) >= _FULL_HEADER else None
    unicode = bool(flags & _UNICODE) if flags is not None else _looks_unicode(octets)
    user, domain, workstation = (_name(octets, at, unicode=unicode) for at in (_USER, _DOMAIN, _WORKSTATION))
    return Ntlm(_AUTHENTICATE, user, domain, workstation)


def _looks_unicode(octets: bytes) -> bool:
    """Guess from the names where the header holds no flags: UTF-16LE of a Latin name has zeros in it."""
    return any(b"\0" in (_field(octets, at) or b"") for at in (_USER, _DOMAIN, _WORKSTATION))


def _u32(octets: bytes, at: int) -> int | None:
    return _U32.unpack_from(octets, at)[0] if len(octets) >= at + 4 else None


def _offset(octets: bytes, at: int) -> int:
    """Return where a field's text starts; 0 for an empty or missing field."""
    if len(octets) < at + 8:
        return 0
    size, start = _FIELD.unpack_from(octets, at)
    return int(start) if size else 0


def _field(octets: bytes, at: int, limit: int = NAME_LIMIT) -> bytes | None:
    if len(octets) < at + 8:
        return None
    size, start = _FIELD.unpack_from(octets, at)
    if not size or size > limit or start < 12 or start + size > len(octets):
        return None
    return octets[start : start + size]


def _name(octets: bytes, at: int, *, unicode: bool) -> str | None:
    raw = _field(octets, at)
    return None if raw is None else _text(raw, unicode=unicode)


def _text(raw: bytes, *, unicode: bool) -> str | None:
    if unicode:
        raw = raw.decode("utf-16-le", "replace").encode("utf-8", "replace")
    return decoded(raw, NAME_LIMIT // 2) or None


def _av_pairs(info: bytes) -> Iterator[tuple[int, str | None]]:
    place = 0
    for _ in range(_AV_COUNT):
        if len(info) < place + 4:
            return
        kind, size = _AV.unpack_from(info, place)
        value = info[place + 4 : place + 4 + size]
        if kind == _AV_END or len(value) < size:
            return
        if kind in {_AV_NETBIOS_COMPUTER, _AV_DNS_COMPUTER} and size <= NAME_LIMIT:
            yield kind, _text(value, unicode=True)  # always Unicode (MS-NLMP section 2.2.2.1)
        place += 4 + size
