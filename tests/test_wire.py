"""What the writer writes is what readers that know nothing of it read: scapy, and tshark where it is installed."""

import itertools
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from analyzer.at import Side
from tests.frames import LINK_TYPES, checksum
from tests.wire import AT_CLIENT, START, Flaws, Look, Reach, Wire

CLIENT, SERVER = Side.CLIENT, Side.SERVER
STEPS = (
    (SERVER, b"* OK The Microsoft Exchange IMAP4 service is ready.\r\n"),
    (CLIENT, b"A0 CAPABILITY\r\n"),
    (SERVER, b"* CAPABILITY IMAP4 IMAP4rev1 AUTH=NTLM\r\nA0 OK CAPABILITY completed.\r\n"),
    (CLIENT, b'A1 LOGIN "uccx-mail" "Correct-Horse-7"\r\n'),
    (SERVER, b"A1 NO LOGIN failed.\r\n"),
)
SAID = {side: b"".join(data for who, data in STEPS if who is side) for side in Side}
V4 = ("192.0.2.11", "198.51.100.10")
V6 = ("2001:db8::11", "2001:db8::10")
NEAR_WRAP = (2**32 - 7, 2**32 - 20)


def scapy_reads(path: Path) -> list[Any]:
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Loopback
    from scapy.packet import bind_layers
    from scapy.utils import rdpcap

    bind_layers(Loopback, IPv6, type=30)  # macOS's address family, which scapy leaves to the reader
    return list(rdpcap(str(path)))


def streams(packets: list[Any]) -> dict[Side, bytes]:
    """Put one connection together: octets by their distance from the SYN, the first to come wins."""
    from scapy.layers.inet import TCP
    from scapy.packet import Padding, Raw

    octets: dict[Side, dict[int, int]] = {CLIENT: {}, SERVER: {}}
    first: dict[Side, int] = {}
    for packet in packets:
        tcp = packet[TCP]
        side = CLIENT if tcp.dport == 143 else SERVER
        if "S" in tcp.flags:
            first.setdefault(side, tcp.seq + 1)
        data = bytes(tcp[Raw]) if Raw in tcp else b""
        pad = len(tcp[Padding].load) if Padding in tcp else 0
        for i, octet in enumerate(data[: len(data) - pad] if pad and data.endswith(bytes(pad)) else data):
            octets[side].setdefault((tcp.seq - first[side] + i) % 2**32, octet)
    return {side: bytes(x for _, x in sorted(octets[side].items())) for side in Side}


def one(tmp_path: Path, look: Look | None = None, flaws: Flaws | None = None, **options: Any) -> list[Any]:
    wire = Wire(seed=4)
    wire.dialogue(STEPS, **options)
    return scapy_reads(wire.save(tmp_path / "a.pcap", look, flaws))


@pytest.mark.parametrize("segment", [1, 5, 50, 1460])
@pytest.mark.parametrize("flaws", [Flaws(), Flaws(reorder=1.0), Flaws(repeat=0.3, mirror=True)], ids=str)
def test_the_same_words_come_out(tmp_path: Path, segment: int, flaws: Flaws) -> None:
    packets = one(tmp_path, flaws=flaws, segment=segment, isn=NEAR_WRAP)
    assert streams(packets) == SAID


@pytest.mark.parametrize(("client", "server"), [V4, V6])
@pytest.mark.parametrize("link", LINK_TYPES)
@pytest.mark.parametrize("container", ["pcap", "pcapng"])
def test_every_link_type_and_container(tmp_path: Path, client: str, server: str, link: str, container: str) -> None:
    look = Look(container, link=link, nanos=True)
    assert streams(one(tmp_path, look, client=client, server=server)) == SAID


