"""The output contract: a result as plain JSON values, and the JSON Schema of the same.

``document`` builds dicts and needs no third-party package; ``schema`` and ``Report`` describe them with pydantic, which
is imported only when they are asked for. Fields keep their names and meanings; more may be added. The same result gives
the same octets.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from analyzer import __version__
from analyzer.at import NS_PER_S
from analyzer.remedies.capacity import RESERVE_PERCENT
from analyzer.report.result import Result
from analyzer.rules.finding import Evidence, Finding, Subject
from analyzer.sessions.accounts import Account
from analyzer.sessions.coverage import CaptureSeen
from analyzer.sessions.session import Login, Session

if TYPE_CHECKING:
    from analyzer.sessions.records.record import LogSeen

SCHEMA_VERSION = 1
MICROSECONDS = 6
"""Decimal digits of a time whose capture is not known."""


def version() -> str:
    """Return the version that ``tool`` names."""
    return __version__


def rfc3339(ns: int | None, digits: int = MICROSECONDS) -> str | None:
    """Write ns since the epoch as RFC 3339 in UTC with ``digits`` decimals and 'Z'; None stays None.

    The digits beyond the capture's own resolution are cut, not rounded: they hold nothing.
    """
    if ns is None:
        return None
    seconds, rest = divmod(ns, NS_PER_S)
    whole = _whole(seconds)
    return None if whole is None else f"{whole}.{rest:09d}"[: 20 + digits].rstrip(".") + "Z"


@lru_cache(maxsize=4096)
def _whole(seconds: int) -> str | None:
    """Write a second; most of a report's times share theirs with others."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
    except (OverflowError, ValueError, OSError):  # a clock beyond the year 9999 is no time
        return None


def document(result: Result) -> dict[str, Any]:
    """Return the whole report as JSON values, in the contract's order."""
    digits = {x.name: x.resolution for x in result.captures}
    finest = max(digits.values(), default=MICROSECONDS)
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "mailscope", "version": version()},
        "captures": [_capture(x) for x in result.captures],
        "sessions": [session_row(x, digits.get(x.capture, finest)) for x in result.sessions],
        "logins": [login_row(x, digits.get(x.capture, finest)) for x in result.logins],
        "accounts": [account_row(x, finest) for x in result.accounts],
        "findings": [finding_row(x, finest) for x in result.findings],
        "conclusion": result.conclusion._asdict(),
        "remedies": [_remedy(x) for x in result.remedies],
        "known": list(result.known),
        "what_if": None if result.what_if is None else [x._asdict() for x in result.what_if],
        "records": [_log(x) for x in result.records],
    }


def to_json(result: Result) -> bytes:
    """Return the report as UTF-8 JSON, indented, with a final line end."""
    parts = [f"{_encode(name)}: {_indented(name, value)}" for name, value in document(result).items()]
    return ("{\n " + ",\n ".join(parts) + "\n}\n").encode("utf-8", "replace")


FLAT = frozenset({"sessions", "logins"})
"""Lists of rows without lists in them: a report has thousands of these."""
_encode = json.JSONEncoder(ensure_ascii=False).encode
# With an indent the standard library encodes in Python, ten times slower than in C; a flat row needs no more than this.
_encode_row = json.JSONEncoder(ensure_ascii=False, separators=(",\n   ", ": ")).encode


def _indented(name: str, value: Any) -> str:
    """Return a part of the document as ``json.dumps`` with ``indent=1`` writes it."""
    if name in FLAT and value:
        rows = ["{\n   " + _encode_row(row)[1:-1] + "\n  }" for row in value]
        return "[\n  " + ",\n  ".join(rows) + "\n ]"
    return json.dumps(value, ensure_ascii=False, indent=1).replace("\n", "\n ")


def _capture(seen: CaptureSeen) -> dict[str, Any]:
    stopped = seen.stopped
    return {
        "name": seen.name,
        "sha256": seen.sha256,
        "format": seen.format,
        "link_types": list(seen.link_types),
        "packets": seen.packets,
        "start": rfc3339(seen.start, seen.resolution),
        "end": rfc3339(seen.end, seen.resolution),
        "state": seen.state,
        "stopped": None if stopped is None else stopped._asdict(),
        "quality": {"grade": seen.quality.grade, "reasons": list(seen.quality.reasons)},
        "warnings": list(seen.warnings),
        "series": list(seen.series),
    }


def _log(seen: LogSeen) -> dict[str, Any]:
    return {
        "name": seen.name,
        "kind": seen.kind,
        "records": seen.records,
        "matched": seen.matched,
        "clock_offset_s": seen.clock_offset_s,
        "start": rfc3339(seen.start),
        "end": rfc3339(seen.end),
        "times": seen.times,
        "warnings": list(seen.warnings),
    }


