"""Every transcript five ways: whole, octet by octet, cut anywhere, with more behind it, with a hole in it."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.at import At, Side
from analyzer.protocols import PARSERS, Event
from analyzer.protocols.events import AuthEnded, AuthIdentity, AuthServer, AuthStarted
from tests.transcript import PLANTED, Transcript, load_all

PARSER = {parser.name: parser for parser in PARSERS}
TRANSCRIPTS = [transcript for parser in PARSERS for transcript in load_all(parser.name)]
each = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda t: f"{t.protocol}-{t.name}")
few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Cut = tuple[Side, bytes, int]


def at(step: int) -> At:
    return At(step + 1, step * 10_000_000)


def play(protocol: str, pieces: Iterable[Cut], *, end: int, complete: bool = True) -> list[Event]:
    parser = PARSER[protocol]()
    events: list[Event] = []
    for side, data, step in pieces:
        events += parser.feed(side, data, at(step))
    return events + list(parser.close(at(end), complete=complete))


def whole(transcript: Transcript) -> Iterator[Cut]:
    return ((side, data, step) for step, (side, data) in enumerate(transcript.steps))


def told(transcript: Transcript) -> list[Event]:
    return play(transcript.protocol, whole(transcript), end=len(transcript.steps))


def logins(events: list[Event]) -> list[dict[str, object]]:
    """Fold the events of each login into one flat record, in the order they began."""
    found: list[dict[str, object]] = []
    for event in events:
        match event:
            case AuthStarted():
                found.append({"mechanism": event.mechanism, "account": None, "account_from": "none", "server": None})
            case AuthIdentity():
                found[-1] |= event.identity._asdict()
            case AuthServer():
                found[-1]["server"] = event.name
            case AuthEnded():
                waiting = next(record for record in found if "outcome" not in record)
                waiting |= event._asdict()
    for record in found:
        record["credential"] = "yes" if record.get("credential") else None
    return found


def holds(event: Event, fields: dict[str, str | None]) -> bool:
    values = event._asdict()
    return all((None if values[key] is None else shown(values[key])) == value for key, value in fields.items())


def shown(value: object) -> str:
    return str(int(value)) if isinstance(value, Side) else str(value)


def assert_no_secret(events: Iterable[Event]) -> None:
    text = repr(list(events))
    spoken = PLANTED.encode()
    forms = {PLANTED, spoken.hex(), spoken.hex().upper(), PLANTED.encode("utf-16-le").hex()}
    # the middle of the base64 at each of the three alignments
    forms |= {b64encode(b"x" * shift + spoken).decode()[4:16] for shift in range(3)}
    assert not {form for form in forms if form in text}


@each
def test_whole(transcript: Transcript) -> None:
    events = told(transcript)
    found = logins(events)
    expected = transcript.logins
    picked = [{key: record.get(key) for key in fields} for record, fields in zip(found, expected, strict=True)]
    assert picked == list(expected)
    assert_no_secret(events)


@each
def test_events_told(transcript: Transcript) -> None:
    events = told(transcript)
    for kind, fields in (fact for fact in transcript.expect if fact.kind != "login"):
        assert any(type(event).__name__ == kind and holds(event, fields) for event in events), (kind, fields)


@each
def test_octet_by_octet(transcript: Transcript) -> None:
    pieces = [(side, data[i : i + 1], step) for side, data, step in whole(transcript) for i in range(len(data))]
    assert play(transcript.protocol, pieces, end=len(transcript.steps)) == told(transcript)


@each
@few
@given(data=st.data())
def test_cut_anywhere(transcript: Transcript, data: st.DataObject) -> None:
    pieces: list[Cut] = []
    for side, octets, step in whole(transcript):
        marks = sorted(data.draw(st.sets(st.integers(0, len(octets)), max_size=4)) | {0, len(octets)})
        pieces += [(side, octets[a:b], step) for a, b in pairwise(marks)]
    assert play(transcript.protocol, pieces, end=len(transcript.steps)) == told(transcript)


@each
@few
@given(tail=st.binary(max_size=60), side=st.sampled_from(Side))
def test_more_behind(transcript: Transcript, tail: bytes, side: Side) -> None:
    open_ended = {"abandoned", "unseen"}
    expected = [e for e in told(transcript) if not isinstance(e, AuthEnded) or e.outcome not in open_ended]
    end = len(transcript.steps)
    events = play(transcript.protocol, [*whole(transcript), (side, tail, end)], end=end + 1)
    assert [event for event in events if event in expected] == expected
    assert_no_secret(events)


@each
@settings(few, max_examples=25)
@given(data=st.data())
def test_hole(transcript: Transcript, data: st.DataObject) -> None:
    """Leave octets of one side out: nothing raises, no secret comes out, no accepted login is invented."""
    side = data.draw(st.sampled_from(Side))
    size = sum(len(octets) for who, octets in transcript.steps if who is side)
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    events = play_with_hole(transcript, side, start, stop)
    assert_no_secret(events)
    accepted = [event for event in events if isinstance(event, AuthEnded) and event.outcome == "accepted"]
    assert len(accepted) <= sum(fields["outcome"] == "accepted" for fields in transcript.logins)
    ended = sum(isinstance(event, AuthEnded) for event in events)
    assert ended == sum(isinstance(event, AuthStarted) for event in events)


def play_with_hole(transcript: Transcript, side: Side, start: int, stop: int) -> list[Event]:
    parser, events, place, missing = PARSER[transcript.protocol](), [], 0, 0
    for step, (who, octets) in enumerate(transcript.steps):
        if who is not side:
            events += parser.feed(who, octets, at(step))
            continue
        before, after = octets[: max(0, start - place)], octets[max(0, stop - place) :]
        missing += len(octets) - len(before) - len(after)
        place += len(octets)
        events += parser.feed(who, before, at(step))
        if missing and after:
            events += parser.lost(who, missing, at(step))
            missing = 0
        events += parser.feed(who, after, at(step))
    if missing:
        events += parser.lost(side, missing, at(len(transcript.steps)))
    return events + list(parser.close(at(len(transcript.steps))))


@each
def test_every_prefix_keeps_the_secret(transcript: Transcript) -> None:
    """A capture may end anywhere, and a start may lack any number of octets of the client."""
    client = b"".join(octets for side, octets in transcript.steps if side is Side.CLIENT)
    for cut in range(0, min(len(client), 600), 7):
        assert_no_secret(play(transcript.protocol, [(Side.CLIENT, client[:cut], 0)], end=1, complete=False))
        parser = PARSER[transcript.protocol]()
        assert_no_secret([*parser.lost(Side.CLIENT, cut, at(0)), *parser.feed(Side.CLIENT, client[cut:], at(1))])


GREETINGS = {
    "imap": (b"* OK ready", b"* PREAUTH hello", b"* BYE no"),
    "pop3": (b"+OK ready", b"-ERR no", b"+OK"),
    "smtp": (b"220 mail", b"220-mail", b"421 4.3.2 no", b"554 no"),
}
NO_GREETINGS = (b"* 5 EXISTS", b"+ go on", b"250 mail", b"HTTP/1.1 200 OK", b"EHLO mail", b"2200 mail")


@pytest.mark.parametrize("protocol", GREETINGS)
def test_a_parser_knows_its_greeting(protocol: str) -> None:
    opening = PARSER[protocol].opening
    assert all(opening.match(octets) for octets in GREETINGS[protocol])
    others = [octets for name, greetings in GREETINGS.items() if name != protocol for octets in greetings]
    assert not any(opening.match(octets) for octets in (*others, *NO_GREETINGS))


def test_there_are_transcripts_of_every_protocol() -> None:
    assert all(sum(t.protocol == name for t in TRANSCRIPTS) > 15 for name in PARSER)
