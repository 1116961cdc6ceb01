"""What the service was asked to be; refuses what would leave the door open."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from analyzer.errors import AnalyzerError
from analyzer.triage.isolated import MEMORY_MB

PORT = 8143
"""IMAP's port, out of the way of everything else."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""What a browser on this machine may call the service by."""
GIB = 1 << 30
SECRET_CHARACTERS = 20
"""Of a proxy's secret, at least: it must not be guessed."""


class ServiceError(AnalyzerError):
    """The service cannot be started as it was asked for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the service takes, from whom, and for how long."""

    upload_bytes: int = 4 * GIB
    """Of one upload: a busy hour at a full gigabit is rarely kept in one file."""
    quota_bytes: int = 50 * GIB
    """Of all captures of one owner, uploads that are not complete counted whole."""
    quota_captures: int = 20_000
    """Captures of one owner."""
    free_bytes: int = 1 * GIB
    """What must stay free on the disk: a full one stops the store too."""
    uploads: int = 16
    """Uploads at a time, from everybody."""
    uploads_each: int = 6
    """Uploads at a time, of one owner: a browser opens six connections."""
    connections: int = 256
    """Connections at a time; whoever comes then is told to come again."""
    idle_s: float = 60.0
    """How long an upload may stand still, in seconds."""
    keep_days: float = 30.0
    """Days after which a capture and its report are deleted."""
    part_hours: float = 24.0
    """Hours after which an upload that does not go on is deleted."""
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Captures analysed at a time."""
    timeout_s: float = 300.0
    """Wall clock of one analysis, in seconds."""
    memory_mb: int = 2 * MEMORY_MB
    """Memory of one analysis, in MiB."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy in front that has already asked who somebody is."""

    peer: str
    """Address it connects from."""
    secret: str
    """What it puts into ``X-Proxy-Secret``; never shown."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One service."""

    store: str
    """Path of the SQLite file, or a ``postgresql://`` URL."""
    data: Path
    """Folder for what was uploaded; replicas that share a store share it too."""
    host: str = "127.0.0.1"
    """Address to listen at."""
    port: int = PORT
    """Port to listen at; 0 for any free one."""
    names: tuple[str, ...] = ()
    """Host names it may be called by, beside its own address."""
    tokens: Path | None = None
    """File of those who may use it."""
    proxy: Proxy | None = None
    """Who may vouch for them."""
    certificate: Path | None = None
    """PEM file of the TLS certificate, and its chain."""
    key: Path | None = None
    """PEM file of its key."""
    limits: Limits = field(default_factory=Limits)
    """How much it takes."""

    @property
    def local(self) -> bool:
        """Whether nobody but this machine can reach it."""
        return is_loopback(self.host)

    @property
    def open(self) -> bool:
        """Whether everybody who reaches it may use it."""
        return self.tokens is None and self.proxy is None

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names a request may ask for."""
        own = (*LOOPBACK_NAMES, self.host) if self.local or not self.names else LOOPBACK_NAMES
        return tuple(dict.fromkeys((*own, *self.names)))

    def check(self) -> None:
        """Refuse to be open to others than this machine, and what contradicts itself.

        Raises:
            ServiceError: with what to do.
        """
        if self.open and not self.local:
            raise ServiceError(
                f"anybody who reaches {self.host} could read every capture: the service does not listen there unprotected",
                hint="--token-file FILE names who may (--add-token OWNER makes a token), or --proxy names who vouches",
            )
        if (self.certificate is None) != (self.key is None):
            raise ServiceError("TLS needs a certificate and its key", hint="--certificate FILE --key FILE")
        if self.host in {"0.0.0.0", "::"} and not self.names:  # noqa: S104 (looked for, not bound)
            raise ServiceError(
                "a service that listens at every address must know its own name", hint="--name mailscope.example.org"
            )


def is_loopback(host: str) -> bool:
    """Tell whether an address is this machine's own and no other's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def data_beside(store: str) -> Path:
    """Return the folder that goes with a store that is a file.

    Raises:
        ServiceError: the store is a server, which has no place beside it.
    """
    if "://" in store:
        raise ServiceError("a store on a server has no folder beside it", hint="--data FOLDER, shared by all replicas")
    return Path(store).with_suffix(".files")


def proxy_of(peer: str | None, secret: Path | None) -> Proxy | None:
    """Return the proxy that may say who asks, None when there is none.

    Raises:
        ServiceError: it is half named, or its secret is none.
    """
    if peer is None and secret is None:
        return None
    if peer is None or secret is None:
        raise ServiceError(
            "a proxy is trusted by its address and its secret", hint="--proxy ADDRESS --proxy-secret-file FILE"
        )
    try:
        text = secret.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise ServiceError(f"the proxy's secret cannot be read: {type(error).__name__}") from error
    if len(text) < SECRET_CHARACTERS:
        raise ServiceError(f"the proxy's secret is too short: {SECRET_CHARACTERS} characters at least")
    return Proxy(peer, text)
