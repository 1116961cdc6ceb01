"""Which protocol is this? The first octets of each side say; the port only breaks a tie."""

from __future__ import annotations

import re

from analyzer.at import Side

PORT_PROTOCOL = {143: "imap", 993: "imap", 110: "pop3", 995: "pop3", 25: "smtp", 465: "smtp", 587: "smtp"}
IMPLICIT_TLS_PORTS = frozenset({993, 995, 465})
ENOUGH = 24
"""Octets of one side after which an undecided connection is decided by what there is."""

_TLS_RECORD = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")  # RFC 8446, section 5.1: type, legacy version
_SERVER = (
    ("imap", re.compile(rb"\* (?:OK|PREAUTH|BYE)\b", re.IGNORECASE)),  # RFC 3501, section 9: greeting
    ("pop3", re.compile(rb"(?:\+OK|-ERR)\b")),  # RFC 1939, section 3
    ("smtp", re.compile(rb"(?:220|421|554)[ -]")),  # RFC 5321, section 4.2
)
_IMAP_SERVER_LINE = re.compile(rb"(?:\* (?:\d+ \w+|[A-Z]+)|\+ ?|[A-Za-z0-9.]{1,20} (?:OK|NO|BAD)\b)", re.IGNORECASE)
_IMAP_CLIENT_LINE = re.compile(
    rb"(?:DONE\r?\n|[A-Za-z0-9.]{1,20} (?:UID |CAPABILITY|LOGIN |AUTHENTICATE |STARTTLS|NOOP|SELECT |EXAMINE |LIST |STATUS |"
    rb"FETCH |IDLE|LOGOUT|ID |APPEND |STORE |CLOSE|EXPUNGE|NAMESPACE|CHECK|ENABLE |SEARCH |LSUB ))",
    re.IGNORECASE,
)


def identify(side: Side, head: bytes, server_port: int, *, first: bool) -> str | None:
    """Name the protocol ('imap', 'pop3', 'smtp', 'tls') from a side's first octets, or None while they do not tell.

    ``first`` says that the head is the very start of the connection. Only then a greeting counts as such; in the middle
    of a conversation IMAP is known by lines that nothing else has, and then only on IMAP's own port.
    """
    if _TLS_RECORD.match(head):
        return "tls"
    if side is Side.SERVER:
        for name, opening in _SERVER:
            if opening.match(head) and (first or PORT_PROTOCOL.get(server_port) == name):
                return name
    line = _IMAP_SERVER_LINE if side is Side.SERVER else _IMAP_CLIENT_LINE
    if PORT_PROTOCOL.get(server_port) == "imap" and line.match(head):
        return "imap"
    return None
