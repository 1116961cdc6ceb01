"""The API does what its description says, and the description names all that it does."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from analyzer.report.model import schema
from analyzer.service import api, openapi
from analyzer.service.app import API
from analyzer.triage.isolated import Answer
from tests.service.served import LIMITS, SAMPLES, Served, capture, form, told, until


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, dict[str, str]]]:
    """A service that really analyses, and the ids of two captures by name."""
    from analyzer.triage.isolated import isolated

    with Served(tmp_path_factory.mktemp("real"), isolated, limits=replace(LIMITS, jobs=2)) as made:
        names = ("one_agent_refused.pcap", "healthy.pcap")
        ids = {name: made.upload((SAMPLES / name).read_bytes(), name).json["captures"][0]["id"] for name in names}
        until(lambda: made.ask("GET", "/api/status").json["waiting"] == 0, 60)
        yield made, ids


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as made:
        yield made


def checked(service: Served, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Ask, and hold the answer against the description."""
    reply = service.ask(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    named = next(known for known in openapi.PATHS if matches(known, path.partition("?")[0]))
    answers = openapi.PATHS[named][method.lower()]["responses"]
    assert str(reply.status) in answers, (method, path, reply.status)
    content = answers[str(reply.status)].get("content", {})
    if "application/json" in content:
        whole = openapi.document()
        shape = {**content["application/json"]["schema"], "components": whole["components"]}
        jsonschema.validate(reply.json, shape)
    elif content:
        assert reply.headers["content-type"].partition(";")[0] in content
    return reply


def matches(known: str, path: str) -> bool:
    parts, others = known.split("/"), path.split("/")
    return len(parts) == len(others) and all(a in {b, "{id}"} for a, b in zip(parts, others, strict=True))


# -- the description


def test_the_description_names_exactly_the_routes() -> None:
    described = {(method.upper(), path) for path, methods in openapi.PATHS.items() for method in methods}
    assert described == {(method, path) for method, path, _, _ in API}


def test_the_description_is_openapi_3_1(service: Served) -> None:
    reply = checked(service, "GET", "/api/openapi.json")
    whole = reply.json
    assert whole["openapi"].startswith("3.1.")
    assert whole == json.loads(json.dumps(openapi.document()))
    references = [line.split('"')[3] for line in reply.text.splitlines() if '"$ref": "#/components' in line]
    for reference in set(references):
        place = whole
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    for path, methods in whole["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (path, method)
            assert ("{id}" in path) == any(x.get("in") == "path" for x in operation.get("parameters", []))
    jsonschema.Draft202012Validator.check_schema(whole["components"]["schemas"]["Entry"])


# -- captures


def test_what_came_of_a_capture(real: Any) -> None:
    service, ids = real
    made = ids["one_agent_refused.pcap"]
    entry = checked(service, "GET", f"/api/captures/{made}").json
    assert entry["conclusion"]["cause"] == "per_user_connection_limit"
    assert entry["conclusion"]["verdict"] == "suspected"
    assert entry["findings"][0]["evidence"]
    assert {"path", "name", "sha256", "state", "reason", "conclusion", "findings"} <= set(entry)  # the triage contract
    result = checked(service, "GET", f"/api/captures/{made}/result").json
    jsonschema.validate(result, schema())
    assert result["captures"][0]["name"] == "one_agent_refused.pcap"
    assert {session["capture"] for session in result["sessions"]} == {"one_agent_refused.pcap"}
    assert ".capture" not in json.dumps(result)


def test_the_report_is_the_page_that_the_command_line_writes(real: Any, tmp_path: Path) -> None:
    import analyzer

    service, ids = real
    name = "one_agent_refused.pcap"
    analyzer.read(SAMPLES / name).save(tmp_path / "report.html")
    reply = checked(service, "GET", f"/api/captures/{ids[name]}/report")
    assert reply.text == (tmp_path / "report.html").read_text("utf-8")
    assert "sandbox" in reply.headers["content-security-policy"]
    assert "style-src 'sha256-" in reply.headers["content-security-policy"]


def test_the_evidence_is_a_pcapng_of_the_proving_frames(real: Any, tmp_path: Path) -> None:
    import analyzer

    service, ids = real
    reply = checked(service, "GET", f"/api/captures/{ids['one_agent_refused.pcap']}/evidence")
    assert reply.octets[:4] == b"\n\r\r\n"
    assert len(reply.octets) > 1000
    (tmp_path / "proof.pcapng").write_bytes(reply.octets)
    assert len(analyzer.read(tmp_path / "proof.pcapng").sessions) > 0


def test_without_proof_there_is_no_evidence(tmp_path: Path) -> None:
    def analyse(_: object, *, target: str, **__: object) -> Any:
        return told()() if target.endswith(":analysed") else Answer("error", "nothing to prove", None)

    with Served(tmp_path, analyse) as service:
        assert checked(service, "GET", f"/api/captures/{service.finished(capture())}/evidence").status == 404


def test_lists_are_worst_first_and_filtered(real: Any) -> None:
    service, _ = real
    every = checked(service, "GET", "/api/captures").json
    assert every["total"] == 2
    assert [one["name"] for one in every["captures"]] == ["one_agent_refused.pcap", "healthy.pcap"]
    for asked, expected in {
        "cause=healthy": ["healthy.pcap"],
        "verdict=suspected": ["one_agent_refused.pcap"],
        "q=UCCX-mail%20agent": ["one_agent_refused.pcap"],
        "q=%25": [],
        "state=waiting": [],
        "limit=1": ["one_agent_refused.pcap"],
        "limit=1&offset=1": ["healthy.pcap"],
        "limit=junk&offset=-3": ["one_agent_refused.pcap", "healthy.pcap"],
    }.items():
        found = checked(service, "GET", f"/api/captures?{asked}").json["captures"]
        assert [one["name"] for one in found] == expected, asked


def test_incidents_are_listed_with_their_members(real: Any) -> None:
    service, _ = real
    found = checked(service, "GET", "/api/incidents").json
    assert found["total"] == 1
    assert found["incidents"][0]["accounts"] == ["uccx-mail"]
    members = checked(service, "GET", f"/api/captures?incident={found['incidents'][0]['id']}").json
    assert [one["name"] for one in members["captures"]] == ["one_agent_refused.pcap"]
    assert checked(service, "GET", "/api/incidents?q=nobody").json["incidents"] == []


def test_a_form_may_hold_several_captures(service: Served) -> None:
    body, header = form([("capture", f"{n}.pcap", capture(n)) for n in range(3)] + [("note", None, b"x")])
    reply = checked(service, "POST", "/api/captures", body, content_type=header["content-type"])
    assert reply.status == 201
    assert [one["name"] for one in reply.json["captures"]] == ["0.pcap", "1.pcap", "2.pcap"]
    assert checked(service, "POST", "/api/captures", body, content_type=header["content-type"]).status == 200


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/form-data"),
        (b"--x\r\nrubbish", "multipart/form-data; boundary=x"),
        (
            b"--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n" + capture(),
            "multipart/form-data; boundary=x",
        ),
        (b"--x--\r\n", "multipart/form-data; boundary=x"),
    ],
)
def test_a_form_that_is_none_is_refused(service: Served, body: bytes, kind: str) -> None:
    assert checked(service, "POST", "/api/captures", body, content_type=kind).status == 400
    assert service.left() == []


