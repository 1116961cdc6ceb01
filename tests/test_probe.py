"""The probe against small servers on loopback."""

import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer import cli
from analyzer.at import NS_PER_S
from analyzer.errors import AnalyzerError
from analyzer.probe import probe
from analyzer.protocols.certificate import certificate
from analyzer.report.probed import Probe, document, healthy, text

IMAP = {
    "": "* OK Dovecot ready.",
    "a1 CAPABILITY": "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na1 OK done",
    "a2 STARTTLS": "a2 OK begin",
}
POP3 = {"": "+OK Cyrus IMAP POP3 ready", "CAPA": "+OK list\r\nUSER\r\nSTLS\r\n.", "STLS": "+OK begin"}
SMTP = {
    "": "220-mx.example.test ESMTP\r\n220 hello",
    "EHLO [127.0.0.1]": "250-mx.example.test\r\n250-STARTTLS\r\n250 SIZE 1000",
    "STARTTLS": "220 go",
}


class Held(NamedTuple):
    """A certificate and its key."""

    path: Path
    context: ssl.SSLContext


class Server:
    """Answers by a table; the first line, with no question, is the greeting. What clients said is kept."""

    def __init__(
        self, answers: dict[str, str] | None, context: ssl.SSLContext | None = None, *, tls: bool = False
    ) -> None:
        self.answers, self.context, self.tls, self.heard = answers, context, tls, list[str]()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.over = False
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            client, _ = self.listener.accept()
            if self.over:
                client.close()
                return
            client.settimeout(5)
            with suppress(OSError):
                client = self.talk(client)
            client.close()

    def talk(self, client: socket.socket) -> socket.socket:
        if self.tls and self.context:
            client = self.context.wrap_socket(client, server_side=True)
        if self.answers is None:
            with suppress(OSError):
                client.recv(1)
            return client
        client.sendall(self.answers[""].encode() + b"\r\n" * bool(self.answers[""]))
        while line := read_line(client):
            self.heard.append(line)
            if line not in self.answers:
                return client
            client.sendall(self.answers[line].encode() + b"\r\n")
            if line.endswith(("STARTTLS", "STLS")) and self.context:
                client = self.context.wrap_socket(client, server_side=True)
        return client

    def close(self) -> None:
        if self.over:
            return
        self.over = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.thread.join(10)
        self.listener.close()


