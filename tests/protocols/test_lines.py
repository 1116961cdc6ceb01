"""Lines and literals of one direction."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.at import At
from analyzer.protocols.lines import KEEP_LIMIT, LINE_LIMIT, Grammar, Line, Lines

AT = At(1, 1)
GRAMMAR = Grammar(
    prose=re.compile(rb"\* OK"),
    resume=re.compile(rb"[a-z]+ "),
    literal_after_loss=re.compile(rb"BODY \{[0-9]+\}\Z"),
    keep=re.compile(rb"a LOGIN"),
)


def reader() -> Lines:
    return Lines(GRAMMAR)


def texts(lines: list[Line]) -> list[bytes]:
    return [line.text for line in lines]


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"a b\r\nc\r\n", [b"a b", b"c"]),
        (b"a\nb\r\n\r\n", [b"a", b"b", b""]),
        (b"half", []),
        (b"a {3}\r\nx\r\n y\r\n", [b"a {3} y"]),
        (b"a {3+}\r\nxyz\r\n", [b"a {3+}"]),
        (b"a ~{3}\r\n{1} y\r\n", [b"a ~{3} y"]),
        (b"a {0}\r\n\r\nb\r\n", [b"a {0}", b"b"]),
        # a literal that ends the line: its announcement is still at the tail and must not be read again
        (b"a {3}\r\nxyz\r\nabc\r\n", [b"a {3}", b"abc"]),
        (b"a {1}\r\nx {2}\r\nyz\r\nb\r\n", [b"a {1} {2}", b"b"]),
        (b"* OK see {3}\r\nb\r\n", [b"* OK see {3}", b"b"]),
        (b"a {3} b\r\n", [b"a {3} b"]),
        (b"a {}\r\nb {x}\r\nc {99999999999}\r\nd {4294967296}\r\n", [b"a {}", b"b {x}", b"c {99999999999}", b"d {4294967296}"]),
    ],
)  # fmt: skip
def test_lines(octets: bytes, expected: list[bytes]) -> None:
    assert texts(reader().feed(octets, AT)) == expected
    one = reader()
    assert [line.text for i in range(len(octets)) for line in one.feed(octets[i : i + 1], AT)] == expected


def test_frames_of_a_line() -> None:
    lines = reader()
    assert lines.feed(b"a lo", At(3, 30)) == []
    assert lines.feed(b"ng\r", At(4, 40)) == []
    assert lines.feed(b"\nb\r\n", At(5, 50)) == [
        Line(b"a long", At(3, 30), At(5, 50)),
        Line(b"b", At(5, 50), At(5, 50)),
    ]


def test_wanted_literals_are_kept() -> None:
    (line,) = reader().feed(b"a LOGIN {3}\r\nj {  {2+}\r\nxy\r\n", AT)
    assert line.literals == (b"j {", b"xy")
    size = KEEP_LIMIT + 1
    (line,) = reader().feed(b"a LOGIN {%d}\r\n%s\r\n" % (size, b"x" * size), AT)
    assert line.literals == (None,)
    (line,) = reader().feed(b"a APPEND {3}\r\nxyz\r\n", AT)
    assert line.literals == (None,)


@pytest.mark.parametrize("step", [1, 1460, 10**6])
def test_overlong_line_is_bounded_and_left_behind(step: int) -> None:
    octets = b"x" * (3 * LINE_LIMIT) + b" {5}\r\nz\r\nzz\r\nnext one\r\n"
    lines, found = reader(), []
    for i in range(0, len(octets), step):
        found += lines.feed(octets[i : i + step], AT)
    assert [(len(line.text), line.cut) for line in found] == [(LINE_LIMIT, "overlong"), (8, "")]


def test_line_that_just_fits() -> None:
    (line,) = reader().feed(b"x" * LINE_LIMIT + b"\r\n", AT)
    assert (len(line.text), line.cut) == (LINE_LIMIT, "")


def test_loss_tells_what_was_there_and_resumes() -> None:
    lines = reader()
    lines.feed(b"a the beginn", AT)
    assert lines.lost(5, AT) == Line(b"a the beginn", AT, AT, (), "lost")
    assert texts(lines.feed(b"Of a line\r\nb next\r\n", AT)) == [b"b next"]
    assert lines.lost(5, AT) is None
    assert texts(lines.feed(b"b starts at once\r\n", AT)) == [b"b starts at once"]


def test_loss_inside_a_literal_is_counted() -> None:
    lines = reader()
    lines.feed(b"a {10}\r\nxx", AT)
    assert lines.lost(5, AT) is None
    assert texts(lines.feed(b"xxx and\r\n", AT)) == [b"a {10} and"]
    lines = reader()
    lines.feed(b"a LOGIN {4}\r\nxx", AT)
    assert lines.lost(2, AT) is None
    assert lines.feed(b"\r\n", AT) == [Line(b"a LOGIN {4}", AT, AT, (None,))]


def test_loss_beyond_a_literal_ends_its_line() -> None:
    lines = reader()
    lines.feed(b"a {10}\r\nxx", AT)
    assert lines.lost(20, AT) == Line(b"a {10}", AT, AT, (None,), "lost")
    assert texts(lines.feed(b"b c\r\n", AT)) == [b"b c"]


def test_after_a_loss_only_a_sure_announcement_counts() -> None:
    lines = reader()
    lines.lost(5, AT)
    assert texts(lines.feed(b"1 {9}\r\nb c\r\n", AT)) == [b"b c"]
    lines.lost(5, AT)
    assert texts(lines.feed(b"x BODY {7}\r\nb c\r\nxx\r\nd e\r\n", AT)) == [b"x BODY {7}", b"d e"]


def test_refused_literal() -> None:
    lines = reader()
    lines.feed(b"a APPEND {7}\r\n", AT)
    assert (lines.unsent, lines.head) == (True, b"a APPEND {7}")
    assert lines.take(AT, "refused") == Line(b"a APPEND {7}", AT, AT, (None,), "refused")
    assert texts(lines.feed(b"b c\r\n", AT)) == [b"b c"]
    lines.feed(b"a APPEND {7+}\r\n", AT)
    assert not lines.unsent


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.binary(max_size=30), st.integers(1, 40))))
def test_anything_goes(pieces: list[bytes | int]) -> None:
    lines = reader()
    for piece in pieces:
        told = lines.feed(piece, AT) if isinstance(piece, bytes) else [lines.lost(piece, AT)]
        assert all(line is None or len(line.text) <= LINE_LIMIT for line in told)


@pytest.mark.parametrize("octets", [b"x", b"{0}\r\n", b"\r", b"a {1}\r\nx", b"{"])
def test_time_is_linear(octets: bytes) -> None:
    def cost(size: int) -> float:
        data, lines = octets * (size // len(octets)), reader()
        start = time.process_time()
        for i in range(0, len(data), 16):
            lines.feed(data[i : i + 16], AT)
        return time.process_time() - start

    small = min(cost(50_000) for _ in range(3))
    # eight times the octets: 8 when linear, 64 when quadratic; the rest is the machine's noise
    assert min(cost(400_000) for _ in range(2)) < 24 * small + 0.02
