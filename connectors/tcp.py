"""TCP: a stream of what clients send, of what a server sends, and a sink that sends.

```python
from connectors import tcp

async for line in tcp.listen("127.0.0.1", 9000, idle_timeout=60):
    print(line)
```

`framing` cuts each connection's bytes into items; see `connectors.framing`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast, overload

import anyio
from anyio.abc import ByteStream, SocketListener

import reactive as rx
from connectors.framing import Framing
from connectors.framing import lines as _lines
from connectors.socket_ack_writing import AckConnectSink
from connectors.socket_acks import AckListenSource, ack_options, check_ack, listening
from connectors.socket_connect import ConnectSource, Dialer
from connectors.socket_inbox import ConnectionPolicy
from connectors.sockets import (
    LIMIT,
    LIMIT_BYTES,
    TLS,
    Address,
    Peer,
    Received,
    bind_hint,
    check_bounds,
    check_port,
    handshake,
    reason,
    tls_context,
)
from reactive.backoff import Backoff
from reactive.endpoint import Sink
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass
from reactive.stream import Stream

__all__ = ["Address", "Peer", "Received", "connect", "listen", "write"]

_LINES = _lines()


@dataclass(frozen=True, kw_only=True)
class TcpListen(AckListenSource):
    """See `listen`."""

    host: str | None
    port: int
    backlog: int
    reuse_port: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bounds(self.label, backlog=self.backlog)
        check_port(self.label, self.port, lowest=0)

    @property
    def label(self) -> str:
        return "tcp.listen"

    @property
    def target(self) -> str:
        return _target(self.host or "*", self.port)

    async def bind(self) -> tuple[Sequence[SocketListener], Callable[[], None]]:
        try:
            bound = await anyio.create_tcp_listener(
                local_host=self.host,
                local_port=self.port,
                backlog=self.backlog,
                reuse_port=self.reuse_port,
            )
        except OSError as error:
            raise ConnectorError(
                f"cannot listen on {self.target}: {reason(error)}{bind_hint(error)}"
            ) from error
        return cast("Sequence[SocketListener]", bound.listeners), lambda: None


@dataclass(frozen=True, kw_only=True)
class TcpDialer(Dialer):
    """Connects to a host, with TLS if asked to."""

    host: str
    port: int
    tls: TLS | bool | None
    server_hostname: str | None

    @property
    def target(self) -> str:
        return _target(self.host, self.port)

    async def dial(self) -> ByteStream:
        context = tls_context(self.tls)
        stream = await anyio.connect_tcp(self.host, self.port)
        if context is None:
            return stream
        try:
            hostname = self.server_hostname or self.host
            return await handshake(stream, context, hostname=hostname, seconds=None)
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise


@dataclass(frozen=True, kw_only=True)
class TcpConnect(TcpDialer, ConnectSource):
    """See `connect`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_port(self.label, self.port, lowest=1)

    @property
    def label(self) -> str:
        return "tcp.connect"


