"""The sink that posts: batches, concurrency, retries, refusals, against real servers."""

import asyncio
import gzip
from collections import Counter
from typing import Any

import cloudpickle
import orjson
import pytest
from scripted_http_server import (
    Act,
    Server,
    date_in,
    reset_after,
    response,
    say,
    scripted,
    silent_after,
)

import reactive as rx
from connectors import http
from reactive.context import Context, Settings
from reactive.metrics import Meter

pytestmark = pytest.mark.any_loop

TAKEN = response(b"", "202 Accepted")
BUSY = response(b"", "503 Service Unavailable")
QUICK = rx.Backoff(initial=0.01, maximum=0.01, attempts=3)


def writer_of(sink: rx.Sink[Any], context: Context | None = None) -> rx.Writer[Any]:
    return sink.writer(context or Context("post", None, Settings(), Meter("post")))


async def write_all(sink: rx.Sink[Any], *chunks: list[Any]) -> rx.Writer[Any]:
    writer = writer_of(sink)
    await writer.open()
    try:
        for items in chunks:
            await writer.write(rx.Chunk(items))
        await writer.finish()
    finally:
        await writer.close()
    return writer


def lines_of(server: Server) -> list[list[Any]]:
    return [[orjson.loads(line) for line in it.body.splitlines()] for it in server.requests]


class TestBodies:
    async def test_json_lines(self) -> None:
        async with scripted(TAKEN) as server:
            stream = rx.range(7)
            await rx.run(stream.to(http.post(f"{server.url}/in", headers={"X-Mine": "1"})))
            assert [line for lines in lines_of(server) for line in lines] == list(range(7))
            request = server.requests[0]
            assert (request.method, request.target) == ("POST", "/in")
            assert request.headers["content-type"] == "application/x-ndjson"
            assert request.headers["x-mine"] == "1"
            assert request.body.endswith(b"\n")
            assert server.connections == 1

    async def test_batches(self) -> None:
        async with scripted(TAKEN) as server:
            writer = await write_all(http.post(server.url, batch=3), list(range(7)), [7])
            assert lines_of(server) == [[0, 1, 2], [3, 4, 5], [6], [7]]
            assert writer.position() == 8

    async def test_batches_are_bounded_in_bytes(self) -> None:
        items = ["a" * 30, "b" * 30, "c" * 30, "d" * 500, "e"]
        async with scripted(TAKEN) as server:
            await write_all(http.post(server.url, max_body=100), items)
            assert lines_of(server) == [items[:3], items[3:4], items[4:]]
            assert [len(it.body) <= 100 for it in server.requests] == [True, False, True]

    async def test_a_large_item(self) -> None:
        async with scripted(BUSY, TAKEN) as server:
            await write_all(http.post(server.url, retry=QUICK), ["x" * 3_000_000])
            assert [len(it.body) for it in server.requests] == [3_000_003, 3_000_003]

    async def test_json(self) -> None:
        async with scripted(TAKEN) as server:
            await write_all(http.post(server.url, format="json", batch=2), [{"a": 1}, 2, 3])
            await write_all(http.post(server.url, format="json", batch=1), [{"a": 1}, [2]])
            bodies = [orjson.loads(it.body) for it in server.requests]
            assert bodies == [[{"a": 1}, 2], [3], {"a": 1}, [2]]
            assert server.requests[0].headers["content-type"] == "application/json"

    async def test_raw(self) -> None:
        headers = {"content-type": "image/png"}
        async with scripted(TAKEN) as server:
            await write_all(http.post(server.url, format="raw"), [b"one", b"", bytearray(b"two")])
            await write_all(http.post(server.url, format="raw", headers=headers), [b"three"])
            assert [it.body for it in server.requests] == [b"one", b"", b"two", b"three"]
            kinds = [it.headers["content-type"] for it in server.requests]
            assert kinds == ["application/octet-stream"] * 3 + ["image/png"]

    @pytest.mark.parametrize("count", [3, 20_000])
    async def test_compression(self, count: int) -> None:
        async with scripted(TAKEN) as server:
            sink = http.post(server.url, compression="gzip", batch=count)
            await write_all(sink, list(range(count)))
            (request,) = server.requests
            assert request.headers["content-encoding"] == "gzip"
            lines = gzip.decompress(request.body).splitlines()
            assert list(map(int, lines)) == list(range(count))

    async def test_the_users_default(self) -> None:
        async with scripted(TAKEN) as server:
            await write_all(http.post(server.url, default=lambda item: [item.real]), [1 + 2j])
            assert lines_of(server) == [[[1.0]]]

    async def test_an_item_that_is_no_json_comes_after_the_items_before_it(self) -> None:
        async with scripted(TAKEN) as server:
            with pytest.raises(TypeError, match="not JSON serializable") as caught:
                await write_all(http.post(server.url, batch=2), [1, 2, 3, object(), 5])
            assert "http.post: the item that cannot be sent is <object" in caught.value.__notes__[0]
            assert lines_of(server) == [[1, 2], [3]]

    async def test_an_item_that_is_no_bytes(self) -> None:
        async with scripted(TAKEN) as server:
            with pytest.raises(TypeError, match=r"an item is bytes, not str; .*str\.encode"):
                await write_all(http.post(server.url, format="raw"), ["x"])


