"""Remedies as a page of text, as Markdown for the case, and as a PowerShell script to be run line by line.

The script looks first, shows with ``-WhatIf`` what each change would do right before it, asks before it does it, and ends
with the way back as comments. What a person gave (a server's name, an account) is put in quoted, so that no name can
become a command.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from analyzer.errors import AnalyzerError
from analyzer.remedies import ANY, Remedy
from analyzer.remedies.servers import EXCHANGE
from analyzer.text import clean

Say = Callable[[str], str]
"""Puts an English sentence into the reader's language."""

HEADINGS = (
    "look first", "change", "restart", "look again", "undo", "risk", "do not", "notes", "source", "fill in",
    "this changes nothing, it only reads", "the line with -WhatIf shows what would change, the one below changes it and asks first",
    "to go back: remove the # and run line by line; the values are those that were read first",
    "run this in the Exchange Management Shell, line by line, from top to bottom",
    "not PowerShell: where and how to run it is yours to judge",
    "cures", "on servers", "fill in {text} first",
)  # fmt: skip
"""Fixed words of a page: each has its translation."""
NAME_LIMIT = 128
"""Characters of a name that a person gives; a host name has at most 253, none that long is typed."""
_PLACE = re.compile(r"'?<([A-Za-z][A-Za-z ]*)>'?")
_COMMENT = re.compile(r"(.*?\S)\s{2,}(# .*)")
_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")
"""What PowerShell takes for a single quote (language specification 3.0, 2.3.5.2)."""
_SAFE = re.compile(r"[A-Za-z0-9._@-]+")
_CHANGES = re.compile(r"(?:Set|New|Remove|Restart|Start|Stop|Unlock)-\w+")
"""Verbs of cmdlets that change something: all of those used here know -WhatIf and -Confirm."""
_FENCES = {EXCHANGE: "powershell", ANY: "text"}


def page(remedies: Sequence[Remedy], names: Mapping[str, str], style: str, say: Say = str) -> str:
    """Return remedies as ``style`` asks: text, md or ps1; ``names`` are words for <places>, such as {'server': 'EX01'}.

    Raises:
        AnalyzerError: a PowerShell script was asked for, and there is no PowerShell for this server.
    """
    if style == "ps1" and any(x.product not in {EXCHANGE, ANY} for x in remedies):
        raise AnalyzerError(
            f"There is no PowerShell script for {remedies[0].product}.", hint="--format text or md shows its commands."
        )
    return {"text": text, "md": markdown, "ps1": powershell}[style](remedies, names, say)


def text(remedies: Iterable[Remedy], names: Mapping[str, str], say: Say = str) -> str:
    """Return remedies as a page of text."""
    return "\n".join(_text(x, names, say) for x in remedies)


def _text(remedy: Remedy, names: Mapping[str, str], say: Say) -> str:
    fits = remedy.product if remedy.versions == (ANY,) else " ".join((remedy.product, *remedy.versions))
    parts = [f"{remedy.title}\n  {remedy.id}   {say('cures')} {remedy.cause}   {say('on servers')} {fits}\n"]
    parts += [f"  {number}. {step}\n" for number, step in enumerate(remedy.steps, 1)]
    for name, block in remedy.blocks:
        parts += [f"\n{say(name)}\n", *(f"  {_named(line, names, remedy)}\n" for line in block.splitlines())]
    parts += [f"\n{say('risk')}\n  {remedy.risk}\n"]
    for name, items in _lists(remedy):
        parts += [f"\n{say(name)}\n", *(f"  - {x}\n" for x in items)]
    return "".join(parts)


def _lists(remedy: Remedy) -> Iterator[tuple[str, tuple[str, ...]]]:
    named = (("do not", remedy.avoid), ("notes", remedy.notes), ("source", remedy.source))
    return ((name, items) for name, items in named if items)


def markdown(remedies: Iterable[Remedy], names: Mapping[str, str], say: Say = str) -> str:
    """Return remedies as Markdown, to be put into a case."""
    return "\n".join(_markdown(x, names, say) for x in remedies)


def _markdown(remedy: Remedy, names: Mapping[str, str], say: Say) -> str:
    parts = [f"## {_escaped(remedy.title)}\n\n`{remedy.id}`\n\n"]
    parts += [f"{number}. {_escaped(step)}\n" for number, step in enumerate(remedy.steps, 1)]
    fence = _FENCES.get(remedy.product, "sh")
    for name, block in remedy.blocks:
        lines = "".join(f"{_named(line, names, remedy)}\n" for line in block.splitlines())
        parts.append(f"\n**{_capital(say(name))}**\n\n```{fence}\n{lines}```\n")
    parts.append(f"\n**{_capital(say('risk'))}**: {_escaped(remedy.risk)}\n")
    for name, items in _lists(remedy):
        parts += [f"\n**{_capital(say(name))}**\n\n", *(f"- {_escaped(x)}\n" for x in items)]
    return "".join(parts)


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _escaped(sentence: str) -> str:
    return re.sub(r"([\\`*_<>\[\]|])", r"\\\1", sentence)


