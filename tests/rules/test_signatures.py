"""Server phrases: each entry is well formed, and what is only near it is not heard."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from analyzer.errors import RuleError
from analyzer.rules.signatures import CAUSES, PHASES, UNKNOWN, limit_in, line_of, match, read_signatures, signatures

MISSES = tomllib.loads(Path(__file__).with_name("near_misses.toml").read_text("utf-8"))["miss"]
BY_ID = {s.id: s for s in signatures()}
GOOD = {
    "id": "x",
    "phase": "login",
    "pattern": "^NO",
    "means": {"bad_credentials": 3},
    "explicit": False,
    "source": "RFC",
}


def test_every_entry_is_well_formed() -> None:
    assert len(BY_ID) == len(signatures())
    for s in signatures():
        assert s.phase in PHASES
        assert set(s.means) <= CAUSES
        assert s.source
        assert s.id == s.id.lower()
        assert s.explicit or not s.general, f"{s.id} decides nothing and need not give way"
        assert not s.explicit or max(s.means.values()) >= 30, f"{s.id} is explicit and decides nothing"
        assert s.explicit or all(weight < 30 for weight in s.means.values()), f"{s.id} decides and is not explicit"


@pytest.mark.parametrize("miss", MISSES, ids=lambda m: m["heard"])
def test_a_near_miss_is_not_caught(miss: dict[str, Any]) -> None:
    assert miss["not"] in BY_ID
    assert match(miss["phase"], miss["heard"], miss.get("product")).id != miss["not"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("NO Too many open connections (17 of 16 for user)", "cyrus-too-many-open-connections"),
        ("NO Too many open connections (5 of 4 from host [192.0.2.1], 1 of 16 for user)", "cyrus-too-many-from-host"),
        (
            "NO Too many open connections (1 of 4 from host [192.0.2.1], 17 of 16 for user)",
            "cyrus-too-many-open-connections",
        ),
        (f"NO Too many open connections ({'9' * 5000} of 16 for user)", "cyrus-too-many-open-connections"),
    ],
)
def test_the_count_above_its_limit_is_meant(line: str, name: str) -> None:
    assert match("login", line, None).id == name


def test_nothing_known_is_unknown() -> None:
    assert match("mailbox", "NO whatever", None) is UNKNOWN
    assert UNKNOWN.cause is None


def test_a_phrase_of_one_product_fits_an_unknown_server() -> None:
    assert match("login", "NO AUTHENTICATE failed.", None).id == "exchange-login-failed"
    assert match("login", "NO AUTHENTICATE failed.", "exchange").id == "exchange-login-failed"


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (("NO", None, "LOGIN failed."), "NO LOGIN failed."),
        (("NO", "LIMIT", "Too many"), "NO [LIMIT] Too many"),
        (("NO", "LIMIT", None), "NO [LIMIT]"),
        (("NO", None, ""), "NO"),
    ],
)
def test_a_reply_as_the_patterns_expect_it(parts: tuple[str, str | None, str | None], line: str) -> None:
    assert line_of(*parts) == line
    assert line_of(*parts, untagged=True) == f"* {line}"


@pytest.mark.parametrize("number", ["99999999", "123456789012345678901234567890"])
def test_an_absurd_limit_is_none(number: str) -> None:
    entry = BY_ID["dovecot-userip-connections"]
    line = f"NO Maximum number of connections from user+IP exceeded (mail_max_userip_connections={number})"
    assert entry.search(line)
    assert limit_in(line, entry) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocols": ["nntp"]}, "unknown protocol ['nntp']"),
        ({"id": None}, "id missing"),
        ({"source": None}, "source missing"),
        ({"means": None, "explicit": None}, "explicit, means missing"),
        ({"phase": "dinner"}, "unknown phase 'dinner'"),
        ({"means": {"gremlins": 3}}, "unknown cause ['gremlins']"),
        ({"pattern": "("}, "missing )"),
    ],
)
def test_a_malformed_entry_is_refused(change: dict[str, object], said: str) -> None:
    entry = {key: value for key, value in (GOOD | change).items() if value is not None}
    with pytest.raises(RuleError) as caught:
        read_signatures({"signature": [entry]}, "signatures.toml")[0].search("words")
    assert said in str(caught.value)
    assert caught.value.hint
    assert caught.value.path == Path("signatures.toml")


def test_a_well_formed_entry_is_read() -> None:
    (entry,) = read_signatures({"signature": [GOOD]}, "mine.toml")
    assert (entry.id, entry.cause, entry.product, entry.explicit) == ("x", "bad_credentials", None, False)
    assert entry.protocols == {"imap"}
    assert read_signatures({}, "mine.toml") == ()


def test_a_phrase_of_one_protocol_is_not_heard_in_another() -> None:
    assert match("login", "535 5.7.3 Authentication unsuccessful", None) is UNKNOWN
    assert match("login", "-ERR no", None, "pop3").id == "pop3-login-refused-otherwise"
    assert match("login", "NO Nope, sorry", None, None).id == "login-refused-otherwise"


@pytest.mark.parametrize("entry", signatures(), ids=lambda s: s.id)
def test_no_pattern_is_slow_on_hostile_words(entry: Any) -> None:
    """Linear enough: a reply line is at most some thousand characters."""
    import time

    begin = time.perf_counter()
    for text in (
        "too many " * 500,
        "a" * 4000,
        "account is has been " * 200,
        "connection " * 400,
        "NO " + "[A] " * 1000,
    ):
        entry.search(text)
    assert time.perf_counter() - begin < 1.0
