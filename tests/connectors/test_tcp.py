from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import ssl
import subprocess
import sys
import time

import cloudpickle
import psutil
import pytest
import trustme
from socket_parts import (
    SECONDS,
    Certificates,
    Gathered,
    Server,
    connected,
    keep,
    listening,
    reset,
    send,
    serving,
    until,
)

import reactive as rx
from connectors import framing, tcp
from connectors.tcp import Peer, Received

pytestmark = pytest.mark.any_loop

LOCAL = ("127.0.0.1", 0)


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates(trustme.CA())


async def test_all_clients_meet_in_one_stream_each_in_its_order():
    async with listening(tcp.listen, *LOCAL) as inlet:
        await asyncio.gather(
            *(
                send(inlet.address, b"".join(b"%d %d\n" % (client, n) for n in range(2000)))
                for client in range(8)
            )
        )
        items = await inlet.sink.reach(16000)
    assert len(items) == 16000
    for client in range(8):
        own = [item for item in items if item.startswith(b"%d " % client)]
        assert own == [b"%d %d" % (client, n) for n in range(2000)]
    assert inlet.counters() == {"connections": 8}
    assert inlet.sink.finished


async def test_iterating_and_leaving_closes_every_connection():
    bound = asyncio.get_running_loop().create_future()
    lines = tcp.listen(*LOCAL, on_listening=bound.set_result)

    async def client() -> bytes:
        reader, writer = await asyncio.open_connection(*await bound)
        writer.write(b"hello\n")
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    sender = asyncio.create_task(client())
    async with lines.open() as items:
        async for item in items:
            assert item == b"hello"
            break
    assert await asyncio.wait_for(sender, SECONDS) == b""
    with pytest.raises(OSError):
        await asyncio.open_connection(*bound.result())


async def test_one_blueprint_runs_twice_at_once():
    bound: asyncio.Queue[tcp.Address] = asyncio.Queue()
    lines = tcp.listen(*LOCAL, on_listening=bound.put_nowait)
    runs = [asyncio.create_task(rx.run(lines.take(2).to(Gathered()))) for _ in range(2)]
    for _ in runs:
        await send(await bound.get(), b"1\n2\n")
    await asyncio.wait_for(asyncio.gather(*runs), SECONDS)


async def test_items_come_with_their_peer_on_request():
    async with listening(tcp.listen, *LOCAL, with_peer=True) as inlet:
        first, second = await connected(inlet.address), await connected(inlet.address)
        with first, second:
            for client in (first, second):
                await asyncio.get_running_loop().sock_sendall(client, b"x\n")
                await inlet.sink.reach(1 if client is first else 2)
            assert inlet.sink.items == [
                Received(Peer("127.0.0.1", first.getsockname()[1], 1), b"x"),
                Received(Peer("127.0.0.1", second.getsockname()[1], 2), b"x"),
            ]
            assert str(inlet.sink.items[0].peer) == f"127.0.0.1:{first.getsockname()[1]}"


async def test_every_family_of_a_name_gets_the_same_port():
    async with listening(tcp.listen, "localhost", 0, with_peer=True) as inlet:
        await send(("127.0.0.1", inlet.address.port), b"4\n")
        assert (await inlet.sink.reach(1))[0].item == b"4"


async def test_all_addresses_and_plain_ipv4_peers():
    async with listening(tcp.listen, None, 0, with_peer=True) as inlet:
        await send(("127.0.0.1", inlet.address.port), b"4\n")
        assert (await inlet.sink.reach(1))[0].peer.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("form", "data", "good", "message"),
    [
        (framing.lines(), b"a\nb\nc", [b"a", b"b"], "the bytes ended inside the frame from byte 4"),
        (framing.lines(max_frame=3), b"a\nlong one\nc\n", [b"a"], "longer than max_frame=3"),
        (framing.netstring(), b"1:a,GET /", [b"a"], "b'G' is no part of a decimal length"),
        (framing.length_prefixed(4), b"\0\0\0\1a\x40\0\0\0", [b"a"], "has 1073741824 bytes"),
    ],
)
async def test_what_a_broken_connection_gave_before_is_kept_and_others_go_on(
    form, data, good, message
):
    bad = rx.SideOutput[rx.DeadLetter[Peer]]("bad")
    async with listening(tcp.listen, *LOCAL, framing=form, side=bad) as inlet:
        healthy = await connected(inlet.address)
        with healthy:
            await send(inlet.address, data)
            (letter,) = await inlet.letters.reach(1)
            await asyncio.get_running_loop().sock_sendall(healthy, form.encode([b"ok"]))
            assert await inlet.sink.reach(len(good) + 1) == [*good, b"ok"]
    assert inlet.counters()["connection_errors"] == 1
    assert isinstance(letter.item, Peer)
    assert letter.operator == "inlet"
    assert isinstance(letter.error, rx.DecodeError)
    assert message in str(letter.error)
    assert str(letter.error).startswith(f"connection from {letter.item}: ")


