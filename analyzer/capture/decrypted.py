"""What TLS hides, read through tshark with the keys of a key log, or with those that lie in the capture itself.

tshark exports what it decrypted, one record at a time, with the number of the frame that completed it (Wireshark: "Export
PDUs", exported_pdu_tlvs.h). It comes through a pipe: neither octets nor keys lie in any file of ours but the key log's own
lines, in a folder that nobody else may read and that is gone when tshark is.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from struct import Struct
from typing import IO, NamedTuple

from analyzer.at import NS_PER_S, At
from analyzer.errors import CaptureError, EngineMissing
from analyzer.text import clean

KEYS_LIMIT_BYTES = 64 << 20
"""Octets read of one key log: a browser's of many months has some ten MB."""
SERVICES_LIMIT = 200
"""Ports that tshark is told about; each is a word on its command line."""
RECORD_LIMIT_BYTES = 1 << 18
"""Longest exported record believed: TLS allows 16 kB, and the tags are some hundred octets."""

_KEY = re.compile(
    rb"(?:CLIENT_RANDOM|RSA|PMS_CLIENT_RANDOM|[A-Z_]{4,40}SECRET(?:_[A-Z0-9]{1,4})?) [0-9A-Fa-f]{8,256} [0-9A-Fa-f]{8,1024}\s*"
)
"""A line of a key log: label, client random, secret (NSS key log format; draft-ietf-tls-keylogfile)."""
_DISSECTORS = {"imap": "imap", "pop3": "pop", "smtp": "smtp"}
_STANDARD = {143: "imap", 110: "pop3", 25: "smtp", 587: "smtp"}
_SETTINGS = (
    "tls.desegment_ssl_records:TRUE",
    "tls.desegment_ssl_application_data:FALSE",  # each record once, as it is
    "tcp.desegment_tcp_streams:TRUE",
    "tcp.reassemble_out_of_order:TRUE",
)
_FILE_HEAD_BYTES = 24
_MAGICS = {b"\x4d\x3c\xb2\xa1": Struct("<IIII"), b"\xa1\xb2\x3c\x4d": Struct(">IIII")}  # pcap with ns
_TAG = Struct(">HH")
_END, _IPV4_SRC, _IPV4_DST, _IPV6_SRC, _IPV6_DST, _SRC_PORT, _DST_PORT, _FRAME = 0, 20, 21, 22, 23, 25, 26, 30
_HINT = "install Wireshark with its command line tools (Debian: apt install tshark); without it TLS stays closed"


class Clear(NamedTuple):
    """Octets of one TLS record, decrypted."""

    at: At
    """The frame that completed the record."""
    src: str
    sport: int
    dst: str
    dport: int
    data: bytes
    """As one mail program sent them to the other: not yet rid of secrets."""


def keys_in(path: Path) -> bytes:
    """Return the lines of a key log that are keys.

    Raises:
        CaptureError: it cannot be read, or holds no keys.
    """
    try:
        with path.open("rb") as file:
            lines = file.read(KEYS_LIMIT_BYTES).splitlines()
    except (OSError, ValueError) as failure:
        reason = getattr(failure, "strerror", None) or str(failure)
        raise CaptureError(f"the key log cannot be read: {reason}", path=path, hint="check its name") from failure
    keys = [line.strip() for line in lines if _KEY.fullmatch(line)]
    if not keys:
        hint = "it is the file that the mail program wrote where SSLKEYLOGFILE told it to; lines begin with CLIENT_..."
        raise CaptureError(f"{clean(path.name)} holds no TLS keys", path=path, hint=hint)
    return b"\n".join(keys) + b"\n"


def tshark_for(path: Path) -> str:
    """Return where tshark is.

    Raises:
        EngineMissing: it is not installed.
    """
    found = shutil.which("tshark")
    if found is None:
        from analyzer.capture.via_tshark import tshark_of

        try:
            return tshark_of(path)
        except EngineMissing as failure:
            raise EngineMissing(
                "tshark, which reads TLS with keys, is not installed", path=path, hint=_HINT
            ) from failure
    return found


