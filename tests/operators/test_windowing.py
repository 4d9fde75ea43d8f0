"""Windows against models in plain Python, and what is refused, counted, kept and shown."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, controls, examples, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from connectors import memory
from operators.engines import Results
from operators.panes import Panes
from operators.rows import make_row
from reactive.testing import Pause, run, scripted_source
from reactive.windows import GLOBAL, LATEST, MICROSECONDS

Event = tuple[str, int, int]
"""A key, a time in seconds, and a value."""


def feed_of_events(events: Sequence[Event], lateness: int, sizes: Sequence[int]) -> Feed:
    """The events in chunks, with watermarks so far behind the latest."""
    script: list[Any] = []
    latest = -(10**9)
    chunk: list[Event] = []
    left = list(sizes)

    def put() -> None:
        if chunk:
            script.append(rx.Chunk(list(chunk), [time * MICROSECONDS for _, time, _ in chunk]))
            chunk.clear()

    for event in events:
        chunk.append(event)
        if event[1] > latest:
            latest = event[1]
            if latest % 3 == 0:
                put()
                script.append(rx.Watermark((latest - lateness) * MICROSECONDS))
        if left and len(chunk) >= left[0]:
            left.pop(0)
            put()
    put()
    return Feed(tuple(script))


events = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.integers(-3, 9)), max_size=40
)
sizes = st.lists(st.integers(1, 7), max_size=12)


def disordered(draw: Any, lateness: int) -> list[Event]:
    """Events that come no more than `lateness` seconds behind the latest before them."""
    given_events: list[Event] = draw(events)
    latest, result = 0, []
    for key, time, value in given_events:
        time = max(time, latest - lateness)
        latest = max(latest, time)
        result.append((key, time, value))
    return result


in_time = st.composite(lambda draw: disordered(draw, 6))()


@dataclass(frozen=True)
class ByTime(rx.WindowAssigner):
    """The windows of another assigner, by the general way that knows of no quick one."""

    of: Any

    def assign(self, item: Any, time: int) -> Sequence[rx.Window]:
        windows: Sequence[rx.Window] = self.of.assign(item, time)
        return windows


def by_windows(
    given_events: Iterable[Event], windows_of: Callable[[int], Iterable[tuple[int, int]]]
) -> dict[tuple[str, int, int], list[int]]:
    """The model: every event into all of its windows."""
    held: dict[tuple[str, int, int], list[int]] = {}
    for key, time, value in given_events:
        for start, end in windows_of(time):
            held.setdefault((key, start, end), []).append(value)
    return held


def by_sessions(given_events: Iterable[Event], gap: int) -> dict[tuple[str, int, int], list[int]]:
    """The model: all events of a key by their time, cut where nothing happens for long."""
    held: dict[tuple[str, int, int], list[int]] = {}
    ordered = sorted(given_events, key=lambda event: (event[0], event[1]))
    current: tuple[str, int, int] | None = None
    for key, time, value in ordered:
        if current is not None and current[0] == key and time < current[2]:
            values = held.pop(current)
            current = (key, current[1], time + gap)
        else:
            values = []
            current = (key, time, time + gap)
        held[current] = [*values, value]
    return held


def tumbling(size: int, offset: int) -> Callable[[int], Iterable[tuple[int, int]]]:
    def windows(time: int) -> Iterable[tuple[int, int]]:
        start = (time - offset) // size * size + offset
        yield start, start + size

    return windows


def sliding(size: int, every: int, offset: int) -> Callable[[int], Iterable[tuple[int, int]]]:
    def windows(time: int) -> Iterable[tuple[int, int]]:
        for start in range(time - size + 1, time + 1):
            if (start - offset) % every == 0:
                yield start, start + size

    return windows


def keyed(feed: Feed) -> rx.KeyedStream[str, Event]:
    return feed.stream.key_by(lambda event: event[0])


def spans(given_pairs: Iterable[Any]) -> list[tuple[tuple[str, int, int], Any]]:
    """Keys and windows in seconds with the results."""
    return [
        (
            (
                result.key,
                result.window.start // MICROSECONDS,
                result.window.end // MICROSECONDS,
            ),
            result.value,
        )
        for result, _ in given_pairs
    ]


def check_given(given_signals: list[Any], feed: Feed, model: dict[Any, list[int]]) -> None:
    """Each window once, with all of its items, when the watermark passed its end."""
    found = spans(pairs(given_signals))
    assert len(found) == len(dict(found))
    assert {at: (row.n, row.total) for at, row in found} == {
        at: (len(values), sum(values)) for at, values in model.items()
    }
    assert controls(given_signals) == feed.controls
    watermark = -(10**15)
    for signal in given_signals:
        if isinstance(signal, rx.Watermark):
            watermark = signal.time
        elif isinstance(signal, rx.Chunk):
            assert signal.times is not None
            for result, time in zip(signal.items, signal.times, strict=True):
                # After the watermark before, and before the one that completes it.
                assert time == result.window.end - 1 >= watermark
                assert result.pane == rx.Pane("on time", 0, True, True)


ASSIGNERS = st.one_of(
    st.tuples(st.integers(1, 12), st.integers(-5, 15)).map(
        lambda each: (rx.Tumbling(*each), tumbling(*each))
    ),
    st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(-5, 15))
    .filter(lambda each: each[1] <= each[0])
    .map(lambda each: (rx.Sliding(*each), sliding(*each))),
)


@given(given_events=in_time, cut=sizes, assigner=ASSIGNERS, general=st.booleans())
@examples(80)
async def test_windows_of_time(
    given_events: list[Event], cut: list[int], assigner: Any, general: bool
) -> None:
    windows, windows_of = assigner
    feed = feed_of_events(given_events, 6, cut)
    chosen = ByTime(windows) if general else windows
    given_signals = await signals(
        keyed(feed).window(chosen).aggregate(n=rx.count(), total=rx.sum(lambda e: e[2]))
    )
    check_given(given_signals, feed, by_windows(given_events, windows_of))


@model_of("WindowedStream.aggregate")
@given(given_events=in_time, cut=sizes, gap=st.integers(1, 12), general=st.booleans())
@examples(80)
async def test_sessions(given_events: list[Event], cut: list[int], gap: int, general: bool) -> None:
    feed = feed_of_events(given_events, 6, cut)
    # An allowed lateness takes the general way; what is in time is the same.
    given_signals = await signals(
        keyed(feed)
        .window(rx.Session(gap), allowed_lateness=5 if general else 0)
        .aggregate(n=rx.count(), total=rx.sum(lambda e: e[2]))
    )
    if general:
        given_signals = [without_last(signal) for signal in given_signals]
    check_given(given_signals, feed, by_sessions(given_events, gap))


def without_last(signal: Any) -> Any:
    """Nothing is known to be the last result of a window that late items may come to."""
    if not isinstance(signal, rx.Chunk):
        return signal
    pane = rx.Pane("on time", 0, True, True)
    return rx.Chunk([result._replace(pane=pane) for result in signal.items], signal.times)


@model_of("KeyedStream.window")
@given(
    given_events=events,
    cut=sizes,
    windows=st.sampled_from(
        [rx.Tumbling(5), rx.Sliding(6, 2), rx.Sliding(5, 3), rx.Session(4), rx.Global()]
    ),
    lateness=st.integers(0, 6),
)
@examples(100)
async def test_the_quick_ways_do_as_the_general_one(
    given_events: list[Event], cut: list[int], windows: rx.WindowAssigner, lateness: int
) -> None:
    """Late items too: the same are dropped, and the same results come between two watermarks."""

    async def run_with(trigger: rx.Trigger | None) -> tuple[Any, list[Event]]:
        late = rx.SideOutput[Event]("late")
        feed = feed_of_events(given_events, lateness, cut)
        results = (
            keyed(feed)
            .window(windows, trigger=trigger, late=late)
            .aggregate(n=rx.count(), total=rx.sum(lambda e: e[2]))
        )
        dropped: list[Event] = []
        given_signals = await signals(results.merge(late.tap(dropped.append).ignore_items()))
        return given_signals, dropped

    # Both give once, but only the plain default is known to.
    quick, quick_dropped = await run_with(None)
    general, general_dropped = await run_with(rx.AfterAny(rx.AfterWatermark(), rx.Never()))
    assert quick_dropped == general_dropped
    assert _sorted(pairs(quick)) == _sorted(pairs(general))


def _sorted(given_pairs: list[Any]) -> list[Any]:
    return sorted(given_pairs, key=lambda pair: (pair[0].window, pair[0].key))


@model_of("KeyedStream.window", "WindowedStream.to_list")
@given(given_events=events, cut=sizes, count=st.integers(1, 5), every=st.integers(1, 5))
@examples(60)
async def test_windows_of_so_many_items(
    given_events: list[Event], cut: list[int], count: int, every: int
) -> None:
    every = min(every, count)
    feed = feed_of_events(given_events, 100, cut)
    given_pairs = pairs(await signals(keyed(feed).window(rx.Count(count, every)).to_list()))
    model = []
    for key in "abc":
        of_key = [event for event in given_events if event[0] == key]
        model += [of_key[start : start + count] for start in range(0, len(of_key), every)]
    found = [result.value for result, _ in given_pairs]
    assert sorted(found) == sorted(model)
    for result, time in given_pairs:
        times = [each[1] * MICROSECONDS for each in result.value]
        assert result.window == rx.Window(min(times), max(times) + 1)
        assert time == max(times)


@model_of("KeyedStream.window")
@given(given_events=in_time, cut=sizes, accumulation=st.sampled_from(["discarding", "retracting"]))
@examples(40)
async def test_what_was_said_less_what_was_taken_back_is_all(
    given_events: list[Event], cut: list[int], accumulation: Any
) -> None:
    feed = feed_of_events(given_events, 6, cut)
    results = (
        keyed(feed)
        .window(
            rx.Session(4),
            trigger=rx.AfterWatermark(early=rx.AfterCount(2), late=rx.AfterCount(1)),
            accumulation=accumulation,
            allowed_lateness=20,
        )
        .aggregate(rx.sum(lambda e: e[2]))
    )
    total = sum(
        -result.value if result.pane.retracted else result.value
        for result, _ in pairs(await signals(results))
    )
    assert total == sum(value for _, _, value in given_events)


@model_of("KeyedStream.window", "WindowedStream.aggregate")
@given(given_events=in_time, cut=sizes, stamp=st.sampled_from(["earliest", "latest"]))
@examples(50)
async def test_the_watermark_waits_for_results_that_are_earlier(
    given_events: list[Event], cut: list[int], stamp: Any
) -> None:
    feed = feed_of_events(given_events, 6, cut)
    given_signals = await signals(
        keyed(feed).window(rx.Tumbling(7), timestamp=stamp).aggregate(rx.count())
    )
    model = by_windows(given_events, tumbling(7, 0))
    times: dict[tuple[str, int, int], list[int]] = {}
    for key, time, _ in given_events:
        for start, end in tumbling(7, 0)(time):
            times.setdefault((key, start, end), []).append(time * MICROSECONDS)
    choose = min if stamp == "earliest" else max
    assert dict(spans(pairs(given_signals))) == {at: len(values) for at, values in model.items()}
    low = -(10**18)
    for signal in given_signals:
        if isinstance(signal, rx.Watermark):
            assert signal.time > low
            low = signal.time
        elif isinstance(signal, rx.Chunk):
            for (at, _), time in zip(spans(pairs([signal])), signal.times or (), strict=True):
                assert time == choose(times[at]) >= low


async def test_late_items_are_dropped_counted_and_sent_aside() -> None:
    late = rx.SideOutput[int]("late")
    script: list[Any] = [
        rx.Chunk([1], [1]),
        rx.Watermark(10 * MICROSECONDS),
        rx.Chunk([2], [2]),
        rx.Watermark(14 * MICROSECONDS),
        rx.Chunk([3, 4], [3, 12 * MICROSECONDS]),
        rx.Watermark(15 * MICROSECONDS),
        rx.Chunk([5], [5]),
    ]
    kept: list[Any] = []
    dropped: list[int] = []
    results = (
        scripted_source(script)
        .window(rx.Tumbling(10), allowed_lateness=5, late=late, accumulation="accumulating")
        .aggregate(rx.sum())
    )
    jobs = results.to(memory.append(kept)), late.to(memory.append(dropped))
    async with rx.start(*jobs, mode="stream") as running:
        report = await running.wait()
    assert [(result.value, result.pane) for result in kept] == [
        (1, rx.Pane("on time", 0, True, False)),
        (3, rx.Pane("late", 1, False, False)),
        (6, rx.Pane("late", 2, False, False)),
        (4, rx.Pane("on time", 0, True, True)),
    ]
    assert dropped == [5]
    counters = next(each for each in report.operators if each.name == "aggregate").counters
    assert counters == {"late": 1}


async def test_items_for_a_finished_trigger_are_counted_apart() -> None:
    late = rx.SideOutput[int]("late")
    stream = rx.of(1, 2, 3).window(rx.Global(), trigger=rx.AfterCount(2), late=late)
    given_items = await (
        stream.aggregate(rx.sum()).map(lambda w: w.value).merge(late).collect(mode="stream")
    )
    assert sorted(given_items) == [3, 3]


@pytest.mark.parametrize("windows", [rx.Tumbling(5), rx.Session(5)], ids=str)
async def test_the_end_of_a_window_stays_passed_for_triggers_that_wait_for_more(
    windows: rx.WindowAssigner,
) -> None:
    """As in Beam: so an item that is late is given when it comes, before what comes after it."""
    trigger = rx.AfterAll(rx.AfterWatermark(), rx.Repeatedly(rx.AfterCount(1)))
    script: list[Any] = [
        rx.Chunk([1], [0]),
        rx.Watermark(6 * MICROSECONDS),
        rx.Chunk([2], [0]),
        rx.Chunk([3], [20 * MICROSECONDS]),
        rx.Watermark(30 * MICROSECONDS),
    ]
    stream = scripted_source(script).window(windows, trigger=trigger, allowed_lateness=60)
    results = await stream.aggregate(rx.sum()).collect(mode="stream")
    assert [(result.value, result.pane.timing) for result in results] == [
        (1, "on time"),
        (2, "late"),
        (3, "on time"),
    ]


async def test_in_batch_there_is_one_pane_with_everything() -> None:
    script = [rx.Chunk([1, 2], [1, 2]), rx.Chunk([3], [3])]
    stream = scripted_source(script).window(
        rx.Tumbling(10), trigger=rx.AfterWatermark(early=rx.AfterCount(1))
    )
    live = await stream.aggregate(rx.sum()).collect(mode="stream")
    assert [result.value for result in live] == [1, 2, 3, 0]
    (final,) = await stream.aggregate(rx.sum()).collect(mode="batch")
    assert (final.value, final.pane) == (6, rx.Pane())


async def test_reduce_leaves_out_panes_without_items() -> None:
    stream = scripted_source([rx.Chunk([1, 2], [1, 2])]).window(
        rx.Tumbling(10), trigger=rx.AfterWatermark(early=rx.AfterCount(2))
    )
    reduced = await stream.reduce(max).collect(mode="stream")
    assert [(result.value, result.pane.index) for result in reduced] == [(2, 0)]


async def test_process_gives_every_result_for_its_window() -> None:
    stream = rx.of(3, 1, 2, 5).window(rx.Count(3))
    results = await stream.process(lambda items: sorted(items)[:2]).collect()
    assert [(result.window, result.value) for result in results] == [
        (GLOBAL, 1),
        (GLOBAL, 2),
        (GLOBAL, 5),
    ]


async def test_rows() -> None:
    (result,) = await (
        rx.of(1, 2, 3).window(rx.Global()).aggregate(n=rx.count(), total=rx.sum()).collect()
    )
    row = result.value
    assert (row.n, row.total) == (3, 6) == row
    assert isinstance(row, rx.Row) and repr(row) == "Row(n=3, total=6)"
    assert row._asdict() == {"n": 3, "total": 6}
    copy = pickle.loads(pickle.dumps(row))
    assert copy == row and type(copy) is type(row) is type(make_row(("n", "total"), (0, 0)))


class Tagged(Exception):
    """Of a user's function."""