async def test_a_reset_in_the_middle_of_a_frame_is_counted():
    bad = rx.SideOutput[rx.DeadLetter[Peer]]("bad")
    async with listening(tcp.listen, *LOCAL, side=bad) as inlet:
        client = await connected(inlet.address)
        await asyncio.get_running_loop().sock_sendall(client, b"whole\nhal")
        await inlet.sink.reach(1)
        reset(client)
        (letter,) = await inlet.letters.reach(1)
    assert inlet.sink.items == [b"whole"]
    assert "the connection broke with 3 bytes of a frame received" in str(letter.error)


async def test_a_reset_between_frames_is_counted():
    async with listening(tcp.listen, *LOCAL) as inlet:
        client = await connected(inlet.address)
        await asyncio.get_running_loop().sock_sendall(client, b"whole\n")
        await inlet.sink.reach(1)
        reset(client)
        await inlet.counted("connection_errors", 1)
    assert inlet.sink.items == [b"whole"]


async def test_raise_ends_the_stream_after_what_came_before():
    lines = tcp.listen(
        *LOCAL,
        framing=framing.lines(max_frame=4),
        on_connection_error="raise",
        on_listening=lambda address: clients.append(
            asyncio.get_running_loop().create_task(send(address, b"one\ntwo\nthree\n"))
        ),
    )
    clients: list[asyncio.Task[None]] = []
    seen: list[bytes] = []
    named = r"connection from 127\.0\.0\.1:\d+: frame 3 "
    with pytest.raises(rx.FrameTooLongError, match=named) as error:
        await lines.tap(seen.append).count()
    assert seen == [b"one", b"two"]
    assert any("tcp.listen" in note and __file__ in note for note in error.value.__notes__)
    await asyncio.gather(*clients)


async def test_oversize_frames_can_be_skipped_and_are_counted_as_they_come():
    form = framing.lines(max_frame=4, oversize="skip")
    async with listening(tcp.listen, *LOCAL, framing=form) as inlet:
        client = await connected(inlet.address)
        with client:
            await asyncio.get_running_loop().sock_sendall(client, b"one\nthree\ntwo\n")
            assert await inlet.sink.reach(2) == [b"one", b"two"]
            assert inlet.counters()["frames_skipped"] == 1


async def test_a_frame_of_a_gigabyte_does_not_grow_memory():
    """Two clients begin frames of a gigabyte that are skipped, and send 256 MB of each."""
    form = framing.length_prefixed(4, max_frame=1 << 16, oversize="skip")
    async with listening(tcp.listen, *LOCAL, framing=form) as inlet:
        before = psutil.Process().memory_info().rss
        clients = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", GIGABYTE, str(inlet.address.port)
            )
            for _ in range(2)
        ]
        peak = before
        while "connection_errors" not in inlet.counters():
            peak = max(peak, psutil.Process().memory_info().rss)
            await asyncio.sleep(0.01)
        await inlet.counted("connection_errors", 2)
        for client in clients:
            assert await client.wait() == 0
    assert inlet.counters()["frames_skipped"] == 2
    assert peak - before < 48 << 20


GIGABYTE = """
import socket, sys
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
client.sendall((1 << 30).to_bytes(4, "big"))
block = bytes(1 << 20)
for _ in range(256):
    client.sendall(block)
"""


