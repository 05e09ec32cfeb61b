"""The Developer Center as the rest of this package sees it: one class, one method per thing that is wanted of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Literal, Self, TypeAlias

import httpx

from ble_ota.cloud import auth, mqtt, wire
from ble_ota.cloud.account import CloudDevice, Tokens, User
from ble_ota.cloud.endpoints import ENDPOINTS, Endpoint
from ble_ota.cloud.exchange import Exchange
from ble_ota.cloud.pace import Pace
from ble_ota.cloud.plans import KB, read_plan
from ble_ota.cloud.session import MemoryTokens, Session, TokenStore
from ble_ota.cloud.text import one_line
from ble_ota.errors import CloudAnswerError, SettingsError
from ble_ota.model import DeviceInfo, FetchPlan, Secret
from ble_ota.mqtt import Keys, MqttPlan, Order, Receipt, Ref

PAGE_SIZE = 50  # devices; the documented default is 10
PAGES_MAX = 200

Reported: TypeAlias = Literal["confirmed", "succeeded", "failed"]


class DeveloperCenter:
    """A session with one Developer Center; `async with` closes its connections.

    Every method that calls raises `CloudUnreachableError`, `CloudAnswerError` or an `ApiError`; those that need a
    session raise `TokenRejectedError` where there is none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        user_domain: str,
        user_domain_secret: Secret,
        report_status: Mapping[str, int],
        endpoints: Mapping[str, Endpoint] = ENDPOINTS,
        tokens: TokenStore | Tokens | None = None,
        signature: auth.Signature | None = None,
        sign_type: str = "SHA256",
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        timeout_s: float = 30,
        calls_at_once: int = 4,
        calls_per_s: float = 20,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            base_url: cn, eu, us, or a URL (https; plain http for this machine only).
            user_domain: From the app's details page, as is its secret.
            user_domain_secret: Goes into signatures, never over the wire.
            report_status: The platform's number for "confirmed", "succeeded", "failed", as far as known.
            endpoints: How calls are spelled; see `endpoints.override`.
            tokens: Those of an earlier login, or where they are kept; `TokenStore` says what that must do.
            signature: How plan queries and status reports are signed; None: not at all.
            sign_type: The digest that plans are asked to carry: SHA256, MD5 or CRC32.
            transport: Another way to send requests, for tests and proxies.
            clock: Unix seconds.
            timeout_s: For one try of one call, as a whole.
            calls_at_once: How many calls are under way at a time, whoever makes them; at least 1.
            calls_per_s: How many may begin within a second; above 0.

        Raises:
            SettingsError: `base_url` is no place for a session.
            ValueError: A number that must be above 0 is not.
        """
        pace = Pace(at_once=calls_at_once, per_s=calls_per_s)
        self._exchange = Exchange(base_url, transport=transport, timeout_s=timeout_s, clock=clock, pace=pace)
        store = MemoryTokens(tokens) if tokens is None or isinstance(tokens, Tokens) else tokens
        self._session = Session(self._exchange, endpoints=endpoints, store=store, clock=clock)
        self._endpoints = endpoints
        self._user_domain = user_domain
        self._user_domain_secret = user_domain_secret
        self._report_status = report_status
        self._signature = signature
        self._sign_type = sign_type
        self._clock = clock

    def __repr__(self) -> str:
        return f"DeveloperCenter({self._exchange.base!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exchange.close()

    @property
    def tokens(self) -> Tokens | None:
        """The session's tokens as they are now."""
        return self._session.tokens

    async def login_by_email(self, email: str, password: Secret) -> Tokens:
        """Log in, once.

        Raises:
            LoginRefusedError: Wrong address or password.
            AccountLockedError: Too many wrong ones.
        """
        random = auth.random_text()
        pwd = auth.encrypt_password(password, random)
        signature = auth.email_signature(email, pwd, random, secret=self._user_domain_secret)
        values = {"email": email, "pwd": pwd, "random": random, "signature": signature}
        return await self._log_in("emailPwdLogin", values, password)

    async def login_by_phone(self, country_code: str, phone: str, password: Secret) -> Tokens:
        """Log in, once; `country_code` with or without its plus sign.

        Raises:
            LoginRefusedError: Wrong number or password.
            AccountLockedError: Too many wrong ones.
        """
        country_code = country_code.removeprefix("+")
        random = auth.random_text()
        pwd = auth.encrypt_password(password, random)
        signature = auth.phone_signature(country_code, phone, pwd, random, secret=self._user_domain_secret)
        account = {"country_code": country_code, "phone": phone}
        return await self._log_in(
            "phonePwdLogin", {**account, "pwd": pwd, "random": random, "signature": signature}, password
        )

    async def _log_in(self, name: str, values: Mapping[str, str], password: Secret) -> Tokens:
        told = (password.reveal(), values["pwd"], values["signature"], values["random"])
        secrets = (*told, self._user_domain_secret.reveal())
        return await self._session.log_in(name, {**values, "user_domain": self._user_domain}, secrets=secrets)

    async def logout(self) -> None:
        """End the session; one that is over already is no error."""
        await self._session.log_out()

    async def who_am_i(self) -> User:
        """Ask whose session this is."""
        doing = "asking for the account"
        data = await self._session.call("userInfo", {}, doing=doing)
        return wire.read(wire.WireUser, data, doing=doing).user()

    async def devices(self) -> AsyncIterator[CloudDevice]:
        """Give all devices of the account, page by page; entries without keys (groups) are passed over."""
        doing = "listing the devices"
        for page in range(1, PAGES_MAX + 1):
            data = await self._session.call("userDeviceList", {"page": page, "page_size": PAGE_SIZE}, doing=doing)
            listed = wire.read(wire.WireDevices, data if data is not None else {}, doing=doing)
            for entry in listed.entries:
                if entry.product_key and entry.device_key:
                    yield entry.device()
            if not listed.entries or _is_last(listed, page):
                return
        msg = f"{doing}: the list has no end after {PAGES_MAX} pages"
        raise CloudAnswerError(msg)

    async def device(self, product_key: str, device_key: str) -> CloudDevice:
        """Ask for one device and the secret its login needs.

        Raises:
            CloudAnswerError: The answer is about another device.
        """
        doing = one_line(f"asking for device {product_key}/{device_key}")
        values = {"product_key": product_key, "device_key": device_key}
        found = wire.read(wire.WireDevice, await self._session.call("deviceInfo", values, doing=doing), doing=doing)
        if (found.product_key or product_key, found.device_key or device_key) != (product_key, device_key):
            msg = f"{doing}: the answer is about {found.product_key}/{found.device_key}"
            raise CloudAnswerError(msg)
        return found.model_copy(update=values).device()

    async def versions(self, product_key: str, device_key: str) -> Mapping[str, str]:
        """Ask what the platform believes the device runs: component number to version, "" being the module."""
        doing = one_line(f"asking for the versions of {product_key}/{device_key}")
        values = {"product_key": product_key, "device_key": device_key}
        data = await self._session.call("getDeviceBusinessAttributes", values, doing=doing)
        return wire.read(wire.WireAttributes, data if data is not None else {}, doing=doing).versions()

    async def fetch_plan(self, device: DeviceInfo) -> FetchPlan | None:
        """Ask for the upgrade plan of `device`, telling what is known of its state; None when there is none.

        Raises:
            TrustError: The plan has a size, digest, address or version that cannot be one.
        """
        doing = one_line(f"asking for the plan of {device.product_key}/{device.device_key}")
        keys = {"product_key": device.product_key, "device_key": device.device_key}
        mcus = [{"componentNo": no, "version": version} for no, version in device.versions.items() if no]
        state = {
            "module_version": device.versions.get("") or None,
            "mcu_versions": mcus or None,
            "battery_percent": device.battery_percent,
            "rssi_dbm": device.rssi_dbm,
            "free_kb": None if device.free_bytes is None else device.free_bytes // KB,
        }
        signed = self._signed("getFetchPlan", {**keys, "sign_type": self._sign_type})
        data = await self._session.call("getFetchPlan", {**signed, **state}, doing=doing)
        return read_plan(data, **keys, doing=doing)

    async def report(self, product_key: str, device_key: str, component_no: str, outcome: Reported) -> int:
        """Report how a component's upgrade stands, once, and give the number that was sent.

        Raises:
            SettingsError: The platform's number for `outcome` is not known.
        """
        if (status := self._report_status.get(outcome)) is None:
            msg = f"the platform's status number for `{outcome}` is not set, so it was not reported"
            raise SettingsError(msg, hint=f"Set `report_status.{outcome}` to the number your platform uses")
        keys = {"product_key": product_key, "device_key": device_key}
        values = self._signed("reportUpgradeStatus", {**keys, "component_no": component_no, "status": status})
        await self._session.call(
            "reportUpgradeStatus", values, doing=one_line(f"reporting `{outcome}` of component `{component_no}`")
        )
        return status

    # ------------------------------------------------------------------ devices that are online by themselves

    @property
    def calls_at_once(self) -> int:
        """How many calls may be under way at a time."""
        return self._exchange.calls_at_once

    async def mqtt_plan(self, keys: Keys) -> MqttPlan | None:
        """Ask for the upgrade plan of an MQTT device; None when there is none.

        Raises:
            CloudAnswerError: The answer is about another device, or about several plans.
        """
        return await mqtt.plan_of(self._session, keys)

    async def last_plan_id(self, keys: Keys) -> str:
        """Ask for the id of the plan a device had last, also of one that has ended; "" where there is none."""
        return (await self.device(keys.product_key, keys.device_key)).plan_id

    async def standings(self, refs: Sequence[Ref]) -> Sequence[MqttPlan]:
        """Ask in one call where devices stand with plans; those the platform does not list are left out."""
        return await mqtt.standings(self._session, refs) if refs else []

    async def order(self, orders: Sequence[Order]) -> Sequence[Receipt]:
        """Give orders in one call, once, and give a receipt for each that the answer speaks of.

        An error, and a missing receipt, leave open whether an order is in effect: `fleet.give` settles that by
        `standings`.
        """
        return await mqtt.order(self._session, orders) if orders else []

    async def auto_upgrade(self, keys: Keys) -> bool:
        """Ask whether a device's plans are confirmed by themselves."""
        return await mqtt.auto_upgrade(self._session, keys)

    async def set_auto_upgrade(self, keys: Keys) -> None:
        """Have all later plans of a device confirmed by themselves; doing it again changes nothing."""
        await mqtt.set_auto_upgrade(self._session, keys)

    async def drop_auto_upgrade(self, keys: Keys) -> None:
        """Have the plans of a device wait for a word again; doing it again changes nothing."""
        await mqtt.drop_auto_upgrade(self._session, keys)

    async def send_sms_code(self, country_code: str, phone: str, *, code_type: int) -> None:
        """Have a code sent to a phone, once; `country_code` with or without its plus sign.

        Args:
            country_code: Such as "86".
            phone: The number.
            code_type: What the code is for, by the platform's own numbers.
        """
        random, ts_ms = auth.random_text(), int(self._clock() * 1000)
        signature = auth.sms_signature(phone, code_type, random, ts_ms, secret=self._user_domain_secret)
        values = {
            "country_code": country_code.removeprefix("+"),
            "phone": phone,
            "code_type": code_type,
            "random": random,
            "ts_ms": ts_ms,
            "user_domain": self._user_domain,
            "signature": signature,
        }
        doing, secrets = "asking for a code by SMS", (signature, self._user_domain_secret.reveal())
        await self._exchange.call(self._endpoints["sendPhoneSmsCode"], values, doing=doing, secrets=secrets)

    def _signed(self, name: str, values: Mapping[str, object]) -> Mapping[str, object]:
        """Add the signature over `values`, where a recipe is set."""
        if self._signature is None:
            return values
        return {**values, "signature": self._signature(self._endpoints[name].spell(values), self._user_domain_secret)}


def _is_last(listed: wire.WireDevices, page: int) -> bool:
    """Whether the list ends here, as far as it says; if it does not, an empty page does."""
    if listed.pages is not None:
        return page >= listed.pages
    return listed.total is not None and page * PAGE_SIZE >= listed.total