def test_what_waits_has_no_result_yet(tmp_path: Path) -> None:
    import threading

    go = threading.Event()

    def analyse(*_: object, **__: object) -> Any:
        go.wait(20)
        return told()()

    with Served(tmp_path, analyse) as service:
        made = service.upload(capture()).json["captures"][0]["id"]
        until(lambda: checked(service, "GET", f"/api/captures/{made}").json["state"] == "running")
        for end in ("result", "report", "evidence"):
            assert checked(service, "GET", f"/api/captures/{made}/{end}").status == 409
        assert checked(service, "GET", "/api/status").json["waiting"] == 1
        go.set()
        until(lambda: checked(service, "GET", "/api/status").json["waiting"] == 0)
        assert service.ask("GET", f"/api/captures/{made}/result").status == 200
        assert checked(service, "DELETE", f"/api/captures/{made}").status == 204
        assert checked(service, "DELETE", f"/api/captures/{made}").status == 404


def test_a_capture_may_be_deleted_while_it_is_analysed(tmp_path: Path) -> None:
    def analyse(*_: object, **__: object) -> Any:
        time.sleep(0.3)
        return told()()

    with Served(tmp_path, analyse) as service:
        made = service.upload(capture()).json["captures"][0]["id"]
        until(lambda: service.ask("GET", f"/api/captures/{made}").json["state"] == "running")
        assert service.ask("DELETE", f"/api/captures/{made}").status == 204
        other = service.finished(capture(2))
        assert [x["id"] for x in service.ask("GET", "/api/captures").json["captures"]] == [other]


