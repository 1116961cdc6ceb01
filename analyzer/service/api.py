"""The API: uploads, lists, results, incidents. What it takes and gives is described in ``openapi``."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from analyzer import __version__
from analyzer.at import NS_PER_S
from analyzer.service.desk import Desk, owner_of
from analyzer.service.forms import boundary_of, parts
from analyzer.service.identity import Person
from analyzer.service.intake import Refused, pieces, shown
from analyzer.service.uploads import EXTENSIONS, VERSION, Upload, checksum_of, name_of
from analyzer.service.work import REPORT_PAGE
from analyzer.triage.case import Case, Filter, StoredIncident, Submitted

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

SCHEMA_VERSION = 1
"""Of what the API answers; grows when a field changes its meaning."""
MOST_ROWS = 200
"""Captures, or incidents, in one answer."""
MOST_FILES = 100
"""Captures in one form."""
MOST_OFFSET = 10_000_000
TEXT_LIMIT = 200
"""Characters of a search."""
OFFSETS = "application/offset+octet-stream"
"""How tus calls the octets of a PATCH."""


# -- captures


async def upload(desk: Desk, request: Request, person: Person) -> Response:
    """Take captures: the body is one, or a form with some."""
    boundary = boundary_of(request)
    body = pieces(request, desk.settings.limits.idle_s)
    announced = _announced(request)
    given: list[Submitted] = []
    if boundary is None:
        name = shown(request.query_params.get("name", ""))
        given.append(await desk.intake.receive(owner_of(person), name, body, announced))
    else:
        async for field, octets in parts(body, boundary):
            if field.file and len(given) < MOST_FILES:
                given.append(await desk.intake.receive(owner_of(person), shown(field.file), octets, announced))
                announced = None
            else:
                async for _ in octets:
                    pass
    if not given:
        raise Refused(400, "There is no file in the form.")
    from starlette.concurrency import run_in_threadpool

    shown_now = await run_in_threadpool(_entries, desk, person, given)
    return said({"captures": shown_now}, 201 if any(one.new for one in given) else 200)


def _entries(desk: Desk, person: Person, given: list[Submitted]) -> list[dict[str, Any]]:
    cases = [desk.store.capture(one.id, owner_of(person)) for one in given]
    return [entry(case) for case in cases if case is not None]


def captures(desk: Desk, request: Request, person: Person) -> Response:
    """List captures, worst and then newest first."""
    wanted = wanted_of(request, person)
    limit, offset = page_of(request)
    found = desk.store.captures(wanted, limit=limit, offset=offset)
    return said({"total": desk.store.count(wanted), "captures": [entry(case) for case in found]})


def capture(desk: Desk, request: Request, person: Person) -> Response:
    """Return one capture, with its findings."""
    case = case_of(desk, request, person)
    document = desk.store.document(case.id, owner_of(person)) or {}
    return said(entry(case) | {"findings": document.get("findings", [])})


def result(desk: Desk, request: Request, person: Person) -> Response:
    """Return the whole result of one capture."""
    case = answered(desk, request, person)
    document = desk.store.document(case.id, owner_of(person))
    if document is None:
        raise Refused(404, case.reason or "There is no result.")
    return said(document, versioned=False)


def report(desk: Desk, request: Request, person: Person) -> Response:
    """Return the report of one capture as a page."""
    from analyzer.service.pages import report_page

    case = answered(desk, request, person)
    octets = desk.store.file(case.id, REPORT_PAGE, owner_of(person))
    if octets is None:
        raise Refused(404, case.reason or "There is no report of it as a page.")
    return report_page(octets)


def evidence(desk: Desk, request: Request, person: Person) -> Response:
    """Return the frames that prove the findings, secrets masked, as pcapng."""
    from starlette.responses import Response

    case = answered(desk, request, person)
    octets = desk.works.proof(case)
    if octets is None:
        raise Refused(404, "No frames of it prove anything.")
    headers = {"content-disposition": f'attachment; filename="evidence-{case.id[:8]}.pcapng"'}
    return Response(octets, media_type="application/x-pcapng", headers=headers)


def delete(desk: Desk, request: Request, person: Person) -> Response:
    """Delete a capture and all that came of it."""
    from starlette.responses import Response

    if not desk.intake.delete(str(request.path_params["id"]), owner_of(person)):
        raise nothing()
    return Response(status_code=204)


# -- incidents and the service itself


def incidents(desk: Desk, request: Request, person: Person) -> Response:
    """List incidents, worst and then latest first."""
    limit, offset = page_of(request)
    wanted = replace(wanted_of(request, person), state=None, incident=None)
    found = desk.store.incidents(wanted, limit=limit, offset=offset)
    total = desk.store.count_incidents(wanted)
    return said({"total": total, "incidents": [trouble(one) for one in found]})


def status(desk: Desk, _: Request, person: Person) -> Response:
    """Return how much is in line, how much is kept, and how much may be."""
    limits, owner = desk.settings.limits, owner_of(person)
    usage, states = desk.store.usage(owner), desk.store.tally(owner)
    return said(
        {
            "owner": person.owner,
            "states": states,
            "waiting": states.get("queued", 0) + states.get("running", 0),
            "captures": usage.captures,
            "size_bytes": usage.size_bytes,
            "limits": {
                name: getattr(limits, name) for name in ("upload_bytes", "quota_bytes", "quota_captures", "keep_days")
            },
        }
    )


def description(_: Desk, __: Request, ___: Person) -> Response:
    """Return the description of this API."""
    from starlette.responses import Response

    from analyzer.service.openapi import text

    return Response(text(), media_type="application/openapi+json")


# -- tus


def tus_options(desk: Desk, _: Request, __: Person) -> Response:
    """Say what of the protocol is spoken."""
    most = str(desk.settings.limits.upload_bytes)
    checks = "sha256,sha1"
    return tus(204, Tus_Version=VERSION, Tus_Extension=EXTENSIONS, Tus_Max_Size=most, Tus_Checksum_Algorithm=checks)


def tus_create(desk: Desk, request: Request, person: Person) -> Response:
    """Begin an upload."""
    _speaks(request)
    length = request.headers.get("upload-length", "")
    if not (length.isascii() and length.isdecimal() and len(length) < 16):
        raise Refused(400, "Upload-Length must say how many octets the upload will have.")
    begun = desk.uploads.create(owner_of(person), name_of(request.headers.get("upload-metadata")), int(length))
    location = str(request.url_for("api_upload", id=begun.id).path)
    return tus(201, Location=location, Upload_Expires=_until(desk, begun), Upload_Offset="0")


def tus_head(desk: Desk, request: Request, person: Person) -> Response:
    """Say how much of an upload is here."""
    _speaks(request)
    begun = _upload(desk, request, person)
    return tus(200, **_where(desk, begun), Upload_Length=str(begun.length))


async def tus_patch(desk: Desk, request: Request, person: Person) -> Response:
    """Take the next octets of an upload; the last make it a capture."""
    _speaks(request)
    begun = _upload(desk, request, person)
    if request.headers.get("content-type") != OFFSETS:
        raise Refused(415, f"The content type must be {OFFSETS}.")
    offset = request.headers.get("upload-offset", "")
    if not (offset.isascii() and offset.isdecimal() and len(offset) < 16):
        raise Refused(400, "Upload-Offset must say where the octets belong.")
    checksum = checksum_of(request.headers.get("upload-checksum"))
    if int(offset) + (_announced(request) or 0) > max(begun.length, desk.uploads.offset(begun)):
        raise Refused(413, f"The upload was to have {begun.length} octets, and these are more.")
    body = pieces(request, desk.settings.limits.idle_s)
    now = await desk.uploads.add(begun, int(offset), body, checksum)
    return tus(204, **_where(desk, now))


def tus_delete(desk: Desk, request: Request, person: Person) -> Response:
    """End an upload; nothing of it stays."""
    _speaks(request)
    desk.uploads.drop(_upload(desk, request, person))
    return tus(204)


def _speaks(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise Refused(412, f"Tus-Resumable must be {VERSION}.")


def _upload(desk: Desk, request: Request, person: Person) -> Upload:
    found = desk.uploads.get(str(request.path_params["id"]), owner_of(person))
    if found is None:
        raise nothing()
    return found


def _where(desk: Desk, begun: Upload) -> dict[str, str]:
    became = {"Mailscope_Capture": begun.capture} if begun.capture else {"Upload_Expires": _until(desk, begun)}
    return {"Upload_Offset": str(desk.uploads.offset(begun)), **became}


def _until(desk: Desk, begun: Upload) -> str:
    from email.utils import format_datetime

    return format_datetime(datetime.fromtimestamp(desk.uploads.until(begun), UTC), usegmt=True)


def tus(status_code: int, **headers: str) -> Response:
    """Return an answer of the protocol; what it refuses goes through ``refused`` as everywhere."""
    from starlette.responses import Response

    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status_code=status_code, headers={"Tus-Resumable": VERSION, **named})


# -- what they share


def entry(case: Case) -> dict[str, Any]:
    """Return a capture as the triage contract has it, and what the service adds."""
    return {
        "id": case.id,
        "path": case.path,
        "name": case.name,
        "sha256": case.sha256,
        "size_bytes": case.size_bytes,
        "state": case.state,
        "reason": case.reason,
        "submitted": when(case.submitted_ns),
        "finished": when(case.finished_ns),
        "conclusion": {"cause": case.cause, "verdict": case.verdict, "title": case.title},
        "confidence": case.confidence,
        "server": case.server,
        "accounts": list(case.accounts),
        "start": when(case.start_ns),
        "end": when(case.end_ns),
    }


def trouble(one: StoredIncident) -> dict[str, Any]:
    """Return an incident as the triage contract has it, members counted, and what the service adds."""
    told = asdict(one)
    for name in ("owner", "rank", "start_ns", "end_ns"):
        del told[name]
    return told | {"accounts": list(one.accounts), "start": when(one.start_ns), "end": when(one.end_ns)}


def when(ns: int | None) -> str | None:
    """Write a time as the contract does: RFC 3339, UTC."""
    if ns is None:
        return None
    whole, rest = divmod(ns, NS_PER_S)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def wanted_of(request: Request, person: Person) -> Filter:
    """Return what a list is asked for; the owner is never asked."""
    asked = {name: request.query_params.get(name) or None for name in ("state", "cause", "verdict", "incident")}
    short = {name: value[:64] if value else None for name, value in asked.items()}
    return Filter(owner_of(person), text=request.query_params.get("q", "")[:TEXT_LIMIT], **short)


def page_of(request: Request) -> tuple[int, int]:
    """Return how many rows are asked for, and how many come before them."""
    limit = _number(request.query_params.get("limit"), 50)
    return max(1, min(limit, MOST_ROWS)), min(_number(request.query_params.get("offset"), 0), MOST_OFFSET)


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else otherwise


def _announced(request: Request) -> int | None:
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdecimal() and len(length) < 20 else None


def case_of(desk: Desk, request: Request, person: Person) -> Case:
    """Return the capture a path names, if it is this person's; otherwise it is not there."""
    case = desk.store.capture(str(request.path_params["id"]), owner_of(person))
    if case is None:
        raise nothing()
    return case


