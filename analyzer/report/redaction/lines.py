"""Lines of IMAP, POP3 and SMTP fit to be shown: what a command or a reply needs stays, the rest becomes ``x``.

Every function returns as many octets as it was given, and by construction only protocol words, pseudonyms and masks: a line
that was taken for something else tells no secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from analyzer.protocols.imap_syntax import VERBS
from analyzer.report.redaction import sasl
from analyzer.report.redaction.pseudonyms import Pseudonyms

MASK = bytes(octet if octet in b"\r\n" else ord("x") for octet in range(256))
"""For bytes.translate: line ends stay, all else is x."""
AUTHENTICATING = frozenset({"AUTHENTICATE", "AUTH", "X-EXPS"})
"""Verbs that begin a SASL exchange."""

_TOLD_WORDS = (
    "CAPABILITY CHECK CLOSE COMPRESS ENABLE EXAMINE EXPUNGE FETCH GETQUOTAROOT ID IDLE LIST LOGOUT LSUB NAMESPACE NOOP SELECT"
    " STARTTLS STATUS UNSELECT CAPA STLS STAT RETR DELE RSET QUIT TOP UIDL LANG UTF8 EHLO HELO LHLO MAIL RCPT DATA BDAT"
    " VRFY EXPN ETRN HELP X-ANONYMOUSTLS AUTH"
)
_TOLD = frozenset(_TOLD_WORDS.split())
"""Verbs whose arguments are told, word by word; those of others are contents, or may hold a secret."""

_KINDS = (
    "OK NO BAD BYE PREAUTH EXISTS RECENT EXPUNGE FETCH FLAGS LIST LSUB SEARCH STATUS CAPABILITY VANISHED ESEARCH QUOTA"
)
_DATA_WORDS = VERBS | frozenset(_KINDS.split())

_END = re.compile(rb"\r?\n?\Z")
_LITERAL = re.compile(rb"~?\{([0-9]{1,10})\+?\}\r?\n?\Z")
_TAG = re.compile(rb"[A-Za-z]?0{0,8}[0-9]{0,6}\Z")
# command = tag SP ["UID" SP] verb [SP arguments]
_IMAP = re.compile(rb"([!-)+-~]{1,64})( +)((?:UID +)?[A-Za-z][A-Za-z0-9-]{0,31})( +|(?=\r?\n?\Z))", re.IGNORECASE)
_TAGGED = re.compile(rb"([!-~]{1,64}) (?:OK|NO|BAD)\b", re.IGNORECASE)
_VERB = re.compile(rb"([A-Za-z][A-Za-z0-9-]{2,15})([ \t]+|(?=\r?\n?\Z))")
_MECHANISM = re.compile(rb"([A-Za-z][A-Za-z0-9_-]{0,19})(?:( +)(\S*))?")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ANNOUNCED = re.compile(rb"~?\{([0-9]{1,10})\+?\}\r?\n")
_ATOM = re.compile(rb'[^ "\r\n][^ \r\n]*')
_CHUNK = re.compile(rb"[0-9]{1,18}(?: LAST)?\Z", re.IGNORECASE)
_DATA = re.compile(rb"\* (?:[0-9]{1,10} )?[A-Za-z]{2,20}")
_PREAMBLE = re.compile(rb"CONNECT |PROXY (?:TCP[46]|UNKNOWN)?|[\x04\x05].", re.DOTALL)


def masked(octets: bytes) -> bytes:
    """Return octets with everything but line ends masked."""
    return octets.translate(MASK)


def tag(octets: bytes, names: Pseudonyms, *, strange: bool = False) -> bytes:
    """Return a tag: one of the usual make, or a mask, the same in command and reply; ``strange`` ones may be anything."""
    if octets in {b"*", b"+"} or (_TAG.match(octets) and not strange):
        return octets
    return names.secret(octets)


def preamble(octets: bytes) -> bytes:
    """Return what a client says to a proxy, as far as it is known by it."""
    found = _PREAMBLE.match(octets)
    size = found.end() if found else 0
    return octets[:size] + masked(octets[size:])


# -- the client


def imap_command(lines: list[bytes], verb: str, names: Pseudonyms, mechanism: str) -> bytes:
    """Return a command with its literals; ``verb`` is what the parser heard."""
    found = _IMAP.match(lines[0])
    if found is None:
        return loose_client(b"".join(lines), names, early=True)
    word = found[3] if verb != "?" else b"X" * len(found[3])
    head = tag(found[1], names, strange=verb == "?") + found[2] + word + found[4]
    rest = lines[0][found.end() :]
    if verb == "LOGIN":
        return head + login_arguments(rest + b"".join(lines[1:]), names)
    if verb == "AUTHENTICATE":
        return head + authenticate(rest, names, mechanism) + b"".join(map(masked, lines[1:]))
    told = verb.rpartition(" ")[2] in _TOLD
    return head + arguments(rest, names, told=told) + b"".join(arguments(x, names) for x in lines[1:])


def turns_command(line: bytes, verb: str, names: Pseudonyms, mechanism: str) -> bytes:
    """Return a command of POP3 or SMTP."""
    found = _VERB.match(line)
    if found is None or verb == "?":
        return loose_client(line, names, early=True)
    if verb in {"USER", "PASS", "APOP"}:
        word, space, text = line.partition(b" ")  # what stands behind one space is all theirs (RFC 1939 section 7)
        return word + space + _pop3_login(verb, text, names) if space else line
    head, rest = line[: found.end()], line[found.end() :]
    if verb in AUTHENTICATING and rest.strip():
        return head + authenticate(rest, names, mechanism)
    if verb == "BDAT" and _CHUNK.match(rest.rstrip()):
        return line
    return head + arguments(rest, names, told=verb in _TOLD)


def _pop3_login(verb: str, rest: bytes, names: Pseudonyms) -> bytes:
    text, end = _split(rest)
    if verb == "PASS":
        return names.secret(text) + end
    if verb == "USER":
        return names.octets(text) + end
    name, space, digest = text.rpartition(b" ")
    return names.octets(name) + space + names.hexadecimal(digest) + end


def arguments(rest: bytes, names: Pseudonyms, *, told: bool = False) -> bytes:
    """Return arguments word by word, or masked but for the announcement of a literal."""
    found = _LITERAL.search(rest)
    start = found.start() if found else len(rest)
    return (names.words(rest[:start]) if told else masked(rest[:start])) + rest[start:]


def authenticate(rest: bytes, names: Pseudonyms, mechanism: str) -> bytes:
    """Return the name of a mechanism and the client's first message, if there is one."""
    text, end = _split(rest)
    found = _MECHANISM.match(text)
    if found is None:
        return masked(rest)
    first = sasl.client(mechanism, found[3], names, is_name=True) if found[3] else b""
    return names.words(found[1]) + (found[2] or b"") + first + masked(text[found.end() :]) + end


