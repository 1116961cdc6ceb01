"""The facade: captures in, one Analysis out. The only file that knows all floors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.at import NS_PER_S
from analyzer.capture import MAIL_PORTS, captures, file_of
from analyzer.errors import AnalyzerError, CaptureError
from analyzer.inputs import (
    Watch,
    expand,
    is_server_log,
    joined_series,
    keys_of,
    opened,
    read_file,
    server_log,
    sessions_in,
    unreadable,
)
from analyzer.protocols import Event
from analyzer.report.layout import percent
from analyzer.report.result import Result
from analyzer.rules import Finding, FrameRef, Known, Scene, judge, warn
from analyzer.sessions.accounts import accounts
from analyzer.sessions.concurrency import open_sessions
from analyzer.sessions.coverage import CaptureSeen
from analyzer.sessions.merge import Merged, merge
from analyzer.sessions.session import Login, Session
from analyzer.text import clean

if TYPE_CHECKING:
    import pandas as pd

    from analyzer.language import Say
    from analyzer.report.charts import Chart
    from analyzer.report.delays import Delays
    from analyzer.report.dialogue import Dialogue, DialogueLine
    from analyzer.report.refusals import Refusals
    from analyzer.report.swimlanes import Swimlanes
    from analyzer.rules.replay import WhatIf
    from analyzer.sessions.records import Log
    from analyzer.sessions.records.align import Aligned
    from analyzer.sessions.rejoin import Joined

NAMES_SHOWN = 8
"""Captures or sessions named in a hint."""


def known_from(words: Iterable[str]) -> Known:
    """Turn ``--known`` words into :class:`Known`.

    Raises:
        AnalyzerError: for a word that is none of credentials-verified, others-working, limit=N.
    """
    verified, others, limit = False, False, None
    for word in words:
        name, _, value = word.partition("=")
        if word == "credentials-verified":
            verified = True
        elif word == "others-working":
            others = True
        elif name == "limit" and value.isdecimal() and 0 < int(value) < 10**9:
            limit = int(value)
        else:
            raise AnalyzerError(
                f"--known {clean(word, 60)} is not understood",
                hint="say credentials-verified, others-working or limit=N",
            )
    return Known(verified, others, limit)


class Findings(Sequence[Finding]):
    """The findings, best first; prints well as text and in a notebook."""

    def __init__(self, items: Sequence[Finding]) -> None:
        self._items = tuple(items)

    def __getitem__(self, place: Any) -> Any:
        return self._items[place]

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return (
            "\n".join(f"{f.verdict:<10} {percent(f.confidence):>4}  {f.title}" for f in self._items) or "nothing found"
        )

    @property
    def table(self) -> pd.DataFrame:
        """One row per finding: verdict, cause, confidence, accounts, server, title."""
        from analyzer.report.tables import finding_table

        return finding_table(self._items)

    def _repr_html_(self) -> str:
        return str(self.table.to_html(escape=True, index=False))


class Charts:
    """The pictures of one analysis; ``language`` (en, es) is that of titles and legends, by default the analysis's."""

    def __init__(self, result: Result, language: str) -> None:
        self._result = result
        self._language = language

    def connections(self, *, by: str = "account", language: str | None = None) -> Chart:
        """Draw open sessions over time, refusals as marks, the limit line when one is known.

        ``by`` is account, client or server.
        """
        from analyzer.report.charts import connections as draw

        return draw(self._result, by, self._say(language))

    def refusals(self, *, by: str = "words", language: str | None = None) -> Refusals:
        """Draw how many logins were refused in each interval, beside those accepted.

        ``by`` is words (the server's), account, client or server.
        """
        from analyzer.report.refusals import refusals as draw

        return draw(self._result, by, self._say(language))

    def lanes(self, *, by: str = "client", language: str | None = None) -> Swimlanes:
        """Draw each session as a bar and each refusal as a cross, in lanes; ``by`` is client, account or server."""
        from analyzer.report.swimlanes import lanes as draw

        return draw(self._result, by, self._say(language))

    def delays(self, *, language: str | None = None) -> Delays:
        """Draw how long the greeting and the answer to each login took."""
        from analyzer.report.delays import delays as draw

        return draw(self._result, self._say(language))

    def _say(self, language: str | None) -> Say:
        return _speaker(language or self._language)


