"""Per-user connection throttling: the server's cap on simultaneous connections of one account.

Looks for
    Logins of one account refused while others of the same account are accepted, with good credentials, and only while a
    certain number of its sessions is open.
Why
    Exchange counts the connections of each user (MaxConnectionsPerUser, 16 by default since 2010, 10 in 2007) and answers
    one too many with the very words of a wrong password. A contact centre whose agents share one mailbox, two connections
    each, reaches 16 with the eighth agent. Other servers say it in words.
    Behind one address there may be several servers; each counts for itself, and NTLM tells which one answered.
What would refute it
    A refusal with fewer sessions open than an acceptance had; nobody accepted again although the number fell; the
    refused secret is not the one that works; all accounts refused alike.
Evidence
    words; plateau (refusals only with more sessions open than any acceptance had, seen at the server); back (the same
    secret, or the same host, let in again after refusals; by how often); release (let in as soon as another client
    had left of its own accord: a session that the server ended may have ended with the trouble); edge (of two connections started together one came in); height; cadence; what you said with --known; and
    against: below, none open, another secret is the good one, never here. One PC alone decides nothing: an outage looks
    the same from there. Inside TLS, without keys: cadence, answer (of another size than where the session went on),
    inside (others went on meanwhile), half; never more than suspected.
Sources
    Cisco TAC note 117589; Microsoft: Set-ImapSettings; Dovecot mail_max_userip_connections; Cyrus maxlogins_per_user.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import log10

from analyzer.at import NS_PER_S
from analyzer.rules.finding import Evidence
from analyzer.rules.ledger import Ledger, by_host, decided_ts, host_of
from analyzer.rules.plateau import REFUSALS_NEEDED, rank_db
from analyzer.rules.release import Closes, together_db
from analyzer.rules.rule import Question, Rule, filter_of, shown_by, words
from analyzer.sessions.session import Login

CAUSE = "per_user_connection_limit"
KNOWN_LIMITS = {"exchange": (16, 10, 20), "dovecot": (10,), "gmail": (15,), None: (16, 10, 20, 15)}
"""Defaults per product: Exchange 2010 to SE 16, 2007 10, Online 20 (user reports); Dovecot 10; Gmail 15."""
DECISIVE_RANK_DB = 20.0
"""Chance below one in a hundred that the refusals fell on top by themselves."""
COMEBACKS_NEEDED = 2
"""Times logins must have been accepted again: a password change in mid-capture never comes back."""
NARROW_DB = 5.0
"""One secret, or one host, accepted again, seen from one PC: in simulated outages 30 to 90 % of single PCs see just that."""
ONCE_DB = 2.5
"""The same at the server, once: an outage that began and ended at the peak looks like it."""
EDGE_CAP_DB = 13.0
"""No single coincidence weighs more."""
EDGE_COST_DB = 11.0
"""What the odds of the edge must beat: below one in a hundred wrong claims in the simulation."""
RELEASE_COST_DB = 10.0
"""What the odds of a release must beat, for the same reason."""
RETURN_S = 600.0
"""Seconds within which a host that gets in again did so without anybody's change; Windows unlocks after 10 to 30 minutes."""


def check(question: Question) -> Iterator[Evidence]:
    """Testify for or against the limit."""
    if question.dispute.kind == "sealed":
        from analyzer.rules.sealed import per_user

        yield from per_user(question.dispute)
        return
    yield from words(question, CAUSE)
    book = question.ledger
    if book is None or question.dispute.signature.explicit:
        return
    yield from _back(book)
    yield from _plateau(book)
    if book.wide and book.standing.near and book.accepted:
        yield from _height(book)
        yield from _edge(book)
        yield from _release(book)
    yield from _against(book)
    yield from _known(book)
    gap = book.fast_retry_s
    if gap is not None:
        yield shown_by(
            f"a program retries at once, every {gap * 1000:.0f} ms on a new connection: nobody is typing a password",
            1.0,
            "cadence",
            book.refused[:3],
        )


