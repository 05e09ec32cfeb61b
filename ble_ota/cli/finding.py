"""One line of `ble-ota doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is well, and what to do where it is not."""

    what: str
    ok: bool
    says: str
    hint: str = ""
    exit_code: int = 0

    def __str__(self) -> str:
        hint = f"\n      hint: {self.hint}" if self.hint else ""
        return f"{'ok' if self.ok else 'NO':4}{self.what}: {self.says}{hint}"
