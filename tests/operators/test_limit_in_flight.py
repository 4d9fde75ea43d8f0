"""limit_in_flight: how many items are between the beginning and the end of a part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, check, examples, feeds
from hypothesis import given
from hypothesis import strategies as st
from timelines import Timeline, check_times, ending_of, items_of, timelines

import reactive as rx
from reactive.testing import End, Failure, Item, Pause, Probe, run, scripted_source
from reactive.testing.marbles import Event
from reactive.testing.plugin import VirtualTime


async def slower_for_less(x: int) -> int:
    await asyncio.sleep(1.37 * (6 - x))
    return x


def limited(count: int) -> Callable[[Timeline], Sequence[Event[Any]]]:
    """As many servers, in order: an item has its place until it has left."""

    def model(source: Timeline) -> list[Event[Any]]:
        left: list[float] = []
        given: list[Event[Any]] = []
        for number, one in enumerate(items_of(source)):
            freed = left[number - count] if number >= count else 0.0
            start = max(one.time, freed)
            left.append(max([start + 1.37 * (6 - one.value), *left[-1:]]))
            given.append(Item(left[-1], one.value))
        for last in ending_of(source):
            end = max([last.time, *left[-1:]])
            given.append(End(end) if isinstance(last, End) else Failure(end, last.error))
        return given

    return model


@model_of("limit_in_flight")
@given(timelines(fails=False), st.integers(1, 4))
@examples()
def test_limit_in_flight_times(source: Timeline, count: int) -> None:
    check_times(
        lambda s: s.limit_in_flight(count, lambda t: t.map(slower_for_less, concurrency=8)),
        [source],
        limited(count),
    )


PARTS: dict[str, tuple[Callable[[rx.Stream[int]], rx.Stream[Any]], Callable[[int], list[int]]]] = {
    "gives one for one": (lambda s: s.map(slower_for_less, concurrency=4), lambda x: [x]),
    "in several tasks": (
        lambda s: s.map(slower_for_less, concurrency=4).buffer(2).map(slower_for_less).prefetch(1),
        lambda x: [x],
    ),
    "drops": (
        lambda s: s.map(slower_for_less, concurrency=2).filter(lambda x: x > 1).buffer(1),
        lambda x: [x] * (x > 1),
    ),
    "drops all": (lambda s: s.buffer(1).filter(lambda x: False), lambda x: []),
    "drops what fails": (
        lambda s: s.map(lambda x: 5 // x and x, on_error="skip").map(slower_for_less),
        lambda x: [x] * (x > 0),
    ),
    "multiplies": (lambda s: s.flat_map(range).map(slower_for_less), lambda x: [*range(x)]),
    "holds": (lambda s: s.batch(3).flat_map(list).buffer(2), lambda x: [x]),
    "as completed": (
        lambda s: s.map(slower_for_less, concurrency=3, ordered=False),
        lambda x: [x],
    ),
    "drops before streams of each": (
        lambda s: s.filter(lambda x: x > 3).merge_map(lambda x: rx.of(x)),
        lambda x: [x] * (x > 3),
    ),
    "drops before groups": (
        lambda s: s.filter(lambda x: x > 3).group_by(lambda x: 1).merge_map(lambda group: group),
        lambda x: [x] * (x > 3),
    ),
    "drops before a merge of one": (
        lambda s: s.filter(lambda x: x > 3).merge(),
        lambda x: [x] * (x > 3),
    ),
    "nothing at all": (lambda s: s, lambda x: [x]),
}


@pytest.mark.parametrize("name", PARTS)
@given(st.lists(st.integers(0, 5), max_size=12), st.integers(1, 5))
@examples(20)
def test_what_comes_out_is_what_the_part_gives(name: str, items: list[int], count: int) -> None:
    part, of = PARTS[name]

    async def main() -> None:
        given = await rx.from_iterable(items).limit_in_flight(count, part).collect()
        wanted = [result for item in items for result in of(item)]
        if name == "as completed":
            assert sorted(given) == sorted(wanted)
        else:
            assert given == wanted

    run(main())


@pytest.mark.parametrize("ordered", [True, False])
@given(st.lists(st.integers(0, 5), max_size=15), st.integers(1, 5))
@examples(20)
def test_no_more_are_inside_than_allowed(ordered: bool, items: list[int], count: int) -> None:
    inside = most = 0

    def enter(x: int) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)

    def leave(x: int) -> None:
        nonlocal inside
        inside -= 1

    async def main() -> None:
        part = rx.from_iterable(items).limit_in_flight(
            count,
            lambda s: (
                s.tap(enter)
                .map(slower_for_less, concurrency=4, ordered=ordered)
                .buffer(3)
                .map(slower_for_less, concurrency=2)
            ),
        )
        assert sorted(await part.tap(leave).collect()) == sorted(items)

    run(main())
    assert most <= count
    assert most >= min(count, len(items), 2)


async def test_items_kept_by_downstream_keep_no_place(virtual_time: VirtualTime) -> None:
    probe = Probe([*range(100)])
    stream = probe.stream.limit_in_flight(3, lambda s: s.buffer(50))
    async with stream.open(rx.Settings(chunk=1)) as items:
        for taken in range(10):
            assert await anext(items) == taken
            await asyncio.sleep(1)
            assert probe.items == taken + 1 + 3
    probe.check()


async def test_a_part_of_many_calls_is_as_fast_as_its_places_allow(
    virtual_time: VirtualTime,
) -> None:
    async def work(x: int) -> int:
        await asyncio.sleep(1)
        return x

    stream = rx.range(100).limit_in_flight(10, lambda s: s.map(work, concurrency=10))
    assert len(await stream.collect()) == 100
    assert virtual_time.now == 10
    # Here no call begins behind a mark before those in front of it are done: they all are.
    unordered = rx.range(100).limit_in_flight(
        10, lambda s: s.map(work, concurrency=10, ordered=False)
    )
    assert len(await unordered.collect()) == 100
    assert virtual_time.now == 20


async def test_two_runs_at_once_do_not_share_places(virtual_time: VirtualTime) -> None:
    async def work(x: int) -> int:
        await asyncio.sleep(1)
        return x

    stream = rx.range(4).limit_in_flight(2, lambda s: s.map(work, concurrency=4))
    assert await asyncio.gather(stream.collect(), stream.collect()) == [[0, 1, 2, 3]] * 2
    assert virtual_time.now == 2


async def test_places_are_freed_though_an_item_replaces_the_one_before_a_mark(
    virtual_time: VirtualTime,
) -> None:
    async def work(word: str) -> str:
        await asyncio.sleep(5)
        return word

    # While A is at work, B fills the part; c comes when A has left and replaces B.
    script = [rx.Chunk(["A"]), Pause(5.5), rx.Chunk(["B"]), Pause(0.7), rx.Chunk(["c"])]
    script += [Pause(20), rx.Chunk(["D"]), Pause(20), rx.Chunk(["E"])]
    stream = scripted_source(script).buffer(10)
    part = stream.limit_in_flight(
        2, lambda s: s.debounce(1).map(work, concurrency=5).filter(str.isupper)
    )
    async with asyncio.timeout(100):
        assert await part.collect() == ["A", "D", "E"]


@given(feeds(), st.integers(1, 4))
@examples()
async def test_control_signals_and_times_pass_as_they_are(feed: Feed, count: int) -> None:
    await check(
        lambda stream: stream.limit_in_flight(
            count, lambda s: s.filter(lambda x: x > 0).buffer(2).map(lambda x: x)
        ),
        feed,
        lambda pairs: [pair for pair in pairs if pair[0] > 0],
    )


async def test_a_part_that_ends_or_fails_ends_or_fails() -> None:
    probe = Probe([*range(100)])
    assert await probe.stream.limit_in_flight(2, lambda s: s.take(3)).collect() == [0, 1, 2]
    probe.check()
    with pytest.raises(ZeroDivisionError):
        await rx.range(5).limit_in_flight(2, lambda s: s.map(lambda x: 1 // x)).collect()


def test_parts_in_which_it_cannot_count_are_refused() -> None:
    async def same(items: Any) -> Any:
        async for item in items:
            yield item

    stream = rx.of(1)
    for part in (
        lambda s: s.merge(rx.of(2)),
        lambda s: s.zip(s.buffer(1)),
        lambda s: rx.of(1),
        lambda s: s.retry(),
    ):
        with pytest.raises(ValueError, match=r"a part that is one line of operators from its"):
            stream.limit_in_flight(1, part)
    with pytest.raises(ValueError, match="cannot tell what becomes of items in through; put it"):
        stream.limit_in_flight(1, lambda s: s.through(same))
    with pytest.raises(TypeError, match="expected a Stream, got NoneType"):
        stream.limit_in_flight(1, lambda s: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="limit_in_flight needs a function, not int 5"):
        stream.limit_in_flight(1, 5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="limit_in_flight needs a count of at least 1, not 0"):
        stream.limit_in_flight(0, lambda s: s)
