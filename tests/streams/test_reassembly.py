"""Segments in any order, cut, doubled or missing -> the same octets in order, each once."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.at import NS_PER_MS, Side
from analyzer.capture.packets import ACK, FIN, PSH, SYN
from analyzer.streams import reassembly
from tests.streams.talk import HANDSHAKE, Ear, hear, one, packets, window

CASES = {
    "in order": ("S PA 1 1 abc\nC PA 1 4 de\nS PA 4 3 fg", "S:abc@4 C:de@5 S:fg@6", 0),
    "one hole filled": ("S A 4 1 def\nS A 7 1 gh\nS PA 1 1 abc", "S:abc@6 S:def@6 S:gh@6", 0),
    "reversed": ("S A 7 1 gh\nS A 4 1 def\nS PA 1 1 abc", "S:abc@6 S:def@6 S:gh@6", 0),
    "two holes": ("S A 3 1 c\nS A 5 1 e\nS A 2 1 b\nS A 1 1 a\nS A 4 1 d", "S:a@7 S:b@7 S:c@7 S:d@8 S:e@8", 0),
    "retransmission": ("S A 1 1 abc\nS A 1 1 abc\nS A 4 1 d", "S:abc@4 S:d@6", 1),
    "retransmission of what waits": ("S A 4 1 def\nS A 4 1 def\nS A 1 1 abc", "S:abc@6 S:def@6", 1),
    "first octets win, new tail kept": ("S A 1 1 abc\nS A 2 1 XYde", "S:abc@4 S:de@5", 0),
    "what waits wins over the filler": ("S A 3 1 CD\nS A 1 1 abcde", "S:ab@5 S:CD@5 S:e@5", 0),
    "what waits wins between two": (
        "S A 3 1 c\nS A 5 1 e\nS A 2 1 BCDEF\nS A 1 1 a",
        "S:a@7 S:B@7 S:c@7 S:D@7 S:e@7 S:F@7",
        0,
    ),
    "around two neighbours": ("S A 3 1 c\nS A 4 1 d\nS A 2 1 bXXe\nS A 1 1 a", "S:a@7 S:b@7 S:c@7 S:d@7 S:e@7", 0),
    "overlap with the piece before": ("S A 3 1 cd\nS A 4 1 XE\nS A 1 1 ab", "S:ab@6 S:cd@6 S:E@6", 0),
    "inside a waiting piece": ("S A 3 1 cdef\nS A 4 1 XX\nS A 1 1 ab", "S:ab@6 S:cdef@6", 1),
    "the SYN is not counted": ("S PA 0 1 abc\nS PA 3 1 de\nC PA 0 5 fg", "S:abc@4 S:de@5 C:fg@6", 0),
    "the SYN is not counted, repeated": ("S PA 0 1 abc\nS PA 0 1 abc\nS PA 3 1 d", "S:abc@4 S:d@6", 1),
    "the SYN is not counted by one that says nothing more": ("S PA 0 1 abc\nS FA 0 1\nC A 0 0", "S:abc@4", 0),
    "keep-alive before anything was said": ("S A 0 1 x\nS PA 1 1 abc", "S:abc@5", 0),
    "keep-alive": ("S A 1 1 abc\nS A 3 1 c\nC A 1 4\nS A 4 1 d", "S:abc@4 S:d@7", 0),
    "empty keep-alive": ("S A 1 1 abc\nS A 3 1\nC A 1 4\nS A 4 1 d", "S:abc@4 S:d@7", 0),
    "data in FIN": ("S FA 1 1 abc\nC FA 1 5 de", "S:abc@4 C:de@5", 0),
    "repeated FIN": ("S FA 1 1 abc\nS FA 1 1 abc\nC FA 1 5\nC FA 1 5", "S:abc@4", 2),
    "FIN repeated with new data": ("S FA 3 1\nS FA 1 1 ab", "S:ab@5", 0),
    "payload of RST": ("S A 1 1 abc\nS RA 4 1 reason", "S:abc@4", 0),
    "snap length": ("S A 1 1 ab cut=3\nS A 6 1 f", "S:ab@4 S:-3@4 S:f@5", 0),
    "snap length 0": ("S A 1 1 cut=5\nS A 6 1 f", "S:-5@4 S:f@5", 0),
    "snap length, waiting": ("S A 3 1 cd cut=2\nS A 1 1 ab", "S:ab@5 S:cd@5 S:-2@5", 0),
    "snap length, trimmed": ("S A 1 1 abc\nS A 1 1 ab cut=4\nS A 7 1 g", "S:abc@4 S:-3@5 S:g@6", 0),
    "hole at the end": ("S A 4 1 d", "S:-3+d@4", 0),
    "hole before FIN": ("S A 1 1 ab\nS FA 9 1", "S:ab@4 S:-6@5", 0),
    "acknowledged, never seen": ("S A 1 1 ab\nC A 1 6", "S:ab@4 S:-3@5", 0),
    "FIN not captured is no hole": ("S A 1 1 ab\nC A 1 4\nC A 1 4\nC FA 1 4\nC A 2 4", "S:ab@4", 0),
    "absurd acknowledgement": (
        "S A 1 1 ab\nC A 1 1500000000\nC A 1 3\nS A 3 1 cd\nS A 5 1 e",
        "S:ab@4 S:cd@7 S:e@8",
        0,
    ),
    "gap told after some packets": (
        "S A 1 1 ab\nS A 6 1 fg\nC PA 1 8 x +0.1\nS A 8 2 h +0.1\nC A 2 9 +0.1\nC A 2 9 +0.1\nC PA 2 9 y +0.1\nS A 9 3 i",
        "S:ab@4 C:x@6 C:y@10 S:-3+fg@5 S:h@7 S:i@11",
        0,
    ),
    "gap told after some time": ("S A 6 1 fg\nC A 1 8 +0.1\nC PA 1 8 x +30\nS A 8 2 h", "C:x@6 S:-5+fg@4 S:h@7", 0),
    "swapped between interfaces": (
        "C A 1 4 +0.1\nC PA 1 4 x +0.1\nS A 1 1 abc +0.1\nS PA 4 2 d",
        "C:x@5 S:abc@6 S:d@7",
        0,
    ),
    "not acknowledged, so awaited": (
        "S A 4 1 def\nC A 1 1\nC A 1 1\nC A 1 1\nC A 1 1\nC PA 1 1 x\nS A 1 1 abc\nS A 7 2 g",
        "C:x@9 S:abc@10 S:def@10 S:g@11",
        0,
    ),
    "acknowledged up to the middle of a hole": (
        "S A 6 1 fg\nC A 1 4\nC A 1 4 +30\nC PA 1 4 x\nS A 4 2 de\nS A 8 2 h",
        "S:-3@6 C:x@7 S:de@8 S:fg@8 S:h@9",
        0,
    ),
    "greeting not captured": ("S PA 9 1 reply\nC A 1 14\nC PA 1 14 x +40\nS PA 14 2 y", "C:x@6 S:-8+reply@4 S:y@7", 0),
}


@pytest.mark.parametrize("base", [1000, 2**32 - 3, 2**32 - 1, 2**31 - 2])
@pytest.mark.parametrize("name", CASES)
def test_segments(name: str, base: int) -> None:
    lines, heard, retransmits = CASES[name]
    ear = one(HANDSHAKE + lines, isn={"C": base, "S": (base + 7) % 2**32})
    assert ear.text == heard
    connection = ear.connection
    assert connection.retransmits == retransmits
    assert connection.missed_bytes == sum(chunk.lost for chunk in ear.chunks)
    assert connection.client_bytes == len(ear.octets(Side.CLIENT))
    assert connection.server_bytes == len(ear.octets(Side.SERVER))


MIDSTREAM = {
    "first number seen is the base": ("S PA 70 9 abc\nC PA 9 73 x", "S:abc@1 C:x@2"),
    "an empty segment does not bind": ("C A 9 70\nS PA 75 9 abc\nC PA 4 75 x", "S:abc@2 C:x@3"),
    "earlier octets are old": ("S A 73 9 def\nS A 70 9 abc\nS A 76 9 g", "S:def@1 S:g@3"),
    "keep-alive first": ("S A 69 9 x\nC A 9 70\nS PA 70 9 abc", "S:abc@3"),
    "keep-alive after an acknowledgement": ("S A 70 9\nS A 69 9 x\nS PA 70 9 abc", "S:abc@3"),
    "one octet, pushed": ("S PA 70 9 a\nS PA 71 9 b", "S:a@1 S:b@2"),
    "one octet at the known place": ("S A 70 9\nS A 70 9 a\nS A 71 9 b", "S:a@2 S:b@3"),
    "one direction": ("S A 70 9 a1\nS A 72 9 b\nS A 80 12 c\nS A 81 12 d", "S:a1@1 S:b@2 S:-7+c@3 S:d@4"),
    "acknowledged by a side never seen": ("C PA 9 70 a\nC PA 10 90 b\nC PA 11 95 c", "C:a@1 C:b@2 C:c@3"),
}


@pytest.mark.parametrize("name", MIDSTREAM)
def test_midstream(name: str) -> None:
    lines, heard = MIDSTREAM[name]
    assert one(lines).text == heard


def test_one_sided_hole_is_told_after_many_segments() -> None:
    later = "\n".join(f"S A {5 + i} 1 x" for i in range(reassembly.ONE_SIDED_SEGMENTS + 1))
    ear = one("S SA 0 1\nS A 1 1 ab\n" + later)
    assert ear.text.startswith("S:ab@2 S:-2+x@3 S:x@4")
    assert ear.connection.one_sided
    shorter = one("S SA 0 1\nS A 1 1 ab\n" + later + "\nS A 3 1 cd")
    assert shorter.octets(Side.SERVER) == b"ab" + b"x" * (reassembly.ONE_SIDED_SEGMENTS + 1)
    filled = one("S SA 0 1\nS A 1 1 ab\nS A 5 1 x\nS A 3 1 cd")
    assert filled.octets(Side.SERVER) == b"abcdx"


def test_stash_is_bounded_in_segments_and_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassembly, "STASH_SEGMENTS", 3)
    assert one(HANDSHAKE + "S A 2 1 b\nS A 4 1 d\nS A 6 1 f\nS A 8 1 h\nC PA 1 1 x").text.startswith("S:-1+b@4 C:x@8")
    monkeypatch.setattr(reassembly, "STASH_BYTES", 5)
    assert one(HANDSHAKE + "S A 2 1 bcd\nS A 7 1 ghi\nC PA 1 1 x").text.startswith("S:-1+bcd@4 C:x@6")


COPIES = {
    "same identification": ("S PA 1 1 abc id=9\nS PA 1 1 abc id=9 +0.2", 1, 0),
    "routed mirror": ("S PA 1 1 abc id=9\nS PA 1 1 abc id=9 ttl=63 link=2 +0.2", 1, 0),
    "block of packets mirrored": (
        "S A 1 1 ab id=1\nS A 3 1 cd id=2 +0\nS A 1 1 ab id=1 +0.1\nS A 3 1 cd id=2 +0",
        2,
        0,
    ),
    "too late": ("S PA 1 1 abc id=9\nS PA 1 1 abc id=9 +6", 0, 1),
    "retransmission": ("S PA 1 1 abc id=9\nS PA 1 1 abc id=10 +0.2", 0, 1),
    "other octets": ("S PA 1 1 abc id=9\nS PA 1 1 abX id=9 +0.2", 0, 1),
    "other acknowledgement": ("S PA 1 1 abc id=9\nS PA 1 2 abc id=9 +0.2", 0, 1),
    "no identification, other TTL": ("S PA 1 1 abc id=0\nS PA 1 1 abc id=0 ttl=63 +3", 1, 0),
    "no identification, other link": ("S PA 1 1 abc id=0\nS PA 1 1 abc id=0 link=2 +3", 1, 0),
    "no identification, at once": ("S PA 1 1 abc id=0\nS PA 1 1 abc id=0 +0.5", 1, 0),
    "no identification, later": ("S PA 1 1 abc id=0\nS PA 1 1 abc id=0 +3", 0, 1),
    "empty": ("C A 1 1 id=9\nC A 1 1 id=9 +0.1", 1, 0),
    "duplicate ACK is no copy": ("C A 1 1 id=0\nC A 1 1 id=0 +0.1", 0, 0),
    "empty, other link": ("C A 1 1 id=0\nC A 1 1 id=0 +0.1 link=3", 1, 0),
    "FIN without identification": ("C FA 1 1 id=0\nC FA 1 1 id=0 +0.1", 1, 0),
    "two SYN/ACK at once": ("S SA 0 1 id=0\nS SA 0 1 id=0 +0.1", 0, 2),
    "copied SYN/ACK": ("C A 1 1 id=9\nC A 1 1 id=9 +0.1\nS SA 0 1 id=0\nS SA 0 1 id=0 +0.1", 2, 1),
    "copied SYN": ("C S 0 0 id=0\nC S 0 0 id=0 +0.1", 1, 1),
    "two RST at once": ("S R 1 1 id=0\nS R 1 1 id=0 +0.1", 0, 0),
    "window update": ("C A 1 1 id=9\nC A 1 1 id=9 +0.1 window=600", 0, 0),
}


@pytest.mark.parametrize("name", COPIES)
def test_mirrored_copies(name: str) -> None:
    lines, duplicates, retransmits = COPIES[name]
    connection = one(HANDSHAKE + lines).connection
    assert (connection.duplicates, connection.retransmits) == (duplicates, retransmits)
    assert connection.packets == 3 + len(lines.splitlines()) - duplicates


def test_copies_are_not_sought_across_windows() -> None:
    first = window(HANDSHAKE + "S PA 1 1 abc id=9")
    second = window("S PA 1 1 abc id=9", first=5)
    (ear,) = hear(first, second)
    assert ear.text == "S:abc@4"
    assert ear.connection.retransmits == 1


# -- two streams, any segmentation, order and doubling

STREAM = st.binary(min_size=0, max_size=300)


def _network(seed: int, client: bytes, server: bytes, *, size: int, base: int, reorder: int) -> Ear:
    """Send both streams in segments, swapped by up to ``reorder`` places, some twice, all acknowledged."""
    random = Random(seed)
    buffer = client + server
    sent: list[list[int]] = [[0, 0, SYN, 0, 0, 0], [1, 0, SYN | ACK, 1, 0, 0]]
    queue = []
    for side, stream, start in ((0, client, 0), (1, server, len(client))):
        position = 0
        while position < len(stream):
            length = min(random.randint(1, size), len(stream) - position)
            queue += [[side, position + 1, ACK | PSH, 1, start + position, length]] * random.choice((1, 1, 1, 2))
            position += length
    order = sorted(range(len(queue)), key=lambda i: i + random.uniform(0, reorder))
    sent += [queue[i] for i in order]
    sent += [
        [0, len(client) + 1, FIN | ACK, len(server) + 1, 0, 0],
        [1, len(server) + 1, FIN | ACK, len(client) + 2, 0, 0],
    ]
    rows = []
    for frame, (side, seq, flags, ack, start, length) in enumerate(sent, 1):
        ends = ((0, 1, 50_000, 143), (1, 0, 143, 50_000))[side]
        numbers = ((base + seq) % 2**32, (base + ack) % 2**32)
        rows.append((frame, frame * 7 * NS_PER_MS, *ends, *numbers, flags, start, length, 0, frame, 64, 1, 500))
    (ear,) = hear(packets(rows, buffer))
    return ear


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 2**32),
    STREAM,
    STREAM,
    st.tuples(st.sampled_from((1, 5, 60, 1460)), st.sampled_from((0, 77, 2**32 - 50)), st.sampled_from((0, 3, 40))),
)
def test_any_network_gives_the_same_streams(seed: int, client: bytes, server: bytes, how: tuple[int, int, int]) -> None:
    size, base, reorder = how
    ear = _network(seed, client, server, size=size, base=base, reorder=reorder)
    assert ear.octets(Side.CLIENT) == client
    assert ear.octets(Side.SERVER) == server
    assert ear.connection.missed_bytes == 0
    assert ear.connection.conn_state == "SF"
    frames = [chunk.at.frame for chunk in ear.chunks]
    assert frames == sorted(frames)


NUMBER = st.one_of(st.integers(0, 40), st.integers(2**32 - 20, 2**32 - 1), st.sampled_from((2**31, 2**31 - 1, 2**30)))
ROW = st.tuples(
    st.integers(0, 10**8),  # time step, ns
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from((143, 50_000)),
    st.sampled_from((143, 50_000)),
    NUMBER,
    NUMBER,
    st.one_of(st.sampled_from((ACK, ACK | PSH, SYN, SYN | ACK, FIN | ACK)), st.integers(0, 255)),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 3),
    st.integers(0, 2),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(ROW, max_size=60))
def test_any_rows_are_taken(drawn: list[tuple[int, ...]]) -> None:
    rows, ts, offered = [], 0, 0
    for frame, (step, *columns, ip_id) in enumerate(drawn, 1):
        ts += step
        rows.append((frame, ts, *columns, ip_id, 64, 1, 500))
        offered += columns[8]
    ears = hear(packets(rows, bytes(range(40))))
    for ear in ears:
        connection = ear.connection
        assert connection.client_bytes + connection.server_bytes == sum(len(chunk.data) for chunk in ear.chunks)
        assert connection.missed_bytes == sum(chunk.lost for chunk in ear.chunks)
    assert sum(ear.connection.client_bytes + ear.connection.server_bytes for ear in ears) <= offered
    assert sum(ear.connection.packets + ear.connection.duplicates for ear in ears) == len(rows)
