"""What a person reads on a terminal: the verdict on one screen, the tables, the dialogue.

All words of a capture go through rich's ``Text``, never through its markup. Where the output is no terminal there is
no colour and no box, and lines are as wide as asked for (80 columns).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from analyzer.at import NS_PER_S
from analyzer.capture.content import STANDARD_INPUT
from analyzer.report.layout import Line, columns, folded, percent, plain
from analyzer.report.result import Result
from analyzer.rules.finding import CLAIMS, Candidate, Finding, FrameRef, Verdict
from analyzer.rules.narrate import NAMES
from analyzer.rules.weigh import UNDETERMINED
from analyzer.sessions.coverage import CaptureSeen

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from analyzer.sessions.records.record import LogSeen

WIDTH = 80
"""Columns when the output is no terminal."""
WIDEST = 120
"""Columns used of a wide terminal: longer lines are hard to read."""
TABLE_WIDTH = 10_000
"""Tables are never folded: a terminal can be widened, a folded address cannot be read."""
MANY_CAPTURES = 4
"""More captures than this are summed up in one line."""
TOP_FINDINGS = 3
TOP_REASONS = 3
TOP_FRAMES = 8
SERIES_SHOWN = 4
"""Files of a series named in a command; of more, the first and the last."""
RIVAL_SHARE = 0.02
"""Share under which a rival is not worth a line."""

_OPENERS = (
    "Run the mail program with SSLKEYLOGFILE=FILE set, capture again from its start, and add --keylog FILE.",
    "Or read the server's log for these times: it names the account and the reason of a refusal.",
)
"""What opens a capture in which all is encrypted."""
_COLOURS = {"confirmed": "bold white on red", "likely": "bold red", "suspected": "bold yellow", "healthy": "bold green"}
_INDENT, _MOVED_IN = 11, 3
_LEAST_ROOM = 20
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T([\d:.]+)Z")  # RFC 3339, section 5.6
_OUTCOMES = {"accepted": "green"} | dict.fromkeys(("refused", "refused_at_greeting", "unreachable", "dropped"), "red")


Say = Callable[[str], str]
"""Puts an English sentence into the reader's language; ``str`` leaves it."""
LABELS = (
    "proof", "for", "against", "not", "rival", "settle", "limit", "needs", "frames", "fix", "if so", "more", "also",
    "what if", "failed", "quality", "retake",
)  # fmt: skip
"""What stands before the lines of a finding; at most seven characters in any language."""


def words(cause: str) -> str:
    """Return a cause as a person says it."""
    return "something else" if cause == UNDETERMINED else NAMES.get(cause, cause.replace("_", " "))


def screen(result: Result, *, width: int = WIDTH, say: Say = str) -> str:
    """Return the one-screen verdict as plain text."""
    return plain(_screen(result, width, say))


def show(result: Result, console: Console, say: Say = str) -> None:
    """Print the one-screen verdict."""
    show_lines(_screen(result, console.width, say), console)


def _screen(result: Result, width: int, say: Say) -> Iterator[Line]:
    for facts in (*_capture_facts_of(result), *map(_log_facts, result.records)):
        yield from (((line, ""),) for line in _side_by_side([say(x) for x in facts], width))
    yield ()
    shown = result.faults[:TOP_FINDINGS]
    if not shown:
        yield from _nothing(result, width, say)
    for finding in shown:
        yield from _finding(finding, result, width, say)
        yield ()
    yield from _rest(result, len(shown), width, say)


def _nothing(result: Result, width: int, say: Say) -> Iterator[Line]:
    cause, _, title = result.conclusion
    word = say(cause.replace("_", " ")).upper()
    yield from _headed(((word, _COLOURS.get(cause, "bold")),), say(title), "", width)
    for number, text in enumerate(_OPENERS if cause == "encrypted" else ()):
        yield from _fact("" if number else "settle", text, width, say)
    yield ()


def _finding(finding: Finding, result: Result, width: int, say: Say) -> Iterator[Line]:
    colour = _COLOURS.get(finding.verdict.value, "bold")
    sure = f"  {percent(finding.confidence)}" if finding.verdict in CLAIMS else ""
    word = say(finding.verdict.value).upper()
    yield from _headed(((word, colour), (sure, "bold")), say(finding.title), "bold", width)
    last = ""
    for label, text in _facts(finding, result, say):
        yield from _fact("" if label == last else label, text, width, say)
        last = label or last


