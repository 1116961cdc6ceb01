"""What may go wrong with uploads of strangers, one test per risk; the numbers are those of docs/service.md."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analyzer.at import NS_PER_S
from analyzer.errors import AnalyzerError
from analyzer.service import armour, intake, work
from analyzer.service.identity import Tokens, add_token
from analyzer.service.settings import Proxy, ServiceError, Settings
from analyzer.triage.case import EVERYBODY, Filter
from analyzer.triage.isolated import Answer
from tests.service.served import LIMITS, PCAP, SAMPLES, Served, capture, form, in_pieces, told, until

SECRET = "a-secret-of-the-proxy-in-front"
ANN = {"X-Remote-User": "ann", "X-Proxy-Secret": SECRET}
PROXY = Proxy("127.0.0.1", SECRET)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For tests that keep nothing in it."""
    with Served(tmp_path_factory.mktemp("shared")) as made:
        yield made


@pytest.fixture
def service(shared: Served) -> Iterator[Served]:
    """The same; what the test keeps in it is deleted."""
    assert shared.left() == []
    yield shared
    shared.clear()


@pytest.fixture(scope="module")
def two_owners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, dict[str, str], dict[str, str]]]:
    folder = tmp_path_factory.mktemp("guarded")
    with with_owners(folder) as made:
        yield made


@contextmanager
def with_owners(folder: Path) -> Iterator[tuple[Served, dict[str, str], dict[str, str]]]:
    """A service with two owners, and their headers."""
    ann, bob = ({"authorization": f"Bearer {add_token(folder / 'tokens', owner)}"} for owner in ("ann", "bob"))
    with Served(folder, tokens=folder / "tokens") as made:
        yield made, ann, bob


@pytest.fixture
def guarded(two_owners: Any) -> Iterator[Any]:
    """A service with two owners, and their headers; what the test keeps in it is deleted."""
    yield two_owners
    for headers in two_owners[1:]:
        two_owners[0].clear(**headers)


# -- 1 anonymous use


def test_1_nobody_gets_in_without_a_token(guarded: Any) -> None:
    tokens = [None, "Bearer ", "Bearer wrong", "Basic YW5uOmFubg==", "bearer"]
    for path in ["/", "/board", "/incidents", "/captures/x", "/api/captures", "/api/status", "/api/incidents"]:
        for token in tokens:
            assert guarded[0].ask("GET", path, headers={"authorization": token} if token else {}).status == 401


def test_1_a_token_is_kept_as_its_hash_only(tmp_path: Path) -> None:
    token = add_token(tmp_path / "tokens", "ann")
    kept = (tmp_path / "tokens").read_text()
    assert token not in kept
    assert hashlib.sha256(token.encode()).hexdigest() in kept
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "tokens").stat().st_mode) == 0o600


def test_1_a_token_that_is_taken_away_ends_at_once_its_sessions_too(tmp_path: Path) -> None:
    with with_owners(tmp_path) as (service, ann, _):
        cookie = logged_in(service, ann)
        assert service.ask("GET", "/", headers={"cookie": cookie}).status == 200
        lines = (tmp_path / "tokens").read_text().splitlines(keepends=True)
        (tmp_path / "tokens").write_text(lines[1])
        assert service.ask("GET", "/api/status", headers=ann).status == 401
        assert service.ask("GET", "/", headers={"cookie": cookie}).status == 401


def logged_in(service: Served, headers: dict[str, str]) -> str:
    token = headers["authorization"].split()[1]
    reply = service.ask("POST", "/login", f"token={token}", {"content-type": "application/x-www-form-urlencoded"})
    assert reply.status == 303
    cookie, *flags = reply.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=strict"} <= set(flags)
    return cookie


def test_1_a_changed_cookie_is_nobodys(guarded: Any) -> None:
    cookie = logged_in(*guarded[:2])
    name, _, value = cookie.partition("=")
    for changed in (value[:-1] + ("0" if value[-1] != "0" else "1"), value.partition(".")[0], "." + value, "x.y"):
        assert guarded[0].ask("GET", "/", headers={"cookie": f"{name}={changed}"}).status == 401


