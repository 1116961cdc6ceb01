"""FORMATS: the containers we read, known by their first octets; and the names of those we do not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from analyzer.capture import pcap, pcapng
from analyzer.capture.content import MAGICS, PACKINGS, is_text
from analyzer.capture.packets import Facts
from analyzer.capture.record import Data, Reader, Record
from analyzer.errors import PasswordNeeded, UnknownFormat

EVENT_LOG_MAGIC = b"ElfFile\0"
"""How a Windows event log begins: no capture, but evidence beside one."""


class Format(NamedTuple):
    """A container format."""

    name: str
    magics: tuple[bytes, ...]
    """Empty for one that has none and is known by how its records lead from one to the next."""
    reader: Reader


# what reads the rarer ones is loaded when one is met


def _netmon(data: Data, facts: Facts) -> Iterator[Record]:
    from analyzer.capture.netmon import records

    return records(data, facts)


def _snoop(data: Data, facts: Facts) -> Iterator[Record]:
    from analyzer.capture.snoop import records

    return records(data, facts)


def _erf(data: Data, facts: Facts) -> Iterator[Record]:
    from analyzer.capture.erf import records

    return records(data, facts)


FORMATS: tuple[Format, ...] = (
    Format("pcap", tuple(pcap.MAGICS), pcap.records),
    Format("pcapng", (pcapng.MAGIC,), pcapng.records),
    Format("NetMon 2", (b"GMBU",), _netmon),
    Format("NetMon 1", (b"RTSS",), _netmon),
    Format("snoop", (b"snoop\0\0\0",), _snoop),
    Format("ERF", (), _erf),
)

READS = (
    f"{', '.join(known.name for known in FORMATS)}, Windows .etl, packet lists and details of Wireshark as text or CSV; "
    f"packed with {', '.join(PACKINGS)}"
)
"""What is read, for messages and for 'mailscope doctor'."""

ASK_TSHARK = "install tshark, which is asked then, or convert it: editcap -F pcap IN OUT.pcap"
"""What to do about a capture of a format that is not ours."""
_PACKED = "unpack it first"
_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"TRSNIFF data", "a capture of the DOS Sniffer"),
    (0, b"XCP\0", "a capture of NetXRay or the Windows Sniffer"),
    (0, b"btsnoop\0", "a Bluetooth snoop log, which hardly holds mail"),
    (0, b"ObserverPktBuffe", "a capture of Observer"),
    (0, b"\x7fver", "a capture of EtherPeek or OmniPeek"),
    (0, b"\xaa\xaa\xaa\xaa", "a capture of InfoVista 5View"),
    (0, b"\x54\x52\x00\x64\x00", "a packet log of HP-UX nettl"),
    (0, b"\x05VNF", "a capture of Visual UpTime"),
    (0, b"NetS", "a NetScaler trace"),
    (4, b"NetScaler", "a NetScaler trace"),
    (0, b"iptrace ", "a trace of AIX iptrace"),
)
"""(offset, octets, name) of captures that only tshark reads."""
_FOREIGN_TEXT = (
    (re.compile(rb"(?:PRI-|WAN-)?(?:XMIT|RECV)-[\w.-]+:|WD_DIALOUT_DISP"), "a trace of an Ascend access server"),
)
_HCI = Struct("<HBBII").unpack_from  # octets, direction, nothing, time (hcidump -w)
_HCI_BYTES = 12
_OTHERS: tuple[tuple[int, bytes, str, str], ...] = (
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


def by_magic(start: bytes) -> Format | None:
    """Return the format that names itself in the first octets."""
    return next((known for known in FORMATS if start.startswith(known.magics)), None)


def recognise(start: bytes, path: Path) -> Format:
    """Return the format whose magic the first octets carry.

    Raises:
        PasswordNeeded: the file is encrypted as a whole.
        UnknownFormat: no format fits; says what the file is, as far as it can be told, and what to do.
    """
    if (known := by_magic(start)) is not None:
        return known
    from analyzer.capture.erf import is_erf

    if is_erf(start):
        return FORMATS[-1]
    if start.startswith(_LOCKED):
        hint = "decrypt it first, then give the capture in it"
        raise PasswordNeeded("the file is encrypted and needs a password or a key", path=path, hint=hint)
    what, todo, foreign = _look(start)
    octets = start[:8].hex(" ")
    unknown = UnknownFormat(
        f"not a capture we read: {what} (first octets {octets})",
        path=path,
        offset=0,
        hint=f"{todo}; formats read: {READS}",
    )
    unknown.foreign = foreign
    raise unknown


def is_chaff(name: str, start: bytes) -> bool:
    """Tell whether a member of an archive that is no capture is not worth a word: notes, pictures, what systems add."""
    last = name.rsplit("!/", maxsplit=1)[-1]
    return last.startswith(_CHAFF) or last.rsplit("/", maxsplit=1)[-1].startswith(_CHAFF) or is_text(start)


def _look(start: bytes) -> tuple[str, str, bool]:
    """Return what a file is, what to do, and whether tshark may know it."""
    for offset, magic, what, todo in _OTHERS:
        if start.startswith(magic, offset):
            return what, todo, False
    for offset, magic, what in _FOREIGN:
        if start.startswith(magic, offset):
            return what, ASK_TSHARK, True
    if _is_hci(start):
        return "a Bluetooth log of hcidump, which hardly holds mail", ASK_TSHARK, True
    if is_text(start):
        names = [what for words, what in _FOREIGN_TEXT if words.search(start)]
        if names:
            return names[0], ASK_TSHARK, True
        return "it looks like text", "give the capture file itself, or Wireshark's packet list as text or CSV", True
    return "the first octets belong to no format known here", f"if Wireshark opens it, {ASK_TSHARK}", True


def _is_hci(start: bytes) -> bool:
    """Tell a log of hcidump, which has no magic, by its first three records."""
    at = 0
    for _ in range(3):
        if at + _HCI_BYTES >= len(start):
            return False
        size, direction, nothing, _, fraction = _HCI(start, at)
        if not size or direction > 1 or nothing or fraction >= 1_000_000 or not 1 <= start[at + _HCI_BYTES] <= 4:
            return False
        at += _HCI_BYTES + size
    return True