def _headed(head: Line, title: str, style: str, width: int) -> Iterator[Line]:
    """Yield a title behind a word that says how it is; all lines but the first are moved in."""
    before = sum(columns(text) for text, _ in head) + 2
    for number, text in enumerate(folded(title, width - _MOVED_IN, max(width - before, _LEAST_ROOM))):
        yield ((*head, ("  ", "")) if number == 0 else ((" " * _MOVED_IN, ""),)) + ((text, style),)


def _fact(label: str, text: str, width: int, say: Say) -> Iterator[Line]:
    for number, line in enumerate(folded(say(text), max(width - _INDENT, _LEAST_ROOM))):
        yield ((f"   {say(label) if number == 0 and label else '':8}", "cyan"), (line, ""))


def _facts(finding: Finding, result: Result, say: Say) -> Iterator[tuple[str, str]]:
    """Yield the lines below a finding's title: what speaks for it, against it, what settles it, where to look, the cure."""
    pro = [x for x in finding.evidence if x.weight_db > 0 or x.decisive]
    con = [x for x in finding.evidence if x.weight_db < 0]
    for fact in pro[:TOP_REASONS]:
        proof = finding.verdict is Verdict.CONFIRMED and fact.decisive
        yield ("proof" if proof else "for"), fact.text
    for fact in con[:TOP_REASONS]:
        yield "against", fact.text
    refuted = [x for x in finding.evidence if x.weight_db == 0 and not x.decisive]
    for fact in refuted[:2] if finding.verdict in CLAIMS else ():
        yield "not", fact.text
    rivals = [x for x in finding.candidates if x.cause != finding.cause and x.confidence >= RIVAL_SHARE]
    if rivals:
        yield "rival", ", ".join(say(_rival(x)) for x in rivals[:TOP_REASONS])
    for text in finding.missing[:TOP_REASONS]:
        yield "settle", text
    yield from _limits(finding)
    yield from _where(finding, result, _tongue(say))
    yield from _cures(finding, result, say)


def _limits(finding: Finding) -> Iterator[tuple[str, str]]:
    if not finding.facts.keys() & {"limit", "limit_low", "limit_high"}:
        return
    from analyzer.report.need import height, need, sentences  # only where a limit is the matter

    if told := height(finding):
        yield "limit", told
    found = need(finding) if finding.verdict in CLAIMS else None
    for text in sentences(found) if found else ():
        yield "needs", text


def _rival(candidate: Candidate) -> str:
    return f"{words(candidate.cause)} ({percent(candidate.confidence)})"


def _tongue(say: Say) -> str:
    """Return the option that makes another verb speak the same language."""
    return "" if say is str else " --lang es"


def _where(finding: Finding, result: Result, tongue: str) -> Iterator[tuple[str, str]]:
    frames = list(dict.fromkeys(x for fact in finding.evidence for x in fact.frames))
    by_capture: dict[str, list[FrameRef]] = {}
    for frame in frames:
        by_capture.setdefault(frame.capture, []).append(frame)
    for name, refs in list(by_capture.items())[:TOP_REASONS]:
        numbers = [str(x.frame) for x in refs]
        more = f" and {len(numbers) - TOP_FRAMES} more" if len(numbers) > TOP_FRAMES else ""
        prefix = f"{name}: " if len(result.captures) > 1 else ""
        yield "frames", f"{prefix}{' '.join(numbers[:TOP_FRAMES])}{more}"
    if frames and len(by_capture) == 1:
        yield "", f"Wireshark: frame.number in {{{', '.join(str(x.frame) for x in frames[:TOP_FRAMES])}}}"
    if finding.sessions:
        capture, uid = finding.sessions[0]
        yield "", f"mailscope dialogue {_files(capture, result)} --session {uid}{tongue}"


def _files(capture: str, result: Result) -> str:
    """Return what to call the input of a session by: all of a series, of which no part alone has its session."""
    names = next((x.series for x in result.captures if x.name == capture), ()) or (capture,)
    names = tuple(dict.fromkeys(name.split("!/")[0] if len(names) > 1 else name for name in names))
    shown = names if len(names) <= SERIES_SHOWN else (names[0], "...", names[-1])
    return " ".join("-" if name.split("!/")[0] == STANDARD_INPUT else name for name in shown)


