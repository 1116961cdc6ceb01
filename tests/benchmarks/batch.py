"""``python -m tests.benchmarks.batch [--captures N] [--kind NAME] [--part NAME]``: what a triage of many captures costs.

Parts: ``isolation`` (a process of its own for each, against all in one warm process), ``batch`` (all of them by ``mailscope
triage``, against tshark one after another, of which a sample is timed), ``dask`` (two workers with one thread each, against
one; needs the extra ``dask``). A third of the captures each is of a PC, of a mail server, and of a storm of refused logins.
Poison among good ones is a test: ``python -m pytest tests/triage/test_pool.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path

from tests.benchmarks.captures import START_S, UPLOADS, make
from tests.benchmarks.measure import run
from tests.benchmarks.rivals import FIELDS

SAMPLE = 20
"""Captures of each kind that are timed one by one."""
HEAVY, HEAVY_BYTES = 16, 6_000_000
"""Captures for Dask, which take about a second each."""
ROUNDS = 5
HOUR_S = 3600
SNAP_AT = 16
"""Octet of the file's head that makes captures different contents with the same work."""


def fill(folder: Path, captures: int, kinds: Sequence[str]) -> dict[str, list[Path]]:
    """Write captures, each of another hour; return them by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    octets: dict[str, tuple[bytearray, list[int]]] = {}
    for kind in kinds:
        make(kind, folder / kind, 1)
        octets[kind] = (image := bytearray((folder / kind).read_bytes()), list(_seconds(image)))
        (folder / kind).unlink()
    made: dict[str, list[Path]] = {kind: [] for kind in kinds}
    for number, kind in enumerate(islice(cycle(kinds), captures)):
        path = folder / f"{number:04}-{kind}.pcap"
        image, places = octets[kind]
        for place in places:
            within = struct.unpack_from("<I", image, place)[0] % HOUR_S
            struct.pack_into("<I", image, place, START_S // HOUR_S * HOUR_S + number * HOUR_S + within)
        path.write_bytes(image)
        made[kind].append(path)
    return made


def _seconds(image: bytearray) -> Iterator[int]:
    """Yield where the seconds of each record of a pcap stand."""
    at = 24
    while at < len(image):
        yield at
        at += 16 + int.from_bytes(image[at + 8 : at + 12], "little")


def median_ms(work: Sequence[Callable[[Path], object]], paths: Sequence[Path]) -> list[float]:
    """Time several ways of doing the same, in turn on each capture; return the median of each, in milliseconds."""
    times: list[list[float]] = [[] for _ in work]
    for path in paths:
        for way, took in zip(work, times, strict=True):
            began = time.perf_counter()
            way(path)
            took.append((time.perf_counter() - began) * 1000)
    return [statistics.median(took) for took in times]


def isolation(made: dict[str, list[Path]]) -> None:
    """Compare one process for each capture with one warm process for all, and with tshark."""
    from analyzer.triage.isolated import isolated
    from analyzer.triage.worker import analysed

    def here(path: Path) -> None:
        json.dumps(analysed(str(path), options={}))

    def tshark(path: Path) -> None:
        run(("tshark", "-n", "-r", str(path), *FIELDS))

    print(
        f"\n{'ms each':10}{'MB':>6}{'one process':>13}{'isolated':>10}{'more':>7}{'tshark':>9}{'times, on all processors':>27}"
    )
    total = [0.0, 0.0, 0.0]
    for kind, paths in made.items():
        here(paths[0]), isolated(paths[0])  # warm
        cost = median_ms([here, isolated, tshark], paths[:SAMPLE])
        total = [a + b / len(made) for a, b in zip(total, cost, strict=True)]
        _line(kind, paths[0].stat().st_size / 1e6, cost)
    _line("together", sum(paths[0].stat().st_size for paths in made.values()) / len(made) / 1e6, total)


def _line(name: str, size_mb: float, cost: Sequence[float]) -> None:
    times = cost[2] / cost[1] * (os.cpu_count() or 1)
    print(
        f"{name:10}{size_mb:6.2f}{cost[0]:13.1f}{cost[1]:10.1f}{cost[1] / cost[0] - 1:7.0%}{cost[2]:9.1f}{times:27.1f}"
    )


def batch(folder: Path, made: dict[str, list[Path]]) -> None:
    """Time all of it by the command, and tshark on a sample."""
    count = sum(map(len, made.values()))
    ours = triaged(folder, "--jobs", str(os.cpu_count()))
    sample = [path for paths in made.values() for path in paths[:SAMPLE]]
    began = time.perf_counter()
    for path in sample:
        run(("tshark", "-n", "-r", str(path), *FIELDS))
    theirs = (time.perf_counter() - began) / len(sample) * count
    print(
        f"\n{count} captures on {os.cpu_count()} processors: mailscope triage {ours:.1f} s, {ours / count * 1000:.0f} ms each"
    )
    print(
        f"tshark -Y imap, one after another: {theirs:.0f} s (from {len(sample)} of them), {theirs / ours:.1f} times as long"
    )


def triaged(folder: Path, *words: str) -> float:
    """Return the seconds a triage of a folder takes; every capture must have been read."""
    command = [sys.executable, "-m", "analyzer", "triage", str(folder), "--format", "ndjson", "--exit-zero", *words]
    began = time.perf_counter()
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    took = time.perf_counter() - began
    states = [json.loads(line)["state"] for line in told.splitlines()]
    assert states == ["ok"] * len(list(folder.iterdir())), set(states)
    return took


def dask(folder: Path) -> None:
    """Time one worker and two in turn, with captures that take long: else the scheduler is what is timed."""
    folder.mkdir()
    make("storm", folder / "0.pcap", HEAVY_BYTES)
    octets = (folder / "0.pcap").read_bytes()
    paths = [folder / f"{number}.pcap" for number in range(HEAVY)]
    for number, path in enumerate(paths):
        path.write_bytes(octets[:SNAP_AT] + struct.pack("<I", 100_000 + number) + octets[SNAP_AT + 4 :])
    with cluster(folder.parent / "one", 1) as one, cluster(folder.parent / "two", 2) as two:
        for address in (one, two):
            _timed(paths[:4], address)  # warm
        times = [(_timed(paths, one), _timed(paths, two)) for _ in range(ROUNDS)]
    alone, both = map(min, zip(*times, strict=True))
    print(f"\nDask, workers with one thread, {HEAVY} captures of {len(octets) / 1e6:.0f} MB, the best of {ROUNDS}:")
    print(f"one {alone:.1f} s, two {both:.1f} s: {alone / both:.2f} times as fast")


def _timed(paths: Sequence[Path], address: str) -> float:
    from analyzer.triage.pool import answers

    began = time.perf_counter()
    told = [answer.state for _, answer in answers(((path, path) for path in paths), scheduler=address)]
    assert told == ["ok"] * len(paths), set(told)
    return time.perf_counter() - began


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """Start a scheduler and workers on loopback; give its address."""
    folder.mkdir()
    note = folder / "scheduler.json"
    local = ("--host", "127.0.0.1", "--no-dashboard")
    with ExitStack() as stack:

        def start(name: str, *words: str) -> None:
            command = [sys.executable, "-m", f"distributed.cli.{name}", *words, *local]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.enter_context(process)
            stack.callback(process.kill)

        start("dask_scheduler", "--port", "0", "--no-show", "--scheduler-file", str(note))
        while not note.is_file():
            time.sleep(0.05)
        address = json.loads(note.read_text())["address"]
        for _ in range(workers):
            start("dask_worker", address, "--no-nanny", "--nthreads", "1", "--local-directory", str(folder))
        from distributed import Client

        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers)
        yield str(address)


def main(words: list[str]) -> None:
    """Make the captures and run the parts."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.batch", description=__doc__)
    parser.add_argument("--captures", type=int, default=500)
    parser.add_argument("--kind", action="append", choices=[*UPLOADS], help="only captures of this kind")
    parser.add_argument("--part", action="append", choices=["isolation", "batch", "dask"])
    asked = parser.parse_args(words)
    parts = asked.part or ["isolation", "batch", "dask"]
    with tempfile.TemporaryDirectory(prefix="mailscope-bench-") as given:
        folder = Path(given) / "captures"
        made = fill(folder, asked.captures, asked.kind or [*UPLOADS])
        if "isolation" in parts:
            isolation(made)
        if "batch" in parts:
            batch(folder, made)
        if "dask" in parts:
            dask(folder.parent / "heavy")


if __name__ == "__main__":
    main(sys.argv[1:])
