"""TLS with keys, from the capture to the verdict: ``--keylog``, and keys that lie in a pcapng."""

import gzip
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

import analyzer
from analyzer.cli import app
from analyzer.errors import CaptureError, EngineMissing
from analyzer.sessions.session import Outcome, Session
from tests.secured import C, Pair, S, Step, Tunnel, secured
from tests.wire import Look, Wire

SECRET = "Pl4nted-Secret"
IMAP: list[Step] = [
    (S, b"* OK The Microsoft Exchange IMAP4 service is ready.\r\n"),
    (C, b"A1 LOGIN joe " + SECRET.encode() + b"\r\n"),
    (S, b"A1 NO [LIMIT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)\r\n"),
    (C, b"A2 LOGOUT\r\n"),
    (S, b"* BYE bye\r\nA2 OK done\r\n"),
]
STARTTLS: dict[int, tuple[list[Step], list[Step]]] = {
    143: ([IMAP[0], (C, b"A0 STARTTLS\r\n"), (S, b"A0 OK go\r\n")], IMAP[1:]),
    110: (
        [(S, b"+OK ready\r\n"), (C, b"STLS\r\n"), (S, b"+OK go\r\n")],
        [(C, b"USER joe\r\n"), (S, b"+OK\r\n"), (C, f"PASS {SECRET}\r\n".encode()), (S, b"-ERR [AUTH] no\r\n")],
    ),
    587: (
        [(S, b"220 a\r\n"), (C, b"EHLO b\r\n"), (S, b"250 STARTTLS\r\n"), (C, b"STARTTLS\r\n"), (S, b"220 go\r\n")],
        [(C, b"EHLO b\r\n"), (S, b"250 AUTH LOGIN\r\n"), (C, b"AUTH LOGIN am9l\r\n"), (S, b"334 UGFzc3dvcmQ6\r\n"),
         (C, b"UGw0bnRlZC1TZWNyZXQ=\r\n"), (S, b"535 5.7.8 no\r\n")],
    ),
}  # fmt: skip
pytestmark = pytest.mark.usefixtures("tshark")
Made = tuple[Path, Path]


def made(folder: Path, pair: Pair, version: str = "1.3", port: int = 993, look: Look | None = None) -> Made:
    """A capture with one encrypted session that is refused, and its key log."""
    keys, wire = folder / "keys", Wire(seed=5)
    wire.dialogue(secured(IMAP, pair, version, keylog=keys), port=port)
    return wire.save(folder / ("a.pcapng" if look and look.container == "pcapng" else "a.pcap"), look), keys


def one(path: Path, *keylogs: Path, **options: object) -> Session:
    (session,) = analyzer.read(path, keylogs=keylogs, **options).result.sessions  # type: ignore[arg-type]
    return session


def warnings(path: Path, *keylogs: Path) -> tuple[str, ...]:
    return analyzer.read(path, keylogs=keylogs).result.captures[0].warnings


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_judged_as_the_same_in_clear(tmp_path: Path, pair: Pair, version: str) -> None:
    path, keys = made(tmp_path, pair, version)
    plain = Wire(seed=5)
    plain.dialogue(IMAP)
    twin = one(plain.save(tmp_path / "plain.pcap"))
    session = one(path, keys)
    assert (session.outcome, session.account, session.greeting) == (twin.outcome, twin.account, twin.greeting)
    assert (session.tls, session.decrypted, twin.decrypted) == ("implicit", True, False)
    (finding,) = [x for x in analyzer.read(path, keylogs=[keys]).findings if x.severity == "fault"]
    assert (finding.cause, finding.verdict) == ("per_user_connection_limit", "confirmed")
    assert finding.evidence[0].frames[0].frame == session.logins[0].decided.frame  # type: ignore[union-attr]
    assert warnings(path, keys) == ("decrypted with the key log: all of 1 TLS sessions",)
    assert one(path).outcome is Outcome.OPAQUE


def test_the_frame_is_that_of_the_octets(tmp_path: Path, pair: Pair) -> None:
    """Every segment of 40 octets: the frame told is the one that completed the record, as in clear."""
    keys, wire = tmp_path / "keys", Wire(seed=5)
    tunnel = Tunnel(pair, keylog=keys).handshake()
    for side, data in IMAP[:2]:
        tunnel.say(side, data)
    before = len(tunnel.steps)
    tunnel.say(*IMAP[2])
    talk = wire.conversation("192.0.2.11", "198.51.100.10", port=993, segment=40).open()
    for side, data in tunnel.steps[:before]:
        talk.say(side, data)
    talk.say(*tunnel.steps[before])
    wanted = sum(1 for x in wire.frames() if x.ts <= talk.now - 12_000)
    talk.close(C)
    decided = one(wire.save(tmp_path / "a.pcap"), keys).logins[0].decided
    assert decided is not None
    assert decided.frame == wanted


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("port", STARTTLS)
def test_after_starttls(tmp_path: Path, pair: Pair, port: int, version: str) -> None:
    before, hidden = STARTTLS[port]
    keys, wire = tmp_path / "keys", Wire(seed=6)
    wire.dialogue([*before, *secured(hidden, pair, version, keylog=keys)], port=port)
    session = one(wire.save(tmp_path / "a.pcap"), keys)
    assert (session.tls, session.decrypted) == ("starttls", True)
    assert [(x.account, x.outcome) for x in session.logins] == [("joe", "refused")]


def test_on_a_port_of_its_own(tmp_path: Path, pair: Pair) -> None:
    path, keys = made(tmp_path, pair, port=10_993)
    assert one(path, keys, ports=[10_993]).account == "joe"


def test_read_by_tshark_altogether(tmp_path: Path, pair: Pair) -> None:
    path, keys = made(tmp_path, pair)
    assert one(path, keys, engine="tshark").account == "joe"


