from __future__ import annotations

from analyzer.at import At
from analyzer.report.case import MOST_DIALOGUES, MOST_ROWS, MOST_SAID, case, deciding
from analyzer.report.dialogue import Dialogue, DialogueLine
from analyzer.rules.finding import Candidate, FrameRef, Verdict
from analyzer.sessions.session import Outcome
from tests.records import account_row, capture_seen, evidence, finding, full_house, one_pc, refused, result, session

HOUSE = full_house(capture="exchange.pcap")


def cited(*sessions: object) -> tuple[FrameRef, ...]:
    return tuple(FrameRef(s.capture, s.logins[0].decided.frame) for s in sessions)  # type: ignore[attr-defined]


def test_the_deciding_sessions_are_one_of_each_outcome_then_one_per_further_fault() -> None:
    no = [s for s in HOUSE if s.outcome is Outcome.REFUSED]
    yes = [s for s in HOUSE if s.outcome is Outcome.ACCEPTED]
    first = finding(evidence=(evidence()._replace(frames=cited(no[0], no[1], yes[3])),))
    second = finding(evidence=(evidence()._replace(frames=cited(no[2], yes[4])),))
    made = result(HOUSE, [first, second])
    assert [s.uid for s in deciding(made)] == [no[0].uid, yes[3].uid, no[2].uid]


def test_a_finding_whose_frames_are_no_login_shows_one_of_its_sessions() -> None:
    made = result(
        one_pc(), [finding(evidence=(), sessions=(("agent-pc-07.pcapng", "C2"), ("agent-pc-07.pcapng", "C3")))]
    )
    assert [s.uid for s in deciding(made)] == ["C2"]
    assert deciding(result(one_pc())) == []
    many = [finding(evidence=(), sessions=((s.capture, s.uid),)) for s in HOUSE[:9]]
    assert len(deciding(result(HOUSE, many))) <= MOST_DIALOGUES


def test_evidence_is_numbered_through_and_parted_by_what_it_says() -> None:
    facts = (
        evidence("against", weight_db=-6.0),
        evidence("rules out", weight_db=0.0),
        evidence("weak", weight_db=1.0),
        evidence("proof", weight_db=20.0, decisive=True, frames=(5, 5, 7)),
    )
    told = case(result(one_pc(), [finding(evidence=facts)])).told[0]
    assert [(x.number, x.evidence.text) for x in told.proves] == [(1, "proof"), (2, "weak")]
    assert [(x.number, x.evidence.text) for x in told.against] == [(3, "against")]
    assert [(x.number, x.evidence.text) for x in told.refutes] == [(4, "rules out")]
    assert told.proves[0].places[0].frames == (5, 7)


def test_rivals_are_told_only_where_there_are_some() -> None:
    alone = finding(candidates=(Candidate("per_user_connection_limit", 1.0), Candidate("bad_credentials", 0.001)))
    rival = finding(candidates=(Candidate("per_user_connection_limit", 0.6), Candidate("bad_credentials", 0.4)))
    told = case(result(one_pc(), [alone, rival])).told
    assert [len(x.rivals) for x in told] == [0, 2]


def test_what_is_too_much_is_counted() -> None:
    sessions = [refused(f"C{n}", client=f"10.0.{n // 200}.{n % 200}", account=f"a{n}") for n in range(300)]
    rows = [account_row(f"a{n}") for n in range(300)]
    seen = [capture_seen(f"{n}.pcap") for n in range(50)]
    shown = case(result(sessions, [finding(title=f"t{n}") for n in range(30)], seen, accounts=tuple(rows)))
    assert len(shown.clients) == MOST_ROWS
    assert shown.left_out["clients"] == 300 - MOST_ROWS
    assert shown.left_out["accounts"] == 300 - MOST_ROWS
    assert shown.left_out["captures"] == 10
    assert len(shown.told) + len(shown.others) + shown.left_out["others"] == 30
    assert len(shown.lanes) + shown.left_out["lanes"] == 300


def test_the_clients_are_counted_login_by_login() -> None:
    shown = case(result(HOUSE))
    assert sum(x.refused for x in shown.clients) == 42
    assert sum(x.accepted for x in shown.clients) + 42 == sum(len(s.logins) for s in HOUSE)
    assert [x.refused for x in shown.clients] == sorted((x.refused for x in shown.clients), reverse=True)


def test_a_dialogue_is_annotated_where_its_login_was_decided() -> None:
    no = next(s for s in HOUSE if s.outcome is Outcome.REFUSED)
    frame = no.logins[0].decided
    assert frame is not None
    lines = (DialogueLine(no.logins[0].at, 0.0, "C", "a AUTHENTICATE"), DialogueLine(frame, 0.1, "S", "a NO"))
    made = result(HOUSE, [finding(evidence=(evidence()._replace(frames=cited(no)),))])
    (talk,) = case(made._replace(dialogues=(Dialogue(no.capture, no.uid, lines),))).conversations
    assert [(x.outcome, x.open, x.facts) for x in talk.lines] == [(None, None, ()), ("refused", 16, (1,))]


def test_a_long_dialogue_is_cut_in_the_middle() -> None:
    s = HOUSE[0]
    lines = tuple(DialogueLine(At(n, s.start + n), 0.0, "C", f"line {n}") for n in range(500))
    (talk,) = case(result(HOUSE)._replace(dialogues=(Dialogue(s.capture, s.uid, lines),))).conversations
    assert len(talk.lines) == MOST_SAID
    assert sum(x.skipped for x in talk.lines) == 500 - MOST_SAID
    assert talk.lines[-1].line.text == "line 499"


def test_the_timeline_is_in_order_and_names_each_turn_once() -> None:
    events = case(result(HOUSE, accounts=(account_row(),))).events
    assert [x.ts for x in events] == sorted(x.ts for x in events)
    kinds = [x.kind for x in events]
    assert len(set(kinds)) == len(kinds)
    assert {"begin", "connection", "accepted", "refused", "again", "last_refused", "peak", "end"} == set(kinds)
    assert kinds.index("accepted") < kinds.index("refused") < kinds.index("again")


def test_failed_and_ended_connections_are_in_the_timeline() -> None:
    made = [
        session("C1", outcome=Outcome.UNREACHABLE),
        session("C2", outcome=Outcome.DROPPED, bye="shutting down", bye_at=At(9, 5)),
    ]
    told = {x.kind: x.who for x in case(result(made)).events}
    assert told["bye"] == "shutting down"
    assert {"unreachable", "dropped"} <= told.keys()


def test_warnings_and_broken_rules_stand_apart() -> None:
    shown = case(result(one_pc(), [finding(severity="warning"), finding(Verdict.FAILED), finding(Verdict.RULED_OUT)]))
    assert (len(shown.told), len(shown.asides), shown.broken) == (0, 1, ("per_user_connection_limit",))
