"""SASL messages, NTLM and DER with names replaced: still messages, of the same length, that tell no secret."""

import re
from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as some

from analyzer.protocols import ntlm, spnego
from analyzer.protocols.sasl import Exchange
from analyzer.report.redaction import lines, sasl
from analyzer.report.redaction.pseudonyms import Pseudonyms
from analyzer.report.redaction.windows import token
from tests.transcript import PLANTED, kerberos, ntlm_authenticate, ntlm_challenge, ntlm_negotiate
from tests.transcript import spnego as wrapped

NAMES = Pseudonyms("a case")
ONLY_SECRETS = Pseudonyms("a case", names=False)
SECRET = PLANTED.encode()


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("header", [52, 64, 72, 88])
def test_an_ntlm_answer_keeps_its_make_but_not_its_names(unicode: bool, header: int) -> None:
    message = ntlm_authenticate("CORP", "joe.smith", "AGENTPC07", unicode=unicode, header=header)
    made = token(message, NAMES)
    read = ntlm.read(made)
    assert read is not None
    assert (read.kind, read.domain, read.user) == (3, NAMES.name("CORP"), NAMES.name("joe.smith"))
    assert read.workstation == NAMES.name("AGENTPC07")
    assert len(made) == len(message)
    assert SECRET in message
    assert SECRET not in made
    kept = ntlm.read(token(message, ONLY_SECRETS))
    assert kept == ntlm.read(message)
    assert SECRET not in token(message, ONLY_SECRETS)


def test_an_ntlm_challenge_keeps_no_challenge_and_no_names() -> None:
    message = ntlm_challenge("EXCH01")
    made = token(message, NAMES)
    read = ntlm.read(made)
    assert read is not None
    assert read.server == NAMES.name("EXCH01")
    assert message[24:32] == bytes.fromhex("efcdab8967452301")
    assert made[24:32] == bytes(8)
    assert "EXCH01".encode("utf-16-le") not in made


def test_the_first_ntlm_message_names_a_domain_and_a_computer() -> None:
    read = ntlm.read(token(ntlm_negotiate("CORP", "AGENTPC07"), NAMES))
    assert read is not None
    assert (read.domain, read.workstation) == (NAMES.name("CORP"), NAMES.name("AGENTPC07"))


@pytest.mark.parametrize("first", [True, False])
def test_negotiation_is_kept_around_it(first: bool) -> None:
    message = wrapped(ntlm_authenticate("CORP", "joe", "PC"), first=first)
    inner = ntlm.read(spnego.unwrap(token(message, NAMES)))
    assert inner is not None
    assert inner.user == NAMES.name("joe")


def test_a_kerberos_ticket_keeps_its_realm_s_pseudonym_only() -> None:
    message = kerberos("CORP.EXAMPLE", "imap", "mail.corp.example")
    made = token(message, NAMES)
    assert spnego.realm(made) == NAMES.name("CORP.EXAMPLE")
    assert b"corp" not in made.lower()
    assert SECRET in message
    assert SECRET not in made


@given(some.binary(max_size=120), some.integers(0, 400))
def test_whatever_comes_is_survived(noise: bytes, cut: int) -> None:
    for message in (
        noise,
        b"NTLMSSP\0" + noise,
        ntlm_authenticate("A", "b", "c")[:cut] + noise,
        kerberos("A", "b", "c")[:cut],
    ):
        assert len(token(message, NAMES)) == len(message)


MESSAGES = {
    "PLAIN": b"\0joe@corp.example\0" + SECRET,
    "CRAM-MD5": b"joe b913a602c7eda7a495b4e6e7334d3890",
    "DIGEST-MD5": b'charset=utf-8,username="joe",realm="corp",nonce="OA6MG9tEQGm2hh",nc=00000001,cnonce="' + SECRET
    + b'",digest-uri="imap/mail.corp.example",response=d388dad90d4bbd760a152321f2143af7,qop=auth',
    "SCRAM-SHA-1": b"n,,n=jo=2Ce,r=" + SECRET,
    "XOAUTH2": b"user=joe@corp.example\1auth=Bearer " + SECRET + b"\1\1",
    "OAUTHBEARER": b"n,a=joe@corp.example,\1host=mail.corp.example\1port=143\1auth=Bearer " + SECRET + b"\1\1",
    "EXTERNAL": b"joe",
    "X-UNHEARD-OF": b"joe " + SECRET,
}  # fmt: skip


@pytest.mark.parametrize("mechanism", MESSAGES)
@pytest.mark.parametrize("names", [NAMES, ONLY_SECRETS], ids=["all", "secrets"])
def test_a_message_names_the_pseudonym_and_keeps_no_secret(mechanism: str, names: Pseudonyms) -> None:
    text = b64encode(MESSAGES[mechanism])
    made = sasl.client(mechanism, text, names)
    octets = b64decode(made)
    was, read = (Exchange(mechanism).client(x, whole=True) for x in (MESSAGES[mechanism], octets))
    assert (was is None) == (read is None)
    if was is not None and read is not None:
        assert read.account == "".join(names.name(x) if x != "," else x for x in re.split("(,)", was.account or ""))
        assert (was.credential is None) == (read.credential is None)
        assert was.credential is None or was.credential != read.credential
    assert SECRET not in octets
    assert len(made) == len(text)
    if names is NAMES:
        assert b"joe" not in octets
        assert b"corp" not in octets


def test_login_s_two_messages_are_a_name_and_a_secret() -> None:
    assert b64decode(sasl.client("LOGIN", b64encode(b"joe"), NAMES, is_name=True)) == NAMES.octets(b"joe")
    assert b64decode(sasl.client("LOGIN", b64encode(SECRET), NAMES)) == NAMES.secret(SECRET)