@pytest.mark.virtual_time
async def test_a_slow_loris_is_shown_the_door_and_a_slow_pipeline_is_not_its_fault():
    loop = asyncio.get_running_loop()
    bad = rx.SideOutput[rx.DeadLetter[Peer]]("bad")
    async with listening(tcp.listen, *LOCAL, side=bad, idle_timeout=10) as inlet:
        _, writer = await asyncio.open_connection(*inlet.address)
        began = loop.time()
        writer.write(b"whole\n")
        await inlet.sink.reach(1)
        drip = asyncio.create_task(_drip(writer))
        (letter,) = await inlet.letters.reach(1)
        assert 9.9 <= loop.time() - began <= 10.1
        await asyncio.wait([drip])
        writer.close()
    assert "no complete frame came for 10 s, only 9 bytes of one" in str(letter.error)


async def _drip(writer: asyncio.StreamWriter) -> None:
    for _ in range(9):
        await asyncio.sleep(1)
        writer.write(b"x")


@pytest.mark.virtual_time
async def test_a_slow_peer_that_completes_its_frames_in_time_may_stay():
    async with listening(tcp.listen, *LOCAL, idle_timeout=10) as inlet:
        _, writer = await asyncio.open_connection(*inlet.address)
        for number in range(5):
            for half in (b"ha", b"lf\n"):
                await asyncio.sleep(4)
                writer.write(half)
            await inlet.sink.reach(number + 1)
        assert inlet.counters() == {"connections": 1}
        writer.close()


@pytest.mark.virtual_time
async def test_time_spent_waiting_for_the_pipeline_is_not_idle_time():
    async def slow() -> None:
        await asyncio.sleep(7)

    async with listening(tcp.listen, *LOCAL, idle_timeout=5, limit=1, pace=slow) as inlet:
        await send(inlet.address, b"1\n2\n3\n4\n5\n6\n7\n8\n")
        await inlet.sink.reach(8)
        assert "connection_errors" not in inlet.counters()


async def test_connections_past_the_limit_wait_until_one_closes():
    loop = asyncio.get_running_loop()
    async with listening(tcp.listen, *LOCAL, max_connections=2) as inlet:
        clients = [await connected(inlet.address) for _ in range(3)]
        for number, client in enumerate(clients):
            await loop.sock_sendall(client, b"%d\n" % number)
        await inlet.sink.reach(2)
        await inlet.counted("connection_limit_reached", 1)
        assert inlet.gauge("open_connections") == 2
        assert sorted(inlet.sink.items) == [b"0", b"1"]
        clients[0].close()
        assert sorted(await inlet.sink.reach(3)) == [b"0", b"1", b"2"]
        for client in clients:
            client.close()


async def test_a_drain_gives_what_has_come_and_leaves_what_has_not():
    loop = asyncio.get_running_loop()
    gate = asyncio.Event()
    async with listening(tcp.listen, *LOCAL, limit=10, pace=gate.wait) as inlet:
        client = await connected(inlet.address)
        with client:
            await loop.sock_sendall(client, b"".join(b"%d\n" % n for n in range(1000)) + b"part")
            await until(lambda: inlet.gauge("waiting") >= 10)
            stopping = asyncio.create_task(inlet.run.stop())
            await asyncio.sleep(0)
            gate.set()
            await asyncio.wait_for(stopping, SECONDS)
            with pytest.raises(OSError):
                await connected(inlet.address)
    assert inlet.sink.items == [b"%d" % n for n in range(1000)]
    assert inlet.sink.finished
    assert inlet.counters() == {"connections": 1, "unfinished_frames": 1}


async def test_a_drain_gives_what_clients_sent_that_nobody_had_accepted():
    async with listening(tcp.listen, *LOCAL) as inlet:
        for number in range(3):
            with socket.create_connection(inlet.address) as client:
                client.sendall(b"%d\n" % number)
        waiting = socket.create_connection(inlet.address)
        with waiting:
            waiting.sendall(b"3\n")
            await asyncio.wait_for(inlet.run.stop(), SECONDS)
    assert sorted(inlet.sink.items) == [b"0", b"1", b"2", b"3"]
    assert inlet.counters() == {"connections": 4}


async def test_a_drain_accepts_no_more_than_may_be_open():
    async with listening(tcp.listen, *LOCAL, max_connections=1) as inlet:
        with await connected(inlet.address), await connected(inlet.address):
            await asyncio.wait_for(inlet.run.stop(), SECONDS)
    assert inlet.counters()["connections"] == 1


