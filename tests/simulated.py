"""The judge against the model: limits and their look-alikes, run by run, as seen from three places.

    python -m tests.simulated --runs 500 [--only limit] [--example]

A run of the model becomes sessions without a packet, the judge speaks, and the model's true causes say who is right. A
claim is right when its cause is the true one for at least half of the hosts whose refusals it names.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random

from analyzer.rules import CLAIMS, Finding, Known, Scene, judge
from analyzer.secret import Secret
from analyzer.sessions.session import Login, LoginOutcome, Outcome, Session
from tests import model
from tests.model import Agent, Attempt, Limits, Run, Server, agents, simulate
from tests.records import login, place, session

MECHANISMS = ("PLAIN", "NTLM")
VIEWS = ("server", "late", "five", "one")
"""At the server from the start; from ``LATE_S`` on; on five PCs, one of them refused; on one refused PC."""
LATE_S = 100.0
POLL_S = 9.0
"""Every other open session polls this often; the rest is silent until it ends."""
CULPRIT = "192.0.2.99"
NO_LIMIT = Limits(per_user=None)
CAUSE = {
    "per_user": "per_user_connection_limit",
    "password": "bad_credentials",
    "locked": "account_locked",
    "outage": "server_unavailable",
    "workers": "server_connection_limit",
    "stuck": "server_slow",
    "closed": "port_closed",
}
"""The model's reason -> the cause to be found; a mishap has none."""
LONG_S = 3.0
"""A wait from which on a person calls it trouble."""
SECRETS = {name: Secret(name.encode()) for name in (model.RIGHT, model.OLD, model.NEW, model.WRONG)}


# -- the model's attempts as sessions ---------------------------------------------------------------------------------


def sessions(run: Run, *, apart: bool = False) -> tuple[Session, ...]:
    """Return what captures hold of a run: the server's own, or ``apart`` each client's."""
    return tuple(_session(run, x, f"{x.agent.address}.pcap" if apart else "server.pcap") for x in run.attempts)


def late(run: Run, whole: Iterable[Session], since_s: float = LATE_S) -> tuple[Session, ...]:
    """Return what the server's capture holds when it begins later."""
    pairs = zip(run.attempts, whole, strict=True)
    found = (s if x.start_s >= since_s else _begun(run, x, s.capture, since_s) for x, s in pairs)
    return tuple(s for s in found if s is not None)


def _begun(run: Run, x: Attempt, capture: str, since_s: float) -> Session | None:
    """Return a session whose login was before the capture, once it says something; a login cut in two is left out."""
    polls = since_s + (x.number * 0.37) % POLL_S if x.slot % 2 == 0 else run.until_s
    ends = run.until_s if x.closed_s is None else x.closed_s
    first = min(polls, ends - 0.004)
    if not x.is_session or x.decided_s > since_s or ends <= since_s or first >= run.until_s - 0.01:
        return None
    never = {
        "greeting",
        "greeting_status",
        "greeting_at",
        "greeting_ms",
        "product",
        "syn_at",
        "established_at",
        "handshake_ms",
    }
    unset: dict[str, object] = dict.fromkeys(never)
    return session(
        f"C{x.number}", at_s=first, lasts_s=None if x.closed_s is None else ends - first, frame=30 * x.number,
        capture_ends_s=run.until_s, client=x.agent.address, server=run.server.address, server_port=run.server.port,
        capture=capture, closed_by=x.closed_by, logins=(), opened=place(1, first).ts, opened_before=True,
        closed=None if x.closed_s is None else place(1, ends).ts, **unset,
    )  # fmt: skip


def _login(run: Run, x: Attempt, capture: str) -> Login:
    outcome = {
        model.ACCEPTED: LoginOutcome.ACCEPTED, model.REFUSED: LoginOutcome.REFUSED, model.UNSEEN: LoginOutcome.UNSEEN,
    }.get(x.outcome, LoginOutcome.ABANDONED)  # fmt: skip
    begun = _served(x) if run.server.waits_at == "greeting" else x.start_s
    mechanism, at_s = x.agent.mechanism, begun + (x.decided_s - begun) / 3
    if x.waited and run.server.waits_at == "login":
        at_s = x.start_s + 0.02
    return login(
        f"C{x.number}", at_s=at_s, took_s=x.decided_s - at_s, frame=30 * x.number + 6, outcome=outcome,
        mechanism=mechanism, account=x.agent.account, client=x.agent.address, server=run.server.address,
        server_port=run.server.port, capture=capture,
        workstation=(x.agent.workstation or None) if mechanism == "NTLM" else None,
        server_name=f"EXCH{x.member + 1:02}" if mechanism == "NTLM" else None,
        credential=None if mechanism == "NTLM" else SECRETS[x.agent.secret],
    )  # fmt: skip


