"""NTLM messages and the DER around Kerberos tokens with their names replaced; what proves anything becomes zeros.

Only what is understood is copied: header, flags and the places of the fields (MS-NLMP section 2.2.1), names as pseudonyms
of the same length, in UTF-16 or OEM text. Of DER the structure is kept (RFC 4120, RFC 4178), strings become pseudonyms.
"""

from __future__ import annotations

import re
from struct import Struct

from analyzer.protocols.ntlm import SIGNATURE
from analyzer.report.redaction.pseudonyms import Pseudonyms

DEPTH_LIMIT = 16
"""Nesting of DER followed; a ticket inside a negotiation lies ten levels deep."""

_FIELD, _AV, _WORD = Struct("<HHI"), Struct("<HH"), Struct("<I")
_UNICODE = 1
_NAMES = {1: ((16, False), (24, False)), 2: ((12, None),), 3: ((28, None), (36, None), (44, None))}
"""Kind of message -> places of its names' fields, and whether they are UTF-16 (None: the flags say)."""
_FLAGS, _HEADERS = {1: 12, 2: 20, 3: 60}, {1: 32, 2: 48, 3: 64}
_FULL_HEADER, _VERSION_BYTES = 64, 8
_INFO = 40  # CHALLENGE: field of the target information
_CHALLENGE = slice(24, 40)  # of the server, and what is reserved
_AV_NAMES = frozenset({1, 2, 3, 4, 5, 9})  # computer, domain, DNS computer, DNS domain, DNS tree, target
_AV_FLAGS = 6

# How a token begins: [APPLICATION 0] and an OID (RFC 2743, section 3.1), NegTokenInit or NegTokenResp (RFC 4178, section 4.2)
_LENGTH = rb"(?:[\x00-\x7f]|\x81.|\x82..|\x83...|\x84....)"
_GSS = re.compile(rb"\x60" + _LENGTH + rb"\x06[\x03-\x14]|[\xa0\xa1]" + _LENGTH + rb"\x30", re.DOTALL)
_OID, _OCTETS, _TOKEN, _SEQUENCE = 0x06, 0x04, b"\x60", b"\x30"
_TIMES = frozenset({0x17, 0x18})  # UTCTime, GeneralizedTime
_GENERAL_NAMES = frozenset({0x81, 0x82, 0x86})  # mail address, DNS name, URI (RFC 5280, section 4.2.1.6)
_STRINGS = frozenset({0x0C, 0x13, 0x16, 0x1B})  # UTF-8, printable, IA5, general
_SMALL = frozenset({0x01, 0x02, 0x03, 0x0A})  # boolean, integer, bit string, enumerated: versions, kinds, options
_SMALL_BYTES = 5
_CONSTRUCTED = 0x20


def token(octets: bytes, names: Pseudonyms) -> bytes:
    """Return a token of NTLM, SPNEGO or Kerberos, whole or cut, fit to be shown; zeros where it is none of these.

    The rest of a token whose start was lost is none of these: what it holds could be taken for tags and lengths.
    """
    if octets.startswith(SIGNATURE):
        return _ntlm(octets, names)
    out = bytearray(len(octets))
    if _GSS.match(octets):
        _der(octets, 0, None, out, names, DEPTH_LIMIT)
    return bytes(out)


def certificate(octets: bytes, names: Pseudonyms) -> bytes:
    """Return an X.509 certificate (RFC 5280) with its names replaced; times stay, keys and signatures do not."""
    out = bytearray(len(octets))
    _der(octets, 0, None, out, names, DEPTH_LIMIT, signed=True)
    return bytes(out)


