r"""Which spellings of an account are one account: CONTOSO\mail, mail, mail@contoso.example.

Exchange counts connections by the identity behind the login, not by its spelling. A bare name, one NetBIOS domain and
one DNS domain with the same user part are taken for the same account when there is only one candidate of each kind on
that server; with two, nobody can say whom the bare name means, and each spelling stays its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from analyzer.sessions.session import Login

Offer = tuple[str, str | None, str]
"""(server, domain, account) as a login offered it."""


class Names:
    """Maps what logins offered to the account it counts as."""

    def __init__(self) -> None:
        self._meant: dict[Offer, str] = {}
        self._there: dict[str, set[str]] = defaultdict(set)

    def of(self, login: Login) -> str | None:
        """Return the display name of the login's account, or None when the login showed none."""
        if login.account is None:
            return None
        return self._meant.get((login.server, login.domain, login.account), login.account)

    def of_all(self, logins: Iterable[Login]) -> set[str]:
        """Return the accounts of some logins."""
        return {self._meant.get(x, x[2]) for x in set(_offers(logins))}

    def on(self, server: str) -> set[str]:
        """Return the accounts that were offered to one server."""
        return self._there.get(server, set())

    def learn(self, offer: Offer, name: str) -> None:
        """Note which account an offer means."""
        self._meant[offer] = name
        self._there[offer[0]].add(name)


def names(logins: Iterable[Login]) -> Names:
    """Find the spellings that are one account, per server; the most frequent spelling becomes the shown one."""
    # Thousands of logins, few spellings: each spelling is looked at once.
    offers = Counter(_offers(logins))
    alike: dict[tuple[str, str], list[Offer]] = defaultdict(list)
    for offer in offers:
        alike[offer[0], offer[2].lower().partition("@")[0]].append(offer)
    result = Names()
    for found in alike.values():
        if len(found) == 1 and not found[0][1]:
            result.learn(found[0], found[0][2])
        else:
            _join(found, offers, result)
    return result


def _offers(logins: Iterable[Login]) -> list[Offer]:
    return [(x.server, x.domain, x.account) for x in logins if x.account is not None]


def _join(offers: list[Offer], times: Counter[Offer], result: Names) -> None:
    """Note what the spellings of one user part on one server mean."""
    counted: Counter[tuple[str, str]] = Counter()
    shown: dict[tuple[str, str], str] = {}
    for offer in offers:
        spelling = _spelling(offer)
        counted[spelling] += times[offer]
        shown.setdefault(spelling, offer[2])
    netbios = {domain for domain, account in counted if domain and "@" not in account}
    dns = {account.partition("@")[2] for _, account in counted if "@" in account}
    alone = len(netbios) <= 1 and len(dns) <= 1
    best = max(counted, key=lambda s: (counted[s], s))
    for offer in offers:
        spelling = _spelling(offer)
        result.learn(offer, shown[best] if alone else _full(spelling[0], shown[spelling]))


def _spelling(offer: Offer) -> tuple[str, str]:
    return (offer[1] or "").lower(), offer[2].lower()


def _full(domain: str, account: str) -> str:
    return f"{domain.upper()}\\{account}" if domain else account
