"""``python -m tests.benchmarks [--size small|full] [--rounds N] [--only KIND]``: how fast captures are read, beside other tools.

First the counts must be right: packets and mail packets as tcpdump and tshark count them, sessions and refused logins as
they were put in. A fast wrong answer is worth nothing, so nothing is timed then. All tools read the same file in
interleaved rounds; what counts is the median of processor seconds, as a multiple of tcpdump's with a port filter.
Results go to ``benchmark.json`` in the folder of the captures, and to ``docs/benchmark.png`` with ``--draw``.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.benchmarks.captures import KINDS, PACKED, Truth, make
from tests.benchmarks.measure import Cost, run
from tests.benchmarks.rivals import JSON, MAIL_FILTER, RIVALS, TCPDUMP, Rival, tcpdump

SIZES = {
    "small": dict.fromkeys(KINDS, 60_000_000),
    "full": dict.fromkeys(KINDS, 10**9) | {"imap": 3 * 10**8, "tiny": 8 * 10**7, "big": 10**10},
}
"""Octets of each capture, before it is packed."""
ROOM = 1.2
"""Times a capture's size that must be free for it."""
APART = ("gz", "big")
"""Captures that only the fastest readers are given."""
SAMPLES_BYTES = (1, 20_000_000)
"""Octets given to readers too slow for more: one block and some; what the difference costs is scaled up."""
TSHARK_LIMIT_BYTES = 100_000_000
"""Largest capture that tshark counts, too."""


def check(path: Path, truth: Truth) -> None:
    """Compare our counts with tcpdump's, tshark's and the truth.

    Raises:
        SystemExit: they differ.
    """
    answer = json.loads(run(*JSON.pipe(path), keep=True).output)
    ours = {
        "packets": answer["captures"][0]["packets"],
        "sessions": len(answer["sessions"]),
        "refused": sum(login["outcome"] == "refused" for login in answer["logins"]),
        "mail packets": _mail_packets(path),
    }
    expected = {
        "packets": truth.packets,
        "sessions": truth.sessions,
        "refused": truth.refused,
        "mail packets": truth.mail_packets,
    }
    theirs = {"tcpdump, packets": _lines(path, ""), "tcpdump, mail packets": _lines(path, MAIL_FILTER)}
    wrong = ours != expected or [*theirs.values()] != [truth.packets, truth.mail_packets]
    if path.stat().st_size <= TSHARK_LIMIT_BYTES:
        theirs["tshark, mail packets"] = _tshark(path)
        wrong |= theirs["tshark, mail packets"] != truth.mail_packets
    if wrong:
        raise SystemExit(f"{path.name}: counts differ\n  truth {expected}\n  ours  {ours}\n  tools {theirs}")


def _mail_packets(path: Path) -> int:
    from analyzer.capture import open_capture

    return sum(len(window) for window in open_capture(path).windows())


def _lines(path: Path, wanted: str) -> int:
    """Count the packets tcpdump passes on."""
    return int(run(*tcpdump(path, "-q", "-t", *([wanted] if wanted else [])), ("wc", "-l"), keep=True).output)


def _tshark(path: Path) -> int:
    command = ("tshark", "-n", "-r", str(path), "-Y", "tcp.port == 143", "-T", "fields", "-e", "frame.number")
    return run(command, keep=True).output.count(b"\n")


def make_and_check(kind: str, path: Path, size_bytes: int) -> None:
    """Make a capture and compare the counts."""
    check(path, make(kind, path, size_bytes))


def _apart(kind: str, path: Path, size_bytes: int) -> None:
    """Do that in a process of its own: a child begins with its parent's peak of memory, which must stay small."""
    with ProcessPoolExecutor(1) as apart:
        apart.submit(make_and_check, kind, path, size_bytes).result()