async def test_a_drain_ends_although_a_client_never_stops():
    async with listening(tcp.listen, *LOCAL) as inlet:
        _, writer = await asyncio.open_connection(*inlet.address)

        async def flood() -> None:
            while True:
                writer.write(b"again\n" * 1000)
                await writer.drain()

        flooding = asyncio.create_task(flood())
        await inlet.sink.reach(10_000)
        await asyncio.wait_for(inlet.run.stop(), SECONDS)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(flooding, SECONDS)
        writer.close()


async def test_a_drain_does_not_wait_for_silent_clients():
    async with listening(tcp.listen, *LOCAL) as inlet:
        client = await connected(inlet.address)
        with client:
            await inlet.counted("connections", 1)
            await asyncio.wait_for(inlet.run.stop(), SECONDS)
    assert inlet.sink.finished


async def test_a_port_in_use_is_a_clear_error():
    with socket.create_server(LOCAL) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(rx.ConnectorError, match="already in use; stop what listens") as error:
            await tcp.listen("127.0.0.1", port).collect()
        assert f"cannot listen on 127.0.0.1:{port}: " in str(error.value)
        assert any(__file__ in note for note in error.value.__notes__)


async def test_an_address_of_another_machine_and_an_unknown_name_are_clear_errors():
    with pytest.raises(rx.ConnectorError, match="it is no address of this machine"):
        await tcp.listen("192.0.2.1", 9000).collect()
    with pytest.raises(rx.ConnectorError, match=r"cannot listen on no\.such\.invalid:9000: "):
        await tcp.listen("no.such.invalid", 9000).collect()


