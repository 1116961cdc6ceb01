"""ERF has no magic: its records are recognised by leading from one to the next."""

import struct
from pathlib import Path

import pytest

from analyzer.capture.erf import is_erf
from analyzer.errors import UnknownFormat
from tests.capture.building import START, STEP, ethernet, expected, read, talk


def record(number: int, body: bytes, kind: int = 2, wire: int | None = None, extensions: bytes = b"") -> bytes:
    sec, ns = divmod(START + number * STEP, 10**9)
    body = extensions + (bytes(2) if kind & 0x7F == 2 else b"") + body
    body += bytes(-len(body) % 8)
    wire = len(body) if wire is None else wire
    stamp = sec << 32 | -(-(ns << 32) // 10**9)
    return struct.pack("<QBB", stamp, kind, 4) + struct.pack(">HHH", 16 + len(body), 0, wire) + body


FRAMES = [ethernet(datagram) for datagram in talk()]
MORE = bytes((0x80, *bytes(7))) + bytes(8)
KINDS = {
    "ethernet": [record(n, frame, wire=len(frame) + 4) for n, frame in enumerate(FRAMES)],
    "extension headers": [record(n, frame, 0x82, len(frame) + 4, MORE) for n, frame in enumerate(FRAMES)],
    "ip": [record(n, datagram, 22) for n, datagram in enumerate(talk())],
    "ppp": [record(n, b"\xff\x03\0\x21" + datagram, 1) for n, datagram in enumerate(talk())],
    "cisco": [record(n, b"\x0f\0\x08\0" + datagram, 1) for n, datagram in enumerate(talk())],
}


@pytest.mark.parametrize("kind", KINDS)
def test_erf(tmp_path: Path, kind: str) -> None:
    rows, facts, _ = read(tmp_path / "a", b"".join(KINDS[kind]))
    assert (rows, facts.format, facts.stopped, facts.resolution) == (expected(), "ERF", None, 9)
    rows, facts, _ = read(tmp_path / "a", b"".join(KINDS[kind])[:-9])
    assert rows == expected(6)
    assert facts.stopped is not None


def test_padding_is_counted_and_holds_nothing(tmp_path: Path) -> None:
    rows, facts, _ = read(tmp_path / "a", record(0, bytes(8), 48) + b"".join(KINDS["ethernet"]))
    assert ([row[0] for row in rows], facts.packets) == ([n + 2 for n in range(7)], 8)


def test_one_record_must_hold_ethernet(tmp_path: Path) -> None:
    assert is_erf(record(0, FRAMES[0]))
    assert not is_erf(record(0, bytes(60)))
    assert not is_erf(b"")
    (tmp_path / "a").write_bytes(record(0, FRAMES[0]) + b"\0" * 16)
    with pytest.raises(UnknownFormat):
        read(tmp_path / "a")
