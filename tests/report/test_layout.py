from __future__ import annotations

import pytest

from analyzer.report.layout import columns, folded, plain


@pytest.mark.parametrize(
    ("text", "room", "lines"),
    [
        ("", 10, []),
        ("one two three", 7, ["one two", "three"]),
        ("one two three", 80, ["one two three"]),
        ("a   b", 5, ["a   b"]),
        ("a   b", 4, ["a", "b"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("ab cdefghij", 4, ["ab", "cdef", "ghij"]),
        ("日本語です", 4, ["日本", "語で", "す"]),
        ("e\N{COMBINING ACUTE ACCENT}e\N{COMBINING ACUTE ACCENT} x", 2, ["e\u0301e\u0301", "x"]),
    ],
)
def test_lines_are_broken_between_words_and_never_too_wide(text: str, room: int, lines: list[str]) -> None:
    assert list(folded(text, room)) == lines
    assert all(columns(line) <= room for line in lines)


def test_the_first_line_may_have_less_room() -> None:
    assert list(folded("one two three", 13, 5)) == ["one", "two three"]


def test_nothing_is_lost() -> None:
    text = "an account with a verylongname@of-a-domain.example and 日本語 in it " * 5
    assert "".join("".join(folded(text, 17)).split()) == "".join(text.split())


def test_plain_has_no_styles_and_no_trailing_spaces() -> None:
    assert plain(iter([(("a ", "bold"), ("b  ", "")), (), (("c", "red"),), ()])) == "a b\n\nc\n"