def test_what_there_is_not(service: Served) -> None:
    for method, path, status in (
        ("GET", "/api/nothing", 404),
        ("PUT", "/api/captures", 405),
        ("GET", "/nothing", 404),
        ("DELETE", "/", 405),
    ):
        reply = service.ask(method, path)
        assert reply.status == status
        assert ("error" in reply.json) if path.startswith("/api") else reply.text.endswith(".\n")


def test_captures_of_one_incident_are_read_together_when_none_proves_it_alone(tmp_path: Path) -> None:
    together: list[int] = []

    def analyse(path: Any, *, target: str, **how: Any) -> Answer:
        if target != "analyzer.triage.story:told":
            return told("throttling: a", verdict="suspected", accounts=["a"])()
        together.append(len(path))
        return told("throttling: proven", verdict="confirmed", accounts=["a"])()

    with Served(tmp_path, analyse) as service:
        service.finished(capture(1))
        until(
            lambda: service.finished(capture(2)) and service.ask("GET", "/api/incidents").json["incidents"][0]["joined"]
        )
        (found,) = service.ask("GET", "/api/incidents").json["incidents"]
        assert (found["verdict"], found["title"], found["captures"]) == ("confirmed", "throttling: proven", 2)
        assert together == [2]
        assert "only together" in service.ask("GET", "/").text


# -- uploads that can be taken up again


TUS = {"Tus_Resumable": "1.0.0"}
OFFSETS = "application/offset+octet-stream"


def begin(service: Served, octets: bytes, name: str = "a.pcap", **headers: str) -> str:
    meta = f"filename {base64.b64encode(name.encode()).decode()},filetype YQ=="
    reply = checked(
        service, "POST", "/api/uploads", Upload_Length=str(len(octets)), Upload_Metadata=meta, **TUS, **headers
    )
    assert reply.status == 201
    assert reply.headers["tus-resumable"] == "1.0.0"
    return str(reply.headers["location"])


def patch(service: Served, place: str, octets: bytes, offset: int, **headers: str) -> Any:
    kind = {"Content_Type": OFFSETS, "Upload_Offset": str(offset)}
    return checked(service, "PATCH", place, octets, **{**kind, **TUS, **headers})


def test_what_is_spoken_of_tus(service: Served) -> None:
    reply = checked(service, "OPTIONS", "/api/uploads")
    assert reply.status == 204
    assert reply.headers["tus-version"] == "1.0.0"
    assert reply.headers["tus-extension"] == "creation,expiration,checksum,termination"
    assert int(reply.headers["tus-max-size"]) == LIMITS.upload_bytes
    assert reply.headers["tus-checksum-algorithm"] == "sha256,sha1"


def test_an_upload_is_taken_up_where_it_stopped_also_by_another_service(tmp_path: Path) -> None:
    octets = capture(size=3 << 20)
    with Served(tmp_path) as service:
        place = begin(service, octets, "../x.pcap")
        reply = patch(service, place, octets[:1_500_000], 0)
        assert (reply.status, reply.headers["upload-offset"]) == (204, "1500000")
        assert "GMT" in reply.headers["upload-expires"]
    with Served(tmp_path) as service:
        reply = checked(service, "HEAD", place, **TUS)
        assert (reply.headers["upload-offset"], reply.headers["upload-length"]) == ("1500000", str(len(octets)))
        assert reply.headers["cache-control"] == "no-store"
        reply = patch(service, place, octets[1_500_000:], 1_500_000)
        made = reply.headers["mailscope-capture"]
        assert service.ask("GET", f"/api/captures/{made}").json["name"] == "x.pcap"
        again = checked(service, "HEAD", place, **TUS)  # whoever missed that answer learns it now
        assert again.headers["mailscope-capture"] == made
        assert again.headers["upload-offset"] == str(len(octets))
        assert patch(service, place, b"", len(octets)).headers["mailscope-capture"] == made
        assert service.ask("GET", "/api/captures").json["total"] == 1


