"""Values, event times and watermarks of what is made of several streams, whatever the chunks; and
how it goes on from a barrier."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, examples, feed_of, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.testing.observing import Stepping
from reactive.testing.virtual_time import run

several = st.lists(feeds(), min_size=1, max_size=4)


def latest(times: Sequence[int | None]) -> int | None:
    return max((time for time in times if time is not None), default=None)


def row_of(each: Sequence[Pair]) -> Pair:
    return tuple(item for item, _ in each), latest([time for _, time in each])


@model_of("zip_longest")
@given(several)
@examples()
async def test_zip_longest_goes_on_with_the_fill(inputs: list[Feed]) -> None:
    first, *others = (feed.stream for feed in inputs)
    rows = itertools.zip_longest(*(feed.pairs for feed in inputs), fillvalue=("-", None))
    given = await signals(first.zip_longest(*others, fill="-"))
    assert pairs(given) == [row_of(row) for row in rows]


@model_of("interleave")
@given(several, st.integers(1, 3))
@examples()
async def test_interleave_takes_turns(inputs: list[Feed], count: int) -> None:
    left = [feed.pairs for feed in inputs]
    expected = []
    while any(left):
        for row in left:
            expected += row[:count]
            del row[:count]
    first, *others = (feed.stream for feed in inputs)
    settings = rx.Settings(chunk=3)
    assert pairs(await signals(first.interleave(*others, count=count))) == expected
    assert pairs(await signals(first.interleave(*others, count=count), settings)) == expected


def in_order(feed: Feed) -> Feed:
    """The same feed with its items sorted."""
    rising = iter(sorted(feed.items))
    return Feed(
        tuple(
            rx.Chunk([next(rising) for _ in signal.items], signal.times)
            if isinstance(signal, rx.Chunk)
            else signal
            for signal in feed.script
        )
    )


@given(several)
@examples(100)
async def test_merge_sorted_is_heapq_merge(inputs: list[Feed]) -> None:
    inputs = [in_order(feed) for feed in inputs]
    marked = [[(item, n, time) for item, time in feed.pairs] for n, feed in enumerate(inputs)]
    expected = list(heapq.merge(*marked, key=lambda row: row[0]))
    first, *others = (feed.stream for feed in inputs)
    plain = await signals(first.merge_sorted(*others))
    assert pairs(plain) == [(item, time) for item, _, time in expected]
    first, *others = (feed.stream.map(lambda x, n=n: (x, n)) for n, feed in enumerate(inputs))
    keyed = await signals(first.merge_sorted(*others, key=lambda pair: pair[0]))
    assert pairs(keyed) == [((item, n), time) for item, n, time in expected]


@model_of("combine_latest")
@given(several)
@examples()
async def test_combine_latest_combines_what_was_given_last(inputs: list[Feed]) -> None:
    first, *others = (feed.stream.enumerate() for feed in inputs)
    times = [dict(enumerate(time for _, time in feed.pairs)) for feed in inputs]
    given = pairs(await signals(first.combine_latest(*others)))
    if not all(feed.items for feed in inputs):
        assert given == []
        return
    for row, time in given:
        assert time == latest([times[n][place] for n, (place, _) in enumerate(row)])
        assert all(item == inputs[n].items[place] for n, (place, item) in enumerate(row))
    for (before, _), (after, _) in itertools.pairwise(given):
        moved = [b - a for (a, _), (b, _) in zip(before, after, strict=True)]
        assert sorted(moved) == [0] * (len(moved) - 1) + [1]
    assert [place for place, _ in given[-1][0]] == [len(feed.items) - 1 for feed in inputs]


@model_of("with_latest_from")
@given(several)
@examples()
async def test_with_latest_from_gives_every_item_that_has_a_partner(inputs: list[Feed]) -> None:
    first, *others = (feed.stream.enumerate() for feed in inputs)
    times = [dict(enumerate(time for _, time in feed.pairs)) for feed in inputs]
    given = pairs(await signals(first.with_latest_from(*others)))
    for row, time in given:
        assert time == latest([times[n][place] for n, (place, _) in enumerate(row)])
    main = [row[0][0] for row, _ in given]
    assert main == list(range(len(inputs[0].items)))[len(inputs[0].items) - len(main) :]
    for before, after in itertools.pairwise(row for row, _ in given):
        assert all(a[0] <= b[0] for a, b in zip(before, after, strict=True))


@model_of("fork_join")
@given(several)
@examples()
async def test_fork_join_gives_the_last_of_each(inputs: list[Feed]) -> None:
    first, *others = (feed.stream for feed in inputs)
    whole = all(feed.items for feed in inputs)
    expected = [row_of([feed.pairs[-1] for feed in inputs])] if whole else []
    assert pairs(await signals(first.fork_join(*others))) == expected


@model_of("sequence_equal")
@given(feeds(), feeds(), st.integers(0, 12))
@examples(100)
async def test_sequence_equal_compares_to_the_first_difference(
    feed: Feed, other: Feed, common: int
) -> None:
    other = Feed((*feed.script[: common % (1 + len(feed.script))], *other.script))
    a, b = feed.pairs, other.pairs
    looked_at = next(
        (n + 1 for n, (x, y) in enumerate(zip(a, b, strict=False)) if x[0] != y[0]),
        1 + min(len(a), len(b)),
    )
    time = latest([time for _, time in (*a[:looked_at], *b[:looked_at])])
    given = pairs(await signals(feed.stream.sequence_equal(other.stream)))
    assert given == [(feed.items == other.items, time)]


@model_of("start_with", "end_with")
@given(feeds(), st.lists(st.integers(), max_size=3))
@examples()
async def test_start_with_and_end_with(feed: Feed, added: list[int]) -> None:
    given = pairs(await signals(feed.stream.start_with(*added).end_with(*added)))
    marks = [signal.time for signal in feed.script if isinstance(signal, rx.Watermark)]
    end = latest([time for _, time in feed.pairs[-1:]] + marks)
    first, last = [(item, None) for item in added], [(item, end) for item in added]
    assert given == [*first, *feed.pairs, *last]


OPERATORS: dict[str, Callable[..., rx.Stream[Any]]] = {
    "merge": lambda s, *others: s.merge(*others),
    "merge by priorities": lambda s, *others: s.merge(*others, priorities=range(1 + len(others))),
    "interleave": lambda s, *others: s.interleave(*others, count=2),
    "race": lambda s, *others: s.race(*others),
    "merge_sorted": lambda s, *others: s.merge_sorted(*others, key=lambda x: 0),
    "zip": lambda s, *others: s.zip(*others),
    "zip_longest": lambda s, *others: s.zip_longest(*others),
    "combine_latest": lambda s, *others: s.combine_latest(*others),
    "with_latest_from": lambda s, *others: s.with_latest_from(*others),
    "fork_join": lambda s, *others: s.fork_join(*others),
    "end_with": lambda s, *others: s.end_with(0),
}


def never_idle(feed: Feed) -> Feed:
    """An idle input may come back with items that the others have left behind."""
    return Feed(tuple(signal for signal in feed.script if signal is not rx.IDLE))


timed = st.tuples(*[feeds(timed=True).map(never_idle)] * 3)


async def check_lateness(stream: rx.Stream[Any]) -> None:
    low = -1
    for signal in await asyncio.wait_for(signals(stream), 60):
        if isinstance(signal, rx.Watermark):
            assert signal.time > low
            low = signal.time
        elif isinstance(signal, rx.Chunk):
            assert low < 0 or signal.times is not None
            assert min(signal.times or [low]) >= low


@pytest.mark.parametrize("name", OPERATORS)
def test_nothing_is_late_behind_a_watermark(name: str) -> None:
    @given(timed)
    @examples(40)
    def check(inputs: tuple[Feed, ...]) -> None:
        run(check_lateness(OPERATORS[name](*(feed.stream for feed in inputs))))

    check()


@given(timed)
@examples(30)
async def test_the_answer_of_sequence_equal_is_not_late(inputs: tuple[Feed, ...]) -> None:
    await check_lateness(inputs[0].stream.map(lambda x: 0).sequence_equal(inputs[1].stream))
    await check_lateness(inputs[0].stream.sequence_equal(inputs[0].stream))


@pytest.mark.parametrize("name", ["interleave", "zip_longest", "merge_sorted"])
async def test_what_is_held_while_a_barrier_is_aligned_is_not_late(name: str) -> None:
    ahead = Feed(
        (
            rx.Watermark(1),
            rx.Chunk(["early", "too"], [5, 6]),
            rx.Watermark(100),
            rx.Barrier(1),
            rx.Chunk(["later"], [150]),
        )
    )
    behind = Feed((rx.Watermark(200), rx.Barrier(1)))
    given = await signals(OPERATORS[name](behind.stream, ahead.stream))
    assert rx.Barrier(1) in given
    await check_lateness(OPERATORS[name](behind.stream, ahead.stream))


@pytest.mark.parametrize("name", ["interleave", "zip_longest", "merge_sorted"])
async def test_what_an_ended_input_left_is_not_late(name: str) -> None:
    early = Feed(tuple(rx.Chunk([n], [time]) for n, time in enumerate((10, 20, 30))))
    later = Feed(
        (
            rx.Chunk([0], [10]),
            rx.Barrier(1),
            rx.Chunk([1], [40]),
            rx.Watermark(1000),
            rx.Chunk([2, 3], [1001, 1002]),
            rx.Watermark(2000),
        )
    )
    stream = OPERATORS[name](early.stream, later.stream)
    await check_lateness(stream)
    assert rx.Watermark(2000) in await signals(stream)


async def test_other_inputs_hold_back_no_watermark_of_with_latest_from() -> None:
    main = Feed((rx.Chunk([1], [10]), rx.Watermark(20), rx.Chunk([2], [30])))
    given = await signals(main.stream.with_latest_from(rx.of("x").concat(rx.never())))
    assert rx.Watermark(20) in given


async def test_fork_join_lets_watermarks_pass_up_to_its_result() -> None:
    one = Feed((rx.Watermark(5), rx.Chunk([1], [10]), rx.Watermark(20), rx.Watermark(30)))
    given = await signals(one.stream.fork_join(one.stream))
    assert given == [rx.Watermark(5), rx.Watermark(10), rx.Chunk([(1, 1)], [10])]


def cut(items: list[int], place: int) -> tuple[Feed, Feed]:
    """All of the items with a barrier between them, and what comes after it."""
    before, after = items[:place], items[place:]
    rest = [rx.Chunk(after)] if after else []
    whole = [rx.Chunk(before)] if before else []
    return Feed((*whole, rx.Barrier(1), *rest)), Feed(tuple(rest))


RESTORED = {
    **OPERATORS,
    "concat": lambda s, *others: s.concat(*others),
    "merge_sorted": lambda s, *others: s.merge_sorted(*others),
    "sequence_equal": lambda s, *others: s.sequence_equal(others[0]),
    "start_with": lambda s, *others: s.start_with(7, 8),
}
for unordered in ("combine_latest", "with_latest_from"):
    del RESTORED[unordered]


@pytest.mark.parametrize("name", RESTORED)
def test_it_goes_on_from_a_barrier(name: str) -> None:
    """Inputs that are at different places when a barrier comes on all of them."""
    build = RESTORED[name]
    rows = st.lists(st.integers(0, 5), max_size=8).map(sorted)

    async def whole_and_rest(feeds: list[tuple[Feed, Feed]]) -> tuple[list[Any], list[Any]]:
        async with Stepping(build(*(whole.stream for whole, _ in feeds))) as running:
            _, came = await running.read_until(rx.Barrier(1))
            if not came:
                return [], []
            kept = pickle.dumps(running.kept)
            after, _ = await running.read_until(None)
        rests = build(*(rest.stream for _, rest in feeds))
        async with Stepping(rests, pickle.loads(kept)) as restored:
            again, _ = await restored.read_until(None)
        return after, again

    @given(st.lists(st.tuples(rows, st.integers(0, 8)), min_size=3, max_size=3))
    @examples(30)
    def check(inputs: list[tuple[list[int], int]]) -> None:
        # The inputs of concat that it has not come to give no barrier yet.
        inputs = inputs[:1] + [(row, 0) for row, _ in inputs[1:]] if name == "concat" else inputs
        feeds = [cut(row, place) for row, place in inputs]
        if name == "concat":
            feeds[1:] = [(rest, rest) for _, rest in feeds[1:]]
        after, again = run(whole_and_rest(feeds))
        if name.startswith("merge"):
            assert Counter(map(repr, again)) == Counter(map(repr, after))
        else:
            assert again == after

    check()


@pytest.mark.parametrize("name", ["combine_latest", "with_latest_from"])
async def test_the_latest_are_kept_at_a_barrier(name: str) -> None:
    feeds = [cut([1, 2, 3], 1), cut([7, 8], 2), cut([9], 1)]
    async with Stepping(OPERATORS[name](*(whole.stream for whole, _ in feeds))) as running:
        await running.read_until(rx.Barrier(1))
    rests = OPERATORS[name](*(rest.stream for _, rest in feeds))
    async with Stepping(rests, running.kept) as restored:
        again, _ = await restored.read_until(None)
    assert [entry.value for entry in again] == [(2, 8, 9), (3, 8, 9)]  # type: ignore[union-attr]


async def test_concat_does_not_begin_again_with_what_has_ended() -> None:
    source = feed_of(1, 2).stream
    whole = source.concat(Feed((rx.Chunk([3]), rx.Barrier(1), rx.Chunk([4]))).stream)
    async with Stepping(whole) as running:
        await running.read_until(rx.Barrier(1))
    async with Stepping(source.concat(feed_of(4).stream), running.kept) as restored:
        again, _ = await restored.read_until(None)
    assert [entry.value for entry in again] == [4]  # type: ignore[union-attr]


async def test_an_input_that_had_ended_is_not_opened_again() -> None:
    ended, open_ = feed_of(1), Feed((rx.Chunk([2]), rx.Barrier(1), rx.Chunk([3])))
    async with Stepping(ended.stream.merge(open_.stream)) as running:
        before, _ = await running.read_until(rx.Barrier(1))
    assert len(before) == 2
    opened = rx.defer(lambda: pytest.fail("opened"))
    async with Stepping(opened.merge(feed_of(3).stream), running.kept) as restored:
        again, _ = await restored.read_until(None)
    assert [entry.value for entry in again] == [3]  # type: ignore[union-attr]
