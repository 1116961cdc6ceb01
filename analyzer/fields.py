"""Reads a record class: its fields' names, types and doc strings, as they stand in its source."""

from __future__ import annotations

import ast
import inspect
from typing import NamedTuple


class Field(NamedTuple):
    """One field of a record."""

    name: str
    type: str
    """As written in the source, such as 'int | None'."""
    doc: str
    """The string under the field, in one line; empty when there is none."""


def fields(record: type) -> tuple[Field, ...]:
    """Return the fields of a record class (NamedTuple or dataclass) in order, with the doc string under each."""
    source = ast.parse(inspect.getsource(inspect.getmodule(record) or record))
    body = next(x.body for x in source.body if isinstance(x, ast.ClassDef) and x.name == record.__name__)
    found: list[Field] = []
    for place, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            below = body[place + 1] if place + 1 < len(body) else None
            found.append(Field(node.target.id, ast.unparse(node.annotation), _doc(below)))
    return tuple(found)


def _doc(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""