class TestConcurrency:
    async def test_so_many_requests_at_once_and_no_more(self) -> None:
        under_way, most = 0, 0
        full = asyncio.Event()

        async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            if under_way == 4:
                full.set()
            await full.wait()
            await asyncio.sleep(0.005)
            under_way -= 1
            writer.write(TAKEN)

        async with scripted(act) as server:
            sink = http.post(server.url, batch=5, concurrency=4)
            writer = await write_all(sink, list(range(100)))
            assert most == 4
            assert server.connections == 4
            found = Counter(item for lines in lines_of(server) for item in lines)
            assert found == Counter(range(100))
            assert writer.position() == 100

    async def test_large_items_go_side_by_side_too(self) -> None:
        under_way, both = 0, asyncio.Event()

        async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal under_way
            under_way += 1
            if under_way == 2:
                both.set()
            await both.wait()
            writer.write(TAKEN)

        async with scripted(act) as server:
            sink = http.post(server.url, max_body=100, concurrency=2)
            await write_all(sink, ["x" * 90, "y" * 90])
            assert len(server.requests) == 2

    async def test_after_a_refusal_nothing_new_is_begun_and_what_is_under_way_arrives(self) -> None:
        refused, release = asyncio.Event(), asyncio.Event()

        async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if server.requests[-1].body == b"1\n":
                writer.write(response(b"no", "400 Bad Request"))
                refused.set()
            else:
                await release.wait()
                writer.write(TAKEN)

        async with scripted(act) as server:
            sink = http.post(server.url, batch=1, concurrency=2)
            writer = writer_of(sink)
            await writer.open()
            writing = asyncio.ensure_future(writer.write(rx.Chunk([0, 1, 2, 3])))
            await refused.wait()
            # Time enough for the refusal to be read, on a machine with other work, too.
            await asyncio.sleep(0.5)
            release.set()
            with pytest.raises(http.HttpStatusError, match="400 Bad Request"):
                await writing
            await writer.close()
            assert sorted(lines_of(server)) == [[0], [1]]
            assert writer.position() == 1

    async def test_cancelling_hangs_up(self) -> None:
        async with scripted(silent_after()) as server:
            writer = writer_of(http.post(server.url, batch=1, concurrency=3))
            await writer.open()
            writing = asyncio.ensure_future(writer.write(rx.Chunk([1, 2, 3, 4])))
            await server.requested(3)
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            await writer.close()
            assert len(server.requests) == 3


