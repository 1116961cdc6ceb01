"""What was asked for becomes inputs, in order; nothing is dropped, and what is in an archive comes out within limits."""

from __future__ import annotations

import gzip
import http.server
import io
import os
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer.triage import fetch, gather, unpacked
from analyzer.triage.gather import Input, found
from analyzer.triage.unpacked import is_archive, members

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_pcaps"
HEALTHY, REFUSED = (SAMPLES / name for name in ("healthy.pcap", "one_agent_refused.pcap"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where things are unpacked to."""
    made = tmp_path / "temporary"
    made.mkdir()
    return made


def shown(inputs: Iterator[Input]) -> list[str]:
    return [one.shown for one in inputs]


# -- files, folders, patterns


def test_a_folder_is_walked_in_order_without_hidden_files_and_loops(tmp_path: Path) -> None:
    for name in ("b.pcap", "a/z.pcap", "a/.hidden", ".git/config", "c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    assert shown(found(tmp_path)) == ["b.pcap", "c.txt", "a/z.pcap"]
    assert not any(one.named for one in found(tmp_path))


def test_a_folder_that_cannot_be_listed_has_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def walk(folder: Path, onerror: object) -> list[tuple[str, list[str], list[str]]]:
        onerror(PermissionError(13, "Permission denied", str(folder / "closed")))  # type: ignore[operator]
        return []

    monkeypatch.setattr(gather.os, "walk", walk)
    (one,) = found(tmp_path)
    assert (one.shown, one.problem) == ("closed", "folder could not be listed: Permission denied")


def test_a_pattern_stands_for_what_it_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("in/a.pcap", "in/b.txt", "in/sub/a.pcap", "in/sub/c.pcap", "in/[x].pcap"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert shown(found("in/*.pcap")) == ["[x].pcap", "a.pcap"]
    assert shown(found("in/**/*.pcap")) == ["[x].pcap", "a.pcap", "sub/a.pcap", "sub/c.pcap"]
    assert shown(found("i*")) == ["in/[x].pcap", "in/a.pcap", "in/b.txt", "in/sub/a.pcap", "in/sub/c.pcap"]
    assert shown(found("in/[x].pcap")) == ["[x].pcap"]  # a file that is called so comes first
    assert not any(one.named for one in found("in/*.pcap"))
    (nothing,) = found("in/*.etl")
    assert (nothing.named, nothing.problem) == (True, "nothing matches")


@pytest.mark.parametrize("name", ["no\0such", "x" * 5000], ids=["NUL", "long"])
def test_a_name_that_no_file_can_have_is_told(name: str) -> None:
    (one,) = found(name)
    assert one.problem == "no such file"


@pytest.mark.skipif(os.name != "posix", reason="names are octets on POSIX")
def test_a_name_of_any_octets_has_a_place(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff\x1b[31m.pcap")).touch()
    (one,) = found(tmp_path)
    assert one.shown == "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[31m.pcap"
    assert one.location.endswith("/\\xff\x1b[31m.pcap")
    assert one.location.encode()  # any database takes it


# -- archives


NOTES = ("README.txt", b"read me, please\n")


def zipped(path: Path, *files: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in files:
            archive.writestr(name, octets)
    return path


def tarred(path: Path, mode: str, **files: bytes) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, octets in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(octets)
            archive.addfile(info, io.BytesIO(octets))
    return path


def test_each_capture_of_an_archive_is_an_input(tmp_path: Path, folder: Path) -> None:
    team = zipped(tmp_path / "team.zip", ("a", HEALTHY.read_bytes()), NOTES, ("pc/a", REFUSED.read_bytes()))
    inputs = list(gather.gather([team, HEALTHY], folder))
    assert [one.shown for one in inputs] == ["team.zip!/a", "team.zip!/pc/a", "healthy.pcap"]
    assert [one.name for one in inputs] == ["a", "a", "healthy.pcap"]
    assert [one.path.read_bytes() for one in inputs[:2]] == [HEALTHY.read_bytes(), REFUSED.read_bytes()]
    assert inputs[1].location == f"{team}!/pc/a"
    assert [one.named for one in inputs] == [False, False, True]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_a_tar_however_packed(tmp_path: Path, folder: Path, mode: str) -> None:
    path = tarred(tmp_path / "any name", mode, a=HEALTHY.read_bytes(), b=REFUSED.read_bytes())
    assert shown(gather.gather([path], folder)) == ["any name!/a", "any name!/b"]


def test_an_archive_of_one_capture_is_one_input(tmp_path: Path, folder: Path) -> None:
    one = zipped(tmp_path / "one.zip", ("a", HEALTHY.read_bytes()), NOTES)
    with gzip.open(tmp_path / "packed.pcap.gz", "wb") as packed:
        packed.write(HEALTHY.read_bytes())
    none = zipped(tmp_path / "none.zip")
    inputs = list(gather.gather([one, tmp_path / "packed.pcap.gz", none], folder))
    assert [(x.shown, x.path.name) for x in inputs] == [(x, x) for x in ("one.zip", "packed.pcap.gz", "none.zip")]


def test_what_cannot_be_unpacked_is_an_input_that_says_so(tmp_path: Path, folder: Path) -> None:
    path = zipped(tmp_path / "mixed.zip", ("a", HEALTHY.read_bytes()), ("b", b"x" * 99))
    octets = bytearray(path.read_bytes())
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):  # the second member is said to be encrypted
        at = octets.index(mark, octets.index(mark) + 1)
        octets[at + (6 if mark[2] == 3 else 8)] |= 1
    path.write_bytes(octets)
    good, bad = gather.gather([path], folder)
    assert (good.problem, bad.shown, bad.state) == (None, "mixed.zip!/b", "password_needed")
    assert bad.problem is not None
    assert "encrypted" in bad.problem


def test_a_hostile_archive_writes_where_it_may_only(tmp_path: Path, folder: Path) -> None:
    names = ("../../outside.pcap", "/etc/outside.pcap", "..", "a\x1b[31m.pcap", "n" * 3000)
    path = zipped(tmp_path / "hostile.zip", *((name, HEALTHY.read_bytes()) for name in names))
    inputs = list(gather.gather([path], folder))
    assert len(inputs) == len(names)
    for one in inputs:
        assert one.path.resolve().is_relative_to(folder.resolve())
        assert one.path.read_bytes() == HEALTHY.read_bytes()
        assert one.shown.isprintable()
        assert len(one.shown) < 600
    assert sorted(x.name for x in tmp_path.iterdir()) == ["hostile.zip", "temporary"]


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
def test_a_bomb_is_stopped_and_left_to_its_own_run(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "bomb.zip", ("a", bytes(80 << 20)), ("b", HEALTHY.read_bytes()))
    monkeypatch.setattr(unpacked, "TIMEOUT_S", 0.1)
    assert members(path, folder / "late") == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the seal is Linux's")
def test_an_archive_is_unpacked_without_connections_and_programs(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = unpacked._START.replace("analyzer.triage.unpacked", "tests.triage.targets").replace("main", "unpacks")
    monkeypatch.setattr(unpacked, "_START", start)
    (told,) = members(zipped(tmp_path / "a.zip", NOTES), folder / "x")
    assert told.name == "socket refused, program refused"


@pytest.mark.parametrize(
    "octets", [b"", b"PK\x03\x04", b"\x1f\x8b\x08" + bytes(40), b"BZh91AY&SY" + bytes(9), HEALTHY.read_bytes()]
)
def test_what_is_no_archive_is_itself(tmp_path: Path, folder: Path, octets: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(octets)
    assert shown(gather.gather([path], folder)) == ["x"]


def test_what_cannot_be_opened_is_no_archive(tmp_path: Path) -> None:
    assert not is_archive(tmp_path / "none.zip")


# -- addresses


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web server on loopback with one capture."""
    root = tmp_path / "site"
    root.mkdir()
    (root / "healthy.pcap").write_bytes(HEALTHY.read_bytes())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: object, **named: object) -> None:
            super().__init__(*given, directory=str(root), **named)  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_an_address_is_fetched_and_its_secrets_are_not_shown(site: str, folder: Path) -> None:
    pytest.importorskip("aiohttp")
    (one,) = gather.gather([f"{site}/healthy.pcap?signature=geheim#x"], folder)
    assert (one.problem, one.shown, one.location) == (None, f"{site}/healthy.pcap", f"{site}/healthy.pcap")
    assert (one.name, one.named) == ("healthy.pcap", True)
    assert one.path.read_bytes() == HEALTHY.read_bytes()


def test_what_cannot_be_fetched_says_why_and_keeps_its_secrets(site: str, folder: Path) -> None:
    pytest.importorskip("aiohttp")
    address = site.replace("//", "//alice:geheim@")
    inputs = list(gather.gather([f"{address}/none.pcap", "nosuch://geheim@x/y", "simplecache::http://x/y"], folder))
    assert [one.problem for one in inputs[:1]] == ["no such file there"]
    assert inputs[1].problem is not None
    assert inputs[1].problem.startswith("it could not be fetched: ")
    assert inputs[2].problem is not None  # no address of ours, and no file either
    assert "geheim" not in repr([(one.shown, one.location, one.problem) for one in inputs])


def test_what_is_too_long_is_not_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://captures/a.pcap", "wb") as file:
        file.write(bytes(5000))
    monkeypatch.setattr(fetch, "LIMIT_BYTES", 5000)
    monkeypatch.setattr(fetch, "STEP_BYTES", 1000)
    (one,) = gather.gather(["memory://captures/a.pcap"], folder)
    assert one.problem is None
    assert one.path.stat().st_size == 5000
    monkeypatch.setattr(fetch, "LIMIT_BYTES", 4999)
    assert fetch.fetched("memory://captures/a.pcap", folder / "2").problem == "it is longer than 0 GiB"
    monkeypatch.setattr(fetch, "LIMIT_S", -1.0)
    assert fetch.fetched("memory://captures/a.pcap", folder / "3").problem == "fetching took longer than -1 s"


def test_without_its_package_an_address_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    (one,) = gather.gather(["https://example.com/a.pcap"], folder)
    assert one.problem == "fetching needs the package fsspec: pip install 'mailscope[urls]'"
