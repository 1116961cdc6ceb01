"""Ask every rule about every dispute, weigh what they say, and write the findings.

A rule that raises becomes a finding with verdict ``failed``; the others are unaffected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from analyzer.at import NS_PER_S
from analyzer.rules.finding import CLAIMS, Evidence, Finding, Subject, Verdict
from analyzer.rules.ledger import Ledger, ledger
from analyzer.rules.narrate import NAMES, missing, summary, title
from analyzer.rules.rule import Question, Rule, load_rules, named
from analyzer.rules.scene import Dispute, Scene, disputes
from analyzer.rules.weigh import UNDETERMINED, Weighed, strongest, weigh
from analyzer.sessions.session import Outcome, Session

SESSIONS_NAMED = 200
"""Sessions a finding lists; a retry loop makes thousands that all say the same."""
APART_S = 900.0
"""Seconds between two captures from which on they show different incidents."""
RESTART_S = 120.0
"""Seconds around a restart in which closed ports and cut logins are its consequence, not findings of their own."""

MERGED_FROM = 3
"""Accounts from which on like findings are told as one."""

_ORDER = {v: n for n, v in enumerate(Verdict)}


def judge(scene: Scene) -> tuple[Finding, ...]:
    """Return the findings about a scene, best first.

    Each protocol is a scene of its own: servers count IMAP, POP3 and SMTP connections apart. So are captures of different
    times: what was open last week limits nobody today.
    """
    found = [f for part in scenes(scene) for dispute in disputes(part) for f in _judge(dispute)]
    found = _consistent(found)
    if scene.logs:
        from analyzer.rules.logged import logged

        found += logged(scene, found)
    return tuple(sorted(found, key=rank))


def scenes(scene: Scene) -> list[Scene]:
    """Return the scenes that are judged apart: one for each protocol and time."""
    when = _times(scene.sessions)
    if len(set(when.values())) == 1 and len({s.protocol for s in scene.sessions}) == 1:
        return [scene]
    parts: dict[tuple[str | None, int], list[Session]] = defaultdict(list)
    for s in scene.sessions:
        parts[s.protocol, when[s.capture]].append(s)
    return [Scene(sessions, scene.known, scene.logs) for sessions in parts.values()]


def _times(sessions: Sequence[Session]) -> dict[str, int]:
    """Number the times captures belong to: those that overlap, or follow each other closely, belong to one."""
    names = {s.capture for s in sessions}
    if len(names) < 2:
        return dict.fromkeys(names, 0)
    spans: dict[str, tuple[int, int]] = {}
    for s in sessions:
        start, end = spans.get(s.capture, (s.start, s.end))
        spans[s.capture] = min(start, s.start), max(end, s.end)
    number, until, found = 0, None, {}
    for capture, (start, end) in sorted(spans.items(), key=lambda item: item[1]):
        if until is not None and start - until > APART_S * NS_PER_S:
            number += 1
        until = max(until or end, end)
        found[capture] = number
    return found


class Hearing(NamedTuple):
    """What all rules said about one dispute, and what came of it."""

    dispute: Dispute
    book: Ledger | None
    """Of login disputes."""
    rules: Mapping[str, Rule]
    """The rules asked, by cause."""
    testimony: Mapping[str, Sequence[Evidence]]
    """Evidence by cause."""
    failed: Sequence[Finding]
    """Rules that broke."""
    accepted: bool
    """Whether the subject was seen working, or the engineer vouches for it: else no throttling is ever claimed."""
    weighed: Weighed | None
    """None when nobody has anything to say."""


def hearings(scene: Scene) -> list[Hearing]:
    """Return what was said about each dispute of a scene; for those who ask why."""
    return [_hear(dispute) for part in scenes(scene) for dispute in disputes(part)]


def _hear(dispute: Dispute) -> Hearing:
    book = ledger(dispute) if dispute.kind == "login" else None
    question = Question(dispute, book)
    testimony: dict[str, list[Evidence]] = defaultdict(list)
    by_cause: dict[str, Rule] = {}
    failed: list[Finding] = []
    for rule in load_rules():
        if dispute.kind not in rule.kinds:
            continue
        by_cause[rule.cause] = rule
        try:
            said = list(rule.check(question))
        except Exception as error:  # noqa: BLE001
            failed.append(_failed(rule, dispute, error))
            continue
        if said:
            testimony[rule.cause] += said
    if dispute.scene.logs:
        from analyzer.rules.recorded import recorded

        for cause, evidence in recorded(dispute, by_cause, [c for c, said in testimony.items() if said]):
            testimony[cause].append(evidence)
    accepted = (bool(dispute.accepted) or dispute.scene.place(dispute.server).is_alive) and _some_accepted(book)
    known = dispute.scene.known.others_working or dispute.scene.known.limit is not None
    weighed = None
    if dispute.kind == "login" or any(e.weight_db > 0 for said in testimony.values() for e in said):
        weighed = weigh(testimony, accepted=accepted, known=known)
    return Hearing(dispute, book, by_cause, testimony, failed, accepted or known, weighed)


def _judge(dispute: Dispute) -> Iterable[Finding]:
    _, book, rules, testimony, failed, _, weighed = _hear(dispute)
    yield from failed
    if weighed is not None:
        yield _finding(dispute, book, weighed, testimony, rules.get(weighed.cause))


def _some_accepted(book: Ledger | None) -> bool:
    """Tell whether a throttled account was seen working: without that, no throttling cause is ever claimed."""
    return book is None or bool(book.accepted or book.spans)


def _finding(
    dispute: Dispute,
    book: Ledger | None,
    weighed: Weighed,
    testimony: Mapping[str, Sequence[Evidence]],
    rule: Rule | None,
) -> Finding:
    evidence = strongest(testimony.get(weighed.cause, ()))
    rivals = {cause: strongest(said) for cause, said in testimony.items() if cause != weighed.cause}
    # Only what refutes a real rival is worth reading: a cause that nothing spoke for needs no refutation.
    against = [
        e._replace(text=f"{NAMES.get(cause, cause)}: {e.text}")
        for cause, said in rivals.items()
        if any(x.weight_db > 0 for x in said)
        for e in said
        if e.weight_db < 0
    ]
    accounts = _accounts(dispute)
    subject = Subject(accounts, dispute.clients, dispute.server, dispute.refusals[0].session.protocol)
    facts = {**_facts(dispute, book, weighed), **_height(dispute, book, weighed.cause)}
    return Finding(
        rule=rule.id if rule else UNDETERMINED,
        cause=weighed.cause,
        verdict=weighed.verdict,
        confidence=round(weighed.confidence, 4),
        severity="fault",
        subject=subject,
        candidates=weighed.candidates,
        start=dispute.first,
        end=dispute.last,
        title=title(weighed, rule, dispute, facts),
        summary=summary(weighed, dispute, book, facts),
        evidence=tuple(evidence) + tuple(_rivals_refuted(against)),
        missing=missing(weighed, dispute, book),
        remedies=rule.remedies if rule else ("undetermined",),
        sessions=named((r.session for r in dispute.refusals), SESSIONS_NAMED),
        facts=facts,
    )


def _rivals_refuted(against: Sequence[Evidence]) -> list[Evidence]:
    """Return what speaks against the rivals, once each, as facts that carry no weight for the cause itself."""
    seen: dict[str, Evidence] = {}
    for item in sorted(against, key=lambda e: e.weight_db):
        seen.setdefault(item.text, item._replace(weight_db=0.0, decisive=False))
    return list(seen.values())


def _accounts(dispute: Dispute) -> tuple[str, ...]:
    return (dispute.account,) if dispute.account else ()


def _facts(dispute: Dispute, book: Ledger | None, weighed: Weighed) -> dict[str, float | int | str]:
    facts: dict[str, float | int | str] = {
        "refused": len(dispute.refusals),
        "refused_clients": len(dispute.clients),
        "clients": len(dispute.scene.hosts(dispute.server)),
    }
    product = dispute.scene.place(dispute.server).product
    if product:
        facts["product"] = product
    if book is None:
        return facts
    facts["accepted"] = len(book.accepted)
    if book.members:
        facts["servers"] = len(book.members)
    peak, _ = book.line.peak
    facts["peak"] = peak
    told = dispute.told_limit or dispute.scene.known.limit
    if not told and dispute.scene.logs:
        from analyzer.rules.recorded import noted_limit

        told = noted_limit(dispute, weighed.cause)
    limit = told or (
        book.standing.height
        if weighed.cause == "per_user_connection_limit"
        and book.standing.clean
        and book.wide
        and not _hidden(dispute.scene.on(dispute.server))
        else None
    )
    if limit:
        facts["limit"] = limit
    facts |= _clients_of_account(dispute, book)
    return facts


def _hidden(sessions: Iterable[Session]) -> bool:
    """Tell whether sessions that nobody can read were there: how many were open cannot be said then."""
    return any(s.outcome is Outcome.OPAQUE for s in sessions)


def _height(dispute: Dispute, book: Ledger | None, cause: str) -> Mapping[str, float | int | str]:
    if "limit" not in cause:
        return {}
    from analyzer.rules.estimate import limit_facts  # most findings are about no limit

    return limit_facts(dispute, book, cause)


def _clients_of_account(dispute: Dispute, book: Ledger) -> dict[str, float | int | str]:
    """Count the agents of the account and the connections each wants at once; a client with a single one is a service."""
    clients = dict.fromkeys(login.client for login in [*book.accepted, *book.refused])
    wants = {client: dispute.scene.at_once(dispute.server, client) for client in clients}
    several = sorted(n for n in wants.values() if n > 1)
    if not several:
        return {"account_clients": len(wants), "per_client": 1, "service": 0}
    return {
        "account_clients": len(several),
        "per_client": several[len(several) // 2],
        "service": len(wants) - len(several),
    }


def _failed(rule: Rule, dispute: Dispute, error: Exception) -> Finding:
    text = f"rule {rule.id} failed: {type(error).__name__}: {error}"
    subject = Subject(_accounts(dispute), dispute.clients, dispute.server)
    return Finding(
        rule.id, rule.cause, Verdict.FAILED, 0.0, "info", subject, (), dispute.first, dispute.last, text,
        "This is a fault of the rule, not of the capture. The other findings are unaffected.", (),
    )  # fmt: skip


def _consistent(found: list[Finding]) -> list[Finding]:
    """Drop what a stronger finding of the same server already explains."""
    restarts: dict[str | None, list[Finding]] = defaultdict(list)
    for f in found:
        if f.cause == "server_restart" and f.verdict in CLAIMS:
            restarts[f.subject.server].append(f)
    kept = []
    for f in found:
        explained = any(
            f is not r
            and r.start - RESTART_S * NS_PER_S <= f.start and f.end <= r.end + RESTART_S * NS_PER_S
            and f.cause in {"port_closed", "port_filtered", "server_slow", "server_connection_limit", "connection_limit_at_connect", "middlebox_reset"}
            for r in restarts.get(f.subject.server, ())
        )  # fmt: skip
        weak_ending = f.cause == "server_restart" and f.verdict not in CLAIMS
        if not explained and not (weak_ending and f.confidence < 0.8):
            kept.append(f)
    return _merged(kept)


def _merged(found: list[Finding]) -> list[Finding]:
    """Make one finding of what the same clients meet in the same way with many accounts."""
    groups: dict[tuple[object, ...], list[Finding]] = defaultdict(list)
    for f in found:
        alike = f.cause, f.verdict, f.subject.server, f.subject.clients
        groups[alike if f.subject.accounts else (id(f),)].append(f)
    return [_one(group) if len(group) >= MERGED_FROM else f for group in groups.values() for f in _heads(group)]


def _heads(group: list[Finding]) -> list[Finding]:
    return group[:1] if len(group) >= MERGED_FROM else group


def _one(group: list[Finding]) -> Finding:
    best = max(group, key=lambda f: f.confidence)
    accounts = tuple(dict.fromkeys(a for f in group for a in f.subject.accounts))
    refused = sum(int(f.facts.get("refused", 0)) for f in group)
    name = best.title.partition(":")[0]
    return best._replace(
        subject=best.subject._replace(accounts=accounts),
        start=min(f.start for f in group),
        end=max(f.end for f in group),
        title=f"{name}: {len(accounts)} accounts on {best.subject.server}, {refused} logins refused",
        sessions=tuple(dict.fromkeys(s for f in group for s in f.sessions))[:SESSIONS_NAMED],
        facts={**best.facts, "refused": refused},
    )


def rank(f: Finding) -> tuple[int, int, float, int]:
    """Return what findings are sorted by, best first."""
    return 0 if f.severity == "fault" else 1, _ORDER[f.verdict], -f.confidence, f.start
