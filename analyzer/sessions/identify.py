"""Which protocol is this? The first octets of each side say; the port only breaks a tie."""

from __future__ import annotations

import re

from analyzer.at import Side

PORT_PROTOCOL = {143: "imap", 993: "imap", 110: "pop3", 995: "pop3", 25: "smtp", 465: "smtp", 587: "smtp"}
IMPLICIT_TLS_PORTS = frozenset({993, 995, 465})
ENOUGH = 24
"""Octets of one side after which an undecided connection is decided by what there is."""

TLS_RECORD = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")  # RFC 8446, section 5.1: type, legacy version
_SERVER = (
    ("imap", re.compile(rb"\* (?:OK|PREAUTH|BYE)\b", re.IGNORECASE)),  # RFC 3501, section 9: greeting
    ("pop3", re.compile(rb"(?:\+OK|-ERR)\b")),  # RFC 1939, section 3
    ("smtp", re.compile(rb"(?:220|421|554)[ -]")),  # RFC 5321, section 4.2
)
# Lines in the middle of a conversation, believed on the protocol's own port only
_SERVER_LINE = {
    "imap": re.compile(rb"(?:\* (?:\d+ \w+|[A-Z]+)|\+ ?|[A-Za-z0-9.]{1,20} (?:OK|NO|BAD)\b)", re.IGNORECASE),
    "smtp": re.compile(rb"[2-5][0-9][0-9](?:[ -]|\r?\n)"),
}
_CLIENT_LINE = {
    "imap": re.compile(
        rb"(?:DONE\r?\n|[A-Za-z0-9.]{1,20} (?:UID |CAPABILITY|LOGIN |AUTHENTICATE |STARTTLS|NOOP|SELECT |EXAMINE |LIST |"
        rb"STATUS |FETCH |IDLE|LOGOUT|ID |APPEND |STORE |CLOSE|EXPUNGE|NAMESPACE|CHECK|ENABLE |SEARCH |LSUB ))",
        re.IGNORECASE,
    ),
    "pop3": re.compile(
        rb"(?:(?:USER|PASS|APOP|RETR|DELE|TOP) |(?:AUTH|LIST|UIDL)(?: |\r?\n)|(?:CAPA|STLS|STAT|NOOP|RSET|QUIT)\r?\n)",
        re.IGNORECASE,
    ),
    "smtp": re.compile(
        rb"(?:(?:EHLO|HELO|LHLO|AUTH|BDAT) |MAIL FROM:|RCPT TO:|(?:DATA|RSET|QUIT|NOOP|STARTTLS)\r?\n)", re.IGNORECASE
    ),
}
# HTTP CONNECT (RFC 9110, section 9.3.6), SOCKS 4 and 5 (RFC 1928), the PROXY protocol: the mail greeting comes later
PREAMBLE = re.compile(rb"CONNECT |PROXY |\x04\x01|\x05[\x01-\x09]")
"""A client's first octets when it speaks to a proxy first."""


def identify(side: Side, head: bytes, server_port: int, *, first: bool) -> str | None:
    """Name the protocol ('imap', 'pop3', 'smtp', 'tls') from a side's first octets, or None while they do not tell.

    ``first`` says that the head is the very start of the connection. Only then a greeting counts as such; in the middle
    of a conversation a protocol is known by its lines, and then only on its own port.
    """
    if TLS_RECORD.match(head):
        return "tls"
    if side is Side.SERVER:
        for name, opening in _SERVER:
            if opening.match(head) and (first or PORT_PROTOCOL.get(server_port) == name):
                return name
    port_name = PORT_PROTOCOL.get(server_port)
    line = (_SERVER_LINE if side is Side.SERVER else _CLIENT_LINE).get(port_name or "")
    return port_name if line is not None and line.match(head) else None
