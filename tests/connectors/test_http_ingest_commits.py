"""Answers that are commits: nobody hears 200 before, and what is sent again is there once."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

import reactive as rx
from connectors import http
from connectors.http_commits import Posted, TakeOnce
from reactive.context import Context, Settings
from reactive.levels import Kept, put_together
from reactive.metrics import Meter
from reactive.signals import Chunk

pytestmark = pytest.mark.any_loop

PATIENCE = 120
JSON = {"content-type": "application/json"}


class Table:
    """A sink that shows what is committed, and can be told to wait with it."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.epochs: list[list[Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failing = False


class _TableWriter(rx.Writer[Any]):
    def __init__(self, table: Table) -> None:
        self._table = table
        self._waiting: list[Any] = []

    async def write(self, chunk: Chunk[Any]) -> None:
        if self._table.failing:
            raise OSError("the disk is full")
        self._waiting += chunk.items

    async def prepare(self, epoch: int) -> Any:
        await self._table.open.wait()
        waiting, self._waiting = self._waiting, []
        return waiting

    async def commit(self, epoch: int, token: Any) -> None:
        self._table.items += token
        if token:
            self._table.epochs.append(token)


class TableSink(rx.Sink[Any]):
    def __init__(self, table: Table) -> None:
        self._table = table

    def writer(self, context: Context) -> rx.Writer[Any]:
        return _TableWriter(self._table)


Answer = tuple[int, dict[str, Any]]
Post = Callable[..., Awaitable[Answer]]


@asynccontextmanager
async def serving(application: Any) -> AsyncIterator[Post]:
    async with http.serve(application, port=0) as server, aiohttp.ClientSession() as session:

        async def post(items: Any, key: str | None = None) -> Answer:
            headers = JSON if key is None else {**JSON, "idempotency-key": key}
            body = orjson.dumps(items)
            async with session.post(server.url, data=body, headers=headers) as answer:
                return answer.status, orjson.loads(await answer.read())

        yield post


@asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[tuple[Post, Table, rx.Run]]:
    table = Table()
    ingest = http.ingest(ack="commit", **options)
    checkpoint = rx.Checkpoint(folder / "state.db", every=1000)
    job = ingest.stream.to(TableSink(table))
    async with serving(ingest) as post, rx.start(job, checkpoint=checkpoint) as run:
        await until(lambda: "running" in repr(ingest))
        try:
            yield post, table, run
        finally:
            table.open.set()


def taken(run: rx.Run) -> int:
    """How many items are in, and not answered for."""
    return int(run.metrics()["http.ingest"].gauges["waiting"])


