"""A real HTTP server on loopback that says what it is told to, byte by byte."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

CONTENT = random.Random(7).randbytes(150_001)  # does not repeat, and is no multiple of any chunk

ETAG = '"v1"'
ASKED: ContextVar[str] = ContextVar("ASKED")
"""The head of the request that is being answered."""

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes = CONTENT, *headers: str, status: str = "200 OK", length: int | None = -1) -> Reply:
    """A whole answer; `length` is what Content-Length says: -1 the truth, None nothing at all."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length < 0 else length}")
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"

    async def reply(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + body)
        await writer.drain()

    return reply


def chunked(*chunks: bytes, end: bool = True) -> Reply:
    """A chunked answer; without `end` the connection closes where the last chunk should come."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return answer(body + (b"0\r\n\r\n" if end else b""), "Transfer-Encoding: chunked", length=None)


def redirect(to: str, status: str = "302 Found") -> Reply:
    """A redirect to `to`."""
    return answer(b"", f"Location: {to}", status=status)


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """No answer, until the client goes."""
    await reader.read()


@dataclass(slots=True)
class Origin:
    """What the server was asked, and what it will say: per path the replies in turn, the last one for ever."""

    scheme: str = "http"
    port: int = 0
    replies: dict[str, list[Reply]] = field(default_factory=dict[str, list[Reply]])
    requests: list[str] = field(default_factory=list[str])
    """The head of each request as it came."""

    def serve(self, *replies: Reply, path: str = "/fw.bin") -> str:
        """Put `replies` under `path` and give its address, signed as CDNs do."""
        self.replies[path] = list(replies)
        return f"{self.scheme}://127.0.0.1:{self.port}{path}?sig=s3cret"

    @property
    def starts(self) -> list[int | None]:
        """The byte that each request began at; None where it asked for no range."""
        return [start_of(head) for head in self.requests]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            ASKED.set(head)
            queue = self.replies[head.split()[1].partition("?")[0]]
            await (queue.pop(0) if len(queue) > 1 else queue[0])(reader, writer)
        except ConnectionError:
            pass  # the client had enough, as it should
        except asyncio.IncompleteReadError:
            self.requests.append("")  # connected, and went without a word
        finally:
            writer.close()


def start_of(head: str) -> int | None:
    """The byte that a request begins at; None where it asks for no range."""
    found = re.search(r"^range: bytes=([0-9]+)-\r$", head, re.MULTILINE | re.IGNORECASE)
    return int(found[1]) if found else None


def rest(
    body: bytes, found: str | None, *headers: str, status: str = "206 Partial Content", length: int | None = -1
) -> Reply:
    """An answer to a range, that says in Content-Range what `found` says."""
    said = () if found is None else (f"Content-Range: {found}",)
    return answer(body, *said, *headers, status=status, length=length)


def ranged(content: bytes = CONTENT, etag: str = ETAG, *, most: int | None = None) -> Reply:
    """What a good server says, range or not; after `most` bytes the connection drops."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = ASKED.get()
        same = f"if-range: {etag}\r\n" in head.lower()
        start = (start_of(head) or 0) if same else 0
        body, said = content[start:][:most], f"ETag: {etag}"
        if start:
            found = f"bytes {start}-{len(content) - 1}/{len(content)}"
            await rest(body, found, said, length=len(content) - start)(reader, writer)
        else:
            await answer(body, said, length=len(content))(reader, writer)

    return reply


def then_silence(body: bytes, *headers: str) -> Reply:
    """The head and `body`, then nothing, until the client goes."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(body, *headers, length=len(CONTENT))(reader, writer)
        await reader.read()

    return reply


def then_reset(body: bytes) -> Reply:
    """The head and `body`, then a TCP reset."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(body, length=len(CONTENT))(reader, writer)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    return reply


def dripping(body: bytes, head: str) -> Reply:
    """A byte every few milliseconds, until the client goes."""

    async def reply(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        for at in range(len(body)):
            writer.write(body[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0.005)

    return reply


def trickle(begin: bytes, piece: bytes) -> Reply:
    """`begin`, then `piece` again and again, a few milliseconds apart, until the client goes."""

    async def reply(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)

    return reply


drip = dripping(CONTENT, "HTTP/1.1 200 OK\r\n")


async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Chunks without end, until the client goes."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1000\r\n" + bytes(0x1000) + b"\r\n")
        await writer.drain()
