"""What TLS shows of itself, as lines of a conversation."""

import pytest

from analyzer.at import At, Side
from analyzer.protocols import Event
from analyzer.protocols.events import TlsAlert, TlsCertificate, TlsHello, TlsStarted, TlsTalk, TlsTurn
from analyzer.report.dialogue import lines

AT = At(7, 1_700_000_000_000_000_000)
C, S = Side.CLIENT, Side.SERVER


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (TlsStarted(AT, implicit=True), "TLS from the first octet"),
        (TlsStarted(AT, implicit=False), "TLS starts"),
        (
            TlsHello(AT, C, None, ("TLS 1.3", "TLS 1.2"), "mail.example.test", ("imap",)),
            "the client asks for mail.example.test, offers TLS 1.3, TLS 1.2, imap",
        ),
        (TlsHello(AT, C, None, (), None, ()), "the client asks, offers nothing known"),
        (TlsHello(AT, S, "TLS 1.2", (), None, ("imap",)), "the server chooses TLS 1.2 imap"),
        (TlsHello(AT, S, None, (), None, ()), "the server chooses an unknown version of TLS"),
        (TlsCertificate(AT, ("a.test", "b.test"), "CA", None), "certificate of a.test, b.test, signed by CA"),
        (TlsCertificate(AT, (), None, None), "certificate of nobody, signed by nobody"),
        (TlsAlert(AT, C, "fatal", "unknown_ca"), "client: TLS alert, fatal: unknown_ca"),
        (TlsTalk(AT, (), 0, whole=True), "nothing was said inside TLS"),
        (
            TlsTalk(AT, (TlsTurn(S, 53, 1, AT), TlsTurn(C, 15, 1, AT)), 2, whole=True),
            "2 records inside TLS, octets by turns: S53 C15",
        ),
    ],
)
def test_what_tls_shows(event: Event, text: str) -> None:
    (line,) = lines([event])
    assert (line.side, line.text, line.at) == ("-", text, AT)
