"""Repository files for tests, and how to spoil them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from openwmi.repository import SqliteStore, database
from tests.repository.models import BASE, NS, SCHEMA

ROW = (1 << database.CLASS_SHIFT) + 1
"""The id of the first instance of the first class."""


def filled(path: Path) -> None:
    with SqliteStore(path) as store:
        store.create_namespace("root", b"sd")
        store.create_namespace(NS)
        for cls in SCHEMA:
            store.put_class(NS, cls)
        store.put_instance(NS, BASE.new(Id=1, Note="kept"))


def edit(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(sql)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


FIRST_LAYOUT = r"""
CREATE TABLE namespaces (id INTEGER PRIMARY KEY AUTOINCREMENT, folded BLOB NOT NULL UNIQUE, name TEXT NOT NULL,
    parent INTEGER REFERENCES namespaces, descriptor BLOB);
CREATE INDEX namespaces_parent ON namespaces (parent);
CREATE TABLE classes (id INTEGER PRIMARY KEY AUTOINCREMENT, namespace INTEGER NOT NULL REFERENCES namespaces,
    folded BLOB NOT NULL, parent INTEGER REFERENCES classes, declaration TEXT NOT NULL, UNIQUE (namespace, folded));
CREATE INDEX classes_parent ON classes (parent);
CREATE TABLE instances (id INTEGER PRIMARY KEY, origin INTEGER NOT NULL REFERENCES classes, identity BLOB NOT NULL,
    class INTEGER NOT NULL REFERENCES classes, data TEXT NOT NULL, UNIQUE (origin, identity));
CREATE INDEX instances_of_class ON instances (class);
INSERT INTO namespaces VALUES (1, x'726f6f74', 'root', NULL, x'00ff'),
    (2, x'726f6f745c63696d7632', 'root\cimv2', 1, NULL);
INSERT INTO classes VALUES
    (1, 2, CAST('base' AS BLOB), NULL, '{"v":1,"n":"Base","p":[{"n":"Id","t":"uint32","q":[{"n":"key","t":"boolean",
        "v":true,"f":3}],"o":"Base"},{"n":"Note","t":"string","d":"nothing","o":"Base"}]}'),
    (5, 2, CAST('derived' AS BLOB), 1, '{"v":1,"n":"Derived","super":"Base","up":["Base"],
        "p":[{"n":"Extra","t":"uint8[]","o":"Derived"}]}');
INSERT INTO instances VALUES
    (3, 1, CAST('id=n2:30' AS BLOB), 5, '{"v":1,"p":{"id":30,"extra":"AP8="}}'),
    (4, 1, CAST('id=n2:20' AS BLOB), 1, '{"v":1,"p":{"id":20,"note":null}}'),
    (9, 1, CAST('id=n2:10' AS BLOB), 5, '{"v":1,"p":{"id":10}}'),
    (8, 1, CAST('id=n1:5' AS BLOB), 5, '{"v":1,"p":{"id":5}}');
PRAGMA application_id = 1867992393;
PRAGMA user_version = 1;
"""


def first_layout(path: Path) -> None:
    """A repository as the first version wrote it, made by hand."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(FIRST_LAYOUT)
    connection.close()
