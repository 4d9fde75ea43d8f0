"""share and replay: one run for consumers that come and go."""

from __future__ import annotations

import asyncio
import gc
import pickle
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog.testing
from catalogue import model_of
from feeds import Feed, controls, examples, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, plain, stream_of, timelines

import reactive as rx
from operators.sharing import Shared
from reactive.operator import SourceOperator
from reactive.testing import End, Failure, Item, check_leaks, record, run
from reactive.testing.marbles import Event
from reactive.testing.plugin import VirtualTime


class Numbers:
    """Counts up from 0, one number a second, and remembers who iterated it."""

    def __init__(
        self, count: int | None = None, *, error: Exception | None = None, closing: float = 0.0
    ) -> None:
        self.count = count
        self.error = error
        self.closing = closing
        self.fail_close: Exception | None = None
        self.opened = 0
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[int]:
        self.opened += 1
        assert self.opened == self.closed + 1, "two runs at once"
        try:
            number = 0
            while number != self.count:
                await asyncio.sleep(1)
                yield number
                number += 1
            if self.error is not None:
                raise self.error
        finally:
            if self.closing:
                await asyncio.sleep(self.closing)
            self.closed += 1
            if self.fail_close is not None:
                raise self.fail_close

    @property
    def stream(self) -> rx.Stream[int]:
        return rx.from_async_iterable(self)


async def after(seconds: float, stream: rx.Stream[Any], count: int | None = None) -> list[Any]:
    """What a consumer gets that joins later, and perhaps leaves after some items."""
    await asyncio.sleep(seconds)
    return await (stream if count is None else stream.take(count)).collect()


# Consumers join at whole seconds plus some hundredths of their own, and leave half a second off
# that; what upstream gives is some thousandths off when it began. So no two things are at once.
visits = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), min_size=1, max_size=5).map(
    lambda drawn: [
        (join + 0.2 + 0.01 * number, join + stay + 0.7 + 0.01 * number)
        for number, (join, stay) in enumerate(drawn)
    ]
)


def shared_model(
    timeline: Timeline,
    consumers: Sequence[tuple[float, float]],
    count: int | None = 0,
    seconds: float | None = None,
) -> list[list[Event[Any]]]:
    """What each consumer is given and when, counted from when it joined."""
    given: list[list[Event[Any]]] = [[] for _ in consumers]
    changes = sorted(
        [(join, number, True) for number, (join, _) in enumerate(consumers)]
        + [(leave, number, False) for number, (_, leave) in enumerate(consumers)]
    )
    here: set[int] = set()
    coming: list[tuple[float, Event[Any]]] = []
    past: list[tuple[float, Any]] = []
    while changes:
        if here and coming and coming[0][0] < changes[0][0]:
            now, event = coming.pop(0)
            for number in here:
                at = now - consumers[number][0]
                if isinstance(event, Item):
                    given[number].append(Item(at, event.value))
                else:
                    given[number].append(
                        End(at) if isinstance(event, End) else Failure(at, event.error)
                    )
            if isinstance(event, Item):
                past.append((now, event.value))
            else:
                here.clear()
            continue
        now, number, joins = changes.pop(0)
        if not joins:
            here.discard(number)
            continue
        if not here:
            coming = [(now + event.time, event) for event in timeline]
            past = []
        recent = [value for time, value in past if seconds is None or now - time <= seconds]
        if count is not None:
            recent = recent[len(recent) - min(count, len(recent)) :]
        given[number] += [Item(0.0, value) for value in recent]
        here.add(number)
    return given


async def visited(
    shared: rx.Stream[Any], consumers: Sequence[tuple[float, float]]
) -> list[list[Event[Any]]]:
    async def visit(join: float, leave: float) -> list[Event[Any]]:
        await asyncio.sleep(join)
        return list((await record(shared, until=leave - join)).events)

    return await asyncio.gather(*(visit(*consumer) for consumer in consumers))


def check_visits(
    shared: rx.Stream[Any],
    consumers: Sequence[tuple[float, float]],
    expected: list[list[Event[Any]]],
) -> None:
    given = run(visited(shared, consumers))
    assert [list(map(plain, events)) for events in given] == [
        list(map(plain, events)) for events in expected
    ]


