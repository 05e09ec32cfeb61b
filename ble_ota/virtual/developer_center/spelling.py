"""How the calls about devices that are online are spelled, where public sources leave it open.

The tails of their paths and the names of their fields are documented; prefix, methods, the place of the parameters and
the wrapping of lists are *inferred*, all of them, and so is what the automatic switch is set and answered with. Another
reading of any of these is another `Spelling`; a request in any other than the one in force is refused.

A world may bring its own, by the same names, in `cloud/spelling.json`: `{"plan": {"method": "POST", "place": "json"}}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import StringConstraints, with_config

from ble_ota.virtual.developer_center.said import STRICT, said
from ble_ota.virtual.world import World

Method: TypeAlias = Literal["GET", "POST", "PUT", "DELETE"]
Place: TypeAlias = Literal["query", "json", "form"]
Prefix: TypeAlias = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._-]+)*$")]


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Call:
    """One call: what must be fulfilled for it to be understood."""

    method: Method = "GET"
    place: Place = "query"
    """Where the parameters are. A list in a query or a form is JSON text."""
    keys: tuple[str, str] = ("productKey", "deviceKey")
    """What the keys of product and device are called."""
    wrapped_in: str = ""
    """The field that holds the list of a call with a list; "" is a bare list (in a query or a form: "list")."""
    switch_field: str = ""
    """A field with which the automatic switch must be set, as 1 or true; with 0 or false it is switched off."""


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Spelling:
    """All calls about devices that are online, and how they are answered."""

    ota_prefix: Prefix = "/v2/quecota"
    plan: Call = Call()
    """`getDeviceUpgradePlan`"""
    confirm: Call = Call("POST", "json")
    """`userBatchConfirmUpgrade`"""
    details: Call = Call("POST", "json")
    """`getBatchUpgradeDetails`"""
    auto_set: Call = Call("PUT", "json")
    """`setAutoUpgradeSwitch`"""
    auto_delete: Call = Call("DELETE")
    """`deleteDeviceUpgrade`"""
    auto_get: Call = Call()
    """`getAutoUpgradeSwitch`"""

    plan_answer: Literal["object", "list", "wrapped"] = "object"
    """The plan itself, a list of it alone, or `{"list": [...]}`."""
    details_answer: Literal["list", "wrapped"] = "list"
    auto_answer: Literal["boolean", "number", "text", "isAuto", "autoUpgrade"] = "boolean"
    """true, 1, "1", `{"isAuto": true}` or `{"autoUpgrade": 1}`."""
    lists_left_out: bool = False
    """Whether an empty `successList` or `failList` is missing from the answer."""

    def told_plan(self, plan: object | None) -> object:
        """Wrap the one plan of a device, or none."""
        if self.plan_answer == "object":
            return plan
        return _wrapped([] if plan is None else [plan], bare=self.plan_answer == "list")

    def told_details(self, plans: Sequence[object]) -> object:
        """Wrap the plans of several devices."""
        return _wrapped(list(plans), bare=self.details_answer == "list")

    def told_auto(self, *, on: bool) -> object:
        """Spell whether the automatic switch is on."""
        answers: dict[str, Any] = {"boolean": on, "number": int(on), "text": str(int(on))}
        answers |= {"isAuto": {"isAuto": on}, "autoUpgrade": {"autoUpgrade": int(on)}}
        return answers[self.auto_answer]

    def told_orders(self, taken: Sequence[object], failed: Sequence[object]) -> dict[str, Any]:
        """Write down which orders were taken and which were not."""
        lists = {"successList": list(taken), "failList": list(failed)}
        return {name: entries for name, entries in lists.items() if entries or not self.lists_left_out}


def said_spelling(world: World) -> Spelling:
    """What `cloud/spelling.json` of `world` says; the inferred spelling where there is no such file.

    Raises:
        WorldError: The file is no JSON of this form.
    """
    return said(world, "spelling.json", Spelling())


def _wrapped(plans: list[object], *, bare: bool) -> object:
    return plans if bare else {"list": plans}
