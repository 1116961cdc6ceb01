"""The proofs of redaction: the same story, right checksums, and nothing of what was planted, in every capture there is."""

import base64
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

import analyzer
from analyzer.at import Side
from analyzer.errors import AnalyzerError, CaptureError, OutputError
from analyzer.report.model import document
from analyzer.report.redaction import redact, redact_all
from analyzer.report.redaction.pseudonyms import vocabulary
from tests.scenes import PASSWORDS
from tests.transcript import PLANTED, load_all
from tests.wire import Flaws, Look, Wire

ROOT = Path(__file__).parents[3]
SAMPLES = sorted((ROOT / "sample_pcaps").glob("*.pcap*"))
PORTS = {"imap": 143, "pop3": 110, "smtp": 25}
SAYING = tuple(t for protocol in PORTS for t in load_all(protocol))
_SESSION = (
    "uid protocol tls client_port server_port start end first_frame last_frame conn_state product outcome opened closed"
    " closed_by client_bytes server_bytes missed_bytes retransmits"
)
_LOGIN = "session frame decided_frame time decided_time outcome code auth_ms"
_FINDING = "rule cause verdict confidence severity start end remedies"
SESSION, LOGIN, FINDING = (x.split() for x in (_SESSION, _LOGIN, _FINDING))
NAMED = ("account", "domain", "workstation")


def everything_said(path: Path, look: Look | None = None, flaws: Flaws | None = None, **options: int) -> Path:
    """One capture with every transcript as a connection of its own."""
    wire = Wire(seed=1)
    for number, transcript in enumerate(SAYING):
        host, port = f"192.0.2.{number % 250 + 1}", PORTS[transcript.protocol]
        talk: dict[str, Any] = {"at_ms": 100.0 * number, "port": port, "sport": 40_000 + number, **options}
        wire.dialogue(transcript.steps, host, "198.51.100.10", **talk)
    return wire.save(path, look, flaws)


def story(path: Path) -> dict[str, Any]:
    """What a report says, but for names and words: causes, verdicts, weights, frames, times and counts."""
    told = document(analyzer.read(path).result)
    findings = [
        (
            *(x[key] for key in FINDING),
            len(x["subject"]["accounts"]), len(x["subject"]["clients"]), x["subject"]["protocol"],
            sorted((c["cause"], c["confidence"]) for c in x["candidates"]),
            sorted((e["weight_db"], e["decisive"], [f["frame"] for f in e["frames"]]) for e in x["evidence"]),
        )
        for x in told["findings"]
    ]  # fmt: skip
    return {
        "conclusion": (told["conclusion"]["cause"], told["conclusion"]["verdict"]),
        "findings": sorted(findings, key=repr),
        "sessions": [[x[key] for key in SESSION] for x in told["sessions"]],
        "logins": [[*(x[key] for key in LOGIN), *(x[key] is None for key in NAMED)] for x in told["logins"]],
        "accounts": sorted((x["logins_accepted"], x["logins_refused"], x["peak_open"] or 0) for x in told["accounts"]),
        "captures": [[x[key] for key in ("packets", "start", "end", "state", "quality")] for x in told["captures"]],
    }


def names_in(path: Path) -> set[str]:
    """The words of every name a report of the capture tells, but for those any mail server says."""
    result = analyzer.read(path).result
    told = [(x.account, x.domain, x.workstation, x.mailbox, x.server_name) for x in result.logins]
    found = {word for names in told for name in names if name for word in re.findall(r"[A-Za-z0-9]{4,}", name)}
    return {word for word in found if word.lower() not in vocabulary()}


