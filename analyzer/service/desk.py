"""Everything one service has, in one place; and how a request finds out who asks before it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TextIO

from analyzer.service.armour import SAFE
from analyzer.service.files import Files
from analyzer.service.identity import CSRF_HEADER, LOCAL_OWNER, Gate, Person
from analyzer.service.intake import Gone, Intake, Refused
from analyzer.service.settings import Settings
from analyzer.service.uploads import Uploads
from analyzer.service.work import Works
from analyzer.triage.store import Store

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Answering = Callable[..., Any]
"""Takes the desk, the request and the person; plain functions run in a thread."""


@dataclass(frozen=True)
class Desk:
    """One service."""

    settings: Settings
    """What it was asked to be."""
    gate: Gate
    """Tells who asks."""
    store: Store
    """What is known."""
    files: Files
    """The octets."""
    intake: Intake
    """Takes uploads."""
    uploads: Uploads
    """Those that can be taken up again."""
    works: Works
    """Those who analyse."""
    hold: TextIO | None = None
    """Keeps other services off the folder; closed at the end."""


def owner_of(person: Person) -> str | None:
    """Return whose captures they are in the store: the one person at this machine shares the command line's."""
    return None if person.how == LOCAL_OWNER else person.owner


async def called(answering: Answering, desk: Desk, request: Request, person: Person) -> Response:
    """Have a function answer: a coroutine here, any other in a thread, since it waits for the store."""
    from starlette.concurrency import run_in_threadpool

    if iscoroutinefunction(answering):
        answer: Awaitable[Response] = answering(desk, request, person)
        return await answer
    return await run_in_threadpool(answering, desk, request, person)


def trust(desk: Desk, request: Request, person: Person) -> None:
    """Let a request of the API change something only when whoever sent it meant it.

    A browser adds a session and a proxy's word by itself, so the page must show that it is ours; a token is only sent by
    whoever means it, and at this machine other sites' requests have been turned away already.

    Raises:
        Refused: it may not.
    """
    if request.method in SAFE or person.how in {"token", "local"}:
        return
    if not desk.gate.right(person, request.headers.get(CSRF_HEADER)):
        raise Refused(403, "The request does not carry the page's own token.")


def endpoint(
    desk: Desk, answering: Answering, stranger: Answering, refusal: Answering, *, form: bool
) -> Callable[[Request], Awaitable[Response]]:
    """Return what Starlette calls: nobody gets as far as ``answering`` without a name.

    ``stranger`` answers nobody, ``refusal`` says what was refused. ``form``: the form's token stands inside the body, and
    ``answering`` looks for it.
    """

    async def answer(request: Request) -> Response:
        from starlette.responses import Response

        person = desk.gate.who(request)
        if person is None:
            return await called(stranger, desk, request, Person("", ""))
        try:
            if not form:
                trust(desk, request, person)
            return await called(answering, desk, request, person)
        except Refused as refused:
            made: Response = refusal(desk, request, person, refused)
            return made
        except Gone:
            return Response(status_code=400)  # nobody reads it

    return answer
