"""Who is compared: each reader as a command, how much of the capture it is given, and whether it is installed."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.measure import Command

MAIL_FILTER = "tcp port 143 or (vlan and tcp port 143)"
FIELDS = ("-Y", "imap", "-T", "fields", "-e", "frame.number", "-e", "imap.response")

_SCAPY = """
import sys
from scapy.all import PcapReader, TCP
with PcapReader(sys.argv[1]) as packets:
    print(sum(1 for p in packets if TCP in p and 143 in (p[TCP].sport, p[TCP].dport)))
"""
_PYSHARK = """
import sys, pyshark
capture = pyshark.FileCapture(sys.argv[1], display_filter="imap", keep_packets=False)
print(sum(1 for _ in capture))
capture.close()
"""
_DPKT = """
import sys, dpkt
def tcp(octets):
    inner = dpkt.ethernet.Ethernet(octets).data
    return inner.data if isinstance(inner, dpkt.ip.IP) and isinstance(inner.data, dpkt.tcp.TCP) else None
with open(sys.argv[1], "rb") as file:
    found = (tcp(octets) for _, octets in dpkt.pcap.UniversalReader(file))
    print(sum(1 for p in found if p is not None and 143 in (p.sport, p.dport)))
"""


class Rival(NamedTuple):
    """One reader."""

    name: str
    pipe: Callable[[Path], tuple[Command, ...]]
    needs: tuple[str, ...] = ()
    """Programs or packages."""
    sampled: bool = False
    """Too slow for a whole capture: it reads a small one of the same traffic, and its cost is scaled up."""
    plain_only: bool = False
    """Left out where the capture is packed, or ten gigabytes."""

    @property
    def installed(self) -> bool:
        """Whether everything it needs is there."""
        return all(shutil.which(name) or importlib.util.find_spec(name) for name in self.needs)


def _python(code: str) -> Callable[[Path], tuple[Command, ...]]:
    return lambda path: ((sys.executable, "-c", code, str(path)),)


def tcpdump(path: Path, *words: str) -> tuple[Command, ...]:
    """Return tcpdump reading a capture; behind gzip where it is packed."""
    if path.suffix == ".gz":
        return (("gzip", "-dc", str(path)), ("tcpdump", "-nn", "-r", "-", *words))
    return (("tcpdump", "-nn", "-r", str(path), *words),)


TCPDUMP = Rival("tcpdump, port filter", lambda path: tcpdump(path, "-w", "/dev/null", MAIL_FILTER), ("tcpdump",))
"""What everything is compared with."""

US = Rival("mailscope, verdict", lambda path: ((sys.executable, "-m", "analyzer", "report", str(path)),))

JSON = Rival(
    "mailscope, JSON", lambda path: ((sys.executable, "-m", "analyzer", "report", "--format", "json", str(path)),)
)

RIVALS: tuple[Rival, ...] = (
    Rival("cat", lambda path: (("zcat" if path.suffix == ".gz" else "cat", str(path)),), ("cat",)),
    TCPDUMP,
    US,
    JSON,
    Rival(
        "tcpdump | tshark",
        lambda path: (*tcpdump(path, "-w", "-", MAIL_FILTER), ("tshark", "-n", "-r", "-", *FIELDS)),
        ("tcpdump", "tshark"),
    ),
    Rival("tshark -Y imap", lambda path: (("tshark", "-n", "-r", str(path), *FIELDS),), ("tshark",), True, True),
    Rival("dpkt objects", _python(_DPKT), ("dpkt",), True, True),
    Rival("pyshark imap", _python(_PYSHARK), ("pyshark", "tshark"), True, True),
    Rival("scapy objects", _python(_SCAPY), ("scapy",), True, True),
)
