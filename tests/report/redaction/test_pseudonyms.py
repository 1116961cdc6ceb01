"""Pseudonyms: stable, of the same length, one for each, and words that any mail server says stay."""

import tomllib
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from analyzer.report.redaction.pseudonyms import Pseudonyms, vocabulary
from analyzer.rules.signatures import match

NAMES = Pseudonyms("a case")
WORDINGS = tomllib.loads((Path(__file__).parents[2] / "rules" / "wordings.toml").read_text("utf-8"))["said"]
SAID = [(heard, entry.get("product"), entry.get("protocol", "imap")) for entry in WORDINGS for heard in entry["heard"]]


def test_one_case_gives_one_pseudonym_and_another_case_another() -> None:
    assert Pseudonyms("a case").name("uccx-mail") == NAMES.name("uccx-mail") != Pseudonyms("b").name("uccx-mail")
    assert Pseudonyms().name("uccx-mail") != Pseudonyms().name("uccx-mail")


def test_no_two_names_of_one_length_become_one() -> None:
    words = ["".join(letters) for letters in product("abcdefghijklmnopqrstuvwxyz0123456789", repeat=2)]
    letters = [x for x in words if not x.isdigit()]
    assert len({NAMES.name(x) for x in letters}) == len(letters)
    numbers = [f"{x:03}" for x in range(1000)]
    assert sorted(NAMES.name(x) for x in numbers) == numbers


def test_what_stands_between_the_words_stays_and_so_does_what_makes_two_names_one() -> None:
    down_level, principal = NAMES.name("CONTOSO\\mail_box"), NAMES.name("mail_box@contoso.example")
    assert down_level.partition("\\")[2] == principal.partition("@")[0]
    assert down_level.partition("\\")[0].lower() == principal.partition("@")[2].partition(".")[0]
    assert NAMES.name("Joe").lower() == NAMES.name("joe") == NAMES.name("JOE").lower()
    assert NAMES.name("joe\0\n") != "joe\0\n"
    assert NAMES.name("joe\n").endswith("_")


@given(some.text(max_size=40))
def test_length_stays_in_utf_8_and_in_utf_16(text: str) -> None:
    text = text.encode("utf-16-le", "replace").decode("utf-16-le")
    made = NAMES.name(text)
    assert len(made.encode()) == len(text.encode())
    assert len(made.encode("utf-16-le")) == len(text.encode("utf-16-le"))


@given(some.binary(max_size=80))
def test_any_octets_become_as_many(octets: bytes) -> None:
    for made in (NAMES.octets(octets), NAMES.words(octets), NAMES.secret(octets), NAMES.hexadecimal(octets)):
        assert len(made) == len(octets)


def test_secrets_are_equal_when_they_were() -> None:
    assert NAMES.secret(b"hunter2") == NAMES.secret(b"hunter2") != NAMES.secret(b"Hunter2")
    assert NAMES.secret(b'p\xc3\xa4ss "w\\').isalnum()
    assert len({NAMES.secret(b"%d" % x) for x in range(1000, 3000)}) == 2000


def test_addresses_become_private_ones() -> None:
    made = {NAMES.address(bytes((192, 0, x, y))) for x in range(16) for y in range(256)}
    assert len(made) == 4096
    assert {x[0] for x in made} == {10}
    six = NAMES.address(bytes(15) + b"\1")
    assert (six[0], len(six)) == (0xFD, 16)
    assert NAMES.mac(b"\x01\0\x5e\0\0\1")[0] & 1 == 1
    assert NAMES.mac(b"\x00\x50\x56\0\0\1")[0] & 3 == 2
    assert NAMES.mac(bytes(6)) == bytes(6)


@pytest.mark.parametrize(("heard", "product", "protocol"), SAID)
def test_a_server_s_phrase_still_is_the_phrase(heard: str, product: str | None, protocol: str) -> None:
    made = NAMES.words(heard.encode()).decode()
    for phase in ("greeting", "login", "mailbox", "bye"):
        was = match(phase, heard, product, protocol)
        assert match(phase, made, product, protocol).id == was.id, made


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("OK Dovecot ready.", True),
        ("NO [AUTHENTICATIONFAILED] Authentication failed.", True),
        ("BAD Request is throttled. Suggested Backoff Time: 299816 milliseconds", True),
        ("OK mx1.contoso.example ESMTP Postfix", False),
        ("NO user joe.smith@contoso.example unknown", False),
        ("BYE host [192.0.2.77] too many connections", False),
        ("BYE 2001:db8::77 is blocked", False),
        ("NO call +49 30 12345678", False),
        ("OK mail.server ready", False),
    ],
)
def test_of_a_server_s_text_ordinary_words_stay(said: str, kept: bool) -> None:
    made = NAMES.words(said.encode()).decode()
    assert (made == said) is kept
    for name in ("contoso", "joe", "smith", "192.0.2.77", "2001:db8", "12345678", "mail.server"):
        assert name not in made


def test_a_number_that_was_a_name_is_exchanged_in_texts_too() -> None:
    names = Pseudonyms("x")
    assert names.words(b"NO 4711 refused") == b"NO 4711 refused"
    names.name("4711")
    assert b"4711" not in names.words(b"NO 4711 refused")


def test_with_names_off_only_secrets_are_exchanged() -> None:
    names = Pseudonyms(names=False)
    assert names.name("joe") == "joe"
    assert names.words(b"hello joe") == b"hello joe"
    assert b"joe" not in names.words(b"hello joe", always=True)
    assert names.address(b"\1\2\3\4") == b"\1\2\3\4"
    assert names.secret(b"hunter2") != b"hunter2"


def test_the_vocabulary_is_words_in_lower_case() -> None:
    assert {"exchange", "dovecot", "failed", "imap4rev1"} <= vocabulary()
    assert [x for x in vocabulary() if x != x.lower()] == []