def answered(desk: Desk, request: Request, person: Person) -> Case:
    """Return the capture a path names once it has its answer."""
    case = case_of(desk, request, person)
    if case.waiting:
        raise Refused(409, "It has not been analysed yet; ask again.")
    return case


def nothing() -> Refused:
    """Return the refusal of what is not there, or is another's: nobody can tell which."""
    return Refused(404, "There is nothing here.")


def said(what: dict[str, Any], status_code: int = 200, *, versioned: bool = True) -> Response:
    """Return an answer as JSON."""
    from starlette.responses import Response

    head = (
        {"schema_version": SCHEMA_VERSION, "tool": {"name": "mailscope", "version": __version__}} if versioned else {}
    )
    return Response(json.dumps(head | what), status_code, media_type="application/json")


def stranger(desk: Desk, _: Request, __: Person) -> Response:
    """Answer somebody who has not said who they are."""
    from starlette.responses import Response

    text = json.dumps({"error": "Say who you are: Authorization: Bearer TOKEN"})
    headers = {"www-authenticate": 'Bearer realm="mailscope"'} if desk.gate.asks else {}
    return Response(text, 401, headers, "application/json")


def refused(_: Desk, __: Request, ___: Person, why: Refused) -> Response:
    """Say why something was refused."""
    from starlette.responses import Response

    return Response(
        json.dumps({"error": str(why)}), why.status, {"Tus-Resumable": VERSION}, media_type="application/json"
    )
