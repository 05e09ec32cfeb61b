"""A code by text message: `POST /v2/sms/enduserapi/v2/sendPhoneSmsCode`. None is sent; that it was asked for is kept.

*Inferred*: the order in which mistakes are told; that any number gets a code, since registration needs one too; that
5011 stands for a time stamp that is not the server's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ble_ota.virtual.developer_center.answers import RefusedError, answered
from ble_ota.virtual.developer_center.parameters import parameters
from ble_ota.virtual.developer_center.passwords import same, signature
from ble_ota.virtual.developer_center.state import State
from ble_ota.virtual.world import WorldUser

PATH = "/v2/sms/enduserapi/v2/sendPhoneSmsCode"
CLOCKS_MS = 10 * 60 * 1000  # documented: "within 10 min of the server"
SIGNED = ("phone", "codeType", "random", "ts")  # documented; the secret of the user domain follows


class Sms:
    """The text messages of the one user domain."""

    def __init__(self, user: WorldUser, state: State, clock: Callable[[], float]) -> None:
        self._user = user
        self._state = state
        self._clock = clock

    def routes(self) -> list[Route]:
        """The calls of this part."""
        return [Route(PATH, self._send, methods=["POST"])]

    async def _send(self, request: Request) -> JSONResponse:
        given = await parameters(request)
        code = 200
        try:
            self._check(given)
        except RefusedError as error:
            code = error.code
            raise
        finally:
            self._state.note("sms.asked", codeType=given.get("codeType", "")[:8], code=code)
        return answered()

    def _check(self, given: Mapping[str, str]) -> None:
        for name, code in (("phone", 5021), ("userDomain", 5023), ("signature", 5550)):
            if not given.get(name):
                raise RefusedError(code)
        if given["userDomain"] != self._user.user_domain:
            raise RefusedError(5015)
        ts = given.get("ts", "")
        if not ts.isascii() or not ts.isdigit() or len(ts) > 15 or abs(int(ts) - self._clock() * 1000) > CLOCKS_MS:
            raise RefusedError(5011, "ts")
        signed = (given.get(name, "") for name in SIGNED)
        if not same(given["signature"], signature(*signed, self._user.user_domain_secret)):
            raise RefusedError(5420)
