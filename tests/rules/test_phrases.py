"""Each server phrase has a transcript named after it, in which the server says it, and the judge hears just that.

A transcript stands in ``transcripts/phrases/PROTOCOL/ID.txt``; its last line tells the cause, the limit it names, and the
product its server is recognised as.
"""

import tomllib
from functools import cache
from pathlib import Path

import pytest

from analyzer.rules import Scene
from analyzer.rules.scene import Refusal, disputes
from analyzer.rules.signatures import Signature, limit_in, match, signatures
from analyzer.sessions.session import Session
from tests.sessions.dialogue import connection, converse
from tests.transcript import FOLDER, Transcript, load

PATHS = {path.stem: path for path in sorted((FOLDER / "phrases").glob("*/*.txt"))}
BY_ID = {s.id: s for s in signatures()}
PORTS = {"imap": 143, "pop3": 110, "smtp": 25}
QUIET = frozenset(
    {"exchange-bye-after-errors", "timeout-bye", "too-many-invalid-commands", "smtp-timeout", "smtp-greylisted"}
)
"""Phrases that mean nothing by themselves: they keep others from meaning something, and no dispute comes of them alone."""

every = pytest.mark.parametrize("name", PATHS)


@cache
def told(name: str) -> Transcript:
    return load(PATHS[name])


@cache
def played(name: str) -> Session:
    script = told(name)
    return converse(script.steps, connection(server_port=PORTS[script.protocol]))


@cache
def heard(name: str) -> tuple[Refusal, ...]:
    return tuple(r for dispute in disputes(Scene([played(name)])) for r in dispute.refusals)


def fits(signature: Signature, phase: str, refusal: Refusal) -> bool:
    s = refusal.session
    return (
        signature.phase in {phase, "any"}
        and s.protocol in signature.protocols
        and not (signature.product and s.product and signature.product != s.product)
        and signature.hears(refusal.text)
    )


def test_every_phrase_has_its_transcript_and_every_transcript_its_phrase() -> None:
    assert set(PATHS) == set(BY_ID)


@every
def test_the_judge_hears_the_phrase(name: str) -> None:
    if name not in QUIET:
        assert name in {r.signature.id for r in heard(name)}, [(r.text, r.signature.id) for r in heard(name)]


@every
def test_it_means_what_the_transcript_tells(name: str) -> None:
    (facts,) = told(name).logins
    assert BY_ID[name].cause == facts["cause"]
    assert played(name).product == facts["product"]
    limits = {limit_in(r.text, r.signature) for r in heard(name)} - {None}
    assert limits == ({int(facts["limit"])} if facts["limit"] else set())


@every
def test_it_names_its_source(name: str) -> None:
    assert BY_ID[name].source
    assert told(name).origin == BY_ID[name].source


@every
def test_no_two_phrases_contradict_each_other(name: str) -> None:
    """Of the phrases that decide by their words alone, the special ones agree, and stand before the general ones."""
    for refusal in heard(name):
        for phase in [p for p in ("greeting", "login", "mailbox", "bye") if fits(refusal.signature, p, refusal)]:
            deciding = [s for s in signatures() if s.explicit and fits(s, phase, refusal)]
            assert len({s.cause for s in deciding if not s.general}) < 2, [s.id for s in deciding]
            assert [s.general for s in deciding] == sorted(s.general for s in deciding), [s.id for s in deciding]


@pytest.mark.parametrize("name", sorted(QUIET))
def test_what_means_nothing_is_heard_as_that(name: str) -> None:
    words = [line for _, line in told(name).steps][-1].decode().strip()
    entry = BY_ID[name]
    phase = "mailbox" if entry.phase == "any" else entry.phase
    assert match(phase, words, None, told(name).protocol) is entry
    assert {r.signature.id for r in heard(name)} <= {name, "none"}


def test_folders_are_protocols() -> None:
    assert {path.parent.name for path in PATHS.values()} == set(PORTS)
    assert all(Path(path).read_text(encoding="utf-8").count("\n--\n") == 1 for path in PATHS.values())


SAID = [
    (row["cause"], row["phase"], row.get("product"), row.get("protocol", "imap"), line)
    for row in tomllib.loads(Path(__file__).with_name("wordings.toml").read_text("utf-8"))["said"]
    for line in row["heard"]
]


@pytest.mark.parametrize(("cause", "phase", "product", "protocol", "line"), SAID, ids=[row[-1] for row in SAID])
def test_other_wordings(cause: str, phase: str, product: str | None, protocol: str, line: str) -> None:
    assert (match(phase, line, product, protocol).cause or "") == cause
