"""Login, refresh, logout, user information: `/v2/enduser/enduserapi/...`.

*Inferred*: in which order several mistakes in one login are told; that wrong passwords by email and by phone count
together; that a block (5325) stops logins alone; that a refresh leaves the older tokens of its session valid; that a
logout ends the whole session.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ble_ota.virtual.developer_center.answers import RefusedError, answered
from ble_ota.virtual.developer_center.parameters import parameters
from ble_ota.virtual.developer_center.passwords import decrypted, same, signature
from ble_ota.virtual.developer_center.signing import Signer
from ble_ota.virtual.developer_center.state import WRONG_PASSWORDS, State
from ble_ota.virtual.world import WorldUser

PREFIX = "/v2/enduser/enduserapi"
UID = "U100000001"
BEARER = "Bearer "  # part of the token's text as login gives it


@dataclass(frozen=True, slots=True)
class _Way:
    """One of the two ways to log in."""

    by: str
    signed: tuple[str, ...]  # parameters under the signature, in order; the secret follows
    missing: int  # code when the name is missing
    unknown: int  # code when nobody has this name
    wrong: int  # code when one more attempt is left; the next codes stand for two, three and four


EMAIL = _Way("email", ("email", "pwd", "random"), missing=5026, unknown=5031, wrong=5583)
PHONE = _Way("phone", ("internationalCode", "phone", "pwd", "random"), missing=5021, unknown=5004, wrong=5579)


class Accounts:
    """The one account of the world, and who is logged in to it."""

    def __init__(
        self,
        user: WorldUser,
        state: State,
        signer: Signer,
        clock: Callable[[], float],
        *,
        access_s: float,
        refresh_s: float,
    ) -> None:
        self._user = user
        self._state = state
        self._signer = signer
        self._clock = clock
        self._lifetimes = {"accessToken": access_s, "refreshToken": refresh_s}

    def routes(self) -> list[Route]:
        """The calls of this part."""
        return [
            Route(f"{PREFIX}/emailPwdLogin", self._email_login, methods=["POST"]),
            Route(f"{PREFIX}/phonePwdLogin", self._phone_login, methods=["POST"]),
            Route(f"{PREFIX}/refreshToken", self._refresh, methods=["PUT"]),
            Route(f"{PREFIX}/userLogout", self._logout, methods=["DELETE"]),
            Route(f"{PREFIX}/userInfo", self._user_info, methods=["GET"]),
        ]

    def session(self, request: Request) -> str:
        """Tell whose session this request belongs to.

        Raises:
            RefusedError: 5106 without a token, 5032 with one that is expired, ended, or not an access token.
        """
        token = request.headers.get("authorization", "")
        if not token:
            raise RefusedError(5106)
        return self._read(token, "AccessToken")

    def _read(self, token: str, kind: str) -> str:
        claims = self._signer.read(token.removeprefix(BEARER)) if token.startswith(BEARER) else None
        if claims is None or claims.get("type") != kind or self._state.ended(claims["session"]):
            raise RefusedError(5032)
        return str(claims["session"])

    async def _email_login(self, request: Request) -> JSONResponse:
        return self._login(EMAIL, await parameters(request))

    async def _phone_login(self, request: Request) -> JSONResponse:
        return self._login(PHONE, await parameters(request))

    def _login(self, way: _Way, given: Mapping[str, str]) -> JSONResponse:
        try:
            self._check_request(way, given)
            self._check_password(way, given)
        except RefusedError as error:
            wrong = error.code in range(way.wrong, way.wrong + WRONG_PASSWORDS - 1)
            wrong = wrong or (error.code == 5147 and not self._locked)  # this very attempt locks
            self._state.note("login.refused", by=way.by, code=error.code, wrong=wrong)
            raise
        session = secrets.token_hex(8)
        self._state.note("login", by=way.by, session=session)
        return answered(self._tokens(session))

    def _check_request(self, way: _Way, given: Mapping[str, str]) -> None:
        for name, code in ((way.by, way.missing), ("pwd", 5022), ("userDomain", 5023), ("signature", 5550)):
            if not given.get(name):
                raise RefusedError(code)
        if way is EMAIL and "@" not in given["email"]:
            raise RefusedError(5040)
        if given["userDomain"] != self._user.user_domain:
            raise RefusedError(5015)
        signed = (given.get(name, "") for name in way.signed)
        if not same(given["signature"], signature(*signed, self._user.user_domain_secret)):
            raise RefusedError(5420)

    def _check_password(self, way: _Way, given: Mapping[str, str]) -> None:
        if self._clock() < self._state.blocked_until:
            raise RefusedError(5325)
        if self._locked:
            raise RefusedError(5147)
        if not self._known(way, given):
            raise RefusedError(way.unknown)
        try:
            password = decrypted(given["pwd"], given.get("random", ""))
        except ValueError:
            password = None
        if password is not None and not 6 <= len(password) <= 20:
            raise RefusedError(5056)
        if password is None or not same(password, self._user.password):
            left = WRONG_PASSWORDS - 1 - self._state.wrong_passwords
            raise RefusedError(way.wrong + left - 1 if left else 5147)

    @property
    def _locked(self) -> bool:
        return self._clock() < self._state.locked_until

    def _known(self, way: _Way, given: Mapping[str, str]) -> bool:
        if way is EMAIL:
            return given["email"] == self._user.email
        # "default is for domestic": a missing country code is China's
        return (given.get("internationalCode") or "86", given["phone"]) == (self._user.country_code, self._user.phone)

    def _tokens(self, session: str) -> dict[str, Any]:
        tokens: dict[str, Any] = {}
        for name, lasts_s in self._lifetimes.items():
            claims = {"uid": UID, "type": name[0].upper() + name[1:], "session": session, "jti": secrets.token_hex(4)}
            expires = int(self._clock()) + int(lasts_s)
            tokens[name] = {"token": BEARER + self._signer.sign(claims, lasts_s=lasts_s), "expirationTime": expires}
        return tokens

    async def _refresh(self, request: Request) -> JSONResponse:
        token = (await parameters(request)).get("refreshToken")
        if not token:
            raise RefusedError(5115)
        session = self._read(token, "RefreshToken")
        self._state.note("refresh", session=session)
        return answered(self._tokens(session))

    async def _logout(self, request: Request) -> JSONResponse:
        self._state.note("logout", session=self.session(request))
        return answered()

    async def _user_info(self, request: Request) -> JSONResponse:
        self.session(request)
        user = self._user
        return answered({"uid": UID, "email": user.email, "phone": user.phone, "nikeName": "", "status": 1})
