"""A web server of its own process that gives out one file, ranges and all, and counts what it is asked for.

`python -m tests.firmware_cache.file_server FILE [--etag TEXT] [--chunk BYTES]` prints its port, and every request as a
line of JSON: the byte it began at. It ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileServer:
    """Gives out `path`; `chunk` bytes at a time with a breath in between, so that others meet it in mid-body."""

    path: Path
    etag: str
    chunk: int

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            start = self._start(head)
            print(json.dumps({"start": start}), flush=True)
            await self._send(writer, start)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # killed, as some are here
        finally:
            writer.close()

    def _start(self, head: str) -> int:
        found = re.search(r"^Range: bytes=([0-9]+)-\r$", head, re.MULTILINE | re.IGNORECASE)
        same = re.search(rf"^If-Range: {re.escape(self.etag)}\r$", head, re.MULTILINE | re.IGNORECASE)
        return int(found[1]) if found and same else 0

    async def _send(self, writer: asyncio.StreamWriter, start: int) -> None:
        size = self.path.stat().st_size
        status = f"206 Partial Content\r\nContent-Range: bytes {start}-{size - 1}/{size}" if start else "200 OK"
        head = f"HTTP/1.1 {status}\r\nETag: {self.etag}\r\nContent-Length: {size - start}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        with self.path.open("rb") as file:
            file.seek(start)
            if not self.chunk:
                await writer.drain()
                await asyncio.get_running_loop().sendfile(writer.transport, file, start)
                return
            while piece := file.read(self.chunk):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)


async def main(served: FileServer) -> None:
    server = await asyncio.start_server(served.handle, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--etag", default='"v1"')
    parser.add_argument("--chunk", type=int, default=0)
    given = parser.parse_args()
    asyncio.run(main(FileServer(given.file, given.etag, given.chunk)))
