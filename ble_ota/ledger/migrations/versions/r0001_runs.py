"""Runs, their events, marks and reports.

Written out and never changed again, whatever becomes of `ledger.schema`: this is what stands in old files.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY, _TEXT = sa.String(256), sa.String(4096)


def upgrade() -> None:
    """Make the first tables."""
    _runs()
    op.create_table(
        "event",
        sa.Column("run", _KEY, sa.ForeignKey("run.id"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at_s", sa.Float, nullable=False),
        sa.Column("name", _KEY, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "mark",
        sa.Column("product_key", _KEY, primary_key=True),
        sa.Column("device_key", _KEY, primary_key=True),
        sa.Column("component", _KEY, primary_key=True),
        sa.Column("file", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("run", _KEY, sa.ForeignKey("run.id"), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("learned", _TEXT, nullable=False),
        sa.Column("at_s", sa.Float, nullable=False),
    )
    _reports()


def _runs() -> None:
    words = ("command", "asked", "radio", "cloud", "who", "tool", "name", "plan_id", "fingerprint", "approved_by")
    keys = ("product_key", "device_key", "address", "carries_on")
    wholes = ("arguments", "settings", "plan", "versions_before", "versions_after")
    op.create_table(
        "run",
        sa.Column("no", sa.Integer, primary_key=True),
        sa.Column("id", _KEY, nullable=False, unique=True),
        *(sa.Column(name, _TEXT, nullable=False) for name in words),
        *(sa.Column(name, _KEY, nullable=False) for name in keys),
        *(sa.Column(name, sa.JSON, nullable=False) for name in wholes),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at_s", sa.Float, nullable=False),
        sa.Column("finished_at_s", sa.Float),
        sa.Column("verdict", _KEY),
        sa.Column("ending", sa.JSON),
        sa.Column("entries", sa.Integer, nullable=False),
        sa.Column("last_seq", sa.Integer, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("run_device", "run", ["product_key", "device_key"])
    op.create_index("run_address", "run", ["address"])


def _reports() -> None:
    op.create_table(
        "report",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run", _KEY, sa.ForeignKey("run.id"), nullable=False),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("account", "plan_id", "why")),
        *(sa.Column(name, _KEY, nullable=False) for name in ("product_key", "device_key", "component", "outcome")),
        sa.Column("plan_ends_at_s", sa.Float),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("state", _KEY, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at_s", sa.Float, nullable=False),
        sa.Column("changed_at_s", sa.Float, nullable=False),
        sa.UniqueConstraint("run", "component", "outcome"),
    )
    op.create_index("report_state", "report", ["state"])
    op.create_index("report_device", "report", ["product_key", "device_key"])
