"""A capture cut into the files of a ring buffer says the same as the whole one; and what only looks like a series stays apart."""

from __future__ import annotations

import copy
import gzip
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import analyzer
from analyzer.at import NS_PER_S, Side
from analyzer.report.model import document
from tests import frames
from tests.frames import Host, Look
from tests.model import Limits, Run, Server, agents, simulate
from tests.scenes import film
from tests.wire import Reach, Wire

NAMES = ["ring_00001_20240304091400.pcapng", "ring_00002_20240304091407.pcapng", "ring_00003_20240304091413.pcapng"]
LOOKS = {"pcapng": Look("pcapng"), "pcap": Look(), "cooked": Look(link="sll2", nanos=True)}


@cache
def run(port: int = 143) -> Run:
    return simulate(Server(port=port, limits=Limits(per_user=6)), agents(4), until_s=6)


def steady() -> Wire:
    """One connection that polls every second."""
    wire = Wire(seed=5)
    talk = wire.conversation("192.0.2.11", "198.51.100.10").open()
    talk.say(Side.SERVER, b"* OK ready\r\n", think_ms=5)
    for number in range(12):
        talk.say(Side.CLIENT, b"a%d NOOP\r\n" % number, think_ms=1000)
        talk.say(Side.SERVER, b"a%d OK NOOP completed.\r\n" % number, think_ms=5)
    talk.close(Side.CLIENT)
    return wire


