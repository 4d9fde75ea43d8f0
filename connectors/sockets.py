"""What the socket connectors share: who sent an item, clear errors, TLS, closing."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream

from reactive.errors import ConnectorError, DecodeError

T = TypeVar("T")

BLOCK = 1 << 18
LIMIT = 4096
LIMIT_BYTES = 8 << 20
FAREWELL_SECONDS = 1.0

TLS: TypeAlias = ssl.SSLContext | Callable[[], ssl.SSLContext]

_CREDENTIALS = struct.Struct("3i")


class Address(NamedTuple):
    """Where something listens. `port` is 0 and `host` a path for unix sockets."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Peer(NamedTuple):
    """Who sent an item.

    `connection` counts the connections of one run from 1, and tells apart two from the same host
    and port; it is 0 for datagrams. On unix sockets `host` is empty and the port 0, and the
    kernel vouches for `process` and `user` (their ids, where the system tells them).
    """

    host: str
    port: int
    connection: int = 0
    process: int | None = None
    user: int | None = None

    def __str__(self) -> str:
        if self.port:
            return str(Address(self.host, self.port))
        who = f"connection {self.connection}"
        return who if self.process is None else f"{who} (process {self.process}, user {self.user})"


class Received(NamedTuple, Generic[T]):
    """An item and who sent it."""

    peer: Peer
    item: T


def plain_host(host: str) -> str:
    """An IPv4 address as such, also where it came through a socket that listens on both."""
    return host.removeprefix("::ffff:") if "." in host else host


def peer_of(stream: ByteStream, connection: int) -> Peer:
    """The other end of a connection, as far as the system still knows it."""
    raw = stream.extra(SocketAttribute.raw_socket)
    try:
        if stream.extra(SocketAttribute.family) is socket.AddressFamily.AF_UNIX:
            if not hasattr(socket, "SO_PEERCRED"):
                return Peer("", 0, connection)
            packed = raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            process, user, _ = _CREDENTIALS.unpack(packed)
            return Peer("", 0, connection, process, user)
        name = raw.getpeername()
        return Peer(plain_host(name[0]), name[1], connection)
    except OSError:
        # It hung up between connecting and being looked at.
        return Peer("", 0, connection)


def keep_alive(stream: ByteStream) -> None:
    """Let the kernel find out about peers that vanished without a word."""
    raw = stream.extra(SocketAttribute.raw_socket)
    if stream.extra(SocketAttribute.family) is not socket.AddressFamily.AF_UNIX:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def reason(error: BaseException) -> str:
    """An I/O error in the words of the system, without the wrapping around it."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(map(reason, error.exceptions)))
    cause = error.__cause__
    generic = isinstance(error, anyio.BrokenResourceError) or (
        isinstance(error, OSError) and error.errno is None
    )
    if cause is not None and generic:
        return reason(cause)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verification failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, OSError) and error.errno is not None:
        # The words of event loops differ; name resolution has negative numbers and its own words.
        return os.strerror(error.errno) if error.errno > 0 else error.strerror or str(error)
    if isinstance(error, anyio.BrokenResourceError):
        return "the connection broke"
    return str(error) or type(error).__name__


def bind_hint(error: OSError) -> str:
    """What to do about an address that cannot be bound."""
    if error.errno == errno.EADDRINUSE:
        return "; stop what listens there, choose another port, or 0 for any free one"
    if error.errno == errno.EACCES:
        return "; ports below 1024 need special rights"
    if error.errno == errno.EADDRNOTAVAIL:
        return "; it is no address of this machine"
    return ""


def connection_error(prefix: str, error: Exception) -> ConnectorError:
    """The same failure, of the same kind, with the peer named in front."""
    if isinstance(error, DecodeError):
        named: ConnectorError = type(error)(f"{prefix}: {error}")
    elif isinstance(error, ConnectorError):
        named = ConnectorError(f"{prefix}: {error}")
    else:
        named = ConnectorError(f"{prefix}: {reason(error)}")
    named.__cause__ = error
    return named


def tls_context(tls: TLS | bool | None) -> ssl.SSLContext | None:
    """The context to use: the one given, the one a factory makes, or the system's default."""
    if tls is None or tls is False:
        return None
    if tls is True:
        context = ssl.create_default_context()
        # A peer that just drops the connection must not pass for one that said it was done.
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        return context
    return tls if isinstance(tls, ssl.SSLContext) else tls()


async def handshake(
    stream: ByteStream, context: ssl.SSLContext, *, hostname: str | None, seconds: float | None
) -> TLSStream:
    """Do the TLS handshake, as server when `hostname` is None; closes nothing."""
    try:
        async with asyncio.timeout(seconds):
            return await TLSStream.wrap(
                stream, server_side=hostname is None, hostname=hostname, ssl_context=context
            )
    except TimeoutError as error:
        raise ConnectorError(f"the TLS handshake took longer than {seconds:g} s") from error
    except (OSError, ssl.CertificateError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        raise ConnectorError(f"the TLS handshake failed: {reason(error)}") from error


async def hang_up(stream: ByteStream, *, politely: bool) -> None:
    """Close a connection; politely, a TLS peer is told, and waited for at most a second."""
    if isinstance(stream, TLSStream):
        try:
            if politely:
                async with asyncio.timeout(FAREWELL_SECONDS):
                    await stream.unwrap()
        except (TimeoutError, OSError, anyio.BrokenResourceError, anyio.EndOfStream):
            # What matters was read or written before; this was only the goodbye.
            pass
        finally:
            await stream.transport_stream.aclose()
    else:
        await stream.aclose()


async def let_transports_close() -> None:
    """Event loops close the sockets of their transports a turn or two after being asked to."""
    for _ in range(3):
        await asyncio.sleep(0)


def describe_bounds(limit: int, limit_bytes: int) -> dict[str, Any]:
    """For `Source.details`."""
    return {"limit": f"{limit} items, {limit_bytes} bytes"}


def check_bounds(name: str, **values: float | None) -> None:
    """Refuse bounds that cannot work, when the pipeline is described."""
    for parameter, value in values.items():
        if value is not None and value <= 0:
            raise ValueError(f"{name}: {parameter} must be above 0, not {value:g}")


def check_port(name: str, port: int, *, lowest: int) -> None:
    """Refuse what is no port."""
    if not lowest <= port <= 65535:
        raise ValueError(f"{name}: the port must lie between {lowest} and 65535, not {port}")
