"""The pages: the answer first, then the queue, the incidents, the ranked list; each capture with its report.

They work without script: a form uploads, links filter, reloading shows what is new. With script, files are dropped,
uploads can be taken up again, and what changes appears by itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer import __version__
from analyzer.service.api import answered, case_of, nothing, page_of, wanted_of, when
from analyzer.service.desk import Desk, owner_of
from analyzer.service.forms import boundary_of, parts, text
from analyzer.service.identity import CSRF_HEADER, SESSION_S, Person
from analyzer.service.intake import Refused, in_units, pieces, shown
from analyzer.service.work import REPORT_PAGE
from analyzer.triage.case import Case, Filter, StoredIncident

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request
    from starlette.responses import Response

FOLDER = Path(__file__).parent
FIRST_INCIDENTS = 3
"""Shown above the list; all of them have a page."""
MOST_COUNTED = 500
"""Captures looked at to say how far the queue is."""
CSRF_FIELD = "csrf"
PROVES = frozenset({"confirmed", "likely", "suspected"})
_STYLE_HASH = re.compile(rb"style-src (?:'|&#39;)(sha256-[A-Za-z0-9+/]{43}=)")
_CHOICES = (
    ("confirmed", "verdict", "confirmed"),
    ("likely", "verdict", "likely"),
    ("suspected", "verdict", "suspected"),
    ("nothing wrong", "cause", "healthy"),
    ("no mail", "cause", "no_mail"),
    ("encrypted", "cause", "encrypted"),
    ("undetermined", "cause", "undetermined"),
    ("not read", "cause", "unreadable"),
    ("waiting", "state", "waiting"),
)
"""(words, column, value) of the ready-made filters, worst first."""


@dataclass(frozen=True)
class Choice:
    """A ready-made filter."""

    words: str
    """As people say it."""
    column: str | None
    """What it looks at; None for no filter."""
    value: str | None
    """What must stand there."""
    count: int
    """How many captures have it."""
    chosen: bool
    """Whether it is the one in force."""


# -- the front page


def home(desk: Desk, request: Request, person: Person) -> Response:
    """Show the answer, the incidents, the list, and where to put captures."""
    return shown_as(desk, person, "home.html", board=_board(desk, request, person))


def board(desk: Desk, request: Request, person: Person) -> Response:
    """Show what changes on the front page; nothing when the browser has it already."""
    from starlette.responses import HTMLResponse, Response

    values = _board(desk, request, person)
    if request.query_params.get("seen") == values["digest"]:
        return Response(status_code=204)
    made = _environment().get_template("board.html").render(board=values, csrf=desk.gate.csrf(person), polled=True)
    return HTMLResponse(made)


def _board(desk: Desk, request: Request, person: Person) -> dict[str, Any]:
    """Return what the front page shows of the store, and a digest of it."""
    store, owner = desk.store, owner_of(person)
    wanted, (limit, offset) = wanted_of(request, person), page_of(request)
    tallies = {column: store.tally(owner, column) for column in ("state", "verdict", "cause")}
    incidents = store.incidents(Filter(owner), limit=FIRST_INCIDENTS + 1)
    best = store.captures(Filter(owner, incident=incidents[0].id), limit=1) if incidents else []
    one = store.incident(wanted.incident, owner) if wanted.incident else None
    waiting = tallies["state"].get("queued", 0) + tallies["state"].get("running", 0)
    total = sum(tallies["state"].values())
    plain = wanted == Filter(owner)
    values = {
        "captures": store.captures(wanted, limit=limit, offset=offset),
        "total": total,
        "found": total if plain else store.count(wanted),
        "waiting": waiting,
        "running": tallies["state"].get("running", 0),
        "batch": _under_way(desk, person, waiting),
        "choices": _choices(tallies, wanted, waiting, total),
        "causes": tallies["cause"],
        "incidents": incidents[:FIRST_INCIDENTS],
        "more_incidents": len(incidents) > FIRST_INCIDENTS,
        "best": best[0] if best else None,
        "incident": one,
        "outliers": store.outliers(one) if one else [],
        "wanted": wanted,
        "plain": plain,
        "limit": limit,
        "offset": offset,
        "verdicts": tallies["verdict"],
    }
    return values | {"digest": hashlib.sha256(repr(values).encode()).hexdigest()[:16]}


def _under_way(desk: Desk, person: Person, waiting: int) -> tuple[int, int]:
    """Return how many were done since what waits longest was handed in, and how many that is with those that wait."""
    if not waiting:
        return 0, 0
    owner = owner_of(person)
    in_line = desk.store.captures(Filter(owner, state="waiting"), limit=MOST_COUNTED, order="newest")
    begun = min((case.submitted_ns for case in in_line), default=0)
    latest = desk.store.captures(Filter(owner), limit=MOST_COUNTED, order="newest")
    done = sum(1 for case in latest if not case.waiting and (case.finished_ns or 0) >= begun)
    return done, done + waiting


def _choices(tallies: Mapping[str, Mapping[str, int]], wanted: Filter, waiting: int, total: int) -> list[Choice]:
    every = Choice("all", None, None, total, not (wanted.state or wanted.cause or wanted.verdict))
    found = [every]
    for words, column, value in _CHOICES:
        count = waiting if value == "waiting" else tallies[column].get(value, 0)
        chosen = getattr(wanted, column) == value
        if count or chosen:
            found.append(Choice(words, column, value, count, chosen))
    return found


async def upload(desk: Desk, request: Request, person: Person) -> Response:
    """Take captures from the form; its token must come before the first file."""
    from starlette.responses import RedirectResponse

    boundary = boundary_of(request)
    if boundary is None:
        raise Refused(400, "This is no form with files.")
    good = desk.gate.right(person, request.headers.get(CSRF_HEADER))
    taken = 0
    async for field, octets in parts(pieces(request, desk.settings.limits.idle_s), boundary):
        if field.name == CSRF_FIELD and field.file is None:
            good = desk.gate.right(person, await text(octets))
        elif not good:
            raise Refused(403, "The form does not carry the page's own token. Reload the page and try again.")
        elif field.file:
            await desk.intake.receive(owner_of(person), shown(field.file), octets, None)
            taken += 1
        else:
            async for _ in octets:
                pass
    if not taken:
        raise Refused(400, "No file was chosen.")
    return RedirectResponse("/", 303)


# -- one capture


def capture(desk: Desk, request: Request, person: Person) -> Response:
    """Show one capture: its report, or why there is none, or that it waits."""
    case = case_of(desk, request, person)
    octets = None if case.waiting else desk.store.file(case.id, REPORT_PAGE, owner_of(person))
    document = desk.store.document(case.id, owner_of(person)) if octets is None and not case.waiting else None
    if request.query_params.get("seen") == case.state:
        from starlette.responses import Response

        return Response(status_code=204)
    findings = (document or {}).get("findings", [])
    return shown_as(desk, person, "capture.html", case=case, has_report=octets is not None, findings=findings)


def report(desk: Desk, request: Request, person: Person) -> Response:
    """Return the report that stands inside the page of a capture."""
    case = answered(desk, request, person)
    octets = desk.store.file(case.id, REPORT_PAGE, owner_of(person))
    if octets is None:
        raise nothing()
    return report_page(octets)


def report_page(octets: bytes) -> Response:
    """Return a report as kept: one stylesheet, named by its hash, and nothing else is allowed; no script, no origin."""
    from starlette.responses import HTMLResponse

    named = _STYLE_HASH.search(octets[:4096])
    style = f"'{named[1].decode()}'" if named else "'none'"
    policy = (
        f"default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"
    )
    headers = {"content-security-policy": policy, "x-frame-options": "SAMEORIGIN"}
    return HTMLResponse(octets, headers=headers)


async def delete(desk: Desk, request: Request, person: Person) -> Response:
    """Delete a capture; the form's token stands in the body."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import RedirectResponse, Response

    fields = await small_form(desk, request)
    if not desk.gate.right(person, fields.get(CSRF_FIELD) or request.headers.get(CSRF_HEADER)):
        raise Refused(403, "The form does not carry the page's own token. Reload the page and try again.")
    if not await run_in_threadpool(desk.intake.delete, str(request.path_params["id"]), owner_of(person)):
        raise nothing()
    if request.headers.get("hx-request"):
        return Response(status_code=200)  # htmx takes the row away
    return RedirectResponse("/", 303)