async def test_what_user_functions_raise_tells_the_operator() -> None:
    def fail(item: object) -> int:
        raise Tagged

    builds: list[Callable[[rx.Stream[int]], rx.Stream[Any]]] = [
        lambda s: s.key_by(fail).window(rx.Count(2)).aggregate(rx.count()),
        lambda s: s.key_by(fail).window(rx.Global()).aggregate(rx.count()),
        lambda s: s.window(rx.Global()).aggregate(n=rx.sum(fail)),
        lambda s: s.window(rx.Global(), trigger=rx.AfterCount(1)).aggregate(rx.sum(fail)),
    ]
    for build in builds:
        with pytest.raises(Tagged) as caught:
            await build(rx.of(1, 2)).collect(mode="stream")
        assert "in operator aggregate" in caught.value.__notes__[0]
        assert "test_windowing.py" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "windows",
    [
        rx.Global(),
        rx.Count(2),
        rx.Tumbling(5),
        rx.Session(5),
        rx.Sliding(5, 1),
        ByTime(rx.Global()),
    ],
    ids=repr,
)
async def test_a_key_that_cannot_be_hashed(windows: Any) -> None:
    stream = scripted_source([rx.Chunk([1], [0])]).key_by(lambda x: [x])  # type: ignore[type-var]
    results = stream.window(windows).aggregate(rx.count())
    with pytest.raises(TypeError, match=r"key_by gave \[1\], a list, which cannot be hashed") as e:
        await results.collect()
    assert "test_windowing.py" in str(e.value)


