"""Findings in words: the title, the summary, and what would settle an open question."""

from __future__ import annotations

from collections.abc import Mapping

from analyzer.at import NS_PER_S
from analyzer.rules.ledger import Ledger
from analyzer.rules.rule import Rule
from analyzer.rules.scene import Dispute
from analyzer.rules.weigh import UNDETERMINED, Weighed

_WHERE = {
    "login": "refused",
    "greeting": "turned away before login",
    "mailbox": "refused after login",
    "connect": "failed",
    "silence": "left without an answer",
    "ending": "ended by the server",
    "reset": "cut in mid-session",
    "sealed": "cut short inside TLS",
    "tls": "broken off in the TLS handshake",
    "stall": "stood still",
}
_HOW_SURE = {
    "confirmed": "The capture proves it.",
    "likely": "No single fact proves it, but nothing else explains what was seen.",
    "suspected": "The capture fits it but does not show it.",
}
NAMES = {
    "per_user_connection_limit": "per-user connection throttling",
    "per_ip_connection_limit": "connection limit per client address",
    "server_connection_limit": "server-wide connection limit",
    "connection_limit_at_connect": "connection limit before login",
    "store_session_limit": "store session limit",
    "request_throttling": "request throttling",
    "command_size_limit": "command size limit",
    "mailbox_in_use": "mailbox in use",
    "bad_credentials": "wrong or changed password",
    "account_locked": "account locked or disabled",
    "tls_required": "TLS required",
    "auth_method_refused": "authentication method refused",
    "smtp_connection_limit": "SMTP connection limit",
    "smtp_rate_limit": "SMTP rate limit",
    "rejected_by_policy": "rejected by policy",
    "login_delay": "POP3 logins too close together",
    "server_unavailable": "server unavailable",
    "server_restart": "server restart",
    "server_slow": "server too slow",
    "port_filtered": "port filtered",
    "port_closed": "port closed",
    "middlebox_reset": "connections cut on the way",
    "network_loss": "packets lost on the way",
    "network_stall": "large packets never get through",
    UNDETERMINED: "undetermined",
}
"""What a person hears for each cause."""


def _who(dispute: Dispute) -> str:
    if dispute.account:
        return f"account {dispute.account} on {dispute.server}"
    if dispute.kind in {"connect", "greeting", "silence", "sealed", "tls"}:
        return f"{dispute.server}:{dispute.refusals[0].session.server_port}"
    return f"server {dispute.server}"


def _how_many(dispute: Dispute, facts: Mapping[str, float | int | str]) -> str:
    n = len(dispute.refusals)
    what = {"login": "login", "ending": "session"}.get(dispute.kind, "connection")
    of = f" of {n + int(facts['accepted'])}" if "accepted" in facts else ""
    return f"{n}{of} {what}{'s' if n != 1 or of else ''}"


def _span(dispute: Dispute) -> str:
    seconds = (dispute.last - dispute.first) / NS_PER_S
    if seconds < 0.001:
        return ""
    return f" in {seconds:.1f} s" if seconds < 120 else f" in {seconds / 60:.0f} min"


def title(weighed: Weighed, rule: Rule | None, dispute: Dispute, facts: Mapping[str, float | int | str]) -> str:
    """Return the answer in one line."""
    name = NAMES.get(weighed.cause) or (rule.title if rule else weighed.cause)
    if weighed.cause == UNDETERMINED:
        name = "refused, and the capture does not say why"
    where = _WHERE[dispute.kind]
    if weighed.cause == "bad_credentials" and len(dispute.clients) == 1 and int(facts.get("clients", 1)) > 1:
        name = f"wrong password on {dispute.clients[0]}"
    return f"{name}: {_who(dispute)}, {_how_many(dispute, facts)} {where}{_span(dispute)}"


