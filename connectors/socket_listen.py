"""Accepting connections and reading all of them into one stream."""

from __future__ import annotations

import asyncio
import socket
import ssl
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketListener

from connectors.framing import Framing
from connectors.socket_inbox import (
    InboxReader,
    check_connection_policy,
    connection_sides,
)
from connectors.socket_intake import Intake
from connectors.socket_stream import AcceptedStream
from connectors.sockets import (
    TLS,
    Address,
    Peer,
    Received,
    check_bounds,
    connection_error,
    describe_bounds,
    handshake,
    hang_up,
    keep_alive,
    peer_of,
    tls_context,
)
from reactive.backoff import Backoff
from reactive.context import Context
from reactive.endpoint import Source
from reactive.errors import ChannelClosed, ConnectorError
from reactive.fast_dataclasses import dataclass
from reactive.graph import Node
from reactive.log import log_event

_ACCEPT_PAUSES = Backoff(initial=0.05, maximum=1.0)


@dataclass(frozen=True, kw_only=True)
class ListenSource(Source[Any]):
    """A blueprint of what listens on a stream socket."""

    framing: Framing
    max_connections: int
    idle_timeout: float | None
    limit: int
    limit_bytes: int
    with_peer: bool
    on_connection_error: Any
    on_listening: Callable[[Address], object] | None
    tls: TLS | None = None
    handshake_timeout: float = 10.0

    def __post_init__(self) -> None:
        check_bounds(
            self.label,
            max_connections=self.max_connections,
            idle_timeout=self.idle_timeout,
            limit=self.limit,
            limit_bytes=self.limit_bytes,
            handshake_timeout=self.handshake_timeout,
        )
        check_connection_policy(self.label, self.on_connection_error)

    @property
    @abstractmethod
    def target(self) -> str:
        """Where it listens, as described."""

    @abstractmethod
    async def bind(self) -> tuple[Sequence[SocketListener], Callable[[], None]]:
        """Start to listen; also gives what is to be called when the listeners are closed.
        Raises `ConnectorError`."""

    def details(self) -> dict[str, object]:
        described: dict[str, object] = {
            "on": self.target,
            "framing": self.framing.name,
            "max_frame": self.framing.max_frame,
            "max_connections": self.max_connections,
            **describe_bounds(self.limit, self.limit_bytes),
        }
        if self.idle_timeout is not None:
            described["idle_timeout"] = f"{self.idle_timeout:g} s"
        if self.tls is not None:
            described["tls"] = True
        return described

    def side_outputs(self) -> Sequence[Node]:
        return connection_sides(self.on_connection_error)

    def reader(self, context: Context) -> ListenReader:
        return ListenReader(self, context)


