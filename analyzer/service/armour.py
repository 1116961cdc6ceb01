"""What stands around every request: headers that keep browsers narrow, no strangers' requests, no traceback that tells.

Written as plain ASGI, and outermost, so that the refusals of everything inside carry the headers, too.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("mailscope.service")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Of the service's own pages: nothing from elsewhere, nothing inline."""
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), microphone=(), geolocation=()",
}
DRAIN_BYTES, DRAIN_S = 4 << 20, 2.0
"""What is read of a refused upload, so that its sender sees why."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = frozenset({b"same-origin", b"none"})


class Armour:
    """Adds the headers, turns strangers' requests away, and answers for what breaks inside."""

    def __init__(self, app: ASGIApp, *, secure: bool = False) -> None:
        self._app = app
        self._headers = HEADERS | ({b"strict-transport-security": b"max-age=31536000"} if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, body = False, _Body(scope, receive)

        async def dressed(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = list(self._with(message["headers"]))
                if message["status"] >= 400 and message["status"] != 408:
                    await body.rest()
            await send(message)

        try:
            if scope["method"] not in SAFE and not same_origin(scope):
                await _say(dressed, 403, b"This request comes from another site.\n")
            else:
                await self._app(scope, body.receive, dressed)
        except Exception as error:  # noqa: BLE001 (whatever it was: one line without a word of a capture in it)
            broke(f"{scope['method']} {_route(scope)}", error)
            if not begun:
                await _say(dressed, 500, b"Something broke in the service. It has been noted in its log.\n")

    def _with(self, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return the headers of an answer with those of ours that it has not set itself."""
        has = {name.lower() for name, _ in given}
        return [*given, *((name, value) for name, value in self._headers.items() if name not in has)]


class _Body:
    """A request's body, and what is left of it when it was refused.

    A connection that is closed over octets nobody has read is reset, and whoever sent them never sees the answer.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._done = any(name.lower() == b"expect" for name, _ in scope["headers"])  # those wait for leave to send

    async def receive(self) -> Message:
        message = await self._receive()
        self._done = self._done or message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def rest(self) -> None:
        """Read on for a little, and throw it away."""
        left = DRAIN_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not self._done and left > 0:
                    left -= len((await self.receive()).get("body", b""))


def same_origin(scope: Scope) -> bool:
    """Tell whether a request that changes something is from our own page, or from no browser at all.

    A page that sends no referrer sends no origin with its forms either, but ``null``: then the browser's own word counts.
    """
    headers = [(name.lower(), value) for name, value in scope["headers"]]
    sites = {value for name, value in headers if name == b"sec-fetch-site"}
    origins = {value.partition(b"://")[2] for name, value in headers if name == b"origin"}
    hosts = {value for name, value in headers if name == b"host"}
    return sites <= _OURS if sites else origins <= hosts


def broke(what: str, error: BaseException) -> None:
    """Note in the log that something broke."""
    log.error("%s: %s", what, without_words(error))


def without_words(error: BaseException) -> str:
    """Return what broke and where, without the message: it may quote a capture, a file name or a token."""
    steps = traceback.extract_tb(error.__traceback__)[-6:]
    where = " < ".join(f"{Path(step.filename).name}:{step.lineno} {step.name}" for step in reversed(steps))
    return f"{type(error).__name__} at {where}"


def _route(scope: Scope) -> str:
    """Return the path as the routes have it, without ids and names."""
    route = scope.get("route")
    return str(getattr(route, "path", "?"))


async def _say(send: Send, status: int, text: bytes) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")],
        }
    )
    await send({"type": "http.response.body", "body": text})