async def test_what_the_callback_raises_closes_the_socket():
    seen = []

    def refuse(address):
        seen.append(address)
        raise RuntimeError("not here")

    with pytest.raises(RuntimeError, match="not here"):
        await tcp.listen(*LOCAL, on_listening=refuse).collect()
    with pytest.raises(OSError):
        await connected(seen[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_connections": 0}, "tcp.listen: max_connections must be above 0"),
        ({"idle_timeout": 0}, "idle_timeout must be above 0"),
        ({"limit": 0}, "limit must be above 0"),
        ({"port": 70000}, "the port must lie between 0 and 65535, not 70000"),
        ({"on_connection_error": "ignore"}, 'must be "count", "raise" or a rx.SideOutput'),
    ],
)
async def test_wrong_parameters_are_refused_when_described(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        tcp.listen(**{"host": "127.0.0.1", "port": 0, **options})


SENDER = """
import socket, sys
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
block = b"".join(b"%015d\\n" % n for n in range(4096))
client.settimeout(1)
sent = 0
try:
    while sent < 1 << 30:
        sent += client.send(block[sent % len(block):])
except TimeoutError:
    pass
print(sent, flush=True)
client.settimeout(None)
sys.stdin.readline()
"""


async def test_a_slow_pipeline_pushes_back_on_the_sender_and_memory_is_flat():
    gate = asyncio.Event()
    async with listening(tcp.listen, *LOCAL, limit=1000, pace=gate.wait) as inlet:
        before = psutil.Process().memory_info().rss
        sender = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            SENDER,
            str(inlet.address.port),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        sent = int(await asyncio.wait_for(sender.stdout.readline(), SECONDS))
        grown = psutil.Process().memory_info().rss - before
        # The sender stands still: what it could send is in the kernel's buffers, and a little here.
        assert sent < 64 << 20
        assert grown < 24 << 20
        assert inlet.gauge("waiting") <= 1000
        gate.set()
        await sender.communicate(b"\n")
        items = await inlet.sink.reach(sent // 16)
        assert items[: sent // 16] == [b"%015d" % (n % 4096) for n in range(sent // 16)]


async def test_ten_thousand_connections_opened_and_dropped():
    """They leave nothing behind, and the last are served as fast as the first."""
    loop = asyncio.get_running_loop()
    process = psutil.Process()
    async with listening(tcp.listen, *LOCAL) as inlet:

        async def visit(number: int) -> None:
            client = await connected(inlet.address)
            if number % 3 == 0:
                await loop.sock_sendall(client, b"hello\n")
            if number % 3 == 1:
                reset(client)
            else:
                client.close()

        async def visits(first: int) -> float:
            began = time.process_time()
            for start in range(first, first + 1000, 50):
                await asyncio.gather(*(visit(number) for number in range(start, start + 50)))
            await until(lambda: inlet.gauge("open_connections") == 0)
            return time.process_time() - began

        await visits(0)
        gc.collect()
        memory, descriptors, tasks = (
            process.memory_info().rss,
            process.num_fds(),
            len(asyncio.all_tasks()),
        )
        seconds = [await visits(first) for first in range(1000, 10_000, 1000)]
        await inlet.counted("connections", 9_900)
        gc.collect()
        assert process.num_fds() <= descriptors
        assert len(asyncio.all_tasks()) <= tasks
        assert process.memory_info().rss - memory < 16 << 20
        assert min(seconds[-3:]) < 3 * min(seconds[:3])
        assert inlet.counters().get("accept_errors", 0) == 0
        await send(inlet.address, b"still here\n")
        await until(lambda: b"still here" in inlet.sink.items[-5:])


async def test_running_out_of_descriptors_is_counted_and_survived():
    bad = rx.SideOutput[rx.DeadLetter[Peer]]("bad")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with listening(tcp.listen, *LOCAL, side=bad) as inlet:
        client = socket.socket()
        client.setblocking(False)
        spare = client.fileno()
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 1, hard))
            await asyncio.get_running_loop().sock_connect(client, tuple(inlet.address))
            (letter,) = (await inlet.letters.reach(1))[:1]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await asyncio.get_running_loop().sock_sendall(client, b"at last\n")
        assert await inlet.sink.reach(1) == [b"at last"]
        client.close()
    assert "cannot accept a connection: Too many open files" in str(letter.error)
    assert inlet.counters()["accept_errors"] >= 1


async def test_tls_clients_are_read_and_others_counted(certificates):
    bad = rx.SideOutput[rx.DeadLetter[Peer]]("bad")
    async with listening(tcp.listen, *LOCAL, tls=certificates.server(), side=bad) as inlet:
        lines = b"".join(b"%d\n" % n for n in range(20_000))
        await send(inlet.address, lines, tls=certificates.client())
        assert await inlet.sink.reach(20_000) == lines.splitlines()
        await send(inlet.address, b"plain text\n")
        (letter,) = await inlet.letters.reach(1)
        assert "the TLS handshake failed: " in str(letter.error)
        with pytest.raises(ssl.SSLCertVerificationError):
            await send(inlet.address, b"x\n", tls=ssl.create_default_context())
        await inlet.letters.reach(2)
    assert inlet.counters()["connection_errors"] == 2


async def test_a_silent_client_does_not_get_a_handshake_for_ever(certificates):
    bad = rx.SideOutput[rx.DeadLetter[Peer]]("bad")
    async with listening(
        tcp.listen, *LOCAL, tls=certificates.server, handshake_timeout=0.05, side=bad
    ) as inlet:
        with await connected(inlet.address):
            (letter,) = await inlet.letters.reach(1)
    assert "the TLS handshake took longer than 0.05 s" in str(letter.error)


async def test_a_drain_does_not_wait_for_handshakes(certificates):
    async with listening(tcp.listen, *LOCAL, tls=certificates.server()) as inlet:
        with await connected(inlet.address):
            await inlet.counted("connections", 1)
            await asyncio.wait_for(inlet.run.stop(), SECONDS)
    assert "connection_errors" not in inlet.counters()


async def test_a_tls_connection_that_is_cut_off_is_no_orderly_end(certificates):
    """Without a TLS goodbye nobody knows whether the frames that came are all that were sent."""
    bad = rx.SideOutput[rx.DeadLetter[Peer]]("bad")
    async with listening(tcp.listen, *LOCAL, tls=certificates.server(), side=bad) as inlet:
        _, writer = await asyncio.open_connection(*inlet.address, ssl=certificates.client())
        writer.write(b"one\n")
        await inlet.sink.reach(1)
        descriptor = writer.transport.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(descriptor)) as bare:
            bare.shutdown(socket.SHUT_WR)
        await inlet.letters.reach(1)
        writer.close()
    assert inlet.sink.items == [b"one"]


