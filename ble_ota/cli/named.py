"""Which devices, of those that are online by themselves: arguments, a file, or all of the account."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from ble_ota.cli.common import Common, interruptible
from ble_ota.cloud import CloudDevice
from ble_ota.errors import UsageError
from ble_ota.mqtt import Keys, Ref

FILE_MAX = 1_000_000  # bytes; ten thousand lines stay below
DEVICES_MAX = 10_000
KEY_MAX = 64  # characters of a key; the documented ones have 6 and 12
STDIN = "-"

Named: TypeAlias = Keys | Ref
"""A device, or one plan of it."""

_KEY = re.compile(rf"[!-~]{{1,{KEY_MAX}}}")
_COLUMNS = re.compile(r"\s*,\s*|\s+")
_FORM = "PK/DK, or PK/DK/PLAN for one plan of it"


class Account(Protocol):
    """Whoever can list the account's devices."""

    def devices(self) -> AsyncIterator[CloudDevice]:
        """All of them."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """Which devices the command line names; `everything` is all of the account."""

    named: tuple[Named, ...] = ()
    everything: bool = False


def wished(common: Common, arguments: Sequence[str] | None, *, file: Path | None, everything: bool) -> Wish:
    """Read which devices are meant; a device that is named twice counts once, and that is told.

    Args:
        common: Who is told.
        arguments: `PK/DK` or `PK/DK/PLAN`.
        file: One device a line; `-` is stdin.
        everything: All of the account's.

    Raises:
        UsageError: None of the three or several of them, a name that is none, or a file that cannot be read.
    """
    if (bool(arguments) + (file is not None) + everything) != 1:
        msg = "no device is named" if not (arguments or file or everything) else "devices are named in two ways"
        raise UsageError(msg, hint="Name devices as PK/DK, or pass `--file FILE`, or `--all`: one of the three")
    if everything:
        return Wish(everything=True)
    if file is None:
        named = [_of_argument(text) for text in arguments or ()]
    else:
        named = list(_of_lines(_read(file), "stdin" if str(file) == STDIN else str(file)))
    return Wish(_once(common, named))


async def devices(wish: Wish, account: Account) -> list[Named]:
    """The devices that are meant; of a whole account those that are online by themselves.

    Raises:
        CloudError: The account's devices cannot be listed.
    """
    if not wish.everything:
        return list(wish.named)
    return [Keys(d.product_key, d.device_key) async for d in account.devices() if d.ble_only is not True]


def keys_of(named: Named) -> Keys:
    """The device itself."""
    return named.keys if isinstance(named, Ref) else named


def _once(common: Common, named: list[Named]) -> tuple[Named, ...]:
    once = tuple(dict.fromkeys(named))
    if not once:
        msg = "the file names no device"
        raise UsageError(msg, hint=f"Write one device a line: {_FORM}")
    if len(once) > DEVICES_MAX:
        msg = f"more than {DEVICES_MAX} devices are named"
        raise UsageError(msg, hint="Split them over several commands")
    if twice := len(named) - len(once):
        common.tell(f"{twice} of the names {'is' if twice == 1 else 'are'} there twice; each device counts once")
    return once


def _of_argument(text: str) -> Named:
    if (found := _of_parts(text.split("/"))) is None:
        msg = f"`{text}` names no device"
        raise UsageError(msg, hint=f"Name it as {_FORM}")
    return found


def _of_lines(text: str, where: str) -> Iterable[Named]:
    for number, line in enumerate(text.splitlines(), 1):
        if not (said := line.partition("#")[0].strip()):
            continue
        columns = _COLUMNS.split(said)
        found = _of_parts(said.split("/") if len(columns) == 1 else columns)
        if found is None:
            msg = f"{where}, line {number}: `{said[:80]}` names no device"
            raise UsageError(msg, hint=f"Write {_FORM}, or the same in columns")
        yield found


def _of_parts(parts: Sequence[str]) -> Named | None:
    if not 2 <= len(parts) <= 3 or not all(_KEY.fullmatch(part) and "/" not in part for part in parts):
        return None
    keys = Keys(parts[0], parts[1])
    return keys if len(parts) == 2 else Ref(keys, parts[2])


def _read(file: Path) -> str:
    where = "stdin" if str(file) == STDIN else str(file)
    try:
        content = _stdin() if str(file) == STDIN else _content(file)
    except OSError as error:
        msg = f"{where} cannot be read: {error.strerror}"
        raise UsageError(msg, hint="Name a file that you can read") from error
    if len(content) > FILE_MAX:
        msg = f"{where} has more than {FILE_MAX} bytes"
        raise UsageError(msg, hint="Split it over several commands")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{where} is no text in UTF-8"
        raise UsageError(msg, hint=f"Write one device a line: {_FORM}") from error


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(FILE_MAX + 1)


def _stdin() -> bytes:
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] -- a shell may have closed it
        return b""
    with interruptible():
        return sys.stdin.buffer.read(FILE_MAX + 1)