async def test_a_key_that_nobody_awaits() -> None:
    async def key(item: int) -> int:
        return item

    with pytest.raises(TypeError, match="async"):
        rx.of(1).key_by(key)  # type: ignore[type-var]
    keyed_by: Any = rx.of(1).key_by(lambda x: key(x))
    stream = keyed_by.window(rx.Global()).aggregate(rx.count())
    with pytest.raises(TypeError, match="nobody would await"):
        await stream.collect()


async def test_items_without_event_time() -> None:
    stream = rx.of(7).window(rx.Tumbling(5)).aggregate(rx.count())
    with pytest.raises(TypeError, match=r"7, which has no event time, .* \.event_time\("):
        await stream.collect()


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: rx.Tumbling(0), ValueError, "above 0"),
    (lambda: rx.Tumbling(-1), ValueError, "above 0"),
    (lambda: rx.Tumbling(1e-9), ValueError, "microsecond"),
    (lambda: rx.Tumbling("1"), TypeError, "seconds"),  # type: ignore[arg-type]
    (lambda: rx.Tumbling(1, offset=float("nan")), ValueError, "offset"),
    (lambda: rx.Sliding(10, every=0), ValueError, "above 0"),
    (lambda: rx.Sliding(10, every=11), ValueError, "between"),
    (lambda: rx.Session(0), ValueError, "above 0"),
    (lambda: rx.Count(0), ValueError, "at least 1"),
    (lambda: rx.Count(2, every=3), ValueError, "between"),
    (lambda: rx.Calendar("decade"), ValueError, "'decade'"),  # type: ignore[arg-type]
    (lambda: rx.Calendar("day", "Europe/Nowhere"), ValueError, "no time zone"),
    (lambda: rx.Calendar("day", 3), TypeError, "time zone"),  # type: ignore[arg-type]
    (lambda: rx.AfterCount(0), ValueError, "at least 1"),
    (lambda: rx.AfterAny(rx.AfterCount(1)), ValueError, "two"),
    (lambda: rx.Repeatedly(3), TypeError, "trigger"),  # type: ignore[arg-type]
    (lambda: rx.of(1).window(60), TypeError, r"rx\.Tumbling"),  # type: ignore[arg-type]
    (lambda: rx.of(1).window(rx.Global(), trigger=3), TypeError, "trigger"),  # type: ignore[arg-type]
    (lambda: rx.of(1).window(rx.Global(), accumulation="x"), ValueError, "accumulation"),  # type: ignore[arg-type]
    (lambda: rx.of(1).window(rx.Global(), timestamp="x"), ValueError, "timestamp"),  # type: ignore[arg-type]
    (lambda: rx.of(1).window(rx.Global(), allowed_lateness=-1), ValueError, "lateness"),
    (lambda: rx.of(1).window(rx.Global(), late=[]), TypeError, "SideOutput"),  # type: ignore[arg-type]
    (lambda: rx.of(1).window(rx.Count(2), allowed_lateness=1), TypeError, "leave out"),
    (lambda: rx.of(1).window(rx.Global()).aggregate(), TypeError, "several by name"),
    (lambda: rx.of(1).window(rx.Global()).aggregate(sum), TypeError, r"rx\.count"),  # type: ignore[call-overload]
    (lambda: rx.of(1).window(rx.Global()).aggregate(_n=rx.count()), ValueError, "underscore"),
    (
        lambda: rx.of(1).window(rx.Global()).aggregate(rx.count(), n=rx.count()),  # type: ignore[call-overload]
        TypeError,
        "several by name",
    ),
]


