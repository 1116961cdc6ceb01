"""The judge against the model: a look-alike is never called a limit, a limit never a wrong password, and it is found.

Few runs, so that the suite stays fast, and those that once went wrong; ``python -m tests.simulated`` prints the table.
"""

import tomllib
from functools import cache
from pathlib import Path

import pytest

from analyzer.rules import CLAIMS
from tests import model
from tests.model import Limits, Server, agents, simulate
from tests.simulated import (
    MECHANISMS,
    SCENARIOS,
    VIEWS,
    Case,
    Scenario,
    Tally,
    cases,
    late,
    main,
    sessions,
    tally,
    told,
)

RUNS = 3
HARD = tomllib.loads(Path(__file__).with_name("simulated.toml").read_text("utf-8"))
NAMED = {s.name: s for s in SCENARIOS}
FOUND_AT_LEAST = {
    ("12 workers, 12 PCs", "PLAIN"): 0.5,
    ("12 workers, 12 PCs", "NTLM"): 0.6,
    ("5 workers, 4 PCs", "PLAIN"): 0.6,
    ("5 workers, 4 PCs", "NTLM"): 0.6,
    ("limit 10, one wrong", "NTLM"): 0.5,
    ("limit 10, four wrong", "NTLM"): 0.4,
    ("limit 16, no retries", "PLAIN"): 0.3,
    ("limit 16, no retries", "NTLM"): 0.3,
    ("limit 10, 2 servers, sticky", "PLAIN"): 0.0,
    ("limit 10, 2 servers, by turns", "PLAIN"): 0.0,
    ("limit 10, 2 servers, uneven", "PLAIN"): 0.0,
    ("limit 10, 2 servers, uneven", "NTLM"): 0.0,
    ("limit 16, nobody leaves", "PLAIN"): 0.0,
    ("limit 16, nobody leaves", "NTLM"): 0.0,
    ("limit 10, nobody leaves", "PLAIN"): 0.0,
    ("limit 10, nobody leaves", "NTLM"): 0.0,
}
"""Share of a server's captures in which the limit must be claimed; 0.9 unless said. When nobody leaves, nobody comes back
either, and a password changed as the last one came in looks the same. Where all have one account and wait at the login, a
full server cannot be told from a limit per user that lets people wait. Which of several servers behind one address took a login only
NTLM tells, and where most come to one of them, often nobody leaves it. Where nobody tries again, one stretch of refusals is all
there is, and an outage has that, too."""

INHERENT = {"changed, nobody leaves": 2, "locked unseen, nobody leaves": 2, "locked early": 2}
"""Runs per view (of a dozen, the worst seeds among them) with a wrong claim that no reading of the capture can avoid. A change that strikes between the two logins of one host
while nobody leaves is a limit to the letter; an account locked before the capture began is a wrong password to the letter."""

limits = pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.limit], ids=lambda s: s.name)
look_alikes = pytest.mark.parametrize("scenario", [s for s in SCENARIOS if not s.limit], ids=lambda s: s.name)
both = pytest.mark.parametrize("mechanism", MECHANISMS)


@cache
def tallies(name: str, mechanism: str) -> dict[str, Tally]:
    seeds = dict.fromkeys([*range(RUNS), *HARD.get(name, {}).get(mechanism, ())])
    return tally(NAMED[name], mechanism, seeds)


def wrong(scenario: Scenario, mechanism: str) -> list[str]:
    """One example of each wrong claim in each view, told in full."""
    return [
        "\n".join([f"{scenario.name} {mechanism} {view}, seed {seed}", *told(case, finding)])
        for view, t in tallies(scenario.name, mechanism).items()
        for seed, case, finding in t.examples.values()
    ]


@both
@look_alikes
def test_a_look_alike_is_not_claimed_to_be_another_thing(scenario: Scenario, mechanism: str) -> None:
    for t in tallies(scenario.name, mechanism).values():
        assert t.wrong <= INHERENT.get(scenario.name, 0), "\n".join(wrong(scenario, mechanism))


@both
@limits
def test_a_limit_is_never_called_something_else(scenario: Scenario, mechanism: str) -> None:
    assert wrong(scenario, mechanism) == []


@both
@limits
def test_a_limit_is_found_at_the_server(scenario: Scenario, mechanism: str) -> None:
    found = tallies(scenario.name, mechanism)["server"]
    assert found.runs >= RUNS
    assert found.right / found.runs >= FOUND_AT_LEAST.get((scenario.name, mechanism), 0.9)


def test_seeds_that_went_wrong_belong_to_a_scenario() -> None:
    assert set(HARD) <= set(NAMED)
    assert {mechanism for seeds in HARD.values() for mechanism in seeds} <= set(MECHANISMS)


# -- the bridge from the model to the judge ---------------------------------------------------------------------------


def test_sessions_are_the_models_attempts() -> None:
    run = simulate(Server(limits=Limits(per_user=4)), agents(4, burst=2, mechanism="NTLM"), until_s=10, seed=1)
    found = sessions(run)
    assert [s.client for s in found] == [x.agent.address for x in run.attempts]
    assert [s.outcome == "accepted" for s in found] == [x.outcome == model.ACCEPTED for x in run.attempts]
    assert {x.credential for s in found for x in s.logins} == {None}
    opened = [s.opened for s in found if s.opened is not None]
    assert len(opened) == len([x for x in run.attempts if x.is_session])


def test_plain_secrets_can_be_compared() -> None:
    people = [*agents(1), *agents(1, first=50, secret=model.WRONG, tries=1)]
    found = sessions(simulate(Server(), people, until_s=5))
    assert len({x.credential for s in found for x in s.logins}) == 2


def test_a_late_capture_knows_open_sessions_that_speak() -> None:
    run = simulate(Server(limits=Limits(per_user=None)), agents(5), until_s=60)
    found = late(run, sessions(run), since_s=30.0)
    assert len(found) == 5
    assert all(s.opened_before and s.logins == () and s.opened == s.start for s in found)


def test_a_claim_is_right_by_the_models_own_reasons() -> None:
    scenario = NAMED["limit 16, 30 PCs"]
    views = dict(cases(scenario, "PLAIN", 0))
    assert set(views) == set(VIEWS)
    whole = views["server"]
    (claim,) = whole.claims
    assert (claim.verdict in CLAIMS, whole.wrong) == (True, [])
    blamed = [x for x in whole.run.attempts if x.why == "per_user"]
    assert blamed
    for x in blamed:
        x.why = "mishap"
    assert Case(whole.run, whole.sessions, whole.findings).wrong == [claim]


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--runs", "1", "--only", "all wrong", "--example"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("scenario")
    assert len(lines) == len(MECHANISMS) * len(VIEWS)
