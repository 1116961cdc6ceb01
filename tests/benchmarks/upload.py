"""``python -m tests.benchmarks.upload [--mib N] [--form] [--tus]``: how fast a service takes an upload, and what memory it takes.

A service is started as its users start it, and sent one capture of made-up octets over loopback; its resident memory is
read from /proc while it does so (Linux).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

BOUND_MIB = 64
"""What the service may grow by."""
MIB = 1 << 20
START = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
"""The head of a pcap file; behind it come records that hold nothing, and the capture is cut there."""
BOUNDARY = b"benchmark"


def octets(mib: int) -> Iterator[bytes]:
    """Yield a capture of so many MiB."""
    block = os.urandom(MIB)
    yield START + block[len(START) :]
    for _ in range(mib - 1):
        yield block


def form(csrf: str, mib: int) -> Iterator[bytes]:
    """Yield the same as a browser sends it from a form."""
    yield b'--%b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n%b\r\n' % (BOUNDARY, csrf.encode())
    yield b'--%b\r\nContent-Disposition: form-data; name="capture"; filename="a.pcap"\r\n\r\n' % BOUNDARY
    yield from octets(mib)
    yield b"\r\n--%b--\r\n" % BOUNDARY


def resident(pid: int) -> int:
    """Return the octets of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Watched:
    """The most memory that a process held while this looked."""

    def __init__(self, pid: int) -> None:
        self.before = self.most = resident(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(pid,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self, pid: int) -> None:
        while not self._ended.wait(0.02):
            self.most = max(self.most, resident(pid))


def send(port: int, mib: int, how: str) -> int:
    """Upload, and return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    if how == "form":
        connection.request("GET", "/")
        csrf = connection.getresponse().read().decode().partition('name="csrf" value="')[2].partition('"')[0]
        kind = f"multipart/form-data; boundary={BOUNDARY.decode()}"
        connection.request("POST", "/upload", form(csrf, mib), {"Content-Type": kind}, encode_chunked=True)
    elif how == "tus":
        tus = {"Tus-Resumable": "1.0.0"}
        connection.request("POST", "/api/uploads", headers=tus | {"Upload-Length": str(mib * MIB)})
        reply = connection.getresponse()
        reply.read()
        patch = tus | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        connection.request("PATCH", reply.headers["Location"], octets(mib), patch | {"Content-Length": str(mib * MIB)})
    else:
        connection.request("POST", "/api/captures", octets(mib), {"Content-Length": str(mib * MIB)})
    reply = connection.getresponse()
    reply.read()
    return reply.status


def main() -> None:
    """Measure and print one line of JSON."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--mib", type=int, default=2048)
    words.add_argument("--how", choices=("body", "form", "tus"), default="body")
    asked = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "analyzer",
            "serve",
            "--store",
            f"{folder}/cases.db",
            "--port",
            "0",
            "--jobs",
            "1",
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            found = re.search(r":(\d+)/", process.stderr.readline())
            assert found
            send(int(found[1]), 4, asked.how)  # what is loaded at the first upload is no growth
            time.sleep(2)
            with Watched(process.pid) as watched:
                began = time.perf_counter()
                status = send(int(found[1]), asked.mib, asked.how)
                took = time.perf_counter() - began
            process.terminate()
    grown = (watched.most - watched.before) / MIB
    print(
        json.dumps(
            {
                "how": asked.how,
                "mib": asked.mib,
                "status": status,
                "mib_per_s": round(asked.mib / took),
                "resident_mib": round(watched.before / MIB),
                "grown_mib": round(grown, 1),
                "within_bound": grown < BOUND_MIB,
            }
        )
    )


if __name__ == "__main__":
    main()
