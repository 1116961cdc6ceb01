"""Just enough DER to unwrap NTLM from SPNEGO and to name a Kerberos realm (RFC 4178, RFC 4120, RFC 2743 section 3.1).

A token may be cut: a value that is longer than what is there is read as far as it goes. Depth and number of the elements
looked at are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.protocols import ntlm
from analyzer.text import decoded

DEPTH_LIMIT = 16
"""Nesting looked into: a Kerberos ticket inside a negotiation lies ten levels deep."""
ELEMENTS_LIMIT = 200
"""Elements looked at; the names come among the first 40."""

_CONSTRUCTED = 0x20
_OCTET_STRING, _GENERAL_STRING = 0x04, 0x1B
_TOKEN = 0x60  # [APPLICATION 0], RFC 2743 section 3.1
_TICKET = 0x61  # [APPLICATION 1], RFC 4120 section 5.3
_LONG_FORM = 0x80


def unwrap(octets: bytes) -> bytes:
    """Return the NTLM message inside a negotiation token; the octets themselves when there is none."""
    if octets.startswith(ntlm.SIGNATURE):
        return octets
    for tag, value in _walk(octets):
        if tag == _OCTET_STRING and value.startswith(ntlm.SIGNATURE):
            return value
    return octets


def realm(octets: bytes) -> str | None:
    """Return the realm that issued the Kerberos ticket inside a token; None when none can be seen."""
    inside = False
    for tag, value in _walk(octets):
        inside = inside or tag == _TICKET
        if inside and tag == _GENERAL_STRING:  # Ticket ::= tkt-vno, realm, sname, enc-part: the first string
            return decoded(value, 255) or None
    return None


def _walk(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield elements in order, each before what it holds."""
    waiting = [(octets, 0)]
    for _ in range(ELEMENTS_LIMIT):
        if not waiting:
            return
        data, depth = waiting.pop()
        element = _element(data)
        if element is None:
            continue
        tag, value, rest = element
        yield tag, value
        waiting.append((rest, depth))
        token_inside = tag == _OCTET_STRING and value[:1] == bytes((_TOKEN,))
        if depth < DEPTH_LIMIT and (tag & _CONSTRUCTED or token_inside):
            waiting.append((value, depth + 1))


def _element(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Split the first element off: tag, value, rest."""
    if len(data) < 2:
        return None
    tag, size, start = data[0], data[1], 2
    if size >= _LONG_FORM:
        count = size - _LONG_FORM
        start += count
        if not 0 < count <= 4 or len(data) < start:
            return None
        size = int.from_bytes(data[2:start], "big")
    return tag, data[start : start + size], data[start + size :]