@dataclass(frozen=True, kw_only=True)
class TcpWrite(TcpDialer, AckConnectSink):
    """See `write`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_port(self.label, self.port, lowest=1)

    @property
    def label(self) -> str:
        return "tcp.write"


def _target(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@overload
def listen(
    host: str | None,
    port: int,
    *,
    framing: Framing = ...,
    with_peer: Literal[False] = ...,
    max_connections: int = ...,
    idle_timeout: float | None = ...,
    limit: int = ...,
    limit_bytes: int = ...,
    on_connection_error: ConnectionPolicy = ...,
    on_listening: Callable[[Address], object] | None = ...,
    tls: TLS | None = ...,
    handshake_timeout: float = ...,
    backlog: int = ...,
    reuse_port: bool = ...,
    ack: Literal["commit"] | None = ...,
    commit_within: float = ...,
    remember_senders: float = ...,
) -> Stream[bytes]: ...


@overload
def listen(
    host: str | None,
    port: int,
    *,
    framing: Framing = ...,
    with_peer: Literal[True],
    max_connections: int = ...,
    idle_timeout: float | None = ...,
    limit: int = ...,
    limit_bytes: int = ...,
    on_connection_error: ConnectionPolicy = ...,
    on_listening: Callable[[Address], object] | None = ...,
    tls: TLS | None = ...,
    handshake_timeout: float = ...,
    backlog: int = ...,
    reuse_port: bool = ...,
    ack: Literal["commit"] | None = ...,
    commit_within: float = ...,
    remember_senders: float = ...,
) -> Stream[Received[bytes]]: ...


def listen(
    host: str | None,
    port: int,
    *,
    framing: Framing = _LINES,
    with_peer: bool = False,
    max_connections: int = 1000,
    idle_timeout: float | None = None,
    limit: int = LIMIT,
    limit_bytes: int = LIMIT_BYTES,
    on_connection_error: ConnectionPolicy = "count",
    on_listening: Callable[[Address], object] | None = None,
    tls: TLS | None = None,
    handshake_timeout: float = 10.0,
    backlog: int = 1024,
    reuse_port: bool = False,
    ack: Literal["commit"] | None = None,
    commit_within: float = 0.02,
    remember_senders: float = 86_400.0,
) -> Stream[Any]:
    """Listen on TCP: the frames of all clients as one stream.

    Emits frames as they come, in order for each connection; connections mix.
    Backpressures: at most `limit` frames of together at most `limit_bytes` bytes wait for the
    pipeline; past that, connections are not read, and TCP makes their clients wait.
    Completes never by itself. A drain (`run.stop()`) stops to accept, gives what has come, and
    ends; the frame that a client was in the middle of is not given (`unfinished_frames`).
    Loses nothing of what clients completed.

    `host` is an address or a name of this machine, None for all its addresses; `port` 0 takes any
    free port. `on_listening` is called with the `Address` once it is bound.
    `with_peer` gives `Received(peer, item)`.
    `max_connections` are served at once; more wait in the kernel's queue (`backlog`), not
    accepted, until one closes (`connection_limit_reached`).
    `idle_timeout` closes a connection on which no frame was completed for that many seconds; time
    it waited for the pipeline does not count.
    `tls` is a server's `ssl.SSLContext` with its certificate, or a function that makes one (which
    pickles); `handshake_timeout` in seconds.

    A connection that breaks, ends inside a frame, sends what is no frame, fails its handshake or
    idles too long is closed, counted (`connection_errors`) and logged; others are not touched.
    `on_connection_error="raise"` ends the stream with its `ConnectorError` instead (a
    `DecodeError` for malformed frames), and a `rx.SideOutput` gets a `DeadLetter` whose item is
    the `Peer`. Raises `ConnectorError` at the start when the address cannot be bound.

    With `ack="commit"`, in a run with checkpoints (else `rx.PlanError`), clients are told which of
    their frames are committed at every sink, and send again what is not. A client begins with the
    line `reactive-ack 1 NAME FIRST`: a name of its own, up to 128 characters without spaces, and
    the number of the first frame that it sends on this connection; its first ever is number 0.
    Now and then it gets a line with a number: all frames below it are committed. After a broken
    connection it sends again from there. Frames that were given before are known by their
    numbers and left out, also after a crash; names are forgotten after `remember_senders`
    seconds of silence. Frames that wait share a checkpoint, which begins `commit_within` seconds
    after the first. A client that sends no more closes its side, and is hung up on once it was
    told of all. A drain commits what was taken, and tells.

    ```python
    BAD = rx.SideOutput[rx.DeadLetter[tcp.Peer]]("bad")
    orders = tcp.listen("127.0.0.1", 9000, on_connection_error=BAD).map(orjson.loads)
    await rx.run(orders.to(files.write_jsonl("orders.jsonl")), BAD.to(memory.call(print)))
    ```
    """
    return listening(
        TcpListen(
            host=host,
            port=port,
            framing=framing,
            with_peer=with_peer,
            max_connections=max_connections,
            idle_timeout=idle_timeout,
            limit=limit,
            limit_bytes=limit_bytes,
            on_connection_error=on_connection_error,
            on_listening=on_listening,
            tls=tls,
            handshake_timeout=handshake_timeout,
            backlog=backlog,
            reuse_port=reuse_port,
            acks=ack_options("tcp.listen", ack, commit_within, remember_senders),
        )
    )


def connect(
    host: str,
    port: int,
    *,
    framing: Framing = _LINES,
    reconnect: Backoff | None = None,
    connect_timeout: float = 10.0,
    idle_timeout: float | None = None,
    limit: int = LIMIT,
    limit_bytes: int = LIMIT_BYTES,
    tls: TLS | bool | None = None,
    server_hostname: str | None = None,
) -> Stream[bytes]:
    """Connect to a TCP server: the frames it sends.

    Emits frames as they come.
    Backpressures: as `listen`; the server waits.
    Completes when the server closes the connection; with `reconnect`, never by itself.
    Loses, with `reconnect`, what the server sends while nobody is connected, and a frame that the
    break cut in two.

    Without `reconnect`, a server that is not there, a connection that breaks or ends inside a
    frame, and `idle_timeout` seconds without a complete frame are a `ConnectorError`. With it,
    the connection is made again after each of them, and after the server closed it; the waits
    begin anew once a frame came. When its attempts are used up, a `ConnectorError` names the last
    failure. Malformed frames (`DecodeError`) and certificates that are refused are raised at once
    in either case. Counted as `reconnects`.
    `tls` is True for the system's certificates, an `ssl.SSLContext`, or a function that makes
    one; `server_hostname` is the name its certificate must have, if it is not `host`.
    `connect_timeout` in seconds, TLS included.

    ```python
    ticks = tcp.connect("ticker.example", 5000, reconnect=rx.Backoff(maximum=5))
    ```
    """
    return rx.from_source(
        TcpConnect(
            host=host,
            port=port,
            framing=framing,
            reconnect=reconnect,
            connect_timeout=connect_timeout,
            idle_timeout=idle_timeout,
            limit=limit,
            limit_bytes=limit_bytes,
            tls=tls,
            server_hostname=server_hostname,
        )
    )


def write(
    host: str,
    port: int,
    *,
    framing: Framing = _LINES,
    reconnect: Backoff | None = None,
    connect_timeout: float = 10.0,
    close_timeout: float = 5.0,
    tls: TLS | bool | None = None,
    server_hostname: str | None = None,
    ack: Literal["commit"] | None = None,
) -> Sink[bytes]:
    """Send each item as one frame to a TCP server.

    Backpressures while the server does not read.
    At the end it says so to the server and waits until that has closed too, at most
    `close_timeout` seconds. What the server sends is read and dropped (`bytes_ignored`).
    Loses, when a connection breaks, what the kernel had taken and the server had not read, for
    TCP does not tell; with `reconnect`, the items being sent are sent again on the new
    connection, so that the server may get some of them twice. Where neither will do, there are
    acknowledgements.

    With `ack="commit"`, for a server that gives them as `tcp.listen(ack="commit")` does, frames are
    kept until it says that they are committed, about a thousand at most, and sent again on the next
    connection; it knows them by their numbers. Loses nothing, and within a run the server has each
    frame once. A run that goes on from a checkpoint sends again what came after it: at least once.
    At the end, frames that are not acknowledged within `close_timeout` are a `ConnectorError`.

    A server that cannot be reached, or closes the connection while there are items, is a
    `ConnectorError`; with `reconnect`, one that stays away longer than the attempts last. Items
    that the framing cannot carry raise what `Framing.encode` raises.
    `tls`, `server_hostname`, `connect_timeout` as in `connect`.

    ```python
    await rx.run(orders.map(orjson.dumps).to(tcp.write("127.0.0.1", 9000)))
    ```
    """
    return TcpWrite(
        host=host,
        port=port,
        framing=framing,
        reconnect=reconnect,
        connect_timeout=connect_timeout,
        close_timeout=close_timeout,
        tls=tls,
        server_hostname=server_hostname,
        acknowledged=check_ack("tcp.write", ack),
    )
