"""Typed conversations: text anyone who can read an RFC can write -> octets of both sides and what they must tell.

A transcript file holds, line by line:

    # origin: where it comes from          (first line, required)
    # any comment
    S: text        a line of the server, CRLF added          C: text        a line of the client
    S~ text        octets of the server without a line end   C~ text        octets of the client
    --
    mechanism PLAIN   account joe   outcome refused   text "AUTHENTICATE failed."      one line per login, in order
    event Greeting status BYE code UNAVAILABLE                                         an event with these fields

The value ``none`` stands for None (but ``account_from none`` is a word). Placeholders in braces, ``-`` for an empty argument:

    {ntlm negotiate [DOMAIN WORKSTATION]}   {ntlm challenge NAME}   {ntlm authenticate DOMAIN USER WORKSTATION}
    {spnego negotiate}  {spnego challenge NAME}  {spnego authenticate DOMAIN USER WORKSTATION}
    {kerberos REALM SERVICE HOST}           a GSS-API token with a ticket of that realm
    {plain AUTHZID AUTHCID PASSWORD}        {b64 text}   {text text}   both know \\0 and \\xHH
    {literal text}  {literal+ text}         an announcement, a line end and the octets
    {octets N}      {mail N}                N octets of a mail full of lines that look like replies; the same with announcement
    {hex 160301}    octets

Everything else in braces stays as it is.
"""

from __future__ import annotations

import re
import shlex
import struct
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from analyzer.at import At, Side
from analyzer.protocols import Event, Parser

FOLDER = Path(__file__).parent / "transcripts"
PLANTED = "Pl4nted-Secret"
"""The secret of every transcript: no output may ever hold it."""

_PLACEHOLDER = re.compile(r"\{(ntlm|spnego|kerberos|plain|b64|text|literal\+?|octets|mail|hex) ([^{}]*)\}")
_LEFT_OVER = re.compile(rb"\{[a-z]+[+ ]")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|0)")
_SIDES = {"C": Side.CLIENT, "S": Side.SERVER}
_UNICODE, _OEM_DOMAIN, _OEM_WORKSTATION, _TARGET_IS_SERVER, _TARGET_INFO = 0x1, 0x1000, 0x2000, 0x20000, 0x800000


class Fact(NamedTuple):
    """One line below the ``--``."""

    kind: str
    """'login', or the name of an event class."""
    fields: dict[str, str | None]


class Transcript(NamedTuple):
    """One conversation."""

    name: str
    origin: str
    steps: tuple[tuple[Side, bytes], ...]
    """Octets of each line, in order; each step is what one side sends at once."""
    expect: tuple[Fact, ...]
    protocol: str
    """Its folder: 'imap', 'pop3', 'smtp'."""

    @property
    def logins(self) -> tuple[dict[str, str | None], ...]:
        """The expected logins, in order."""
        return tuple(fact.fields for fact in self.expect if fact.kind == "login")


def load(path: Path | str) -> Transcript:
    """Read one transcript; a bare ``imap/name`` is looked for in the transcripts folder."""
    path = Path(path)
    if not path.suffix:
        path = FOLDER / path.with_suffix(".txt")
    head, _, tail = path.read_text(encoding="utf-8").partition("\n--\n")
    first, *rest = head.split("\n")
    if not first.startswith("# origin: "):
        raise ValueError(f"{path.name}: the first line must tell the origin")
    steps = tuple(_step(path, line) for line in rest if line and not line.startswith("#"))
    expect = tuple(_fact(line) for line in tail.split("\n") if line and not line.startswith("#"))
    return Transcript(path.stem, first.removeprefix("# origin: "), steps, expect, path.parent.name)


def load_all(protocol: str = "imap") -> Iterator[Transcript]:
    """Read every transcript of a protocol, in order of their names."""
    return (load(path) for path in sorted((FOLDER / protocol).glob("*.txt")))


def _step(path: Path, line: str) -> tuple[Side, bytes]:
    if line[:1] not in _SIDES or line[1:2] not in (":", "~") or line[2:3] not in ("", " "):
        raise ValueError(f"{path.name}: not a line of a transcript: {line}")
    return _SIDES[line[0]], filled(line[3:]) + (b"\r\n" if line[1] == ":" else b"")


