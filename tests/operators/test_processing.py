"""process: what handlers see of state, timers and time, compared with a model, and at the ends."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from cases_stateful import Count, Flush, everywhere
from catalogue import model_of
from feeds import Feed, controls, examples, feed_of, pairs, push, signals
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, ending_of, items_of, timelines

import reactive as rx
from connectors import memory
from operators.processing import Process
from reactive.execution import Execution
from reactive.keys import key_group
from reactive.levels import GONE, Kept, put_together
from reactive.metrics import Meter
from reactive.plan import JobPlan, make_plan
from reactive.signals import AnySignal, Barrier, Watermark
from reactive.state import KeyedSnapshot
from reactive.testing import End, Item, Pause, scripted_source
from reactive.testing.marbles import Event
from reactive.testing.observing import Given, Stepping
from reactive.testing.plugin import VirtualTime

SECOND = 1_000_000
Command = tuple[str, str, int]


class Obey(rx.KeyedProcess[str, Command, tuple[Any, ...]]):
    """Does what each item says: its key, a verb, and a number."""

    seen = rx.ValueState(0)

    def on_item(
        self, item: Command, context: rx.ProcessContext[str]
    ) -> Sequence[tuple[Any, ...]] | None:
        self.seen += 1
        _, verb, number = item
        if verb == "give":
            return [("item", context.key, self.seen, context.late)] * number
        if verb == "timer":
            context.set_timer(context.time + number)
        elif verb == "named":
            context.set_timer(context.time + number, "name")
        elif verb == "delete":
            context.delete_timer("name")
            context.delete_timer(context.time + number)
        elif verb == "forget":
            del self.seen
        return None

    def on_timer(self, time: int, context: rx.ProcessContext[str]) -> Iterator[tuple[Any, ...]]:
        assert time == context.time
        yield "timer", context.key, self.seen, context.timer, context.watermark
        if context.timer == "name" and self.seen % 3 == 0:
            self.seen += 1
            context.set_timer(time + self.seen)


class Model:
    """The same by a list that is looked through for the next timer every time."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self.timers: list[tuple[int, str, str | None]] = []
        self.watermark = -(2**63)
        self.out: list[Any] = []

    def set(self, key: str, time: int, name: str | None = None) -> None:
        new = (time, key, name)
        if new not in self.timers:
            self.timers = [one for one in self.timers if name is None or one[1:] != (key, name)]
            self.timers.append(new)

    def item(self, item: Command, time: int) -> None:
        key, verb, number = item
        self.seen[key] = seen = self.seen.get(key, 0) + 1
        if verb == "give":
            one = ("item", key, seen, time < self.watermark)
            self.out += [(one, max(time, self.watermark))] * number
        elif verb == "timer":
            self.set(key, time + number)
        elif verb == "named":
            self.set(key, time + number, "name")
        elif verb == "delete":
            gone = ((time + number, key, None),)
            self.timers = [
                one for one in self.timers if one not in gone and one[1:] != (key, "name")
            ]
        elif verb == "forget":
            del self.seen[key]
        self.fire(self.watermark, self.watermark)

    def fire(self, limit: float, passed: int) -> None:
        while due := [one for one in self.timers if one[0] <= limit]:
            first = min(due, key=lambda one: one[0])
            self.timers.remove(first)
            time, key, name = first
            seen = self.seen.get(key, 0)
            self.watermark = max(self.watermark, time)
            self.out.append((("timer", key, seen, name, self.watermark), max(time, passed)))
            if name is not None and seen % 3 == 0:
                self.seen[key] = seen + 1
                self.set(key, time + seen + 1)

    def run(self, script: Sequence[AnySignal | Exception]) -> list[Any]:
        for signal in script:
            if isinstance(signal, rx.Chunk):
                for item, time in zip(signal.items, signal.times or (), strict=True):
                    self.item(item, time)
            elif isinstance(signal, Watermark):
                self.fire(signal.time, self.watermark)
                self.watermark = max(self.watermark, signal.time)
                self.out.append(signal)
        self.fire(float("inf"), self.watermark)
        return self.out


