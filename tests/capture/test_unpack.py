"""Packed captures: every packing gives the rows of the plain file; damage, bombs and passwords are told."""

import bz2
import gzip
import hashlib
import io
import lzma
import sys
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import lz4.frame
import py7zr
import pytest
import zstandard

import analyzer
from analyzer.capture import Capture, captures, open_capture, spool, unpack
from analyzer.errors import CaptureError, EngineMissing, PasswordNeeded, UnknownFormat
from tests.capture.building import ethernet, expected, pcap, pcapng, read, talk

GOOD = pcap([ethernet(datagram) for datagram in talk()])
OTHER = pcapng(talk(), link=101)


STREAMS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "lz4": lz4.frame.compress,
}


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, octets in members.items():
            archive.writestr(name, octets)
    return file.getvalue()


def tarred(members: dict[str, bytes], kind: int = tarfile.GNU_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        for name, octets in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(octets)
            archive.addfile(info, io.BytesIO(octets))
    return file.getvalue()


def seven(members: dict[str, bytes], password: str | None = None) -> bytes:
    file = io.BytesIO()
    with py7zr.SevenZipFile(file, "w", password=password) as archive:
        for name, octets in members.items():
            archive.writestr(octets, name)
    return file.getvalue()


def all_of(path: Path, content: bytes) -> list[tuple[str, str, int] | CaptureError]:
    path.write_bytes(content)
    found: list[tuple[str, str, int] | CaptureError] = []
    for capture in captures(path):
        if isinstance(capture, CaptureError):
            found.append(capture)
        else:
            found.append((capture.name, capture.facts.format, sum(map(len, capture.windows()))))
    return found


@pytest.mark.parametrize("kind", STREAMS)
def test_streams(tmp_path: Path, kind: str) -> None:
    pack = STREAMS[kind]
    rows, facts, _ = read(tmp_path / "a", pack(GOOD))
    assert (rows, facts.format, facts.stopped) == (expected(), f"pcap ({kind})", None)
    assert read(tmp_path / "b", pack(GOOD[:99]) + pack(GOOD[99:]))[0] == expected()
    assert read(tmp_path / "c", gzip.compress(pack(GOOD)))[1].format == f"pcap (gzip, {kind})"


@pytest.mark.parametrize("kind", STREAMS)
def test_a_cut_stream_is_read_up_to_the_cut(tmp_path: Path, kind: str) -> None:
    content = STREAMS[kind](GOOD + OTHER * 2000)
    rows, facts, _ = read(tmp_path / "a", content[: len(content) - 9])
    assert rows[:7] == expected()
    assert facts.stopped is not None


@pytest.mark.parametrize("kind", STREAMS)
def test_a_damaged_stream_is_no_bug_of_ours(tmp_path: Path, kind: str) -> None:
    content = bytearray(STREAMS[kind](GOOD + OTHER))
    for place in range(20, len(content), 13):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        (tmp_path / "a").write_bytes(damaged)
        with suppress(CaptureError):
            read(tmp_path / "a")


@pytest.mark.parametrize("kind", STREAMS)
def test_a_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(spool, "UNPACKED_LIMIT_BYTES", 2 << 20)
    rows, facts, _ = read(tmp_path / "a", STREAMS[kind](GOOD + bytes(20 << 20)))
    assert rows == expected()
    assert facts.stopped is not None
    assert "more than 2097152 octets" in facts.stopped.reason


MEMBERS = {"day/a.pcap": GOOD, "readme.txt": b"as asked\n", "b.pcapng": OTHER, "__MACOSX/._a.pcap": b"\0\5\x16\7"}
ARCHIVES = {
    "zip": (zipped(MEMBERS), "zip"),
    "zip, stored": (zipped(MEMBERS, zipfile.ZIP_STORED), "zip"),
    "zip, lzma": (zipped(MEMBERS, zipfile.ZIP_LZMA), "zip"),
    "tar": (tarred(MEMBERS), "tar"),
    "tar, pax": (tarred(MEMBERS, tarfile.PAX_FORMAT), "tar"),
    "tar, ustar": (tarred(MEMBERS, tarfile.USTAR_FORMAT), "tar"),
    "tar.gz": (gzip.compress(tarred(MEMBERS)), "gzip, tar"),
    "tar.xz": (lzma.compress(tarred(MEMBERS)), "xz, tar"),
    "7z": (seven(MEMBERS), "7z"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_of_several_captures(tmp_path: Path, kind: str) -> None:
    content, packing = ARCHIVES[kind]
    found = all_of(tmp_path / "case", content)
    assert sorted(found) == [
        ("case!/b.pcapng", f"pcapng ({packing})", 7),
        ("case!/day/a.pcap", f"pcap ({packing})", 7),
    ]


def test_one_member_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "case").write_bytes(ARCHIVES["zip"][0])
    found = list(captures(tmp_path / "case!/b.pcapng"))
    assert [capture.name for capture in found if not isinstance(capture, CaptureError)] == ["case!/b.pcapng"]
    with pytest.raises(UnknownFormat, match=r"no capture c\.pcap"):
        open_capture(tmp_path / "case!/c.pcap")


def test_an_archive_in_an_archive(tmp_path: Path) -> None:
    inner = gzip.compress(tarred({"a.pcap": GOOD}))
    assert all_of(tmp_path / "case", zipped({"night.tgz": inner})) == [
        ("case!/night.tgz!/a.pcap", "pcap (zip, gzip, tar)", 7)
    ]
    for _ in range(unpack.DEPTH_LIMIT):
        inner = zipped({"x": inner})
    with pytest.raises(UnknownFormat, match="packed too deeply"):
        raise next(x for x in all_of(tmp_path / "deep", inner) if isinstance(x, CaptureError))


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_tar(tmp_path: Path, kind: int) -> None:
    name = "d" * 120 + "/a.pcap"
    assert all_of(tmp_path / "t", tarred({name: GOOD, "b": GOOD}, kind)) == [
        (f"t!/{name}", "pcap (tar)", 7),
        ("t!/b", "pcap (tar)", 7),
    ]


def test_cut_archives(tmp_path: Path) -> None:
    assert all_of(tmp_path / "t", tarred({"a": GOOD, "b": GOOD})[: 512 + 1024 + 512 + 200]) == [
        ("t!/a", "pcap (tar)", 7),
        ("t!/b", "pcap (tar)", 2),
    ]
    content = ARCHIVES["7z"][0]
    with pytest.raises(CaptureError, match="damaged or cut"):
        all_of(tmp_path / "a", content[: len(content) // 2])


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_without_its_directory_is_read_up_to_the_cut(tmp_path: Path, method: int) -> None:
    content = zipped({"a.pcap": GOOD, "b.pcap": GOOD + OTHER * 500}, method)
    directory = content.index(b"PK\1\2")
    assert all_of(tmp_path / "t", content[:directory])[0] == ("t!/a.pcap", "pcap (zip)", 7)
    first, second = captures_of(tmp_path / "t", content[: directory - 40])
    assert (first.facts.packets, first.facts.stopped, second.facts.packets) == (7, None, 7)
    assert second.facts.stopped is not None
    with pytest.raises(CaptureError, match="damaged or cut"):
        all_of(tmp_path / "t", content[:20])


def test_a_cut_zip_that_tells_sizes_behind_its_data(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.pcap": GOOD}))
    content[6] |= 8
    content[18:26] = bytes(8)
    assert all_of(tmp_path / "t", bytes(content[: content.index(b"PK\1\2")])) == [("t!/a.pcap", "pcap (zip)", 7)]


def encrypted(content: bytes) -> bytes:
    """Set the flag of encryption of the first member, in its own header and in the directory."""
    octets = bytearray(content)
    octets[6] |= 1
    octets[octets.index(b"PK\1\2") + 8] |= 1
    return bytes(octets)


def test_encrypted_members_ask_for_the_password_and_the_others_are_read(tmp_path: Path) -> None:
    error, *others = all_of(tmp_path / "case", encrypted(zipped({"a.pcap": GOOD, "b.pcap": GOOD})))
    assert isinstance(error, PasswordNeeded)
    assert str(error.path).endswith("case!/a.pcap")
    assert others == [("case!/b.pcap", "pcap (zip)", 7)]


def test_aes_is_named(tmp_path: Path) -> None:
    """WinZip's AES: method 99 in both headers of the member."""
    octets = bytearray(encrypted(zipped({"a.pcap": GOOD, "b.pcap": GOOD})))
    for place in (8, octets.index(b"PK\1\2") + 10):
        octets[place : place + 2] = (99).to_bytes(2, "little")
    error, *others = all_of(tmp_path / "case", bytes(octets))
    assert isinstance(error, PasswordNeeded)
    assert str(error) == "the member a.pcap is encrypted with AES and needs a password"
    assert others == [("case!/b.pcap", "pcap (zip)", 7)]
    assert analyzer.read(tmp_path / "case", strict=False).result.captures[0].state == "password_needed"


@pytest.mark.parametrize(
    "content", [seven({"a.pcap": GOOD}, "secret"), b"Salted__" + bytes(64), b"-----BEGIN PGP MESSAGE-----\n\nabc\n"]
)
def test_what_is_encrypted_as_a_whole(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(PasswordNeeded, match="password"):
        all_of(tmp_path / "a", content)


def test_a_member_that_is_no_capture_is_named(tmp_path: Path) -> None:
    first, second = all_of(tmp_path / "case", zipped({"x.bin": b"\0\1\2\3\4\5\6\7\x08", "a.pcap": GOOD}))
    assert isinstance(first, UnknownFormat)
    assert str(first.path).endswith("case!/x.bin")
    assert second == ("case!/a.pcap", "pcap (zip)", 7)
    with pytest.raises(UnknownFormat, match="holds no capture"):
        all_of(tmp_path / "case", zipped({"readme.txt": b"nothing"}))


def test_limits_of_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MEMBERS_LIMIT", 3)
    with pytest.raises(CaptureError, match="more than 3 members"):
        all_of(tmp_path / "a", zipped({str(n): GOOD for n in range(4)}))
    monkeypatch.setattr(spool, "UNPACKED_LIMIT_BYTES", 1 << 20)
    for pack in (zipped, tarred):
        first, second = captures_of(
            tmp_path / "b", pack({"a": GOOD + b"\xff" * (900 << 10), "b": GOOD + b"\xff" * (900 << 10)})
        )
        assert [first.facts.packets, second.facts.packets] == [7, 7]
        assert second.facts.stopped is not None
        assert "more than 1048576 octets" in second.facts.stopped.reason
    with pytest.raises(CaptureError, match="more than 1048576 octets"):
        all_of(tmp_path / "c", seven({"a": bytes(2 << 20)}))


def captures_of(path: Path, content: bytes) -> list[Capture]:
    path.write_bytes(content)
    found = []
    for capture in captures(path):
        assert not isinstance(capture, CaptureError)
        for _ in capture.windows():
            pass
        found.append(capture)
    return found


@pytest.mark.parametrize(("kind", "package"), [("lz4", "lz4"), ("zstd", "zstandard"), ("7z", "py7zr")])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, package: str) -> None:
    for name in (package, f"{package}.frame", "compression"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    content = STREAMS[kind](GOOD) if kind in STREAMS else ARCHIVES[kind][0]
    with pytest.raises(EngineMissing, match=package) as caught:
        all_of(tmp_path / "a", content)
    assert "mailscope[formats]" in caught.value.hint


def test_standard_input_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.save(io.BytesIO(GOOD), tmp_path / "stdin")
    assert (tmp_path / "stdin").read_bytes() == GOOD
    monkeypatch.setattr(spool, "UNPACKED_LIMIT_BYTES", 100)
    with pytest.raises(CaptureError, match="more than 100 octets"):
        spool.save(io.BytesIO(GOOD), tmp_path / "stdin")


@pytest.fixture(params=["zlib", "isal"])
def inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let gzip be read by Python's own module, or by the package that is faster."""
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    else:
        pytest.importorskip("isal")
    return str(request.param)


@pytest.mark.usefixtures("inflater")
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_gzip_in_one_or_several_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int, memory: int
) -> None:
    monkeypatch.setattr(spool, "MEMORY_LIMIT_BYTES", memory)
    step = len(GOOD) // parts + 1
    content = b"".join(gzip.compress(GOOD[at : at + step]) for at in range(0, len(GOOD), step))
    rows, facts, _ = read(tmp_path / "a", content + b"\0" * 9)
    assert (rows, facts.format, facts.stopped) == (expected(), "pcap (gzip)", None)
    assert read(tmp_path / "b", gzip.compress(pcapng(talk(), link=101)))[1].format == "pcapng (gzip)"


@pytest.mark.usefixtures("inflater")
@pytest.mark.parametrize("step", [1, 7, 64])
def test_gzip_in_small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(unpack, "STEP_BYTES", step)
    assert read(tmp_path / "a", gzip.compress(GOOD) + gzip.compress(b""))[0] == expected()


@pytest.mark.usefixtures("inflater")
def test_cut_gzip_is_read_up_to_the_damage(tmp_path: Path) -> None:
    content = gzip.compress(GOOD)
    found = []
    for size in range(2, len(content) - 1):
        try:
            rows, facts, _ = read(tmp_path / "a", content[:size])
        except CaptureError:
            found.append(0)
            continue
        assert facts.stopped is not None
        assert facts.stopped.reason == "the gzip data ends too early"
        assert rows == expected()[: len(rows)]
        found.append(len(rows))
    assert found == sorted(found)
    assert found[-1] == 7


@pytest.mark.usefixtures("inflater")
def test_damaged_gzip_is_read_up_to_the_damage(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(GOOD, compresslevel=0))
    content[-4] ^= 0xFF
    rows, facts, _ = read(tmp_path / "a", bytes(content))
    assert (rows, facts.stopped[0], facts.stopped[2]) == (expected(), 7, "the gzip data is damaged")


def test_gzip_comes_to_the_same_by_either_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, damaged anywhere, and cut: the same octets, and the same word on why they end."""
    pytest.importorskip("isal")
    whole = gzip.compress(GOOD[:500]) + gzip.compress(GOOD[500:])

    def told(content: bytes) -> tuple[bytes, str | None]:
        data, damage = spool.spooled(unpack._gzip(io.BytesIO(content)), "gzip")
        return bytes(data), damage

    damaged = [whole[:at] + bytes([whole[at] ^ 0x15]) + whole[at + 1 :] for at in range(2, len(whole), 3)]
    inputs = [whole, whole + b"behind", *damaged, *(whole[:at] for at in range(2, len(whole), 5))]
    fast = [told(content) for content in inputs]
    monkeypatch.setitem(sys.modules, "isal", None)
    assert fast == [told(content) for content in inputs]
    assert {why for _, why in fast} == {None, "the gzip data is damaged", "the gzip data ends too early"}


def test_an_empty_gzip(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(b""))
    with pytest.raises(CaptureError, match="empty file packed"):
        open_capture(tmp_path / "a")


def test_each_member_of_an_archive_has_its_own_digest(tmp_path: Path) -> None:
    packed = gzip.compress(GOOD)
    members = {"a.pcap": GOOD, "b.pcap.gz": packed, "c.bin": bytes(600), "d.zip": zipped({"e.pcap": OTHER})}
    path = tmp_path / "case.zip"
    path.write_bytes(zipped(members))
    digests = {x.name: x.sha256 for x in analyzer.read(path, strict=False).result.captures}
    wanted = {"a.pcap": GOOD, "b.pcap.gz": packed, "c.bin": bytes(600), "d.zip!/e.pcap": OTHER}
    assert digests == {f"case.zip!/{name}": hashlib.sha256(octets).hexdigest() for name, octets in wanted.items()}
    assert {x.sha256 for x in analyzer.read(path, strict=False, hashed=False).result.captures[:2]} == {None}
    (tmp_path / "a.gz").write_bytes(packed)  # one file, packed: its digest is the one that can be looked up
    (seen,) = analyzer.read(tmp_path / "a.gz").result.captures
    assert seen.sha256 == hashlib.sha256(packed).hexdigest()
