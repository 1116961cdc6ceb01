"""Connection: one TCP connection as a bystander saw it; Chunk: octets of one side in order."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from analyzer.at import At, Side


class Chunk(NamedTuple):
    """Octets of one side that became known, in order, at one frame."""

    side: Side
    data: bytes
    """New octets in sequence order; may be empty when only a loss is told."""
    at: At
    """The frame that completed these octets."""
    lost: int = 0
    """Octets of this side missing from the capture just before ``data``."""
    passed: int = 0
    """Octets of this side that went by, in order and unread, before ``lost``: no more than the listener had no use for."""


class Stall(NamedTuple):
    """Octets of one side that the other never took although they were sent again and again, or never came at all."""

    side: Side
    """Who sent them."""
    at: At
    """Where they were last sent, or where what came after them came without them."""
    size: int
    """Octets of the largest segment that was not taken; of the hole, where it was not seen."""
    times: int
    """How often it was seen; 0 when what follows it was seen and it was not."""
    taken: int
    """Octets of this side that were taken before."""
    since: int
    """When that began, ns UTC."""
    heard: int
    """When the other side was last heard, ns UTC."""


class Connection:
    """One TCP connection; its counts are complete once it has ended."""

    uid: str
    """Stable for the same packets: 'C1', 'C2', ... in order of first frame."""
    client: str
    client_port: int
    server: str
    server_port: int
    client_known: str
    """How we know who is who: 'syn', 'greeting' or 'port'."""
    first_frame: int
    start: int
    """First packet, ns UTC."""
    last_frame: int = 0
    end: int = 0
    """Last packet, ns UTC."""
    conn_state: str = "OTH"
    """Zeek's word: S0 S1 S2 S3 SF REJ RSTO RSTR RSTOS0 RSTRH SH SHR OTH."""
    history: str = ""
    """Zeek's letters: S SYN, H SYN+ACK, A ACK, D data, F FIN, R RST; capitals from the client; each once."""
    client_bytes: int = 0
    """Payload octets of the client, each counted once."""
    server_bytes: int = 0
    missed_bytes: int = 0
    """Octets known to have been sent but absent from the capture."""
    retransmits: int = 0
    """Packets that carried nothing new (mirrored copies excluded)."""
    duplicates: int = 0
    """Packets recognised as mirrored copies of one just seen."""
    packets: int = 0
    """Packets of the connection in the capture, copies excluded."""
    said_at: At | None = None
    """The last octets of either side; None when nothing was said."""
    syn_at: At | None = None
    """First SYN of the client."""
    syn_count: int = 0
    """SYN packets of the client, retransmissions included."""
    syn_ack_at: At | None = None
    client_isn: int | None = None
    """Initial sequence number of the client, as on the wire: the same connection in two captures has the same."""
    server_isn: int | None = None
    """Initial sequence number of the server."""
    established_at: At | None = None
    """The client's ACK that completed the handshake, or its first data."""
    handshake_ms: float | None = None
    """SYN to SYN/ACK, ms."""
    fin_by: Side | None = None
    """Who sent the first FIN."""
    fin_at: At | None = None
    reset_by: Side | None = None
    """Who sent the first RST."""
    reset_at: At | None = None
    one_sided: bool = False
    """Packets of one side only were captured, though the other must have spoken."""
    unreachable: str | None = None
    """Code of an ICMP error that answered the SYN, with its reporter: 'prohibited from 10.0.0.1'."""
    unreachable_frame: int | None = None
    server_ttl: int | None = None
    """TTL of the server's SYN/ACK (else of its first packet), to know a middlebox's RST by."""
    reset_ttl: int | None = None
    """TTL of the first RST."""
    data_ttl: int | None = None
    """TTL of the first data of the side in whose name that RST came; None when it sent none."""
    reset_after_ms: float | None = None
    """Last packet of the other side to the first RST, ms."""
    server_packets: int = 0
    """Packets of the server among ``packets``."""
    server_retransmits: int = 0
    """Packets of the server among ``retransmits``."""
    stall: Stall | None = None
    """Where it stood still at its end; None when all that was sent was taken."""

    def __init__(  # noqa: PLR0917
        self,
        uid: str,
        client: str,
        client_port: int,
        server: str,
        server_port: int,
        client_known: str,
        frame: int,
        ts: int,
    ) -> None:
        self.uid, self.client, self.client_port, self.server, self.server_port = (
            uid, client, client_port, server, server_port,
        )  # fmt: skip
        self.client_known, self.first_frame, self.start = client_known, frame, ts


class Listener(Protocol):
    """Hears what a connection says while it is being read."""

    def chunk(self, chunk: Chunk) -> int:
        """Take the next octets; chunks of both sides come in the order a bystander learns them.

        Return how many octets of this side the listener has no use for next, such as the rest of a mail: packets that
        hold no others are counted only, which costs a tenth.
        """

    def end(self) -> None:
        """The connection has ended, or the capture has; its record is complete."""