class Analysis:
    """What one or several captures say about mail logins; every part is worked out when first asked for.

    What is written for people comes in ``language`` (en, es): that of the analysis, or what a method is told.
    """

    def __init__(
        self,
        result: Result,
        paths: Sequence[Path],
        ports: frozenset[int],
        engine: str,
        keylogs: Iterable[str | Path] = (),
        *,
        language: str = "en",
    ) -> None:
        self.result = result
        """All records as plain values."""
        self.language = language
        """en or es."""
        self._paths = tuple(paths)
        self._ports = ports
        self._engine = engine
        self._keylogs = tuple(keylogs)

    @property
    def findings(self) -> Findings:
        """Verdicts, best first."""
        return Findings(self.result.findings)

    @cached_property
    def sessions(self) -> pd.DataFrame:
        """One row per mail session."""
        from analyzer.sessions.table import session_table

        return session_table(self.result.sessions)

    @cached_property
    def logins(self) -> pd.DataFrame:
        """One row per login attempt."""
        from analyzer.sessions.table import login_table

        return login_table(self.result.logins)

    @cached_property
    def accounts(self) -> pd.DataFrame:
        """One row per account and server."""
        from analyzer.sessions.table import account_table

        return account_table(self.result.accounts)

    @cached_property
    def captures(self) -> pd.DataFrame:
        """One row per file: state, packets, span, grade and its reasons."""
        from analyzer.sessions.table import capture_table

        return capture_table(self.result.captures)

    @cached_property
    def quality(self) -> pd.DataFrame:
        """One row per capture and thing it lacks: grade (A to F), kind, steps it costs, reason."""
        from analyzer.sessions.table import quality_table

        return quality_table(self.result.captures)

    def why(self, cause: str | Finding | None = None) -> pd.DataFrame:
        """Return the evidence for and against a finding, strongest first; see :func:`analyzer.report.tables.why_table`.

        ``cause`` is a cause, a rule or a finding; without one it is the first fault, else the first finding.

        Raises:
            AnalyzerError: no finding has this cause.
        """
        from analyzer.report.tables import why

        return why(self.result, cause)

    @property
    def chart(self) -> Charts:
        """The pictures."""
        return Charts(self.result, self.language)

    def concurrency(self, *, by: str = "account") -> pd.DataFrame:
        """Return how many sessions were open: index time, one column per account, client or server.

        Raises:
            AnalyzerError: ``by`` is none of these.
        """
        import pandas as pd

        from analyzer.report.picture import check_kind

        check_kind(by)

        columns = {
            key: pd.Series(line.counts, index=pd.to_datetime(list(line.times), unit="ns", utc=True), dtype="Int64")
            for key, line in open_sessions(self.result.sessions, by=by).items()
        }
        if not columns:
            return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
        return pd.concat(columns, axis=1).sort_index().ffill().fillna(0)

    def dialogue(self, session: str, capture: str | None = None, *, language: str | None = None) -> list[DialogueLine]:
        """Return the conversation of one session, line by line, with frames and times, secrets masked.

        Of sessions with the same uid it is the first capture's, unless ``capture`` names another. Remarks of ours (side '-') are
        in ``language``.

        Raises:
            AnalyzerError: no session has this uid, or no capture this name.
        """
        held = self.find_session(session, capture)
        series = next((x.series for x in self.result.captures if x.name == held.capture), ())
        said = self._in_series(session, series) if series else self._said(session, held.capture)
        say = self._say(language)
        return [x._replace(text=say(x.text)) if x.side == "-" else x for x in said]

    def find_session(self, uid: str, capture: str | None = None) -> Session:
        """Return a session by its uid: the first capture's, unless ``capture`` names another.

        Raises:
            AnalyzerError: there is none.
        """
        wanted = None if capture is None else self._named(capture)
        order = {x.name: number for number, x in enumerate(self.result.captures)}
        within = sorted(
            (s for s in self.result.sessions if wanted in {None, s.capture}), key=lambda s: order[s.capture]
        )
        for s in within:
            if s.uid == uid:
                return s
        uids = ", ".join(list(dict.fromkeys(s.uid for s in within))[:NAMES_SHOWN]) or "none"
        where = f" in {wanted}" if wanted else ""
        raise AnalyzerError(
            f"no session {clean(uid, 40)}{where or ' here'}",
            hint=f"the sessions{where} are {uids} ...; 'mailscope sessions' lists them",
        )

    def _said(self, session: str, capture: str) -> list[DialogueLine]:
        from analyzer.report.dialogue import lines

        path = self._place(capture)
        for found in captures(path, ports=self._ports, engine=self._engine):
            if not isinstance(found, CaptureError) and found.name == capture:
                tap: dict[str, list[Event]] = {session: []}
                sessions_in(found, self._ports, tap, path, keys_of(self._keylogs))
                return lines(tap[session])
        raise CaptureError(f"{capture} is not there any more", path=path)

    def _in_series(self, session: str, names: Sequence[str]) -> list[DialogueLine]:
        from analyzer.capture.series import Series
        from analyzer.report.dialogue import lines, placed
        from analyzer.sessions.series import run_of

        files = {clean(file_of(path).name): path for path in self._paths}
        parts = opened([(files[name.split("!/")[0]], name) for name in names], self._ports, self._engine)
        tap: dict[str, list[Event]] = {session: []}
        sessions_in(Series(names[0], parts), self._ports, tap, self._paths[0], b"")
        run = run_of(names, {x.name: x.packets for x in self.result.captures})
        return placed(lines(tap[session]), run.place)

    def explain(self, frame: int, *, capture: str | None = None, width: int = 80, language: str | None = None) -> str:
        """Return in plain words what a frame is, and which finding it serves; without ``capture`` it is of the first one.

        Raises:
            AnalyzerError: there is no such capture, or it has no such frame.
            CaptureError: it is a list of packets, or cannot be read.
        """
        from analyzer.report.explain import explain
        from analyzer.report.layout import plain
        from analyzer.report.second_look import look, open_again

        name = self._named(capture)
        seen = look(self.result, name, frame, lambda x: open_again(self._place(x), self._ports), self._ports)
        return plain(explain(seen, self.result, name, width, self._say(language)))

    def _named(self, capture: str | None) -> str:
        """Return the name of a capture that is called by its name or path; of the first one for None.

        Raises:
            AnalyzerError: there is none of this name.
        """
        names = [x.name for x in self.result.captures]
        wanted = None if capture is None else clean(file_of(Path(capture)).name)
        for name in names:
            if capture in {None, name} or wanted == name:
                return name
        shown = ", ".join(names[:NAMES_SHOWN]) + (" ..." if len(names) > NAMES_SHOWN else "")
        raise AnalyzerError(f"no capture {clean(capture or '', 60)} here", hint=f"the captures are {shown or 'none'}")

    def _place(self, capture: str) -> Path:
        """Return what to open for a capture of the result: its file, with the member of an archive."""
        own, inside, member = capture.partition("!/")
        path = next(x for x in self._paths if clean(file_of(x).name) == own)
        return Path(f"{file_of(path)}{inside}{member}") if inside else path

    def _say(self, language: str | None) -> Say:
        return _speaker(language or self.language)

    def why_not(self, cause: str, *, width: int = 80, language: str | None = None) -> str:
        """Return why a cause was not claimed: evidence for and against it, the tests that failed, what was missing.

        Raises:
            AnalyzerError: there is no such cause.
        """
        from analyzer.report.why_not import text

        said = known_from(self.result.known)
        return text(self.result, said, cause, width=width, say=self._say(language))

    def evidence(self, *, language: str | None = None) -> bytes:
        """Return the frames that prove the findings as a pcapng with comments; secrets in them are masked.

        Raises:
            OutputError: there is nothing to prove.
        """
        from analyzer.report.evidence import evidence

        return evidence(self.result, self._paths, self._ports, self._say(language))

    def remedies(self, *, exchange: str | None = None, language: str | None = None) -> list[Any]:
        """Return what to do, filled in with the numbers of this case; ``exchange`` names the version, such as '2010 SP2'."""
        from analyzer.remedies import fill

        say = self._say(language)

        found: list[Any] = []
        for finding in self.result.findings:
            if finding.verdict in {"confirmed", "likely", "suspected"}:
                product = (
                    f"exchange-{exchange.lower().replace(' ', '-')}"
                    if exchange
                    else str(finding.facts.get("product", ""))
                )
                found += fill(_case(finding), finding.remedies, product or None, say=say)
        return list(dict.fromkeys(found))

    def what_if(self, *, limit: int) -> tuple[WhatIf, ...]:
        """Replay the refusals put down to a limit per user under another limit; see :mod:`analyzer.rules.replay`.

        Raises:
            AnalyzerError: a limit below 1 lets nobody in.
        """
        from analyzer.rules.replay import what_if

        if limit < 1:
            raise AnalyzerError(f"a limit of {limit} lets nobody in", hint="give 1 or more")
        return what_if(Scene(self.result.sessions, known_from(self.result.known)), self.result.findings, limit)

    def save(self, path: str | Path, *, language: str | None = None) -> Path:
        """Write the result; the suffix picks the form: .html .md .json .txt .csv .xlsx .parquet .png .svg.

        ``language`` (en, es) is that of sentences; .json, .csv, .xlsx and .parquet are data and stay English.

        Raises:
            AnalyzerError: there is no such language.
            OutputError: there is no such form, or the file cannot be written.
        """
        from analyzer.report import WITH_DIALOGUES, save

        target = Path(path)
        wanted = target.suffix.lower() in WITH_DIALOGUES
        say = self._say(language)
        save(self.result._replace(dialogues=self.dialogues()) if wanted else self.result, target, say)
        return target

    def dialogues(self) -> tuple[Dialogue, ...]:
        """Return what was said in the sessions that decide."""
        from analyzer.report.case import deciding
        from analyzer.report.dialogue import Dialogue

        return tuple(Dialogue(s.capture, s.uid, tuple(self.dialogue(s.uid, s.capture))) for s in deciding(self.result))

    def __repr__(self) -> str:
        from analyzer.report.terminal import screen

        return screen(self.result, say=self._say(None))

    def _repr_html_(self) -> str:
        from analyzer.report.notebook import card

        return card(self.result, self._say(None))


