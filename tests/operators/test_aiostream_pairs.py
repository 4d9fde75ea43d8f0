"""Our operators give the same items at the same times as those of aiostream that the page for who
comes from there names beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from aiostream import stream
from feeds import examples
from hypothesis import given
from hypothesis import strategies as st
from mapping_pages import problems_of, rows
from timelines import ERROR, Timeline, stream_of, timelines

import reactive as rx
from reactive.testing import End, Failure, Item, record, run
from reactive.testing.marbles import Event

UNTIL = 60.5
SPAN = 2.37


class Pair(NamedTuple):
    """Our pipeline and that of aiostream, over the same number of inputs."""

    ours: Callable[..., rx.Stream[Any]]
    theirs: Callable[..., Any]
    inputs: int = 1
    ends: bool = True
    """Whether both complete and fail at the same time."""

    fails: bool = True
    """Whether its inputs may fail."""


def plus(a: int, b: int) -> int:
    return a + b


def odd(x: int) -> bool:
    return x % 2 == 1


def small(x: int) -> bool:
    return x < 3


async def slowly(x: int) -> int:
    await asyncio.sleep(0.3 + abs(x) / 7)
    return -x


def inner(x: int) -> rx.Stream[Any]:
    """An async iterable for either."""
    return rx.interval(0.3 + abs(x) / 7).take(2).map(lambda n: (x, n))


def at_last(source: Any) -> Any:
    return stream.takelast(source, 1)


PAIRS: dict[str, Pair] = {
    "accumulate": Pair(lambda s: s.scan(plus), lambda s: stream.accumulate(s, plus)),
    "action": Pair(lambda s: s.tap(abs), lambda s: stream.action(s, abs)),
    "amap": Pair(lambda s: s.map(slowly), lambda s: stream.amap(s, slowly, task_limit=1)),
    "amap, several at once": Pair(
        lambda s: s.map(slowly, concurrency=2),
        lambda s: stream.amap(s, slowly, task_limit=2),
        # Ours gives what came before a failure first.
        fails=False,
    ),
    "call": Pair(lambda: rx.defer(lambda: rx.of(abs(-3))), lambda: stream.call(abs, -3), 0),
    "chain": Pair(lambda s, t: s.concat(t), lambda s, t: stream.chain(s, t), 2),
    "chunks": Pair(lambda s: s.batch(3), lambda s: stream.chunks(s, 3)),
    "concat": Pair(
        lambda s: s.map(inner).concat_all(), lambda s: stream.concat(stream.map(s, inner), 1)
    ),
    "concatmap": Pair(
        lambda s: s.concat_map(inner), lambda s: stream.concatmap(s, inner, task_limit=1)
    ),
    "count": Pair(
        lambda: rx.unfold(2, lambda n: (n, n + 3)).take(5),
        lambda: stream.take(stream.count(2, 3), 5),
        0,
    ),
    "cycle": Pair(lambda s: s.repeat().take(9), lambda s: stream.take(stream.cycle(s), 9)),
    "delay": Pair(
        lambda s: rx.timer(SPAN).concat_map(lambda _: s), lambda s: stream.delay(s, SPAN)
    ),
    "dropwhile": Pair(lambda s: s.skip_while(small), lambda s: stream.dropwhile(s, small)),
    "empty": Pair(lambda: rx.empty(), lambda: stream.empty(), 0),
    "enumerate": Pair(lambda s: s.enumerate(), lambda s: stream.enumerate(s)),
    "filter": Pair(lambda s: s.filter(odd), lambda s: stream.filter(s, odd)),
    "flatmap": Pair(lambda s: s.merge_map(inner), lambda s: stream.flatmap(s, inner)),
    "flatten": Pair(
        lambda s: s.map(inner).merge_all(), lambda s: stream.flatten(stream.map(s, inner))
    ),
    "getitem": Pair(lambda s: s[1:6:2], lambda s: stream.getitem(s, slice(1, 6, 2))),
    "getitem, one": Pair(lambda s: s.element_at(2), lambda s: stream.getitem(s, 2)),
    "iterate": Pair(lambda: rx.from_iterable([1, 2]), lambda: stream.iterate([1, 2]), 0),
    "iterate, async": Pair(lambda s: rx.from_async_iterable(s), lambda s: stream.iterate(s)),
    "just": Pair(lambda: rx.of(3), lambda: stream.just(3), 0),
    "list": Pair(lambda s: s.to_list(), lambda s: at_last(stream.list(s))),
    "map": Pair(lambda s: s.map(abs), lambda s: stream.map(s, abs)),
    "merge": Pair(lambda s, t: s.merge(t), lambda s, t: stream.merge(s, t), 2),
    "never": Pair(lambda: rx.never(), lambda: stream.never(), 0),
    "print": Pair(lambda s: s.tap(lambda x: print(x, end="")), lambda s: stream.print(s, end="")),
    "range": Pair(lambda: rx.range(1, 9, 3), lambda: stream.range(1, 9, 3), 0),
    "reduce": Pair(lambda s: s.reduce(plus, 0), lambda s: stream.reduce(s, plus, 0)),
    "repeat": Pair(lambda: rx.of(7).repeat(3), lambda: stream.repeat(7, 3), 0),
    "skip": Pair(lambda s: s.skip(2), lambda s: stream.skip(s, 2)),
    "skiplast": Pair(lambda s: s.skip_last(2), lambda s: stream.skiplast(s, 2)),
    "smap": Pair(lambda s: s.map(abs), lambda s: stream.smap(s, abs)),
    "spaceout": Pair(lambda s: s.rate_limit(1 / SPAN), lambda s: stream.spaceout(s, SPAN)),
    "starmap": Pair(
        lambda s: s.enumerate().starmap(plus), lambda s: stream.starmap(stream.enumerate(s), plus)
    ),
    "switch": Pair(lambda s: s.map(inner).switch(), lambda s: stream.switch(stream.map(s, inner))),
    "switchmap": Pair(lambda s: s.switch_map(inner), lambda s: stream.switchmap(s, inner)),
    "take": Pair(lambda s: s.take(3), lambda s: stream.take(s, 3)),
    "takelast": Pair(lambda s: s.take_last(3), lambda s: stream.takelast(s, 3)),
    "takewhile": Pair(lambda s: s.take_while(small), lambda s: stream.takewhile(s, small)),
    "throw": Pair(lambda: rx.fail(OSError()), lambda: stream.throw(OSError()), 0),
    "timeout": Pair(lambda s: s.timeout(SPAN), lambda s: stream.timeout(s, SPAN)),
    "until": Pair(
        lambda s: s.take_while(small, inclusive=True),
        lambda s: stream.until(s, lambda x: not small(x)),
    ),
    "zip": Pair(lambda s, t: s.zip(t), lambda s, t: stream.zip(s, t), 2),
    "ziplatest": Pair(
        lambda s, t: s.combine_latest(t),
        lambda s, t: stream.ziplatest(s, t, partial=False),
        2,
        # An input that ends without an item ends ours, whatever becomes of the others.
        ends=False,
    ),
}
ELSEWHERE = {"preserve"}
"""What needs no counterpart."""


async def theirs(build: Callable[..., Any], inputs: tuple[Timeline, ...]) -> list[Event[Any]]:
    """What a stream of aiostream gives, and when."""
    clock = asyncio.get_running_loop().time
    events: list[Event[Any]] = []
    try:
        async with asyncio.timeout(UNTIL), build(*map(stream_of, inputs)).stream() as items:
            async for item in items:
                events.append(Item(clock(), item))  # noqa: PERF401  kept on failure
            events.append(End(clock()))
    except Exception as error:
        if clock() < UNTIL:
            events.append(Failure(clock(), error))
    return events


def plain(event: Event[Any]) -> tuple[Any, ...]:
    time = round(event.time, 4)
    if isinstance(event, Item):
        return time, "item", event.value
    return (time, "end") if isinstance(event, End) else (time, "failure", event.error is ERROR)


def ending_well(event: Event[Any]) -> Event[Any]:
    return End(event.time) if isinstance(event, Failure) else event


@pytest.mark.parametrize("count", [0, 1, 2])
def test_items_and_times_are_those_of_aiostream(count: int) -> None:
    pairs = {name: pair for name, pair in PAIRS.items() if pair.inputs == count}

    @examples(15 if count else 1)
    @given(st.tuples(*(timelines(n, endless=True) for n in range(count))))
    def check(inputs: tuple[Timeline, ...]) -> None:
        well = tuple(tuple(map(ending_well, timeline)) for timeline in inputs)
        for name, pair in pairs.items():
            given_to = inputs if pair.fails else well
            ours = run(record(pair.ours(*map(stream_of, given_to)), until=UNTIL)).events
            both = [ours, run(theirs(pair.theirs, given_to))]
            given, wanted = (
                [plain(each) for each in events if pair.ends or isinstance(each, Item)]
                for events in both
            )
            assert (name, given) == (name, wanted)

    check()


def test_the_page_says_what_was_compared() -> None:
    compared = {name: pair.ours for name, pair in PAIRS.items()}
    assert problems_of(rows("aiostream.md"), compared, ELSEWHERE) == []


def test_every_operator_of_aiostream_is_compared() -> None:
    operators = {name for name, value in vars(stream).items() if hasattr(value, "raw")}
    assert operators == {name.partition(",")[0] for name in PAIRS} | ELSEWHERE
