"""Greeting, capabilities, words -> product."""

import pytest

from analyzer.sessions.product import product_of


@pytest.mark.parametrize(
    ("greeting", "capability", "texts", "product"),
    [
        ("The Microsoft Exchange IMAP4 service is ready.", (), (), "exchange"),
        ("Microsoft Exchange Server 2003 IMAP4rev1 server version 6.5", (), (), "exchange"),
        ("[CAPABILITY IMAP4rev1] Dovecot ready.", (), (), "dovecot"),
        ("mail.example Cyrus IMAP v2.4.17 server ready", (), (), "cyrus"),
        ("Courier-IMAP ready.", (), (), "courier"),
        ("mail.example Zimbra IMAP4rev1 server ready", (), (), "zimbra"),
        ("Gimap ready for requests", (), (), "gmail"),
        ("IMAPrev1", (), (), "hmailserver"),
        ("Domino IMAP4 Server Release 9.0", (), (), "domino"),
        ("ready", (), (), None),
        (None, (), (), None),
        ("ready", ("IMAP4REV1", "CLIENTACCESSRULES"), (), "exchange"),
        ("ready", ("X-GM-EXT-1",), (), "gmail"),
        ("ready", ("IMAP4REV1",), ("AUTHENTICATE failed.",), "exchange"),
        ("ready", (), ("LOGIN completed.",), "exchange"),
        ("ready", (), ("BAD LOGIN failed.",), "exchange"),
        ("ready", (), (None, "Server Unavailable. 15"), "exchange"),
        ("ready", (), ("authenticate failed.",), None),
        ("ready", (), ("LOGIN failed. Try again",), None),
        ("ready", (), ("Maximum exceeded (mail_max_userip_connections=10)",), "dovecot"),
        ("Dovecot ready.", ("X-GM-EXT-1",), ("LOGIN failed.",), "dovecot"),
    ],
)
def test_product(
    greeting: str | None, capability: tuple[str, ...], texts: tuple[str | None, ...], product: str | None
) -> None:
    assert product_of(greeting, capability, texts) == product
