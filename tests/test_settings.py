from __future__ import annotations

from pathlib import Path

import pytest

from ble_ota.errors import SettingsError
from ble_ota.settings import EVIDENCE, FILE_MAX, VERSION_ID, default_file, isolated, load


@pytest.fixture(autouse=True)
def nothing_of_this_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [n for n in os.environ if n.startswith("BLE_OTA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def file(tmp_path: Path, text: str) -> Path:
    (tmp_path / "c.toml").write_text(text, "utf-8")
    return tmp_path / "c.toml"


LAYERS = 'cloud = "file"\n[profiles.line]\ncloud = "profile"\n'


def test_a_default_holds_where_nobody_says_anything() -> None:
    assert load().cloud == "cn"


def test_the_file_goes_before_the_default(tmp_path: Path) -> None:
    assert load(file(tmp_path, LAYERS)).cloud == "file"


def test_the_profile_goes_before_the_file(tmp_path: Path) -> None:
    assert load(file(tmp_path, LAYERS), profile="line").cloud == "profile"


def test_the_environment_goes_before_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLE_OTA_CLOUD", "environment")
    assert load(file(tmp_path, LAYERS), profile="line").cloud == "environment"


def test_a_flag_goes_before_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLE_OTA_CLOUD", "environment")
    assert load(file(tmp_path, LAYERS), profile="line", flags={"cloud": "flag"}).cloud == "flag"


def test_the_default_file_is_read(tmp_path: Path) -> None:
    default_file().parent.mkdir(parents=True)
    default_file().write_text('cloud = "eu"')
    assert load().cloud == "eu"


def test_a_profile_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no profile 'lime'"):
        load(file(tmp_path, LAYERS), profile="lime")


def test_a_profile_without_a_file_is_named() -> None:
    with pytest.raises(SettingsError, match="no profile 'line'"):
        load(profile="line")


def test_nested_names_of_the_environment_join_with_two_underscores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLE_OTA_QUECTHING__LOGIN", "false")
    assert load().quecthing.login is False


def test_a_report_number_does_not_unset_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLE_OTA_REPORT_STATUS__FAILED", "8")
    said = load(file(tmp_path, "[report_status]\nsucceeded = 9\n"))
    assert said.report_status.known() == {"confirmed": 2, "succeeded": 9, "failed": 8}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        pytest.param("", {"": VERSION_ID}, id="nothing is said"),
        pytest.param("MCU1 = 13", {"": VERSION_ID, "MCU1": 13}, id="an MCU's beside the module's"),
        pytest.param('"" = 20', {"": 20}, id="another one of the module"),
        pytest.param('"" = 20\nMCU1 = 13', {"": 20, "MCU1": 13}, id="both"),
    ],
)
def test_the_id_of_a_version_does_not_unname_the_modules(tmp_path: Path, text: str, ids: dict[str, int]) -> None:
    assert load(file(tmp_path, f"[quecthing.version_ids]\n{text}")).quecthing.version_ids == ids


@pytest.mark.parametrize("outcome", ["confirmed", "succeeded", "failed"])
@pytest.mark.parametrize("number", [-1, 13])
def test_a_report_number_the_platform_cannot_have_is_refused(outcome: str, number: int) -> None:
    assert isolated(report_status={outcome: 0 if number < 0 else 12}).report_status.known()[outcome] in (0, 12)
    with pytest.raises(SettingsError, match=rf"report_status\.{outcome}"):
        isolated(report_status={outcome: number})


@pytest.mark.parametrize(("most", "fits"), [(0, False), (1, True), (20_000, True), (20_001, False)])
def test_the_limit_of_a_plan_is_one_megabyte_to_all_that_a_plan_can_name(most: int, fits: bool) -> None:
    assert isolated().plan_max_mb == 512
    if fits:
        assert isolated(plan_max_mb=most).plan_max_mb == most
        return
    with pytest.raises(SettingsError, match="plan_max_mb"):
        isolated(plan_max_mb=most)


