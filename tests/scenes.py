"""Runs of the model -> packets: the words servers say, and the dialogue of each attempt.

wire = film(simulate(Server(), agents(10), until_s=20), view=("192.0.2.11",))
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from analyzer.at import NS_PER_MS, NS_PER_S, Side
from tests import model
from tests.frames import Host
from tests.model import Agent, Attempt, Run
from tests.wire import Conversation, Reach, Wire

PASSWORDS = {
    model.RIGHT: "Correct-Horse-7", model.OLD: "Correct-Horse-6",
    model.NEW: "Correct-Horse-8", model.WRONG: "Correct-Hrose-7",
}  # fmt: skip
"""Invented; no output of the program may ever hold one."""
POLL_S = 9.0
CLIENT, SERVER = Side.CLIENT, Side.SERVER


@dataclass(frozen=True)
class Words:
    """How one server product talks; ``{t}`` is the tag, ``{v}`` the verb."""

    greeting: str
    capability: str
    accepted: str
    refused: str
    select: str
    bye: str
    restart: str
    restricted: str = ""
    """CAPABILITY while TLS is required."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Refusals that have their own words, by the model's reason."""
    domain: str = ""
    """Put before the account, as Windows clients do."""


EXCHANGE = Words(
    greeting="* OK The Microsoft Exchange IMAP4 service is ready.",
    capability="* CAPABILITY IMAP4 IMAP4rev1 AUTH=NTLM AUTH=GSSAPI AUTH=PLAIN STARTTLS UIDPLUS CHILDREN IDLE NAMESPACE"
    " LITERAL+\n{t} OK CAPABILITY completed.",
    accepted="{t} OK {v} completed.",
    refused="{t} NO {v} failed.",
    select="* 3 EXISTS\n* 0 RECENT\n* FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $MDNSent)\n"
    "* OK [PERMANENTFLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $MDNSent)] Permanent flags\n"
    "* OK [UIDVALIDITY 14] UIDVALIDITY value\n* OK [UIDNEXT 231] The next unique identifier value\n"
    "{t} OK [READ-WRITE] SELECT completed.",
    bye="* BYE Microsoft Exchange Server 2010 IMAP4 server signing off.\n{t} OK LOGOUT completed.",
    restart="* BYE Connection is closed. 12",
    restricted="* CAPABILITY IMAP4 IMAP4rev1 LOGINDISABLED STARTTLS UIDPLUS CHILDREN IDLE NAMESPACE LITERAL+\n"
    "{t} OK CAPABILITY completed.",
    reasons={
        "tls": "{t} BAD Command received in Invalid state.",
        "server": "* BYE Connection is closed. 10",
        "per_ip": "* BYE Connection is closed. 10",
        "store": "{t} NO Server Unavailable. 15",
    },
    domain=model.DOMAIN,
)
"""Exchange 2010: the words of the Cisco note; one refusal for every reason."""

DOVECOT = Words(
    greeting="* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS AUTH=PLAIN] Dovecot"
    " ready.",
    capability="* CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS AUTH=PLAIN\n"
    "{t} OK Pre-login capabilities listed, post-login capabilities have more.",
    accepted="{t} OK [CAPABILITY IMAP4rev1 SASL-IR ID ENABLE IDLE SORT THREAD=REFS UIDPLUS NAMESPACE QUOTA] Logged in",
    refused="{t} NO [AUTHENTICATIONFAILED] Authentication failed.",
    select="* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\n* 3 EXISTS\n* 0 RECENT\n"
    "* OK [UIDVALIDITY 1709540000] UIDs valid\n* OK [UIDNEXT 231] Predicted next UID\n"
    "{t} OK [READ-WRITE] Select completed (0.001 + 0.000 secs).",
    bye="* BYE Logging out\n{t} OK Logout completed (0.001 + 0.000 secs).",
    restart="* BYE Server shutting down.",
    reasons={
        "per_user_ip": "{t} NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded"
        " (mail_max_userip_connections={limit})",
    },
)
"""Dovecot 2.3: a limit has words of its own, and the server hangs up."""