@pytest.mark.parametrize(("nanos", "big", "container"), list(itertools.product([0, 1], [0, 1], ["pcap", "pcapng"])))
def test_times_survive_both_resolutions_and_byte_orders(tmp_path: Path, nanos: int, big: int, container: str) -> None:
    packets = one(tmp_path, Look(container, bool(nanos), bool(big)), at_ms=0.123456)
    unit = 1 if nanos else 1000
    assert round(float(packets[0].time - START // 10**9) * 1e9) == 123_456 // unit * unit
    assert streams(packets) == SAID


@pytest.mark.parametrize("vlans", [(7,), (7, 9)])
def test_vlan_tags(tmp_path: Path, vlans: tuple[int, ...]) -> None:
    from scapy.layers.l2 import Dot1AD, Dot1Q

    packets = one(tmp_path, Look(vlans=vlans))
    assert streams(packets) == SAID
    kinds = (Dot1AD, Dot1Q) if len(vlans) == 2 else (Dot1Q,)
    assert tuple(packets[0][kind].vlan for kind in kinds) == vlans


@pytest.mark.parametrize(("client", "server"), [V4, V6])
def test_checksums_are_those_scapy_computes(tmp_path: Path, client: str, server: str) -> None:
    from scapy.layers.inet import ICMP, IP, TCP
    from scapy.layers.inet6 import IPv6

    wire = Wire()
    wire.dialogue(STEPS, client, server, segment=5)
    wire.prohibited(wire.conversation(client, server, at_ms=500), "192.0.2.1" if server == V4[1] else "2001:db8::1")
    for packet in scapy_reads(wire.save(tmp_path / "a.pcap", Look(link="raw"))):
        fresh = packet.copy()
        for layer in (IP, TCP, ICMP):
            if layer in fresh:
                del fresh[layer].chksum
        assert bytes(fresh) == bytes(packet)
        assert IP in packet or IPv6 in packet


def test_checksum_of_the_rfc() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2  # RFC 1071, section 3
    assert checksum(bytes(4)) == 0
    assert checksum(b"\xff\xff") == 0


def test_ip_ids_increase_per_sender() -> None:
    wire = Wire()
    wire.dialogue(STEPS, segment=5)
    for side in Side:
        ids = [x.ip_id for x in wire.frames() if x.side is side]
        assert [(b - a) % 65536 for a, b in itertools.pairwise(ids)] == [1] * (len(ids) - 1)


def test_mirrored_copies_have_another_header_and_ttl(tmp_path: Path) -> None:
    plain, mirrored = one(tmp_path), one(tmp_path, flaws=Flaws(mirror=True))
    assert len(mirrored) == 2 * len(plain)
    first, copy = mirrored[:2]
    assert (copy["IP"].ttl, copy["IP"].id) == (first["IP"].ttl - 1, first["IP"].id)
    assert copy.src != first.src
    assert bytes(copy["TCP"]) == bytes(first["TCP"])


def test_snap_length_keeps_the_true_length(tmp_path: Path) -> None:
    packets = one(tmp_path, Look(snap=60))
    whole = one(tmp_path)
    assert max(len(x) for x in packets) == 60
    assert [x.wirelen for x in packets] == [len(x) for x in whole]


def test_flaws_take_away_what_they_say() -> None:
    wire = Wire()
    wire.dialogue(STEPS, segment=5)
    whole = wire.frames()
    assert wire.frames(Flaws(skip=4)) == whole[4:]
    assert {x.side for x in wire.frames(Flaws(only=SERVER))} == {SERVER}
    holes = wire.frames(Flaws(missing=0.5))
    assert len([x for x in whole if not x.data]) < len(holes) < len(whole)


@pytest.mark.parametrize(("place", "heard"), [(Reach(loss=0.4), SERVER), (Reach(0.02, 0.3, loss=0.4), CLIENT)])
def test_a_lost_segment_is_heard_twice_only_before_the_loss(place: Reach, heard: Side) -> None:
    wire = Wire(seed=1)
    wire.dialogue(STEPS, segment=5, reach=place)
    for side in Side:
        sent = [x.seq for x in wire.frames() if x.data and x.side is side]
        assert (len(sent) > len(set(sent))) == (side is heard)


def test_distance_shows_in_the_times() -> None:
    wire = Wire()
    wire.dialogue(STEPS[:1], reach=AT_CLIENT)
    syn, answer, ack = (x.ts for x in wire.frames()[:3])
    assert answer - syn == 650_000  # 2 x 0.3 ms there and back, 0.05 ms to answer
    assert ack - answer == 50_000


def test_unanswered_and_turned_away() -> None:
    wire = Wire()
    wire.unanswered(wire.conversation(*V4))
    wire.turned_away(wire.conversation(*V4, at_ms=10_000))
    frames = wire.frames()
    assert [round((x.ts - START) / 1e9) for x in frames] == [0, 1, 3, 7, 10, 10]
    assert [x.flags for x in frames] == [2, 2, 2, 2, 2, 20]
    assert len({x.seq for x in frames[:4]}) == 1
    assert frames[5].ack == (frames[4].seq + 1) % 2**32


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("by", list(Side))
def test_who_closes_and_how(how: str, by: Side) -> None:
    wire = Wire()
    talk = wire.conversation(*V4).open()
    talk.say(SERVER, b"* OK\r\n")
    talk.close(by, how)
    ends = [x for x in wire.frames() if x.flags & 5]
    assert ends[0].side is by
    assert len(ends) == (2 if how == "fin" else 1)


def test_the_same_seed_gives_the_same_octets(tmp_path: Path) -> None:
    files = []
    for seed in (1, 1, 2):
        wire = Wire(seed)
        wire.dialogue(STEPS, segment=5)
        files.append(wire.save(tmp_path / "a", None, Flaws(reorder=0.5, repeat=0.2, mirror=True)).read_bytes())
    assert files[0] == files[1] != files[2]


def test_conversations_interleave(tmp_path: Path) -> None:
    wire = Wire()
    for i in range(3):
        wire.dialogue(STEPS, at_ms=i * 0.5)
    frames = wire.frames()
    assert [x.ts for x in frames] == sorted(x.ts for x in frames)
    assert len([1 for a, b in itertools.pairwise(frames) if a.flow != b.flow]) > 10


def test_short_frames_are_padded_as_on_the_wire() -> None:
    from tests.frames import linked

    wire = Wire()
    wire.dialogue([(SERVER, b"+\r\n")])
    plus = next(x for x in wire.frames() if x.data)
    octets = linked(plus, Look())
    assert len(octets) == 60
    assert struct.unpack("!H", octets[16:18]) == (43,)


def test_tshark_follows_the_same_words(tmp_path: Path, tshark: str) -> None:
    wire = Wire(seed=2)
    for i, segment in enumerate((1, 5, 1460)):
        wire.dialogue(STEPS, segment=segment, isn=NEAR_WRAP, at_ms=i * 1000)
    path = wire.save(tmp_path / "a.pcapng", Look("pcapng", link="sll2"), Flaws(reorder=1.0, repeat=0.2))
    follow = [x for i in range(3) for x in ("-z", f"follow,tcp,raw,{i}")]
    done = subprocess.run([tshark, "-n", "-q", "-r", str(path), *follow], capture_output=True, text=True, check=True)
    for part in done.stdout.split("Follow: tcp,raw")[1:]:
        lines = [x for x in part.splitlines() if x and set(x.strip()) <= set("0123456789abcdef")]
        said = {
            CLIENT: bytes.fromhex("".join(x for x in lines if not x.startswith("\t"))),
            SERVER: bytes.fromhex("".join(x.strip() for x in lines if x.startswith("\t"))),
        }
        assert said == SAID
    assert done.stdout.count("Follow: tcp,raw") == 3
