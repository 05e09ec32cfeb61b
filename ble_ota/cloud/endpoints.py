"""Where the Developer Center is and how each call is spelled: data, so that a setting can correct it.

Sources: the vendor's API list and SDKs (documented), code that others wrote against the live service (third-party),
deduction from those (inferred). An endpoint's `evidence` is that of its weakest part, and `note` says which part.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias, cast, get_args

import httpx

from ble_ota.errors import SettingsError

Evidence: TypeAlias = Literal["documented", "third-party", "inferred"]
Parameters: TypeAlias = Literal["query", "json", "form"]

METHODS = ("GET", "POST", "PUT", "DELETE")
PATH = re.compile(r"/[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")  # no query, no "//", nothing that could change the host
FIELD = re.compile(r"[A-Za-z0-9_.-]{0,64}")
VIRTUAL = "virtual:"  # and a folder: a virtual world, whose Developer Center is served by whoever asks for it
UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\\]")  # what two URL parsers may read in two ways


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call: method, path, and the names of its parameters."""

    name: str
    method: str
    path: str
    parameters: Parameters
    evidence: Evidence
    note: str = ""
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    """Our word to the wire's word; a wire's word of "" is not sent."""
    repeatable: bool = False
    """True where sending it twice does no more than sending it once."""

    def spell(self, values: Mapping[str, object]) -> dict[str, object]:
        """Give `values` (by our words) the wire's names; leave out what is None."""
        named = ((self.fields[word], value) for word, value in values.items() if value is not None)
        return {name: value for name, value in named if name}


@dataclass(frozen=True, slots=True)
class Region:
    """A data centre; what is in one is not in another."""

    name: str
    url: str
    evidence: Evidence


REGIONS: Mapping[str, Region] = MappingProxyType(
    {
        "cn": Region("cn", "https://iot-api.quectelcn.com", "documented"),
        "eu": Region("eu", "https://iot-api.acceleronix.io", "documented"),
        "us": Region("us", "https://iot-api.landecia.com", "third-party"),
    }
)

_LOGIN = {"pwd": "pwd", "random": "random", "signature": "signature", "user_domain": "userDomain"}
_DEVICE = {"product_key": "productKey", "device_key": "deviceKey", "signature": "signature"}
_BODY = "path and method are documented; that the parameters are a JSON body, and how `signature` is made, are not"

_ALL = (
    Endpoint(
        *("emailPwdLogin", "POST", "/v2/enduser/enduserapi/emailPwdLogin", "query", "documented"),
        note="third parties send the same names as a form",
        fields={"email": "email", **_LOGIN},
    ),
    Endpoint(
        *("phonePwdLogin", "POST", "/v2/enduser/enduserapi/phonePwdLogin", "query", "documented"),
        fields={"country_code": "internationalCode", "phone": "phone", **_LOGIN},
    ),
    Endpoint(
        *("refreshToken", "PUT", "/v2/enduser/enduserapi/refreshToken", "query", "documented"),
        fields={"refresh_token": "refreshToken"},
    ),
    Endpoint(*("userLogout", "DELETE", "/v2/enduser/enduserapi/userLogout", "query", "documented")),
    Endpoint(*("userInfo", "GET", "/v2/enduser/enduserapi/userInfo", "query", "documented"), repeatable=True),
    Endpoint(
        *("userDeviceList", "GET", "/v2/binding/enduserapi/userDeviceList", "query", "documented"),
        fields={"page": "page", "page_size": "pageSize"},
        repeatable=True,
    ),
    Endpoint(
        *("deviceInfo", "GET", "/v2/binding/enduserapi/deviceInfo", "query", "documented"),
        fields={"product_key": "pk", "device_key": "dk"},
        repeatable=True,
    ),
    Endpoint(
        *("getDeviceBusinessAttributes", "GET", "/v2/binding/enduserapi/getDeviceBusinessAttributes", "query"),
        evidence="third-party",
        note="the call is documented; what `mcuVersion` holds is read from a demo",
        fields={"product_key": "pk", "device_key": "dk"},
        repeatable=True,
    ),
    Endpoint(
        *("getFetchPlan", "POST", "/v2/binding/enduserapi/getFetchPlan", "json", "inferred", _BODY),
        fields={
            **_DEVICE,
            "sign_type": "signType",
            "module_version": "moduleVersion",
            "mcu_versions": "mcuVersions",
            "battery_percent": "batteryLevelLimit",
            "rssi_dbm": "minSignalIntensity",
            "free_kb": "useSpace",
        },
        repeatable=True,  # a query, whatever its method
    ),
    Endpoint(
        *("reportUpgradeStatus", "POST", "/v2/binding/enduserapi/reportUpgradeStatus", "json", "inferred", _BODY),
        fields={**_DEVICE, "component_no": "componentNo", "status": "reportStatus"},
    ),
)

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType({endpoint.name: endpoint for endpoint in _ALL})


