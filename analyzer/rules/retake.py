"""The wrong capture: what is wrong with one that cannot answer, and the commands that take a better one.

Not a word where the question is answered, and none about a capture that shows what it should.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from analyzer.rules.finding import CLAIMS, Finding, Subject, Verdict
from analyzer.sessions.coverage import CaptureSeen, Lack
from analyzer.sessions.session import Session

MAIL_PORTS = (25, 110, 143, 465, 587, 993, 995)
"""Asked for where no mail was seen."""
PORTS_NAMED = 4
"""Ports of the server named in a command; a longer filter is not typed."""
FRAMES_NAMED = 10

WRONG: dict[str, tuple[str, str, str]] = {
    "no-mail": (
        "no mail in the capture: another adapter, another time, or another machine",
        "Capture on the adapter the mail takes (Wi-Fi or cable, see ipconfig), and use the mail program while it runs.",
        "Everything was looked at, not only the usual ports. If mail uses a port of its own, say --port.",
    ),
    "vpn": (
        "wrong adapter: only a VPN's packets, and the mail may be inside",
        "Capture on the VPN's own (virtual) adapter, where packets are not yet encrypted, or at the mail server.",
        "From outside a tunnel nothing of a login can be seen.",
    ),
    "loopback": (
        "wrong adapter: only packets of the machine to itself",
        "Capture on the network adapter; a mail scanner on the machine may pass mail on over loopback.",
        "What a machine says to itself does not reach the mail server.",
    ),
    "syns": (
        "filtered: nothing but SYN packets, so no word was captured",
        "Capture without a filter on TCP flags; a filter on host and port is enough.",
        "That connections were made is seen; what was said in them is not.",
    ),
    "listing": (
        "a list of packets only: what stands in no column is lost",
        "Save the capture itself (File, Save as), not the list.",
        "Accounts, secrets' equality and TTLs are not in a list.",
    ),
    "one-sided": (
        "one direction only: half of each dialogue is missing",
        "Mirror both directions (SPAN: both, rx and tx), and filter by 'host', not by 'src' or 'dst'.",
        "Without the client it is not known who logs in, without the server not with what result.",
    ),
    "late": (
        "taken too late: every mail session had begun before",
        "Start the capture first; then let the agents log in, until one was refused.",
        "A login is the first thing in a session, and here none was captured.",
    ),
    "cut": (
        "packets are cut: what is behind the snap length is missing",
        "Capture whole packets: pktmon keeps 128 octets, unless told --pkt-size 0; tcpdump and dumpcap: -s 0.",
        "Account names, NTLM messages and answers stand where the packets were cut.",
    ),
    "gaps": (
        "packets are missing: the capture could not keep up, or was filtered",
        "Capture with a filter on the mail ports only, to a local disk, with a larger buffer.",
        "An answer that is missing is no answer that was not given.",
    ),
    "encrypted": (
        "all encrypted: logins cannot be seen",
        "Read the server's protocol log for these times (Exchange: Set-ImapSettings -ProtocolLogEnabled $true).",
        "Connections can be counted and timed, names and answers cannot be read.",
    ),
}
"""Kind of lack -> title, what to change, what it means; the first that holds is told."""


def retake(
    captures: Sequence[CaptureSeen], sessions: Sequence[Session], findings: Sequence[Finding]
) -> tuple[Finding, ...]:
    """Return, for each capture that cannot answer, a finding of severity info that tells how to take it again."""
    if any(f.severity == "fault" and f.verdict in CLAIMS for f in findings):
        return ()
    by_capture: dict[str, list[Session]] = {c.name: [] for c in captures}
    for s in sessions:
        by_capture.setdefault(s.capture, []).append(s)
    # With several captures, one that holds no mail of its own is a PC that was idle: the others answer.
    several = sum(1 for held in by_capture.values() if held) > 0 and len(captures) > 1
    found = []
    for c in captures:
        lack = None if several and not by_capture[c.name] else _worst(c, by_capture[c.name])
        if lack is not None:
            found.append(_finding(c, lack, by_capture[c.name]))
    return tuple(found)


def _worst(capture: CaptureSeen, sessions: Sequence[Session]) -> Lack | None:
    """Return what makes a capture the wrong one, None where it shows what it should."""
    lacks = {x.kind: x for x in capture.quality.lacks}
    return next((lacks[kind] for kind in WRONG if kind in lacks and _hurts(kind, sessions)), None)


def _hurts(kind: str, sessions: Sequence[Session]) -> bool:
    """Tell whether a lack keeps the question open: not where logins, and their ends, were seen all the same."""
    spoke = [s for s in sessions if s.client_bytes or s.server_bytes]
    undecided = [s for s in spoke if not s.logins or any(x.decided is None or x.account is None for x in s.logins)]
    match kind:
        case "no-mail" | "vpn" | "loopback" | "syns" | "listing":
            return True
        case "late":
            return all(s.syn_at is None and not s.logins for s in spoke)
        case "encrypted":
            return all(s.tls != "none" and not s.logins for s in spoke)
        case "one-sided":
            return 2 * sum(s.one_sided for s in spoke) > len(spoke)
        case _:
            return 2 * len([s for s in undecided if s.missed_bytes]) > len(spoke)


def _finding(capture: CaptureSeen, lack: Lack, sessions: Sequence[Session]) -> Finding:
    title, change, meaning = WRONG[lack.kind]
    server = Counter(s.server for s in sessions).most_common(1)
    where = server[0][0] if server else None
    ports = sorted({s.server_port for s in sessions if s.server == where}) if where else []
    return Finding(
        rule=f"capture-{lack.kind}",
        cause="undetermined",
        verdict=Verdict.NOT_SEEN,
        confidence=0.0,
        severity="info",
        subject=Subject((), (), where, sessions[0].protocol if sessions else None),
        candidates=(),
        start=capture.start or 0,
        end=capture.end or 0,
        title=title,
        summary=f"{capture.name}: {lack.text}. {meaning}",
        evidence=(),
        missing=(change, *commands(where, ports[:PORTS_NAMED])),
        remedies=("capture-better",),
        sessions=tuple((s.capture, s.uid) for s in sessions[:FRAMES_NAMED]),
    )


def commands(server: str | None, ports: Sequence[int]) -> Iterator[str]:
    """Yield the commands that capture mail with a server (or any), for each tool."""
    chosen = ports or MAIL_PORTS
    by_port = " or ".join(f"tcp port {port}" for port in chosen)
    within = f"host {server} and ({by_port} or icmp)" if server else f"{by_port} or icmp"
    if server and ":" in server:
        within = within.replace("or icmp", "or icmp6")
    family = "IPv6" if server and ":" in server else "IPv4"
    host = f" {family}.Address={server}" if server else ""
    yield f"Linux: tcpdump -i any -s 0 -w mail.pcap '{within}'"
    yield f'Windows with Wireshark: dumpcap -i 1 -s 0 -f "{within}" -w mail.pcapng   (dumpcap -D lists the adapters)'
    yield (
        f"Windows 10, Server 2019 and later, in cmd: {' & '.join(_pktmon(server, chosen))}"
        " & pktmon start --capture --pkt-size 0 --file-name mail.etl   (end: pktmon stop)"
    )
    yield (
        f"Windows before that: netsh trace start capture=yes{host} maxsize=1024 tracefile=mail.etl   (end: netsh trace stop)"
    )


def _pktmon(server: str | None, ports: Sequence[int]) -> Iterator[str]:
    host = f" -i {server}" if server else ""
    for port in ports:
        yield f"pktmon filter add mail{port}{host} -t TCP -p {port}"
