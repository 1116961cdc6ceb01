"""What the server's own log testifies in a dispute: the reason of a refusal that the wire does not tell.

A record decides when it is the record of a refused login of the dispute. One that is only of the same account on the same
server counts less: it may be about other logins, or another hour. One of another account, or another server, says nothing here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

from analyzer.at import NS_PER_S
from analyzer.rules.finding import Evidence
from analyzer.rules.rule import FRAMES_SHOWN, filter_of
from analyzer.rules.scene import Dispute, Refusal
from analyzer.sessions.records.align import Aligned, same_account
from analyzer.sessions.records.record import Record

DECIDES_DB = 35.0
"""The log names the reason of this very login, in words that leave no other."""
UNSURE_DB = 20.0
"""The same in words that a rival may hide behind: a denied logon may be a locked account."""
OTHER_REASON_DB = -20.0
"""Against the causes that the log does not name."""
HIDDEN = {"bad_credentials": ("account_locked", 8.0)}
"""What may hide behind words that are not sure, and what they weigh for it."""
SAME_TIME_DB = {
    "per_user_connection_limit": 14.0,
    "store_session_limit": 30.0,
    "server_connection_limit": 25.0,
    "smtp_connection_limit": 25.0,
}
"""A record of the account, or of the whole server, at the time of the refusals, that cannot be tied to one of them."""
SAME_TIME_ELSE_DB = 8.0
"""The same of another cause, or where the log may be another server's."""
NO_CLOCK_DB = 6.0
"""The same from a log whose local time cannot be compared."""
OTHER_TIME_DB = 3.0
"""The same from another time."""
DECISIVE_AT_ONCE = frozenset({"store_session_limit", "server_connection_limit", "smtp_connection_limit"})
"""Causes decided by a record of the same time: their refusals look like no wrong password."""
MARGIN_S = 60.0
"""Seconds around a dispute that are its time."""
TOLD = "the server's log"


def recorded(dispute: Dispute, causes: Collection[str], spoken: Collection[str]) -> Iterator[tuple[str, Evidence]]:
    """Yield (cause, evidence) of the logs: ``causes`` may be judged here, for ``spoken`` somebody testified."""
    told = [r for r in dispute.refusals if r.record is not None and r.record.cause in causes]
    if (
        dispute.signature.explicit
    ):  # the wire says why; a line that says otherwise is of another attempt of the same second
        told = [r for r in told if r.record and r.record.cause == dispute.signature.cause]
    if told:
        yield from _of_these(dispute, told, spoken)
    else:
        yield from _beside(dispute, causes)


def _of_these(dispute: Dispute, told: Sequence[Refusal], spoken: Collection[str]) -> Iterator[tuple[str, Evidence]]:
    """Testify from the records of the refused logins themselves."""
    counted = Counter(r.record.cause for r in told if r.record and r.record.cause)
    for cause in counted:
        mine = [r for r in told if r.record and r.record.cause == cause]
        record = next((r.record for r in mine if r.record and r.record.sure), mine[0].record)
        if record is None:
            continue
        refs = tuple(r.ref for r in mine)[:FRAMES_SHOWN]
        of = f"of {len(mine)} of {len(dispute.refusals)} refusals" if len(dispute.refusals) > 1 else "of this refusal"
        text = f"{record.place}: the server's own log says «{record.text}» {of}{_clock(dispute, record)}"
        weight = DECIDES_DB if record.sure else UNSURE_DB
        decisive = record.sure and len(counted) == 1
        yield cause, Evidence(text, refs, weight, decisive, filter_of(refs), "record", TOLD)
        hidden = HIDDEN.get(cause) if not record.sure else None
        if hidden:
            text = f"{record.place}: «{record.text}» is what the log says of a locked account as well"
            yield hidden[0], Evidence(text, refs, hidden[1], filter=filter_of(refs), kind="record", source=TOLD)
        for rival in spoken:
            if rival not in counted and (not hidden or rival != hidden[0]):
                text = f"the server's own log names another reason, «{record.text}» ({record.place})"
                yield rival, Evidence(text, refs, OTHER_REASON_DB, filter=filter_of(refs), kind="record", source=TOLD)


