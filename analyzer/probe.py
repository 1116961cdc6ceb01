"""Knocks at a mail server's port: does it answer, what does it say of itself, whose is its certificate? Never logs in.

What ``telnet HOST 143`` is for, for IMAP, POP3 and SMTP, every address of a name in turn. The only file here that opens
connections. Nothing is sent but CAPABILITY, CAPA or EHLO, STARTTLS or STLS, and LOGOUT or QUIT.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic
from typing import Any, NamedTuple

from analyzer.at import Side
from analyzer.errors import AnalyzerError
from analyzer.protocols.certificate import certificate
from analyzer.report.probed import Probe
from analyzer.sessions.identify import IMPLICIT_TLS_PORTS, identify
from analyzer.sessions.product import product_of
from analyzer.text import clean, decoded

TIMEOUT_S = 10.0
"""How long each answer is waited for; longer than the six seconds some SMTP servers hold their greeting back."""
ADDRESSES_LIMIT = 16
"""Addresses of one name that are tried."""
LINE_LIMIT_BYTES = 8192
"""Longest line read; RFC 9051 section 4 advises clients to take so much."""
LINES_LIMIT = 200
"""Lines of one reply that are read."""
WORDS_LIMIT = 200
"""Words kept of one capability list."""

_NO_ROUTE = {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_ASK = {"imap": "a1 CAPABILITY", "pop3": "CAPA", "smtp": "EHLO {own}"}
_SECURE = {"imap": "a2 STARTTLS", "pop3": "STLS", "smtp": "STARTTLS"}
_SECURED = {"imap": b"a2 OK", "pop3": b"+OK", "smtp": b"220"}
_LEAVE = {"imap": "a3 LOGOUT", "pop3": "QUIT", "smtp": "QUIT"}
_WELCOME = {"imap": (b"* OK", b"* PREAUTH"), "pop3": (b"+OK",), "smtp": (b"220",)}


class _Target(NamedTuple):
    """Where to knock, and how."""

    host: str
    family: int
    place: Any
    """As the socket of that family takes it."""
    tls: bool
    timeout_s: float


def probe(host: str, port: int = 143, *, tls: bool | None = None, timeout_s: float = TIMEOUT_S) -> tuple[Probe, ...]:
    """Knock at a port of every address a name has.

    Args:
        host: name or address.
        port: TCP port.
        tls: begin with TLS; unset: on ports 993, 995 and 465.
        timeout_s: how long each answer is waited for, seconds.

    Raises:
        AnalyzerError: when the name has no address.
    """
    implicit = port in IMPLICIT_TLS_PORTS if tls is None else tls
    return tuple(_knock(_Target(host, *where, implicit, timeout_s)) for where in _addresses(host, port))


def _addresses(host: str, port: int) -> list[tuple[int, Any]]:
    """Ask the system for the addresses of a name, in its order."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM) if host.strip(".") else []
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise AnalyzerError(f"{clean(host, 80)} has no address", hint="check the name, and this machine's DNS")
    places: dict[tuple[int, Any], None] = dict.fromkeys((family, place) for family, _, _, _, place in found)
    return list(places)[:ADDRESSES_LIMIT]


def _knock(target: _Target) -> Probe:
    """Knock as a careful client would; when TLS is what fails, once more as a careless one, to see the certificate."""
    careful = _attempt(target, ssl.create_default_context())
    if careful.tls_error is None:
        return replace(careful, verified=True) if careful.certificate else careful
    careless = _attempt(target, _careless())
    if careless.certificate is None:
        return careful
    return replace(careless, verified=False, tls_error=careful.tls_error)


