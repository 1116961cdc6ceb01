"""The same incident across captures is one row; two incidents stay two; the order in which captures come is all the same."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from analyzer.triage.case import Filter, Item
from analyzer.triage.isolated import Answer
from analyzer.triage.store import Store
from tests.triage.targets import finding, report

EARLY = {"start": "2024-05-06T08:00:00Z", "end": "2024-05-06T08:10:00Z"}
SOON = {"start": "2024-05-06T08:39:59.123456789Z", "end": "2024-05-06T08:50:00Z"}
LATE = {"start": "2024-05-06T09:30:00Z", "end": "2024-05-06T09:31:00Z"}


def put(store: Store, name: str, *findings: dict[str, Any]) -> str:
    """Put an answer into a store."""
    item = Item(name, name, f"{name:0>64}", 1, location=f"/{name}", batch="b")
    return store.record(item, Answer("ok", None, report(*findings)), key="k")


def filled(captures: Iterable[tuple[str, list[dict[str, Any]]]]) -> Store:
    """Return a store with these captures."""
    store = Store.open(":memory:")
    for name, findings in captures:
        put(store, name, *findings)
    return store


def partition(store: Store) -> set[tuple[object, ...]]:
    """Return what the incidents of a store are, and who is in them."""
    found = set()
    for one in store.incidents(Filter(None), limit=10_000):
        members = frozenset(case.path for case in store.captures(Filter(None, incident=one.id), limit=10_000))
        span = (one.start_ns, one.end_ns)
        found.add((one.cause, one.verdict, one.title, one.accounts, span, one.captures, one.clients, members))
        assert one.captures == len(members)
    return found


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        pytest.param(finding(**EARLY), finding(**SOON), 1, id="near in time"),
        pytest.param(finding(**EARLY), finding(**LATE), 2, id="far apart"),
        pytest.param(finding("server_restart"), finding("port_closed"), 2, id="other cause"),
        pytest.param(finding(accounts=["a", "b"]), finding(accounts=["b", "c"]), 1, id="an account in common"),
        pytest.param(finding(accounts=["a"]), finding(accounts=["b"]), 2, id="other accounts"),
        pytest.param(finding(accounts=["a"]), finding(), 2, id="an account and none"),
        pytest.param(finding(), finding(verdict="ruled_out"), 1, id="no finding at all"),
        pytest.param(finding(), finding(severity="info"), 1, id="nothing to act on"),
        pytest.param(finding(server=None), finding(server=None), 1, id="no server"),
        pytest.param(finding(server=None), finding(), 2, id="a server and none"),
    ],
)
def test_what_belongs_together(first: dict[str, Any], second: dict[str, Any], count: int) -> None:
    for order in ([first, second], [second, first]):
        with filled((str(number), [one]) for number, one in enumerate(order)) as store:
            assert store.count_incidents(Filter(None)) == count


def test_an_incident_spans_its_findings_and_speaks_with_the_strongest(store: Store) -> None:
    put(store, "weak.pcap", finding(verdict="suspected", accounts=["b"], title="weak", clients=["192.0.2.7"], **SOON))
    put(store, "strong.pcap", finding(accounts=["a", "b"], title="strong", clients=["192.0.2.7", "192.0.2.8"], **EARLY))
    (one,) = store.incidents(Filter(None))
    assert (one.verdict, one.title, one.accounts) == ("confirmed", "strong", ("a", "b"))
    assert (one.captures, one.clients) == (2, 2)
    assert (one.start_ns, one.end_ns) == (1714982400 * 10**9, 1714985400 * 10**9)


def test_a_capture_that_links_two_incidents_makes_them_one(store: Store) -> None:
    for name, accounts in (("1", ["a"]), ("2", ["b"])):
        put(store, name, finding(accounts=accounts))
    assert store.count_incidents(Filter(None)) == 2
    put(store, "3", finding(accounts=["a", "b"]))
    (one,) = store.incidents(Filter(None))
    assert one.captures == 3


def test_two_findings_of_a_capture_in_one_incident_are_one_capture(store: Store) -> None:
    put(store, "1", finding(accounts=["a"]), finding(accounts=["a", "b"]))
    put(store, "2", finding(accounts=["b"]))
    (one,) = store.incidents(Filter(None))
    assert one.captures == 2


def test_the_strongest_come_first_then_the_largest_and_a_finding_without_a_time_is_kept(store: Store) -> None:
    put(store, "1", finding(verdict="suspected", start=None, end=None), finding("port_closed", "likely", **LATE))
    put(store, "2", finding("server_slow", "likely"))
    put(store, "3", finding("server_slow", "likely"))
    assert [(one.verdict, one.captures) for one in store.incidents(Filter(None))] == [
        ("likely", 2),
        ("likely", 1),
        ("suspected", 1),
    ]


def some(chance: random.Random) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return captures of a few hours, accounts and servers, at random."""
    captures = []
    for number in range(40):
        findings = []
        for _ in range(chance.randrange(3)):
            minute = chance.randrange(600)
            start = f"2024-05-06T{minute // 60:02}:{minute % 60:02}"
            accounts = chance.sample("abcdef", chance.choice([0, 1, 1, 2]))
            title = f"{number}-{minute}-{''.join(accounts)}"
            of = {"start": f"{start}:00Z", "end": f"{start}:30Z", "accounts": accounts, "title": title}
            verdict = chance.choice(["confirmed", "likely", "suspected"])
            confidence = round(chance.random(), 6)
            cause = chance.choice(["port_closed", "bad_credentials"])
            findings.append(finding(cause, verdict, confidence=confidence, clients=[f"192.0.2.{number % 7}"], **of))
        captures.append((f"{number}", findings))
    return captures


