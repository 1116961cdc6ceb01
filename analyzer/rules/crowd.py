"""The crowd before the door: connections of a server open at once, in total and by client, against those turned away.

Read by the rules about limits that strike before anybody has said who he is.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from analyzer.rules.plateau import Standing, standing
from analyzer.rules.scene import Dispute
from analyzer.sessions.concurrency import Span, steps
from analyzer.sessions.session import Session


class Crowd(NamedTuple):
    """How refusals at the greeting stand to the connections open at that time."""

    total: Standing
    """Against all connections of the server."""
    by_client: dict[str, Standing]
    """Against each refused client's own connections."""
    clients: int
    """Clients of the server in the captures."""
    refused: tuple[str, ...]
    """Clients turned away, in order."""
    passed_by: tuple[Session, ...]
    """Sessions of clients never turned away, welcomed between the first and the last refusal."""
    is_back: bool
    """Somebody was welcomed after the first refusal."""


def crowd(dispute: Dispute) -> Crowd:
    """Count connections open at each refusal, and at each welcome."""
    turned = {id(r.session) for r in dispute.refusals}
    welcome = [s for s in dispute.scene.on(dispute.server) if id(s) not in turned and s.greeting_at is not None]
    late = [s for s in dispute.scene.on(dispute.server) if s.opened_before]
    total = _stand([r.at.ts for r in dispute.refusals], [*welcome, *late])
    mine: dict[str, list[Session]] = defaultdict(list)
    for s in [*welcome, *late]:
        mine[s.client].append(s)
    refused = dispute.clients
    turned_away = set(refused)
    times: dict[str, list[int]] = defaultdict(list)
    for r in dispute.refusals:
        times[r.session.client].append(r.at.ts)
    passed = tuple(
        s
        for s in welcome
        if s.client not in turned_away and s.greeting_at and dispute.first <= s.greeting_at.ts <= dispute.last
    )
    return Crowd(
        total=total,
        by_client={client: _stand(times[client], mine[client]) for client in refused},
        clients=len(dispute.scene.hosts(dispute.server)),
        refused=refused,
        passed_by=passed,
        is_back=any(s.greeting_at is not None and s.greeting_at.ts > dispute.first for s in welcome),
    )


def _stand(refused: list[int], sessions: list[Session]) -> Standing:
    open_spans = [
        Span(s.start if s.established_at is None else s.established_at.ts, s.closed_at.ts if s.closed_at else None)
        for s in sessions
    ]
    # A connection does not stand in its own way: it is counted from its establishment, its welcome judged just before.
    welcomed = [s.established_at.ts for s in sessions if s.established_at is not None]
    return standing(refused, welcomed, open_spans, steps(open_spans))
