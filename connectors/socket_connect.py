"""Reading from a server, and coming back to it when the connection is lost."""

from __future__ import annotations

import asyncio
import ssl
from abc import abstractmethod
from typing import Any

import anyio
from anyio.abc import ByteStream

from connectors.framing import Framing
from connectors.socket_inbox import InboxReader
from connectors.socket_intake import Intake
from connectors.sockets import (
    check_bounds,
    connection_error,
    describe_bounds,
    hang_up,
    keep_alive,
    let_transports_close,
    reason,
)
from reactive.backoff import Backoff
from reactive.context import Context
from reactive.endpoint import Source
from reactive.errors import ConnectorError, DecodeError, TruncatedError
from reactive.fast_dataclasses import dataclass
from reactive.log import log_event


class Dialer:
    """How a connection is made. A blueprint part, without state."""

    @property
    @abstractmethod
    def target(self) -> str:
        """What it connects to, as described."""

    @abstractmethod
    async def dial(self) -> ByteStream:
        """Connect."""


async def connect(dialer: Dialer, seconds: float, backoff: Backoff | None) -> ByteStream:
    """Connect within a time limit; what goes wrong names the target."""
    hint = "" if backoff else "; start the server first, or give reconnect=Backoff() to wait for it"
    try:
        async with asyncio.timeout(seconds):
            stream = await dialer.dial()
    except TimeoutError as error:
        raise ConnectorError(
            f"cannot connect to {dialer.target}: no answer within {seconds:g} s{hint}"
        ) from error
    except (OSError, ssl.CertificateError, ConnectorError) as error:
        why = reason(error)
        if isinstance(error, ConnectorError):
            hint = ""
        raise ConnectorError(f"cannot connect to {dialer.target}: {why}{hint}") from error
    keep_alive(stream)
    return stream


def hopeless(error: BaseException | None) -> bool:
    """Whether trying again cannot help: a certificate that is refused, bytes that do not fit the
    framing."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        if isinstance(error, DecodeError) and not isinstance(error, TruncatedError):
            return True
        error = error.__cause__
    return False


class Attempts:
    """Counts and spaces the attempts of one reader or writer, as its `Backoff` says."""

    def __init__(self, backoff: Backoff | None, dialer: Dialer, context: Context) -> None:
        self._backoff = backoff
        self._target = dialer.target
        self._context = context
        self.succeeded()

    def succeeded(self) -> None:
        """Something got through: begin with the shortest wait again."""
        self._delays = iter(()) if self._backoff is None else self._backoff.delays()
        self._failures = 0

    async def pause(self, error: Exception) -> None:
        """Wait before the next attempt, or raise what makes it pointless."""
        if self._backoff is None or hopeless(error):
            raise error
        self._failures += 1
        delay = next(self._delays, None)
        if delay is None:
            raise ConnectorError(
                f"gave up on {self._target} after {self._failures} failures in a row, "
                f"the last: {error}"
            ) from error
        self._context.meter.count("reconnects")
        log_event(
            "warning",
            "reconnecting",
            operator=self._context.name,
            error=str(error),
            seconds=round(delay, 3),
        )
        await asyncio.sleep(delay)


@dataclass(frozen=True, kw_only=True)
class ConnectSource(Source[Any], Dialer):
    """A blueprint of what reads from a server."""

    framing: Framing
    reconnect: Backoff | None
    connect_timeout: float
    idle_timeout: float | None
    limit: int
    limit_bytes: int

    def __post_init__(self) -> None:
        check_bounds(
            self.label,
            connect_timeout=self.connect_timeout,
            idle_timeout=self.idle_timeout,
            limit=self.limit,
            limit_bytes=self.limit_bytes,
        )

    def details(self) -> dict[str, object]:
        described: dict[str, object] = {
            "to": self.target,
            "framing": self.framing.name,
            "max_frame": self.framing.max_frame,
            **describe_bounds(self.limit, self.limit_bytes),
        }
        if self.idle_timeout is not None:
            described["idle_timeout"] = f"{self.idle_timeout:g} s"
        if self.reconnect is not None:
            described["reconnect"] = self.reconnect
        return described

    def reader(self, context: Context) -> ConnectReader:
        return ConnectReader(self, context)


class ConnectReader(InboxReader):
    """One run's reading from a server."""

    def __init__(self, source: ConnectSource, context: Context) -> None:
        super().__init__(context, source.limit, source.limit_bytes, "raise")
        self._source = source
        self._attempts = Attempts(source.reconnect, source, context)
        self._stream: ByteStream | None = None
        self._intake: Intake | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def open(self) -> None:
        """Connect; with `reconnect`, that is left to the reading, so that others can begin."""
        source = self._source
        if source.reconnect is None:
            self._stream = await connect(source, source.connect_timeout, None)
        self._task = self._tasks.spawn(
            self._read(), name=f"{source.label} {source.target}", on_done=self._done
        )

    async def _read(self) -> None:
        source = self._source
        while self._stream is not None or not self._stopping:
            orderly = False
            try:
                if self._stream is None:
                    self._stream = await connect(source, source.connect_timeout, source.reconnect)
                await self._take_in(self._stream)
                orderly = True
                lost: Exception = ConnectorError(f"{source.target} closed the connection")
            except (ConnectorError, OSError, anyio.BrokenResourceError) as error:
                lost = connection_error(source.target, error) if self._stream else error
            finally:
                await self._hang_up(politely=orderly)
            if orderly and source.reconnect is None:
                return
            if not self._stopping:
                await self._attempts.pause(lost)

    async def _take_in(self, stream: ByteStream) -> None:
        source = self._source
        self._meter.count("connections")
        self._intake = intake = Intake(
            stream,
            source.framing.decoder(),
            self._inbox,
            self._meter,
            idle_timeout=source.idle_timeout,
            wrap=None,
        )
        if self._stopping:
            intake.drain()
        try:
            await intake.run()
        finally:
            self._intake = None
            if intake.progressed:
                self._attempts.succeeded()

    async def _hang_up(self, *, politely: bool) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await hang_up(stream, politely=politely)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            self._inbox.end()
        else:
            self._inbox.fail(error)

    def stop(self) -> bool:
        """Give what has come, then end."""
        self._stopping = True
        if self._intake is not None:
            self._intake.drain()
        elif self._task is not None:
            self._task.cancel()
        return True

    async def close(self) -> None:
        """Close the connection and wait for the task that reads it."""
        try:
            await super().close()
        finally:
            await self._hang_up(politely=False)
            await let_transports_close()