def _fact(line: str) -> Fact:
    words = shlex.split(line)
    kind = "login"
    if words[0] == "event":
        kind, words = words[1], words[2:]
    if len(words) % 2:
        raise ValueError(f"a key without a value: {line}")
    pairs = zip(words[::2], words[1::2], strict=True)
    return Fact(kind, {key: None if value == "none" and key != "account_from" else value for key, value in pairs})


def filled(text: str) -> bytes:
    """Return the octets of a line's text, placeholders filled in."""
    octets, place = b"", 0
    for found in _PLACEHOLDER.finditer(text):
        octets += text[place : found.start()].encode() + _FILLERS[found[1]](found[2])
        place = found.end()
    octets += text[place:].encode()
    if _LEFT_OVER.search(octets):
        raise ValueError(f"a placeholder nobody knows: {text}")
    return octets


def _escaped(text: str) -> bytes:
    return _ESCAPE.sub(lambda found: chr(int(found[1] or "0", 16)), text).encode()


def _words(text: str) -> list[str]:
    return ["" if word == "-" else word for word in text.split()]


def ntlm_negotiate(domain: str = "", workstation: str = "") -> bytes:
    """Build a NEGOTIATE message (MS-NLMP 2.2.1.1); its names are OEM text."""
    flags = 0xA2088207 | (_OEM_DOMAIN if domain else 0) | (_OEM_WORKSTATION if workstation else 0)
    names = [domain.encode("cp1252"), workstation.encode("cp1252")]
    return b"NTLMSSP\0" + struct.pack("<II", 1, flags) + _fields(names, 40, b"\x06\x01\xb1\x1d\0\0\0\x0f")


def ntlm_challenge(name: str) -> bytes:
    """Build a CHALLENGE message (MS-NLMP 2.2.1.2) of a server with this NetBIOS name."""
    computer = name.encode("utf-16-le")
    info = struct.pack("<HH", 1, len(computer)) + computer + struct.pack("<HH", 0, 0)
    flags = _UNICODE | _TARGET_IS_SERVER | _TARGET_INFO
    head = b"NTLMSSP\0" + struct.pack("<IHHIIQQ", 2, len(computer), len(computer), 48, flags, 0x0123456789ABCDEF, 0)
    return head + struct.pack("<HHI", len(info), len(info), 48 + len(computer)) + computer + info


def ntlm_authenticate(domain: str, user: str, workstation: str, *, unicode: bool = True, header: int = 72) -> bytes:
    """Build an AUTHENTICATE message (MS-NLMP 2.2.1.3); its responses hold the planted secret."""
    code = "utf-16-le" if unicode else "cp1252"
    responses = [b"\0" * 24, (PLANTED.encode() * 3)[:40]]
    texts = [text.encode(code) for text in (domain, user, workstation)]
    flags = struct.pack("<I", 0xA2888204 | (_UNICODE if unicode else 0x2))
    extra = (
        b""
        if header == 52
        else _field(b"", header) + flags + (b"\x06\x01\xb1\x1d\0\0\0\x0f" + b"\xaa" * 16)[: header - 64]
    )
    # names come first in what Windows sends, responses last
    place, fields, payload = header, {}, b""
    for key, text in zip(("domain", "user", "workstation", "lm", "nt"), texts + responses, strict=True):
        fields[key] = _field(text, place)
        place += len(text)
        payload += text
    order = ("lm", "nt", "domain", "user", "workstation")
    return b"NTLMSSP\0" + struct.pack("<I", 3) + b"".join(fields[key] for key in order) + extra + payload


def _field(text: bytes, place: int) -> bytes:
    return struct.pack("<HHI", len(text), len(text), place)


def _fields(texts: list[bytes], place: int, extra: bytes) -> bytes:
    fields = b""
    for text in texts:
        fields += _field(text, place)
        place += len(text)
    return fields + extra + b"".join(texts)


def der(tag: int, *values: bytes) -> bytes:
    """Build one DER element."""
    value = b"".join(values)
    size = bytes([len(value)]) if len(value) < 128 else b"\x82" + struct.pack(">H", len(value))
    return bytes([tag]) + size + value


