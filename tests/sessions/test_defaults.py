from __future__ import annotations

from itertools import pairwise

import pytest

from analyzer.sessions.defaults import DEFAULTS, SCOPES, defaults


@pytest.mark.parametrize(
    ("product", "protocol", "scope", "values"),
    [
        ("exchange", "imap", "account", [16, 10, 20]),
        ("exchange", "pop3", "store", [16]),
        ("exchange", "smtp", "address", [20]),
        ("dovecot", None, "account and address", [10]),
        ("courier", "imap", "address", [4]),
        ("courier", "smtp", "address", [5]),
        ("postfix", "imap", "address", []),
        (None, "imap", "account", []),
    ],
)
def test_what_products_ship(product: str | None, protocol: str | None, scope: str, values: list[int]) -> None:
    assert [x.value for x in defaults(product, protocol) if x.scope == scope] == values


def test_each_is_whole_and_its_scope_belongs_to_a_cause() -> None:
    scopes = {scope for named in SCOPES.values() for scope in named}
    assert {x.scope for x in DEFAULTS} == scopes
    assert all(x.setting and x.versions and x.source and x.value > 0 for x in DEFAULTS)
    assert all(x.text == f"{x.value} = {x.versions}, default of {x.setting}" for x in DEFAULTS)


def test_limits_of_one_kind_stand_together() -> None:
    kinds = [(x.product, x.protocols, x.scope) for x in DEFAULTS]
    assert len({a for a, b in pairwise([*kinds, None]) if a != b}) == sum(a != b for a, b in pairwise([*kinds, None]))
