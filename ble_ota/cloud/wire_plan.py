"""An upgrade plan as it comes, in both published shapes (drawn in `plans.py`); only its shape is checked here."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from ble_ota.cloud.wire import COMPONENTS_MAX, TEXT_MAX, Name, Number, Wire

FILES_MAX = 10  # a package has up to 5 files (the vendor's OTA page 01)


def _cut(raw: object) -> object:
    return raw[:TEXT_MAX] if isinstance(raw, str) else raw


Prose = Annotated[str, BeforeValidator(_cut)]  # release notes: too long is no reason to refuse a plan


class WireFile(Wire):
    """One firmware file, in either published shape."""

    url: str = Field(default="", validation_alias=AliasChoices("fileUrl", "filePath"), repr=False)
    name: str = Field(default="", validation_alias="fileName")
    size_bytes: Number | None = Field(default=None, validation_alias="fileSize")
    sort: Number = Field(default=0, validation_alias=AliasChoices("sort", "updIndex"))
    sign: str | None = Field(default=None, validation_alias="fileSign")
    sha256: str | None = Field(default=None, validation_alias="fileSha256")
    md5: str | None = Field(default=None, validation_alias="fileMd5")
    crc32: int | str | None = Field(default=None, validation_alias="fileCrc")


class WireComponent(Wire):
    """One component of a plan, in either published shape."""

    no: Name = Field(default="", validation_alias=AliasChoices("componentNo", "comNo"))
    kind: Number = Field(default=0, validation_alias=AliasChoices("componentType", "comType"))
    data_type: Number = Field(default=0, validation_alias="dataType")
    source_version: Name = Field(default="", validation_alias=AliasChoices("sourceVersion", "cver"))
    target_version: Name = Field(default="", validation_alias=AliasChoices("targetVersion", "tver"))
    notes: Prose = Field(default="", validation_alias=AliasChoices("info", "versionInfo"))
    sort: Number = 0
    files: list[WireFile] = Field(
        default=[], validation_alias=AliasChoices("componentVersions", "fileList"), max_length=FILES_MAX
    )
    battery_percent: Number = Field(default=0, validation_alias="battery")
    rssi_dbm: Number = Field(default=0, validation_alias="signal")
    free_bytes: Number = Field(default=0, validation_alias="space")


class WirePlanInfo(Wire):
    """planInfo of the older shape; the newer one has these at its top."""

    id: Name = Field(default="", validation_alias="planId")
    product_key: Name = Field(default="", validation_alias="productKey")
    device_key: Name = Field(default="", validation_alias="deviceKey")
    battery_percent: Number = Field(default=0, validation_alias="batteryLevelLimit")
    rssi_dbm: Number = Field(default=0, validation_alias="minSignalIntensity")
    free_kb: Number = Field(default=0, validation_alias="useSpace")
    ends_at_ms: Number = Field(default=0, validation_alias="planEndTime")


class WirePlan(WirePlanInfo):
    """An upgrade plan: `components` and `planInfo` (Bluetooth), or `comVerList` (newer)."""

    info: WirePlanInfo = Field(default=WirePlanInfo(), validation_alias="planInfo")
    components: list[WireComponent] | None = Field(default=None, max_length=COMPONENTS_MAX)
    com_ver_list: list[WireComponent] | None = Field(
        default=None, validation_alias="comVerList", max_length=COMPONENTS_MAX
    )

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if self.components and self.com_ver_list:
            msg = "has components in two shapes"
            raise ValueError(msg)
        return self
