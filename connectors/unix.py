"""Unix sockets: as `connectors.tcp`, between processes of one machine.

from connectors import unix

lines = unix.listen("/run/user/1000/ingest.sock", mode=0o600)
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import anyio
from anyio.abc import ByteStream, SocketListener

import reactive as rx
from connectors.framing import Framing
from connectors.framing import lines as _lines
from connectors.socket_ack_writing import AckConnectSink
from connectors.socket_acks import AckListenSource, ack_options, check_ack, listening
from connectors.socket_connect import ConnectSource, Dialer
from connectors.socket_inbox import ConnectionPolicy
from connectors.sockets import LIMIT, LIMIT_BYTES, Address, Peer, Received, reason
from reactive.backoff import Backoff
from reactive.endpoint import Sink
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass
from reactive.log import log_event
from reactive.stream import Stream

__all__ = ["Address", "Peer", "Received", "connect", "listen", "write"]

_LINES = _lines()
_LONGEST_PATH = 107


@dataclass(frozen=True, kw_only=True)
class UnixListen(AckListenSource):
    """See `listen`."""

    path: str
    mode: int | None

    @property
    def label(self) -> str:
        return "unix.listen"

    @property
    def target(self) -> str:
        return self.path

    async def bind(self) -> tuple[Sequence[SocketListener], Callable[[], None]]:
        try:
            self._make_way()
            listener = await anyio.create_unix_listener(self.path, mode=self.mode)
        except OSError as error:
            why = _reason(self.path, error)
            raise ConnectorError(f"cannot listen on {self.path}: {why}") from error
        made = _identity(self.path)

        def remove() -> None:
            if made is not None and _identity(self.path) == made:
                Path(self.path).unlink(missing_ok=True)

        return [listener], remove

    def _make_way(self) -> None:
        """Remove the socket file of a listener that is gone, and nothing else."""
        try:
            mode = os.lstat(self.path).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ConnectorError(
                f"cannot listen on {self.path}: there is a file that is no socket; "
                "remove it or choose another path"
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(self.path)
            except ConnectionRefusedError:
                log_event("info", "stale_socket_removed", path=self.path)
                Path(self.path).unlink(missing_ok=True)
                return
            except BlockingIOError:
                pass
        raise ConnectorError(
            f"cannot listen on {self.path}: another program listens there; "
            "stop it or choose another path"
        )


@dataclass(frozen=True, kw_only=True)
class UnixDialer(Dialer):
    """Connects to a socket file."""

    path: str

    @property
    def target(self) -> str:
        return self.path

    async def dial(self) -> ByteStream:
        return await anyio.connect_unix(self.path)


@dataclass(frozen=True, kw_only=True)
class UnixConnect(UnixDialer, ConnectSource):
    """See `connect`."""

    @property
    def label(self) -> str:
        return "unix.connect"


@dataclass(frozen=True, kw_only=True)
class UnixWrite(UnixDialer, AckConnectSink):
    """See `write`."""

    @property
    def label(self) -> str:
        return "unix.write"


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _reason(path: str, error: OSError) -> str:
    if len(os.fsencode(path)) > _LONGEST_PATH:
        return f"the path of a unix socket has at most {_LONGEST_PATH} bytes"
    return reason(error)


@overload
def listen(
    path: str | os.PathLike[str],
    *,
    mode: int | None = ...,
    framing: Framing = ...,
    with_peer: Literal[False] = ...,
    max_connections: int = ...,
    idle_timeout: float | None = ...,
    limit: int = ...,
    limit_bytes: int = ...,
    on_connection_error: ConnectionPolicy = ...,
    on_listening: Callable[[Address], object] | None = ...,
    ack: Literal["commit"] | None = ...,
    commit_within: float = ...,
    remember_senders: float = ...,
) -> Stream[bytes]: ...


@overload
def listen(
    path: str | os.PathLike[str],
    *,
    mode: int | None = ...,
    framing: Framing = ...,
    with_peer: Literal[True],
    max_connections: int = ...,
    idle_timeout: float | None = ...,
    limit: int = ...,
    limit_bytes: int = ...,
    on_connection_error: ConnectionPolicy = ...,
    on_listening: Callable[[Address], object] | None = ...,
    ack: Literal["commit"] | None = ...,
    commit_within: float = ...,
    remember_senders: float = ...,
) -> Stream[Received[bytes]]: ...


def listen(
    path: str | os.PathLike[str],
    *,
    mode: int | None = None,
    framing: Framing = _LINES,
    with_peer: bool = False,
    max_connections: int = 1000,
    idle_timeout: float | None = None,
    limit: int = LIMIT,
    limit_bytes: int = LIMIT_BYTES,
    on_connection_error: ConnectionPolicy = "count",
    on_listening: Callable[[Address], object] | None = None,
    ack: Literal["commit"] | None = None,
    commit_within: float = 0.02,
    remember_senders: float = 86_400.0,
) -> Stream[Any]:
    """Listen on a unix socket: the frames of all clients as one stream.

    Emits, backpressures, completes, loses and counts as `tcp.listen`; the parameters are the
    same where they have the same name: `ack="commit"` tells clients what is committed, in the same
    way. With `with_peer`, the kernel vouches for the process and user of the `Peer`.

    `path` is made with the permissions `mode` (those of the umask if None) and removed at the
    end. The socket file of a listener that is gone, left by a crash, is replaced; one where
    somebody listens, or any other file, is left alone and is a `ConnectorError`.

    ```python
    requests = unix.listen("/run/app/ingest.sock", mode=0o600, with_peer=True)
    ```
    """
    return listening(
        UnixListen(
            path=os.fspath(path),
            mode=mode,
            framing=framing,
            with_peer=with_peer,
            max_connections=max_connections,
            idle_timeout=idle_timeout,
            limit=limit,
            limit_bytes=limit_bytes,
            on_connection_error=on_connection_error,
            on_listening=on_listening,
            acks=ack_options("unix.listen", ack, commit_within, remember_senders),
        )
    )


def connect(
    path: str | os.PathLike[str],
    *,
    framing: Framing = _LINES,
    reconnect: Backoff | None = None,
    connect_timeout: float = 10.0,
    idle_timeout: float | None = None,
    limit: int = LIMIT,
    limit_bytes: int = LIMIT_BYTES,
) -> Stream[bytes]:
    """Connect to a unix socket: the frames its server sends. In all else as `tcp.connect`.

    events = unix.connect("/run/app/events.sock", reconnect=Backoff())
    """
    return rx.from_source(
        UnixConnect(
            path=os.fspath(path),
            framing=framing,
            reconnect=reconnect,
            connect_timeout=connect_timeout,
            idle_timeout=idle_timeout,
            limit=limit,
            limit_bytes=limit_bytes,
        )
    )


def write(
    path: str | os.PathLike[str],
    *,
    framing: Framing = _LINES,
    reconnect: Backoff | None = None,
    connect_timeout: float = 10.0,
    close_timeout: float = 5.0,
    ack: Literal["commit"] | None = None,
) -> Sink[bytes]:
    """Send each item as one frame to a unix socket. In all else as `tcp.write`.

    await rx.run(lines.to(unix.write("/run/app/ingest.sock")))
    """
    return UnixWrite(
        path=os.fspath(path),
        framing=framing,
        reconnect=reconnect,
        connect_timeout=connect_timeout,
        close_timeout=close_timeout,
        acknowledged=check_ack("unix.write", ack),
    )
