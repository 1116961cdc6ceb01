"""The report as Markdown, to paste into a case: the answer, the cure, the proof, who was hit.

CommonMark with GitHub's tables. Texts of a capture are escaped: they format nothing, link nowhere and mention nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from analyzer.remedies import Remedy
from analyzer.report.case import MOST_NAMES, Case, Fact, Told, case, in_words
from analyzer.report.html import clock, date, duration, sentence
from analyzer.report.layout import percent
from analyzer.report.model import version
from analyzer.report.result import Result
from analyzer.report.terminal import words
from analyzer.rules.finding import CLAIMS, Finding

Say = Callable[[str], str]

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~&!$]")  # CommonMark 0.31, section 2.4; '$' begins mathematics in some systems
_LINK = re.compile(r"(?=://|(?<=www)\.)", re.IGNORECASE)  # GitHub Flavored Markdown, section 6.9: links by themselves
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_START = re.compile(r"^([-+=]|\d+[.)])(?=\s|$)")
_TICKS = re.compile(r"`+")


def markdown(result: Result, say: Say = str) -> str:
    """Return the report as Markdown; ``say`` puts its sentences into the reader's language."""
    shown = case(in_words(result, say))
    parts = [
        *_answer(shown, say),
        *_evidence(shown, say),
        *_also(shown, say),
        *_tables(shown, say),
        *_captures(shown, say),
    ]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    plain = _LINK.sub(r"\\", _SPECIAL.sub(r"\\\g<0>", " ".join(text.split())))
    return _START.sub(r"\\\1", _MENTION.sub("@<!-- -->", plain))