def spnego(message: bytes, *, first: bool) -> bytes:
    """Wrap a mechanism's message as a negotiation token (RFC 4178 section 4.2)."""
    if not first:
        return der(0xA1, der(0x30, der(0xA0, b"\x0a\x01\x01"), der(0xA2, der(0x04, message))))
    ntlmssp = bytes.fromhex("060a2b06010401823702020a")
    inner = der(0x30, der(0xA0, der(0x30, ntlmssp)), der(0xA2, der(0x04, message)))
    return der(0x60, bytes.fromhex("06062b0601050502"), der(0xA0, inner))


def kerberos(realm: str, service: str, host: str) -> bytes:
    """Build a GSS-API token with an AP-REQ (RFC 4121, RFC 4120 section 5.5.1); its ticket holds the planted secret."""
    name = der(0x30, der(0x1B, service.encode()), der(0x1B, host.encode()))
    sname = der(0x30, der(0xA0, b"\x02\x01\x02"), der(0xA1, name))
    sealed = der(0x30, der(0xA0, b"\x02\x01\x12"), der(0xA2, der(0x04, PLANTED.encode() * 4)))
    ticket = der(
        0x30, der(0xA0, b"\x02\x01\x05"), der(0xA1, der(0x1B, realm.encode())), der(0xA2, sname), der(0xA3, sealed)
    )
    request = der(
        0x30, der(0xA0, b"\x02\x01\x05"), der(0xA1, b"\x02\x01\x0e"), der(0xA2, b"\x03\x05\0\0\0\0\0"),
        der(0xA3, der(0x61, ticket)), der(0xA4, sealed),
    )  # fmt: skip
    return der(0x60, bytes.fromhex("06092a864886f71201020201 00".replace(" ", "")), der(0x6E, request))


def _ntlm(text: str) -> bytes:
    kind, *words = _words(text)
    return {"negotiate": ntlm_negotiate, "challenge": ntlm_challenge, "authenticate": ntlm_authenticate}[kind](*words)


def mail_octets(size: int) -> bytes:
    """Return so many octets of a mail whose lines look like replies, commands and announcements of literals."""
    lines = b"A1 OK LOGIN completed.\r\nA2 NO AUTHENTICATE failed.\r\n* BYE Connection is closed. 14\r\nA3 LOGIN mallory x\r\n"
    lines += b"See the log {12}\r\n+ \r\nServer Unavailable. 15\r\n"
    return (lines * (size // len(lines) + 1))[:size]


def _literal(sign: str, octets: bytes) -> bytes:
    return b"{%d%s}\r\n" % (len(octets), sign.encode()) + octets


_FILLERS: dict[str, Callable[[str], bytes]] = {
    "ntlm": lambda text: b64encode(_ntlm(text)),
    "spnego": lambda text: b64encode(spnego(_ntlm(text), first=text.startswith("negotiate"))),
    "kerberos": lambda text: b64encode(kerberos(*_words(text))),
    "plain": lambda text: b64encode("\0".join(_words(text)).encode()),
    "b64": lambda text: b64encode(_escaped(text)),
    "text": _escaped,
    "literal": lambda text: _literal("", _escaped(text)),
    "literal+": lambda text: _literal("+", _escaped(text)),
    "octets": lambda text: mail_octets(int(text)),
    "mail": lambda text: _literal("", mail_octets(int(text))),
    "hex": bytes.fromhex,
}


Step = str | bytes | tuple[str, int]
"""'C...' or 'S...' octets of a side, or ('C', n) octets of it lost."""


def told(parser: Parser, *steps: Step, complete: bool = True, close: bool = True) -> list[Event]:
    """Play steps to a parser, 10 ms apart, frames 1, 2, 3 ...; return what it tells."""
    events: list[Event] = []
    for number, step in enumerate(steps, start=1):
        at = At(number, number * 10_000_000)
        if isinstance(step, tuple):
            events += parser.lost(Side.CLIENT if step[0] == "C" else Side.SERVER, step[1], at)
        else:
            octets = step.encode("latin-1") if isinstance(step, str) else step
            events += parser.feed(Side.CLIENT if octets[:1] == b"C" else Side.SERVER, octets[1:], at)
    end = At(len(steps) + 1, (len(steps) + 1) * 10_000_000)
    return events + (list(parser.close(end, complete=complete)) if close else [])