def _careless() -> ssl.SSLContext:
    """Return a context that takes any certificate and the oldest TLS there is; it carries no secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def _attempt(target: _Target, context: ssl.SSLContext) -> Probe:
    """Hold the conversation as far as it goes."""
    seen: dict[str, Any] = {"address": str(target.place[0]), "port": target.place[1]}
    try:
        _converse(target, context, seen)
    except ssl.SSLError as error:
        seen["tls_error"] = _why(error)
        seen.setdefault("state", "tls_failed")
    except TimeoutError:
        seen.setdefault("state", "silent" if "connect_ms" in seen else "port_filtered")
    except OSError as error:
        seen.setdefault("state", _state(error, connected="connect_ms" in seen))
        seen["reason"] = clean(error.strerror or str(error))
    return Probe(**seen)


def _state(error: OSError, *, connected: bool) -> str:
    if connected:
        return "dropped"
    if isinstance(error, ConnectionRefusedError):
        return "port_closed"
    return "no_route" if error.errno in _NO_ROUTE else "port_filtered"


def _why(error: ssl.SSLError) -> str:
    told = getattr(error, "verify_message", None) or (error.reason or error.strerror or str(error)).replace("_", " ")
    return clean(str(told).lower())


class _Wire:
    """Lines to and from one server, none waited for longer than the time-out."""

    def __init__(self, target: _Target) -> None:
        self._target = target
        self._rest = b""
        self.socket = socket.socket(target.family, socket.SOCK_STREAM)
        self.socket.settimeout(target.timeout_s)

    def secure(self, context: ssl.SSLContext, seen: dict[str, Any]) -> None:
        """Go over to TLS and note what it is."""
        self._rest = b""  # what came before TLS does not count as said within it
        self.socket.settimeout(self._target.timeout_s)
        seen["tls_error"] = "the handshake was not answered"
        self.socket = wrapped = context.wrap_socket(self.socket, server_hostname=self._target.host)
        del seen["tls_error"]
        seen["tls_version"] = wrapped.version()
        seen["certificate"] = certificate(wrapped.getpeercert(binary_form=True) or b"")

    def say(self, line: str) -> None:
        """Send a line."""
        self.socket.sendall(line.encode() + b"\r\n")

    def line(self, until: float) -> bytes:
        """Return the next line without its end, cut where it is too long."""
        while b"\n" not in self._rest and len(self._rest) < LINE_LIMIT_BYTES:
            left = until - monotonic()
            if left <= 0:
                raise TimeoutError
            self.socket.settimeout(left)
            octets = self.socket.recv(LINE_LIMIT_BYTES)
            if not octets:
                raise ConnectionResetError(None, "the server closed the connection")
            self._rest += octets
        line, _, self._rest = self._rest.partition(b"\n")
        return line.rstrip(b"\r")

    def reply(self, protocol: str | None, *, tag: bytes = b"", listed: bool = False) -> list[bytes]:
        """Return the lines of one reply, the deciding one last; a ``listed`` POP3 reply goes on up to a dot."""
        until = monotonic() + self._target.timeout_s
        lines: list[bytes] = []
        while len(lines) < LINES_LIMIT:
            line = self.line(until)
            lines.append(line)
            listed = listed and lines[0].startswith(b"+OK")
            if protocol == "imap" and tag:
                over = line.startswith(tag + b" ")
            elif protocol == "pop3" and listed:
                over = line == b"."
            else:
                over = line[3:4] != b"-" or not line[:3].isdigit()
            if over:
                break
        return lines


def _converse(target: _Target, context: ssl.SSLContext, seen: dict[str, Any]) -> None:
    """Fill ``seen`` as the conversation goes on."""
    wire = _Wire(target)
    try:
        began = monotonic()
        wire.socket.connect(target.place)
        seen["connect_ms"] = round((monotonic() - began) * 1000, 3)
        if target.tls:
            wire.secure(context, seen)
        began = monotonic()
        lines = wire.reply(None)
        seen["greeting_ms"] = round((monotonic() - began) * 1000, 3)
        _greeted(lines[0], target, seen)
        if seen["state"] == "greeted":
            _ask(wire, str(seen["protocol"]), context, seen, tls=target.tls)
    finally:
        wire.socket.close()


def _greeted(line: bytes, target: _Target, seen: dict[str, Any]) -> None:
    protocol = identify(Side.SERVER, line + b"\r\n", target.place[1], first=True)
    welcome = _WELCOME.get(protocol or "")
    seen["greeting"] = decoded(line)
    seen["protocol"] = protocol if welcome else None
    if welcome is None:
        seen["state"] = "no_mail"
    else:
        seen["state"] = "greeted" if line.upper().startswith(welcome) else "turned_away"
    seen["product"] = product_of(seen["greeting"], (), ())


def _ask(wire: _Wire, protocol: str, context: ssl.SSLContext, seen: dict[str, Any], *, tls: bool) -> None:
    own = wire.socket.getsockname()[0]
    wire.say(_ASK[protocol].format(own=f"[IPv6:{own}]" if ":" in own else f"[{own}]"))  # RFC 5321, section 4.1.3
    words = tuple(_words(protocol, wire.reply(protocol, tag=b"a1", listed=True)))[:WORDS_LIMIT]
    seen["capability"] = words
    seen["product"] = product_of(seen["greeting"], words, ())
    if not tls:
        seen["starttls"] = not {"STARTTLS", "STLS"}.isdisjoint(words)
    if seen.get("starttls"):
        wire.say(_SECURE[protocol])
        answer = wire.reply(protocol, tag=b"a2")[-1]
        if answer.startswith(_SECURED[protocol]):
            wire.secure(context, seen)
        else:
            seen["tls_error"] = f"offered, but refused: {decoded(answer)}"
    wire.say(_LEAVE[protocol])


def _words(protocol: str, lines: list[bytes]) -> Iterator[str]:
    """Yield the capabilities a reply lists: IMAP word by word, POP3 and SMTP line by line."""
    for place, line in enumerate(lines):
        said = decoded(line, LINE_LIMIT_BYTES).upper()
        if protocol == "imap" and said.startswith("* CAPABILITY "):
            yield from said.split()[2:]
        elif protocol == "pop3" and 0 < place < len(lines) - 1:
            yield said
        elif protocol == "smtp" and place and said.startswith("250"):
            yield said[4:]
