"""Conversations that went into TLS, and what was decrypted of them: each record is handed to the conversation it is of."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from analyzer.at import Side
from analyzer.capture import Capture
from analyzer.capture.decrypted import Clear, clear_text
from analyzer.errors import CaptureError
from analyzer.sessions.converse import Conversation
from analyzer.streams import Chunk

_End = tuple[str, int]


def unseal(capture: Capture, path: Path, sealed: Sequence[Conversation], keys: bytes) -> None:
    """Decrypt what conversations hide, let them hand over their sessions, and say among the warnings how far it went.

    Args:
        capture: the capture they are of, which has been read.
        path: its file.
        sealed: conversations that have ended and wait.
        keys: lines of key logs; none when the keys lie in the file.
    """
    name = capture.name if " (" in capture.facts.format or "!/" in capture.name else ""
    services = {x.service for x in sealed}
    opened, trouble = set[str](), None
    try:
        opened = hand_over(clear_text(path, keys, services, name=name), sealed)
    except CaptureError as failure:
        trouble = f"TLS was not decrypted: {failure}; {failure.hint}"
    for conversation in sealed:
        conversation.finish()
    capture.facts.warnings.append(trouble or _how_far(len(opened), len(sealed), keys))


def hand_over(records: Iterable[Clear], sealed: Iterable[Conversation]) -> set[str]:
    """Give decrypted octets to the conversations they are of; return the uids of those that got any."""
    by_ends: dict[tuple[_End, _End], list[Conversation]] = defaultdict(list)
    for x in sorted(sealed, key=lambda x: x.connection.first_frame):
        c = x.connection
        by_ends[(c.client, c.client_port), (c.server, c.server_port)].append(x)
    firsts = {ends: [x.connection.first_frame for x in listed] for ends, listed in by_ends.items()}
    opened: set[str] = set()
    for record in records:
        src, dst = (record.src, record.sport), (record.dst, record.dport)
        side = Side.CLIENT if (src, dst) in firsts else Side.SERVER
        ends = (src, dst) if side is Side.CLIENT else (dst, src)
        place = bisect_right(firsts.get(ends, ()), record.at.frame)
        if place:
            conversation = by_ends[ends][place - 1]
            conversation.clear(Chunk(side, record.data, record.at))
            opened.add(conversation.connection.uid)
    return opened


def _how_far(opened: int, sealed: int, keys: bytes) -> str:
    what = "the key log" if keys else "the TLS keys in the file"
    if opened == sealed:
        return f"decrypted with {what}: all of {sealed} TLS sessions"
    if opened:
        return (
            f"decrypted with {what}: {opened} of {sealed} TLS sessions; of the others the keys or the start are missing"
        )
    return (
        f"{what} opens none of {sealed} TLS sessions: it must come from the same run of the mail program, and the capture "
        "must hold the start of each session"
    )
