"""Every transition of a run in the ledger, its process killed right before and right after it.

The whole of it, of every scene: `FAULTS=whole pytest tests/faults/test_kill_anywhere.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.kill_anywhere import EDGES, SCENES

EVERY = {"one component": 1 if os.environ.get("FAULTS") == "whole" else 3}  # odd: the two edges take turns
"""In a scene that is not here, every `SAMPLE`-th place only, unless the whole is asked for."""
SAMPLE = 1 if os.environ.get("FAULTS") == "whole" else 5
UNSEEN = {("reboots unasked", "write", "before")}
"""Where the device installs a file before the host can have written down that it is all there: what runs then may
have come from somebody else, so the next run says that there is nothing to do, and claims no success."""


def kills(folder: Path, scene: str) -> list[dict[str, Any]]:
    words = [sys.executable, "-m", "tests.faults.kill_anywhere", str(folder), scene, str(EVERY.get(scene, SAMPLE))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == int(any(kill["wrong"] for kill in found)), done.stderr
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scene", SCENES)
def test_a_killed_run_is_brought_home_by_the_next(tmp_path: Path, scene: str) -> None:
    found = kills(tmp_path, scene)
    assert all(kill["killed"] for kill in found)
    assert {kill["edge"] for kill in found} == set(EDGES)
    assert len(found) >= 30 // EVERY.get(scene, SAMPLE), "a run has some eighteen transitions"
    for kill in found:
        where = f"{scene}, killed {kill['edge']} {kill['work']}, transition {kill['n']}"
        if (scene, kill["work"], kill["edge"]) in UNSEEN and kill["code"] == 10:
            assert len(kill["wrong"]) == 2, where
            continue
        assert kill["wrong"] == [], where
        assert kill["code"] in (0, 10), where
