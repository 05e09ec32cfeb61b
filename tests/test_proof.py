from __future__ import annotations

import pytest

from ble_ota.model import Component, ComponentKind, DeviceInfo
from ble_ota.proof import Versions, caveat, denies, proves

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


@pytest.mark.parametrize(
    ("versions", "filled_in", "key_shown", "doubtful"),
    [
        pytest.param({"": "1"}, set[str](), False, True, id="told without the key"),
        pytest.param({"": "1"}, set[str](), True, False, id="told with the key"),
        pytest.param({"": "1"}, {""}, False, False, id="told by the Developer Center"),
        pytest.param({}, set[str](), False, False, id="not told"),
    ],
)
def test_only_a_word_without_the_key_has_a_caveat(
    versions: dict[str, str], filled_in: set[str], key_shown: bool, doubtful: bool
) -> None:
    device = DeviceInfo("a", "n", "pk", "dk", versions, key_shown=key_shown, filled_in=frozenset(filled_in))
    assert bool(caveat(device)) == doubtful
