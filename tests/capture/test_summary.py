"""Packet lists that were pasted or exported: every dress gives the same connections, prose gives none."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture import open_capture, summary
from analyzer.capture.packets import ACK, FIN, PSH, SYN
from analyzer.errors import UnknownFormat
from tests.capture.building import read

C, S = "192.0.2.11", "198.51.100.10"
LIST = [
    (41, "7.908423", S, C, "IMAP", 82, "Response: A1 NO AUTHENTICATE failed."),
    (50, "7.927165", S, C, "IMAP", 107, "Response: * OK The mail service is ready."),
    (60, "7.947876", S, C, "IMAP", 107, "Response: * OK The mail service is ready."),
    (62, "7.948321", S, C, "IMAP", 196, "Response: * CAPABILITY IMAP4rev1 AUTH=NTLM"),
    (63, "7.949203", S, C, "IMAP", 60, "Response: +"),
    (70, "8.024133", S, C, "IMAP", 82, "Response: A1 NO AUTHENTICATE failed."),
    (75, "8.026384", S, C, "IMAP", 107, "Response: * OK The mail service is ready."),
]
EXPECTED = [
    (41, 7_908_423_000, 1, b"A1 NO AUTHENTICATE failed.\r\n"),
    (50, 7_927_165_000, 2, b"* OK The mail service is ready.\r\n"),
    (60, 7_947_876_000, 3, b"* OK The mail service is ready.\r\n"),
    (62, 7_948_321_000, 3, b"* CAPABILITY IMAP4rev1 AUTH=NTLM\r\n"),
    (63, 7_949_203_000, 3, b"+\r\n"),
    (70, 8_024_133_000, 3, b"A1 NO AUTHENTICATE failed.\r\n"),
    (75, 8_026_384_000, 4, b"* OK The mail service is ready.\r\n"),
]
"""Frame, time, made-up port of the client, octets."""

COLUMNS = ("No.", "Time", "Source", "Destination", "Protocol", "Length", "Info")
WRONG_HEADER = "Time\tSource IP\tDestination IP\tProtocol\tLength\tSource Port\tDestination Port\tFlags\tMessage"
GERMAN = "Nr.;Zeit;Quelle;Ziel;Protokoll;L\u00e4nge;Info"
PROSE = "On 2024-03-04 the agent at 192.0.2.11 could not log in.\nThe server (198.51.100.10) says NO; see 3 lines below:\n\n"


def joined(sign: str, quote: str = "") -> list[str]:
    return [sign.join(f"{quote}{cell}{quote}" for cell in row) for row in LIST]


def padded(arrow: str = " ") -> list[str]:
    return [f"{n:>5} {t:<12} {s:<21}{arrow}{d:<21} {p:<8} {size:<6} {i}" for n, t, s, d, p, size, i in LIST]


DRESSES = {
    "tabs": "\n".join(joined("\t")),
    "tabs, more columns, wrong header": "\n".join([WRONG_HEADER, *(line + "\t" * 6 for line in joined("\t"))]),
    "csv": "\r\n".join(joined(",", '"')),
    "csv with header": ",".join(f'"{x}"' for x in COLUMNS) + "\n" + "\n".join(joined(",", '"')),
    "csv through a German Excel": GERMAN + "\r\n" + "\r\n".join(joined(";")).replace("7.9", "7,9").replace("8.0", "8,0"),
    "copied": "\n".join(["No.     Time        Source      Destination      Protocol Length Info", *padded()]),
    "tshark": "\n".join(padded(" \u2192 ")),
    "quoted in a mail": PROSE + "\n".join("> " + line for line in padded()) + "\n> Regards\n",
    "markdown": "| No. | Time | a | b | c | d | e |\n|---|---|---|---|---|---|---|\n" + "\n".join(f"| {x} |" for x in joined(" | ")),
    "prose around": PROSE + "\n".join(joined("\t")) + "\n\nWhat now?\n",
    "twice": "\n".join(joined("\t") * 2),
    "upside down": "\n".join(joined("\t")[::-1]),
}  # fmt: skip


def rows(path: Path, text: str, encoding: str = "utf-8") -> list[tuple[object, ...]]:
    found, facts, _ = read(path, text.encode(encoding))
    assert facts.format.startswith("packet ")
    return [
        (frame, ts, sport if dst == S else dport, payload)
        for frame, ts, _, dst, sport, dport, *_, payload, _, _, _, _ in found
    ]


@pytest.mark.parametrize("dress", DRESSES)
def test_every_dress_gives_the_same_rows(tmp_path: Path, dress: str) -> None:
    assert rows(tmp_path / "a.pcap", DRESSES[dress]) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_encodings_of_windows(tmp_path: Path, encoding: str) -> None:
    assert rows(tmp_path / "a", DRESSES["tabs"], encoding) == EXPECTED


def test_facts_say_that_it_is_a_list(tmp_path: Path) -> None:
    facts = read(tmp_path / "a", DRESSES["csv"].encode())[1]
    assert (facts.format, facts.packets, facts.start, facts.end) == (
        "packet list (CSV)",
        7,
        7_908_423_000,
        8_026_384_000,
    )
    told = " ".join(facts.warnings)
    assert all(word in told for word in ("not a capture", "no date", "ports are made up"))
    assert read(tmp_path / "a", DRESSES["tabs"].encode())[1].format == "packet list (text)"


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "No.\tTime\tSource\tDestination\tProtocol\tLength\tInfo\n",
        "2024-03-04 09:14:00 198.51.100.10 192.0.2.11 GET 200 /index.html\n",
        "id,packets,bytes,name,category,guessed\n0,2,625,Kerberos,Network,0,6\n1,2.5,a,b,LDAP,60,x\n",
        "interface 192.0.2.1 255.255.255.0 up 3 times\nroute 10.0.0.0 255.0.0.0 192.0.2.1 1\n",
    ],
)
def test_other_text_is_no_capture(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").write_text(text, encoding="utf-8")
    with pytest.raises(UnknownFormat, match="looks like text"):
        open_capture(tmp_path / "a")


BOTH = """\
1 0.00 192.0.2.11 198.51.100.10 TCP 62 3307 > 143 [SYN] Seq=0 Win=65535 Len=0 MSS=1460
2 0.01 198.51.100.10 192.0.2.11 TCP 62 imap > 3307 [SYN, ACK] Seq=0 Ack=1 Win=64240 Len=0
3 0.02 192.0.2.11 198.51.100.10 TCP 62 3308 \u2192 143 [SYN] Seq=0 Win=65535 Len=0
4 0.03 198.51.100.10 192.0.2.11 IMAP 90 Response: * OK ready
5 0.04 198.51.100.10 192.0.2.11 IMAP 90 Response: * OK ready
6 0.05 192.0.2.11 198.51.100.10 IMAP 90 Request: a1 LOGIN one ***
7 0.06 192.0.2.11 198.51.100.10 IMAP 90 Request: a1 LOGIN two ***
8 0.07 198.51.100.10 192.0.2.11 IMAP 90 [TCP Retransmission] Response: * OK ready
9 0.08 198.51.100.10 192.0.2.11 IMAP 90 Response: a1 NO failed [TCP segment of a reassembled PDU]
10 0.09 198.51.100.10 192.0.2.11 IMAP 90 Response: a1 OK done
11 0.10 192.0.2.11 198.51.100.10 TCP 54 3307 \u2192 143 [FIN, ACK] Seq=81 Ack=227 Win=65535 Len=0
12 0.11 192.0.2.11 198.51.100.77 TCP 54 3309 \u2192 80 [SYN] Seq=0 Win=65535 Len=0
13 0.12 02:00:00_00:00:01 Broadcast ARP 42 Who has 192.0.2.1? Tell 192.0.2.11
"""


def test_two_connections_at_once_with_ports_from_the_handshakes(tmp_path: Path) -> None:
    found, facts, _ = read(tmp_path / "a", BOTH.encode())
    assert facts.packets == 13
    assert [(r[0], max(r[4], r[5]), r[8], r[9]) for r in found] == [
        (1, 3307, SYN, b""),
        (2, 3307, SYN | ACK, b""),
        (3, 3308, SYN, b""),
        (4, 3307, PSH | ACK, b"* OK ready\r\n"),
        (5, 3308, PSH | ACK, b"* OK ready\r\n"),
        (6, 3308, PSH | ACK, b"a1 LOGIN one ***\r\n"),
        (7, 3307, PSH | ACK, b"a1 LOGIN two ***\r\n"),
        (9, 3307, PSH | ACK, b"a1 NO failed\r\n"),
        (10, 3308, PSH | ACK, b"a1 OK done\r\n"),
        (11, 3307, FIN | ACK, b""),
    ]
    numbers = [(r[6], len(r[9])) for r in found if r[2] == S and r[5] == 3307]
    assert all(after == before + size + 1 * (not size) for (before, size), (after, _) in pairwise(numbers))


@pytest.mark.parametrize(
    ("time", "start"),
    [
        ("2024-03-04 09:14:00.5", 1_709_543_640_500_000_000),
        ("2024-03-04T09:14:00,500000Z", 1_709_543_640_500_000_000),
        ("1709543640.500000", 1_709_543_640_500_000_000),
        ("09:14:00.5", 33_240_500_000_000),
    ],
)
def test_times(tmp_path: Path, time: str, start: int) -> None:
    assert read(tmp_path / "a", DRESSES["tabs"].replace("7.908423", time).encode())[1].end == start


def test_a_time_of_day_goes_on_behind_midnight(tmp_path: Path) -> None:
    text = DRESSES["tabs"].replace("7.908423", "23:59:59.5").replace("7.927165", "00:00:01.5")
    first, second, *_ = read(tmp_path / "a", "\n".join(text.splitlines()[:2]).encode())[0]
    assert second[1] - first[1] == 2_000_000_000


SMTP = """\
1 0.00 198.51.100.10 192.0.2.11 SMTP 90 S: 220 mail.example ESMTP
2 0.01 192.0.2.11 198.51.100.10 SMTP 90 C: EHLO pc
3 0.02 198.51.100.10 192.0.2.11 SMTP 90 S: 250-mail.example | SIZE 1 | AUTH LOGIN
4 0.03 192.0.2.11 198.51.100.10 SMTP 90 C: AUTH LOGIN
5 0.04 198.51.100.10 192.0.2.11 SMTP 90 S: 334 VXNlcm5hbWU6
6 0.05 192.0.2.11 198.51.100.10 SMTP 90 C: User: YQ==
7 0.06 198.51.100.10 192.0.2.11 SMTP 90 S: 354 go on
8 0.07 192.0.2.11 198.51.100.10 SMTP/IMF 90 subject: x, , some text
9 0.08 198.51.100.10 192.0.2.11 SMTP 90 S: 250 2.0.0 Ok
"""


def test_what_the_dissector_of_smtp_writes(tmp_path: Path) -> None:
    assert [(row[0], row[9]) for row in read(tmp_path / "a", SMTP.encode())[0]] == [
        (1, b"220 mail.example ESMTP\r\n"),
        (2, b"EHLO pc\r\n"),
        (3, b"250-mail.example\r\n250-SIZE 1\r\n250 AUTH LOGIN\r\n"),
        (4, b"AUTH LOGIN\r\n"),
        (5, b"334 VXNlcm5hbWU6\r\n"),
        (6, b"YQ==\r\n"),
        (7, b"354 go on\r\n"),
        (9, b".\r\n"),  # the end of the mail, which no list shows
        (9, b"250 2.0.0 Ok\r\n"),
    ]


DETAILS = """\
Frame 5: 107 bytes on wire (856 bits), 107 bytes captured (856 bits)
    Epoch Time: 1709543640.826200000 seconds
    [Time since reference or first frame: 117.826200000 seconds]
