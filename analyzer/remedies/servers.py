"""Names of servers as people type them: 'exchange-2010-sp2', 'Exchange 2016 CU23', 'dovecot-2.3'."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

ANY = "any"
"""Product of an entry that fits every server, version of one that fits all."""
EXCHANGE = "exchange"
EXCHANGE_VERSIONS = ("2007", "2010", "2013", "2016", "2019", "se", "online")
LEVELS = {"2010": ("rtm", "sp1", "sp2", "sp3")}
"""Service packs that matter to a remedy."""
_ALIASES = {"office365": "exchange-online", "o365": "exchange-online", "m365": "exchange-online"}
_NAME = re.compile(r"(?P<product>[a-z]+)(?:-?(?P<version>\d[\d.]*|online|se))?(?:-?(?P<level>rtm|sp\d|cu\d+))?")


class Server(NamedTuple):
    """A mail server as far as a person or a capture named it."""

    product: str
    version: str | None = None
    """'2010', 'online', '2.3'; None: not told."""
    level: str | None = None
    """'sp2', 'cu23'; None: not told."""

    def fits(self, versions: Iterable[str]) -> bool:
        """Tell whether an entry for these versions is for this server.

        A version that was not told fits all but the cloud, which nobody can administer, and the oldest alone.
        """
        listed = tuple(versions)
        if self.version is None:
            return listed not in {("online",), ("2007",)}
        return any(self._is(x) for x in listed)

    def exact(self, versions: Iterable[str]) -> bool:
        """Tell whether these versions name this server's own: what was not told is not taken for granted."""
        return self.version is not None and any(self._is(x) for x in versions)

    def _is(self, version: str) -> bool:
        whole, _, level = version.partition("-")
        return version == ANY or (
            (whole == self.version or f"{self.version}.".startswith(f"{whole}.")) and level in {"", self.level}
        )


def server_of(name: str | None) -> Server:
    """Return the server a name means; a name that means none is taken as that of a product nobody knows."""
    plain = re.sub(r"[\s_]+", "-", (name or "").strip().lower())
    match = _NAME.fullmatch(_ALIASES.get(plain, plain))
    return Server(match["product"], match["version"], match["level"]) if match else Server(ANY)


def is_server(name: str, products: Iterable[str]) -> bool:
    """Tell whether a name means a server there is advice for."""
    found = server_of(name)
    if found.product not in set(products) - {ANY}:
        return False
    if found.product != EXCHANGE or found.version is None:
        return found.level is None or found.product == EXCHANGE
    levels = LEVELS.get(found.version)
    return found.version in EXCHANGE_VERSIONS and (found.level is None or levels is None or found.level in levels)


def known(products: Iterable[str]) -> list[str]:
    """Return the names that may be typed, each product once, Exchange by version."""
    rest = sorted(set(products) - {ANY, EXCHANGE})
    versions = [v for x in EXCHANGE_VERSIONS for v in ([f"{x}-{level}" for level in LEVELS.get(x, ())] or [x])]
    return [*(f"{EXCHANGE}-{x}" for x in versions), *rest]
