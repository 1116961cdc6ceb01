"""The two hellos and the certificate list of a TLS handshake: RFC 8446 section 4.1, RFC 5246 section 7.4, RFC 6066, RFC 7301."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.at import At, Side
from analyzer.protocols.events import TlsHello
from analyzer.text import decoded

TLS_1_3 = "TLS 1.3"
VERSIONS = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: TLS_1_3}
"""What the numbers mean; others (GREASE, RFC 8701) are passed over."""
NAME_LIMIT_BYTES = 255
"""Octets of one name; neither a DNS name nor an application protocol has more."""
ALPN_LIMIT = 8
"""Application protocols kept of one hello."""

_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS = 0, 16, 43
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a HelloRetryRequest (RFC 8446, section 4.1.3): its real ServerHello is still to come."""


class _ShortError(Exception):
    """A field runs past the end of its message."""


class _Fields:
    """Takes fields off a message, one behind the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def take(self, size: int) -> bytes:
        """Take as many octets."""
        end = self._place + size
        if end > len(self._data):
            raise _ShortError
        part, self._place = self._data[self._place : end], end
        return part

    def number(self, size: int) -> int:
        """Take a number of as many octets."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """Take octets behind their own length, a number of ``size`` octets."""
        return self.take(self.number(size))

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self._place < len(self._data)


def client_hello(body: bytes, at: At) -> TlsHello | None:
    """Read a ClientHello: the name asked for, the versions and application protocols offered; None when it is none."""
    try:
        fields = _Fields(body)
        legacy = fields.number(2)
        fields.take(32)  # random
        fields.vector(1)  # session id
        fields.vector(2)  # cipher suites
        fields.vector(1)  # compression methods
        found = _extensions(fields)
        offered = _Fields(_Fields(found[_SUPPORTED_VERSIONS]).vector(1)) if _SUPPORTED_VERSIONS in found else None
        numbers = list(_numbers(offered)) if offered else [legacy]
        versions = tuple(dict.fromkeys(VERSIONS[x] for x in numbers if x in VERSIONS))
        return TlsHello(at, Side.CLIENT, None, versions, _server_name(found), _application_protocols(found))
    except _ShortError:
        return None


def is_retry(body: bytes) -> bool:
    """Tell a HelloRetryRequest, which looks like a ServerHello and belongs to TLS 1.3 alone."""
    return body[2:34] == _RETRY


def server_hello(body: bytes, at: At) -> TlsHello | None:
    """Read a ServerHello: the version chosen, and up to TLS 1.2 the application protocol; None when it is none."""
    try:
        fields = _Fields(body)
        number = fields.number(2)
        fields.take(32)  # random
        fields.vector(1)  # session id
        fields.take(3)  # cipher suite, compression method
        found = _extensions(fields)
        if _SUPPORTED_VERSIONS in found:
            number = _Fields(found[_SUPPORTED_VERSIONS]).number(2)
        version = VERSIONS.get(number)
        return TlsHello(at, Side.SERVER, version, (), None, _application_protocols(found))
    except _ShortError:
        return None


def certificates(body: bytes) -> Iterator[bytes]:
    """Yield the certificates (DER) of a Certificate message up to TLS 1.2, the server's own first."""
    try:
        listed = _Fields(_Fields(body).vector(3))
        while listed.more:
            yield listed.vector(3)
    except _ShortError:
        return


def _extensions(fields: _Fields) -> dict[int, bytes]:
    """Return the extensions, the first of each kind; old hellos have none."""
    found: dict[int, bytes] = {}
    if fields.more:
        listed = _Fields(fields.vector(2))
        while listed.more:
            kind = listed.number(2)
            found.setdefault(kind, listed.vector(2))
    return found


def _numbers(fields: _Fields) -> Iterator[int]:
    while fields.more:
        yield fields.number(2)


def _server_name(found: dict[int, bytes]) -> str | None:
    """ServerNameList of { type, name }; type 0 is a host name (RFC 6066, section 3). A server's answer to it is empty."""
    if not found.get(_SERVER_NAME):
        return None
    listed = _Fields(_Fields(found[_SERVER_NAME]).vector(2))
    while listed.more:
        kind, name = listed.number(1), listed.vector(2)
        if kind == 0 and name:
            return decoded(name[:NAME_LIMIT_BYTES])
    return None


def _application_protocols(found: dict[int, bytes]) -> tuple[str, ...]:
    """ProtocolNameList (RFC 7301, section 3.1)."""
    names: list[str] = []
    if _ALPN in found:
        listed = _Fields(_Fields(found[_ALPN]).vector(2))
        while listed.more and len(names) < ALPN_LIMIT:
            names.append(decoded(listed.vector(1)[:NAME_LIMIT_BYTES]))
    return tuple(names)
