"""FORMATS: the containers we read, known by their first octets; and the names of those we do not."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from analyzer.capture import erf, netmon, pcap, pcapng, snoop
from analyzer.capture.record import Reader
from analyzer.capture.summary import is_text
from analyzer.capture.unpack import MAGICS, PACKINGS
from analyzer.errors import PasswordNeeded, UnknownFormat

EVENT_LOG_MAGIC = b"ElfFile\0"
"""How a Windows event log begins: no capture, but evidence beside one."""
SNIFF_BYTES = 512
"""First octets looked at: a tar names itself at octet 257."""


class Format(NamedTuple):
    """A container format."""

    name: str
    magics: tuple[bytes, ...]
    """Empty for one that has none and is known by how its records lead from one to the next."""
    reader: Reader


FORMATS: tuple[Format, ...] = (
    Format("pcap", tuple(pcap.MAGICS), pcap.records),
    Format("pcapng", (pcapng.MAGIC,), pcapng.records),
    Format("NetMon 2", (netmon.MAGIC_2,), netmon.records),
    Format("NetMon 1", (netmon.MAGIC_1,), netmon.records),
    Format("snoop", (snoop.MAGIC,), snoop.records),
    Format("ERF", (), erf.records),
)

READS = (
    f"{', '.join(known.name for known in FORMATS)}, Windows .etl, packet lists and details of Wireshark as text or CSV; "
    f"packed with {', '.join(PACKINGS)}"
)
"""What is read, for messages and for 'mailscope doctor'."""

_TSHARK = "use --engine tshark, or convert it: editcap -F pcap IN OUT.pcap"
_PACKED = "unpack it first"
_OTHERS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"btsnoop\0", "a Bluetooth snoop log", "it holds no mail traffic"),
    (0, b"TRSNIFF data", "a Network General Sniffer capture", _TSHARK),
    (0, b"Rar!", "a RAR archive", _PACKED),
    (0, b"MSCF", "a cabinet archive", _PACKED),
    (0, EVENT_LOG_MAGIC, "a Windows event log", "give it unpacked, beside the capture"),
    (0, b"%PDF-", "a PDF document", "give the capture file itself"),
    (0, b"\x89PNG", "a picture", "give the capture file itself, or paste Wireshark's packet list as text"),
    (0, b"\xff\xd8\xff", "a picture", "give the capture file itself, or paste Wireshark's packet list as text"),
    *((at, magic, f"{kind} data packed too deeply", _PACKED) for kind, at, magic in MAGICS),
)
"""(offset, octets, what it is, what to do)."""

_LOCKED = (
    b"Salted__",
    b"-----BEGIN PGP MESSAGE",
    b"age-encryption.org/",
    b"\x8c\x0d\x04",
    b"\x85\x02\x0c\x03",
    b"\x85\x01\x0c\x03",
)
"""What OpenSSL, GnuPG (armoured; by passphrase; for keys of 4096 and 2048 bits) and age write."""
_CHAFF = ("__MACOSX/", ".", "Thumbs.db", "desktop.ini")
"""How names of what systems put into archives on their own begin."""


def recognise(start: bytes, path: Path) -> Format:
    """Return the format whose magic the first octets carry.

    Raises:
        PasswordNeeded: the file is encrypted as a whole.
        UnknownFormat: no format fits; says what the file is, as far as it can be told, and what to do.
    """
    for known in FORMATS:
        if start.startswith(known.magics):
            return known
    if erf.is_erf(start):
        return FORMATS[-1]
    if start.startswith(_LOCKED):
        hint = "decrypt it first, then give the capture in it"
        raise PasswordNeeded("the file is encrypted and needs a password or a key", path=path, hint=hint)
    what, todo = _look(start)
    octets = start[:8].hex(" ")
    raise UnknownFormat(
        f"not a capture we read: {what} (first octets {octets})",
        path=path,
        offset=0,
        hint=f"{todo}; formats read: {READS}",
    )


def is_chaff(name: str, start: bytes) -> bool:
    """Tell whether a member of an archive that is no capture is not worth a word: notes, pictures, what systems add."""
    last = name.rsplit("!/", maxsplit=1)[-1]
    return last.startswith(_CHAFF) or last.rsplit("/", maxsplit=1)[-1].startswith(_CHAFF) or is_text(start)


def _look(start: bytes) -> tuple[str, str]:
    for offset, magic, what, todo in _OTHERS:
        if start.startswith(magic, offset):
            return what, todo
    if is_text(start):
        return "it looks like text", "give the capture file itself, or Wireshark's packet list as text or CSV"
    return "the first octets belong to no format known here", "if Wireshark opens it, use --engine tshark"
