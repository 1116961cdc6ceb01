"""What encrypted sessions tell without keys: by sizes, turns and times that logins may have been refused, and TLS's own faults.

A refused login is a short conversation: greeting, a few short questions and answers, the end; an accepted one goes on. Many
healthy things are short too: a poll every minute, a monitor's look, a webmail page. So only two shapes are taken up:
the same question, to the octet, got one answer where the session went on and another where it ended, soon tried again; or
a program repeats one and the same short session at once, again and again, whose last question is its longest.
TLS 1.2 with CBC ciphers pads answers to one size; then only the second is left.

What this yields is never more than suspected (:data:`ALL_DB`): a wrong password has the same shape as a limit. Records of
POP3 and SMTP are left alone: a poll of an empty mailbox, or a mail handed over, looks like a refusal.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from analyzer.at import NS_PER_S, At, Side
from analyzer.rules.finding import Evidence, FrameRef
from analyzer.rules.ledger import FAST_RETRY_S
from analyzer.rules.rule import FRAMES_SHOWN, filter_of
from analyzer.rules.scene import Dispute, Refusal, Scene
from analyzer.rules.signatures import UNKNOWN
from analyzer.sessions.session import Outcome, Session

QUESTIONS_LIMIT = 6
"""Turns of the client in a refused login at most: CAPABILITY, ID, AUTHENTICATE, three messages of NTLM or the LOGOUT."""
OCTETS_LIMIT = 3000
"""Octets of a refused login at most, greeting aside: NTLM's messages fill some 2000."""
SHORT_S = 20.0
"""Seconds a refused session lasts at most: the longest tarpit known is 15."""
RETRIES_NEEDED = 3
RETRY_S = 30.0
"""Seconds between attempts that are a retry, where the answers differ; pollers come once a minute or less."""
SECRET_BYTES = 50
"""Payload of a lone question that may hold credentials; 'CAPABILITY' and 'LOGOUT' have up to 48, encrypted."""
DIFFERENCE = 3
"""Octets between two answers: 'NO LOGIN failed.' and 'OK LOGIN completed.'; a counter in an answer grows by one."""

BASE_DB, CADENCE_DB, ANSWER_DB, INSIDE_DB, HALF_DB, NEVER_DB = 2.0, 1.0, 1.5, 2.0, 3.0, 2.0
ALL_DB = max(CADENCE_DB + ANSWER_DB + INSIDE_DB + HALF_DB, BASE_DB + ANSWER_DB + NEVER_DB)
"""The most one cause can get from all this, below the margin that a claim needs."""

_POLICY = frozenset({"protocol_version", "insufficient_security"})
"""Alerts with which a server says that it takes no such TLS (RFC 8446, section 6.2)."""
_SAID_DB, _UNCLEAR_DB = 20.0, 6.0


class Shape(NamedTuple):
    """Sizes of what was said after the greeting."""

    asked: tuple[int, ...]
    """Octets of each turn of the client."""
    answered: tuple[int, ...]
    """Octets of the server's turn behind each; the last question may have none."""


Answers = Mapping[Shape, Sequence[int]]
"""Questions, the last still open, and the answers before it: the sizes of what was answered, ascending."""


def shape_of(s: Session) -> Shape:
    """Return the sizes of a session's first turns."""
    turns = s.talk.turns if s.talk else ()
    start = next((n for n, turn in enumerate(turns) if turn.side is Side.CLIENT), len(turns))
    sizes = [turn.size_bytes for turn in turns[start:]]
    if s.tls == "starttls" and len(sizes) > 1:
        sizes[1] = 0  # session tickets of TLS 1.3 may have come with it, or before (RFC 8446, section 4.6.1)
    return Shape(tuple(sizes[::2]), tuple(sizes[1::2]))


def _is_short(s: Session) -> bool:
    """Tell a session that may have been a refused login."""
    if s.talk is None or not s.talk.whole or s.syn_at is None or s.end - s.start > SHORT_S * NS_PER_S:
        return False
    asked, answered = shape_of(s)
    return 1 <= len(asked) <= QUESTIONS_LIMIT and bool(answered) and sum(asked) + sum(answered) <= OCTETS_LIMIT


def _goes_on(s: Session) -> bool:
    """Tell a session in which much more was said than a refused login can say."""
    asked, answered = shape_of(s)
    return len(asked) > QUESTIONS_LIMIT or sum(asked) + sum(answered) > OCTETS_LIMIT


