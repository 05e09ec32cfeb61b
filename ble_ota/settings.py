"""Settings: one TOML file, the environment (`BLE_OTA_…`), flags; the later one wins.

Nested names join with `__`: `[report_status] succeeded = 9` is `BLE_OTA_REPORT_STATUS__SUCCEEDED=9`. A table
`[profiles.NAME]` holds what differs under `--profile NAME`.

Each point that public sources leave open is a setting. Its evidence stands in `EVIDENCE`, and `ble-ota doctor`
lists those in force that are inferred.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as PydanticSettingsError

from ble_ota.errors import SettingsError

APP = "ble-ota"
VERSION_ID = 12  # inferred: the id of a version in the file transfer
FILE_MAX = 1_000_000  # bytes of a settings file; a larger one is something else


class ReportStatus(BaseModel):
    """The platform's number for each report, 0 to 12; None: not known, so such a report is not sent."""

    model_config = ConfigDict(extra="forbid")

    confirmed: int | None = Field(default=2, ge=0, le=12)
    succeeded: int | None = Field(default=None, ge=0, le=12)
    failed: int | None = Field(default=None, ge=0, le=12)

    def known(self) -> dict[str, int]:
        """Those that are set."""
        return self.model_dump(exclude_none=True)


class QuecThingSettings(BaseModel):
    """What public sources leave open of the device protocol; see `protocols.quecthing.session.Options`."""

    model_config = ConfigDict(extra="forbid")

    login: bool = True
    encrypt_transfer: bool = True
    check_code: Literal["raw", "hex"] = "raw"
    packet_bound: Literal["data", "frame"] = "data"
    file_type_mcu: int = Field(default=1, ge=0, le=255)
    version_ids: dict[str, int] = Field(default_factory=dict[str, int], validate_default=True)

    @field_validator("version_ids")
    @classmethod
    def _with_the_module(cls, given: dict[str, int]) -> dict[str, int]:
        """Naming an MCU's id does not unname the module's."""
        return {"": VERSION_ID} | given


class BumbleSettings(BaseModel):
    """How a controller of one's own (`--radio bumble:…`) carries links; see `gatt.bumble_options.LinkOptions`."""

    model_config = ConfigDict(extra="forbid")

    interval_ms: float = Field(default=15, ge=7.5, le=100, multiple_of=1.25)  # connection interval
    phy: Literal["2M", "1M"] = "2M"  # 1M reaches further
    data_bytes: int = Field(default=251, ge=27, le=251)  # longest link-layer payload
    mtu: int = Field(default=517, ge=23, le=517)  # ATT MTU to offer
    supervision_s: float = Field(default=6, ge=1, le=32)  # silence after which a link is lost
    links: int = Field(default=8, ge=1, le=32)  # at once, per controller


class Settings(BaseSettings):
    """All settings, with their defaults. Times are seconds."""

    model_config = SettingsConfigDict(
        env_prefix="BLE_OTA_", env_nested_delimiter="__", extra="forbid", hide_input_in_errors=True
    )

    # where
    cloud: str = "cn"
    radio: str = "bleak"
    bumble: BumbleSettings = Field(default_factory=BumbleSettings)
    cache_dir: Path = Path(platformdirs.user_cache_dir(APP))
    state_dir: Path = Path(platformdirs.user_state_dir(APP))
    ledger: str = ""  # SQLAlchemy URL; "" is the file ledger.db of state_dir
    keyring: bool = True  # False: secrets in a 0600 file of state_dir
    ledger_head: bool = True  # keep the head of the ledger's audit log in the vault, for `history verify`

    # who
    user_domain: str = ""
    user_domain_secret: SecretStr | None = None
    email: str = ""
    phone: str = ""
    country_code: str = "86"
    password: SecretStr | None = None
    device_secret: SecretStr | None = None

    # what is allowed
    accept_md5: bool = False
    strict_conditions: bool = False
    offline: Literal["refuse", "queue"] = "refuse"  # with a confirmation that cannot be sent
    plan_max_mb: int = Field(512, ge=1, le=20_000)  # of all files of a plan; 20 x 10 x 100 MB is the most it can name

    # how long
    deadline_s: float = Field(3600, gt=0)
    reboot_s: float = Field(120, gt=0)
    scan_s: float = Field(10, gt=0)
    links: int = Field(20, ge=1, le=1000)  # per component
    download_window_s: float = Field(20, gt=0, le=600)  # a download below the floor for so long is given up
    mirrors: list[str] = Field(default_factory=list, max_length=20)  # folders or URLs, asked before a file's address
    download_hosts: list[str] = Field(default_factory=list, max_length=100)  # private ones that may be redirected to
    dwell_s: float = Field(0, ge=0, le=86400)  # after the proof: a second look, for devices that may fall back

    # how much at once, of many devices
    calls_at_once: int = Field(4, ge=1, le=64)  # in flight
    calls_per_s: float = Field(20, gt=0, le=1000)
    batch: int = Field(50, ge=1, le=1000)  # devices in one call
    poll_s: float = Field(3, ge=0.1, le=3600)  # of a watch; the vendor's demos ask every 3 s

    # what public sources leave open
    report_status: ReportStatus = Field(default_factory=ReportStatus)
    signature: Literal["none", "joined"] = "none"
    sign_type: Literal["SHA256", "MD5", "CRC32"] = "SHA256"
    endpoints: dict[str, dict[str, str | dict[str, str]]] = Field(default_factory=dict)
    quecthing: QuecThingSettings = Field(default_factory=QuecThingSettings)


