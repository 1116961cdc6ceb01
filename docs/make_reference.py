"""Write the reference pages from the code: python docs/make_reference.py. The same code gives the same pages."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

from typer.models import OptionInfo

from analyzer.cli import _records, app
from analyzer.fields import fields
from analyzer.remedies import entries, fill
from analyzer.remedies.remedy import Remedy
from analyzer.report.model import schema
from analyzer.rules import Habit, Rule, load_habits, load_rules, page_of
from analyzer.rules.narrate import NAMES
from analyzer.rules.signatures import Signature, signatures

ENDS = (".", ",", ";", ":")
"""What a line that heads others does not end with."""
FOLDER = Path(__file__).parent / "reference"
MADE = "*Made from the code by `python docs/make_reference.py`: change the code, not this page.*"


def main(folder: Path) -> None:
    """Write every page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Return the pages: file name -> text."""
    made = {
        "commands.md": ("Commands", commands_page()),
        "fields.md": ("Fields", fields_page()),
        "causes.md": ("Causes", causes_page()),
        "rules.md": ("Rules", rules_page()),
        "remedies.md": ("Remedies", remedies_page()),
        "schema.md": ("The JSON report", schema_page()),
    }
    return {
        name: "\n".join([f"# {title}", "", MADE, "", *lines]).rstrip() + "\n" for name, (title, lines) in made.items()
    }


def commands_page() -> Iterator[str]:
    """Yield the verbs with their arguments and options, as ``--help`` tells them."""
    yield "`mailscope CAPTURE...` is `mailscope report CAPTURE...`. `--version` prints the version. `--debug` (or `-v`),"
    yield "anywhere, shows the traceback of an error. What the exit status means: [README](../../README.md#exit-status)."
    for command in (x for x in app.registered_commands if not x.hidden):
        verb: Any = command.callback
        name = command.name or verb.__name__.replace("_", "-")
        words = [_word(*x) for x in _parameters(verb)]
        typed = [x.typed for x in words if not x.typed.startswith("-")]
        whole = " ".join(["mailscope", name, *typed, *["[OPTIONS]"] * (len(words) > len(typed))])
        yield from ("", f"## mailscope {name}", "", plain(verb.__doc__), "")
        yield from ("```text", whole, "```", "")
        yield from table(("word", "meaning", "values", "default"), [(f"`{x.typed}`", *x[1:]) for x in words])


class Word(NamedTuple):
    """One argument or option as a person reads it."""

    typed: str
    meaning: str
    values: str
    default: str


def _parameters(verb: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield typer's description of each parameter of a verb, its type, and its default (``inspect``'s ``empty``: none)."""
    hints = get_type_hints(verb, include_extras=True)
    for name, parameter in inspect.signature(verb).parameters.items():
        declared, said = get_args(hints[name])
        yield said, declared, parameter.default


def _word(said: Any, declared: Any, default: Any) -> Word:
    required = default is inspect.Parameter.empty
    value = default.value if isinstance(default, Enum) else default
    shown = f"{value:g}" if isinstance(value, float) else value
    told = "required" if required else "" if value in (None, "", False) else f"`{shown}`"
    return Word(_typed(said, declared, required=required), plain(said.help), _values(said, declared), told)


def _typed(said: Any, declared: Any, *, required: bool) -> str:
    if not isinstance(said, OptionInfo):
        word = f"{said.metavar}..." if get_args(declared) == (Path,) else said.metavar
        return word if required else f"[{word}]"
    # In an annotation typer takes the first name where a default would stand.
    names = ", ".join(x for x in (said.default, *(said.param_decls or ())) if isinstance(x, str))
    return f"{names} {said.metavar}" if said.metavar else names


def _values(said: Any, declared: Any) -> str:
    if isinstance(declared, type) and issubclass(declared, Enum):
        return ", ".join(f"`{x.value}`" for x in declared)
    if said.min is None:
        return ""
    return f"{said.min} to {said.max}" if said.max is not None else f"{said.min} or more"


def fields_page() -> Iterator[str]:
    """Yield the fields of every record, as ``mailscope fields`` prints them."""
    yield "The records of the Python interface and of the tables. `mailscope fields session` prints one of them. Times (`int`)"
    yield "are nanoseconds since the epoch in UTC; frames count from 1, as in Wireshark; what was not seen is `None`."
    for name, record in _records().items():
        yield from ("", f"## {name}", "")
        yield from table(
            ("field", "type", "meaning"), [(f"`{x.name}`", f"`{x.type}`", plain(x.doc)) for x in fields(record)]
        )


def causes_page() -> Iterator[str]:
    """Yield the causes: who speaks for each, which words do, what cures it."""
    yield "What a finding's `cause` may be, and what a person hears for it. A phrase in *italics* decides by its words alone;"
    yield "the others weigh. Weights are decibels ([how to read a verdict](../reading-a-verdict.md))."
    for cause, name in NAMES.items():
        yield from ("", f"## {cause}", "", f"**{name}**", "")
        leads = [plain(page_of(x).partition("\n")[0]) for x in load_rules() if x.cause == cause]
        yield from (line for lead in leads for line in (lead, ""))
        rows = [
            ("rules", ", ".join(_rule_link(x) for x in known_rules() if x.cause == cause)),
            ("remedies", ", ".join(f"[{x.id}](remedies.md#{x.id})" for x in entries().values() if x.cause == cause)),
            ("phrases", ", ".join(_phrase(x, cause) for x in signatures() if cause in x.means)),
        ]
        yield from table(("", ""), [(head, text or "none") for head, text in rows])


