"""Make the sample captures: ``python sample_pcaps/make_samples.py [FOLDER]``; the same bytes every time.

Each scene is a run of the model in ``tests/model.py``, filmed at the server or at one PC. All addresses are from the
documentation ranges, the passwords are invented.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from analyzer import read  # noqa: E402
from tests.logs import exchange  # noqa: E402
from tests.model import NEW, OLD, RIGHT, WRONG, Agent, Limits, Run, Server, agents, service, simulate  # noqa: E402
from tests.paths import Film, no_larger  # noqa: E402
from tests.scenes import DOVECOT, EXCHANGE, PASSWORDS, Words, film  # noqa: E402
from tests.wire import Look, Wire  # noqa: E402

BURST = {"burst": 3, "rest_s": 5.0}
"""Clients that rest between bursts keep the samples small."""


def shift(count: int, **common: object) -> list[Agent]:
    """The note's people: the contact centre's service and some agents, all on one account."""
    mechanism = common.get("mechanism", "PLAIN")
    return [service(mechanism=mechanism), *agents(count, **(BURST | common))]


def leaving(people: list[Agent], leave_s: dict[int, float]) -> list[Agent]:
    """Let some of them (by place in the list) leave."""
    return [replace(x, leave_s=leave_s.get(i, x.leave_s)) for i, x in enumerate(people)]


def one_agent_refused() -> Run:
    """Nine agents fill the limit of 16; the tenth, whose PC is captured, never gets in."""
    late = Agent("192.0.2.31", workstation="AGENTPC31", arrive_s=3.0, mechanism="NTLM")
    return simulate(Server(), [*shift(7, mechanism="NTLM", every_s=0.2), late], until_s=5.5, seed=1)


def full_house(mechanism: str, seed: int) -> Run:
    """Eleven agents and the service want 24 sessions of 16; four agents leave and others take their places."""
    people = leaving(shift(11, mechanism=mechanism), {2: 12.0, 4: 16.0, 6: 20.0, 1: 24.0})
    return simulate(Server(), people, until_s=29.0, seed=seed)


def one_stale_pc(mechanism: str, seed: int) -> Run:
    """Four agents work, a fifth still has last month's password."""
    people = shift(4, mechanism=mechanism, stay_s=(5.0, 9.0), every_s=1.5)
    stale = Agent("192.0.2.21", secret=OLD, workstation="AGENTPC21", arrive_s=2.0, mechanism=mechanism, **BURST)
    return simulate(Server(), [*people, stale], until_s=30.0, seed=seed)


def stale_everywhere() -> Run:
    """The password was changed before the capture began; nobody was told."""
    people = [replace(x, secret=OLD) for x in shift(5, rest_s=6.0)]
    return simulate(Server(), people, until_s=20.0, seed=5)


def locked_midway() -> Run:
    """All is well until one PC with a mistyped password locks the account."""
    people = shift(3, stay_s=(5.0, 8.0))
    mistyped = Agent("192.0.2.21", secret=WRONG, workstation="AGENTPC21", arrive_s=14.0, connections=1, tries=6)
    return simulate(Server(lockout=5), [*people, mistyped], until_s=32.0, seed=6)


def password_changed() -> Run:
    """The password changes at 14 s; open sessions live on, new logins fail, a PC with the new one gets in."""
    people = shift(4, stay_s=(6.0, 12.0))
    told = Agent("192.0.2.25", secret=NEW, workstation="AGENTPC25", arrive_s=22.0)
    return simulate(Server(changes=[(14.0, "uccx-mail", NEW)]), [*people, told], until_s=32.0, seed=7)


def gate(how: str) -> Run:
    """One PC at a port that is closed, filtered or prohibited."""
    pc = Agent("192.0.2.11", retry_ms=(900.0, 1100.0), tries=4)
    return simulate(Server(gate=how), [pc], until_s=20.0, seed=8)


def several_accounts() -> tuple[dict[str, str], list[Agent]]:
    """Four mailboxes with three PCs each."""
    names = ["uccx-mail", "sales-mail", "support-mail", "billing-mail"]
    pcs = agents(12, every_s=0.5, **BURST)
    return dict.fromkeys(names, RIGHT), [replace(x, account=names[i % 4]) for i, x in enumerate(pcs)]


def server_full() -> Run:
    """The whole server takes 16 connections; one PC leaves and others take its places."""
    accounts, pcs = several_accounts()
    return simulate(Server(accounts=accounts, limits=Limits(server=16)), leaving(pcs, {2: 9.0}), until_s=16.0, seed=9)


def store_limit() -> Run:
    """Logins are accepted, but the store opens only 16 mailbox sessions of the account."""
    return simulate(Server(limits=Limits(per_user=None, store=16)), leaving(shift(10), {3: 9.0}), until_s=16.0, seed=10)