def _speaker(language: str) -> Say:
    from analyzer.language import speaker

    return speaker(language)


def _known_and_ports(known: Iterable[str], ports: Iterable[int]) -> tuple[Known, frozenset[int]]:
    return known_from(known), MAIL_PORTS | frozenset(ports)


def read(
    *paths: str | Path,
    known: Iterable[str] = (),
    ports: Iterable[int] = (),
    engine: str = "auto",
    strict: bool = True,
    hashed: bool = True,
    keylogs: Iterable[str | Path] = (),
    logs: Iterable[str | Path] = (),
    watch: Watch | None = None,
    language: str = "en",
) -> Analysis:
    """Read captures and judge what they say about mail logins.

    Args:
        paths: files or glob patterns; a server's log among them is told by its content and counts as evidence.
        known: what you know from elsewhere: 'credentials-verified', 'others-working', 'limit=N'.
        ports: TCP ports to treat as mail ports besides the usual ones.
        engine: 'auto': our readers, and tshark (where installed) for what they do not know; 'native' or 'tshark': only these.
        strict: raise for a file that cannot be read; otherwise it is reported among the captures.
        hashed: compute the SHA-256 of each file; on a large one that takes longer than reading it.
        keylogs: TLS key logs, as SSLKEYLOGFILE makes programs write; what they open is read through tshark and judged as
            clear text. Keys that lie in a pcapng itself are used without being asked for.
        logs: further files or patterns that are a server's logs, whatever they look like.
        watch: called now and then while a large capture is read, with its name, the octets read and those in all.
        language: of what is written for people, unless a method is told another one: 'en' or 'es'.

    Raises:
        CaptureError: when a file cannot be read at all (``strict``), or none was named; when a key log holds no keys.
        EngineMissing: when key logs are given and tshark is not installed.
        AnalyzerError: for a word in ``known`` that is not understood, or a language there is none of.
    """
    if language != "en":
        _speaker(language)
    said, watched = _known_and_ports(known, ports)
    given, told = expand(paths), expand(logs)
    if not given and not told:
        raise AnalyzerError("no capture was named", hint="give one or more capture files")
    keylogs = tuple(keylogs)
    keys = keys_of(keylogs)
    told += [path for path in given if is_server_log(path)]
    files = [path for path in given if path not in told]
    all_seen: list[CaptureSeen] = []
    sessions: list[Session] = []
    records: list[Log] = []
    sources: dict[str, Path] = {}
    followed: set[bytes] = set()
    for path in told:
        try:
            records.append(server_log(path))
        except CaptureError as error:
            if strict:
                raise
            all_seen.append(unreadable(path, error))
    for path in files:
        try:
            for seen, found in read_file(path, watched, engine, keys, followed, hashed=hashed, watch=watch):
                all_seen.append(seen)
                sources[seen.name] = path
                sessions += found
        except CaptureError as error:
            if strict:
                raise
            all_seen.append(unreadable(path, error))
    if len(all_seen) < 2 or not sessions or any(s.decrypted for s in sessions):
        return Analysis(_result(all_seen, sessions, said, records), files, watched, engine, keylogs, language=language)
    joined = list(joined_series(all_seen, sessions, sources, watched, engine))
    instead = {name: x for x in joined for name in x.run.names}
    sessions = [*(s for s in sessions if s.capture not in instead), *(s for x in joined for s in x.sessions)]
    parts = {seen.name: seen for x in joined for seen in x.seen}
    all_seen = [parts.get(seen.name, seen) for seen in all_seen]
    return Analysis(
        _result(all_seen, sessions, said, records, joined), files, watched, engine, keylogs, language=language
    )


