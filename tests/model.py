"""A mail server and its clients, without a packet: who tries to log in when, and what becomes of it.

    run = simulate(Server(limits=Limits(per_user=16)), [service(), *agents(10)], until_s=20, seed=1)
    [x for x in run.attempts if x.outcome == REFUSED]

Each attempt tells its true cause (``why``), which no bystander sees. Times are seconds after the start of the scene.
An Exchange of 2010 is meant: credentials first, then lock-out, then the limits, the same words for all of them.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from random import Random

ACCOUNT = "uccx-mail"
DOMAIN = "CONTOSO"
RIGHT, OLD, NEW, WRONG = "right", "old", "new", "wrong"
"""Names of secrets; the scenes give them octets."""

ACCEPTED, REFUSED, AT_GREETING, UNREACHABLE = "accepted", "refused", "refused_at_greeting", "unreachable"
DROPPED, ABANDONED, UNSEEN = "dropped", "abandoned", "unseen"
"""Outcomes of an attempt; abandoned: the client gave up waiting; unseen: the scene ended before its verdict."""

SYN_GIVES_UP_S = 9.0
"""A filtered port: the client gives up this long after its first SYN."""


@dataclass(frozen=True)
class Limits:
    """The server's caps on simultaneous connections; None is no limit."""

    per_user: int | None = 16
    """Exchange MaxConnectionsPerUser."""
    per_user_ip: int | None = None
    """Dovecot mail_max_userip_connections."""
    per_ip: int | None = None
    """Counts every connection, logged in or not."""
    server: int | None = None
    """Exchange MaxConnections: counts every connection."""
    store: int | None = None
    """Sessions of one account in the mailbox store: login is accepted, SELECT is not."""
    workers: int | None = None
    """Processes that serve one connection each; whoever comes next waits in the queue."""


@dataclass(frozen=True)
class Server:
    """One mail server."""

    address: str = "198.51.100.10"
    port: int = 143
    accounts: Mapping[str, str] = field(default_factory=lambda: {ACCOUNT: RIGHT})
    """Account -> name of its secret."""
    limits: Limits = Limits()
    lockout: int | None = None
    """Wrong secrets in a row, from anywhere, that lock an account."""
    lock_s: float = 1800.0
    changes: Sequence[tuple[float, str, str]] = ()
    """(when, account, new secret)."""
    restarts: Sequence[tuple[float, float]] = ()
    """(when, how long the port is closed)."""
    gate: str = "open"
    """'open', 'closed' (RST), 'filtered' (silence), 'prohibited' (ICMP)."""
    tls_required: bool = False
    login_ms: tuple[float, float] = (20.0, 60.0)
    """Connect to verdict, whatever the verdict."""
    penalty_s: float = 0.0
    """Extra wait before a wrong secret is refused (Dovecot: 2 s)."""
    outages: Sequence[tuple[float, float]] = ()
    """(from, until): the directory behind the server does not answer, so every login is refused."""
    mishaps: float = 0.0
    """Share of good logins that are refused for no reason at all."""
    stuck: Sequence[tuple[float, float]] = ()
    """(from, until): newcomers wait, whoever they are; sessions that are open work on."""
    waits_at: str = "greeting"
    """Where a newcomer waits: for its 'greeting', or for the answer to its 'login'."""
    members: int = 1
    """Servers behind the one address, each with limits of its own."""
    sticky: bool = True
    """Each client always comes to the same member; else they take turns."""
    fails_on: int | None = None
    """The member that an outage hits; None: all of them."""


@dataclass(frozen=True)
class Agent:
    """One client program: keeps some connections open while it is there, and tries again when refused."""

    address: str
    account: str = ACCOUNT
    secret: str = RIGHT
    arrive_s: float = 0.0
    leave_s: float = 1e9
    connections: int = 2
    mechanism: str = "PLAIN"
    """'PLAIN', 'NTLM' or 'LOGIN' (IMAP's own command)."""
    workstation: str = ""
    retry_ms: tuple[float, float] = (80.0, 120.0)
    """From one attempt's start to the next."""
    burst: int | None = None
    """Attempts in a row before the client rests; None never rests."""
    rest_s: float = 5.0
    tries: int | None = None
    """Attempts per connection before it gives up."""
    stay_s: tuple[float, float] | None = None
    """How long an open session lasts before the client closes and opens it anew; None: until it leaves."""
    reopen_s: float = 1.0
    patience_s: float = 10.0
    """How long it waits for an answer before it gives up."""
    name: str = "agent"


