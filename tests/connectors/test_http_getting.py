"""Fetching one body: blocks, lines and JSON values, and every way a fetch can break."""

import asyncio
import bz2
import gzip
import logging
import ssl
import sys
from typing import Any

import aiohttp
import cloudpickle
import orjson
import pytest
import trustme
from aiohttp import web
from scripted_http_server import (
    date_in,
    reset_after,
    response,
    say,
    scripted,
    silent_after,
)

import reactive as rx
from connectors import http
from connectors.compression import Compressor
from reactive.context import Context, Settings
from reactive.metrics import Meter

pytestmark = pytest.mark.any_loop

QUICK = rx.Backoff(initial=0.01, maximum=0.01, attempts=2)


def made_context(name: str = "fetch") -> Context:
    return Context(name, None, Settings(), Meter(name))


async def read_all(source: Any, limit: int = 1024) -> tuple[list[Any], Exception | None]:
    """What a stream's reader gives, and the error it ends with."""
    reader = source.node.operator.source.reader(made_context())
    items: list[Any] = []
    try:
        await reader.open()
        while (chunk := await reader.read(limit)) is not None:
            assert 0 < len(chunk.items) <= limit
            items += chunk.items
    except Exception as error:
        return items, error
    finally:
        await reader.close()
    return items, None


async def test_a_body_comes_as_bytes_lines_and_json() -> None:
    body = b'{"a": 1}\r\n\n{"a": 2}\n{"a": 3}'
    async with scripted(response(body)) as server:
        assert b"".join(await http.get_bytes(server.url).collect()) == body
        assert await http.get_lines(server.url).collect() == [
            '{"a": 1}',
            "",
            '{"a": 2}',
            '{"a": 3}',
        ]
        assert await http.get_lines(server.url, encoding=None).take(1).collect() == [b'{"a": 1}']
        assert await http.get_jsonl(server.url).collect() == [{"a": 1}, {"a": 2}, {"a": 3}]


async def test_an_empty_body_is_an_empty_stream() -> None:
    async with scripted(response(b"")) as server:
        assert await http.get_bytes(server.url).collect() == []
        assert await http.get_lines(server.url).collect() == []
        assert await http.get_jsonl(server.url).collect() == []


async def test_what_is_asked() -> None:
    async with scripted(response(b"")) as server:
        url = f"{server.url}/path?x=1&y=2"
        parameters = {"headers": {"X-Mine": "1"}, "params": {"y": 3, "z": "a b"}}
        await http.get_bytes(url, **parameters).collect()  # type: ignore[arg-type]
        request = server.requests[0]
        assert request.method == "GET"
        assert request.target == "/path?x=1&y=3&z=a+b"
        assert request.headers["x-mine"] == "1"
        assert "gzip" in request.headers["accept-encoding"]


@pytest.mark.parametrize("limit", [1, 3, 1024])
async def test_no_chunk_is_above_the_limit(limit: int) -> None:
    lines = [f"line {number}" for number in range(10_000)]
    async with scripted(response("\n".join(lines).encode())) as server:
        assert await read_all(http.get_lines(server.url), limit) == (lines, None)


class TestEncodings:
    async def test_content_encoding_is_undone(self) -> None:
        lines = [f"line {number}" for number in range(50_000)]
        text = "\n".join(lines).encode()
        zstd = Compressor("zstd")
        async with scripted(
            response(gzip.compress(text), content_encoding="gzip"),
            response(gzip.compress(text), content_encoding="X-GZIP"),
            response(zstd.compress(text) + zstd.finish(), content_encoding="zstd"),
            response(text, content_encoding="identity"),
        ) as server:
            for _ in range(4):
                assert await http.get_lines(server.url).collect() == lines

    async def test_a_compressed_file_is_recognised(self) -> None:
        lines = [f"line {number}" for number in range(1000)]
        text = "\n".join(lines).encode()
        packed = gzip.compress(text[:700]) + gzip.compress(text[700:])
        async with scripted(
            response(packed, content_type="application/gzip"),
            response(gzip.compress(packed), content_encoding="gzip"),
            say(
                f"HTTP/1.1 200 OK\r\ncontent-length: {len(packed)}\r\n\r\n".encode(),
                packed[:1],
                0.01,
                packed[1:2],
                0.01,
                packed[2:],
            ),
        ) as server:
            for _ in range(3):
                assert await http.get_lines(server.url).collect() == lines
            assert b"".join(await http.get_bytes(server.url).collect()) == packed

    async def test_a_bzip2_file_is_refused_with_the_fix(self) -> None:
        async with scripted(response(bz2.compress(b"x\n"))) as server:
            with pytest.raises(rx.ConnectorError, match=r"is a bz2 file.*files\.read_lines"):
                await http.get_lines(server.url).collect()

    async def test_an_encoding_that_nobody_asked_for(self) -> None:
        async with scripted(response(b"x", content_encoding="br")) as server:
            with pytest.raises(http.HttpError, match="'br', which nobody asked for"):
                await http.get_lines(server.url).collect()

    async def test_charsets(self) -> None:
        async with scripted(
            response("grün\nblau".encode("latin-1"), content_type="text/plain; charset=latin-1"),
            response("grün\nblau".encode("utf-16"), content_type="text/plain; charset=utf-16"),
            response(b"\xef\xbb\xbf" + "grün\nblau".encode()),
        ) as server:
            for _ in range(3):
                assert await http.get_lines(server.url).collect() == ["grün", "blau"]

    async def test_an_unknown_charset(self) -> None:
        async with scripted(response(b"x", content_type="text/plain; charset=klingon")) as server:
            with pytest.raises(rx.DecodeError, match=r"charset 'klingon'.* encoding="):
                await http.get_lines(server.url).collect()
            assert await http.get_lines(server.url, encoding="ascii").collect() == ["x"]