EVIDENCE: Mapping[str, tuple[str, str]] = {
    "report_status": ("inferred", "a vendor demo sends 2 before a transfer; the other numbers are not public"),
    "endpoints": ("documented", "each call carries its own evidence, in cloud/openapi.yaml"),
    "signature": ("inferred", "whether plan queries and reports must be signed, and how, is not public"),
    "sign_type": ("documented", "the older SDK's argument"),
    "quecthing.login": ("third-party", "three implementations agree"),
    "quecthing.encrypt_transfer": ("inferred", "the documents say that all is encrypted after a login"),
    "quecthing.check_code": ("inferred", "the field is of type binary"),
    "quecthing.packet_bound": ("inferred", "read as the packet's data, not its frame"),
    "quecthing.file_type_mcu": ("inferred", "only type 1, firmware, is documented"),
    "quecthing.version_ids": ("inferred", "0x7040 is known by name only; 12 is the id of a version elsewhere"),
}


def default_file() -> Path:
    """Where the settings file is looked for when no `--config` says so."""
    return Path(platformdirs.user_config_dir(APP)) / "config.toml"


def load(file: Path | None = None, *, profile: str = "", flags: Mapping[str, Any] | None = None) -> Settings:
    """Read all sources.

    Args:
        file: The TOML file; it must exist. None is `default_file()`, which may be missing.
        profile: Name of a table under `[profiles]` to lay over the rest; "" is none.
        flags: What the command line says, by field name.

    Raises:
        SettingsError: The file cannot be read, or a setting is unknown or out of its range.
    """
    said, under_profile = _said(file, profile)
    return _made(flags or {}, below=(under_profile, said))


def isolated(**values: object) -> Settings:
    """Settings from `values` and defaults alone: no file, no environment. Raises `SettingsError`."""
    return _made(values, below=None)


def _made(values: Mapping[str, Any], *, below: Sequence[dict[str, Any]] | None) -> Settings:
    """Settings from `values`, over the environment, over `below`; None leaves the latter two out."""

    class Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            *sources: PydanticBaseSettingsSource,
            **by_name: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            if below is None:
                return (by_name["init_settings"],)
            files = (InitSettingsSource(settings_cls, said) for said in below)
            return by_name["init_settings"], by_name["env_settings"], *files

    try:
        return Sourced(**values)
    except (ValidationError, PydanticSettingsError) as error:
        raise SettingsError(_named(error)) from None


def _said(file: Path | None, profile: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the file says, and what it says under `profile`."""
    path = file or default_file()
    if file is None and not path.exists():
        return _under({}, profile, path)
    try:
        with path.open("rb") as opened:
            content = opened.read(FILE_MAX + 1)
        if len(content) > FILE_MAX:
            msg = f"the settings file {path} has more than {FILE_MAX} bytes"
            raise SettingsError(msg)
        return _under(tomllib.loads(content.decode()), profile, path)
    except OSError as error:
        msg = f"the settings file {path} cannot be read: {error.strerror}"
        raise SettingsError(msg) from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are both
        msg = f"the settings file {path} is not TOML: {error}"
        raise SettingsError(msg) from error


def _under(said: dict[str, Any], profile: str, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    profiles = said.pop("profiles", {})
    if not profile:
        return said, {}
    chosen: Any = cast("dict[str, Any]", profiles).get(profile) if isinstance(profiles, dict) else None
    if not isinstance(chosen, dict):
        msg = f"the settings file {path} has no profile {profile!r}"
        raise SettingsError(msg, hint=f"Add a table [profiles.{profile}]")
    return said, cast("dict[str, Any]", chosen)


def _named(error: ValidationError | PydanticSettingsError) -> str:
    """One sentence that names the settings; never their values, a secret may stand in the wrong place."""
    if isinstance(error, PydanticSettingsError):
        return f"a setting cannot be read: {error}"
    wrong = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
    return f"settings are not right: {'; '.join(wrong)}"