def test_1_it_does_not_listen_beyond_this_machine_unprotected(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::", "mail.example.org"):
        with pytest.raises(ServiceError, match="unprotected"):
            Settings("cases.db", tmp_path, host=host, names=("mail.example.org",)).check()
    Settings("cases.db", tmp_path, host="192.0.2.1", proxy=PROXY).check()


def test_1_beyond_this_machine_the_cookie_wants_tls(tmp_path: Path) -> None:
    from analyzer.service.identity import Gate

    assert Gate(Settings("c", tmp_path, host="192.0.2.1", proxy=PROXY), b"k").cookie == "__Host-mailscope"
    assert Gate(Settings("c", tmp_path), b"k").cookie == "mailscope"


# -- 2 one user reads another's case


def test_2_another_owners_capture_is_not_there(guarded: Any) -> None:
    service, ann, bob = guarded
    made = service.finished(capture(), **ann)
    for path in (
        "/api/captures/{}",
        "/api/captures/{}/result",
        "/api/captures/{}/report",
        "/captures/{}",
        "/captures/{}/report",
    ):
        assert service.ask("GET", path.format(made), headers=ann).status == 200
        others = service.ask("GET", path.format(made), headers=bob)
        assert others.status == 404
        assert others.octets == service.ask("GET", path.format("0" * 32), headers=bob).octets
    assert service.ask("GET", f"/api/captures/{made}/evidence", headers=bob).status == 404


def test_2_another_owner_deletes_and_lists_nothing(guarded: Any) -> None:
    service, ann, bob = guarded
    made = service.finished(capture(), **ann)
    assert service.ask("DELETE", f"/api/captures/{made}", headers=bob).status == 404
    assert service.ask("GET", "/api/captures", headers=bob).json["total"] == 0
    assert service.ask("GET", "/api/incidents", headers=bob).json["total"] == 0
    assert service.ask("GET", "/api/captures", headers=ann).json["total"] == 1
    assert len(made) == 32


def test_2_another_owners_unfinished_upload_is_not_there(guarded: Any) -> None:
    service, ann, bob = guarded
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000"}
    place = service.ask("POST", "/api/uploads", headers=tus | ann).headers["location"]
    assert service.ask("HEAD", place, headers=tus | ann).status == 200
    for method in ("HEAD", "PATCH", "DELETE"):
        assert service.ask(method, place, headers=tus | bob).status == 404
    assert service.ask("DELETE", place, headers=tus | ann).status == 204


# -- 3 proxy header spoofing


def test_3_a_proxy_is_believed_only_with_its_address_and_its_secret(tmp_path: Path) -> None:
    with Served(tmp_path, proxy=PROXY) as service:
        assert service.ask("GET", "/api/status", headers=ANN).json["owner"] == "ann"
        assert service.ask("GET", "/api/status", headers={"X-Remote-User": "ann"}).status == 401
        assert service.ask("GET", "/api/status", headers=ANN | {"X-Proxy-Secret": "wrong"}).status == 401
        assert service.ask("GET", "/api/status", headers=ANN | {"X-Remote-User": "../ann"}).status == 401
        assert service.ask("GET", "/").status == 401


def test_3_another_peer_is_not_believed(tmp_path: Path) -> None:
    with Served(tmp_path, proxy=Proxy("192.0.2.1", SECRET)) as service:
        assert service.ask("GET", "/api/status", headers=ANN).status == 401
        assert service.ask("GET", "/api/status", headers=ANN | {"X-Forwarded-For": "192.0.2.1"}).status == 401


@pytest.mark.parametrize("name", ["X-Remote-User", "X-Proxy-Secret"])
def test_3_a_doubled_header_is_not_believed(tmp_path: Path, name: str) -> None:
    with Served(tmp_path, proxy=PROXY) as service:
        connection = service.connect()
        connection.putrequest("GET", "/api/status")
        for known, value in [*ANN.items(), (name, ANN[name] if name == "X-Proxy-Secret" else "bob")]:
            connection.putheader(known, value)
        connection.endheaders()
        assert connection.getresponse().status == 401
        connection.close()


# -- 4 CSRF


def test_4_a_form_needs_the_pages_own_token_before_its_first_file(guarded: Any) -> None:
    service, ann, bob = guarded
    mine, other = ({"cookie": logged_in(service, who)} for who in (ann, bob))
    good, others = service.csrf(**mine), service.csrf(**other)
    file = ("capture", "a.pcap", capture())
    for parts in (
        [file],
        [("csrf", None, b"wrong"), file],
        [("csrf", None, others.encode()), file],
        [file, ("csrf", None, good.encode())],
    ):
        body, header = form(parts)
        assert service.ask("POST", "/upload", body, header | mine).status == 403
        assert service.left() == []
    body, header = form([("csrf", None, good.encode()), file])
    assert service.ask("POST", "/upload", body, header | mine).status == 303
    assert service.ask("GET", "/api/captures", headers=ann).json["total"] == 1


def test_4_another_site_cannot_send_forms(service: Served) -> None:
    body, header = form([("csrf", None, service.csrf().encode()), ("capture", "a.pcap", capture())])
    for strange in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        for path, octets, headers in (("/upload", body, header), ("/api/captures", capture(), {})):
            assert service.ask("POST", path, octets, headers | strange).status == 403, (path, strange)
    assert service.left() == []
    assert (
        service.ask(
            "POST", "/upload", body, header | {"Sec-Fetch-Site": "same-origin", "Origin": service.address}
        ).status
        == 303
    )


def test_4_a_session_or_a_proxys_word_is_not_enough_to_change_anything_by_the_api(tmp_path: Path, guarded: Any) -> None:
    service, ann, _ = guarded
    cookie = {"cookie": logged_in(service, ann)}
    made = service.finished(capture(), **ann)
    assert service.ask("DELETE", f"/api/captures/{made}", headers=cookie).status == 403
    assert service.upload(capture(2), **cookie).status == 403
    assert service.upload(capture(2), **cookie, **{"X-CSRF-Token": service.csrf(**cookie)}).status == 201
    (tmp_path / "other").mkdir()
    with Served(tmp_path / "other", proxy=PROXY) as proxied:
        assert proxied.upload(capture(), **ANN).status == 403


def test_4_deleting_and_logging_out_need_the_token(guarded: Any) -> None:
    service, ann, _ = guarded
    mine = {"cookie": logged_in(service, ann), "content-type": "application/x-www-form-urlencoded"}
    made = service.finished(capture(), **ann)
    for path in (f"/captures/{made}/delete", "/logout"):
        assert service.ask("POST", path, "csrf=wrong", mine).status == 403
        assert service.ask("POST", path, "", mine).status == 403
    csrf = service.csrf(cookie=mine["cookie"])
    assert service.ask("POST", f"/captures/{made}/delete", f"csrf={csrf}", mine).status == 303
    assert service.ask("POST", "/logout", f"csrf={csrf}", mine).status == 303


# -- 5 too big, declared


def test_5_what_is_too_big_is_refused_by_its_announcement(service: Served) -> None:
    connection = service.connect()
    connection.putrequest("POST", "/api/captures")
    connection.putheader("Content-Length", str(service.settings.limits.upload_bytes + 1))
    connection.endheaders()  # and not one octet of it
    reply = connection.getresponse()
    assert reply.status == 413
    assert b"4 GiB" in reply.read()
    connection.close()
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(service.settings.limits.upload_bytes + 1)}
    assert service.ask("POST", "/api/uploads", headers=tus).status == 413


