from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from analyzer.remedies import fill
from analyzer.report.terminal import console_for, screen, show, show_lines, table, table_text
from analyzer.rules.finding import Candidate, Subject, Verdict
from analyzer.sessions.coverage import Quality
from tests.records import capture_seen, changed, evidence, finding, full_house, one_pc, result, session

SUSPECTED = finding(
    candidates=(
        Candidate("per_user_connection_limit", 0.5),
        Candidate("bad_credentials", 0.4),
        Candidate("x_y", 0.001),
    ),
    evidence=(
        evidence("burst of refusals, 10 per second", frames=(10_569, 10_627, 10_647)),
        evidence("an old thing", weight_db=-3.0),
    ),
    missing=("capture at the server",),
    remedies=("exchange-per-user-connection-limit",),
    sessions=(("agent-pc-07.pcapng", "C3"),),
    facts={"clients": 1},
)
CONFIRMED = finding(
    Verdict.CONFIRMED,
    confidence=0.987,
    evidence=(
        evidence("all refusals came with 16 open", decisive=True),
        evidence("others were accepted", weight_db=0.0),
    ),
    remedies=("per-user-connection-limit",),
    facts={"limit": 16, "clients": 20},
)


def made(*findings: Any, **more: Any) -> Any:
    remedies = [x for f in findings for x in fill(f.facts, f.remedies, "exchange")]
    return result(one_pc(), findings, remedies=tuple(remedies), **more)


def test_the_screen_answers_first_and_fits_eighty_columns() -> None:
    text = screen(made(SUSPECTED))
    first, second, _, answer, *_ = text.splitlines()
    assert first == "agent-pc-07.pcapng   117.9 s   10,647 frames   3 mail connections"
    assert second.startswith("IMAP in clear")
    assert answer.startswith("SUSPECTED  per-user connection throttling")
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) <= 25
    assert "\x1b" not in text
    assert "│" not in text


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("for", "burst of refusals, 10 per second"),
        ("against", "an old thing"),
        ("rival", "wrong or changed password (40 %)"),
        ("settle", "capture at the server"),
        ("frames", "10569 10627 10647"),
        ("if so", "Raise MaxConnectionsPerUser to what the team needs"),
    ],
)
def test_a_suspicion_shows_its_reasons_rivals_and_what_settles_it(label: str, text: str) -> None:
    shown = screen(made(SUSPECTED))
    assert f"   {label:8}{text}" in shown.splitlines()
    assert "x y" not in shown
    assert "mailscope dialogue agent-pc-07.pcapng --session C3" in shown
    assert "frame.number in {10569, 10627, 10647}" in shown


def test_a_confirmed_fault_shows_proof_limit_and_the_computed_fix() -> None:
    shown = screen(made(CONFIRMED))
    assert "CONFIRMED  99 %  per-user" in shown
    assert "   proof   all refusals came with 16 open" in shown
    assert "   not     others were accepted" in shown
    assert "   limit   16" in shown
    assert "= 53" in shown
    assert "mailscope remedy exchange-per-user-connection-limit --agents 20" in shown


def test_only_the_top_findings_are_told_in_full() -> None:
    many = [changed(SUSPECTED, title=f"fault number {n}") for n in range(6)]
    shown = screen(made(*many))
    assert shown.count("SUSPECTED") == 3
    assert "3 more: fault number 3; fault number 4; fault number 5" in shown


def test_warnings_failures_and_quality_stand_below() -> None:
    extra = (finding(severity="warning", title="many retransmissions"), finding(Verdict.FAILED, severity="info"))
    seen = capture_seen(quality=Quality("C", ("one direction only",)), warnings=("clock went back",))
    shown = screen(made(CONFIRMED, *extra, captures=[seen]))
    assert "   also    suspected: many retransmissions" in shown
    assert "   failed  rule per_user_connection_limit broke" in shown
    assert "   quality one direction only" in shown
    assert "           clock went back" in shown
    assert "quality C" in shown