def _cures(finding: Finding, result: Result, say: Say) -> Iterator[tuple[str, str]]:
    label = "fix" if finding.verdict in CLAIMS else "if so"
    for remedy in result.remedies_of(finding)[:2]:
        plan = remedy.capacity
        yield label, f"{remedy.title}: {plan.sum_text}" if plan else remedy.title
        commands = [x for x in (remedy.commands or "").splitlines() if x and not x.startswith("#")]
        if plan and len(commands) == 1:
            yield "", f"{commands[0]}   {say('then restart the service')}"
        agents = f" --agents {plan.agents}" if plan else ""
        yield (
            "",
            f"mailscope remedy {remedy.id}{agents}{_tongue(say)}   {say('look first, change, restart, check, undo')}",
        )


def _rest(result: Result, shown: int, width: int, say: Say) -> Iterator[Line]:
    """Yield what else there is: further findings, warnings, oddities of the captures."""
    others = result.faults[shown:]
    if others:
        titles = "; ".join(say(x.title) for x in others[:TOP_REASONS])
        yield from _fact("more", f"{say(f'{len(others)} more')}: {titles}", width, say)
    asides = [x for x in result.findings if x.severity == "warning" and x.verdict in {*CLAIMS, Verdict.SUSPECTED}]
    for number, finding in enumerate(asides[:TOP_REASONS]):
        yield from _fact("" if number else "also", f"{say(finding.verdict.value)}: {say(finding.title)}", width, say)
    if result.what_if is not None:
        from analyzer.report.supposed import sentences

        for number, text in enumerate(sentences(result.what_if)):
            yield from _fact("" if number else "what if", text, width, say)
    broken = [x.rule for x in result.findings if x.verdict is Verdict.FAILED]
    if broken:
        text = f"rule {', '.join(broken)} broke; the others are unaffected (--debug shows why)"
        yield from _fact("failed", text, width, say)
    for number, text in enumerate(_oddities(result)):
        yield from _fact("" if number else "quality", text, width, say)
    yield from _retakes([x for x in result.findings if x.verdict is Verdict.NOT_SEEN], width, say)


def _retakes(retakes: Sequence[Finding], width: int, say: Say) -> Iterator[Line]:
    """Yield what is wrong with the first capture that cannot answer, and how to take a better one."""
    if not retakes:
        return
    more = f" (and {_count(len(retakes) - 1, 'capture')} more)" if len(retakes) > 1 else ""
    yield from _fact("retake", f"{retakes[0].title}{more}", width, say)
    for text in retakes[0].missing:
        yield from _fact("", text, width, say)


def _oddities(result: Result) -> Iterator[str]:
    several = len(result.captures) > 1
    for seen in result.captures[:MANY_CAPTURES]:
        texts = ["; ".join(seen.quality.reasons)] if seen.unread else [*seen.quality.reasons, *seen.warnings]
        for text in texts:
            yield f"{seen.name}: {text}" if several else text
    for log in result.records:
        for text in log.warnings:
            yield f"{log.name}: {text}"


def _side_by_side(facts: Iterable[str], width: int) -> Iterator[str]:
    """Yield facts beside one another, as many as fit on a line; only one that is too long by itself is folded."""
    line = ""
    for fact in facts:
        joined = f"{line}   {fact}" if line else fact
        if line and columns(joined) > width:
            yield from folded(line, width)
            joined = fact
        line = joined
    yield from folded(line, width)


def _capture_facts_of(result: Result) -> Iterator[Iterable[str]]:
    if len(result.captures) <= MANY_CAPTURES:
        yield from (_capture_facts(seen, result) for seen in result.captures)
        return
    unread = sum(x.state in {"not_a_capture", "password_needed", "timeout", "error"} for x in result.captures)
    parts = [f"{len(result.captures)} captures", f"{sum(x.packets for x in result.captures):,} frames"]
    parts += [_count(len(result.sessions), "mail connection")]
    parts += [f"{unread} not readable"] if unread else []
    yield parts


