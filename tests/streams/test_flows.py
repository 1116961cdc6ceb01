"""Packets of many connections, mixed -> each its own; who is the client; when a connection ends."""

from __future__ import annotations

import pytest

from analyzer.capture.packets import Packets, Unreachable
from analyzer.streams import flows
from tests.streams.talk import HANDSHAKE, hear, one, window

ODD = (50_000, 51_143)
"""Ports that tell nothing."""


def _ends(*windows: Packets) -> list[tuple[str, str, int]]:
    return [(ear.connection.uid, ear.connection.conn_state, ear.connection.first_frame) for ear in hear(*windows)]


@pytest.mark.parametrize(
    ("lines", "ports", "client", "known"),
    [
        ("C S 0 0", (50_000, 143), "192.0.2.11", "syn"),
        ("C S 0 0", (143, 50_000), "192.0.2.11", "syn"),
        ("S SA 0 1", (50_000, 143), "192.0.2.11", "syn"),
        ("S SA 0 1", ODD, "192.0.2.11", "syn"),
        ("C A 9 9", (50_000, 993), "192.0.2.11", "port"),
        ("S A 9 9", (50_000, 993), "192.0.2.11", "port"),
        ("S PA 9 9 *_OK_ready", ODD, "192.0.2.11", "greeting"),
        ("S PA 9 9 *_OKAY", ODD, "198.51.100.10", "port"),  # nearly a greeting
        ("S PA 9 9 +OK", ODD, "192.0.2.11", "greeting"),
        ("C PA 9 9 220-mx", ODD, "198.51.100.10", "greeting"),
        ("C A 9 9\nS PA 9 9 -ERR", ODD, "192.0.2.11", "greeting"),
        ("C A 9 9\nS SA 0 9", ODD, "192.0.2.11", "syn"),
        ("C PA 9 9 hello", ODD, "198.51.100.10", "port"),
        ("C A 9 9", (143, 993), "198.51.100.10", "port"),
        ("C R 9 9", ODD, "198.51.100.10", "port"),
        ("C A 1 1\nC S 0 0", (50_000, 143), "192.0.2.11", "syn"),
        ("C SR 1 1", ODD, "198.51.100.10", "port"),
    ],
)
def test_who_is_the_client(lines: str, ports: tuple[int, int], client: str, known: str) -> None:
    connection = one(lines, ports=ports).connection
    assert (connection.client, connection.client_known) == (client, known)


def test_known_ports_are_the_callers_choice() -> None:
    lines = window("C PA 9 9 x", ports=(50_000, 51_143))
    (ear,) = hear(lines, ports=frozenset({51_143}))
    assert ear.connection.server_port == 51_143


def test_waiting_for_a_greeting_ends() -> None:
    held = "C A 9 9\n" * (flows.HELD_PACKETS - 1)
    late = one(held + "S PA 9 9 +OK", ports=ODD).connection
    assert (late.client_known, late.packets, late.first_frame) == ("greeting", flows.HELD_PACKETS, 1)
    too_late = one(held + "C A 9 9\nS PA 9 9 +OK", ports=ODD).connection
    assert (too_late.client_known, too_late.packets) == ("port", flows.HELD_PACKETS + 1)
    ears = hear(window("C A 9 9", ports=ODD), window("S PA 9 9 +OK", ports=ODD, first=2))
    assert ears[0].text == "S:+OK@2"


def test_a_held_reset_closes() -> None:
    lines = "C R 9 9\nS PA 9 9 +OK\n" + "C S 0 0 port=60000 +70000"
    assert _ends(window(lines, ports=ODD)) == [("C1", "RSTO", 1), ("C2", "S0", 3)]


def test_chunks_of_both_sides_interleave() -> None:
    lines = "S PA 1 1 a +0\nC PA 1 1 b +0\nS PA 2 1 c +0\nC PA 2 2 d +0\nC PA 3 3 e +0\nS PA 3 4 f +0\nC A 4 4\nC A 4 4\nS A 4 4"
    assert one(HANDSHAKE + lines).text == "S:a@4 C:b@5 S:c@6 C:d@7 C:e@8 S:f@9"


def test_connections_are_kept_apart_and_counted_in_order() -> None:
    lines = "C S 0 0 port=1\nC S 0 0 port=2\nS RA 0 1 port=2\nC S 0 0 port=3\nS SA 0 1 port=1\nC PA 1 1 x port=1"
    assert _ends(window(lines)) == [("C1", "S1", 1), ("C2", "REJ", 2), ("C3", "S0", 4)]


def test_windows_go_on_where_the_last_one_ended() -> None:
    first = window(HANDSHAKE + "S PA 1 1 one\nS PA 7 1 three")
    second = window("S PA 4 1 two\nC PA 1 12 x", first=6)
    (ear,) = hear(first, second)
    assert ear.text == "S:one@4 S:two@6 S:three@6 C:x@7"


CLOSE = HANDSHAKE + "C FA 1 1\nS FA 1 2\nC A 2 2\n"


