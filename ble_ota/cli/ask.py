"""Consents: who gives the word."""

from __future__ import annotations

import sys

from ble_ota.cli import output
from ble_ota.cli.common import Common
from ble_ota.cli.render import plan_text
from ble_ota.errors import UsageError
from ble_ota.model import Approved, Consent, Plan


def consent(common: Common, *, yes: bool) -> Consent:
    """The consent of this command line: `--yes`, or a question on the terminal."""

    async def by_flag(plan: Plan) -> Approved | None:
        common.tell(plan_text(plan))
        return Approved(plan, "--yes")

    async def by_question(plan: Plan) -> Approved | None:
        output.write(sys.stderr, plan_text(plan) + "\n")
        return Approved(plan, "terminal") if common.agree("Install this?") else None

    async def by_nobody(_plan: Plan) -> Approved | None:
        msg = "the plan wants a word of yours, and there is nobody to ask"
        raise UsageError(msg, hint="Pass `--yes` to agree without being asked")

    if yes:
        return by_flag
    return by_question if common.may_ask else by_nobody