@model_of("share")
@given(timelines(5, endless=True), visits)
@examples()
def test_each_consumer_gets_what_comes_while_it_is_there(
    timeline: Timeline, consumers: list[tuple[float, float]]
) -> None:
    shared = stream_of(timeline).share()
    check_visits(shared, consumers, shared_model(timeline, consumers))


@model_of("replay")
@given(
    timelines(5, endless=True),
    visits,
    st.one_of(st.none(), st.integers(1, 4)),
    st.integers(0, 10).map(lambda seconds: seconds + 0.5),
)
@examples()
def test_who_joins_late_gets_the_last_items_first(
    timeline: Timeline, consumers: list[tuple[float, float]], count: int | None, seconds: float
) -> None:
    shared = stream_of(timeline).replay(count, seconds=seconds)
    check_visits(shared, consumers, shared_model(timeline, consumers, count, seconds))
    if count is not None:
        shared = stream_of(timeline).replay(count)
        check_visits(shared, consumers, shared_model(timeline, consumers, count))


@model_of("share", "replay")
@given(feeds(), st.integers(1, 4))
@examples()
async def test_everything_passes_as_it_is(feed: Feed, limit: int) -> None:
    for shared in (feed.stream.share(limit=limit), feed.stream.replay(3, limit=limit)):
        given = await signals(shared)
        assert pairs(given) == feed.pairs
        assert controls(given) == feed.controls


@model_of("replay")
@given(feeds(signals=False, timed=True), st.integers(1, 12))
@examples()
async def test_a_replay_keeps_exactly_so_many_items_with_their_times(
    feed: Feed, count: int
) -> None:
    shared = feed.stream.concat(rx.never()).replay(count)
    async with shared.open() as items:
        for _ in feed.items:
            await anext(items)
        last = shared.take(min(count, len(feed.items)))
        assert pairs(await signals(last)) == feed.pairs[-count:]


@pytest.mark.parametrize("how", ["share", "replay"])
@model_of("share", "replay")
@given(
    items=st.lists(st.integers(), min_size=1, max_size=12),
    limit=st.integers(1, 5),
    overflow=st.sampled_from(["drop_oldest", "drop_newest", "latest", "fail"]),
)
@examples(40)
def test_who_is_busy_loses_what_the_policy_says(
    how: str, items: list[int], limit: int, overflow: Any
) -> None:
    """A consumer takes one item and is busy until all others have come."""
    first, *others = items
    kept = {
        "drop_oldest": others[-limit:],
        "drop_newest": others[:limit],
        "latest": others[-1:],
        "fail": others[:limit],
    }[overflow]

    async def main() -> None:
        source = rx.interval(1).zip(rx.from_iterable(items)).map(lambda pair: pair[1])
        shared = source.share(limit=limit, overflow=overflow)
        if how == "replay":
            shared = source.replay(1, limit=limit, overflow=overflow)
        given: list[int] = []
        fails = False
        async with shared.open() as taken:
            assert await anext(taken) == first
            await asyncio.sleep(60)
            try:
                async for item in taken:
                    given.append(item)  # noqa: PERF401
            except rx.OverflowFailure:
                fails = True
        assert given == kept
        assert fails == (overflow == "fail" and len(others) > limit)

    run(main())


async def test_all_consumers_share_one_run(virtual_time: VirtualTime) -> None:
    numbers = Numbers()
    shared = numbers.stream.map(lambda x: x * 10).share()
    assert await asyncio.gather(
        after(0, shared, 4), after(1.5, shared, 2), after(2.5, shared.map(str), 3)
    ) == [[0, 10, 20, 30], [10, 20], ["20", "30", "40"]]
    assert (numbers.opened, numbers.closed) == (1, 1)


async def test_used_twice_in_one_run_it_joins_once(virtual_time: VirtualTime) -> None:
    numbers = Numbers(3)
    shared = numbers.stream.share()
    assert sorted(await shared.merge(shared.map(lambda x: -x)).collect()) == [-2, -1, 0, 0, 1, 2]
    assert numbers.opened == 1


async def test_the_last_consumer_waits_until_upstream_is_closed(virtual_time: VirtualTime) -> None:
    numbers = Numbers(closing=5)
    shared = numbers.stream.share()
    first = asyncio.ensure_future(after(0, shared, 1))
    second = asyncio.ensure_future(after(0, shared, 3))
    assert await first == [0]
    assert (virtual_time.now, numbers.closed) == (1, 0)
    assert await second == [0, 1, 2]
    assert (virtual_time.now, numbers.closed) == (8, 1)


