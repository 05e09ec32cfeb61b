"""What every `Link` must do, BlueZ's too: tests/gatt/test_contract_link.py, with this folder's `rig`."""

from __future__ import annotations

import pytest

from tests.gatt.test_contract_link import *  # noqa: F403
from tests.gatt.test_contract_link import test_a_device_that_hangs_up_when_called_is_a_lost_link as _hangs_up

KERNEL_BUG = "Linux 6.1.192-2 itself dies of it: kernel BUG at lib/list_debug.c:56, l2cap_chan_put, hci_chan_del"
test_a_device_that_hangs_up_when_called_is_a_lost_link = pytest.mark.skip(reason=KERNEL_BUG)(_hangs_up)