async def small_form(desk: Desk, request: Request) -> dict[str, str]:
    """Return the fields of a form without files.

    Raises:
        Refused: it is too long.
    """
    from python_multipart.multipart import parse_options_header
    from starlette.datastructures import QueryParams

    if parse_options_header(request.headers.get("content-type", ""))[0] != b"application/x-www-form-urlencoded":
        return {}
    whole = await text(pieces(request, desk.settings.limits.idle_s))
    return dict(QueryParams(whole))


# -- incidents


def incidents(desk: Desk, request: Request, person: Person) -> Response:
    """Show all incidents, and what else is wrong beside each."""
    limit, offset = page_of(request)
    wanted = Filter(owner_of(person), text=wanted_of(request, person).text)
    found = desk.store.incidents(wanted, limit=limit, offset=offset)
    return shown_as(
        desk,
        person,
        "incidents.html",
        found=[(one, desk.store.outliers(one)) for one in found],
        total=desk.store.count_incidents(wanted),
        wanted=wanted,
        limit=limit,
        offset=offset,
    )


# -- coming and going


def login_page(desk: Desk) -> Response:
    """Ask for a token, where there is something to log in with."""
    return _asking(desk, 200) if desk.gate.asks else _unknown(desk)


def stranger(desk: Desk, _: Request, __: Person) -> Response:
    """Answer somebody who has not said who they are: with the form, where there is something to log in with."""
    return _asking(desk, 401) if desk.gate.asks else _unknown(desk)