def test_success_and_failure_have_no_number_by_default() -> None:
    assert load().report_status.known() == {"confirmed": 2}


@pytest.mark.parametrize("text", ["colour = 1", "[report_status]\nsucceded = 9", "[quecthing]\nlogins = true"])
def test_an_unknown_key_is_named(tmp_path: Path, text: str) -> None:
    key = text.split("\n")[-1].split()[0]
    with pytest.raises(SettingsError, match=key):
        load(file(tmp_path, text))


@pytest.mark.parametrize("text", ["cloud = ", "= 1", "\x00"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"c\.toml is not TOML"):
        load(file(tmp_path, text))


def test_a_file_of_other_bytes_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not TOML"):
        load(tmp_path / "c.toml")


def test_a_file_over_the_cap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"more than {FILE_MAX}"):
        load(file(tmp_path, "#" * (FILE_MAX + 1)))


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("name", ["links", "deadline_s", "quecthing", "report_status", "password"])
def test_a_wrong_type_in_the_file_does_not_show_its_value(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(file(tmp_path, f'{name} = ["hunter2"]'))
    assert name in str(caught.value)
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__} {caught.value.hint}"


@pytest.mark.parametrize("name", ["LINKS", "REPORT_STATUS", "QUECTHING__CHECK_CODE"])
def test_a_wrong_type_in_the_environment_does_not_show_its_value(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"BLE_OTA_{name}", "hunter2")
    with pytest.raises(SettingsError) as caught:
        load()
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PASSWORD", "USER_DOMAIN_SECRET", "DEVICE_SECRET"):
        monkeypatch.setenv(f"BLE_OTA_{name}", "hunter2")
    assert "hunter2" not in f"{load()!r} {load()}"


def test_isolated_settings_hear_neither_environment_nor_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLE_OTA_CLOUD", "environment")
    default_file().parent.mkdir(parents=True)
    default_file().write_text("links = 9")
    assert (isolated(radio="virtual:x").cloud, isolated().links) == ("cn", 20)


def test_isolated_settings_are_checked_too() -> None:
    with pytest.raises(SettingsError, match="links"):
        isolated(links=0)


def test_the_pace_of_calls_has_defaults_that_are_gentle() -> None:
    said = isolated()
    assert (said.calls_at_once, said.calls_per_s, said.batch, said.poll_s) == (4, 20, 50, 3)


@pytest.mark.parametrize(
    "values",
    [
        {"calls_at_once": 0},
        {"calls_at_once": 65},
        {"calls_per_s": 0},
        {"calls_per_s": 1001},
        {"batch": 0},
        {"batch": 1001},
        {"poll_s": 0.09},
        {"poll_s": 3601},
    ],
)
def test_a_pace_out_of_its_range_is_named(values: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(values))):
        isolated(**values)


@pytest.mark.parametrize("name", EVIDENCE)
def test_every_piece_of_evidence_is_about_a_setting(name: str) -> None:
    value: object = isolated()
    for part in name.split("."):
        assert hasattr(value, part)
        value = getattr(value, part)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("interval_ms", 7.4),
        ("interval_ms", 101.25),
        ("interval_ms", 15.5),
        ("phy", "coded"),
        ("data_bytes", 26),
        ("data_bytes", 252),
        ("mtu", 22),
        ("mtu", 518),
        ("supervision_s", 0.5),
        ("supervision_s", 33),
        ("links", 0),
        ("links", 33),
    ],
)
def test_a_link_that_no_controller_makes_is_refused(setting: str, value: object) -> None:
    with pytest.raises(SettingsError, match=setting):
        isolated(bumble={setting: value})


def test_a_link_as_controllers_make_them_is_taken() -> None:
    said = isolated(bumble={"interval_ms": 7.5, "phy": "1M", "links": 1}).bumble
    assert (said.interval_ms, said.phy, said.links, said.data_bytes) == (7.5, "1M", 1, 251)