@pytest.mark.parametrize(
    ("sessions", "states", "says"),
    [
        ([session()], ["ok"], "HEALTHY  nothing wrong found: 1 of 1 sessions logged in"),
        ([], ["no_mail"], "NO MAIL  no mail traffic in the capture"),
        ([], ["not_a_capture"], "UNREADABLE  nothing could be read"),
        ([], [], "NO MAIL"),
    ],
)
def test_nothing_found_is_said_in_one_line(sessions: list[Any], states: list[str], says: str) -> None:
    assert says in screen(result(sessions, captures=[capture_seen(state=x) for x in states]))


def test_many_captures_take_one_line() -> None:
    seen = [capture_seen(f"{n}.pcap", packets=1000) for n in range(9)] + [capture_seen("x", state="error", packets=0)]
    shown = screen(result(one_pc(), captures=seen))
    assert shown.splitlines()[0] == "10 captures   9,000 frames   3 mail connections   1 not readable"


def test_words_of_the_capture_are_never_markup() -> None:
    evil = "[bold red]x[/] [link=http://e]y[/link] :smile: \\[z]"
    subject = Subject(accounts=(evil,))
    shown = screen(made(changed(SUSPECTED, title=evil, subject=subject, missing=(evil,))))
    assert shown.count("[bold red]x[/]") == 2
    assert ":smile:" in shown
    assert evil in table_text([{"a": evil}], ["a"])


def test_a_terminal_gets_colour_and_the_same_words() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system="standard", legacy_windows=False)
    show(made(CONFIRMED), console)
    assert "\x1b[1;37;41mCONFIRMED\x1b[0m" in out.getvalue()


def test_a_stream_that_is_no_terminal_gets_eighty_columns() -> None:
    console = console_for(io.StringIO())
    assert (console.width, console.is_terminal) == (80, False)


def test_a_table_aligns_shortens_times_of_one_day_and_never_folds() -> None:
    rows = [
        {
            "n": 5,
            "at": "2024-03-04T09:14:00.123456Z",
            "who": "a" * 300,
            "list": [str(x) for x in range(10)],
            "none": None,
            "f": 1.25,
        },
        {"n": 10, "at": "2024-03-04T10:14:00.123456Z", "who": "b", "list": [], "none": None, "f": 1.0},
    ]
    day, head, first, second = table_text(rows, list(rows[0])).splitlines()
    assert day == "2024-03-04, times in UTC"
    assert head.split() == ["N", "AT", "WHO", "LIST", "NONE", "F"]
    assert first.split() == ["5", "09:14:00.123456", "a" * 300, *"01234567", "+2", "-", "1.2"]
    assert second.startswith("10  10:14:00.123456  b ")


def test_times_of_two_days_keep_their_dates() -> None:
    rows = [{"at": "2024-03-04T09:14:00.1Z"}, {"at": "2024-03-05T09:14:00.1Z"}]
    assert table_text(rows, ["at"]).splitlines() == ["AT", rows[0]["at"], rows[1]["at"]]


def test_an_empty_table_is_its_head() -> None:
    assert table_text([], ["a", "b"]).split() == ["A", "B"]


def test_outcomes_are_coloured_on_a_terminal() -> None:
    out = io.StringIO()
    table(
        [{"outcome": "refused"}],
        ["outcome"],
        Console(file=out, force_terminal=True, color_system="standard", legacy_windows=False),
    )
    assert "\x1b[31mrefused\x1b[0m" in out.getvalue()


def test_lines_are_printed_as_they_are() -> None:
    out = io.StringIO()
    show_lines([(("S: * OK " + "x" * 200, "yellow"),), (("A0 ", ""), ("[bold]", "bold"))], console_for(out))
    assert out.getvalue().splitlines() == ["S: * OK " + "x" * 200, "A0 [bold]"]


def test_a_large_result_is_quick_and_small() -> None:
    assert len(screen(result(full_house(agents=40), [CONFIRMED] * 30)).splitlines()) < 60
