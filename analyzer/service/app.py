"""The application: routes, and what stands around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from analyzer.service import api, pages
from analyzer.service.armour import Armour
from analyzer.service.desk import Answering, Desk, endpoint
from analyzer.service.files import Files
from analyzer.service.identity import Gate, secret_in
from analyzer.service.intake import Gone, Intake, Refused
from analyzer.service.settings import ServiceError, Settings
from analyzer.service.uploads import Uploads
from analyzer.service.work import Analyse, Works
from analyzer.triage.isolated import isolated
from analyzer.triage.store import Store

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

API: tuple[tuple[str, str, str, Answering], ...] = (
    ("GET", "/api/captures", "api_captures", api.captures),
    ("POST", "/api/captures", "api_upload_whole", api.upload),
    ("GET", "/api/captures/{id}", "api_capture", api.capture),
    ("DELETE", "/api/captures/{id}", "api_delete", api.delete),
    ("GET", "/api/captures/{id}/result", "api_result", api.result),
    ("GET", "/api/captures/{id}/report", "api_report", api.report),
    ("GET", "/api/captures/{id}/evidence", "api_evidence", api.evidence),
    ("GET", "/api/incidents", "api_incidents", api.incidents),
    ("GET", "/api/status", "api_status", api.status),
    ("GET", "/api/openapi.json", "api_description", api.description),
    ("OPTIONS", "/api/uploads", "tus_options", api.tus_options),
    ("POST", "/api/uploads", "tus_create", api.tus_create),
    ("HEAD", "/api/uploads/{id}", "api_upload", api.tus_head),
    ("PATCH", "/api/uploads/{id}", "tus_patch", api.tus_patch),
    ("DELETE", "/api/uploads/{id}", "tus_delete", api.tus_delete),
)
"""What programs may ask: method, path, name, who answers."""
PAGES: tuple[tuple[str, str, str, Answering], ...] = (
    ("GET", "/", "home", pages.home),
    ("GET", "/board", "board", pages.board),
    ("POST", "/upload", "upload", pages.upload),
    ("GET", "/incidents", "incidents", pages.incidents),
    ("GET", "/captures/{id}", "capture", pages.capture),
    ("GET", "/captures/{id}/report", "report", pages.report),
    ("POST", "/captures/{id}/delete", "delete", pages.delete),
    ("POST", "/logout", "logout", pages.logout),
)
"""What people see; whatever is posted carries the form's token in its body, where it is looked for."""


def application(settings: Settings, *, analyse: Analyse = isolated) -> ASGIApp:
    """Return the service as an ASGI application; its workers live as long as it does.

    Raises:
        ServiceError: it would be open to strangers, or another service has the folder.
        StoreError: the store cannot be used.
    """
    from starlette.applications import Starlette
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    settings.check()
    desk = opened(settings, analyse)

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        desk.works.start(alone=alone(settings))
        try:
            yield
        finally:
            desk.works.stop()
            desk.store.close()
            if desk.hold is not None:
                desk.hold.close()

    app = Starlette(
        routes=routes(desk), lifespan=living, exception_handlers={404: _nothing, 405: _nothing, 500: _nothing}
    )
    guarded = TrustedHostMiddleware(app, allowed_hosts=list(settings.hosts), www_redirect=False)
    return Armour(guarded, secure=settings.certificate is not None)


def opened(settings: Settings, analyse: Analyse) -> Desk:
    """Open the store and the folder."""
    files = Files(settings.data)
    hold = only_one(settings.data) if alone(settings) else None
    if hold is not None:
        files.clear()
    gate = Gate(settings, secret_in(settings.data))
    store = Store.open(settings.store)
    works = Works(store, files, settings.limits, analyse=analyse)
    intake = Intake(settings.limits, files, store, works.wake)
    uploads = Uploads(files, intake)
    works.tidiers.append(uploads.expire)
    return Desk(settings, gate, store, files, intake, uploads, works, hold)


def alone(settings: Settings) -> bool:
    """Whether no other replica may use the store: it is a file."""
    return "://" not in settings.store


def only_one(folder: Path) -> TextIO | None:
    """Hold the folder, so that no second service takes the first one's work for left behind.

    The hold lasts until what is returned is closed; None where the system has none (Windows).

    Raises:
        ServiceError: another service holds it.
    """
    try:
        import fcntl
    except ImportError:
        return None
    file = (folder / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ServiceError(
            "another service uses this store already", hint="several need --store postgresql://..."
        ) from None
    return file


def routes(desk: Desk) -> list[BaseRoute]:
    """Return every route."""
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    async def begin(request: Request) -> Response:
        try:
            return await pages.login(desk, request) if request.method == "POST" else pages.login_page(desk)
        except Refused as why:
            return PlainTextResponse(f"{why}\n", why.status)
        except Gone:
            return Response(status_code=400)  # nobody reads it

    def styled(_: Request) -> Response:
        return Response(pages.style(), media_type="text/css", headers={"cache-control": "public, max-age=86400"})

    def well(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    return [
        *(_api(desk, *row) for row in API),
        *(_page(desk, *row) for row in PAGES),
        Route("/login", begin, methods=["GET", "POST"]),
        Route("/style.css", styled, methods=["GET"]),
        Route("/healthz", well, methods=["GET"]),
        Mount("/static", StaticFiles(directory=pages.FOLDER / "static"), name="static"),
    ]


def _api(desk: Desk, method: str, path: str, name: str, answering: Answering) -> BaseRoute:
    from starlette.routing import Route

    made = endpoint(desk, answering, api.stranger, api.refused, form=False)
    return Route(path, made, methods=[method], name=name)


def _page(desk: Desk, method: str, path: str, name: str, answering: Answering) -> BaseRoute:
    from starlette.routing import Route

    made = endpoint(desk, answering, pages.stranger, pages.refused, form=method == "POST")
    return Route(path, made, methods=[method], name=name)


_SENTENCES = {404: "There is nothing here.", 405: "That cannot be done here."}


def _nothing(request: Request, why: Exception) -> Response:
    """Answer a path or a method that there is not, or what broke; what that was is for the log."""
    from starlette.responses import JSONResponse, PlainTextResponse

    status = getattr(why, "status_code", 500)
    sentence = _SENTENCES.get(status, "Something broke in the service. It has been noted in its log.")
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": sentence}, status)
    return PlainTextResponse(f"{sentence}\n", status)
