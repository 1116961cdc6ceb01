"""Last week's incidents against today's: new, still, fixed, or not put to the test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analyzer.errors import StoreError
from analyzer.triage.batch import triage
from tests.triage.targets import finding, report

TOLD = "tests.triage.targets:told"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _from_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def login(account: str, outcome: str, server: str = "192.0.2.1") -> dict[str, str]:
    return {"account": account, "outcome": outcome, "server": server, "session": "C1"}


def test_every_incident_of_either_side_is_told(tmp_path: Path) -> None:
    week = {
        "still": finding("server_slow", "suspected", accounts=["a"]),
        "fixed": finding("per_user_connection_limit", accounts=["b"]),
        "untried": finding("bad_credentials", accounts=["c"]),
        "refused": finding("account_locked", accounts=["d"]),
        "elsewhere": finding("bad_credentials", accounts=["e"], server="192.0.2.2"),
        "everybody": finding("server_restart", server="192.0.2.3"),
    }
    today = {
        "still": finding("server_slow", accounts=["a", "x"]),
        "new": finding("port_closed"),
    }
    logins = [
        *(login("b", "accepted") for _ in range(3)),
        login("d", "accepted"), login("d", "refused"),
        login("e", "accepted"), login("e", "abandoned", "192.0.2.2"),
        login("anybody", "accepted", "192.0.2.3"),
    ]  # fmt: skip
    for when, found in (("week", week), ("today", today)):
        (tmp_path / when).mkdir()
        for name, one in found.items():
            text = json.dumps(report(one) | ({"logins": logins} if name == "new" else {}))
            (tmp_path / when / f"{name}.pcap").write_text(text)
    before = triage([tmp_path / "week"], store=tmp_path / "week.db", target=TOLD)
    assert before.changes is None
    result = triage([tmp_path / "today"], store=tmp_path / "today.db", baseline=tmp_path / "week.db", target=TOLD)
    assert result.changes is not None
    told = {(one.cause, one.server): (one.state, one.before, one.after, one.reason) for one in result.changes}
    lost = "not found again, but nobody concerned logs in in these captures"
    assert told == {
        ("port_closed", "192.0.2.1"): ("new", None, "confirmed", "not in the baseline"),
        ("server_slow", "192.0.2.1"): ("still", "suspected", "confirmed", "suspected before, confirmed now"),
        ("per_user_connection_limit", "192.0.2.1"): ("fixed", "confirmed", None, "3 logins accepted there and none refused"),
        ("bad_credentials", "192.0.2.1"): ("unsettled", "confirmed", None, lost),
        ("bad_credentials", "192.0.2.2"): ("unsettled", "confirmed", None, lost),
        ("account_locked", "192.0.2.1"): (
            "unsettled", "confirmed", None, "not found again, but 1 login there refused for other reasons",
        ),
        ("server_restart", "192.0.2.3"): ("fixed", "confirmed", None, "1 login accepted there and none refused"),
    }  # fmt: skip
    assert [one.state for one in result.changes] == [
        "new",
        "still",
        "unsettled",
        "unsettled",
        "unsettled",
        "fixed",
        "fixed",
    ]


def test_a_baseline_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no store .*none\.db"):
        triage([tmp_path], baseline=tmp_path / "none.db", target=TOLD)
    assert list(tmp_path.iterdir()) == []