# -- 6 too big, undeclared


@pytest.mark.parametrize("as_form", [False, True])
def test_6_what_does_not_say_how_big_it_is_is_counted(tmp_path: Path, as_form: bool) -> None:
    limits = replace(LIMITS, upload_bytes=3 << 20)
    with Served(tmp_path, limits=limits) as service:
        octets = capture(size=6 << 20)
        body, header = form([("csrf", None, service.csrf().encode()), ("capture", "a.pcap", octets)])
        path, sent = ("/upload", body) if as_form else ("/api/captures", octets)
        written = [0]

        def watched() -> Iterator[bytes]:
            for piece in in_pieces(sent):
                written.extend(part.stat().st_size for part in (service.settings.data / "parts").iterdir())
                time.sleep(0.002)
                yield piece

        reply = service.ask("POST", path, watched(), header if as_form else {})
        assert reply.status == 413  # told, though it came in the middle
        assert max(written) <= limits.upload_bytes
        until(lambda: service.left() == [])
        assert service.upload(capture(size=2 << 20)).status == 201


# -- 7 memory by upload


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_7_an_upload_does_not_grow_memory(service: Served) -> None:
    size = 192 << 20

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    service.upload(capture(1, 4 << 20))
    before, most = resident(), 0
    start, block = PCAP[:24], bytes(1 << 20)

    def sent() -> Iterator[bytes]:
        nonlocal most
        yield start
        for _ in range(size >> 20):
            most = max(most, resident())
            yield block

    assert service.ask("POST", "/api/captures", sent()).status == 201
    assert most - before < 32 << 20  # a third of the upload would be twice that


