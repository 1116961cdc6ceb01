from __future__ import annotations

import re
from pathlib import Path

import pytest

from analyzer.errors import AnalyzerError, RuleError
from analyzer.remedies import FOLDER, ask, causes, entries, fill, ids_for, is_known, lint, load, opened, products
from analyzer.remedies.capacity import agents_served, plan
from analyzer.remedies.files import entry, heads
from analyzer.remedies.servers import EXCHANGE_VERSIONS, is_server, known, server_of
from analyzer.rules import load_habits, load_rules
from analyzer.rules.signatures import CAUSES

ENTRY = {
    "id": "x-y",
    "title": "t",
    "cause": "c",
    "product": "any",
    "versions": ["any"],
    "steps": ["s"],
    "check": "look",
    "undo": "back",
    "risk": "r",
    "source": ["RFC"],
}


SERVERS = [None, "neverheard", "exchange", *known(products())]
OPEN_PLACE = re.compile(r"\{[A-Za-z]\w*\}")
CMDLET = re.compile(r"\b((?:Get|Set|New|Remove|Test|Unlock|Restart|Start|Stop)-[A-Z]\w+)([^|\n]*)")
PARAMETERS = {
    "ImapSettings": "Server MaxConnections MaxConnectionFromSingleIP MaxConnectionsPerUser MaxCommandSize LoginType "
    "EnableGSSAPIAndNTLMAuth ProtocolLogEnabled",
    "ReceiveConnector": "Server Identity MaxInboundConnection MaxInboundConnectionPerSource "
    "MaxInboundConnectionPercentagePerSource MessageRateLimit",
    "ThrottlingPolicy": "Name Identity IMAPMaxConcurrency ThrottlingPolicyScope ImapMaxBurst ImapRechargeRate",
    "ThrottlingPolicyAssociation": "Identity ThrottlingPolicy",
    "Mailbox": "Identity ThrottlingPolicy",
    "CASMailbox": "ImapEnabled PopEnabled",
    "ItemProperty": "Name PropertyType Value Force ErrorAction",
    "Service": "StartupType ErrorAction",
    "ServiceHealth": "Server",
    "MailboxDatabase": "Status",
    "ExchangeCertificate": "Server",
    "ADUser": "Properties",
    "ADAccount": "",
    "EventLog": "LogName Source Newest ComputerName",
    "ClientAccessRule": "ErrorAction",
    "Process": "",
    "NetConnection": "Port",
}
"""Parameters that exist, of every cmdlet any remedy names (those of IMAP are POP3's too)."""
SETTINGS = {
    "dovecot": "mail_max_userip_connections process_limit client_limit",
    "cyrus": "maxlogins_per_user maxlogins_per_host maxchild popminpoll",
    "courier": "MAXPERIP MAXDAEMONS",
    "postfix": "smtpd_client_event_limit_exceptions",
    "exim": "smtp_accept_max",
    "zimbra": "zimbraImapMaxConnections zimbraAccountStatus",
}
"""Settings that the commands of other products may change."""


@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])
@pytest.mark.parametrize("product", SERVERS)
def test_every_cause_has_a_remedy_whole_and_without_open_places(product: str | None, protocol: str) -> None:
    for cause in sorted(CAUSES):
        found = fill({"agents": 20, "protocol": protocol}, [cause], product)
        assert found, cause
        for remedy in found:
            lists = (*remedy.steps, *remedy.notes, *remedy.avoid)
            text = "\n".join((remedy.title, *(block for _, block in remedy.blocks), *lists))
            assert not OPEN_PLACE.search(text)
            assert remedy.source
            assert remedy.check
            assert remedy.undo
            assert remedy.risk


def test_what_findings_name_opens() -> None:
    named = {x for rule in load_rules() for x in rule.remedies} | {x for h in load_habits() for x in h.remedies}
    named |= {"undetermined"}
    assert len(named) > 20
    for name in named:
        for product in (None, "exchange", "exchange-2010-sp2", "dovecot"):
            assert ask({}, name, product)
    for name in heads():
        assert [x.id for x in ask({}, name, None)] == [name] or is_known(name)


