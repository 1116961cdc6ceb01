"""SASL, NTLM and SPNEGO messages: names out of octets, whole, cut and hostile."""

import struct
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.protocols import ntlm, spnego
from analyzer.protocols.events import Identity
from analyzer.protocols.sasl import Exchange, unbase64
from analyzer.secret import Secret
from tests.transcript import PLANTED, der, kerberos, ntlm_authenticate, ntlm_challenge, ntlm_negotiate
from tests.transcript import spnego as wrapped

MECHANISMS = (
    "PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "NTLM", "GSSAPI", "GSS-SPNEGO", "XOAUTH2", "OAUTHBEARER",
    "EXTERNAL", "ANONYMOUS", "XYMPKI",
)  # fmt: skip


def read(mechanism: str, *messages: bytes, whole: bool = True) -> Identity:
    exchange = Exchange(mechanism)
    for message in messages:
        exchange.client(message, whole=whole)
    return exchange.who


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        (b"am9l", b"joe"), (b"am9lcA==", b"joep"), (b"am9lcA", b"joep"), (b"am9lc", b"joe"), (b"am9lcGg", b"joeph"),
        (b"", b""), (b"=", b""), (b"am 9l", b""), (b"am9l\xff", b""), (b"joe@x", b""),
    ],
)  # fmt: skip
def test_unbase64(text: bytes, octets: bytes) -> None:
    assert unbase64(text) == octets


@pytest.mark.parametrize(
    ("name", "account", "domain", "mailbox"),
    [
        ("joe", "joe", None, None),
        ("CORP\\joe", "joe", "CORP", None),
        ("CORP\\\\joe", "joe", "CORP", None),
        ("joe@corp.example", "joe@corp.example", None, None),
        ("joe@corp.example\\support", "joe@corp.example", None, "support"),
        ("joe@corp.example/support", "joe@corp.example", None, "support"),
        ("CORP/joe", "joe", "CORP", None),
        ("CORP/joe/support", "joe", "CORP", "support"),
        ("joe/admin", "joe/admin", None, None),
        ("\\joe", "joe", None, None),
        ("jo\u202ee", "jo\N{REPLACEMENT CHARACTER}e", None, None),
    ],
)
def test_account_names(name: str, account: str, domain: str | None, mailbox: str | None) -> None:
    who = read("PLAIN", b"\0" + name.encode() + b"\0x")
    assert (who.account, who.domain, who.mailbox) == (account, domain, mailbox)


@pytest.mark.parametrize(
    ("mechanism", "message", "account"),
    [
        ("PLAIN", b"\0joe\0pa", "joe"),
        ("PLAIN", b"boss\0joe\0", "joe"),
        ("PLAIN", b"\0joe", None),
        ("LOGIN", b"joe", None),
        ("CRAM-MD5", b"joe b913", "joe"),
        ("CRAM-MD5", b"joe", None),
        ("DIGEST-MD5", b'username="joe",realm="x', "joe"),
        ("DIGEST-MD5", b'username="joe', None),
        ("SCRAM-SHA-256", b"n,,n=joe,r=", "joe"),
        ("SCRAM-SHA-256", b"n,,n=joe", None),
        ("XOAUTH2", b"user=joe\x01auth=Bearer abc", "joe"),
        ("XOAUTH2", b"user=joe", None),
        ("OAUTHBEARER", b"n,a=joe,\x01auth=Bear", "joe"),
        ("OAUTHBEARER", b"n,a=joe", None),
        ("EXTERNAL", b"joe", None),
    ],
)
def test_cut_messages(mechanism: str, message: bytes, account: str | None) -> None:
    who = read(mechanism, message, whole=False)
    assert (who.account, who.credential) == (account, None)


def test_digest_md5_quoted_pairs_and_authzid() -> None:
    who = read("DIGEST-MD5", rb'username="CORP\\jo\"e",realm="x",authzid="boss"')
    assert (who.account, who.domain, who.mailbox) == ('jo"e', "CORP", "boss")


def test_tokens_are_secrets() -> None:
    for mechanism, message in (
        ("XOAUTH2", b"user=j\x01auth=Bearer tok\x01\x01"),
        ("OAUTHBEARER", b"n,a=j,\x01auth=Bearer tok\x01\x01"),
    ):
        assert read(mechanism, message).credential == Secret(b"tok")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_no_secret_in_an_identity(mechanism: str) -> None:
    secret = PLANTED.encode()
    messages = [
        b"\0joe\0" + secret, b"joe", secret, b"joe " + secret, b'username="joe",response=' + secret, b"n,,n=joe,r=1",
        b"c=biws,r=1,p=" + secret, ntlm_authenticate("D", "joe", "PC"), kerberos("R", "imap", "h"),
        b"user=joe\x01auth=Bearer " + secret + b"\x01\x01", b"n,a=joe,\x01auth=Bearer " + secret + b"\x01\x01",
    ]  # fmt: skip
    for message in messages:
        if mechanism in {"LOGIN", "EXTERNAL", "CRAM-MD5"} and message != b"joe":
            continue  # theirs is a bare name: whatever is sent as a name is one
        assert PLANTED not in repr(read(mechanism, message))
    assert PLANTED not in repr(read("LOGIN", b"joe", secret))