commands = st.tuples(
    st.sampled_from("ab"),
    st.sampled_from(["give", "timer", "timer", "named", "named", "delete", "forget"]),
    st.integers(-3, 9),
)


@st.composite
def scripts(draw: st.DrawFn) -> Feed:
    """Commands in disorder, some of them late."""
    script: list[AnySignal] = []
    low = 0
    for _ in range(draw(st.integers(0, 12))):
        some = draw(st.lists(st.tuples(commands, st.integers(-4, 12)), max_size=4))
        if some:
            script.append(rx.Chunk([one for one, _ in some], [low + time for _, time in some]))
        low += draw(st.integers(0, 6))
        if draw(st.booleans()):
            script.append(rx.Watermark(low))
    return Feed(tuple(script))


def key_of(item: Command) -> str:
    return item[0]


@model_of("key_by", "KeyedStream.process")
@given(scripts())
@examples(80)
async def test_handlers_see_what_the_model_says(feed: Feed) -> None:
    given: list[Any] = []
    for signal in await signals(feed.stream.key_by(key_of).process(Obey)):
        given += pairs([signal]) if isinstance(signal, rx.Chunk) else [signal]
    assert given == Model().run(feed.script)


@given(scripts(), st.integers(0, 12), st.data())
@examples(60)
async def test_state_goes_on_in_several_places(feed: Feed, place: int, data: st.DataObject) -> None:
    def run_of(script: Sequence[Any]) -> rx.Stream[Any]:
        return Feed(tuple(script)).stream.key_by(key_of).process(Obey).named("obey")

    before, after = feed.script[:place], feed.script[place:]
    script: list[Any] = [*before, Barrier(1), *after]
    async with Stepping(run_of(script), changes_until=Barrier(1)) as whole:
        await whole.read_until(Barrier(1))
        wanted, _ = await whole.read_until(None)
        kept: Kept = (await whole.saved())["obey"]
    first = data.draw(st.sets(st.sampled_from("ab")))
    results: list[Any] = []
    for mine in (first, {"a", "b"} - first):
        states = {key: state for key, state in kept.sections["keys"].items() if key in mine}
        script = []
        for signal in after:
            if isinstance(signal, rx.Chunk):
                assert signal.times is not None
                both = zip(signal.items, signal.times, strict=True)
                some = [one for one in both if key_of(one[0]) in mine]
                if some:
                    script.append(rx.Chunk(*map(list, zip(*some, strict=True))))
            else:
                script.append(signal)
        restored = {"obey": Kept(kept.shared, {"keys": states})}
        async with Stepping(run_of(script), restored) as part_of_it:
            entries, _ = await part_of_it.read_until(None)
        results += [one for one in entries if isinstance(one, Given)]
    found = [one for one in wanted if isinstance(one, Given)]
    assert sorted(results, key=repr) == sorted(found, key=repr)
    for key in "ab":
        assert [one for one in results if one.value[1] == key] == [
            one for one in found if one.value[1] == key
        ]


class Tell(rx.KeyedProcess[Any, int, str]):
    def on_item(self, item: int, context: rx.ProcessContext[Any]) -> Iterator[str]:
        yield f"{item}{' late' if context.late else ''}"


class TellPunctual(Tell):
    takes_late = False


LATE_FEED = Feed((rx.Chunk([1], [10]), rx.Watermark(9), rx.Chunk([2, 3, 4], [9, 8, 11])))


async def test_late_items_are_told_or_put_aside_or_left_out() -> None:
    late = rx.SideOutput[int]("late")
    keyed = LATE_FEED.stream.key_by(everywhere)
    told = await signals(keyed.process(Tell))
    assert pairs(told) == [("1", 10), ("2", 9), ("3 late", 9), ("4", 11)]
    kept: list[int] = []
    given: list[str] = []
    report = await rx.run(
        keyed.process(Tell, late=late).to(memory.append(given)), late.to(memory.append(kept))
    )
    assert (given, kept) == (["1", "2", "4"], [3])
    assert report["process"].counters == {"late": 1}
    assert await keyed.process(TellPunctual).collect() == ["1", "2", "4"]