def _served(x: Attempt) -> float:
    """Return when a newcomer's turn came; that of one who never had to wait is its start."""
    return x.start_s if x.served_s is None else x.served_s


_OUTCOMES = {
    model.ACCEPTED: Outcome.ACCEPTED,
    model.REFUSED: Outcome.REFUSED,
    model.UNSEEN: Outcome.UNSEEN,
    model.ABANDONED: Outcome.ABANDONED,
}


def _session(run: Run, x: Attempt, capture: str) -> Session:
    given: dict[str, object] = {
        "outcome": _OUTCOMES.get(x.outcome, Outcome.DROPPED),
        "closed_by": x.closed_by,
    }
    frame = 30 * x.number
    if x.outcome == model.UNREACHABLE:
        silent = {"greeting": None, "greeting_status": None, "greeting_at": None, "established_at": None, "logins": ()}
        state = "REJ" if x.why == "closed" else "S0"
        told = "administratively prohibited" if x.why == "prohibited" else None
        given |= silent | {"outcome": Outcome.UNREACHABLE, "conn_state": state, "unreachable": told, "product": None}
    elif x.outcome == model.AT_GREETING:
        given |= {"outcome": Outcome.REFUSED_AT_GREETING, "greeting": "Connection is closed. 10", "logins": ()}
        given |= {"greeting_status": "BYE", "product": None}
    elif x.waited and run.server.waits_at == "greeting" and (x.served_s is None or x.served_s > run.until_s):
        given |= {"greeting": None, "greeting_status": None, "greeting_at": None, "greeting_ms": None, "product": None}
        given |= {"server_bytes": 0, "logins": ()}
    else:
        given["logins"] = (_login(run, x, capture),)
        if x.waited and run.server.waits_at == "greeting":
            wait_s = _served(x) - x.start_s
            given |= {"greeting_at": place(frame + 3, x.start_s + wait_s + 0.003), "greeting_ms": wait_s * 1000 + 2}
    if x.outcome == model.DROPPED:
        given |= {"bye": "Connection is closed. 12", "bye_at": place(frame + 15, x.closed_s or 0.0)}
    return session(
        f"C{x.number}", at_s=x.start_s, lasts_s=None if x.closed_s is None else x.closed_s - x.start_s, frame=frame,
        capture_ends_s=run.until_s, client=x.agent.address, server=run.server.address, server_port=run.server.port,
        capture=capture, **given,
    )  # fmt: skip


# -- scenarios --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """What is simulated: the server, its clients, for how long, and who stays out of sight."""

    server: Server
    people: list[Agent]
    until_s: float = 300.0
    unseen: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Scenario:
    """One kind of trouble; ``build`` draws a story of it."""

    name: str
    limit: bool
    """A true per-user limit, else a look-alike."""
    build: Callable[[Random, str], Story]


def _habits(rng: Random, mechanism: str) -> dict[str, object]:
    """Draw how the PCs of one site behave: how long sessions last, how refused programs try again."""
    short = rng.uniform(20, 90)
    return {
        "mechanism": mechanism,
        "every_s": rng.choice((0.5, 2.0, 5.0)),
        "stay_s": (short, short * rng.uniform(2, 5)),
        "reopen_s": rng.uniform(1, 20),
        "burst": rng.choice((1, 2, 3)),
        "rest_s": rng.uniform(8, 30),
    }


def _crew(rng: Random, mechanism: str, count: int, **changes: object) -> list[Agent]:
    return agents(count, **(_habits(rng, mechanism) | changes))


def _culprits(rng: Random, mechanism: str, count: int, **changes: object) -> list[Agent]:
    given = _habits(rng, mechanism) | {"secret": model.WRONG, "start_s": rng.uniform(0, 120), "first": 99} | changes
    return agents(count, **given)