async def test_blueprints_pickle():
    for blueprint in (
        tcp.listen("127.0.0.1", 1, framing=framing.netstring(), tls=ssl.create_default_context),
        tcp.connect("127.0.0.1", 1, reconnect=rx.Backoff()),
        tcp.write("127.0.0.1", 1),
    ):
        again = cloudpickle.loads(cloudpickle.dumps(blueprint))
        assert type(again) is type(blueprint)
        assert repr(again) == repr(blueprint)


async def test_reading_from_a_server_until_it_closes():
    async def speak(reader, writer, server: Server) -> None:
        writer.write(b"".join(b"%d\n" % n for n in range(50_000)))
        await writer.drain()

    async with serving(speak) as server:
        items = await tcp.connect(*server.address).collect()
    assert items == [b"%d" % n for n in range(50_000)]


async def test_nobody_there_is_a_clear_error():
    with socket.socket() as unused:
        unused.bind(LOCAL)
        port = unused.getsockname()[1]
        with pytest.raises(
            rx.ConnectorError,
            match=f"cannot connect to 127.0.0.1:{port}: Connection refused; start the server",
        ):
            await tcp.connect("127.0.0.1", port).collect()
    with pytest.raises(rx.ConnectorError, match=r"cannot connect to no\.such\.invalid:1: "):
        await tcp.connect("no.such.invalid", 1).collect()


async def test_a_server_that_breaks_off_inside_a_frame_is_an_error_after_the_good_ones():
    async def cut_off(reader, writer, server: Server) -> None:
        writer.write(b"whole\nhal")
        await writer.drain()

    seen: list[bytes] = []
    async with serving(cut_off) as server:
        with pytest.raises(rx.TruncatedError, match=f"{server.address.port}: the bytes ended"):
            await tcp.connect(*server.address).tap(seen.append).count()
    assert seen == [b"whole"]


async def test_reconnecting_goes_on_where_the_server_left_off():
    async def one_line(reader, writer, server: Server) -> None:
        writer.write(b"line %d\npart" % server.connections)
        await writer.drain()
        if server.connections % 2:
            writer.transport.abort()

    backoff = rx.Backoff(initial=0.001, attempts=3)
    async with serving(one_line) as server:
        lines = tcp.connect(*server.address, reconnect=backoff)
        seen = await lines.take(5).collect()
    numbers = [int(item.split()[1]) for item in seen]
    assert numbers == sorted(set(numbers))


async def test_reconnecting_waits_for_a_server_that_is_not_there_yet():
    async def hello(reader, writer, server: Server) -> None:
        writer.write(b"hello\n")
        await writer.drain()

    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(LOCAL)
        port = reserved.getsockname()[1]
        lines = tcp.connect("127.0.0.1", port, reconnect=rx.Backoff(initial=0.005, maximum=0.005))
        sink = Gathered()
        async with rx.start(lines.named("lines").to(sink)) as run:
            await until(lambda: run.metrics()["lines"].counters.get("reconnects", 0) >= 3)
            reserved.close()
            async with serving(hello, port=port):
                await sink.reach(2)
                await run.stop()
    assert set(sink.items) == {b"hello"}


@pytest.mark.virtual_time
async def test_the_waits_grow_and_giving_up_is_clear():
    loop = asyncio.get_running_loop()
    with socket.socket() as unused:
        unused.bind(LOCAL)
        lines = tcp.connect(
            *unused.getsockname(), reconnect=rx.Backoff(initial=1, jitter=0, attempts=4)
        )
        began = loop.time()
        with pytest.raises(
            rx.ConnectorError,
            match=r"gave up on .* after 5 failures in a row, the last: .*: Connection refused",
        ):
            await lines.collect()
        assert loop.time() - began == pytest.approx(1 + 2 + 4 + 8, abs=0.2)


@pytest.mark.virtual_time
async def test_a_server_that_accepts_and_hangs_up_is_given_up_too():
    async def hang_up(reader, writer, server: Server) -> None:
        return

    async with serving(hang_up) as server:
        lines = tcp.connect(*server.address, reconnect=rx.Backoff(initial=1, jitter=0, attempts=3))
        with pytest.raises(rx.ConnectorError, match=r"after 4 failures .* closed the connection"):
            await lines.collect()
        assert server.connections == 4


