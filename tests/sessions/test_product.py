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
        ("The Microsoft Exchange IMAP4 service is ready. [QQBNADAA]", (), (), "exchange"),
        ("The Microsoft Exchange POP3 service is ready.", (), (), "exchange"),
        ("mx.example Microsoft ESMTP MAIL Service ready at Mon, 4 Mar 2024 09:14:00 +0000", (), (), "exchange"),
        (
            "mx.example Microsoft ESMTP MAIL Service, Version: 6.0.3790.4675 ready at  Thu, 3 Mar 2016",
            (),
            (),
            "exchange",
        ),
        ("mail.example Cyrus POP3 v2.4.17 server ready", (), (), "cyrus"),
        ("Hello there.", (), (), "courier"),
        ("mail.example Zimbra POP3 server ready", (), (), "zimbra"),
        ("Gpop ready for requests from 192.0.2.1 x3pf15575650wid.4", (), (), "gmail"),
        ("mx.google.example ESMTP k43pf13740128eeg.2 - gsmtp", (), (), "gmail"),
        ("Kerio Connect 9.2.1 IMAP4rev1 server ready", (), (), "kerio"),
        ("mail.example ESMTP MDaemon 23.5.2; Mon, 04 Mar 2024", (), (), "mdaemon"),
        ("Stalwart IMAP4rev2 at your service.", (), (), "stalwart"),
        ("iCloud ready", (), (), "icloud"),
        ("IMAP4rev1 imapgate-1.8.1_01.20166 imap1015.mail.gq1.yahoo.com", (), (), "yahoo"),
        ("mail.example ESMTP Postfix (Debian/GNU)", (), (), "postfix"),
        ("mail.example ESMTP Exim 4.96 Mon, 04 Mar 2024 09:14:00 +0000", (), (), "exim"),
        ("mail.example ESMTP Sendmail 8.17.1/8.17.1; Mon, 4 Mar 2024 09:14:00 GMT", (), (), "sendmail"),
        ("ready", (), (), None),
        (None, (), (), None),
        ("ready", ("IMAP4REV1", "CLIENTACCESSRULES"), (), "exchange"),
        ("ready", ("X-GM-EXT-1",), (), "gmail"),
        ("IMAP4rev1 Hello", ("IMAP4REV1", "XYMHIGHESTMODSEQ"), (), "yahoo"),
        ("ready", ("XAPPLEPUSHSERVICE", "IMAP4REV1", "AUTH=ATOKEN"), (), "icloud"),
        ("ready", ("XAPPLEPUSHSERVICE", "IMAP4REV1"), (), None),
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
