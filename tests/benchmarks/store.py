"""``python -m tests.benchmarks.store [--rows N] [--store WHERE]``: how long pages of a full store take, in milliseconds.

The rows are made up, but go in as answers do, one transaction each, incidents and all. ``--store`` is a path or
``postgresql://``; without it a temporary file. Each figure is the slowest of five.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from analyzer.triage.case import EVERYBODY, Filter, Item
from analyzer.triage.isolated import Answer
from analyzer.triage.store import Store

BOUND_MS = 200
"""A page that takes longer feels slow."""
ROUNDS = 5
OWNERS = ("alice", "bob", "carol", None)
CAUSES = (
    "per_user_connection_limit",
    "bad_credentials",
    "server_restart",
    "undetermined",
    "account_locked",
    "port_closed",
)
VERDICTS = ("confirmed", "likely", "suspected", "suspected", "suspected")
HOUR_S = 3600


def fill(store: Store, rows: int, seed: int = 7) -> float:
    """Put captures with answers into a store; return how many a second."""
    chance, began = random.Random(seed), time.perf_counter()
    for number in range(rows):
        owner = chance.choice(OWNERS)
        item = Item(
            f"uploads/pc-{number % 977}/capture-{number}.pcap", f"capture-{number}.pcap", f"{number:064x}", 10**6
        )
        store.record(item, Answer("ok", None, document(chance, number)), key="k", owner=owner)
    return rows / (time.perf_counter() - began)


def document(chance: random.Random, number: int) -> dict[str, Any]:
    """Return a report as triage keeps it: two of five captures show a fault."""
    client, server = f"10.{number % 200}.{number % 250}.7", f"192.0.2.{chance.randrange(40)}"
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1_700_000_000 + chance.randrange(2000) * HOUR_S))
    findings = [finding(chance, client, server, at)] if chance.random() < 0.4 else []
    best = findings[0] if findings else {"cause": "healthy", "verdict": None, "title": "nothing wrong found"}
    session = {"capture": "a", "uid": "C1", "client": client, "server": server, "start": f"{at}Z", "outcome": "refused"}
    return {
        "captures": [{"name": "a", "state": "ok", "start": f"{at}Z", "end": f"{at}.5Z"}],
        "accounts": [{"account": f"agent{chance.randrange(500)}", "server": server}],
        "sessions": [session] * 3,
        "logins": [session | {"session": "C1", "frame": 9}] * 3,
        "findings": findings,
        "conclusion": {name: best[name] for name in ("cause", "verdict", "title")},
    }


def finding(chance: random.Random, client: str, server: str, at: str) -> dict[str, Any]:
    """Return a fault."""
    cause, account = chance.choice(CAUSES), f"agent{chance.randrange(500)}@example.com"
    subject = {"accounts": [account], "clients": [client], "server": server, "protocol": "imap"}
    return {
        "rule": cause,
        "cause": cause,
        "verdict": chance.choice(VERDICTS),
        "confidence": round(chance.random(), 2),
        "severity": "fault",
        "subject": subject,
        "start": f"{at}Z",
        "end": f"{at}.25Z",
        "title": f"{cause.replace('_', ' ')}: account {account} on {server}, 9 of 9 logins refused",
        "summary": "Nine logins were refused.",
        "evidence": [{"text": "the server said no", "frames": [{"capture": "a", "frame": 9}], "weight_db": 3.0}] * 4,
    }


def pages(store: Store) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what a person opens, by name."""
    everybody = Filter(EVERYBODY)
    yield "first page, everybody's", lambda: store.captures(everybody)
    yield "first page, one owner's", lambda: store.captures(Filter("alice"))
    yield "page 1,000, everybody's", lambda: store.captures(everybody, offset=50_000)
    yield "newest first, one owner's", lambda: store.captures(Filter("alice"), order="newest")
    for owner in ("alice", EVERYBODY):
        whose = "one owner's" if owner == "alice" else "everybody's"
        yield f"a cause, {whose}", lambda o=owner: store.captures(Filter(o, cause="port_closed"))  # type: ignore[misc]
        yield f"a verdict, {whose}", lambda o=owner: store.captures(Filter(o, verdict="likely"))  # type: ignore[misc]
        yield f"a state nobody has, {whose}", lambda o=owner: store.captures(Filter(o, state="timeout"))  # type: ignore[misc]
        yield f"a common word, {whose}", lambda o=owner: store.captures(Filter(o, text="agent"))  # type: ignore[misc]
        yield f"a rare word, {whose}", lambda o=owner: store.captures(Filter(o, text="capture-4711.pcap"))  # type: ignore[misc]
        yield f"words nobody has, {whose}", lambda o=owner: store.captures(Filter(o, text="no such thing"))  # type: ignore[misc]
        yield f"count, {whose}", lambda o=owner: store.count(Filter(o))  # type: ignore[misc]
        yield f"count of a word, {whose}", lambda o=owner: store.count(Filter(o, text="agent7"))  # type: ignore[misc]
        yield f"tally of causes, {whose}", lambda o=owner: store.tally(o, "cause")  # type: ignore[misc]
        yield f"usage, {whose}", lambda o=owner: store.usage(o)  # type: ignore[misc]
        yield f"incidents, {whose}", lambda o=owner: store.incidents(Filter(o))  # type: ignore[misc]
        yield f"incidents, a word, {whose}", lambda o=owner: store.incidents(Filter(o, text="agent77@"))  # type: ignore[misc]
        yield f"count of incidents, {whose}", lambda o=owner: store.count_incidents(Filter(o))  # type: ignore[misc]
    worst = store.incidents(everybody, limit=1)[0]
    yield (
        "one incident with its members and outliers",
        lambda: (
            store.captures(Filter(worst.owner, incident=worst.id)),
            store.outliers(worst),
        ),
    )
    one = store.captures(everybody, limit=1)[0]
    yield "one capture with its report", lambda: store.document(one.id, one.owner)


def slowest_ms(ask: Callable[[], object]) -> float:
    """Return how long something takes at worst."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    return max(times) * 1000


def main() -> int:
    """Fill a store, open its pages, and print what each took."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.store", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--store", help="a path or postgresql://; it is filled, so name an empty one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Store.open(given.store or Path(folder, "cases.db")) as store:
        have = store.count(Filter(EVERYBODY))
        if have < given.rows:
            print(f"{fill(store, given.rows):8.0f} captures a second go in")
        print(f"{store.count(Filter(EVERYBODY)):8} captures, {store.count_incidents(Filter(EVERYBODY))} incidents")
        figures = {name: slowest_ms(ask) for name, ask in pages(store)}
    for name, figure in sorted(figures.items(), key=lambda pair: -pair[1]):
        print(f"{figure:8.1f} ms  {name}")
    slow = [name for name, figure in figures.items() if figure > BOUND_MS]
    print(f"all under {BOUND_MS} ms" if not slow else f"too slow: {', '.join(slow)}")
    return len(slow) > 0


if __name__ == "__main__":
    raise SystemExit(main())