async def until(condition: Callable[[], bool]) -> None:
    """Let others go on until something has happened that nobody tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_the_answer_waits_for_the_commit(tmp_path: Path) -> None:
    async with running(tmp_path) as (post, table, run):
        table.open.clear()
        asking = asyncio.ensure_future(post([1, 2]))
        await until(lambda: taken(run) == 2)
        await asyncio.sleep(0.1)
        assert not asking.done() and not table.items
        table.open.set()
        assert await asking == (200, {"committed": 2})
        assert table.items == [1, 2]


async def test_requests_share_a_commit(tmp_path: Path) -> None:
    async with running(tmp_path, commit_within=0.005) as (post, table, run):
        table.open.clear()
        first = asyncio.ensure_future(post(0))
        await until(lambda: taken(run) == 1)
        rest = [asyncio.ensure_future(post(n)) for n in range(1, 40)]
        await until(lambda: taken(run) == 40)
        table.open.set()
        assert {status for status, _ in await asyncio.gather(first, *rest)} == {200}
        assert sorted(table.items) == list(range(40))
        assert len(table.epochs) <= 3


async def test_nothing_to_commit(tmp_path: Path) -> None:
    async with running(tmp_path) as (post, table, _):
        assert await post([]) == (200, {"committed": 0})
        assert table.items == []


async def test_all_items_dropped_on_the_way_are_committed_too(tmp_path: Path) -> None:
    table = Table()
    ingest = http.ingest(ack="commit")
    job = ingest.stream.filter(lambda n: n > 5).to(TableSink(table))
    async with serving(ingest) as post, rx.start(job, checkpoint=tmp_path / "state.db"):
        await until(lambda: "running" in repr(ingest))
        assert await post([1, 2]) == (200, {"committed": 2})
        assert await post([5, 6]) == (200, {"committed": 2})
        assert table.items == [6]


async def test_every_sink_has_to_have_them(tmp_path: Path) -> None:
    fast, slow = Table(), Table()
    ingest = http.ingest(ack="commit")
    jobs = ingest.stream.to(TableSink(fast)), ingest.stream.to(TableSink(slow))
    async with serving(ingest) as post, rx.start(*jobs, checkpoint=tmp_path / "state.db") as run:
        await until(lambda: "running" in repr(ingest))
        slow.open.clear()
        asking = asyncio.ensure_future(post(1))
        await until(lambda: taken(run) == 1)
        await asyncio.sleep(0.1)
        assert not asking.done()
        slow.open.set()
        assert (await asking)[0] == 200
        assert fast.items == slow.items == [1]


class TestKeys:
    async def test_a_request_that_comes_again_is_taken_once(self, tmp_path: Path) -> None:
        async with running(tmp_path) as (post, table, run):
            assert await post([1, 2], "a") == (200, {"committed": 2})
            assert await post([1, 2], "a") == (200, {"committed": 2})
            assert await post([1, 2], "b") == (200, {"committed": 2})
            assert table.items == [1, 2, 1, 2]
            assert run.metrics()["http.ingest-keys"].counters["repeated"] == 1

    async def test_while_the_first_is_under_way(self, tmp_path: Path) -> None:
        async with running(tmp_path) as (post, table, run):
            table.open.clear()
            twice = [asyncio.ensure_future(post(7, "a")) for _ in range(2)]
            await until(lambda: taken(run) == 2)
            table.open.set()
            assert await asyncio.gather(*twice) == [(200, {"committed": 1})] * 2
            assert table.items == [7]

    async def test_in_the_next_run(self, tmp_path: Path) -> None:
        async with running(tmp_path) as (post, table, _):
            assert (await post([1], "a"))[0] == 200
        async with running(tmp_path) as (post, table, _):
            assert await post([1], "a") == (200, {"committed": 1})
            assert await post([2], "b") == (200, {"committed": 1})
            assert table.items == [2]

    async def test_another_body_under_the_same_key(self, tmp_path: Path) -> None:
        async with running(tmp_path) as (post, table, _):
            assert (await post([1], "a"))[0] == 200
            status, document = await post([2], "a")
            assert status == 422
            assert "'a' was used for a request with another body" in document["error"]
            assert table.items == [1]

    @pytest.mark.parametrize("key", ["", " ", "x" * 256])
    async def test_what_is_no_key(self, tmp_path: Path, key: str) -> None:
        async with running(tmp_path) as (post, _table, _run):
            status, document = await post([1], key)
            assert status == 400
            assert "Idempotency-Key is 1 to 255 printable characters" in document["error"]

    def test_forgets_what_is_old_and_keeps_what_changed(self) -> None:
        context = Context("keys", None, Settings(), Meter("keys"))
        operator = TakeOnce("keys", 10.0)
        step = operator.step(context)
        rows: list[bytes] = []

        def give(*posts: tuple[str, float]) -> list[Any]:
            out: list[Any] = []
            made = [Posted([key], at, key, b"digest") for key, at in posts]
            step.on_chunk(Chunk(made), out)
            return [item for chunk in out for item in chunk.items]

        def kept() -> dict[str, Any]:
            """What all changes up to now amount to."""
            for some in step.changes().sections["keys"]:
                rows.extend(data for _, data in some)
            return put_together(rows)

        assert give(("a", 0.0), ("b", 5.0), ("a", 6.0)) == ["a", "b"]
        assert set(kept()) == {"a", "b"}
        assert give(("c", 12.0), ("a", 12.5)) == ["c", "a"]
        assert kept() == pickle.loads(step.snapshot())
        assert give(("d", 40.0)) == ["d"]
        assert set(kept()) == {"d"}
        for state in (step.snapshot(), Kept(None, {"keys": kept()})):
            step = operator.step(context)
            step.restore(state)
            assert give(("d", 41.0), ("e", 41.0)) == ["e"]


class TestNoAnswerOrNotKnown:
    async def test_a_commit_that_does_not_come_in_time(self, tmp_path: Path) -> None:
        options = {"commit_timeout": 0.2, "commit_within": 0.01}
        async with running(tmp_path, **options) as (post, table, _):
            table.open.clear()
            status, document = await post([1], "a")
            assert status == 503
            assert document["committed"] == "unknown"
            assert "send the request again, with the same Idempotency-Key" in document["error"]
            table.open.set()
            await until(lambda: table.items == [1])
            assert (await post([1], "a"))[0] == 200
            assert table.items == [1]

    async def test_a_pipeline_that_fails(self, tmp_path: Path) -> None:
        table = Table()
        ingest = http.ingest(ack="commit")
        job = ingest.stream.to(TableSink(table))
        async with serving(ingest) as post:
            with pytest.raises(OSError, match="the disk is full"):
                async with rx.start(job, checkpoint=tmp_path / "state.db") as run:
                    await until(lambda: "running" in repr(ingest))
                    table.failing = True
                    asking = asyncio.ensure_future(post([1], "a"))
                    await until(lambda: run.failed)
                    await run.wait()
            status, document = await asking
            assert status == 503 and document["committed"] == "unknown"
            assert (await post([1], "a"))[0] == 503
        async with running(tmp_path) as (post, table, _):
            assert (await post([1], "a"))[0] == 200
            assert table.items == [1]

    async def test_a_client_that_goes_away(self, tmp_path: Path) -> None:
        async with running(tmp_path) as (post, table, run):
            table.open.clear()
            asking = asyncio.ensure_future(post([1], "a"))
            await until(lambda: taken(run) == 1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            table.open.set()
            await until(lambda: table.items == [1])
            assert await post([1], "a") == (200, {"committed": 1})
            assert table.items == [1]

    async def test_room_is_taken_until_the_answer(self, tmp_path: Path) -> None:
        async with running(tmp_path, limit=3) as (post, table, run):
            table.open.clear()
            asking = asyncio.ensure_future(post([1, 2]))
            await until(lambda: taken(run) == 2)
            assert (await post([3, 4]))[0] == 429
            last = asyncio.ensure_future(post([5]))
            await until(lambda: taken(run) == 3)
            table.open.set()
            assert (await asking)[0] == (await last)[0] == 200
            assert (await post([6, 7, 8]))[0] == 200


async def test_a_drain_commits_and_answers_what_was_accepted(tmp_path: Path) -> None:
    async with running(tmp_path, commit_within=20.0) as (post, table, run):
        table.open.clear()
        asking = [asyncio.ensure_future(post([n])) for n in range(5)]
        await until(lambda: taken(run) == 5)
        stopping = asyncio.ensure_future(run.stop())
        await asyncio.sleep(0.05)
        assert (await post([9]))[0] == 503
        table.open.set()
        await stopping
        assert {status for status, _ in await asyncio.gather(*asking)} == {200}
        assert sorted(table.items) == list(range(5))


async def test_a_run_without_checkpoints(tmp_path: Path) -> None:
    ingest = http.ingest(ack="commit")
    with pytest.raises(rx.PlanError, match=r"rx\.run\(job, checkpoint=rx\.Checkpoint"):
        await rx.run(ingest.stream.to(TableSink(Table())))
    with pytest.raises(rx.PlanError, match=r"rx\.run\(job, checkpoint=rx\.Checkpoint"):
        await ingest.stream.collect()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ack": "receipt"}, 'ack is "commit" or None'),
        ({"ack": "commit", "commit_within": 0}, "commit_within"),
        ({"ack": "commit", "commit_within": 5, "commit_timeout": 5}, "leaves no time"),
        ({"ack": "commit", "remember_keys": -1}, "remember_keys"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], says: str) -> None:
    for make in (http.ingest, http.listen):
        with pytest.raises(ValueError, match=says):
            make(**options)
