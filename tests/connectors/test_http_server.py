"""Serving applications beside a pipeline, and listening in one piece."""

import asyncio
import logging
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import cloudpickle
import orjson
import psutil
import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import reactive as rx
from connectors import http
from connectors.sockets import Address
from reactive.context import Context

pytestmark = pytest.mark.any_loop


class Inbox(rx.Sink[Any]):
    def __init__(self) -> None:
        self.items: list[Any] = []

    def writer(self, context: Context) -> rx.Writer[Any]:
        items = self.items

        class Keep(rx.Writer[Any]):
            async def write(self, chunk: rx.Chunk[Any]) -> None:
                items.extend(chunk.items)

        return Keep()


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """The smallest application, without a lifespan."""
    if scope["type"] != "http":
        raise RuntimeError("only http")
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


async def get(url: str, **options: Any) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url, **options) as answer:
        return answer.status, await answer.read()


async def post(url: str, items: Any, **options: Any) -> int:
    body = orjson.dumps(items)
    headers = {"content-type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=headers, **options) as answer,
    ):
        return answer.status


async def dial(server: http.Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(server.address.host, server.address.port)


async def rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""


class Listening:
    """A pipeline behind `http.listen`, with the address it got."""

    def __init__(self, **options: Any) -> None:
        self.address: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
        self.inbox = Inbox()
        self.stream = http.listen(port=0, on_listening=self.address.set_result, **options)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[str, rx.Run]]:
        async with rx.start(self.stream.to(self.inbox)) as run:
            yield f"http://{await self.address}", run


