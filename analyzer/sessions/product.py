"""Which server product is this? As far as its greeting, capability list and own words tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

# What each product says of itself; the first match wins. Greetings from the products' own sources and public logs.
_GREETINGS = (
    ("exchange", re.compile(r"Microsoft Exchange|Microsoft (?:IMAP4|ESMTP|POP3) (?:MAIL )?Service", re.IGNORECASE)),
    ("dovecot", re.compile(r"Dovecot", re.IGNORECASE)),
    ("cyrus", re.compile(r"Cyrus (?:IMAP|POP3|LMTP)", re.IGNORECASE)),
    ("courier", re.compile(r"Courier-IMAP|^Hello there\.$", re.IGNORECASE)),
    ("zimbra", re.compile(r"Zimbra", re.IGNORECASE)),
    ("gmail", re.compile(r"Gimap|Gpop ready|\bgsmtp$", re.IGNORECASE)),
    ("hmailserver", re.compile(r"hMailServer|IMAPrev1$", re.IGNORECASE)),
    ("domino", re.compile(r"Domino IMAP4|Lotus Notes POP3|(?:Lotus|IBM|HCL) Domino", re.IGNORECASE)),
    ("kerio", re.compile(r"Kerio (?:Connect|MailServer)", re.IGNORECASE)),
    ("mdaemon", re.compile(r"\bMDaemon\b", re.IGNORECASE)),
    ("stalwart", re.compile(r"Stalwart", re.IGNORECASE)),
    ("icloud", re.compile(r"iCloud ready|\bicloud\.com\b|\bmail\.me\.com\b", re.IGNORECASE)),
    ("yahoo", re.compile(r"\byahoo\.com\b|\byahoodns\.net\b", re.IGNORECASE)),
    ("postfix", re.compile(r"ESMTP Postfix\b|ESMTP \(?Postfix\b", re.IGNORECASE)),
    ("exim", re.compile(r"ESMTP Exim\b", re.IGNORECASE)),
    ("sendmail", re.compile(r"ESMTP Sendmail\b", re.IGNORECASE)),
)
# Capabilities only one product has, where the greeting says nothing or was not seen.
_CAPABILITIES = {
    "CLIENTACCESSRULES": "exchange",
    "BACKENDAUTHENTICATE": "exchange",
    "X-GM-EXT-1": "gmail",
    "XYMHIGHESTMODSEQ": "yahoo",
    "AUTH=ATOKEN": "icloud",
}
# Words only one product uses, for captures that begin after the greeting or whose administrator changed the banner.
_WORDS = (
    ("dovecot", re.compile(r"mail_max_userip_connections")),
    ("exchange", re.compile(r"^(?:(?:NO|BAD) )?(?:AUTHENTICATE failed\.|LOGIN failed\.|Server Unavailable\. 15)$")),
    ("exchange", re.compile(r"^(?:AUTHENTICATE|LOGIN) completed\.$")),
)


def product_of(greeting: str | None, capability: tuple[str, ...], texts: Iterable[str | None]) -> str | None:
    """Return 'exchange', 'dovecot', ... or None when nothing tells."""
    if greeting and (name := _greeted(greeting)) is not None:
        return name
    for word in capability:
        if word in _CAPABILITIES:
            return _CAPABILITIES[word]
    for text in texts:
        if text and (name := _worded(text)) is not None:
            return name
    return None


@lru_cache(maxsize=4096)
def _greeted(greeting: str) -> str | None:
    """Tell by the greeting; a server greets thousands with the same words."""
    return next((name for name, pattern in _GREETINGS if pattern.search(greeting)), None)


@lru_cache(maxsize=4096)
def _worded(text: str) -> str | None:
    """Tell by the words of an answer."""
    return next((name for name, pattern in _WORDS if pattern.search(text)), None)