class Periodic(rx.KeyedProcess[Any, Any, int]):
    stops = True

    def on_item(self, item: Any, context: rx.ProcessContext[Any]) -> None:
        context.set_timer(context.after(1))

    def on_timer(self, time: int, context: rx.ProcessContext[Any]) -> Iterator[int]:
        yield time // SECOND
        if not (self.stops and context.ended):
            context.set_timer(context.after(1))


class Endless(Periodic):
    stops = False


@pytest.mark.parametrize("mode", ["stream", "batch"])
async def test_timers_that_set_timers_end_with_the_input(mode: Any) -> None:
    stream = feed_of("x", "y", times=[0, 5 * SECOND]).stream.key_by(everywhere)
    assert await stream.process(Periodic).collect(mode=mode) == [1, 2, 3, 4, 5, 6]
    with pytest.raises(RuntimeError, match=r"set none where context.ended is true") as caught:
        await stream.process(Endless).collect(mode=mode)
    assert "for key 'all'" in caught.value.__notes__


async def test_a_failure_fires_no_timers() -> None:
    feed = Feed((rx.Chunk([1], [0]), OSError("gone")))
    given: list[Any] = []
    with pytest.raises(OSError, match="gone"):
        await feed.stream.key_by(everywhere).process(Flush).tap(given.append).collect()
    assert given == []


@given(scripts())
@examples(40)
async def test_in_batch_items_and_timers_come_in_the_order_of_time(feed: Feed) -> None:
    given = await signals_in_batch(feed.stream.key_by(key_of).process(Obey))
    model = Model()
    for item, time in sorted(feed.pairs, key=lambda pair: pair[1] or 0):
        assert time is not None
        if time > model.watermark:
            model.fire(time, model.watermark)
            model.watermark = time
        model.item(item, time)
    model.fire(float("inf"), model.watermark)
    assert pairs(given) == model.out
    assert not controls(given)


async def signals_in_batch(stream: rx.Stream[Any]) -> list[AnySignal]:
    execution = Execution(make_plan([JobPlan(stream.node)], mode="batch"))
    given: list[AnySignal] = []
    await execution.open()
    while (signal := await execution.read()) is not None:
        given.append(signal)
    await execution.close()
    return given


@pytest.mark.parametrize("changes", [False, True])
async def test_what_is_held_in_batch_is_kept(changes: bool) -> None:
    first = rx.Chunk([("a", "give", 1), ("b", "give", 1)], [9, 3])
    second = rx.Chunk([("a", "timer", 1), ("a", "give", 1), ("b", "give", 1)], [2, 5, 3])
    stream = rx.of(("a", "give", 1)).key_by(key_of).process(Obey)
    third = rx.Chunk([("b", "give", 1)], [2])
    whole, half, rest = (step_of(stream, "batch") for _ in range(3))

    def added(step: Any) -> list[bytes]:
        """What has come since the last time."""
        return [row for some in step.changes().sections["items"] for _, row in some]

    rows: list[bytes] = []
    for count, chunk in ((2, first), (3, second)):
        assert push(whole, chunk) == push(half, chunk) == []
        rows += (new := added(half))
        assert len(put_together(new)) == count
    kept = Kept(half.changes().shared, {"keys": {}, "items": put_together(rows)})
    rest.restore(kept if changes else pickle.loads(pickle.dumps(half.snapshot())))
    assert push(whole, third) == push(rest, third) == []
    assert len(put_together(added(rest))) == 1
    results = [pairs(push(step, None)) for step in (whole, rest)]
    assert results[0] == results[1]
    assert [time for _, time in results[0]] == [2, 3, 3, 3, 5, 9]


