"""What a conversation says it has no use for may go by unread: nothing that is told changes."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

from analyzer.at import Side
from analyzer.capture import open_capture
from analyzer.protocols.events import Event
from analyzer.sessions.converse import Conversation
from analyzer.sessions.session import Session
from analyzer.streams import Chunk, Connection, connections
from tests.benchmarks.captures import make
from tests.sessions.dialogue import GREETING, at, connection

C, S = Side.CLIENT, Side.SERVER


class _Curious(Conversation):
    """Wants to hear everything."""

    def chunk(self, chunk: Chunk) -> int:
        super().chunk(chunk)
        return 0


def _heard(path: Path, kind: type[Conversation]) -> tuple[list[Session], dict[str, list[Event]], int]:
    sessions: list[Session] = []
    events: dict[str, list[Event]] = {}
    fed = 0

    class Counted(kind):  # type: ignore[misc,valid-type]  # either of the two
        def chunk(self, chunk: Chunk) -> int:
            nonlocal fed
            fed += len(chunk.data)
            return int(super().chunk(chunk))

    def listen(found: Connection) -> Conversation:
        return Counted(path.name, found, sessions.append, events.setdefault(found.uid, []))

    for _ in connections(open_capture(path).windows(), listen):
        pass
    return sessions, events, fed


def test_mails_go_by_unread_and_nothing_else_changes(tmp_path: Path) -> None:
    path = tmp_path / "mails.pcap"
    make("imap", path, 1)
    some, all_of_it = _heard(path, Conversation), _heard(path, _Curious)
    assert len(some[0]) > 3
    assert some[:2] == all_of_it[:2]
    assert some[2] < all_of_it[2] / 10


def test_a_literal_goes_by_up_to_its_last_octet() -> None:
    talk = Conversation("test.pcap", connection(), lambda _: None)
    for n, (side, data) in enumerate(((S, GREETING), (C, b"A1 FETCH 1 (BODY[])\r\n")), 2):
        assert talk.chunk(Chunk(side, data, at(n))) == 0
    assert talk.chunk(Chunk(S, b"* 1 FETCH (BODY[] {1000}\r\n", at(4))) == 0  # not before its first octet
    assert talk.chunk(Chunk(S, b"x" * 10, at(5))) == 989
    assert talk.chunk(Chunk(S, b"x" * 90, at(6), passed=500)) == 399
    assert talk.chunk(Chunk(S, b"x)\r\nA1 OK done\r\n", at(7), passed=399)) == 0


def test_the_password_of_a_login_is_never_passed_over() -> None:
    talk = Conversation("test.pcap", connection(), lambda _: None)
    talk.chunk(Chunk(S, GREETING, at(2)))
    assert talk.chunk(Chunk(C, b"A1 LOGIN {9+}\r\nuccx", at(3))) == 0


def test_opaque_octets_need_not_come() -> None:
    talk = Conversation("test.pcap", connection(), lambda _: None)
    lines = ((S, GREETING), (C, b"A1 COMPRESS DEFLATE\r\n"), (S, b"A1 OK begin\r\n"), (C, b"\x4b"))
    wanted = [talk.chunk(Chunk(side, data, at(n))) for n, (side, data) in enumerate(lines, 2)]
    assert wanted[:2] == [0, 0]
    assert wanted[-1] > 1 << 40


def test_of_tls_only_the_heads_of_records_need_come() -> None:
    talk = Conversation("test.pcap", connection(), lambda _: None)
    lines = ((S, GREETING), (C, b"A1 STARTTLS\r\n"), (S, b"A1 OK begin\r\n"), (C, b"\x17\x03\x03\x10\0" + bytes(96)))
    wanted = [talk.chunk(Chunk(side, data, at(n))) for n, (side, data) in enumerate(lines, 2)]
    assert wanted == [0, 0, 0, 4096 - 96 - 1]
    assert talk.chunk(Chunk(C, bytes(10), at(9), passed=3999 - 9)) == 0


def test_a_conversation_that_has_ended_goes_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        talk = Conversation("test.pcap", connection(), lambda _: None)
        talk.chunk(Chunk(S, GREETING, at(2)))
        talk.end()
        gone = weakref.ref(talk._parser)
        del talk
        assert gone() is None
    finally:
        gc.enable()
