from __future__ import annotations

import hashlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ble_ota.errors import MalformedError
from ble_ota.model import Algorithm, ComponentKind
from ble_ota.protocols.quecthing import frame, ttlv
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.session import Options
from ble_ota.protocols.quecthing.ttlv import Field, Value
from ble_ota.protocols.quecthing.vocabulary import (
    ALGORITHM,
    CHECK_CODE,
    CHUNK_MAX,
    NAME,
    PAUSE_MAX_S,
    TYPE,
    Action,
    action_of,
    chunk_of,
    delay_s,
    offer,
)
from tests.protocols.quecthing.words import CONTENT, component, image, session

BY_FRAME = Options(packet_bound="frame")


def offered(
    options: Options | None = None, *by: Algorithm, kind: ComponentKind = ComponentKind.MODULE
) -> dict[int, Value]:
    fields = offer(options or Options(), component(kind=kind), image(by=by or (Algorithm.CRC32,)))
    return {f.id: f.value for f in fields}


def test_an_offer_is_the_computed_vector() -> None:
    wire = ttlv.encode(offer(Options(), component(), image())).hex()
    assert wire == "000a000100220001002b0004cbf439260032000900630005312e302e31"


@pytest.mark.parametrize(
    ("algorithm", "number", "code"),
    [
        (Algorithm.MD5, 0, hashlib.md5(CONTENT, usedforsecurity=False).digest()),
        (Algorithm.CRC32, 1, bytes.fromhex("cbf43926")),
        (Algorithm.SHA256, 2, hashlib.sha256(CONTENT).digest()),
    ],
)
def test_a_check_code_is_named_by_its_number(algorithm: Algorithm, number: int, code: bytes) -> None:
    found = offered(None, algorithm)
    assert (found[ALGORITHM], found[CHECK_CODE]) == (number, code)


@pytest.mark.parametrize(
    ("by", "number"), [((Algorithm.MD5, Algorithm.SHA256), 2), ((Algorithm.CRC32, Algorithm.MD5), 0)]
)
def test_the_strongest_digest_is_offered(by: tuple[Algorithm, ...], number: int) -> None:
    assert offered(None, *by)[ALGORITHM] == number


def test_a_check_code_may_be_hexadecimal() -> None:
    assert offered(Options(check_code="hex"))[CHECK_CODE] == b"cbf43926"


def test_an_mcu_component_has_the_file_type_of_the_setting() -> None:
    assert offered(Options(file_type_mcu=9), kind=ComponentKind.MCU)[TYPE] == 9


def test_a_module_has_the_documented_file_type() -> None:
    assert offered(Options(file_type_mcu=9))[TYPE] == 1


def test_a_file_name_is_offered_where_there_is_one() -> None:
    fields = offer(Options(), component(), image(name="äpp.bin"))
    assert [f.value for f in fields if f.id == NAME] == ["äpp.bin".encode()]


@pytest.mark.parametrize("number", range(1, 8))
def test_every_documented_action_is_read(number: int) -> None:
    assert action_of({7: number}) == Action(number)


@pytest.mark.parametrize("said", [None, 0, 8, -1, True, Decimal("2.0"), b"\x02", (), 2**64 - 1])
def test_another_action_is_refused(said: Value | None) -> None:
    with pytest.raises(MalformedError, match="with the action"):
        action_of({} if said is None else {7: said})


@pytest.mark.parametrize("said", [1, Decimal("0.5"), int(PAUSE_MAX_S)])
def test_a_delay_is_read_in_seconds(said: int | Decimal) -> None:
    assert delay_s({8: said}) == float(said)


@pytest.mark.parametrize("said", [None, 0, -1, Decimal("-0.5"), int(PAUSE_MAX_S) + 1, True, b"\x05"])
def test_a_delay_out_of_range_is_refused(said: Value | None) -> None:
    with pytest.raises(MalformedError, match="paused with the delay"):
        delay_s({} if said is None else {8: said})


def test_a_chunk_by_data_is_the_devices_number() -> None:
    assert chunk_of({11: 200}, Options(), sealed=True) == 200


@pytest.mark.parametrize(("sealed", "room"), [(False, 180), (True, 164)])
def test_a_chunk_by_frame_leaves_room_for_the_frame(sealed: bool, room: int) -> None:
    assert chunk_of({11: 200}, BY_FRAME, sealed=sealed) == room


@given(st.integers(37, 600), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_chunk_by_frame_makes_no_longer_frame(bound: int, logged_in: bool, offset: int) -> None:
    talk = session(key=bytes(16), iv=bytes(16)) if logged_in else session()
    data = bytes(chunk_of({11: bound}, BY_FRAME, sealed=logged_in))
    payload = talk.seal(0x7025, (Field(9, offset), Field(10, data)))
    assert frame.OVERHEAD + len(payload) <= bound


def test_a_huge_chunk_still_fits_a_frame() -> None:
    assert chunk_of({11: 2**64 - 1}, Options(), sealed=False) == CHUNK_MAX


def test_the_largest_chunk_fits_an_encrypted_frame() -> None:
    payload = session(key=bytes(16), iv=bytes(16)).seal(0x7025, (Field(9, 2**32 - 1), Field(10, bytes(CHUNK_MAX))))
    assert frame.encode(Frame(1, 0x7025, payload))


@pytest.mark.parametrize("said", [None, 0, -5, True, Decimal("20.5"), b"\xc8"])
def test_a_chunk_that_is_none_is_refused(said: Value | None) -> None:
    with pytest.raises(MalformedError, match="accepted the file with the maximum packet length"):
        chunk_of({} if said is None else {11: said}, Options(), sealed=False)


@pytest.mark.parametrize(("bound", "sealed"), [(20, False), (36, True)])
def test_a_chunk_with_no_room_for_data_is_refused(bound: int, sealed: bool) -> None:
    with pytest.raises(MalformedError, match="leaves no room"):
        chunk_of({11: bound}, BY_FRAME, sealed=sealed)