def measure(path: Path, samples: tuple[Path, Path], rivals: list[Rival], rounds: int) -> dict[str, dict[str, Any]]:
    """Time all rivals in interleaved rounds; return the median cost of each, beside tcpdump's."""
    costs: dict[str, list[Cost]] = {rival.name: [] for rival in rivals}
    for number in range(rounds):
        for rival in rivals:
            if not rival.sampled:
                costs[rival.name].append(run(*rival.pipe(path)))
            elif number == 0:  # once: they take minutes
                costs[rival.name].append(_scaled(*(run(*rival.pipe(sample)) for sample in samples), path, *samples))
    table = {rival.name: _median(costs[rival.name], scaled=rival.sampled) for rival in rivals}
    base = table[TCPDUMP.name]["cpu_s"]
    for row in table.values():
        row["ratio"] = round(row["cpu_s"] / base, 3)
    return table


def _scaled(least: Cost, more: Cost, path: Path, small: Path, large: Path) -> Cost:
    """Return what the whole capture would cost, from two samples: the start once, each octet what it costs."""
    sizes = [file.stat().st_size for file in (path, small, large)]
    times = (sizes[0] - sizes[1]) / (sizes[2] - sizes[1])
    cpu, wall = (a + (b - a) * times for a, b in ((least.cpu_s, more.cpu_s), (least.wall_s, more.wall_s)))
    return Cost(cpu, wall, more.peak_mb, b"", more.status)


def _median(costs: list[Cost], *, scaled: bool) -> dict[str, Any]:
    return {
        "cpu_s": round(statistics.median(cost.cpu_s for cost in costs), 4),
        "wall_s": round(statistics.median(cost.wall_s for cost in costs), 4),
        "peak_mb": round(max(cost.peak_mb for cost in costs), 1),
        "scaled": scaled,
        "runs": len(costs),
    }


def show(kind: str, path: Path, table: dict[str, dict[str, Any]]) -> None:
    """Print one capture's table."""
    print(f"\n{kind}   {path.stat().st_size / 1e6:.0f} MB")
    print(f"  {'':24}{'CPU s':>9}{'x tcpdump':>11}{'wall s':>9}{'peak MiB':>10}")
    for name, row in table.items():
        note = "   scaled up from a sample" if row["scaled"] else ""
        print(f"  {name:24}{row['cpu_s']:9.3f}{row['ratio']:11.2f}{row['wall_s']:9.2f}{row['peak_mb']:10.0f}{note}")


def main(words: list[str]) -> None:
    """Make the captures, check, measure, write."""
    asked = _arguments(words)
    rivals = [rival for rival in RIVALS if rival.installed]
    if TCPDUMP not in rivals:
        raise SystemExit("tcpdump is not installed: there is nothing to compare with")
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mailscope-bench-") as given:
        folder = asked.folder or Path(given)
        for kind in asked.only or KINDS:
            size = SIZES[asked.size][kind]
            if shutil.disk_usage(folder).free < ROOM * size:
                print(f"\n{kind}: left out, the disk of {folder} has no room for it")
                continue
            suffix = ".pcap.gz" if kind == PACKED else ".cap"
            path, small, large = (folder / f"{kind}{part}{suffix}" for part in ("", ".small", ".large"))
            for file, octets in ((small, SAMPLES_BYTES[0]), (large, SAMPLES_BYTES[1]), (path, size)):
                _apart(kind, file, octets)
            some = [rival for rival in rivals if not (rival.plain_only and kind in APART)]
            table = measure(path, (small, large), some, asked.rounds)
            results[kind] = {"size_bytes": path.stat().st_size, "tools": table}
            show(kind, path, table)
            for file in (path, small, large):
                file.unlink()
    python = f"Python {platform.python_version()}, {platform.machine()}"
    asked.output.write_text(json.dumps({"size": asked.size, "on": python, "captures": results}, indent=1) + "\n")
    print(f"\n{asked.output}")
    if asked.draw:
        from tests.benchmarks.draw import draw

        print(draw(results, asked.draw))


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", action="append", choices=[*KINDS])
    parser.add_argument("--folder", type=Path, help="where the captures go (default: a temporary folder)")
    parser.add_argument("--output", type=Path, default=Path("benchmark.json"))
    parser.add_argument("--draw", type=Path, metavar="PNG", help="draw a picture, as docs/benchmark.png")
    return parser.parse_args(words)


if __name__ == "__main__":
    main(sys.argv[1:])
