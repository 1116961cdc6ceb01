"""Result: everything one run of the analyzer found, as one value that all outputs draw from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from analyzer.remedies import Remedy
from analyzer.rules.finding import CLAIMS, Finding, Verdict
from analyzer.sessions.accounts import Account
from analyzer.sessions.coverage import CaptureSeen
from analyzer.sessions.session import Login, Outcome, Session

if TYPE_CHECKING:
    from analyzer.report.dialogue import Dialogue
    from analyzer.rules.replay import WhatIf
    from analyzer.sessions.records.record import LogSeen

UNREADABLE_STATES = frozenset({"not_a_capture", "password_needed", "timeout", "error"})
"""States of a capture of which nothing could be read."""
EXIT_HEALTHY, EXIT_UNREADABLE, EXIT_FAULT, EXIT_SUSPECTED = 0, 3, 10, 11

_LEADS = CLAIMS | {Verdict.SUSPECTED}


class Conclusion(NamedTuple):
    """The answer of the whole run in one line."""

    cause: str
    """The first fault's cause, or 'healthy', 'no_mail', 'encrypted', 'unreadable'."""
    verdict: str | None
    """The first fault's verdict; None when there is none."""
    title: str


class Result(NamedTuple):
    """What was read and what was concluded, in the order it is shown."""

    captures: tuple[CaptureSeen, ...]
    sessions: tuple[Session, ...]
    logins: tuple[Login, ...]
    accounts: tuple[Account, ...]
    findings: tuple[Finding, ...]
    """Best first."""
    remedies: tuple[Remedy, ...] = ()
    """For the findings, numbers filled in."""
    known: tuple[str, ...] = ()
    """What the engineer said with ``--known``."""
    what_if: tuple[WhatIf, ...] | None = None
    """What another limit would have made of the refusals; None when nobody asked."""
    records: tuple[LogSeen, ...] = ()
    """The server's own logs that were given beside the captures."""
    dialogues: tuple[Dialogue, ...] = ()
    """What was said in the sessions that decide; read only for the outputs that show it."""

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that say something is wrong, or may be."""
        return tuple(x for x in self.findings if x.severity == "fault" and x.verdict in _LEADS)

    @property
    def conclusion(self) -> Conclusion:
        """The first fault; without one, what kind of nothing was found."""
        if self.faults:
            first = self.faults[0]
            return Conclusion(first.cause, first.verdict.value, first.title)
        return self._nothing()

    @property
    def exit_status(self) -> int:
        """0 nothing wrong, 10 a fault is confirmed or likely, 11 only suspected, 3 some input could not be read."""
        if any(x.verdict in CLAIMS for x in self.faults):
            return EXIT_FAULT
        if self.faults:
            return EXIT_SUSPECTED
        return EXIT_UNREADABLE if any(x.unread for x in self.captures) else EXIT_HEALTHY

    def remedies_of(self, finding: Finding) -> tuple[Remedy, ...]:
        """Return the remedies a finding names, by id or by cause."""
        named = {x.replace("_", "-") for x in finding.remedies}
        fits = {x.id: x for x in self.remedies if x.id in named or x.cause.replace("_", "-") in named}
        return tuple(fits.values())

    def with_findings(self, findings: tuple[Finding, ...], remedies: tuple[Remedy, ...] = ()) -> Result:
        """Return the same result with these findings."""
        return self._replace(findings=findings, remedies=remedies)

    def _nothing(self) -> Conclusion:
        mail = [x for x in self.sessions if x.outcome is not Outcome.UNSEEN]
        if mail and all(x.outcome is Outcome.OPAQUE for x in mail):
            return Conclusion("encrypted", None, f"all {len(mail)} mail sessions are encrypted: logins cannot be seen")
        if mail:
            accepted = sum(x.outcome is Outcome.ACCEPTED for x in mail)
            return Conclusion("healthy", None, f"nothing wrong found: {accepted} of {len(mail)} sessions logged in")
        if self.sessions:
            return Conclusion("healthy", None, "nothing wrong found, but no login is in the capture")
        if self.captures and all(x.unread for x in self.captures):
            return Conclusion("unreadable", None, "nothing could be read")
        if self.records and not self.captures:
            entries = sum(x.records for x in self.records)
            if entries:
                return Conclusion("healthy", None, f"nothing wrong found: {entries} records, none of a refusal")
            return Conclusion("no_mail", None, "the log says nothing about logins")
        return Conclusion("no_mail", None, "no mail traffic in the capture")
