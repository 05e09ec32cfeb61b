from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.errors import TrustError
from ble_ota.model import (
    Algorithm,
    Component,
    ComponentKind,
    Conditions,
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


async def test_an_image_that_fits_its_plan_is_verified() -> None:
    image = VerifiedImage.check(planned(SHA256, CRC32), CONTENT)
    assert (await image.content.block(0), image.size_bytes, image.sha256) == (CONTENT, 9, SHA256.hex)


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


# ------------------------------------------------------------------ what is agreed to

FIRST = PlannedFile("https://x.invalid/a?sign=1", 9, (SHA256, CRC32), sort=1, name="a.bin")
SECOND = PlannedFile("https://x.invalid/b?sign=1", 5, (CRC32,), sort=2, name="b.bin")
MAIN = Component("MAIN", ComponentKind.MODULE, "2", "1", (FIRST, SECOND), notes="faster", sort=1)
AGREED = FetchPlan("7", "pk", "dk", (MAIN, replace(MAIN, no="MCU", kind=ComponentKind.MCU)))


def changed_file(**changes: Any) -> FetchPlan:
    """The plan with another first file in its first component."""
    return changed_component(files=(replace(FIRST, **changes), SECOND))


def changed_component(**changes: Any) -> FetchPlan:
    """The plan with another first component."""
    return replace(AGREED, components=(replace(MAIN, **changes), *AGREED.components[1:]))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(AGREED, id="8"), id="another plan"),
        pytest.param(replace(AGREED, product_key="other"), id="another product"),
        pytest.param(replace(AGREED, device_key="other"), id="another device"),
        pytest.param(replace(AGREED, components=AGREED.components[::-1]), id="another order of components"),
        pytest.param(replace(AGREED, components=AGREED.components[:1]), id="a component less"),
        pytest.param(changed_component(no="OTHER"), id="another component"),
        pytest.param(changed_component(kind=ComponentKind.MCU), id="another place of the component"),
        pytest.param(changed_component(target_version="3"), id="another version"),
        pytest.param(changed_component(source_version="0"), id="from another version"),
        pytest.param(changed_component(delta=True), id="a delta"),
        pytest.param(changed_component(files=(SECOND, FIRST)), id="another order of files"),
        pytest.param(changed_component(files=(FIRST,)), id="a file less"),
        pytest.param(changed_file(size_bytes=10), id="another size"),
        pytest.param(changed_file(digests=(SHA256, Digest(Algorithm.CRC32, "00000000"))), id="another digest"),
        pytest.param(changed_file(digests=(SHA256,)), id="a digest less"),
        pytest.param(changed_file(digests=(SHA256, Digest(Algorithm.MD5, CRC32.hex))), id="a digest of another kind"),
    ],
)
def test_consent_does_not_carry_over_to(other: FetchPlan) -> None:
    assert other.fingerprint != AGREED.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(changed_file(url="https://y.invalid/a?sign=2"), id="links that were signed anew"),
        pytest.param(changed_file(name="c.bin"), id="another name of a file"),
        pytest.param(changed_component(notes="and prettier"), id="other notes"),
        pytest.param(changed_component(sort=5), id="another number for the same order"),
        pytest.param(replace(AGREED, conditions=Conditions(battery_percent=50)), id="other conditions"),
        pytest.param(replace(AGREED, ends_at_s=1.0), id="another end"),
    ],
)
def test_consent_carries_over_to(other: FetchPlan) -> None:
    assert other != AGREED
    assert other.fingerprint == AGREED.fingerprint
