"""TLS with keys, through tshark: what it exports, and what is no key log."""

import io
import struct
from ipaddress import ip_address
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.at import At
from analyzer.capture import decrypted
from analyzer.capture.decrypted import RECORD_LIMIT_BYTES, Clear, clear_text, keys_in, tshark_for
from analyzer.errors import CaptureError, EngineMissing
from tests.secured import C, Pair, S, secured
from tests.wire import Wire

KEY = b"CLIENT_RANDOM " + b"ab" * 32 + b" " + b"cd" * 48
SAID = [(S, b"* OK ready\r\n"), (C, b"A1 LOGIN joe secret\r\n"), (S, b"A1 OK done\r\n")]


def tag(kind: int, value: bytes) -> bytes:
    return struct.pack(">HH", kind, len(value)) + value.ljust(len(value) + 3 & ~3, b"\0")


def exported(data: bytes, *, frame: int = 9, src: str = "192.0.2.1", dst: str = "192.0.2.2") -> bytes:
    numbers = (struct.pack(">I", x) for x in (2, 993, 50_000, frame))
    kinds = {4: (20, 21), 6: (22, 23)}[ip_address(src).version]
    ends = b"".join(tag(kind, ip_address(x).packed) for kind, x in zip(kinds, (src, dst), strict=True))
    tags = b"".join(tag(kind, x) for kind, x in zip((24, 25, 26, 30), numbers, strict=True))
    return tag(12, b"imap") + ends + tags + tag(0, b"") + data


def pipe(*bodies: bytes, order: str = "<") -> IO[bytes]:
    head = struct.pack(f"{order}IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 1 << 18, 252)
    return io.BytesIO(head + b"".join(struct.pack(f"{order}IIII", 5, 7, len(x), len(x)) + x for x in bodies))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("src", "dst"), [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")])
def test_an_exported_record(order: str, src: str, dst: str) -> None:
    found = list(decrypted._records(pipe(exported(b"* OK", src=src, dst=dst), exported(b""), order=order)))
    assert found[0] == Clear(At(9, 5_000_000_007), src, 993, dst, 50_000, b"* OK")
    assert [x.data for x in found] == [b"* OK", b""]


@pytest.mark.parametrize("body", [b"", tag(20, b"abc") + tag(0, b""), exported(b"x", frame=0), b"\0\x14\xff\xff"])
def test_a_record_without_its_place_is_passed_over(body: bytes) -> None:
    assert [x.data for x in decrypted._records(pipe(body, exported(b"next")))] == [b"next"]


@given(st.binary(max_size=200))
def test_any_octets_from_the_pipe(data: bytes) -> None:
    list(decrypted._records(io.BytesIO(data)))
    list(decrypted._records(pipe(data)))
    stream = pipe()
    stream.seek(0, io.SEEK_END)
    stream.write(data)
    stream.seek(0)
    list(decrypted._records(stream))


def test_a_record_longer_than_any_ends_it() -> None:
    assert list(decrypted._records(pipe(bytes(RECORD_LIMIT_BYTES + 1), exported(b"x")))) == []


def test_only_keys_are_taken_from_a_key_log(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(
        b"# a comment\r\n"
        + KEY
        + b"\r\n\nnonsense\nCLIENT_RANDOM zz zz\n"
        + KEY.replace(b"RANDOM", b"TRAFFIC_SECRET_0")
    )
    assert keys_in(path) == KEY + b"\n" + KEY.replace(b"RANDOM", b"TRAFFIC_SECRET_0") + b"\n"


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\n", bytes(1000)])
def test_what_is_no_key_log(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CaptureError) as caught:
        keys_in(path)
    assert caught.value.hint
    assert "BEGIN" not in str(caught.value)


def test_without_tshark_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path) -> str:
        raise EngineMissing("no", path=path)

    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("analyzer.capture.via_tshark.tshark_of", missing)
    with pytest.raises(EngineMissing, match="reads TLS with keys") as caught:
        tshark_for(tmp_path)
    assert "apt install tshark" in caught.value.hint


@pytest.mark.parametrize(
    ("services", "words"),
    [
        ([(993, None)], ["tcp.port==993,tls", "tls.port==993,data"]),
        ([(143, "imap"), (110, "pop3"), (587, "smtp")], []),
        ([(1143, "imap"), (1110, "pop3")], ["tcp.port==1143,imap", "tcp.port==1110,pop"]),
        ([(143, "imap"), (143, None)], []),
        ([(143, None), (143, "imap")], []),
        ([(n, "imap") for n in range(1000, 2000)], [f"tcp.port=={n},imap" for n in range(1000, 1200)]),
    ],
)
def test_what_tshark_is_told_of_ports(services: list[tuple[int, str | None]], words: list[str]) -> None:
    assert [x for x in decrypted._decode_as(services) if x != "-d"] == words


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_what_was_said_comes_with_its_frames(pair: Pair, tmp_path: Path, version: str) -> None:
    keys, wire = tmp_path / "keys", Wire(seed=3)
    wire.dialogue(secured(SAID, pair, version, keylog=keys), "192.0.2.11", "198.51.100.10", port=993)
    path = wire.save(tmp_path / "a.pcap")
    found = list(clear_text(path, keys_in(keys), [(993, None)]))
    assert [x.data for x in found] == [data for _, data in SAID]
    assert [(x.src, x.sport == 993) for x in found] == [
        ("198.51.100.10", True), ("192.0.2.11", False), ("198.51.100.10", True)
    ]  # fmt: skip
    assert [x.at.frame for x in found] == sorted({x.at.frame for x in found})
    assert all(abs(x.at.ts - wire.start) < 10**9 for x in found)
    assert list(clear_text(path, KEY, [(993, None)])) == []


@pytest.mark.usefixtures("tshark")
def test_what_tshark_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(b"no capture at all, and longer than any magic")
    with pytest.raises(CaptureError, match="tshark cannot read it"):
        list(clear_text(path, KEY, []))


@pytest.mark.usefixtures("tshark")
def test_a_member_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(bytes(100))
    with pytest.raises(CaptureError, match="there is no b"):
        list(clear_text(path, KEY, [], name="b"))
