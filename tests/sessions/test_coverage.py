"""What a capture can show: its state and grade."""

import pytest

from analyzer.at import At, Side
from analyzer.capture.mislabelled import WARNING as REPAIRED
from analyzer.capture.packets import Facts, Stopped
from analyzer.sessions.coverage import Quality, capture_seen, unread
from analyzer.sessions.session import Session
from analyzer.streams import Stall
from tests.records import session

CUT = Stopped(77, 4000, "the file ends inside a packet")


def facts(**changes: object) -> Facts:
    given: dict[str, object] = {"format": "pcap", "link_types": ["ethernet"], "packets": 100, "start": 1, "end": 2}
    made = Facts()
    for name, value in (given | changes).items():
        setattr(made, name, value)
    return made


def many(count: int, **changes: object) -> list[Session]:
    return [session(f"C{n}", **changes) for n in range(1, count + 1)]


GRADES = {
    "nothing missing": (facts(), many(4), "A", 0),
    "cut file": (facts(stopped=CUT), many(4), "B", 1),
    "snap length": (facts(snapped=9), many(4), "B", 1),
    "snap length that leaves little": (facts(snapped=9), many(4, missed_bytes=1301), "C", 1),
    "snap length that leaves nothing": (
        facts(snapped=9),
        many(4, client_bytes=0, server_bytes=0, missed_bytes=9),
        "D",
        1,
    ),
    "one of five with a gap": (facts(), many(4) + many(1, missed_bytes=9), "B", 1),
    "half with gaps": (facts(), many(2) + many(2, missed_bytes=9), "C", 1),
    "gaps explained by the snap length": (facts(snapped=9), many(2) + many(2, missed_bytes=9), "B", 1),
    "one direction only": (facts(), many(1, one_sided=True), "D", 1),
    "one direction only, of every third": (facts(), many(2) + many(1, one_sided=True), "C", 1),
    "one direction only, of every tenth": (facts(), many(9) + many(1, one_sided=True), "B", 1),
    "octets that never came are no gap of the capture": (
        facts(),
        many(4, missed_bytes=1400, stall=Stall(Side.SERVER, At(9, 1), 1400, 0, 90, 1, 2)),
        "A",
        0,
    ),
    "a packet list": (facts(format="packet list (text)"), many(4), "B", 1),
    "bare IP marked as Ethernet costs nothing": (facts(warnings=[REPAIRED]), many(4), "A", 1),
    "the clock jumps": (facts(), [session("C1", at_s=90.0), session("C2", at_s=9.0), session("C3", at_s=95.0)], "B", 1),
    "packets that trade places are no jump": (facts(), [session("C1", at_s=9.9), session("C2", at_s=9.0)], "A", 0),
    "began before the capture": (facts(), many(1, syn_at=None), "B", 1),
    "mirrored copies cost nothing": (facts(), many(1, duplicates=9), "A", 1),
    "all encrypted": (facts(), many(2, tls="implicit"), "C", 1),
    "all decrypted": (facts(), many(2, tls="implicit", decrypted=True), "A", 0),
    "some encrypted": (facts(), many(2, tls="implicit") + many(1), "A", 1),
    "everything at once": (facts(stopped=CUT, snapped=1), many(1, one_sided=True, syn_at=None), "E", 4),
    "no mail": (facts(), [], "F", 1),
    "silent connections count for no gap": (facts(), many(1, client_bytes=0, server_bytes=0, syn_at=None), "A", 0),
}


@pytest.mark.parametrize("name", GRADES)
def test_grade(name: str) -> None:
    given, sessions, grade, reasons = GRADES[name]
    quality = capture_seen("x.pcap", None, given, sessions).quality
    assert (quality.grade, len(quality.reasons)) == (grade, reasons)


@pytest.mark.parametrize(
    ("given", "sessions", "state"),
    [
        (facts(), many(1), "ok"),
        (facts(), [], "no_mail"),
        (facts(packets=0), [], "empty"),
        (facts(stopped=CUT), many(1), "partial"),
        (facts(stopped=CUT, packets=0), [], "partial"),
    ],
)
def test_state(given: Facts, sessions: list[Session], state: str) -> None:
    assert capture_seen("x.pcap", None, given, sessions).state == state


def test_the_facts_are_handed_on() -> None:
    seen = capture_seen("x.pcap", "ab", facts(warnings=["odd"], resolution=9), many(1))
    assert (seen.name, seen.sha256, seen.format, seen.link_types) == ("x.pcap", "ab", "pcap", ("ethernet",))
    assert (seen.packets, seen.start, seen.end, seen.resolution, seen.warnings) == (100, 1, 2, 9, ("odd",))


def test_an_unread_input_has_a_row_as_well() -> None:
    seen = unread("x.txt", "not_a_capture", "begins with 68 65")
    assert (seen.state, seen.packets, seen.quality) == ("not_a_capture", 0, Quality("F", ("begins with 68 65",)))
