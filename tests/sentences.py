"""Every sentence that the program may say, read from its source: literals, and f-strings with examples in their holes.

A hole that the same file fills from literals (a name assigned above, a function's own returns, a choice) takes each of them;
any other takes a number, which every hole of a template takes too. So no sentence escapes for want of a capture that shows it.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice, product
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1] / "analyzer"
SPEAKING = (
    "rules/*.py", "rules/catalogue/*.py", "rules/habits/*.py", "sessions/*.py", "sessions/records/*.py", "capture/*.py",
    "report/*.py", "comparison.py",
)  # fmt: skip
"""Files whose sentences reach a page or a screen."""
SILENT = frozenset({
    "report/contract.py", "report/model.py", "report/html.py", "report/parquet.py", "report/workbook.py",
    "report/remedy_page.py", "capture/listing.py", "capture/details.py",
})  # fmt: skip
"""Those of them that write data or commands, or read texts of others."""
MOST = 400
"""Examples made of one f-string."""
DEEPEST = 4
"""Names within names."""
_WORD = re.compile(r"[A-Za-z][a-z']+")
_CODE = re.compile(r"\\|[(\]]\?|'\?|^RFC \d|</|[a-z]+=\"|^frame\.number|^\S+\.\S+==")
"""What stands in regular expressions, markup and filters only."""


class Sentence(NamedTuple):
    """One sentence with examples of how it may read."""

    place: str
    text: str
    """As the source has it."""
    examples: tuple[str, ...]


def sentences(holes: Mapping[str, tuple[str, ...]], least: int) -> Iterator[Sentence]:
    """Yield every literal of the speaking files with at least ``least`` words; ``holes`` has examples of some: 'file expression'."""
    for pattern in SPEAKING:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            if name not in SILENT:
                yield from File(name, path.read_text("utf-8"), holes).sentences(least)


class File:
    """The literals of one file."""

    def __init__(self, name: str, source: str, holes: Mapping[str, tuple[str, ...]]) -> None:
        self._name, self._holes = name, holes
        self._tree = ast.parse(source)
        self._given: dict[str, list[ast.expr]] = defaultdict(list)
        """What each name is assigned, and each function returns, anywhere in the file."""
        self._pieces: set[int] = set()
        """Literals that are parts of others."""
        for node in ast.walk(self._tree):
            self._note(node)

    def sentences(self, least: int) -> Iterator[Sentence]:
        """Yield the sentences, whole ones only."""
        passed = set(map(id, self._passed_over()))
        nodes = [x for x in ast.walk(self._tree) if isinstance(x, ast.Constant | ast.JoinedStr) and id(x) not in passed]
        told = [(node, literal(node)) for node in nodes]
        told = [(node, text) for node, text in told if len(_WORD.findall(text)) >= least and not _CODE.search(text)]
        made = [(node, text, tuple(self._examples(node, 0))) for node, text in told if " " in text]
        for node, text, examples in made:
            if id(node) not in self._pieces:
                yield Sentence(f"{self._name}:{node.lineno}", text, examples)

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            self._given[node.targets[0].id].append(node.value)
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Tuple)
            and isinstance(node.value, ast.Tuple)
        ):
            for target, value in zip(node.targets[0].elts, node.value.elts, strict=False):
                self._given[ast.unparse(target)].append(value)
        if isinstance(node, ast.FunctionDef):
            for x in ast.walk(node):
                if isinstance(x, ast.Return) and x.value is not None:
                    self._given[f"{node.name}()"].append(x.value)

    def _passed_over(self) -> Iterator[ast.AST]:
        """Yield what is no sentence by itself: docstrings, insides of f-strings, sources, what the reader has done wrong."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield from (x for x in ast.walk(node) if x is not node)
            elif isinstance(node, ast.Raise) and not self._name.startswith("capture/"):
                yield from ast.walk(node)
            elif isinstance(node, ast.keyword) and node.arg == "source":
                yield from ast.walk(node.value)

    def _examples(self, node: ast.expr, depth: int) -> list[str]:
        """Return how an expression may read."""
        known = self._holes.get(f"{self._name} {ast.unparse(node)}")
        if known is not None:
            return list(known)
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.IfExp(body=one, orelse=other):
                return [*self._examples(one, depth), *self._examples(other, depth)]
            case ast.BinOp(left=ast.Constant() | ast.JoinedStr() as left, op=ast.Mult()):
                return ["", *self._examples(left, depth)]
            case ast.JoinedStr(values=values):
                parts = [self._examples(x.value if isinstance(x, ast.FormattedValue) else x, depth) for x in values]
                return ["".join(x) for x in islice(product(*parts), MOST)]
            case ast.Name(id=name) if depth < DEEPEST:
                return self._filled(name, depth)
            case ast.Call(func=ast.Name(id=name)) if depth < DEEPEST:
                return self._filled(f"{name}()", depth)
        return ["7"]

    def _filled(self, name: str, depth: int) -> list[str]:
        """Return what the literals given to a name read like; a number where there are none, or others as well."""
        literals = [x for x in self._given.get(name, ()) if any(map(_spoken, ast.walk(x)))]
        self._pieces |= {id(y) for x in literals for y in ast.walk(x)}
        return list(dict.fromkeys(y for x in literals for y in self._examples(x, depth + 1))) or ["7"]


def literal(node: ast.Constant | ast.JoinedStr) -> str:
    """Return the text of a literal without its holes, all space in it single."""
    if isinstance(node, ast.JoinedStr):
        return " ".join(" ".join(str(x.value) for x in node.values if isinstance(x, ast.Constant)).split())
    return " ".join(node.value.split()) if isinstance(node.value, str) else ""


def _spoken(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