class TestFaults:
    @pytest.mark.parametrize(
        "failure",
        [
            BUSY,
            response(b"", "500 Internal Server Error"),
            response(b"", "429 Too Many Requests", retry_after=0),
            response(b"", "408 Request Timeout", close=True),
            say(),
            reset_after(),
        ],
    )
    async def test_what_may_pass_is_tried_again(self, failure: bytes | Act) -> None:
        context = Context("post", None, Settings(), Meter("post"))
        async with scripted(failure, failure, TAKEN) as server:
            writer = writer_of(http.post(server.url, retry=QUICK), context)
            await writer.open()
            await writer.write(rx.Chunk([1, 2]))
            await writer.close()
            assert lines_of(server) == [[1, 2]] * 3
            assert context.meter.counters == {"retries": 2, "requests": 1}

    @pytest.mark.virtual_time
    async def test_a_server_that_does_not_answer_is_tried_again(self) -> None:
        async with scripted(silent_after(), TAKEN) as server:
            await write_all(http.post(server.url, retry=QUICK, timeout=5), [1])
            assert len(server.requests) == 2

    async def test_retry_after(self, virtual_time: Any) -> None:
        now = 1_700_000_000.0
        async with scripted(
            response(b"", "429 Too Many Requests", retry_after="10"),
            response(b"", "503 Busy", retry_after=date_in(20, now), date=date_in(0, now)),
            response(b"", "503 Busy", retry_after="nonsense"),
            TAKEN,
        ) as server:
            retry = rx.Backoff(initial=1, maximum=4, jitter=0, attempts=3)
            await write_all(http.post(server.url, retry=retry), [1])
            assert virtual_time.now == 10 + 20 + 4

    @pytest.mark.parametrize(
        "status", ["400 Bad Request", "401 Unauthorized", "404 Not Found", "413 Too Large"]
    )
    async def test_a_refusal_is_final(self, status: str) -> None:
        async with scripted(TAKEN, response(b'{"error": "line 1"}', status)) as server:
            with pytest.raises(http.HttpStatusError) as caught:
                await write_all(http.post(f"{server.url}/in", batch=2), [1, 2], [3, 4, 5])
            message = str(caught.value)
            assert f"{server.url}/in: POST was answered with {status}" in message
            assert "line 1" in message
            assert caught.value.__notes__ == ["2 items were refused, after 2 were taken"]
            assert len(server.requests) == 2

    async def test_giving_up(self) -> None:
        async with scripted(BUSY) as server:
            with pytest.raises(http.HttpStatusError, match="503") as caught:
                await write_all(http.post(server.url, retry=QUICK), [1])
            assert "gave up after 4 attempts" in caught.value.__notes__
            assert len(server.requests) == 4

    async def test_connection_refused(self) -> None:
        with pytest.raises(http.HttpError, match="cannot connect: Connection refused"):
            await write_all(http.post("http://127.0.0.1:1", retry=None), [1])

    @pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary"])
    async def test_a_redirect_is_not_followed(self, status: str) -> None:
        async with scripted(response(b"", status, location="https://elsewhere/in")) as server:
            with pytest.raises(http.HttpStatusError, match="has moved to https://elsewhere/in"):
                await write_all(http.post(server.url), [1])
            assert len(server.requests) == 1

    async def test_an_answer_that_breaks_off_after_a_success_is_a_success(self) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome"
        async with scripted(say(head)) as server:
            await write_all(http.post(server.url, retry=QUICK), [1])
            assert len(server.requests) == 1

    async def test_a_failure_ends_the_run_and_names_the_job(self) -> None:
        async with scripted(response(b"", "400 Bad Request")) as server:
            with pytest.raises(http.HttpStatusError):
                await rx.run(rx.range(5).to(http.post(server.url)))

    async def test_a_slow_server_holds_the_pipeline_back(self) -> None:
        taken, release = [], asyncio.Event()

        async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await release.wait()
            writer.write(TAKEN)

        async def numbers() -> Any:
            for number in range(1000):
                taken.append(number)
                yield number

        async with scripted(act) as server:
            job = rx.from_async_iterable(numbers()).to(http.post(server.url))
            async with rx.start(job) as run:
                await server.requested()
                await asyncio.sleep(0.05)
                before = len(taken)
                assert before < 1000
                release.set()
                await run.wait()
            assert sum(len(lines) for lines in lines_of(server)) == 1000


class TestDescribing:
    def test_checks(self) -> None:
        with pytest.raises(ValueError, match="format must be one of 'jsonl', 'json', 'raw'"):
            http.post("http://a", format="xml")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="give batch=1"):
            http.post("http://a", format="raw", batch=2)
        with pytest.raises(ValueError, match="concurrency must be at least 1"):
            http.post("http://a", concurrency=0)
        with pytest.raises(ValueError, match="compression must be None or 'gzip'"):
            http.post("http://a", compression="br")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="OPT_INDENT_2"):
            http.post("http://a", option=orjson.OPT_INDENT_2)
        with pytest.raises(ValueError, match=r"^http\.post: 'nowhere' is not an address"):
            http.post("nowhere")

    async def test_blueprints_can_be_pickled(self) -> None:
        async with scripted(TAKEN) as server:
            sink = http.post(server.url, headers={"a": "b"})
            await write_all(cloudpickle.loads(cloudpickle.dumps(sink)), [1])
            assert lines_of(server) == [[1]]
