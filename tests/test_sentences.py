"""No sentence of the program is left English: each one in the source has its Spanish, whether a capture shows it or not."""

from __future__ import annotations

import re

import pytest

from analyzer.language import speaker
from analyzer.sessions.session import Outcome
from tests.sentences import ROOT, File, sentences

SAY = speaker("es")
ENGLISH = re.compile(
    r"\b(?:the|was|were|with|and|of|is|are|not|at|in|for|it|from|to|that|this|which|login|refused|more|than|by)\b"
)
"""Words of which one in a translation tells that a part of it was left."""
QUOTED = re.compile(r"«.*?»|\(throttling\)|--known \S+|mailscope .*|'[^']* or icmp'|\"[^\"]* or icmp\S*\"|capture=yes")
"""Words of servers, commands and filters, which stay."""
LEAST = 2
HOLES: dict[str, tuple[str, ...]] = {
    "comparison.py new.verdict": ("likely",),
    "comparison.py old.verdict": ("confirmed",),
    "comparison.py what": ("session", "refusal", "accepted login"),
    "comparison.py n or 'no'": ("no", "7"),
    "comparison.py 's' * (n != 1)": ("s",),
    "report/charts.py by": ("account", "client", "server"),
    "report/charts.py chart.by": ("account",),
    "report/charts.py 's' * (count > 1)": ("s",),
    "report/delays.py slow[1]": ("accepted", "refused"),
    "report/dialogue.py side.name.lower()": ("client", "server"),
    "report/dialogue.py why": ("line too long", "another protocol", "no command", "no reply"),
    "report/explain.py _other(seen)": ("TCP, 7 to 7",),
    "report/explain.py outcome": tuple(x.value.replace("_", " ") for x in Outcome),
    "report/explain.py one": ("client 7",),
    "report/explain.py other": ("server 7",),
    "report/swimlanes.py by": ("account", "client", "server"),
    "report/swimlanes.py what": ("accounts", "clients", "servers", "sessions and refusals"),
    "rules/catalogue/middlebox_reset.py strange.reset_by": ("server",),
    "rules/catalogue/network_stall.py _connections(len(big))": ("1 connection", "7 connections"),
    "rules/catalogue/network_stall.py _connections(len(passed))": ("1 connection", "7 connections"),
    "rules/catalogue/network_stall.py who": ("client", "server"),
    "rules/ceiling.py finding.summary": ("The capture proves it.",),
    "rules/logged.py where": ("x.log line 7", "x.log lines 7, 8 and 7 more"),
    "rules/sealed.py who": ("client", "server"),
    "sessions/records/events.py of": ("one address", "the service"),
    "sessions/rejoin.py what": ("file 7",),
    "sessions/rejoin.py 'is' if missing == 1 else 'are'": ("is",),
}
"""What stands in holes that only the run fills."""
PIECES = frozenset({
    "turned away before login", "refused after login", "left without an answer", "ended by the server", "cut in mid-session",
    "cut short inside TLS", "broken off in the TLS handshake", "on the way to", "stood still", "the server",
    "The capture does not decide it", "files to", ", and that began apart equally long: that is a delay, not a queue",
    "account on", "one address", "the service", "wrong password", "unknown user name", "password expired",
    "password must be changed", "account locked out", "account disabled", "account expired",
    ": more than connections of one user", ": too many connections of one user", "in min", "by default",
    "the member is", "the archive is", "and needs a password", "buffers of the trace are compressed and were skipped",
    "packets of a virtual switch were skipped",
    "further appearances of packets in other parts of the network stack were set aside",
    "sessions and refusals", "logged in", "not logged in", "mail connection",
    "(and more)", "and more", "the server chooses", "an unknown version of TLS",
})  # fmt: skip
"""Parts of sentences that are found whole elsewhere."""
DATA = frozenset({
    "account and address", "answer lost", "without a word", "odd secret", "(no id)",  # keys of ours
    "Log Name:", "event id", "date and time", "mapi session", "with client type | exceeded",  # what is looked for
    "#Log-type: (IMAP4|POP3) Protocol Log", "client_limit and process_limit was hit|Connection queue full",
    "datetime64[ns, UTC]", "offset points", "axes fraction", "upper left", "Glyph .* missing",  # for libraries
    "bold white on red", "bold red", "bold yellow", "bold green", "frame ip ipv6 tcp icmp icmpv6", "NetMon 1", "NetMon 2",
    "pip install pyshark", "pip install 'mailscope[formats]'", "mailscope dialogue --session",  # commands
    "mailscope remedy", "Wireshark: frame.number in { }", "Linux: tcpdump -i any -s 0 -w mail.pcap ' '",
    "pktmon filter add mail -t TCP -p",
    "it is a candidate only, see .findings[0].candidates;", "no engine : it is 'native', 'tshark' or 'auto'",  # diagnostics
    ", times in UTC", "the server's log",  # the head of a table of data; a source
    "Maximum number of connections from user+IP exceeded", "client_limit and process_limit was hit",  # Dovecot's words
    "disallowed plaintext auth", "unsupported auth mechanism", "auth process communication failure",
    "pam_authenticate() failed", "user disabled", "login disabled", "internal failure", "auth failed", "Password mismatch",
    "unknown user",
    "Dovecot 2.2 to 2.4, src/master/service-monitor.c: SERVICE_DROP_TIMEOUT_MSECS, service_drop_connections",  # a source
})  # fmt: skip
"""What nobody reads as a sentence, or stays as it is."""
PRODUCTS = "sessions/defaults.py"
"""Names of products, settings and sources; what is told of them is tested in test_language.py."""