@dataclass(slots=True)
class Attempt:
    """One connection that wants to log in, and the session it becomes when it may."""

    number: int
    agent: Agent
    slot: int
    """Which of the client's connections."""
    start_s: float
    decided_s: float
    """The server's verdict; the refused connection ends right after it."""
    outcome: str = UNSEEN
    why: str = ""
    """ok, password, locked, per_user, per_user_ip, per_ip, server, store, tls, closed, filtered, prohibited, restart, outage, mishap, workers, stuck."""
    closed_s: float | None = None
    """None: still open when the scene ends."""
    closed_by: str | None = None
    """'client' or 'server'."""
    open_before: int = 0
    """Open sessions of the account when this one was decided."""
    waited: str = ""
    """Why it had to wait: 'workers' or 'stuck'; empty: it had not."""
    served_s: float | None = None
    """When its turn came; None: it never came."""
    member: int = 0
    """Which of the servers behind the address served it."""

    @property
    def is_session(self) -> bool:
        """The mailbox was opened."""
        return self.outcome == ACCEPTED and self.why == "ok"


@dataclass(frozen=True)
class Run:
    """What happened."""

    server: Server
    attempts: list[Attempt]
    """In order of their start."""
    until_s: float

    def seen_by(self, *addresses: str) -> Run:
        """What a capture at these clients shows."""
        return replace(self, attempts=[x for x in self.attempts if x.agent.address in addresses])

    def peak(self, account: str = ACCOUNT) -> int:
        """Most sessions of the account open at once."""
        mine = [x for x in self.attempts if x.is_session and x.agent.account == account]
        steps = [(x.decided_s, 1) for x in mine] + [(x.closed_s, -1) for x in mine if x.closed_s is not None]
        level = best = 0
        for _, step in sorted(steps):
            level += step
            best = max(best, level)
        return best


class _Clock:
    """Events in time order; equal times in the order they were asked for."""

    def __init__(self, until_s: float) -> None:
        self.until_s, self.asked = until_s, 0
        self.heap: list[tuple[float, int, str, object, int, int]] = []

    def at(self, when: float, kind: str, what: object, slot: int = 0, trial: int = 0) -> None:
        if when <= self.until_s:
            self.asked += 1
            heapq.heappush(self.heap, (when, self.asked, kind, what, slot, trial))


class _House:
    """The server's books while the clock runs."""

    def __init__(self, server: Server, rng: Random, clock: _Clock) -> None:
        self.server, self.rng, self.clock = server, rng, clock
        self.attempts: list[Attempt] = []
        self.secrets = dict(server.accounts)
        self.failures: Counter[str] = Counter()
        self.locked: dict[str, float] = {}
        self.sessions: dict[int, Attempt] = {}
        self.users: Counter[tuple[str, int]] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.stored: Counter[str] = Counter()
        self.peers: Counter[str] = Counter()
        self.connected = 0
        self.down_until = 0.0
        self.busy: set[int] = set()
        self.queue: list[tuple[Attempt, int]] = []

    def door(self, agent: Agent, now: float) -> str:
        """What keeps a connection from its greeting; empty: nothing."""
        limits = self.server.limits
        if self.server.gate != "open":
            return self.server.gate
        if now < self.down_until:
            return "closed"
        if limits.server is not None and self.connected >= limits.server:
            return "server"
        if limits.per_ip is not None and self.peers[agent.address] >= limits.per_ip:
            return "per_ip"
        return ""

    def keeps_waiting(self, now: float) -> str:
        """What keeps a newcomer from being served; empty: nothing."""
        if any(begin <= now < end for begin, end in self.server.stuck):
            return "stuck"
        workers = self.server.limits.workers
        return "workers" if workers is not None and len(self.busy) >= workers else ""

    def member(self, agent: Agent, number: int) -> int:
        """Choose the server that serves a connection."""
        if not self.server.sticky:
            return number % self.server.members
        return int(ip_address(agent.address)) % self.server.members

    def verdict(self, agent: Agent, now: float, member: int) -> str:
        """Answer a login: 'ok', or why not."""
        account, limits = agent.account, self.server.limits
        if self.server.tls_required:
            return "tls"
        hit = self.server.fails_on in {None, member}
        if hit and any(begin <= now < end for begin, end in self.server.outages):
            return "outage"
        if self.locked.get(account, 0.0) > now:
            return "locked"
        if agent.secret != self.secrets.get(account):
            self.failures[account] += 1
            if self.server.lockout is not None and self.failures[account] >= self.server.lockout:
                self.locked[account], self.failures[account] = now + self.server.lock_s, 0
            return "password"
        self.failures[account] = 0
        if limits.per_user is not None and self.users[account, member] >= limits.per_user:
            return "per_user"
        if limits.per_user_ip is not None and self.pairs[account, agent.address] >= limits.per_user_ip:
            return "per_user_ip"
        if limits.store is not None and self.stored[account] >= limits.store:
            return "store"
        if self.server.mishaps and self.rng.random() < self.server.mishaps:
            return "mishap"
        return "ok"

    def connect(self, agent: Agent, step: int) -> None:
        self.connected += step
        self.peers[agent.address] += step

    def done(self, attempt: Attempt, now: float) -> None:
        """End a connection; the next in the queue takes its place."""
        self.connect(attempt.agent, -1)
        self.busy.discard(attempt.number)
        self.clock.at(now, "next", None)

    def session(self, attempt: Attempt, step: int) -> None:
        agent = attempt.agent
        self.users[agent.account, attempt.member] += step
        self.pairs[agent.account, agent.address] += step
        self.stored[agent.account] += step
        if step > 0:
            self.sessions[attempt.number] = attempt
        else:
            del self.sessions[attempt.number]


