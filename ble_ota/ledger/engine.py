"""Connections to a ledger's database, its transactions, and the names of what can go wrong with it.

The one place that knows which database it is.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy import event, exc

from ble_ota.errors import StorageError
from ble_ota.text import clean

_READS = "ledger_reads"
_PAUSE_S = 0.02  # between two tries to switch a new file to WAL

_MOVE_AWAY = "Move the file away and run the same command again; what it held is lost to `history` and `resume`"
# SQLite's primary result codes (sqlite.org/rescode.html): what it means, and what to do
_NAMED = {
    sqlite3.SQLITE_BUSY: ("is locked by another process", "See what holds it, then run the same command again"),
    sqlite3.SQLITE_LOCKED: ("is locked by another process", "See what holds it, then run the same command again"),
    sqlite3.SQLITE_READONLY: ("can only be read", "Check who may write the file and its folder"),
    sqlite3.SQLITE_PERM: ("must not be opened", "Check who may read and write the file and its folder"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check who may read and write the file and its folder"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "Check the disk, and the space that is left on it"),
    sqlite3.SQLITE_FULL: ("cannot be written: the disk is full", "Make space on the disk"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", _MOVE_AWAY),
    sqlite3.SQLITE_NOTADB: ("is not a ledger", _MOVE_AWAY),
}
DAMAGED = _NAMED[sqlite3.SQLITE_CORRUPT]
NOT_A_LEDGER = _NAMED[sqlite3.SQLITE_NOTADB]


def connect(url: sa.URL, *, busy_s: float) -> sa.Engine:
    """An engine for `url`; nothing is opened yet.

    Args:
        url: As `place.located` gives it.
        busy_s: How long to wait for another process's transaction; SQLite only.

    Raises:
        StorageError: There is no driver for such a database here.
    """
    try:
        engine = sa.create_engine(url, hide_parameters=True, pool_pre_ping=True)
    except (exc.SQLAlchemyError, ImportError, TypeError) as error:
        msg = f"no driver is installed here for a ledger in {clean(url.drivername, most=50)}"
        raise StorageError(msg, hint="Install it, psycopg for example, or leave the ledger in its file") from error
    if url.get_backend_name() == "sqlite":
        _tune_sqlite(engine, busy_s)
    return engine


@contextmanager
def transaction(engine: sa.Engine, *, reads: bool) -> Generator[sa.Connection, None, None]:
    """One transaction: all of it or nothing. With `reads` it waits for nobody who writes.

    Raises:
        StorageError: The database or the disk does not do it.
    """
    with storage_errors(engine.url), engine.connect() as found:
        connection = found.execution_options(**{_READS: reads})
        with connection.begin():
            yield connection


@contextmanager
def storage_errors(url: sa.URL) -> Generator[None, None, None]:
    """Let no error of SQLAlchemy or of a driver leave this package."""
    try:
        yield
    except (exc.SQLAlchemyError, json.JSONDecodeError) as error:
        what, hint = _what(error)
        raise refused(url, what, hint) from error


def refused(url: sa.URL, what: str, hint: str) -> StorageError:
    """The ledger at `url`, `what`; never with a user's name or password."""
    where = url.database if url.get_backend_name() == "sqlite" else f"{url.get_backend_name()} at {url.host}"
    return StorageError(f"the ledger {where} {what}", hint=hint)


def _what(error: Exception) -> tuple[str, str]:
    if isinstance(error, json.JSONDecodeError):
        return DAMAGED
    orig = getattr(error, "orig", None)
    code = getattr(orig, "sqlite_errorcode", None)
    if isinstance(code, int) and (named := _NAMED.get(code & 0xFF)):  # the higher bits refine the primary code
        return named
    return f"does not do what it should: {clean(str(orig or type(error).__name__), most=300)}", StorageError.hint


def _tune_sqlite(engine: sa.Engine, busy_s: float) -> None:
    """The one hook that is SQLite's alone."""

    def connected(connection: sqlite3.Connection, _record: object) -> None:
        # a bit that flipped in a text is read, and found by `history verify`, instead of ending every look at its row
        connection.text_factory = _text
        connection.isolation_level = None  # no transactions of the driver's own: `begun` begins them
        connection.execute(f"PRAGMA busy_timeout = {int(busy_s * 1000)}")
        connection.execute("PRAGMA foreign_keys = ON")
        _use_wal(connection, busy_s)
        # FULL: in WAL with NORMAL a committed transaction may be gone after a power cut (sqlite.org/pragma.html)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone leaves it in the drive's cache

    def begun(connection: sa.Connection) -> None:
        # IMMEDIATE: a transaction that reads first and writes later is refused at once when another one wrote between
        reads = connection.get_execution_options().get(_READS, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


def _use_wal(connection: sqlite3.Connection, busy_s: float) -> None:
    """Switch the file to WAL, which two processes that open a new one do at once; SQLite lets only one wait."""
    give_up = time.monotonic() + busy_s
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(_PAUSE_S)
        else:
            return  # also where it stays "memory", or "delete" on a system without shared memory