def _back(book: Ledger) -> Iterator[Evidence]:
    """Testify from what was accepted again after refusals; by how often, since once may be anything that passed."""
    weight = NARROW_DB
    if book.wide:
        weight = min(4.0 + 2.0 * book.comebacks, 14.0) if book.comebacks > 1 else ONCE_DB
        if not book.standing.near:
            weight = ONCE_DB
    if book.reversals:
        before, refused, after = book.reversals[0]
        yield shown_by(
            f"the very same secret was accepted before and after it was refused ({len(book.reversals)} of "
            f"{len(book.refused)} refusals): it was right all the time",
            weight,
            "back",
            [before, refused, after],
        )
        return
    if book.regained:
        refused, after = book.regained[0]
        yield shown_by("the refused secret was accepted later: it was right", weight, "back", [refused, after])
        return
    entered, turned = by_host(book.accepted), by_host(book.refused)
    for host in sorted(book.witnesses & book.refused_hosts):
        no = turned[host]
        before, after = entered[host][0], entered[host][-1]
        if (
            decided_ts(before) < decided_ts(no[0]) < decided_ts(after)
            and decided_ts(after) - decided_ts(no[0]) < RETURN_S * NS_PER_S
        ):
            text = f"{host} was accepted, refused, and accepted again within minutes, by a program that types nothing"
            yield shown_by(text, weight, "back", [before, no[0], after])
            return
    let_in = [(no[-1], yes) for no, yes in book.returns if host_of(yes) in {host_of(x) for x in no}]
    if let_in:
        text = f"{len(let_in)} time(s) a host that had been refused was let in, and nobody had typed anything else"
        yield shown_by(text, weight, "back", [x for pair in let_in[:5] for x in pair])


def _plateau(book: Ledger) -> Iterator[Evidence]:
    stand = book.standing
    if not (stand.clean or stand.near) or not book.accepted:
        return
    accepted = len(book.accepted)
    inside = [x for x in book.refused if host_of(x) in book.witnesses]
    # Counted from the first refusal on: a quiet morning of acceptances proves nothing about the trouble at noon.
    since = len(book.accepted_since(book.dispute.first))
    # Retries between two acceptances are one fact, told by hosts that are known to have good credentials.
    exact = rank_db(since, min(book.episodes, stand.counted)) if inside else 0.0
    told = exact >= DECISIVE_RANK_DB and stand.counted >= REFUSALS_NEEDED
    decisive = stand.clean and told and book.comebacks >= COMEBACKS_NEEDED
    if not decisive and not (book.wide and stand.near):
        return
    back = f"; slots that came free were taken again {book.comebacks} times" if book.comebacks else ""
    most = f"{stand.most_accepted} or fewer"
    lost = "" if stand.clean else "; up to a session or two that the capture lost"
    each = f"; each of the {len(book.members)} servers behind the address counted for itself" if book.members else ""
    yield shown_by(
        f"every refusal came with {stand.least_refused} or more sessions of the account open, each of the {accepted} "
        f"acceptances with {most}{lost}{back}{each}",
        min(exact, 25.0) if decisive else 3.0,
        "plateau",
        book.refused[:10],
        decisive=decisive,
    )


def _height(book: Ledger) -> Iterator[Evidence]:
    stand = book.standing
    height = stand.height or 0
    if stand.at_height * 10 < stand.counted * 9:
        return
    product = book.dispute.scene.place(book.dispute.server).product
    if book.dispute.scene.known.limit == height:
        yield shown_by(
            f"refusals came with exactly {height} open, the limit you named", 12.0, "height", book.refused[:3]
        )
    elif height in KNOWN_LIMITS.get(product, ()):
        text = f"refusals came with exactly {height} open, a default of this server's limit"
        yield shown_by(text, 2.0, "height", book.refused[:3])
    elif height > 1:
        yield shown_by(
            f"refusals came with exactly {height} open, never with another number", 1.0, "height", book.refused[:3]
        )


def _edge(book: Ledger) -> Iterator[Evidence]:
    """Testify from a host half in: something else must have begun just between its two logins to look the same."""
    # A PC with one of two passwords wrong looks the same; a limit leaves others out as well.
    if not book.halves or len(book.refused_hosts) < 2:
        return
    accepted, refused = book.halves[0]
    if decided_ts(refused) > book.dispute.first + NS_PER_S and book.comebacks == 0:
        return
    # Whatever else began to refuse logins began while hosts were arriving; only then could it have hit a host half in.
    arriving = book.dispute.first - min(decided_ts(x) for x in book.accepted)
    pairs = _pair_gaps(book.accepted) + max(decided_ts(refused) - decided_ts(accepted), 1)
    odds = 10 * log10(max(arriving / pairs, 1.0))
    weight = min(odds - EDGE_COST_DB, EDGE_CAP_DB)
    if weight > 0:
        yield shown_by(
            f"{host_of(accepted)} opened two connections {(decided_ts(refused) - decided_ts(accepted)) / NS_PER_S:.3f} s apart: one was "
            "accepted, the other refused",
            weight,
            "edge",
            [accepted, refused],
        )


