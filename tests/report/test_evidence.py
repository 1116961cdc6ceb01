"""The frames that prove it: only those, with comments that say why, and no secret in them."""

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

import analyzer
from analyzer.errors import OutputError
from analyzer.report import RENDERERS
from analyzer.report.evidence import comments, pack
from tests.capture.building import pcap, read
from tests.report.redaction.test_redact import PLANTED, everything_said, leaks

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"
CASE = SAMPLES / "server_side_limit_ntlm.pcapng"


def test_just_the_frames_of_the_evidence_as_they_were(tmp_path: Path) -> None:
    case = analyzer.read(CASE)
    wanted = {x.frame for f in case.result.findings for e in f.evidence for x in e.frames}
    before = {row[0]: row for row in read(CASE)[0]}
    rows, facts, _ = read(tmp_path / "proof.pcapng", case.evidence())
    assert facts.packets == len(wanted) > 10
    assert [row[1:9] for row in rows] == [before[frame][1:9] for frame in sorted(wanted)]
    assert {row[9] for row in rows if row[4] == 143} == {before[x][9] for x in wanted if before[x][4] == 143}


def test_tshark_shows_what_each_is_for(tmp_path: Path, tshark: str) -> None:
    path = tmp_path / "proof.pcapng"
    path.write_bytes(analyzer.read(CASE).evidence())
    fields = ["-T", "fields", "-e", "frame.comment", "-o", "tcp.check_checksum:TRUE"]
    told = subprocess.run([tshark, "-n", "-r", str(path), *fields], capture_output=True, text=True, check=True).stdout
    lines = told.splitlines()
    assert all(line.startswith("mailscope: frame ") and CASE.name in line for line in lines)
    assert "confirmed: per-user connection throttling" in told
    assert "every refusal came with 16 or more sessions" in told


def test_no_secret_is_in_them_but_names_are(tmp_path: Path) -> None:
    path = everything_said(tmp_path / "said.pcap")
    case = analyzer.read(path)
    proof = case.evidence()
    assert leaks(path.read_bytes(), {PLANTED})
    assert leaks(proof, {PLANTED}) == []
    assert b"joe" in proof
    told = comments(case.result)[path.name]
    assert len(told) > 50


def test_every_frame_of_such_a_capture_holds_no_secret(tmp_path: Path) -> None:
    from analyzer.capture import MAIL_PORTS
    from analyzer.report.redaction import frames_shown
    from analyzer.report.redaction.pseudonyms import Pseudonyms

    for segment in (1460, 5):
        path = everything_said(tmp_path / "said.pcap", segment=segment)
        shown = frames_shown(path, Pseudonyms(names=False), MAIL_PORTS, frozenset(range(100_000)))
        octets = b"".join(x.octets[54:] for x in shown)  # what is said, in the order of the frames
        assert b"mrose" in octets
        assert leaks(octets, {PLANTED}) == []


def test_nothing_to_prove_is_said(tmp_path: Path) -> None:
    path = tmp_path / "empty.pcap"
    path.write_bytes(pcap([bytes(60)]))
    with pytest.raises(OutputError, match="no finding"):
        analyzer.read(path).evidence()


def test_members_of_an_archive_are_found(tmp_path: Path) -> None:
    archive = tmp_path / "two.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for name in ("port_closed.pcap", "one_agent_refused.pcap"):
            made.write(SAMPLES / name, f"in/{name}")
    case = analyzer.read(archive)
    told = comments(case.result)
    assert set(told) == {"two.zip!/in/port_closed.pcap", "two.zip!/in/one_agent_refused.pcap"}
    assert read(tmp_path / "proof", case.evidence())[1].packets == sum(map(len, told.values()))


def test_a_pack_holds_reports_evidence_and_hashes_and_is_the_same_each_time(tmp_path: Path) -> None:
    case = analyzer.read(CASE)
    for name in ("a.zip", "b.zip"):
        pack(case.result, case.evidence(), {CASE.name: CASE}, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        reports = {f"report{x}" for x in (".txt", ".json", ".html") if x in RENDERERS}
        assert set(packed.namelist()) == reports | {"evidence.pcapng", "originals.json"}
        (original,) = json.loads(packed.read("originals.json"))
        assert original == {"name": CASE.name, "sha256": case.result.captures[0].sha256, "bytes": CASE.stat().st_size}
        assert json.loads(packed.read("report.json"))["schema_version"] == 1
