"""Who we are to the Developer Center: the tokens, how they come, and how they are renewed.

::

    call ──► less than a minute left? ──► renew ─┐
      │                                          ▼
      └──────────────────────────────────────► send ──► 5032? ──► renew ──► send once more

    renew ──► another call has? ──► lock the store ──► another process has? ──► refresh ──► keep
                     │                                         │
                     └─────────────── use its pair ◄───────────┘

A pair of another process that is refused too is renewed in its turn, once. A session that is kept no more was ended
by somebody, and is never brought back. A login is never tried twice: accounts lock. A refresh that was answered with a
lock is not sent again while the lock lasts: more attempts make it longer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Protocol, TypeVar

from ble_ota.cloud import codes, wire
from ble_ota.cloud.account import Tokens
from ble_ota.cloud.endpoints import Endpoint
from ble_ota.cloud.exchange import Exchange, Values
from ble_ota.errors import ApiError, StorageError, TokenRejectedError
from ble_ota.model import Secret

EARLY_S = 60.0  # renew a token that has less than this to live
KEPT_S = 5.0  # our choice: a store that works answers in milliseconds, and one that hangs holds up no end
RENEWING = "renewing the session"

log = logging.getLogger(__name__)
T = TypeVar("T")


class TokenStore(Protocol):
    """Where the tokens of one session are kept, maybe for several processes.

    `load`, `save` and `drop` may block: they are called in a thread, but for the first `load`.
    """

    def load(self) -> Tokens | None:
        """Give what is kept; None: nothing is, or the session was ended. Raises `StorageError`: it cannot be said."""
        ...

    def save(self, tokens: Tokens) -> None:
        """Keep `tokens` in place of what was kept. Raises `StorageError`."""
        ...

    def drop(self) -> None:
        """Forget the tokens, for everyone. Raises `StorageError`."""
        ...

    def only_one(self) -> AbstractAsyncContextManager[None]:
        """Keep all others that renew this session waiting for the block; not reentrant.

        The wait is finite, and who waited in vain goes on: two refreshes are better than none.
        """
        ...


class MemoryTokens:
    """A `TokenStore` that forgets with the process."""

    def __init__(self, tokens: Tokens | None = None) -> None:
        self._tokens = tokens
        self._one = asyncio.Lock()

    def load(self) -> Tokens | None:
        """See `TokenStore`."""
        return self._tokens

    def save(self, tokens: Tokens) -> None:
        """See `TokenStore`."""
        self._tokens = tokens

    def drop(self) -> None:
        """See `TokenStore`."""
        self._tokens = None

    @asynccontextmanager
    async def only_one(self) -> AsyncGenerator[None, None]:
        """See `TokenStore`; every wait is as finite as the call before it."""
        async with self._one:
            yield


class _EndedError(TokenRejectedError):
    """Somebody has logged out; the Developer Center was not asked."""

    def __init__(self) -> None:
        super().__init__(codes.TOKEN_EXPIRED, "", doing=RENEWING)
        self.args = (f"{RENEWING}: it was ended meanwhile, or another account has logged in",)


class Session:
    """Makes calls with a token that is good."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        endpoints: Mapping[str, Endpoint],
        store: TokenStore,
        clock: Callable[[], float],
    ) -> None:
        """Start with what `store` keeps. Raises `StorageError`."""
        self.tokens = store.load()
        self._store = store
        self._exchange = exchange
        self._endpoints = endpoints
        self._clock = clock
        self._one_refresh = asyncio.Lock()
        self._fresh: Tokens | None = None  # the last pair that the Developer Center gave to us, not to another process
        self._unkept = False  # the store did not take that pair: what it has is older
        self._locked: tuple[int, float] | None = None  # code of the last lock, and the clock's time at which it ends
        self._clock_wrong = False  # brand-new tokens look expired by our clock: only 5032 tells then

    async def log_in(self, name: str, values: Mapping[str, object], *, secrets: tuple[str, ...]) -> Tokens:
        """Log in by the endpoint `name`, once.

        Raises:
            LoginRefusedError: Wrong name or password.
            AccountLockedError: Too many wrong ones.
            CloudError: Anything else.
            StorageError: It cannot be kept, and lasts no longer than its access token.
        """
        doing = "logging in"
        data = await self._exchange.call(self._endpoints[name], values, doing=doing, secrets=secrets)
        async with self._one_refresh, self._store.only_one():  # not between another's refresh and its save
            tokens = self._took(data, doing)
            self._unkept = True
            await off_loop(partial(self._store.save, tokens))
            self._unkept = False
        return tokens

    async def log_out(self) -> None:
        """End the session here, for all who share it and, where it still knows it, on the server.

        Raises:
            StorageError: It is kept as it was.
            CloudError: It is forgotten, but the server was not told.
        """
        async with self._one_refresh, self._store.only_one():
            tokens = await off_loop(self._kept) or self.tokens
            await off_loop(self._store.drop)
            self.tokens = None
        if tokens is None:
            return
        try:
            await self._send("userLogout", {}, "logging out", tokens)
        except TokenRejectedError:
            return  # over already

    async def call(self, name: str, values: Values, *, doing: str) -> object:
        """Call the endpoint `name` and give the envelope's data.

        Raises:
            TokenRejectedError: No session, or one that cannot be renewed.
            CloudError: Anything else.
        """
        send = partial(self._send, name, values, doing)
        tokens = self.tokens
        if tokens and self._ends_soon(tokens) and not self._clock_wrong:
            tokens = await self._renewed(tokens)
        try:
            return await send(tokens)
        except TokenRejectedError as error:
            if error.code != codes.TOKEN_EXPIRED or tokens is None:
                raise
        tokens = await self._renewed(tokens)
        try:
            return await send(tokens)
        except TokenRejectedError as error:
            if error.code != codes.TOKEN_EXPIRED or tokens is self._fresh:
                raise
        return await send(await self._renewed(tokens))

    async def _send(self, name: str, values: Values, doing: str, tokens: Tokens | None) -> object:
        token = tokens.access if tokens else None
        secrets = (tokens.access.reveal(), tokens.refresh.reveal()) if tokens else ()
        return await self._exchange.call(self._endpoints[name], values, doing=doing, token=token, secrets=secrets)

    async def _renewed(self, used: Tokens) -> Tokens:
        """The tokens after `used`: those another call or process has fetched meanwhile, or new ones."""
        async with self._one_refresh:
            if self.tokens is None:
                raise _EndedError
            if self.tokens.access != used.access:
                return self.tokens
            async with self._store.only_one():
                kept = await off_loop(self._kept)
                if kept is None:
                    self.tokens = None
                    raise _EndedError
                if kept.access != used.access and (self._clock_wrong or not self._ends_soon(kept)):
                    self.tokens = kept
                else:
                    self.tokens = await self._refreshed(kept)
                return self.tokens

    async def _refreshed(self, used: Tokens) -> Tokens:
        """Return new tokens for `used`, or the pair that another process has kept meanwhile.

        Raises:
            AccountLockedError: The platform has locked the account or this address; a login would not help.
            TokenRejectedError: The session is over.
            CloudError: Another fault; the session may go on later.
        """
        self._check_lock()
        refresh: Secret = used.refresh
        values = {"refresh_token": refresh.reveal()}
        secrets = (refresh.reveal(), used.access.reveal())
        try:
            data = await self._exchange.call(self._endpoints["refreshToken"], values, doing=RENEWING, secrets=secrets)
        except ApiError as error:
            rejected = error
        else:
            tokens = self._took(data, RENEWING)
            if await off_loop(partial(self._keep, tokens)):
                return tokens
            self.tokens = None
            raise _EndedError
        kept = await off_loop(self._kept)
        if kept is not None and kept.access != used.access:
            return kept
        if codes.ends_session(rejected.code):
            raise TokenRejectedError(rejected.code, "the session cannot be renewed", doing=RENEWING)
        if rejected.code in codes.LOCKED_S:
            self._locked = rejected.code, self._clock() + codes.LOCKED_S[rejected.code]
        raise rejected

    def _check_lock(self) -> None:
        """Raise `AccountLockedError` while a lock lasts that an earlier refresh was answered with."""
        if self._locked is not None and self._clock() < self._locked[1]:
            raise codes.api_error(self._locked[0], "", doing=RENEWING)

    def _took(self, data: object, doing: str) -> Tokens:
        """Go on with what the Developer Center has just given."""
        self.tokens = self._fresh = tokens = wire.read(wire.WireTokens, data, doing=doing).tokens()
        self._clock_wrong = self._ends_soon(tokens)
        return tokens

    def _kept(self) -> Tokens | None:
        """What all who share the session go by; what we have, where that is newer or the store cannot say. Blocks."""
        try:
            kept = self._store.load()
        except StorageError as error:
            log.warning("what is kept of the session cannot be seen: %s", error)
            return self.tokens
        return self.tokens if kept and self._unkept else kept

    def _keep(self, tokens: Tokens) -> bool:
        """Keep `tokens` unless the session was ended meanwhile; tell whether it goes on. Blocks.

        A store that refuses ends nothing: there may be a device half-way through an update.
        """
        self._unkept = True
        try:
            if self._store.load() is None:
                return False
            self._store.save(tokens)
        except StorageError as error:
            log.warning("the renewed session is not kept: %s", error)
        else:
            self._unkept = False
        return True

    def _ends_soon(self, tokens: Tokens) -> bool:
        return tokens.access_expires_s - self._clock() < EARLY_S


async def off_loop(work: Callable[[], T]) -> T:
    """Do `work`, which may block, in a thread; a cancellation waits `KEPT_S` for it: nothing is left half kept."""
    done = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done], timeout=KEPT_S)
        raise
