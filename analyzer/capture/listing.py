"""Text -> listed packets: Wireshark's packet list, pasted or exported, one packet per line.

Read are the list as copied (tabs, or columns padded with spaces), exported as CSV, printed by tshark, set as a table
of Markdown, or quoted in a mail; headers may be missing, translated or wrong, so every line is read by what stands in
it: two addresses side by side, number and time before them, protocol, length and information behind them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from analyzer.at import NS_PER_S
from analyzer.capture.packets import ACK, FIN, PSH, RST, SYN

LINE_LIMIT = 4096
"""Characters of a line looked at; Wireshark cuts its own columns far earlier."""

# time = seconds, with a point or a comma; or a time of day, with or without a date
_TIME = (
    r"(?:(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[ T])?(?:(?P<hour>\d{1,2}):(?P<minute>\d\d):)?"
    r"(?P<second>\d{1,11})(?:[.,](?P<fraction>\d{1,9}))?(?:Z|[ ]?UTC)?"
)
_ADDRESS = r"[\w.:()-]{2,64}"  # or the name of a host
_ARROW = r"(?:\u2192|-+>|=>|>)"
# line = [number] time address [port] [arrow] address [port] protocol [length] information
_LINE = re.compile(
    rf"(?:(?P<number>\d{{1,10}})\s+)?{_TIME}\s+(?P<src>{_ADDRESS})\s+(?:(?P<sport>\d{{1,5}})\s+)?(?:{_ARROW}\s+)?"
    rf"(?P<dst>{_ADDRESS})\s+(?:(?P<dport>\d{{1,5}})\s+)?(?P<protocol>[A-Za-z][\w./|-]{{0,30}})\s+"
    r"(?:(?P<length>\d{1,7})\s+)?(?P<info>\S.*)?"
)
_PORT_WORD = re.compile(r"port|puerto|\u043f\u043e\u0440\u0442|\u7aef\u53e3|\u30dd\u30fc\u30c8", re.IGNORECASE)
_QUOTING = " \t>|*"  # of mails and of Markdown
_JUST_TIME = re.compile(_TIME)
_NUMBER = re.compile(r"\d{1,10}")
_PROTOCOL = re.compile(r"[A-Za-z][\w ./|-]{0,30}")
_NAME = re.compile(r"(?=.{0,254}[A-Za-z])[\w.:()-]{1,255}")
_SEPARATORS = "\t|;,"
_CELLS_LEAST, _CELLS_LOOKED_AT = 5, 24

# note = "[TCP Retransmission] " and the like before the information, "[TCP segment of ...]" or an ellipsis behind it
_NOTES = re.compile(r"(?:\[[^\]]{1,60}\]\s*)+")
_TAIL = re.compile(r"(?:\[(?:TCP|Packet size limited|truncated)[^][]{0,80}\]?|\[\u2026\]|\u2026)$")
_REPEATED = re.compile(r"Retransmission|Dup ACK|Keep-Alive")
# ports = source arrow destination "[" flags "]"
_PORTS = re.compile(rf"([\w-]{{1,20}})\s*(?:{_ARROW}|\?|\S{{1,3}}(?= \d))\s*([\w-]{{1,20}})\s+\[([A-Z, ]{{1,60}})\]")
_SERVICES = {
    "imap": 143, "imap2": 143, "imaps": 993, "pop3": 110, "pop3s": 995, "smtp": 25, "submission": 587,
    "submissions": 465, "urd": 465, "smtps": 465,
}  # fmt: skip
_FLAGS = {"FIN": FIN, "SYN": SYN, "RST": RST, "PSH": PSH, "ACK": ACK}
# words = who speaks, and the first line said, as the dissectors of IMAP, POP and SMTP put it
_WORDS = re.compile(r"(?:(?P<server>Response:|S:)|(?P<client>Request:|C:))\s?(?P<said>.*)")
_SMTP_SECRET = re.compile(r"^(AUTH \S{1,20} )?(?:User|Username|Pass|Password): ")
_MAIL = re.compile(r"(IMAP|POP3?|SMTP)(?:[/|]|$)", re.IGNORECASE)

RELATIVE, CLOCK, DATE = 0, 1, 2
"""What a time tells: seconds since some packet, a time of day, a date too."""


class Listed(NamedTuple):
    """One packet of a list."""

    number: int | None
    ts: int
    """ns: since the Unix epoch for a date, else since midnight or since some packet."""
    told: int
    """RELATIVE, CLOCK or DATE."""
    digits: int
    """Decimal digits of the time."""
    src: str
    dst: str
    protocol: str
    """'imap', 'pop', 'smtp', or '' for all others."""
    sport: int | None = None
    dport: int | None = None
    flags: int | None = None
    """TCP flags; None where the list does not tell."""
    by_server: bool | None = None
    """Whether the server said ``said``."""
    said: bytes = b""
    """The line said, with its line end; what the list cut away is missing."""


def listed(lines: Iterator[str]) -> Iterator[Listed]:
    """Yield the packets among the lines of a text; other lines are skipped."""
    ports: list[int] = []
    for line in lines:
        text = line[:LINE_LIMIT]
        cells = _cells(text)
        found = _by_cells(cells, ports) if cells else None
        if found is None and (match := _LINE.match(text.strip(_QUOTING))):
            found = _by_match(match)
        if found is not None:
            yield found
        elif cells:
            ports = [place for place, cell in enumerate(cells) if _PORT_WORD.search(cell)]


def _cells(line: str) -> list[str]:
    """Split a line at the first sign that makes a row of it."""
    for sign in _SEPARATORS:
        if line.count(sign) >= _CELLS_LEAST - 1:
            text = line.strip(" \t>") if sign == "\t" else line.strip(_QUOTING)
            try:
                return [cell.strip() for cell in next(csv.reader([text], delimiter=sign), [])]
            except csv.Error:
                return []
    return []


def _by_cells(cells: Sequence[str], port_columns: Sequence[int]) -> Listed | None:
    ends = _ends(cells)
    if ends is None:
        return None
    src, dst = ends
    before, behind = cells[:src], cells[dst + 1 :]
    time = next((m for cell in reversed(before) if (m := _JUST_TIME.fullmatch(cell))), None)
    place = next((n for n, cell in enumerate(behind) if _PROTOCOL.fullmatch(cell)), None)
    if time is None or place is None:
        return None
    if not is_address(cells[src]) and time["fraction"] is None and time["hour"] is None:
        return None  # a table of something else
    number = before[0] if len(before) > 1 and _NUMBER.fullmatch(before[0]) else None
    rest = [cell for cell in behind[place + 1 :] if cell and not _NUMBER.fullmatch(cell)]
    info = max(rest, key=len, default="")
    pair = (cells[src + 1], cells[dst + 1]) if dst == src + 2 else ("", "")
    if len(port_columns) == 2 and port_columns[1] < len(cells):
        pair = (cells[port_columns[0]], cells[port_columns[1]])
    sport, dport = (_port(cell) for cell in pair)
    if sport is None or dport is None:
        sport = dport = None
    return _packet(number, time, (cells[src], cells[dst]), behind[place], info, ports=(sport, dport))


def _ends(cells: Sequence[str]) -> tuple[int, int] | None:
    """Return where the two addresses stand: side by side, or with a port or an arrow between; or names in the usual places."""
    for place in range(min(len(cells) - 1, _CELLS_LOOKED_AT)):
        if is_address(cells[place]):
            for other in (place + 1, place + 2):
                if other < len(cells) and is_address(cells[other]):
                    return place, other
    usual = len(cells) >= 6 and _NUMBER.fullmatch(cells[0]) and _NUMBER.fullmatch(cells[5])
    if usual and _NAME.fullmatch(cells[2]) and _NAME.fullmatch(cells[3]):
        return 2, 3
    return None


def is_address(text: str) -> bool:
    """Tell whether a text is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _by_match(match: re.Match[str]) -> Listed | None:
    """Take a line without separators: prose may hold two addresses too, hence a number or Wireshark's words are asked for."""
    src, dst, info = match["src"], match["dst"], match["info"] or ""
    named = not (is_address(src) and is_address(dst))
    if named and (match["number"] is None or match["length"] is None):
        return None
    if match["number"] is None and not _WORDS.match(info) and not _PORTS.search(info):
        return None
    ports = (_port(match["sport"]), _port(match["dport"]))
    ports = ports if None not in ports else (None, None)
    return _packet(match["number"], match, (src, dst), match["protocol"], info, ports=ports)


