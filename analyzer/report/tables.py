"""Findings and their evidence as DataFrames."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from analyzer.errors import AnalyzerError
from analyzer.report.result import Result
from analyzer.rules.finding import Evidence, Finding, FrameRef
from analyzer.text import clean

if TYPE_CHECKING:
    import pandas as pd

FINDING_TYPES = {
    "verdict": "category",
    "cause": "category",
    "confidence": "Float64",
    "accounts": "string",
    "server": "string",
    "title": "string",
}
WHY_TYPES = {
    "text": "string",
    "weight_db": "Float64",
    "decisive": "boolean",
    "kind": "category",
    "frames": "string",
    "filter": "string",
    "source": "string",
}


def finding_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Return one row per finding: verdict, cause, confidence (0 to 1), accounts, server, title."""
    import pandas as pd

    rows = [
        (str(f.verdict), f.cause, f.confidence, ", ".join(f.subject.accounts), f.subject.server, f.title)
        for f in findings
    ]
    return pd.DataFrame(rows, columns=list(FINDING_TYPES)).astype(FINDING_TYPES)


def why_table(evidence: Iterable[Evidence]) -> pd.DataFrame:
    """Return one row per piece of evidence, in its order.

    Columns: text, weight_db (decibels: above 0 for the cause, below 0 against it), decisive, kind (of one kind only the
    strongest counts), frames (where to look, by capture where there are several), filter (Wireshark's, to paste), source.
    """
    import pandas as pd

    rows = [
        (e.text, e.weight_db, e.decisive, e.kind or None, frames_text(e.frames), e.filter or None, e.source or None)
        for e in evidence
    ]
    return pd.DataFrame(rows, columns=list(WHY_TYPES)).astype(WHY_TYPES)


def why(result: Result, cause: str | Finding | None = None) -> pd.DataFrame:
    """Return the evidence of one finding, chosen by cause or rule; without one of the first fault, else the first finding.

    Raises:
        AnalyzerError: no finding has this cause.
    """
    if cause is None:
        first = next(iter((*result.faults, *result.findings)), None)
        return why_table(first.evidence if first else ())
    return why_table((cause if isinstance(cause, Finding) else _found(result, cause)).evidence)


def _found(result: Result, cause: str) -> Finding:
    """Return the first finding of a cause or rule; dashes and underscores are one."""
    asked = cause.replace("-", "_").casefold()
    for attribute in ("cause", "rule"):
        for finding in result.findings:
            if getattr(finding, attribute).replace("-", "_") == asked:
                return finding
    rivals = {x.cause for f in result.findings for x in f.candidates}
    shown = ", ".join(dict.fromkeys(f.cause for f in result.findings)) or "none"
    also = "it is a candidate only, see .findings[0].candidates; " * (asked in rivals)
    raise AnalyzerError(f"no finding has the cause {clean(cause, 60)}", hint=f"{also}the findings are: {shown}")


def frames_text(refs: Iterable[FrameRef]) -> str | None:
    """Write frame numbers, with the capture before them where there are several."""
    by_capture = {name: [ref.frame for ref in group] for name, group in groupby(sorted(refs), key=lambda ref: ref[0])}
    texts = {name: ", ".join(map(str, numbers)) for name, numbers in by_capture.items()}
    if len(texts) < 2:
        return next(iter(texts.values()), None)
    return "; ".join(f"{name}: {text}" for name, text in texts.items())
