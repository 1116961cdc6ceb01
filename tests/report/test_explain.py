"""One frame in plain words."""

from pathlib import Path

import pytest

import analyzer
from analyzer.errors import AnalyzerError, CaptureError
from tests.capture.building import CLIENT, SERVER, ethernet, ipv4, pcap, talk, tcp
from tests.capture.test_fragments import four
from tests.report.redaction.test_redact import PLANTED, everything_said, leaks
from tests.wire import Flaws, Look

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"
CASE = SAMPLES / "server_side_limit_ntlm.pcapng"


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("name", "frame", "says"),
    [
        (CASE.name, 1, ["client 192.0.2.5:50001 to server 198.51.100.10:143", "asks for a connection (SYN)"]),
        (CASE.name, 2, ["server 198.51.100.10:143 to client", "the port is open"]),
        (CASE.name, 3, ["carries nothing"]),
        (CASE.name, 320, ["the server says: A1 NO AUTHENTICATE failed.", "proves CONFIRMED", "+25 dB: every refusal"]),
        (CASE.name, 310, ["the server says: * CAPABILITY", "says: A0 OK", "no evidence by itself"]),
        (CASE.name, 315, ["known here: account CONTOSO\\uccx-mail at AGENTPC18, secret ***"]),
        ("port_prohibited.pcap", 2, ["192.0.2.1 says that a packet could not be delivered", "192.0.2.11:50001"]),
        ("port_closed.pcap", 2, ["breaks the connection off (RST)"]),
        ("healthy.pcap", 1, ["part of a session that shows CONFIRMED a password crosses the wire in clear"]),
        (CASE.name, 4, ["nothing: no finding rests on it"]),
    ],
)
def test_a_frame_of_mail(name: str, frame: int, says: list[str]) -> None:
    text = analyzer.read(SAMPLES / name).explain(frame)
    assert f"frame {frame} of {name} 2024-03-04 09:14:" in flat(text)
    assert [x for x in says if x not in flat(text)] == []
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (1, "no mail: TCP, 192.0.2.11:40000 to 198.51.100.10:80"),
        (2, "no mail: UDP, 192.0.2.11:5353 to 198.51.100.10:53"),
        (3, "no mail: ARP"),
        (4, "no mail: ICMP, 192.0.2.11 to 198.51.100.10"),
        (5, "no mail: no IP packet (EtherType 88cc)"),
        (6, "no mail: a frame that is cut too short"),
        (7, "no mail: a fragment of TCP"),
        (8, "asks for a connection"),
    ],
)
def test_a_frame_that_is_no_mail_is_said_to_be_none(tmp_path: Path, frame: int, says: str) -> None:
    frames = [
        ethernet(ipv4(tcp(40000, 80))), ethernet(ipv4(b"\x14\xe9\0\x35\0\x08\0\0", proto=17)),
        bytes(12) + b"\x08\x06" + bytes(28), ethernet(ipv4(b"\x08\0\0\0\0\0\0\0", proto=1)), bytes(12) + b"\x88\xcc" + bytes(40),
        bytes(9), four(16, 16), *(ethernet(x) for x in talk()),
    ]  # fmt: skip
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(frames))
    assert says in flat(analyzer.read(path).explain(frame))


def test_what_was_sent_before_is_said(tmp_path: Path) -> None:
    frames = [ethernet(x) for x in talk()]
    greeting = frames[3]
    longer = ethernet(ipv4(tcp(143, 40000, 911, 101, 24, b"x" * 40), SERVER, CLIENT))
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([*frames[:4], greeting, longer, *frames[4:]]))
    case = analyzer.read(path)
    assert "sent before" not in case.explain(4)
    assert "all of them were sent before" in flat(case.explain(5))
    assert "23 of them were sent before" in flat(case.explain(6))


def test_every_frame_can_be_explained_and_no_secret_is_told(tmp_path: Path) -> None:
    path = everything_said(tmp_path / "said.pcap", Look(vlans=(7,)), Flaws(missing=0.02))
    case = analyzer.read(path)
    told = "".join(case.explain(frame) for frame in range(1, case.result.captures[0].packets, 25))
    assert leaks(told.encode(), {PLANTED}) == []


def test_what_cannot_be_explained_is_said(tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match="no frame 100"):
        analyzer.read(SAMPLES / "port_closed.pcap").explain(100)
    listing = tmp_path / "list.txt"
    listing.write_text(
        "No. Time Source Destination Protocol Length Info\n1 0.0 192.0.2.1 192.0.2.2 IMAP 80 Response: * OK\n"
    )
    with pytest.raises(CaptureError):
        analyzer.read(listing, strict=False).explain(1)
