"""One answer, however the capture is read: all at once or stretch by stretch, by us or by tshark."""

from pathlib import Path
from typing import Any

import pytest

import analyzer
from analyzer.capture import bulk, lanes, walk
from analyzer.report.model import document
from tests.frames import Look
from tests.model import Limits, Server, agents, simulate
from tests.scenes import film
from tests.test_samples import SAMPLES
from tests.wire import Flaws

LOOKS = {
    "pcap": (Look(), Flaws()),
    "tagged pcapng, doubled": (Look("pcapng", vlans=(100, 7)), Flaws(mirror=True)),
    "cooked, cut": (Look(link="sll2", snap=96), Flaws(skip=40)),
}
STRETCHES = (1 << 12, 1 << 14, 1 << 16, 1 << 25)
"""Octets of a stretch; 32 to 128 MB, scaled down to a capture of some hundred thousand octets."""
BY_TSHARK = {
    "imap_on_port_1143.pcap": [1143],
    "port_prohibited.pcap": [],
    "tls_required.pcap": [],
    "server_side_limit_ntlm.pcapng": [],
}
"""Sample -> ports to name, which tshark must be told of: it finds mail by port only."""


def told(path: Path, **options: Any) -> dict[str, Any]:
    return document(analyzer.read(path, **options).result)


@pytest.mark.parametrize("name", LOOKS)
def test_every_stretch_size_gives_the_same_report(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    run = simulate(Server(port=1143, limits=Limits(per_user=6)), agents(5), until_s=6)
    path = film(run).save(tmp_path / "a", *LOOKS[name])
    plain = told(path)
    assert plain["sessions"]
    monkeypatch.setattr(walk, "BULK_BYTES", 0)
    monkeypatch.setattr(lanes, "LEAST_LANES", 2)
    for stretch in STRETCHES:
        monkeypatch.setattr(bulk, "STRETCH_BYTES", stretch)
        monkeypatch.setattr(bulk, "LEAST_STRETCH_BYTES", min(stretch, 1 << 16))
        assert told(path) == plain, stretch


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize("name", BY_TSHARK)
def test_tshark_gives_the_same_report(name: str) -> None:
    pytest.importorskip("pyshark")
    ports = BY_TSHARK[name]
    own, other = told(SAMPLES / name, ports=ports), told(SAMPLES / name, ports=ports, engine="tshark")
    assert own["sessions"]
    (seen,) = other["captures"]
    assert seen["format"] == "tshark"
    seen["format"] = own["captures"][0]["format"]
    assert other == own


@pytest.mark.parametrize("snap", [80, 64])
def test_what_a_short_snap_length_leaves_is_used(tmp_path: Path, snap: int) -> None:
    """With 10 octets of each packet the logins are still told apart, but no more whose they are."""
    run = simulate(Server(limits=Limits(per_user=6)), agents(5), until_s=4)
    whole, cut = (told(film(run).save(tmp_path / "a", Look(snap=octets))) for octets in (262_144, snap))
    logins = [[(x["session"], x["decided_frame"], x["outcome"]) for x in report["logins"]] for report in (whole, cut)]
    assert logins[0] == logins[1]
    assert {x["outcome"] for x in whole["logins"]} >= {"accepted", "refused"}
    assert cut["captures"][0]["quality"]["grade"] > "B"
