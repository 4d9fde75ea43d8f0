"""Server-Sent Events over real connections: reconnecting, ids, endings."""

import asyncio
import itertools
import zlib
from typing import Any

import pytest
from scripted_http_server import Act, reset_after, response, say, scripted, silent_after

import reactive as rx
from connectors import http
from reactive.context import Context, Settings
from reactive.metrics import Meter

pytestmark = pytest.mark.any_loop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;charset=windows-1252\r\n\r\n"
GONE = response(b"", "204 No Content")
QUICK = rx.Backoff(initial=0.01, maximum=0.01)


def sse(*parts: bytes) -> Act:
    return say(HEAD, *parts)


async def gather(stream: rx.Stream[http.Event], found: list[str]) -> None:
    """Keep the data of every event, also of those before a failure."""
    async with stream.open() as events:
        async for event in events:
            found.append(event.data)  # noqa: PERF401


def reader_of(stream: rx.Stream[Any], context: Context | None = None) -> Any:
    context = context or Context("events", None, Settings(), Meter("events"))
    return stream.node.operator.source.reader(context)  # type: ignore[attr-defined]


async def test_events_until_the_server_says_that_there_are_no_more() -> None:
    async with scripted(
        sse(b"retry: 10\n\nid: 1\ndata: a\n\n", b"event: tick\ndata: b\xe2\x80\xa6\n\ndata: lost"),
        sse(b"data: c\n\nid: 2\n\n"),
        sse(b": nothing\n"),
        GONE,
    ) as server:
        found = await http.events(server.url).collect()
        assert found == [
            http.Event("message", "a", "1"),
            http.Event("tick", "b…", "1"),
            http.Event("message", "c", "1"),
        ]
        asked = [request.headers.get("last-event-id") for request in server.requests]
        assert asked == [None, "1", "2", "2"]
        assert {request.headers["accept"] for request in server.requests} == {"text/event-stream"}


async def test_an_event_that_was_cut_off_does_not_move_the_id() -> None:
    async with scripted(sse(b"id: 1\ndata: a\n\nid: 2\ndata: b\n"), GONE) as server:
        assert len(await http.events(server.url, retry=QUICK).collect()) == 1
        assert server.requests[1].headers["last-event-id"] == "1"


async def test_ids_are_utf8() -> None:
    async with scripted(sse("id: größe 7\ndata: a\n\n".encode()), GONE) as server:
        await http.events(server.url, retry=QUICK).collect()
        asked = server.requests[1].headers["last-event-id"]
        assert asked.encode("latin-1").decode() == "größe 7"


async def test_breaks_of_all_kinds_are_mended() -> None:
    async with scripted(
        response(b"", "502 Bad Gateway"),
        sse(b"data: 1\n\n"),
        reset_after(HEAD, b"data: 2\n\n"),
        say(),
        say(),
        sse(b"data: 3\n\n"),
        response(b"", "503 Service Unavailable", retry_after=0),
        GONE,
    ) as server:
        context = Context("events", None, Settings(), Meter("events"))
        reader = reader_of(http.events(server.url, retry=QUICK), context)
        await reader.open()
        found = []
        while (chunk := await reader.read(10)) is not None:
            found += [event.data for event in chunk.items]
        await reader.close()
        assert found == ["1", "2", "3"]
        assert context.meter.counters["reconnects"] == 2
        assert context.meter.counters["retries"] >= 6


async def test_events_that_came_before_a_reset_are_given_before_it() -> None:
    """Also where they wait unread when the connection breaks."""
    read_one, broken = asyncio.Event(), asyncio.Event()

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD.replace(b"\r\n\r\n", b"\r\ncontent-length: 10000\r\n\r\n"))
        writer.write(b"data: 1\n\n")
        await read_one.wait()
        writer.write(b"data: 2\n\n")
        writer.close()
        await writer.wait_closed()
        broken.set()

    async with scripted(act, GONE) as server:
        async with http.events(server.url, retry=QUICK).open() as events:
            found = []
            async for event in events:
                found.append(event.data)
                if event.data == "1":
                    read_one.set()
                    await broken.wait()
                    await asyncio.sleep(0.02)
        assert found == ["1", "2"]


async def test_compressed_events_come_one_by_one() -> None:
    head = HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    second = asyncio.Event()

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packing = zlib.compressobj(wbits=31)
        writer.write(head)
        writer.write(packing.compress(b"data: 1\n\n") + packing.flush(zlib.Z_SYNC_FLUSH))
        await second.wait()
        writer.write(packing.compress(b"data: 2\n\n") + packing.flush())
        writer.close()

    async with scripted(act) as server:
        async with http.events(server.url, retry=None).open() as events:
            found = []
            async for event in events:
                found.append(event.data)
                second.set()
        assert found == ["1", "2"]


async def test_without_retry_the_end_is_the_end() -> None:
    async with scripted(sse(b"data: 1\n\ndata: 2\n\n")) as server:
        assert len(await http.events(server.url, retry=None).collect()) == 2
        assert len(server.requests) == 1


async def test_without_retry_a_break_is_a_failure() -> None:
    head = HEAD.replace(b"\r\n\r\n", b"\r\ncontent-length: 1000\r\n\r\n")
    async with scripted(say(head, b"data: 1\n\n")) as server:
        found: list[str] = []
        with pytest.raises(http.HttpError, match="broke off after 9 bytes"):
            await gather(http.events(server.url, retry=None), found)
        assert found == ["1"]


