"""A form with files, read as it streams: fields first, then each file piece by piece, nothing spooled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NamedTuple

from analyzer.service.intake import Refused

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks
    from starlette.requests import Request

FIELD_BYTES = 4096
"""Of a field that is no file."""
CUT = "The form is not well formed, or was cut off."


class Field(NamedTuple):
    """The head of one part of a form."""

    name: str
    file: str | None
    """What the file is called; None for a plain field."""


class _End:
    """Where a part ends."""


Event = Field | bytes | _End


def boundary_of(request: Request) -> bytes | None:
    """Return what stands between the parts of a form; None when the body is none."""
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        return None
    if not options.get(b"boundary"):
        raise Refused(400, "The form does not say what stands between its parts.")
    return options[b"boundary"]


async def parts(body: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[tuple[Field, AsyncIterator[bytes]]]:
    """Yield the head of each part, and its octets, which must be read before the next is asked for.

    Raises:
        Refused: it is no well-formed form.
    """
    events = _events(body, boundary)
    async for event in events:
        if isinstance(event, Field):
            yield event, _rest(events)


async def text(octets: AsyncIterator[bytes]) -> str:
    """Return a field that is no file.

    Raises:
        Refused: it is far too long.
    """
    whole = bytearray()
    async for piece in octets:
        whole += piece
        if len(whole) > FIELD_BYTES:
            raise Refused(400, "A field of the form is too long.")
    return whole.decode("utf-8", "replace")


async def _rest(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    async for event in events:
        if isinstance(event, _End):
            return
        if isinstance(event, bytes):
            yield event
    raise Refused(400, CUT)


async def _events(body: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[Event]:
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser

    noted = _Noted()
    try:
        parser = MultipartParser(boundary, noted.callbacks())
        async for piece in body:
            parser.write(piece)
            for event in noted.taken():
                yield event
        parser.finalize()
    except FormParserError:
        raise Refused(400, CUT) from None
    for event in noted.taken():
        yield event


class _Noted:
    """What the parser called back with, until it is fetched."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._name = self._value = b""
        self._disposition = b""

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header,
            "on_headers_finished": self._head,
            "on_part_data": self._data,
            "on_part_end": lambda: self._events.append(_End()),
        }

    def taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _begin(self) -> None:
        self._name = self._value = self._disposition = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _head(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._disposition)
        file = options.get(b"filename")
        name = options.get(b"name", b"").decode("utf-8", "replace")
        self._events.append(Field(name, None if file is None else file.decode("utf-8", "replace")))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])