class TestBadContent:
    async def test_a_broken_json_line_names_itself_after_the_lines_before_it(self) -> None:
        body = b'{"a": 1}\n\n{"a": 2}\n{"a": }\n{"a": 4}\n'
        async with scripted(response(body)) as server:
            items, error = await read_all(http.get_jsonl(server.url))
            assert items == [{"a": 1}, {"a": 2}]
            assert isinstance(error, rx.DecodeError)
            assert f"{server.url}, line 4" in str(error)

    async def test_a_broken_json_line_goes_where_the_policy_says(self) -> None:
        bad = rx.SideOutput[rx.DeadLetter[bytes]]("bad")
        body = b'{"a": 1}\n{"a": }\n{"a": 3}\n'
        async with scripted(response(body)) as server:
            assert await http.get_jsonl(server.url, on_error="skip").collect() == [
                {"a": 1},
                {"a": 3},
            ]
            both = http.get_jsonl(server.url, on_error=bad).merge(bad.map(lambda it: it.item))
            assert sorted(map(str, await both.collect())) == [
                """b'{"a": }'""",
                "{'a': 1}",
                "{'a': 3}",
            ]

    async def test_a_line_that_is_no_text(self) -> None:
        async with scripted(response(b"good\nb\xffd\n")) as server:
            items, error = await read_all(http.get_lines(server.url))
            assert items == ["good"]
            assert isinstance(error, rx.DecodeError) and f"{server.url}, line 2" in str(error)
            replaced = http.get_lines(server.url, errors="replace")
            assert await replaced.collect() == ["good", "b\N{REPLACEMENT CHARACTER}d"]

    async def test_a_line_above_the_limit(self) -> None:
        async with scripted(response(b"good\n" + b"x" * 1_000_000)) as server:
            items, error = await read_all(http.get_lines(server.url, max_line_bytes=1000))
            assert items == ["good"]
            assert isinstance(error, rx.FrameTooLongError) and f"{server.url}, line 2" in str(error)

    async def test_the_users_parser(self) -> None:
        async with scripted(response(b"1\n2\n")) as server:
            numbers = http.get_jsonl(server.url, parse=lambda line: int(orjson.loads(line)) * 10)
            assert await numbers.collect() == [10, 20]


