"""The ingest: real servers, real clients, and everything a client can do wrong."""

import asyncio
import gzip
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import cloudpickle
import orjson
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import reactive as rx
from connectors import http
from reactive.context import Context, Settings
from reactive.metrics import Meter

pytestmark = pytest.mark.any_loop


class Inbox(rx.Sink[Any]):
    """Keeps what it gets; can be told to wait."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self.news = asyncio.Event()

    async def has(self, count: int) -> list[Any]:
        while len(self.items) < count:
            self.news.clear()
            await self.news.wait()
        return self.items

    def writer(self, context: Context) -> rx.Writer[Any]:
        inbox = self

        class Keep(rx.Writer[Any]):
            async def write(self, chunk: rx.Chunk[Any]) -> None:
                await inbox.open.wait()
                inbox.items += chunk.items
                inbox.news.set()

        return Keep()


class Client:
    """Posts to one server."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def post(
        self, body: Any, path: str = "/", **headers: str
    ) -> tuple[int, dict[str, Any], Any]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given.setdefault("content-type", "application/json")
        async with self.session.post(self.url + path, data=body, headers=given) as answer:
            return answer.status, orjson.loads(await answer.read()), answer.headers

    async def status(self, body: Any, path: str = "/", **headers: str) -> int:
        return (await self.post(body, path, **headers))[0]


@asynccontextmanager
async def serving(ingest: Any) -> AsyncIterator[Client]:
    async with http.serve(ingest, port=0) as server, aiohttp.ClientSession() as session:
        yield Client(session, server.url)


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[tuple[Client, Inbox, rx.Run]]:
    """An ingest with a pipeline behind it."""
    inbox = Inbox()
    ingest = http.ingest(**options)
    async with serving(ingest) as client, rx.start(ingest.stream.to(inbox)) as run:
        await attached(ingest)
        try:
            yield client, inbox, run
        finally:
            inbox.open.set()
            await run.stop(drain=False)


async def attached(ingest: Any) -> None:
    """Wait until the pipeline reads: it starts in a task of its own."""
    await until(lambda: "running" in repr(ingest))


