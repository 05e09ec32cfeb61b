"""Device list, device, versions: `/v2/binding/enduserapi/...`.

Every device of the world is bound to the one account. A Bluetooth-only one has a `bindingCode` and an empty `authKey`,
one that is online by itself the other way round; the first kind is listed first. *Inferred*: `mcuVersion` is JSON text
of `[{"componentNo", "version"}]`, as the plan query's `mcuVersions`; `networkType` of what is online here is cellular;
`planId` stays when a plan has ended, as the `upgradeStatus` beside it does, and is null before it begins.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ble_ota.virtual.developer_center.accounts import UID, Accounts
from ble_ota.virtual.developer_center.answers import RefusedError, answered
from ble_ota.virtual.developer_center.fleet import Fleet
from ble_ota.virtual.developer_center.parameters import number
from ble_ota.virtual.developer_center.state import State
from ble_ota.virtual.world import World, WorldComponent, WorldDevice, WorldOnline

PREFIX = "/v2/binding/enduserapi"
PAGE_SIZE_MAX = 500
BLE = 0b100  # `capabilitiesBitmask` bit 2
WAN = 0b1  # bit 0
BLUETOOTH, CELLULAR = "5", "2"  # `networkType`

Device: TypeAlias = WorldDevice | WorldOnline


class Devices:
    """The devices of the account, as the cloud knows them."""

    def __init__(self, world: World, state: State, accounts: Accounts, fleet: Fleet) -> None:
        self._world = world
        self._state = state
        self._accounts = accounts
        self._fleet = fleet

    def routes(self) -> list[Route]:
        """The calls of this part."""
        return [
            Route(f"{PREFIX}/userDeviceList", self._list, methods=["GET"]),
            Route(f"{PREFIX}/deviceInfo", self._info, methods=["GET"]),
            Route(f"{PREFIX}/getDeviceBusinessAttributes", self._attributes, methods=["GET"]),
        ]

    def bound(self, product_key: str, device_key: str) -> WorldDevice:
        """The Bluetooth device with these keys.

        Raises:
            RefusedError: 5052, the account has no such device, or it is online by itself.
        """
        if product_key == self._world.product_key:
            for device in self._world.devices:
                if device.device_key == device_key:
                    return device
        raise RefusedError(5052)

    def version(self, device: WorldDevice, component: WorldComponent) -> str:
        """The version of a Bluetooth device the cloud last heard of; at first the one devices are born with."""
        return self._state.version(device.device_key, component.no) or component.version

    def upgrade_status(self, device: WorldDevice) -> int:
        """Give `upgradeStatus`: 0 not upgraded, 1 upgrading, 2 success, 3 failed."""
        meanings = self._state.meanings(device.device_key)
        if not meanings:
            return 0
        if "failed" in meanings:
            return 3
        return 2 if all(self.version(device, c) == c.target for c in self._world.components) else 1

    async def _list(self, request: Request) -> JSONResponse:
        self._accounts.session(request)
        query = request.query_params
        products = query["pkList"].split(",") if query.get("pkList") else [*self._products]
        devices = [d for product, those in self._products.items() if product in products for d in those]
        found = [d for d in devices if self._wanted(d, query.get("dk"), query.get("deviceName"))]
        size = number(query.get("pageSize"), default=10, largest=PAGE_SIZE_MAX)
        return answered(self._page(found, number(query.get("page"), default=1, largest=10**9), size))

    @property
    def _products(self) -> dict[str, tuple[Device, ...]]:
        return {self._world.product_key: self._world.devices, self._world.online_product: self._world.online}

    def _page(self, found: list[Device], page: int, size: int) -> dict[str, Any]:
        here = found[(page - 1) * size : page * size]
        pages = -(-len(found) // size)
        return {
            "list": [self._plain(device) for device in here],
            "total": len(found),
            "pageNum": page,
            "pageSize": size,
            "size": len(here),
            "pages": pages,
            "isFirstPage": page == 1,
            "isLastPage": page >= pages,
            "hasNextPage": page < pages,
            "hasPreviousPage": page > 1,
        }

    @staticmethod
    def _wanted(device: Device, key: str | None, name: str | None) -> bool:
        return (not key or device.device_key == key) and (not name or name in device.name)

    async def _info(self, request: Request) -> JSONResponse:
        self._accounts.session(request)
        product_key, device_key = request.query_params.get("pk"), request.query_params.get("dk")
        if not product_key or not device_key:
            raise RefusedError(5140)
        return answered(self._plain(self._any(product_key, device_key)))

    async def _attributes(self, request: Request) -> JSONResponse:
        self._accounts.session(request)
        product_key, device_key = request.query_params.get("pk"), request.query_params.get("dk")
        if not product_key:
            raise RefusedError(5066)
        if not device_key:
            raise RefusedError(5067)
        return answered(self._business(self._any(product_key, device_key)))

    def _any(self, product_key: str, device_key: str) -> Device:
        return self._fleet.find(product_key, device_key) or self.bound(product_key, device_key)

    def _versions(self, device: Device) -> list[tuple[WorldComponent, str]]:
        if isinstance(device, WorldDevice):
            return [(component, self.version(device, component)) for component in self._world.components]
        seen = self._fleet.now(device)
        return [(component, self._fleet.version(seen, component)) for component in self._world.components]

    def _business(self, device: Device) -> dict[str, Any]:
        versions = self._versions(device)
        mcus = [{"componentNo": component.no, "version": version} for component, version in versions if component.kind]
        data = {
            "productKey": self._product_of(device),
            "deviceKey": device.device_key,
            "version": next((version for component, version in versions if not component.kind), ""),
            "mcuVersion": json.dumps(mcus),
        }
        return {"deviceData": data, "customizeTslInfo": [], "deviceLocateInfo": None}

    def _product_of(self, device: Device) -> str:
        return self._world.product_key if isinstance(device, WorldDevice) else self._world.online_product

    def _plain(self, device: Device) -> dict[str, Any]:
        return {
            "uid": UID,
            "productKey": self._product_of(device),
            "productName": "Virtual product",
            "deviceKey": device.device_key,
            "deviceName": device.name,
            "authCode": "",
            "btPwd": "",
            "deviceType": 1,
            "bindStatus": 1,
            "bindingType": 4,
            **(self._bluetooth(device) if isinstance(device, WorldDevice) else self._online(device)),
        }

    def _bluetooth(self, device: WorldDevice) -> dict[str, Any]:
        meanings = self._state.meanings(device.device_key)
        return {
            "bindingCode": device.binding_code,
            "authKey": "",
            "networkType": BLUETOOTH,
            "capabilitiesBitmask": BLE,
            "onlineStatus": 0,
            "planId": None,
            "upgradeStatus": self.upgrade_status(device),
            "userConfirmStatus": 1 if meanings & {"confirmed", "succeeded", "failed"} else 0,
        }

    def _online(self, device: WorldOnline) -> dict[str, Any]:
        seen = self._fleet.now(device)
        return {
            "bindingCode": "",
            "authKey": device.auth_key,
            "networkType": CELLULAR,
            "capabilitiesBitmask": WAN,
            "onlineStatus": 1,
            "planId": self._fleet.plan_id if self._fleet.begun() else None,
            "upgradeStatus": seen.standing.status,
            "userConfirmStatus": seen.effect.confirm_status,
        }
