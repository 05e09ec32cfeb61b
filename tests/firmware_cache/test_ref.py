from __future__ import annotations

import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_cache import ContentError, Ref
from firmware_cache.ref import Sums, check_hex

CONTENT = b"firmware"
DIGESTS = {
    "sha256": hashlib.sha256(CONTENT).hexdigest(),
    "md5": hashlib.md5(CONTENT, usedforsecurity=False).hexdigest(),
    "crc32": f"{zlib.crc32(CONTENT):08x}",
}


def summed(content: bytes = CONTENT) -> Sums:
    sums = Sums(DIGESTS)
    sums.update(content)
    return sums


@pytest.mark.parametrize("size_bytes", [0, 8])
def test_a_reference_without_any_digest_is_refused(size_bytes: int) -> None:
    with pytest.raises(ValueError, match="at least one digest"):
        Ref(size_bytes)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 bytes"):
        Ref(-1, sha256=DIGESTS["sha256"])


@pytest.mark.parametrize("name", DIGESTS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d[:-1],
        lambda d: d + "0",
        lambda d: "A" + d[1:],
        lambda d: "g" + d[1:],
        lambda d: "/" + d[1:],
        lambda d: "\u0661" + d[1:],  # a digit, though not one of ours
        lambda _: "",
    ],
)
def test_what_cannot_be_a_digest_is_refused(name: str, spoil: object) -> None:
    assert callable(spoil)
    with pytest.raises(ValueError, match="lower-case hexadecimal"):
        Ref(8, **{name: spoil(DIGESTS[name])})


@pytest.mark.parametrize("name", DIGESTS)
def test_one_digest_is_enough(name: str) -> None:
    digest = DIGESTS[name]
    assert Ref(8, **{name: digest}).digests == {name: digest}


def test_the_right_content_passes_every_digest() -> None:
    Ref(len(CONTENT), **DIGESTS).check(summed())


@pytest.mark.parametrize("name", DIGESTS)
def test_each_digest_alone_refuses_a_flipped_bit(name: str) -> None:
    with pytest.raises(ContentError, match=f"{name}:.* was asked for"):
        Ref(len(CONTENT), **{name: DIGESTS[name]}).check(summed(b"girmware"))


@pytest.mark.parametrize("name", DIGESTS)
def test_one_wrong_digest_among_right_ones_is_refused(name: str) -> None:
    wrong = DIGESTS | {name: "0" * len(DIGESTS[name])}
    with pytest.raises(ContentError, match=f"{name}:0000"):
        Ref(len(CONTENT), **wrong).check(summed())


@pytest.mark.parametrize("off_by", [-1, 1])
def test_a_size_that_differs_is_refused_before_the_digests(off_by: int) -> None:
    with pytest.raises(ContentError, match="has 8 bytes where"):
        Ref(len(CONTENT) + off_by, **DIGESTS).check(summed())


@given(st.lists(st.binary(max_size=64)))
def test_sums_do_not_depend_on_how_the_bytes_are_cut(chunks: list[bytes]) -> None:
    sums, whole = Sums(DIGESTS), b"".join(chunks)
    for chunk in chunks:
        sums.update(chunk)
    found = {"size": sums.size_bytes, **{name: sums.hex(name) for name in DIGESTS}}
    assert found == {
        "size": len(whole),
        "sha256": hashlib.sha256(whole).hexdigest(),
        "md5": hashlib.md5(whole, usedforsecurity=False).hexdigest(),
        "crc32": f"{zlib.crc32(whole):08x}",
    }


@given(st.binary(min_size=1), st.data())
def test_any_flipped_bit_is_refused(content: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(content) * 8 - 1))
    rotten = bytearray(content)
    rotten[at // 8] ^= 1 << at % 8
    with pytest.raises(ContentError):
        Ref(len(content), sha256=hashlib.sha256(content).hexdigest()).check(summed(bytes(rotten)))


def test_a_sha256_is_always_summed() -> None:
    assert Sums().hex("sha256") == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize("name", DIGESTS)
def test_a_digest_of_its_length_is_let_through(name: str) -> None:
    check_hex(name, DIGESTS[name])