@pytest.mark.parametrize(("make", "kind", "match"), REFUSED)
def test_what_is_refused(make: Callable[[], Any], kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        make()


async def test_a_window_without_length() -> None:
    @dataclass(frozen=True)
    class Empty(rx.WindowAssigner):
        def assign(self, item: Any, time: int) -> Sequence[rx.Window]:
            return (rx.Window(time, time),)

    stream = scripted_source([rx.Chunk([1], [0])]).window(Empty()).aggregate(rx.count())
    with pytest.raises(ValueError, match="has no length"):
        await stream.collect()


async def test_items_in_no_window_are_counted() -> None:
    @dataclass(frozen=True)
    class Even(rx.WindowAssigner):
        def assign(self, item: Any, time: int) -> Sequence[rx.Window]:
            return () if item % 2 else (rx.Window(0, 10),)

    late = rx.SideOutput[int]("late")
    stream = scripted_source([rx.Chunk([1, 2], [0, 0])]).window(Even(), late=late)
    assert sorted(
        await stream.aggregate(rx.count()).map(lambda w: w.value).merge(late).collect()
    ) == [1, 1]


def test_explain_says_what_is_held() -> None:
    stream = (
        rx.interval(1)
        .key_by(lambda x: x)
        .window(
            rx.Sliding(60, 10),
            trigger=rx.AfterWatermark(),
            accumulation="accumulating",
            allowed_lateness=30,
        )
    )
    text = str(stream.aggregate(rx.count()).explain())
    assert "Sliding(size=60, every=10" in text
    assert "AfterWatermark" in text and "accumulating" in text and "30 s" in text
    assert "for each key" in text and "6 open windows" in text
    assert "may lose" in text


KEYS = 30_000


@pytest.mark.parametrize(
    "windows",
    [rx.Tumbling(10), rx.Sliding(10, 5), rx.Session(5), ByTime(rx.Tumbling(10))],
    ids=repr,
)
async def test_firing_many_keys_does_not_hold_the_loop(windows: rx.WindowAssigner) -> None:
    script: list[Any] = [
        rx.Chunk(list(range(KEYS)), [0] * KEYS),
        rx.Watermark(10 * MICROSECONDS),
    ]
    stream: rx.Stream[int] = scripted_source(script)
    given_signals = await signals(stream.key_by(lambda x: x).window(windows).aggregate(rx.count()))
    chunks = [signal for signal in given_signals if isinstance(signal, rx.Chunk)]
    assert sum(map(len, chunks)) == KEYS * (2 if isinstance(windows, rx.Sliding) else 1)
    assert max(map(len, chunks)) <= 1024


async def test_a_pane_after_some_time_of_the_clock(virtual_time: Any) -> None:
    script: list[Any] = [
        rx.Chunk([1], [0]),
        Pause(3),
        rx.Chunk([2], [0]),
        Pause(3),
        rx.Chunk([3], [0]),
        Pause(10),
    ]
    stream = scripted_source(script).window(
        rx.Global(), trigger=rx.Repeatedly(rx.AfterProcessingTime(4))
    )
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with stream.aggregate(rx.sum()).open(mode="stream") as results:
        seen = [(round(loop.time() - begun, 3), result.value) async for result in results]
    assert seen == [(4.0, 3), (10.0, 3)]


async def test_deadlines_go_on_after_a_restore() -> None:
    """With the time that was left, on a clock that shows something else."""
    clock = [100.0]
    windowing_of = (
        rx.of(1).window(rx.Global(), trigger=rx.Repeatedly(rx.AfterProcessingTime(5)))._windowing
    )

    def engine() -> Panes:
        return Panes(windowing_of, None, rx.sum(), lambda item, why="late": None, lambda: clock[0])

    first, out = engine(), Results()
    first.take(rx.Chunk([1], [0]), out)
    assert first.deadline == 105.0
    clock[0] = 102.0
    state = pickle.loads(pickle.dumps(first.snapshot()))
    clock[0] = 7.0
    second = engine()
    second.restore(state)
    assert second.deadline == 10.0
    second.on_clock(10.0, out)
    assert [result.value for result in out.items] == [1]
    assert second.deadline is None


async def test_windows_of_the_end_of_time_are_given_by_its_watermark() -> None:
    script: list[Any] = [rx.Chunk([1], [0]), rx.Watermark(LATEST), rx.Chunk([2], [0])]
    stream = scripted_source(script).window(rx.Global()).aggregate(rx.sum())
    given_signals = await signals(stream)
    assert [result.value for result, _ in pairs(given_signals)] == [1]


def test_windows_say_their_times() -> None:
    window = rx.Window(0, 90 * MICROSECONDS)
    assert window.seconds == 90
    assert str(window) == "1970-01-01T00:00:00+00:00 to 1970-01-01T00:01:30+00:00"
    assert str(GLOBAL) == "all time"


def test_a_run_uses_little_more_than_its_accumulators() -> None:
    """A million sessions are held in lists, not in objects; here are fewer, by the same."""
    import tracemalloc

    count = 20_000
    keys = [f"key {number}" for number in range(count)]

    tracemalloc.start()
    plain = {key: [1, 2] for key in keys}
    plain_size = tracemalloc.get_traced_memory()[0]
    del plain
    tracemalloc.stop()

    async def main() -> int:
        script: list[Any] = [rx.Chunk(keys, list(range(10**9, 10**9 + count))), Pause(1)]
        stream = (
            scripted_source(script)
            .key_by(lambda key: key)
            .window(rx.Session(60))
            .aggregate(n=rx.count(), total=rx.sum(len))
        )
        tracemalloc.start()
        async with stream.open(mode="stream") as results:
            task = asyncio.ensure_future(anext(results))
            await asyncio.sleep(0.5)
            size = tracemalloc.get_traced_memory()[0]
            await task
        tracemalloc.stop()
        return size

    assert run(main()) < 4 * plain_size


async def test_in_batch_what_a_source_says_of_its_times_makes_nothing_late() -> None:
    late = rx.SideOutput[Any]("late")
    feed = Feed(
        (
            rx.Chunk([1, 2], [MICROSECONDS, 2 * MICROSECONDS]),
            rx.Watermark(100 * MICROSECONDS),
            rx.Chunk([3, 4], [3 * MICROSECONDS, 103 * MICROSECONDS]),
        )
    )
    stream = feed.stream.window(rx.Tumbling(10), late=late).aggregate(rx.sum())
    given = await signals(stream, mode="batch")
    assert [(w.window.start, w.value, w.pane) for w, _ in pairs(given)] == [
        (0, 6, rx.Pane()),
        (100 * MICROSECONDS, 4, rx.Pane()),
    ]
    assert not any(isinstance(one, rx.Watermark) for one in given)


async def test_in_batch_windows_of_what_goes_on_are_refused() -> None:
    windows = rx.interval(1).event_time(float).window(rx.Tumbling(10)).aggregate(rx.sum())
    assert windows.take(3).explain()
    with pytest.raises(rx.PlanError, match=r'interval \(.*: use mode="stream", in which windows'):
        windows.take(3).explain(mode="batch")
