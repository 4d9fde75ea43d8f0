"""on_error of every operator that takes it, and side outputs."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import structlog.testing
from parts import Kept

import reactive as rx
from reactive.testing import scripted_source
from reactive.testing.plugin import VirtualTime

Build = Callable[[rx.Stream[Any], Any], rx.Stream[Any]]


def inverse(x: int) -> float:
    return 12 / x


async def inverse_async(x: int) -> float:
    await asyncio.sleep(0)
    return 12 / x


async def inverse_at_once(x: int) -> float:
    return 12 / x


MAPS: dict[str, Build] = {
    "map": lambda s, policy: s.map(inverse, on_error=policy),
    "starmap": lambda s, policy: s.map(lambda x: (x,)).starmap(inverse, on_error=policy),
    "filter_map": lambda s, policy: s.filter_map(inverse, on_error=policy),
    "map of an async function": lambda s, policy: s.map(inverse_async, on_error=policy),
    "map of one that does not wait": lambda s, policy: s.map(inverse_at_once, on_error=policy),
    "map of several at once": lambda s, policy: s.map(
        inverse_async, concurrency=3, on_error=policy
    ),
    "map on threads": lambda s, policy: s.map(inverse, on="thread", on_error=policy),
    "map on processes": lambda s, policy: s.map(
        inverse, on="process", concurrency=1, on_error=policy
    ),
    "flat_map": lambda s, policy: s.flat_map(
        lambda x: [inverse(x)],
        on_error=policy if not policy_replaces(policy) else in_lists(policy),
    ),
    "map_chunks": lambda s, policy: s.map_chunks(
        lambda xs: [inverse(x) for x in xs], on_error=policy
    ),
}
OTHERS: dict[str, Build] = {
    "filter": lambda s, policy: s.filter(lambda x: 12 / x > 5, on_error=policy),
    "tap": lambda s, policy: s.tap(inverse, on_error=policy),
}

ELSEWHERE = {"expand", "partition", "event_time", "enrich"}
"""What has given the item that fails already, gives two streams, or no item of its own; see
test_reshaping.py, test_filtering.py, test_event_time.py and test_enriching.py."""


def policy_replaces(policy: Any) -> bool:
    return hasattr(policy, "substitute")


def in_lists(policy: Any) -> Any:
    return rx.replace_with(lambda item, error: [policy.substitute(item, error)])


def test_every_operator_with_a_policy_is_tested() -> None:
    methods = inspect.getmembers(rx.Stream, inspect.isfunction)
    with_policy = {
        name for name, method in methods if "on_error" in inspect.signature(method).parameters
    }
    assert with_policy - ELSEWHERE == {name.split()[0] for name in MAPS | OTHERS}


@pytest.mark.parametrize("name", MAPS | OTHERS)
async def test_raising_is_a_policy_too(name: str) -> None:
    build = (MAPS | OTHERS)[name]
    given = []
    with pytest.raises(ZeroDivisionError) as caught:
        async for item in build(rx.of(1, 2, 0, 3), "raise"):
            given.append(item)  # noqa: PERF401
    assert len(given) == 2
    assert f"in operator {name.split()[0]} ({__file__}:" in "\n".join(caught.value.__notes__)


@pytest.mark.parametrize("name", MAPS)
async def test_skip_drops_and_counts(name: str) -> None:
    kept = Kept()
    stream = MAPS[name](rx.of(1, 0, 2, 0, 3), "skip").named("inverse")
    report = await rx.run(stream.to(kept))
    assert kept.items == [12, 6, 4]
    assert report["inverse"].counters["skipped"] == 2
    assert report["inverse"].items_in == 5 or name in ("starmap",)
    assert report["inverse"].items_out == 3


@pytest.mark.parametrize("name", MAPS)
async def test_replace_puts_a_value_in_place_and_counts(name: str) -> None:
    kept = Kept()
    stream = MAPS[name](rx.of(1, 0, 2), rx.replace(-1)).named("inverse")
    report = await rx.run(stream.to(kept))
    assert kept.items == [12, -1, 6]
    assert report["inverse"].counters["replaced"] == 1


@pytest.mark.parametrize("name", MAPS)
async def test_replace_with_asks_a_function(name: str) -> None:
    policy = rx.replace_with(lambda item, error: (item, type(error).__name__))
    expected = (0,) if name == "starmap" else 0
    assert await MAPS[name](rx.of(1, 0, 2), policy).collect() == [
        12,
        (expected, "ZeroDivisionError"),
        6,
    ]


@pytest.mark.parametrize("name", MAPS)
async def test_a_failing_replacement_is_the_operators_failure(name: str) -> None:
    def broken(item: Any, error: Exception) -> Any:
        raise LookupError("no replacement") from error

    given = []
    with pytest.raises(LookupError, match="no replacement") as caught:
        async for item in MAPS[name](rx.of(1, 0, 2), rx.replace_with(broken)):
            given.append(item)  # noqa: PERF401
    assert given == [12]
    assert "in operator " in "\n".join(caught.value.__notes__)


@pytest.mark.parametrize("name", MAPS | OTHERS)
async def test_a_side_output_gets_item_error_and_operator(name: str) -> None:
    bad: rx.SideOutput[rx.DeadLetter[Any]] = rx.SideOutput("bad")
    good, letters = Kept(), Kept()
    stream = (MAPS | OTHERS)[name](rx.of(1, 0, 2, 0), bad).named("inverse")
    report = await rx.run(stream.to(good), bad.to(letters))
    assert len(good.items) == 2
    assert [letter.item for letter in letters.items] == (
        [(0,)] * 2 if name == "starmap" else [0] * 2
    )
    for letter in letters.items:
        assert isinstance(letter, rx.DeadLetter)
        assert isinstance(letter.error, ZeroDivisionError)
        assert letter.operator == "inverse"
    assert report["inverse"].counters["dead_letters"] == 2


@pytest.mark.parametrize("name", MAPS | OTHERS)
async def test_only_exceptions_are_handled(name: str) -> None:
    class Stop(BaseException):
        pass

    def stop(*args: Any) -> Any:
        raise Stop

    async def stop_async(*args: Any) -> Any:
        raise Stop

    fn = stop_async if "async" in name or "at once" in name or "wait" in name else stop
    options: dict[str, Any] = {"concurrency": 3} if "several" in name else {}
    if " on " in name:
        options = {"on": "thread" if "threads" in name else "process", "concurrency": 1}
    with pytest.raises(Stop):
        await getattr(rx.of((1,)), name.split()[0])(fn, on_error="skip", **options).collect()


async def test_filter_and_tap_under_a_policy() -> None:
    assert await rx.of(1, 0, 2, 6).filter(lambda x: 12 / x > 5, on_error="skip").collect() == [1, 2]
    kept = await rx.of(1, 0, 6).filter(lambda x: 12 / x > 5, on_error=rx.replace(True)).collect()
    assert kept == [1, 0]
    asked = rx.replace_with(lambda item, error: item != 0)
    assert await rx.of(1, 0).filter(lambda x: 12 / x > 5, on_error=asked).collect() == [1]
    assert await rx.of(1, 0, 2).tap(inverse, on_error="skip").collect() == [1, 2]
    assert await rx.of(1, 0, 2).tap(inverse, on_error=rx.replace(None)).collect() == [1, 0, 2]


async def test_flat_map_under_a_policy() -> None:
    assert await rx.of(2, 0).flat_map(
        lambda x: [1 / x] * 2, on_error=rx.replace([7, 8, 9])
    ).collect() == [0.5, 0.5, 7, 8, 9]


async def test_one_failing_item_in_a_row_of_policies_is_handled_once() -> None:
    first: rx.SideOutput[Any] = rx.SideOutput("first")
    second: rx.SideOutput[Any] = rx.SideOutput("second")
    one, two, rest = Kept(), Kept(), Kept()
    stream = rx.of(0, 1, 4).map(inverse, on_error=first).map(lambda x: 1 / (x - 3), on_error=second)
    await rx.run(stream.to(rest), first.to(one), second.to(two))
    assert [letter.item for letter in one.items] == [0]
    assert [letter.item for letter in two.items] == [3]
    assert rest.items == [1 / 9]


async def test_several_operators_and_jobs_feed_one_side_output() -> None:
    bad: rx.SideOutput[rx.DeadLetter[Any]] = rx.SideOutput("bad")
    first = rx.of(1, 0).map(inverse, on_error=bad).named("first")
    second = rx.of(2, 0).map(inverse_async, concurrency=2, on_error=bad).named("second")
    third = rx.of(0, 3).map(inverse, on_error=bad).named("third").buffer(2)
    letters, good, other = Kept(), Kept(), Kept()
    await rx.run(first.merge(second).to(good), third.to(other), bad.to(letters))
    assert sorted(letter.operator for letter in letters.items) == ["first", "second", "third"]
    assert sorted(good.items) == [6, 12]
    assert other.items == [4]


async def test_a_side_output_completes_when_all_that_feed_it_have(
    virtual_time: VirtualTime,
) -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    short = rx.timer(1).map(lambda x: 1 / x, on_error=bad)
    long = rx.timer(5).map(lambda x: 1 / x, on_error=bad)
    given: list[Any] = []

    def note(letter: Any) -> None:
        given.append((letter.operator, virtual_time.now))

    ended: list[float] = []
    counted = bad.tap(note).count().tap(lambda _: ended.append(virtual_time.now))
    await rx.run(short.named("short").to(Kept()), long.named("long").to(Kept()), counted.to(Kept()))
    assert given == [("short", 1.0), ("long", 5.0)]
    assert ended == [5.0]


async def test_a_side_output_is_a_stream_like_any_other() -> None:
    bad: rx.SideOutput[rx.DeadLetter[str]] = rx.SideOutput("bad")
    numbers = rx.of("1", "x", "2", "y").map(int, on_error=bad)
    both = numbers.merge(bad.map(lambda letter: len(letter.item)))
    assert sorted(await both.collect()) == [1, 1, 1, 2]
    counts = bad.count()
    kept, counted = Kept(), Kept()
    await rx.run(numbers.to(kept), counts.to(counted))
    assert counted.items == [2]


async def test_a_side_output_read_twice_feeds_both() -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    one, two = Kept(), Kept()
    stream = rx.of(0, 0).map(inverse, on_error=bad)
    await rx.run(stream.to(Kept()), bad.to(one), bad.map(lambda letter: letter.item).to(two))
    assert (len(one.items), two.items) == (2, [0, 0])


async def test_a_side_output_pushes_back(virtual_time: VirtualTime) -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    tried: list[int] = []

    def fail(x: int) -> int:
        tried.append(x)
        raise ValueError(x)

    stream = rx.range(1000).map(fail, on_error=bad)
    slow = Kept(delay=1)
    async with rx.start(
        stream.to(Kept()), bad.to(slow), settings=rx.Settings(chunk=4, edge=4)
    ) as run:
        await asyncio.sleep(3.5)
        assert len(slow.items) <= 16
        assert len(tried) <= len(slow.items) + 5 * 4
        await run.stop(drain=False)


async def test_a_side_output_that_nobody_reads_is_counted_and_warned_about() -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    kept = Kept()
    stream = rx.of(1, 0, 2, 0).map(inverse, on_error=bad).named("inverse")
    with structlog.testing.capture_logs() as events:
        report = await rx.run(stream.to(kept))
    assert kept.items == [12, 6]
    assert report["inverse"].counters == {"dead_letters": 2, "unread": 2}
    (event,) = events
    assert event["log_level"] == "warning"
    assert event["event"] == "side_output_not_read"
    assert (event["side_output"], event["items"]) == ("bad", 2)
    assert "rx.run" in event["fix"]


async def test_an_unread_side_output_warns_only_when_something_was_sent() -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    with structlog.testing.capture_logs() as events:
        assert await rx.of(1, 2).map(inverse, on_error=bad).collect() == [12, 6]
    assert events == []


async def test_a_reader_that_leaves_does_not_stop_the_main_path() -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    kept, letters = Kept(), Kept()
    stream = rx.range(30_000).map(lambda x: 12 / (x % 3), on_error=bad)
    with structlog.testing.capture_logs() as events:
        await rx.run(stream.to(kept), bad.take(5).to(letters))
    assert (len(kept.items), len(letters.items)) == (20_000, 5)
    # What came after it left is not silently lost.
    assert [event["side_output"] for event in events] == ["bad"]


async def test_a_side_output_whose_reader_fails_fails_the_run() -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    stream = rx.range(3000).map(inverse, on_error=bad)
    with pytest.raises(AttributeError, match="oops"):
        await rx.run(stream.to(Kept()), bad.map(lambda letter: letter.oops).to(Kept()))


async def test_reading_a_side_output_that_nothing_feeds_is_refused() -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    with pytest.raises(rx.PlanError, match=r"side output 'bad'.*no operator of the run feeds it"):
        await bad.collect()


async def test_a_side_output_must_not_lead_back_into_what_feeds_it() -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    loop = rx.of(0).merge(bad.map(lambda letter: letter.item)).map(inverse, on_error=bad)
    with pytest.raises(rx.PlanError, match="leads back into it"):
        await loop.collect()


async def test_a_failing_feeder_lets_the_side_output_end() -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    letters = Kept()
    failing = scripted_source([rx.Chunk([0, 0]), OSError("gone")]).map(inverse, on_error=bad)
    with pytest.raises(OSError, match="gone"):
        await rx.run(failing.to(Kept()), bad.to(letters))


async def test_dead_letters_are_sent_in_order_with_the_items_around_them() -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    letters = Kept()
    stream = rx.range(5000).map(lambda x: 1 / (x % 2), on_error=bad)
    await rx.run(stream.to(Kept()), bad.map(lambda letter: letter.item).to(letters))
    assert letters.items == list(range(0, 5000, 2))


@pytest.mark.parametrize("wrong", ["ignore", None, ValueError, rx.of(1), lambda item: item])
@pytest.mark.parametrize("name", sorted({name.split()[0] for name in MAPS | OTHERS}))
def test_what_is_no_policy_is_refused_at_once(name: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r'on_error must be "raise", "skip", rx\.replace'):
        getattr(rx.of(1), name)(abs, on_error=wrong)


def test_a_replacement_must_be_a_function() -> None:
    with pytest.raises(TypeError, match="replace_with needs a function of the item and the error"):
        rx.replace_with(5)  # type: ignore[arg-type]


def test_a_side_output_needs_a_name() -> None:
    with pytest.raises(ValueError, match="a side output needs a name"):
        rx.SideOutput("")
    with pytest.raises(TypeError, match="a side output's name is a string, not 5"):
        rx.SideOutput(5)  # type: ignore[arg-type]


def test_policies_are_shown() -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    for policy, shown in (
        ("skip", "on_error: skip"),
        (rx.replace(1), "on_error: replace"),
        (bad, "on_error: to side output bad"),
    ):
        assert shown in str(rx.of(1).map(abs, on_error=policy).explain())  # type: ignore[arg-type]
    assert "on_error" not in str(rx.of(1).map(abs).explain())