def test_every_command_names_real_parameters() -> None:
    seen = set()
    for name in heads():
        remedies = [entry(name).on(server_of(f"exchange-{v}")) for v in EXCHANGE_VERSIONS] + [entry(name).remedy]
        for block in {block for remedy in remedies for _, block in remedy.blocks}:
            for cmdlet, rest in CMDLET.findall(block.replace("{Imap}", "Imap")):
                noun = cmdlet.partition("-")[2]
                given = set(re.findall(r"\s-([A-Z]\w+)", rest.partition("     #")[0]))
                assert given <= set(PARAMETERS[noun].split()), (name, cmdlet)
                seen.add(noun)
    assert seen == set(PARAMETERS)


@pytest.mark.parametrize("product", sorted(SETTINGS))
def test_other_products_change_settings_they_have(product: str) -> None:
    changes = [x for x in entries().values() if x.product == product and x.commands]
    assert changes
    for remedy in changes:
        assert any(name in remedy.commands for name in SETTINGS[product].split()) or "systemctl" in remedy.commands


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
    assert remedy.restart.startswith("Restart-Service MSExchangeIMAP4 ")
    assert "default 16" in remedy.undo
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
        ("exchange-2010-rtm", ("exchange-2010-request-throttling",)),
        ("exchange-2007", ("exchange-2007-request-throttling",)),
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


@pytest.mark.parametrize(
    ("version", "restart", "undo", "note"),
    [
        ("2007", "Restart-Service MSExchangeIMAP4", "default 10", "1 to 1000"),
        ("2010-sp2", "Restart-Service MSExchangeIMAP4", "default 16", "1 to 25000"),
        ("2016", "MSExchangeIMAP4BE", "default 16", "Event 1009"),
    ],
)
def test_versions_differ(version: str, restart: str, undo: str, note: str) -> None:
    (remedy,) = fill({}, ["per_user_connection_limit"], f"exchange-{version}")
    assert restart in remedy.restart
    assert ("IMAP4BE" in remedy.restart) == (version == "2016")
    assert undo in remedy.undo
    assert any(note in x for x in remedy.notes)
    assert any("UserConnectionLimitReached" in x for x in remedy.notes)


def test_pop3_has_its_own_names() -> None:
    (remedy,) = fill({"protocol": "pop3"}, ["per_user_connection_limit"], "exchange-2016")
    assert "Set-PopSettings -Server" in remedy.commands
    assert "MSExchangePOP3BE" in remedy.restart
    assert "Imap" not in remedy.commands + remedy.before
    smtp = fill({"protocol": "smtp"}, ["tls_required"], "exchange-2016")
    assert [x.id for x in smtp] == ["tls-required"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("exchange-2010-sp2", ("exchange", "2010", "sp2")),
        ("Exchange 2010 SP2", ("exchange", "2010", "sp2")),
        ("exchange2010sp2", ("exchange", "2010", "sp2")),
        ("exchange_2016_cu23", ("exchange", "2016", "cu23")),
        ("office365", ("exchange", "online", None)),
        ("exchange-se", ("exchange", "se", None)),
        ("dovecot-2.3.21", ("dovecot", "2.3.21", None)),
        ("hmailserver", ("hmailserver", None, None)),
    ],
)
def test_servers_as_people_type_them(typed: str, meant: tuple[str, str | None, str | None]) -> None:
    assert tuple(server_of(typed)) == meant
    assert is_server(typed, products())


@pytest.mark.parametrize(
    "typed", ["exchange-2011", "exchange-2010-sp4", "notes", "any", "", "-", "exchange; rm", "dovecot-sp1"]
)
def test_servers_nobody_knows(typed: str) -> None:
    assert not is_server(typed, products())
    with pytest.raises(AnalyzerError, match="server") as caught:
        ask({}, "tls-required", typed)
    assert "exchange-2010-sp2" in caught.value.hint
    assert "dovecot" in caught.value.hint