def _packet(
    number: str | None,
    time: re.Match[str],
    ends: tuple[str, str],
    protocol: str,
    info: str,
    *,
    ports: tuple[int | None, int | None],
) -> Listed | None:
    moment = _moment(time)
    if moment is None:
        return None
    ts, told, digits = moment
    mail = _MAIL.match(protocol)
    name = mail[1].lower().removesuffix("3") if mail else ""
    notes = _NOTES.match(info)
    text = info[notes.end() :] if notes else info
    repeated = bool(notes and _REPEATED.search(notes[0]))
    flags = None
    if found := _PORTS.match(text):
        flags = sum(_FLAGS.get(word.strip(), 0) for word in found[3].split(","))
        sport, dport = _port(found[1]), _port(found[2])
        ports = (sport, dport) if sport is not None and dport is not None else ports
        if repeated and not flags & SYN:
            flags = None
        text = ""
    by_server, said = (None, b"") if repeated or not name else _said(name, text)
    first = int(number) if number is not None else None
    return Listed(first, ts, told, digits, *ends, name, *ports, flags, by_server, said)


def _said(protocol: str, info: str) -> tuple[bool | None, bytes]:
    """Return who speaks and what; a text that Wireshark did not mark is told by how servers speak."""
    for _ in range(2):
        info = _TAIL.sub("", info.rstrip()).rstrip()
    found = _WORDS.match(info)
    if found is None:
        return None, b""
    text, by_server = found["said"].strip(), found["server"] is not None
    if not text or "DATA fragment" in text:
        return by_server, b""
    if protocol == "smtp":
        text = _smtp(text, by_server=by_server)
    return by_server, text.encode() + b"\r\n"


