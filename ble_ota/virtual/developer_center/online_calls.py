"""The calls about devices that are online: their plans, the orders of their user, the automatic switch.

How each is spelled says the `Spelling` in force. *Inferred*, besides all that: `data` is null when there is no plan,
also for a Bluetooth device of the account; an order that cannot be taken is in `failList` (5011), and so is one
for a device of somebody else (5052); details leave such devices out, and plans that have not begun; they tell of a plan
for as long as it is the world's, over or not; switching off what is off succeeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ble_ota.virtual.developer_center.accounts import Accounts
from ble_ota.virtual.developer_center.answers import SUCCESS, RefusedError, answered
from ble_ota.virtual.developer_center.asked import Entry, OrderEntry, entries, one_device
from ble_ota.virtual.developer_center.faults import faults_of
from ble_ota.virtual.developer_center.fleet import Fleet, OnlineDevice
from ble_ota.virtual.developer_center.object_store import ObjectStore
from ble_ota.virtual.developer_center.online_plans import told
from ble_ota.virtual.developer_center.plans import Offer, PlanShape, Terms
from ble_ota.virtual.developer_center.spelling import Call, Spelling
from ble_ota.virtual.world import World, WorldOnline


class OnlineCalls:
    """What can be asked and said about devices that are online."""

    def __init__(
        self, world: World, accounts: Accounts, fleet: Fleet, store: ObjectStore, *, terms: Terms, spelling: Spelling
    ) -> None:
        self._world = world
        self._accounts = accounts
        self._fleet = fleet
        self._store = store
        self._terms = terms
        self._spelling = spelling

    def routes(self) -> list[Route]:
        """The calls of this part."""
        spelling = self._spelling
        above = f"{spelling.ota_prefix}/enduserapi"
        calls: list[tuple[str, Call, Callable[[Request], Any]]] = [
            ("v2/getDeviceUpgradePlan", spelling.plan, self._plan),
            ("v2/userBatchConfirmUpgrade", spelling.confirm, self._confirm),
            ("v2/getBatchUpgradeDetails", spelling.details, self._details),
            ("setAutoUpgradeSwitch", spelling.auto_set, self._auto_set),
            ("deleteDeviceUpgrade", spelling.auto_delete, self._auto_delete),
            ("getAutoUpgradeSwitch", spelling.auto_get, self._auto_get),
        ]
        return [Route(f"{above}/{tail}", endpoint, methods=[call.method]) for tail, call, endpoint in calls]

    async def _plan(self, request: Request) -> JSONResponse:
        self._accounts.session(request)
        product_key, device_key, _ = await one_device(request, self._spelling.plan)
        device = self._fleet.find(product_key, device_key)
        seen = self._fleet.now(device) if device else None
        plan = self._told(request, seen, self._fleet.terms.plan_shape) if seen and self._fleet.shown(seen) else None
        return answered(self._spelling.told_plan(plan))

    async def _confirm(self, request: Request) -> JSONResponse:
        self._accounts.session(request)
        taken: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        largest = self._fleet.terms.batch_max
        for asked in await entries(request, self._spelling.confirm, OrderEntry, largest=largest):
            code, message = self._fleet.order(asked)
            plan = {"planId": asked.plan_id, "productKey": asked.product_key, "deviceKey": asked.device_key}
            (taken if code == SUCCESS else failed).append(plan | {"code": code, "msg": message})
        return answered(self._spelling.told_orders(taken, failed))

    async def _details(self, request: Request) -> JSONResponse:
        self._accounts.session(request)
        asked = await entries(request, self._spelling.details, Entry, largest=self._fleet.terms.batch_max)
        seen = [self._fleet.now(device) for entry in asked if (device := self._planned(entry))]
        return answered(self._spelling.told_details([self._told(request, one, "comVerList") for one in seen]))

    def _planned(self, entry: Entry) -> WorldOnline | None:
        """The device asked for, if the plan asked for is its plan."""
        if entry.plan_id != self._fleet.plan_id or not self._fleet.begun():
            return None
        try:
            return self._fleet.find(entry.product_key, entry.device_key)
        except RefusedError:
            return None

    def _told(self, request: Request, seen: OnlineDevice, shape: PlanShape) -> dict[str, Any]:
        offer = Offer(
            self._world,
            seen.device,
            [(at, c, self._fleet.version(seen, c)) for at, c in self._fleet.components],
            self._terms,
            lambda file: self._store.link(request, file),
            faults=faults_of(request),
        )
        return told(offer, seen, self._fleet.period, shape)

    async def _auto_set(self, request: Request) -> JSONResponse:
        return await self._switched(request, self._spelling.auto_set, on=True)

    async def _auto_delete(self, request: Request) -> JSONResponse:
        return await self._switched(request, self._spelling.auto_delete, on=False)

    async def _switched(self, request: Request, call: Call, *, on: bool) -> JSONResponse:
        device, said_on = await self._one(request, call)
        self._fleet.switch(device, on=on and said_on)
        return answered()

    async def _auto_get(self, request: Request) -> JSONResponse:
        device, _ = await self._one(request, self._spelling.auto_get)
        return answered(self._spelling.told_auto(on=self._fleet.now(device).auto))

    async def _one(self, request: Request, call: Call) -> tuple[WorldOnline, bool]:
        self._accounts.session(request)
        product_key, device_key, on = await one_device(request, call)
        device = self._fleet.find(product_key, device_key)
        if device is None:
            raise RefusedError(5011, "a Bluetooth device confirms nothing by itself")
        return device, on