def _limit(limit: int, count: int, wrong: int = 0, **changes: object) -> Callable[[Random, str], Story]:
    def build(rng: Random, mechanism: str) -> Story:
        people = _crew(rng, mechanism, count, **changes) + _culprits(rng, mechanism, wrong)
        return Story(Server(limits=Limits(per_user=limit)), people)

    return build


def _balanced(limit: int, count: int, members: int, *, sticky: bool) -> Callable[[Random, str], Story]:
    def build(rng: Random, mechanism: str) -> Story:
        server = Server(limits=Limits(per_user=limit), members=members, sticky=sticky)
        return Story(server, _crew(rng, mechanism, count))

    return build


def _uneven(limit: int) -> Callable[[Random, str], Story]:
    """Let more PCs come to one of two servers than it takes, and few to the other, which takes in all of them."""

    def build(rng: Random, mechanism: str) -> Story:
        crew = _crew(rng, mechanism, 14, stay_s=rng.choice((None, (30.0, 90.0))))
        many = [_with(x, address=f"192.0.2.{10 + 2 * n}") for n, x in enumerate(crew[:10])]
        few = [_with(x, address=f"192.0.2.{11 + 2 * n}", arrive_s=rng.uniform(0, 200)) for n, x in enumerate(crew[10:])]
        return Story(Server(limits=Limits(per_user=limit), members=2), many + few)

    return build


def _one_fails(
    draw: Callable[[Random], list[tuple[float, float]]], **changes: object
) -> Callable[[Random, str], Story]:
    """Let the directory behind one of two servers fail."""

    def build(rng: Random, mechanism: str) -> Story:
        crew = _crew(rng, mechanism, rng.randint(6, 30), **changes)
        server = Server(limits=NO_LIMIT, outages=draw(rng), members=2, sticky=rng.random() < 0.5, fails_on=0)
        return Story(server, crew)

    return build


def _nat(limit: int, count: int) -> Callable[[Random, str], Story]:
    """Let all but two PCs stand behind one address."""

    def build(rng: Random, mechanism: str) -> Story:
        crew = _crew(rng, mechanism, count)
        return Story(
            Server(limits=Limits(per_user=limit)), [_with(x, address="192.0.2.1") for x in crew[2:]] + crew[:2]
        )

    return build


def _wrong(good: tuple[int, int], wrong: int) -> Callable[[Random, str], Story]:
    def build(rng: Random, mechanism: str) -> Story:
        people = _crew(rng, mechanism, rng.randint(*good)) if good[1] else []
        return Story(Server(limits=NO_LIMIT), people + _culprits(rng, mechanism, wrong or rng.randint(2, 20)))

    return build


def _changed(when: tuple[float, float], **changes: object) -> Callable[[Random, str], Story]:
    def build(rng: Random, mechanism: str) -> Story:
        server = Server(limits=NO_LIMIT, changes=((rng.uniform(*when), model.ACCOUNT, model.NEW),))
        return Story(server, _crew(rng, mechanism, rng.randint(6, 30), **changes))

    return build


def _changed_back(rng: Random, mechanism: str) -> Story:
    begin, away = rng.uniform(60, 150), rng.uniform(20, 120)
    changes = ((begin, model.ACCOUNT, model.NEW), (begin + away, model.ACCOUNT, model.RIGHT))
    return Story(Server(limits=NO_LIMIT, changes=changes), _crew(rng, mechanism, rng.randint(6, 30)))


def _rolled_out(rng: Random, mechanism: str) -> Story:
    """Change the password; one PC after the other is told the new one."""
    begin, habits, people = rng.uniform(40, 120), _habits(rng, mechanism), []
    for old in agents(rng.randint(6, 30), **habits):
        told = begin + rng.uniform(5, 150)
        new = {"secret": model.NEW, "arrive_s": told + rng.uniform(1, 5)}
        people += [_with(old, leave_s=told), _with(old, **new)]
    return Story(Server(limits=NO_LIMIT, changes=((begin, model.ACCOUNT, model.NEW),)), people)


def _with(agent: Agent, **changes: object) -> Agent:
    from dataclasses import replace

    return replace(agent, **changes)