async def test_giving_up() -> None:
    async with scripted(sse(b"data: 1\n\n"), say()) as server:
        retry = rx.Backoff(initial=0.01, maximum=0.01, attempts=2)
        found: list[str] = []
        with pytest.raises(http.HttpError, match="closed the connection without an answer"):
            await gather(http.events(server.url, retry=retry), found)
        assert found == ["1"]


async def test_another_content_type_is_an_error() -> None:
    async with scripted(response(b"<html>hello", content_type="text/html")) as server:
        with pytest.raises(
            http.HttpError,
            match=r"no stream of events: its Content-Type is text/html.*'<html>hello'",
        ):
            await http.events(server.url).collect()
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "201 Created", "401 Unauthorized"])
async def test_a_status_that_will_not_pass_is_an_error(status: str) -> None:
    async with scripted(response(b"no", status, content_type="text/event-stream")) as server:
        with pytest.raises(http.HttpStatusError, match=status):
            await http.events(server.url).collect()
        assert len(server.requests) == 1


async def test_an_event_above_the_limit() -> None:
    async with scripted(sse(b"data: 1\n\ndata: " + b"x" * 1000)) as server:
        reader = reader_of(http.events(server.url, max_event=100))
        await reader.open()
        found = []
        with pytest.raises(rx.FrameTooLongError, match=r"^http://127.*max_event=100"):
            while True:
                found += (await reader.read(10)).items
        await reader.close()
        assert found == [http.Event("message", "1")]


async def test_silence() -> None:
    async with scripted(silent_after(HEAD, b"data: 1\n\n"), sse(b"data: 2\n\n"), GONE) as server:
        stream = http.events(server.url, silence=0.05, retry=QUICK)
        assert [event.data for event in await stream.collect()] == ["1", "2"]


async def test_a_quiet_server_is_not_given_up(virtual_time: Any) -> None:
    quiet_for_a_day = say(HEAD, b"data: 1\n\n", 86_400.0, b"data: 2\n\n")
    async with scripted(quiet_for_a_day, GONE) as server:
        found = await http.events(server.url, timeout=5).collect()
        assert [event.data for event in found] == ["1", "2"]
        assert 86_400 <= virtual_time.now < 86_500


async def test_waits_between_connections(virtual_time: Any) -> None:
    begun: list[float] = []

    def at(act: Act) -> Act:
        async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            begun.append(virtual_time.now)
            await act(reader, writer)

        return noting

    retry = rx.Backoff(initial=1, maximum=100, jitter=0)
    async with scripted(
        at(sse(b"data: 1\n\n")),
        at(sse(b"data: 2\n\n")),
        at(sse(b"retry: 7000\n\ndata: 3\n\n")),
        at(say(response(b"", "503 Busy", close=True))),
        at(say(response(b"", "503 Busy", close=True, retry_after=50))),
        at(say(response(b"", "503 Busy", close=True))),
        at(say(response(b"", "503 Busy", close=True))),
        at(say(GONE)),
    ) as server:
        await http.events(server.url, retry=retry).collect()
    waits = [round(after - before) for before, after in itertools.pairwise(begun)]
    assert waits == [1, 1, 7, 7, 50, 8, 16]


async def test_positions_go_on_after_what_was_delivered() -> None:
    text = b"data: 0\n\nid: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\nid: 4\n\n"
    async with scripted(sse(text)) as server:
        reader = reader_of(http.events(server.url, last_event_id="start", retry=None))
        assert reader.position() == "start"
        await reader.open()
        positions = []
        while (chunk := await reader.read(1)) is not None:
            positions.append((chunk.items[0].data, reader.position()))
        await reader.close()
        assert positions == [("0", "start"), ("a", "1"), ("b", "2"), ("c", "4")]
        assert server.requests[0].headers["last-event-id"] == "start"
        again = reader_of(http.events(server.url, retry=None))
        await again.open()
        await again.seek("2")
        await again.read(10)
        await again.close()
        assert server.requests[1].headers["last-event-id"] == "2"


async def test_draining_gives_what_was_received_and_ends() -> None:
    async with scripted(silent_after(HEAD, b"data: 1\n\ndata: 2\n\n")) as server:
        reader = reader_of(http.events(server.url))
        await reader.open()
        assert (await reader.read(1)).items[0].data == "1"
        assert reader.stop()
        assert (await reader.read(1)).items[0].data == "2"
        assert await reader.read(1) is None
        await reader.close()


@pytest.mark.parametrize("state", ["connecting", "connected", "between"])
async def test_draining_while_waiting(state: str) -> None:
    act = {
        "connecting": silent_after(),
        "connected": silent_after(HEAD),
        "between": say(response(b"", "503 Busy", close=True)),
    }[state]
    async with scripted(act) as server:
        stream = http.events(server.url, retry=rx.Backoff(initial=1000, maximum=1000))
        async with rx.start(stream.to(_Nowhere())) as run:
            await server.requested()
            await asyncio.sleep(0.02)
            await asyncio.wait_for(run.stop(drain=True), 5)


class _Nowhere(rx.Sink[Any]):
    def writer(self, context: Context) -> rx.Writer[Any]:
        class Discard(rx.Writer[Any]):
            async def write(self, chunk: rx.Chunk[Any]) -> None:
                pass

        return Discard()


def test_describing() -> None:
    with pytest.raises(ValueError, match="a last event id is one line"):
        http.events("http://a", last_event_id="a\nb")
    with pytest.raises(ValueError, match="max_event must be at least 1"):
        http.events("http://a", max_event=0)
    with pytest.raises(ValueError, match="silence must be above 0"):
        http.events("http://a", silence=0)
    assert http.events("http://a").node.operator.source.replayable  # type: ignore[attr-defined]
