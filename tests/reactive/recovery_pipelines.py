"""Pipelines whose recovery is checked, by the number of streams they take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import reactive as rx


async def slowly(n: Any) -> Any:
    await asyncio.sleep(0.3 * (n % 3))
    return n


def timed(numbers: rx.Stream[int]) -> rx.Stream[int]:
    return numbers.event_time(lambda n: n, lateness=2)


class Running(rx.KeyedProcess[int, int, tuple[int, int]]):
    total = rx.ValueState(0)

    def on_item(self, item: int, context: Any) -> Iterator[tuple[int, int]]:
        self.total += item
        context.set_timer(context.time + 5_000_000)
        yield context.key, self.total

    def on_timer(self, time: int, context: Any) -> Iterator[tuple[int, int]]:
        yield context.key, -self.total


class Counting(rx.KeyedProcess[int, int, tuple[int, int]]):
    count = rx.ValueState(0)

    def on_item(self, item: int, context: Any) -> Iterator[tuple[int, int]]:
        self.count += 1
        yield item, self.count


def total(before: int, n: int) -> int:
    return before + n


def windows(numbers: rx.Stream[int], **options: Any) -> rx.Stream[Any]:
    keyed = timed(numbers).key_by(lambda n: n % 3)
    return keyed.window(rx.Tumbling(10), **options).aggregate(count=rx.count(), total=rx.sum())


def sessions(numbers: rx.Stream[int]) -> rx.Stream[Any]:
    some = timed(numbers).filter(lambda n: n % 9 < 5)
    return some.key_by(lambda n: n % 2).window(rx.Session(4)).aggregate(rx.count())


class Transient:
    """Fails now and then, as chance has it, but never for ever."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, n: int) -> int:
        self.calls += 1
        if self.calls in (9, 30, 61):
            raise OSError("transient")
        return n


def transient(numbers: rx.Stream[int]) -> rx.Stream[int]:
    return numbers.map(Transient())


BAD = rx.SideOutput[rx.DeadLetter[int]]("bad")
LOST = rx.SideOutput[int]("lost")
WORSE = rx.SideOutput[rx.DeadLetter[int]]("worse")
LATE = rx.SideOutput[Any]("late")


def refuse(by: int) -> Callable[[int], int]:
    def check(n: int) -> int:
        if n % by == 0:
            raise ValueError(n)
        return n

    return check


def dead_letters(numbers: rx.Stream[int]) -> list[rx.Stream[Any]]:
    return [numbers.map(refuse(7), on_error=BAD), BAD.map(lambda bad: bad.item)]


def fan_out(numbers: rx.Stream[int]) -> list[rx.Stream[Any]]:
    sums = numbers.scan(total, 0)
    return [sums.filter(lambda n: n % 2 == 0), sums.batch(5), sums.map(slowly, concurrency=3)]


def two_feeders(numbers: rx.Stream[int], others: rx.Stream[int]) -> list[rx.Stream[Any]]:
    return [
        numbers.map(refuse(7), on_error=BAD),
        others.map(refuse(5), on_error=BAD).scan(total, 0),
        BAD.map(lambda bad: bad.item),
    ]


def nested_feeder(numbers: rx.Stream[int]) -> list[rx.Stream[Any]]:
    checked = numbers.map(refuse(7), on_error=BAD).retry(rx.Backoff(1, jitter=0), on=EOFError)
    return [checked, BAD.map(lambda bad: bad.item)]


def nested_branch(left: rx.Stream[int], right: rx.Stream[int]) -> list[rx.Stream[Any]]:
    merged = left.map(refuse(7), on_error=BAD).merge(right)
    return [merged.retry(rx.Backoff(1, jitter=0), on=EOFError), BAD.map(lambda bad: bad.item)]


def late_to_side(numbers: rx.Stream[int]) -> list[rx.Stream[Any]]:
    times = numbers.event_time(lambda n: n - 30 * (n % 5 == 4), lateness=1)
    keyed = times.key_by(lambda n: n % 2)
    counted = keyed.window(rx.Tumbling(5), late=LATE).aggregate(rx.count())
    return [counted, LATE.map(lambda late: late)]


TEN_SECONDS = rx.Tumbling(10)


def joined(
    left: rx.Stream[int], right: rx.Stream[int], window: rx.WindowAssigner = TEN_SECONDS
) -> rx.Stream[Any]:
    lefts, rights = (timed(each).key_by(lambda n: n % 3) for each in (left, right))
    return lefts.join(rights, window=window)


async def doubled(items: AsyncIterator[int]) -> AsyncIterator[int]:
    async for item in items:
        yield 2 * item


