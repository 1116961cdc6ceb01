"""Which server product is this? As far as its greeting, capability list and own words tell."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What each product says of itself; the first match wins. Greetings from the products' own sources and public logs.
_GREETINGS = (
    ("exchange", re.compile(r"Microsoft Exchange|Microsoft IMAP4 MAIL Service", re.IGNORECASE)),
    ("dovecot", re.compile(r"Dovecot", re.IGNORECASE)),
    ("cyrus", re.compile(r"Cyrus IMAP", re.IGNORECASE)),
    ("courier", re.compile(r"Courier-IMAP", re.IGNORECASE)),
    ("zimbra", re.compile(r"Zimbra", re.IGNORECASE)),
    ("gmail", re.compile(r"Gimap", re.IGNORECASE)),
    ("hmailserver", re.compile(r"hMailServer|IMAPrev1$", re.IGNORECASE)),
    ("domino", re.compile(r"Domino IMAP4", re.IGNORECASE)),
)
# Words only one product uses, for captures that begin after the greeting or whose administrator changed the banner.
_WORDS = (
    ("dovecot", re.compile(r"mail_max_userip_connections")),
    ("exchange", re.compile(r"^(?:(?:NO|BAD) )?(?:AUTHENTICATE failed\.|LOGIN failed\.|Server Unavailable\. 15)$")),
    ("exchange", re.compile(r"^(?:AUTHENTICATE|LOGIN) completed\.$")),
)


def product_of(greeting: str | None, capability: tuple[str, ...], texts: Iterable[str | None]) -> str | None:
    """Return 'exchange', 'dovecot', ... or None when nothing tells."""
    for name, pattern in _GREETINGS:
        if greeting and pattern.search(greeting):
            return name
    if "CLIENTACCESSRULES" in capability:
        return "exchange"
    if any(word.startswith("X-GM-EXT") for word in capability):
        return "gmail"
    for text in texts:
        for name, pattern in _WORDS:
            if text and pattern.search(text):
                return name
    return None
