"""Decibels -> verdict."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.rules.finding import CLAIMS, Evidence, Verdict
from analyzer.rules.weigh import ALIVE, MARGIN_DB, THROTTLING, UNDETERMINED, shares, strongest, weigh

LIMIT, WRONG = "per_user_connection_limit", "bad_credentials"


def fact(db: float, kind: str = "a", *, decisive: bool = False) -> Evidence:
    return Evidence("fact", weight_db=db, kind=kind, decisive=decisive)


def verdict(*mine: Evidence, rival: float | None = None, cause: str = WRONG, **given: bool) -> Verdict:
    testimony = {cause: list(mine)} | ({} if rival is None else {"port_closed": [fact(rival)]})
    return weigh(testimony, **({"accepted": True, "known": False} | given)).verdict


def test_one_kind_counts_once() -> None:
    many = weigh({WRONG: [fact(3)] * 1000}, accepted=True, known=False)
    one = weigh({WRONG: [fact(3)]}, accepted=True, known=False)
    assert many == one
    assert strongest([fact(3), fact(5), fact(4)]) == [fact(5)]


def test_for_and_against_of_one_kind_count_apart() -> None:
    assert strongest([fact(3), fact(-2), fact(-9)]) == [fact(3), fact(-9)]


def test_the_decisive_comes_first() -> None:
    assert strongest([fact(9, "a"), fact(3, "b", decisive=True)])[0].decisive


def test_shares_sum_to_one_with_the_standing_rival() -> None:
    found = shares({LIMIT: 10.0, WRONG: 0.0})
    assert sum(c.confidence for c in found) == pytest.approx(1.0)
    assert found[0] == (LIMIT, pytest.approx(10 / 12))
    assert {c.cause for c in found} == {LIMIT, WRONG, UNDETERMINED}


def test_equal_shares_name_the_limit_first_and_undetermined_last() -> None:
    assert [c.cause for c in shares({WRONG: 0.0, LIMIT: 0.0})] == [LIMIT, WRONG, UNDETERMINED]


def test_nothing_for_any_cause_is_undetermined() -> None:
    found = weigh({WRONG: [fact(-5)], LIMIT: [fact(-3)]}, accepted=True, known=True)
    assert (found.cause, found.verdict) == (UNDETERMINED, Verdict.SUSPECTED)
    assert weigh({}, accepted=True, known=True).cause == UNDETERMINED


@pytest.mark.parametrize(
    ("mine", "rival", "expected"),
    [
        ([fact(MARGIN_DB, decisive=True)], None, Verdict.CONFIRMED),
        ([fact(MARGIN_DB - 0.1, decisive=True)], None, Verdict.SUSPECTED),
        ([fact(20, decisive=True)], 10.0, Verdict.CONFIRMED),
        ([fact(20, decisive=True)], 10.1, Verdict.SUSPECTED),
        ([fact(20, decisive=True)], -30.0, Verdict.CONFIRMED),
        ([fact(30)], None, Verdict.SUSPECTED),
        ([fact(6, "a"), fact(6, "b")], None, Verdict.LIKELY),
        ([fact(6, "a"), fact(6, "a"), fact(6, "a")], None, Verdict.SUSPECTED),
        ([fact(20, "a"), fact(-9, "b")], None, Verdict.SUSPECTED),
        ([fact(20, "a", decisive=True), fact(-15, "b")], None, Verdict.SUSPECTED),
    ],
)
def test_margin_kinds_and_the_decisive_fact(mine: list[Evidence], rival: float | None, expected: Verdict) -> None:
    assert verdict(*mine, rival=rival) is expected


@pytest.mark.parametrize("cause", sorted(THROTTLING))
def test_the_gate_before_throttling(cause: str) -> None:
    strong = [fact(20, "a", decisive=True), fact(20, "b")]
    words = fact(30, "words", decisive=True)
    assert verdict(*strong, cause=cause) is Verdict.CONFIRMED
    assert verdict(*strong, cause=cause, accepted=False) is Verdict.SUSPECTED
    assert verdict(*strong, cause=cause, accepted=False, known=True) is Verdict.CONFIRMED
    assert verdict(words, cause=cause, accepted=False) is Verdict.CONFIRMED
    assert verdict(fact(30, "words"), fact(20, "b"), cause=cause, accepted=False) is Verdict.SUSPECTED


def test_faint_rivals_are_not_named() -> None:
    found = weigh({LIMIT: [fact(30)], WRONG: [fact(0.0)]}, accepted=True, known=False)
    assert [c.cause for c in found.candidates] == [LIMIT]
    assert all(c.confidence >= ALIVE for c in found.candidates)


# six kinds of at most 9.9 dB stay below the 60 dB from on which shares no longer grow
_FACTS = st.builds(fact, st.floats(-40, 9.9), st.sampled_from("abcdef"), decisive=st.booleans())
_CAUSES = st.sampled_from([*sorted(THROTTLING), WRONG, "account_locked", "server_unavailable"])
_TESTIMONY = st.dictionaries(_CAUSES, st.lists(_FACTS, max_size=6), max_size=5)


@settings(max_examples=100, deadline=None)
@given(_TESTIMONY)
def test_without_acceptance_words_or_knowledge_no_throttling_is_claimed(testimony: dict[str, list[Evidence]]) -> None:
    found = weigh(testimony, accepted=False, known=False)
    assert found.cause not in THROTTLING or found.verdict not in CLAIMS


@settings(max_examples=100, deadline=None)
@given(_TESTIMONY, st.booleans(), st.booleans())
def test_a_claim_leads_by_ten_to_one(testimony: dict[str, list[Evidence]], accepted: bool, known: bool) -> None:
    found = weigh(testimony, accepted=accepted, known=known)
    assert found.verdict in {Verdict.CONFIRMED, Verdict.LIKELY, Verdict.SUSPECTED}
    assert 0 < found.confidence <= 1
    if found.verdict in CLAIMS:
        others = [c.confidence for c in found.candidates if c.cause != found.cause]
        assert all(found.confidence >= 9.99 * c for c in others)
