from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from ble_ota.errors import MalformedError
from ble_ota.link import Characteristic, uuid16
from ble_ota.proof import Versions
from ble_ota.protocols.quecthing import Options
from ble_ota.protocols.quecthing.frame import Frame
from ble_ota.protocols.quecthing.ttlv import Field, Value
from ble_ota.protocols.quecthing.versions import INFO_S, identify, version_setting
from ble_ota.script import Read, Reply
from tests.protocols.conversation import Row, play
from tests.protocols.quecthing.words import hears, session, silence, told, writes

REVISION = Characteristic(0x20, uuid16(0x2A26), uuid16(0x180A), 20)
KEY = bytes(range(16))
RANDOM = b"0123456789abcdef"
INFO_ASKED = writes(told(0x7040, 1000))
REVISION_READ = Read(REVISION.handle)


def identified(*rows: Row, revision: bool = False, options: Options | None = None) -> Versions:
    talk = replace(session(options=options), revision=REVISION if revision else None)
    return play(identify(talk), INFO_ASKED, *rows)


def answered(values: dict[int, bytes | int | Decimal | bool]) -> Row:
    return hears(told(0x7041, 1000, values), within_s=INFO_S)


@pytest.mark.parametrize("other", [told(0x7041, 999, {12: b"9"}), told(0x7035, 1000, {12: b"9"})])
def test_an_answer_to_something_else_is_passed_over(other: Frame) -> None:
    assert identified(hears(other, within_s=INFO_S), answered({12: b"1.0.0"})).by_component == {"": "1.0.0"}


def test_components_are_told_by_the_ids_of_the_setting() -> None:
    options = Options(version_ids={"fw": 1, "mcu": 2, "gone": 3})
    found = identified(answered({1: b"1.0.0", 2: Decimal("2.5"), 12: b"x"}), options=options)
    assert found == Versions({"fw": "1.0.0", "mcu": "2.5"}, "device", texts={1: "1.0.0", 2: "2.5", 12: "x"})


@pytest.mark.parametrize("row", [silence(INFO_S), answered({}), answered({5: b"x"})])
def test_a_device_without_the_answer_is_asked_for_its_revision(row: Row) -> None:
    found = identified(row, (REVISION_READ, Reply(b"1.0.0\0\0", 0.0)), revision=True)
    assert (found.by_component, found.proof) == ({"": "1.0.0"}, "device-information")


@pytest.mark.parametrize(
    ("ids", "by_component"),
    [
        pytest.param({"": 12, "MCU": 13}, {"": "1.0.0"}, id="one module"),
        pytest.param({"": 12, "MAIN": 12, "AUX": 13}, {"MAIN": "1.0.0"}, id="two modules"),
        pytest.param({"fw": 1}, {"": "1.0.0"}, id="no id of the module"),
    ],
)
def test_the_revision_is_the_version_of_one_component(ids: dict[str, int], by_component: dict[str, str]) -> None:
    """A plan that names the other module alone must not take it for that one's."""
    options = Options(version_ids=ids)
    read = (REVISION_READ, Reply(b"1.0.0", 0.0))
    assert identified(silence(INFO_S), read, revision=True, options=options).by_component == by_component


def test_a_version_with_a_name_is_not_told_without_one_too() -> None:
    options = Options(version_ids={"": 12, "MAIN": 12, "AUX": 13})
    assert identified(answered({12: b"1.0.0"}), options=options).by_component == {"MAIN": "1.0.0"}


def test_an_empty_answer_is_passed_over_where_an_encrypted_one_is_due() -> None:
    talk = session(key=KEY, iv=RANDOM)
    rows = (INFO_ASKED, hears(told(0x7041, 1000), within_s=INFO_S, after_s=1.0), silence(INFO_S - 1.0))
    assert play(identify(talk), *rows) == Versions(key_shown=False)


def test_texts_of_the_answer_are_told_where_they_may_be_versions() -> None:
    values: dict[int, bytes | int | Decimal | bool] = {1: b"2.0\x1b[31m", 2: 7, 3: True, 4: b"", 5: b"x" * 65}
    assert identified(answered(values)).texts == {1: "2.0[31m", 2: "7"}
    many: dict[int, bytes | int | Decimal | bool] = dict.fromkeys(range(1, 40), b"1")
    assert len(identified(answered(many)).texts) == 16


def test_an_answer_spares_the_revision() -> None:
    assert identified(answered({12: b"1.0.0"}), revision=True).proof == "device"


def test_a_device_that_tells_nothing_runs_nothing_known() -> None:
    assert identified(silence(INFO_S)) == Versions()


@pytest.mark.parametrize("version", [b"", b"1.0\n", b"1.0\x1b[31m", "1.0\u202e".encode(), b"x" * 65, True])
def test_a_version_that_is_none_is_refused(version: bytes | bool) -> None:
    with pytest.raises(MalformedError, match="tells a version that is none") as refused:
        identified(answered({12: version}))
    assert str(refused.value).isprintable()


def test_a_struct_is_no_version() -> None:
    empty: Value = ()
    with pytest.raises(MalformedError, match="tells a version that is none"):
        identified(hears(Frame(1000, 0x7041, session().seal(0x7041, (Field(12, empty),))), within_s=INFO_S))


def test_the_longest_version_is_read() -> None:
    assert identified(answered({12: b"x" * 64})).by_component == {"": "x" * 64}


@pytest.mark.parametrize("key", [b"", KEY])
def test_versions_say_whether_the_peer_has_shown_the_key(key: bytes) -> None:
    talk = replace(session(key=key, iv=RANDOM), revision=REVISION)
    rows = (INFO_ASKED, silence(INFO_S), (REVISION_READ, Reply(b"1.0.0", 0.0)))
    assert play(identify(talk), *rows) == Versions({"": "1.0.0"}, "device-information", key_shown=not key)
    sealed = Frame(1001, 0x7041, talk.seal(0x7041, (Field(12, b"1.0.0"),)))
    found = play(identify(talk), writes(told(0x7040, 1001)), hears(sealed, within_s=INFO_S))
    assert (found.proof, found.key_shown) == ("device", True)


def test_the_line_of_the_settings_names_component_and_id() -> None:
    assert version_setting("MCU", 13) == 'quecthing.version_ids = { "MCU" = 13 }'
