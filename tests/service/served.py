"""A service as the tests want it: in a thread of this process, on a free port, asked over real connections."""

from __future__ import annotations

import http.client
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from analyzer.service.run import server_for
from analyzer.service.settings import Limits, Settings
from analyzer.triage.isolated import Answer
from analyzer.triage.store import Store
from tests.triage import targets

SAMPLES = Path(__file__).parents[2] / "sample_pcaps"
PCAP = (SAMPLES / "one_agent_refused.pcap").read_bytes()
LIMITS = Limits(jobs=1, free_bytes=0, idle_s=5.0)
JSON = {"content-type": "application/json"}


def capture(number: int = 0, size: int = 600) -> bytes:
    """Octets that begin as a capture does, others for each number."""
    return PCAP[:24] + f"{number:08d}".encode() * (size // 8)


def told(title: str = "wrong password on 192.0.2.9: account someone", **changed: Any) -> Callable[..., Answer]:
    """An analysis that finds one fault at once."""
    finding = targets.finding(title=title, rule="some_rule", summary=title, evidence=[], **changed)
    document = {
        **targets.report(finding),
        "sessions": [],
        "logins": [],
        "accounts": [],
        "page": "<!doctype html><p>report",
    }

    def analyse(*_: object, **__: object) -> Answer:
        return Answer("ok", None, dict(document))

    return analyse


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    octets: bytes

    @property
    def text(self) -> str:
        return self.octets.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.octets)


class Served:
    """One service; what is not said is as safe as it is small."""

    def __init__(self, folder: Path, analyse: Callable[..., Answer] | None = None, **changed: Any) -> None:
        data = {"store": str(folder / "cases.db"), "data": folder / "files", "port": 0, "limits": LIMITS}
        self.settings = Settings(**{**data, **changed})
        self._server = server_for(self.settings, analyse=analyse or told())
        self._socket = self._server.config.bind_socket()
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self._server.started or not self._thread.is_alive())
        assert self._server.started
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()
        assert not self._thread.is_alive()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **more: str
    ) -> Reply:
        """Ask once; ``more`` are headers whose names have no dash."""
        connection = self.connect()
        try:
            connection.request(method, path, body, {**(headers or {}), **more})
            reply = connection.getresponse()
            return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def upload(self, octets: bytes, name: str = "a.pcap", **headers: str) -> Reply:
        return self.ask("POST", f"/api/captures?name={name}", octets, headers)

    def finished(self, octets: bytes, name: str = "a.pcap", **headers: str) -> str:
        """Upload, wait for the answer, and return the id."""
        reply = self.upload(octets, name, **headers)
        assert reply.status in {200, 201}, reply.text
        made: str = reply.json["captures"][0]["id"]
        until(lambda: self.ask("GET", f"/api/captures/{made}", headers=headers).json["finished"] is not None)
        return made

    def clear(self, **headers: str) -> None:
        """Delete an owner's captures."""
        for one in self.ask("GET", "/api/captures?limit=200", headers=headers).json["captures"]:
            assert self.ask("DELETE", f"/api/captures/{one['id']}", headers=headers).status == 204

    def csrf(self, **headers: str) -> str:
        """The token in the forms of the front page."""
        text = self.ask("GET", "/", headers=headers).text
        return text.partition('name="csrf" value="')[2].partition('"')[0]

    def store(self) -> Store:
        return Store.open(self.settings.store)

    def left(self) -> list[str]:
        """What lies in the data folder besides what is always there."""
        files = (x.relative_to(self.settings.data).as_posix() for x in self.settings.data.rglob("*") if x.is_file())
        return sorted(x for x in files if x not in {"secret", "lock"})


def until(true: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def form(parts: Sequence[tuple[str, str | None, bytes]]) -> tuple[bytes, dict[str, str]]:
    """Return the body of a form, and its header; a part is (name, file name or None, octets)."""
    boundary = secrets.token_hex(8)
    body = b""
    for name, file, octets in parts:
        named = "" if file is None else f'; filename="{file}"'
        body += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + octets + b"\r\n"
        )
    return body + f"--{boundary}--\r\n".encode(), {"content-type": f"multipart/form-data; boundary={boundary}"}


def in_pieces(octets: bytes, size: int = 65536) -> Iterator[bytes]:
    """Octets of an undeclared length: sent in chunks."""
    for start in range(0, len(octets), size):
        yield octets[start : start + size]
