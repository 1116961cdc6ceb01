"""A capture through tshark and pyshark: odd file formats, and the referee for our own reader.

Two passes: one lists every frame with its time (for the facts), one dissects the mail packets. By port only. pyshark
needs an event loop that nobody else runs, so all of it happens in one thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from analyzer.at import NS_PER_S
from analyzer.capture.formats import ASK_TSHARK
from analyzer.capture.packets import Facts, Packets, Stopped, Unreachable
from analyzer.capture.unreachable import complaint
from analyzer.capture.window import Window
from analyzer.errors import CaptureError, EngineMissing, UnknownFormat
from analyzer.text import clean

_HINT = "install Wireshark with its command line tools (Debian: apt install tshark); pcap and pcapng files are read without it"
_LAYERS = "frame ip ipv6 tcp icmp icmpv6"
_SILENCED = ("imap", "pop", "smtp", "tls", "imf")  # only TCP is asked for; dissecting mail costs time and may go wrong
_FLAGS = 0x1F
_DRAIN_BYTES = 1 << 16
_ENCAPSULATIONS = {
    "1": "ethernet",
    "4": "ppp",
    "7": "raw_ip",
    "15": "null",
    "20": "ieee802_11",
    "23": "ieee802_11_radiotap",
    "25": "linux_sll",
    "129": "raw_ipv4",
    "130": "raw_ipv6",
    "210": "linux_sll2",
}
"""Wireshark's encapsulation numbers (wiretap/wtap.h) -> our link type names."""
_NO_CAPTURES = frozenset({"encapsulation_134", "encapsulation_175"})
"""What Wireshark shows as one frame though it is no capture: pictures and programs; JSON."""


