r"""Which spellings of an account are one account: CONTOSO\mail, mail, mail@contoso.example.

Exchange counts connections by the identity behind the login, not by its spelling. A bare name, one NetBIOS domain and
one DNS domain with the same user part are taken for the same account when there is only one candidate of each kind on
that server; with two, nobody can say whom the bare name means, and each spelling stays its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from analyzer.sessions.session import Login


class Names:
    """Maps what logins offered to the account it counts as."""

    def __init__(self, spoken: dict[tuple[str, str, str], str]) -> None:
        self._spoken = spoken
        self._asked: dict[tuple[str, str | None, str], str] = {}  # by the spelling offered: asked for many times

    def of(self, login: Login) -> str | None:
        """Return the display name of the login's account, or None when the login showed none."""
        if login.account is None:
            return None
        asked = (login.server, login.domain, login.account)
        name = self._asked.get(asked)
        if name is None:
            name = self._asked[asked] = self._spoken.get(_spelling(login), login.account)
        return name


def _spelling(login: Login) -> tuple[str, str, str]:
    return login.server, (login.domain or "").lower(), (login.account or "").lower()


def names(logins: Iterable[Login]) -> Names:
    """Find the spellings that are one account, per server; the most frequent spelling becomes the shown one."""
    counted: dict[tuple[str, str], dict[tuple[str, str, str], int]] = defaultdict(lambda: defaultdict(int))
    shown: dict[tuple[str, str, str], str] = {}
    for login in logins:
        if login.account is None:
            continue
        spelling = _spelling(login)
        user = spelling[2].partition("@")[0]
        counted[login.server, user][spelling] += 1
        shown.setdefault(spelling, login.account)
    spoken: dict[tuple[str, str, str], str] = {}
    for spellings in counted.values():
        netbios = {domain for _, domain, account in spellings if domain and "@" not in account}
        dns = {account.partition("@")[2] for _, _, account in spellings if "@" in account}
        alone = len(netbios) <= 1 and len(dns) <= 1
        best = max(spellings, key=lambda s: (spellings[s], s))
        for spelling in spellings:
            spoken[spelling] = shown[best] if alone else _full(spelling, shown[spelling])
    return Names(spoken)


def _full(spelling: tuple[str, str, str], account: str) -> str:
    return f"{spelling[1].upper()}\\{account}" if spelling[1] else account