def _locked(when: tuple[float, float], *, seen: bool = True, **changes: object) -> Callable[[Random, str], Story]:
    """Lock the account by wrong tries of one PC, which no capture shows when ``seen`` is false."""

    def build(rng: Random, mechanism: str) -> Story:
        given = {"start_s": rng.uniform(*when), "burst": None, "tries": 12, "connections": 1}
        culprit = _culprits(rng, mechanism, 1, **given)
        server = Server(limits=NO_LIMIT, lockout=rng.choice((3, 5, 10)), lock_s=changes.get("lock_s", 1800.0))
        habits = {k: v for k, v in changes.items() if k != "lock_s"}
        people = _crew(rng, mechanism, rng.randint(6, 30), **habits)
        return Story(server, people + culprit, unseen=frozenset() if seen else frozenset({CULPRIT}))

    return build  # type: ignore[return-value]


def _mishaps(share: float, **changes: object) -> Callable[[Random, str], Story]:
    def build(rng: Random, mechanism: str) -> Story:
        return Story(Server(limits=NO_LIMIT, mishaps=share), _crew(rng, mechanism, rng.randint(6, 30), **changes))

    return build


def _outages(draw: Callable[[Random], list[tuple[float, float]]], **changes: object) -> Callable[[Random, str], Story]:
    def build(rng: Random, mechanism: str) -> Story:
        server = Server(limits=NO_LIMIT, outages=draw(rng))
        return Story(server, _crew(rng, mechanism, rng.randint(6, 30), **changes))

    return build


def _single(rng: Random) -> list[tuple[float, float]]:
    begin = rng.uniform(30, 230)
    return [(begin, begin + rng.uniform(5, 90))]


def _early(rng: Random) -> list[tuple[float, float]]:
    begin = rng.uniform(2, 60)
    return [(begin, begin + rng.uniform(5, 150))]


def _periodic(rng: Random) -> list[tuple[float, float]]:
    every, down = rng.uniform(30, 80), rng.uniform(3, 20)
    return [(t, t + down) for t in (every * n for n in range(1, 10))]


def _flapping(rng: Random) -> list[tuple[float, float]]:
    found, now = [], rng.uniform(20, 100)
    while now < 300:
        down = rng.expovariate(1 / 4)
        found.append((now, now + down))
        now += down + rng.expovariate(1 / 6)
    return found


def _own(people: list[Agent], accounts: int) -> list[Agent]:
    """Let each few PCs have an account of their own."""
    return [_with(x, account=f"user{n % accounts}") for n, x in enumerate(people)]


def _busy(rng: Random, mechanism: str, count: int, **server: object) -> Story:
    """Draw PCs that wait when they must, at a server that lets them wait; ``server`` says when."""
    habits = _habits(rng, mechanism) | {"patience_s": rng.choice((4.0, 10.0, 30.0)), "burst": None}
    habits |= {"retry_ms": (200.0, rng.choice((1000.0, 5000.0)))}
    accounts = rng.choice((1, 3, count))
    people = _own(agents(count, **habits), accounts)
    names = {f"user{n}": model.RIGHT for n in range(accounts)}
    where = rng.choice(("greeting", "login"))
    given: dict[str, object] = {"limits": NO_LIMIT, "accounts": names, "waits_at": where} | server
    return Story(Server(**given), people)  # type: ignore[arg-type]


def _workers(number: int, count: int) -> Callable[[Random, str], Story]:
    return lambda rng, mechanism: _busy(rng, mechanism, count, limits=Limits(per_user=None, workers=number))


def _stuck(draw: Callable[[Random], list[tuple[float, float]]]) -> Callable[[Random, str], Story]:
    return lambda rng, mechanism: _busy(rng, mechanism, rng.randint(6, 20), stuck=draw(rng))


def _stuck_restarted(rng: Random, mechanism: str) -> Story:
    """Let the server get stuck until somebody restarts it, which ends all sessions at once."""
    ((begin, end),) = _single(rng)
    down = rng.choice((0.05, 1.0, 5.0))
    return _busy(rng, mechanism, rng.randint(6, 20), stuck=[(begin, end)], restarts=((end, down),))


def _stuck_arriving(rng: Random, mechanism: str) -> Story:
    """Let the server get stuck while people arrive; some of those inside go home meanwhile."""
    story = _busy(rng, mechanism, rng.randint(8, 20), stuck=_single(rng))
    return Story(story.server, _arriving(rng, story.people))


