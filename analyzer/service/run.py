"""The service as a process: binds, answers until it is told to end, and then ends with nothing lost."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from analyzer.service.settings import ServiceError, Settings
from analyzer.triage.isolated import Answer, isolated

if TYPE_CHECKING:
    from uvicorn import Server

Analyse = Callable[..., Answer]
END_S = 10
"""How long requests under way may take to end; uploads that can be taken up again lose nothing by that."""
KEEP_ALIVE_S = 20
"""How long a browser may keep a connection without asking for anything: longer than the page waits between two looks."""


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Answer until SIGTERM or SIGINT; ``announce`` is told the address once it can be asked.

    Raises:
        ServiceError: a package is missing, the address is taken, or it would be open to strangers.
        StoreError: the store cannot be used.
    """
    server = server_for(settings)
    try:
        bound = server.config.bind_socket()
    except SystemExit:
        raise ServiceError(
            f"{settings.host}:{settings.port} cannot be listened at",
            hint="it is taken, or not this machine's; --port N",
        ) from None
    kind = "https" if settings.certificate else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{kind}://{host}:{bound.getsockname()[1]}/"

    async def run() -> None:
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started and not serving.done():  # noqa: ASYNC110 (uvicorn tells by a flag only)
            await asyncio.sleep(0.02)
        if server.started:
            announce(address)
        await serving

    before = signal.signal(signal.SIGTERM, lambda *_: None)  # the server raises it once more when all has ended well
    try:
        asyncio.run(run())
    finally:
        signal.signal(signal.SIGTERM, before)
        bound.close()


def server_for(settings: Settings, *, analyse: Analyse = isolated) -> Server:
    """Return the server, not started; raises as ``serve`` does."""
    settings.check()
    try:
        import jinja2  # noqa: F401 (only whether it is there)
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as missing:
        hint = "pip install 'mailscope[serve]'"
        raise ServiceError(f"the service needs the package {missing.name}", hint=hint) from missing
    from analyzer.service.app import application

    logging.getLogger("uvicorn.access").disabled = True  # a line per request would hold searches and files' names
    limits = settings.limits
    config = uvicorn.Config(
        application(settings, analyse=analyse),
        host=settings.host,
        port=settings.port,
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who asks is told by the gate alone
        limit_concurrency=limits.connections,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=END_S,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )
    return uvicorn.Server(config)
