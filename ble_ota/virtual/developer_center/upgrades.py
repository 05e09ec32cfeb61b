"""Plan query and status report: `/v2/binding/enduserapi/getFetchPlan` and `/reportUpgradeStatus`.

*Inferred*: both take a JSON body; `data` is null when there is no plan; what a query states as running is used for
this answer and not remembered; a report has no data in its answer; `signature` is not asked for, unless whoever
makes the Developer Center gives it a recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ble_ota.virtual.developer_center.accounts import Accounts
from ble_ota.virtual.developer_center.answers import RefusedError, answered
from ble_ota.virtual.developer_center.devices import PREFIX, Devices
from ble_ota.virtual.developer_center.faults import faults_of
from ble_ota.virtual.developer_center.object_store import ObjectStore
from ble_ota.virtual.developer_center.parameters import json_object
from ble_ota.virtual.developer_center.passwords import same
from ble_ota.virtual.developer_center.plans import Offer, PlanShape, SignType, Terms, written
from ble_ota.virtual.developer_center.state import State
from ble_ota.virtual.world import World, WorldComponent, WorldDevice

Text: TypeAlias = Annotated[str, StringConstraints(max_length=64)]
BodySignature: TypeAlias = Callable[[Mapping[str, Any]], str]
"""Works out what the `signature` of a request body must be."""


class _Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", strict=True)

    product_key: Text | None = None
    device_key: Text | None = None


class _Running(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", strict=True)

    component_no: Text
    version: Text


class PlanQuery(_Body):
    """What `getFetchPlan` is asked with."""

    sign_type: SignType = "SHA256"
    module_version: Text | None = None
    mcu_versions: Annotated[list[_Running], Field(max_length=20)] | None = None
    battery_level_limit: int | None = None  # percent left
    min_signal_intensity: int | None = None  # dBm
    upgrade_time: int | None = None
    use_space: int | None = None  # KB


class StatusReport(_Body):
    """What `reportUpgradeStatus` is told."""

    component_no: Text
    report_status: Annotated[int, Field(ge=0, le=12)]


Asked = TypeVar("Asked", bound=_Body)


class Upgrades:
    """Who gets which plan, and how it went."""

    def __init__(
        self,
        world: World,
        state: State,
        accounts: Accounts,
        devices: Devices,
        store: ObjectStore,
        *,
        shape: PlanShape,
        terms: Terms,
        report_status: Mapping[str, int],
        body_signature: BodySignature | None,
    ) -> None:
        self._world = world
        self._state = state
        self._accounts = accounts
        self._devices = devices
        self._store = store
        self._shape: PlanShape = shape
        self._terms = terms
        self._meanings = {number: meaning for meaning, number in report_status.items()}
        self._body_signature = body_signature

    def routes(self) -> list[Route]:
        """The calls of this part."""
        return [
            Route(f"{PREFIX}/getFetchPlan", self._fetch_plan, methods=["POST"]),
            Route(f"{PREFIX}/reportUpgradeStatus", self._report, methods=["POST"]),
        ]

    async def _fetch_plan(self, request: Request) -> JSONResponse:
        query, device = await self._asked(request, PlanQuery)
        versions = {c.no: self._running(query, device, c) for c in self._world.components}
        offer = Offer(
            self._world,
            device,
            [(at, c, versions[c.no]) for at, c in enumerate(self._world.components) if versions[c.no] != c.target],
            self._terms,
            lambda file: self._store.link(request, file),
            query.sign_type,
            self._devices.upgrade_status(device),
            faults_of(request),
        )
        self._state.note(
            "plan.queried",
            productKey=self._world.product_key,
            deviceKey=device.device_key,
            planId=offer.plan_id if offer.pending else None,
            signType=query.sign_type,
            versions=versions,
        )
        return answered(written(offer, self._shape) if offer.pending else None)

    def _running(self, query: PlanQuery, device: WorldDevice, component: WorldComponent) -> str:
        stated = {running.component_no: running.version for running in query.mcu_versions or ()}
        module = query.module_version if component.kind == 0 else None
        return stated.get(component.no) or module or self._devices.version(device, component)

    async def _report(self, request: Request) -> JSONResponse:
        report, device = await self._asked(request, StatusReport)
        component = next((c for c in self._world.components if c.no == report.component_no), None)
        if component is None:
            raise RefusedError(5011, "componentNo")
        self._state.note(
            "status.reported",
            productKey=self._world.product_key,
            deviceKey=device.device_key,
            componentNo=component.no,
            reportStatus=report.report_status,
            meaning=self._meanings.get(report.report_status),
            targetVersion=component.target,
        )
        return answered()

    async def _asked(self, request: Request, model: type[Asked]) -> tuple[Asked, WorldDevice]:
        self._accounts.session(request)
        body = await json_object(request)
        if not body.get("productKey"):
            raise RefusedError(5066)
        if not body.get("deviceKey"):
            raise RefusedError(5067)
        self._check_signature(body)
        try:
            asked = model.model_validate(body)
        except ValidationError as error:
            raise RefusedError(5011, str(error.errors()[0]["loc"][0])) from None
        return asked, self._devices.bound(asked.product_key or "", asked.device_key or "")

    def _check_signature(self, body: Mapping[str, Any]) -> None:
        if self._body_signature is None:
            return
        if not body.get("signature"):
            raise RefusedError(5550)
        if not same(str(body["signature"]), self._body_signature(body)):
            raise RefusedError(5420)
