from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ble_ota.virtual.developer_center.signing import KEY_BYTES, Signer, kept_key
from tests.virtual.developer_center.conftest import NOW, Clock


@pytest.fixture
def signer(clock: Clock) -> Signer:
    return Signer(b"k" * KEY_BYTES, clock)


def test_claims_come_back_with_their_times(signer: Signer) -> None:
    assert signer.read(signer.sign({"uid": "U1"}, lasts_s=60)) == {"uid": "U1", "iat": NOW, "exp": NOW + 60}


def test_a_token_is_good_until_its_last_second(signer: Signer, clock: Clock) -> None:
    token = signer.sign({}, lasts_s=60)
    clock.now += 59.9
    assert signer.read(token) is not None


def test_a_token_is_over_when_its_time_is(signer: Signer, clock: Clock) -> None:
    token = signer.sign({}, lasts_s=60)
    clock.now += 60
    assert signer.read(token) is None


def test_a_changed_claim_breaks_the_seal(signer: Signer) -> None:
    head, claims, seal = signer.sign({"uid": "U1"}, lasts_s=60).split(".")
    other = signer.sign({"uid": "U2"}, lasts_s=60).split(".")[1]
    assert claims != other
    assert signer.read(f"{head}.{other}.{seal}") is None


def test_a_token_of_another_key_is_not_ours(signer: Signer, clock: Clock) -> None:
    assert signer.read(Signer(b"x" * KEY_BYTES, clock).sign({}, lasts_s=60)) is None


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "é.é.é", "nothing of a token"])
def test_what_is_no_token_is_not_ours(signer: Signer, text: str) -> None:
    assert signer.read(text) is None


def test_the_key_stays_the_same(tmp_path: Path) -> None:
    assert kept_key(tmp_path / "key") == kept_key(tmp_path / "key")


def test_two_worlds_have_two_keys(tmp_path: Path) -> None:
    assert kept_key(tmp_path / "one") != kept_key(tmp_path / "other")


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    kept_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_key_half_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "key.new").write_bytes(b"half")
    assert len(kept_key(tmp_path / "key")) == KEY_BYTES