@pytest.mark.parametrize("text", [b"", b"=", b"*", b"not base64", b"QUJ", b"QUJD=", b"QUJDR"])
def test_what_is_no_message_stays_none(text: bytes) -> None:
    made = sasl.client("PLAIN", text, NAMES)
    assert len(made) == len(text)
    assert bool(sasl.unbase64(made)) == bool(sasl.unbase64(text))


@pytest.mark.parametrize(
    ("said", "verb", "kept", "gone"),
    [
        ([b'a1 LOGIN "CORP\\\\joe" "Pl4 nted"\r\n'], "LOGIN", b"a1 LOGIN", b"Pl4"),
        ([b"a1 login joe Pl4nted\r\n"], "LOGIN", b"a1 login", b"Pl4"),
        ([b"a1 LOGIN {3}\r\n", b"joe {7+}\r\n", b"Pl4nted\r\n"], "LOGIN", b"a1 LOGIN {3}\r\n", b"Pl4"),
        ([b"a1 SELECT INBOX.Pl4nted\r\n"], "SELECT", b"a1 SELECT", b"Pl4"),
        ([b"a1 UID SEARCH BODY Pl4nted\r\n"], "UID SEARCH", b"a1 UID SEARCH", b"Pl4"),
        ([b"a1 APPEND x {700}\r\n", b"Pl4nted\r\n"], "APPEND", b"{700}\r\n", b"Pl4"),
        ([b"Pl4nted XYZZY Pl4nted\r\n"], "?", b"XXXXX", b"Pl4"),
        ([b"a1 XYZZY\r\n"], "?", b"XXXXX", b"a1"),
    ],
)
def test_an_imap_command_keeps_what_its_parser_needs(said: list[bytes], verb: str, kept: bytes, gone: bytes) -> None:
    made = lines.imap_command(said, verb, NAMES, "")
    assert len(made) == len(b"".join(said))
    assert kept in made
    assert gone not in made
    assert b"joe" not in made


@pytest.mark.parametrize(
    ("said", "verb", "kept"),
    [
        (b"USER joe\r\n", "USER", b"USER " + NAMES.octets(b"joe") + b"\r\n"),
        (b"PASS Pl4 nted \r\n", "PASS", b"PASS " + NAMES.secret(b"Pl4 nted ") + b"\r\n"),
        (b"PASS\r\n", "PASS", b"PASS\r\n"),
        (b"EHLO pc-joe\r\n", "EHLO", b"EHLO pc-"[:5]),
        (b"BDAT 123456789 LAST\r\n", "BDAT", b"BDAT 123456789 LAST\r\n"),
        (b"MAIL FROM:<joe@corp.example> SIZE=100\r\n", "MAIL", b"> SIZE=100\r\n"),
        (b"XCLIENT Pl4nted\r\n", "XCLIENT", b"XCLIENT xxxxxxx\r\n"),
        (b"joe Pl4nted\r\n", "?", b"xxxxxxxxxxx\r\n"),
    ],
)
def test_a_command_of_pop3_or_smtp(said: bytes, verb: str, kept: bytes) -> None:
    made = lines.turns_command(said, verb, NAMES, "")
    assert len(made) == len(said)
    assert kept in made
    assert b"joe" not in made
    assert b"Pl4" not in made


@given(some.binary(max_size=60), some.sampled_from(["imap", "pop3", "smtp"]))
def test_every_line_keeps_its_length(line: bytes, protocol: str) -> None:
    made = [
        lines.reply(protocol, line, NAMES),
        lines.loose_server(protocol, line, NAMES),
        lines.loose_client(line, NAMES, early=True),
        lines.turns_command(line, "PASS", NAMES, ""),
        lines.imap_command([line], "LOGIN", NAMES, ""),
        lines.response(line, NAMES, "PLAIN", is_name=False),
        lines.preamble(line),
        lines.challenge(protocol, line, NAMES, "NTLM") or line,
    ]
    assert {len(x) for x in made} == {len(line)}


@pytest.mark.parametrize("lost", range(1, 60))
def test_the_rest_of_a_token_whose_start_was_lost_tells_nothing(lost: int) -> None:
    for message in (ntlm_authenticate("CORP", "joe", "AGENTPC08"), kerberos("EXAMPLE.COM", "imap", "mail")):
        rest = message[lost:] + b"`l" + b"Pl4nted-Secret" * 9
        assert SECRET[1:] not in token(rest, NAMES)
        begins = message[lost : lost + 1] in {b"\x60", b"\xa0", b"\xa1"}  # an element within, whole
        assert begins or not any(token(message[lost:], NAMES))


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-1", "DIGEST-MD5", "CRAM-MD5", "EXTERNAL"])
@pytest.mark.parametrize(
    "said", ["joe\0AGENT".encode("utf-16-le"), b"\0joe\0a secret server", b"joe\0password", b"the login password 4711"]
)
def test_a_message_taken_for_another_mechanism_s_tells_nothing(mechanism: str, said: bytes) -> None:
    made = b64decode(sasl.client(mechanism, b64encode(said), NAMES))
    assert len(made) == len(said)
    assert not {b"password", b"server", b"login", b"4711", b"secret"} & set(re.split(rb"[^A-Za-z0-9]+", made))
    assert b"A\0G\0E" not in made


def test_the_binding_before_a_message_stays() -> None:
    for mechanism, said in (
        ("SCRAM-SHA-1", b"n,,n=joe,r=abc"),
        ("OAUTHBEARER", b"n,a=joe,\x01port=143\x01auth=Bearer x\x01\x01"),
    ):
        made = b64decode(sasl.client(mechanism, b64encode(said), NAMES))
        assert made.startswith(b"n,")
        assert NAMES.name("joe").encode() in made
        assert b"143" not in made
