"""What pipelines of ours and of RxPY are made of, to be compared in `test_rx_timing.py`.

A `Pair` that differs says in what, by a function from what RxPY gives to what ours has to give,
and by the words with which our docstring says so.

Inputs have their events at whole seconds and `n` thousandths for input `n`, and no sum of the
spans below is whole, so that nothing depends on what comes first at one moment.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import reactivex
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler
from timelines import ERROR, Timeline, ending_of, items_of

import reactive as rx
from reactive.testing import End, Failure, Item
from reactive.testing.marbles import Event

Events: TypeAlias = list[Event[Any]]
Differs: TypeAlias = Callable[..., Events]

SPAN = 2.37
LATE = 7.41
SOON = 0.59


@dataclass(frozen=True)
class Pair:
    """Our pipeline and that of RxPY, over the same number of inputs."""

    ours: Callable[..., rx.Stream[Any]]
    theirs: Callable[..., reactivex.Observable[Any]]
    inputs: int = 1
    fails: bool = True
    """Whether inputs may fail."""

    differs: Differs | None = None
    """What ours gives instead, from what RxPY gave and the inputs."""

    said: tuple[Callable[..., Any], str] | None = None
    """Whose docstring says so, and in what words."""


def period(x: int) -> float:
    """The period of the inner streams below: no multiples of two of them meet."""
    return (0.701, 1.832, 2.963, 4.094, 5.225, 6.356)[abs(x)]


def our_inner(x: int) -> rx.Stream[Any]:
    inner = rx.interval(period(x)).take(1 + abs(x) % 3).map(lambda n: (x, n))
    return inner.concat(rx.fail(ERROR)) if x == 5 else inner


def their_inner(x: int) -> reactivex.Observable[Any]:
    inner = reactivex.interval(period(x)).pipe(ops.take(1 + abs(x) % 3), ops.map(lambda n: (x, n)))
    return inner.pipe(ops.concat(reactivex.throw(ERROR))) if x == 5 else inner


def children(x: int) -> list[int]:
    return [x - 2, x - 3] if x > 0 else []


def moment(seconds: float) -> datetime:
    """A time of day; the tests have it begin at the epoch, as the scheduler of RxPY does."""
    return datetime.fromtimestamp(seconds, UTC)


def their_moment(seconds: float) -> datetime:
    return VirtualTimeScheduler.to_datetime(seconds)


def counted(times: int) -> Callable[..., bool]:
    """A condition that holds so often."""
    left = itertools.count()
    return lambda *_: next(left) < times


def print_nothing(*_: object) -> None:
    """What is done on the side."""


def plus(a: int, b: int) -> int:
    return a + b


def odd(x: int) -> bool:
    return x % 2 == 1


def small(x: int) -> bool:
    return x < 3


failing_in_turn = ops.catch(lambda error, _: reactivex.of(reactivex.throw(error)))
"""Of a stream of streams, makes a failure the last of them, whose turn comes after the others'."""


def group_lists(key: Callable[[int], int], duration: Any = None) -> Any:
    """What each group has, when it is complete, in terms of RxPY."""
    opened = ops.group_by(key) if duration is None else ops.group_by_until(key, None, duration)
    return reactivex.compose(opened, ops.flat_map(lambda group: group.pipe(ops.to_list())))


def ends_with_last_item(given: Events, *inputs: Timeline) -> Events:
    """Completes when the last item has left, and not so much after upstream."""
    if not given or not isinstance(given[-1], End):
        return given
    ended = ending_of(inputs[0])[0].time
    return [*given[:-1], End(max([ended, *(item.time for item in given[:-1])]))]


def ends_with_inputs(given: Events, *inputs: Timeline) -> Events:
    """Completes with the first of its inputs, and then gives at once what is held."""
    ends = [end for one in inputs for end in ending_of(one)]
    first = min(ends, key=lambda end: end.time, default=None)
    if first is None or isinstance(first, Failure):
        return given if first is None else [*before(given, first.time), first]
    kept = before(given, first.time)
    came = [item for item in items_of(inputs[0]) if item.time < first.time]
    waits = _waiting(came, kept, inputs)
    return [*kept, *(Item(first.time, each) for each in waits), End(first.time)]


def _waiting(came: Sequence[Item[Any]], kept: Events, inputs: Sequence[Timeline]) -> list[Any]:
    """What has come since the last tick."""
    if len(inputs) > 1:
        end = ending_of(inputs[0]) + ending_of(inputs[1])
        ticks = [tick.time for tick in items_of(inputs[1])]
    else:
        end = ending_of(inputs[0])
        ticks = [SPAN * n for n in range(1, 100)]
    over = min(each.time for each in end)
    last = max([tick for tick in ticks if tick < over], default=-1)
    return [item.value for item in came if item.time > last][-1:]


def before(given: Events, time: float) -> Events:
    return [event for event in given if event.time < time]


def only_full(given: Events, *inputs: Timeline) -> Events:
    """No incomplete list at the end."""
    return [one for one in given if not isinstance(one, Item) or len(one.value) == 3]


def ends_when_hopeless(given: Events, *inputs: Timeline) -> Events:
    """Completes with the first input that ends without an item."""
    hopeless = [
        end
        for one in inputs
        for end in ending_of(one)
        if isinstance(end, End) and not items_of(one)
    ]
    first = min(hopeless, key=lambda end: end.time, default=None)
    if first is None or (given and given[-1].time <= first.time):
        return given
    return [*before(given, first.time), first]


def no_empty_end(given: Events, *inputs: Timeline) -> Events:
    """No list where nothing has come since the last boundary."""
    empty = len(given) > 1 and isinstance(given[-1], End) and given[-2].value == []
    return [*given[:-2], given[-1]] if empty else given


def ends_unopened(given: Events, *inputs: Timeline) -> Events:
    """Completes with upstream, also if the other stream has not given an item by then."""
    return given or ending_of(inputs[0])


def ends_after_two(given: Events, *inputs: Timeline) -> Events:
    """Completes with the second pair, as there are no more."""
    pairs = [one for one in given if isinstance(one, Item)]
    return [*pairs, End(pairs[1].time)] if len(pairs) == 2 else given


NO_PAUSE = rx.Backoff(initial=0, jitter=0)
