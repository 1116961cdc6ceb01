"""Any octets give rows or a CaptureError, and damage never reaches back."""

import contextlib
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.errors import CaptureError
from tests.capture.building import ipv6, pcap, pcapng, read, talk
from tests.capture.test_headers import WRAPS

DATAGRAMS = [*talk(), *talk(ipv6, "2001:db8::11", "2001:db8::10"), *talk(dport=10143)]
FRAMES = [wrap(datagram) for datagram in DATAGRAMS for link, wrap in WRAPS.values() if link == 1]
GOOD = {"pcap": pcap(FRAMES[::9]), "pcapng": pcapng(FRAMES[::9])}
STARTS = [b"", *(content[:size] for content in GOOD.values() for size in (24, 64, 90))]
OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@OFTEN
@given(start=st.sampled_from(STARTS), noise=st.binary(max_size=600))
def test_noise(tmp_path: Path, start: bytes, noise: bytes) -> None:
    with contextlib.suppress(CaptureError):
        rows, facts, _ = read(tmp_path / "a", start + noise)
        assert len(rows) <= facts.packets


@OFTEN
@given(link=st.sampled_from(sorted({link for link, _ in WRAPS.values()})), frame=st.binary(min_size=1, max_size=120))
def test_any_octets_in_a_frame(tmp_path: Path, link: int, frame: bytes) -> None:
    facts = read(tmp_path / "a", pcap([frame], link=link))[1]
    assert (facts.packets, facts.stopped) == (1, None)


@OFTEN
@given(form=st.sampled_from(sorted(GOOD)), data=st.data())
def test_cuts_and_flips_do_not_reach_back(tmp_path: Path, form: str, data: st.DataObject) -> None:
    good = GOOD[form]
    at = data.draw(st.integers(24, len(good) - 1))
    bad = bytearray(good[: data.draw(st.integers(at, len(good)))])
    for place in range(at, min(at + data.draw(st.integers(1, 8)), len(bad))):
        bad[place] ^= data.draw(st.integers(0, 255))
    with contextlib.suppress(CaptureError):
        rows, _, _ = read(tmp_path / "a", bytes(bad), any_port=False)
        sound = list(read(tmp_path / "b", good[:at], any_port=False)[0])
        assert rows[: len(sound)] == sound


def test_flipped_bits_inside_frames(tmp_path: Path) -> None:
    random = Random(1)
    for _ in range(300):
        frames = [bytearray(frame) for frame in random.sample(FRAMES, 4)]
        for frame in frames:
            frame[random.randrange(len(frame))] = random.randrange(256)
            del frame[random.randrange(1, len(frame) + 1) :]
        facts = read(tmp_path / "a", pcap([bytes(frame) for frame in frames]))[1]
        assert facts.packets == 4
