"""The Developer Center of a virtual world, put together from its parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from starlette.applications import Starlette
from starlette.types import ASGIApp

from ble_ota.virtual.developer_center.accounts import Accounts
from ble_ota.virtual.developer_center.answers import RefusedError, refused
from ble_ota.virtual.developer_center.devices import Devices
from ble_ota.virtual.developer_center.faults import FaultLine, Faults, said_faults
from ble_ota.virtual.developer_center.fleet import Fleet, OnlineDevice
from ble_ota.virtual.developer_center.object_store import ObjectStore
from ble_ota.virtual.developer_center.online import OnlineTerms, said_online
from ble_ota.virtual.developer_center.online_calls import OnlineCalls
from ble_ota.virtual.developer_center.plans import PlanShape, Terms
from ble_ota.virtual.developer_center.records import Records
from ble_ota.virtual.developer_center.signing import Signer, kept_key
from ble_ota.virtual.developer_center.sms import Sms
from ble_ota.virtual.developer_center.spelling import Spelling, said_spelling
from ble_ota.virtual.developer_center.state import REPORT_STATUS, State
from ble_ota.virtual.developer_center.upgrades import BodySignature, Upgrades
from ble_ota.virtual.world import World


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long what it gives out is good for."""

    access_s: float = 2 * 3600  # documented: "reset to 2 hours"
    refresh_s: float = 30 * 86400  # from the documentation's sample token
    link_s: float = 3600  # inferred


class DeveloperCenter:
    """The cloud of one world. What happens in it is kept in the world's `cloud/` and outlives this object.

    `app` is an ASGI application without lifespan, threads or timers of its own, so it runs on a socket (`serve`), or
    in the caller's loop and virtual time (`httpx.ASGITransport(app=center.app)`).
    """

    def __init__(
        self,
        world: World,
        *,
        clock: Callable[[], float] = time.time,
        plan_shape: PlanShape = "components",
        terms: Terms | None = None,
        report_status: Mapping[str, int] = REPORT_STATUS,
        body_signature: BodySignature | None = None,
        lifetimes: Lifetimes | None = None,
        faults: Faults | None = None,
        spelling: Spelling | None = None,
        online: OnlineTerms | None = None,
    ) -> None:
        """Open the cloud of `world`.

        Args:
            world: Says which user, devices and packages there are.
            clock: Unix time.
            plan_shape: Which of the two published shapes plans have.
            terms: What plans ask of devices.
            report_status: `reportStatus` numbers by meaning.
            body_signature: Works out the `signature` that plan queries and reports must carry; None asks for none.
            lifetimes: How long tokens and links last.
            faults: What goes wrong from the start.
            spelling: How the calls about devices that are online are spelled.
            online: The plan of devices that are online, and how they take it.
        """
        lifetimes, terms = lifetimes or Lifetimes(), terms or Terms()
        folder = world.folder / "cloud"
        folder.mkdir(parents=True, exist_ok=True)
        self._state = State(Records(folder / "records.jsonl", clock))
        signer = Signer(kept_key(folder / "signing.key"), clock)
        accounts = Accounts(
            world.user, self._state, signer, clock, access_s=lifetimes.access_s, refresh_s=lifetimes.refresh_s
        )
        self._fleet = Fleet(world, self._state, online or OnlineTerms(), clock)
        devices = Devices(world, self._state, accounts, self._fleet)
        store = ObjectStore(world, self._state, signer, link_s=lifetimes.link_s)
        upgrades = Upgrades(
            world,
            self._state,
            accounts,
            devices,
            store,
            shape=plan_shape,
            terms=terms,
            report_status=report_status,
            body_signature=body_signature,
        )
        calls = OnlineCalls(world, accounts, self._fleet, store, terms=terms, spelling=spelling or Spelling())
        parts = (accounts, Sms(world.user, self._state, clock), devices, upgrades, calls, store)
        routes = [route for part in parts for route in part.routes()]
        self._line = FaultLine(Starlette(routes=routes, exception_handlers={RefusedError: refused}), faults or Faults())

    @classmethod
    def of(cls, world: World) -> Self:
        """Open the cloud of `world` as the files in its `cloud/` have it: faults, spelling, online.

        Raises:
            WorldError: One of the files is not right.
        """
        return cls(world, faults=said_faults(world), spelling=said_spelling(world), online=said_online(world))

    @property
    def app(self) -> ASGIApp:
        """The ASGI application."""
        return self._line

    @property
    def faults(self) -> Faults:
        """What goes wrong; assign another to change it from the next request on."""
        return self._line.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._line.faults = faults

    def records(self) -> list[dict[str, Any]]:
        """Everything that happened, oldest first."""
        return self._state.records.all()

    def status(self, device_key: str, component_no: str) -> int | None:
        """The `reportStatus` reported last; None when there was none."""
        return self._state.status(device_key, component_no)

    def version(self, device_key: str, component_no: str) -> str | None:
        """The version the last report of success left; None when there was none."""
        return self._state.version(device_key, component_no)

    def online(self, device_key: str) -> OnlineDevice:
        """Where a device that is online stands now. Raises `KeyError`."""
        return self._fleet.now(self._fleet.named(device_key))