async def test_many_timers_at_once_let_others_in() -> None:
    class Each(rx.KeyedProcess[int, int, int]):
        def on_item(self, item: int, context: rx.ProcessContext[int]) -> None:
            context.set_timer(100)

        def on_timer(self, time: int, context: rx.ProcessContext[int]) -> Iterator[int]:
            yield context.key

    script = (*(rx.Chunk([n], [n]) for n in range(5000)), rx.Watermark(99), rx.Watermark(100))
    given = await signals(Feed(script).stream.key_by(int).process(Each))
    chunks = [len(one) for one in given if isinstance(one, rx.Chunk)]
    assert sum(chunks) == 5000
    assert max(chunks) <= 512
    assert given[-1] == rx.Watermark(100)
    assert [item for item, _ in pairs(given)] == list(range(5000))


async def test_results_without_end_are_taken_as_they_are_wanted() -> None:
    closed: list[str] = []

    class Naturals(rx.KeyedProcess[Any, Any, int]):
        def on_item(self, item: Any, context: rx.ProcessContext[Any]) -> Iterator[int]:
            try:
                number = 0
                while True:
                    yield number
                    number += 1
            finally:
                closed.append("yes")

    given = await rx.of("x").key_by(everywhere).process(Naturals).take(2000).collect()
    assert given == list(range(2000))
    assert closed == ["yes"]


async def test_results_may_be_timed_otherwise_but_not_late() -> None:
    class Back(rx.KeyedProcess[Any, int, int]):
        def on_item(self, item: int, context: rx.ProcessContext[Any]) -> Iterator[int]:
            yield context.result_time
            context.result_time = item
            yield context.result_time

    feed = Feed((rx.Chunk([3], [10]), rx.Watermark(9), rx.Chunk([3, 30, 9], [9, 9, 4])))
    given = pairs(await signals(feed.stream.key_by(everywhere).process(Back)))
    assert [item for item, _ in given] == [time for _, time in given]
    assert [item for item, _ in given] == [10, 3, 9, 9, 9, 30, 9, 9]


class Debounce(rx.KeyedProcess[Any, int, int]):
    """Rx debounce, by a timer of the clock that every item moves."""

    last = rx.ValueState[int | None](None)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_item(self, item: int, context: rx.ProcessContext[Any]) -> None:
        self.last = item
        context.set_clock_timer(self.seconds)

    def on_clock_timer(self, context: rx.ProcessContext[Any]) -> list[Any]:
        return [self.last]


def debounced(source: Timeline) -> list[Event[Any]]:
    given: list[Event[Any]] = []
    items = items_of(source)
    ending = ending_of(source)
    for one, after in zip(items, [*items[1:], None], strict=False):
        due = one.time + 2.5
        if after is not None and after.time < due:
            continue
        if after is None and ending and ending[0].time < due:
            if isinstance(ending[0], End):
                given.append(Item(ending[0].time, one.value))
            continue
        given.append(Item(due, one.value))
    return [*given, *ending]


@model_of("KeyedStream.process")
@given(timelines(endless=True))
@examples(40)
def test_timers_of_the_clock(source: Timeline) -> None:
    def build(stream: rx.Stream[int]) -> rx.Stream[int]:
        return stream.key_by(everywhere).process(partial(Debounce, 2.5))

    check_times(build, [source], debounced)


async def test_timers_of_the_clock_by_name_and_key(virtual_time: VirtualTime) -> None:
    class Named(rx.KeyedProcess[int, int, str]):
        def on_item(self, item: int, context: rx.ProcessContext[int]) -> None:
            context.set_clock_timer(3, "slow")
            context.set_clock_timer(1, "fast")
            context.set_clock_timer(2, "never")
            context.delete_clock_timer("never")
            context.delete_clock_timer("unknown")

        def on_clock_timer(self, context: rx.ProcessContext[int]) -> Iterator[str]:
            yield f"{context.key} {context.timer} {asyncio.get_running_loop().time():g}"
            if context.timer == "slow":
                context.set_clock_timer(100, "fast")

    start = asyncio.get_running_loop().time()
    assert start == 0
    script = [rx.Chunk([1]), Pause(0.5), rx.Chunk([2]), Pause(5)]
    given = await scripted_source(script).key_by(int).process(Named).collect()
    assert given == [
        *("1 fast 1", "2 fast 1.5", "1 slow 3", "2 slow 3.5"),
        *("1 fast 5.5", "2 fast 5.5"),
    ]


