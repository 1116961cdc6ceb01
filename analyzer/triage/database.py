"""SQLite or PostgreSQL behind one small seam: the same SQL, parameters by name (``:name``), rows as mappings.

Only SQL that both understand is used. What differs stands here: how to connect, who may write, what octets and counters
are called. A write holds the only pen: SQLite lets one connection write at a time anyway, and in PostgreSQL a lock that
ends with the transaction keeps two replicas from clustering the same incident twice.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue
from string import Template
from types import MappingProxyType
from typing import Any, Protocol

from analyzer.errors import StoreError
from analyzer.text import clean

VERSION_TABLE = "mailscope_store"
"""Holds the number of the last migration; a database without it is no store."""
CONNECTIONS = 8
"""Open at a time, per process: as many workers as a machine of this trade has, and pages being read."""
BUSY_MS = 30_000
"""How long a writer waits for another; one transaction takes milliseconds."""
CACHE_KB = 32 << 10
"""Of pages, per connection: the indexes of 100,000 captures."""
WAIT_S = 60.0
"""How long a thread waits for a connection that others hold."""
_LOCK = 0x6D73_6370
"""Number of the advisory lock in PostgreSQL: any that no other program uses."""
_MIGRATIONS = Path(__file__).parent / "migrations"
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")

Values = Mapping[str, Any]
NONE: Values = MappingProxyType({})


class Link(Protocol):
    """One connection in a transaction."""

    def run(self, sql: str, values: Values = NONE) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    def each(self, sql: str, many: Iterable[Values]) -> None:
        """Run a statement for each set of values."""
        ...

    def rows(self, sql: str, values: Values = NONE) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        ...


class Database(Protocol):
    """Where a store lies."""

    words: Mapping[str, str]
    """What it calls octets, a counter, a text in an index, and 'locked rows are passed over'."""

    def open(self) -> Any:
        """Connect."""
        ...

    def begin(self, connection: Any, *, writes: bool, alone: bool) -> Link:
        """Begin a transaction."""
        ...

    def tables(self, link: Link) -> set[str]:
        """Return the names of the tables there are."""
        ...


class SQLite:
    """A file, or ':memory:' for as long as the program lives."""

    words: Mapping[str, str] = {
        "blob": "BLOB",
        "serial": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "searched": ", search",
        "skip_locked": "",
    }

    def __init__(self, where: str) -> None:
        self.where = where

    def open(self) -> sqlite3.Connection:
        """Connect; other threads may use the connection after this one."""
        made = sqlite3.connect(self.where, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
        made.row_factory = sqlite3.Row
        try:
            self._set(made)
        except sqlite3.Error:
            made.close()
            raise
        return made

    def _set(self, made: sqlite3.Connection) -> None:
        """Set how to write.

        In WAL readers and the writer do not wait for each other, and 'normal' still survives a killed process; a power cut
        may cost the last captures, which the next run does again.
        """
        tables = self.tables(_SQLiteLink(made))
        if not tables or VERSION_TABLE in tables:  # the file of another program stays as it is
            made.execute("PRAGMA journal_mode = WAL").close()
        for pragma in ("synchronous = NORMAL", "foreign_keys = ON", f"cache_size = -{CACHE_KB}"):
            made.execute(f"PRAGMA {pragma}").close()

    def begin(self, connection: sqlite3.Connection, *, writes: bool, alone: bool) -> Link:
        """Begin; a writer takes the pen at once, since one that reads first could not get it any more."""
        del alone  # SQLite has but one pen
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        return _SQLiteLink(connection)

    def tables(self, link: Link) -> set[str]:
        """Return the names of the tables in the file."""
        return {row["name"] for row in link.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}


class _SQLiteLink:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, values: Values = NONE) -> int:
        return self._connection.execute(sql, storable(values)).rowcount

    def each(self, sql: str, many: Iterable[Values]) -> None:
        self._connection.executemany(sql, map(storable, many))

    def rows(self, sql: str, values: Values = NONE) -> list[dict[str, Any]]:
        return [dict(row) for row in self._connection.execute(sql, storable(values))]


class PostgreSQL:
    """A server, by URL."""

    words: Mapping[str, str] = {
        "blob": "BYTEA",
        "serial": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "searched": "",
        "skip_locked": "FOR UPDATE SKIP LOCKED",
    }

    def __init__(self, where: str) -> None:
        self.where = where

    def open(self) -> Any:
        """Connect."""
        import psycopg
        from psycopg.rows import dict_row

        made = psycopg.connect(self.where, row_factory=dict_row, connect_timeout=10, autocommit=True)
        made.execute("SET client_encoding TO 'UTF8'")
        return made

    def begin(self, connection: Any, *, writes: bool, alone: bool) -> Link:
        """Begin; what must be alone waits for the others."""
        connection.execute("BEGIN" if writes else "BEGIN READ ONLY")
        if alone:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        return _PostgreSQLLink(connection)

    def tables(self, link: Link) -> set[str]:
        """Return the names of the tables that are found without naming a schema."""
        return {
            row["name"]
            for row in link.rows(
                "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = current_schema()"
            )
        }


class _PostgreSQLLink:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, sql: str, values: Values = NONE) -> int:
        return int(self._connection.execute(_percent(sql), storable(values)).rowcount)

    def each(self, sql: str, many: Iterable[Values]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_percent(sql), map(storable, many))

    def rows(self, sql: str, values: Values = NONE) -> list[dict[str, Any]]:
        return list(self._connection.execute(_percent(sql), storable(values)))


def storable(values: Values) -> dict[str, Any]:
    """Return values without what a database refuses in a text: NUL (PostgreSQL), halves of a surrogate pair (both)."""
    return {name: _text(value) if isinstance(value, str) else value for name, value in values.items()}


def _text(value: str) -> str:
    if value.isascii() and "\0" not in value:
        return value
    return value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _percent(sql: str) -> str:
    """Write parameters as psycopg wants them."""
    return _PARAMETER.sub(r"%(\1)s", sql)


class Pool:
    """Connections of one process, lent to one thread at a time."""

    def __init__(self, database: Database, most: int) -> None:
        self.database = database
        self._idle: LifoQueue[Any] = LifoQueue()
        for _ in range(most):
            self._idle.put(None)  # a place for a connection not made yet

    @contextmanager
    def transaction(self, *, writes: bool, alone: bool = False) -> Iterator[Link]:
        """Lend a connection for one transaction; an exception undoes it.

        Raises:
            StoreError: the database cannot be reached, is full, locked or damaged.
        """
        connection = self._take()
        try:
            connection = connection or self.database.open()
            link = self.database.begin(connection, writes=writes, alone=alone)
            try:
                yield link
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except _errors() as error:
            _drop(connection)
            connection = None
            raise _explained(error) from error
        finally:
            self._idle.put(connection)

    def close(self) -> None:
        """Close what is idle."""
        while True:
            try:
                _drop(self._idle.get_nowait())
            except Empty:
                return

    def _take(self) -> Any:
        try:
            return self._idle.get(timeout=WAIT_S)
        except Empty:
            raise StoreError("the store is closed, or busy for too long", hint="try again") from None


def _drop(connection: Any) -> None:
    if connection is not None:
        connection.close()


def _errors() -> tuple[type[Exception], ...]:
    """Return what the databases in use raise; PostgreSQL's is not loaded for its errors."""
    import sys

    psycopg = sys.modules.get("psycopg")
    return (sqlite3.Error, psycopg.Error) if psycopg else (sqlite3.Error,)