def test_what_is_proved_together_is_not_lost_in_a_larger_incident(store: Store) -> None:
    put(store, "a", finding("undetermined", "suspected", accounts=["u"]))
    for name in "bcd":
        put(store, name, finding("per_user_connection_limit", "suspected", accounts=["u"]))
    small = next(one for one in store.incidents(Filter(None)) if one.captures == 1)
    told = {"alone": "suspected", "finding": finding("per_user_connection_limit", accounts=["u"], title="proved")}
    store.join(small.id, "of", told)
    (one,) = store.incidents(Filter(None))
    assert (one.captures, one.verdict, one.joined) == (4, "confirmed", told)
    put(store, "e", finding("per_user_connection_limit", accounts=["u"], confidence=1.0, title="alone"))
    (one,) = store.incidents(Filter(None))
    assert (one.captures, one.title, one.joined) == (5, "alone", None)


@pytest.mark.parametrize("seed", range(6))
def test_the_order_makes_no_difference_and_deleting_undoes(seed: int) -> None:
    chance = random.Random(seed)
    captures = some(chance)
    with filled(captures) as one, filled(chance.sample(captures, len(captures))) as other:
        assert partition(one) == partition(other) != set()
        gone = set(chance.sample([name for name, _ in captures], 15))
        for case in one.captures(Filter(None), limit=100):
            if case.name in gone:
                one.delete(case.id, None)
        with filled(x for x in captures if x[0] not in gone) as rest:
            assert partition(one) == partition(rest)


def test_what_captures_prove_together_speaks_for_them(store: Store) -> None:
    for name in "ab":
        put(store, name, finding("undetermined", "suspected", accounts=["u"]))
    put(store, "c", finding("per_user_connection_limit", "suspected", accounts=["u"]))
    unsettled = next(one for one in store.incidents(Filter(None)) if one.cause == "undetermined")
    told = {"alone": "suspected", "finding": finding("per_user_connection_limit", accounts=["u"], title="proved")}
    store.join(unsettled.id, "of", told)
    (one,) = store.incidents(Filter(None))
    assert (one.cause, one.verdict, one.title, one.captures) == ("per_user_connection_limit", "confirmed", "proved", 3)
    assert one.joined == told
    assert store.joined(unsettled.id) == "of"
    store.join("gone", "of", told)
    assert store.joined("gone") is None
