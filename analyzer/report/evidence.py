"""The frames that prove the findings, as a pcapng with comments that say what each is for; and all of it in one archive."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.capture import file_of
from analyzer.capture.writer import PcapngWriter
from analyzer.errors import OutputError
from analyzer.report import RENDERERS, SPOKEN, write
from analyzer.report.redaction import frames_shown
from analyzer.report.redaction.pseudonyms import Pseudonyms
from analyzer.report.result import Result
from analyzer.rules.finding import CLAIMS, Evidence, Verdict
from analyzer.text import clean

if TYPE_CHECKING:
    from analyzer.language import Say

PACKED = (".txt", ".json", ".html")
"""Suffixes of the reports in an archive, as far as there are renderers for them."""

_SHOWN = CLAIMS | {Verdict.SUSPECTED}
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip archive can tell: the same case gives the same octets."""


def comments(result: Result, say: Say = str) -> dict[str, dict[int, str]]:
    """Return for each capture its frames that prove something, each with what it proves, in the reader's language."""
    found: dict[str, dict[int, dict[str, None]]] = {}
    for finding in result.findings:
        for fact in finding.evidence if finding.verdict in _SHOWN else ():
            for ref in fact.frames:
                told = found.setdefault(ref.capture, {}).setdefault(ref.frame, {})
                told |= dict.fromkeys((f"{say(finding.verdict.value)}: {say(finding.title)}", _said(fact, say)))
    return {
        name: {
            frame: "\n".join((f"mailscope: {say(f'frame {frame} of {name}')}", *told))
            for frame, told in sorted(frames.items())
        }
        for name, frames in found.items()
    }


def _said(fact: Evidence, say: Say) -> str:
    side = "for" if fact.weight_db > 0 or fact.decisive else "against" if fact.weight_db < 0 else "shows"
    weight = f" ({fact.weight_db:+.0f} dB)" if fact.weight_db else ""
    return f"{say(side)}{weight}: {say(fact.text)}"


def evidence(result: Result, paths: Iterable[Path], ports: frozenset[int], say: Say = str) -> bytes:
    """Return the frames that prove the findings of a result, read from ``paths``, as pcapng; secrets in them are masked.

    ``say`` puts the comments on them into the reader's language.

    Raises:
        CaptureError: a capture cannot be read again, or is no capture of packets.
        OutputError: there is nothing to prove.
    """
    told = comments(result, say)
    if not told:
        raise OutputError("there is no finding, so there is no evidence", path="", hint="mailscope report shows why")
    made = io.BytesIO()
    writer = PcapngWriter(made)
    names = Pseudonyms(names=False)
    for path, name in _named(paths, told):
        for frame in frames_shown(path, names, ports, frozenset(told[name])):
            writer.write(frame.ts, frame.octets, frame.wire, frame.link, told[name][frame.frame])
    writer.close()
    return made.getvalue()


def _named(paths: Iterable[Path], told: Mapping[str, object]) -> Iterator[tuple[Path, str]]:
    """Yield the captures that hold evidence, members of archives too, and what the result calls them."""
    for path in paths:
        own = clean(file_of(path).name)
        members = [x for x in told if x.startswith(f"{own}!/")]
        if own in told:
            yield path, own
        for name in members:
            yield Path(f"{file_of(path)}{name.removeprefix(own)}"), name


def pack(result: Result, proof: bytes | None, originals: Mapping[str, Path], path: Path, say: Say = str) -> None:
    """Write an archive: the reports, the evidence, and the SHA-256 of each original, by the name it goes by.

    Raises:
        OutputError: it cannot be written.
    """
    files = {
        f"report{suffix}": SPOKEN[suffix](result, say) if suffix in SPOKEN else RENDERERS[suffix](result)
        for suffix in PACKED
    }
    if proof is not None:
        files["evidence.pcapng"] = proof
    files["originals.json"] = _originals(originals)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), octets, zipfile.ZIP_DEFLATED)
    write(path, made.getvalue())


def _originals(paths: Mapping[str, Path]) -> bytes:
    told = []
    for name, path in paths.items():
        with file_of(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        told.append({"name": name, "sha256": digest, "bytes": file_of(path).stat().st_size})
    return (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()