def simulate(server: Server, clients: Iterable[Agent], *, until_s: float, seed: int = 0) -> Run:
    """Let the clock run; the same seed gives the same run."""
    rng = Random(seed)
    house = _House(server, rng, _Clock(until_s))
    for agent in clients:
        for slot in range(agent.connections):
            house.clock.at(agent.arrive_s + slot * rng.uniform(0.010, 0.025), "try", agent, slot, 0)
        house.clock.at(agent.leave_s, "leave", agent)
    for when, account, secret in server.changes:
        house.clock.at(when, "change", (account, secret))
    for when, down_s in server.restarts:
        house.clock.at(when, "restart", down_s)
    for _, until in server.stuck:
        house.clock.at(until, "next", None)
    while house.clock.heap:
        now, _, kind, what, slot, trial = heapq.heappop(house.clock.heap)
        _STEPS[kind](house, now, what, slot, trial)
    house.attempts.sort(key=lambda x: (x.start_s, x.number))
    return Run(server, house.attempts, until_s)


def _again(house: _House, attempt: Attempt, trial: int, now: float) -> None:
    """Plan the client's next attempt: soon, after a rest, or never."""
    agent = attempt.agent
    if agent.tries is not None and trial + 1 >= agent.tries:
        return
    low, high = agent.retry_ms
    due = max(now + 0.002, attempt.start_s + house.rng.uniform(low, high) / 1000)
    if agent.burst is not None and (trial + 1) % agent.burst == 0:
        due = now + agent.rest_s * house.rng.uniform(0.8, 1.2)
    house.clock.at(due, "try", agent, attempt.slot, trial + 1)


def _try(house: _House, now: float, agent: Agent, slot: int, trial: int) -> None:
    if now >= agent.leave_s:
        return
    number = len(house.attempts) + 1
    attempt = Attempt(number, agent, slot, now, now, member=house.member(agent, number))
    house.attempts.append(attempt)
    shut = house.door(agent, now)
    if shut:
        gone = shut in {"closed", "filtered", "prohibited"}
        attempt.outcome, attempt.why = (UNREACHABLE if gone else AT_GREETING), shut
        attempt.decided_s = now + (SYN_GIVES_UP_S if shut == "filtered" else 0.002)
        attempt.closed_s, attempt.closed_by = attempt.decided_s, "client" if shut == "filtered" else "server"
        _again(house, attempt, trial, attempt.decided_s)
        return
    house.connect(agent, 1)
    attempt.waited = house.keeps_waiting(now)
    if attempt.waited:
        house.queue.append((attempt, trial))
        house.clock.at(now + agent.patience_s, "give up", attempt, 0, trial)
    else:
        _serve(house, now, attempt, trial)


