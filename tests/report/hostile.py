"""A case whose every name and text tries to be markup, a formula or a link, and the words to look for where it is shown."""

from __future__ import annotations

from typing import Any

from analyzer.at import At
from analyzer.report.dialogue import Dialogue, DialogueLine
from analyzer.rules.finding import Candidate, FrameRef, Subject, Verdict
from analyzer.sessions.coverage import Quality
from analyzer.sessions.records.record import LogSeen
from tests.records import account_row, capture_seen, evidence, finding, full_house, result, session

EVIL = (
    "<script>document.title='owned'</script>",
    "\"'><img src=https://evil.example/x onerror=alert(1)>",
    "</title></style></pre></textarea></svg><h1 id=evil>evil</h1>",
    "]]><!-- --><svg onload=alert(1)><foreignObject><a href='javascript:alert(1)'>x</a>",
    "{{ 7 * 7 }}{% raw %}{evil}%s%(evil)s",
    '=HYPERLINK("https://evil.example")|[x](https://evil.example) `code` **bold** @team www.evil.example',
    "&lt;b&gt; &amp;amp; &#60;i&#62;",
)
ALL = " ".join(EVIL)


def case() -> Any:
    """Every text of a capture that a report shows is hostile."""
    name = "".join(EVIL[:3])
    house = full_house(capture=ALL, account=name, client=EVIL[1], server=EVIL[3])
    talk = [DialogueLine(At(5, house[0].start), 0.0, "CS-"[n % 3], text) for n, text in enumerate((*EVIL, ALL))]
    bye = session("C999", account=EVIL[4], client=EVIL[5], capture=ALL, bye=EVIL[0], bye_at=At(7, house[3].start))
    fact = evidence(ALL, source=EVIL[2], filter=EVIL[1])._replace(frames=(FrameRef(ALL, 5), FrameRef(EVIL[2], 6)))
    told = finding(
        Verdict.CONFIRMED,
        title=f"limit: {ALL}",
        summary=ALL,
        subject=Subject(accounts=(name, *EVIL), clients=EVIL, server=EVIL[3], protocol=EVIL[2]),
        candidates=(Candidate("per_user_connection_limit", 0.7), Candidate(EVIL[0], 0.3)),
        evidence=(fact, fact._replace(weight_db=-3.0), fact._replace(weight_db=0.0)),
        missing=(ALL,),
        facts={"limit": 16, "refused": 42, "accepted": 20, "clients": 10, "product": EVIL[0]},
    )
    aside = finding(severity="warning", title=ALL)
    seen = capture_seen(ALL, quality=Quality("C", (ALL,)), warnings=EVIL, link_types=(EVIL[0],), sha256=EVIL[0])
    rows = tuple(account_row(x, clients=EVIL, clients_refused=EVIL, server=EVIL[3]) for x in EVIL)
    made = result((*house, bye), [told, told._replace(title=f"again: {ALL}"), aside], [seen, seen], accounts=rows)
    log = LogSeen(ALL, EVIL[0], 7, 3, -1.5, house[0].start, house[9].start, "local", EVIL)
    return made._replace(known=EVIL, records=(log,), dialogues=(Dialogue(ALL, house[0].uid, tuple(talk)),))
