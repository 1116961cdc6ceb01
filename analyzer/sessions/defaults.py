"""Limits as products ship them: what a limit that was seen is compared with, and which others are in play beside it."""

from __future__ import annotations

from typing import NamedTuple

UNLIMITED = 2_147_483_647
"""Exchange's way to say that there is no limit."""
CLOUD = "Exchange Online"
"""Its limits cannot be changed; a capture seldom tells it from a server of one's own."""
MAILBOX = ("imap", "pop3")
SMTP = ("smtp",)


class Default(NamedTuple):
    """One limit of one product when nobody changed it."""

    product: str
    scope: str
    """What is counted: 'account', 'account and address', 'address', 'server', 'store' (sessions of an account)."""
    protocols: tuple[str, ...]
    value: int
    """Connections or sessions at a time."""
    setting: str
    """What the administrator knows it by."""
    versions: str
    """Which versions have this value, as a person says it."""
    source: str

    @property
    def text(self) -> str:
        """Return it as it is told of a limit that was seen."""
        return f"{self.value} = {self.versions}, default of {self.setting}"


_IMAP = "Microsoft, Set-ImapSettings; Set Connection Limits for IMAP4 (2007, 2010)"
_CONNECTOR = "Microsoft, Set-ReceiveConnector"
DEFAULTS = (
    Default("exchange", "account", MAILBOX, 16, "MaxConnectionsPerUser", "Exchange 2010 to SE", _IMAP),
    Default("exchange", "account", MAILBOX, 10, "MaxConnectionsPerUser", "Exchange 2007", _IMAP),
    Default("exchange", "account", MAILBOX, 20, "sessions per mailbox", CLOUD, "reports of its users"),
    Default("exchange", "store", MAILBOX, 16, "Maximum Allowed Service Sessions Per User", "Exchange 2010 to SE", "Microsoft, article 980049"),
    Default("exchange", "address", MAILBOX, 20, "MaxConnectionFromSingleIP", "Exchange 2007", _IMAP),
    Default("exchange", "address", MAILBOX, 2000, "MaxConnectionFromSingleIP", "Exchange 2010", _IMAP),
    Default("exchange", "address", MAILBOX, UNLIMITED, "MaxConnectionFromSingleIP", "Exchange 2013 to SE", _IMAP),
    Default("exchange", "server", MAILBOX, 2000, "MaxConnections", "Exchange 2007 and 2010", _IMAP),
    Default("exchange", "server", MAILBOX, UNLIMITED, "MaxConnections", "Exchange 2013 to SE", _IMAP),
    Default("exchange", "address", SMTP, 20, "MaxInboundConnectionPerSource", "Exchange", _CONNECTOR),
    Default("exchange", "server", SMTP, 5000, "MaxInboundConnection", "Exchange", _CONNECTOR),
    Default("dovecot", "account and address", MAILBOX, 10, "mail_max_userip_connections", "Dovecot", "Dovecot documentation"),
    Default("dovecot", "server", MAILBOX, 100, "process_limit", "Dovecot", "Dovecot documentation"),
    Default("gmail", "account", MAILBOX, 15, "connections per account", "Gmail", "Gmail's own words"),
    Default("courier", "address", MAILBOX, 4, "MAXPERIP", "Courier", "Courier, imapd configuration"),
    Default("courier", "server", MAILBOX, 40, "MAXDAEMONS", "Courier", "Courier, imapd configuration"),
    Default("courier", "address", SMTP, 5, "MAXPERIP", "Courier", "Courier, esmtpd configuration"),
    Default("postfix", "address", SMTP, 50, "smtpd_client_connection_count_limit", "Postfix", "Postfix documentation"),
    Default("exim", "server", SMTP, 20, "smtp_accept_max", "Exim", "Exim specification"),
)  # fmt: skip

SCOPES = {
    "per_user_connection_limit": ("account", "account and address"),
    "per_ip_connection_limit": ("address",),
    "server_connection_limit": ("server",),
    "connection_limit_at_connect": ("address", "server"),
    "smtp_connection_limit": ("address", "server"),
    "store_session_limit": ("store",),
}
"""What a cause that is a limit may count."""


def defaults(product: str | None, protocol: str | None) -> tuple[Default, ...]:
    """Return the limits a product has on a protocol."""
    return tuple(x for x in DEFAULTS if x.product == product and (protocol or "imap") in x.protocols)