def _phrase(signature: Signature, cause: str) -> str:
    told = f"`{signature.id}` {signature.means[cause]:g}"
    return f"*{told}*" if signature.explicit and signature.cause == cause else told


def _rule_link(rule: Rule | Habit) -> str:
    return f"[{rule.id}](rules.md#{rule.id})"


def _cause_link(cause: str) -> str:
    """Return a link; a remedy may also be for a habit, or for a kind of capture."""
    if cause in NAMES:
        return f"[{cause}](causes.md#{cause})"
    habit = cause.replace("_", "-")
    return f"[{habit}](rules.md#{habit})" if any(x.id == habit for x in load_habits()) else f"`{cause}`"


def known_rules() -> list[Rule | Habit]:
    """Return rules, then habits, each by name."""
    return [*load_rules(), *load_habits()]


def rules_page() -> Iterator[str]:
    """Yield the manual page of every rule and habit, as ``mailscope rules ID`` prints them."""
    yield "Rules testify for or against a cause. Habits are warnings: nobody failed by them, and no exit status looks at them."
    for title, found in (("Rules", load_rules()), ("Habits", load_habits())):
        yield from ("", f"{title}:", "")
        yield from (f"- {_rule_link(x)}: {plain(x.title)}" for x in found)
    for rule in known_rules():
        yield from ("", f"## {rule.id}", "", f"Cause: [{rule.cause}](causes.md#{rule.cause})")
        yield from manual(page_of(rule))


def manual(page: str) -> Iterator[str]:
    """Yield a rule's doc string as Markdown: a word alone on its line heads the indented lines below it."""
    head, held = "", list[str]()
    for line in [*page.strip().splitlines(), ""]:
        if line.startswith(" "):
            held.append(line)
            continue
        if held:
            yield from ("", head + plain(" ".join(held)))
        heads = bool(line.strip()) and not line.endswith(ENDS)
        head, held = (f"**{line.strip()}:** ", []) if heads else ("", [line] if line.strip() else [])


def remedies_page() -> Iterator[str]:
    """Yield every remedy as it holds for all versions of its product, numbers left open."""
    yield "`mailscope remedy CAUSE --server PRODUCT --agents N` prints these with the numbers filled in, for your version."
    yield "`<angle brackets>` are yours to fill. Nothing here is ever run by mailscope."
    yield ""
    found = list(entries().values())
    yield from table(
        ("remedy", "cause", "servers"),
        [(f"[{x.id}](#{x.id})", _cause_link(x.cause), _servers(x)) for x in found],
    )
    for raw in found:
        facts = {"protocol": raw.protocols[0]} if raw.protocols else {}
        (remedy,) = fill(facts, [raw.id], raw.product)
        yield from ("", f"## {remedy.id}", "", f"**{plain(remedy.title)}**", "")
        yield f"Cures {_cause_link(remedy.cause)} on {_servers(remedy)}."
        yield from ("", *(f"{n}. {plain(x)}" for n, x in enumerate(remedy.steps, 1)))
        for head, text in remedy.blocks:
            yield from ("", f"{head.capitalize()}:", "", "```text", *text.splitlines(), "```")
        yield from ("", f"Risk: {plain(remedy.risk)}")
        for head, texts in (("Do not", remedy.avoid), ("Notes", remedy.notes), ("Sources", remedy.source)):
            if texts:
                yield from ("", f"{head}:", "", *(f"- {plain(x)}" for x in texts))


def _servers(remedy: Remedy) -> str:
    where = "any server" if remedy.product == "any" else remedy.product
    versions = [x for x in remedy.versions if x != "any"]
    spoken = f" ({', '.join(remedy.protocols)})" if remedy.protocols else ""
    return f"{where} {', '.join(versions)}".strip() + spoken


def schema_page() -> Iterator[str]:
    """Yield the fields of the JSON report, object by object."""
    yield "What `mailscope report --format json` prints. `mailscope schema` prints the same as JSON Schema (2020-12). Fields keep"
    yield "their names and meanings within `schema_version` 1; more may be added, so ignore what you do not know."
    whole: Mapping[str, Any] = schema()
    objects = {"Report": whole, **dict(sorted(whole["$defs"].items()))}
    for name, found in objects.items():
        yield from ("", f"## {name}", "", plain(found.get("description", "")), "")
        rows = [(f"`{key}`", kind(x), plain(x.get("description", ""))) for key, x in found["properties"].items()]
        yield from table(("field", "type", "meaning"), rows)


def kind(found: Mapping[str, Any]) -> str:
    """Return a JSON Schema type in words: 'integer or null', 'list of [SessionRow](#sessionrow)'."""
    if "$ref" in found:
        name = found["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in found:
        return " or ".join(kind(x) for x in found["anyOf"])
    if "enum" in found:
        return ", ".join(f"`{x}`" for x in found["enum"])
    if "const" in found:
        return f"`{found['const']}`"
    if found.get("type") == "array":
        return f"list of {kind(found['items'])}"
    return str(found.get("type", "any"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a Markdown table; columns that are empty in every row are left out."""
    held = [list(x) for x in rows]
    if not held:
        return
    columns = [n for n, word in enumerate(head) if any(row[n] for row in held) or not word]
    for row in [list(head), ["---"] * len(head), *held]:
        yield "| " + " | ".join(row[n].replace("|", r"\|") for n in columns) + " |"


def plain(text: str) -> str:
    """Return a sentence as Markdown that shows it as it is, in one line."""
    one = " ".join(text.split())
    return "".join(f"\\{x}" if x in "<*[]" else x for x in one) if "`" not in one else one


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
