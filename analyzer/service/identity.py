"""Who asks: a token, a session that began with one, a proxy that vouches, or the one person at this machine.

Nothing here tells a wrong token from a missing one. Whatever a browser sends by itself (a session, a proxy's word, being
on this machine) is not enough to change anything: that needs the form's own token, too (``csrf``), or no browser.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from analyzer.service.settings import ServiceError, Settings

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

OWNER = re.compile(r"[\w.@+-]{1,64}")
"""What an owner may be called: it is shown, logged and compared."""
LOCAL_OWNER = "local"
"""Whose captures they are where nobody is asked who they are."""
SESSION_S = 12 * 3600
"""A working day, in seconds."""
TOKEN_BYTES = 32
"""Too many to be guessed, however fast."""
USER_HEADER, SECRET_HEADER = "x-remote-user", "x-proxy-secret"
CSRF_HEADER = "x-csrf-token"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Person(NamedTuple):
    """Somebody who may use the service."""

    owner: str
    """Whose captures they see."""
    how: str
    """token, session, proxy or local."""
    bound: str = ""
    """What their form tokens belong to: this session and no other."""


class Tokens:
    """The SHA-256 of every token and whose it is, from a file that may change while the service runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read_at: tuple[int, int] | None = None
        self._owners: dict[str, str] = {}
        self.owners()

    def owners(self) -> dict[str, str]:
        """Return SHA-256 (hexadecimal) -> owner, read again when the file has changed.

        Raises:
            ServiceError: it cannot be read, or a line of it cannot be understood.
        """
        with self._lock:
            try:
                state = self._path.stat()
                if self._read_at != (state.st_mtime_ns, state.st_size):
                    self._owners = dict(_pairs(self._path.read_text("utf-8")))
                    self._read_at = (state.st_mtime_ns, state.st_size)
            except (OSError, UnicodeError) as error:
                raise ServiceError(f"the file of tokens cannot be read: {type(error).__name__}") from error
            return self._owners

    def owner(self, digest: str) -> str | None:
        """Return whose token has this SHA-256; all are compared, so that time tells nothing."""
        found = [owner for known, owner in self.owners().items() if hmac.compare_digest(known, digest)]
        return found[0] if found else None


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not OWNER.fullmatch(words[0]) or not _DIGEST.fullmatch(words[1]):
            raise ServiceError(
                f"line {number} of the file of tokens is not 'OWNER SHA256'",
                hint="--add-token OWNER writes such a line",
            )
        yield words[1], words[0]


def add_token(path: Path, owner: str) -> str:
    """Draw a token for an owner, keep its SHA-256 in the file, and return it: it is shown this once.

    Raises:
        ServiceError: nobody can be called so, or the file cannot be written.
    """
    if not OWNER.fullmatch(owner):
        raise ServiceError("an owner's name has letters, digits and . @ + - _ only, 64 at most")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
            file.write(f"{owner} {digest_of(token)}\n")
    except OSError as error:
        raise ServiceError(f"the file of tokens cannot be written: {error.strerror}") from error
    return token


def digest_of(token: str) -> str:
    """Return the SHA-256 of a token, hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def secret_in(folder: Path) -> bytes:
    """Return the key that signs sessions and forms, drawn when the folder has none: all replicas and restarts share it."""
    path = folder / "secret"
    with suppress(FileExistsError):
        fresh = folder / f"secret.{secrets.token_hex(8)}"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(TOKEN_BYTES))
        try:
            os.link(fresh, path)  # whole or not at all, and never over another's
        finally:
            fresh.unlink()
    return path.read_bytes()


class Gate:
    """Tells who a request is from."""

    def __init__(self, settings: Settings, secret: bytes) -> None:
        self._settings = settings
        self._secret = secret
        self._tokens = Tokens(settings.tokens) if settings.tokens else None
        self.cookie = "mailscope" if settings.local and settings.certificate is None else "__Host-mailscope"

    @property
    def asks(self) -> bool:
        """Whether there is something to log in with."""
        return self._tokens is not None

    def who(self, request: HTTPConnection) -> Person | None:
        """Return who asks, None for nobody."""
        if self._settings.open:
            return Person(LOCAL_OWNER, "local")
        if self._settings.proxy and (owner := self._vouched(request)):
            return Person(owner, "proxy")
        if self._tokens is None:
            return None
        if given := _only(request, "authorization"):
            kind, _, token = given.partition(" ")
            owner = self._tokens.owner(digest_of(token.strip())) if kind.lower() == "bearer" else None
            return Person(owner, "token") if owner else None
        return self._session(request.cookies.get(self.cookie, ""))

    def _vouched(self, request: HTTPConnection) -> str | None:
        """Return whom the proxy named: the right peer, the right secret, each header once."""
        proxy = self._settings.proxy
        user, secret = _only(request, USER_HEADER), _only(request, SECRET_HEADER)
        if proxy is None or not user or not secret or request.client is None:
            return None
        if request.client.host != proxy.peer or not hmac.compare_digest(secret.encode(), proxy.secret.encode()):
            return None
        return user if OWNER.fullmatch(user) else None

    def begin(self, token: str) -> str | None:
        """Return the cookie of a new session; None when nobody has this token."""
        digest = digest_of(token)
        owner = self._tokens.owner(digest) if self._tokens else None
        if owner is None:
            return None
        until = int(time.time()) + SESSION_S
        words = base64.urlsafe_b64encode(f"{owner} {until} {digest}".encode()).decode().rstrip("=")
        return f"{words}.{self._sign('session', words)}"

    def _session(self, cookie: str) -> Person | None:
        """Return whose session it is, unless it has ended or its token is gone from the file."""
        words, _, signature = cookie.partition(".")
        if self._tokens is None or not hmac.compare_digest(signature.encode(), self._sign("session", words).encode()):
            return None
        owner, until, digest = base64.urlsafe_b64decode(words + "=" * (-len(words) % 4)).decode().split(" ")
        if int(until) < time.time() or self._tokens.owner(digest) != owner:
            return None
        return Person(owner, "session", signature)

    def csrf(self, person: Person) -> str:
        """Return the token that this person's forms carry."""
        return self._sign("form", f"{person.owner} {person.how} {person.bound}")

    def right(self, person: Person, token: str | None) -> bool:
        """Tell whether a form's token is this person's."""
        return token is not None and hmac.compare_digest(token.encode(), self.csrf(person).encode())

    def _sign(self, what: str, words: str) -> str:
        return hmac.new(self._secret, f"{what}|{words}".encode(), hashlib.sha256).hexdigest()


def _only(request: HTTPConnection, name: str) -> str | None:
    """Return a header that was sent once: of two, a proxy and a server may believe different ones."""
    every = request.headers.getlist(name)
    return every[0] if len(every) == 1 else None
