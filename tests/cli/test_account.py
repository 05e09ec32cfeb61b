from __future__ import annotations

import json
from pathlib import Path

import pytest

from ble_ota.cli.account import login, logout, whoami
from ble_ota.cli.common import Common
from ble_ota.errors import LoginRefusedError, SettingsError, UsageError
from ble_ota.virtual.developer_center import Faults
from tests.cli.desk import Desk

JSON, TEXT = Common("login", json=True, no_input=True), Common("login", no_input=True)


async def test_a_login_is_kept(desk: Desk, tmp_path: Path) -> None:
    assert await login(JSON, JSON.settings()) == 0
    data = desk.told().last["data"]
    assert (data["user"]["email"], data["cloud"]) == ("demo@example.com", desk.url)
    assert data["kept_in"] == str(tmp_path / "state" / "secrets.json")


async def test_a_login_says_who_and_where(desk: Desk) -> None:
    await login(TEXT, TEXT.settings())
    out = desk.capsys.readouterr().out
    assert out.startswith("Logged in as demo@example.com")
    assert "secrets.json" in out


async def test_a_kept_session_needs_no_second_login(desk: Desk) -> None:
    await login(JSON, JSON.settings())
    assert await whoami(JSON, JSON.settings()) == 0
    assert len(desk.records("login")) == 1


async def test_whoami_logs_in_by_itself(desk: Desk) -> None:
    assert await whoami(TEXT, TEXT.settings()) == 0
    assert desk.capsys.readouterr().out == f"demo@example.com {desk.world.user.phone} at {desk.url}\n"


async def test_a_logout_forgets_the_session(desk: Desk, tmp_path: Path) -> None:
    await login(JSON, JSON.settings())
    assert await logout(JSON, JSON.settings()) == 0
    assert desk.told().last["data"] == {"logged_out": True, "told": True}
    assert json.loads((tmp_path / "state" / "secrets.json").read_text()) == {}


async def test_a_logout_without_a_session_has_nothing_to_do(desk: Desk) -> None:
    assert await logout(JSON, JSON.settings()) == 10
    assert desk.told().last["data"] == {"logged_out": False}


async def test_a_logout_nobody_hears_still_forgets(desk: Desk, tmp_path: Path) -> None:
    await login(JSON, JSON.settings())
    desk.center.faults = Faults(code=4711)
    assert await logout(JSON, JSON.settings()) == 0
    said = desk.told()
    assert said.last["data"] == {"logged_out": True, "told": False}
    assert "warning: the Developer Center was not told" in said.words
    assert json.loads((tmp_path / "state" / "secrets.json").read_text()) == {}


async def test_a_wrong_password_is_tried_once(desk: Desk) -> None:
    desk.set(password="wrong-one")
    with pytest.raises(LoginRefusedError):
        await login(JSON, JSON.settings())
    assert len(desk.records("login.refused")) == 1


async def test_a_login_by_phone(desk: Desk) -> None:
    desk.unset("email")
    desk.set(phone=desk.world.user.phone)
    assert await login(JSON, JSON.settings()) == 0
    assert desk.records("login")[0]["by"] == "phone"


async def test_a_missing_password_names_what_would_give_it(desk: Desk) -> None:
    desk.unset("password")
    with pytest.raises(UsageError) as caught:
        await login(JSON, JSON.settings())
    assert "BLE_OTA_PASSWORD" in caught.value.hint


async def test_a_missing_name_names_what_would_give_it(desk: Desk) -> None:
    desk.unset("email")
    with pytest.raises(UsageError) as caught:
        await login(JSON, JSON.settings())
    assert "BLE_OTA_EMAIL" in caught.value.hint


async def test_a_missing_user_domain_is_a_matter_of_settings(desk: Desk) -> None:
    desk.unset("user_domain_secret")
    with pytest.raises(SettingsError, match="user domain"):
        await login(JSON, JSON.settings())


@pytest.fixture
def profiles(desk: Desk, tmp_path: Path) -> tuple[Common, Common]:
    """Two profiles of one cloud: the same person by e-mail and by phone."""
    user, file = desk.world.user, tmp_path / "config.toml"
    desk.unset("email")
    file.write_text(f'[profiles.post]\nemail = "{user.email}"\n[profiles.bell]\nphone = "{user.phone}"\n')
    post, bell = (Common("login", json=True, no_input=True, config=file, profile=name) for name in ("post", "bell"))
    return post, bell


async def test_each_profile_has_its_session(desk: Desk, profiles: tuple[Common, Common]) -> None:
    for profile in profiles * 2:
        assert await whoami(profile, profile.settings()) == 0
    assert [r["by"] for r in desk.records("login")] == ["email", "phone"]


async def test_a_logout_ends_the_session_of_its_profile(desk: Desk, profiles: tuple[Common, Common]) -> None:
    post, bell = profiles
    for profile in profiles:
        await login(profile, profile.settings())
    assert await logout(post, post.settings()) == 0
    assert await logout(post, post.settings()) == 10
    assert await logout(bell, bell.settings()) == 0
    assert [r["session"] for r in desk.records("logout")] == [r["session"] for r in desk.records("login")]