@dataclass(frozen=True)
class Case:
    """A pipeline, how many streams of how many items it takes, and whether the order counts."""

    build: Callable[..., rx.Stream[Any] | Sequence[rx.Stream[Any]]]
    inputs: Sequence[Sequence[int]] = (range(30),)
    ordered: bool = True


TWO = (range(20), range(100, 130))

CASES: dict[str, Case] = {
    "scan": Case(lambda n: n.scan(total, 0)),
    "batch": Case(lambda n: n.batch(7)),
    "async map": Case(lambda n: n.map(slowly, concurrency=5)),
    "async map, unordered": Case(
        lambda n: n.map(slowly, concurrency=5, ordered=False), ordered=False
    ),
    "concat": Case(lambda a, b: a.concat(rx.of(-1, -2), b.map(lambda n: 100 + n)), TWO),
    "concat map": Case(lambda n: n.concat_map(lambda i: rx.of(i, i + 1).map(slowly))),
    "merge": Case(lambda a, b: a.merge(b), TWO, ordered=False),
    "merge one short": Case(lambda a, b: a.merge(b), (range(2), range(100, 140)), ordered=False),
    "merge same": Case(lambda n: n.map(lambda i: -i - 1).merge(n), ordered=False),
    "zip": Case(lambda a, b: a.zip(b), TWO),
    "merge map": Case(
        lambda n: n.merge_map(lambda i: rx.of(i, i).map(slowly), concurrency=3), ordered=False
    ),
    "tumbling": Case(windows, ordered=False),
    "early panes": Case(
        lambda n: windows(n, trigger=rx.AfterWatermark(early=rx.AfterCount(2))), ordered=False
    ),
    "sessions": Case(sessions, ordered=False),
    "sliding": Case(lambda n: timed(n).window(rx.Sliding(10, 5)).aggregate(rx.sum())),
    "process": Case(lambda n: timed(n).key_by(lambda i: i % 3).process(Running), ordered=False),
    "distinct": Case(lambda n: n.map(lambda i: i % 11).distinct()),
    "distinct of the last": Case(lambda n: n.map(lambda i: i * i % 11).distinct(count=3)),
    "windows of so many": Case(
        lambda n: n.key_by(lambda i: i % 3).window(rx.Count(4, every=2)).aggregate(rx.sum()),
        ordered=False,
    ),
    "fan-out": Case(fan_out),
    "dead letters": Case(dead_letters),
    "two feeders": Case(two_feeders, TWO, ordered=False),
    "nested feeder": Case(nested_feeder),
    "a branch of a nested feeder": Case(nested_branch, TWO, ordered=False),
    "late to a side output": Case(late_to_side, ordered=False),
    "retry after a long pause": Case(
        lambda n: transient(n).retry(rx.Backoff(25, jitter=0)).distinct()
    ),
    "repeat with a pause": Case(lambda n: n.repeat(2, pause=25).scan(total, 0)),
    "retry": Case(lambda n: transient(n).retry(rx.Backoff(1, jitter=0)).distinct()),
    "retry twice": Case(
        lambda n: (
            transient(transient(n).retry(rx.Backoff(1, jitter=0)))
            .retry(rx.Backoff(1, jitter=0))
            .distinct()
        )
    ),
    "retry a merge": Case(
        lambda a, b: transient(a.merge(b)).retry(rx.Backoff(1, jitter=0)).distinct(),
        TWO,
        ordered=False,
    ),
    "recover": Case(
        lambda a, b: a.map(refuse(11)).recover(b, on=ValueError), (range(1, 30), range(100, 120))
    ),
    "retry of keyed state": Case(
        lambda n: (
            transient(n.key_by(lambda i: i // 4).process(Counting))
            .retry(rx.Backoff(1, jitter=0))
            .distinct()
        )
    ),
    "retry of windows": Case(
        lambda n: transient(windows(n)).retry(rx.Backoff(1, jitter=0)).distinct(), ordered=False
    ),
    "retry of concat": Case(
        lambda a, b: transient(a.concat(b)).retry(rx.Backoff(1, jitter=0)).distinct(), TWO
    ),
    "repeat of concat": Case(lambda a, b: a.concat(b).repeat(2), TWO),
    "repeat": Case(lambda n: n.repeat(3)),
    "repeat and take": Case(lambda n: n.repeat().take(70)),
    "then": Case(lambda a, b: a.then(b, sequence=lambda n: n), (range(20), range(19, 50))),
    "then by key": Case(lambda a, b: a.then(b, key=lambda n: n), (range(20), range(19, 50))),
    "take": Case(lambda n: [n.take(17), n.take_while(lambda i: i < 9).scan(total, 0)]),
    "take of all": Case(lambda n: n.scan(total, 0).take(5)),
    "fold": Case(lambda n: [n.sum(), n.to_list()]),
    "window join": Case(joined, (range(30), range(5, 35)), ordered=False),
    "join of sessions": Case(
        lambda a, b: joined(
            a.filter(lambda n: n % 9 < 5), b.filter(lambda n: n % 7), rx.Session(2)
        ),
        (range(30), range(5, 35)),
        ordered=False,
    ),
    "cogroup": Case(
        lambda a, b: (
            timed(a)
            .key_by(lambda n: n % 3)
            .cogroup(timed(b).key_by(lambda n: n % 3), window=rx.Sliding(8, every=4))
        ),
        (range(30), range(5, 35)),
        ordered=False,
    ),
    "two jobs": Case(lambda a, b: [a.scan(total, 0), b.map(slowly)], (range(3), range(60))),
    "repeat in two jobs": Case(lambda n: [n.repeat(2), n.repeat(2).scan(total, 0)]),
    "retry of merge map": Case(
        lambda n: (
            transient(n.merge_map(lambda i: rx.of(i, -i).map(slowly), concurrency=2))
            .retry(rx.Backoff(1, jitter=0))
            .distinct()
        ),
        ordered=False,
    ),
    "retry of then": Case(
        lambda a, b: (
            transient(a.then(b, sequence=lambda n: n)).retry(rx.Backoff(1, jitter=0)).distinct()
        ),
        (range(20), range(19, 50)),
    ),
    "then in two jobs": Case(
        lambda a, b: (lambda both: [both, both.batch(3)])(a.then(b, sequence=lambda n: n)),
        (range(20), range(19, 50)),
    ),
    "diamond": Case(
        lambda n: (
            lambda sums: (
                sums.filter(lambda i: i % 2).map(slowly).merge(sums.filter(lambda i: i % 2 == 0))
            )
        )(n.scan(total, 0)),
        ordered=False,
    ),
    "what a buffer drops": Case(
        lambda n: n.buffer(3, overflow="drop_oldest", discarded=LOST).map(slowly).merge(LOST),
        ordered=False,
    ),
    "buffer": Case(lambda n: n.map(slowly).buffer(3).batch(2)),
    "skip and pairwise": Case(lambda n: n.skip(3).pairwise()),
    "sort": Case(lambda n: n.map(lambda i: (i * 7) % 31).to_list()),
    "combine latest": Case(lambda a, b: a.combine_latest(b).last(), TWO),
    "interval join": Case(
        lambda a, b: (
            timed(a)
            .key_by(lambda n: n % 3)
            .interval_join(timed(b).key_by(lambda n: n % 3), before=3, after=3, how="full")
        ),
        (range(0, 60, 2), range(5, 35)),
        ordered=False,
    ),
    "lookup as of event time": Case(
        lambda a, b: (
            timed(a)
            .key_by(lambda n: n % 5)
            .lookup(
                timed(b).key_by(lambda n: n % 5).table(deleted=lambda n: n % 4 == 0),
                how="left",
                as_of="event time",
            )
        ),
        (range(30), range(3, 33)),
    ),
    "merge sorted": Case(lambda a, b: a.merge_sorted(b), (range(0, 60, 3), range(0, 60, 2))),
    "interleave": Case(lambda a, b: a.interleave(b), TWO),
    "through": Case(lambda n: n.through(doubled)),
    "recover with": Case(
        lambda a, b: a.map(refuse(11)).recover_with(lambda _: b.scan(total, 0), on=ValueError),
        (range(1, 30), range(100, 120)),
    ),
    "defer": Case(lambda n: rx.defer(lambda: n).scan(total, 0)),
    "deduplicate": Case(
        lambda n: timed(n).key_by(lambda i: i % 2).deduplicate(within=7, by=lambda i: i % 3)
    ),
    "expand": Case(lambda n: n.expand(lambda i: [i * 2] if 0 < i < 20 else [])),
    "three jobs of a merge": Case(
        lambda a, b: (lambda both: [both.batch(4).flat_map(list), both, a.take(2)])(a.merge(b)),
        TWO,
        ordered=False,
    ),
    "bad of bad": Case(
        lambda n: [
            n.map(refuse(3), on_error=BAD),
            BAD.map(lambda bad: bad.item).map(refuse(2), on_error=WORSE),
            WORSE.map(lambda bad: bad.item),
        ]
    ),
    "timeless process": Case(lambda n: n.key_by(lambda i: i % 4).scan(total, 0)),
}
