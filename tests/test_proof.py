from __future__ import annotations

import pytest

from ble_ota.model import Component, ComponentKind
from ble_ota.proof import Versions, denies, proves

MAIN = Component("MAIN", ComponentKind.MODULE, "1.1.0", "1.0.0", ())
OLD, NEW = {"": "1.0.0"}, {"": "1.1.0"}

WORDS: dict[str, tuple[Versions, Versions, bool, bool]] = {
    "the target": (Versions(OLD), Versions(NEW), True, False),
    "another version": (Versions(OLD), Versions(OLD), False, True),
    "the target, without the key": (Versions(OLD), Versions(NEW, key_shown=False), False, False),
    "another version, without the key": (Versions(OLD), Versions(OLD, key_shown=False), False, False),
    "the target, by a weaker proof": (Versions(OLD), Versions(NEW, "device-information"), False, False),
    "another version, by a weaker proof": (Versions(OLD), Versions(OLD, "device-information"), False, False),
    "the target, by a stronger proof": (Versions(OLD, "device-information"), Versions(NEW), True, False),
    "the target, where nothing was told before": (Versions(), Versions(NEW, "device-information"), True, False),
    "nothing": (Versions(OLD), Versions(), False, False),
}


@pytest.mark.parametrize("what", WORDS)
def test_only_a_word_that_counts_proves_or_denies(what: str) -> None:
    before, now, proven, denied = WORDS[what]
    assert (proves(now, before, MAIN), denies(now, before, MAIN)) == (proven, denied)
