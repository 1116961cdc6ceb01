"""Findings from a server's log alone: what it says of accounts no capture shows being refused.

They are faults when there is nothing else to judge: no capture, or one that hides its logins and holds the very sessions.
Beside a capture that shows its own logins they are asides (severity ``warning``): another account's limit is not this one's fault.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from analyzer.at import NS_PER_S
from analyzer.rules.finding import Candidate, Evidence, Finding, FrameRef, Subject, Verdict
from analyzer.rules.narrate import NAMES
from analyzer.rules.recorded import DECIDES_DB, TOLD, UNSURE_DB
from analyzer.rules.rule import FRAMES_SHOWN, filter_of, load_rules
from analyzer.rules.scene import Scene
from analyzer.rules.weigh import UNDETERMINED, shares
from analyzer.sessions.records.align import Aligned, Match, same_account
from analyzer.sessions.records.record import Record
from analyzer.sessions.session import LoginOutcome

TOLD_AS_ONE = 3
"""Accounts of one cause from which on they are told as one finding: guessers try thousands."""
ACCOUNTS_NAMED = 20
LINES_NAMED = 5
SUSPECTED_DB = 3.0


class _Group(NamedTuple):
    """What a log says alike."""

    log: Aligned
    cause: str
    protocol: str | None
    records: list[Record]
    matches: list[Match]

    @property
    def accounts(self) -> tuple[str, ...]:
        """Spellings of the accounts, each once, in order."""
        return tuple({r.account.lower(): r.account for r in self.records if r.account}.values())


def logged(scene: Scene, found: Sequence[Finding]) -> list[Finding]:
    """Return findings about what the logs say and no finding of the captures covers."""
    groups = [group for log in scene.logs for group in _groups(log, found)]
    blind = not any(x.outcome in {LoginOutcome.ACCEPTED, LoginOutcome.REFUSED} for x in scene.logins)
    return [_finding(scene, group, blind=blind) for group in groups]


def _groups(log: Aligned, found: Sequence[Finding]) -> list[_Group]:
    """Group a log's refusals by account and cause; what tells of many accounts becomes one group."""
    matches = {m.record.line: m for m in log.matches}
    alike: dict[tuple[str, str | None], dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in log.records:
        refused = record.cause is not None or record.accepted is False
        if refused and not _covered(record, found):
            alike[record.cause or UNDETERMINED, record.protocol][(record.account or "").lower()].append(record)
    groups = []
    for (cause, protocol), by_account in alike.items():
        apart = list(by_account.values())
        if len(apart) > TOLD_AS_ONE:
            apart = [[record for records in apart for record in records]]
        for records in apart:
            mine = [matches[r.line] for r in records if r.line in matches]
            groups.append(_Group(log, cause, protocol, records, mine))
    return groups


def _covered(record: Record, found: Iterable[Finding]) -> bool:
    """Tell whether a finding of the captures is about the record's account, or about a client without one."""
    for finding in found:
        subject = finding.subject
        if record.protocol not in {None, subject.protocol}:
            continue
        if any(same_account(record, account, None) for account in subject.accounts):
            return True
        if record.account is None and not subject.accounts and record.cause == finding.cause:
            return True
    return False


def _finding(scene: Scene, group: _Group, *, blind: bool) -> Finding:
    records, log = group.records, group.log.log
    times = [r.ts for r in records if r.ts is not None]
    start, end = min(times, default=0), max(times, default=0)
    seen_there = bool(group.matches)
    fault = not scene.sessions or (blind and seen_there)
    sure = group.cause != UNDETERMINED and any(r.sure for r in records)
    weight = DECIDES_DB if sure else UNSURE_DB if group.cause != UNDETERMINED else SUSPECTED_DB
    confidence = shares({group.cause: weight})[0].confidence if group.cause != UNDETERMINED else 1.0
    verdict = Verdict.CONFIRMED if sure else Verdict.LIKELY if group.cause != UNDETERMINED else Verdict.SUSPECTED
    rule = next((r for r in load_rules() if r.cause == group.cause), None)
    server = next((r.server for r in records if r.server), None)
    clients = tuple(dict.fromkeys(r.client for r in records if r.client))[:ACCOUNTS_NAMED]
    return Finding(
        rule=rule.id if rule else UNDETERMINED,
        cause=group.cause,
        verdict=verdict,
        confidence=round(confidence, 4),
        severity="fault" if fault else "warning",
        subject=Subject(group.accounts[:ACCOUNTS_NAMED], clients, server, group.protocol),
        candidates=(Candidate(group.cause, round(confidence, 4)),),
        start=start,
        end=end,
        title=_title(group, server, start, end),
        summary=_summary(scene, group),
        evidence=(_evidence(group, weight, decisive=sure),),
        missing=()
        if group.cause != UNDETERMINED
        else (f"{log.name} gives no reason; capture at the server at such a time.",),
        remedies=rule.remedies if rule else ("undetermined",),
        sessions=tuple(dict.fromkeys((m.session.capture, m.session.uid) for m in group.matches)),
        facts=_facts(group, clients),
    )


def _title(group: _Group, server: str | None, start: int, end: int) -> str:
    name = NAMES.get(group.cause, group.cause)
    if group.cause == UNDETERMINED:
        name = "refused, and the log does not say why"
    accounts = group.accounts
    who = f"account {accounts[0]}" if len(accounts) == 1 else f"{len(accounts)} accounts" if accounts else "the server"
    where = f" on {server}" if server else ""
    logins = sum(1 for r in group.records if r.accepted is False)
    many = f"{logins} logins refused" if logins > 1 else "1 login refused" if logins else _times(len(group.records))
    seconds = (end - start) / NS_PER_S
    span = "" if seconds < 0.001 else f" in {seconds:.1f} s" if seconds < 120 else f" in {seconds / 60:.0f} min"
    return f"{name}: {who}{where}, {many}{span} ({group.log.log.name})"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _summary(scene: Scene, group: _Group) -> str:
    log = group.log.log
    local = "" if log.utc else " Its times are the server's local time."
    if not scene.sessions:
        return f"This rests on {log.name} alone; there is no capture beside it.{local}"
    if group.matches:
        return f"This rests on {log.name}: the sessions are in the capture, their logins cannot be read there.{local}"
    return f"This rests on {log.name} alone: nothing of it is in the capture.{local}"


def _evidence(group: _Group, weight: float, *, decisive: bool) -> Evidence:
    first = next((r for r in group.records if r.sure), group.records[0])
    refs = tuple(FrameRef(m.session.capture, m.session.last_frame) for m in group.matches)[:FRAMES_SHOWN]
    lines = [str(r.line) for r in group.records[:LINES_NAMED]]
    more = f" and {len(group.records) - LINES_NAMED} more" if len(group.records) > LINES_NAMED else ""
    where = f"{group.log.log.name} line{'s' if len(lines) > 1 else ''} {', '.join(lines)}{more}"
    text = f"{where}: the server's own log says «{first.text}»"
    return Evidence(text, refs, weight, decisive, filter_of(refs), "record", TOLD)


def _facts(group: _Group, clients: Sequence[str]) -> dict[str, float | int | str]:
    facts: dict[str, float | int | str] = {
        "refused": sum(1 for r in group.records if r.accepted is False),
        "clients": len(clients),
        "refused_clients": len(clients),
    }
    limit = next((r.limit for r in group.records if r.limit), None)
    product = group.log.log.product or ("exchange" if group.cause == "store_session_limit" else None)
    return facts | ({"limit": limit} if limit else {}) | ({"product": product} if product else {})