# -- 8 broken upload leaves rubbish


@pytest.mark.parametrize("as_form", [False, True])
def test_8_a_broken_upload_leaves_nothing(service: Served, as_form: bool) -> None:
    octets = capture(size=4 << 20)
    body, header = form([("csrf", None, service.csrf().encode()), ("capture", "a.pcap", octets)])
    path, octets = ("/upload", body) if as_form else ("/api/captures", octets)
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{service.port}", f"Content-Length: {len(octets)}"]
        lines += [f"{name}: {value}" for name, value in header.items()] if as_form else []
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + octets[: 3 << 20])
        until(lambda: any((service.settings.data / "parts").iterdir()))
    until(lambda: service.left() == [])
    assert service.ask("GET", "/api/captures").json["total"] == 0


def test_8_an_upload_that_stands_still_is_dropped(tmp_path: Path) -> None:
    with Served(tmp_path, limits=replace(LIMITS, idle_s=0.3)) as service:
        connection = service.connect()
        connection.putrequest("POST", "/api/captures")
        connection.putheader("Content-Length", str(4 << 20))
        connection.endheaders(capture(size=2 << 20))
        assert connection.getresponse().status == 408
        connection.close()
        assert service.left() == []


def test_8_what_a_killed_service_was_taking_in_is_removed_when_it_starts_again(tmp_path: Path) -> None:
    parts = tmp_path / "files" / "parts"
    parts.mkdir(parents=True)
    (parts / ("0" * 32)).write_bytes(b"half")
    with Served(tmp_path) as service:
        assert service.left() == []


# -- 9 not a capture


@pytest.mark.parametrize(
    "octets",
    [
        b"MZ\x90\0\x03\0\0\0" + bytes(100),
        b"\x7fELF\x02\x01\x01" + bytes(100),
        b"<!doctype html><script>alert(1)</script>",
        b"\xef\xbb\xbf \n<html>",
        "<html>".encode("utf-16"),
        b"#!/bin/sh\nrm -rf /\n",
        b"%PDF-1.7\n\0\1\2",
        b"\x89PNG\r\n\x1a\n\0",
        b"",
    ],
)
def test_9_the_first_octets_decide_before_anything_is_kept(shared: Served, octets: bytes) -> None:
    assert shared.upload(octets, "evil.pcap").status == 415
    body, header = form([("csrf", None, shared.csrf().encode()), ("capture", "evil.pcap", octets)])
    assert shared.ask("POST", "/upload", body, header).status == 415
    if octets:
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(octets))}
        place = shared.ask("POST", "/api/uploads", headers=tus).headers["location"]
        patch = tus | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        assert shared.ask("PATCH", place, octets, patch).status == 415
        assert shared.ask("HEAD", place, headers=tus).status == 404
    assert shared.left() == []


