"""What a report to send shows of a result: picked, put in order and bounded; what is left out is counted.

The page and the Markdown text draw from the same :class:`Case`, so that they tell the same. Texts of our own are not made
here but where they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from typing import NamedTuple

from analyzer.remedies import Remedy, Say, fill
from analyzer.report.curves import Curve, curves
from analyzer.report.dialogue import Dialogue, DialogueLine
from analyzer.report.need import height, need
from analyzer.report.need import sentences as needed
from analyzer.report.result import Result
from analyzer.report.supposed import sentences as supposed
from analyzer.rules.finding import CLAIMS, Candidate, Evidence, Finding, FrameRef, Verdict
from analyzer.sessions.names import names
from analyzer.sessions.session import Login, LoginOutcome, Outcome, Session

MOST_FINDINGS = 4
"""Faults told in full; the rest by its title."""
MOST_TITLES = 20
MOST_ROWS = 40
"""Rows of a table of accounts, clients or captures."""
MOST_FRAMES = 12
"""Frames named with one piece of evidence; its display filter has more."""
MOST_NAMES = 6
"""Addresses or names listed in one cell."""
MOST_DIALOGUES = 4
MOST_SAID = 44
"""Lines of one dialogue; of a longer one the first and the last."""
LAST_SAID = 8
MOST_LINES = 5
"""Accounts drawn in the chart."""
MOST_LANES = 16
"""Clients drawn in the chart."""
RIVAL_SHARE = 0.01
"""Share under which a rival is not worth a line."""
_ASIDE = (*CLAIMS, Verdict.SUSPECTED)


class Frames(NamedTuple):
    """Where to look in one capture."""

    capture: str
    frames: tuple[int, ...]
    more: int


class Fact(NamedTuple):
    """One numbered piece of evidence."""

    number: int
    evidence: Evidence
    places: tuple[Frames, ...]


class Told(NamedTuple):
    """One finding as it is told."""

    finding: Finding
    proves: tuple[Fact, ...]
    """What speaks for it, strongest first."""
    against: tuple[Fact, ...]
    refutes: tuple[Fact, ...]
    """What rules other causes out."""
    rivals: tuple[Candidate, ...]
    """Causes still alive beside it, itself first, when there is more than itself."""
    limit: str
    """The height of the limit that was met, with its range; empty when there is none."""
    needs: tuple[str, ...]
    """What becomes of the team's connections at each limit of the server."""


class Said(NamedTuple):
    """One line of a dialogue with what is to be seen in it."""

    line: DialogueLine
    facts: tuple[int, ...]
    """Numbers of the evidence that rests on it."""
    outcome: str | None
    """accepted or refused, when the line decides a login."""
    open: int | None
    """Sessions of the account open just before it decided."""
    skipped: int
    """Lines left out before it."""


class Conversation(NamedTuple):
    """The dialogue of one session, annotated."""

    session: Session
    lines: tuple[Said, ...]


class Client(NamedTuple):
    """What became of one client's logins."""

    address: str
    workstations: tuple[str, ...]
    accounts: tuple[str, ...]
    sessions: int
    accepted: int
    refused: int
    first_refused: int | None
    """ns UTC."""


class Event(NamedTuple):
    """One moment of the timeline."""

    ts: int
    kind: str
    """begin, connection, accepted, refused, peak, again, last_refused, bye, unreachable, dropped, end."""
    capture: str = ""
    frame: int | None = None
    who: str = ""
    """Account, address or the server's words."""
    times: int = 0
    """How often its kind happened."""


class Case(NamedTuple):
    """Everything a report shows, in its order."""

    result: Result
    told: tuple[Told, ...]
    others: tuple[Finding, ...]
    """Further faults, by title only."""
    asides: tuple[Finding, ...]
    """Warnings."""
    retakes: tuple[Finding, ...]
    """How to take captures that cannot answer again."""
    supposed: tuple[str, ...]
    """What another limit would have made of it, when somebody asked."""
    broken: tuple[str, ...]
    """Rules that broke."""
    lines: tuple[Curve, ...]
    lanes: tuple[Curve, ...]
    conversations: tuple[Conversation, ...]
    clients: tuple[Client, ...]
    events: tuple[Event, ...]
    left_out: Mapping[str, int]
    """How many findings, accounts, clients, captures, lines and lanes are not shown."""