async def test_malformed_frames_are_raised_although_reconnecting():
    async def http(reader, writer, server: Server) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(http) as server:
        lines = tcp.connect(
            *server.address, framing=framing.netstring(), reconnect=rx.Backoff(initial=0.001)
        )
        with pytest.raises(rx.DecodeError, match="b'H' is no part of a decimal length"):
            await lines.collect()
        assert server.connections == 1


@pytest.mark.virtual_time
async def test_a_silent_server_is_left_and_tried_again():
    async def silence(reader, writer, server: Server) -> None:
        if server.connections == 3:
            writer.write(b"finally\n")
        await reader.read()

    async with serving(silence) as server:
        lines = tcp.connect(
            *server.address, idle_timeout=30, reconnect=rx.Backoff(initial=1, jitter=0)
        )
        began = asyncio.get_running_loop().time()
        assert await lines.first() == b"finally"
        assert asyncio.get_running_loop().time() - began == pytest.approx(30 + 1 + 30 + 2, abs=0.5)
        with pytest.raises(rx.ConnectorError, match="no complete frame came for 5 s"):
            await tcp.connect(*server.address, idle_timeout=5).collect()


async def test_a_drain_of_a_connection_gives_what_has_come():
    async def speak_on(reader, writer, server: Server) -> None:
        writer.write(b"".join(b"%d\n" % n for n in range(1000)) + b"part")
        await reader.read()

    async with serving(speak_on) as server:
        sink = Gathered()
        async with rx.start(tcp.connect(*server.address).to(sink)) as run:
            await sink.reach(1)
            await asyncio.wait_for(run.stop(), SECONDS)
    assert sink.items == [b"%d" % n for n in range(1000)]
    assert sink.finished


@pytest.mark.virtual_time
async def test_a_drain_while_waiting_to_reconnect_ends_at_once():
    with socket.socket() as unused:
        unused.bind(LOCAL)
        lines = tcp.connect(*unused.getsockname(), reconnect=rx.Backoff(initial=1000, maximum=1000))
        sink = Gathered()
        async with rx.start(lines.named("lines").to(sink)) as run:
            await until(lambda: "reconnects" in run.metrics()["lines"].counters)
            await run.stop()
    assert sink.finished


async def test_tls_servers_are_checked(certificates):
    async def secret(reader, writer, server: Server) -> None:
        writer.write(b"secret\n")
        await writer.drain()

    async with serving(secret, tls=certificates.server()) as server:
        client = certificates.client()
        assert await tcp.connect(*server.address, tls=client).collect() == [b"secret"]
        with pytest.raises(rx.ConnectorError, match="certificate verification failed") as error:
            await tcp.connect(*server.address, tls=True, reconnect=rx.Backoff()).collect()
        assert f"cannot connect to 127.0.0.1:{server.address.port}: the TLS" in str(error.value)
        with pytest.raises(rx.ConnectorError, match=r"(?i)hostname mismatch"):
            await tcp.connect(
                *server.address, tls=client, server_hostname="elsewhere.example"
            ).collect()


async def test_a_server_that_never_answers_the_handshake_is_an_error(certificates):
    async def mute(reader, writer, server: Server) -> None:
        await reader.read()

    async with serving(mute) as server:
        lines = tcp.connect(*server.address, tls=certificates.client(), connect_timeout=0.05)
        with pytest.raises(rx.ConnectorError, match=r"no answer within 0.05 s"):
            await lines.collect()


async def test_writing_sends_everything_and_waits_until_it_was_read():
    async with serving(keep) as server:
        items = rx.range(100_000).map(lambda n: b"%d" % n)
        await rx.run(items.to(tcp.write(*server.address)))
        assert server.received == [b"".join(b"%d\n" % n for n in range(100_000))]