def _arriving(rng: Random, people: list[Agent]) -> list[Agent]:
    """Let people come one after the other; some go home, and nobody comes back."""
    every = rng.uniform(2, 15)
    return [
        _with(x, arrive_s=0.3 + n * every, stay_s=None, leave_s=rng.choice((1e9, rng.uniform(60, 290))))
        for n, x in enumerate(people)
    ]


def _outage_arriving(rng: Random, mechanism: str) -> Story:
    """Let the directory fail while people arrive, and come back while some go home."""
    people = _crew(rng, mechanism, rng.randint(4, 14), burst=None, retry_ms=(500.0, rng.choice((1000.0, 4000.0))))
    return Story(Server(limits=NO_LIMIT, outages=_single(rng)), _arriving(rng, people))


def _limit_arriving(limit: int) -> Callable[[Random, str], Story]:
    """Let one or two come too late; they get in when somebody goes home."""

    def build(rng: Random, mechanism: str) -> Story:
        people = _crew(rng, mechanism, limit // 2 + rng.randint(1, 2), burst=None, retry_ms=(500.0, 2000.0))
        gone = rng.uniform(150, 250)
        first = [_with(people[0], leave_s=gone), *people[1:]]
        return Story(
            Server(limits=Limits(per_user=limit)),
            [_with(x, stay_s=None, arrive_s=0.3 + 2 * n) for n, x in enumerate(first)],
        )

    return build


def _slow(rng: Random, mechanism: str) -> Story:
    """Let every login take its time, of which the server has enough for all."""
    quick = rng.uniform(500, 4000)
    return _busy(rng, mechanism, rng.randint(6, 20), login_ms=(quick, quick * rng.uniform(2, 4)))


EARLY, MIDDLE, LATE = (10.0, 60.0), (100.0, 200.0), (240.0, 290.0)
SCENARIOS = (
    Scenario("limit 16, 30 PCs", True, _limit(16, 30)),
    Scenario("limit 10, 18 PCs", True, _limit(10, 18)),
    Scenario("limit 4, 8 PCs", True, _limit(4, 8)),
    Scenario("limit 10, one wrong", True, _limit(10, 18, 1)),
    Scenario("limit 10, four wrong", True, _limit(10, 18, 4)),
    Scenario("limit 16, nobody leaves", True, _limit(16, 12, stay_s=None)),
    Scenario("limit 10, nobody leaves", True, _limit(10, 8, stay_s=None)),
    Scenario("limit 8, one goes home", True, _limit_arriving(8)),
    Scenario("limit 16, no retries", True, _limit(16, 30, tries=1)),
    Scenario("limit 10, 2 servers, sticky", True, _balanced(10, 18, 2, sticky=True)),
    Scenario("limit 10, 2 servers, by turns", True, _balanced(10, 18, 2, sticky=False)),
    Scenario("limit 10, 2 servers, uneven", True, _uneven(10)),
    Scenario("limit 16, behind one address", True, _nat(16, 30)),
    Scenario("one wrong", False, _wrong((6, 29), 1)),
    Scenario("four wrong", False, _wrong((4, 26), 4)),
    Scenario("one of two wrong", False, _wrong((1, 1), 1)),
    Scenario("all wrong", False, _wrong((0, 0), 0)),
    Scenario("changed early", False, _changed(EARLY)),
    Scenario("changed middle", False, _changed(MIDDLE)),
    Scenario("changed late", False, _changed(LATE)),
    Scenario("changed middle, no retries", False, _changed(MIDDLE, tries=1)),
    Scenario("changed, nobody leaves", False, _changed((1.0, 40.0), stay_s=None)),
    Scenario("changed and back", False, _changed_back),
    Scenario("changed, rolled out", False, _rolled_out),
    Scenario("locked early", False, _locked(EARLY)),
    Scenario("locked middle", False, _locked(MIDDLE)),
    Scenario("locked late", False, _locked(LATE)),
    Scenario("locked middle, no retries", False, _locked(MIDDLE, tries=1)),
    Scenario("locked by one unseen", False, _locked(MIDDLE, seen=False)),
    Scenario("locked unseen, nobody leaves", False, _locked((1.0, 40.0), seen=False, stay_s=None)),
    Scenario("locked for a minute", False, _locked((20.0, 120.0), seen=False, lock_s=60.0)),
    Scenario("mishaps 1 %", False, _mishaps(0.01)),
    Scenario("mishaps 5 %", False, _mishaps(0.05)),
    Scenario("mishaps 30 %", False, _mishaps(0.30)),
    Scenario("mishaps 30 %, nobody leaves", False, _mishaps(0.30, stay_s=None)),
    Scenario("outage", False, _outages(_single)),
    Scenario("outage, no retries", False, _outages(_early, tries=1)),
    Scenario("outage while people arrive", False, _outage_arriving),
    Scenario("outages, periodic", False, _outages(_periodic)),
    Scenario("outages, flapping", False, _outages(_flapping)),
    Scenario("outage, one of 2 servers", False, _one_fails(_single)),
    Scenario("outages, flapping, one of 2 servers", False, _one_fails(_flapping)),
    Scenario("outage, one of 2 servers, nobody leaves", False, _one_fails(_early, stay_s=None)),
    Scenario("12 workers, 12 PCs", True, _workers(12, 12)),
    Scenario("5 workers, 4 PCs", True, _workers(5, 4)),
    Scenario("stuck", False, _stuck(_single)),
    Scenario("stuck, periodic", False, _stuck(_periodic)),
    Scenario("stuck, flapping", False, _stuck(_flapping)),
    Scenario("stuck while people arrive", False, _stuck_arriving),
    Scenario("stuck until a restart", False, _stuck_restarted),
    Scenario("slow", False, _slow),
)


# -- judging ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One run as one place sees it."""

    run: Run
    sessions: tuple[Session, ...]
    findings: tuple[Finding, ...]

    @property
    def refusals(self) -> int:
        """Refused logins and long waits in sight."""
        seen = {s.uid for s in self.sessions}
        waits = sum(_is_long(x) for x in self.run.attempts if f"C{x.number}" in seen)
        return waits + sum(x.outcome is LoginOutcome.REFUSED for s in self.sessions for x in s.logins)

    def is_right(self, finding: Finding) -> bool:
        """Tell whether a finding's cause is the true one for half of the hosts it names."""
        named = {uid for _, uid in finding.sessions}
        hosts: dict[str, list[bool]] = defaultdict(list)
        for x in self.run.attempts:
            if f"C{x.number}" in named:
                hosts[x.agent.address].append(finding.cause in _causes(x))
        true = [h for h, rights in hosts.items() if 2 * sum(rights) >= len(rights)]
        return 2 * len(true) >= len(hosts) > 0

    @property
    def claims(self) -> list[Finding]:
        """Findings that assert a cause."""
        return [f for f in self.findings if f.verdict in CLAIMS]

    @property
    def wrong(self) -> list[Finding]:
        """Claims that are not true."""
        return [f for f in self.claims if not self.is_right(f)]


def _is_long(x: Attempt) -> bool:
    """Tell a login that took so long that it is trouble, served or not."""
    return x.outcome in {model.ACCEPTED, model.ABANDONED} and x.decided_s - x.start_s >= LONG_S


def _causes(x: Attempt) -> set[str | None]:
    """Return what is true of a refusal; a wrong secret stays wrong while the account is locked."""
    wrong = "bad_credentials" if x.agent.secret == model.WRONG else None
    slow = "server_slow" if x.waited != "workers" and _is_long(x) else None
    ended = "server_restart" if x.closed_by == "server" else None
    return {CAUSE.get(x.why), CAUSE.get(x.waited), wrong, slow, ended} - {None}


def _view(run: Run, view: str, rng: Random) -> Run:
    """Draw whom a capture shows; a client's capture is taken where somebody complains."""
    if view in {"server", "late"}:
        return run
    refused = sorted({x.agent.address for x in run.attempts if x.outcome == model.REFUSED or _is_long(x)})
    everybody = sorted({x.agent.address for x in run.attempts})
    chosen = rng.sample(refused, 1) if refused else []
    if view == "five":
        rest = [x for x in everybody if x not in chosen]
        chosen += rng.sample(rest, min(4, len(rest)))
    return run.seen_by(*chosen)


def cases(scenario: Scenario, mechanism: str, seed: int, *, known: Known | None = None) -> Iterator[tuple[str, Case]]:
    """Simulate one run and judge it from each place."""
    rng = Random(f"{scenario.name}/{mechanism}/{seed}")
    story = scenario.build(rng, mechanism)
    run = simulate(story.server, story.people, until_s=story.until_s, seed=seed)
    run = run.seen_by(*{x.agent.address for x in run.attempts} - story.unseen)
    whole = sessions(run)
    for view in VIEWS:
        seen = _view(run, view, rng)
        records = whole if view == "server" else late(run, whole) if view == "late" else sessions(seen, apart=True)
        yield view, Case(seen, records, judge(Scene(records, known or Known())))


@dataclass
class Tally:
    """What came of many runs of one scenario, mechanism and view."""

    runs: int = 0
    """Runs with a refusal in sight."""
    right: int = 0
    wrong: int = 0
    suspected: int = 0
    wrong_causes: Counter[str] = field(default_factory=Counter)
    suspects: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[int, Case, Finding]] = field(default_factory=dict)

    def take(self, seed: int, case: Case) -> None:
        """Count one run."""
        if not case.refusals:
            return
        wrong = case.wrong
        self.runs += 1
        self.wrong += bool(wrong)
        self.right += not wrong and bool(case.claims)
        self.suspected += not case.claims
        self.wrong_causes.update({f.cause for f in wrong})
        self.suspects.update({f.cause for f in case.findings if not case.claims})
        for f in wrong:
            self.examples.setdefault(f.cause, (seed, case, f))

    def share(self, count: int) -> float:
        """Return a share of the runs in percent."""
        return 100 * count / self.runs if self.runs else 0.0