def _unknown(desk: Desk) -> Response:
    return _rendered(desk, "note.html", 401, title="Not let in", sentence="The proxy in front did not say who you are.")


def _asking(desk: Desk, status: int, wrong: str = "") -> Response:
    return _rendered(desk, "login.html", status, wrong=wrong)


async def login(desk: Desk, request: Request) -> Response:
    """Begin a session for whoever has a token."""
    from starlette.responses import RedirectResponse

    fields = await small_form(desk, request)
    cookie = desk.gate.begin(fields.get("token", "").strip())
    if cookie is None:
        return _asking(desk, 401, "No token like this is known here.")
    answer = RedirectResponse("/", 303)
    secure = desk.gate.cookie.startswith("__Host-")
    answer.set_cookie(
        desk.gate.cookie, cookie, max_age=SESSION_S, path="/", secure=secure, httponly=True, samesite="strict"
    )
    return answer


async def logout(desk: Desk, request: Request, person: Person) -> Response:
    """End the session in this browser."""
    from starlette.responses import RedirectResponse

    fields = await small_form(desk, request)
    if not desk.gate.right(person, fields.get(CSRF_FIELD)):
        raise Refused(403, "The form does not carry the page's own token.")
    answer = RedirectResponse("/login", 303)
    secure = desk.gate.cookie.startswith("__Host-")
    answer.delete_cookie(desk.gate.cookie, path="/", secure=secure, httponly=True, samesite="strict")
    return answer


def refused(desk: Desk, _: Request, person: Person, why: Refused) -> Response:
    """Say why something was refused."""
    return shown_as(
        desk, person, "note.html", status=why.status, title=_TITLES.get(why.status, "Not taken"), sentence=str(why)
    )


_TITLES = {404: "Nothing here", 403: "Not from this page", 409: "Not yet", 507: "No room"}


# -- drawing


def shown_as(desk: Desk, person: Person, template: str, *, status: int = 200, **values: Any) -> Response:
    """Return a page of somebody who is known."""
    csrf = desk.gate.csrf(person)
    return _rendered(desk, template, status, person=person, csrf=csrf, ends=person.how == "session", **values)


def _rendered(desk: Desk, template: str, status: int, **values: Any) -> Response:
    from starlette.responses import HTMLResponse

    limits = desk.settings.limits
    whole = {"person": None, "csrf": "", "ends": False, "version": __version__, "limits": limits, **values}
    return HTMLResponse(_environment().get_template(template).render(whole), status)


@cache
def style() -> str:
    """Return the stylesheet: the report's own colours and letters, then what the service's pages have of their own."""
    tokens, _, _ = (FOLDER.parent / "report" / "page.css").read_text("utf-8").partition("\n\n")
    return f"{tokens}\n\n{(FOLDER / 'pages' / 'style.css').read_text('utf-8')}"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from analyzer.report.layout import percent
    from analyzer.report.terminal import words

    made = Environment(
        loader=FileSystemLoader(FOLDER / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "words": words, "percent": percent, "units": in_units, "at": clock, "when": when, "capital": capital, "tone": tone,
        "short": short_of,
    }  # fmt: skip
    made.globals |= {"query": query, "PROVES": PROVES, "version_of": _stamp()}
    return made


def _stamp() -> str:
    """Return what changes with the style and the scripts, so that a browser never mixes two versions."""
    files = sorted((FOLDER / "static").iterdir())
    return hashlib.sha256(style().encode() + b"".join(x.read_bytes() for x in files)).hexdigest()[:12]


def clock(ns: int | None) -> str:
    """Write a time to the minute, UTC."""
    return (when(ns) or "")[:16].replace("T", " ")


def capital(sentence: str) -> str:
    """Begin with a capital letter."""
    return sentence[:1].upper() + sentence[1:]


def short_of(title: str) -> tuple[str, str]:
    """Split a finding's title into what it is and whom it is about."""
    head, _, rest = title.partition(": ")
    return head, rest


def tone(one: Case | StoredIncident) -> str:
    """Return the class that colours a capture or an incident."""
    if isinstance(one, Case) and one.waiting:
        return one.state
    if one.verdict in PROVES:
        return str(one.verdict)
    return "healthy" if one.cause == "healthy" else "unread" if one.cause == "unreadable" else "other"


def query(wanted: Filter, **changed: Any) -> str:
    """Return a filter as the end of an address, some of it changed."""
    from starlette.datastructures import URL

    offset = changed.pop("offset", 0)
    now = replace(wanted, **changed)
    values = {"q": now.text, "state": now.state, "verdict": now.verdict, "cause": now.cause, "incident": now.incident}
    asked = {name: value for name, value in values.items() if value} | ({"offset": offset} if offset else {})
    return "?" + URL("/").include_query_params(**asked).query if asked else ""