def login_arguments(rest: bytes, names: Pseudonyms) -> bytes:
    """Return account and password of IMAP's LOGIN, quoted, as atoms or as literals (RFC 3501 section 9: astring)."""
    made, place = b"", 0
    change: Callable[[bytes], bytes] = names.octets
    while place < len(rest):
        if rest[place] in b" \r\n":
            made, place = made + rest[place : place + 1], place + 1
            continue
        if found := _ANNOUNCED.match(rest, place):
            stop = min(found.end() + int(found[1]), len(rest))
            made += found[0] + change(rest[found.end() : stop])
        elif found := _QUOTED.match(rest, place):
            stop = found.end()
            made += b'"' + change(found[1]) + b'"'
        elif found := _ATOM.match(rest, place):
            stop = found.end()
            made += change(found[0])
        else:
            return made + masked(rest[place:])
        place, change = stop, names.secret
    return made


def response(line: bytes, names: Pseudonyms, mechanism: str, *, is_name: bool) -> bytes:
    """Return a client's line in a SASL exchange."""
    text, end = _split(line)
    return sasl.client(mechanism, text, names, is_name=is_name) + end


def loose_client(line: bytes, names: Pseudonyms, *, early: bool) -> bytes:
    """Return a client's line that told nothing; ``early`` says that a SASL message may be the first thing seen."""
    text, end = _split(line)
    if text.upper() == b"DONE" or text == b".":
        return line
    made = sasl.guessed(text, names) if early else None
    return masked(line) if made is None else made + end


# -- the server


def reply(protocol: str, line: bytes, names: Pseudonyms, *, echo: bool = False, strange: bool = False) -> bytes:
    """Return a line of the server that told something.

    ``echo`` says that it may repeat what the client said, ``strange`` that it answers a command nobody knows.
    """
    text, end = _split(line)
    if protocol != "imap":
        start = text[:4]  # the digits or the sign, which are told already
        return start + names.words(text[len(start) :], always=echo, cut=not end) + end
    found = _TAGGED.match(text)
    if found is None:
        return names.words(text, always=echo, cut=not end) + end
    rest = names.words(text[found.end(1) :], always=echo, cut=not end)
    return tag(found[1], names, strange=strange) + rest + end


def challenge(protocol: str, line: bytes, names: Pseudonyms, mechanism: str) -> bytes | None:
    """Return a line with which the server asks for more, None when it is none."""
    text, end = _split(line)
    size = 4 if protocol == "smtp" else 2
    if text[: size - 1] != (b"334" if protocol == "smtp" else b"+"):
        return None
    start, rest = text[:size], text[size:]
    inner = rest.strip(b" ")
    at = rest.find(inner)
    made = sasl.server(mechanism, inner, names) if inner else inner
    if made.startswith(b"!"):  # no base64, but words
        made = names.words(inner)
    return start + rest[:at] + made + rest[at + len(inner) :] + end


def loose_server(protocol: str, line: bytes, names: Pseudonyms) -> bytes:
    """Return a line of the server that told nothing: data of a mailbox, of which only the kind is kept."""
    if protocol == "smtp":
        return reply(protocol, line, names, echo=True) if line[:3].isdigit() else masked(line)
    if line.rstrip(b"\r\n") == b".":
        return line
    found = _DATA.match(line) if protocol == "imap" else None
    if found is None:
        return masked(line)
    kept = found[0].split()[-1].upper().decode()
    size = found.end() if kept in _DATA_WORDS else 0
    rest = arguments(line[size:], names)
    return line[:size] + rest


def _split(line: bytes) -> tuple[bytes, bytes]:
    """Split the line end off."""
    found = _END.search(line)
    at = found.start() if found else len(line)
    return line[:at], line[at:]
