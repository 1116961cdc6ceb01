"""One frame in plain words: who sent what to whom, which line of mail it completed, and which finding it serves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from struct import Struct, error
from typing import TYPE_CHECKING, NamedTuple

from analyzer.at import NS_PER_S
from analyzer.capture.headers import ICMP, ICMPV6, LINKS, TCP, internet, untag
from analyzer.capture.packets import ACK, FIN, RST, SYN, Row, Unreachable
from analyzer.capture.window import text as address_text
from analyzer.report.dialogue import DialogueLine
from analyzer.report.layout import Line, folded
from analyzer.report.result import Result
from analyzer.rules.finding import CLAIMS, Finding, FrameRef, Verdict
from analyzer.sessions.session import Session

if TYPE_CHECKING:
    from analyzer.language import Say

_PORTS = Struct(">HH")
_UDP = 17
_ARP = 0x0806
_NAMES = {TCP: "TCP", _UDP: "UDP", ICMP: "ICMP", ICMPV6: "ICMPv6"}
_WORTH = CLAIMS | {Verdict.SUSPECTED}
_INDENT = 11


class Seen(NamedTuple):
    """What a second look at the capture found about one frame."""

    frame: int
    ts: int
    wire: int
    """Octets on the wire."""
    link: int
    octets: bytes
    row: Row | None = None
    """When it is TCP of a mail connection."""
    repeated: int = 0
    """How many of its payload octets an earlier packet had carried already."""
    complaint: Unreachable | None = None
    session: Session | None = None
    lines: Sequence[DialogueLine] = ()
    """What was said or became known with this frame."""


def explain(seen: Seen, result: Result, capture: str, width: int, say: Say = str) -> Iterator[Line]:
    """Yield what one frame of a capture is, in lines of at most ``width`` columns."""
    moment = datetime.fromtimestamp(seen.ts // NS_PER_S, UTC)
    when = f"{moment:%Y-%m-%d %H:%M:%S}.{seen.ts % NS_PER_S // 1000:06} UTC"
    yield from _folded(say(f"frame {seen.frame} of {capture}"), width)
    yield from _folded(f"{when}   {say(f'{seen.wire} octets on the wire')}", width)
    yield ()
    last = ""
    for label, text in (*_what(seen, say), *_served(seen, result, capture, say)):
        yield from _fact("" if label == last else say(label), text, width)
        last = label


def _what(seen: Seen, say: Say) -> Iterator[tuple[str, str]]:
    if seen.complaint is not None:
        yield from ((label, say(text)) for label, text in _complaint(seen.complaint))
    elif seen.row is None:
        yield "what", f"{say('no mail')}: {say(_other(seen))}"
    else:
        yield from _segment(seen, seen.row, say)


def _complaint(said: Unreachable) -> Iterator[tuple[str, str]]:
    yield "what", f"{said.reporter} says that a packet could not be delivered ({said.code} unreachable)"
    yield "about", f"the packet of {said.src}:{said.sport} to {said.dst}:{said.dport}, which is a mail connection"


def _segment(seen: Seen, row: Row, say: Say) -> Iterator[tuple[str, str]]:
    session = seen.session
    if session is not None:
        yield "who", say(_way(session, row))
    yield "tcp", "; ".join(map(say, _role(seen, row)))
    for line in seen.lines:
        who = {"C": "the client says", "S": "the server says"}.get(line.side, "known here")
        yield "mail", f"{say(who)}: {line.text if line.side in 'CS' else say(line.text)}"
    if row.size and not seen.lines:
        yield "mail", say("completes no line that matters: part of one, data of the mailbox, or encrypted")


def _way(session: Session, row: Row) -> str:
    """Say from whom to whom a segment went, and in which session."""
    client, server = f"client {session.client}:{session.client_port}", f"server {session.server}:{session.server_port}"
    from_client = row.sport == session.client_port and row.dport == session.server_port
    one, other = (client, server) if from_client else (server, client)
    what, outcome = (session.protocol or "mail").upper(), session.outcome.value.replace("_", " ")
    return f"{one} to {other}; {what} session {session.uid}, which ended: {outcome}"


def _role(seen: Seen, row: Row) -> Iterator[str]:
    flags, size = row.flags, row.size + row.cut
    if flags & RST:
        yield "breaks the connection off (RST)"
        return
    if flags & SYN:
        yield "answers: the port is open (SYN, ACK)" if flags & ACK else "asks for a connection (SYN)"
    if flags & FIN:
        yield "says that its sender has nothing more to send (FIN)"
    if size:
        more = f", of which the capture lacks {row.cut}" if row.cut else ""
        yield f"carries {size} octets{more}"
        if seen.repeated >= row.size > 0:
            yield "all of them were sent before: a retransmission, or a mirrored copy"
        elif seen.repeated:
            yield f"{seen.repeated} of them were sent before"
    if flags == ACK and not size:
        yield "acknowledges what it got, and carries nothing"


def _other(seen: Seen) -> str:
    """Say in a few words what a frame is that is no mail."""
    try:
        reader = LINKS.get(seen.link)
        if reader is None:
            return "a frame of a kind that is not read"
        kind, at = untag(seen.octets, *reader(seen.octets, 0))
        if kind == _ARP:
            return "ARP: somebody asks who has an address"
        datagram = internet(seen.octets, kind, at, seen.wire)
        if datagram is None:
            return f"no IP packet (EtherType {kind:04x})"
        source, target = address_text(datagram.src), address_text(datagram.dst)
        name = _NAMES.get(datagram.proto, f"IP protocol {datagram.proto}")
        if datagram.fragment is not None:
            return f"a fragment of {name}, {source} to {target}"
        if datagram.proto in {TCP, _UDP}:
            sport, dport = _PORTS.unpack_from(seen.octets, datagram.at)
            return f"{name}, {source}:{sport} to {target}:{dport}"
    except (IndexError, error):
        return "a frame that is cut too short to tell"
    return f"{name}, {source} to {target}"


def _served(seen: Seen, result: Result, capture: str, say: Say) -> Iterator[tuple[str, str]]:
    ref, told = FrameRef(capture, seen.frame), False
    for finding in result.findings:
        for fact in finding.evidence if finding.verdict in _WORTH else ():
            if ref in fact.frames:
                told = True
                side = (
                    "for" if fact.weight_db > 0 or fact.decisive else "against" if fact.weight_db < 0 else "as a fact"
                )
                yield "proves", f"{_headline(finding, say)}: {say(side)}{_weight(fact.weight_db)}: {say(fact.text)}"
    if told or seen.session is None:
        return
    uid = capture, seen.session.uid
    about = [x for x in result.findings if x.verdict in _WORTH and uid in x.sessions]
    for finding in about:
        yield (
            "part of",
            f"{say('a session that shows')} {_headline(finding, say)}; {say('no evidence by itself')}",
        )
    if not about:
        yield "proves", say("nothing: no finding rests on it")


def _headline(finding: Finding, say: Say) -> str:
    return f"{say(finding.verdict.value).upper()} {say(finding.title)}"


def _weight(db: float) -> str:
    return f" {db:+.0f} dB" if db else ""


def _fact(label: str, text: str, width: int) -> Iterator[Line]:
    for number, line in enumerate(folded(text, width - _INDENT)):
        yield ((f"   {label if number == 0 else '':8}", "cyan"), (line, ""))


def _folded(text: str, width: int) -> Iterable[Line]:
    return (((line, ""),) for line in folded(text, width))
