"""Serving an ASGI application on the running event loop, with uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from connectors.extras import load_extra
from connectors.http_commits import REPEATS
from connectors.http_ingest import Application, Ingest, IngestOptions
from connectors.http_ingest_reading import ingest_reader
from connectors.sockets import (
    TLS,
    Address,
    bind_hint,
    check_bounds,
    check_port,
    let_transports_close,
    reason,
    tls_context,
)
from reactive.endpoint import Reader, Source
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass
from reactive.log import log_event
from reactive.tasks import Tasks

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.signals import Signal

HEADER_TIMEOUT = 10.0
GRACE = 5.0
MAX_CONNECTIONS = 1000

_TICK_SECONDS = 1.0
_BACKLOG = 2048


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Where to listen, and what connections may cost; `http.serve` explains each."""

    host: str | None
    port: int
    tls: TLS | None
    max_connections: int
    header_timeout: float
    grace: float

    def check(self, name: str) -> None:
        """Refuse what cannot work."""
        check_port(name, self.port, lowest=0)
        check_bounds(name, max_connections=self.max_connections, header_timeout=self.header_timeout)
        if self.grace < 0:
            raise ValueError(f"{name}: grace must be 0 or more seconds, not {self.grace:g}")

    @property
    def target(self) -> str:
        """Where it listens, as described."""
        return str(Address(self.host or "*", self.port)) if self.port else f"{self.host or '*'}:0"


