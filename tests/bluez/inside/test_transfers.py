"""Whole transfers, cut, paused, cancelled: tests/gatt/test_transfers.py, with BlueZ as the carrier."""

from __future__ import annotations

import pytest

from tests.gatt.test_transfers import *  # noqa: F403

pytestmark = pytest.mark.timeout(300)
