"""The rules as a whole: well formed, documented, each with a scene where it is claimed and one where it is not."""

import pkgutil
import re
from importlib import import_module

import pytest

from analyzer import remedies
from analyzer.rules import CLAIMS, Rule, catalogue, load_rules, page_of
from analyzer.rules.narrate import NAMES
from analyzer.rules.signatures import CAUSES, signatures
from tests.rules.stories import CASES, findings

RULES = load_rules()
HEADINGS = ("Looks for", "Why", "What would refute it", "Evidence", "Sources")
KINDS = {"login", "greeting", "mailbox", "connect", "silence", "ending", "reset", "sealed", "tls"}
each = pytest.mark.parametrize("rule", RULES, ids=lambda r: r.cause)


def test_one_rule_per_file() -> None:
    names = [m.name for m in pkgutil.iter_modules(catalogue.__path__)]
    rules = [import_module(f"{catalogue.__name__}.{name}").RULE for name in names]
    assert len({id(r) for r in rules}) == len(rules) == len(RULES)
    assert [r.cause for r in rules] == names


def test_ids_titles_and_causes_are_unique() -> None:
    for name in ("id", "title", "cause"):
        assert len({getattr(r, name) for r in RULES}) == len(RULES), name


@each
def test_a_rule_is_well_formed(rule: Rule) -> None:
    assert rule.cause in CAUSES
    assert rule.cause in NAMES
    assert rule.kinds
    assert set(rule.kinds) <= KINDS
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.id)
    assert re.fullmatch(r"\d+\.\d+", rule.since)
    assert not rule.title.endswith(".")


@each
def test_a_page_has_its_five_headings_in_order(rule: Rule) -> None:
    page = page_of(rule)
    found = [line for line in page.splitlines() if line in HEADINGS]
    assert tuple(found) == HEADINGS
    bodies = re.split("|".join(f"^{h}$" for h in HEADINGS), page, flags=re.MULTILINE)
    assert all(body.strip() for body in bodies)
    assert bodies[0].strip().endswith(".")


@each
def test_its_remedies_exist(rule: Rule) -> None:
    assert rule.remedies
    for name in rule.remedies:
        assert remedies.is_known(name), name


def test_every_cause_of_a_phrase_has_a_rule_that_hears_it() -> None:
    heard = {r.cause for r in RULES}
    assert {cause for s in signatures() for cause in s.means} <= heard


def test_every_rule_has_its_scenes() -> None:
    assert set(CASES) == {r.cause for r in RULES}


@pytest.mark.parametrize("cause", CASES)
def test_the_cause_is_claimed_where_it_shows(cause: str) -> None:
    _, claimed, _ = CASES[cause]
    found = findings(claimed())
    assert [(f.cause, f.verdict in CLAIMS) for f in found if f.cause == cause] == [(cause, True)]


@pytest.mark.parametrize("cause", CASES)
def test_a_look_alike_is_not_claimed(cause: str) -> None:
    _, _, alike = CASES[cause]
    assert [f.title for f in findings(alike()) if f.cause == cause and f.verdict in CLAIMS] == []


@pytest.mark.parametrize("cause", CASES)
def test_evidence_points_at_frames_and_says_a_sentence(cause: str) -> None:
    for story in CASES[cause][1:]:
        for f in findings(story()):
            assert f.title
            assert f.summary.endswith(".")
            for e in f.evidence:
                assert e.text
                assert len(e.frames) <= 50
                assert e.kind
                assert (not e.filter) or e.filter.startswith("frame.number in {")
            assert any(e.frames for e in f.evidence) or f.cause == "undetermined"