class TsharkCapture:
    """A capture read by tshark."""

    def __init__(self, path: Path, ports: frozenset[int]) -> None:
        """Find tshark and list the frames.

        Raises:
            EngineMissing: tshark or pyshark is not installed.
            CaptureError: tshark cannot read the file.
        """
        self.name = clean(path.name)
        self._path, self._ports, self._tshark = path, ports, tshark_of(path)
        self.facts = _facts(self._tshark, path)

    def windows(self) -> Iterator[Packets]:
        """Yield the mail packets window by window; works inside a running event loop too."""
        steps = self._windows()
        with ThreadPoolExecutor(1) as thread:
            try:
                while (taken := thread.submit(next, steps, None).result()) is not None:
                    yield taken
            finally:
                thread.submit(steps.close).result()

    def _windows(self) -> Generator[Packets]:
        """Do the same in whatever thread runs this; every step must come from that one thread."""
        window = Window(self.facts)
        for packet in self._dissected():
            _take(packet, window)
            if window.full and (taken := window.take()) is not None:
                yield taken
        if (taken := window.take()) is not None:
            yield taken

    def _dissected(self) -> Generator[Any]:
        """Yield pyshark's packets; loop and tshark are closed whatever happens."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        capture = _quiet_capture()(
            str(self._path.absolute()),
            keep_packets=False,
            display_filter=_display_filter(self._ports),
            eventloop=loop,
            tshark_path=self._tshark,
            override_prefs={"tcp.desegment_tcp_streams": "FALSE"},
            custom_parameters=["-j", _LAYERS, *(part for name in _SILENCED for part in ("--disable-protocol", name))],
        )
        packets = iter(capture)
        try:
            yield from packets
        finally:
            packets.close()
            capture.close()
            loop.run_until_complete(asyncio.sleep(0))  # lets the pipes close before their loop does
            asyncio.set_event_loop(None)
            loop.close()


def last_resort(path: Path, ports: frozenset[int], unknown: UnknownFormat) -> TsharkCapture:
    """Let tshark read what our own readers do not know.

    Raises:
        UnknownFormat: as before, with what came of asking tshark in its hint.
    """
    try:
        capture = TsharkCapture(path, ports)
    except EngineMissing:
        raise unknown from None
    except CaptureError as failure:
        unknown.hint = unknown.hint.replace(ASK_TSHARK, "convert it to pcap with it; tshark does not know it here")
        raise unknown from failure
    if not capture.facts.packets or _NO_CAPTURES & set(capture.facts.link_types):
        raise unknown
    capture.facts.warnings.append(
        "our readers do not know this format: tshark read it, which finds mail by its port only"
    )
    return capture


def _quiet_capture() -> Any:
    """Return pyshark's FileCapture, ending its tshark in peace.

    pyshark kills a tshark that has just finished, loses its exit status and complains of it; and it raises where tshark
    fails behind the last packet of a damaged file, which the first pass has noted already.
    """
    import pyshark

    class QuietCapture(pyshark.FileCapture):  # type: ignore[misc]
        async def _cleanup_subprocess(self, process: asyncio.subprocess.Process) -> None:
            if not self._eof_reached and process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGTERM)
                while process.stdout is not None and await process.stdout.read(_DRAIN_BYTES):
                    pass  # what it still had to say, so that its pipe can close
            await process.wait()
            self._running_processes.discard(process)

    return QuietCapture


def tshark_of(path: Path) -> str:
    """Return the path of tshark.

    Raises:
        EngineMissing: it, or pyshark, is not installed.
    """
    try:
        from pyshark.tshark.tshark import TSharkNotFoundException, get_process_path
    except ImportError as failure:
        raise EngineMissing("pyshark is not installed", path=path, hint="pip install pyshark") from failure
    try:
        return str(get_process_path())
    except TSharkNotFoundException as failure:
        raise EngineMissing("tshark is not installed", path=path, hint=_HINT) from failure


def _facts(tshark: str, path: Path) -> Facts:
    """List every frame: how many, from when to when, of which link types, and why reading ended."""
    facts, encapsulations = Facts(format="tshark"), dict[str, None]()
    with _listing(tshark, path) as listing, ThreadPoolExecutor(1) as thread:
        complaints = thread.submit(listing.stderr.read if listing.stderr else str)
        for line in listing.stdout or ():
            time, _, encapsulation = line.rstrip("\n").partition("\t")
            encapsulations[encapsulation] = None
            _count(facts, time)
        said = complaints.result().strip()
    facts.link_types = [_ENCAPSULATIONS.get(number, f"encapsulation_{number}") for number in encapsulations]
    if listing.returncode:
        reason = clean(said.splitlines()[-1] if said else "tshark gave no reason")
        if not facts.packets:
            raise CaptureError(f"tshark cannot read it: {reason}", path=path)
        facts.stopped = Stopped(facts.packets, path.stat().st_size, reason)
    return facts


def _listing(tshark: str, path: Path) -> subprocess.Popen[str]:
    """Start a tshark that writes time and encapsulation of every frame, and looks no further into it."""
    quiet = ("--disable-protocol", "ip", "--disable-protocol", "ipv6")
    fields = ("-T", "fields", "-e", "frame.time_epoch", "-e", "frame.encap_type")
    command = [tshark, "-n", "-r", str(path.absolute()), *quiet, *fields]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, errors="replace")  # noqa: S603


def _count(facts: Facts, time: str) -> None:
    facts.packets += 1
    if not time:  # blocks that carry no time
        return
    ts = _ns(time)
    facts.start = ts if facts.start is None else min(facts.start, ts)
    facts.end = ts if facts.end is None else max(facts.end, ts)
    if ts % 1000:
        facts.resolution = 9


def _ns(epoch: str) -> int:
    """Turn '1379404800.000000123' into ns."""
    seconds, _, fraction = epoch.partition(".")
    return int(seconds) * NS_PER_S + int(fraction.ljust(9, "0")[:9] or 0)


def _display_filter(ports: frozenset[int]) -> str:
    return " or ".join(f"tcp.port=={port}" for port in sorted(ports)) or "frame.number==0"


def _take(packet: Any, window: Window) -> None:
    """Put one packet into the window: a row, or a complaint that quotes one."""
    layers = {layer.layer_name: layer for layer in packet.layers}  # of nested ones the innermost stays
    ip = layers.get("ip") or layers.get("ipv6")
    ts = _ns(str(packet.frame_info.time_epoch or "0"))
    for name, version4 in (("icmp", True), ("icmpv6", False)):
        if name in layers:
            _complaint(packet, layers[name], ip, ts, window, version4=version4)
            return
    if "tcp" in layers and ip is not None:
        _row(packet, layers["tcp"], _innermost(packet), ts, window)


def _innermost(packet: Any) -> Any:
    """Return the last IP layer, which is the one around TCP."""
    return [layer for layer in packet.layers if layer.layer_name in ("ip", "ipv6")][-1]


def _row(packet: Any, tcp: Any, ip: Any, ts: int, window: Window) -> None:
    version4 = ip.layer_name == "ip"
    octets = tcp.get_field("payload") or tcp.get_field("reset_cause")  # what an RST carries has another name
    payload = bytes.fromhex(octets.raw_value) if octets else b""
    length = int(str(tcp.get_field("len") or len(payload)))
    window.add_read(
        frame=int(packet.number),
        ts=ts,
        src=ip_address(str(ip.src)).packed,
        dst=ip_address(str(ip.dst)).packed,
        tcp=(
            int(str(tcp.srcport)),
            int(str(tcp.dstport)),
            int(str(tcp.seq_raw)),
            int(str(tcp.ack_raw)),
            int(str(tcp.flags), 16) & _FLAGS,
        ),
        payload=payload,
        cut=max(length - len(payload), 0),
        rest=(
            int(str(ip.id), 16) if version4 else 0,
            int(str(ip.ttl if version4 else ip.hlim)),
            0,
            int(str(tcp.window_size_value)),
        ),
    )


def _complaint(packet: Any, icmp: Any, ip: Any, ts: int, window: Window, *, version4: bool) -> None:
    code = complaint(int(str(icmp.type)), int(str(icmp.code)), version4=version4)
    quoted = "ip" if version4 else "ipv6"
    source, target = icmp.get_field(f"{quoted}_src"), icmp.get_field(f"{quoted}_dst")
    sport, dport = icmp.get_field("tcp_srcport"), icmp.get_field("tcp_dstport")
    if code is not None and None not in (source, target, sport, dport):
        window.complain(
            Unreachable(
                int(packet.number), ts, str(ip.src), str(source), str(target), int(str(sport)), int(str(dport)), code
            )
        )