def session_row(session: Session, digits: int = MICROSECONDS) -> dict[str, Any]:
    """Return one line of the sessions table."""
    return {
        "capture": session.capture,
        "uid": session.uid,
        "protocol": session.protocol,
        "tls": session.tls,
        "client": session.client,
        "client_port": session.client_port,
        "server": session.server,
        "server_port": session.server_port,
        "start": rfc3339(session.start, digits),
        "end": rfc3339(session.end, digits),
        "first_frame": session.first_frame,
        "last_frame": session.last_frame,
        "conn_state": session.conn_state,
        "greeting": session.greeting,
        "product": session.product,
        "account": session.account,
        "mechanism": session.mechanism,
        "outcome": session.outcome.value,
        "opened": rfc3339(session.opened, digits),
        "closed": rfc3339(session.closed, digits),
        "closed_by": session.closed_by,
        "client_bytes": session.client_bytes,
        "server_bytes": session.server_bytes,
        "missed_bytes": session.missed_bytes,
        "retransmits": session.retransmits,
        "opened_before": session.opened_before,
        "handshake_ms": session.handshake_ms,
        "greeting_ms": session.greeting_ms,
        "commands": session.commands,
        "last_verb": session.last_verb,
        "bye": session.bye,
        "complaints": len(session.complaints) + session.complaints_more,
        "sni": session.sni,
        "tls_version": session.tls_version,
        "tls_offered": list(session.tls_offered),
        "alpn": session.alpn,
        "certificate_names": list(session.certificate_names),
        "tls_alert": session.tls_alert,
        "decrypted": session.decrypted,
        "last_capture": session.last_capture,
    }


def login_row(login: Login, digits: int = MICROSECONDS) -> dict[str, Any]:
    """Return one line of the logins table; the credential stays behind."""
    return {
        "capture": login.capture,
        "session": login.session,
        "frame": login.at.frame,
        "decided_frame": None if login.decided is None else login.decided.frame,
        "time": rfc3339(login.at.ts, digits),
        "decided_time": None if login.decided is None else rfc3339(login.decided.ts, digits),
        "mechanism": login.mechanism,
        "account": login.account,
        "domain": login.domain,
        "workstation": login.workstation,
        "outcome": login.outcome.value,
        "code": login.code,
        "text": login.text,
        "auth_ms": None if login.auth_ms is None else round(login.auth_ms, 3),
        "client": login.client,
        "server": login.server,
        "mailbox": login.mailbox,
        "decided_capture": login.decided_capture,
    }


def account_row(account: Account, digits: int = MICROSECONDS) -> dict[str, Any]:
    """Return one line of the accounts table."""
    return {
        "account": account.account,
        "server": account.server,
        "protocol": account.protocol,
        "logins_accepted": account.logins_accepted,
        "logins_refused": account.logins_refused,
        "clients": list(account.clients),
        "clients_refused": list(account.clients_refused),
        "peak_open": account.peak_open,
        "peak_open_at": rfc3339(account.peak_open_at, digits),
    }


def finding_row(finding: Finding, digits: int = MICROSECONDS) -> dict[str, Any]:
    """Return one finding with its evidence."""
    return {
        "rule": finding.rule,
        "cause": finding.cause,
        "verdict": finding.verdict.value,
        "confidence": round(finding.confidence, 4),
        "severity": finding.severity,
        "subject": _subject(finding.subject),
        "candidates": [{"cause": x.cause, "confidence": round(x.confidence, 4)} for x in finding.candidates],
        "start": rfc3339(finding.start, digits),
        "end": rfc3339(finding.end, digits),
        "title": finding.title,
        "summary": finding.summary,
        "evidence": [_evidence(x) for x in finding.evidence],
        "missing": list(finding.missing),
        "remedies": list(finding.remedies),
        "sessions": [{"capture": capture, "uid": uid} for capture, uid in finding.sessions],
        "facts": dict(sorted(finding.facts.items())),
        "limit_estimate": _limit_estimate(finding),
        "capacity": _capacity(finding),
    }


def _limit_estimate(finding: Finding) -> dict[str, Any] | None:
    facts = finding.facts
    if not {"limit_low", "limit_high"} & facts.keys():
        return None
    return {
        "low": facts.get("limit_low"),
        "high": facts.get("limit_high"),
        "known_default": facts.get("known_default"),
    }


def _capacity(finding: Finding) -> dict[str, Any] | None:
    from analyzer.report.need import need

    found = need(finding)
    if found is None:
        return None
    plan = found.plan
    return {
        "clients": plan.agents,
        "per_client": plan.per_agent,
        "service": plan.service,
        "needed": plan.needed,
        "reserve_percent": RESERVE_PERCENT,
        "advised": plan.advised,
        "limits": [{**x._asdict(), "enough": x.enough} for x in found.limits],
    }


def _subject(subject: Subject) -> dict[str, Any]:
    return {
        "accounts": list(subject.accounts),
        "clients": list(subject.clients),
        "server": subject.server,
        "protocol": subject.protocol,
    }


def _evidence(evidence: Evidence) -> dict[str, Any]:
    return {
        "text": evidence.text,
        "frames": [{"capture": x.capture, "frame": x.frame} for x in evidence.frames],
        "weight_db": round(evidence.weight_db, 2),
        "decisive": evidence.decisive,
        "filter": evidence.filter,
        "kind": evidence.kind,
        "source": evidence.source,
    }


def _remedy(remedy: Any) -> dict[str, Any]:
    lists = {"versions", "protocols", "steps", "avoid", "source", "notes"}
    names = ("id", "title", "cause", "product", "versions", "steps", "before", "commands", "restart", "check", "undo")
    rest = ("risk", "source", "notes", "protocols", "avoid")
    return {x: list(getattr(remedy, x)) if x in lists else getattr(remedy, x) for x in names + rest}


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the report."""
    from analyzer.report.contract import Report

    found = Report.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mailscope report", **found}
