"""What captures at both ends of a connection show together: packets lost on the way, and resets that nobody sent.

An end's own capture is the witness of what it sent and got. It is heard only as far as it goes: one that began later, was cut,
or lost packets itself proves nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from analyzer.at import NS_PER_MS, NS_PER_S, At
from analyzer.sessions.session import Crossing, Session

Span = tuple[int, int]
"""First and last packet of a capture, ns, on the common clock."""

APART_MS = 0.01
"""ms between handshakes as two captures saw them; less does not tell which of them is nearer to the client."""
SURE = 0.9
"""Share of the shared handshakes that must agree on it."""
MARGIN_NS = NS_PER_S
"""A capture must begin this long before what it is asked about, and end this long after it."""
SLACK_NS = 100 * NS_PER_MS
"""Time on the way: two captures that end so close to each other ended together."""
WENT_ON_NS = 500 * NS_PER_MS
"""Packets this long after a reset are no echo of it: longer than they are on the way."""
SYNS = 2
"""SYNs that a capture must all lack: one alone it may have lost itself."""

Places = Mapping[tuple[str, str], int]
"""(capture, other) -> above 0 where the first is nearer to the clients."""


def crossings(
    groups: Sequence[Sequence[Session]], spans: Mapping[str, Span]
) -> Iterable[tuple[Sequence[Session], Crossing]]:
    """Yield each connection whose two ends tell something together, as the views of it and what they tell.

    Args:
        groups: the views of each connection, times on one clock.
        spans: what time each capture covers, on the same clock.
    """
    places = _places(groups)
    at_server = _by_server(groups)
    for group in groups:
        pairs = [(a, b) for a in group for b in group if places.get((a.capture, b.capture), 0) > 0]
        if pairs:
            near, far = pairs[0]
            yield group, _compared(near, far, group, spans, places)
        elif len(group) == 1 and (far_capture := _never_came(group[0], at_server, places, spans)):
            s = group[0]
            yield group, Crossing(s.capture, far_capture, 0, 0, None, False, "unseen", ((s.capture, s.first_frame),))


def _places(groups: Iterable[Sequence[Session]]) -> Places:
    """Tell for each two captures which is nearer to the clients: there the server's answer to a SYN comes later."""
    votes: dict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
    for group in groups:
        timed = [s for s in group if s.handshake_ms is not None and s.syn_count == 1]
        for one, other in combinations(sorted(timed, key=lambda s: s.capture), 2):
            apart = (one.handshake_ms or 0.0) - (other.handshake_ms or 0.0)
            if abs(apart) >= APART_MS:
                votes[one.capture, other.capture][apart > 0] += 1
    found: dict[tuple[str, str], int] = {}
    for (one_name, other_name), told in votes.items():
        for nearer in (True, False):
            if told[nearer] >= SURE * told.total():
                found[one_name, other_name] = 1 if nearer else -1
                found[other_name, one_name] = -found[one_name, other_name]
    return found


def _compared(
    near: Session, far: Session, group: Sequence[Session], spans: Mapping[str, Span], places: Places
) -> Crossing:
    whole = near.syn_at is not None and far.syn_at is not None and _to_the_end(near, far, spans)
    up = (near.retransmits - near.server_retransmits) - (far.retransmits - far.server_retransmits)
    down = far.server_retransmits - near.server_retransmits
    others = [s for s in group if s is not near and places.get((near.capture, s.capture), 1) > 0]
    own = [s for s in group if s is not far and places.get((s.capture, far.capture), 1) > 0]
    reset, cut = _unsent(near, "server", others, spans), _unsent(far, "client", own, spans)
    forged = "both" if reset and cut else "server" if reset else "client" if cut else None
    went_on = bool((reset and far.end > reset.ts + WENT_ON_NS) or (cut and near.end > cut.ts + WENT_ON_NS))
    seen = [(s.capture, at.frame) for s, at in ((near, reset), (far, cut)) if at]
    syn = None
    if near.conn_state == "S0" and near.syn_ack_at is None:
        syn = "answer lost" if far.syn_ack_at is not None else "unanswered"
        seen += [(near.capture, near.first_frame), (far.capture, far.first_frame)]
    return Crossing(
        near.capture,
        far.capture,
        max(0, up) if whole else 0,
        max(0, down) if whole else 0,
        forged,
        went_on,
        syn,
        tuple(seen),
    )


def _to_the_end(one: Session, other: Session, spans: Mapping[str, Span]) -> bool:
    """Tell whether neither capture stopped before the connection ended in the other."""
    return all(spans.get(a.capture, (0, 0))[1] + SLACK_NS >= b.end for a, b in ((one, other), (other, one)))


def _unsent(got: Session, by: str, sent: Sequence[Session], spans: Mapping[str, Span]) -> At | None:
    """Return where a reset came in the name of a side at whose end no capture holds one, though one covers that time."""
    at, letter = got.closed_at, "r" if by == "server" else "R"
    if got.reset_by != by or got.fin_by is not None or at is None:
        return None
    if any(letter in s.history for s in sent):
        return None
    return at if any(_covers(spans, s.capture, at.ts, at.ts) for s in sent) else None


def _covers(spans: Mapping[str, Span], capture: str, start: int, end: int) -> bool:
    """Tell whether a capture began well before a time and went on well beyond another."""
    first, last = spans.get(capture, (0, 0))
    return first <= start - MARGIN_NS and last >= end + MARGIN_NS


def _by_server(groups: Iterable[Sequence[Session]]) -> Mapping[tuple[str, int], set[str]]:
    """Return, for each server and port, the captures that hold answered connections to it."""
    found: dict[tuple[str, int], set[str]] = defaultdict(set)
    for group in groups:
        for s in group:
            if s.established_at is not None:
                found[s.server, s.server_port].add(s.capture)
    return found


def _never_came(
    s: Session, at_server: Mapping[tuple[str, int], set[str]], places: Places, spans: Mapping[str, Span]
) -> str | None:
    """Return the capture at the server's end that should hold a SYN and does not."""
    if s.conn_state != "S0" or s.syn_count < SYNS:
        return None
    for far in sorted(at_server.get((s.server, s.server_port), ())):
        if places.get((s.capture, far), 0) > 0 and _covers(spans, far, s.start, s.end):
            return far
    return None
