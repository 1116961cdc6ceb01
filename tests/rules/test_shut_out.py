"""Connections that a server accepts and closes at once without a word: what they may mean, and what is none."""

from collections.abc import Callable

import pytest

from analyzer.rules import CLAIMS
from analyzer.sessions.session import Session
from tests.rules.stories import A, B, D, findings, ok, shut, silent

Story = tuple[Session, ...]


def _per_address() -> Story:
    """Courier's way: one address at its limit of three, others welcome all the time."""
    held = [ok(n, float(n), client=A, lasts_s=None) for n in (1, 2, 3)]
    turned = [shut(n, 2.0 * n, client=A) for n in (4, 6, 8, 10)]
    others = [ok(20 + n, 7.0 + 2 * n, client=f"192.0.2.{20 + n}", lasts_s=None) for n in range(6)]
    return (*held, *turned, *others)


def test_a_limit_per_address_shows_without_words() -> None:
    (found,) = findings(_per_address())
    assert (found.cause, found.verdict in CLAIMS) == ("per_ip_connection_limit", True)
    assert "turned away before login" in found.title


def test_nobody_is_greeted() -> None:
    (found,) = findings((shut(1, 0, client=A), shut(2, 3, client=B), shut(3, 5, client=D)))
    assert (found.cause, str(found.verdict)) == ("server_unavailable", "suspected")
    assert any("without a greeting" in e.text for e in found.evidence)
    assert found.missing


def test_one_alone_decides_nothing() -> None:
    (found,) = findings((shut(1, 0),))
    assert str(found.verdict) == "suspected"
    assert {"server_unavailable", "connection_limit_at_connect"} <= {c.cause for c in found.candidates}
    assert "server_slow" not in {c.cause for c in found.candidates}


def test_pop3_and_smtp_likewise() -> None:
    for protocol, port in (("pop3", 110), ("smtp", 25)):
        story = tuple(shut(n, float(n), client=f"192.0.2.{n}", protocol=protocol, server_port=port) for n in (1, 2, 3))
        assert [(f.cause, str(f.verdict)) for f in findings(story)] == [("server_unavailable", "suspected")]


NONE: dict[str, Callable[[], Session]] = {
    "closed by the client": lambda: shut(1, 0, fin_by="client", closed_by="client"),
    "something was said": lambda: shut(1, 0, server_bytes=20),
    "what was said is missing": lambda: shut(1, 0, missed_bytes=20),
    "one side only": lambda: shut(1, 0, one_sided=True),
    "began before the capture": lambda: shut(1, 0, syn_at=None),
    "inside TLS": lambda: shut(1, 0, tls="implicit"),
    "no mail": lambda: shut(1, 0, protocol=None),
}


@pytest.mark.parametrize("name", NONE)
def test_a_look_alike_is_none(name: str) -> None:
    assert [f.title for f in findings((NONE[name](),)) if "turned away" in f.title] == []


def test_a_long_silence_is_another_question() -> None:
    (found,) = findings((silent(1, 0, fin_by="server", closed_by="server"),))
    assert "left without an answer" in found.title
