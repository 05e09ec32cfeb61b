from __future__ import annotations

import hashlib

import pytest

from ble_ota.content import Content
from ble_ota.images.raw import Description, describe


def test_a_raw_file_has_a_size_and_every_digest() -> None:
    assert describe(Content.of(b"123456789").summary) == Description(
        "raw",
        9,
        {
            "sha256": hashlib.sha256(b"123456789").hexdigest(),
            "md5": "25f9e794323b453885f5181f1b624d0b",
            "crc32": "cbf43926",
        },
    )


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (bytes.fromhex("3db8f396"), "MCUboot"),
        (b"PK\x03\x04", "zip"),
        (b"\x1f\x8b\x08", "gzip"),
        (b":10010000214601360121470136007EFE09D2190140", "Intel HEX"),
        (b"\x7fELF\x01", "ELF"),
        (b"<!doctype html>", "HTML"),
    ],
)
def test_a_known_beginning_is_noted(content: bytes, word: str) -> None:
    assert word in describe(Content.of(content).summary).note


@pytest.mark.parametrize("content", [b"", b"\x3d\xb8\xf3", b"\0PK\x03\x04"])
def test_an_unknown_beginning_is_not_noted(content: bytes) -> None:
    assert describe(Content.of(content).summary).note == ""