class ListenReader(InboxReader):
    """One run's listening: a task that accepts, a task for each connection."""

    def __init__(self, source: ListenSource, context: Context) -> None:
        super().__init__(context, source.limit, source.limit_bytes, source.on_connection_error)
        self._source = source
        self._tls: ssl.SSLContext | None = None
        self._listeners: Sequence[SocketListener] = ()
        self._unbind: Callable[[], None] = lambda: None
        self._accepting: list[asyncio.Task[None]] = []
        self._serving: dict[asyncio.Task[None], Intake | None] = {}
        self._accepted = 0
        self._stopping = False
        self._changed = asyncio.Event()
        self._meter.gauges["open_connections"] = lambda: len(self._serving)

    async def open(self) -> None:
        """Bind, tell where, and start to accept."""
        source = self._source
        self._tls = tls_context(source.tls)
        self._listeners, self._unbind = await source.bind()
        for listener in self._listeners:
            task = self._tasks.spawn(
                self._accept(listener.extra(SocketAttribute.raw_socket)),
                name=f"{source.label} accept",
                on_done=self._fail_with,
            )
            self._accepting.append(task)
        address = self._listeners[0].extra(SocketAttribute.local_address)
        bound = Address(address, 0) if isinstance(address, str) else Address(*address[:2])
        log_event("info", "listening", operator=self._context.name, address=str(bound))
        if source.on_listening is not None:
            source.on_listening(bound)

    async def _accept(self, listener: socket.socket) -> None:
        pauses = _ACCEPT_PAUSES.delays()
        while not self._stopping:
            await self._slot()
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                await anyio.wait_readable(listener)
            except OSError as error:
                # Out of descriptors, or a peer that hung up while in line: others go on.
                await self._accept_failed(error)
                await asyncio.sleep(next(pauses))
            else:
                pauses = _ACCEPT_PAUSES.delays()
                self._start(AcceptedStream(connection))
                await asyncio.sleep(0)

    async def _accept_failed(self, error: OSError) -> None:
        self._meter.count("accept_errors")
        await self._failed(Peer("", 0), connection_error("cannot accept a connection", error))

    async def _slot(self) -> None:
        """Wait until fewer connections are open than may be."""
        limit = self._source.max_connections
        if len(self._serving) >= limit:
            if "connection_limit_reached" not in self._meter.counters:
                name = self._context.name
                log_event("warning", "connection_limit_reached", operator=name, limit=limit)
            self._meter.count("connection_limit_reached")
        while len(self._serving) >= limit:
            self._changed.clear()
            await self._changed.wait()

    def _start(self, stream: ByteStream) -> None:
        self._accepted += 1
        self._meter.count("connections")
        peer = peer_of(stream, self._accepted)
        task = self._tasks.spawn(
            self._serve(stream, peer),
            name=f"{self._source.label} connection {self._accepted}",
            on_done=self._served,
        )
        self._serving[task] = None

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.pop(task, None)
        self._changed.set()
        self._fail_with(task)

    def _fail_with(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._inbox.fail(error)

    async def _serve(self, stream: ByteStream, peer: Peer) -> None:
        orderly = False
        try:
            keep_alive(stream)
            if self._tls is not None:
                seconds = self._source.handshake_timeout
                stream = await handshake(stream, self._tls, hostname=None, seconds=seconds)
            await self._take_in(stream, peer)
            orderly = True
        except (ConnectorError, OSError, anyio.BrokenResourceError) as error:
            await self._failed(peer, connection_error(f"connection from {peer}", error))
        except ChannelClosed:
            pass
        finally:
            await hang_up(stream, politely=orderly)

    async def _take_in(self, stream: ByteStream, peer: Peer) -> None:
        task = asyncio.current_task()
        assert task is not None
        with_peer = self._source.with_peer
        wrap = (lambda frame: Received(peer, frame)) if with_peer else None
        await self._run_intake(stream, task, wrap)

    async def _run_intake(
        self,
        stream: ByteStream,
        task: asyncio.Task[None],
        wrap: Callable[[bytes], Any] | None,
    ) -> None:
        """Read a connection, served by a task, to its end."""
        source = self._source
        intake = Intake(
            stream,
            source.framing.decoder(),
            self._inbox,
            self._meter,
            idle_timeout=source.idle_timeout,
            wrap=wrap,
        )
        self._serving[task] = intake
        if self._stopping:
            intake.drain()
        await intake.run()

    def stop(self) -> bool:
        """Accept no more; what has come of the open connections is still given."""
        if not self._stopping:
            self._stopping = True
            self._tasks.spawn(self._drain(), name=f"{self._source.label} drain")
        return True

    async def _drain(self) -> None:
        self._accept_waiting()
        await self._stop_accepting()
        for task, intake in self._serving.items():
            if intake is None:
                task.cancel()
            else:
                intake.drain()
        while self._serving:
            self._changed.clear()
            await self._changed.wait()
        self._inbox.end()

    def _accept_waiting(self) -> None:
        """Accept who has connected already: they may have sent everything, and gone."""
        for listener in self._listeners:
            raw = listener.extra(SocketAttribute.raw_socket)
            with suppress(OSError):
                while len(self._serving) < self._source.max_connections:
                    self._start(AcceptedStream(raw.accept()[0]))

    async def _stop_accepting(self) -> None:
        for task in self._accepting:
            task.cancel()
        # A task has to have begun before it can clean up.
        await asyncio.sleep(0)
        for listener in self._listeners:
            await listener.aclose()
        self._unbind()

    async def _release(self) -> None:
        await self._stop_accepting()
