"""The tables, and what a value becomes on its way into them.

A change here needs a migration beside the others and a new `REVISION`; a test compares the two. A new column needs a
default: a row that holds the default keeps the digest that it has in the audit log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import sqlalchemy as sa

from ble_ota.errors import StorageError
from ble_ota.text import clean

REVISION = "0002"
"""The newest migration, and so the schema this program reads and writes."""
VERSION_TABLE = "ledger_version"

KEY_MAX = 256  # characters of an indexed column: PostgreSQL's index rows end at 2704 bytes
TEXT_MAX = 4096  # characters of any other
ROW_KEY_MAX = 16_384  # characters of a row's key as ASCII JSON: of a mark three `KEY_MAX`, 12 characters each at most
HASH_LENGTH = 64  # characters of a SHA-256 in hexadecimal
WHOLE_MAX = 4_000_000  # bytes of a plan or of settings; those are never cut, only refused


class Word(sa.TypeDecorator[str]):
    """Text that may come from outside: bounded, with no character a database or a terminal trips over."""

    impl = sa.String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """What is stored, and what is compared with it."""
        return None if value is None else self.fit(value)

    def fit(self, value: str) -> str:
        """The stored form of `value`."""
        return clean(value, most=self.length)


def _word(name: str, most: int = TEXT_MAX) -> sa.Column[str]:
    return sa.Column(name, Word(most), nullable=False, default="")


def _whole(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON, nullable=False, default=dict[str, Any])


metadata = sa.MetaData()

run = sa.Table(
    "run",
    metadata,
    sa.Column("no", sa.Integer, primary_key=True),  # the order of beginning, whatever the clock says
    sa.Column("id", Word(KEY_MAX), nullable=False, unique=True),
    _word("command"),
    _word("asked"),
    _whole("arguments"),
    _whole("settings"),
    _word("radio"),
    _word("cloud"),
    _word("who"),
    sa.Column("pid", sa.Integer, nullable=False),
    _word("tool"),
    sa.Column("started_at_s", sa.Float, nullable=False),
    # becomes known later
    _word("product_key", KEY_MAX),
    _word("device_key", KEY_MAX),
    _word("address", KEY_MAX),
    _word("name"),
    _word("plan_id"),
    _whole("plan"),
    _word("fingerprint"),
    _word("approved_by"),
    _whole("versions_before"),
    _whole("versions_after"),
    _word("carries_on", KEY_MAX),
    # how it ended
    sa.Column("finished_at_s", sa.Float),
    sa.Column("verdict", Word(KEY_MAX)),
    sa.Column("ending", sa.JSON(none_as_null=True)),
    # the chain of its events, see `chain`
    sa.Column("entries", sa.Integer, nullable=False, default=0),
    sa.Column("last_seq", sa.Integer, nullable=False, default=-1),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("run_device", "product_key", "device_key"),
    sa.Index("run_address", "address"),
)

event = sa.Table(
    "event",
    metadata,
    sa.Column("run", Word(KEY_MAX), sa.ForeignKey("run.id"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at_s", sa.Float, nullable=False),
    _word("name", KEY_MAX),
    _whole("body"),
    sa.Column("hash", sa.String(64), nullable=False),
)

mark = sa.Table(
    "mark",
    metadata,
    sa.Column("product_key", Word(KEY_MAX), primary_key=True),
    sa.Column("device_key", Word(KEY_MAX), primary_key=True),
    sa.Column("component", Word(KEY_MAX), primary_key=True),
    sa.Column("file", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("run", Word(KEY_MAX), sa.ForeignKey("run.id"), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("offset", sa.Integer, nullable=False),
    _word("learned"),
    sa.Column("at_s", sa.Float, nullable=False),
)

report = sa.Table(
    "report",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run", Word(KEY_MAX), sa.ForeignKey("run.id"), nullable=False),
    _word("account"),
    _word("product_key", KEY_MAX),
    _word("device_key", KEY_MAX),
    _word("plan_id"),
    sa.Column("plan_ends_at_s", sa.Float),
    _word("component", KEY_MAX),
    _word("outcome", KEY_MAX),
    _whole("versions"),
    sa.Column("state", Word(KEY_MAX), nullable=False),
    _word("why"),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("created_at_s", sa.Float, nullable=False),
    sa.Column("changed_at_s", sa.Float, nullable=False),
    sa.Column("resolved_by", Word(TEXT_MAX), nullable=False, default="", server_default=sa.text("''")),
    sa.UniqueConstraint("run", "component", "outcome"),
    sa.Index("report_state", "state"),
    sa.Index("report_device", "product_key", "device_key"),
)

# which row was written when, in one chain for the whole ledger; see `audit_log`
audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("no", sa.BigInteger, primary_key=True, autoincrement=False),  # from 1, without a gap
    sa.Column("kind", sa.String(HASH_LENGTH), nullable=False),
    sa.Column("key", sa.String(ROW_KEY_MAX), nullable=False),
    sa.Column("subject", sa.String(HASH_LENGTH), nullable=False),
    sa.Column("digest", sa.String(HASH_LENGTH), nullable=False),
    sa.Column("hash", sa.String(HASH_LENGTH), nullable=False),
    sa.Index("audit_log_subject", "subject", "no"),
)

# one row: the end of that chain; its lock puts the writers of the log in line
audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("ledger", sa.String(HASH_LENGTH), primary_key=True),
    sa.Column("entries", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(HASH_LENGTH), nullable=False),
)


def plain(value: object) -> Any:  # noqa: ANN401 -- it is what JSON can hold
    """`value` as it comes back out of JSON; what JSON does not know becomes its `str`."""
    return json.loads(json.dumps(value, default=_plainer, allow_nan=False))


def _plainer(value: object) -> object:
    return dict(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else str(value)


def canonical(value: object) -> str:
    """One text for one plain value: sorted keys, no blanks, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fit(table: sa.Table, values: Mapping[str, object]) -> dict[str, Any]:
    """`values` exactly as a later read of `table` gives them, so that they can be hashed before they are stored.

    Raises:
        StorageError: One of them is larger than the ledger takes.
    """
    return {name: _fitted(table.c[name], value) for name, value in values.items()}


def _fitted(column: sa.Column[Any], value: object) -> object:
    if value is None:
        return None
    if isinstance(column.type, Word):
        return column.type.fit(str(value))
    if isinstance(column.type, sa.Float):
        return float(str(value))
    if not isinstance(column.type, sa.JSON):
        return value
    stored = plain(value)
    if len(canonical(stored)) > WHOLE_MAX:
        msg = f"`{column.name}` of the run is larger than the {WHOLE_MAX} bytes the ledger takes"
        raise StorageError(msg, hint="Ask whoever made the plan why it is so large")
    return stored