def _result(
    captures: Sequence[CaptureSeen],
    sessions: Sequence[Session],
    said: Known,
    logs: Sequence[Log],
    joined: Sequence[Joined] = (),
) -> Result:
    from analyzer.remedies import fill

    merged = merge(sessions, {c.name: (c.start, c.end) for c in captures if c.start is not None and c.end is not None})
    beside = _beside(logs, merged.sessions) if logs else ()
    scene = Scene(merged.sessions, said, beside)
    findings = (*_sure(judge(scene), captures), *warn(scene))
    findings += _retake(captures, merged.sessions, findings)
    sessions = merged.sessions
    if joined:
        sessions, findings = _cited(sessions, findings, joined)
    remedies: dict[Any, None] = {}
    for finding in findings:
        for remedy in fill(_case(finding), finding.remedies, str(finding.facts.get("product", "")) or None):
            remedies.setdefault(remedy)
    return Result(
        captures=tuple(_with_clock(seen, merged) for seen in captures),
        sessions=tuple(sessions),
        logins=tuple(_logins(sessions)),
        accounts=accounts(sessions),
        findings=findings,
        remedies=tuple(remedies),
        known=said.words,
        records=tuple(x.seen for x in beside),
    )


def _case(finding: Finding) -> dict[str, float | int | str]:
    """Return what a remedy is filled in with."""
    return {**finding.facts, "protocol": finding.subject.protocol or ""}


