"""Opening a store: made, brought up to date, or refused with a sentence; what belongs to others stays as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from analyzer.errors import StoreError
from analyzer.triage import database
from analyzer.triage.case import Filter, Item
from analyzer.triage.database import connected, migrations, statements, storable
from analyzer.triage.store import Store

ITEM = Item("a.pcap", "a.pcap", "0" * 64)


def test_a_store_is_there_the_next_time(where: str) -> None:
    with Store.open(where) as store:
        made = store.submit(ITEM, "alice")
    with Store.open(where, create=False) as store:
        assert store.submit(ITEM, "alice").id == made.id


def test_what_is_not_there_is_made_only_when_it_may_be(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        Store.open(tmp_path / "none.db", create=False)
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(StoreError, match="cannot be used: unable to open"):
        Store.open(tmp_path / "no folder" / "cases.db")


def test_a_file_that_is_no_store_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database at all, whatever it is called\n" * 40)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="this file is no store of cases"):
        Store.open(path)
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE captures (url TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"history\.db belongs to another program"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_newer_store_is_refused(where: str) -> None:
    Store.open(where).close()
    newest = migrations()[-1][0]
    pool = connected(where)
    with pool.transaction(writes=True) as link:
        link.run("UPDATE mailscope_store SET version = :next", {"next": newest + 1})
    pool.close()
    with pytest.raises(StoreError, match=f"newer mailscope: its schema is {newest + 1}, this one knows {newest}"):
        Store.open(where)


def test_an_older_store_is_brought_up_to_date_once(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(where) as store:
        store.submit(ITEM, "alice")
    steps = [*migrations(), (migrations()[-1][0] + 1, "ALTER TABLE captures ADD COLUMN colour TEXT;")]
    monkeypatch.setattr(database, "migrations", lambda: steps)
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: Store.open(where), range(4)))  # a step done twice would fail
    assert [store.count(Filter("alice")) for store in opened] == [1] * 4
    assert opened[0].table("findings", ["cause"], "alice") == []
    for store in opened:
        store.close()


def test_a_step_that_fails_leaves_the_store_as_it_was(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(where).close()

    def broken() -> Sequence[tuple[int, str]]:
        return [*migrations(), (99, "CREATE TABLE colours (name TEXT); CREATE TABLE colours (name TEXT)")]

    with monkeypatch.context() as patched:
        patched.setattr(database, "migrations", broken)
        with pytest.raises(StoreError, match="already exists"):
            Store.open(where)
    pool = connected(where)
    with pool.transaction(writes=False) as link:
        assert "colours" not in pool.database.tables(link)
    pool.close()


def test_the_steps_are_numbered_without_a_gap() -> None:
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


def test_statements_are_told_apart() -> None:
    text = "CREATE TABLE a (b $blob); -- one; not two\nCREATE TABLE c (d TEXT);\n"
    assert statements(text, {"blob": "BYTEA"}) == ["CREATE TABLE a (b BYTEA)", "CREATE TABLE c (d TEXT)"]


@pytest.mark.parametrize("where", ["mysql://u:geheim@h/d", "https://h/cases.db"])
def test_other_databases_are_refused(where: str) -> None:
    with pytest.raises(StoreError, match="a store cannot lie at") as told:
        Store.open(where)
    assert "geheim" not in f"{told.value} {told.value.hint}"


def test_a_server_that_is_not_there_is_told_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match="the store cannot be used") as told:
        Store.open(f"postgresql://alice:geheim@/cases?host={tmp_path}")
    assert "geheim" not in f"{told.value} {told.value.hint}"


def test_without_its_package_postgresql_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match="needs the package psycopg") as told:
        Store.open("postgresql:///cases")
    assert told.value.hint == "pip install 'mailscope[postgres]'"


def test_readers_and_a_writer_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with Store.open(tmp_path / "cases.db") as store, store._pool.transaction(writes=True) as link:
        link.run("INSERT INTO audit (at_ns, who, what) VALUES (1, 'a', 'b')")
        assert store.audit() == []  # from another connection, while the pen is held
    assert sqlite3.connect(tmp_path / "cases.db").execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_store_in_memory_lasts_as_long_as_it_is_open() -> None:
    with Store.open(":memory:") as store:
        store.submit(ITEM, None)
        assert store.count(Filter(None)) == 1


def test_only_texts_are_made_storable() -> None:
    assert storable({"a": "é\0\udcff", "b": b"\0", "c": None, "d": 1}) == {
        "a": "é\ufffd?",
        "b": b"\0",
        "c": None,
        "d": 1,
    }
