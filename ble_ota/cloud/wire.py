"""What comes over the wire, as pydantic models: unknown fields are ignored, numbers may be text, everything is bounded.

null and "" mean the same as absent, since a Java bean sends all its fields. Plans are in `wire_plan.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, cast

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from ble_ota.cloud.account import CloudDevice, Tokens, User
from ble_ota.cloud.answers import parse_json
from ble_ota.cloud.text import one_line
from ble_ota.errors import CloudAnswerError
from ble_ota.model import Secret

TEXT_MAX = 4096  # characters; signed URLs are the longest we know, at some 1,000
KEY_MAX = 128  # characters of a key, a component's number, a version
COMPONENTS_MAX = 20
DEVICES_MAX = 500  # on one page; we ask for fewer

WAN, LAN, BLE = 0b001, 0b010, 0b100  # bits of capabilitiesBitmask


def _plain(text: str) -> str:
    if one_line(text, at_most=KEY_MAX) != text:
        msg = "has characters that cannot be shown"
        raise ValueError(msg)
    return text


Name = Annotated[str, StringConstraints(max_length=KEY_MAX), AfterValidator(_plain)]
Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]
TokenText = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7E]([\x20-\x7E]*[\x21-\x7E])?$")]  # fit for a header


class Wire(BaseModel):
    """What all of them have in common."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True, str_max_length=TEXT_MAX
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_absent(cls, raw: object) -> object:
        if not isinstance(raw, dict):
            return raw
        fields = cast("dict[object, object]", raw)
        return {name: value for name, value in fields.items() if value is not None and value != ""}


Model = TypeVar("Model", bound=Wire)


def read(model: type[Model], data: object, *, doing: str) -> Model:
    """Read `data` as a `model`.

    Raises:
        CloudAnswerError: It is not one; the sentence names the place, never the content, which may be secret.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = one_line(".".join(str(part) for part in first["loc"])) or "data"
    msg = f"{doing}: the answer is not as documented: {where}: {first['msg']}"
    raise CloudAnswerError(msg)


class WireToken(Wire):
    """One token; `expirationTime` is Unix seconds."""

    token: TokenText
    expires_s: Number = Field(validation_alias="expirationTime")


class WireTokens(Wire):
    """What a login and a refresh give."""

    access: WireToken = Field(validation_alias="accessToken")
    refresh: WireToken = Field(validation_alias="refreshToken")

    def tokens(self) -> Tokens:
        """The same as ours."""
        access, refresh = Secret(self.access.token), Secret(self.refresh.token)
        return Tokens(access, self.access.expires_s, refresh, self.refresh.expires_s)


class WireUser(Wire):
    """userInfo."""

    uid: Name = ""
    name: str = Field(default="", validation_alias=AliasChoices("nikeName", "nickName"))  # the vendor writes nikeName
    email: str = ""
    phone: str = ""

    def user(self) -> User:
        """The same as ours."""
        return User(self.uid, one_line(self.name), one_line(self.email), one_line(self.phone))


class WireDevice(Wire):
    """One entry of userDeviceList, or deviceInfo."""

    product_key: Name = Field(default="", validation_alias="productKey")
    device_key: Name = Field(default="", validation_alias="deviceKey")
    name: str = Field(default="", validation_alias="deviceName")
    binding_code: str | None = Field(default=None, validation_alias="bindingCode", repr=False)
    auth_key: str | None = Field(default=None, validation_alias="authKey", repr=False)
    network_type: str | None = Field(default=None, validation_alias="networkType")  # "5" is Bluetooth
    capabilities: Number | None = Field(default=None, validation_alias="capabilitiesBitmask")
    online: Number | None = Field(default=None, validation_alias="onlineStatus")
    plan_id: Name = Field(default="", validation_alias="planId")

    @property
    def ble_only(self) -> bool | None:
        """Whether Bluetooth is its only way out; None where neither field says."""
        if self.capabilities:
            return self.capabilities & (WAN | LAN | BLE) == BLE
        return None if self.network_type is None else self.network_type == "5"

    def device(self) -> CloudDevice:
        """The same as ours.

        A device that has other ways out logs in with its authKey, others with their bindingCode; the one that is
        not there is never missed if the other one is.
        """
        ways = [("bindingCode", self.binding_code), ("authKey", self.auth_key)]
        if self.ble_only is False:
            ways.reverse()
        kind, secret = next(((kind, Secret(text)) for kind, text in ways if text), ("", None))
        online = None if self.online is None else self.online == 1
        return CloudDevice(
            self.product_key,
            self.device_key,
            one_line(self.name),
            secret,
            kind,
            ble_only=self.ble_only,
            online=online,
            plan_id="" if self.plan_id == "0" else self.plan_id,  # a Java long that was never set
        )


class WireDevices(Wire):
    """One page of userDeviceList, in the manner of PageHelper."""

    entries: list[WireDevice] = Field(default=[], validation_alias="list", max_length=DEVICES_MAX)
    total: Number | None = None
    pages: Number | None = None


class WireVersions(Wire):
    """deviceData of getDeviceBusinessAttributes."""

    version: Name = ""
    mcu_version: str | list[Any] = Field(default="", validation_alias="mcuVersion")


class WireAttributes(Wire):
    """getDeviceBusinessAttributes."""

    data: WireVersions | None = Field(default=None, validation_alias="deviceData")

    def versions(self) -> dict[str, str]:
        """Component number to version, "" being the module; what cannot be read is left out, as nobody then says."""
        if self.data is None:
            return {}
        module = {"": self.data.version} if self.data.version else {}
        return module | _mcu_versions(self.data.mcu_version)


def _mcu_versions(raw: str | list[Any]) -> dict[str, str]:
    """Read `[{"componentNo": "MCU1", "version": "1.0"}]` or `[{"MCU1": "1.0"}]`, which may be JSON in a text.

    The vendor's demo shows the entries' fields without naming them, so both are possible.
    """
    try:
        entries = parse_json(raw) if isinstance(raw, str) else raw
    except ValueError:
        return {}
    found: dict[str, str] = {}
    for entry in cast("list[object]", entries)[:COMPONENTS_MAX] if isinstance(entries, list) else ():
        found |= _mcu_entry(cast("dict[str, object]", entry)) if isinstance(entry, dict) else {}
    return found


def _mcu_entry(entry: dict[str, object]) -> dict[str, str]:
    """Read one entry; one without a number is dropped, since "" is the module."""
    named = {entry["componentNo"]: entry.get("version")} if "componentNo" in entry else entry
    return {no: v for no, v in named.items() if isinstance(no, str) and isinstance(v, str) and _short(no, v)}


def _short(*texts: str) -> bool:
    return all(text and one_line(text, at_most=KEY_MAX) == text for text in texts)