async def test_results_of_the_clock_have_the_time_of_what_set_it(virtual_time: VirtualTime) -> None:
    script = [
        rx.Chunk([7], [10]),
        Pause(5),
        rx.Chunk([8], [20]),
        rx.Watermark(15),
        rx.Chunk([9], [12]),
        rx.Watermark(18),
        Pause(5),
    ]
    stream = scripted_source(script).key_by(int).process(partial(Debounce, 2))
    assert pairs(await signals(stream)) == [(7, 10), (8, 20), (9, 18)]


async def test_very_many_timers_of_the_clock(virtual_time: VirtualTime) -> None:
    script = [rx.Chunk(list(range(3000))), Pause(5)]
    stream = scripted_source(script).key_by(int).process(partial(Debounce, 2))
    given = await signals(stream)
    assert max(len(one) for one in given if isinstance(one, rx.Chunk)) <= 512
    assert [item for item, _ in pairs(given)] == list(range(3000))


async def test_timers_of_the_clock_go_on_when_restored(virtual_time: VirtualTime) -> None:
    def run_of(script: Sequence[Any]) -> rx.Stream[Any]:
        handler = partial(Debounce, 10)
        return scripted_source(script).key_by(int).process(handler).named("it").with_timestamp()

    async with Stepping(run_of([rx.Chunk([1]), Pause(4), Barrier(1), Pause(1)])) as first:
        await first.read_until(Barrier(1))
    loop = asyncio.get_running_loop()
    await asyncio.sleep(100)
    start = loop.time()
    async with Stepping(run_of([Pause(20)]), first.kept) as again:
        entries, _ = await again.read_until(None)
        assert loop.time() - start == pytest.approx(20)
    (given,) = [one for one in entries if isinstance(one, Given)]
    assert 1 in given.value


class Remember(rx.KeyedProcess[str, tuple[str, int], Any]):
    last = rx.ValueState(0)
    young = rx.ValueState(0, ttl=5)

    def on_item(self, item: tuple[str, int], context: rx.ProcessContext[str]) -> None:
        if item[1] < 0:
            del self.last
            del self.young
        elif item[1]:
            self.last = self.young = item[1]


def step_of(stream: rx.Stream[Any], mode: Any = "stream") -> Any:
    operator = stream.node.operator
    assert isinstance(operator, Process)
    return operator.step(rx.Context("it", None, rx.Settings(mode=mode), Meter("it")))


def changed(step: Any) -> dict[Any, bool]:
    """The keys that have changed, and whether each holds anything still."""
    found: dict[Any, bool] = {}
    for made in step.changes().sections["keys"]:
        for group, data in made:
            kind, pairs = pickle.loads(data)
            assert {key_group(key) for key, _ in pairs} == {group}
            found.update((key, kind != GONE) for key, _ in pairs)
    return found


async def test_changes_are_those_since_the_last_snapshot() -> None:
    step = step_of(rx.never().key_by(key_of).process(Remember))
    push(step, rx.Chunk([("a", 1), ("b", 2), ("c", 0)], [0, 0, 0]))
    whole = step.snapshot()
    assert set(whole.states) == {"a", "b"}
    assert changed(step) == {}
    push(step, rx.Chunk([("a", 0), ("b", 3), ("d", 4)], [0, 0, 0]))
    assert changed(step) == {"b": True, "d": True}
    assert changed(step) == {}
    push(step, rx.Chunk([("a", -1)], [0]))
    assert changed(step) == {"a": False}
    push(step, rx.Watermark(5 * SECOND))
    assert changed(step) == {"b": True, "d": True}
    push(step, rx.Chunk([("b", 9)], [5 * SECOND]))
    written = dict(whole.states) | dict(step.snapshot().states)
    again = step_of(rx.never().key_by(key_of).process(Remember))
    again.restore(KeyedSnapshot(step.snapshot().shared, written))
    assert set(again.snapshot().states) == set("abd")


