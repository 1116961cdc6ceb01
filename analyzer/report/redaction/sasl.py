"""SASL messages with names replaced and secrets masked, in as many octets, so that they still are messages.

What is no base64 stays none: the same parser reads the same story from both.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable

from analyzer.protocols.ntlm import SIGNATURE
from analyzer.protocols.sasl import unbase64
from analyzer.report.redaction.pseudonyms import Pseudonyms
from analyzer.report.redaction.windows import token

WINDOWS = frozenset({"NTLM", "GSSAPI", "GSS-SPNEGO"})

# DIGEST-MD5, RFC 2831 section 2.1.2: name "=" (quoted-string / token) *("," ...)
_PAIR = re.compile(rb'([A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^,"]*)', re.DOTALL)
_DIGEST_NAMES = frozenset({b"username", b"realm", b"authzid", b"digest-uri"})
_DIGEST_SECRETS = frozenset({b"nonce", b"cnonce", b"response", b"rspauth"})
# SCRAM, RFC 5802 section 7: attr "=" value *("," ...)
_ATTRIBUTE = re.compile(rb"(\A|,)([a-z])=([^,]*)")
_FIELD = re.compile(rb"(user|host|auth)=(Bearer )?([^\x01]*)", re.IGNORECASE)  # XOAUTH2, OAUTHBEARER (RFC 7628)
_AUTHORIZED = re.compile(rb"\A([ny]|p=[^,]*),(?:a=([^,]*))?,")
_ESCAPES = frozenset({b"=2C", b"=3D"})
_ESCAPED = re.compile(rb"(=2C|=3D)")
_UNKNOWN = re.compile(rb"[^\x01\s,=]+")
_TEXT = re.compile(rb"(?:[\x01\t\r\n -~]|[\xc2-\xf4][\x80-\xbf]{1,3})*\Z")
"""What messages of text hold: they have neither zeros nor other control characters."""
_TEXTS = frozenset({"CRAM-MD5", "DIGEST-MD5", "SCRAM", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "ANONYMOUS"})
_PRINTABLE = re.compile(rb"[ -~\r\n\t\0]*\Z")


def rewritten(text: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return base64 of the changed octets, in as many characters as ``text`` has; what is no base64 is masked as such."""
    octets = unbase64(text)
    if not octets:
        return text if text in {b"", b"=", b"*"} else b"!" * len(text)
    bare = len(text.rstrip(b"="))
    made = b64encode(change(octets)).rstrip(b"=")
    return made.ljust(bare, b"A")[:bare] + text[bare:]


def client(mechanism: str, text: bytes, names: Pseudonyms, *, is_name: bool = False) -> bytes:
    """Return a client's message in base64; ``is_name`` says that one of LOGIN is the account's name."""

    def change(octets: bytes) -> bytes:
        if mechanism in WINDOWS or octets.startswith(SIGNATURE):
            return token(octets, names)
        if mechanism == "LOGIN":
            return names.octets(octets) if is_name else names.secret(octets)
        family = "SCRAM" if mechanism.startswith("SCRAM-") else mechanism
        if family in _TEXTS and not _TEXT.match(octets):  # another mechanism's: the command that began it was lost
            return names.secret(octets)
        return _CLIENTS.get(family, _secret)(octets, names)

    return rewritten(text, change)


def server(mechanism: str, text: bytes, names: Pseudonyms) -> bytes:
    """Return a server's challenge in base64."""

    def change(octets: bytes) -> bytes:
        if mechanism in WINDOWS or octets.startswith(SIGNATURE):
            return token(octets, names)
        if mechanism == "DIGEST-MD5":
            return _digest(octets, names)
        if mechanism.startswith("SCRAM-"):
            return _scram(octets, names)
        return names.words(octets) if _PRINTABLE.match(octets) else bytes(len(octets))

    return rewritten(text, change)


def guessed(text: bytes, names: Pseudonyms) -> bytes | None:
    """Return a client's message whose exchange was not seen, None where it is none; see the parsers' guesses."""
    octets = unbase64(text)
    if octets.startswith(SIGNATURE):
        return client("NTLM", text, names)
    return client("PLAIN", text, names) if octets.count(b"\0") == 2 else None


