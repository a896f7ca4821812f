"""Answers on disk, and what they cost: one SQLite file, shared by runs and by jobs at a time.

An answer is stored before it is used, so that nothing is paid for twice: neither by a rerun, nor
after a kill, nor by a second run that asks the same. SQLite's rollback journal, not its write-ahead
log, which needs memory that processes share and no network file system has.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rllr.errors import RllrError
from rllr.teacher.ask.request import Answer

FILE = "answers.sqlite"
# Other jobs hold the file for milliseconds each, on a slow file system for seconds.
BUSY_SECONDS = 120.0
KEYS_AT_ONCE = 500
TABLES = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT NOT NULL,"
    " prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, finish_reason TEXT,"
    " reported INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS spent (account TEXT PRIMARY KEY, requests INTEGER NOT NULL,"
    " tokens INTEGER NOT NULL, reserved INTEGER NOT NULL) WITHOUT ROWID",
)

# A part of a transaction; it may be run again, and raises nothing of its own.
Work = Callable[[sqlite3.Connection], Any]


class Store:
    """The file of answers in a folder; it is made when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        with self._explained():
            folder.mkdir(parents=True, exist_ok=True)
            # Threads take turns: the desk commits from one at a time.
            self.connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self.connection.execute("PRAGMA journal_mode = DELETE")
        self.transact([_make_tables])

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def transact(self, works: Sequence[Work]) -> list[Any]:
        """Do all works in one transaction, on disk when this returns; their results.

        Raises RllrError where the file cannot be read or written; then nothing of it is done.
        """
        with self._explained():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                results = [work(self.connection) for work in works]
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
        return results

    def known(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The stored answers among `keys`."""
        found: dict[str, Answer] = {}
        with self._explained():
            for at in range(0, len(keys), KEYS_AT_ONCE):
                part = keys[at : at + KEYS_AT_ONCE]
                marks = ", ".join("?" * len(part))
                query = f"SELECT * FROM answers WHERE key IN ({marks})"
                for key, *rest in self.connection.execute(query, part):
                    found[key] = Answer(*rest)
        return found

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RllrError(f"{self.path}: {error.strerror}; name another answers_dir") from error
        except sqlite3.Error as error:
            raise RllrError(f"{self.path}: {error}; {_remedy(error)}") from error


def _make_tables(db: sqlite3.Connection) -> None:
    for table in TABLES:
        db.execute(table)


def keep_answer(db: sqlite3.Connection, key: str, answer: Answer) -> None:
    """Store an answer; one that another job stored meanwhile stays."""
    row = (
        *(key, answer.text, answer.prompt_tokens, answer.completion_tokens),
        *(answer.finish_reason, answer.reported),
    )
    db.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)


def has_answer(db: sqlite3.Connection, key: str) -> bool:
    """Whether an answer is there."""
    return db.execute("SELECT 1 FROM answers WHERE key = ?", (key,)).fetchone() is not None


def _remedy(error: sqlite3.Error) -> str:
    text = str(error)
    if "full" in text:
        return "make room on the disk (or in your quota) and run it again: answers so far are kept"
    if "readonly" in text or "unable to open" in text:
        return "make it writable, or name another answers_dir"
    if "malformed" in text or "not a database" in text:
        return "the file is damaged: restore it from a copy, or move it away and pay again"
    return (
        "if that stays so, its file system cannot lock files for several jobs: name an answers_dir "
        "on another one"
    )
