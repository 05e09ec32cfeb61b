"""What the device keeps in flash, and how it boots.

::

    state.json               versions per component, and the files that are staged
    staging-<slot>.bin       a file that is being received, or waits for the reboot
    flash-<component>-<n>.bin   what runs: file n of the component
    old-<component>-<n>.bin     what ran before, where the device may fall back to it

A file goes from staged to accepted (whole, its check code right, the host knows) to running, and the last only in a
reboot, when all files of its component are accepted. Cut anywhere, a reboot carries on where it was: it compares
everything before it moves anything, and knows a file that it has moved already. So does a fall back.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import quote

from ble_ota.virtual.peripherals.quecthing.flash import Flash
from ble_ota.virtual.world import World

STATE = "state.json"
MD5, CRC32, SHA256 = 0, 1, 2  # id 4, as documented
DIGEST_BYTES = {MD5: 16, CRC32: 4, SHA256: 32}


def digest(algorithm: int, content: bytes) -> str:
    """The digest of `content` as lower-case hexadecimal; `algorithm` is one of id 4."""
    if algorithm == CRC32:
        return f"{zlib.crc32(content):08x}"
    return hashlib.new({MD5: "md5", SHA256: "sha256"}[algorithm], content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Staged:
    """One file on its way into the device."""

    component: str
    file: int  # its place in the component's package, from 0
    files: int  # how many that package has
    version: str  # what the component is afterwards
    size: int  # bytes
    algorithm: int  # as id 4
    check: str  # its digest, lower-case hexadecimal
    slot: int = 0
    accepted: bool = False

    @property
    def area(self) -> str:
        """Where it lies."""
        return f"staging-{self.slot}.bin"

    @property
    def target(self) -> str:
        """Where it runs."""
        return _running(self.component, self.file)

    def is_in(self, content: bytes) -> bool:
        """Whether `content` is this file, whole and intact."""
        return len(content) == self.size and digest(self.algorithm, content) == self.check

    def same_file(self, other: Staged) -> bool:
        """Whether `other` announces the same file."""
        return self == replace(other, slot=self.slot, accepted=self.accepted)


class Boot:
    """The device's memory across power cycles."""

    def __init__(self, world: World, flash: Flash) -> None:
        """Read what an earlier life left in `flash`; a device fresh from the factory has nothing there."""
        self.flash = flash
        self.staged: tuple[Staged, ...] = ()
        self.versions = {c.no: c.version for c in world.components}
        self._counts = dict.fromkeys(self.versions, 0)
        self._before: dict[str, tuple[str, int]] = {}  # version and number of files that may come back
        self._reverting = False
        if raw := flash.content(STATE):
            state: dict[str, Any] = json.loads(raw)
            self.versions |= state["versions"]
            self._counts |= state["files"]
            self.staged = tuple(Staged(**s) for s in state["staged"])
            self._before = {c: (version, count) for c, (version, count) in state.get("before", {}).items()}
            self._reverting = state.get("reverting", False)

    def image(self, component: str) -> tuple[bytes, ...]:
        """The files that run as `component`; none before its first update."""
        return tuple(self.flash.content(_running(component, n)) for n in range(self._counts[component]))

    def stage(self, wanted: Staged) -> Staged:
        """Make room for a file; what cannot be of the same package, or is in its place, gives its room up."""
        package = (wanted.version, wanted.files)
        self.drop(
            lambda s: s.component == wanted.component and (s.file == wanted.file or (s.version, s.files) != package)
        )
        taken = {s.slot for s in self.staged}
        placed = replace(wanted, slot=next(n for n in range(len(taken) + 1) if n not in taken), accepted=False)
        self.flash.erase(placed.area)
        self._save(staged=(*self.staged, placed))
        return placed

    def accept(self, staged: Staged) -> None:
        """Remember that `staged` is whole and that the host knows."""
        self._save(staged=tuple(replace(s, accepted=True) if s == staged else s for s in self.staged))

    def drop(self, which: Callable[[Staged], bool]) -> None:
        """Forget the staged files for which `which` is true."""
        dropped = [s for s in self.staged if which(s)]
        if dropped:
            self._save(staged=tuple(s for s in self.staged if s not in dropped))
        for staged in dropped:
            self.flash.erase(staged.area)

    def missing(self, component: str) -> int:
        """How many files of the component's package are not accepted yet."""
        files = self._accepted(component)
        return files[0].files - len(files) if files else 0

    @property
    def provisional(self) -> bool:
        """Whether something runs that may yet fall back."""
        return bool(self._before)

    def revert(self) -> None:
        """Let the next reboot bring back what ran before, where that was kept."""
        self._reverting = True
        self._save(staged=self.staged)

    def reboot(self, *, installs: bool = True, keeps_old: bool = False) -> None:
        """Install every component whose files are all accepted and intact; forget accepted files of all others.

        Args:
            installs: False forgets them all.
            keeps_old: Whether what ran before is kept for `revert`.
        """
        if self._reverting:
            self._bring_back()
        for component in dict.fromkeys(s.component for s in self.staged if s.accepted and installs):
            if self.missing(component) == 0 and all(self._there(s) for s in self._accepted(component)):
                self._install(component, keeps_old)
        self.drop(lambda s: s.accepted)

    def _install(self, component: str, keeps_old: bool) -> None:
        files = self._accepted(component)
        self._before.pop(component, None)
        if keeps_old:
            self._put_aside(component, files)
            self._before[component] = self.versions[component], self._counts[component]
        for staged in files:
            if self.flash.size(staged.area):
                self.flash.move(staged.area, staged.target)
        self.versions[component] = files[0].version
        self._counts[component] = len(files)
        self._save(staged=tuple(s for s in self.staged if s not in files))

    def _put_aside(self, component: str, new: list[Staged]) -> None:
        moved_in = {s.file for s in new if not self.flash.size(s.area)}  # by a reboot that was cut
        for n in range(self._counts[component]):
            if n not in moved_in and self.flash.size(_running(component, n)):
                self.flash.move(_running(component, n), _old(component, n))

    def _bring_back(self) -> None:
        for component, (version, count) in self._before.items():
            for n in range(count):
                if self.flash.size(_old(component, n)):
                    self.flash.move(_old(component, n), _running(component, n))
            self.versions[component], self._counts[component] = version, count
        self._before, self._reverting = {}, False
        self._save(staged=self.staged)

    def _accepted(self, component: str) -> list[Staged]:
        return [s for s in self.staged if s.component == component and s.accepted]

    def _there(self, staged: Staged) -> bool:
        """Whether `staged` is intact where it waits, or was moved already by a reboot that was cut."""
        waiting = self.flash.content(staged.area)
        return staged.is_in(waiting or self.flash.content(staged.target))

    def _save(self, *, staged: tuple[Staged, ...]) -> None:
        state = {
            "versions": self.versions,
            "files": self._counts,
            "staged": [asdict(s) for s in staged],
            "before": self._before,
            "reverting": self._reverting,
        }
        self.flash.save(STATE, json.dumps(state, indent=1).encode())
        self.staged = staged


def _running(component: str, file: int) -> str:
    return f"flash-{quote(component, safe='')}-{file}.bin"


def _old(component: str, file: int) -> str:
    return f"old-{quote(component, safe='')}-{file}.bin"