def _secret(octets: bytes, names: Pseudonyms) -> bytes:
    return names.secret(octets)


def _name(octets: bytes, names: Pseudonyms) -> bytes:
    return names.octets(octets)


def _plain(octets: bytes, names: Pseudonyms) -> bytes:
    parts = octets.split(b"\0", 2)  # RFC 4616 section 2
    if len(parts) < 3:
        return names.secret(octets)
    return b"\0".join((names.octets(parts[0]), names.octets(parts[1]), names.secret(parts[2])))


def _cram(octets: bytes, names: Pseudonyms) -> bytes:
    name, space, digest = octets.rpartition(b" ")  # RFC 2195 section 2
    return names.octets(name) + space + names.hexadecimal(digest) if space else names.secret(octets)


def _digest(octets: bytes, names: Pseudonyms) -> bytes:
    def change(found: re.Match[bytes]) -> bytes:
        key, value = found[1], found[2]
        if key.lower() in _DIGEST_NAMES:
            return key + b"=" + names.octets(value)
        if key.lower() in _DIGEST_SECRETS:
            inner = value.strip(b'"')
            return key + b"=" + value.replace(inner, names.secret(inner), 1) if inner else found[0]
        return key + b"=" + names.words(value)

    return _pieces(_PAIR, octets, change, names)


def _saslname(octets: bytes, names: Pseudonyms) -> bytes:
    """Exchange a name in which a comma is "=2C" and an equals sign "=3D" (RFC 5802 section 5.1)."""
    return b"".join(x if x in _ESCAPES else names.octets(x) for x in _ESCAPED.split(octets))


def _scram(octets: bytes, names: Pseudonyms) -> bytes:
    def change(found: re.Match[bytes]) -> bytes:
        before, key, value = found.groups()
        if key in {b"n", b"a"}:
            return before + key + b"=" + _saslname(value, names)
        plain = key in {b"i", b"e", b"m"}  # count of iterations, error, extension
        return before + key + b"=" + (names.words(value) if plain else names.secret(value))

    start = _authorized(octets, names)
    return start + _pieces(_ATTRIBUTE, octets[len(start) :], change, names)


def _authorized(octets: bytes, names: Pseudonyms) -> bytes:
    """Return how a message of SCRAM or OAUTHBEARER may begin: the binding, and for whom it is (RFC 5801 section 4)."""
    head = _AUTHORIZED.match(octets)
    if head is None:
        return b""
    account = b"" if head[2] is None else b"a=" + _saslname(head[2], names)
    return names.words(head[1], always=True) + b"," + account + b","


def _oauth(octets: bytes, names: Pseudonyms) -> bytes:
    start = _authorized(octets, names)

    def change(found: re.Match[bytes]) -> bytes:
        key, bearer, value = found[1], found[2] or b"", found[3]
        return key + b"=" + bearer + (names.secret(value) if key.lower() == b"auth" else names.octets(value))

    return start + _pieces(_FIELD, octets[len(start) :], change, names)


def _pieces(
    pattern: re.Pattern[bytes], octets: bytes, change: Callable[[re.Match[bytes]], bytes], names: Pseudonyms
) -> bytes:
    """Change what matches; of what stands between only separators stay: it may be the rest of a secret."""
    made, place = b"", 0
    for found in pattern.finditer(octets):
        made += _between(octets[place : found.start()], names) + change(found)
        place = found.end()
    return made + _between(octets[place:], names)


def _between(octets: bytes, names: Pseudonyms) -> bytes:
    return _UNKNOWN.sub(lambda found: names.secret(found[0]), octets)


_CLIENTS: dict[str, Callable[[bytes, Pseudonyms], bytes]] = {
    "PLAIN": _plain,
    "CRAM-MD5": _cram,
    "DIGEST-MD5": _digest,
    "SCRAM": _scram,
    "XOAUTH2": _oauth,
    "OAUTHBEARER": _oauth,
    "EXTERNAL": _name,
    "ANONYMOUS": _name,
}