def read_line(client: socket.socket) -> str:
    line = b""
    while not line.endswith(b"\r\n"):
        octet = client.recv(1)
        if not octet:
            return ""
        line += octet
    return line.decode().strip()


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that end with the test."""
    servers: list[Server] = []

    def start(*given: object, **named: object) -> Server:
        servers.append(Server(*given, **named))  # type: ignore[arg-type]
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Held:
    """A self-signed certificate for two names and an address."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=DNS:mail.example.test,DNS:imap.example.test,IP:127.0.0.1"
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=mail", "-addext", names]
    where = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run([openssl, *request, *where], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return Held(folder / "certificate.pem", context)


def only(port: int, **how: object) -> Probe:
    (found,) = probe("127.0.0.1", port, timeout_s=3, **how)  # type: ignore[arg-type]
    return found


def test_a_greeting_is_told_with_what_the_server_can(serve: Serve) -> None:
    server = serve({"": "* OK Dovecot ready.", "a1 CAPABILITY": "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\na1 OK done"})
    found = only(server.port)
    assert (found.state, found.protocol, found.product) == ("greeted", "imap", "dovecot")
    assert (found.greeting, found.capability) == ("* OK Dovecot ready.", ("IMAP4REV1", "AUTH=PLAIN"))
    assert (found.starttls, found.certificate, found.tls_error) == (False, None, None)
    assert found.connect_ms is not None
    assert healthy([found])
    server.close()
    assert server.heard == ["a1 CAPABILITY", "a3 LOGOUT"]


@pytest.mark.parametrize(
    ("answers", "protocol", "word"),
    [(IMAP, "imap", "LOGINDISABLED"), (POP3, "pop3", "USER"), (SMTP, "smtp", "SIZE 1000")],
    ids=["imap", "pop3", "smtp"],
)
def test_starttls_shows_the_certificate(
    serve: Serve, held: Held, answers: dict[str, str], protocol: str, word: str
) -> None:
    server = serve(answers, held.context)
    found = only(server.port)
    assert (found.state, found.protocol, found.starttls, found.verified) == ("greeted", protocol, True, False)
    assert word in found.capability
    assert found.certificate is not None
    assert found.certificate.names == ("mail.example.test", "imap.example.test", "127.0.0.1")
    assert found.tls_error == "self-signed certificate"
    assert not [line for line in server.heard if "LOGIN" in line or "AUTH" in line or "USER" in line]


def test_implicit_tls_comes_before_the_greeting(serve: Serve, held: Held) -> None:
    found = only(serve(IMAP, held.context, tls=True).port, tls=True)
    assert (found.state, found.starttls, found.verified) == ("greeted", None, False)
    assert found.greeting == "* OK Dovecot ready."
    assert found.tls_version == "TLSv1.3"
    assert found.certificate is not None
    assert found.certificate.issuer == "mail"
    assert found.certificate.valid_until is not None
    until = datetime.fromtimestamp(found.certificate.valid_until // NS_PER_S, UTC)
    assert timedelta(days=29) < until - datetime.now(UTC) < timedelta(days=31)


def test_a_certificate_this_machine_trusts_verifies(serve: Serve, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(held.path))
    found = only(serve(IMAP, held.context).port)
    assert (found.verified, found.tls_error) == (True, None)
    assert found.certificate is not None


@pytest.mark.parametrize(
    ("greeting", "state", "protocol"),
    [
        ("* BYE Too many connections", "turned_away", "imap"),
        ("-ERR go away", "turned_away", "pop3"),
        ("421 4.7.0 too many connections", "turned_away", "smtp"),
        ("HTTP/1.1 400 Bad Request", "no_mail", None),
    ],
)
def test_who_is_not_welcome_is_told_so(serve: Serve, greeting: str, state: str, protocol: str | None) -> None:
    found = only(serve({"": greeting}).port)
    assert (found.state, found.protocol, found.greeting) == (state, protocol, greeting)
    assert not healthy([found])


def test_a_closed_port_is_closed(port: int) -> None:
    found = only(port)
    assert (found.state, found.connect_ms) == ("port_closed", None)
    assert not healthy([found])


@pytest.fixture
def port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_silent_port_is_waited_for_no_longer_than_asked(serve: Serve) -> None:
    (found,) = probe("127.0.0.1", serve(None).port, timeout_s=0.3)
    assert found.state == "silent"
    assert found.connect_ms is not None


def test_a_port_that_takes_no_packet_is_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, place: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(socket, "socket", type("Deaf", (socket.socket,), {"connect": connect}))
    assert only(143).state == "port_filtered"


def test_plain_text_where_tls_is_expected_is_told(serve: Serve) -> None:
    found = only(serve({"": "* OK plain"}).port, tls=True)
    assert found.state == "tls_failed"
    assert found.tls_error


def test_starttls_that_is_refused_is_told(serve: Serve) -> None:
    found = only(serve({**IMAP, "a2 STARTTLS": "a2 BAD no certificate"}).port)
    assert (found.state, found.starttls, found.certificate) == ("greeted", True, None)
    assert found.tls_error == "offered, but refused: a2 BAD no certificate"


def test_an_endless_line_ends(serve: Serve) -> None:
    found = only(serve({"": "* OK " + "x" * 100_000}).port)
    assert found.greeting is not None
    assert len(found.greeting) <= 400


def test_a_name_without_address_is_an_error_a_person_can_act_on() -> None:
    for name in ("", ".", "no-such-host.invalid", "a" * 300):
        with pytest.raises(AnalyzerError):
            probe(name)


def test_text_and_json_tell_the_same(serve: Serve, held: Held) -> None:
    found = [only(serve(IMAP, held.context).port)]
    page = text("mail.example.test", 143, found)
    made = json.loads(json.dumps(document("mail.example.test", 143, found)))
    (row,) = made["addresses"]
    assert (made["host"], made["port"], row["state"]) == ("mail.example.test", 143, "greeted")
    assert row["certificate"]["valid_until"].endswith("Z")
    assert f"until {row['certificate']['valid_until']}, by mail" in page
    for line in ("STARTTLS     offered", "verifies     no: self-signed certificate", "product      dovecot"):
        assert line in page


@pytest.mark.parametrize(("greeting", "status"), [("* OK ready", 0), ("* BYE full", 10)])
@pytest.mark.parametrize("style", ["text", "json"])
def test_the_verb_ends_as_it_found(
    serve: Serve, capfd: pytest.CaptureFixture[str], greeting: str, status: int, style: str
) -> None:
    server = serve({"": greeting, "a1 CAPABILITY": "* CAPABILITY IMAP4rev1\r\na1 OK"})
    with pytest.raises(SystemExit) as end:
        cli.main(["probe", "127.0.0.1", "--port", str(server.port), "--format", style, "--timeout", "3"])
    assert end.value.code == status
    assert greeting in capfd.readouterr().out


def test_the_verb_refuses_what_it_does_not_understand(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["probe"], ["probe", "x", "--port", "0"], ["probe", "no-such-host.invalid"]):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code == 2
        assert capfd.readouterr().out == ""


@given(cut=st.integers(0, 900), flipped=st.integers(0, 900), octet=st.integers(0, 255))
@settings(deadline=None, max_examples=100)
def test_a_damaged_certificate_never_raises(held: Held, cut: int, flipped: int, octet: int) -> None:
    der = bytearray(ssl.PEM_cert_to_DER_cert(held.path.read_text()))
    der[flipped % len(der)] = octet
    certificate(bytes(der))
    certificate(bytes(der[:cut]))