def _sure(findings: tuple[Finding, ...], captures: Sequence[CaptureSeen]) -> tuple[Finding, ...]:
    """Let no finding be surer than its capture allows."""
    if not findings or not any(c.quality.lacks for c in captures):
        return findings
    from analyzer.rules.ceiling import limited

    return limited(findings, captures)


def _retake(
    captures: Sequence[CaptureSeen], sessions: Sequence[Session], findings: Sequence[Finding]
) -> tuple[Finding, ...]:
    """Say how to take captures that cannot answer again, unless the question is answered."""
    if all(c.quality.grade == "A" for c in captures):
        return ()
    from analyzer.rules.retake import retake

    return retake(captures, sessions, findings)


def _cited(
    sessions: Sequence[Session], findings: Iterable[Finding], joined: Iterable[Joined]
) -> tuple[tuple[Session, ...], tuple[Finding, ...]]:
    """Move sessions and findings from the series that were judged to the files that they stand in."""
    from analyzer.rules.cited import cited

    series = {x.run.names[0]: x for x in joined}
    placed = tuple(series[s.capture].placed(s) if s.capture in series else s for s in sessions)
    homes = {(old.capture, old.uid): (new.capture, new.uid) for old, new in zip(sessions, placed, strict=True)}

    def place(ref: FrameRef) -> FrameRef:
        return FrameRef(*series[ref.capture].run.place(ref.frame)) if ref.capture in series else ref

    return placed, tuple(cited(x, place, lambda key: homes.get(key, key)) for x in findings)


def _beside(logs: Sequence[Log], sessions: Sequence[Session]) -> tuple[Aligned, ...]:
    from analyzer.sessions.records.align import align

    return tuple(align(log, sessions) for log in logs)


def _with_clock(seen: CaptureSeen, merged: Merged) -> CaptureSeen:
    """Say in a capture's warnings when its times were set to another capture's clock."""
    ns = merged.offsets.get(seen.series[0] if seen.series else seen.name, 0)
    if not ns:
        return seen
    text = f"its clock is {abs(ns) / NS_PER_S:.3f} s {'ahead of' if ns > 0 else 'behind'} the first capture's; times were set alike"
    return seen._replace(warnings=(*seen.warnings, text))


def _logins(sessions: Iterable[Session]) -> Iterator[Login]:
    for s in sessions:
        yield from s.logins