class TestServe:
    async def test_any_application(self) -> None:
        async with http.serve(hello, port=0) as server:
            assert server.url == f"http://127.0.0.1:{server.address.port}"
            assert await get(server.url) == (200, b"hello")
        with pytest.raises(aiohttp.ClientConnectionError):
            await get(server.url)

    async def test_all_addresses_of_a_name_have_one_port(self) -> None:
        async with http.serve(hello, "localhost", 0) as server:
            assert await get(f"http://localhost:{server.address.port}") == (200, b"hello")
            assert await get(f"http://127.0.0.1:{server.address.port}") == (200, b"hello")
        async with http.serve(hello, None, 0) as server:
            assert await get(f"http://127.0.0.1:{server.address.port}") == (200, b"hello")

    async def test_a_port_in_use(self) -> None:
        async with http.serve(hello, port=0) as server:
            port = server.address.port
            with pytest.raises(
                rx.ConnectorError,
                match=f"cannot listen on 127.0.0.1:{port}: Address already in use; stop what",
            ):
                async with http.serve(hello, port=port):
                    pass
            assert await get(server.url) == (200, b"hello")
        async with http.serve(hello, port=port) as server:
            assert server.address.port == port

    async def test_a_host_that_is_not_here(self) -> None:
        with pytest.raises(rx.ConnectorError, match=r"cannot listen on 192\.0\.2\.1:0: "):
            async with http.serve(hello, "192.0.2.1", 0):
                pass
        with pytest.raises(rx.ConnectorError, match=r"cannot listen on nowhere\.invalid:0: "):
            async with http.serve(hello, "nowhere.invalid", 0):
                pass

    async def test_the_lifespan_of_the_application(self) -> None:
        seen = []

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            seen.append("up")
            yield
            seen.append("down")

        async with http.serve(Starlette(lifespan=lifespan), port=0):
            assert seen == ["up"]
        assert seen == ["up", "down"]

    async def test_a_lifespan_that_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            raise ArithmeticError("not today")
            yield

        with pytest.raises(rx.ConnectorError, match="refused to start"):
            async with http.serve(Starlette(lifespan=lifespan), port=0):
                pass
        assert "not today" in caplog.text

    async def test_requests_under_way_are_let_end(self) -> None:
        begun, release = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> PlainTextResponse:
            begun.set()
            await release.wait()
            return PlainTextResponse("done")

        app = Starlette(routes=[Route("/", slow)])
        async with http.serve(app, port=0) as server:
            asking = asyncio.ensure_future(get(server.url))
            await begun.wait()
            asyncio.get_running_loop().call_later(0.05, release.set)
        assert await asking == (200, b"done")

    async def test_but_not_for_ever(self, caplog: pytest.LogCaptureFixture) -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def stuck(request: Request) -> PlainTextResponse:
            begun.set()
            try:
                return await asyncio.Event().wait() and PlainTextResponse("never")
            finally:
                cancelled.set()

        app = Starlette(routes=[Route("/", stuck)])
        async with http.serve(app, port=0, grace=0.1) as server:
            asking = asyncio.ensure_future(get(server.url))
            await begun.wait()
        assert cancelled.is_set()
        try:
            status, _ = await asking
            assert status == 500
        except aiohttp.ClientConnectionError:
            pass

    async def test_a_client_that_does_not_read_its_answer(self) -> None:
        async def endless(request: Request) -> PlainTextResponse:
            return PlainTextResponse("x" * 50_000_000)

        app = Starlette(routes=[Route("/", endless)])
        async with http.serve(app, port=0, grace=0.1) as server:
            reader, writer = await dial(server)
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert await reader.readexactly(10) == b"HTTP/1.1 2"
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            client = writer.get_extra_info("peername")
        open_ones = [it.laddr for it in psutil.Process().net_connections() if it.status != "CLOSE"]
        assert client not in open_ones
        writer.transport.abort()

    async def test_cancelling_it_closes_everything(self) -> None:
        async def main(ready: asyncio.Event) -> None:
            async with http.serve(hello, port=0) as server:
                await get(server.url)
                ready.set()
                await asyncio.Event().wait()

        ready = asyncio.Event()
        task = asyncio.ensure_future(main(ready))
        await ready.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_cancelling_the_start(self) -> None:
        task = asyncio.ensure_future(http.serve(hello, port=0).__aenter__())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_signals_and_loggers_are_left_alone(self) -> None:
        def loggers() -> list[Any]:
            found = [logging.getLogger(name) for name in ("", "uvicorn", "uvicorn.access")]
            return [(it.level, it.handlers[:], it.propagate, it.disabled) for it in found]

        handlers = [signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)]
        before = loggers()
        async with http.serve(hello, port=0) as server:
            assert await get(server.url) == (200, b"hello")
            assert [signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)] == handlers
            assert loggers() == before
        assert loggers() == before

    async def test_tls(self) -> None:
        authority = trustme.CA()

        def server_tls() -> ssl.SSLContext:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            return context

        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        async with http.serve(hello, port=0, tls=server_tls) as server:
            assert server.url.startswith("https://")
            assert await get(server.url, ssl=trusting) == (200, b"hello")

    async def test_the_extra_is_named_where_it_is_missing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        with pytest.raises(rx.ConnectorError, match=r'pip install "reactive-pipelines\[http\]"'):
            async with http.serve(hello, port=0):
                pass

    def test_describing(self) -> None:
        with pytest.raises(ValueError, match="the port must lie between 0 and 65535"):
            http.serve(hello, port=70_000)
        with pytest.raises(ValueError, match="max_connections must be above 0"):
            http.serve(hello, max_connections=0)
        with pytest.raises(ValueError, match="grace must be 0 or more"):
            http.serve(hello, grace=-1)