def left_english(text: str) -> bool:
    """Tell whether a sentence, or a part of it, has no Spanish."""
    told = SAY(text)
    return told == text or bool(ENGLISH.search(QUOTED.sub("", told)))


def test_every_sentence_of_the_source_has_its_spanish() -> None:
    found = list(sentences(HOLES, LEAST))
    wanted = [x for x in found if x.text not in PIECES | DATA and not x.place.startswith(PRODUCTS)]
    assert len(wanted) > 500
    missing = {f"{x.place}: {y}" for x in wanted for y in x.examples if left_english(y)}
    assert sorted(missing) == []


def test_no_exception_is_left_over() -> None:
    told = {x.text for x in sentences(HOLES, LEAST)}
    assert sorted((PIECES | DATA) - told) == []


SOURCE = '''
LOST = "; up to one that was lost"
def text(n, whole):
    """Say something of it."""
    rest = "" if whole else LOST
    if n == 1:
        raise ValueError("this is wrong here")
    return f"{n} of {len(whole)} {_kind(n)} were seen{rest}{' again' * (n > 1)}"
def _kind(n):
    return "old sessions" if n else "new sessions"
'''


def test_sentences_are_found_with_all_that_their_holes_may_hold() -> None:
    (found,) = File("a.py", SOURCE, {}).sentences(2)
    assert found.place == "a.py:8"
    assert found.examples == (
        "7 of 7 old sessions were seen", "7 of 7 old sessions were seen again",
        "7 of 7 old sessions were seen; up to one that was lost", "7 of 7 old sessions were seen; up to one that was lost again",
        "7 of 7 new sessions were seen", "7 of 7 new sessions were seen again",
        "7 of 7 new sessions were seen; up to one that was lost", "7 of 7 new sessions were seen; up to one that was lost again",
    )  # fmt: skip
    other = next(iter(File("a.py", SOURCE, {"a.py _kind(n)": ("sessions",), "a.py rest": ("",)}).sentences(2)))
    assert "7 of 7 sessions were seen" not in found.examples
    assert "7 of 7 sessions were seen again" in [*other.examples, *found.examples] or other.place != found.place


def test_errors_count_only_where_a_page_shows_them() -> None:
    raised = "def f():\n    raise ValueError('the file is cut')\n"
    assert list(File("report/x.py", raised, {}).sentences(2)) == []
    assert [x.text for x in File("capture/x.py", raised, {}).sentences(2)] == ["the file is cut"]


@pytest.mark.parametrize("text", ["a sentence of which there is none", "the capture is read: and this is not"])
def test_a_sentence_without_spanish_is_seen(text: str) -> None:
    assert left_english(text)


def test_every_folder_that_speaks_is_looked_at() -> None:
    assert {x.place.split("/")[0].split(":")[0] for x in sentences(HOLES, LEAST)} == {
        "rules", "sessions", "capture", "report", "comparison.py",
    }  # fmt: skip
    assert ROOT.name == "analyzer"