def _explained(error: Exception) -> StoreError:
    """Say what a database said, in one line: passwords of a URL are not in it."""
    said = clean(str(error).strip().partition("\n")[0], 200)
    if "not a database" in said:
        return StoreError("this file is no store of cases", hint="name a new file, or one that --store made")
    hint = "close the other program that writes to it, or try again" if "locked" in said else ""
    return StoreError(f"the store cannot be used: {said}", hint=hint)


def connected(where: str | Path) -> Pool:
    """Return the connections to a store, made up to date; a path is SQLite, ``postgresql://...`` a server.

    Raises:
        StoreError: it cannot be opened, is something else, or is of a newer mailscope.
    """
    text = str(where)
    if text.startswith(("postgresql://", "postgres://")):
        pool = Pool(_server(text), CONNECTIONS)
    elif "://" in text:
        raise StoreError(
            f"a store cannot lie at {clean(text.partition('://')[0], 20)}://", hint="a path, or postgresql://"
        )
    else:
        pool = Pool(SQLite(text), 1 if text == ":memory:" else CONNECTIONS)
    try:
        _migrate(pool, text)
    except BaseException:
        pool.close()
        raise
    return pool


def _server(where: str) -> PostgreSQL:
    try:
        import psycopg  # noqa: F401 (only whether it is there)
    except ImportError as missing:
        hint = "pip install 'mailscope[postgres]'"
        raise StoreError("a store on PostgreSQL needs the package psycopg", hint=hint) from missing
    return PostgreSQL(where)


def migrations() -> Sequence[tuple[int, str]]:
    """Return number and text of every step, in order."""
    return [(int(path.name[:4]), path.read_text("utf-8")) for path in sorted(_MIGRATIONS.glob("*.sql"))]


def _migrate(pool: Pool, where: str) -> None:
    """Do the steps that the store has not seen, all or none."""
    steps = migrations()
    with pool.transaction(writes=False) as link:
        if _version(pool.database, link, where) == steps[-1][0]:
            return
    with pool.transaction(writes=True, alone=True) as link:
        version = _version(pool.database, link, where)  # another process may have been first
        if version is None:
            link.run(f"CREATE TABLE {VERSION_TABLE} (version INTEGER NOT NULL)")
            link.run(f"INSERT INTO {VERSION_TABLE} VALUES (0)")
        for number, text in steps:
            if number > (version or 0):
                for statement in statements(text, pool.database.words):
                    link.run(statement)
        link.run(f"UPDATE {VERSION_TABLE} SET version = :version", {"version": steps[-1][0]})


def statements(text: str, words: Mapping[str, str]) -> list[str]:
    """Return the statements of a migration, in the database's own words."""
    bare = re.sub(r"--.*", "", Template(text).substitute(words))
    return [one for one in map(str.strip, bare.split(";")) if one]


def _version(database: Database, link: Link, where: str) -> int | None:
    """Return the number of the last step a store has seen; None when it is empty.

    Raises:
        StoreError: it is the database of another program, or of a newer mailscope.
    """
    tables = database.tables(link)
    if VERSION_TABLE not in tables:
        if tables:
            named = "the database" if "://" in where else clean(Path(where).name, 100)
            raise StoreError(f"{named} belongs to another program", hint="name a new file, or an empty database")
        return None
    version = int(link.rows(f"SELECT version FROM {VERSION_TABLE}")[0]["version"])
    newest = migrations()[-1][0]
    if version > newest:
        raise StoreError(
            f"the store is of a newer mailscope: its schema is {version}, this one knows {newest}",
            hint="upgrade mailscope, or name another store",
        )
    return version