class TestSlowClients:
    @pytest.mark.parametrize("sent", [b"", b"P", b"GET / HTTP/1.1\r\nhost: x\r\n"])
    async def test_a_head_that_does_not_come_to_its_end(self, sent: bytes) -> None:
        async with http.serve(hello, port=0, header_timeout=0.1) as server:
            reader, writer = await dial(server)
            writer.write(sent)
            assert await rest(reader) == b""
            writer.close()

    async def test_a_drip_of_bytes_does_not_win_time(self) -> None:
        async with http.serve(hello, port=0, header_timeout=0.15) as server:
            reader, writer = await dial(server)

            async def drip() -> None:
                writer.write(b"GET / HTTP/1.1\r\nx: ")
                while True:
                    writer.write(b"x")
                    await asyncio.sleep(0.01)

            dripping = asyncio.ensure_future(drip())
            assert await rest(reader) == b""
            dripping.cancel()
            writer.close()

    @pytest.mark.virtual_time
    async def test_a_second_request_has_its_own_time(self) -> None:
        request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
        async with http.serve(hello, port=0, header_timeout=1.5) as server:
            reader, writer = await dial(server)
            for _ in range(3):
                writer.write(request)
                assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
                await asyncio.sleep(1)
            writer.write(request[:10])
            assert await rest(reader) == b""
            writer.close()

    @pytest.mark.virtual_time
    async def test_a_long_request_is_not_cut(self) -> None:
        async def slow(request: Request) -> PlainTextResponse:
            body = await request.body()
            await asyncio.sleep(2)
            return PlainTextResponse(str(len(body)))

        app = Starlette(routes=[Route("/", slow, methods=["POST"])])
        async with http.serve(app, port=0, header_timeout=1) as server:
            reader, writer = await dial(server)
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nx")
            await asyncio.sleep(2)
            writer.write(b"y")
            assert (await reader.readuntil(b"\r\n\r\n2")).startswith(b"HTTP/1.1 200")
            writer.close()

    @pytest.mark.virtual_time
    async def test_so_many_connections_and_no_more(self) -> None:
        async with http.serve(hello, port=0, max_connections=3) as server:
            connections = [await dial(server) for _ in range(2)]
            async with aiohttp.ClientSession() as session:
                async with session.get(server.url) as answer:
                    assert answer.status == 503
                for _, writer in connections:
                    writer.close()
                await asyncio.sleep(0.02)
                async with session.get(server.url) as answer:
                    assert answer.status == 200

    async def test_a_thousand_connections_opened_and_dropped(self) -> None:
        listening = Listening()
        async with listening.running() as (url, run):
            address = await listening.address
            for _ in range(20):
                opened = [socket.create_connection(address) for _ in range(50)]
                for each in opened[::2]:
                    each.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n[1, ")
                await asyncio.sleep(0)
                for each in opened:
                    each.close()
            assert await post(url, [1, 2]) == 202
            await run.stop()
        assert listening.inbox.items == [1, 2]


class TestListen:
    async def test_end_to_end(self) -> None:
        listening = Listening(path="/in")
        async with listening.running() as (url, run):
            await rx.run(rx.range(1000).to(http.post(f"{url}/in", batch=100)))
            assert await post(f"{url}/other", [1]) == 404
            await run.stop()
        assert listening.inbox.items == list(range(1000))
        with pytest.raises(aiohttp.ClientConnectionError):
            await post(url, [1])

    async def test_leaving_the_loop_stops_listening(self) -> None:
        listening = Listening()
        async with listening.stream.open() as items:
            reading = asyncio.ensure_future(anext(items))
            url = f"http://{await listening.address}"
            assert await post(url, [1, 2, 3]) == 202
            assert await reading == 1
        with pytest.raises(aiohttp.ClientConnectionError):
            await post(url, [1])

    async def test_taking_a_few(self) -> None:
        listening = Listening()
        taking = asyncio.ensure_future(listening.stream.take(2).collect())
        url = f"http://{await listening.address}"
        assert await post(url, [1, 2, 3]) == 202
        assert await taking == [1, 2]

    async def test_a_port_in_use_fails_the_run(self) -> None:
        async with http.serve(hello, port=0) as server:
            with pytest.raises(rx.ConnectorError, match=r"cannot listen on .* already in use"):
                await http.listen(port=server.address.port).collect()

    async def test_cancelling_at_any_time_closes_everything(self) -> None:
        for steps in (0, 1, 2, 5, 10, 20, 50):
            task = asyncio.ensure_future(http.listen(port=0).collect())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    @pytest.mark.virtual_time
    async def test_an_aborted_run_answers_who_waits(self) -> None:
        listening = Listening()
        async with listening.running() as (url, run):
            address = await listening.address
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n[1")
            await asyncio.sleep(0.05)
            await run.stop(drain=False)
        assert (await rest(reader)).startswith(b"HTTP/1.1 503 ")
        writer.close()
        assert url.endswith(str(address.port))

    async def test_what_explain_shows(self) -> None:
        shown = str(http.listen("0.0.0.0", 8080, path="/in").explain())
        assert "http.listen" in shown and "0.0.0.0:8080" in shown and "/in" in shown

    async def test_blueprints_can_be_pickled(self) -> None:
        copy: Any = cloudpickle.loads(cloudpickle.dumps(http.listen(port=0)))
        async with rx.start(copy.to(Inbox())) as run:
            await run.stop()

    def test_describing(self) -> None:
        with pytest.raises(ValueError, match=r"^http\.listen: path must begin"):
            http.listen(path="x")
        with pytest.raises(ValueError, match=r"^http\.listen: the port must lie"):
            http.listen(port=-1)
