"""IMAP's grammar as far as a bystander needs it (RFC 3501 section 9, RFC 9051): regular expressions and what they read."""

from __future__ import annotations

import re
from typing import NamedTuple

from analyzer.protocols.lines import Grammar, Line
from analyzer.text import decoded

ARGS_LIMIT = 200
"""Characters of a command's arguments that are shown."""
TEXT_OCTETS = 2_000
"""Octets of a reply that are decoded; five times what is kept of them as text."""
WORDS_LIMIT = 200
"""Words kept of one capability list; real servers send fewer than 60."""

_HARMLESS = (
    "APPEND CAPABILITY CHECK CLOSE COMPRESS COPY CREATE DELETE ENABLE EXAMINE EXPUNGE FETCH GETACL GETMETADATA GETQUOTA "
    "GETQUOTAROOT ID IDLE LANGUAGE LIST LISTRIGHTS LOGOUT LSUB MOVE MYRIGHTS NAMESPACE NOOP NOTIFY RENAME SEARCH SELECT "
    "SORT STARTTLS STATUS STORE SUBSCRIBE THREAD UNSELECT UNSUBSCRIBE XLIST XLST ESEARCH REPLACE GETJMAPACCESS"
)
_DELICATE = (
    "ANNOTATE AUTHENTICATE BURL COMPARATOR CONVERT DELETEACL GENURLAUTH GETANNOTATION LOGIN PROXYAUTH RESETKEY SETACL "
    "SETANNOTATION SETMETADATA SETQUOTA UID UNAUTHENTICATE URLFETCH XATOM XAPPLEPUSHSERVICE X-GM-EXT-1"
)
SHOWN = frozenset(_HARMLESS.split())
"""Verbs whose arguments hold no secret and may be shown; URLFETCH and GENURLAUTH carry access tokens and may not."""
VERBS = SHOWN | frozenset(_DELICATE.split())
"""Every verb we know."""

# tagged: tag SP ("OK" / "NO" / "BAD") SP resp-text
TAGGED = re.compile(rb"([!-~]{1,64}) (OK|NO|BAD)(?: (.*))?\Z", re.IGNORECASE | re.DOTALL)
# untagged: "*" SP (resp-cond-state / resp-cond-auth / resp-cond-bye / capability-data)
UNTAGGED = re.compile(rb"\* (OK|NO|BAD|BYE|PREAUTH|CAPABILITY)(?: (.*))?\Z", re.IGNORECASE | re.DOTALL)
# resp-text = ["[" resp-text-code "]" SP] text
_CODE = re.compile(rb"\[([A-Za-z][A-Za-z0-9.-]{0,39})(?: ([^\]]*))?\] ?(.*)", re.DOTALL)
# command = tag SP ["UID" SP] verb [SP arguments]
COMMAND = re.compile(rb"([!-)+-~]{1,64}) +(UID +)?([A-Za-z][A-Za-z0-9-]{0,31})(?: +(.*))?\Z", re.IGNORECASE | re.DOTALL)
# astring = quoted / literal announcement / whatever goes up to the next space (clients send more than ATOM-CHAR)
_ASTRING = re.compile(rb'"((?:[^"\\]|\\.)*)"(?= |\Z)|~?\{[0-9]{1,10}\+?\}(?= |\Z)|([^ "][^ ]*)', re.DOTALL)
_ESCAPED = re.compile(rb'\\(["\\])')

_STATUS = rb"(?:\* (?:OK|NO|BAD|BYE|PREAUTH)\b|\+|[^\s*+(){]{1,64} (?:OK|NO|BAD)\b)"
_VERB = "|".join(sorted(VERBS, key=len, reverse=True)).encode()
SERVER_LINES = Grammar(
    prose=re.compile(_STATUS, re.IGNORECASE),
    resume=re.compile(rb"\* (?:[0-9]+ [A-Z]|[A-Z])|\+(?: |\Z)|" + _STATUS, re.IGNORECASE),
    # msg-att-static: BODY[...], RFC822..., BINARY[...] and envelope strings of one FETCH
    literal_after_loss=re.compile(rb"(?:\](?:<[0-9]+>)?|RFC822[.A-Z]*) ~?\{[0-9]+\+?\}\Z", re.IGNORECASE),
)
CLIENT_LINES = Grammar(
    prose=re.compile(rb"\Z(?!)"),  # any command may end in a literal
    # an NTLM message is the one SASL line that cannot be mistaken: base64 of "NTLMSSP" NUL
    # of a command cut by the snap length AUTHENTICATE is known by its first letters
    resume=re.compile(
        rb"[!-)+-~]{1,64} (?:(?:" + _VERB + rb")(?: |\Z)|AUTH[A-Z]{0,8}\Z)|DONE\Z|TlRMTVNTUAA", re.IGNORECASE
    ),
    literal_after_loss=re.compile(rb"\}\Z"),
    keep=re.compile(rb"[!-~]{1,64} +LOGIN ", re.IGNORECASE),
)
_NEVER_A_GREETING = re.compile(
    # codes of SELECT (RFC 3501 section 7.1) and the "I am still here" lines of long commands (Dovecot, Cyrus)
    rb"\[(?:PERMANENTFLAGS|UIDNEXT|UIDVALIDITY|UNSEEN|HIGHESTMODSEQ|NOMODSEQ|CLOSED|MAILBOXID|UIDNOTSTICKY)\b"
    rb"|Still here|Waiting for|Searched |Hang in there",
    re.IGNORECASE,
)