def _smtp(text: str, *, by_server: bool) -> str:
    """Turn '250-a | SIZE | 8BITMIME' back into lines, and take the dissector's own words away."""
    if not by_server:
        return _SMTP_SECRET.sub(r"\1", text)
    code, parts = text[:3], [part.strip() for part in re.split(r" \| |, (?=\d{3}[ -])", text[3:].lstrip("- "))]
    parts = [re.sub(rf"^{code}[ -]", "", part) for part in parts] if code.isdigit() else parts
    return "\r\n".join([f"{code}-{part}" for part in parts[:-1]] + [f"{code} {parts[-1]}"])


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if text.isdecimal():
        return int(text) if len(text) <= 5 and int(text) <= 0xFFFF else None
    return _SERVICES.get(text.lower())


def _moment(time: re.Match[str]) -> tuple[int, int, int] | None:
    """Return ns, what they count from, and the digits given."""
    fraction = time["fraction"] or ""
    ns = int(time["second"]) * NS_PER_S + int(fraction.ljust(9, "0"))
    if time["hour"] is not None:
        ns += (int(time["hour"]) * 60 + int(time["minute"])) * 60 * NS_PER_S
    if time["year"] is not None:
        days = _days(int(time["year"]), int(time["month"]), int(time["day"]))
        return None if days is None else (days * 86_400 * NS_PER_S + ns, DATE, len(fraction))
    if time["hour"] is None and len(time["second"]) < 10:
        return ns, RELATIVE, len(fraction)
    return ns, DATE if time["hour"] is None else CLOCK, len(fraction)


def _days(year: int, month: int, day: int) -> int | None:
    from datetime import date

    try:
        days = date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return None
    return days if days >= 0 else None
