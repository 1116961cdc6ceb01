"""The model keeps its own rules, and films the same run alike from every place."""

from collections import Counter
from dataclasses import replace

import pytest

from analyzer.at import Side
from tests import model
from tests.model import Agent, Limits, Run, Server, agents, service, simulate
from tests.scenes import DOVECOT, PASSWORDS, film

PEOPLE = [service(), *agents(10, burst=3)]
SEEDS = range(8)


def whys(run: Run) -> Counter[str]:
    return Counter(x.why for x in run.attempts)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_limit_holds_and_is_reached(seed: int) -> None:
    run = simulate(Server(), PEOPLE, until_s=20, seed=seed)
    assert run.peak() == 16
    assert {x.open_before for x in run.attempts if x.why == "per_user"} == {16}
    assert all(x.open_before < 16 for x in run.attempts if x.is_session)


def test_the_same_seed_gives_the_same_run() -> None:
    first, again, other = (simulate(Server(), PEOPLE, until_s=10, seed=x) for x in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("seed", SEEDS)
def test_a_freed_slot_is_taken(seed: int) -> None:
    people = [replace(x, leave_s=10.0) if i == 3 else x for i, x in enumerate(PEOPLE)]
    run = simulate(Server(), people, until_s=20, seed=seed)
    late = [x for x in run.attempts if x.is_session and x.start_s > 9]
    assert len(late) == 2
    assert min(x.decided_s for x in late) > 10.0


def test_wrong_tries_lock_the_account_for_everybody() -> None:
    wrong = Agent("192.0.2.99", secret=model.WRONG, arrive_s=5.0, connections=1)
    late = Agent("192.0.2.98", arrive_s=8.0, connections=1)
    run = simulate(Server(lockout=5), [*PEOPLE[:3], wrong, late], until_s=10)
    assert whys(run)["password"] == 5
    assert {x.why for x in run.attempts if x.agent is late} - {""} == {"locked"}
    assert all(x.closed_s is None for x in run.attempts if x.is_session)


def test_a_changed_password_spares_open_sessions() -> None:
    late, told = Agent("192.0.2.98", arrive_s=8.0), Agent("192.0.2.97", arrive_s=8.0, secret=model.NEW)
    server = Server(changes=[(6.0, model.ACCOUNT, model.NEW)])
    run = simulate(server, [*PEOPLE[:3], late, told], until_s=9)
    assert {x.why for x in run.attempts if x.agent is late and x.decided_s < 9} - {""} == {"password"}
    assert all(x.is_session and x.closed_s is None for x in run.attempts if x.agent is not late)


@pytest.mark.parametrize(
    ("limits", "why", "outcome"),
    [
        (Limits(per_user=None, server=9), "server", model.AT_GREETING),
        (Limits(per_user=None, per_ip=1), "per_ip", model.AT_GREETING),
        (Limits(per_user=None, per_user_ip=1), "per_user_ip", model.REFUSED),
        (Limits(per_user=None, store=9), "store", model.ACCEPTED),
    ],
)
def test_each_limit_refuses_in_its_own_way(limits: Limits, why: str, outcome: str) -> None:
    run = simulate(Server(limits=limits), PEOPLE, until_s=8)
    assert {x.outcome for x in run.attempts if x.why == why} == {outcome}
    assert whys(run).keys() - {""} == {"ok", why}


def test_a_restart_ends_all_and_lets_all_return() -> None:
    run = simulate(Server(restarts=[(9.0, 2.0)]), PEOPLE[:4], until_s=30)
    assert len([x for x in run.attempts if x.closed_by == "server" and x.is_session]) == 8
    assert {x.outcome for x in run.attempts if 9 < x.start_s < 11} == {model.UNREACHABLE}
    assert len([x for x in run.attempts if x.is_session and x.closed_s is None]) == 8


@pytest.mark.parametrize("gate", ["closed", "filtered", "prohibited"])
def test_a_shut_gate_lets_nobody_in(gate: str) -> None:
    run = simulate(Server(gate=gate), PEOPLE, until_s=10)
    assert whys(run).keys() == {gate}
    wire = film(run)
    assert not [x for x in wire.segments if x.data]
    assert bool(wire.notices) == (gate == "prohibited")


@pytest.mark.parametrize("mechanism", ["PLAIN", "NTLM", "LOGIN"])
def test_two_places_see_the_same_octets(mechanism: str) -> None:
    pc = "192.0.2.12"
    run = simulate(Server(), agents(10, burst=3, mechanism=mechanism), until_s=8)
    there, here = film(run, seed=3), film(run, view=(pc,), seed=3)
    mine = {pc, run.server.address}
    octets = [
        {(x.side, x.sport, x.seq, x.data) for x in wire.segments if x.data and {x.src.address, x.dst.address} == mine}
        for wire in (there, here)
    ]
    assert octets[0] == octets[1]
    assert {x.src.address for x in here.segments} == mine


def test_the_verdict_is_said_when_the_model_says() -> None:
    run = simulate(Server(), agents(3), until_s=5)
    wire = film(run)
    said = [(x.ts - wire.start) / 1e9 for x in wire.segments if b"AUTHENTICATE completed" in x.data]
    assert sorted(said) == pytest.approx(sorted(x.decided_s for x in run.attempts if x.is_session), abs=1e-4)


def test_dovecot_says_its_limit_and_hangs_up() -> None:
    run = simulate(Server(limits=Limits(per_user=None, per_user_ip=1)), agents(2, burst=2), until_s=4)
    wire = film(run, DOVECOT)
    flows = {x.flow for x in wire.segments if b"(mail_max_userip_connections=1)" in x.data}
    assert flows
    for flow in flows:
        assert next(x.side for x in wire.segments if x.flow == flow and x.flags & 1) is Side.SERVER


def test_passwords_are_only_where_plain_text_has_them() -> None:
    run = simulate(Server(), agents(3, mechanism="NTLM"), until_s=3)
    assert not [x for x in film(run).segments for word in PASSWORDS.values() if word.encode() in x.data]
