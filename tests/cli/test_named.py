from __future__ import annotations

import io
from pathlib import Path

import pytest

from ble_ota.cli.common import Common
from ble_ota.cli.named import DEVICES_MAX, FILE_MAX, Wish, devices, keys_of, wished
from ble_ota.cloud import CloudDevice
from ble_ota.errors import UsageError
from ble_ota.mqtt import Keys, Ref
from tests.cli.online import Center, keys, plan

TEXT = Common("mqtt plan")
A, B = Keys("pk", "A1"), Keys("pk", "B2")


def named(*arguments: str) -> tuple[object, ...]:
    return wished(TEXT, arguments, file=None, everything=False).named


def filed(tmp_path: Path, content: bytes | str) -> tuple[object, ...]:
    file = tmp_path / "devices.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return wished(TEXT, None, file=file, everything=False).named


def test_arguments_name_devices_and_plans_of_them() -> None:
    assert named("pk/A1", "pk/B2/7") == (A, Ref(B, "7"))


@pytest.mark.parametrize("text", ["A1", "pk/", "/A1", "pk/A1/", "pk/A1/7/8", "pk/A 1", "pk/\x1b[31m", "p" * 65 + "/A1"])
def test_an_argument_that_names_no_device_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no device"):
        named(text)


@pytest.mark.parametrize("given", [(), ("arguments", "file"), ("arguments", "all"), ("file", "all")])
def test_one_way_of_naming_is_needed_and_only_one(given: tuple[str, ...]) -> None:
    file = Path("-") if "file" in given else None
    with pytest.raises(UsageError) as caught:
        wished(TEXT, ["pk/A1"] if "arguments" in given else [], file=file, everything="all" in given)
    assert (caught.value.exit_code, "--file" in caught.value.hint) == (2, True)


def test_a_device_named_twice_counts_once_and_that_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert named("pk/A1", "pk/B2", "pk/A1") == (A, B)
    assert "1 of the names is there twice" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["pk/B2/7", "pk,B2,7", "pk , B2 , 7", "pk\tB2\t7", "pk  B2 7", " pk/B2/7  # rack 4"])
def test_a_line_has_slashes_or_columns(tmp_path: Path, line: str) -> None:
    assert filed(tmp_path, f"pk/A1\n{line}\n") == (A, Ref(B, "7"))


def test_a_file_may_have_a_mark_blank_lines_comments_and_foreign_line_ends(tmp_path: Path) -> None:
    assert filed(tmp_path, b"\xef\xbb\xbf# line 3\r\n\r\npk/A1\r\npk,B2\r\n") == (A, B)


def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"devices\.txt, line 3: `pk` names no device"):
        filed(tmp_path, "# these\npk/A1\npk\n")


def test_a_file_without_a_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no device"):
        filed(tmp_path, "# none\n")


def test_a_file_over_the_cap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"more than {FILE_MAX} bytes"):
        filed(tmp_path, b"#" * (FILE_MAX + 1))


def test_too_many_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"more than {DEVICES_MAX} devices"):
        filed(tmp_path, "".join(f"p/{n}\n" for n in range(DEVICES_MAX + 1)))
    assert len(filed(tmp_path, "".join(f"p/{n}\n" for n in range(DEVICES_MAX)))) == DEVICES_MAX


def test_a_file_of_other_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no text in UTF-8"):
        filed(tmp_path, b"\xff\xfe\x00")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.txt cannot be read"):
        wished(TEXT, None, file=tmp_path / "nowhere.txt", everything=False)


def test_a_dash_is_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"pk/A1\n")))
    assert wished(TEXT, None, file=Path("-"), everything=False).named == (A,)


async def test_the_whole_account_is_without_what_has_bluetooth_alone() -> None:
    class Account:
        async def devices(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
            for key, ble_only in (("A1", False), ("C3", True), ("B2", None)):
                yield CloudDevice("pk", key, "", None, "", ble_only=ble_only)

    assert await devices(wished(TEXT, (), file=None, everything=True), Account()) == [A, B]


async def test_what_is_named_needs_no_list() -> None:
    assert await devices(Wish((A,)), Center.of(plan(1))) == [A]


def test_a_plan_is_of_its_device() -> None:
    assert [keys_of(Ref(keys(1), "7")), keys_of(A)] == [keys(1), A]
