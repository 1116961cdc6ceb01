"""Spanish: every title, label and remedy has it, and what has none stays whole in English."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import analyzer
from analyzer.errors import AnalyzerError
from analyzer.language import FOLDER, LANGUAGES, catalogue, speaker
from analyzer.remedies import fill, products
from analyzer.remedies.files import _changed, entry, heads
from analyzer.remedies.remedy import Remedy
from analyzer.remedies.servers import known
from analyzer.report.need import SCOPES
from analyzer.report.remedy_page import HEADINGS, page
from analyzer.report.terminal import LABELS, screen
from analyzer.rules import Verdict, load_habits, load_rules
from analyzer.rules.narrate import NAMES
from analyzer.rules.retake import WRONG, commands
from analyzer.sessions.defaults import DEFAULTS

ROOT = Path(__file__).parents[1]
SAMPLES = sorted((ROOT / "sample_pcaps").glob("*.pcap*"))
SAY = speaker("es")
TRAILING = re.compile(r".*?\S\s{2,}# (.*)")
PROSE = re.compile(r"[A-Z][a-z]+ [a-z'].*\.")
HOLE = re.compile(r"\{\w+\}")
KEPT = re.compile(
    r"\{\w+\}|<[a-z ]+>|\b[a-z]+(?:_[a-z]+)+\b|\b[A-Z]\w*[a-z]\w*[A-Z]\w+\b|\b\d[\d.]*\d\b|\$\w+|--[a-z-]+"
)
"""What a translation must keep: holes, places, settings, numbers, options."""
OURS = re.compile(r"«.*?»|\(.*?\)|--known \S+|\bmailscope .*|netstat.*?\)")
ENGLISH = re.compile(r"\b(?:the|was|were|with|and|refused|login|open|password|server|limit|throttling per)\b")


def sentences(remedy: Remedy) -> Iterator[str]:
    yield from (remedy.title, remedy.risk, *remedy.steps, *remedy.avoid, *remedy.notes)
    for line in (line for _, block in remedy.blocks for line in block.splitlines()):
        if line.startswith("# "):
            yield line[2:]
        elif match := TRAILING.fullmatch(line):
            yield match[1]
        elif PROSE.fullmatch(line):
            yield line


def remedies() -> Iterator[Remedy]:
    for name in heads():
        made = entry(name)
        yield made.remedy
        yield from (_changed(made.remedy, variant) for variant in made.variants)


def test_every_sentence_of_a_remedy_has_its_spanish() -> None:
    keys = catalogue("es")
    wanted = {x for remedy in remedies() for x in sentences(remedy) if re.search(r"[a-z]{3}", HOLE.sub("", x))}
    assert len(wanted) > 400
    assert sorted(wanted - keys.keys() - {"TcpTestSucceeded : True"}) == []


def test_no_spanish_is_left_over() -> None:
    import tomllib

    written = tomllib.loads((FOLDER / "es_remedies.toml").read_text("utf-8"))
    assert sorted(written.keys() - {x for remedy in remedies() for x in sentences(remedy)}) == []


def test_a_translation_keeps_holes_settings_and_numbers() -> None:
    for key, value in catalogue("es").items():
        assert set(HOLE.findall(key)) == set(HOLE.findall(value)), key
        assert set(KEPT.findall(key)) <= set(KEPT.findall(value)) | {"PCs"}, key
        assert value.strip() == value != ""
        assert key.endswith(".") == value.endswith(".") or key.endswith("?"), key


def names() -> Iterator[str]:
    yield from NAMES.values()
    yield from (x.title for x in load_rules())
    yield from (x.title for x in load_habits())
    yield from (x.value.replace("_", " ") for x in (Verdict.CONFIRMED, Verdict.LIKELY, Verdict.SUSPECTED))
    yield from (*LABELS, *SCOPES.values(), *HEADINGS)


def test_every_title_label_and_heading_has_its_spanish() -> None:
    same = {"rival"}
    assert sorted(x for x in names() if x not in catalogue("es") and SAY(x) == x and x not in same) == []


def test_labels_fit_their_column() -> None:
    assert [x for x in LABELS if len(SAY(x)) > 7] == []


def test_what_ships_with_a_product_is_told_in_spanish() -> None:
    for default in DEFAULTS:
        assert SAY(
            default.text
        ) == f"{default.value} = valor predeterminado de {default.setting} en " + default.versions.replace(
            " to ", " a "
        ).replace(" and ", " y ")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_titles_summaries_and_advice_of_the_samples_are_spanish(path: Path) -> None:
    result = analyzer.read(path, hashed=False).result
    said = [result.conclusion.title]
    for finding in result.findings:
        said += [finding.title, finding.summary, *finding.missing]
    assert [x for x in said if ENGLISH.search(OURS.sub("", SAY(x)).replace("(throttling)", ""))] == []


def test_most_reasons_of_the_samples_are_spanish() -> None:
    reasons = [x.text for path in SAMPLES for f in analyzer.read(path, hashed=False).findings for x in f.evidence]
    english = [x for x in reasons if ENGLISH.search(OURS.sub("", SAY(x)))]
    assert len(reasons) > 30
    assert len(english) < len(reasons) / 5, english


def test_the_screen_is_spanish_and_the_verdict_the_same() -> None:
    shown = screen(analyzer.read(ROOT / "sample_pcaps" / "server_side_limit.pcap").result, say=SAY)
    assert "CONFIRMADO  99 %  limitación de conexiones por usuario (throttling): cuenta" in shown
    assert "   remedio Aumente MaxConnectionsPerUser hasta lo que el equipo necesita: 12" in shown
    assert "--lang es" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("product", [None, *known(products())])
def test_a_page_in_spanish_has_the_same_commands(product: str | None) -> None:
    for cause in (
        "per_user_connection_limit",
        "store_session_limit",
        "smtp_rate_limit",
        "undetermined",
        "tls_required",
    ):
        english, spanish = fill({"agents": 40}, [cause], product), fill({"agents": 40}, [cause], product, say=SAY)
        for one, other in zip(english, spanish, strict=True):
            assert (one.id, one.capacity, one.source) == (other.id, other.capacity, other.source)
            for (_, block), (_, twin) in zip(one.blocks, other.blocks, strict=True):
                pairs = zip(block.splitlines(), twin.splitlines(), strict=True)
                assert all(code(a) == code(b) or PROSE.fullmatch(a) for a, b in pairs)
            assert not HOLE.search(page([other], {}, "md", SAY))


def code(line: str) -> str:
    return "" if line.startswith("#") else re.sub(r"\s{2,}# .*", "", line)


def test_a_script_in_spanish_keeps_its_form() -> None:
    made = page(
        fill({"agents": 40}, ["per_user_connection_limit"], "exchange-2016", say=SAY), {"server": "EX01"}, "ps1", SAY
    )
    assert made.startswith("\ufeff# exchange-per-user")
    assert "Set-ImapSettings -Server $Server -MaxConnectionsPerUser 103 -WhatIf\n" in made
    assert "40 agentes x 2 + 2 = 82 conexiones" in made
    assert "throw 'rellene primero $Server'" in made


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analyzer", *words],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_verbs_speak_spanish_and_json_stays_english(tmp_path: Path) -> None:
    sample = "sample_pcaps/one_agent_refused.pcap"
    assert "SOSPECHA" in run(
        "report", sample, "--lang", "es", "-o", str(tmp_path / "a.txt"), "--format", "text"
    ).stdout + (tmp_path / "a.txt").read_text("utf-8")
    told = json.loads(run("report", sample, "--lang", "es", "--format", "json").stdout)
    assert told == json.loads(run("report", sample, "--format", "json").stdout)
    assert "mire primero" in run("remedy", "tls-required", "--lang", "es").stdout
    assert run("remedy", "tls-required", "--lang", "fr").returncode == 2


@pytest.mark.parametrize(
    ("english", "spanish"),
    [
        ("a sentence nobody wrote", "a sentence nobody wrote"),
        ("The capture proves it. A sentence nobody wrote.", "La captura lo prueba. A sentence nobody wrote."),
        (
            "wrong or changed password: the same secret was accepted before and after",
            "contraseña errónea o cambiada: el mismo secreto se aceptó antes y después",
        ),
        ("account x y on 192.0.2.1", "account x y on 192.0.2.1"),
        ("", ""),
    ],
)
def test_what_has_no_key_stays_english(english: str, spanish: str) -> None:
    assert SAY(english) == spanish


@pytest.mark.parametrize(
    ("english", "spanish"),
    [
        (
            "192.0.2.2: 1 connection failed by 192.0.2.1. The capture does not decide it; rivals: server unavailable, TLS x.",
            "192.0.2.2: 1 conexión fallida por 192.0.2.1. La captura no lo decide; rivales: servidor no disponible, TLS x.",
        ),
        (
            "account locked or disabled: the account was let in shortly before; it would have to be locked in mid-capture",
            (
                "cuenta bloqueada o deshabilitada: a la cuenta se le dejó entrar poco antes; "
                "tendría que haberse bloqueado a mitad de la captura"
            ),
        ),
        (
            "x.pcap: no mail connection in it: 7 of the first 9 frames are TCP, none of mail. TLS starts.",
            "x.pcap: no contiene ninguna conexión de correo: 7 de las primeras 9 tramas son TCP, ninguna de correo. Empieza TLS.",
        ),
        (
            "x.log line 7: the server's own log says «auth; failed» of this refusal; both clocks agree",
            "x.log, línea 7: el registro del propio servidor dice «auth; failed» sobre este rechazo; los dos relojes coinciden",
        ),
        (
            "16 = Exchange 2010 to SE, default of A b; 16 = Exchange Online, default of C",
            "16 = valor predeterminado de A b en Exchange 2010 a SE; 16 = valor predeterminado de C en Exchange Online",
        ),
        (
            "all encrypted: logins cannot be seen (and 2 captures more)",
            "todo va cifrado: no se ven los inicios de sesión (y 2 capturas más)",
        ),
    ],
)
def test_a_sentence_made_of_parts_is_told_whole(english: str, spanish: str) -> None:
    assert SAY(english) == spanish


def test_how_to_capture_again_is_told_in_spanish() -> None:
    said = [x for told in WRONG.values() for x in told]
    said += [*commands(None, ()), *commands("192.0.2.1", (143,)), *commands("2001:db8::1", (143, 993))]
    told = {x: SAY(x).replace(" and (", "") for x in said if not x.startswith("Linux: tcpdump")}  # a filter's own word
    assert [x for x, spanish in told.items() if x == spanish or ENGLISH.search(OURS.sub("", spanish))] == []


def test_a_log_is_told_in_spanish() -> None:
    sample = ROOT / "sample_pcaps" / "one_agent_refused"
    shown = screen(analyzer.read(sample.with_suffix(".pcap"), sample.with_suffix(".LOG")).result, say=SAY)
    assert "registro de protocolo IMAP4 de Exchange   49 entradas" in shown
    assert "one_agent_refused.LOG, línea 5: el registro del propio servidor dice" in shown


def test_a_capture_cannot_put_words_into_the_holes_of_others() -> None:
    hostile = "x» y: {text} {say_name} account {n}"
    assert SAY(f"the server says so itself: «{hostile}»") == f"lo dice el propio servidor: «{hostile}»"


@pytest.mark.parametrize(
    "piece", [": ", "; ", " in 1 s", "a: account b on c, ", ". A", "«", " (1 %)", " to 1 by default, 1 needed: "]
)
def test_hostile_words_take_little_time(piece: str) -> None:
    begin = time.process_time()
    SAY((piece * 1000)[:990])
    SAY((piece * 1000)[:5000])
    assert time.process_time() - begin < 2.0


def test_languages() -> None:
    assert speaker("en") is str
    assert set(LANGUAGES) == {"en", "es"}
    with pytest.raises(AnalyzerError, match="no language 'fr'"):
        speaker("fr")
