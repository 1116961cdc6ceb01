from __future__ import annotations

import re

import pytest

from analyzer.errors import AnalyzerError
from analyzer.remedies import entries, fill
from analyzer.remedies.servers import EXCHANGE
from analyzer.report.remedy_page import HEADINGS, page, quoted

HOSTILE = "EX01'; Remove-Mailbox \u2019x\u2018; $(calc) `n \"\r\n<server>"
CODE = re.compile(r"^(?!#).+$", re.MULTILINE)
CHANGING = re.compile(r"\b(?:Set|New|Remove|Restart|Start|Stop|Unlock)-\w+")


def script(cause: str, product: str, **names: str) -> str:
    return page(fill({"agents": 40}, [cause], product), names, "ps1")


@pytest.mark.parametrize("name", [x.id for x in entries().values() if x.product == EXCHANGE])
def test_a_script_asks_before_it_changes_and_undoes_nothing_by_itself(name: str) -> None:
    made = page(fill({"agents": 40}, [name]), {}, "ps1")
    lines = CODE.findall(made.lstrip("\ufeff"))
    assert not [x for x in lines if "<" in x.partition("     #")[0]]
    for line in lines:
        if CHANGING.search(line):
            assert line.endswith(" -WhatIf") or " -Confirm" in line
        else:
            assert re.match(r"\$\w+ = '|if \(-not \$|Get-|Test-|netstat ", line), line
    asked = [x.partition(" -Confirm")[0] for x in lines if " -Confirm" in x]
    assert asked == [x.removesuffix(" -WhatIf") for x in lines if x.endswith(" -WhatIf")]
    undo = made.partition("undo: to go back")[2].partition("\n")[2]
    assert not CODE.findall(undo)
    used = set(re.findall(r"\$[A-Z]\w+", "\n".join(x for x in lines if not re.match(r"\$|if ", x))))
    given = set(re.findall(r"^(\$\w+) = ", made, re.MULTILINE))
    assert used == given


def test_a_script_looks_first_and_has_the_computed_number() -> None:
    made = script("per_user_connection_limit", "exchange-2010-sp2", server="EX01")
    order = [
        "$Server = 'EX01'",
        "if (-not $Server)",
        "Get-ImapSettings",
        "103 -WhatIf",
        "103 -Confirm",
        "Restart-Service",
        "# Set-",
    ]
    places = [made.index(x) for x in order]
    assert places == sorted(places)
    assert "40 agents x 2 + 2 = 82 connections" in made
    assert made.isascii()


def test_no_name_becomes_a_command() -> None:
    made = script("request_throttling", "exchange-2013", server=HOSTILE, mailbox=HOSTILE)
    (line,) = [x for x in made.splitlines() if x.startswith("$Mailbox = ")]
    inside = line.removeprefix("$Mailbox = '").rpartition("'     #")[0]
    assert re.fullmatch("(?:[^'\u2018\u2019\u201a\u201b]|(['\u2018\u2019\u201a\u201b])\\1)*", inside)
    assert len([x for x in made.splitlines() if "Remove-Mailbox" in x]) == 1
    assert "\r" not in made


@pytest.mark.parametrize(
    ("name", "string"),
    [
        ("EX01", "'EX01'"),
        ("O'Brien", "'O''Brien'"),
        ("a\nb", "'a\ufffdb'"),
        ("\u2019", "'\u2019\u2019'"),
        ("$x", "'$x'"),
    ],
)
def test_names_are_quoted_as_powershell_reads_them(name: str, string: str) -> None:
    assert quoted(name) == string


@pytest.mark.parametrize("style", ["text", "md"])
def test_names_stand_quoted_in_the_commands(style: str) -> None:
    remedies = fill({}, ["account_locked"], "zimbra")
    made = page(remedies, {"account": "a b;reboot"}, style)
    assert "zmprov ma 'a b;reboot' zimbraAccountStatus" in made
    assert "zmprov ma ana@example.org zimbra" in page(remedies, {"account": "ana@example.org"}, style)
    assert "zmprov ma -x" not in page(remedies, {"account": "-x"}, style)
    assert "zmprov ma <account>" in page(remedies, {}, style)
    assert "-Identity '<connector>'" in page(fill({}, ["smtp_rate_limit"], "exchange"), {}, style)


def test_markdown_is_for_the_case() -> None:
    made = page(fill({"agents": 40}, ["per_user_connection_limit"], "exchange-2016"), {}, "md")
    assert made.startswith("## Raise MaxConnectionsPerUser")
    assert made.count("```powershell\n") == made.count("\n```\n") == 5
    assert "**Undo**" in made
    assert "**Do not**" in made
    assert "```sh\n" in page(fill({}, ["per_user_connection_limit"], "dovecot"), {}, "md")


def test_text_has_every_part_in_order() -> None:
    made = page(fill({}, ["per_user_connection_limit"], "exchange-2010"), {}, "text")
    places = [
        made.index(f"\n{x}\n")
        for x in ("look first", "change", "restart", "look again", "undo", "risk", "do not", "source")
    ]
    assert places == sorted(places)
    assert "on servers dovecot\n" in page(fill({}, ["per_user_connection_limit"], "dovecot"), {}, "text")


def test_there_is_no_script_for_other_servers() -> None:
    with pytest.raises(AnalyzerError, match="no PowerShell script for dovecot"):
        script("per_user_connection_limit", "dovecot")


def test_what_fits_every_server_is_comment_in_a_script() -> None:
    assert CODE.findall(script("port_filtered", "exchange-2016")) == []


def test_headings_are_known_words() -> None:
    assert len(set(HEADINGS)) == len(HEADINGS)