def sealed_disputes(scene: Scene, hidden: Iterable[Session]) -> list[Dispute]:
    """Return one dispute per server and port whose encrypted sessions look like refused logins, tried again and again."""
    places: dict[tuple[str, int], list[Session]] = defaultdict(list)
    for s in hidden:
        if s.protocol == "imap" and s.outcome is Outcome.OPAQUE:
            places[s.server, s.server_port].append(s)
    found = []
    for (server, _), sessions in places.items():
        answers = _answers(sessions)
        refused = [x for run in _runs(sessions) if _looks_refused(run, answers) for x in run]
        if refused:
            refusals = sorted((Refusal(_decided(s), s, None, "", UNKNOWN) for s in refused), key=lambda r: r.at.ts)
            found.append(Dispute("sealed", scene, server, None, refusals))
    return found


def _runs(sessions: Iterable[Session]) -> list[list[Session]]:
    """Return the short sessions of each client that have one and the same shape, by time."""
    alike: dict[tuple[str, Shape], list[Session]] = defaultdict(list)
    for s in sessions:
        if _is_short(s):
            alike[s.client, shape_of(s)].append(s)
    return [sorted(run, key=lambda s: s.start) for run in alike.values() if len(run) >= RETRIES_NEEDED]


def _looks_refused(run: Sequence[Session], answers: Answers) -> bool:
    shape, gap = shape_of(run[0]), _gap_s(run)
    last = shape.asked[-1]
    # Credentials are the longest that a client says before it is let in; a LOGOUT is the shortest.
    secret = last == max(shape.asked) and (len(shape.asked) > 1 or last >= SECRET_BYTES)
    return (gap <= FAST_RETRY_S and secret) or (gap <= RETRY_S and _otherwise(shape, answers))


