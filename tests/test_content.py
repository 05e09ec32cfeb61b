from __future__ import annotations

import hashlib
import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.content import BLOCK_BYTES, HEAD_BYTES, Content, Hasher
from ble_ota.errors import TrustError

SIZES = [0, 1, HEAD_BYTES, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 3 * BLOCK_BYTES + 7]


def firmware(size: int) -> bytes:
    """Bytes in which no two blocks are the same."""
    return b"".join(n.to_bytes(4, "big") for n in range(size // 4 + 1))[:size]


@given(st.sampled_from(SIZES), st.lists(st.integers(0, 2 * BLOCK_BYTES), max_size=5))
def test_a_summary_does_not_depend_on_the_pieces_that_passed(size: int, cuts: list[int]) -> None:
    content, hasher = firmware(size), Hasher()
    edges = [0, *sorted(min(cut, size) for cut in cuts), size]
    for start, end in itertools.pairwise(edges):
        hasher.update(content[start:end])
    found = hasher.summary()
    assert (found.size_bytes, found.head) == (size, content[:HEAD_BYTES])
    assert found.digests == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "crc32": f"{zlib.crc32(content):08x}",
    }
    blocks = [content[at : at + BLOCK_BYTES] for at in range(0, size, BLOCK_BYTES)]
    assert found.blocks == tuple(hashlib.sha256(block).digest() for block in blocks)


@pytest.mark.parametrize("size", SIZES)
async def test_the_blocks_are_the_file(size: int) -> None:
    content = Content.of(firmware(size))
    assert b"".join([await content.block(n) for n in range(len(content.summary.blocks))]) == firmware(size)


def read_otherwise(content: bytes, now: bytes) -> Content:
    """A file that was summed up as `content`, and is `now`."""

    async def read(offset: int, length: int) -> bytes:
        return now[offset : offset + length]

    return Content(Content.of(content).summary, read, "fw.bin")


@pytest.mark.parametrize("at", [0, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 6])
async def test_a_changed_byte_is_seen_at_its_block(at: int) -> None:
    content = firmware(2 * BLOCK_BYTES + 7)
    now = bytearray(content)
    now[at] ^= 1
    changed = read_otherwise(content, bytes(now))
    for index in range(3):
        if index != at // BLOCK_BYTES:
            assert await changed.block(index) == content[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES]
            continue
        first, last = index * BLOCK_BYTES, min((index + 1) * BLOCK_BYTES, len(content)) - 1
        with pytest.raises(TrustError, match=f"fw.bin has changed .* bytes {first} to {last} ") as caught:
            await changed.block(index)
        assert "Run the same command again" in caught.value.hint


@pytest.mark.parametrize("size", [0, BLOCK_BYTES, BLOCK_BYTES + 6])
async def test_a_truncated_file_is_seen_at_its_last_block(size: int) -> None:
    content = firmware(BLOCK_BYTES + 7)
    with pytest.raises(TrustError):
        await read_otherwise(content, content[:size]).block(1)


async def test_blocks_that_changed_places_are_seen() -> None:
    content = firmware(2 * BLOCK_BYTES)
    with pytest.raises(TrustError):
        await read_otherwise(content, content[BLOCK_BYTES:] + content[:BLOCK_BYTES]).block(0)


async def test_what_was_added_behind_is_not_given() -> None:
    content = firmware(BLOCK_BYTES + 7)
    assert await read_otherwise(content, content + b"more").block(1) == content[BLOCK_BYTES:]
