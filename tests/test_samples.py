"""Every sample capture: it can be made again, it is a sound capture, and the analyzer says of it what its .toml expects."""

import functools
import importlib.util
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.scenes import PASSWORDS

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample_pcaps"
CAPTURES = sorted(SAMPLES.glob("*.pcap*"))
MAX_BYTES = 300_000
NAMES = [x.name for x in CAPTURES]
LISTS = {"sessions", "logins", "accounts", "findings", "captures"}


def case_of(capture: Path) -> dict[str, Any]:
    return tomllib.loads(capture.with_suffix(".toml").read_text("utf-8"))


@functools.cache
def report(name: str, known: tuple[str, ...] = ()) -> dict[str, Any]:
    import analyzer
    from analyzer.report.model import document

    return document(analyzer.read(SAMPLES / name, known=known).result)


def matches(record: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """A filter: each field equals the value, or is one of a list; ``candidate`` is a cause among the rivals."""
    for field, value in wanted.items():
        if field == "candidate":
            if value not in {x["cause"] for x in record["candidates"]}:
                return False
        elif record[field] not in (value if isinstance(value, list) else [value]):
            return False
    return True


EXPECTATIONS = [
    pytest.param(x.name, expect, id=f"{x.name}-{i}")
    for x in CAPTURES
    for i, expect in enumerate(case_of(x)["expect"], start=1)
]


@pytest.mark.parametrize(("name", "expect"), EXPECTATIONS)
def test_the_report_says_what_is_expected(name: str, expect: dict[str, Any]) -> None:
    (table,) = LISTS & set(expect)
    rows = report(name, tuple(expect.get("known", ())))[table]
    found = [x for x in rows if matches(x, expect[table])]
    if "count" in expect:
        assert len(found) == expect["count"], rows if table == "findings" else expect
    else:
        assert len(found) >= expect["at_least"], rows if table == "findings" else expect


@pytest.mark.parametrize("name", NAMES)
def test_no_password_is_reported(name: str) -> None:
    text = repr(report(name))
    assert not [x for x in PASSWORDS.values() if x in text]


def test_every_case_is_complete() -> None:
    assert [x.with_suffix(".toml").name for x in CAPTURES] == sorted(x.name for x in SAMPLES.glob("*.toml"))
    for capture in CAPTURES:
        case = case_of(capture)
        assert case.keys() == {"purpose", "origin", "licence", "expect"}, capture
        for expect in case["expect"]:
            assert len(LISTS & set(expect)) == 1, (capture, expect)
            assert len({"count", "at_least"} & set(expect)) == 1, (capture, expect)
            assert expect.get("at_least", 1) > 0, (capture, expect)


def test_samples_are_small_and_listed() -> None:
    readme = (SAMPLES / "README.md").read_text("utf-8")
    assert [x for x in CAPTURES if x.stat().st_size > MAX_BYTES] == []
    assert [x for x in NAMES if f"`{x}`" not in readme] == []


def test_samples_can_be_made_again(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_samples", SAMPLES / "make_samples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.make(tmp_path)
    assert sorted(x.name for x in made) == NAMES
    assert [x.name for x in made if x.read_bytes() != (SAMPLES / x.name).read_bytes()] == []
    log = module.make_log(tmp_path)
    assert log.read_bytes() == (SAMPLES / log.name).read_bytes()


UNSOUND = (
    "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || icmp.checksum.status == 0"
    " || tcp.analysis.ack_lost_segment || _ws.expert.severity == error"
)
"""What no frame may be: malformed, of a wrong checksum, or of a connection with holes."""


def frames_of(tshark: str, name: str, which: str) -> list[str]:
    checks = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-d", "tcp.port==1143,imap"]
    command = [tshark, "-n", "-r", str(SAMPLES / name), *checks, "-T", "fields", "-e", "frame.number", "-Y", which]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()


@pytest.mark.parametrize("name", NAMES)
def test_tshark_finds_every_frame_sound(name: str, tshark: str) -> None:
    assert frames_of(tshark, name, UNSOUND) == []


REFUSALS = {"one_agent_refused.pcap": 49, "server_side_limit_ntlm.pcapng": 72, "tls_required.pcap": 27}


@pytest.mark.parametrize("name", REFUSALS)
def test_tshark_counts_the_same_refusals(name: str, tshark: str) -> None:
    said = frames_of(tshark, name, 'imap.response.status in {"NO", "BAD"}')
    assert len(said) == REFUSALS[name]
    assert any(REFUSALS[name] == x["count"] for x in case_of(SAMPLES / name)["expect"] if "count" in x)