def _gap_s(run: Sequence[Session]) -> float:
    """Return the median time between attempts, s."""
    gaps = sorted((b.start - a.start) / NS_PER_S for a, b in pairwise(run))
    return gaps[len(gaps) // 2]


def _answers(sessions: Iterable[Session]) -> Answers:
    """Collect what was answered in the sessions that went on."""
    found: dict[Shape, set[int]] = defaultdict(set)
    for s in sessions:
        if _goes_on(s):
            asked, answered = shape_of(s)
            for n, size in enumerate(answered[:QUESTIONS_LIMIT]):
                found[Shape(asked[: n + 1], answered[:n])].add(size)
    return {shape: sorted(sizes) for shape, sizes in found.items()}


def _otherwise(shape: Shape, answers: Answers) -> bool:
    """Tell whether the last question, or the one before a goodbye, got another answer wherever the session went on."""
    for last in (len(shape.answered) - 1, len(shape.answered) - 2):
        sizes = answers.get(Shape(shape.asked[: last + 1], shape.answered[:last])) if last >= 0 else None
        if sizes:
            place = bisect_left(sizes, shape.answered[last])
            if all(abs(x - shape.answered[last]) >= DIFFERENCE for x in sizes[max(place - 1, 0) : place + 1]):
                return True
    return False


def _decided(s: Session) -> At:
    """Return the last that the server said inside TLS."""
    turns = s.talk.turns if s.talk else ()
    return next((turn.at for turn in reversed(turns) if turn.side is Side.SERVER), s.end_at)


class _Seen(NamedTuple):
    """What a dispute's server shows besides."""

    refused: list[Session]
    going: list[Session]
    """Sessions that went on."""

    @property
    def inside(self) -> int:
        """Sessions that went on and were open at every refusal shown."""
        return min(sum(s.start < r.start < s.end for s in self.going) for r in self.refused[:FRAMES_SHOWN])

    @property
    def half(self) -> str | None:
        """A client that was refused while another session of its own, begun with the same question, went on."""
        starts: dict[tuple[str, tuple[int, ...]], list[int]] = defaultdict(list)
        for r in sorted(self.refused, key=lambda r: r.start):
            starts[r.client, shape_of(r).asked[:1]].append(r.start)
        for s in self.going:
            mine = starts.get((s.client, shape_of(s).asked[:1]), [])
            if bisect_left(mine, s.start) < bisect_left(mine, s.end):
                return s.client
        return None

    @property
    def never(self) -> list[str]:
        """Clients that were refused and have no session that went on."""
        return sorted({r.client for r in self.refused} - {s.client for s in self.going})


def _seen(dispute: Dispute) -> _Seen:
    port = dispute.refusals[0].session.server_port
    there = [s for s in dispute.scene.on(dispute.server) if s.server_port == port and s.outcome is Outcome.OPAQUE]
    return _Seen([r.session for r in dispute.refusals], [s for s in there if _goes_on(s)])


def per_user(dispute: Dispute) -> Iterator[Evidence]:
    """Testify for a limit on connections, as far as sizes and times do."""
    seen = _seen(dispute)
    gap = min(_gap_s(run) for run in _runs(seen.refused))
    yield _told(
        f"one and the same short session is tried again every {gap:.1f} s: a program retries a login that fails",
        CADENCE_DB, "cadence", dispute.refusals,
    )  # fmt: skip
    yield from _answer(dispute, seen)
    if seen.inside:
        text = f"{seen.inside} other session(s) that went on were open at every attempt"
        yield _told(text, INSIDE_DB, "inside", dispute.refusals)
    if seen.half:
        text = f"{seen.half} was cut short while another session of its own, begun alike, went on"
        yield _told(text, HALF_DB, "half", dispute.refusals)


def bad_credentials(dispute: Dispute) -> Iterator[Evidence]:
    """Testify for or against a wrong password, as far as sizes and times do."""
    seen = _seen(dispute)
    yield _told("a wrong password, retried by a program, has the same shape", BASE_DB, "shape", dispute.refusals)
    yield from _answer(dispute, seen)
    if seen.half:
        yield _told("another session of the same client, begun alike, went on", -HALF_DB, "half", dispute.refusals)
    elif seen.never and seen.going:
        others = len({s.client for s in seen.going})
        text = f"no session of {', '.join(seen.never[:3])} ever went on, while those of {others} other client(s) did"
        yield _told(text, NEVER_DB, "never-here", dispute.refusals)


def _answer(dispute: Dispute, seen: _Seen) -> Iterator[Evidence]:
    answers = _answers(seen.going)
    differ = [r for r in dispute.refusals if _otherwise(shape_of(r.session), answers)]
    if differ:
        text = "the same question, to the octet, got another answer than in the sessions that went on, and then the end"
        yield _told(text, ANSWER_DB, "answer", differ)


def _told(text: str, weight_db: float, kind: str, refusals: Sequence[Refusal]) -> Evidence:
    refs = tuple(r.ref for r in refusals[:FRAMES_SHOWN])
    return Evidence(text, refs, weight_db, filter=filter_of(refs), kind=kind)


def handshake_disputes(scene: Scene, hidden: Iterable[Session]) -> list[Dispute]:
    """Return one dispute per server and alert that broke handshakes off, for clients whose TLS never worked there."""
    hidden = list(hidden)
    work = {(s.client, s.server, s.server_port) for s in hidden if s.talk and s.talk.records}
    found: dict[tuple[str, int, Side, str], list[Refusal]] = defaultdict(list)
    for s in hidden:
        alert = s.alert
        if alert is None or alert.level == "warning" or (s.client, s.server, s.server_port) in work:
            continue
        refusal = Refusal(alert.at, s, None, alert.description, UNKNOWN)
        found[s.server, s.server_port, alert.side, alert.description].append(refusal)
    return [
        Dispute("tls", scene, server, None, sorted(refusals, key=lambda r: r.at.ts))
        for (server, _, _, _), refusals in found.items()
    ]


def broken_off(dispute: Dispute, cause: str) -> Iterator[Evidence]:
    """Testify from the alert that ended a handshake: what the server says it does not take, policy; its own failure, trouble.

    A client that breaks off does so by a policy of its own: it does not trust the certificate, or takes no such TLS.
    """
    first = dispute.refusals[0].session
    alert = first.alert
    if alert is None or cause != ("server_unavailable" if _own_failure(first) else "rejected_by_policy"):
        return
    who = "server" if alert.side is Side.SERVER else "client"
    said = alert.side is Side.SERVER and alert.description in _POLICY
    text = f"the {who} broke the TLS handshake off: {alert.description.replace('_', ' ')}{_about(first)}"
    refs = tuple(FrameRef(r.session.capture, r.at.frame) for r in dispute.refusals[:FRAMES_SHOWN])
    weight = _SAID_DB if said else _UNCLEAR_DB
    yield Evidence(text, refs, weight, said, filter_of(refs), "alert", "RFC 8446, section 6.2")


def _own_failure(s: Session) -> bool:
    return s.alert is not None and s.alert.side is Side.SERVER and s.alert.description == "internal_error"


def _about(s: Session) -> str:
    """Return what the hellos and the certificate add to an alert."""
    parts = [f"the client offered {', '.join(s.tls_offered)}"] if s.tls_offered else []
    parts += [f"the server chose {s.tls_version}"] if s.tls_version else []
    parts += [f"its certificate is for {', '.join(s.certificate_names[:3])}"] if s.certificate_names else []
    return f" ({'; '.join(parts)})" if parts else ""
