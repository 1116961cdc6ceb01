from __future__ import annotations

import re
from pathlib import Path

import pytest

from analyzer.errors import RuleError
from analyzer.remedies import FOLDER, causes, entries, fill, ids_for, is_known, lint, load
from analyzer.remedies.capacity import agents_served, plan

CAUSES_OF_IMAP = [
    "per_user_connection_limit",
    "per_ip_connection_limit",
    "server_connection_limit",
    "connection_limit_at_connect",
    "store_session_limit",
    "request_throttling",
    "command_size_limit",
    "bad_credentials",
    "account_locked",
    "tls_required",
    "auth_method_refused",
    "server_unavailable",
    "server_restart",
    "port_filtered",
    "port_closed",
    "undetermined",
]
ENTRY = {
    "id": "x-y",
    "title": "t",
    "cause": "c",
    "product": "any",
    "steps": ["s"],
    "check": "look",
    "undo": "back",
    "risk": "r",
    "source": ["RFC"],
}


@pytest.mark.parametrize("cause", CAUSES_OF_IMAP)
@pytest.mark.parametrize("product", [None, "exchange", "exchange-2010-sp2", "exchange-2019", "dovecot", "neverheard"])
def test_every_cause_has_a_remedy_whole_and_without_open_places(cause: str, product: str | None) -> None:
    found = fill({"agents": 20}, [cause], product)
    assert found
    for remedy in found:
        text = "\n".join((remedy.before, remedy.commands, remedy.check, remedy.undo, *remedy.steps, *remedy.notes))
        assert not re.search(r"\{(?:advised|sum|per_agent|service|port)\}", text)
        assert remedy.source
        assert remedy.check
        assert remedy.undo


@pytest.mark.parametrize(
    ("agents", "per_agent", "needed", "advised"),
    [(20, 2, 42, 53), (1, 2, 4, 5), (40, 2, 82, 103), (10, 3, 32, 40), (7, 1, 16, 20)],
)
def test_capacity_is_agents_times_connections_plus_service_and_a_quarter(
    agents: int, per_agent: int, needed: int, advised: int
) -> None:
    capacity = plan(agents, per_agent=per_agent)
    assert (capacity.needed, capacity.advised) == (needed, advised)


@pytest.mark.parametrize(("limit", "agents"), [(16, 7), (10, 4), (1, 0), (2, 0), (4, 1)])
def test_agents_a_limit_lets_work(limit: int, agents: int) -> None:
    assert agents_served(limit) == agents


def test_the_seed_case_gets_its_number_restart_check_and_undo() -> None:
    (remedy,) = fill({"agents": 20}, ["per-user-connection-limit"], "exchange-2010-sp2")
    assert remedy.commands == "Set-ImapSettings -Server <server> -MaxConnectionsPerUser 53"
    assert "Get-ImapSettings" in remedy.before
    assert "MSExchangeIMAP4BE" in remedy.restart
    assert "default 16; 10 on Exchange 2007" in remedy.undo
    assert any("Maximum Allowed Service Sessions Per User" in note for note in remedy.notes)
    assert "MaxConnections " not in remedy.commands
    assert remedy.capacity is not None
    assert remedy.capacity.sum_text == "20 agents x 2 + 2 = 42 connections, + 25 % reserve = 53"


@pytest.mark.parametrize(
    ("facts", "number"),
    [
        ({"clients": 1, "per_client": 2}, "<N>"),  # one PC sees one agent: a limit of 5 would make it worse
        ({"clients": 5}, "<N>"),  # 15 is below the usual 16: not the cure
        ({"clients": 6}, "18"),
        ({"clients": 7}, "20"),
        ({"clients": 30, "account_clients": 10}, "28"),
        ({"clients": 7, "limit": 24}, "<N>"),
        ({"clients": 17, "limit": 24}, "45"),
        ({"agents": 2}, "8"),  # said by a person
        ({}, "<N>"),
        ({"clients": float("inf")}, "<N>"),
    ],
)
def test_a_number_is_printed_only_when_it_would_cure(facts: dict[str, float], number: str) -> None:
    (remedy,) = fill(facts, ["per_user_connection_limit"], "exchange")
    assert f"-MaxConnectionsPerUser {number}" in remedy.commands
    assert (remedy.capacity is None) == (number == "<N>")


@pytest.mark.parametrize(
    ("product", "ids"),
    [
        ("exchange-2010", ("exchange-2010-request-throttling",)),
        ("exchange-2016-cu23", ("exchange-2013-request-throttling",)),
        ("exchange-online", ("exchange-online-request-throttling",)),
        ("Exchange", ("exchange-2010-request-throttling", "exchange-2013-request-throttling")),
        ("exchange-2007", ("request-throttling",)),
        ("courier", ("request-throttling",)),
        (None, ("request-throttling",)),
    ],
)
def test_product_and_version_choose(product: str | None, ids: tuple[str, ...]) -> None:
    assert ids_for("request_throttling", product) == ids


def test_names_are_ids_or_causes_and_given_once() -> None:
    found = fill({}, ["bad_credentials", "bad-credentials", "capture-better", "nothing"], "exchange")
    assert [x.id for x in found] == ["exchange-bad-credentials", "capture-better"]
    assert is_known("bad-credentials")
    assert is_known("bad_credentials")
    assert is_known("exchange-bad-credentials")
    assert not is_known("nothing")


def test_what_the_note_advises_wrongly_is_nowhere_advised() -> None:
    for remedy in entries().values():
        change = remedy.commands + remedy.restart
        assert "MSEExchangeIS" not in change
        assert "View Information Store" not in change
        assert "2400" not in change
        assert "LoginType" not in change
        assert "$null" not in change


def test_the_port_of_the_case_is_filled_in() -> None:
    (remedy,) = fill({"port": 993}, ["port_filtered"])
    assert "-Port 993" in remedy.check


def test_files_lint_clean_and_ids_are_unique() -> None:
    remedies = [x for path in FOLDER.glob("*.toml") for x in load(path)]
    assert len(remedies) == len(entries()) == len({x.id for x in remedies})
    assert set(CAUSES_OF_IMAP) <= set(causes())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"check": ""}, "check is missing"),
        ({"undo": ""}, "undo is missing"),
        ({"source": []}, "source is missing"),
        ({"id": "Not an id"}, "id is not unique"),
        ({"colour": "red"}, "colour is no known key"),
        ({"steps": "one"}, "steps is not a list"),
        ({"title": 3}, "title is not a text"),
        ({"commands": "Set-X"}, "without looking first"),
    ],
)
def test_lint_finds(change: dict[str, object], says: str) -> None:
    assert lint([ENTRY]) == []
    assert any(says in x for x in lint([ENTRY | change]))


def test_lint_finds_the_same_id_twice() -> None:
    assert any("id is not unique" in x for x in lint([ENTRY, ENTRY]))


@pytest.mark.parametrize("text", ["[[remedy]\n", '[[remedy]]\nid = "x"\n'])
def test_a_bad_file_is_a_rule_error_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(RuleError, match=r"bad\.toml") as caught:
        load(path)
    assert caught.value.path == path
