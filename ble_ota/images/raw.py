"""A file of bytes that says nothing of itself: what QuecThing carries, whatever the module makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ble_ota.content import Summary


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a firmware file from its content alone."""

    format: str
    size_bytes: int
    digests: Mapping[str, str]
    """Algorithm to lower-case hexadecimal."""
    version: str | None = None
    """The version the file carries, where its format has one."""
    intact: bool | None = None
    """Whether the file's own checks hold; None where its format has none."""
    note: str = ""


def describe(summary: Summary) -> Description:
    """Describe a file as raw bytes."""
    return Description("raw", summary.size_bytes, summary.digests, note=_note(summary.head))


MAGICS = {
    b"\x3d\xb8\xf3\x96": "begins as an MCUboot image does; sent as it is",  # MCUboot image.h IMAGE_MAGIC
    b"PK\x03\x04": "a zip archive; sent as it is",
    b"\x1f\x8b": "compressed by gzip; sent as it is",
    b":": "text in Intel HEX form, which a device rarely takes: is this the file you mean?",
    b"\x7fELF": "an ELF program, which a device rarely takes: is this the file you mean?",
    b"<": "text that looks like HTML or XML: is this the file you mean?",
}


def _note(head: bytes) -> str:
    return next((note for magic, note in MAGICS.items() if head.startswith(magic)), "")
