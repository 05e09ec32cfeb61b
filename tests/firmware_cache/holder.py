"""Opens a blob, says so, and holds it until it is told to let go, or dies. Arguments: a cache's folder, a digest."""

from __future__ import annotations

import sys
from pathlib import Path

from firmware_cache import FirmwareCache


def main(root: Path, sha256: str) -> None:
    found = FirmwareCache(root).find(sha256)
    assert found is not None
    with found.open() as file:
        print("open", flush=True)
        sys.stdin.read()
        print(len(file.read()), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