def tally(scenario: Scenario, mechanism: str, seeds: Iterable[int]) -> dict[str, Tally]:
    """Simulate and judge many runs; one tally per view."""
    found = {view: Tally() for view in VIEWS}
    for seed in seeds:
        for view, case in cases(scenario, mechanism, seed):
            found[view].take(seed, case)
    return found


# -- the table --------------------------------------------------------------------------------------------------------

_HEAD = (
    f"{'scenario':30} {'mech':6} {'view':7} {'runs':>5} {'right':>6} {'wrong':>6} {'open':>6}  wrong claims; open as"
)


def _line(scenario: Scenario, mechanism: str, view: str, t: Tally) -> str:
    shares = " ".join(f"{t.share(n):5.1f}%" for n in (t.right, t.wrong, t.suspected))
    wrong = ", ".join(f"{c} {n}" for c, n in t.wrong_causes.most_common())
    suspects = ", ".join(f"{c} {n}" for c, n in t.suspects.most_common(3))
    return f"{scenario.name:30} {mechanism:6} {view:7} {t.runs:5} {shares}  {wrong or '-'}; {suspects or '-'}"


def told(case: Case, finding: Finding) -> Iterator[str]:
    """Tell a finding beside the truth."""
    whys = Counter(x.why for x in case.run.attempts)
    yield f"    {finding.verdict} {finding.cause} {finding.confidence:.3f}; truth: {dict(whys)}"
    yield f"    candidates: {', '.join(f'{c.cause} {c.confidence:.3f}' for c in finding.candidates)}"
    for e in finding.evidence:
        yield f"      {e.weight_db:+6.1f} {'!' if e.decisive else ' '} {e.kind:16} {e.text}"


def main(arguments: Iterable[str] | None = None) -> None:
    """Print the table, and with ``--example`` one example of each kind of wrong claim."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulated", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="this one of so many parts of the scenarios")
    parser.add_argument("--example", action="store_true", help="show one example of each wrong claim")
    given = parser.parse_args(None if arguments is None else list(arguments))
    print(_HEAD)
    for scenario in SCENARIOS[given.part[0] :: given.part[1]]:
        if given.only not in scenario.name:
            continue
        for mechanism in MECHANISMS:
            for view, t in tally(scenario, mechanism, range(given.runs)).items():
                print(_line(scenario, mechanism, view, t), flush=True)
                for seed, case, finding in t.examples.values() if given.example else ():
                    print(f"  seed {seed}", *told(case, finding), sep="\n")


if __name__ == "__main__":
    main()