class Server:
    """An application that is served while the `async with` block lasts; see `http.serve`.

    `address` is where it listens, `url` the same as an address for clients.
    """

    address: Address

    def __init__(self, application: Application, options: ServerOptions, name: str) -> None:
        self._application = application
        self._options = options
        self._name = name
        self._tasks = Tasks()
        self._sockets: list[socket.socket] = []
        self._server: Any = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The root of what is served, such as `http://127.0.0.1:8000`."""
        scheme = "http" if self._options.tls is None else "https"
        return f"{scheme}://{self.address}"

    async def __aenter__(self) -> Server:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self, on_failure: Callable[[BaseException], None] | None = None) -> None:
        """Bind and begin to serve; `stop` has to be called also when this fails.

        Raises `ConnectorError`. `on_failure` hears of a server that ends by itself.
        """
        options = self._options
        uvicorn = await load_extra("uvicorn", "http", self._name)
        context = tls_context(options.tls)
        self._sockets = await _bind(options, self._name)
        self.address = Address(*self._sockets[0].getsockname()[:2])
        config = uvicorn.Config(
            self._application,
            log_config=None,
            limit_concurrency=options.max_connections,
            timeout_graceful_shutdown=options.grace,
        )
        await asyncio.to_thread(config.load)
        config.ssl = context
        config.http_protocol_class = _guarded(config.http_protocol_class, options.header_timeout)
        started = asyncio.Event()
        self._server = _embedded(uvicorn.Server, config, started)
        self._task = self._tasks.spawn(
            self._serve(), name=f"{self._name} server", on_done=lambda _: started.set()
        )
        await started.wait()
        if self._task.done():
            self._task.result()
        elif on_failure is not None:
            report = on_failure
            self._task.add_done_callback(lambda task: _report(task, report))
        log_event("info", "listening", operator=self._name, address=str(self.address))

    async def _serve(self) -> None:
        try:
            await self._server.serve(self._sockets)
        except SystemExit:
            pass
        if not self._server.started:
            raise ConnectorError(
                f"{self._name}: the application refused to start (its lifespan failed); the "
                "logger uvicorn.error says why"
            )

    async def stop(self) -> None:
        """Stop listening, give requests under way `grace` seconds to end, close everything."""
        try:
            if self._task is not None and not self._task.done():
                self._server.ask_to_stop()
                await asyncio.wait([self._task])
        finally:
            try:
                await self._tasks.close()
            finally:
                await self._release()
        if self._task is not None and not self._task.cancelled():
            self._task.result()

    async def _release(self) -> None:
        """Drop what a server that was interrupted, or ran out of patience, left open."""
        server = self._server
        if server is not None:
            for listening in getattr(server, "servers", ()):
                listening.close()
            tasks = list(server.server_state.tasks)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            for connection in list(server.server_state.connections):
                connection.transport.abort()
        for each in self._sockets:
            each.close()
        await let_transports_close()


def _report(task: asyncio.Task[None], report: Callable[[BaseException], None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        report(error)


async def _bind(options: ServerOptions, name: str) -> list[socket.socket]:
    """Sockets bound to every address of the host, all on one port."""
    loop = asyncio.get_running_loop()
    bound: list[socket.socket] = []
    port = options.port
    try:
        found = await loop.getaddrinfo(
            options.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                each = socket.socket(family, kind, protocol)
            except OSError:
                # An address family that this machine does not have.
                continue
            bound.append(each)
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind((address[0], port, *address[2:]))
            port = each.getsockname()[1]
        if not bound:
            raise OSError("no address of it is of a kind that this machine has")
    except OSError as error:
        for each in bound:
            each.close()
        raise ConnectorError(
            f"{name}: cannot listen on {options.target}: {reason(error)}{bind_hint(error)}"
        ) from error
    return bound


def _embedded(server_class: type[Any], config: Any, started: asyncio.Event) -> Any:
    """A uvicorn server that leaves signals alone, and neither polls nor waits to be polled."""

    class Embedded(server_class):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(config)
            self._asked = asyncio.Event()

        def ask_to_stop(self) -> None:
            self.should_exit = True
            self._asked.set()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if not self.started:
                return
            # Answers carry the date that a tick has noted.
            await self.on_tick(0)
            started.set()

        async def main_loop(self) -> None:
            while not await self.on_tick(0):
                try:
                    async with asyncio.timeout(_TICK_SECONDS):
                        await self._asked.wait()
                except TimeoutError:
                    pass

    return Embedded()


def _guarded(protocol_class: type[Any], seconds: float) -> type[Any]:
    """A protocol that hangs up on who does not complete the head of a request in time."""

    class Guarded(protocol_class):  # type: ignore[misc]
        _overdue: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, error: Exception | None) -> None:
            if self._overdue is not None:
                self._overdue.cancel()
            super().connection_lost(error)

        def _watch(self) -> None:
            if not hasattr(self, "cycle"):
                # Several requests at once on one connection (HTTP/2) have no such thing.
                return
            cycle = self.cycle
            waiting = cycle is None or cycle.response_complete
            if self._overdue is not None and not waiting:
                self._overdue.cancel()
                self._overdue = None
            elif self._overdue is None and waiting and not self.transport.is_closing():
                self._overdue = asyncio.get_running_loop().call_later(seconds, self._hang_up)

        def _hang_up(self) -> None:
            self._overdue = None
            self.transport.abort()

    return Guarded


@dataclass(frozen=True, kw_only=True)
class ListenSource(Source[Any]):
    """See `http.listen`."""

    ingest: IngestOptions
    server: ServerOptions
    on_listening: Callable[[Address], object] | None

    def __post_init__(self) -> None:
        self.ingest.check(self.label)
        self.server.check(self.label)

    @property
    def label(self) -> str:
        return "http.listen"

    @property
    def acknowledges(self) -> bool:
        return self.ingest.commits is not None

    @property
    def repeats(self) -> str:
        return REPEATS

    @property
    def replay_fix(self) -> str:
        return f'ack="commit" to it, or {super().replay_fix}'

    def details(self) -> dict[str, object]:
        described: dict[str, object] = {"on": self.server.target, **self.ingest.details()}
        if self.server.tls is not None:
            described["tls"] = True
        return described

    def reader(self, context: Context) -> ListenReader:
        return ListenReader(self, context)


class ListenReader(Reader[Any]):
    """One run's listening: an ingest and the server that serves it alone."""

    def __init__(self, source: ListenSource, context: Context) -> None:
        ingest = Ingest(source.ingest)
        self._reader = ingest_reader(ingest, context)
        self._on_listening = source.on_listening
        self._server = Server(ingest, source.server, context.name)

    async def open(self) -> None:
        await self._reader.open()
        await self._server.start(on_failure=self._reader.fail)
        if self._on_listening is not None:
            self._on_listening(self._server.address)

    async def read(self, limit: int) -> Signal[Any] | None:
        return await self._reader.read(limit)

    def stop(self) -> bool:
        return self._reader.stop()

    def position(self) -> Any:
        return self._reader.position()

    def committed(self, position: Any) -> None:
        self._reader.committed(position)

    async def close(self) -> None:
        await self._reader.close()
        await self._server.stop()