def ntlm(kind: int, fields: Mapping[int, bytes], fixed: Mapping[int, bytes], size: int) -> bytes:
    """An NTLM message: a header with (length, length, offset) blocks and the octets they point at (MS-NLMP 2.2.1)."""
    head, tail = bytearray(size), b""
    head[:12] = b"NTLMSSP\0" + struct.pack("<I", kind)
    for place, octets in fields.items():
        struct.pack_into("<HHI", head, place, len(octets), len(octets), size + len(tail))
        tail += octets
    for place, octets in fixed.items():
        head[place : place + len(octets)] = octets
    return bytes(head) + tail


def ntlm_messages(agent: Agent, rng: Random, server: str = "EXCH01") -> tuple[bytes, bytes, bytes]:
    """NEGOTIATE, CHALLENGE and AUTHENTICATE; the responses are noise of the right length, as no one here checks them."""
    flags = struct.pack("<I", 0xA2888207)
    wide = {x: x.encode("utf-16-le") for x in (model.DOMAIN, agent.account, agent.workstation, server)}
    pairs = b"".join(
        struct.pack("<HH", kind, len(wide[name])) + wide[name] for kind, name in ((2, model.DOMAIN), (1, server))
    )
    pairs += struct.pack("<HH", 0, 0)
    one = ntlm(1, {16: b"", 24: b""}, {12: flags}, 40)
    two = ntlm(2, {12: wide[model.DOMAIN], 40: pairs}, {20: flags, 24: rng.randbytes(8)}, 56)
    names = {28: wide[model.DOMAIN], 36: wide[agent.account], 44: wide[agent.workstation]}
    answers = {12: rng.randbytes(24), 20: rng.randbytes(16) + b"\1\1" + bytes(6) + rng.randbytes(20) + pairs + bytes(4)}
    three = ntlm(3, {**names, **answers, 52: rng.randbytes(16)}, {60: flags}, 88)
    return one, two, three


