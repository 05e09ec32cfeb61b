"""What the Developer Center knows of a person and of their devices."""

from __future__ import annotations

from dataclasses import dataclass

from ble_ota.model import Secret


@dataclass(frozen=True, slots=True)
class Tokens:
    """A session: an access token for two hours, and a refresh token for some thirty days. Unix seconds."""

    access: Secret
    access_expires_s: float
    refresh: Secret
    refresh_expires_s: float


@dataclass(frozen=True, slots=True)
class User:
    """Whose session it is."""

    id: str
    name: str
    email: str
    phone: str


@dataclass(frozen=True, slots=True)
class CloudDevice:
    """A device of the account."""

    product_key: str
    device_key: str
    name: str
    secret: Secret | None
    """What the login on the device is computed from; None where the account has none."""
    secret_kind: str
    """Which field that was: "bindingCode", "authKey" or ""."""
    ble_only: bool | None = None
    """Whether Bluetooth is the device's only way out; None when the account does not say."""
    online: bool | None = None
    plan_id: str = ""
    """The upgrade plan it has, or had last."""
