"""The dialogue as a ladder: who said what on which side, within the width asked for."""

from pathlib import Path

import pytest

import analyzer
from analyzer.at import At
from analyzer.report.dialogue import DialogueLine
from analyzer.report.ladder import ladder
from analyzer.report.layout import columns, plain
from tests.records import session

CASE = Path(__file__).parents[2] / "sample_pcaps" / "server_side_limit_ntlm.pcapng"


@pytest.fixture(scope="module")
def case() -> analyzer.Analysis:
    return analyzer.read(CASE)


def shown(case: analyzer.Analysis, uid: str, width: int = 80) -> list[str]:
    about = next(x for x in case.result.sessions if x.uid == uid)
    return plain(ladder(case.dialogue(uid), about, width)).splitlines()


def test_client_left_server_right_with_frame_time_and_pause(case: analyzer.Analysis) -> None:
    lines = shown(case, "C20")
    assert lines[0] == "C20  2024-03-04              192.0.2.18:50004          198.51.100.10:143"
    assert lines[1] == "frame time (UTC)       since client                    server"
    assert "  309 09:14:03.217   +1.2 ms A0 CAPABILITY" in lines
    assert "  320 09:14:03.250  +26.3 ms                           A1 NO AUTHENTICATE" in lines
    assert lines[-1].strip() == "failed."
    assert "  314 09:14:03.222   +2.6 ms (the server calls itself EXCH01)" in lines


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_asked_for(case: analyzer.Analysis, width: int) -> None:
    for uid in ("C1", "C20", "C50"):
        assert max(columns(x) for x in shown(case, uid, max(width, 70))) <= max(width, 70)


def test_hostile_words_and_long_pauses_stay_in_their_columns() -> None:
    said = [
        DialogueLine(At(1, 0), 0.0, "S", "* OK " + "wide \N{CJK UNIFIED IDEOGRAPH-4E00}" * 20),
        DialogueLine(At(1_234_567, 10**15), 86_400.0, "C", "x" * 200),
        DialogueLine(At(1_234_568, 10**15 + 1), -0.5, "-", ""),
    ]
    lines = plain(ladder(said, session(), 80)).splitlines()
    assert max(columns(x) for x in lines) <= 80
    assert any("+86400 s" in x for x in lines)
    assert any("-500.0 ms" in x for x in lines)


def test_sides_have_their_styles(case: analyzer.Analysis) -> None:
    about = next(x for x in case.result.sessions if x.uid == "C20")
    styles = {style for line in ladder(case.dialogue("C20"), about, 80) for _, style in line}
    assert {"cyan", "yellow", "dim"} <= styles


def test_a_session_without_words_has_a_head() -> None:
    assert len(plain(ladder([], session(), 80)).splitlines()) == 2