def _capture_facts(seen: CaptureSeen, result: Result) -> Iterator[str]:
    sessions = [x for x in result.sessions if x.capture == seen.name]
    yield seen.name
    if seen.state not in {"ok", "partial"}:
        yield seen.state.replace("_", " ")
    if seen.start is not None and seen.end is not None:
        yield f"{(seen.end - seen.start) / NS_PER_S:,.1f} s"
    if seen.packets:
        yield _count(seen.packets, "frame")
    if sessions:
        yield _count(len(sessions), "mail connection")
        yield _spoken(
            {x.protocol for x in sessions},
            {"decrypted" if x.decrypted else x.tls for x in sessions},
            {x.product for x in sessions},
        )
    yield f"quality {seen.quality.grade}"


def _log_facts(log: LogSeen) -> Iterator[str]:
    yield log.name
    yield log.kind
    yield _count(log.records, "record")
    yield f"{log.matched:,} matched"
    if log.clock_offset_s is not None:
        yield f"clock {round(log.clock_offset_s, 1) + 0.0:+,.1f} s"
    elif log.times == "local":
        yield "local time"


def _spoken(protocols: Iterable[str | None], tls: Iterable[str], products: Iterable[str | None]) -> str:
    names = "/".join(sorted(x.upper() for x in protocols if x)) or "mail"
    kinds = set(tls)
    read = kinds & {"none", "decrypted"}
    how = "partly encrypted" if read else "encrypted"
    if read == kinds:
        how = "decrypted" if "decrypted" in kinds else "in clear"
    made = "".join(f", {x.capitalize()}" for x in sorted({x for x in products if x}))
    return f"{names} {how}{made}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str], console: Console) -> None:
    """Print rows as aligned columns, as wide as they need to be; times of one day without their date."""
    from rich.table import Table

    day = _one_day(rows, columns)
    if day:
        console.print(_text(f"{day}, times in UTC"))
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        numeric = any(isinstance(row.get(name), (int, float)) for row in rows)
        made.add_column(_text(name.upper()), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        made.add_row(*(_text(_cell(row.get(name), day), _outcome_colour(row.get(name))) for name in columns))
    console.width = TABLE_WIDTH
    console.print(made, crop=False)


def _one_day(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Return the date all times of the table share, or nothing."""
    days = {m[1] for row in rows for name in columns if (m := _TIME.fullmatch(str(row.get(name))))}
    return days.pop() if len(days) == 1 else ""


def table_text(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Return rows as plain aligned columns, as wide as they need to be."""
    console = _plain(TABLE_WIDTH)
    table(rows, columns, console)
    return _text_of(console)


def _cell(value: object, day: str) -> str:
    if value is None:
        return "-"
    if day and isinstance(value, str) and (match := _TIME.fullmatch(value)):
        return match[2]
    if isinstance(value, (list, tuple)):
        return " ".join(str(x) for x in value[:TOP_FRAMES]) + (
            f" +{len(value) - TOP_FRAMES}" if len(value) > TOP_FRAMES else ""
        )
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _outcome_colour(value: object) -> str:
    return _OUTCOMES.get(value, "") if isinstance(value, str) else ""


def show_lines(lines: Iterable[Line], console: Console) -> None:
    """Print lines with their styles."""
    for line in lines:
        console.print(_joined(*line), no_wrap=True, overflow="ignore", crop=False)


def console_for(stream: io.TextIOBase | None = None) -> Console:
    """Return a console for standard output (or ``stream``): 80 columns and no colour when it is no terminal."""
    from rich.console import Console

    console = Console(file=stream, force_jupyter=False, markup=False, highlight=False, emoji=False)  # type: ignore[arg-type]  # any text stream
    console.width = min(console.width, WIDEST) if console.is_terminal else WIDTH
    return console


def _plain(width: int) -> Console:
    from rich.console import Console

    return Console(
        file=io.StringIO(),
        width=width,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
        markup=False,
        highlight=False,
        emoji=False,
    )


def _text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)  # noqa: S101 (made by _plain)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()).rstrip() + "\n"


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style)


def _joined(*parts: tuple[str, str]) -> Text:
    from rich.text import Text

    return Text().join(Text(text, style) for text, style in parts)