def _beside(dispute: Dispute, causes: Collection[str]) -> Iterator[tuple[str, Evidence]]:
    """Testify from records that are of the account, or of the whole server, but of none of these logins."""
    for log in dispute.scene.logs:
        taken = {m.record.line for m in log.matches}
        found: dict[str, list[Record]] = defaultdict(list)
        for record in log.records:
            cause = record.cause
            if cause in causes and cause is not None and record.line not in taken and concerns(record, dispute):
                found[cause].append(record)
        for cause, records in found.items():
            yield cause, _weighed(dispute, log, cause, records)


def concerns(record: Record, dispute: Dispute) -> bool:
    """Tell whether a record is about the dispute's account (or sender, or the whole server) and not another server's."""
    if record.protocol not in {None, dispute.protocol} or record.server not in {None, dispute.server}:
        return False
    if _stranger(record, dispute):
        return False
    if record.account is not None:
        domain = next((r.login.domain for r in dispute.refusals if r.login is not None), None)
        return same_account(record, dispute.account, domain)
    if dispute.account is not None or dispute.kind not in {"greeting", "silence"}:
        return False
    return record.client is None or record.client in dispute.clients


def noted_limit(dispute: Dispute, cause: str) -> int | None:
    """Return the limit's height that a log tells for the dispute's account."""
    told = (r for log in dispute.scene.logs for r in log.records if r.limit and r.cause == cause)
    return next((r.limit for r in told if concerns(r, dispute)), None)


def _names(dispute: Dispute) -> set[str]:
    """Return what the dispute's server called itself in NTLM challenges, without its domain."""
    logins = (x for s in dispute.scene.on(dispute.server) for x in s.logins)
    return {_short(x.server_name) for x in logins if x.server_name}


def _short(name: str) -> str:
    return name.partition(".")[0].lower()


def _stranger(record: Record, dispute: Dispute) -> bool:
    """Tell a record of a server that is known to be called otherwise; the store may be on another one."""
    if record.host is None or record.cause == "store_session_limit":
        return False
    names = _names(dispute)
    return bool(names) and _short(record.host) not in names


def _anchored(record: Record, log: Aligned, dispute: Dispute) -> bool:
    """Tell whether a record is known to be of the dispute's server, by address, by name, or by its neighbours."""
    if record.server is not None or log.matches:
        return True
    return record.host is not None and _short(record.host) in _names(dispute)


def _weighed(dispute: Dispute, log: Aligned, cause: str, records: Sequence[Record]) -> Evidence:
    margin = int(MARGIN_S * NS_PER_S)
    during = [r for r in records if r.ts is not None and dispute.first - margin <= r.ts <= dispute.last + margin]
    shown = (during or records)[0]
    times = f", {len(during or records)} times" if len(during or records) > 1 else ""
    said = f"{shown.place}: the server's own log says «{shown.text}»{_of(shown)}{times}"
    if not log.timed:
        text = f"{said}; its times are local and cannot be compared with the capture's"
        return Evidence(text, (), NO_CLOCK_DB, kind="record", source=TOLD)
    if not during:
        text = f"{said}, outside the refusals' time ({_when(shown.ts)})"
        return Evidence(text, (), OTHER_TIME_DB, kind="record", source=TOLD)
    sure = shown.sure and (cause == "store_session_limit" or _anchored(shown, log, dispute))
    weight = SAME_TIME_DB.get(cause, SAME_TIME_ELSE_DB) if sure else SAME_TIME_ELSE_DB
    text = f"{said} at the time of the refusals{_clock(dispute, shown)}"
    return Evidence(text, (), weight, sure and cause in DECISIVE_AT_ONCE, kind="record", source=TOLD)


def _of(record: Record) -> str:
    return f" of {record.account}" if record.account else ""


def _clock(dispute: Dispute, record: Record) -> str:
    """Say how far the log's clock is from the capture's, where that was measured."""
    log = next((x for x in dispute.scene.logs if x.log.name == record.log), None)
    if log is None or log.offset is None:
        return ""
    seconds = log.offset / NS_PER_S
    if abs(seconds) < 0.5:
        return "; both clocks agree"
    return f"; its clock is {abs(seconds):,.1f} s {'ahead of' if seconds > 0 else 'behind'} the capture's"


def _when(ts: int | None) -> str:
    if ts is None:
        return "no time"
    return datetime.fromtimestamp(ts // NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