Internet Protocol Version 4, Src: mail (198.51.100.10), Dst: 192.0.2.11
    Flags: 0x2, Don't fragment
Transmission Control Protocol, Src Port: imap (143), Dst Port: 3307, Seq: 1, Ack: 1, Len: 53
    Flags: 0x018 (PSH, ACK)
    TCP payload (53 bytes)
Internet Message Access Protocol
    [truncated]Line: * OK "ready" and a text that is cut
    Line: * CAPABILITY IMAP4rev1\\r\\n
        Response: not said again\\r\\n

Frame 6: 90 bytes on wire (856 bits), 107 bytes captured (856 bits)
    Epoch Arrival Time: 1709543641.000000000
Internet Protocol Version 4, Src: 198.51.100.10, Dst: 192.0.2.11
Transmission Control Protocol, Src Port: 25, Dst Port: 3308, Seq: 1, Ack: 1, Len: 53
Simple Mail Transfer Protocol
    Response: 250-a\\r\\n
        Response parameter: a
        Response parameter: SIZE \\"1\\"
"""


def test_details(tmp_path: Path) -> None:
    found, facts, _ = read(tmp_path / "a", (PROSE + DETAILS).encode())
    assert (facts.format, facts.packets, facts.resolution) == ("packet details (text)", 2, 9)
    assert [(row[:6], row[8:10]) for row in found] == [
        (
            (5, 1_709_543_640_826_200_000, S, C, 143, 3307),
            (24, b'* OK "ready" and a text that is cut\r\n* CAPABILITY IMAP4rev1\r\n'),
        ),
        ((6, 1_709_543_641_000_000_000, S, C, 25, 3308), (24, b'250-a\r\n250 SIZE \\"1\\"\r\n')),
    ]


def test_a_list_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "LISTED_LIMIT", 3)
    found, facts, _ = read(tmp_path / "a", DRESSES["tabs"].encode())
    assert (len(found), facts.packets) == (3, 3)
    assert facts.stopped is not None
    assert "more than 3 packets" in facts.stopped.reason


CELL = st.one_of(
    st.sampled_from(["1", "7.5", S, C, "::1", "IMAP", "TCP", "Response: +", "Request: a LOGIN", "143 > 9 [SYN]", "\t", "|", " ", '"', "Frame 1:"]),
    st.text(max_size=6),
)  # fmt: skip


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(CELL, max_size=10), max_size=6), st.sampled_from(["\t", ",", ";", "|", " "]))
def test_any_text_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], sign: str
) -> None:
    path = tmp_path_factory.mktemp("list") / "a"
    path.write_text("x" + "\n".join(sign.join(row) for row in table), encoding="utf-8", errors="replace", newline="")
    try:
        capture = open_capture(path)
    except UnknownFormat:
        return
    assert sum(len(window) for window in capture.windows()) <= capture.facts.packets * 2
