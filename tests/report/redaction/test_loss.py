"""Redaction where much is lost, on the way or by the capture, and segments are tiny: the same verdict, and nothing planted."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from analyzer.capture import captures
from analyzer.capture.packets import Row
from analyzer.report.redaction import redact
from tests.model import OLD, Agent, Limits, Run, Server, agents, service, simulate
from tests.report.redaction.test_redact import LOGIN, UNSOUND, everything_said, leaks, names_in, story, unsound
from tests.scenes import DOVECOT, EXCHANGE, PASSWORDS, film
from tests.transcript import PLANTED
from tests.wire import Flaws

CHECKSUMS = UNSOUND.removesuffix(" || tcp.analysis.ack_lost_segment")  # what the capture lost was acknowledged
BURST = {"burst": 2, "rest_s": 2.0}


@cache
def scene(name: str) -> Run:
    """A few people on one account, or on one server."""
    mechanism = "NTLM" if name == "ntlm" else "PLAIN"
    people = [service(mechanism=mechanism), *agents(4, mechanism=mechanism, **BURST)]
    if name == "password":
        stale = Agent("192.0.2.21", secret=OLD, workstation="AGENTPC21", arrive_s=1.0, **BURST)
        return simulate(Server(), [*people[:3], stale], until_s=6.0, seed=2)
    return simulate(Server(limits=Limits(per_user=6)), people, until_s=6.0, seed=1)


SCENES = [("limit", EXCHANGE), ("ntlm", EXCHANGE), ("dovecot", DOVECOT), ("password", EXCHANGE)]
LOSSES = {
    "on the way": (0.2, None),
    "by the capture": (0.0, Flaws(missing=0.12)),
    "both": (0.15, Flaws(missing=0.1, reorder=0.3)),
    "both, and started late": (0.1, Flaws(missing=0.15, skip=60)),
}


def filmed(path: Path, name: str, loss: str, segment: int) -> Path:
    """A scene as a lossy network and a lossy capture leave it."""
    on_the_way, flaws = LOSSES[loss]
    return film(scene(name), dict(SCENES)[name], seed=4, loss=on_the_way, segment=segment).save(path, flaws=flaws)


def octets_of(path: Path) -> bytes:
    """What each side of each connection said, put together: where segments are tiny, no frame holds a whole word."""
    said: dict[tuple[int, ...], dict[int, bytes]] = {}
    for window in next(captures(path)).windows():  # type: ignore[union-attr]
        for values in window.rows():
            row = Row(*map(int, values))
            heard = said.setdefault((row.src, row.dst, row.sport, row.dport), {})
            heard[row.seq] = bytes(window.buffer[row.start : row.start + row.size])
    return b"|".join(b"".join(heard[seq] for seq in sorted(heard)) for heard in said.values())


AUTH_MS = LOGIN.index("auth_ms")


def told(path: Path) -> dict[str, Any]:
    """The story without how long answers took: of a message in pieces it is not always told which piece was the last."""
    found = story(path)
    found["logins"] = [[*x[:AUTH_MS], *x[AUTH_MS + 1 :]] for x in found["logins"]]
    return found


@pytest.mark.parametrize(
    ("loss", "segment"),
    [("on the way", 7), ("by the capture", 1), ("both", 1), ("both, and started late", 3)],
)
@pytest.mark.parametrize("name", [x for x, _ in SCENES])
def test_a_scene_has_the_same_verdict_and_no_name(tmp_path: Path, name: str, loss: str, segment: int) -> None:
    path, out = filmed(tmp_path / "a.pcap", name, loss, segment), tmp_path / "b.pcap"
    redact(path, out, case="4711")
    assert told(out) == told(path)
    assert told(out)["sessions"]
    planted = {"uccx-mail", "CONTOSO", "EXCH01", "AGENTPC21"} | set(PASSWORDS.values())
    assert leaks(octets_of(out), planted) == []


@pytest.mark.parametrize(
    ("segment", "flaws"),
    [
        (1, Flaws(missing=0.1)),
        (3, Flaws(missing=0.15, skip=300)),
        (9, Flaws(missing=0.3, mirror=True)),
        (17, Flaws(missing=0.25, reorder=0.5, repeat=0.2)),
    ],
    ids=["octets", "late", "mirrored", "shuffled"],
)
def test_of_every_transcript_in_shreds_nothing_is_left(tshark: str, tmp_path: Path, segment: int, flaws: Flaws) -> None:
    path, out = everything_said(tmp_path / "a.pcap", None, flaws, segment=segment), tmp_path / "b.pcap"
    redact(path, out, case="4711")
    planted = names_in(everything_said(tmp_path / "whole.pcap")) | {PLANTED} | set(PASSWORDS.values())
    assert leaks(octets_of(path), planted)
    assert leaks(octets_of(out), planted) == []
    assert unsound(tshark, out, CHECKSUMS) == []
    assert len(unsound(tshark, out, "tcp.checksum.status == 1")) > 1000
    if not flaws.skip:
        assert told(out)["conclusion"] == told(path)["conclusion"]