# NTLM


def test_negotiate_names_are_oem() -> None:
    assert ntlm.read(ntlm_negotiate("CORP", "PC7")) == ntlm.Ntlm(1, domain="CORP", workstation="PC7")
    assert ntlm.read(ntlm_negotiate()) == ntlm.Ntlm(1)


def test_challenge_names_the_server() -> None:
    assert ntlm.read(ntlm_challenge("EXCH01")) == ntlm.Ntlm(2, server="EXCH01")
    dns = "exch01.corp.example".encode("utf-16-le")
    info = struct.pack("<HH", 2, 2) + b"C\0" + struct.pack("<HH", 3, len(dns)) + dns + b"\0\0\0\0"
    head = struct.pack("<8sIQIQQHHI", b"NTLMSSP\0", 2, 0, 0x800001, 0, 0, len(info), len(info), 48)
    assert ntlm.read(head + info) == ntlm.Ntlm(2, server="exch01.corp.example")
    plain = struct.pack("<8sIHHIIQ", b"NTLMSSP\0", 2, 4, 4, 32, 0x20002, 0) + b"EXCH"
    assert ntlm.read(plain) == ntlm.Ntlm(2, server="EXCH")


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("header", [52, 64, 72, 88])
def test_authenticate(unicode: bool, header: int) -> None:
    found = ntlm.read(ntlm_authenticate("CORP", "müller", "PC7", unicode=unicode, header=header))
    assert found is not None
    assert (found.user, found.domain, found.workstation) == ("müller", "CORP", "PC7")


def test_anonymous() -> None:
    message = struct.pack("<8sI", b"NTLMSSP\0", 3) + struct.pack("<HHI", 1, 1, 64) + struct.pack("<HHI", 0, 0, 65) * 5
    assert ntlm.read(message + struct.pack("<I", 0x800) + b"\0") == ntlm.Ntlm(3)
    assert read("NTLM", message + struct.pack("<I", 0x800) + b"\0").account is None


def test_names_of_the_computer_are_not_the_account_s() -> None:
    who = read("NTLM", ntlm_negotiate("MACHINES", "PC7"), ntlm_authenticate("", "joe@corp.example", ""))
    assert (who.account, who.domain, who.workstation) == ("joe@corp.example", None, "PC7")


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=120), st.integers(0, 5))
def test_ntlm_takes_anything(octets: bytes, kind: int) -> None:
    found = ntlm.read(b"NTLMSSP\0" + struct.pack("<I", kind) + octets)
    assert (found is None) == (kind not in {1, 2, 3})


def test_ntlm_cut_anywhere() -> None:
    message = ntlm_authenticate("CORP", "joe", "PC7")
    for size in range(len(message)):
        found = ntlm.read(message[:size])
        assert found is None or found.user in {None, "joe"}
    assert ntlm.read(b"") is None
    assert ntlm.read(b"\0" * 99) is None


# SPNEGO and Kerberos


def test_spnego_unwraps_ntlm() -> None:
    inner = ntlm_negotiate("CORP", "PC7")
    assert spnego.unwrap(wrapped(inner, first=True)) == inner
    assert spnego.unwrap(wrapped(inner, first=False)) == inner
    assert spnego.unwrap(inner) == inner
    assert spnego.unwrap(b"other") == b"other"


def test_kerberos_realm() -> None:
    token = kerberos("CORP.EXAMPLE", "imap", "exch01")
    assert spnego.realm(token) == "CORP.EXAMPLE"
    assert spnego.realm(wrapped(token, first=True)) == "CORP.EXAMPLE"
    assert spnego.realm(token[:120]) == "CORP.EXAMPLE"
    assert spnego.realm(wrapped(ntlm_negotiate(), first=True)) is None


def test_spnego_bounds() -> None:
    deep = b"x"
    for _ in range(2_000):
        deep = der(0x30, deep)
    assert spnego.realm(deep) is None
    assert spnego.realm(der(0x30, b"") * 10_000 + kerberos("R", "imap", "h")) is None
    assert spnego.realm(b"\x60\x85\x01\x01\x01\x01\x01\x01") is None


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200), st.sampled_from(MECHANISMS))
def test_exchange_takes_anything(octets: bytes, mechanism: str) -> None:
    exchange = Exchange(mechanism)
    for whole in (True, False):
        exchange.client(octets, whole=whole)
        exchange.server(octets)
    assert exchange.who.mechanism == mechanism
    assert unbase64(b64encode(octets)) == octets
