"""What captures prove only together: several PCs of one team, each refused without knowing why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.triage import stories
from analyzer.triage.batch import triage
from analyzer.triage.case import Case, Filter, Item
from analyzer.triage.isolated import Answer
from analyzer.triage.row import VERDICT_RANK
from analyzer.triage.store import Store
from analyzer.triage.stories import join, renamed_in
from tests.model import Server, agents, service, simulate
from tests.scenes import film
from tests.triage.targets import finding, report


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve PCs of a team, each captured by itself, in folders so that all captures have the same name."""
    folder = tmp_path_factory.mktemp("team")
    people = [service(), *agents(11, burst=3, rest_s=5.0)]
    for place, leave_s in {2: 12.0, 4: 16.0, 6: 20.0, 1: 24.0}.items():
        people[place] = replace(people[place], leave_s=leave_s)
    run = simulate(Server(), people, until_s=29.0, seed=2)
    for number, address in enumerate(sorted({one.agent.address for one in run.attempts})):
        (folder / f"pc{number:02}").mkdir()
        film(run, view=(address,)).save(folder / f"pc{number:02}" / "capture.pcap")
    return folder


def test_several_pcs_prove_what_none_proves_alone(team: Path, tmp_path: Path) -> None:
    store = tmp_path / "cases.db"
    result = triage([team], store=store, jobs=2)
    alone = {row.faults[0]["verdict"] for row in result.rows if row.faults}
    assert alone == {"suspected"}
    (one,) = result.incidents
    assert (one.cause, one.verdict) == ("per_user_connection_limit", "confirmed")
    assert result.exit_status == 10
    assert one.joined is not None
    assert one.joined["alone"] == "suspected"
    assert one.joined["captures"] == [row.path for row in result.rows]  # those that were let in bear witness
    frames = [frame for fact in one.joined["finding"]["evidence"] for frame in fact["frames"]]
    assert {frame["capture"] for frame in frames} <= {row.path for row in result.rows}
    assert len({frame["capture"] for frame in frames}) > 1
    assert len(one.captures) < len(one.joined["captures"])
    again = triage([team], store=store, jobs=2)
    assert again.incidents == result.incidents


