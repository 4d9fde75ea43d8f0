"""map of async functions: order by key, room for finished results, time limits, retries."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, controls, examples, feeds, pairs, signals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from timelines import Timeline, check_times, ending_of, items_of, timelines

import reactive as rx
from reactive.testing import End, Item, Pause, Probe, scripted_source
from reactive.testing import Failure as Fails
from reactive.testing.marbles import Event
from reactive.testing.plugin import VirtualTime

NONE_OR_MORE: list[dict[str, Any]] = [
    {},
    {"concurrency": 1},
    {"concurrency": 3},
    {"concurrency": 3, "ordered": False},
    {"concurrency": 3, "by": lambda x: x},
]


def parity(x: int) -> int:
    return x % 2


# Order, compared with a model of what starts and leaves when


def seconds(numbered: tuple[int, tuple[Any, int]]) -> float:
    """How long the call for an item takes: sums of these never meet."""
    number, (_, tenths) = numbered
    return tenths / 10 + (1 << number) / 10_000


async def wait(numbered: tuple[int, tuple[Any, int]]) -> tuple[int, tuple[Any, int]]:
    await asyncio.sleep(seconds(numbered))
    return numbered


def simulate(
    timeline: Timeline, concurrency: int, most: int | None, overtaken: int | None
) -> list[Event[Any]]:
    """What leaves a map when: in order with `most` in line, by key with as many as `overtaken`
    items overtaken, or with neither as completed."""
    coming = deque(Item(item.time, (n, item.value)) for n, item in enumerate(items_of(timeline)))
    line: list[Any] = []
    running: dict[Any, float] = {}
    finished: set[Any] = set()
    waiting: list[Any] = []
    freed: list[Hashable] = []
    given: list[Event[Any]] = []
    now = -1.0

    def key(numbered: Any) -> Any:
        return numbered[1][0] if overtaken is not None else numbered

    def startable() -> Any:
        """The next that may start, if any has come."""
        while freed:
            same = [each for each in waiting if key(each) == freed[0]]
            freed.pop(0)
            if same:
                waiting.remove(same[0])
                return same[0]
        while coming and coming[0].time <= now:
            if most is not None and len(line) >= most:
                return None
            if overtaken is not None and len(waiting) > overtaken:
                return None
            each = coming.popleft().value
            if key(each) not in map(key, [*running, *waiting]):
                return each
            waiting.append(each)
        return None

    def start() -> None:
        while len(running) < concurrency and (each := startable()) is not None:
            running[each] = now + seconds(each)
            line.append(each)

    while coming or running:
        arrivals = [item.time for item in coming if item.time > now]
        now = min([*arrivals[:1], *running.values()])
        for each in [each for each, end in running.items() if end == now]:
            del running[each]
            finished.add(each)
            freed.append(key(each))
        leaving = [each for each in line if each in finished]
        if most is not None:
            leaving = line[: next((n for n, each in enumerate(line) if each not in finished), None)]
        for each in leaving:
            line.remove(each)
            finished.discard(each)
            given.append(Item(now, each))
        start()
    for ending in ending_of(timeline):
        time = max(ending.time, now)
        given.append(Fails(time, ending.error) if isinstance(ending, Fails) else End(time))
    return given


calls = st.tuples(st.sampled_from("abc"), st.integers(0, 60))
quietly = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@model_of("map")
@given(timelines(elements=calls, last=12), st.integers(2, 4), st.none() | st.integers(0, 3))
@quietly
def test_in_order_with_room_behind_a_slow_call(
    timeline: Timeline, concurrency: int, buffer: int | None
) -> None:
    most = concurrency + (concurrency if buffer is None else buffer)
    check_times(
        lambda s: s.enumerate().map(wait, concurrency=concurrency, buffer=buffer),
        [timeline],
        lambda events: simulate(events, concurrency, most, None),
    )


@model_of("map")
@given(timelines(elements=calls, last=12), st.integers(2, 4))
@quietly
def test_as_completed(timeline: Timeline, concurrency: int) -> None:
    check_times(
        lambda s: s.enumerate().map(wait, concurrency=concurrency, ordered=False),
        [timeline],
        lambda events: simulate(events, concurrency, None, None),
    )


@model_of("map")
@given(timelines(elements=calls, last=12), st.integers(2, 4), st.none() | st.integers(0, 3))
@quietly
def test_in_order_by_key(timeline: Timeline, concurrency: int, buffer: int | None) -> None:
    def key(numbered: tuple[int, tuple[str, int]]) -> str:
        return numbered[1][0]

    check_times(
        lambda s: s.enumerate().map(wait, concurrency=concurrency, by=key, buffer=buffer),
        [timeline],
        lambda events: simulate(
            events, concurrency, None, concurrency if buffer is None else buffer
        ),
    )


@model_of("map")
@given(feeds(), st.sampled_from([None, 1, 2, 5]), st.sampled_from([None, 0, 1, 50]))
@examples()
async def test_by_key_between_the_same_signals(
    feed: Feed, concurrency: int | None, buffer: int | None
) -> None:
    running: Counter[int] = Counter()

    async def alone(x: int) -> int:
        running[parity(x)] += 1
        assert running[parity(x)] == 1
        await asyncio.sleep(abs(x) * 0.0002)
        running[parity(x)] -= 1
        return x

    stream = feed.stream.map(alone, concurrency=concurrency, by=parity, buffer=buffer)
    given = await signals(stream)
    assert controls(given) == feed.controls
    for own, expected in zip(_sections(given), _sections(feed.script), strict=True):
        assert own == expected


def _sections(script: Any) -> list[dict[int, list[Pair]]]:
    """Between control signals, the items of each key in order."""
    result: list[dict[int, list[Pair]]] = [defaultdict(list)]
    for one in script:
        if isinstance(one, rx.Chunk):
            for item, time in pairs([one]):
                result[-1][parity(item)].append((item, time))
        else:
            result.append(defaultdict(list))
    return result


async def test_one_key_does_not_hold_up_the_others(virtual_time: VirtualTime) -> None:
    async def work(word: str) -> str:
        await asyncio.sleep(100 if word == "slow" else 1)
        return word

    words = rx.of("slow", "a", "slow", "b", "c", "a")
    given = []
    async for word in words.map(work, concurrency=2, by=lambda word: word):
        given.append((word, virtual_time.now))  # noqa: PERF401  the time counts
    assert given == [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("slow", 100), ("slow", 200)]


@pytest.mark.parametrize("buffer", [0, 4])
async def test_a_single_key_lets_only_so_many_items_wait(
    virtual_time: VirtualTime, buffer: int
) -> None:
    async def work(x: int) -> int:
        await asyncio.sleep(1)
        return x

    probe = Probe(range(1000))
    stream = probe.stream.map(work, concurrency=3, by=lambda x: "same", buffer=buffer)
    async with stream.open(rx.Settings(chunk=1)) as items:
        for count in range(1, 5):
            assert await anext(items) == count - 1
            assert virtual_time.now == count
            # Those given, one under way, those that may be overtaken and the one that may not,
            # the edge, and what waits for room there.
            assert probe.items <= count + 1 + buffer + 1 + 6 + 2
    probe.check()


@pytest.mark.parametrize(("buffer", "started"), [(0, 3), (1, 4), (20, 23), (None, 6)])
async def test_room_behind_a_slow_call(
    virtual_time: VirtualTime, buffer: int | None, started: int
) -> None:
    begun = []

    async def work(x: int) -> int:
        begun.append(x)
        await asyncio.sleep(50 if x == 0 else 1)
        return x

    async with rx.range(100).map(work, concurrency=3, buffer=buffer).open() as items:
        assert await anext(items) == 0
        assert len(begun) == started
        assert virtual_time.now == 50


async def test_calls_that_all_fail_behind_a_slow_one_make_room(virtual_time: VirtualTime) -> None:
    async def fail(x: int) -> int:
        await asyncio.sleep(10 if x == 0 else 1)
        raise OSError

    stream = rx.range(30).map(fail, concurrency=2, on_error="skip")
    assert await asyncio.wait_for(stream.collect(), 1000) == []


@pytest.mark.parametrize("by", [lambda x: 1 // x, lambda x: [x]])
async def test_a_key_that_fails_is_a_failure_of_the_item(by: Callable[[int], Any]) -> None:
    async def same(x: int) -> int:
        return x

    with pytest.raises((ZeroDivisionError, TypeError)) as caught:
        await rx.of(0).map(same, concurrency=2, by=by).collect()
    assert caught.value.__notes__[0].startswith("in operator map (")
    bad = rx.SideOutput[rx.DeadLetter[int]]("bad")
    stream = rx.of(0, 0).map(same, concurrency=2, by=by, on_error=bad)
    assert [letter.item for letter in await bad.merge(stream).collect()] == [0, 0]  # type: ignore


async def test_a_key_that_would_have_to_be_awaited_is_refused() -> None:
    async def key(x: int) -> int:
        return x

    with pytest.raises(TypeError, match=r"map \(by\) takes a plain function"):
        rx.of(1).map(key, concurrency=2, by=key)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    with pytest.raises(TypeError, match="by takes a plain function, and it gave <Future"):
        await rx.of(1).map(key, concurrency=2, by=lambda x: loop.create_future()).collect()


async def test_on_threads_by_key_and_again() -> None:
    running: Counter[int] = Counter()
    lock = threading.Lock()
    failed: set[int] = set()

    def alone(x: int) -> int:
        with lock:
            running[parity(x)] += 1
            assert running[parity(x)] == 1
        with lock:
            running[parity(x)] -= 1
            if x not in failed:
                failed.add(x)
                raise OSError(x)
        return x

    stream = rx.range(20).map(
        alone,
        on="thread",
        concurrency=3,
        by=parity,
        retry=rx.Backoff(initial=0, maximum=0, attempts=1),
    )
    given = await stream.collect()
    for kind in (0, 1):
        assert [x for x in given if x % 2 == kind] == [*range(kind, 20, 2)]


# Time limits


class Hanging:
    """Takes `seconds` for each item, and `cleanup` more when it is cancelled."""

    def __init__(self, seconds: dict[int, float], cleanup: float = 0) -> None:
        self.seconds = seconds
        self.cleanup = cleanup
        self.running = 0

    async def __call__(self, item: int) -> int:
        self.running += 1
        try:
            await asyncio.sleep(self.seconds.get(item, 1))
        finally:
            if self.cleanup:
                await asyncio.sleep(self.cleanup)
            self.running -= 1
        return item


@pytest.mark.parametrize("options", NONE_OR_MORE)
async def test_a_call_that_takes_too_long(
    virtual_time: VirtualTime, options: dict[str, Any]
) -> None:
    fn = Hanging({2: 1000})
    given = []
    with pytest.raises(TimeoutError, match=r"^slow: no result within 2\.5 s") as caught:
        async for item in rx.range(5).map(fn, timeout=2.5, **options).named("slow"):
            given.append(item)  # noqa: PERF401
    assert given[:2] == [0, 1]
    assert fn.running == 0
    assert virtual_time.now == (4.5 if options.get("concurrency", 1) == 1 else 2.5)
    assert f"in operator slow ({__file__}:" in caught.value.__notes__[0]


@pytest.mark.parametrize("options", NONE_OR_MORE)
async def test_only_the_late_call_is_lost(
    virtual_time: VirtualTime, options: dict[str, Any]
) -> None:
    fn = Hanging({1: 1000, 3: 1000}, cleanup=0.5)
    stream = rx.range(6).map(fn, timeout=3, on_error="skip", **options)
    assert sorted(await stream.collect()) == [0, 2, 4, 5]
    assert fn.running == 0


async def test_cleanup_after_a_time_limit_is_waited_for(virtual_time: VirtualTime) -> None:
    fn = Hanging({0: 1000}, cleanup=7)
    with pytest.raises(TimeoutError):
        await rx.of(0).map(fn, timeout=1).collect()
    assert fn.running == 0
    assert virtual_time.now == 8


@pytest.mark.parametrize("options", NONE_OR_MORE)
async def test_a_time_limit_of_the_functions_own_is_not_ours(
    virtual_time: VirtualTime, options: dict[str, Any]
) -> None:
    async def impatient(x: int) -> int:
        async with asyncio.timeout(1):
            await asyncio.sleep(1000)
        return x

    with pytest.raises(TimeoutError) as caught:
        await rx.of(1).map(impatient, timeout=5, **options).collect()
    assert "no result" not in str(caught.value)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await rx.of(1).map(Hanging({1: 1000}), timeout=5, **options).collect()
    assert virtual_time.now == 3
    task = asyncio.ensure_future(rx.of(1).map(Hanging({1: 1000}), timeout=5, **options).collect())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# Retries


class Flaky:
    """Fails `failures[item]` times."""

    def __init__(self, failures: dict[int, int], error: type[Exception] = OSError) -> None:
        self.left = dict(failures)
        self.error = error
        self.attempts: Counter[int] = Counter()

    async def __call__(self, item: int) -> int:
        self.attempts[item] += 1
        await asyncio.sleep(1)
        if self.left.get(item):
            self.left[item] -= 1
            raise self.error(item)
        return item


PAUSES = rx.Backoff(initial=10, jitter=0, attempts=2)


@pytest.mark.parametrize("options", NONE_OR_MORE)
async def test_a_failed_call_is_made_again(
    virtual_time: VirtualTime, options: dict[str, Any]
) -> None:
    fn = Flaky({0: 1, 3: 2})
    stream = rx.range(5).map(fn, retry=PAUSES, **options)
    async with rx.start(stream.to(Discard())) as run:
        await run.wait()
        assert run.metrics()["map"].counters == {"retries": 3}
    assert fn.attempts == {0: 2, 1: 1, 2: 1, 3: 3, 4: 1}
    fn = Flaky({0: 1, 3: 2})
    given = await rx.range(5).map(fn, retry=PAUSES, **options).collect()
    assert sorted(given) == [0, 1, 2, 3, 4]
    if "by" not in options and options.get("ordered", True):
        assert given == [0, 1, 2, 3, 4]


async def test_the_pauses_are_those_of_the_backoff(virtual_time: VirtualTime) -> None:
    await rx.of(7).map(Flaky({7: 2}), retry=PAUSES).collect()
    assert virtual_time.now == 3 * 1 + 10 + 20


async def test_other_calls_go_on_while_one_pauses(virtual_time: VirtualTime) -> None:
    given = []
    async for item in rx.range(4).map(Flaky({0: 1}), concurrency=2, retry=PAUSES):
        given.append((item, virtual_time.now))  # noqa: PERF401
    assert given == [(0, 12), (1, 12), (2, 12), (3, 12)]


@pytest.mark.parametrize("options", NONE_OR_MORE)
async def test_the_last_failure_is_raised(
    virtual_time: VirtualTime, options: dict[str, Any]
) -> None:
    fn = Flaky({1: 9})
    given = []
    with pytest.raises(OSError, match="1") as caught:
        async for item in rx.range(3).map(fn, retry=PAUSES, **options):
            given.append(item)  # noqa: PERF401
    assert given[0] == 0
    assert fn.attempts[1] == 3
    assert caught.value.__notes__[0] == "given up after 3 attempts"
    assert caught.value.__notes__[1].startswith("in operator map (")


async def test_the_policy_sees_what_retries_did_not_mend(virtual_time: VirtualTime) -> None:
    fn = Flaky({1: 9, 2: 1})
    stream = rx.range(4).map(fn, concurrency=2, retry=2, on_error=rx.replace(-1))
    assert await stream.collect() == [0, -1, 2, 3]


@pytest.mark.parametrize("retry_on", [OSError, (KeyError, OSError)])
async def test_only_some_errors_are_worth_it(virtual_time: VirtualTime, retry_on: Any) -> None:
    fn = Flaky({0: 1})
    assert await rx.of(0).map(fn, retry=1, retry_on=retry_on).collect() == [0]
    fn = Flaky({0: 1}, error=LookupError)
    with pytest.raises(LookupError) as caught:
        await rx.of(0).map(fn, retry=1, retry_on=retry_on).collect()
    assert fn.attempts[0] == 1
    assert len(caught.value.__notes__) == 1


async def test_each_attempt_has_its_time_limit(virtual_time: VirtualTime) -> None:
    slow = iter([1000.0, 1000.0, 1.0])

    async def work(x: int) -> int:
        await asyncio.sleep(next(slow))
        return x

    stream = rx.of(5).map(work, timeout=3, retry=PAUSES, retry_on=TimeoutError)
    assert await stream.collect() == [5]
    assert virtual_time.now == 3 + 10 + 3 + 20 + 1


async def test_retries_without_pause_let_the_loop_run() -> None:
    async def fail(x: int) -> int:
        raise OSError

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await rx.of(1).map(fail, retry=rx.Backoff(initial=0, maximum=0)).collect()


@pytest.mark.parametrize("options", NONE_OR_MORE)
async def test_leaving_ends_a_pause(virtual_time: VirtualTime, options: dict[str, Any]) -> None:
    probe = Probe(range(5))
    pauses = rx.Backoff(initial=1000, maximum=1000)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(50):
            await probe.stream.map(Flaky({1: 9}), retry=pauses, **options).collect()
    assert virtual_time.now == 50
    assert asyncio.all_tasks() == {asyncio.current_task()}
    probe.check()


async def test_a_result_that_was_retried_does_not_wait_for_the_next_item(
    virtual_time: VirtualTime,
) -> None:
    source: rx.Stream[int] = scripted_source([rx.Chunk([1]), Pause(100), rx.Chunk([2])])
    given = []
    async for item in source.map(Flaky({1: 1}), concurrency=2, retry=PAUSES, timeout=5):
        given.append((item, virtual_time.now))  # noqa: PERF401
    assert given == [(1, 12), (2, 101)]


# Arguments


async def fetch(x: int) -> int:
    return x


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"timeout": 0}, ValueError, "`timeout` above 0 seconds"),
    ({"timeout": "1"}, TypeError, "`timeout` in seconds"),
    ({"retry": 1.5}, TypeError, "a rx.Backoff or a number of attempts"),
    ({"retry": True}, TypeError, "a rx.Backoff or a number of attempts"),
    ({"retry": -1}, ValueError, "attempts must be 0 or more"),
    ({"retry": 1, "retry_on": "OSError"}, TypeError, "needs exception types"),
    ({"retry": 1, "retry_on": asyncio.CancelledError}, TypeError, "needs exception types"),
    ({"retry_on": OSError}, ValueError, "pass retry="),
    ({"concurrency": 2, "buffer": -1}, ValueError, "at least 0"),
    ({"concurrency": 2, "by": 5}, TypeError, r"map \(by\) needs a function"),
    ({"concurrency": 2, "by": abs, "ordered": False}, ValueError, "leave one out"),
    ({"concurrency": 2, "buffer": 3, "ordered": False}, ValueError, "leave one out"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG)
def test_wrong_options_are_refused_at_once(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rx.of(1).map(fetch, **options)


@pytest.mark.parametrize("options", [{"by": abs}, {"buffer": 1}, {"timeout": 1}, {"retry": 1}])
def test_a_plain_function_on_the_loop_is_not_awaited(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(TypeError, match=rf"map\({name}=...\).*async def.*concurrency=1.*thread"):
        rx.of(1).map(lambda x: x, **options)
    assert rx.of(1).map(lambda x: fetch(x), concurrency=1, **options)


@pytest.mark.parametrize("on", ["thread", "process"])
def test_what_cannot_be_interrupted_has_no_time_limit(on: Any) -> None:
    with pytest.raises(ValueError, match=rf'map\(on="{on}"\) cannot interrupt a call'):
        rx.of(1).map(abs, on=on, timeout=1)  # type: ignore[call-overload]


def test_the_options_are_explained() -> None:
    stream = rx.of(1).map(fetch, concurrency=4, by=parity, buffer=9, timeout=2, retry=3)
    text = str(stream.explain())
    for part in ("concurrency: 4", "ordered by key", "buffer: 9", "timeout: 2 s", "up to 3 times"):
        assert part in text, text


class Discard(rx.Sink[Any]):
    """Takes everything and keeps nothing."""

    def writer(self, context: rx.Context) -> rx.Writer[Any]:
        return _DiscardWriter()


class _DiscardWriter(rx.Writer[Any]):
    async def write(self, chunk: rx.Chunk[Any]) -> None:
        pass