def summary(weighed: Weighed, dispute: Dispute, book: Ledger | None, facts: Mapping[str, float | int | str]) -> str:
    """Return two or three sentences: who, how many, how sure and why."""
    clients = dispute.clients
    who = clients[0] if len(clients) == 1 else f"{len(clients)} clients"
    by = "on the way to" if dispute.kind in {"reset", "stall"} else "by"
    parts = [f"{who}: {_how_many(dispute, facts)} {_WHERE[dispute.kind]}{_span(dispute)} {by} {dispute.server}."]
    if weighed.verdict == "suspected":
        rivals = [
            NAMES.get(c.cause, c.cause) for c in weighed.candidates if c.cause not in {weighed.cause, UNDETERMINED}
        ][:3]
        parts.append("The capture does not decide it" + (f"; rivals: {', '.join(rivals)}." if rivals else "."))
    else:
        parts.append(_HOW_SURE[str(weighed.verdict)])
    if "limit" in facts and weighed.cause == "per_user_connection_limit":
        parts.append(f"The limit is {facts['limit']} open sessions of the account.")
    elif "limit_high" in facts and "limit_low" in facts and weighed.verdict != "suspected":
        parts.append(f"The limit is {bounds(facts)}.")
    if "servers" in facts and "limit" in weighed.cause:
        parts.append(f"Each of the {facts['servers']} servers behind that address counts for itself.")
    if "known_default" in facts and weighed.verdict != "suspected":
        parts.append(f"That fits {facts['known_default']}.")
    if dispute.scene.known.words:
        parts.append(f"This rests on what you said: {', '.join(dispute.scene.known.words)}.")
    if dispute.kind == "sealed":
        parts.append("TLS hides the words: this rests on sizes and times alone.")
    del book
    return " ".join(parts)


def bounds(facts: Mapping[str, float | int | str]) -> str:
    """Return the height of a limit in words, as far as 'limit_low' and 'limit_high' bound it."""
    low, high = facts.get("limit_low"), facts.get("limit_high")
    if low is None or high is None:
        return f"at least {low}" if high is None else f"at most {high}"
    return str(low) if low == high else f"between {low} and {high}"


def missing(weighed: Weighed, dispute: Dispute, book: Ledger | None) -> tuple[str, ...]:
    """Return what would settle an open question, cheapest first."""
    if weighed.verdict != "suspected":
        return ()
    alive = {c.cause for c in weighed.candidates}
    steps = []
    if dispute.kind == "login":
        if not dispute.scene.known.others_working and book is not None and not book.wide:
            steps.append("Do other agents work with this account right now? Then add --known others-working.")
        if not dispute.scene.known.credentials_verified and "bad_credentials" in alive:
            steps.append(
                "Log in once with this account and password from another place. If it works, add --known credentials-verified."
            )
        if book is not None and not book.wide:
            steps.append("Capture at the mail server, or on all agent PCs at once, and give all the files together.")
        steps.append(
            f"Read the server's {(dispute.protocol or 'mail').upper()} protocol log for these times: it names the reason (Exchange: UserConnectionLimitReached or AuthFailed). Give it together with the capture."
        )
    elif dispute.kind == "mailbox":
        steps.append(
            "Read the server's application event log for event 9646 at these times, or give it together with the capture."
        )
        steps.append("Capture at the mail server, so that all sessions of the account are seen.")
    elif dispute.kind in {"greeting", "silence"}:
        steps.append("Capture at the mail server, so that all its connections are counted.")
        steps.append('Count the connections on the server (netstat -an | find ":143") and compare with its limits.')
    elif dispute.kind == "connect":
        steps.append("Capture on the other side of the firewall at the same time.")
    elif dispute.kind == "sealed":
        steps.append(
            "Sizes and times decide nothing: run the mail program with SSLKEYLOGFILE=FILE set, capture again from its start, "
            "and add --keylog FILE."
        )
        steps.append("Read the server's IMAP protocol log for these times: it names the account and the reason.")
    elif dispute.kind == "tls":
        port = dispute.refusals[0].session.server_port
        steps.append(f"From the client's place: mailscope probe {dispute.server} --port {port}")
        steps.append("Compare the TLS versions and certificates that the mail program and the server take.")
    elif dispute.kind == "reset":
        steps.append(
            "Capture at the mail server and at the client at once: a reset the server never sent is not its own."
        )
    elif dispute.kind == "stall":
        steps.append(
            "Ask for large packets that must not be split: ping -f -l 1472 HOST (Windows), ping -M do -s 1472 HOST."
        )
        steps.append(
            "Capture at the mail server and at the client at once: what leaves one and never comes was lost between."
        )
    return tuple(steps)