async def test_who_joins_while_upstream_is_closed_starts_a_new_run_after_that(
    virtual_time: VirtualTime,
) -> None:
    numbers = Numbers(closing=5)
    shared = numbers.stream.replay(10)
    leaving = asyncio.ensure_future(after(0, shared, 1))
    joining = asyncio.ensure_future(after(2, shared, 2))
    another = asyncio.ensure_future(after(3, shared, 2))
    assert await leaving == [0]
    assert virtual_time.now == 6
    assert await joining == await another == [0, 1]
    assert numbers.opened == numbers.closed == 2


async def test_who_waits_for_a_new_run_can_be_cancelled(virtual_time: VirtualTime) -> None:
    numbers = Numbers(closing=5)
    shared = numbers.stream.share()
    async with check_leaks():
        leaving = asyncio.ensure_future(after(0, shared, 1))
        joining = asyncio.ensure_future(after(2, shared))
        await asyncio.sleep(3)
        joining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await joining
        assert virtual_time.now == 3
        await leaving
    assert numbers.opened == 1


async def test_after_the_end_a_new_run_begins_once_all_is_closed(
    virtual_time: VirtualTime,
) -> None:
    @asynccontextmanager
    async def slow_to_close() -> AsyncIterator[None]:
        yield
        await asyncio.sleep(3)

    numbers = Numbers(2)
    shared = rx.using(slow_to_close, lambda _: numbers.stream).replay(10)
    assert await asyncio.gather(after(0, shared), after(1.5, shared), after(3, shared)) == [
        [0, 1],
        [0, 1],
        [0, 1],
    ]
    assert numbers.opened == 2
    assert virtual_time.now == 10


async def test_a_failure_goes_to_all_and_the_next_begins_anew(virtual_time: VirtualTime) -> None:
    error = OSError("gone")
    numbers = Numbers(2, error=error)
    shared = numbers.stream.share()
    given = await asyncio.gather(
        after(0, shared), after(1.5, shared), after(2.5, shared, 1), return_exceptions=True
    )
    assert given == [error, error, [0]]
    assert shared.node.location is not None
    notes = [f"in operator share ({shared.node.location})"]
    assert error.__notes__[-1:] == notes
    with structlog.testing.capture_logs():
        retried = shared.retry(rx.Backoff(initial=1, jitter=0))
        assert await asyncio.gather(after(0, retried, 4), after(4, shared, 1)) == [
            [0, 1, 0, 1],
            [0],
        ]


async def test_what_fails_to_close_at_the_end_fails_all(virtual_time: VirtualTime) -> None:
    numbers = Numbers(2)
    numbers.fail_close = OSError("stuck")
    shared = numbers.stream.share()
    given = await asyncio.gather(after(0, shared), after(1.5, shared), return_exceptions=True)
    assert given == [numbers.fail_close] * 2


async def test_what_fails_to_close_when_all_have_left_is_raised_to_the_last(
    virtual_time: VirtualTime,
) -> None:
    numbers = Numbers()
    numbers.fail_close = OSError("stuck")
    shared = numbers.stream.share()
    given = await asyncio.gather(after(0, shared, 3), after(0, shared, 1), return_exceptions=True)
    assert given == [numbers.fail_close, [0]]
    assert numbers.closed == 1


async def test_the_slowest_holds_all_back(virtual_time: VirtualTime) -> None:
    shared = rx.range(100).through(passing).share(limit=3)
    taken: list[int] = []
    settings = rx.Settings(chunk=1)
    async with (
        shared.tap(taken.append).open(settings) as quick,
        shared.open(settings) as slow,
    ):
        assert await asyncio.gather(anext(quick), anext(slow)) == [0, 0]
        draining = asyncio.ensure_future(drain(quick))
        await asyncio.sleep(10)
        assert taken == [0, 1, 2, 3, 4]
        assert await anext(slow) == 1
        await asyncio.sleep(10)
        assert taken == [0, 1, 2, 3, 4, 5]
        await slow.aclose()  # type: ignore[attr-defined]
        assert await draining == 99


