"""An accepted connection, read straight from its socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute


class AcceptedStream(ByteStream):
    """A byte stream over a non-blocking socket, with no buffer between the kernel and `receive`.

    anyio's own stream reads ahead: from the moment of accepting until the first wait in `receive`
    without any bound, and on uvloop some megabytes after every wait. With many connections and a
    slow pipeline that is what memory would go to.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        connection.setblocking(False)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """What the kernel has, waiting for something; `EndOfStream` at the end."""
        await asyncio.sleep(0)
        while True:
            try:
                data = self._socket.recv(max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
            except OSError as error:
                raise anyio.BrokenResourceError from error
            else:
                if not data:
                    raise anyio.EndOfStream
                return data

    async def send(self, item: bytes) -> None:
        """Hand all bytes to the kernel, waiting for room."""
        await asyncio.sleep(0)
        view = memoryview(item)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                await anyio.wait_writable(self._socket)
            except OSError as error:
                raise anyio.BrokenResourceError from error

    async def send_eof(self) -> None:
        """Tell the peer that nothing more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        """Close the socket."""
        self._socket.close()
        await asyncio.sleep(0)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        connection = self._socket
        return {
            SocketAttribute.family: lambda: connection.family,
            SocketAttribute.raw_socket: lambda: connection,
        }
