"""UDP: a stream of datagrams, and a sink that sends them.

from connectors import udp

messages = udp.listen("0.0.0.0", 514)
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, Literal, overload

import anyio

import reactive as rx
from connectors.framing import Framing
from connectors.sockets import (
    Address,
    Peer,
    Received,
    bind_hint,
    check_bounds,
    check_port,
    plain_host,
    reason,
)
from reactive.context import Context
from reactive.endpoint import Reader, Sink, Source, Writer
from reactive.errors import ConnectorError, DecodeError, FrameTooLongError
from reactive.fast_dataclasses import dataclass
from reactive.log import log_event
from reactive.signals import Chunk
from reactive.stream import Stream

__all__ = ["Address", "Peer", "Received", "listen", "write"]

_LARGEST = 65535
_AT_ONCE = 256
_OVERHEAD = 256

# Linux tells with each datagram how many were dropped before it; Python has no name for it.
_SO_RXQ_OVFL = 40 if sys.platform == "linux" else None
_COUNT = struct.Struct("I")


async def _bound_socket(source: UdpListen) -> socket.socket:
    everywhere = source.host is None and socket.has_dualstack_ipv6()
    host = "::" if everywhere else source.host
    found = await anyio.getaddrinfo(
        host, source.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, address = found[0]
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        if family is socket.AddressFamily.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not everywhere)
        if source.reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if source.receive_buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, source.receive_buffer)
        if _SO_RXQ_OVFL is not None:
            made.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


@dataclass(frozen=True, kw_only=True)
class UdpListen(Source[Any]):
    """See `listen`."""

    host: str | None
    port: int
    framing: Framing | None
    with_peer: bool
    receive_buffer: int | None
    reuse_port: bool
    on_listening: Callable[[Address], object] | None

    def __post_init__(self) -> None:
        check_port(self.label, self.port, lowest=0)
        check_bounds(self.label, receive_buffer=self.receive_buffer)

    @property
    def label(self) -> str:
        return "udp.listen"

    @property
    def target(self) -> str:
        """Where it listens, as described."""
        host = self.host or "*"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def details(self) -> dict[str, object]:
        described: dict[str, object] = {"on": self.target}
        if self.framing is not None:
            described["framing"] = self.framing.name
        if self.receive_buffer is not None:
            described["receive_buffer"] = f"{self.receive_buffer} bytes"
        return described

    def reader(self, context: Context) -> UdpReader:
        return UdpReader(self, context)


class UdpReader(Reader[Any]):
    """One run's receiving. Reads the socket directly: the only queue is the kernel's, which is
    bounded and counts what it drops."""

    def __init__(self, source: UdpListen, context: Context) -> None:
        self._source = source
        self._context = context
        self._socket: socket.socket | None = None
        self._stopping = False
        self._waiting: asyncio.Timeout | None = None
        self._dropped = 0
        self._drain_bytes = 0
        self._rest: list[Any] = []

    async def open(self) -> None:
        """Bind, and tell where."""
        source = self._source
        try:
            self._socket = bound = await _bound_socket(source)
        except OSError as error:
            raise ConnectorError(
                f"cannot listen on {source.target}: {reason(error)}{bind_hint(error)}"
            ) from error
        name = Address(*bound.getsockname()[:2])
        log_event("info", "listening", operator=self._context.name, address=str(name))
        if source.on_listening is not None:
            source.on_listening(name)

    async def read(self, limit: int) -> Chunk[Any] | None:
        """What the kernel has, up to a few hundred datagrams; waits while it has nothing."""
        bound = self._socket
        assert bound is not None
        while True:
            items, self._rest = self._rest, []
            if not items and not (self._stopping and self._drain_bytes <= 0):
                items = self._receive(bound, min(limit, _AT_ONCE))
            if items:
                self._rest = items[limit:]
                return Chunk(items[:limit])
            if self._stopping:
                return None
            try:
                async with asyncio.timeout(None) as self._waiting:
                    await anyio.wait_readable(bound)
            except TimeoutError:
                pass
            finally:
                self._waiting = None

    def _receive(self, bound: socket.socket, most: int) -> list[Any]:
        items: list[Any] = []
        source = self._source
        space = socket.CMSG_SPACE(_COUNT.size)
        for _ in range(most):
            try:
                data, ancillary, _, address = bound.recvmsg(_LARGEST, space)
            except BlockingIOError:
                break
            self._drain_bytes -= len(data) + _OVERHEAD
            if ancillary:
                self._count_dropped(ancillary)
            frames = [data] if source.framing is None else self._frames(source.framing, data)
            if source.with_peer:
                peer = Peer(plain_host(address[0]), address[1])
                items += [Received(peer, frame) for frame in frames]
            else:
                items += frames
        return items

    def _frames(self, framing: Framing, data: bytes) -> list[bytes]:
        decoder = framing.decoder()
        frames = decoder.feed(data)
        try:
            frames += decoder.end()
        except DecodeError:
            self._context.meter.count("malformed_datagrams")
        return frames

    def _count_dropped(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL:
                total = _COUNT.unpack(value[: _COUNT.size])[0]
                lost = (total - self._dropped) % (1 << 32)
                if lost:
                    self._context.meter.count("dropped", lost)
                    self._dropped = total

    def stop(self) -> bool:
        """Give what the kernel has, then end."""
        if not self._stopping:
            self._stopping = True
            # As much as the kernel may hold now: a sender that goes on must not keep it alive.
            if self._socket is not None:
                buffer = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
                self._drain_bytes = buffer
            if self._waiting is not None:
                self._waiting.reschedule(asyncio.get_running_loop().time())
        return True

    async def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()


@dataclass(frozen=True, kw_only=True)
class UdpWrite(Sink[bytes]):
    """See `write`."""

    host: str
    port: int

    def __post_init__(self) -> None:
        check_port(self.label, self.port, lowest=1)

    @property
    def label(self) -> str:
        return "udp.write"

    @property
    def target(self) -> str:
        """Where it sends to, as described."""
        return str(Address(self.host, self.port))

    def details(self) -> dict[str, object]:
        return {"to": self.target}

    def writer(self, context: Context) -> UdpWriter:
        return UdpWriter(self, context)


class UdpWriter(Writer[bytes]):
    """One run's sending."""

    def __init__(self, sink: UdpWrite, context: Context) -> None:
        self._sink = sink
        self._meter = context.meter
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        """Look the host up."""
        sink = self._sink
        try:
            found = await anyio.getaddrinfo(sink.host, sink.port, type=socket.SOCK_DGRAM)
            family, _, _, _, address = found[0]
            self._socket = made = socket.socket(family, socket.SOCK_DGRAM)
            made.setblocking(False)
            made.connect(address)
        except OSError as error:
            raise ConnectorError(f"cannot send to {sink.target}: {reason(error)}") from error

    async def write(self, chunk: Chunk[bytes]) -> None:
        """Send each item as a datagram."""
        for index, item in enumerate(chunk.items, 1):
            if not isinstance(item, bytes | bytearray):
                raise TypeError(
                    f"a datagram is bytes, not {type(item).__qualname__}; "
                    "encode the items first, for example .map(str.encode)"
                )
            await self._send(item)
            if index % _AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _send(self, item: bytes) -> None:
        assert self._socket is not None
        target = self._sink.target
        refused = False
        while True:
            try:
                self._socket.send(item)
            except BlockingIOError:
                await anyio.wait_writable(self._socket)
            except ConnectionRefusedError as error:
                # The answer to an earlier datagram; this one was not sent for it.
                self._meter.count("refused")
                if refused:
                    raise ConnectorError(f"cannot send to {target}: {reason(error)}") from error
                refused = True
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    raise FrameTooLongError(
                        f"an item of {len(item)} bytes does not fit a datagram to {target}"
                    ) from error
                raise ConnectorError(f"cannot send to {target}: {reason(error)}") from error
            else:
                return

    async def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()


