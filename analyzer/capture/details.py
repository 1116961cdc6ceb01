"""Text -> listed packets: Wireshark's packet details ('tshark -V', or exported as plain text).

Only what the details hold of a mail conversation is read: number, time, addresses, ports, flags and the lines said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.at import NS_PER_S
from analyzer.capture.listing import DATE, LINE_LIMIT, RELATIVE, Listed

# frame = "Frame 5: 107 bytes on wire"; the lines below it are indented by four spaces per level
_FRAME = re.compile(r"Frame (\d{1,10})(?::| \()")
_EPOCH = re.compile(r"\s+Epoch (?:Arrival )?Time: (\d{1,10})\.(\d{1,9})")
_SINCE = re.compile(r"\s+\[Time since reference or first frame: (\d{1,9})\.(\d{1,9})")
_IP = re.compile(
    r"Internet Protocol(?: Version [46])?, Src: (?:[^,]*\()?([0-9A-Fa-f.:]+)\)?, Dst: (?:[^,]*\()?([0-9A-Fa-f.:]+)"
)
_TCP = re.compile(r"Transmission Control Protocol, Src Port: (?:[^,]*\()?(\d{1,5})\)?, Dst Port: (?:[^,]*\()?(\d{1,5})")
_FLAGS = re.compile(r"\s+Flags: 0x([0-9a-fA-F]{2,3}) ")
_MAIL = re.compile(r"(Internet Message Access|Post Office|Simple Mail Transfer) Protocol")
_NAMES = {"Internet Message Access": "imap", "Post Office": "pop", "Simple Mail Transfer": "smtp"}
# said = a line at the first level of the mail protocol: with a label, or ending in a line end that is spelt out;
# Wireshark marks those it cut
_SAID = re.compile(
    r"    (?! )(?P<cut>\[truncated\] ?)?"
    r"(?P<label>(?:Line|Response|Command Line|Command|Username|Password)(?: \[(?:truncated|\u2026)\])?: )?"
    r"(?P<text>.*?)(?P<end>(?:\\r)?\\n)?$"
)
_MORE = re.compile(r"        Response parameter: (.*)")
_SEVERAL = re.compile(r"(\d{3})-")
_ESCAPE = re.compile(r"\\([\"\\])")


class _Frame:
    """The details of one frame while they are being read."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.time = (0, RELATIVE, 0)
        self.ends: tuple[str, str] | None = None
        self.ports: tuple[int | None, int | None] = (None, None)
        self.flags: int | None = None
        self.protocol = ""
        self.said: list[str] = []

    def read(self, line: str) -> None:
        """Take one line of the details."""
        if line[:1] != " ":
            self._heading(line)
        elif self.protocol and (found := _SAID.match(line)):
            if found["label"] or found["end"] or found["cut"]:
                self.said.append(_ESCAPE.sub(r"\1", found["text"]) + "\r\n")
        elif self.protocol == "smtp" and (found := _MORE.match(line)):
            self._more(found[1])
        elif found := _EPOCH.match(line):
            self.time = (_ns(found), DATE, len(found[2]))
        elif self.time[1] == RELATIVE and (found := _SINCE.match(line)):
            self.time = (_ns(found), RELATIVE, len(found[2]))
        elif self.flags is None and self.ports[0] is not None and (found := _FLAGS.match(line)):
            self.flags = int(found[1], 16) & 0x1F

    def _heading(self, line: str) -> None:
        if found := _IP.match(line):
            self.ends = (found[1], found[2])
        elif found := _TCP.match(line):
            self.ports = (int(found[1]), int(found[2]))
        else:
            found = _MAIL.match(line)
            self.protocol = _NAMES[found[1]] if found else ""

    def _more(self, text: str) -> None:
        """Take a further line of a reply of several; of the first one the details tell the text twice."""
        found = _SEVERAL.match(self.said[-1]) if self.said else None
        if found and (len(self.said) > 1 or self.said[0] != f"{found[1]}-{text}\r\n"):
            self.said.append(f"{found[1]}-{text}\r\n")

    def _whole(self) -> str:
        """Return what was said; the last line of several has a space behind its code."""
        if self.said and (found := _SEVERAL.match(self.said[-1])):
            self.said[-1] = f"{found[1]} {self.said[-1][4:]}"
        return "".join(self.said)

    def packet(self, protocol: str) -> Listed:
        """Return what was read."""
        said = self._whole().encode()
        src, dst = self.ends or ("", "")
        return Listed(self.number, *self.time, src, dst, protocol, *self.ports, self.flags, None, said)


def detailed(lines: Iterator[str]) -> Iterator[Listed]:
    """Yield the packets whose details a text holds; other lines are skipped."""
    frame, protocol = None, ""
    for line in lines:
        text = line[:LINE_LIMIT].rstrip("\r\n")
        if found := _FRAME.match(text):
            if frame is not None:
                yield frame.packet(protocol)
            frame, protocol = _Frame(int(found[1])), ""
        elif frame is not None:
            frame.read(text)
            protocol = protocol or frame.protocol
    if frame is not None:
        yield frame.packet(protocol)


def _ns(found: re.Match[str]) -> int:
    return int(found[1]) * NS_PER_S + int(found[2].ljust(9, "0"))