def powershell(remedies: Iterable[Remedy], names: Mapping[str, str], say: Say = str) -> str:
    """Return remedies as one PowerShell script; entries that are not Exchange's stand in it as comments."""
    made = "\n".join(_script(x, names, say) for x in remedies)
    return made if made.isascii() else f"\ufeff{made}"  # Windows PowerShell takes a script without the mark for ANSI


def _script(remedy: Remedy, names: Mapping[str, str], say: Say) -> str:
    head = [f"{remedy.id}: {remedy.title}", *(f"{n}. {x}" for n, x in enumerate(remedy.steps, 1))]
    head += [f"{say('risk')}: {remedy.risk}", *(f"{say('do not')}: {x}" for x in remedy.avoid)]
    own = remedy.product != ANY
    head.append(
        say("run this in the Exchange Management Shell, line by line, from top to bottom")
        if own
        else say("not PowerShell: where and how to run it is yours to judge")
    )
    parts = ["".join(f"# {x}\n" for x in head)]
    if own:
        parts += _places(remedy, names, say)
    for number, (name, block) in enumerate(remedy.blocks, 1):
        parts.append(f"\n# --- {number}. {say(name)}{_about(name, say)}\n")
        parts += [f"{x}\n" for line in block.splitlines() for x in _lines(name, line, own=own)]
    return "".join(parts)


def _about(name: str, say: Say) -> str:
    told = {
        "look first": "this changes nothing, it only reads",
        "change": "the line with -WhatIf shows what would change, the one below changes it and asks first",
        "undo": "to go back: remove the # and run line by line; the values are those that were read first",
    }
    return f": {say(told[name])}" if name in told else ""


def _places(remedy: Remedy, names: Mapping[str, str], say: Say) -> Iterator[str]:
    """Yield a variable for every <place> of the commands that are run, and a guard while it is empty."""
    code = "\n".join(_split(line)[0] for name, block in remedy.blocks if name != "undo" for line in block.splitlines())
    wanted = dict.fromkeys(_PLACE.findall(code))
    if wanted:
        yield f"\n# --- {say('fill in')}\n"
    for place in wanted:
        yield f"{_variable(place)} = {quoted(names.get(place, ''))}     # <{place}>\n"
    for place in wanted:
        yield f"if (-not {_variable(place)}) {{ throw {quoted(say(f'fill in {_variable(place)} first'))} }}\n"


def _lines(name: str, line: str, *, own: bool) -> Iterator[str]:
    code, comment = _split(line)
    code = _PLACE.sub(lambda match: _variable(match[1]), code)
    tail = f"     {comment}" if code and comment else comment
    if not own or name == "undo" or not _is_code(code):
        yield f"# {code}{tail}" if code else tail
    elif name in {"change", "restart"} and _CHANGES.match(code.rpartition("|")[2].strip()):
        yield f"{code} -WhatIf"
        yield f"{code} -Confirm{tail}"
    else:
        yield f"{code}{tail}"


def _is_code(code: str) -> bool:
    """Tell a command from a sentence that stands in a block ('Nothing is changed by these steps.')."""
    return bool(re.match(r"(?:[A-Z]\w+-[A-Z]\w+|netstat)\b", code))


def _split(line: str) -> tuple[str, str]:
    """Return the command of a line and its comment."""
    if line.startswith("#"):
        return "", line
    match = _COMMENT.fullmatch(line)
    return (match[1], match[2]) if match else (line, "")


def _variable(place: str) -> str:
    return "$" + "".join(_capital(x) for x in place.split())


def quoted(name: str) -> str:
    """Return a name as a PowerShell string that stands for itself: nothing in it is expanded or ends it."""
    return "'" + _QUOTES.sub(r"\1\1", clean(name, NAME_LIMIT)) + "'"


def _named(line: str, names: Mapping[str, str], remedy: Remedy) -> str:
    """Put the names a person gave into a command line, quoted for its shell where they need it."""

    def put(match: re.Match[str]) -> str:
        name = clean(names.get(match[1], ""), NAME_LIMIT)
        if not name or (name.startswith("-") and remedy.product != EXCHANGE):  # a shell's option, quoted or not
            return match[0]
        if _SAFE.fullmatch(name) and not name.startswith("-"):
            return name if not match[0].startswith("'") else f"'{name}'"
        return quoted(name) if remedy.product == EXCHANGE else shlex.quote(name)

    return _PLACE.sub(put, line)
