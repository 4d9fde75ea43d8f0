from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ack_parts import PATIENCE, Client, Table, TableSink, until
from socket_parts import SECONDS, Gathered, Server, keep, listening, serving

import reactive as rx
from connectors import framing, unix
from connectors.unix import Peer

pytestmark = pytest.mark.any_loop


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inlet.sock"


async def send(path: Path, data: bytes) -> None:
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_clients_meet_in_one_stream_and_the_socket_file_goes_at_the_end(path):
    async with listening(unix.listen, path, mode=0o600) as inlet:
        assert inlet.address == (str(path), 0)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await asyncio.gather(*(send(path, b"%d\n" % client * 1000) for client in range(4)))
        items = await inlet.sink.reach(4000)
    assert sorted(items) == sorted(b"%d" % client for client in range(4) for _ in range(1000))
    assert not path.exists()


async def test_the_kernel_vouches_for_the_peer(path):
    async with listening(unix.listen, path, with_peer=True) as inlet:
        await send(path, b"x\n")
        ((peer, item),) = await inlet.sink.reach(1)
    assert item == b"x"
    assert peer == Peer("", 0, 1, os.getpid(), os.getuid())
    assert str(peer) == f"connection 1 (process {os.getpid()}, user {os.getuid()})"


LISTENER = """
import asyncio, sys
import reactive as rx
from connectors import unix
asyncio.run(unix.listen(sys.argv[1], on_listening=lambda _: print("up", flush=True)).collect())
"""


async def test_the_socket_of_a_killed_listener_is_replaced_but_not_of_a_living_one(path):
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LISTENER, str(path), stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    while await other.stdout.readline() != b"up\n":
        pass
    with pytest.raises(rx.ConnectorError, match="another program listens there; stop it or choose"):
        await unix.listen(path).collect()
    assert path.exists()
    other.send_signal(signal.SIGKILL)
    await other.wait()
    assert path.exists()
    async with listening(unix.listen, path) as inlet:
        await send(path, b"mine now\n")
        assert await inlet.sink.reach(1) == [b"mine now"]
    assert not path.exists()


async def test_other_files_are_left_alone(path):
    path.write_text("precious")
    with pytest.raises(rx.ConnectorError, match="there is a file that is no socket"):
        await unix.listen(path).collect()
    assert path.read_text() == "precious"


async def test_a_socket_that_somebody_else_put_there_meanwhile_is_left_alone(path):
    async with listening(unix.listen, path):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as theirs:
            theirs.bind(str(path))
    assert path.exists()


async def test_places_where_no_socket_can_be(tmp_path):
    with pytest.raises(rx.ConnectorError, match="No such file or directory"):
        await unix.listen(tmp_path / "missing" / "s").collect()
    with pytest.raises(rx.ConnectorError, match="has at most 107 bytes"):
        await unix.listen(tmp_path / ("x" * 120)).collect()
    with pytest.raises(rx.ConnectorError, match=r"cannot connect to .*No such file or directory"):
        await unix.connect(tmp_path / "nobody").collect()
    with pytest.raises(rx.ConnectorError, match=r"cannot connect to .*path too long"):
        await unix.connect(tmp_path / ("x" * 120)).collect()


async def test_a_torn_frame_is_counted_and_a_drain_ends(path):
    async with listening(unix.listen, path, framing=framing.netstring()) as inlet:
        await send(path, b"1:a,5:hel")
        await inlet.counted("connection_errors", 1)
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b"1:b,1:")
        await inlet.sink.reach(2)
        await asyncio.wait_for(inlet.run.stop(), SECONDS)
        writer.close()
    assert inlet.sink.items == [b"a", b"b"]
    assert inlet.counters()["unfinished_frames"] == 1


async def test_a_slow_pipeline_holds_the_sender_back(path):
    gate = asyncio.Event()
    async with listening(unix.listen, path, limit=100, pace=gate.wait) as inlet:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, str(path))
        line = b"x" * 999 + b"\n"
        sent = 0
        stalled = 0
        while stalled < 20:
            try:
                sent += client.send(line[sent % 1000 :])
                stalled = 0
            except BlockingIOError:
                stalled += 1
                await asyncio.sleep(0.005)
        assert sent < 8 << 20
        gate.set()
        await inlet.sink.reach(sent // 1000)
        client.close()


async def test_connecting_and_coming_back(path):
    async def one_line(reader, writer, server: Server) -> None:
        writer.write(b"line %d\n" % server.connections)
        await writer.drain()

    sink = Gathered()
    lines = unix.connect(path, reconnect=rx.Backoff(initial=0.001, maximum=0.01))
    async with rx.start(lines.to(sink)) as run:
        async with serving(one_line, path=str(path)):
            await sink.reach(3)
        await run.stop()
    assert sink.items[:3] == [b"line 1", b"line 2", b"line 3"]


async def test_writing(path):
    async with serving(keep, path=str(path)) as server:
        await rx.run(rx.range(10_000).map(lambda n: b"%d" % n).to(unix.write(path)))
        assert server.received == [b"".join(b"%d\n" % n for n in range(10_000))]


class TestAcknowledging:
    """As over TCP, by the same code: here that it is reached."""

    async def test_a_client_hears_what_is_committed(self, path, tmp_path):
        table = Table()
        bound = asyncio.Event()
        frames = unix.listen(path, ack="commit", on_listening=lambda _: bound.set())
        job = frames.map(int).to(TableSink(table))
        checkpoint = rx.Checkpoint(tmp_path / "state.db", every=1000)
        async with rx.start(job, checkpoint=checkpoint) as run:
            await bound.wait()
            for first in (0, 1):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(b"reactive-ack 1 a %d\n" % first)
                client = Client(reader, writer)
                client.send(*range(first, 3))
                client.writer.write_eof()
                await client.hears_of(3)
                assert await client.hears() is None
                writer.close()
            assert run.metrics()["unix.listen-numbers"].counters["repeated"] == 2
        assert table.items == [0, 1, 2]

    async def test_a_server_that_goes_and_comes_back(self, path, tmp_path):
        table = Table()
        job = unix.listen(path, ack="commit").map(int).to(TableSink(table))
        checkpoint = rx.Checkpoint(tmp_path / "state.db", every=1000)
        numbers = rx.range(3000).map(lambda n: b"%d" % n)
        retry = rx.Backoff(0.01, maximum=0.1)
        sink = unix.write(path, ack="commit", reconnect=retry, close_timeout=PATIENCE)
        async with rx.start(numbers.to(sink)) as sending:
            async with rx.start(job, checkpoint=checkpoint) as run:
                await until(lambda: bool(table.items))
                await run.stop(drain=False)
            committed = len(table.items)
            async with rx.start(job, checkpoint=checkpoint):
                await sending.wait()
        assert 0 < committed < 3000
        assert table.items == list(range(3000))

    async def test_what_cannot_work_is_refused(self, path):
        with pytest.raises(ValueError, match=r"unix\.listen: with ack=.* none may be skipped"):
            unix.listen(path, ack="commit", framing=framing.lines(oversize="skip"))
        with pytest.raises(ValueError, match=r'unix\.write: ack is "commit" or None'):
            unix.write(path, ack="yes")
        with pytest.raises(rx.PlanError, match=r"rx\.run\(job, checkpoint="):
            await rx.run(unix.listen(path, ack="commit").to(TableSink(Table())))
