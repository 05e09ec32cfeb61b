"""Ten rounds of the crash sweep, by a fixed seed; `python -m tests.faults.crash_sweep` does a hundred."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

ROUNDS, SEED = 10, 20_250_101


@pytest.mark.timeout(200)
def test_a_host_that_is_killed_at_random_is_brought_home() -> None:
    words = [sys.executable, "-m", "tests.faults.crash_sweep", "--rounds", str(ROUNDS), "--seed", str(SEED)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    said = re.search(rf"seed {SEED}: {ROUNDS} of {ROUNDS} rounds brought home, ([0-9]+) kills", done.stdout)
    assert said is not None
    assert int(said[1]) >= ROUNDS  # the kills did kill