async def test_both_ends_together_over_tls(certificates):
    form = framing.length_prefixed("varint")
    async with listening(tcp.listen, *LOCAL, framing=form, tls=certificates.server()) as inlet:
        sink = tcp.write(*inlet.address, framing=form, tls=certificates.client())
        await rx.run(rx.range(20_000).map(lambda n: b"%d" % n * 20).to(sink))
        assert await inlet.sink.reach(20_000) == [b"%d" % n * 20 for n in range(20_000)]
    assert inlet.counters() == {"connections": 1}


async def test_a_server_that_answers_does_not_block_the_sink():
    async def echo(reader, writer, server: Server) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    line = b"x" * 1000
    async with serving(echo) as server:
        job = rx.range(20_000).map(lambda n: line).to(tcp.write(*server.address)).named("echo")
        report = await asyncio.wait_for(rx.run(job), SECONDS)
    assert report["echo"].counters["bytes_ignored"] == 20_000 * 1001


async def test_a_server_that_hangs_up_is_an_error():
    async def one_line(reader, writer, server: Server) -> None:
        await reader.readline()

    async with serving(one_line) as server:
        ticks = rx.interval(0.001).map(lambda n: b"tick")
        with pytest.raises(
            rx.ConnectorError, match=f"cannot send to 127.0.0.1:{server.address.port}"
        ):
            await asyncio.wait_for(rx.run(ticks.to(tcp.write(*server.address))), SECONDS)


async def test_the_sink_comes_back_to_a_server_that_hangs_up():
    async def ten_lines(reader, writer, server: Server) -> None:
        index = len(server.received)
        server.received.append(b"")
        # The last one reads to the end: the sink would say so if it had not.
        while index == 3 and not reader.at_eof():
            server.received[index] += await reader.read(100)
        for _ in range(10):
            server.received[index] += await reader.readline()

    async with serving(ten_lines) as server:
        ticks = rx.interval(0.001).map(lambda n: b"%d" % n).take(200)
        sink = tcp.write(*server.address, reconnect=rx.Backoff(initial=0.001))
        report = await asyncio.wait_for(rx.run(ticks.to(sink).named("out")), SECONDS)
        counters = report["out"].counters
    assert counters["connections"] == server.connections == 4
    numbers = [int(line) for data in server.received for line in data.splitlines()]
    assert numbers == sorted(numbers)


@pytest.mark.virtual_time
async def test_an_item_is_not_lost_to_a_server_that_has_hung_up_before_it():
    async def one_line(reader, writer, server: Server) -> None:
        server.received.append(await reader.readline())

    async with serving(one_line) as server:
        items: rx.Subject[bytes] = rx.Subject()
        sink = tcp.write(*server.address, reconnect=rx.Backoff(initial=0.001))
        running = asyncio.create_task(rx.run(items.to(sink)))
        for number in range(5):
            await items.send(b"%d" % number)
            await until(lambda count=number + 1: len(server.received) == count)
            # The goodbye crosses the loopback.
            await asyncio.sleep(0.05)
        items.close()
        await asyncio.wait_for(running, SECONDS)
    assert server.received == [b"%d\n" % number for number in range(5)]


async def test_a_server_that_reads_nothing_holds_the_pipeline_back_and_cancelling_is_clean():
    async def deaf(reader, writer, server: Server) -> None:
        reader._transport.pause_reading()
        await asyncio.sleep(3600)

    taken = []
    async with serving(deaf) as server:
        block = b"x" * 65536
        items = rx.range(10_000).map(lambda n: taken.append(n) or block)
        running = asyncio.create_task(rx.run(items.to(tcp.write(*server.address))))
        count = -1
        while len(taken) != count or count <= 0:
            count = len(taken)
            await asyncio.sleep(0.2)
        assert count < 2000
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_items_that_are_no_bytes_say_what_to_do():
    async with serving(keep) as server:
        with pytest.raises(TypeError, match=r"\.map\(str\.encode\)"):
            await rx.run(rx.of("text").to(tcp.write(*server.address)))


async def test_a_sink_that_cannot_connect_fails_before_the_first_item():
    taken = []
    with socket.socket() as unused:
        unused.bind(LOCAL)
        with pytest.raises(rx.ConnectorError, match=r"cannot connect to .* refused; start the"):
            await rx.run(
                rx.range(3)
                .tap(taken.append)
                .map(lambda n: b"")
                .to(tcp.write(*unused.getsockname()))
            )
