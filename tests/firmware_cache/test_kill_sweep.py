from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS = "30"  # 300 before a release: see the program


@pytest.mark.parametrize("options", [(), ("--no-locks",)], ids=["locks", "no locks"])
def test_killed_at_every_step_there_is_never_a_wrong_blob_and_the_next_run_ends_well(options: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "tests.firmware_cache.kill_sweep", "--rounds", ROUNDS, *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=55)
    assert (done.returncode, done.stderr) == (0, "")