@pytest.mark.parametrize(
    ("lines", "ends"),
    [
        (CLOSE + "C S 500 0 +100", [("C1", "SF", 1), ("C2", "S0", 7)]),
        (HANDSHAKE + "C PA 1 1 x\nC S 9 0\nS SA 500 10", [("C1", "S1", 1), ("C2", "S1", 5)]),
        ("C S 0 0\nC S 7 0 +3000", [("C1", "S0", 1), ("C2", "S0", 2)]),
        ("C S 0 0\nC S 0 0 +3000", [("C1", "S0", 1)]),
        (HANDSHAKE + "C S 0 0", [("C1", "S1", 1)]),
        ("C PA 50 1 x\nC S 0 0", [("C1", "OTH", 1), ("C2", "S0", 2)]),
        ("S PA 50 1 x\nC S 0 0", [("C1", "OTH", 1), ("C2", "S0", 2)]),
        ("C PA 50 1 x\nS SA 0 1", [("C1", "OTH", 1), ("C2", "OTH", 2)]),
        (CLOSE + "S SA 700 701", [("C1", "SF", 1), ("C2", "OTH", 7)]),
        (CLOSE + "S FA 1 2 +200\nC A 2 2", [("C1", "SF", 1)]),
        (CLOSE + "C S 0 0 port=9 +59000\nC A 2 2", [("C1", "SF", 1), ("C2", "S0", 7)]),
        (CLOSE + "C S 0 0 port=9 +61000\nC A 2 2", [("C1", "SF", 1), ("C2", "S0", 7), ("C3", "OTH", 8)]),
        (
            HANDSHAKE + "S RA 1 1\nC S 0 0 port=9\nS RA 0 1 port=9\nC S 0 0 port=8 +61000",
            [("C1", "RSTR", 1), ("C2", "REJ", 5), ("C3", "S0", 7)],
        ),
        (CLOSE + "C S 500 0\nC S 0 0 port=9 +61000", [("C1", "SF", 1), ("C2", "S0", 7), ("C3", "S0", 8)]),
    ],
)
def test_where_one_ends_and_the_next_begins(lines: str, ends: list[tuple[str, str, int]]) -> None:
    assert _ends(window(lines)) == ends


def test_a_reset_nobody_believes() -> None:
    lines = HANDSHAKE + "S R 1 1 ttl=255\nC PA 1 1 a +40000\nS PA 1 2 b +25000\nC PA 2 2 c +25000\nS PA 2 3 d +25000"
    ear = one(lines)
    assert ear.text == "C:a@5 S:b@6 C:c@7 S:d@8"
    assert ear.connection.reset_ttl == 255


def test_ended_connections_are_forgotten_before_the_capture_ends() -> None:
    lines = window(CLOSE + "C S 0 0 port=9 +61000\nC S 0 0 port=8")
    heard = flows.connections([lines], lambda _: _Deaf())
    assert next(iter(heard)).uid == "C1"


class _Deaf:
    def chunk(self, chunk: object) -> int:
        del chunk
        return 0

    def end(self) -> None:
        pass


def test_limits_of_open_and_closed_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "OPEN_LIMIT", 2)
    lines = window("C S 0 0 port=3\nC S 0 0 port=4\nC S 0 0 port=5\nS RA 0 1 port=3")
    assert _ends(lines) == [("C1", "S0", 1), ("C2", "S0", 2), ("C3", "S0", 3), ("C4", "RSTR", 4)]
    monkeypatch.undo()
    monkeypatch.setattr(flows, "LINGER_LIMIT", 1)
    lines = window("C R 1 0 port=3\nC R 1 0 port=4\nC S 9 0 port=4\nC R 1 0 port=5\nC R 1 0 port=6\nC S 0 0 port=3")
    assert [uid for uid, _, _ in _ends(lines)] == ["C1", "C2", "C4", "C3", "C5", "C6"]


def _complaint(frame: int, src: str = "192.0.2.11", dport: int = 143, code: str = "prohibited") -> Unreachable:
    return Unreachable(frame, 0, "10.0.0.1", src, "198.51.100.10", 50_000, dport, code)


@pytest.mark.parametrize(
    ("lines", "complaints", "expected"),
    [
        ("C S 0 0", [_complaint(2)], ("prohibited from 10.0.0.1", 2)),
        ("C S 0 0\nC S 0 0 frame=3", [_complaint(4, code="host"), _complaint(2)], ("prohibited from 10.0.0.1", 2)),
        (HANDSHAKE, [_complaint(4, code="fragmentation")], (None, None)),
        ("C S 0 0", [_complaint(2, src="203.0.113.99")], (None, None)),
        ("C S 0 0", [_complaint(2, dport=25)], (None, None)),
        ("C S 0 0 frame=3", [_complaint(2)], (None, None)),
    ],
)
def test_unreachable(lines: str, complaints: list[Unreachable], expected: tuple[str | None, int | None]) -> None:
    packets = window(lines)
    packets.unreachable = complaints
    (ear,) = hear(packets)
    assert (ear.connection.unreachable, ear.connection.unreachable_frame) == expected


def test_unreachable_belongs_to_the_attempt_before_it() -> None:
    packets = window("C S 0 0\nC S 7 0 frame=3")
    packets.unreachable = [_complaint(2)]
    assert [ear.connection.unreachable_frame for ear in hear(packets)] == [2, None]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer(kind: type) -> None:
    packets = window(HANDSHAKE + "S PA 1 1 hi\nS PA 3 1 ho")
    packets.buffer = kind(packets.buffer)
    (ear,) = hear(packets)
    assert ear.text == "S:hi@4 S:ho@5"
    assert all(type(chunk.data) is bytes for chunk in ear.chunks)


def test_nothing() -> None:
    assert hear(window("")) == []
