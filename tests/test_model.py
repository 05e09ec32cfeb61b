from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.errors import TrustError
from ble_ota.model import (
    Algorithm,
    Component,
    ComponentKind,
    DeviceInfo,
    Digest,
    FetchPlan,
    PlannedFile,
    Secret,
    VerifiedImage,
)

CONTENT = b"123456789"
SHA256 = Digest(Algorithm.SHA256, hashlib.sha256(CONTENT).hexdigest())
CRC32 = Digest(Algorithm.CRC32, "cbf43926")


def planned(*digests: Digest, size_bytes: int = 9) -> PlannedFile:
    return PlannedFile("https://x.invalid/f?sign=TOKEN", size_bytes, digests)


def component(no: str, kind: ComponentKind = ComponentKind.MODULE) -> Component:
    return Component(no, kind, "2", "1", (planned(SHA256), planned(SHA256, size_bytes=5)))


@pytest.mark.parametrize("shown", [str(Secret("hush")), repr(Secret("hush")), f"{Secret('hush')}"])
def test_a_secret_is_not_shown(shown: str) -> None:
    assert "hush" not in shown


def test_a_secret_is_given_when_asked() -> None:
    assert Secret("hush").reveal() == "hush"


def test_a_signed_address_is_not_shown() -> None:
    assert "TOKEN" not in repr(planned())


def test_the_bytes_of_an_image_are_not_shown() -> None:
    assert "123456789" not in repr(VerifiedImage.check(planned(SHA256), CONTENT))


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        (Algorithm.CRC32, "cbf43926"),
        (Algorithm.MD5, "25f9e794323b453885f5181f1b624d0b"),
        (Algorithm.SHA256, SHA256.hex),
    ],
)
def test_a_digest_is_lower_case_hexadecimal(algorithm: Algorithm, digest: str) -> None:
    assert algorithm.hex(CONTENT) == digest


def test_a_crc_keeps_its_leading_zeros() -> None:
    assert Algorithm.CRC32.hex(b"") == "00000000"


def test_a_digest_names_its_algorithm() -> None:
    assert str(CRC32) == "crc32:cbf43926"


@pytest.mark.parametrize(("algorithm", "digest"), [(Algorithm.CRC32, CRC32), (Algorithm.MD5, None)])
def test_a_digest_is_found_by_its_algorithm(algorithm: Algorithm, digest: Digest | None) -> None:
    assert planned(SHA256, CRC32).digest(algorithm) == digest


def test_a_component_is_as_large_as_its_files() -> None:
    assert component("fw").size_bytes == 14


@pytest.mark.parametrize(
    ("versions", "kind", "running"),
    [
        pytest.param({"fw": "1", "": "0"}, ComponentKind.MODULE, "1", id="by its number"),
        pytest.param({"": "0"}, ComponentKind.MODULE, "0", id="the module by no number"),
        pytest.param({"": "0"}, ComponentKind.MCU, None, id="an MCU is not the module"),
        pytest.param({"other": "0"}, ComponentKind.MODULE, None, id="nobody says"),
    ],
)
def test_what_runs_is(versions: dict[str, str], kind: ComponentKind, running: str | None) -> None:
    device = DeviceInfo("a", "n", "pk", "dk", versions)
    assert device.running(component("fw", kind)) == running


@pytest.mark.parametrize(
    ("versions", "filled_in", "key_shown", "doubtful"),
    [
        pytest.param({"": "1"}, set[str](), False, True, id="told without the key"),
        pytest.param({"": "1"}, set[str](), True, False, id="told with the key"),
        pytest.param({"": "1"}, {""}, False, False, id="told by the Developer Center"),
        pytest.param({}, set[str](), False, False, id="told by no one"),
    ],
)
def test_only_a_word_without_the_key_has_a_caveat(
    versions: dict[str, str], filled_in: set[str], key_shown: bool, doubtful: bool
) -> None:
    device = DeviceInfo("a", "n", "pk", "dk", versions, key_shown=key_shown, filled_in=frozenset(filled_in))
    assert bool(device.caveat) == doubtful


def test_an_image_that_fits_its_plan_is_verified() -> None:
    image = VerifiedImage.check(planned(SHA256, CRC32), CONTENT)
    assert (image.content, image.sha256) == (CONTENT, SHA256.hex)


def test_the_sha256_is_known_also_of_an_old_plan() -> None:
    assert VerifiedImage.check(planned(CRC32), CONTENT).sha256 == SHA256.hex


@given(st.integers(0, len(CONTENT) * 8 - 1), st.sampled_from(Algorithm))
def test_a_flipped_bit_is_refused(bit: int, algorithm: Algorithm) -> None:
    flipped = bytearray(CONTENT)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(TrustError, match=f"the file is {algorithm.value}"):
        VerifiedImage.check(planned(Digest(algorithm, algorithm.hex(CONTENT))), bytes(flipped))


@pytest.mark.parametrize("size_bytes", [8, 10])
def test_a_wrong_size_is_refused(size_bytes: int) -> None:
    with pytest.raises(TrustError, match=f"9 bytes where the plan says {size_bytes}"):
        VerifiedImage.check(planned(SHA256, size_bytes=size_bytes), CONTENT)


def test_a_file_without_a_digest_is_refused() -> None:
    with pytest.raises(TrustError, match="no digest"):
        VerifiedImage.check(planned(), CONTENT)


@pytest.mark.parametrize("at", [0, 1])
def test_every_digest_must_fit(at: int) -> None:
    digests = [SHA256, CRC32]
    digests[at] = Digest(digests[at].algorithm, "00")
    with pytest.raises(TrustError):
        VerifiedImage.check(planned(*digests), CONTENT)


def test_the_unnamed_version_is_that_of_the_only_module_of_a_plan() -> None:
    two = FetchPlan("7", "p", "d", (component("A"), component("B"), component("C", ComponentKind.MCU)))
    device = DeviceInfo("a", "n", "pk", "dk", {"": "1", "B": "2"})
    assert [device.running(c) for c in two.components] == [None, "2", None]
    one = FetchPlan("7", "p", "d", (component("A"), component("C", ComponentKind.MCU)))
    assert [device.running(c) for c in one.components] == ["1", None]


def test_a_version_rests_on_whoever_told_it() -> None:
    device = DeviceInfo("a", "n", "pk", "dk", {"": "1", "B": "2"}, proof="device-information", filled_in=frozenset("B"))
    proofs = [device.proof_of(component(no)) for no in ("A", "B")]
    assert proofs == ["device-information", "developer-center"]
    assert device.proof_of(component("C", ComponentKind.MCU)) == ""