def test_a_cut_connection_keeps_what_had_come(service: Served) -> None:
    octets = capture(size=4 << 20)
    place = begin(service, octets)
    connection = service.connect()
    connection.putrequest("PATCH", place)
    for name, value in {"Tus-Resumable": "1.0.0", "Content-Type": OFFSETS, "Upload-Offset": "0"}.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(octets)))
    connection.endheaders(octets[: 5 << 19])

    def here() -> int:
        return int(checked(service, "HEAD", place, **TUS).headers["upload-offset"])

    until(lambda: here() >= 2 << 20)
    assert patch(service, place, octets, 0).status == 423
    connection.close()
    until(lambda: here() == 5 << 19)
    assert patch(service, place, octets[5 << 19 :], 5 << 19).status == 204
    (entry,) = service.ask("GET", "/api/captures").json["captures"]
    assert entry["size_bytes"] == len(octets)


def test_octets_that_arrive_changed_are_not_kept(service: Served) -> None:
    import hashlib

    octets = capture()
    place = begin(service, octets)
    for algorithm in ("sha1", "sha256"):
        digest = base64.b64encode(hashlib.new(algorithm, octets[:100]).digest()).decode()
        assert patch(service, place, b"x" * 100, 0, Upload_Checksum=f"{algorithm} {digest}").status == 460
        assert checked(service, "HEAD", place, **TUS).headers["upload-offset"] == "0"
    assert patch(service, place, octets[:100], 0, Upload_Checksum=f"sha256 {digest}").status == 204
    for wrong in ("md5 YQ==", "sha256", "sha256 !"):
        assert patch(service, place, octets[100:], 100, Upload_Checksum=wrong).status == 400


def test_what_the_protocol_forbids(service: Served) -> None:
    octets = capture()
    place = begin(service, octets)
    assert patch(service, place, octets[:50], 5).status == 409
    assert patch(service, place, octets + b"more", 0).status == 413
    assert patch(service, place, octets, 0, Content_Type="text/plain").status == 415
    assert patch(service, place, octets, 0, Upload_Offset="-1").status == 400
    assert patch(service, place, octets, 0, Tus_Resumable="0.2.2").status == 412
    for length in ("", "-1", "1e9", "9" * 30):
        assert checked(service, "POST", "/api/uploads", Upload_Length=length, **TUS).status == 400
    assert checked(service, "POST", "/api/uploads", Upload_Length="0", **TUS).status == 415
    assert (
        checked(service, "POST", "/api/uploads", Upload_Length="9", Upload_Metadata="filename !", **TUS).status == 400
    )
    assert checked(service, "DELETE", place, **TUS).status == 204
    assert checked(service, "HEAD", place, **TUS).status == 404
    assert service.left() == []


def test_so_many_uploads_may_be_begun(service: Served) -> None:
    from analyzer.service.uploads import MOST_UPLOADS

    for _ in range(MOST_UPLOADS):
        begin(service, capture())
    assert checked(service, "POST", "/api/uploads", Upload_Length="9", **TUS).status == 429


# -- what they share


def test_times_are_written_as_the_contract_does() -> None:
    assert api.when(None) is None
    assert api.when(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123456Z"


def test_a_capture_is_called_what_its_sender_called_it_everywhere() -> None:
    from analyzer.rules.finding import FrameRef
    from analyzer.service.child import renamed

    old = "0" * 64 + ".capture"
    told_of = (FrameRef(old, 5), f"{old}!/a.pcap", {"x": [f"see {old}, frame 3", old + "x"]}, 7, None)
    assert renamed(told_of, old, "n") == (FrameRef("n", 5), "n!/a.pcap", {"x": ["see n, frame 3", "nx"]}, 7, None)
    assert renamed(("3", "33"), "3", "n") == ("n", "33")