def cut(folder: Path, wire: Wire, names: list[str], look: Look | None = None) -> tuple[Path, list[Path], list[int]]:
    """Save the whole, and pieces of about equal size; return also how many frames stand before each piece."""
    packets = wire.frames()
    starts = [len(packets) * n // len(names) for n in range(len(names))]
    paths = []
    for name, start, stop in zip(names, starts, [*starts[1:], len(packets)], strict=True):
        paths.append(frames.save(folder / name, packets[start:stop], look or Look()))
    return frames.save(folder / "whole", packets, look or Look()), paths, starts


def told(*paths: Path, **options: Any) -> dict[str, Any]:
    return document(analyzer.read(*paths, **options).result)


def counted_through(report: dict[str, Any], before: dict[str, int]) -> dict[str, Any]:
    """The report with the frames of all parts counted through, as if it were of the whole."""
    report = copy.deepcopy(report)
    for s in report["sessions"]:
        s["last_frame"] += before[s.pop("last_capture") or s["capture"]]
        s["first_frame"] += before[s.pop("capture")]
    for x in report["logins"]:
        decided = x.pop("decided_capture") or x["capture"]
        x["decided_frame"] = x["decided_frame"] and x["decided_frame"] + before[decided]
        x["frame"] += before[x.pop("capture")]
    for finding in report["findings"]:
        finding["sessions"] = [s["uid"] for s in finding["sessions"]]
        for fact in finding["evidence"]:
            fact["frames"] = [ref["frame"] + before[ref["capture"]] for ref in fact["frames"]]
            fact.pop("filter")
    del report["captures"]
    return report


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("pieces", [2, 3, 7])
def test_the_same_as_the_whole(tmp_path: Path, look: str, pieces: int) -> None:
    names = [f"cap{n}" for n in range(pieces)]
    whole, paths, starts = cut(tmp_path, film(run()), names, LOOKS[look])
    report, wanted = told(*paths), told(whole)
    before = dict(zip(names, starts, strict=True))
    assert counted_through(report, before) == counted_through(wanted, {"whole": 0})
    assert [x["series"] for x in report["captures"]] == [names] * pieces
    assert len({s["last_capture"] for s in report["sessions"]}) > 1
    assert wanted["captures"][0]["series"] == []
    assert [x["state"] for x in report["captures"]] == ["ok"] * pieces
    assert {x["quality"]["grade"] for x in report["captures"]} == {wanted["captures"][0]["quality"]["grade"]}


def test_wherever_it_is_cut(tmp_path: Path) -> None:
    """In a handshake, in a login, in a farewell, between a repeated SYN and the first."""
    wire = Wire(seed=3)
    wire.unanswered(wire.conversation("192.0.2.12", "198.51.100.10"))
    talk = wire.conversation("192.0.2.11", "198.51.100.10", at_ms=900).open()
    for who, said in (
        (Side.SERVER, b"* OK ready\r\n"),
        (Side.CLIENT, b"a LOGIN u p\r\n"),
        (Side.SERVER, b"a NO no\r\n"),
    ):
        talk.say(who, said, think_ms=5)
    talk.close(Side.CLIENT)
    packets = wire.frames()
    wanted = counted_through(told(frames.save(tmp_path / "whole", packets, Look())), {"whole": 0})
    assert len(wanted["sessions"]) == 2
    for at in range(1, len(packets)):
        paths = [frames.save(tmp_path / "a", packets[:at], Look()), frames.save(tmp_path / "b", packets[at:], Look())]
        assert counted_through(told(*paths), {"a": 0, "b": at}) == wanted, at


def test_the_order_of_the_arguments_and_their_packing_do_not_matter(tmp_path: Path) -> None:
    _, paths, starts = cut(tmp_path, film(run()), NAMES)
    wanted = told(*paths)
    assert counted_through(told(*reversed(paths)), dict(zip(NAMES, starts, strict=True))) == counted_through(
        wanted, dict(zip(NAMES, starts, strict=True))
    )
    packed = [x.with_name(f"{x.name}.gz") for x in paths]
    for path, there in zip(paths, packed, strict=True):
        there.write_bytes(gzip.compress(path.read_bytes()))
    assert len(told(*packed)["sessions"]) == len(wanted["sessions"])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    report = told(tmp_path / "all.zip")
    assert len(report["sessions"]) == len(wanted["sessions"])
    assert report["captures"][0]["series"] == [f"all.zip!/{name}" for name in NAMES]
    assert len(told(tmp_path / "ring_*.pcapng")["sessions"]) == len(wanted["sessions"])


def test_mail_on_another_port_goes_on(tmp_path: Path) -> None:
    whole, paths, starts = cut(tmp_path, film(run(1143)), NAMES)
    report = told(*paths)
    assert counted_through(report, dict(zip(NAMES, starts, strict=True))) == counted_through(told(whole), {"whole": 0})


def test_a_lost_file_is_said(tmp_path: Path) -> None:
    _, paths, _ = cut(tmp_path, steady(), NAMES)
    first, last = told(paths[0], paths[2])["captures"]
    assert last["series"] == [NAMES[0], NAMES[2]]
    assert f"file 2 of the series is missing before {NAMES[2]}" in last["quality"]["reasons"]
    assert last["quality"]["grade"] > first["quality"]["grade"]
    assert not any("missing before" in x for x in first["quality"]["reasons"])


@pytest.mark.parametrize(
    ("names", "lost"),
    [
        (["a1", "a2", "a3"], 0),
        (["a1", "a2", "a4"], 1),
        (["cap_0914", "cap_0919", "cap_0924"], 0),  # times of day, not numbers
        (["cap_0914", "cap_0919"], 0),
        (["morning", "noon", "night"], 0),
    ],
)
def test_numbers_that_leave_one_out(tmp_path: Path, names: list[str], lost: int) -> None:
    _, paths, _ = cut(tmp_path, steady(), names)
    reasons = [text for seen in told(*paths)["captures"] for text in seen["quality"]["reasons"]]
    assert sum("missing before" in x for x in reasons) == lost


def apart(folder: Path, *wires: Wire) -> list[list[str]]:
    paths = [x.save(folder / f"ring_{n:05}_20240304091400.pcap") for n, x in enumerate(wires)]
    return [x["series"] for x in told(*paths)["captures"]]


def spoken(start_s: float, *, close: bool = True, seed: int = 1, opened: bool = True, far_ms: float = 1.0) -> Wire:
    """One connection; with other arguments the same one later, or as seen elsewhere."""
    wire = Wire(seed=seed)
    talk = wire.conversation(
        Host("192.0.2.11"), Host("198.51.100.10"), at_ms=start_s * 1000, sport=50001, isn=(seed, seed),
        reach=Reach(far_ms, 1.0, 0.0),
    )  # fmt: skip
    talk.open() if opened else None
    talk.say(Side.SERVER, b"* OK ready\r\n", think_ms=2)
    talk.close(Side.CLIENT) if close else talk.leave()
    return wire


def test_what_does_not_go_on_is_no_series(tmp_path: Path) -> None:
    assert apart(tmp_path, spoken(0), spoken(60)) == [[], []]
    assert apart(tmp_path, spoken(0), spoken(60, seed=2)) == [[], []]
    assert apart(tmp_path, spoken(0, close=False), spoken(86_400, opened=False)) == [[], []]
    assert apart(tmp_path, spoken(0, close=False), spoken(0.001, close=False, far_ms=2.0)) == [[], []]


def test_one_connection_from_two_points_is_no_series_even_when_a_clock_is_wrong(tmp_path: Path) -> None:
    here = film(run())
    there = copy.deepcopy(here)
    there.segments = [x._replace(ts=x.ts + 60 * NS_PER_S) for x in there.segments]
    assert apart(tmp_path, here, there) == [[], []]
    late = [[x for x in wire.segments if x.ts > wire.segments[len(wire.segments) // 2].ts] for wire in (here, there)]
    for wire, segments in zip((here, there), late, strict=True):
        first = {x.flow for x in segments} - {x.flow for x in segments if x.flags & 2}
        wire.segments = [x for x in segments if x.flow in first]
    assert apart(tmp_path, here, there) == [[], []]


def test_the_dialogue_goes_on_in_the_next_file(tmp_path: Path) -> None:
    whole, paths, starts = cut(tmp_path, film(run()), NAMES)
    analysis = analyzer.read(*paths)
    uid = next(s.uid for s in analysis.result.sessions if s.capture == NAMES[0] and s.last_capture)
    said = analysis.dialogue(uid)
    before = dict(zip(NAMES, starts, strict=True))
    at, heard = "", []
    for line in said:
        if line.text in {f"in {name}" for name in NAMES}:
            at = line.text[3:]
        else:
            heard.append((line.at.frame + before[at], line.text))
    assert heard == [(x.at.frame, x.text) for x in analyzer.read(whole).dialogue(uid)]
    assert at == NAMES[1]


def test_a_frame_of_a_later_file_is_explained_as_of_the_whole(tmp_path: Path) -> None:
    whole, paths, starts = cut(tmp_path, film(run()), NAMES)
    parts, one = analyzer.read(*paths), analyzer.read(whole)
    s = next(s for s in parts.result.sessions if s.capture == NAMES[0] and s.last_capture == NAMES[1])
    said = [x for x in one.dialogue(s.uid) if x.side == "S" and x.at.frame > starts[1]]
    frame = said[0].at.frame
    told, alone = parts.explain(frame - starts[1], capture=NAMES[1]), one.explain(frame)
    assert f"frame {frame - starts[1]} of {NAMES[1]}" in told
    assert f"session {s.uid}" in " ".join(told.split())
    assert f"the server says: {said[0].text[:20]}" in " ".join(told.split())
    assert alone.split("\n\n")[1] == told.split("\n\n")[1]


def test_the_command_for_the_dialogue_names_all_files_of_the_series(tmp_path: Path) -> None:
    _, paths, _ = cut(tmp_path, film(run()), [f"ring{n}" for n in range(7)])
    assert "mailscope dialogue ring0 ... ring6 --session" in repr(analyzer.read(*paths))
    assert "mailscope dialogue ring0 ring1 --session" in repr(analyzer.read(*paths[:2]))