class TestFaults:
    async def test_connection_refused(self) -> None:
        with pytest.raises(
            http.HttpError, match=r"^http://127\.0\.0\.1:1/x: cannot connect: Connection refused"
        ) as caught:
            await http.get_bytes("http://127.0.0.1:1/x", retry=None).collect()
        assert caught.value.retriable

    async def test_an_unknown_host(self) -> None:
        with pytest.raises(http.HttpError, match=r"^http://nowhere\.invalid: cannot resolve"):
            await http.get_bytes("http://nowhere.invalid", retry=None).collect()

    async def test_an_error_status_names_address_status_and_body(self) -> None:
        async with scripted(response(b"<p>gone\nfor good", "410 Gone")) as server:
            with pytest.raises(http.HttpStatusError) as caught:
                await http.get_lines(f"{server.url}/a").collect()
            error = caught.value
            assert f"{server.url}/a: GET was answered with 410 Gone" in str(error)
            assert "'<p>gone for good'" in str(error)
            assert (error.status, error.body) == (410, b"<p>gone\nfor good")
            assert len(server.requests) == 1, "it is no use to ask again"

    async def test_an_error_whose_body_breaks_off_is_still_that_error(self) -> None:
        head = b"HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\nonly this"
        async with scripted(say(head)) as server:
            with pytest.raises(http.HttpStatusError, match=r"404 Not Found.*'only this'"):
                await http.get_lines(server.url).collect()

    async def test_a_reset_gives_what_came_before_it(self) -> None:
        ready = asyncio.Event()
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"
        async with scripted(reset_after(head, b"one\ntwo\nthr", wait=ready)) as server:
            reader = http.get_lines(server.url).node.operator.source.reader(made_context())
            await reader.open()
            try:
                chunk = await reader.read(10)
                assert chunk.items == ["one", "two"]
                ready.set()
                with pytest.raises(http.HttpError, match="the body broke off after 11 bytes"):
                    await reader.read(10)
            finally:
                await reader.close()

    async def test_what_waited_unread_when_the_connection_broke_is_given(self) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"
        one_read, broken = asyncio.Event(), asyncio.Event()

        async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(head + b"one\n")
            await one_read.wait()
            writer.write(b"two\n")
            writer.close()
            await writer.wait_closed()
            broken.set()

        async with scripted(break_off) as server:
            reader = http.get_lines(server.url).node.operator.source.reader(made_context())
            await reader.open()
            try:
                assert (await reader.read(10)).items == ["one"]
                one_read.set()
                await broken.wait()
                await asyncio.sleep(0.02)
                assert (await reader.read(10)).items == ["two"]
                with pytest.raises(
                    http.HttpError, match="broke off after 8 bytes: the connection ended early"
                ):
                    await reader.read(10)
            finally:
                await reader.close()

    async def test_truncated_gzip_gives_what_came_before_the_cut(self) -> None:
        text = b"".join(b"line %d\n" % number for number in range(20_000))
        packed = gzip.compress(text)[:-2000]
        async with scripted(response(packed, content_encoding="gzip"), response(packed)) as server:
            for _ in range(2):
                items, error = await read_all(http.get_lines(server.url))
                assert len(items) > 10_000
                assert items == text.decode().splitlines()[: len(items)]
                assert isinstance(error, rx.TruncatedError)
                assert str(error).startswith(f"{server.url}: ") and "cut off" in str(error)
                assert str(error).count(server.url) == 1

    async def test_damaged_gzip(self) -> None:
        packed = bytearray(gzip.compress(bytes(range(256)) * 100))
        packed[40:50] = bytes(10)
        async with scripted(response(bytes(packed), content_encoding="gzip")) as server:
            with pytest.raises(rx.DecodeError, match=r"^http://127.* damaged"):
                await http.get_bytes(server.url).collect()

    @pytest.mark.virtual_time
    async def test_no_answer(self) -> None:
        async with scripted(silent_after()) as server:
            with pytest.raises(http.HttpError, match="no answer within 5 s"):
                await http.get_bytes(server.url, timeout=5, retry=None).collect()

    @pytest.mark.virtual_time
    async def test_a_body_that_stalls(self) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"
        async with scripted(silent_after(head, b"one\ntwo")) as server:
            items, error = await read_all(http.get_lines(server.url, timeout=5))
            assert items == ["one"]
            assert isinstance(error, http.HttpError)
            assert "the body broke off after 7 bytes: nothing came for 5 s" in str(error)

    @pytest.mark.virtual_time
    async def test_a_slow_pipeline_is_no_stall(self) -> None:
        size = 5_000_000
        async with scripted(response(b"x" * size)) as server:
            total = 0
            async with http.get_bytes(server.url, timeout=10).open() as blocks:
                async for block in blocks:
                    if not total:
                        await asyncio.sleep(30)
                    total += len(block)
            assert total == size

    async def test_what_is_no_http(self) -> None:
        async with scripted(say(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")) as server:
            with pytest.raises(http.HttpError, match="not HTTP as it should be") as caught:
                await http.get_bytes(server.url).collect()
            assert not caught.value.retriable and len(server.requests) == 1

    async def test_hanging_up_without_an_answer(self) -> None:
        async with scripted(say()) as server:
            with pytest.raises(http.HttpError, match="closed the connection without an answer"):
                await http.get_bytes(server.url, retry=None).collect()

    async def test_a_circle_of_redirects(self) -> None:
        async with scripted(response(b"", "302 Found", location="/")) as server:
            with pytest.raises(http.HttpError, match="redirected in a circle"):
                await http.get_bytes(server.url).collect()

    async def test_redirects_are_followed(self) -> None:
        async with scripted(
            response(b"", "302 Found", location="/there"), response(b"x\n")
        ) as server:
            assert await http.get_lines(server.url).collect() == ["x"]
            assert server.requests[1].target == "/there"

    async def test_the_extra_is_named_where_it_is_missing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "aiohttp", None)
        with pytest.raises(rx.ConnectorError, match=r'pip install "reactive-pipelines\[http\]"'):
            await http.get_bytes("http://127.0.0.1:1").collect()


class TestRetry:
    async def test_a_passing_failure_is_tried_again(self) -> None:
        async with scripted(
            response(b"", "500 Internal Server Error"), say(), response(b"ok")
        ) as server:
            stream = http.get_lines(server.url, retry=QUICK)
            async with stream.open() as lines:
                assert [line async for line in lines] == ["ok"]
            assert len(server.requests) == 3

    async def test_giving_up_says_after_how_many_attempts(self) -> None:
        async with scripted(response(b"busy", "503 Service Unavailable")) as server:
            with pytest.raises(http.HttpStatusError, match="503") as caught:
                await http.get_lines(server.url, retry=QUICK).collect()
            assert "gave up after 3 attempts" in caught.value.__notes__
            assert len(server.requests) == 3

    async def test_retry_after_is_honoured_as_seconds_and_as_a_date(
        self, virtual_time: Any
    ) -> None:
        now = 1_700_000_000.0
        async with scripted(
            response(b"", "429 Too Many Requests", retry_after=20),
            response(
                b"",
                "503 Service Unavailable",
                retry_after=date_in(30, now),
                date=date_in(0, now),
            ),
            response(b"ok"),
        ) as server:
            assert await http.get_lines(server.url, retry=QUICK).collect() == ["ok"]
            assert virtual_time.now == 50

    async def test_retries_are_counted_and_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        context = made_context()
        async with scripted(response(b"", "500 Oops"), response(b"ok")) as server:
            stream = http.get_lines(server.url, retry=QUICK)
            reader = stream.node.operator.source.reader(context)
            await reader.open()
            assert (await reader.read(1)).items == ["ok"]
            await reader.close()
        assert context.meter.counters == {"retries": 1}
        (record,) = [it for it in caplog.records if it.levelno >= logging.WARNING]
        assert record.name == "reactive" and "500 Oops" in record.getMessage()


class TestRunning:
    async def test_the_connection_is_closed_when_the_consumer_leaves(self) -> None:
        hung_up = asyncio.Event()

        async def stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\none\ntwo\n")
            assert await reader.read(1) == b""
            hung_up.set()
            writer.close()

        async with scripted(stay) as server:
            async with http.get_lines(server.url).open() as lines:
                async for line in lines:
                    assert line == "one"
                    break
            await hung_up.wait()

    async def test_cancelling_while_waiting_for_an_answer(self) -> None:
        async with scripted(silent_after()) as server:
            task = asyncio.ensure_future(http.get_lines(server.url).collect())
            await server.requested()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def test_a_read_that_was_cancelled_loses_nothing(self) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n"
        async with scripted(say(head, b"on", 0.05, b"e\ntw", 0.05, b"o\n")) as server:
            reader = http.get_lines(server.url).node.operator.source.reader(made_context())
            await reader.open()
            items: list[str] = []
            await reader._download.answer()
            while True:
                try:
                    chunk = await asyncio.wait_for(reader.read(10), 0.005)
                except TimeoutError:
                    continue
                if chunk is None:
                    break
                items += chunk.items
            await reader.close()
            assert items == ["one", "two"]

    @pytest.mark.parametrize("answered", [False, True])
    async def test_a_drain_ends_a_waiting_read(self, answered: bool) -> None:
        parts = [b"HTTP/1.1 200 OK\r\n\r\none\ntw"] if answered else []
        async with scripted(silent_after(*parts)) as server:
            reader = http.get_lines(server.url).node.operator.source.reader(made_context())
            await reader.open()
            if answered:
                assert (await reader.read(10)).items == ["one"]
            waiting = asyncio.ensure_future(reader.read(10))
            await server.requested()
            assert reader.stop()
            assert await waiting is None
            assert await reader.read(10) is None
            await reader.close()

    async def test_a_drain_gives_what_was_received(self) -> None:
        lines = [f"line {number}" for number in range(100)]
        async with scripted(response("\n".join(lines).encode() + b"\n")) as server:
            reader = http.get_lines(server.url).node.operator.source.reader(made_context())
            await reader.open()
            items = (await reader.read(10)).items
            assert reader.stop()
            while (chunk := await reader.read(10)) is not None:
                items += chunk.items
            await reader.close()
            assert items == lines

    async def test_a_slow_pipeline_holds_the_server_back(self) -> None:
        sent = 0

        async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            writer.transport.set_write_buffer_limits(0)
            while True:
                writer.write(b"x" * 65_535 + b"\n")
                sent += 65_536
                await writer.drain()

        async with scripted(pour) as server:
            async with http.get_lines(server.url, encoding=None).open() as lines:
                async for _ in lines:
                    before = -1
                    while sent != before:
                        before = sent
                        await asyncio.sleep(0.1)
                    break
            assert sent < 20_000_000

    async def test_two_runs_of_one_blueprint(self) -> None:
        async with scripted(response(b"a\nb\n")) as server:
            stream = http.get_lines(server.url)
            first, second = await asyncio.gather(stream.collect(), stream.collect())
            assert first == second == ["a", "b"]

    async def test_the_users_session_is_used_and_left_open(self) -> None:
        async with (
            scripted(response(gzip.compress(b"x\n"), content_encoding="gzip")) as server,
            aiohttp.ClientSession(headers={"X-Session": "mine"}) as session,
        ):
            assert await http.get_lines(server.url, session=session).collect() == ["x"]
            assert await http.get_lines(server.url, session=session).collect() == ["x"]
            assert not session.closed
            assert server.requests[0].headers["x-session"] == "mine"
            assert server.connections == 1

    async def test_a_real_server_and_a_large_body(self) -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse()
            answer.enable_compression()
            await answer.prepare(request)
            for start in range(0, 200_000, 1000):
                block = b"".join(b'{"n": %d}\n' % n for n in range(start, start + 1000))
                await answer.write(block)
            await answer.write_eof()
            return answer

        app = web.Application()
        app.router.add_get("/numbers", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            numbers = http.get_jsonl(f"http://127.0.0.1:{port}/numbers")
            assert await numbers.map(lambda it: it["n"]).sum() == sum(range(200_000))
        finally:
            await runner.cleanup()


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def server_tls(self, authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(context)
        return context

    async def test_a_context_of_ones_own(
        self, authority: trustme.CA, server_tls: ssl.SSLContext
    ) -> None:
        def trusting() -> ssl.SSLContext:
            context = ssl.create_default_context()
            authority.configure_trust(context)
            return context

        async with scripted(response(b"secret\n"), tls=server_tls) as server:
            assert await http.get_lines(server.url, tls=trusting()).collect() == ["secret"]
            assert await http.get_lines(server.url, tls=trusting).collect() == ["secret"]

    async def test_a_certificate_that_nobody_vouches_for(self, server_tls: ssl.SSLContext) -> None:
        async with scripted(response(b"secret\n"), tls=server_tls) as server:
            with pytest.raises(
                http.HttpError, match="TLS handshake failed: certificate verification failed"
            ) as caught:
                await http.get_lines(server.url).collect()
            assert not caught.value.retriable and server.requests == []


class TestDescribing:
    def test_blueprints_are_checked(self) -> None:
        with pytest.raises(ValueError, match=r"^http\.get_lines: 'nonsense' is not an address"):
            http.get_lines("nonsense")
        with pytest.raises(ValueError, match="timeout must be above 0 seconds, not 0"):
            http.get_bytes("http://a", timeout=0)
        with pytest.raises(ValueError, match="max_line_bytes must be at least 1"):
            http.get_jsonl("http://a", max_line_bytes=0)
        with pytest.raises(ValueError, match="unknown text encoding 'klingon'"):
            http.get_lines("http://a", encoding="klingon")
        with pytest.raises(TypeError, match="on_error must be"):
            http.get_jsonl("http://a", on_error="ignore")  # type: ignore[call-overload]
        with pytest.raises(TypeError, match=r"unexpected keyword argument 'header'.* headers,"):
            http.get_bytes("http://a", header={})  # type: ignore[call-arg]

    def test_what_explain_shows(self) -> None:
        shown = str(http.get_lines("https://me:secret@example.com/x").explain())
        assert "http.get_lines" in shown and "https://example.com/x" in shown
        assert "secret" not in shown

    async def test_blueprints_can_be_pickled(self) -> None:
        async with scripted(response(b"1\n2\n")) as server:
            stream = http.get_lines(server.url, headers={"a": "b"}).map(int)
            copy: rx.Stream[int] = cloudpickle.loads(cloudpickle.dumps(stream))
            assert await copy.collect() == [1, 2]