async def test_what_comes_while_changes_are_saved_is_not_in_them() -> None:
    step = step_of(rx.never().key_by(key_of).process(Remember))
    push(step, rx.Chunk([("a", 1), ("b", 2)], [0, 0]))
    changes = step.changes()
    push(step, rx.Chunk([("b", 3), ("c", 4)], [0, 0]))
    push(step, rx.Watermark(5 * SECOND))
    rows = [data for made in changes.sections["keys"] for _, data in made]
    again = step_of(rx.never().key_by(key_of).process(Remember))
    again.restore(Kept(changes.shared, {"keys": put_together(rows)}))
    fresh = step_of(rx.never().key_by(key_of).process(Remember))
    push(fresh, rx.Chunk([("a", 1), ("b", 2)], [0, 0]))
    assert again.snapshot().states == fresh.snapshot().states
    assert changed(step) == {"b": True, "c": True, "a": True}


async def test_timers_are_changes_too() -> None:
    step = step_of(rx.never().key_by(key_of).process(Obey))
    push(step, rx.Chunk([("a", "timer", 5), ("b", "named", 9)], [0, 0]))
    push(step, rx.Chunk([("a", "forget", 0), ("b", "forget", 0)], [0, 0]))
    whole = step.snapshot()
    assert set(whole.states) == {"a", "b"}
    push(step, rx.Chunk([("b", "delete", 0), ("b", "forget", 0)], [0, 0]))
    assert changed(step) == {"b": False}
    push(step, rx.Watermark(5))
    assert changed(step) == {"a": False}
    step = step_of(rx.never().key_by(everywhere).process(Periodic))
    push(step, rx.Chunk(["x"], [0]))
    assert changed(step) == {"all": True}


async def test_memory_is_given_back() -> None:
    step = step_of(rx.never().key_by(key_of).process(Remember))
    meter = step._context.meter
    push(step, rx.Chunk([(str(n), 1) for n in range(100)], list(range(100))))
    push(step, rx.Chunk([(str(n), -1) for n in range(50)], [100] * 50))
    assert meter.gauges["keys"]() == 50
    clocked = step_of(rx.never().key_by(key_of).process(Remember))
    push(clocked, rx.Chunk([("a", 1)]))
    held = clocked._states.handles["young"]
    assert held._held
    clocked._states.handles["young"]._lives._seconds = 0
    later = clocked._clock() + 6
    clocked._clock = lambda: later
    push(clocked, rx.Chunk([("b", 0)]))
    assert not held._held


async def test_errors_name_the_operator_and_the_key() -> None:
    class Divide(rx.KeyedProcess[str, int, float]):
        def on_item(self, item: int, context: rx.ProcessContext[str]) -> Iterator[float]:
            yield 1 / item

    stream = rx.of(1, 2, 0, 3).key_by(lambda x: f"key {x}").process(Divide)
    given: list[float] = []
    with pytest.raises(ZeroDivisionError) as caught:
        await stream.tap(given.append).collect()
    assert given == [1, 0.5]
    notes = "\n".join(caught.value.__notes__)
    assert "in operator process (" in notes
    assert "test_processing.py:" in notes
    assert "for key 'key 0'" in notes
    with pytest.raises(ZeroDivisionError) as caught:
        await rx.of(1, 0).key_by(lambda x: 1 / x).process(Count).collect()
    assert "for key" not in "\n".join(caught.value.__notes__)


async def test_a_key_that_cannot_be_hashed_is_told() -> None:
    with pytest.raises(TypeError, match="unhashable type: 'list'") as caught:
        await rx.of(1).key_by(lambda x: [x]).process(Count).collect()  # type: ignore[type-var]
    assert "for key [1]" in caught.value.__notes__