async def passing(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        yield item


async def drain(items: AsyncIterator[Any]) -> int:
    count = 0
    async for _ in items:
        count += 1
    return count


@pytest.mark.parametrize(
    ("overflow", "expected"),
    [
        ("drop_oldest", [0, 7, 8, 9]),
        ("drop_newest", [0, 1, 2, 3]),
        ("latest", [0, 9]),
    ],
)
async def test_a_consumer_that_is_slow_loses_items_and_the_others_do_not(
    virtual_time: VirtualTime, overflow: Any, expected: list[int]
) -> None:
    shared = Numbers(10).stream.share(limit=3, overflow=overflow)

    async def slow() -> list[int]:
        given = []
        async with shared.open() as items:
            async for item in items:
                given.append(item)
                if item == 0:
                    await asyncio.sleep(20)
        return given

    given = await asyncio.gather(after(0, shared), slow())
    assert given == [list(range(10)), expected]


async def test_with_overflow_fail_only_the_slow_one_fails(virtual_time: VirtualTime) -> None:
    numbers = Numbers(10)
    shared = numbers.stream.share(limit=2, overflow="fail")
    given: list[int] = []

    async def slow() -> None:
        async with shared.open() as items:
            async for item in items:
                given.append(item)
                await asyncio.sleep(4.5)

    results = await asyncio.gather(after(0, shared), slow(), return_exceptions=True)
    assert results[0] == list(range(10))
    assert isinstance(results[1], rx.OverflowFailure)
    assert given == [0, 1, 2]
    alone = await asyncio.gather(slow(), return_exceptions=True)
    assert isinstance(alone[0], rx.OverflowFailure)
    assert numbers.opened == numbers.closed == 2


async def test_upstream_is_closed_as_soon_as_all_have_failed(virtual_time: VirtualTime) -> None:
    numbers = Numbers()
    async with numbers.stream.share(limit=1, overflow="fail").open() as items:
        assert await anext(items) == 0
        await asyncio.sleep(10)
        assert (numbers.opened, numbers.closed) == (1, 1)
        assert await anext(items) == 1
        with pytest.raises(rx.OverflowFailure, match="share is full"):
            await anext(items)


@pytest.mark.virtual_time
async def test_who_joins_late_learns_the_watermark() -> None:
    gate = asyncio.Event()
    script = (rx.Chunk([1, 2], [10, 20]), rx.Watermark(15), rx.IDLE)

    async def wait(item: int) -> int:
        await gate.wait()
        return item

    shared = Feed(script).stream.concat(rx.of(3).map(wait)).replay(1)
    first = asyncio.ensure_future(signals(shared))
    await asyncio.sleep(0.01)
    second = asyncio.ensure_future(signals(shared))
    await asyncio.sleep(0.01)
    gate.set()
    assert [*script, rx.Chunk([3])] == await first
    assert await second == [rx.Chunk([2], [20]), rx.Watermark(15), rx.IDLE, rx.Chunk([3])]


async def test_stopping_one_run_lets_it_finish_and_the_others_go_on(
    virtual_time: VirtualTime,
) -> None:
    numbers = Numbers(6)
    shared = numbers.stream.share()
    kept: list[int] = []
    whole = asyncio.ensure_future(after(0, shared))

    class Keep(rx.Sink[int], rx.Writer[int]):
        def writer(self, context: rx.Context) -> rx.Writer[int]:
            return self

        async def write(self, chunk: rx.Chunk[int]) -> None:
            await asyncio.sleep(1.5)
            kept.extend(chunk.items)

    async with rx.start(shared.to(Keep())) as running:
        await asyncio.sleep(3.2)
        report = await running.stop(drain=True)
    assert kept == [0, 1, 2]
    assert report["share"].items_out == 3
    assert await whole == list(range(6))
    assert numbers.opened == 1


async def test_joining_and_leaving_at_one_moment_leaves_nothing(virtual_time: VirtualTime) -> None:
    numbers = Numbers()
    shared = numbers.stream.share()
    async with check_leaks():
        for rounds in range(6):
            task = asyncio.ensure_future(shared.collect())
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert numbers.opened == numbers.closed
        assert await after(0, shared, 2) == [0, 1]


async def test_leaving_before_the_run_has_begun_lets_the_next_begin(
    virtual_time: VirtualTime,
) -> None:
    numbers = Numbers()
    shared = numbers.stream.share()
    operator = shared.node.operator
    assert isinstance(operator, SourceOperator)
    assert isinstance(operator.source, Shared)
    seat = await operator.source.join(rx.Settings())
    await seat.audience.leave(seat.channel)
    assert numbers.opened == 0
    assert await after(0, shared, 2) == [0, 1]


async def test_a_run_that_somebody_else_cancels_does_not_end_well(
    virtual_time: VirtualTime,
) -> None:
    numbers = Numbers()
    reading = asyncio.ensure_future(after(0, numbers.stream.share()))
    await asyncio.sleep(1.5)
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "reactive share"]
    task.cancel()
    with pytest.raises(rx.StreamClosedError, match="the run that share shares was cancelled"):
        await reading
    assert numbers.closed == 1