async def until(condition: Callable[[], bool]) -> None:
    """Let others go on until something has happened that nobody tells of."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def raw(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def hung_up(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""


class TestTaking:
    async def test_json_arrays_values_and_lines(self) -> None:
        async with running() as (client, inbox, _):
            assert (await client.post(b'[1, {"a": 2}]'))[:2] == (202, {"accepted": 2})
            assert await client.status(b'{"a": 3}') == 202
            assert await client.status(b"4\n\n5\r\n6", content_type="application/x-ndjson") == 202
            assert (await client.post(b"[]"))[:2] == (202, {"accepted": 0})
            assert await inbox.has(6) == [1, {"a": 2}, {"a": 3}, 4, 5, 6]

    async def test_lines_only(self) -> None:
        async with running(format="jsonl", path="/in") as (client, inbox, _):
            assert await client.status(b"[1]\n[2]\n", "/in") == 202
            assert await client.status(b"3", "/in", content_type="text/plain") == 202
            assert await inbox.has(3) == [[1], [2], 3]

    async def test_raw(self) -> None:
        async with running(format="raw") as (client, inbox, _):
            assert await client.status(b"\x00\xff", content_type="image/png") == 202
            assert await client.status(b"") == 202
            assert await inbox.has(2) == [b"\x00\xff", b""]

    async def test_gzip(self) -> None:
        async with running() as (client, inbox, _):
            body = gzip.compress(orjson.dumps(list(range(5000))))
            assert await client.status(body, content_encoding="gzip") == 202
            assert await inbox.has(5000) == list(range(5000))

    async def test_a_body_that_comes_in_pieces(self) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in (b"[1", b", 2", b", 3]"):
                yield piece
                await asyncio.sleep(0.01)

        async with running() as (client, inbox, _):
            assert await client.status(pieces()) == 202
            assert await inbox.has(3) == [1, 2, 3]

    async def test_many_clients_at_once(self) -> None:
        async with running(limit=100_000) as (client, inbox, _):

            async def post(number: int) -> int:
                items = [[number, index] for index in range(number % 7)]
                return await client.status(orjson.dumps(items))

            statuses = await asyncio.gather(*map(post, range(200)))
            assert set(statuses) == {202}
            expected = [[number, index] for number in range(200) for index in range(number % 7)]
            found = await inbox.has(len(expected))
            assert sorted(found) == expected
            for number in range(200):
                own = [index for owner, index in found if owner == number]
                assert own == sorted(own), "the items of a request keep their order"

    async def test_posting_to_it_with_the_sink(self) -> None:
        async with running() as (client, inbox, _):
            await rx.run(rx.range(3000).to(http.post(client.url, compression="gzip")))
            assert await inbox.has(3000) == list(range(3000))


class TestRefusing:
    async def test_a_broken_line_is_named_and_nothing_of_the_body_is_taken(self) -> None:
        async with running() as (client, inbox, _):
            status, told, _ = await client.post(b"1\n2\n{]\n", content_type="application/jsonl")
            assert status == 400
            assert told["line"] == 3 and "line 3: not valid JSON" in told["error"]
            status, told, _ = await client.post(b'[1,\n"a]')
            assert status == 400 and told["line"] == 2
            assert (await client.post(b""))[1]["error"].startswith("the body is empty")
            assert await client.status(b"7") == 202
            assert await inbox.has(1) == [7]

    async def test_gzip_that_is_cut_off_or_damaged(self) -> None:
        packed = gzip.compress(b"[1, 2, 3]")
        async with running() as (client, inbox, _):
            status, told, _ = await client.post(packed[:-5], content_encoding="gzip")
            assert status == 400 and "not whole" in told["error"]
            status, told, _ = await client.post(b"[1]", content_encoding="gzip")
            assert status == 400 and "not gzip" in told["error"]
            assert inbox.items == []

    async def test_bodies_above_the_limit(self) -> None:
        async with running(max_body=1000) as (client, inbox, _):
            status, told, _ = await client.post(b"[" + b" " * 1000 + b"]")
            assert status == 413 and told["max_body"] == 1000

            async def without_length() -> AsyncIterator[bytes]:
                for _ in range(200):
                    yield b" " * 100

            assert await client.status(without_length()) == 413
            bomb = gzip.compress(b"[" + b" " * 10_000_000 + b"]")
            assert await client.status(bomb, content_encoding="gzip") == 413
            assert await client.status(b"[1]") == 202
            assert await inbox.has(1) == [1]

    async def test_a_client_that_sends_far_too_much_hears_why(self) -> None:
        async with running() as (client, _, _run):
            assert await client.status(io.BytesIO(bytes(50_000_000))) == 413
            assert await client.status(b"[1]") == 202

    async def test_more_items_than_fit_at_all(self) -> None:
        async with running(limit=10) as (client, _, _run):
            status, told, _ = await client.post(orjson.dumps(list(range(11))))
            assert status == 413 and told["limit"] == 10
            assert await client.status(orjson.dumps(list(range(10)))) == 202

    async def test_types_and_encodings(self) -> None:
        async with running() as (client, _, _run):
            status, told, _ = await client.post(b"a=1", content_type="text/csv")
            assert status == 415 and "text/csv" in told["error"]
            status, _, headers = await client.post(b"x", content_encoding="br")
            assert status == 415 and headers["accept-encoding"] == "gzip"

    async def test_paths_and_methods(self) -> None:
        async with running(path="/in") as (client, _, _run):
            status, told, _ = await client.post(b"1", "/other")
            assert status == 404 and "post to /in" in told["error"]
            async with client.session.get(client.url + "/in") as answer:
                assert answer.status == 405 and answer.headers["allow"] == "POST"
            async with client.session.head(client.url + "/in") as answer:
                assert answer.status == 405

    async def test_without_a_pipeline(self) -> None:
        ingest = http.ingest(retry_after=2.5)
        async with serving(ingest) as client:
            status, told, headers = await client.post(b"[1]")
            assert status == 503 and "no pipeline" in told["error"]
            assert headers["retry-after"] == "3"
            async with ingest.stream.open() as items:
                reading = asyncio.ensure_future(anext(items))
                await attached(ingest)
                assert await client.status(b"[1]") == 202
                assert await reading == 1
            assert await client.status(b"[1]") == 503

    async def test_answers_are_counted(self) -> None:
        async with running() as (client, inbox, run):
            await client.status(b"[1]")
            await client.status(b"[1]")
            await client.status(b"nonsense")
            await inbox.has(2)
            counters = run.metrics()["http.ingest"].counters
            assert counters == {"status_202": 2, "status_400": 1}


class TestBackpressure:
    async def test_no_room(self) -> None:
        async with running(limit=10, retry_after=7) as (client, inbox, _):
            inbox.open.clear()
            assert await client.status(b"[1]") == 202
            accepted = 1
            while await client.status(b"[1, 2, 3, 4]") == 202:
                accepted += 4
                assert accepted < 1100
            status, told, headers = await client.post(b"[1, 2, 3, 4]")
            assert status == 429 and "no room" in told["error"]
            assert headers["retry-after"] == "7"
            inbox.open.set()
            await inbox.has(accepted)
            assert await client.status(b"[1, 2, 3, 4]") == 202

    async def test_all_of_a_request_or_nothing(self) -> None:
        ingest = http.ingest(limit=10)
        reader = ingest.stream.node.operator.source.reader(made_context())  # type: ignore[attr-defined]
        await reader.open()
        async with serving(ingest) as client:
            assert await client.status(b"[1, 2, 3, 4, 5, 6]") == 202
            assert await client.status(b"[7, 8, 9, 10, 11]") == 429
            assert await client.status(b"[7, 8, 9, 10]") == 202
            assert await client.status(b"[11]") == 429
            assert (await reader.read(3)).items == [1, 2, 3]
            assert await client.status(b"[11, 12, 13]") == 202
            assert (await reader.read(100)).items == [4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
            assert reader.held_bytes == 0
        await reader.close()

    async def test_room_is_bounded_in_bytes_too(self) -> None:
        ingest = http.ingest(format="raw", limit_bytes=1000, max_body=600)
        reader = ingest.stream.node.operator.source.reader(made_context())  # type: ignore[attr-defined]
        await reader.open()
        async with serving(ingest) as client:
            assert await client.status(b"a" * 600) == 202
            assert await client.status(b"b" * 600) == 429
            assert reader.held_bytes == 600, "what was refused is not held"
            assert await client.status(b"c" * 400) == 202
            assert await client.status(b"") == 429
            assert (await reader.read(1)).items == [b"a" * 600]
            assert reader.held_bytes == 400
            assert await client.status(b"d" * 600) == 202
            assert len((await reader.read(9)).items) == 2
            assert reader.held_bytes == 0
        await reader.close()

    async def test_bodies_under_way_count(self) -> None:
        ingest = http.ingest(format="raw", limit_bytes=1000, max_body=1000)
        reader = ingest.stream.node.operator.source.reader(made_context())  # type: ignore[attr-defined]
        await reader.open()
        async with serving(ingest) as client:
            incoming, outgoing = await raw(client.url)
            outgoing.write(
                b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n" + b"x" * 800
            )
            await until(lambda: reader.held_bytes == 800)
            assert await client.status(b"y" * 201) == 429
            assert await client.status(b"y" * 200) == 202
            outgoing.close()
            await until(lambda: reader.held_bytes == 200)
            assert await client.status(b"z" * 800) == 202
            assert reader.meter.counters["disconnects"] == 1
            assert await hung_up(incoming) == b""
        await reader.close()

    async def test_two_pipelines_in_a_row_hold_each_other_back_over_http(self) -> None:
        """The sink waits as the ingest asks it to, and everything arrives once, in order."""
        async with running(limit=50, retry_after=0.01) as (client, inbox, _):
            inbox.open.clear()
            retry = rx.Backoff(initial=0.01, maximum=0.02, attempts=None)
            sink = http.post(client.url, batch=25, retry=retry)
            async with rx.start(rx.range(2000).to(sink)) as sending:
                await asyncio.sleep(0.1)
                assert sending.running
                inbox.open.set()
                await sending.wait()
            assert await inbox.has(2000) == list(range(2000))


class TestFaults:
    @pytest.mark.virtual_time
    async def test_a_client_that_leaves_in_the_middle(self) -> None:
        async with running() as (client, inbox, run):
            incoming, outgoing = await raw(client.url)
            outgoing.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n[1, 2,")
            await asyncio.sleep(0.02)
            outgoing.transport.abort()
            assert await hung_up(incoming) == b""
            assert await client.status(b"[7]") == 202
            assert await inbox.has(1) == [7]
            assert run.metrics()["http.ingest"].counters["disconnects"] == 1

    async def test_a_body_that_takes_too_long(self) -> None:
        async with running(body_timeout=0.1) as (client, inbox, _):
            incoming, outgoing = await raw(client.url)
            outgoing.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n[1")
            answer = await hung_up(incoming)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"did not come within 0.1 seconds" in answer
            outgoing.close()
            assert inbox.items == []

    async def test_a_drip_of_bytes_does_not_win_time(self) -> None:
        async with running(body_timeout=0.2) as (client, _, run):
            incoming, outgoing = await raw(client.url)
            outgoing.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")

            async def drip() -> None:
                while True:
                    outgoing.write(b" ")
                    await asyncio.sleep(0.02)

            dripping = asyncio.ensure_future(drip())
            # Bytes that cross the answer may reset the connection before the client can read it.
            assert (await hung_up(incoming))[:13] in (b"HTTP/1.1 408 ", b"")
            assert run.metrics()["http.ingest"].counters == {"status_408": 1}
            dripping.cancel()
            outgoing.close()

    async def test_what_is_no_http(self) -> None:
        async with running() as (client, inbox, _):
            incoming, outgoing = await raw(client.url)
            outgoing.write(b"\x16\x03\x01 this is no request\r\n\r\n")
            assert (await hung_up(incoming)).startswith(b"HTTP/1.1 400 ")
            outgoing.close()
            assert await client.status(b"[1]") == 202
            assert await inbox.has(1) == [1]

    async def test_a_failing_pipeline_leaves_the_server_answering(self) -> None:
        def explode(item: Any) -> Any:
            raise ArithmeticError("no")

        ingest = http.ingest()
        async with serving(ingest) as client:
            with pytest.raises(ArithmeticError):
                async with rx.start(ingest.stream.map(explode).to(Inbox())) as run:
                    await attached(ingest)
                    assert await client.status(b"[1]") == 202
                    await run.wait()
            assert await client.status(b"[1]") == 503


class TestDraining:
    @pytest.mark.virtual_time
    async def test_what_was_answered_with_202_is_delivered(self) -> None:
        async with running(limit=100) as (client, inbox, run):
            inbox.open.clear()
            accepted: list[int] = []
            number = 0
            while await client.status(str(number).encode()) == 202:
                accepted.append(number)
                number += 1
            stopping = asyncio.ensure_future(run.stop(drain=True))
            await asyncio.sleep(0.02)
            status, told, headers = await client.post(b"[-1]")
            assert status == 503 and "no pipeline is taking items" in told["error"]
            assert headers["retry-after"] == "1"
            inbox.open.set()
            await stopping
            assert inbox.items == accepted

    @pytest.mark.virtual_time
    async def test_a_body_under_way_is_refused_at_once(self) -> None:
        async with running() as (client, inbox, run):
            incoming, outgoing = await raw(client.url)
            head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n"
            outgoing.write(head + b"[1")
            await asyncio.sleep(0.02)
            await asyncio.wait_for(run.stop(drain=True), 5)
            answer = await asyncio.wait_for(incoming.readuntil(b"}"), 5)
            assert answer.startswith(b"HTTP/1.1 503 ")
            outgoing.write(b"2]")
            outgoing.close()
            assert inbox.items == []

    async def test_a_body_that_is_being_parsed_is_refused(self) -> None:
        ingest = http.ingest(format="jsonl", limit=1_000_000)
        reader = ingest.stream.node.operator.source.reader(made_context())  # type: ignore[attr-defined]
        await reader.open()
        sent: list[Any] = []
        received = asyncio.Event()

        async def receive() -> Any:
            received.set()
            return {"type": "http.request", "body": b"123\n" * 250_000}

        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        serving = asyncio.ensure_future(ingest(scope, receive, _keep(sent)))
        await received.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not sent, "it is still being parsed"
        assert reader.stop()
        await serving
        assert sent[0]["status"] == 503
        assert await reader.read(10) is None
        assert reader.held_bytes == 0
        await reader.close()

    async def test_draining_under_fire_loses_nothing(self) -> None:
        ingest = http.ingest(limit=1000)
        inbox = Inbox()
        accepted: list[int] = []
        async with serving(ingest) as client:

            async def keep_posting(start: int) -> None:
                for number in range(start, start + 100_000):
                    if await client.status(str(number).encode()) != 202:
                        return
                    accepted.append(number)

            async with rx.start(ingest.stream.to(inbox)) as run:
                await attached(ingest)
                posting = [asyncio.ensure_future(keep_posting(n * 100_000)) for n in range(8)]
                await inbox.has(50)
                await run.stop(drain=True)
            await asyncio.gather(*posting)
        assert sorted(inbox.items) == sorted(accepted)


class TestMounting:
    async def test_starlette(self) -> None:
        ingest = http.ingest()
        inbox = Inbox()

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            async with rx.start(ingest.stream.to(inbox)) as run:
                yield
                await run.stop()

        async def home(request: Any) -> PlainTextResponse:
            return PlainTextResponse("home")

        routes = [Route("/", home), Mount("/ingest", app=ingest)]
        app = Starlette(routes=routes, lifespan=lifespan)
        async with serving(app) as client:
            assert await client.status(b"[1, 2]", "/ingest/") == 202
            assert await client.status(b"[3]", "/ingest") == 202
            assert await client.status(b"[3]", "/ingest/other") == 404
            async with client.session.get(client.url + "/") as answer:
                assert await answer.text() == "home"
        assert inbox.items == [1, 2, 3]

    async def test_fastapi(self) -> None:
        orders, events = http.ingest("/orders"), http.ingest("/events", format="jsonl")
        first, second = Inbox(), Inbox()

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with rx.start(orders.stream.to(first), events.stream.to(second)) as run:
                yield
                await run.stop()

        app = FastAPI(lifespan=lifespan)
        inner = FastAPI()
        inner.mount("/events", http_at_root := http.ingest())
        app.mount("/v1", orders)
        app.mount("/v2", events)
        app.mount("/v3", inner)
        async with serving(app) as client:
            assert await client.status(b"[1, 2]", "/v1/orders") == 202
            assert await client.status(b"[3]\n[4]", "/v2/events") == 202
            assert await client.status(b"[1]", "/v1/events") == 404
            assert await client.status(b"[1]", "/v3/events/") == 503
            assert "no pipeline" in repr(http_at_root)
        assert (first.items, second.items) == ([1, 2], [[3], [4]])

    async def test_below_a_root_path(self) -> None:
        ingest = http.ingest("/in")
        sent: list[Any] = []
        scope = {"type": "http", "method": "GET", "headers": [], "root_path": "/api/"}
        for path in ("/api/in", "/in", "/apiin", "/api"):
            await ingest({**scope, "path": path}, _never, _keep(sent))
        assert [it["status"] for it in sent if "status" in it] == [405, 405, 404, 404]

    async def test_lifespan_websockets_and_the_unknown(self) -> None:
        ingest = http.ingest()
        sent: list[Any] = []
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> Any:
            return next(messages)

        await ingest({"type": "lifespan"}, receive, _keep(sent))
        assert [it["type"] for it in sent] == [
            "lifespan.startup.complete",
            "lifespan.shutdown.complete",
        ]
        sent.clear()

        async def connect() -> Any:
            return {"type": "websocket.connect"}

        await ingest({"type": "websocket"}, connect, _keep(sent))
        assert sent == [{"type": "websocket.close", "code": 1000}]
        with pytest.raises(ValueError, match="does not understand the ASGI scope 'carrier pigeon'"):
            await ingest({"type": "carrier pigeon"}, receive, _keep(sent))


async def _never() -> Any:
    raise AssertionError("nothing should be received")


def _keep(sent: list[Any]) -> Callable[[Any], Awaitable[None]]:
    async def send(message: Any) -> None:
        sent.append(message)

    return send


def made_context() -> Context:
    return Context("ingest", None, Settings(), Meter("ingest"))


class TestDescribing:
    def test_checks(self) -> None:
        with pytest.raises(ValueError, match="path must begin with '/'"):
            http.ingest("in")
        with pytest.raises(ValueError, match="format must be one of 'json', 'jsonl', 'raw'"):
            http.ingest(format="xml")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="raise limit_bytes or lower max_body"):
            http.ingest(limit_bytes=10)
        with pytest.raises(ValueError, match="limit must be above 0"):
            http.ingest(limit=0)

    def test_what_explain_shows(self) -> None:
        shown = str(http.ingest("/in").stream.explain())
        assert "http.ingest" in shown and "/in" in shown and "10000 items" in shown

    def test_blueprints_can_be_pickled(self) -> None:
        copy = cloudpickle.loads(cloudpickle.dumps(http.ingest("/in")))
        assert repr(copy) == "<Ingest /in (json): no pipeline>"

    async def test_one_pipeline_at_a_time(self) -> None:
        ingest = http.ingest()
        async with rx.start(ingest.stream.to(Inbox())):
            await attached(ingest)
            with pytest.raises(rx.ConnectorError, match="already has a running pipeline"):
                await rx.run(ingest.stream.to(Inbox()))
            assert "running" in repr(ingest)
        assert "no pipeline" in repr(ingest)

    async def test_twice_within_one_run_fans_out(self) -> None:
        ingest = http.ingest()
        one, two = Inbox(), Inbox()
        async with (
            serving(ingest) as client,
            rx.start(ingest.stream.to(one), ingest.stream.to(two)) as run,
        ):
            await attached(ingest)
            assert await client.status(b"[1, 2]") == 202
            await run.stop()
        assert one.items == two.items == [1, 2]