def forms(word: str) -> set[bytes]:
    """A word as it could stand in a file: in any case, in UTF-16, in base64 at its three alignments (the sure middle part)."""
    plain = {spelt.encode(code) for spelt in (word, word.lower(), word.upper()) for code in ("ascii", "utf-16-le")}
    coded = set()
    for octets in plain:
        for shift in range(3):
            text = base64.b64encode(bytes(shift) + octets)
            coded.add(text[(0, 2, 3)[shift] : len(text) // 4 * 4 - 4])
    return {x for x in plain | coded if len(x) >= 6 or x in plain}


def leaks(octets: bytes, words: set[str]) -> list[bytes]:
    return [form for word in sorted(words) for form in sorted(forms(word)) if form in octets]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return everything_said(tmp_path_factory.mktemp("said") / "said.pcap")


@pytest.fixture(scope="module")
def clean(said: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clean") / "clean.pcap"
    redact(said, path, case="4711")
    return path


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_tells_the_same_story_without_its_names(path: Path, tmp_path: Path) -> None:
    out = tmp_path / path.name
    done = redact(path, out, case="4711")
    assert story(out) == story(path)
    assert done.frames == story(path)["captures"][0][0]
    assert leaks(out.read_bytes(), names_in(path) | set(PASSWORDS.values())) == []
    assert out.read_bytes()[:4] == path.read_bytes()[:4]


@pytest.mark.parametrize("segment", [1460, 7, 1])
def test_every_transcript_tells_the_same_story(tmp_path: Path, segment: int) -> None:
    path, out = everything_said(tmp_path / "a.pcap", segment=segment), tmp_path / "b.pcap"
    redact(path, out, case="4711")
    assert story(out) == story(path)


@pytest.mark.parametrize(
    ("look", "flaws"),
    [
        (Look(link="sll2", container="pcapng"), None),
        (Look(link="sll", big=True, nanos=True), Flaws(mirror=True)),
        (Look(link="raw"), Flaws(reorder=0.5, repeat=0.2)),
        (Look(link="null"), Flaws(missing=0.1)),
        (Look(vlans=(7, 8), snap=96), None),
        (Look(snap=80), None),
        (Look(snap=60), None),
        (None, Flaws(only=Side.CLIENT)),
        (None, Flaws(only=Side.SERVER)),
        (None, Flaws(skip=300)),
    ],
    ids=[
        "cooked",
        "mirrored",
        "shuffled",
        "holes",
        "cut",
        "cut sooner",
        "cut at once",
        "client",
        "server",
        "started late",
    ],
)
def test_flaws_of_a_capture_stay_what_they_are(tmp_path: Path, look: Look | None, flaws: Flaws | None) -> None:
    path, out = everything_said(tmp_path / "a.pcap", look, flaws, segment=60), tmp_path / "b.pcap"
    redact(path, out, case="4711")
    assert story(out) == story(path)


def test_sequence_numbers_may_wrap(tmp_path: Path) -> None:
    edge = (2**32 - 30, 2**32 - 20)
    path, out = everything_said(tmp_path / "a.pcap", isn=edge, segment=9), tmp_path / "b.pcap"  # type: ignore[arg-type]
    redact(path, out, case="4711")
    assert story(out) == story(path)


def test_no_secret_and_no_name_of_any_mechanism_is_left(said: Path, clean: Path) -> None:
    planted = names_in(said) | {PLANTED}
    assert len(planted) > 15
    assert leaks(said.read_bytes(), planted)
    assert leaks(clean.read_bytes(), planted) == []


def test_no_address_of_either_kind_is_left(said: Path, clean: Path) -> None:
    octets = clean.read_bytes()
    assert bytes((192, 0, 2)) in said.read_bytes()
    assert bytes((192, 0, 2)) not in octets
    assert bytes((198, 51, 100)) not in octets
    macs = {said.read_bytes()[at : at + 6] for at in (40, 46)}
    assert [mac for mac in macs if mac in octets] == []


def test_accounts_stay_as_many_and_as_different(said: Path, clean: Path) -> None:
    pairs: dict[str, set[str]] = {}
    for one, other in zip(analyzer.read(said).result.logins, analyzer.read(clean).result.logins, strict=True):
        if one.account and other.account:
            pairs.setdefault(one.account.lower(), set()).add(other.account.lower())
            assert len(one.account) == len(other.account)
    assert len(pairs) > 10
    assert [new for new in pairs.values() if len(new) > 1] == []
    assert len({next(iter(new)) for new in pairs.values()}) == len(pairs)


UNSOUND = "ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || icmp.checksum.status == 0"
UNSOUND += " || icmpv6.checksum.status == 0 || tcp.analysis.ack_lost_segment"


def unsound(tshark: str, path: Path, which: str = UNSOUND) -> list[str]:
    checks = [x for name in ("ip", "tcp", "udp") for x in ("-o", f"{name}.check_checksum:TRUE")]
    command = [tshark, "-n", "-r", str(path), *checks, "-T", "fields", "-e", "frame.number", "-Y", which]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()


def test_tshark_finds_every_checksum_right(tshark: str, said: Path, clean: Path, tmp_path: Path) -> None:
    for name in ("port_prohibited.pcap", "server_side_limit_ntlm.pcapng"):
        redact(ROOT / "sample_pcaps" / name, tmp_path / name)
        assert unsound(tshark, tmp_path / name) == []
    assert unsound(tshark, clean) == []
    assert set(unsound(tshark, clean, "_ws.malformed")) <= set(unsound(tshark, said, "_ws.malformed"))
    assert len(unsound(tshark, clean, "tcp.checksum.status == 1")) > 1000


def test_one_key_gives_the_same_pseudonyms_in_every_file(tmp_path: Path) -> None:
    def account(sample: int, name: str, case: str | None) -> tuple[str, str]:
        out = tmp_path / name
        redact(SAMPLES[sample], out, case=case)
        first = analyzer.read(out).result.logins[0]
        return str(first.account), first.server

    one, two = (next(n for n, x in enumerate(SAMPLES) if x.stem == name) for name in ("healthy", "password_changed"))
    assert account(one, "a", "key") == account(two, "b", "key")
    assert account(one, "c", "key") != account(one, "d", "another key")
    assert account(one, "e", None) != account(one, "f", None)


def test_other_traffic_keeps_its_place_and_nothing_else(tmp_path: Path) -> None:
    from tests.capture.building import START, STEP, ethernet, ipv4, pcap, read, talk, tcp

    web = [ethernet(ipv4(tcp(40000, 80, payload=b"GET /Pl4nted HTTP/1.1"), "203.0.113.9")), b"\xff" * 60]
    mail = [ethernet(x) for x in talk()]
    path, out = tmp_path / "a.pcap", tmp_path / "b.pcap"
    path.write_bytes(pcap([web[0], *mail[:3], web[1], *mail[3:]]))
    assert redact(path, out) == (9, 7)
    rows, facts, _ = read(out)
    assert [row[0] for row in rows] == [2, 3, 4, 6, 7, 8, 9]
    assert (facts.packets, facts.start, facts.end) == (9, START, START + 8 * STEP)
    octets = out.read_bytes()
    assert leaks(octets, {"Pl4nted"}) == []
    assert b"\xff" * 8 not in octets
    assert b"\xcb\x00\x71\x09" not in octets


def test_comments_and_names_of_a_pcapng_are_dropped(tmp_path: Path) -> None:
    from tests.capture.building import block, enhanced, ethernet, interface, option, section, talk

    names = block(4, option(1, b"\xc0\x00\x02\x0bPl4nted-host\0"))
    secrets = block(10, b"KSLT\x0c\0\0\0Pl4nted-keys")
    faces = interface(options=option(2, b"Pl4nted-if") + option(1, b"Pl4nted-comment"))
    packets = [enhanced(ethernet(x), 10**15 + n) for n, x in enumerate(talk())]
    path, out = tmp_path / "a.pcapng", tmp_path / "b.pcapng"
    path.write_bytes(b"".join([section(), faces, names, secrets, *packets, block(0xBAD, b"\0\0\0\0Pl4nted-custom!!")]))
    redact(path, out)
    assert leaks(path.read_bytes(), {"Pl4nted"})
    assert leaks(out.read_bytes(), {"Pl4nted"}) == []
    assert story(out) == story(path)


def test_a_damaged_capture_is_redacted_as_far_as_it_goes(tmp_path: Path) -> None:
    path, out = tmp_path / "a.pcap", tmp_path / "b.pcap"
    path.write_bytes(SAMPLES[0].read_bytes()[:20_000])
    redact(path, out)
    assert story(out)["findings"] == story(path)["findings"]


def test_archives_packed_files_and_what_is_no_capture(tmp_path: Path) -> None:
    archive, out = tmp_path / "two.zip", tmp_path / "out.pcap"
    with zipfile.ZipFile(archive, "w") as made:
        for name in ("healthy.pcap", "port_closed.pcap"):
            made.write(ROOT / "sample_pcaps" / name, name)
    with pytest.raises(CaptureError, match="several"):
        redact(archive, out)
    assert not out.exists()
    redact(Path(f"{archive}!/port_closed.pcap"), out)
    assert story(out) == story(ROOT / "sample_pcaps" / "port_closed.pcap")
    assert [x.name for x in redact_all([archive, SAMPLES[0]], tmp_path)] == [f"capture-{n}.pcap" for n in (1, 2, 3)]


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    own = tmp_path / "own.pcap"
    own.write_bytes(SAMPLES[0].read_bytes())
    with pytest.raises(OutputError, match="itself"):
        redact(own, own)
    with pytest.raises(OutputError, match="cannot be written"):
        redact(own, tmp_path / "no" / "such" / "folder.pcap")
    with pytest.raises(AnalyzerError, match="empty"):
        redact(own, tmp_path / "x", case=" ")
    listing = tmp_path / "list.txt"
    listing.write_text(
        "No. Time Source Destination Protocol Length Info\n1 0.0 192.0.2.1 192.0.2.2 IMAP 80 Response: * OK\n"
    )
    with pytest.raises(CaptureError):
        redact(listing, tmp_path / "x")
    assert sorted(x.name for x in tmp_path.iterdir()) == ["list.txt", "own.pcap"]