@dataclass
class _Scene:
    """One attempt being played."""

    run: Run
    attempt: Attempt
    words: Words
    talk: Conversation
    rng: Random
    begin: int
    """Start of the scene, ns."""
    tag: int = 0

    def ns(self, at_s: float) -> int:
        return self.begin + round(at_s * 1e6) * 1000

    def server(self, text: str, think_ms: float | None = None, **names: object) -> None:
        line = text.format(t=f"A{self.tag}", limit=self.run.server.limits.per_user_ip, **names) + "\n"
        think = self.rng.uniform(0.3, 1.2) if think_ms is None else think_ms
        self.talk.say(SERVER, line.replace("\n", "\r\n").encode(), think)

    def client(self, text: str, *, new: bool = True) -> None:
        """Say a line; a new command takes the next tag."""
        if new:
            self.tag += 1
            text = f"A{self.tag} {text}"
        self.talk.say(CLIENT, text.encode() + b"\r\n", self.rng.uniform(0.2, 0.6))

    def think_until(self, at_s: float) -> float:
        """How long the server thinks when its answer is seen at a moment, ms."""
        left = self.ns(at_s) - self.talk.now - 2 * self.talk.reach.ns(SERVER)
        return max(0.2, left / NS_PER_MS)

    def play(self) -> None:
        why = self.attempt.why
        if self.attempt.outcome == model.UNREACHABLE:
            self.unreachable()
            return
        self.talk.open()
        if self.attempt.outcome == model.AT_GREETING:
            self.server(self.words.reasons[why])
            self.talk.close(SERVER)
            return
        verb = self.ask()
        if self.attempt.outcome == model.UNSEEN:
            self.talk.leave()
        elif self.attempt.outcome == model.DROPPED:
            self.server(self.words.restart)
            self.talk.close(SERVER)
        elif self.attempt.outcome == model.REFUSED:
            text = self.words.reasons.get(why, self.words.refused)
            self.server(text, self.think_until(self.attempt.decided_s), v=verb)
            self.talk.close(SERVER if self.attempt.closed_by == "server" else CLIENT)
        else:
            self.server(self.words.accepted, self.think_until(self.attempt.decided_s), v=verb)
            self.mailbox()

    def unreachable(self) -> None:
        wire, why = self.talk.wire, self.attempt.why
        if why == "filtered":
            wire.unanswered(self.talk)
        elif why == "prohibited":
            wire.prohibited(self.talk, "192.0.2.1")
        else:
            wire.turned_away(self.talk)

    def ask(self) -> str:
        """Greeting, CAPABILITY and the credentials; the verdict is open."""
        agent, self.tag = self.attempt.agent, -1
        self.server(self.words.greeting)
        self.client("CAPABILITY")
        self.server((self.run.server.tls_required and self.words.restricted) or self.words.capability)
        secret = PASSWORDS[agent.secret]
        name = f"{self.words.domain}\\{agent.account}" if self.words.domain else agent.account
        if agent.mechanism == "LOGIN":
            self.client('LOGIN "{}" "{}"'.format(name.replace("\\", "\\\\"), secret))
            return "LOGIN"
        self.client(f"AUTHENTICATE {agent.mechanism}")
        if self.attempt.why == "tls":  # refused before the mechanism begins
            return "AUTHENTICATE"
        self.server("+")
        if agent.mechanism == "PLAIN":
            self.client(b64encode(f"\0{name}\0{secret}".encode()).decode(), new=False)
            return "AUTHENTICATE"
        one, two, three = ntlm_messages(agent, self.rng, f"EXCH{self.attempt.member + 1:02}")
        self.client(b64encode(one).decode(), new=False)
        self.server("+ " + b64encode(two).decode())
        self.client(b64encode(three).decode(), new=False)
        return "AUTHENTICATE"

    def mailbox(self) -> None:
        """What follows an accepted login: SELECT, then one connection polls and the other waits in IDLE."""
        self.client("SELECT INBOX")
        if self.attempt.why == "store":
            self.server(self.words.reasons["store"])
            self.client("LOGOUT")
            self.server(self.words.bye)
            self.talk.close(SERVER)
            return
        self.server(self.words.select)
        idles = self.attempt.slot % 2 == 1
        if idles:
            self.client("IDLE")
            self.server("+ IDLE accepted, awaiting DONE command.")
        closed = self.attempt.closed_s
        end = self.ns(self.run.until_s if closed is None else closed) - 4 * NS_PER_MS - 2 * self.talk.reach.ns(CLIENT)
        poll = round(POLL_S * NS_PER_S)
        while not idles and self.talk.now + poll < end:
            self.talk.wait(poll / NS_PER_MS)
            self.client("NOOP")
            self.server("{t} OK NOOP completed.")
        if closed is None:
            self.talk.leave()
            return
        self.talk.wait_until(end)
        if self.attempt.closed_by == "server":
            self.server(self.words.restart)
        else:
            if idles:
                self.client("DONE", new=False)
                self.server("{t} OK IDLE completed.")
            self.client("LOGOUT")
            self.server(self.words.bye)
        self.talk.close(SERVER)


def film(
    run: Run, words: Words = EXCHANGE, *, view: str | tuple[str, ...] = "server", seed: int = 0,
    loss: float = 0.0, segment: int = 1460,
) -> Wire:  # fmt: skip
    """Turn a run into packets as seen at the server ('server') or at some clients (their addresses).

    The same run filmed from two places has the same ports, sequence numbers and think times.
    """
    wire, ports = Wire(seed), Counter[str]()
    near = view == "server"
    for attempt in (run if near else run.seen_by(*view)).attempts:
        rng, address = Random(f"{seed}/{attempt.number}"), attempt.agent.address
        ports[address] += 1
        far_ms = Random(address).uniform(0.15, 0.9)
        reach = Reach(far_ms if near else 0.02, 0.02 if near else far_ms, loss)
        talk = wire.conversation(
            Host(address), Host(run.server.address), at_ms=attempt.start_s * 1000, port=run.server.port,
            sport=50_000 + ports[address], segment=segment,
            isn=(rng.getrandbits(32), rng.getrandbits(32)), reach=reach,
        )  # fmt: skip
        _Scene(run, attempt, words, talk, rng, wire.start).play()
    return wire