def dovecot_limit() -> Run:
    """Seven agents on one terminal server; ten connections per account and address."""
    pcs = [replace(x, address="2001:db8:0:7::40") for x in agents(7, **BURST)]
    server = Server(address="2001:db8:0:1::10", limits=Limits(per_user=None, per_user_ip=10))
    return simulate(server, pcs, until_s=16.0, seed=11)


def tls_required() -> Run:
    """Two PCs log in without TLS where the server insists on it."""
    return simulate(Server(tls_required=True), agents(2, mechanism="LOGIN", **BURST), until_s=10.0, seed=12)


def restart() -> Run:
    """The IMAP service restarts under four agents."""
    people = shift(4, retry_ms=(900.0, 1100.0), burst=None)
    return simulate(Server(restarts=[(9.0, 2.5)]), people, until_s=24.0, seed=13)


def healthy(seed: int) -> Run:
    """Everybody gets in, some come and go."""
    return simulate(Server(), leaving(shift(5, stay_s=(8.0, 20.0)), {2: 14.0}), until_s=26.0, seed=seed)


def other_port() -> Run:
    """A Dovecot on port 1143; one mistyped password, then in."""
    slip = Agent("192.0.2.15", secret=WRONG, connections=1, arrive_s=4.0, tries=1)
    again = Agent("192.0.2.15", connections=1, arrive_s=9.0)
    server = Server(port=1143, penalty_s=2.0)
    return simulate(server, [*agents(2, stay_s=(6.0, 9.0)), slip, again], until_s=20.0, seed=16)


def at_server(run: Run, words: Words = EXCHANGE, loss: float = 0.0) -> Wire:
    """Film at the server."""
    return film(run, words, seed=1, loss=loss)


def large_packets_lost() -> Wire:
    """Three logins behind a tunnel that drops what is larger than 1200 octets, filmed at the PC; each lists folders and hangs."""
    path = Film(no_larger(1200), account="uccx-mail", secret=PASSWORDS[RIGHT])
    for _ in range(3):
        path.login()
        path.fetch(1400)
        path.close()
        path.now += 2000
    return Wire(segments=path.at_client)


PC = ("192.0.2.11",)
TAGGED = Look(vlans=(120,))
NEW_FORMAT = Look("pcapng", nanos=True)

SAMPLES: dict[str, tuple[Callable[[], Wire], Look]] = {
    "one_agent_refused.pcap": (lambda: film(one_agent_refused(), view=("192.0.2.31",), seed=1), Look()),
    "server_side_limit.pcap": (lambda: at_server(full_house("PLAIN", 2)), Look()),
    "server_side_limit_ntlm.pcapng": (lambda: at_server(full_house("NTLM", 3)), NEW_FORMAT),
    "wrong_password_one_pc.pcap": (lambda: at_server(one_stale_pc("PLAIN", 4)), Look()),
    "wrong_password_one_pc_ntlm.pcapng": (lambda: at_server(one_stale_pc("NTLM", 4)), Look("pcapng")),
    "wrong_password_everywhere.pcap": (lambda: at_server(stale_everywhere()), Look()),
    "locked_midway.pcap": (lambda: at_server(locked_midway()), Look()),
    "password_changed.pcap": (lambda: at_server(password_changed()), Look()),
    "port_closed.pcap": (lambda: film(gate("closed"), view=PC), Look()),
    "port_filtered.pcap": (lambda: film(gate("filtered"), view=PC), Look()),
    "port_prohibited.pcap": (lambda: film(gate("prohibited"), view=PC), Look()),
    "server_full.pcap": (lambda: at_server(server_full()), Look()),
    "store_session_limit.pcap": (lambda: at_server(store_limit()), Look()),
    "dovecot_limit.pcap": (lambda: at_server(dovecot_limit(), DOVECOT), Look(link="sll2")),
    "tls_required.pcap": (lambda: at_server(tls_required()), Look()),
    "server_restart.pcap": (lambda: at_server(restart()), TAGGED),
    "healthy.pcap": (lambda: at_server(healthy(14)), Look(nanos=True, big=True)),
    "healthy_lossy.pcap": (lambda: at_server(healthy(15), loss=0.12), Look()),
    "large_packets_lost.pcap": (large_packets_lost, Look()),
    "imap_on_port_1143.pcap": (lambda: at_server(other_port(), DOVECOT), Look(link="sll")),
}
"""File name -> the scene and how the file looks."""


def make(folder: Path) -> list[Path]:
    """Write every sample into a folder."""
    return [scene().save(folder / name, look) for name, (scene, look) in SAMPLES.items()]


def make_log(folder: Path) -> Path:
    """Write the protocol log Exchange kept while the agent of the first sample was refused; its clock is 2 s ahead."""
    path = folder / "one_agent_refused.LOG"
    story = [s for s in read(folder / "one_agent_refused.pcap").result.sessions if s.login and s.login.decided]
    path.write_bytes(exchange(story, ahead_s=2.0).encode())
    return path


if __name__ == "__main__":
    for made in make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE):
        print(f"{made.stat().st_size:8,} {made.name}")
    make_log(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