# Other protocols' first words, of either side: SMTP, POP3, FTP, HTTP, SSH
FOREIGN = re.compile(
    rb"(?:[1-5][0-9][0-9][ -]|\+OK\b|-ERR\b|HTTP/1|SSH-[12]|(?:EHLO|HELO|LHLO) |(?:GET|POST|PUT|HEAD|OPTIONS|CONNECT) \S+ HTTP/)"
)
# Exchange Online, in IDLE: no tag, no status
UNTAGGED_FAILURE = re.compile(rb"Server Unavailable\. [0-9]+\Z")
# hMailServer: an untagged line that is no response of the grammar, just before "tag BAD Goodbye"
TOO_MANY = re.compile(rb"\* (Too many .*)\Z", re.DOTALL)

_ACCEPTED_WORDS = re.compile(
    rb"(?:LOGIN|AUTHENTICATE) (?:completed|ok\b|success)|(?:User )?logged in\b|.* authenticated \(Success\)",
    re.IGNORECASE,
)
_REFUSED_WORDS = re.compile(
    rb"(?:LOGIN|AUTHENTICATE|Authentication) (?:failed|failure|incorrect)|Login incorrect|Invalid credentials"
    rb"|Maximum number of connections from user|Too many (?:open|simultaneous) connections",
    re.IGNORECASE,
)
# Exchange, Cyrus and Zimbra say it in words; the client's "*" itself may be missing from the capture
_CANCELLED_WORDS = re.compile(r".*\b(?:cancell?ed\b.*\bclient|client cancell?ed|AUTHENTICATE aborted)", re.IGNORECASE)


def is_cut_authenticate(verb: str) -> bool:
    """Tell whether the last word of a cut line is AUTHENTICATE as far as it goes; no other verb begins so."""
    return len(verb) >= len("AUTH") and "AUTHENTICATE".startswith(verb)


class Status(NamedTuple):
    """A status response, taken apart."""

    status: str
    code: str | None
    """Response code, upper case."""
    code_args: bytes
    text: str

    @property
    def words(self) -> str:
        """The text, with the status in front when it is BAD."""
        return f"BAD {self.text}".rstrip() if self.status == "BAD" else self.text

    @property
    def tells_cancel(self) -> bool:
        """Whether the words say that the client gave the exchange up."""
        return self.status != "OK" and _CANCELLED_WORDS.match(self.text) is not None


def status(word: bytes, rest: bytes | None) -> Status:
    """Take the part after the tag apart."""
    name = word.upper().decode("ascii")
    rest = rest or b""
    coded = _CODE.match(rest) if rest[:1] == b"[" else None
    if coded is None:
        return Status(name, None, b"", decoded(rest[:TEXT_OCTETS]))
    return Status(name, coded[1].upper().decode("ascii"), coded[2] or b"", decoded(coded[3][:TEXT_OCTETS]))


def words(octets: bytes) -> tuple[str, ...]:
    """Return the words of a capability list, upper case."""
    return tuple(decoded(octets[: 4 * TEXT_OCTETS], 4 * TEXT_OCTETS).upper().split()[:WORDS_LIMIT])


def may_greet(rest: bytes | None) -> bool:
    """Tell whether the text of an untagged OK can be a greeting's."""
    return not _NEVER_A_GREETING.match(rest or b"")


def decides_login(name: bytes, rest: bytes | None) -> bool:
    """Tell whether the words of a tagged reply by themselves say how a LOGIN or AUTHENTICATE ended."""
    rest = rest or b""
    coded = _CODE.match(rest)
    text = coded[3] if coded else rest
    if name.upper() == b"OK":
        return _ACCEPTED_WORDS.match(text[:TEXT_OCTETS]) is not None
    return bool(coded and coded[1].upper() == b"AUTHENTICATIONFAILED") or _REFUSED_WORDS.match(text) is not None


def login_arguments(line: Line, args: bytes) -> tuple[bytes | None, bytes | None]:
    """Read the account and the password of a LOGIN command.

    An argument that is cut short, or whose octets were not kept, is None: half an account would be another account.
    """
    values = _astrings(line, args)
    if len(values) < 2 and not line.cut:  # "AUTH LOGIN dXNlcg==" is SMTP
        return None, None
    values += [None, None]
    return values[0], values[1] if len(values) == 4 else None


def _astrings(line: Line, args: bytes) -> list[bytes | None]:
    values: list[bytes | None] = []
    literals, place = list(line.literals), 0
    while len(values) < 3 and (found := _ASTRING.match(args, place)) is not None:
        place = found.end()
        if found[1] is not None:
            values.append(_ESCAPED.sub(rb"\1", found[1]))
        elif found[2] is not None:
            values.append(None if line.cut and place == len(args) else found[2])
        else:
            values.append(literals.pop(0) if literals else None)
        while args[place : place + 1] == b" ":
            place += 1
    return values


def masked(verb: str, args: bytes | None) -> str:
    """Return a command's arguments fit to be shown; literals are not in them, secrets become '***'."""
    if not args:
        return ""
    return decoded(args[:TEXT_OCTETS], ARGS_LIMIT) if verb in SHOWN or verb.startswith("UID ") else "***"
