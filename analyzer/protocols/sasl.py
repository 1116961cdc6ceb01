"""SASL messages -> who wants to log in; what proves it becomes a Secret or is not looked at.

One small function per mechanism takes what is known so far and the client's next message. A message may be cut short (by
the snap length or a gap): then an account is told only when its end was seen, and never a credential.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable

from analyzer.protocols import ntlm, spnego
from analyzer.protocols.events import Identity
from analyzer.secret import Secret
from analyzer.text import decoded

NAME_LIMIT = 256
"""Characters kept of one name; RFC 3501 servers take accounts of at most 255 octets."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}\Z")
# DOMAIN\user, the form Windows calls down-level logon name; but user@domain\alias asks Exchange for another mailbox
_DOWN_LEVEL = re.compile(r"([^\\/@]*)\\+(.+)\Z", re.DOTALL)
_SHARED = re.compile(r"([^\\/]+@[^\\/]+)[\\/]([^\\/]+)\Z")
# Exchange takes DOMAIN/user and DOMAIN/user/alias too; capitals only, since a slash is an ordinary character elsewhere
_SLASHED = re.compile(r"([A-Z0-9][A-Z0-9-]{0,14})/([^/@]+)(?:/([^/]+))?\Z")

# CRAM-MD5, RFC 2195 section 2: user name SP digest (32 hexadecimal digits); the name may hold spaces
_CRAM = re.compile(rb"(.+) [0-9A-Fa-f]{0,32}\Z", re.DOTALL)
# DIGEST-MD5, RFC 2831 section 2.1.2: name "=" quoted-string *("," ...)
_DIGEST = re.compile(rb'(?:\A|,)[ \t]*(username|realm|authzid)="((?:[^"\\]|\\.)*)"', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
# SCRAM, RFC 5802 section 7: gs2-header = cbind "," ["a=" saslname] ","; then ["m=" ext ","] "n=" saslname "," ...
_SCRAM = re.compile(rb"(?:[ny]|p=[^,]*),(?:a=([^,]*))?,(?:m=[^,]*,)?n=([^,]*),")
# OAUTHBEARER, RFC 7628 section 3.1: gs2-header kvsep *kvpair kvsep
_BEARER = re.compile(rb"(?:[ny]|p=[^,]*),(?:a=([^,]*))?,")
# XOAUTH2 (Google): "user=" name ^A "auth=Bearer " token ^A ^A
_XOAUTH2 = re.compile(rb"user=([^\x01]*)\x01")
_TOKEN = re.compile(rb"(?:\A|\x01)auth=(?:Bearer )?([^\x01]*)\x01", re.IGNORECASE)


def unbase64(text: bytes) -> bytes:
    """Decode base64 that may lack its padding or be cut anywhere; b"" when it is not base64."""
    if not _BASE64.match(text):
        return b""
    text = text.rstrip(b"=")
    if len(text) % 4 == 1:
        text = text[:-1]
    return binascii.a2b_base64(text + b"=" * (-len(text) % 4))


def named(who: Identity, name: bytes, source: str) -> Identity:
    """Return ``who`` with an account, split into domain, account and mailbox as its form tells."""
    account, domain, mailbox = _split(decoded(name, NAME_LIMIT))
    return who._replace(
        account=account or None,
        domain=domain or who.domain,
        mailbox=mailbox or who.mailbox,
        account_from=source,
    )


def _split(name: str) -> tuple[str, str | None, str | None]:
    if "\\" not in name and "/" not in name:
        return name, None, None
    if found := _SHARED.match(name):
        return found[1], None, found[2]
    if found := _DOWN_LEVEL.match(name):
        return found[2], found[1], None
    if found := _SLASHED.match(name):
        return found[2], found[1], found[3]
    return name, None, None


class Exchange:
    """One exchange: fed with each side's decoded messages in order."""

    __slots__ = ("_read", "who")

    def __init__(self, mechanism: str) -> None:
        self.who = Identity(mechanism)
        family = "SCRAM" if mechanism.startswith("SCRAM-") else mechanism
        self._read = _READERS.get(family, _opaque)

    def client(self, octets: bytes, *, whole: bool) -> Identity | None:
        """Take the client's next message; return the identity when it became better known."""
        who = self._read(self.who, octets, whole)
        if who == self.who:
            return None
        self.who = who
        return who

    def secret_next(self) -> None:
        """Make sure that LOGIN's next message is not taken for an account: its user name was empty, or never came."""
        if self._read is _login and self.who.account_from == "none":
            self.who = self.who._replace(account_from="login")

    def lost(self) -> None:
        """Be told that a message of the client may be missing: LOGIN's tell by their order alone what they are."""
        if self._read is _login:
            self._read = _opaque

    def server(self, octets: bytes) -> str | None:
        """Take the server's next challenge; return what the server calls itself in it."""
        if self._read is _login and octets[:8].lower() == b"password":
            self.secret_next()
        if self._read is not _windows:
            return None
        message = ntlm.read(spnego.unwrap(octets))
        return message.server if message else None


def _opaque(who: Identity, _octets: bytes, _whole: bool) -> Identity:
    return who


def _plain(who: Identity, octets: bytes, whole: bool) -> Identity:
    # RFC 4616 section 2: [authzid] NUL authcid NUL passwd
    parts = octets.split(b"\0", 2)
    if len(parts) < 3 or not parts[1]:
        return who
    authzid, authcid, password = parts
    who = named(who, authcid, "plain")
    if authzid and authzid != authcid:
        who = who._replace(mailbox=decoded(authzid, NAME_LIMIT))
    return who._replace(credential=Secret(password)) if whole else who


def _login(who: Identity, octets: bytes, whole: bool) -> Identity:
    # draft-murchison-sasl-login: user name, then password; an empty first message is an empty initial response
    if who.account_from == "none":
        if not octets:
            return who
        return named(who, octets, "login") if whole else who._replace(account_from="login")
    return who._replace(credential=Secret(octets)) if whole and who.credential is None else who


def _cram(who: Identity, octets: bytes, _whole: bool) -> Identity:
    found = _CRAM.match(octets)
    return named(who, found[1], "digest") if found else who


def _digest(who: Identity, octets: bytes, _whole: bool) -> Identity:
    fields = {key: _QUOTED_PAIR.sub(rb"\1", value) for key, value in _DIGEST.findall(octets)}
    if not fields.get(b"username"):
        return who
    who = named(who, fields[b"username"], "digest")
    realm, authzid = fields.get(b"realm"), fields.get(b"authzid")
    if realm and who.domain is None:
        who = who._replace(domain=decoded(realm, NAME_LIMIT))
    return who._replace(mailbox=decoded(authzid, NAME_LIMIT)) if authzid and authzid != fields[b"username"] else who


def _saslname(octets: bytes) -> bytes:
    return octets.replace(b"=2C", b",").replace(b"=3D", b"=")


def _scram(who: Identity, octets: bytes, _whole: bool) -> Identity:
    found = _SCRAM.match(octets)
    if found is None or not found[2]:
        return who
    who = named(who, _saslname(found[2]), "scram")
    if found[1] and found[1] != found[2]:
        who = who._replace(mailbox=decoded(_saslname(found[1]), NAME_LIMIT))
    return who


def _windows(who: Identity, octets: bytes, _whole: bool) -> Identity:
    message = ntlm.read(spnego.unwrap(octets))
    if message is None:
        realm = spnego.realm(octets)
        return who._replace(domain=realm) if realm else who
    if message.kind == 3 and message.user:
        # the domain of the first message is the computer's, not the account's
        who = named(who._replace(domain=None), message.user.encode(), "ntlm")
        who = who._replace(domain=who.domain or message.domain)
    return who._replace(workstation=message.workstation or who.workstation)


def _xoauth2(who: Identity, octets: bytes, whole: bool) -> Identity:
    found = _XOAUTH2.match(octets)
    return _with_token(named(who, found[1], "token"), octets, whole) if found and found[1] else who


def _oauthbearer(who: Identity, octets: bytes, whole: bool) -> Identity:
    found = _BEARER.match(octets)
    return _with_token(named(who, _saslname(found[1]), "token"), octets, whole) if found and found[1] else who


def _with_token(who: Identity, octets: bytes, whole: bool) -> Identity:
    token = _TOKEN.search(octets)
    return who._replace(credential=Secret(token[1])) if token and whole else who


def _external(who: Identity, octets: bytes, whole: bool) -> Identity:
    return named(who, octets, "external") if octets and whole else who


_READERS: dict[str, Callable[[Identity, bytes, bool], Identity]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "CRAM-MD5": _cram,
    "DIGEST-MD5": _digest,
    "SCRAM": _scram,
    "NTLM": _windows,
    "GSSAPI": _windows,
    "GSS-SPNEGO": _windows,
    "XOAUTH2": _xoauth2,
    "OAUTHBEARER": _oauthbearer,
    "EXTERNAL": _external,
}
