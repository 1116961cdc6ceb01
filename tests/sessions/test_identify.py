"""First octets -> protocol."""

import pytest

from analyzer.at import Side
from analyzer.sessions.identify import identify

C, S = Side.CLIENT, Side.SERVER


@pytest.mark.parametrize(
    ("side", "head", "port", "first", "name"),
    [
        (S, b"* OK ready", 143, True, "imap"),
        (S, b"* ok ready", 9999, True, "imap"),
        (S, b"* PREAUTH hi", 9999, True, "imap"),
        (S, b"* BYE full", 9999, True, "imap"),
        (S, b"* OKAY", 9999, True, None),
        (S, b"* OK still here", 9999, False, None),
        (S, b"* OK still here", 143, False, "imap"),
        (S, b"+OK POP3 ready", 110, True, "pop3"),
        (S, b"+OK POP3 ready", 143, True, "pop3"),
        (S, b"-ERR no", 9999, True, "pop3"),
        (S, b"+OK 2 messages", 110, False, "pop3"),
        (S, b"220 mail ESMTP", 25, True, "smtp"),
        (S, b"220-mail ESMTP", 9999, True, "smtp"),
        (S, b"421 too many", 587, True, "smtp"),
        (S, b"250 OK", 25, True, "smtp"),
        (S, b"* 12 EXISTS", 143, False, "imap"),
        (S, b"* 12 EXISTS", 9999, False, None),
        (S, b"+ ", 143, False, "imap"),
        (S, b"A1 NO LOGIN failed.", 143, False, "imap"),
        (S, b"A1 NOPE", 143, False, None),
        (C, b"A1 LOGIN joe x", 143, False, "imap"),
        (C, b"a.1 uid fetch 1 (FLAGS)", 143, False, "imap"),
        (C, b"DONE\r\n", 143, False, "imap"),
        (C, b"DONE", 143, False, None),
        (C, b"A1 LOGIN joe x", 9999, True, None),
        (C, b"GET / HTTP/1.1", 143, True, None),
        (C, b"EHLO pc", 25, True, "smtp"),
        (C, b"\x16\x03\x01\x02\x00", 993, True, "tls"),
        (C, b"\x16\x03\x01\x02\x00", 143, True, "tls"),
        (S, b"\x15\x03\x03\x00\x02", 9999, False, "tls"),
        (C, b"\x16\x03\x09", 993, True, None),
        (C, b"", 143, True, None),
        (S, b"", 143, True, None),
    ],
)
def test_identify(side: Side, head: bytes, port: int, first: bool, name: str | None) -> None:
    assert identify(side, head, port, first=first) == name
