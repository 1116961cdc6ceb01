"""Dialogues inside real TLS: a client and a server of OpenSSL talk through memory, and the octets between them are kept.

made = secured(steps, pair, version="1.3", keylog=folder / "keys")
wire.dialogue(made, port=993)
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from analyzer.at import Side

Step = tuple[Side, bytes]
C, S = Side.CLIENT, Side.SERVER
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
NAME = "mail.example.test"


class Pair(NamedTuple):
    """Files of a certificate and its key."""

    certificate: Path
    key: Path


def make_pair(folder: Path, name: str = NAME) -> Pair | None:
    """Make a self-signed certificate; None where openssl is missing."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    pair = Pair(folder / "certificate.pem", folder / "key.pem")
    request = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
    ]
    names = ["-addext", f"subjectAltName=DNS:{name},DNS:imap.example.test"]
    where = ["-keyout", str(pair.key), "-out", str(pair.certificate)]
    subprocess.run([openssl, *request, f"/CN={name}", *names, *where], check=True, capture_output=True)
    return pair


class Tunnel:
    """One TLS connection; ``steps`` are the octets on the wire so far."""

    def __init__(
        self, pair: Pair, version: str = "1.3", *, keylog: Path | None = None, sni: str = NAME,
        alpn: tuple[str, ...] = (), trusts: bool = False, server_version: str | None = None,
    ) -> None:  # fmt: skip
        self.steps: list[Step] = []
        client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        client.check_hostname = False
        client.verify_mode = ssl.CERT_REQUIRED if trusts else ssl.CERT_NONE
        client.minimum_version = client.maximum_version = VERSIONS[version]
        server.minimum_version = server.maximum_version = VERSIONS[server_version or version]
        server.load_cert_chain(*pair)
        if keylog is not None:
            client.keylog_filename = str(keylog)
        if alpn:
            client.set_alpn_protocols(list(alpn))
            server.set_alpn_protocols(list(alpn[-1:]))
        self._in = (ssl.MemoryBIO(), ssl.MemoryBIO())
        self._out = (ssl.MemoryBIO(), ssl.MemoryBIO())
        self._ends = (
            client.wrap_bio(self._in[C], self._out[C], server_hostname=sni or None),
            server.wrap_bio(self._in[S], self._out[S], server_side=True),
        )

    def handshake(self) -> Tunnel:
        """Shake hands, as far as it goes."""
        done, turns = {C: False, S: False}, 0
        while not all(done.values()) and turns < 10:
            for side in (C, S):
                if not done[side]:
                    try:
                        self._ends[side].do_handshake()
                        done[side] = True
                    except ssl.SSLWantReadError:
                        pass
                    except ssl.SSLError:
                        self._carry(side)
                        return self
                self._carry(side)
            turns += 1
        return self

    def say(self, side: Side, data: bytes) -> Tunnel:
        """Send octets; the other side reads them."""
        self._ends[side].write(data)
        self._carry(side)
        while data and (got := self._ends[side.other].read(len(data))):
            data = data[len(got) :]
        return self

    def goodbye(self, side: Side) -> Tunnel:
        """Send close_notify."""
        with suppress(ssl.SSLError):
            self._ends[side].unwrap()
        self._carry(side)
        return self

    def _carry(self, side: Side) -> None:
        data = self._out[side].read()
        if data:
            self.steps.append((side, data))
            self._in[side.other].write(data)


def secured(said: Iterable[Step], pair: Pair, version: str = "1.3", **options: object) -> list[Step]:
    """Return the octets of a whole connection in which this is said."""
    tunnel = Tunnel(pair, version, **options).handshake()  # type: ignore[arg-type]
    for side, data in said:
        tunnel.say(side, data)
    return tunnel.goodbye(C).steps
