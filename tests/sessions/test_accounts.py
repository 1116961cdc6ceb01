"""Sessions -> one row per account and server."""

from analyzer.sessions.accounts import accounts
from tests.records import ACCOUNT, SERVER, full_house, login, ns, refused, session


def test_a_full_house() -> None:
    story = full_house(agents=10, limit=16)
    (row,) = accounts(story)
    assert (row.account, row.server, row.protocol, row.peak_open) == (ACCOUNT, SERVER, "imap", 16)
    assert row.logins_accepted + row.logins_refused == len(story)
    assert len(row.clients) == 10
    assert 0 < len(row.clients_refused) < 10


def test_most_refused_first_then_by_name() -> None:
    rows = accounts([
        session("C1", account="b"), session("C2", account="a"), refused("C3", account="z"), session("C4", account="z"),
    ])  # fmt: skip
    assert [row.account for row in rows] == ["z", "a", "b"]


def test_spellings_are_one_row() -> None:
    bare = session("C2", logins=(login("C2", account=ACCOUNT, domain=None),))
    (row,) = accounts([session("C1", at_s=0.0), bare])
    assert (row.logins_accepted, row.peak_open) == (2, 2)


def test_servers_are_apart() -> None:
    rows = accounts([session("C1"), session("C2", server="198.51.100.9")])
    assert [row.server for row in rows] == [SERVER, "198.51.100.9"]


def test_a_refused_account_was_never_open() -> None:
    (row,) = accounts([refused("C1")])
    assert (row.peak_open, row.peak_open_at, row.logins_refused) == (0, None, 1)


def test_the_peak_tells_when() -> None:
    (row,) = accounts([session("C1", at_s=0.0), session("C2", at_s=10.0)])
    assert (row.peak_open, row.peak_open_at) == (2, ns(10.1 + 0.08))


def test_an_account_that_was_not_seen_has_no_row() -> None:
    assert accounts([session("C1", account=None)]) == ()