@pytest.mark.parametrize("name", ["healthy.pcap", "server_side_limit_ntlm.pcapng", "one_agent_refused.LOG"])
def test_9_what_is_read_is_taken(service: Served, name: str) -> None:
    assert service.upload((SAMPLES / name).read_bytes(), "evil.exe").status == 201


# -- 10 path traversal


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../etc/passwd", "passwd"),
        ("..\\\\..\\\\windows\\\\x.pcap", "x.pcap"),
        ("/etc/shadow", "shadow"),
        ("..", "capture"),
        ("a\u202egnp.pcap", "a\ufffdgnp.pcap"),
        ("x" * 5000 + ".pcap", "x" * 199 + "\u2026"),
    ],
)
def test_10_a_files_name_is_never_a_path(service: Served, name: str, shown: str) -> None:
    body, header = form([("csrf", None, service.csrf().encode()), ("capture", name, capture())])
    reply = service.ask("POST", "/upload", body, header)
    if len(name) > 4000:
        assert reply.status == 400  # the head of the part is bounded
    else:
        assert reply.status == 303
        assert service.ask("GET", "/api/captures").json["captures"][0]["name"] == shown
        assert service.left() == [blob(capture())]


def test_10_names_of_the_api_are_cleaned_and_cut(service: Served) -> None:
    for number, (name, shown) in enumerate(
        [
            ("..%2F..%2Fx", "x"),
            ("%00%1B%5B31m", "\ufffd\ufffd[31m"),
            ("y" * 5000, "y" * 199 + "\u2026"),
            ("", "capture"),
        ]
    ):
        reply = service.upload(capture(number), name)
        assert reply.json["captures"][0]["name"] == shown
    assert service.left() == sorted(blob(capture(number)) for number in range(4))


def blob(octets: bytes) -> str:
    digest = hashlib.sha256(octets).hexdigest()
    return f"blobs/{digest[:2]}/{digest}.capture"


@pytest.mark.parametrize("name", ["..", "../secret", "%2e%2e", "a.json", "secret", "x" * 100])
def test_10_an_uploads_id_is_never_a_path(shared: Served, name: str) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    assert shared.ask("HEAD", f"/api/uploads/{name}", headers=tus).status in {404, 405}


@pytest.mark.parametrize("name", ["..", "../secret", "/etc/passwd", "a.json", "", "x\0y"])
def test_10_the_folder_itself_takes_no_path_for_a_name(tmp_path: Path, name: str) -> None:
    from analyzer.service.files import Files

    for place in (Files(tmp_path).part, Files(tmp_path).blob):
        with pytest.raises(ValueError, match="not a"):
            place(name)


# -- 11 static traversal


@pytest.mark.parametrize(
    "path", ["%2e%2e/app.py", "..%2fapp.py", "..%5capp.py", "%2e%2e%2f%2e%2e%2fcli.py", "/etc/passwd"]
)
def test_11_nothing_but_the_static_files_is_given_out(shared: Served, path: str) -> None:
    assert shared.ask("GET", f"/static/{path}").status == 404
    assert shared.ask("GET", "/static/page.js").status == 200


# -- 12 stored XSS: see test_browser.py for the real thing