def override(table: Mapping[str, Endpoint], changes: Mapping[str, Mapping[str, object]]) -> Mapping[str, Endpoint]:
    """Correct some endpoints: `{"getFetchPlan": {"path": …, "method": …, "parameters": …, "fields": {…}}}`.

    Raises:
        SettingsError: No such endpoint or word, or a value that cannot be one.
    """
    changed = dict(table)
    for name, change in changes.items():
        if name not in table:
            msg = f"there is no endpoint `{name}`; there are {', '.join(sorted(table))}"
            raise SettingsError(msg)
        for key, value in change.items():
            changed[name] = _changed(changed[name], key, value)
    return MappingProxyType(changed)


def _changed(endpoint: Endpoint, key: str, value: object) -> Endpoint:
    match key, value:
        case "method", str() if value.upper() in METHODS:
            return replace(endpoint, method=value.upper())
        case "path", str() if PATH.fullmatch(value) and ".." not in value:
            return replace(endpoint, path=value)
        case "parameters", str() if value in get_args(Parameters):
            return replace(endpoint, parameters=cast("Parameters", value))
        case "fields", Mapping():
            words = cast("Mapping[object, object]", value)
            if all(our in endpoint.fields and isinstance(w, str) and FIELD.fullmatch(w) for our, w in words.items()):
                return replace(endpoint, fields={**endpoint.fields, **cast("Mapping[str, str]", words)})
        case _:
            pass
    msg = f"endpoint `{endpoint.name}`: `{key}` cannot be {value!r}"
    raise SettingsError(msg)


def base_url(text: str) -> str:
    """Turn `cn`, `eu`, `us` or a URL into the URL that paths are put after, without a slash at its end.

    `virtual:DIR` stays as it is: a name for what somebody serves at another address each time.

    Raises:
        SettingsError: Neither, or plain http to a host that is not this machine.
    """
    if region := REGIONS.get(text.strip().lower()):
        return region.url
    if text.startswith(VIRTUAL) and text != VIRTUAL:
        return text
    if not is_private(text):
        msg = (
            f"`{_shown(text)}` is no place for a session: cn, eu, us or an https:// URL (plain http: this machine only)"
        )
        raise SettingsError(msg)
    url = httpx.URL(text)
    if url.userinfo or url.query or url.fragment:
        msg = f"`{_shown(text)}`: the Developer Center's URL takes no user, query or fragment"
        raise SettingsError(msg)
    return str(url).rstrip("/")


def is_private(url: str) -> bool:
    """Whether nobody on the way can read or change what goes over `url`: https, or http to this machine."""
    try:
        parsed = httpx.URL(url)
        host, port = parsed.host, parsed.port
    except (httpx.InvalidURL, ValueError):
        return False
    if UNSAFE.search(url) or not host or not 0 < (port or 1) < 2**16:
        return False
    return parsed.scheme == "https" or (parsed.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by definition, not by what a name server says."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(url: str) -> str:
    """The URL without what may be a secret in it."""
    return re.sub(r"//[^/?#]*@", "//***@", re.split(r"[?#]", UNSAFE.sub("", url))[0])[:100]