@pytest.mark.parametrize(
    "ask",
    [
        lambda context: context.time,
        lambda context: context.result_time,
        lambda context: context.after(5),
        lambda context: context.set_timer(5),
    ],
)
async def test_event_time_is_asked_for_where_there_is_none(
    ask: Callable[[rx.ProcessContext[Any]], Any],
) -> None:
    class Ask(rx.KeyedProcess[Any, Any, Any]):
        def on_item(self, item: Any, context: rx.ProcessContext[Any]) -> None:
            assert not context.timed
            assert not context.late
            ask(context)

    with pytest.raises(TypeError, match=r"put .event_time\(...\) before .key_by"):
        await rx.of(1).key_by(everywhere).process(Ask).collect()


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda c: c.set_timer(1.5), "set_timer takes microseconds since 1970"),
        (lambda c: c.set_timer(True), "set_timer takes microseconds since 1970"),
        (lambda c: c.set_timer(1, 2), "the name of a timer is a string, not 2"),
        (lambda c: setattr(c, "result_time", "x"), "result_time takes microseconds"),
        (lambda c: c.set_clock_timer(1), "needs the handler to have an on_clock_timer method"),
    ],
)
async def test_what_makes_no_timer_is_told(
    ask: Callable[[rx.ProcessContext[Any]], Any], message: str
) -> None:
    class Ask(rx.KeyedProcess[Any, Any, Any]):
        def on_item(self, item: Any, context: rx.ProcessContext[Any]) -> None:
            ask(context)

    with pytest.raises(TypeError, match=message):
        await feed_of(1, times=[0]).stream.key_by(everywhere).process(Ask).collect()


async def test_a_timer_without_a_method_for_it_is_told() -> None:
    class Sets(rx.KeyedProcess[Any, Any, Any]):
        def on_item(self, item: Any, context: rx.ProcessContext[Any]) -> None:
            context.set_timer(1)

    with pytest.raises(NotImplementedError, match="Sets sets timers and has no on_timer method"):
        await feed_of(1, times=[0]).stream.key_by(everywhere).process(Sets).collect()


class AsyncItem(rx.KeyedProcess[Any, Any, Any]):
    async def on_item(self, item: Any, context: Any) -> Any:  # type: ignore[override]
        yield item


class AsyncTimer(Count):
    async def on_timer(self, time: int, context: Any) -> Any:  # type: ignore[override]
        return None


def test_what_makes_no_handler_is_refused() -> None:
    keyed = rx.of(1).key_by(everywhere)
    refused: list[tuple[Any, str]] = [
        (Count(), r"process\(Count\) or process\(lambda: Count\(...\)\), not a handler"),
        (3, "process needs a function, not int 3"),
        (int, "needs a subclass of rx.KeyedProcess, not int"),
        (lambda: 3, "needs a subclass of rx.KeyedProcess, not int"),
        (AsyncItem, "AsyncItem.on_item is async"),
        (AsyncTimer, "AsyncTimer.on_timer is async"),
        (partial(AsyncItem), "AsyncItem.on_item is async"),
    ]
    for handler, message in refused:
        with pytest.raises(TypeError, match=message):
            keyed.process(handler)
    with pytest.raises(TypeError, match="late must be a rx"):
        keyed.process(Count, late=3)  # type: ignore[arg-type]


async def test_each_run_has_a_handler_of_its_own() -> None:
    made: list[Debounce] = []

    def make() -> Debounce:
        made.append(Debounce(1))
        return made[-1]

    stream = rx.of(1).key_by(everywhere).process(make)
    assert await asyncio.gather(stream.collect(), stream.collect()) == [[1], [1]]
    assert len({id(one) for one in made[1:]}) == 2


def test_the_plan_tells_what_is_remembered() -> None:
    plan = make_plan([JobPlan(rx.of(1).key_by(everywhere).process(Remember).node)])
    (operator,) = [node.operator for node in plan.names if node.inputs]
    assert operator.details() == {
        "handler": "Remember",
        "last": "lives for ever",
        "young": "lives 5 s",
    }
