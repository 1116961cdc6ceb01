"""What the house tests look for: each check takes source text and yields what is wrong, so that it can be tested itself."""

import ast
import re
from collections.abc import Iterator

FLOORS = {
    "at": 0, "secret": 0, "errors": 0, "fields": 0, "text": 0, "language": 0,
    "capture": 1, "protocols": 1,
    "streams": 2,
    "sessions": 3,
    "rules": 4, "remedies": 4,
    "report": 5,
    "analysis": 6,
    "inputs": 6,  # what was given, to sessions and records
    "comparison": 6,  # two analyses beside each other
    "probe": 6,  # beside analysis: the only file that opens connections
    "triage": 7,
    "service": 8,
    "start": 9,
    "cli": 9,
    "__version__": 0,  # a constant of the package, which loads nothing
    "__init__": 7,  # the facade's public names, loaded on first use
    "__main__": 9,
}  # fmt: skip
STRANGERS = {"capture": "protocols", "protocols": "capture", "rules": "remedies", "remedies": "rules"}
"""Floors of equal height that must not know each other."""
HEAVY = frozenset({
    "IPython", "dask", "distributed", "fsspec", "jinja2", "markupsafe", "matplotlib", "numpy", "openpyxl", "pandas", "psycopg",
    "pyarrow", "pydantic", "pyshark", "python_multipart", "rich", "scapy", "starlette", "typer", "uvicorn",
})  # fmt: skip
HEAVY_ALLOWED = {"cli.py": {"typer"}, "report/contract.py": {"pydantic"}}
"""Where a heavy package may be loaded with its module: verbs are typer's from the first line on, the schema pydantic's."""
BANNED_NAMES = frozenset({"utils", "util", "helpers", "helper", "manager", "base", "common"})
NETWORK = frozenset({"http", "requests", "smtplib", "ssl", "urllib", "imaplib", "poplib"})
CONNECTS = re.compile(r"\bsocket\.(?:socket(?!\(fileno=)|create_connection|create_server)\(|\bopen_connection\(")
CONNECTING = frozenset({"probe.py"})
"""Files that may open connections."""
CLOCKS = re.compile(r"\b(?:time|datetime|date|dt)\.(?:time|time_ns|monotonic|perf_counter|now|utcnow|today)\(")


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything imported, wherever in the module it stands."""
    for node in ast.walk(tree):
        yield from _names(node)


def _names(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Import):
        yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        if module == "analyzer":
            yield from ((node.lineno, f"analyzer.{alias.name}") for alias in node.names)
        else:
            yield node.lineno, module


def floor_of(path: str) -> str:
    """Return the floor a file of the package lives on; the path is relative to the package."""
    return path.split("/", maxsplit=1)[0].removesuffix(".py")


def upward(path: str, source: str) -> Iterator[str]:
    """Yield each import that points up, or to a floor that must not be known, or is relative."""
    here = floor_of(path)
    for line, name in imported(ast.parse(source)):
        if name.startswith("."):
            yield f"{path}:{line} imports relatively: {name}"
        if name.split(".")[0] != "analyzer":
            continue
        there = name.split(".")[1] if "." in name else "__init__"
        there = there if there in FLOORS else "__init__"
        if FLOORS[there] > FLOORS[here]:
            yield f"{path}:{line} imports upwards: {name}"
        if STRANGERS.get(here) == there:
            yield f"{path}:{line} must not know {name}"


def eager(path: str, source: str) -> Iterator[str]:
    """Yield each heavy package that is imported when the module is, outside functions and type-checking blocks."""
    allowed = HEAVY_ALLOWED.get(path, set())
    for node in _at_import(ast.parse(source)):
        for line, name in _names(node):
            package = name.split(".")[0]
            if package in HEAVY and package not in allowed:
                yield f"{path}:{line} loads {package} with the module"


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _at_import(child)


def undocumented(path: str, source: str) -> Iterator[str]:
    """Yield each public module, class and function without a docstring."""
    tree = ast.parse(source)
    if not ast.get_docstring(tree):
        yield f"{path} has no docstring"
    for node in _public(tree):
        if not ast.get_docstring(node):
            yield f"{path}:{node.lineno} {node.name} has no docstring"


def _public(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


def undocumented_fields(path: str, source: str, plain: frozenset[str]) -> Iterator[str]:
    """Yield each public field of a record class without a doc string under it, unless its name is plain enough."""
    for owner in ast.walk(ast.parse(source)):
        if isinstance(owner, ast.ClassDef):
            for node, below in zip(owner.body, [*owner.body[1:], None], strict=True):
                if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                    continue
                documented = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                if not documented and node.target.id not in plain:
                    yield f"{path}:{node.lineno} {owner.name}.{node.target.id} is not documented"


def clocks(path: str, source: str) -> Iterator[str]:
    """Yield each use of the wall clock, and of the network, below ``analysis``."""
    if FLOORS[floor_of(path)] >= FLOORS["analysis"]:
        return
    for line, name in imported(ast.parse(source)):
        if name.split(".")[0] in NETWORK | {"time"}:
            yield f"{path}:{line} imports {name}"
    for number, text in enumerate(source.splitlines(), 1):
        if CLOCKS.search(text):
            yield f"{path}:{number} reads the clock"


def connections(path: str, source: str) -> Iterator[str]:
    """Yield each sign of an opened connection, outside the file that is there for it."""
    if path in CONNECTING:
        return
    for line, name in imported(ast.parse(source)):
        if name.split(".")[0] in NETWORK:
            yield f"{path}:{line} imports {name}"
    for number, text in enumerate(source.splitlines(), 1):
        if CONNECTS.search(text):
            yield f"{path}:{number} opens a connection"


def prints(path: str, source: str) -> Iterator[str]:
    """Yield each call of print outside the command line."""
    if floor_of(path) == "cli":
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{path}:{node.lineno} prints"