def _ntlm(octets: bytes, names: Pseudonyms) -> bytes:
    out = bytearray(len(octets))
    out[:12] = octets[:12]
    kind = _WORD.unpack_from(octets, 8)[0] if len(octets) >= 12 else 0
    if kind not in _NAMES:
        return bytes(out)
    starts = [start for at in range(12, 52, 8) if kind == 3 and (start := _place(octets, at)[0])]
    full = kind != 3 or (bool(starts) and min(starts) >= _FULL_HEADER)
    head = _HEADERS[kind] if full else 52
    out[:head] = octets[:head]
    if kind == 2:
        out[_CHALLENGE] = bytes(len(out[_CHALLENGE]))
    flags_at = _FLAGS[kind]
    flags = _WORD.unpack_from(octets, flags_at)[0] if full and len(octets) >= flags_at + 4 else None
    wide = bool(flags & _UNICODE) if flags is not None else _looks_wide(octets)
    for at, unicode in _NAMES[kind]:
        start, end = _place(octets, at)
        out[start:end] = _name(octets[start:end], names, wide=wide if unicode is None else unicode)
    if kind == 2:
        _pairs(octets, *_place(octets, _INFO), out, names)
    return bytes(out)


def _place(octets: bytes, at: int) -> tuple[int, int]:
    """Return where a field's text starts and ends; (0, 0) when it is empty, or not whole."""
    if len(octets) < at + 8:
        return 0, 0
    size, _, start = _FIELD.unpack_from(octets, at)
    return (start, start + size) if size and start >= 12 and start + size <= len(octets) else (0, 0)


def _looks_wide(octets: bytes) -> bool:
    return any(b"\0" in octets[slice(*_place(octets, at))] for at, _ in _NAMES[3])


def _name(raw: bytes, names: Pseudonyms, *, wide: bool) -> bytes:
    if not wide:
        return names.octets(raw)
    text = raw.decode("utf-16-le", "surrogatepass") if len(raw) % 2 == 0 else ""
    made = names.name(text).encode("utf-16-le", "surrogatepass")
    return made if len(made) == len(raw) else bytes(len(raw))


def _pairs(octets: bytes, at: int, end: int, out: bytearray, names: Pseudonyms) -> None:
    """Copy a list of AV_PAIRs (MS-NLMP section 2.2.2.1), the names among them as pseudonyms, the others as zeros."""
    while at + 4 <= end:
        kind, size = _AV.unpack_from(octets, at)
        out[at : at + 4] = octets[at : at + 4]
        start, at = at + 4, at + 4 + size
        if not kind or at > end:
            return
        if kind in _AV_NAMES:
            out[start:at] = _name(octets[start:at], names, wide=True)
        elif kind == _AV_FLAGS:
            out[start:at] = octets[start:at]


def _der(  # noqa: PLR0917
    octets: bytes, at: int, end: int | None, out: bytearray, names: Pseudonyms, depth: int, *, signed: bool = False
) -> None:
    """Copy the elements from ``at`` on as far as they are understood; ``signed`` says that they are a certificate's.

    ``end`` is where what holds them says that it ends, which lies behind the octets there are of a token that is cut; None for
    the outermost. An element that would reach beyond is none: not even its tag and length are copied.
    """
    while at + 2 <= len(octets) and (end is None or at + 2 <= end):
        tag, size, start = octets[at], octets[at + 1], at + 2
        if size >= 0x80:
            count = size - 0x80
            if not 0 < count <= 4 or start + count > len(octets):
                return
            size, start = int.from_bytes(octets[start : start + count], "big"), start + count
        stop = start + size
        if end is not None and stop > end:
            return
        out[at:start] = octets[at:start]
        _value(tag, octets, start, stop, out, names, depth, signed=signed)
        at = stop


def _value(  # noqa: PLR0917
    tag: int, octets: bytes, start: int, stop: int, out: bytearray, names: Pseudonyms, depth: int, *, signed: bool
) -> None:
    value = octets[start:stop]
    shown = slice(start, start + len(value))
    if tag in _STRINGS or (signed and tag in _GENERAL_NAMES):
        out[shown] = names.octets(value)
    elif tag == _OCTETS and value.startswith(SIGNATURE):
        out[shown] = _ntlm(value, names)
    elif depth and (tag & _CONSTRUCTED or (tag == _OCTETS and value[:1] == (_SEQUENCE if signed else _TOKEN))):
        _der(octets, start, stop, out, names, depth - 1, signed=signed)
    elif tag == _OID or (tag in _SMALL and len(value) <= _SMALL_BYTES) or (signed and tag in _TIMES):
        out[shown] = value