def _serve(house: _House, now: float, attempt: Attempt, trial: int) -> None:
    agent, attempt.served_s = attempt.agent, now
    house.busy.add(attempt.number)
    low, high = house.server.login_ms
    wrong = agent.secret != house.secrets.get(agent.account)
    attempt.decided_s = now + house.rng.uniform(low, high) / 1000 + (house.server.penalty_s if wrong else 0)
    house.clock.at(attempt.decided_s, "decide", attempt, 0, trial)


def _next(house: _House, now: float, *_: object) -> None:
    while house.queue and not house.keeps_waiting(now):
        _serve(house, now, *house.queue.pop(0))


def _give_up(house: _House, now: float, attempt: Attempt, slot: int, trial: int) -> None:
    waiting = [x for x in house.queue if x[0] is attempt]
    if not waiting:
        return
    house.queue.remove(waiting[0])
    attempt.outcome, attempt.why = ABANDONED, attempt.waited
    attempt.decided_s = attempt.closed_s = now
    attempt.closed_by = "client"
    house.connect(attempt.agent, -1)
    _again(house, attempt, trial, now)


def _decide(house: _House, now: float, attempt: Attempt, slot: int, trial: int) -> None:
    if attempt.closed_by:  # cut off by a restart
        return
    agent = attempt.agent
    attempt.open_before = house.users[agent.account, attempt.member]
    attempt.why = house.verdict(agent, now, attempt.member)
    attempt.outcome = ACCEPTED if attempt.why in {"ok", "store"} else REFUSED
    if attempt.why == "ok":
        house.session(attempt, 1)
        if agent.stay_s is not None:
            house.clock.at(now + house.rng.uniform(*agent.stay_s), "expire", attempt)
        if agent.leave_s <= now:
            _end(house, attempt, now, "client")
        return
    house.done(attempt, now)
    attempt.closed_s = now + (0.010 if attempt.why == "store" else 0.001)
    attempt.closed_by = "server" if attempt.why == "per_user_ip" else "client"
    _again(house, attempt, trial, attempt.closed_s)


def _end(house: _House, attempt: Attempt, now: float, by: str) -> None:
    attempt.closed_s, attempt.closed_by = now, by
    house.session(attempt, -1)
    house.done(attempt, now)


def _leave(house: _House, now: float, agent: Agent, *_: int) -> None:
    for attempt in [x for x in house.sessions.values() if x.agent is agent]:
        _end(house, attempt, now, "client")


def _expire(house: _House, now: float, attempt: Attempt, *_: int) -> None:
    if attempt.number in house.sessions:
        _end(house, attempt, now, "client")
        house.clock.at(now + attempt.agent.reopen_s, "try", attempt.agent, attempt.slot, 0)


def _change(house: _House, now: float, what: tuple[str, str], *_: int) -> None:
    house.secrets[what[0]] = what[1]


def _restart(house: _House, now: float, down_s: float, *_: int) -> None:
    house.down_until = now + down_s
    house.queue.clear()
    for attempt in list(house.sessions.values()):
        _end(house, attempt, now, "server")
        house.clock.at(now + attempt.agent.reopen_s, "try", attempt.agent, attempt.slot, 0)
    for attempt in house.attempts:
        if attempt.outcome == UNSEEN and attempt.start_s < now:
            attempt.outcome, attempt.why, attempt.closed_s, attempt.closed_by = DROPPED, "restart", now, "server"
            house.done(attempt, now)
            house.clock.at(now + attempt.agent.reopen_s, "try", attempt.agent, attempt.slot, 0)


_STEPS = {
    "try": _try, "decide": _decide, "leave": _leave, "expire": _expire, "change": _change, "restart": _restart,
    "next": _next, "give up": _give_up,
}  # fmt: skip


def agents(count: int, *, first: int = 11, every_s: float = 0.4, start_s: float = 0.3, **common: object) -> list[Agent]:
    """PCs in a row of addresses, each arriving a little after the one before."""
    return [
        Agent(
            f"192.0.2.{first + i}", workstation=f"AGENTPC{first + i:02}", arrive_s=start_s + i * every_s,
            **common,  # type: ignore[arg-type]
        )
        for i in range(count)
    ]  # fmt: skip


def service(address: str = "192.0.2.5", **common: object) -> Agent:
    """The contact centre's own mail service: two connections from the start."""
    given: dict[str, object] = {"workstation": "UCCX01", "name": "service", "burst": 2, "rest_s": 10.0}
    return Agent(address, **(given | common))  # type: ignore[arg-type]