def clear_text(
    path: Path, keys: bytes, services: Iterable[tuple[int, str | None]], *, name: str = ""
) -> Iterator[Clear]:
    """Yield what tshark decrypts of a capture, in the order of its frames.

    Args:
        path: the file; of an archive or a packed file, ``name`` says which capture of it, as captures are named.
        keys: lines of key logs; none when the keys lie in the capture.
        services: each server's port with the protocol spoken there before TLS, None where TLS comes first.
        name: see ``path``; '' for a plain file.

    Raises:
        EngineMissing: tshark is not installed.
        CaptureError: tshark cannot read the file.
    """
    tshark = tshark_for(path)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailscope-")))
        (folder / "keys").write_bytes(keys)
        plain = _unpacked(path, name, folder) if name else path.absolute()
        settings = [*_SETTINGS, f"tls.keylog_file:{folder / 'keys' if keys else ''}"]
        options = [part for x in settings for part in ("-o", x)] + _decode_as(services)
        command = [tshark, "-n", "-r", str(plain), *options, "-U", "OSI layer 7", "-F", "nsecpcap", "-w", "-"]
        process = stack.enter_context(_running(command))
        thread = stack.enter_context(ThreadPoolExecutor(1))
        said = thread.submit(process.stderr.read) if process.stderr else None
        stack.callback(process.kill)
        told = False
        for record in _records(process.stdout) if process.stdout else ():
            told = True
            yield record
        if process.wait() and not told:
            lines = (said.result() if said else b"").decode("utf-8", "replace").strip().splitlines()
            reason = clean(lines[-1] if lines else "it gave no reason").replace(str(folder), "")
            raise CaptureError(f"tshark cannot read it: {reason}", path=path, hint="unpack or convert it first")


def _running(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603


def _unpacked(path: Path, name: str, folder: Path) -> Path:
    """Write one capture out of a packed file, or an archive, to where tshark can read it.

    Raises:
        CaptureError: it is not in there.
    """
    from analyzer.capture.content import contents

    for content in contents(path):
        if isinstance(content, CaptureError):
            continue
        if clean(path.name + (f"!/{content.name}" if content.name else "")) == name:
            target = folder / "capture"
            target.write_bytes(content.data)
            return target
    raise CaptureError(f"there is no {name}", path=path, hint="unpack it first")


def _decode_as(services: Iterable[tuple[int, str | None]]) -> list[str]:
    """Tell tshark what is spoken where: a mail protocol that leads to TLS, or TLS with octets in it."""
    before: dict[int, str | None] = {}
    for port, protocol in services:
        before[port] = before.get(port) or protocol
    words: list[str] = []
    for port, protocol in list(before.items())[:SERVICES_LIMIT]:
        if protocol is None:
            words += ["-d", f"tcp.port=={port},tls", "-d", f"tls.port=={port},data"]
        elif _STANDARD.get(port) != protocol:
            words += ["-d", f"tcp.port=={port},{_DISSECTORS[protocol]}"]
    return words


def _records(stream: IO[bytes]) -> Iterator[Clear]:
    """Yield the records of a pcap of exported PDUs as it comes out of a pipe; what ends early just ends."""
    read = stream.read
    layout = _MAGICS.get(read(_FILE_HEAD_BYTES)[:4])
    while layout is not None and len(head := read(layout.size)) == layout.size:
        seconds, ns, size, _ = layout.unpack(head)
        if size > RECORD_LIMIT_BYTES or len(body := read(size)) < size:
            return
        found = _record(body, seconds * NS_PER_S + ns)
        if found is not None:
            yield found


def _record(body: bytes, ts: int) -> Clear | None:
    """Take the tags off a record: type, length, value; multiples of four octets, numbers big endian."""
    tags: dict[int, bytes] = {}
    place = 0
    while place + _TAG.size <= len(body):
        kind, size = _TAG.unpack_from(body, place)
        place += _TAG.size
        if kind == _END:
            break
        tags.setdefault(kind, body[place : place + size])
        place += size + 3 & ~3
    src, dst = (_address(tags.get(v4) or tags.get(v6)) for v4, v6 in ((_IPV4_SRC, _IPV6_SRC), (_IPV4_DST, _IPV6_DST)))
    sport, dport, frame = (int.from_bytes(tags.get(x, b""), "big") for x in (_SRC_PORT, _DST_PORT, _FRAME))
    if src is None or dst is None or not frame:
        return None
    return Clear(At(frame, ts), src, sport, dst, dport, body[place:])


def _address(octets: bytes | None) -> str | None:
    return str(ip_address(octets)) if octets is not None and len(octets) in {4, 16} else None
