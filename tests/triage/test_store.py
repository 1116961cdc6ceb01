"""The store: what goes in comes out, to its owner only, once, whoever dies in the middle; on both databases."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from analyzer.errors import StoreError
from analyzer.triage import entries
from analyzer.triage.case import EVERYBODY, Filter, Item
from analyzer.triage.isolated import Answer
from analyzer.triage.store import MOST_ATTEMPTS, Store
from tests.triage.targets import finding, report

NEVER_NS = 2**62


def item(name: str = "a.pcap", **changed: Any) -> Item:
    return Item(**{"path": f"x/{name}", "name": name, "sha256": f"{name:0>64}", "size_bytes": 100, **changed})


def answer(*findings: dict[str, Any], state: str = "ok", **more: Any) -> Answer:
    return Answer(state, None if state == "ok" else f"it is {state}", report(*findings, state=state) | more)


def put(store: Store, name: str, *findings: dict[str, Any], owner: str | None = "alice", **more: Any) -> str:
    """Hand a capture in and finish it."""
    made = store.submit(item(name), owner)
    assert store.finish(made.id, answer(*findings, **more))
    return made.id


# -- the queue


def test_the_same_capture_of_the_same_owner_is_one(store: Store) -> None:
    first = store.submit(item(), "alice")
    again = store.submit(item("other-name.pcap", sha256=item().sha256), "alice")
    other = store.submit(item(), "bob")
    assert (first.new, again.new, other.new) == (True, False, True)
    assert again.id == first.id != other.id
    assert store.count(Filter(EVERYBODY)) == 2


def test_a_result_of_another_key_is_put_in_line_again(store: Store) -> None:
    made = store.submit(item(), "alice", key="old")
    store.finish(made.id, answer())
    assert store.submit(item(), "alice", key="old").id == made.id
    assert store.take("w") is None
    assert store.submit(item(), "alice", key="new").id == made.id
    taken = store.take("w")
    assert taken is not None
    assert (taken.id, taken.key) == (made.id, "new")


def test_captures_are_taken_in_order_and_once(store: Store) -> None:
    ids = [store.submit(item(f"{n}.pcap"), "alice").id for n in range(4)]
    taken = [store.take("w") for _ in range(5)]
    assert [one.id for one in taken if one] == ids
    assert taken[4] is None
    assert taken[0] is not None
    assert (taken[0].state, taken[0].attempts) == ("running", 1)


def test_many_workers_take_each_capture_once(store: Store, where: str) -> None:
    """Threads of two programs, as two replicas of a service would."""
    ids = {store.submit(item(f"{n}.pcap"), "alice").id for n in range(40)}
    start = threading.Barrier(6)

    def work(number: int, of: Store) -> list[str]:
        taken = []
        start.wait()
        while (one := of.take(f"worker {number}")) is not None:
            taken.append(one.id)
            assert of.finish(one.id, answer(finding(accounts=["u"])), worker=f"worker {number}")
        return taken

    with Store.open(where) as other, ThreadPoolExecutor(6) as pool:
        done = [x for part in pool.map(work, range(6), [store, other] * 3) for x in part]
    assert Counter(done) == Counter(ids)
    (one,) = store.incidents(Filter("alice"))
    assert one.captures == 40


def test_what_somebody_else_has_by_now_is_not_finished(store: Store) -> None:
    made = store.submit(item(), "alice")
    store.take("slow")
    assert store.put_back("slow") == 1
    store.take("quick")
    assert not store.finish(made.id, answer(finding()), worker="slow")
    assert store.finish(made.id, answer(), worker="quick")
    assert not store.finish(made.id, answer(finding()), worker="quick")
    case = store.capture(made.id, "alice")
    assert case is not None
    assert (case.state, case.verdict) == ("ok", None)


def test_what_was_deleted_is_not_finished(store: Store) -> None:
    made = store.submit(item(), "alice")
    store.take("w")
    assert store.delete(made.id, "alice") is not None
    assert not store.finish(made.id, answer(finding()), worker="w")
    assert store.count(Filter(EVERYBODY)) == store.count_incidents(Filter(EVERYBODY)) == 0


def test_what_ran_when_its_worker_died_runs_again(store: Store) -> None:
    mine, other = (store.submit(item(name), "alice").id for name in ("a", "b"))
    store.take("dead")
    store.take("alive")
    assert store.put_back("dead") == 1
    states = {one.id: one.state for one in store.captures(Filter("alice"))}
    assert states == {mine: "queued", other: "running"}
    assert store.put_back(started_before_ns=1) == 0
    assert store.put_back(started_before_ns=NEVER_NS) == 1
    assert store.tally("alice") == {"queued": 2}


def test_a_capture_that_takes_its_service_down_is_given_up(store: Store) -> None:
    made = store.submit(item(), "alice")
    for _ in range(MOST_ATTEMPTS):
        assert store.take("w") is not None
        assert store.put_back() == 1
    assert store.take("w") is None
    case = store.capture(made.id, "alice")
    assert case is not None
    assert (case.state, case.reason) == ("error", "given up: the service ended 3 times while it was read")
    assert store.again(made.id, "alice")
    assert not store.again(made.id, "bob")
    assert store.take("w") is not None


def test_an_answer_is_kept_whole_or_not_at_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = store.submit(item(), "alice")

    def full(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(entries, "write_files", full)
        with pytest.raises(OSError, match="disk full"):
            store.finish(made.id, answer(finding()))
    assert store.tally("alice") == {"queued": 1}
    assert store.count_incidents(Filter("alice")) == 0
    assert store.table("findings", ["cause"], "alice") == []
    assert store.finish(made.id, answer(finding()))


# -- one owner and another


def test_nobody_sees_or_deletes_anothers(store: Store) -> None:
    made = put(store, "a.pcap", finding())
    (incident,) = store.incidents(Filter("alice"))
    for other in ("bob", None):
        assert store.capture(made, other) is None
        assert store.document(made, other) is None
        assert store.file(made, "report.json", other) is None
        assert store.delete(made, other) is None
        assert not store.again(made, other)
        assert store.incident(incident.id, other) is None
        assert store.captures(Filter(other)) == store.incidents(Filter(other)) == []
        assert store.captures(Filter(other, incident=incident.id)) == []
        assert store.count(Filter(other)) == store.count_incidents(Filter(other)) == 0
        assert store.tally(other) == {}
        assert store.usage(other).captures == 0
        assert store.expire(NEVER_NS, other) == []
        assert store.table("findings", ["cause"], other) == []
    assert store.capture(made, EVERYBODY) == store.capture(made, "alice") is not None


def test_incidents_do_not_cross_owners(store: Store) -> None:
    put(store, "a.pcap", finding())
    put(store, "a.pcap", finding(), owner="bob")
    assert [one.captures for one in store.incidents(Filter(EVERYBODY))] == [1, 1]


@pytest.mark.parametrize("owner", ["", EVERYBODY])
def test_a_capture_belongs_to_somebody(store: Store, owner: Any) -> None:
    with pytest.raises(ValueError, match="belongs to somebody"):
        store.submit(item(), owner)


# -- deleting


def test_octets_are_unused_when_nobody_has_them(store: Store) -> None:
    mine, hers = (put(store, "a.pcap", owner=owner) for owner in ("alice", "bob"))
    first, second = store.delete(mine, EVERYBODY), store.delete(hers, "bob")
    assert first is not None
    assert second is not None
    assert (first.owner, first.unused, second.owner, second.unused) == ("alice", False, "bob", True)
    assert second.sha256 == item().sha256
    assert store.delete(hers, "bob") is None
    assert not store.needs(str(second.sha256))


def test_nothing_of_a_deleted_capture_stays(store: Store) -> None:
    session = {"uid": "C1", "outcome": "refused", "start": "2024-05-06T08:00:00Z"}
    login = {"session": "C1", "outcome": "refused", "time": "2024-05-06T08:00:00Z"}
    made = put(
        store,
        "a.pcap",
        finding(accounts=["u"]),
        sessions=[session],
        logins=[login],
        accounts=[{"account": "u", "server": "s"}],
    )
    assert [len(store.table(name, ["outcome"], "alice")) for name in ("sessions", "logins")] == [1, 1]
    store.delete(made, "alice")
    with store._pool.transaction(writes=False) as link:
        tables = ("captures", "files", "findings", "sessions", "logins", "presences", "incidents", "incident_names")
        assert {name: link.rows(f"SELECT COUNT(*) AS n FROM {name}")[0]["n"] for name in tables} == dict.fromkeys(
            tables, 0
        )


def test_an_incident_shrinks_with_its_captures(store: Store) -> None:
    strong = put(store, "a.pcap", finding(accounts=["u"], title="strong"))
    put(store, "b.pcap", finding(verdict="suspected", accounts=["u"], title="weak"))
    (one,) = store.incidents(Filter("alice"))
    assert (one.captures, one.verdict, one.title) == (2, "confirmed", "strong")
    store.delete(strong, "alice")
    (left,) = store.incidents(Filter("alice"))
    assert (left.id, left.captures, left.verdict, left.title) == (one.id, 1, "suspected", "weak")


def test_what_is_old_expires_and_what_waits_does_not(store: Store) -> None:
    old = [put(store, f"{n}.pcap", finding()) for n in range(3)]
    store.submit(item("waits.pcap"), "alice")
    soon = time.time_ns()
    young = put(store, "young.pcap", finding())
    assert {gone.id for gone in store.expire(soon, EVERYBODY)} == set(old)
    assert {one.id for one in store.captures(Filter("alice", state="ok"))} == {young}
    assert store.tally("alice") == {"ok": 1, "queued": 1}
    assert [one.captures for one in store.incidents(Filter("alice"))] == [1]


def test_only_uploads_expire_when_that_is_said(store: Store) -> None:
    store.record(item("here.pcap", location="/data/here.pcap"), answer(), key="k")
    put(store, "uploaded.pcap")
    assert [one.owner for one in store.expire(NEVER_NS, EVERYBODY, uploads=True)] == ["alice"]


# -- reading


def test_an_answer_comes_back(store: Store) -> None:
    made = store.submit(item(), "alice", key="k")
    told = answer(finding(accounts=["u"], confidence=0.75), text="ü\0\ud800")
    assert store.finish(made.id, told, files={"report.html": b"<p>\0\xff"})
    case = store.capture(made.id, "alice")
    assert case is not None
    assert (case.state, case.cause, case.verdict, case.confidence) == ("ok", "server_restart", "confirmed", 0.75)
    assert (case.server, case.accounts, case.rank, case.key) == ("192.0.2.1", ("u",), 0, "k")
    assert (case.start_ns, case.end_ns) == (1714982400 * 10**9, 1714982460 * 10**9)
    assert not case.waiting
    assert store.document(made.id, "alice") == told.document
    assert store.file(made.id, "report.html", "alice") == b"<p>\0\xff"
    assert store.file(made.id, "other", "alice") is None


def test_texts_that_a_database_refuses_are_kept_without_what_it_refuses(store: Store) -> None:
    made = put(store, "a\0\ud800.pcap", finding(title="null \0 and half \udc80", accounts=["\0"]))
    case = store.capture(made, "alice")
    assert case is not None
    assert case.title == "null \N{REPLACEMENT CHARACTER} and half ?"
    assert [one.id for one in store.captures(Filter("alice", text="\0\ud800"))] == [made]


def test_times_are_exact(store: Store) -> None:
    put(store, "a.pcap", finding(start="2024-05-06T08:00:00.123456789Z", end="1969-12-31T23:59:59.5Z"))
    rows = store.table("findings", ["start_ns", "end_ns"], "alice")
    assert [(row["start_ns"], row["end_ns"]) for row in rows] == [(1714982400123456789, -500_000_000)]


def test_the_worst_come_first_then_the_newest(store: Store) -> None:
    for name, verdict in (("1", "suspected"), ("2", None), ("3", "confirmed"), ("4", "likely"), ("5", "confirmed")):
        put(store, name, *([finding(verdict=verdict)] if verdict else []))
    store.finish(store.submit(item("6"), "alice").id, answer(state="timeout"))
    store.submit(item("7"), "alice")
    names = [one.name for one in store.captures(Filter("alice"))]
    assert names == ["5", "3", "4", "1", "6", "2", "7"]
    assert [one.name for one in store.captures(Filter("alice"), order="newest", limit=3)] == ["7", "6", "5"]
    paged = [one.name for start in range(0, 8, 3) for one in store.captures(Filter("alice"), limit=3, offset=start)]
    assert paged == names


def test_filters(store: Store) -> None:
    put(store, "Eins.pcap", finding("bad_credentials", accounts=["Jürgen@example.com"]))
    put(store, "zwei_100%.pcap", finding(verdict="suspected"))
    store.submit(item("drei.pcap"), "alice")

    def named(**wanted: Any) -> list[str]:
        found = store.captures(Filter("alice", **wanted))
        assert store.count(Filter("alice", **wanted)) == len(found)
        return sorted(one.name for one in found)

    assert named(state="waiting") == named(state="queued") == ["drei.pcap"]
    assert named(state="ok") == ["Eins.pcap", "zwei_100%.pcap"]
    assert named(cause="bad_credentials") == named(text="JÜRGEN") == named(text="bad credentials eins") == ["Eins.pcap"]
    assert named(verdict="suspected") == named(text="_100%") == ["zwei_100%.pcap"]
    assert named(text="%_%") == named(text="jürgen zwei") == named(text="' OR 1=1 --") == named(cause="x") == []
    assert named(text="192.0.2.1") == ["Eins.pcap", "zwei_100%.pcap"]
    assert named(text=item("drei.pcap").sha256) == ["drei.pcap"]
    incidents = store.incidents(Filter("alice", text="jürgen"))
    assert [one.cause for one in incidents] == ["bad_credentials"]
    assert named(incident=incidents[0].id) == ["Eins.pcap"]
    assert store.count_incidents(Filter("alice", verdict="suspected")) == 1
    assert store.count_incidents(Filter("alice", cause="bad_credentials")) == 1


def test_tallies_and_usage(store: Store) -> None:
    put(store, "a", finding())
    put(store, "b", finding())
    put(store, "c")
    assert store.tally("alice", "cause") == {"server_restart": 2, "healthy": 1}
    assert store.tally("alice", "verdict") == {"confirmed": 2}
    usage = store.usage("alice")
    assert (usage.captures, usage.size_bytes) == (3, 300)
    with pytest.raises(ValueError, match="no tally of 'owner'"):
        store.tally("alice", "owner")


def test_outliers_are_smaller_incidents_of_the_same_place_and_time(store: Store) -> None:
    for name in "abc":
        put(store, name, finding("per_user_connection_limit", "suspected", accounts=["u"]))
    put(store, "typo", finding("bad_credentials", accounts=["u"]))
    put(store, "maybe", finding("account_locked", "suspected", accounts=["u"]))
    put(store, "elsewhere", finding("bad_credentials", accounts=["v"]))
    put(
        store,
        "later",
        finding("server_restart", accounts=["u"], start="2024-05-07T08:00:00Z", end="2024-05-07T08:00:00Z"),
    )
    big = next(one for one in store.incidents(Filter("alice")) if one.captures == 3)
    assert [(one.cause, one.captures) for one in store.outliers(big)] == [("bad_credentials", 1)]
    small = next(
        one for one in store.incidents(Filter("alice")) if one.cause == "bad_credentials" and one.accounts == ("u",)
    )
    assert store.outliers(small) == []


def test_the_audit_tells_the_latest_first(store: Store) -> None:
    store.note("alice", "upload", sha256="s", capture="c")
    store.note("bob\x1b[31m", "delete")
    told = store.audit()
    assert [(one["who"], one["what"], one["sha256"], one["capture_id"]) for one in told] == [
        ("bob\N{REPLACEMENT CHARACTER}[31m", "delete", None, None),
        ("alice", "upload", "s", "c"),
    ]
    assert store.audit(limit=1, offset=1)[0]["who"] == "alice"


# -- a batch


def test_an_input_has_one_row_and_its_last_answer(store: Store) -> None:
    here = item(location="/data/a.pcap")
    first = store.record(here, answer(finding()), key="1")
    assert store.record(here, answer(finding("port_closed"), finding("port_closed")), key="2") == first
    assert store.count(Filter(None)) == 1
    assert len(store.table("findings", ["cause"], None)) == 2
    store.tidy()
    assert [(one.cause, one.captures) for one in store.incidents(Filter(None))] == [("port_closed", 1)]
    assert store.known(str(here.sha256), "1") is None
    known = store.known(str(here.sha256), "2")
    assert known is not None
    assert known.id == first


def test_a_place_that_can_be_opened_now_loses_its_complaint(store: Store) -> None:
    shut = store.record(item(sha256=None, location="/a"), Answer("error", "permission denied", None), key="k")
    assert store.record(item(sha256=None, location="/a"), Answer("error", "permission denied", None), key="k") == shut
    store.record(item(sha256=None, location="/b"), Answer("error", "permission denied", None), key="k")
    store.record(item(location="/a"), answer(), key="k")
    assert sorted((one.location, one.state) for one in store.captures(Filter(None))) == [("/a", "ok"), ("/b", "error")]


def test_of_two_with_the_same_content_the_one_at_the_place_is_known(store: Store) -> None:
    ids = {place: store.record(item(location=place), answer(), key="k") for place in ("/a", "/b")}
    for place, made in ids.items():
        known = store.known(str(item().sha256), "k", location=place)
        assert known is not None
        assert known.id == made
    assert store.known(str(item().sha256), "k", owner="alice") is None


def test_a_closed_store_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from analyzer.triage import database

    monkeypatch.setattr(database, "WAIT_S", 0.01)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.count(Filter(None))
