"""Who we are to the Developer Center: the tokens, how they come, and how they are renewed.

::

    call ──► less than a minute left? ──► refresh ─┐
      │                                            ▼
      └────────────────────────────────────────► send ──► 5032? ──► refresh ──► send once more

A refresh that another call has just made is used, not made again. A login is never tried twice: accounts lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ble_ota.cloud import codes, wire
from ble_ota.cloud.account import Tokens
from ble_ota.cloud.endpoints import Endpoint
from ble_ota.cloud.exchange import Exchange
from ble_ota.errors import ApiError, TokenRejectedError
from ble_ota.model import Secret

EARLY_S = 60.0  # renew a token that has less than this to live


class Session:
    """Makes calls with a token that is good."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        endpoints: Mapping[str, Endpoint],
        tokens: Tokens | None,
        on_tokens: Callable[[Tokens], None] | None,
        clock: Callable[[], float],
    ) -> None:
        """Start with `tokens` of an earlier login, or with none; `on_tokens` hears of each new pair."""
        self.tokens = tokens
        self._exchange = exchange
        self._endpoints = endpoints
        self._on_tokens = on_tokens
        self._clock = clock
        self._one_refresh = asyncio.Lock()
        self._clock_wrong = False  # brand-new tokens look expired by our clock: only 5032 tells then

    async def log_in(self, name: str, values: Mapping[str, object], *, secrets: tuple[str, ...]) -> Tokens:
        """Log in by the endpoint `name`, once.

        Raises:
            LoginRefusedError: Wrong name or password.
            AccountLockedError: Too many wrong ones.
            CloudError: Anything else.
        """
        doing = "logging in"
        data = await self._exchange.call(self._endpoints[name], values, doing=doing, secrets=secrets)
        return self._keep(data, doing)

    async def log_out(self) -> None:
        """End the session here and, where it still knows it, on the server."""
        async with self._one_refresh:
            tokens, self.tokens = self.tokens, None
        if tokens is None:
            return
        try:
            await self._send("userLogout", {}, "logging out", tokens)
        except TokenRejectedError:
            return  # over already

    async def call(self, name: str, values: Mapping[str, object], *, doing: str) -> object:
        """Call the endpoint `name` and give the envelope's data.

        Raises:
            TokenRejectedError: No session, or one that cannot be renewed.
            CloudError: Anything else.
        """
        tokens = self.tokens
        if tokens and self._ends_soon(tokens) and not self._clock_wrong:
            tokens = await self._renewed(tokens)
        try:
            return await self._send(name, values, doing, tokens)
        except TokenRejectedError as error:
            if error.code != codes.TOKEN_EXPIRED or tokens is None:
                raise
        return await self._send(name, values, doing, await self._renewed(tokens))

    async def _send(self, name: str, values: Mapping[str, object], doing: str, tokens: Tokens | None) -> object:
        token = tokens.access if tokens else None
        secrets = (tokens.access.reveal(), tokens.refresh.reveal()) if tokens else ()
        return await self._exchange.call(self._endpoints[name], values, doing=doing, token=token, secrets=secrets)

    async def _renewed(self, used: Tokens) -> Tokens:
        """The tokens after `used`: those another call has fetched meanwhile, or new ones."""
        async with self._one_refresh:
            if self.tokens is None:
                return used  # logged out meanwhile: let the server say so
            return await self._refresh(used) if self.tokens.access == used.access else self.tokens

    async def _refresh(self, used: Tokens) -> Tokens:
        doing = "renewing the session"
        refresh: Secret = used.refresh
        values = {"refresh_token": refresh.reveal()}
        secrets = (refresh.reveal(), used.access.reveal())
        try:
            data = await self._exchange.call(self._endpoints["refreshToken"], values, doing=doing, secrets=secrets)
        except ApiError as error:
            if isinstance(error, TokenRejectedError) or error.code == codes.SERVICE_EXCEPTION:
                raise
            rejected = error
        else:
            return self._keep(data, doing)
        raise TokenRejectedError(rejected.code, "the session cannot be renewed", doing=doing)

    def _keep(self, data: object, doing: str) -> Tokens:
        tokens = wire.read(wire.WireTokens, data, doing=doing).tokens()
        self.tokens = tokens
        self._clock_wrong = self._ends_soon(tokens)
        if self._on_tokens:
            self._on_tokens(tokens)
        return tokens

    def _ends_soon(self, tokens: Tokens) -> bool:
        return tokens.access_expires_s - self._clock() < EARLY_S
