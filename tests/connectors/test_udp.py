from __future__ import annotations

import asyncio
import socket
import sys

import cloudpickle
import pytest
from socket_parts import SECONDS, listening

import reactive as rx
from connectors import framing, udp
from connectors.udp import Peer, Received

pytestmark = pytest.mark.any_loop

LOCAL = ("127.0.0.1", 0)


@pytest.fixture
def client():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        yield made


async def test_each_datagram_is_an_item_and_empty_ones_too(client):
    async with listening(udp.listen, *LOCAL) as inlet:
        sent = [b"one", b"", b"two\nlines\n", bytes(60_000)]
        for data in sent:
            client.sendto(data, inlet.address)
        assert await inlet.sink.reach(4) == sent
    assert inlet.sink.finished


async def test_many_datagrams_come_in_order(client):
    async with listening(udp.listen, *LOCAL, receive_buffer=4 << 20) as inlet:
        for start in range(0, 5000, 100):
            for number in range(start, start + 100):
                client.sendto(b"%d" % number, inlet.address)
            await inlet.sink.reach(start + 100)
    assert inlet.sink.items == [b"%d" % number for number in range(5000)]


async def test_items_come_with_their_peer_on_request(client):
    client.bind(LOCAL)
    async with listening(udp.listen, *LOCAL, with_peer=True) as inlet:
        client.sendto(b"x", inlet.address)
        host, port = client.getsockname()
        assert await inlet.sink.reach(1) == [Received(Peer(host, port), b"x")]


async def test_all_addresses_and_plain_ipv4_peers(client):
    async with listening(udp.listen, None, 0, with_peer=True) as inlet:
        client.sendto(b"x", ("127.0.0.1", inlet.address.port))
        assert (await inlet.sink.reach(1))[0].peer.host == "127.0.0.1"


async def test_datagrams_of_several_frames(client):
    async with listening(udp.listen, *LOCAL, framing=framing.lines()) as inlet:
        client.sendto(b"a:1|c\nb:2|c\n", inlet.address)
        client.sendto(b"c:3|c\ntorn", inlet.address)
        client.sendto(b"d:4|c\n", inlet.address)
        assert await inlet.sink.reach(4) == [b"a:1|c", b"b:2|c", b"c:3|c", b"d:4|c"]
    assert inlet.counters()["malformed_datagrams"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how many it dropped")
async def test_what_the_kernel_drops_is_counted(client):
    gate = asyncio.Event()
    async with listening(udp.listen, *LOCAL, receive_buffer=4096, pace=gate.wait) as inlet:
        for number in range(2000):
            client.sendto(b"%d" % number, inlet.address)
        gate.set()
        await inlet.sink.reach(1)
        while b"last" not in inlet.sink.items:
            client.sendto(b"last", inlet.address)
            await asyncio.sleep(0.001)
        first = [item for item in inlet.sink.items if item != b"last"]
        assert len(first) + inlet.counters()["dropped"] >= 2000
        assert 0 < inlet.counters()["dropped"] <= 2000


async def test_a_drain_gives_what_the_kernel_has(client):
    gate = asyncio.Event()
    async with listening(udp.listen, *LOCAL, pace=gate.wait) as inlet:
        for number in range(100):
            client.sendto(b"%d" % number, inlet.address)
        stopping = asyncio.create_task(inlet.run.stop())
        await asyncio.sleep(0)
        gate.set()
        await asyncio.wait_for(stopping, SECONDS)
    assert inlet.sink.items == [b"%d" % number for number in range(100)]
    assert inlet.sink.finished


FLOOD = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect((sys.argv[1], int(sys.argv[2])))
while True:
    try:
        client.send(b"again and again")
    except ConnectionRefusedError:
        sys.exit()
"""


async def test_a_drain_ends_although_more_keeps_coming():
    async def slow() -> None:
        await asyncio.sleep(0.005)

    async with listening(udp.listen, *LOCAL, receive_buffer=1 << 16, pace=slow) as inlet:
        flood = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FLOOD, *map(str, inlet.address)
        )
        before = len(await inlet.sink.reach(1000))
        await asyncio.wait_for(inlet.run.stop(), SECONDS)
        assert len(inlet.sink.items) - before < 2000
        await asyncio.wait_for(flood.wait(), SECONDS)
    assert inlet.sink.finished


async def test_a_drain_of_a_silent_socket_ends_at_once():
    async with listening(udp.listen, *LOCAL) as inlet:
        await asyncio.wait_for(inlet.run.stop(), SECONDS)
    assert inlet.sink.finished


async def test_leaving_closes_the_socket(client):
    bound = asyncio.get_running_loop().create_future()
    async with udp.listen(*LOCAL, on_listening=bound.set_result).open() as items:
        first = asyncio.ensure_future(anext(items))
        client.sendto(b"x", await bound)
        assert await first == b"x"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(bound.result())


async def test_a_port_in_use_is_a_clear_error(client):
    client.bind(LOCAL)
    _, port = client.getsockname()
    with pytest.raises(rx.ConnectorError, match=f"cannot listen on 127.0.0.1:{port}: Address alre"):
        await udp.listen("127.0.0.1", port).collect()


async def test_both_ends_together():
    async with listening(udp.listen, *LOCAL, receive_buffer=4 << 20) as inlet:
        sink = udp.write(*inlet.address)
        await rx.run(rx.range(500).map(lambda n: b"%d" % n).to(sink))
        assert await inlet.sink.reach(500) == [b"%d" % n for n in range(500)]


async def test_nobody_listening_is_counted_and_nothing_more(client):
    client.bind(LOCAL)
    address = client.getsockname()
    client.close()
    ticks = rx.interval(0.002).take(20).map(lambda n: b"%d" % n)
    report = await rx.run(ticks.to(udp.write(*address)).named("out"))
    assert report["out"].counters["refused"] > 0


async def test_what_is_no_datagram_is_refused(client):
    client.bind(LOCAL)
    sink = udp.write(*client.getsockname())
    with pytest.raises(
        rx.FrameTooLongError, match="an item of 70000 bytes does not fit a datagram"
    ):
        await rx.run(rx.of(bytes(70_000)).to(sink))
    with pytest.raises(TypeError, match=r"\.map\(str\.encode\)"):
        await rx.run(rx.of("text").to(sink))
    with pytest.raises(rx.ConnectorError, match=r"cannot send to no\.such\.invalid:9: "):
        await rx.run(rx.of(b"x").to(udp.write("no.such.invalid", 9)))


async def test_wrong_parameters_and_pickling():
    with pytest.raises(ValueError, match=r"udp\.listen: the port must lie between 0 and 65535"):
        udp.listen("127.0.0.1", -1)
    with pytest.raises(ValueError, match=r"udp\.write: the port must lie between 1 and 65535"):
        udp.write("127.0.0.1", 0)
    for blueprint in (udp.listen("127.0.0.1", 1), udp.write("127.0.0.1", 1)):
        assert repr(cloudpickle.loads(cloudpickle.dumps(blueprint))) == repr(blueprint)