def case(result: Result) -> Case:
    """Pick what a report shows."""
    told = tuple(_told(x) for x in result.faults[:MOST_FINDINGS])
    asides = [x for x in result.findings if x.severity == "warning" and x.verdict in _ASIDE]
    lines, lanes = curves(result.sessions, "account"), curves(result.sessions, "client")
    clients = _clients(result)
    shown: dict[str, tuple[Sized, int]] = {
        "others": (result.faults[MOST_FINDINGS:], MOST_TITLES),
        "asides": (asides, MOST_TITLES),
        "lines": (lines, MOST_LINES),
        "lanes": (lanes, MOST_LANES),
        "clients": (clients, MOST_ROWS),
        "accounts": (result.accounts, MOST_ROWS),
        "captures": (result.captures, MOST_ROWS),
    }
    return Case(
        result=result,
        told=told,
        others=result.faults[MOST_FINDINGS:][:MOST_TITLES],
        asides=tuple(asides[:MOST_TITLES]),
        retakes=tuple([x for x in result.findings if x.verdict is Verdict.NOT_SEEN and x.missing][:MOST_FINDINGS]),
        supposed=() if result.what_if is None else tuple(supposed(result.what_if)),
        broken=tuple(x.rule for x in result.findings if x.verdict is Verdict.FAILED),
        lines=tuple(lines[:MOST_LINES]),
        lanes=tuple(lanes[:MOST_LANES]),
        conversations=tuple(_conversations(result, told, lines)),
        clients=tuple(clients[:MOST_ROWS]),
        events=tuple(sorted(_events(result), key=lambda x: x.ts)),
        left_out={name: max(len(every) - most, 0) for name, (every, most) in shown.items()},
    )


def in_words(result: Result, say: Say) -> Result:
    """Return the result with its remedies in the reader's language: their numbers are put in after the words are."""
    if say is str:
        return result
    made: dict[Remedy, None] = {}
    for finding in result.findings:
        facts = {**finding.facts, "protocol": finding.subject.protocol or ""}
        for remedy in fill(facts, finding.remedies, str(finding.facts.get("product", "")) or None, say=say):
            made.setdefault(remedy)
    return result._replace(remedies=tuple(made))


def deciding(result: Result) -> list[Session]:
    """Return the sessions whose dialogue shows what a verdict rests on: of the first fault one for each outcome."""
    sessions = {(s.capture, s.uid): s for s in result.sessions}
    places = {(x.capture, at.frame): (x.capture, x.session) for x in result.logins for at in (x.at, x.decided) if at}
    chosen: dict[tuple[str, str], Session] = {}
    for number, finding in enumerate(result.faults[:MOST_FINDINGS]):
        seen: set[Outcome] = set()
        for key in (*_cited(finding, places), *finding.sessions[:1]):
            session = sessions.get(key)
            if session is not None and session.outcome not in seen and (number == 0 or not seen):
                seen.add(session.outcome)
                chosen[key] = session
    return list(chosen.values())[:MOST_DIALOGUES]