def _release(book: Ledger) -> Iterator[Evidence]:
    """Testify from how soon after a close a login was accepted again; whatever else ended would not wait for that."""
    closes = Closes(book.left, book.dispute.scene.end)
    span = book.dispute.scene.end - min(decided_ts(x) for x in book.accepted)
    chances: list[float] = []
    shown: list[Login] = []
    for refused, accepted in book.returns:
        if host_of(accepted) not in {host_of(x) for x in refused}:
            continue  # somebody else came in, who had not been refused
        close = closes.before(decided_ts(accepted), decided_ts(refused[0]))
        if close is None:
            continue  # nothing had closed since the refusals began: no slot was freed
        # The trouble may have ended as soon as nobody was refused any more, however late the close came then.
        since = min(close, decided_ts(refused[-1]))
        chances.append(closes.share(decided_ts(accepted) - since, span))
        shown += [refused[-1], accepted]
    weight = min(together_db(chances) - RELEASE_COST_DB, EDGE_CAP_DB)
    if weight > 0:
        text = f"{len(shown) // 2} time(s) a refused login was accepted as soon as another session had closed"
        yield shown_by(text, weight, "release", shown[:6])


def _pair_gaps(accepted: list[Login]) -> int:
    """Return how long, in ns, hosts stood with one of two connections in: the time in which a change would look like this."""
    last: dict[str, int] = {}
    total = 0
    for login in accepted:
        host = host_of(login)
        if host in last and decided_ts(login) - last[host] < 3 * NS_PER_S:
            total += decided_ts(login) - last[host]
        last[host] = decided_ts(login)
    return total


def _against(book: Ledger) -> Iterator[Evidence]:
    stand = book.standing
    if book.strange and len(book.strange) == len(book.refused):
        refs = tuple(r.ref for r in book.strange[:50])
        text = "the refused secret is not the one the server accepts for this account"
        yield Evidence(text, refs, -20.0, filter=filter_of(refs), kind="strange")
        return
    if book.superseded:
        yield shown_by("another secret is the good one by now", -20.0, "strange", list(book.superseded))
    if book.below:
        share = stand.below / stand.refusals
        yield shown_by(
            f"{stand.below} of {stand.refusals} refusals came with no more sessions open than some acceptance had",
            -5.0 if share <= 0.2 else -10.0 if book.late else -16.0,
            "below",
            book.refused[:3],
        )
    if book.wide and not book.accepted and not book.spans and not book.dispute.scene.unsure(book.dispute.server):
        yield shown_by(
            "no session of the account was open anywhere in this capture, so nothing was there to be limited",
            -12.0,
            "none-open",
            book.refused[:3],
        )
    times = Counter(host_of(x) for x in book.refused)
    stuck = [h for h in book.outsiders if times[h] >= 3]
    if book.accepted and book.interleaved and not book.reversals and set(stuck) == set(book.refused_hosts):
        entered = {host_of(x) for x in book.interleaved} - book.refused_hosts
        if entered and book.below:
            yield shown_by(
                f"while {', '.join(sorted(stuck)[:3])} never came in, {len(entered)} other host(s) did, with as many open",
                -8.0,
                "never-here",
                book.interleaved[:3],
            )


def _known(book: Ledger) -> Iterator[Evidence]:
    known = book.dispute.scene.known
    if known.others_working and not book.below:
        yield Evidence(
            "you said that others work with this account right now", (), 6.0, kind="known-others", source="--known"
        )
    if known.credentials_verified:
        yield Evidence(
            "you said that the credentials are verified", (), 6.0, kind="known-credentials", source="--known"
        )


RULE = Rule(
    id="imap-connections-per-user",
    title="per-user connection throttling",
    cause=CAUSE,
    kinds=("login", "mailbox", "sealed"),
    remedies=("per-user-connection-limit",),
    since="0.1",
    check=check,
)
