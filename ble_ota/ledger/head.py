"""The head of a ledger's audit log: a line that, kept elsewhere, shows whether the ledger lost or changed entries."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ble_ota.errors import UsageError

# 18 digits fit the 64-bit column that counts the entries
_WRITTEN = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Head:
    """The number of entries of an audit log, and the hash of the last one."""

    count: int
    hash: str

    def __str__(self) -> str:
        return f"{self.count}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read a head as `str` writes it.

        Raises:
            UsageError: It is not COUNT:HASH.
        """
        if (found := _WRITTEN.fullmatch(text.strip())) is None:
            msg = "the head of a ledger is COUNT:HASH, a number and 64 hexadecimal digits"
            raise UsageError(msg, hint="`ble-ota history verify` prints it in this form")
        return cls(int(found[1]), found[2])
