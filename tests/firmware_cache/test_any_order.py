"""Whatever is done to a cache, in whatever order: a name is a digest, a pin holds, and a budget is kept."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firmware_cache import DamagedBlobError, FirmwareCache, NotCachedError
from tests.firmware_cache.conftest import damage

CONTENTS = [bytes([n]) * (50 + n) for n in range(6)]
DIGESTS = [sha256(c).hexdigest() for c in CONTENTS]
which = st.integers(0, len(CONTENTS) - 1)
budget = st.integers(0, 400)
bits = st.integers(0, 50 * 8 - 1)


class AnyOrder(RuleBasedStateMachine):
    """Two caches that give each other bundles; of the first one what is damaged, pinned and open is known."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.cache = FirmwareCache(self.folder / "one")
        self.other = FirmwareCache(self.folder / "other")
        self.damaged: set[str] = set()
        self.pinned: set[str] = set()
        self.opened: dict[str, tuple[object, BinaryIO]] = {}

    def teardown(self) -> None:
        for closing, _ in self.opened.values():
            closing.__exit__(None, None, None)  # type: ignore[attr-defined]
        shutil.rmtree(self.folder)

    @property
    def here(self) -> set[str]:
        return {e.sha256 for e in self.cache.entries()}

    @rule(n=which)
    def put(self, n: int) -> None:
        assert self.cache.add(CONTENTS[n]).read() == CONTENTS[n]
        self.damaged.discard(DIGESTS[n])

    @rule(n=which)
    def put_in_the_other(self, n: int) -> None:
        self.other.add(CONTENTS[n])

    @rule(n=which)
    def find(self, n: int) -> None:
        wanted = DIGESTS[n] in self.here - self.damaged
        found = self.cache.find(DIGESTS[n])
        assert (found is not None) == wanted
        assert found is None or found.read() == CONTENTS[n]
        self.damaged.discard(DIGESTS[n])

    @rule(n=which)
    def hold(self, n: int) -> None:
        found = self.cache.find(DIGESTS[n])
        self.damaged.discard(DIGESTS[n])
        if found is not None and DIGESTS[n] not in self.opened:
            closing = found.open()
            self.opened[DIGESTS[n]] = closing, closing.__enter__()

    @rule(n=which)
    def let_go(self, n: int) -> None:
        closing, file = self.opened.pop(DIGESTS[n], (None, None))
        if closing is not None and file is not None:
            assert file.read() == CONTENTS[n]
            closing.__exit__(None, None, None)  # type: ignore[attr-defined]

    @rule(n=which, bit=bits)
    def rot(self, n: int, bit: int) -> None:
        if DIGESTS[n] in self.here - self.damaged - self.opened.keys():
            path = next(e.path for e in self.cache.entries() if e.sha256 == DIGESTS[n])
            content = bytearray(path.read_bytes())
            content[bit // 8] ^= 1 << bit % 8
            damage(path, bytes(content))
            self.damaged.add(DIGESTS[n])

    @rule(n=which)
    def pin(self, n: int) -> None:
        assert self.cache.pin(DIGESTS[n], "line") == (DIGESTS[n] in self.here)
        self.pinned.add(DIGESTS[n])

    @rule(n=which)
    def unpin(self, n: int) -> None:
        assert self.cache.unpin(DIGESTS[n], "line") == (DIGESTS[n] in self.pinned)
        self.pinned.discard(DIGESTS[n])

    @rule(n=which)
    def age(self, n: int) -> None:
        for path in self.folder.glob(f"one/v1/*/{DIGESTS[n]}*") if DIGESTS[n] in self.here else ():
            os.utime(path, (time.time() - 5, time.time() - 5))

    @rule(most=budget)
    def prune(self, most: int) -> None:
        before = self.here
        told = self.cache.prune(most, 0)
        stays = before & (self.pinned | self.opened.keys())
        sizes = {e.sha256: e.size_bytes for e in self.cache.entries()}
        assert stays <= sizes.keys()
        assert sum(sizes.values()) <= most or sizes.keys() == stays
        assert sum(sizes.values()) == told.left_bytes
        assert {e.sha256 for e in told.removed} == before - sizes.keys()
        self.damaged &= sizes.keys()

    @rule()
    def verify(self) -> None:
        assert set(self.cache.verify().damaged) == self.damaged
        self.damaged.clear()

    @rule()
    def export(self) -> None:
        bundle = self.folder / "one.tar"
        try:
            self.cache.export(bundle, replace=True)
        except DamagedBlobError:
            gone = self.damaged - self.here
            assert len(gone) == 1
            self.damaged -= gone
            return
        assert not self.damaged
        found = self.other.import_(bundle)
        assert (set(found.added + found.present), found.damaged, found.missing) == (self.here, (), ())

    @rule(n=which)
    def take_from_the_other(self, n: int) -> None:
        bundle = self.folder / "other.tar"
        try:
            self.other.export(bundle, [DIGESTS[n]], replace=True)
        except NotCachedError:
            return
        self.cache.import_(bundle)
        self.damaged.discard(DIGESTS[n])

    @invariant()
    def a_name_is_a_digest(self) -> None:
        for entry in self.cache.entries() if hasattr(self, "cache") else ():
            same = sha256(entry.path.read_bytes()).hexdigest() == entry.sha256
            assert same == (entry.sha256 not in self.damaged)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
