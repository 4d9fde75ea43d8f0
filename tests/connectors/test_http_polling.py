"""Polling an address and walking through pages, against real servers."""

import asyncio
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest
from scripted_http_server import Act, response, say, scripted, silent_after

import reactive as rx
from connectors import http
from connectors.http_polling import PollPosition
from reactive.context import Context, Settings
from reactive.metrics import Meter

pytestmark = pytest.mark.any_loop


def reader_of(stream: rx.Stream[Any]) -> Any:
    context = Context("poll", None, Settings(), Meter("poll"))
    return stream.node.operator.source.reader(context)  # type: ignore[attr-defined]


async def bodies(stream: rx.Stream[http.Response], count: int) -> list[bytes]:
    return await stream.take(count).map(lambda found: found.body).collect()


class TestPoll:
    async def test_what_did_not_change_is_not_given_again(self) -> None:
        not_modified = response(status="304 Not Modified", etag='"1"')
        async with scripted(
            response(b"one", etag='"1"', last_modified="Tue, 14 Nov 2023 22:13:20 GMT"),
            not_modified,
            not_modified,
            response(b"two", etag='"2"'),
            response(b"three"),
            response(b"three"),
        ) as server:
            found = await bodies(http.poll(server.url, every=0.01), 4)
            assert found == [b"one", b"two", b"three", b"three"]
            asked = [
                (it.headers.get("if-none-match"), it.headers.get("if-modified-since"))
                for it in server.requests
            ]
            first = ('"1"', "Tue, 14 Nov 2023 22:13:20 GMT")
            assert asked == [(None, None), first, first, first, ('"2"', None), (None, None)]

    async def test_a_response_tells_all(self) -> None:
        async with scripted(response(b'{"a": [1]}', x_rate="7")) as server:
            found = await http.poll(f"{server.url}/x", every=1).first()
            assert (found.url, found.status) == (f"{server.url}/x", 200)
            assert found.headers["x-rate"] == "7"
            assert found.json() == {"a": [1]}
            assert found.text() == '{"a": [1]}'

    async def test_the_interval_is_from_start_to_start(self, virtual_time: Any) -> None:
        begun: list[float] = []

        def taking(seconds: float) -> Act:
            async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                begun.append(virtual_time.now)
                await asyncio.sleep(seconds)
                writer.write(response(b"x"))

            return act

        async with scripted(taking(0), taking(4), taking(25), taking(0), taking(0)) as server:
            await bodies(http.poll(server.url, every=10), 5)
        assert [round(it) for it in begun] == [0, 10, 20, 45, 55]

    async def test_a_slow_pipeline_delays_the_next_request(self, virtual_time: Any) -> None:
        async with (
            scripted(response(b"x")) as server,
            http.poll(server.url, every=1).open() as responses,
        ):
            async for _ in responses:
                before = len(server.requests)
                await asyncio.sleep(100)
                assert len(server.requests) == before
                if before == 3:
                    break

    async def test_a_long_outage_is_survived(self, virtual_time: Any) -> None:
        async def until_noon(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if virtual_time.now < 600:
                writer.write(response(b"", "503 Service Unavailable"))
            else:
                writer.write(response(b"back"))

        async with scripted(until_noon) as server:
            assert await bodies(http.poll(server.url, every=60), 1) == [b"back"]
            assert 600 <= virtual_time.now < 670

    async def test_a_status_that_will_not_pass_is_an_error(self) -> None:
        async with scripted(response(b"", "404 Not Found")) as server:
            with pytest.raises(http.HttpStatusError, match="404 Not Found"):
                await bodies(http.poll(server.url, every=0.01), 1)

    async def test_a_body_above_the_limit(self) -> None:
        async with scripted(response(b"x" * 1001)) as server:
            with pytest.raises(http.HttpError, match="more than max_body=1000 bytes; raise"):
                await bodies(http.poll(server.url, every=0.01, max_body=1000), 1)

    async def test_following_a_cursor_catches_up_at_once_and_then_waits(
        self, virtual_time: Any
    ) -> None:
        feed = [{"items": [1, 2], "next": "a"}, {"items": [3], "next": "b/+ "}]
        at: list[tuple[float, str]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            import orjson

            target = server.requests[-1].target
            at.append((round(virtual_time.now), target))
            page = {"/?x=1": 0, "/?x=1&since=a": 1}.get(target, 2)
            if page == 2 and virtual_time.now > 25:
                document: dict[str, Any] = {"items": [4], "next": "c"}
            else:
                document = feed[page] if page < 2 else {"items": [], "next": "fresh"}
            writer.write(response(orjson.dumps(document)))

        async with scripted(serve) as server:
            following = http.cursor("next", parameter="since", items="items")
            stream = http.poll(f"{server.url}/?x=1", every=10, next=following)
            numbers = stream.flat_map(lambda found: list(found.json()["items"]))
            assert await numbers.take(4).collect() == [1, 2, 3, 4]
        last = "/?x=1&since=b/%2B+"
        assert at == [(0, "/?x=1"), (0, "/?x=1&since=a"), *((t, last) for t in (0, 10, 20, 30))]

    async def test_a_cursor_that_stays_the_same_waits(self, virtual_time: Any) -> None:
        async with scripted(response(b'{"meta": {"next": "a/b c"}}', etag='"7"')) as server:
            stream = http.poll(server.url, every=10, next=http.cursor("meta.next"))
            assert len(await bodies(stream, 4)) == 4
            assert round(virtual_time.now) == 20
            assert server.requests[-1].headers["if-none-match"] == '"7"'

    async def test_positions(self) -> None:
        async with scripted(response(b"one", etag='"1"'), response(b"two", etag='"2"')) as server:
            reader = reader_of(http.poll(server.url, every=0.01))
            assert reader.position() == PollPosition(server.url)
            await reader.open()
            assert (await reader.read(5)).items[0].body == b"one"
            position = cloudpickle.loads(cloudpickle.dumps(reader.position()))
            assert position == PollPosition(server.url, '"1"')
            await reader.close()
            again = reader_of(http.poll(server.url, every=0.01))
            await again.open()
            await again.seek(position)
            assert (await again.read(5)).items[0].body == b"two"
            assert server.requests[1].headers["if-none-match"] == '"1"'
            with pytest.raises(ValueError, match="is no position of a poll"):
                await again.seek(7)
            await again.close()

    @pytest.mark.parametrize("waiting", ["for the time", "for the answer"])
    async def test_a_drain_ends_a_wait(self, waiting: str) -> None:
        script = [response(b"x")] if waiting == "for the time" else [response(b"x"), silent_after()]
        async with scripted(*script) as server:
            every = 1000 if waiting == "for the time" else 0.001
            reader = reader_of(http.poll(server.url, every=every))
            await reader.open()
            assert await reader.read(1) is not None
            read = asyncio.ensure_future(reader.read(1))
            await server.requested(len(script))
            await asyncio.sleep(0.01)
            before = reader.position()
            assert reader.stop()
            assert await read is None
            assert reader.position() == before
            await reader.close()

    def test_describing(self) -> None:
        with pytest.raises(ValueError, match="every must be above 0 seconds, not 0"):
            http.poll("http://a", every=0)
        with pytest.raises(ValueError, match="max_body must be at least 1"):
            http.poll("http://a", every=1, max_body=0)


class TestPages:
    async def test_links_are_followed_to_the_last_page(self) -> None:
        async with scripted(
            response(b"[1, 2]", link='</p?page=2>; rel="next", </p?page=3>; rel="last"'),
            response(b"[3]", link='<?page=3>; rel="next"'),
            response(b"[4]", link='</p>; rel="first"'),
        ) as server:
            stream = http.pages(f"{server.url}/p")
            assert await stream.flat_map(lambda page: page.json()).collect() == [1, 2, 3, 4]
            assert [it.target for it in server.requests] == ["/p", "/p?page=2", "/p?page=3"]
            assert server.connections == 1

    async def test_pages_are_asked_for_when_they_are_wanted(self) -> None:
        async with scripted(response(b"[1]", link="</2>; rel=next"), response(b"[2]")) as server:
            assert len(await http.pages(server.url).take(1).collect()) == 1
            assert len(server.requests) == 1

    @pytest.mark.parametrize("end", ["null", '""', "false"])
    async def test_cursors(self, end: str) -> None:
        async with scripted(
            response(b'{"data": [1], "meta": {"cursor": "x y"}}'),
            response(b'{"data": [2], "meta": {"cursor": 7}}'),
            response(b'{"data": [3], "meta": {"cursor": %s}}' % end.encode()),
        ) as server:
            stream = http.pages(
                f"{server.url}/a?limit=1", next=http.cursor("meta.cursor", parameter="after")
            )
            assert await stream.flat_map(lambda page: page.json()["data"]).collect() == [1, 2, 3]
            assert [it.target for it in server.requests] == [
                "/a?limit=1",
                "/a?limit=1&after=x+y",
                "/a?limit=1&after=7",
            ]

    async def test_a_passing_failure_in_the_middle(self) -> None:
        async with scripted(
            response(b"[1]", link="</2>; rel=next"),
            response(b"", "500 Oops"),
            say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n[2"),
            response(b"[2]"),
        ) as server:
            retry = rx.Backoff(initial=0.01, maximum=0.01, attempts=3)
            stream = http.pages(server.url, retry=retry)
            assert await stream.flat_map(lambda page: page.json()).collect() == [1, 2]

    async def test_a_page_that_leads_to_itself(self) -> None:
        async with scripted(response(b"[1]", link="</p>; rel=next")) as server:
            with pytest.raises(http.HttpError, match="names itself as its own next page"):
                await http.pages(f"{server.url}/p").collect()

    @pytest.mark.parametrize("target", ["ftp://a/b", "http://a:x/"])
    async def test_a_next_page_that_is_nowhere(self, target: str) -> None:
        async with scripted(response(b"[1]", link=f"<{target}>; rel=next")) as server:
            with pytest.raises(http.HttpError, match="as what comes next, which is no address"):
                await http.pages(server.url).collect()

    async def test_a_next_function_that_gives_nonsense(self) -> None:
        async with scripted(response(b"[1]")) as server:
            nonsense: Callable[[http.Response], Any] = lambda page: 7  # noqa: E731
            with pytest.raises(TypeError, match=r"next= has to give an address or None, not 7"):
                await http.pages(server.url, next=nonsense).collect()

    async def test_credentials_stay_with_the_site_they_are_for(self) -> None:
        async with scripted(response(b"[2]")) as other:
            there = f"<{other.url}/2>; rel=next"
            async with scripted(response(b"[1]", link=there)) as server:
                headers = {"Authorization": "Bearer secret", "Cookie": "a=b", "X-Mine": "1"}
                assert len(await http.pages(server.url, headers=headers).collect()) == 2
                assert server.requests[0].headers["authorization"] == "Bearer secret"
                seen = other.requests[0].headers
                assert "authorization" not in seen and "cookie" not in seen
                assert seen["x-mine"] == "1"

    async def test_positions(self) -> None:
        async with scripted(
            response(b"[1]", link="</2>; rel=next"), response(b"[2]"), response(b"[2]")
        ) as server:
            reader = reader_of(http.pages(server.url))
            await reader.open()
            await reader.read(1)
            position = reader.position()
            await reader.read(1)
            last = reader.position()
            assert await reader.read(1) is None
            await reader.close()
            again = reader_of(http.pages(server.url))
            await again.open()
            await again.seek(position)
            assert (await again.read(1)).items[0].body == b"[2]"
            assert server.requests[-1].target == "/2"
            await again.seek(last)
            assert await again.read(1) is None
            await again.close()

    async def test_blueprints_can_be_pickled(self) -> None:
        async with scripted(response(b'{"next": null}')) as server:
            stream = http.pages(server.url, next=http.cursor("next"))
            copy: rx.Stream[http.Response] = cloudpickle.loads(cloudpickle.dumps(stream))
            (page,) = await copy.collect()
            assert cloudpickle.loads(cloudpickle.dumps(page)) == page