async def test_shared_streams_of_shared_streams(virtual_time: VirtualTime) -> None:
    numbers = Numbers()
    one = numbers.stream.share()
    two = one.map(lambda x: -x).share()
    assert await asyncio.gather(after(0, two, 2), after(1.5, one, 2), after(1.2, two, 2)) == [
        [0, -1],
        [1, 2],
        [-1, -2],
    ]
    assert (numbers.opened, numbers.closed) == (1, 1)


async def test_side_outputs_of_what_is_shared_are_not_read_beside_a_consumer() -> None:
    bad = rx.SideOutput[rx.DeadLetter[str]]("bad")
    shared = rx.of("1", "x").map(int, on_error=bad).share()
    with structlog.testing.capture_logs() as logged:
        assert await shared.collect() == [1]
    assert [event["event"] for event in logged] == ["side_output_not_read"]
    with pytest.raises(rx.PlanError, match="no operator of the run feeds it"):
        await bad.merge(shared).collect()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks start eagerly from 3.12 on")
async def test_tasks_that_start_eagerly(virtual_time: VirtualTime) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    shared = rx.range(3).share()
    assert await asyncio.gather(shared.collect(), shared.collect()) == [[0, 1, 2], [0, 1, 2]]
    numbers = Numbers()
    assert await after(0, numbers.stream.replay(1), 2) == [0, 1]
    assert (numbers.opened, numbers.closed) == (1, 1)


def test_loops_one_after_another_may_share_and_two_at_once_may_not() -> None:
    shared = rx.range(2).concat(rx.never()).share()
    assert asyncio.run(after(0, shared, 2)) == [0, 1]

    async def beside() -> None:
        async with shared.open() as items:
            await anext(items)
            with pytest.raises(RuntimeError, match="share is in use in another event loop; share"):
                await asyncio.to_thread(asyncio.run, after(0, shared, 1))
            await anext(items)

    asyncio.run(beside())
    assert asyncio.run(after(0, shared, 2)) == [0, 1]


def test_a_loop_that_was_thrown_away_does_not_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = rx.never().share()
    loop = asyncio.new_event_loop()
    reading = loop.create_task(shared.collect())
    loop.run_until_complete(asyncio.sleep(0.01))
    left = asyncio.all_tasks(loop)
    loop.close()
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(shared.collect(), 0.01))
    # The tasks complain when they are collected, and are right.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    for task in left:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    del shared, loop, reading, left, task
    gc.collect()


async def test_a_pickled_copy_shares_a_run_of_its_own(virtual_time: VirtualTime) -> None:
    shared = rx.interval(1).share()
    copy, mapped = pickle.loads(pickle.dumps((shared, shared.map(str))))
    first = asyncio.ensure_future(after(0, shared, 3))
    assert await asyncio.gather(after(1.5, copy, 2), after(2.7, mapped, 2)) == [[0, 1], ["1", "2"]]
    assert await first == [0, 1, 2]


def test_what_it_shares_is_explained() -> None:
    text = str(rx.range(3).map(str).replay(5, seconds=60, limit=10, overflow="latest").explain())
    assert "replay (runs: map, last: 5 items, within: 60 s, limit: 10 items" in text
    assert "[source, bounded]" in text
    assert "share (runs: interval" in str(rx.interval(1).share().explain())


def test_wrong_arguments_are_refused_at_once() -> None:
    stream = rx.of(1)
    with pytest.raises(ValueError, match="limit must be at least 1"):
        stream.share(limit=0)
    with pytest.raises(ValueError, match="overflow must be one of"):
        stream.replay(1, overflow="block")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="replay needs a bound: a count, seconds, or both"):
        stream.replay()
    with pytest.raises(ValueError, match="replay needs a count of at least 1"):
        stream.replay(0)
    with pytest.raises(TypeError, match="replay needs a whole number"):
        stream.replay(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="replay needs a time above 0 seconds"):
        stream.replay(seconds=0)
