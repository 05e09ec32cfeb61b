"""Where the firmware lies: `/oss/<token>/<name>`, GET and HEAD, ETag, one Range, If-Range, 416.

The token in the address is signed and expires; whoever has the address needs no login (*inferred*: an object store's
usual way). A foreign or expired token is answered 403, and the client asks for a plan again.
"""

from __future__ import annotations

import gzip
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ble_ota.virtual.developer_center.faults import Faults, faults_of, gone_within, hung_up
from ble_ota.virtual.developer_center.ranges import Part, UnsatisfiableError, selected
from ble_ota.virtual.developer_center.signing import Signer
from ble_ota.virtual.developer_center.state import State
from ble_ota.virtual.world import World, WorldFile

PIECE_BYTES = 65536
DRIPS_PER_S = 10


class ObjectStore:
    """The package files of the world, for whoever has a link."""

    def __init__(self, world: World, state: State, signer: Signer, *, link_s: float) -> None:
        self._world = world
        self._state = state
        self._signer = signer
        self._link_s = link_s

    def routes(self) -> list[Route]:
        """The calls of this part."""
        return [Route("/oss/{token}/{name}", self._get, methods=["GET"])]

    def link(self, request: Request, file: WorldFile) -> str:
        """Sign an address for this file, on the host the request came to."""
        token = self._signer.sign({"type": "Download", "name": file.name}, lasts_s=self._link_s)
        return f"{request.base_url}oss/{token}/{file.name}"

    async def _get(self, request: Request) -> Response:
        name = str(request.path_params["name"])
        claims = self._signer.read(request.path_params["token"])
        if claims is None or claims.get("type") != "Download" or claims["name"] != name:
            raise HTTPException(403)
        path = self._world.folder / "firmware" / name
        if not path.is_file():
            raise HTTPException(404)
        return self._answer(request, path)

    def _answer(self, request: Request, path: Path) -> Response:
        faults, stat = faults_of(request), path.stat()
        etag = _etag(stat.st_mtime_ns, stat.st_size, faults)
        # RFC 9110 14.2: Range is defined for GET alone
        plain = request.method != "GET" or faults.ignores_ranges or faults.encoded
        try:
            part = selected(
                None if plain else request.headers.get("range"),
                request.headers.get("if-range"),
                etag=etag,
                size_bytes=stat.st_size,
            )
        except UnsatisfiableError:
            self._note(request, path, 416, None)
            return Response(status_code=416, headers={"ETag": etag, "Content-Range": f"bytes */{stat.st_size}"})
        if part and faults.shifted_range:
            part = Part(max(part.first - 1, 0), part.last)
        self._note(request, path, 206 if part else 200, part or Part(0, stat.st_size - 1))
        return Delivery(Firmware(path, stat.st_size, etag), part, faults)

    def _note(self, request: Request, path: Path, status: int, part: Part | None) -> None:
        first, last = (part.first, part.last) if part else (None, None)
        self._state.note(
            "firmware.fetched", name=path.name, method=request.method, status=status, first=first, last=last
        )


@dataclass(frozen=True, slots=True)
class Firmware:
    """One file as it lies on disk."""

    path: Path
    size_bytes: int
    etag: str


class Delivery(Response):
    """The bytes of a firmware file, read piece by piece as they go out; no thread, so that virtual time can pass."""

    def __init__(self, firmware: Firmware, part: Part | None, faults: Faults) -> None:
        self._firmware = firmware
        self._part = part or Part(0, firmware.size_bytes - 1)
        self._faults = faults
        headers = {"ETag": firmware.etag, "Accept-Ranges": "bytes"}
        if part:
            headers["Content-Range"] = f"bytes {part.first}-{part.last}/{firmware.size_bytes}"
        if faults.encoded:
            headers["Content-Encoding"] = "gzip"
        elif not faults.extra_bytes:
            headers["Content-Length"] = str(self._part.last - self._part.first + 1)
        super().__init__(None, 206 if part else 200, headers, "application/octet-stream")
        if faults.encoded or faults.extra_bytes:
            del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send headers and body, as fast and as far as the faults allow."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            for piece in self._cut(self._body()):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if self._faults.drip_bytes_per_s and await gone_within(
                    receive, len(piece) / self._faults.drip_bytes_per_s
                ):
                    return
            if self._faults.truncate_at is not None and await hung_up(scope, receive):
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _cut(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Let through what comes before `truncate_at`."""
        left = self._faults.truncate_at
        for piece in pieces:
            yield piece if left is None else piece[:left]
            if left is not None and (left := left - len(piece)) <= 0:
                return

    def _body(self) -> Iterator[bytes]:
        if self._faults.encoded:
            yield gzip.compress(self._firmware.path.read_bytes())
            return
        yield from self._pieces()
        if self._faults.extra_bytes:
            yield bytes(self._faults.extra_bytes)

    def _pieces(self) -> Iterator[bytes]:
        rate = self._faults.drip_bytes_per_s
        step = PIECE_BYTES if rate is None else min(PIECE_BYTES, max(1, int(rate / DRIPS_PER_S)))
        with self._firmware.path.open("rb") as file:
            file.seek(self._part.first)
            for at in range(self._part.first, self._part.last + 1, step):
                yield self._flipped(at, file.read(min(step, self._part.last + 1 - at)))

    def _flipped(self, at: int, piece: bytes) -> bytes:
        where = self._faults.flip_bit_at
        if where is None or not at <= where < at + len(piece):
            return piece
        return piece[: where - at] + bytes([piece[where - at] ^ 1]) + piece[where - at + 1 :]


def _etag(changed_ns: int, size_bytes: int, faults: Faults) -> str:
    """Name this content: it differs whenever the file was written again."""
    strong = f'"{secrets.token_hex(8)}"' if faults.changing_etag else f'"{changed_ns:x}-{size_bytes:x}"'
    return f"W/{strong}" if faults.weak_etag else strong
