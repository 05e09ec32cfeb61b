"""Where the Developer Center is and how each call is spelled: data from `openapi.yaml`, which a setting can correct.

Sources: the vendor's API list and SDKs (documented), code that others wrote against the live service (third-party),
deduction from those (inferred). An endpoint's `evidence` is that of the weakest part of its request, and `note` says
what is not documented of it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import cast, get_args

import httpx

from ble_ota.cloud.contract import LEVELS, Call, Evidence, Parameters, calls
from ble_ota.errors import SettingsError

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
    lists: bool = False
    """True where the call is about many devices: it takes a list."""
    wrapped_in: str = ""
    """The name under which that list stands; "" where the list is the body itself."""

    def spell(self, values: Mapping[str, object]) -> dict[str, object]:
        """Give `values` (by our words) the wire's names; leave out what is None, and what has no name."""
        named = ((self.fields[word], value) for word, value in values.items() if value is not None)
        return {name: value for name, value in named if name}

    def spell_all(self, records: Sequence[Mapping[str, object]]) -> list[dict[str, object]] | dict[str, object]:
        """Spell one record for each device, in the list or object that the call takes."""
        spelled = [self.spell(record) for record in records]
        return {self.wrapped_in: spelled} if self.wrapped_in else spelled


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


def endpoint_of(call: Call) -> Endpoint:
    """Make of an operation of the contract what is sent, with what it rests on in a word and a sentence."""
    weak = [point for point in call.points if point.level != "documented"]
    weakest = max((LEVELS.index(point.level) for point in weak), default=0)
    return Endpoint(
        *(call.name, call.method, call.path, call.parameters, LEVELS[weakest]),
        note="; ".join(dict.fromkeys(point.why for point in weak)),
        fields=MappingProxyType(call.words),
        repeatable=call.repeatable,
        lists=call.lists,
        wrapped_in=call.wrapped_in,
    )


ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType({call.name: endpoint_of(call) for call in calls()})


def override(table: Mapping[str, Endpoint], changes: Mapping[str, Mapping[str, object]]) -> Mapping[str, Endpoint]:
    """Correct some endpoints: `{"getFetchPlan": {"path": …, "method": …, "parameters": …, "fields": {…}}}`.

    A call about many devices also has `wrapped_in`, and needs it where its list is not to be a JSON body.

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
        if changed[name].lists and changed[name].parameters != "json" and not changed[name].wrapped_in:
            msg = f"endpoint `{name}`: a list in the {changed[name].parameters} needs a name, in `wrapped_in`"
            raise SettingsError(msg)
    return MappingProxyType(changed)


def _changed(endpoint: Endpoint, key: str, value: object) -> Endpoint:
    match key, value:
        case "method", str() if value.upper() in METHODS:
            return replace(endpoint, method=value.upper())
        case "path", str() if PATH.fullmatch(value) and ".." not in value:
            return replace(endpoint, path=value)
        case "parameters", str() if value in get_args(Parameters):
            return replace(endpoint, parameters=cast("Parameters", value))
        case "wrapped_in", str() if endpoint.lists and FIELD.fullmatch(value):
            return replace(endpoint, wrapped_in=value)
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
