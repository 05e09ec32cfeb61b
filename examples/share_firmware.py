"""Use the cache alone: one machine fetches firmware, another one without a network gets it on a stick."""

import tempfile
from pathlib import Path

from firmware_cache import FirmwareCache, Known, NotCachedError

FIRMWARE = bytes(range(256)) * 64


def main(folder: Path) -> None:
    # Where there is a network: `await office.fetch(ref, url)`. Here the file is at hand.
    office = FirmwareCache(folder / "office")
    file = office.add(FIRMWARE, known=Known("firmware.bin", "1.2.0"))
    office.pin(file.sha256, "line-1")
    print("kept:", file.sha256[:12], file.size_bytes, "bytes")

    # The pin keeps it, whatever else must make room.
    print("spared:", office.prune(0, min_age_s=0).spared[file.sha256])

    # One tar for the stick. A mirror for many machines would be: office.push(Path("/srv/firmware"))
    office.export(folder / "stick.tar", [file.sha256])

    line = FirmwareCache(folder / "line")
    try:
        line.export(folder / "nothing.tar", [file.sha256])
    except NotCachedError as error:
        print("before:", error)
    print("came:", len(line.import_(folder / "stick.tar").added), "file")

    # What is read is what was hashed: the same open file.
    found = line.find(file.sha256)
    assert found is not None
    with found.open() as firmware:
        print("same:", firmware.read() == FIRMWARE)


with tempfile.TemporaryDirectory() as name:
    main(Path(name))