@pytest.mark.parametrize("packing", ["gz", "zip"])
def test_packed(tmp_path: Path, pair: Pair, packing: str) -> None:
    path, keys = made(tmp_path, pair)
    packed = tmp_path / f"a.{packing}"
    if packing == "gz":
        packed.write_bytes(gzip.compress(path.read_bytes()))
    else:
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(path, "deep/a.pcap")
    assert one(packed, keys).account == "joe"


def test_keys_of_another_run_are_said_to_fit_nothing(tmp_path: Path, pair: Pair) -> None:
    path, _ = made(tmp_path, pair)
    other = tmp_path / "other"
    Tunnel(pair, keylog=other).handshake()
    assert one(path, other).outcome is Outcome.OPAQUE
    (text,) = warnings(path, other)
    assert text.startswith("the key log opens none of 1 TLS sessions")


def test_some_fit_and_several_logs_count_as_one(tmp_path: Path, pair: Pair) -> None:
    wire, logs = Wire(seed=7), [tmp_path / f"keys{n}" for n in range(3)]
    for n, log in enumerate(logs):
        wire.dialogue(secured(IMAP, pair, keylog=log), at_ms=1000.0 * n, port=993)
    path = wire.save(tmp_path / "a.pcap")
    assert warnings(path, *logs) == ("decrypted with the key log: all of 3 TLS sessions",)
    assert warnings(path, logs[1])[0].startswith("decrypted with the key log: 1 of 3 TLS sessions")
    sessions = analyzer.read(path, keylogs=[logs[1]]).result.sessions
    assert [s.decrypted for s in sessions] == [False, True, False]


def test_a_key_log_that_nothing_needs(tmp_path: Path, pair: Pair) -> None:
    _, keys = made(tmp_path, pair)
    wire = Wire()
    wire.dialogue(IMAP)
    assert warnings(wire.save(tmp_path / "b.pcap"), keys)[0].startswith("the key log was not needed")


@pytest.fixture
def injected(tmp_path: Path, pair: Pair) -> Path:
    """A pcapng that holds its keys, as Wireshark and editcap save them."""
    editcap = shutil.which("editcap")
    if editcap is None:
        pytest.skip("editcap is not installed")
    path, keys = made(tmp_path, pair)
    target = tmp_path / "with_keys.pcapng"
    subprocess.run(
        [editcap, "--inject-secrets", f"tls,{keys}", str(path), str(target)], check=True, capture_output=True
    )
    keys.unlink()
    return target


def test_keys_in_the_capture_need_no_asking(injected: Path) -> None:
    assert one(injected).account == "joe"
    assert warnings(injected) == ("decrypted with the TLS keys in the file: all of 1 TLS sessions",)


def test_keys_in_the_capture_without_tshark_are_mentioned(injected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path) -> str:
        raise EngineMissing("tshark is not installed", path=path, hint="install it")

    monkeypatch.setattr("analyzer.capture.decrypted.tshark_for", missing)
    assert one(injected).outcome is Outcome.OPAQUE
    assert warnings(injected) == ("TLS was not decrypted: tshark is not installed; install it",)


def test_a_key_log_without_tshark_is_refused(tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    path, keys = made(tmp_path, pair)

    def missing(path: Path) -> str:
        raise EngineMissing("tshark is not installed", path=path, hint="install it")

    monkeypatch.setattr("analyzer.capture.decrypted.tshark_for", missing)
    with pytest.raises(EngineMissing):
        analyzer.read(path, keylogs=[keys], strict=False)
    ended = CliRunner().invoke(app, ["report", str(path), "--keylog", str(keys)])
    assert isinstance(ended.exception, EngineMissing)


def test_what_is_no_key_log_is_refused(tmp_path: Path, pair: Pair) -> None:
    path, _ = made(tmp_path, pair)
    for name in (path, tmp_path / "nowhere"):
        with pytest.raises(CaptureError):
            analyzer.read(path, keylogs=[name], strict=False)


VERBS = (
    ["report"],
    ["report", "--format", "json"],
    ["sessions", "--format", "json"],
    ["logins"],
    ["accounts"],
    ["dialogue", "--session", "C1"],
)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_takes_it_and_shows_no_secret(tmp_path: Path, pair: Pair, verb: list[str]) -> None:
    path, keys = made(tmp_path, pair, "1.2")
    ended = CliRunner().invoke(app, [verb[0], str(path), *verb[1:], "--keylog", str(keys)])
    assert ended.exit_code in {0, 10}
    assert "joe" in ended.output
    told = ended.output.lower()
    hidden = [SECRET.lower()]
    hidden += [x.split()[2].lower() for x in keys.read_text().splitlines() if not x.startswith("#")]
    assert len(hidden) > 1
    assert [x for x in hidden if x in told] == []


def test_the_report_tells_what_tls_showed(tmp_path: Path, pair: Pair) -> None:
    path, _ = made(tmp_path, pair, "1.2")
    ended = CliRunner().invoke(app, ["report", str(path), "--format", "json"])
    (row,) = json.loads(ended.output)["sessions"]
    names = ["mail.example.test", "imap.example.test"]
    assert (row["tls"], row["sni"], row["tls_version"]) == ("implicit", "mail.example.test", "TLS 1.2")
    assert (row["certificate_names"], row["tls_offered"], row["decrypted"]) == (names, ["TLS 1.2"], False)
    assert (row["alpn"], row["tls_alert"], row["outcome"]) == (None, None, "opaque")
    assert json.loads(ended.output)["conclusion"]["cause"] == "encrypted"
    assert "--keylog FILE" in CliRunner().invoke(app, ["report", str(path)]).output
