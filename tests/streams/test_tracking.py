"""Handshake, close and reset: the record of one connection."""

from __future__ import annotations

import pytest

from analyzer.at import Side
from tests.streams.talk import HANDSHAKE, one

STATES = {
    "no answer": ("C S 0 0\nC S 0 0\nC S 0 0", "S0", "S", False),
    "refused port": ("C S 0 0\nS RA 0 1", "REJ", "Sr", False),
    "refused port, tried again": ("C S 0 0\nS RA 0 1\nC S 0 0\nS RA 0 1", "REJ", "Sr", False),
    "established": (HANDSHAKE, "S1", "ShA", False),
    "answered only": ("C S 0 0\nS SA 0 1", "S1", "Sh", False),
    "normal": (HANDSHAKE + "S PA 1 1 hi\nC A 1 3\nC FA 1 3\nS FA 3 2\nC A 2 4", "SF", "ShAdFf", False),
    "normal, reset behind it": (HANDSHAKE + "C FA 1 1\nS FA 1 2\nC R 2 2", "SF", "ShAFfR", False),
    "client closed": (HANDSHAKE + "C FA 1 1\nS A 1 2", "S2", "ShAFa", False),
    "server closed": (HANDSHAKE + "S FA 1 1\nC A 1 2", "S3", "ShAf", False),
    "client aborted": (HANDSHAKE + "C PA 1 1 x\nC RA 2 1", "RSTO", "ShADR", False),
    "client aborted after the server's FIN": (HANDSHAKE + "S FA 1 1\nC RA 1 2", "RSTO", "ShAfR", False),
    "server aborted": (HANDSHAKE + "C PA 1 1 x\nS RA 1 2", "RSTR", "ShADr", False),
    "server aborted, then client": (HANDSHAKE + "S RA 1 1\nC R 1 1", "RSTR", "ShArR", False),
    "client gave up": ("C S 0 0\nC R 1 0", "RSTOS0", "SR", False),
    "SYN of client not seen, server reset": ("S SA 0 1\nS R 1 1", "RSTRH", "hr", True),
    "half-open, client closed": ("C S 0 0\nC FA 1 1", "SH", "SF", True),
    "SYN of client not seen, server closed": ("S SA 0 1\nS FA 1 1", "SHR", "hf", True),
    "midstream": ("C PA 5 5 x\nS A 5 6", "OTH", "Da", False),
    "midstream, closed": ("C FA 5 5\nS FA 5 6\nC A 6 6", "SF", "FfA", False),
    "midstream, server reset": ("C PA 5 5 x\nS RA 5 6", "RSTR", "Dr", False),
    "midstream, client reset": ("S PA 5 5 x\nC RA 5 6", "RSTO", "dR", False),
    "client only": ("C S 0 0\nC A 1 1\nC PA 1 9 x", "S1", "SAD", True),
    "server only": ("S SA 0 1\nS A 1 1\nS PA 1 9 x", "OTH", "had", True),
    "only a reset": ("S R 1 1", "RSTR", "r", True),
}


@pytest.mark.parametrize("name", STATES)
def test_conn_state(name: str) -> None:
    lines, state, history, one_sided = STATES[name]
    connection = one(lines).connection
    assert (connection.conn_state, connection.history, connection.one_sided) == (state, history, one_sided)


def test_record_of_a_whole_connection() -> None:
    connection = one("""
        C S 0 0 ttl=128
        C S 0 0 +1000 ttl=128     # nobody answered at first
        S SA 0 1 +2.5 ttl=61
        C A 1 1 +0.5
        S PA 1 1 hello ttl=60
        C PA 1 6 login
        S FA 6 6
        C FA 6 7
        S R 7 7 ttl=255
    """).connection
    assert (connection.uid, connection.client_known) == ("C1", "syn")
    assert (connection.client, connection.client_port, connection.server, connection.server_port) == (
        "192.0.2.11",
        50_000,
        "198.51.100.10",
        143,
    )
    assert connection.syn_at is not None
    assert connection.syn_ack_at is not None
    assert connection.established_at is not None
    assert (connection.syn_at.frame, connection.syn_ack_at.frame, connection.established_at.frame) == (1, 3, 4)
    assert connection.syn_count == 2
    assert connection.handshake_ms == 1002.5
    assert connection.retransmits == 1
    assert (connection.fin_by, connection.fin_at and connection.fin_at.frame) == (Side.SERVER, 7)
    assert (connection.reset_by, connection.reset_at and connection.reset_at.frame) == (Side.SERVER, 9)
    assert (connection.server_ttl, connection.reset_ttl) == (61, 255)
    assert (connection.first_frame, connection.last_frame, connection.packets) == (1, 9, 9)
    assert connection.end - connection.start == 1_053_000_000
    assert (connection.client_bytes, connection.server_bytes, connection.missed_bytes) == (5, 5, 0)


def test_unset_where_nothing_was_seen() -> None:
    connection = one("C PA 5 5 x").connection
    unset = (connection.syn_at, connection.syn_ack_at, connection.established_at, connection.handshake_ms)
    assert unset == (None,) * 4
    assert (connection.fin_by, connection.reset_by, connection.server_ttl, connection.reset_ttl) == (None,) * 4


@pytest.mark.parametrize(
    ("lines", "frame"),
    [
        (HANDSHAKE, 3),
        ("C S 0 0\nS SA 0 1\nS PA 1 1 hi\nC PA 1 3 x", 4),
        ("C S 0 0\nC A 1 1", 2),
        ("S SA 0 1\nC A 1 1", 2),
        ("C S 0 0\nS SA 0 1", None),
    ],
)
def test_established_by_the_clients_ack_or_first_data(lines: str, frame: int | None) -> None:
    at = one(lines).connection.established_at
    assert (at and at.frame) == frame


def test_server_ttl_of_its_first_packet_until_the_syn_ack() -> None:
    assert one("C PA 5 5 x\nS A 5 6 ttl=50\nS A 5 6 ttl=49").connection.server_ttl == 50
    assert one("C S 0 0\nS A 7 1 ttl=50\nS SA 0 1 ttl=49").connection.server_ttl == 49


@pytest.mark.parametrize(
    ("lines", "heard"),
    [
        ("S SA 0 1\nC S 0 0\nC A 1 1\nS PA 1 1 hi", "S:hi@4"),  # SYN behind its answer
        ("C PA 1 1 x\nC S 0 0\nS SA 0 2\nS PA 1 2 hi", "C:x@1 S:hi@4"),
        ("C S 0 0\nC A 1 1\nS SA 0 1\nS PA 1 1 hi", "S:hi@4"),
        ("C A 1 1\nC S 0 0\nC PA 1 1 x", "C:x@3"),
        (HANDSHAKE + "S SA 0 1\nS PA 1 1 hi", "S:hi@5"),  # repeated SYN/ACK
        (HANDSHAKE + "S SA 77 1\nS PA 1 1 hi", "S:hi@5"),  # a middlebox with numbers of its own
        ("C S 0 0 fast\nS SA 0 5\nC PA 5 1 er", "C:fast@1 C:er@3"),  # data in the SYN (RFC 7413)
        ("C S 0 0\nS S 3 0\nS PA 1 1 hi", None),
    ],
)
def test_odd_handshakes_stay_one_connection(lines: str, heard: str | None) -> None:
    if heard is None:
        with pytest.raises(ValueError, match="too many values"):
            one(lines)
    else:
        assert one(lines).text == heard