@overload
def listen(
    host: str | None,
    port: int,
    *,
    framing: Framing | None = ...,
    with_peer: Literal[False] = ...,
    receive_buffer: int | None = ...,
    reuse_port: bool = ...,
    on_listening: Callable[[Address], object] | None = ...,
) -> Stream[bytes]: ...


@overload
def listen(
    host: str | None,
    port: int,
    *,
    framing: Framing | None = ...,
    with_peer: Literal[True],
    receive_buffer: int | None = ...,
    reuse_port: bool = ...,
    on_listening: Callable[[Address], object] | None = ...,
) -> Stream[Received[bytes]]: ...


def listen(
    host: str | None,
    port: int,
    *,
    framing: Framing | None = None,
    with_peer: bool = False,
    receive_buffer: int | None = None,
    reuse_port: bool = False,
    on_listening: Callable[[Address], object] | None = None,
) -> Stream[Any]:
    """Listen on UDP: each datagram is one item.

    Emits datagrams as the kernel has them, empty ones too; with `framing`, the frames of each,
    such as lines (a last one without its end is `malformed_datagrams`, unless the framing emits
    it).
    Backpressures nobody, for UDP cannot: while the pipeline is slow the kernel queues up to
    `receive_buffer` bytes (the system's default if None) and drops the rest, which Linux counts
    (`dropped`). A `buffer(limit, overflow="drop_oldest")` behind it holds more.
    Completes never by itself; a drain (`run.stop()`) gives what the kernel has, and ends.
    Loses what the network or the kernel drops.

    `host`, `port`, `on_listening`, `with_peer` as in `tcp.listen`; `reuse_port` lets several
    processes share the port. Raises `ConnectorError` when the address cannot be bound.

    ```python
    syslog = udp.listen("0.0.0.0", 5514, with_peer=True, receive_buffer=4 << 20)
    ```
    """
    return rx.from_source(
        UdpListen(
            host=host,
            port=port,
            framing=framing,
            with_peer=with_peer,
            receive_buffer=receive_buffer,
            reuse_port=reuse_port,
            on_listening=on_listening,
        )
    )


def write(host: str, port: int) -> Sink[bytes]:
    """Send each item as one datagram.

    Backpressures while the kernel's send buffer is full.
    Loses what the network drops. A host that answers that nobody listens is counted (`refused`),
    and sending goes on.
    An item too large for a datagram is a `FrameTooLongError`; no route, a `ConnectorError`.

    ```python
    await rx.run(metrics.map(format_line).to(udp.write("127.0.0.1", 8125)))
    ```
    """
    return UdpWrite(host=host, port=port)
