from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from analyzer.report.supposed import sentences
from analyzer.rules import Known, Scene, judge
from analyzer.rules.replay import WhatIf, what_if
from analyzer.sessions.session import Outcome, Session
from tests.records import full_house, one_pc, session
from tests.rules.stories import A, B, D, no, ok, told

AT_SERVER = {"capture": "exchange.pcap"}


def replay(sessions: Iterable[Session], limit: int, known: Known | None = None) -> tuple[WhatIf, ...]:
    scene = Scene(tuple(sessions), known or Known())
    return what_if(scene, judge(scene), limit)


def refusals(sessions: Iterable[Session]) -> int:
    return sum(s.outcome is Outcome.REFUSED for s in sessions)


@pytest.mark.parametrize(
    ("agents", "limit", "per_client"), [(10, 16, 2), (10, 12, 2), (14, 10, 1), (8, 9, 3), (10, 6, 2)]
)
def test_the_limit_it_names_is_the_one_the_server_would_need(agents: int, limit: int, per_client: int) -> None:
    seen = full_house(agents, limit, per_client)
    (answer,) = replay(seen, limit)
    assert (answer.spared, answer.lost, answer.refused) == (0, 0, refusals(seen))
    assert answer.whole
    assert refusals(full_house(agents, answer.enough, per_client)) == 0
    assert refusals(full_house(agents, answer.enough - 1, per_client)) > 0


@pytest.mark.parametrize("limit", [1, 5, 10, 15, 16, 17, 18, 19, 20, 21, 40])
def test_more_spares_more_and_the_smallest_that_spares_all_is_sharp(limit: int) -> None:
    seen = full_house()
    (less,), (more,) = replay(seen, limit), replay(seen, limit + 1)
    assert less.enough == more.enough == 20
    assert less.spared <= more.spared <= less.refused
    assert (less.spared == less.refused and not less.lost) == (limit >= less.enough)
    assert bool(less.lost) == (limit < 16)


def test_a_spared_login_holds_its_place_as_long_as_sessions_usually_last() -> None:
    held = [ok(n, 0.1 * n, lasts_s=20.0, client=f"192.0.2.{n}", **AT_SERVER) for n in range(1, 4)]
    early, late = no(8, 10.0, client="192.0.2.8", **AT_SERVER), no(9, 19.0, client="192.0.2.9", **AT_SERVER)
    after = [ok(10 + n, 40.0 + n, lasts_s=20.0, client=f"192.0.2.{7 + n}", **AT_SERVER) for n in (1, 2)]
    (answer,) = replay([*held, early, late, *after], 4)
    assert (answer.refused, answer.spared, answer.enough) == (2, 1, 5)
    assert answer.session_s == pytest.approx(20.0, abs=0.3)
    assert not answer.at_least


def test_a_client_that_was_let_in_does_not_try_again_and_is_not_counted_twice() -> None:
    lasts = {1: None, 2: None, 3: 89.0}
    held = [ok(n, 0.1 * n, lasts_s=lasts[n], client=f"192.0.2.{n}", **AT_SERVER) for n in lasts]
    tries = [no(10 + n, 10.0 + n, client="192.0.2.50", **AT_SERVER) for n in range(5)]
    later = ok(30, 100.0, lasts_s=50.0, client="192.0.2.50", **AT_SERVER)
    (answer,) = replay([*held, *tries, later], 4, Known(credentials_verified=True, others_working=True, limit=3))
    assert (answer.refused, answer.spared, answer.enough, answer.lost) == (5, 5, 4, 0)


def test_wrong_secrets_are_spared_by_no_limit() -> None:
    held = [ok(n, 0.1 * n, b"good", lasts_s=None, client=f"192.0.2.{n}", **AT_SERVER) for n in range(1, 4)]
    wrong = [no(20 + n, 5.0 + n, b"bad", client=B, **AT_SERVER) for n in range(4)]
    limited = [no(10 + n, 10.0 + n, b"good", client=D, **AT_SERVER) for n in range(4)]
    freed = ok(40, 60.0, b"good", client=D, **AT_SERVER)
    answers = replay([*held, *wrong, *limited, freed], 32)
    assert sum(x.refused for x in answers) <= 4


def test_dovecot_counts_each_address() -> None:
    text = "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=2)"
    more: dict[str, Any] = {"product": "dovecot", **AT_SERVER}
    story = [ok(n, n, lasts_s=None, client=A, **more) for n in (1, 2)] + [
        ok(n, n, lasts_s=None, client=B, **more) for n in (3, 4)
    ]
    story += [told(5, 6.0, text, code="LIMIT", client=A, **more), told(6, 7.0, text, code="LIMIT", client=B, **more)]
    (answer,) = replay(story, 3)
    assert (answer.refused, answer.spared, answer.enough, answer.per_address) == (2, 2, 3, True)
    assert any("is 3 per address" in x for x in sentences([answer]))


def test_one_client_cannot_tell() -> None:
    (answer,) = replay(one_pc(), 32)
    assert not answer.whole
    (line,) = sentences([answer])
    assert "no limit can be named" in line


@pytest.mark.parametrize(
    "story",
    [
        (),
        (session("C1"),),
        tuple(told(n, float(n), "LOGIN Invalid user", code="AUTHENTICATIONFAILED") for n in range(3)),
    ],
)
def test_without_such_a_refusal_there_is_nothing_to_replay(story: tuple[Session, ...]) -> None:
    assert replay(story, 32) == ()
    assert sentences(()) == ["no refusal here is put down to a limit per user: there is nothing to replay"]


def test_the_answer_says_what_it_assumes() -> None:
    told_lines = "\n".join(sentences(replay(full_house(), 18)))
    for words in (
        "a limit of 18:",
        "smallest limit that spares all is 20",
        "assumed: a spared session lasts",
        "not in it:",
    ):
        assert words in told_lines
    assert "would have refused" in "\n".join(sentences(replay(full_house(), 10)))


def test_many_clients_and_refusals_take_little_time() -> None:
    held = [ok(n, 0.001 * n, lasts_s=None, client=f"10.0.{n // 250}.{n % 250}", **AT_SERVER) for n in range(1, 1500)]
    tries = [no(2000 + n, 10.0 + n / 100, client=f"10.1.{n // 250}.{n % 250}", **AT_SERVER) for n in range(1500)]
    (answer,) = replay([*held, *tries], 10_000)
    assert answer.enough == 2999
