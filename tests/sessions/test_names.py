"""Spellings -> accounts."""

import pytest

from analyzer.sessions.names import names
from analyzer.sessions.session import Login
from tests.records import login

# each spelling is "account" or "DOMAIN\\account"; beside it what it counts as
TABLE = {
    "one bare name": {"mail": "mail"},
    "case does not matter": {"mail": "mail", "MAIL": "mail", "Mail": "mail"},
    "NetBIOS and bare": {"CONTOSO\\mail": "mail", "mail": "mail"},
    "DNS and bare": {"mail@contoso.example": "mail@contoso.example", "mail": "mail@contoso.example"},
    "all three": dict.fromkeys(["mail@contoso.example", "CONTOSO\\mail", "mail"], "mail@contoso.example"),
    "case of the domain": {"CONTOSO\\mail": "mail", "contoso\\mail": "mail"},
    "two NetBIOS domains": {"CONTOSO\\mail": "CONTOSO\\mail", "FABRIKAM\\mail": "FABRIKAM\\mail"},
    "two domains and a bare name": {
        "CONTOSO\\mail": "CONTOSO\\mail",
        "FABRIKAM\\mail": "FABRIKAM\\mail",
        "mail": "mail",
    },
    "two DNS domains": {"mail@a.example": "mail@a.example", "mail@b.example": "mail@b.example", "mail": "mail"},
    "different users": {"CONTOSO\\mail": "mail", "CONTOSO\\joe": "joe"},
}


def offered(spelling: str, **changes: object) -> Login:
    domain, _, account = spelling.rpartition("\\")
    return login(account=account, domain=domain or None, **changes)


@pytest.mark.parametrize("name", TABLE)
def test_one_only_when_unambiguous(name: str) -> None:
    logins = {spelling: offered(spelling) for spelling in TABLE[name]}
    # the first spelling is the most frequent one
    known = names([next(iter(logins.values())), *logins.values()])
    assert {spelling: known.of(x) for spelling, x in logins.items()} == TABLE[name]


def test_servers_are_apart() -> None:
    here, there = offered("A\\mail"), offered("B\\mail", server="198.51.100.99")
    known = names([here, there])
    assert (known.of(here), known.of(there)) == ("mail", "mail")


def test_unseen_and_unknown_accounts() -> None:
    known = names([login(account=None)])
    assert known.of(login(account=None)) is None
    assert known.of(login(account="never offered")) == "never offered"


def test_the_most_frequent_spelling_is_shown() -> None:
    often, rare = offered("Mail"), offered("CONTOSO\\mail")
    assert names([rare, often, often]).of(rare) == "Mail"
