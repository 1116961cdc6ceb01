"""What captures prove only together: the members of one incident read as one story, in the isolated process.

Of one PC refused by a limit, a capture shows refusals and nothing else; those of the PCs that hold the account's sessions
at the same time show how many were open. So the captures of the incident are read with those that show its accounts
without being refused, and what comes of it speaks for the incident if it is surer than each alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from analyzer.triage.case import Case, StoredIncident
from analyzer.triage.isolated import Answer
from analyzer.triage.row import VERDICT_RANK, is_fault
from analyzer.triage.store import Store

MOST_CAPTURES = 60
"""Read together: a team's PCs; what more captures of the same refusals add is little."""
MOST_BYTES = 2 << 30
"""Read together, in the time and memory of one capture."""
NAMED = frozenset({"capture", "name", "last_capture", "decided_capture", "series"})
"""Members of the report document that name captures."""


def join(
    store: Store,
    incident: StoredIncident,
    where: Callable[[Case], Path | None],
    run: Callable[[list[Path]], Answer],
    key: str,
) -> bool:
    """Read the captures of an incident together, if none proves it alone and that was not done yet.

    Args:
        store: Where the incident is, and what is found goes to.
        incident: One that may be settled so.
        where: Returns the file of a capture; None when it is gone.
        run: Analyses files together; see :func:`analyzer.triage.isolated.isolated`.
        key: Of the results; see :func:`analyzer.triage.row.key`.

    Returns:
        Whether it says more now.
    """
    if incident.rank < VERDICT_RANK["suspected"] and incident.joined is None:
        return False
    chosen = _chosen(store.story(incident))
    of = sha256(" ".join([key, *sorted(str(case.sha256) for case in chosen)]).encode()).hexdigest()
    if len(chosen) < 2 or store.joined(incident.id) == of:
        return False
    files = [(case, path) for case in chosen if (path := where(case)) is not None]
    told = _told(incident, files, run) if len(files) > 1 else None
    store.join(incident.id, of, told)
    return told is not None


def _chosen(cases: Iterable[Case]) -> list[Case]:
    """Return captures to read together: each content once, the refused ones first, as many as there is room for.

    One that shows a trouble of its own by itself is no witness of another's.
    """
    left, chosen = MOST_BYTES, dict[str, Case]()
    for case in sorted(cases, key=lambda case: (case.rank, case.start_ns or 0, case.path)):
        claims = case.rank < VERDICT_RANK["suspected"]
        if claims or case.sha256 is None or case.sha256 in chosen or len(chosen) >= MOST_CAPTURES:
            continue
        left -= case.size_bytes or 0
        if left >= 0:
            chosen[case.sha256] = case
    return list(chosen.values())


def _told(
    incident: StoredIncident, files: list[tuple[Case, Path]], run: Callable[[list[Path]], Answer]
) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory(prefix="mailscope-") as folder:
        names = {_alone(path, Path(folder), number): case for number, (case, path) in enumerate(files)}
        document = run(list(names)).document or {}
    best = min(
        _about(incident, filter(is_fault, document.get("findings", ()))),
        key=lambda one: (VERDICT_RANK[one["verdict"]], -one["confidence"]),
        default=None,
    )
    if best is None or VERDICT_RANK[best["verdict"]] >= VERDICT_RANK["suspected"]:
        return None
    paths = {path.name: case.path for path, case in names.items()}
    return {
        "captures": sorted(paths.values()),
        "alone": incident.verdict if incident.joined is None else incident.joined["alone"],
        "finding": renamed_in(best, paths),
    }


def _alone(path: Path, folder: Path, number: int) -> Path:
    """Give a file a name that no other has: captures are told apart by it."""
    named = folder / f"{number + 1:03d}-{path.name[-100:]}"
    try:
        named.symlink_to(path.absolute())
    except OSError:  # Windows, where links are a privilege
        try:
            os.link(path, named)
        except OSError:
            shutil.copyfile(path, named)
    return named


def _about(incident: StoredIncident, faults: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return what is said of an incident's accounts; if nothing is, what is said of its server for everybody."""
    there = [one for one in faults if one["subject"]["server"] == incident.server]
    named = [one for one in there if set(one["subject"]["accounts"]) & set(incident.accounts)]
    return named or [one for one in there if not one["subject"]["accounts"]]


def renamed_in(value: Any, names: Mapping[str, str], name: str = "") -> Any:
    """Return a part of a report document with its captures called otherwise."""
    if isinstance(value, dict):
        return {key: renamed_in(one, names, key) for key, one in value.items()}
    if isinstance(value, list):
        return [renamed_in(one, names, name) for one in value]
    if isinstance(value, str) and name in NAMED:
        whole, inside, member = value.partition("!/")
        return names.get(whole, whole) + inside + member
    return value