def test_members_are_not_read_together_twice(team: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from analyzer.triage import batch

    store = tmp_path / "cases.db"
    triage([team / "pc07", team / "pc08"], store=store)
    monkeypatch.setattr(batch, "isolated", lambda *_, **__: pytest.fail("read again"))
    triage([team / "pc07", team / "pc08"], store=store)


# -- without a real analysis

CLIENT = {"clients": ["192.0.2.7"]}


def put(
    store: Store, name: str, *findings: dict[str, object], size: int = 1, sha256: str | None = None, **more: object
) -> str:
    item = Item(f"in/{name}", name, sha256 or f"{name:0>64}", size, location=f"/in/{name}", batch="b")
    return store.record(item, Answer("ok", None, report(*findings) | more), key="k")


def unsettled(store: Store, *names: str, **changed: int) -> None:
    for name in names:
        put(store, name, finding("undetermined", "suspected", accounts=["u"]), **changed)  # type: ignore[arg-type]


def told(*findings: dict[str, object]) -> Callable[[list[Path]], Answer]:
    return lambda _: Answer("ok", None, report(*findings))


def lies(tmp_path: Path) -> Callable[[Case], Path]:
    def where(case: Case) -> Path:
        (tmp_path / case.name).write_text(case.name)
        return tmp_path / case.name

    return where


PROVED = finding("per_user_connection_limit", accounts=["u"], title="proved")


@pytest.mark.parametrize(
    ("found", "more"),
    [
        pytest.param([PROVED], True, id="proved"),
        pytest.param([finding("per_user_connection_limit", "likely", accounts=["u", "v"])], True, id="likely"),
        pytest.param([finding("server_restart", accounts=[])], True, id="for everybody at that server"),
        pytest.param([finding("undetermined", "suspected", accounts=["u"])], False, id="as little as alone"),
        pytest.param(
            [finding("port_closed"), finding(verdict="suspected", accounts=["u"])], False, id="beside the point"
        ),
        pytest.param([finding("bad_credentials", accounts=["v"])], False, id="of somebody else"),
        pytest.param([finding("bad_credentials", accounts=["u"], server="192.0.2.99")], False, id="elsewhere"),
        pytest.param([finding(severity="info", accounts=["u"])], False, id="no fault"),
        pytest.param([], False, id="nothing"),
    ],
)
def test_only_a_claim_about_the_same_speaks_for_an_incident(
    tmp_path: Path, found: list[dict[str, object]], more: bool
) -> None:
    with Store.open(":memory:") as store:
        unsettled(store, "a", "b")
        (before,) = store.incidents(Filter(None))
        assert join(store, before, lies(tmp_path), told(*found), "k") is more
        (after,) = store.incidents(Filter(None))
        assert (after.joined is not None) is more
        assert after.verdict == (found[0]["verdict"] if more else "suspected")
        assert not join(store, after, lies(tmp_path), lambda _: pytest.fail("read again"), "k")
        assert join(store, after, lies(tmp_path), told(PROVED), "other rules")


def test_a_new_member_has_them_read_again(tmp_path: Path) -> None:
    with Store.open(":memory:") as store:
        unsettled(store, "a", "b")
        assert join(store, store.incidents(Filter(None))[0], lies(tmp_path), told(PROVED), "k")
        put(store, "c", finding("per_user_connection_limit", "suspected", accounts=["u"]))
        (one,) = store.incidents(Filter(None))
        assert (one.captures, one.verdict) == (3, "confirmed")
        seen: list[list[str]] = []

        def run(paths: list[Path]) -> Answer:
            seen.append([path.name for path in paths])
            return Answer("ok", None, report(PROVED))

        assert join(store, one, lies(tmp_path), run, "k")
        assert seen == [["001-a", "002-b", "003-c"]]
        joined = store.incidents(Filter(None))[0].joined
        assert joined is not None
        assert (joined["alone"], joined["captures"]) == ("suspected", ["in/a", "in/b", "in/c"])


def test_what_is_claimed_alone_needs_no_others(tmp_path: Path) -> None:
    with Store.open(":memory:") as store:
        put(store, "a", finding(accounts=["u"]))
        put(store, "b", finding(accounts=["u"]))
        assert not join(store, store.incidents(Filter(None))[0], lies(tmp_path), lambda _: pytest.fail("read"), "k")


def test_a_capture_with_a_trouble_of_its_own_is_no_witness(tmp_path: Path) -> None:
    with Store.open(":memory:") as store:
        unsettled(store, "a", "b")
        put(store, "other", finding("tls_required", accounts=["u"]))
        here = {"accounts": [{"account": "u", "server": "192.0.2.1"}]}
        put(store, "claims", finding("port_closed", "likely"), **here)  # type: ignore[arg-type]
        one = next(x for x in store.incidents(Filter(None)) if x.cause == "undetermined")
        seen: list[Path] = []
        join(store, one, lies(tmp_path), lambda paths: seen.extend(paths) or told()(paths), "k")  # type: ignore[func-returns-value]
    assert [path.name for path in seen] == ["001-a", "002-b"]


def test_one_content_is_not_several(tmp_path: Path) -> None:
    with Store.open(":memory:") as store:
        for name in ("a", "b"):
            put(store, name, finding("undetermined", "suspected", accounts=["u"]), sha256="0" * 64)
        assert not join(store, store.incidents(Filter(None))[0], lies(tmp_path), lambda _: pytest.fail("read"), "k")


def test_what_is_gone_is_left_out(tmp_path: Path) -> None:
    with Store.open(":memory:") as store:
        unsettled(store, "a", "b")
        (one,) = store.incidents(Filter(None))
        assert not join(store, one, lambda _: None, lambda _: pytest.fail("read"), "k")


def test_no_more_is_read_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stories, "MOST_CAPTURES", 3)
    monkeypatch.setattr(stories, "MOST_BYTES", 25)
    seen: list[int] = []
    with Store.open(":memory:") as store:
        unsettled(store, *"abcde", size=1)
        join(store, store.incidents(Filter(None))[0], lies(tmp_path), lambda x: seen.append(len(x)) or told()(x), "k")
    with Store.open(":memory:") as store:
        unsettled(store, *"abcde", size=10)
        join(store, store.incidents(Filter(None))[0], lies(tmp_path), lambda x: seen.append(len(x)) or told()(x), "k")
    assert seen == [3, 2]


def test_witnesses_are_of_the_same_account_server_and_time(tmp_path: Path) -> None:
    here = {"accounts": [{"account": "u", "server": "192.0.2.1"}]}
    now = {"name": "x", "state": "ok", "packets": 1, "start": "2024-05-06T08:00:30Z", "end": "2024-05-06T08:00:40Z"}
    then = now | {"start": "2024-05-07T08:00:30Z", "end": "2024-05-07T08:00:40Z"}
    with Store.open(":memory:") as store:
        unsettled(store, "a")
        put(store, "witness", captures=[now], **here)
        put(store, "later", captures=[then], **here)
        put(store, "stranger", captures=[now], accounts=[{"account": "v", "server": "192.0.2.1"}])
        put(store, "elsewhere", captures=[now], accounts=[{"account": "u", "server": "192.0.2.2"}])
        (one,) = store.incidents(Filter(None))
        assert {case.name for case in store.story(one)} == {"a", "witness"}


def test_names_change_where_captures_are_named_only() -> None:
    value = {"capture": "1-a", "text": "1-a", "frames": [{"capture": "1-a!/x"}], "series": ["1-a", "b"], "name": None}
    changed = {"capture": "a", "text": "1-a", "frames": [{"capture": "a!/x"}], "series": ["a", "b"], "name": None}
    assert renamed_in(value, {"1-a": "a"}) == changed
    assert VERDICT_RANK["suspected"] == 2