def code(text: str) -> str:
    """Return a code span that holds any text (CommonMark, section 6.1)."""
    text = " ".join(text.split())
    fence = "`" * (max(map(len, _TICKS.findall(text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _block(text: str) -> str:
    fence = "`" * max(3, max(map(len, _TICKS.findall(text)), default=0) + 1)
    return f"{fence}text\n{text}\n{fence}"


def _answer(shown: Case, say: Say) -> Iterator[str]:
    cause, verdict, title = shown.result.conclusion
    sure = f", {percent(shown.told[0].finding.confidence)}" if shown.told else ""
    yield f"# {sentence(say((verdict or cause).replace('_', ' ')))}{sure}: {escaped(say(title))}"
    if not shown.told:
        return
    finding = shown.told[0].finding
    yield escaped(say(finding.summary))
    yield _table(("", ""), _facts(shown.told[0], say))
    if finding.missing:
        yield f"## {say('What settles it')}"
        yield "\n".join(f"{n}. {escaped(say(x))}" for n, x in enumerate(finding.missing, 1))
    for text in shown.supposed:
        yield escaped(say(text))
    for remedy in shown.result.remedies_of(finding):
        yield from _remedy(remedy, finding, say)


def _facts(told: Told, say: Say) -> Iterator[tuple[str, str]]:
    finding = told.finding
    subject, facts = finding.subject, finding.facts
    if subject.accounts:
        yield say("Accounts"), _names(subject.accounts, say)
    if subject.server:
        yield say("Server"), escaped(subject.server)
    if "refused" in facts and "accepted" in facts:
        both = int(facts["refused"]) + int(facts["accepted"])
        yield say("Refused"), say(f"{facts['refused']} of {both} logins")
    if subject.clients:
        yield say("On clients"), _names(subject.clients, say)
    when = f"{date(finding.start)} {clock(finding.start)} – {clock(finding.end)} UTC"  # noqa: RUF001 (as the page has it)
    yield say("When"), f"{when} ({duration(finding.end - finding.start)})"
    if told.limit:
        yield say("Limit"), escaped(say(told.limit))


def _names(every: Sequence[str], say: Say) -> str:
    more = f" {say(f'and {len(every) - MOST_NAMES} more')}" if len(every) > MOST_NAMES else ""
    return ", ".join(escaped(x) for x in every[:MOST_NAMES]) + more


def _remedy(remedy: Remedy, finding: Finding, say: Say) -> Iterator[str]:
    yield f"## {say('What to do') if finding.verdict in CLAIMS else say('If it is so')}: {escaped(say(remedy.title))}"
    yield "\n".join(f"{n}. {escaped(say(x))}" for n, x in enumerate(remedy.steps, 1))
    for name, text in remedy.blocks:
        yield f"{sentence(say(name))}:"
        yield _block(text)
    if remedy.risk:
        yield f"{sentence(say('risk'))}: {escaped(say(remedy.risk))}"
    if remedy.avoid:
        yield f"{sentence(say('do not'))}:"
        yield "\n".join(f"- {escaped(say(x))}" for x in remedy.avoid)


def _evidence(shown: Case, say: Say) -> Iterator[str]:
    for number, told in enumerate(shown.told):
        finding = told.finding
        yield (
            f"## {say('Evidence')}"
            if number == 0
            else f"## {say(finding.verdict.value)}: {escaped(say(finding.title))}"
        )
        yield from _sides(told, say)
        if told.rivals:
            rows = [(escaped(sentence(say(words(x.cause)))), percent(x.confidence)) for x in told.rivals]
            yield _table((say("Rivals: what else fits"), ""), rows)


def _sides(told: Told, say: Say) -> Iterator[str]:
    parts = (("For it", told.proves), ("Against it", told.against), ("What rules other causes out", told.refutes))
    for name, facts in parts:
        if facts:
            yield f"### {say(name)}"
            yield "\n".join(_fact(x, say) for x in facts)


def _fact(fact: Fact, say: Say) -> str:
    x = fact.evidence
    decides = f", {say('decides')}" if x.decisive else ""
    weight = f" ({x.weight_db:+.0f} dB{decides})" if x.weight_db or x.decisive else ""
    shown = f"{fact.number}. {escaped(sentence(say(x.text)))}{weight}"
    return f"{shown}  \n    {code(x.filter)}" if x.filter else shown


def _also(shown: Case, say: Say) -> Iterator[str]:
    rows = [f"- {say(x.verdict.value)}: {escaped(say(x.title))}" for x in (*shown.others, *shown.asides)]
    if rows:
        yield f"## {say('Also seen')}"
        yield "\n".join(rows)


def _tables(shown: Case, say: Say) -> Iterator[str]:
    if shown.result.accounts:
        shown_rows = shown.result.accounts[: len(shown.result.accounts) - shown.left_out["accounts"]]
        rows = [
            (escaped(x.account), escaped(x.server), str(x.logins_accepted), str(x.logins_refused), str(x.peak_open))
            for x in shown_rows
        ]
        yield f"## {say('Accounts and clients')}"
        yield _table([say(x) for x in ("Account", "Server", "Accepted", "Refused", "Most open")], rows)
        yield from _more(shown.left_out["accounts"], say)
    if shown.clients:
        rows = [
            (escaped(x.address), _names(x.accounts, say), str(x.sessions), str(x.accepted), str(x.refused))
            for x in shown.clients
        ]
        yield _table([say(x) for x in ("Client", "Account", "Sessions", "Accepted", "Refused")], rows)
        yield from _more(shown.left_out["clients"], say)


def _captures(shown: Case, say: Say) -> Iterator[str]:
    yield f"## {say('What was captured, and how well')}"
    rows = []
    for x in shown.result.captures[: len(shown.result.captures) - shown.left_out["captures"]]:
        reasons = "; ".join(escaped(say(reason)) for reason in (*x.quality.reasons, *x.warnings))
        rows.append((escaped(x.name), f"{x.packets}", x.quality.grade, reasons, code(x.sha256) if x.sha256 else ""))
    yield _table([say(x) for x in ("Capture", "Frames", "Quality", "Why", "SHA-256")], rows)
    yield from _more(shown.left_out["captures"], say)
    logs = [(escaped(x.name), escaped(x.kind), f"{x.records}", f"{x.matched}") for x in shown.result.records]
    if logs:
        yield _table([say(x) for x in ("Log", "Kind", "Records", "Matched")], logs)
    yield f"mailscope {version()}"


def _more(count: int, say: Say) -> Iterator[str]:
    if count:
        yield say(f"{count} more are not shown here; the JSON of this case has them.")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(x)} |" for x in lines)