def test_a_version_of_dovecot_has_its_own_setting() -> None:
    assert "auth_allow_cleartext" in fill({}, ["tls_required"], "dovecot-2.4.1")[0].before
    assert "disable_plaintext_auth" in fill({}, ["tls_required"], "dovecot-2.3")[0].before
    assert "disable_plaintext_auth" in fill({}, ["tls_required"], "dovecot")[0].before


def test_an_unknown_cause_is_answered_with_those_there_are() -> None:
    with pytest.raises(AnalyzerError, match="no remedy for 'nothing'") as caught:
        ask({}, "nothing", None)
    assert "per-user-connection-limit" in caught.value.hint


def test_undecided_refusals_get_the_servers_log_and_a_better_capture() -> None:
    assert opened("undetermined", "exchange") == ("exchange-protocol-log", "capture-better")
    assert opened("undetermined") == ("capture-better",)


WRONG_IN_THE_NOTE = {
    "S1": ("exchange-store-session-limit", "MSEExchangeIS"),
    "S2": ("exchange-store-session-limit", "English on every edition"),
    "S3": ("exchange-store-session-limit", "Microsoft warns already of 32"),
    "S4": ("exchange-store-session-limit", "View Information Store status"),
    "S5": ("exchange-store-session-limit", "neither cures"),
    "S6": ("exchange-per-user-connection-limit", "MaxConnectionsPerUser 2400"),
    "S7": ("exchange-per-user-connection-limit", "MaxCommandSize 10240"),
    "S8": ("exchange-per-user-connection-limit", "restart"),
    "S9": ("exchange-2010-request-throttling", "MessageRateLimit, RecipientRateLimit and CPUStartPercent"),
    "S10": ("exchange-2013-request-throttling", "ImapMaxBurst"),
    "S11": ("exchange-2013-request-throttling", "every later version"),
    "S12": ("exchange-tls-required", "telnet"),
    "S13": ("exchange-smtp-rate-limit", "lowers the default connectors"),
    "S14": ("exchange-per-user-connection-limit", "one PC"),
    "S17": ("exchange-online-per-user-connection-limit", "can change none of them"),
}
"""What the knowledge base holds against the note, and where it is told; S15 is right, S16 a date."""


@pytest.mark.parametrize("number", sorted(WRONG_IN_THE_NOTE))
def test_what_the_note_gets_wrong_is_told_where_it_applies(number: str) -> None:
    name, words = WRONG_IN_THE_NOTE[number]
    (told,) = [x for x in entry(name).remedy.avoid if words in x]
    assert "The note you may have found" in told
    assert ": " in told


def test_agents_need_two_connections_and_old_servers_have_a_date() -> None:
    (remedy,) = fill({}, ["per_user_connection_limit"], "exchange-2010-sp1")
    assert any("agents x 2 + 2" in x for x in remedy.steps)
    assert any("October 2020" in x for x in remedy.notes)


def test_what_the_note_advises_wrongly_is_nowhere_advised() -> None:
    for remedy in entries().values():
        change = remedy.commands + remedy.restart
        assert "MSEExchangeIS" not in change
        assert "View Information Store" not in change
        assert "2400" not in change
        assert "PlainText" not in change
        assert "$null" not in change
        assert "ADPermission" not in change


def test_the_port_of_the_case_is_filled_in() -> None:
    (remedy,) = fill({"port": 993}, ["port_filtered"])
    assert "-Port 993" in remedy.check


def test_files_lint_clean_and_ids_are_unique() -> None:
    remedies = [x.remedy for path in FOLDER.glob("*.toml") for x in load(path)]
    assert len(remedies) == len(entries()) == len({x.id for x in remedies})
    assert set(causes()) >= CAUSES
    assert all((x.id, x.cause, x.product, x.versions, x.protocols) == heads()[x.id][:5] for x in entries().values())


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
        ({"versions": []}, "versions is missing"),
        ({"risk": ""}, "risk is missing"),
        ({"on": [{"restart": "x"}]}, "variant without versions"),
        ({"on": [{"versions": ["1"], "cause": "x"}]}, "cause is no known key"),
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