def test_12_names_and_titles_are_escaped_on_every_page(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    with Served(tmp_path, told(f"{evil}: {evil}", accounts=[evil, "</title><script>alert(2)</script>"])) as service:
        body, header = form(
            [("csrf", None, service.csrf().encode()), ("capture", "<script>alert(3)<%2Fscript>.pcap", capture())]
        )
        assert service.ask("POST", "/upload", body, header).status == 303
        until(lambda: service.ask("GET", "/api/captures").json["captures"][0]["finished"])
        made = service.ask("GET", "/api/captures").json["captures"][0]["id"]
        for path in ("/", "/board", "/incidents", f"/captures/{made}", "/?q=%3Cscript%3Ealert(4)"):
            text = service.ask("GET", path).text
            assert "<img src=x" not in text
            assert "<script>alert" not in text
            assert "&lt;" in text


def test_12_htmx_is_told_to_run_nothing(service: Served) -> None:
    text = service.ask("GET", "/").text
    assert '"allowEval": false' in text
    assert '"selfRequestsOnly": true' in text
    assert " style=" not in text
    assert "onclick" not in text


# -- 13 header and host attacks


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api/captures", "/static/page.js", "/static/none", "/style.css", "/healthz"]
)
def test_13_every_answer_carries_the_headers(shared: Served, path: str) -> None:
    headers = shared.ask("GET", path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert "server" not in headers
    if not path.startswith(("/static", "/style")):
        assert headers["cache-control"] == "no-store"


def test_13_a_foreign_host_is_refused_with_the_headers(service: Served) -> None:
    for host in ("evil.example", f"evil.example:{service.port}", ""):
        reply = service.ask("GET", "/", headers={"Host": host})
        assert reply.status == 400
        assert "content-security-policy" in reply.headers
    assert service.ask("GET", "/", headers={"Host": f"localhost:{service.port}"}).status == 200


def test_13_a_report_may_do_nothing_at_all(service: Served) -> None:
    made = service.finished(capture())
    for path in (f"/captures/{made}/report", f"/api/captures/{made}/report"):
        policy = service.ask("GET", path).headers["content-security-policy"]
        assert (
            policy
            == "default-src 'none'; style-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"
        )


# -- 14 to 18 are held by the isolated process (tests/triage/test_isolated.py): here, that the service outlives them


@pytest.mark.parametrize("reason", ["memory limit of 64 MiB reached", "killed by signal 11", "took longer than 1 s"])
def test_14_to_18_the_service_outlives_what_a_capture_does_to_its_process(tmp_path: Path, reason: str) -> None:
    def analyse(*_: object, **__: object) -> Answer:
        return Answer("timeout" if "longer" in reason else "error", reason, None)

    with Served(tmp_path, analyse) as service:
        made = service.finished(capture())
        shown = service.ask("GET", f"/api/captures/{made}").json
        assert shown["reason"] == reason
        assert reason[0].upper() + reason[1:] in service.ask("GET", f"/captures/{made}").text
        assert service.upload(capture(2)).status == 201


def test_14_to_18_captures_are_read_by_our_own_readers_in_an_isolated_process_only(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def analyse(path: Path, **how: Any) -> Answer:
        asked.append({"path": path, **how})
        return told()()

    with Served(tmp_path, analyse, limits=replace(LIMITS, timeout_s=7.0, memory_mb=99)) as service:
        service.finished(capture())
    assert asked[0]["options"]["engine"] == "native"  # which starts no other program
    assert (asked[0]["timeout_s"], asked[0]["memory_mb"]) == (7.0, 99)
    assert asked[0]["path"].name == f"{hashlib.sha256(capture()).hexdigest()}.capture"


def test_14_to_18_an_analysis_that_raises_costs_its_row_only(tmp_path: Path) -> None:
    times = iter([RuntimeError("once")])

    def analyse(*_: object, **__: object) -> Answer:
        for error in times:
            raise error
        return told()()

    with Served(tmp_path, analyse) as service:
        service.upload(capture())
        service.finished(capture(2))


# -- 19 duplicates


def test_19_the_same_octets_are_one_capture_of_an_owner_and_one_file_of_all(guarded: Any) -> None:
    service, ann, bob = guarded
    first, again, other = (
        service.upload(capture(), "a", **ann),
        service.upload(capture(), "b", **ann),
        service.upload(capture(), **bob),
    )
    assert (first.status, again.status, other.status) == (201, 200, 201)
    ids = [reply.json["captures"][0]["id"] for reply in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]
    assert service.left() == [blob(capture())]


# -- 20 deletion and retention


def test_20_deleting_removes_the_row_and_the_octets_that_nobody_else_has(guarded: Any) -> None:
    service, ann, bob = guarded
    mine, others = service.finished(capture(), **ann), service.finished(capture(), **bob)
    assert service.ask("DELETE", f"/api/captures/{mine}", headers=ann).status == 204
    assert service.ask("GET", f"/api/captures/{mine}", headers=ann).status == 404
    assert service.left() == [blob(capture())]
    assert service.ask("DELETE", f"/api/captures/{others}", headers=bob).status == 204
    assert service.left() == []
    with service.store() as store:
        assert store.count(Filter(EVERYBODY)) == 0
        assert store.incidents(Filter(EVERYBODY)) == []


def test_20_what_is_old_is_deleted_and_what_the_command_line_keeps_is_not(tmp_path: Path) -> None:
    from analyzer.triage.case import Item

    with Served(tmp_path, limits=replace(LIMITS, keep_days=1.0)) as service:
        service.finished(capture())
        with service.store() as store:
            store.record(Item("x.pcap", "x.pcap", "0" * 64, 9, location="/x.pcap"), told()(), key="k")
            desk = works(service, store)
            desk.expire()
            assert store.count(Filter(EVERYBODY)) == 2
            old = works(service, store, keep_days=1e-9)
            os.utime(service.settings.data / blob(capture()), (0, 0))
            old.expire()
            assert [case.location for case in store.captures(Filter(EVERYBODY))] == ["/x.pcap"]
            assert service.left() == []
            assert store.audit()[0]["who"] == "retention"


def works(service: Served, store: Any, **changed: Any) -> work.Works:
    from analyzer.service.files import Files

    return work.Works(store, Files(service.settings.data), replace(service.settings.limits, **changed))


def test_20_octets_without_a_row_go_after_an_hour(service: Served) -> None:
    service.finished(capture())
    stray = service.settings.data / blob(capture(2))
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(capture(2))
    with service.store() as store:
        works(service, store).expire()
        assert stray.exists()
        os.utime(stray, (0, 0))
        os.utime(service.settings.data / blob(capture()), (0, 0))
        works(service, store).expire()
    assert service.left() == [blob(capture())]


def test_20_an_upload_that_does_not_go_on_is_dropped(tmp_path: Path) -> None:
    from analyzer.service.files import Files
    from analyzer.service.uploads import Uploads

    with Served(tmp_path) as service:
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000"}
        service.ask("POST", "/api/uploads", headers=tus)
        with service.store() as store:
            for hours, left in ((1.0, 2), (0.0, 0)):
                files = Files(service.settings.data)
                Uploads(files, intake.Intake(replace(LIMITS, part_hours=hours), files, store, print)).expire()
                assert len(service.left()) == left


# -- 21 audit


def test_21_who_did_what_when_stands_in_the_audit(tmp_path: Path) -> None:
    before = time.time_ns()
    with with_owners(tmp_path) as (service, ann, bob):
        made = service.finished(capture(), **ann)
        service.upload(capture(), **ann)
        service.ask("DELETE", f"/api/captures/{made}", headers=bob)
        service.ask("DELETE", f"/api/captures/{made}", headers=ann)
    with service.store() as store:
        rows = store.audit()[::-1]
    digest = hashlib.sha256(capture()).hexdigest()
    assert [(x["who"], x["what"], x["sha256"], x["capture_id"]) for x in rows] == [
        ("ann", "upload", digest, made),
        ("ann", "upload, had already", digest, made),
        ("ann", "delete", digest, made),
    ]
    assert before < rows[0]["at_ns"] < rows[2]["at_ns"] < before + 60 * NS_PER_S


# -- 22 disk full, flood


def test_22_a_quota_of_octets_counts_what_is_kept_and_what_is_announced(tmp_path: Path) -> None:
    with Served(tmp_path, limits=replace(LIMITS, quota_bytes=10_000)) as service:
        assert service.upload(capture(1, 4_000)).status == 201
        tus = {"Tus-Resumable": "1.0.0"}
        first = service.ask("POST", "/api/uploads", headers=tus | {"Upload-Length": "5000"})
        assert first.status == 201
        assert service.ask("POST", "/api/uploads", headers=tus | {"Upload-Length": "5000"}).status == 507
        assert service.upload(capture(2, 4_000)).status == 507
        assert service.ask("POST", "/api/captures", in_pieces(capture(3, 4_000))).status == 507
        assert service.ask("DELETE", first.headers["location"], headers=tus).status == 204
        assert service.upload(capture(2, 4_000)).status == 201


def test_22_a_quota_is_an_owners_own(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    ann, bob = ({"authorization": f"Bearer {add_token(tokens, owner)}"} for owner in ("ann", "bob"))
    with Served(tmp_path, tokens=tokens, limits=replace(LIMITS, quota_captures=1)) as service:
        assert service.upload(capture(1), **ann).status == 201
        assert service.upload(capture(2), **ann).status == 507
        assert service.upload(capture(2), **bob).status == 201


def test_22_the_disk_is_never_filled(tmp_path: Path) -> None:
    floor = shutil.disk_usage(tmp_path).free * 2
    with Served(tmp_path, limits=replace(LIMITS, free_bytes=floor)) as service:
        assert service.upload(capture()).status == 507
        assert service.ask("POST", "/api/captures", in_pieces(capture())).status == 507
        assert (
            service.ask("POST", "/api/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "9"}).status == 507
        )
        assert service.left() == []


def test_22_only_so_many_uploads_at_a_time(tmp_path: Path) -> None:
    with Served(tmp_path, limits=replace(LIMITS, uploads_each=2)) as service:
        waiting = []
        for number in range(2):
            connection = service.connect()
            connection.putrequest("POST", "/api/captures")
            connection.putheader("Content-Length", str(3 << 20))
            connection.endheaders(capture(number, 2 << 20))
            waiting.append(connection)
        until(lambda: len(list((service.settings.data / "parts").iterdir())) == 2)
        assert service.upload(capture(9)).status == 429
        for connection in waiting:
            connection.close()
        until(lambda: service.left() == [])
        assert service.upload(capture(9)).status == 201


# -- 23 is Dask's, and documented: the service itself never connects to a scheduler


def test_23_the_service_opens_no_connection() -> None:
    from tests import house

    folder = Path(intake.__file__).parent
    for path in folder.glob("*.py"):
        assert list(house.connections(f"service/{path.name}", path.read_text())) == []


# -- 24 leak by logs or traceback


def test_24_what_breaks_is_told_without_a_word_of_the_capture(
    service: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: object, **__: object) -> Any:
        raise ValueError("PASSWORD-OF-SOMEBODY")

    monkeypatch.setattr(intake.Intake, "settle", breaks)
    with caplog.at_level(logging.DEBUG):
        reply = service.upload(capture(), "NAME-OF-A-CASE.pcap", authorization="Bearer TOKEN-OF-SOMEBODY")
    assert reply.status == 500
    assert b"PASSWORD" not in reply.octets
    assert "Traceback" not in reply.text
    until(lambda: "ValueError at " in caplog.text)
    noted = "\n".join([caplog.text, *(str(record.__dict__) for record in caplog.records)])
    for word in ("PASSWORD-OF-SOMEBODY", "NAME-OF-A-CASE", "TOKEN-OF-SOMEBODY"):
        assert word not in noted
    assert service.left() == []


def test_24_an_errors_message_is_left_out() -> None:
    with pytest.raises(AnalyzerError) as caught:
        Tokens(Path("PASSWORD"))
    said = armour.without_words(caught.value)
    assert said.startswith("ServiceError at identity.py:")
    assert "PASSWORD" not in said
