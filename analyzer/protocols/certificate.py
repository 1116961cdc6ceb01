"""Whose is a certificate, and until when: just enough of X.509 to tell, verified or not (RFC 5280, sections 4.1 and 4.2.1.6).

Python's own reader tells only of certificates that verify; the interesting ones do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

from analyzer.at import NS_PER_S
from analyzer.text import decoded

NAME_LIMIT = 255
"""Octets of one name; a DNS name has no more."""
NAMES_LIMIT = 50
"""Names kept of one certificate."""

_SEQUENCE, _OCTET_STRING, _OID, _EXPLICIT_0, _EXPLICIT_3, _UTC_TIME = 0x30, 0x04, 0x06, 0xA0, 0xA3, 0x17
_COMMON_NAME, _ALT_NAMES = b"\x55\x04\x03", b"\x55\x1d\x11"  # 2.5.4.3 and 2.5.29.17
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87  # GeneralName, implicit [2] and [7]
_LONG_FORM = 0x80


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server's certificate says of itself."""

    names: tuple[str, ...]
    """Alternative names, DNS and addresses; without any, the common name."""
    issuer: str | None
    """Common name of who signed it."""
    valid_from: int | None
    """Not before, ns UTC."""
    valid_until: int | None
    """Not after, ns UTC."""


def certificate(der: bytes) -> Certificate | None:
    """Read a certificate; None when the octets are none."""
    outer = next(_elements(der), None)
    inner = next(_elements(outer[1]), None) if outer else None
    if inner is None or inner[0] != _SEQUENCE:
        return None
    # version, serial number, algorithm, issuer, validity, subject, key, ..., extensions; the version may be missing
    parts = [x for x in _elements(inner[1]) if x[0] != _EXPLICIT_0]
    if len(parts) < 6:
        return None
    times = [_time(tag, value) for tag, value in _elements(parts[3][1])]
    extensions = next((value for tag, value in parts[6:] if tag == _EXPLICIT_3), b"")
    subject = _common_name(parts[4][1])
    return Certificate(
        names=tuple(_alternative_names(extensions))[:NAMES_LIMIT] or ((subject,) if subject else ()),
        issuer=_common_name(parts[2][1]),
        valid_from=times[0] if times else None,
        valid_until=times[1] if len(times) > 1 else None,
    )


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and value of the elements side by side, up to the first that is not whole."""
    at = 0
    while at + 2 <= len(data):
        tag, size, start = data[at], data[at + 1], at + 2
        if size >= _LONG_FORM:
            start += size - _LONG_FORM
            size = int.from_bytes(data[at + 2 : start], "big")
        if start + size > len(data):
            return
        yield tag, data[start : start + size]
        at = start + size


def _common_name(name: bytes) -> str | None:
    """Name ::= SEQUENCE OF SET OF SEQUENCE { type, value }."""
    for _, relative in _elements(name):
        for _, attribute in _elements(relative):
            pair = list(_elements(attribute))
            if len(pair) == 2 and pair[0] == (_OID, _COMMON_NAME):
                return decoded(pair[1][1][:NAME_LIMIT])
    return None


def _alternative_names(extensions: bytes) -> Iterator[str]:
    """Extensions ::= SEQUENCE OF SEQUENCE { type, critical, value }, inside an explicit tag."""
    for _, listed in _elements(extensions):
        for _, extension in _elements(listed):
            parts = list(_elements(extension))
            if len(parts) > 1 and parts[0] == (_OID, _ALT_NAMES) and parts[-1][0] == _OCTET_STRING:
                for _, names in _elements(parts[-1][1]):
                    yield from _general_names(names)


def _general_names(names: bytes) -> Iterator[str]:
    for tag, value in _elements(names):
        if tag == _DNS_NAME:
            yield decoded(value[:NAME_LIMIT])
        elif tag == _IP_ADDRESS and len(value) in {4, 16}:
            yield str(ip_address(value))


def _time(tag: int, value: bytes) -> int | None:
    """Read UTCTime YYMMDDHHMMSSZ, where 50 and later is 19YY, or GeneralizedTime YYYYMMDDHHMMSSZ (section 4.1.2.5)."""
    text = value.decode("latin-1")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    try:
        return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()) * NS_PER_S
    except ValueError:
        return None