def _cited(finding: Finding, places: dict[tuple[str, int], tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for evidence in finding.evidence:
        yield from (places[x] for x in evidence.frames if x in places)


def _told(finding: Finding) -> Told:
    facts = [Fact(n, x, tuple(_places(x.frames))) for n, x in enumerate(_ordered(finding.evidence), 1)]
    found = need(finding)
    rivals = tuple(x for x in finding.candidates if x.confidence >= RIVAL_SHARE)
    return Told(
        finding=finding,
        proves=tuple(x for x in facts if _side(x.evidence) > 0),
        against=tuple(x for x in facts if _side(x.evidence) < 0),
        refutes=tuple(x for x in facts if _side(x.evidence) == 0),
        rivals=rivals if len(rivals) > 1 else (),
        limit=height(finding),
        needs=tuple(needed(found)) if found else (),
    )


def _ordered(evidence: Iterable[Evidence]) -> list[Evidence]:
    return sorted(evidence, key=lambda x: (-_side(x) if _side(x) else 2, not x.decisive, -abs(x.weight_db)))


def _side(evidence: Evidence) -> int:
    """Return 1 for, -1 against, 0 for what only rules another cause out."""
    if evidence.decisive or evidence.weight_db > 0:
        return 1
    return -1 if evidence.weight_db < 0 else 0


def _places(frames: Iterable[FrameRef]) -> Iterator[Frames]:
    by_capture: dict[str, list[int]] = {}
    for frame in dict.fromkeys(frames):
        by_capture.setdefault(frame.capture, []).append(frame.frame)
    for name, numbers in islice(by_capture.items(), MOST_NAMES):
        yield Frames(name, tuple(numbers[:MOST_FRAMES]), max(len(numbers) - MOST_FRAMES, 0))


def _conversations(result: Result, told: Sequence[Told], lines: Sequence[Curve]) -> Iterator[Conversation]:
    sessions = {(s.capture, s.uid): s for s in result.sessions}
    cited: dict[FrameRef, list[int]] = {}
    for fact in (x for t in told[:1] for x in (*t.proves, *t.against, *t.refutes)):
        for frame in fact.evidence.frames:
            cited.setdefault(frame, []).append(fact.number)
    known, by_name = names(result.logins), {x.name: x for x in lines}

    def levels(login: Login) -> int | None:
        curve = by_name.get(known.of(login) or "")
        return curve.steps.at(login.decided.ts) if curve and login.decided else None

    for dialogue in result.dialogues[:MOST_DIALOGUES]:
        session = sessions.get((dialogue.capture, dialogue.session))
        if session is not None and dialogue.lines:
            yield Conversation(session, tuple(_annotated(dialogue, session, cited, levels)))


def _annotated(
    dialogue: Dialogue, session: Session, cited: dict[FrameRef, list[int]], levels: Callable[[Login], int | None]
) -> Iterator[Said]:
    decided = {x.decided.frame: x for x in session.logins if x.decided}
    skipped = max(len(dialogue.lines) - MOST_SAID, 0)
    shown = dialogue.lines if not skipped else (*dialogue.lines[: MOST_SAID - LAST_SAID], *dialogue.lines[-LAST_SAID:])
    for place, line in enumerate(shown):
        frame = line.at.frame
        login = decided.get(frame) if line.side == "S" else None
        yield Said(
            line=line,
            facts=tuple(cited.get(FrameRef(dialogue.capture, frame), ())) if login else (),
            outcome=login.outcome.value if login else None,
            open=levels(login) if login else None,
            skipped=skipped if skipped and place == MOST_SAID - LAST_SAID else 0,
        )


def _clients(result: Result) -> list[Client]:
    found: dict[str, list[Session]] = {}
    for session in result.sessions:
        found.setdefault(session.client, []).append(session)
    rows = [_client(address, sessions) for address, sessions in found.items()]
    return sorted(rows, key=lambda x: (-x.refused, -x.sessions, x.address))


def _client(address: str, sessions: Sequence[Session]) -> Client:
    logins = [x for s in sessions for x in s.logins]
    refused = [(x.decided or x.at).ts for x in logins if x.outcome is LoginOutcome.REFUSED]
    refused += [s.start for s in sessions if s.outcome is Outcome.REFUSED_AT_GREETING]
    return Client(
        address=address,
        workstations=tuple(dict.fromkeys(x.workstation for x in logins if x.workstation)),
        accounts=tuple(dict.fromkeys(x.account for x in logins if x.account)),
        sessions=len(sessions),
        accepted=sum(x.outcome is LoginOutcome.ACCEPTED for x in logins),
        refused=len(refused),
        first_refused=min(refused, default=None),
    )


def _events(result: Result) -> Iterator[Event]:
    """Yield the moments worth knowing: where it begins and ends, and the first and last of each kind."""
    begins = [(x.start, x.name) for x in result.captures if x.start is not None]
    ends = [(x.end, x.name) for x in result.captures if x.end is not None]
    if begins and ends:
        yield Event(min(begins)[0], "begin", min(begins)[1], times=len(begins))
        yield Event(max(ends)[0], "end", max(ends)[1], times=len(ends))
    yield from _first_of("connection", [(s.start, s.capture, s.first_frame, s.client) for s in result.sessions])
    gone = [s for s in result.sessions if s.outcome is Outcome.UNREACHABLE]
    yield from _first_of("unreachable", [(s.start, s.capture, s.first_frame, s.server) for s in gone])
    cut = [s for s in result.sessions if s.outcome is Outcome.DROPPED]
    yield from _first_of("dropped", [(s.end, s.capture, s.last_frame, s.client) for s in cut])
    ended = [s for s in result.sessions if s.bye_at is not None and s.bye and not s.logged_out]
    yield from _first_of("bye", [(s.bye_at.ts, s.capture, s.bye_at.frame, s.bye or "") for s in ended if s.bye_at])
    yield from _login_events(result)


def _first_of(kind: str, moments: Sequence[tuple[int, str, int, str]]) -> Iterator[Event]:
    if moments:
        ts, capture, frame, who = min(moments)
        yield Event(ts, kind, capture, frame, who, len(moments))


def _login_events(result: Result) -> Iterator[Event]:
    decided = [(x.decided.ts, x.capture, x.decided.frame, x.client, x.outcome) for x in result.logins if x.decided]
    accepted = [x[:4] for x in decided if x[4] is LoginOutcome.ACCEPTED]
    refused = [x[:4] for x in decided if x[4] is LoginOutcome.REFUSED]
    yield from _first_of("accepted", accepted)
    yield from _first_of("refused", refused)
    if len(refused) > 1:
        ts, capture, frame, who = max(refused)
        yield Event(ts, "last_refused", capture, frame, who, len(refused))
    yield from _first_of("again", [x for x in accepted if refused and x[0] > min(refused)[0]])
    row = max(result.accounts, key=lambda x: x.peak_open, default=None)
    if row is not None and row.peak_open_at is not None and row.peak_open > 1:
        yield Event(row.peak_open_at, "peak", who=row.account, times=row.peak_open)
