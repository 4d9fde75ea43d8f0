"""buffer and rebatch: what waits between two parts of a pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, check, examples, feed_of, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from reactive.testing import Probe, run, slow_source
from reactive.testing.plugin import VirtualTime


@given(feeds(), st.integers(1, 10))
@examples()
async def test_buffer_with_backpressure_changes_nothing(feed: Feed, limit: int) -> None:
    await check(lambda stream: stream.buffer(limit), feed, lambda pairs: pairs)


@model_of("prefetch")
@given(feeds(), st.integers(1, 10))
@examples(20)
async def test_prefetch_changes_nothing(feed: Feed, count: int) -> None:
    await check(lambda stream: stream.prefetch(count), feed, lambda pairs: pairs)


@given(feeds(st.text(max_size=4)), st.integers(1, 10))
@examples()
async def test_buffer_in_bytes_changes_nothing(feed: Feed, limit: int) -> None:
    await check(lambda stream: stream.buffer(limit, unit="bytes"), feed, lambda pairs: pairs)


@model_of("rebatch")
@given(feeds(), st.integers(1, 7))
@examples()
async def test_rebatch_changes_no_item_no_time_and_no_signal(feed: Feed, count: int) -> None:
    await check(lambda stream: stream.rebatch(count), feed, lambda pairs: pairs)


@given(feeds(signals=False), st.integers(1, 7))
@examples()
async def test_rebatch_cuts_into_equal_chunks(feed: Feed, count: int) -> None:
    given = await signals(feed.stream.rebatch(count))
    sizes = [len(chunk) for chunk in given if isinstance(chunk, rx.Chunk)]
    total = len(feed.items)
    assert sizes == [count] * (total // count) + [total % count] * (total % count > 0)


@given(feeds(timed=True), st.integers(1, 7))
@examples()
async def test_rebatch_lets_no_item_be_late(feed: Feed, count: int) -> None:
    low = -1
    for signal in await signals(feed.stream.rebatch(count)):
        if isinstance(signal, rx.Watermark):
            low = signal.time
        elif isinstance(signal, rx.Chunk):
            assert signal.times is not None
            assert min(signal.times) >= low


async def behind(
    overflow: Any, count: int, *, limit: int = 3, items: Any = None, **options: Any
) -> list[Any]:
    """What comes through a buffer whose reader first lets upstream run to its end."""
    given: list[Any] = []
    source = feed_of(*(range(count) if items is None else items)).stream
    async with source.buffer(limit, overflow=overflow, **options).open() as waiting:
        async for item in waiting:
            given.append(item)
            await asyncio.sleep(1)
    return given


@pytest.mark.parametrize(
    ("overflow", "expected"),
    [
        ("backpressure", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("drop_oldest", [5, 6, 7]),
        ("drop_newest", [0, 1, 2]),
        ("latest", [7]),
    ],
)
async def test_what_gives_when_the_buffer_is_full(
    virtual_time: VirtualTime, overflow: Any, expected: list[int]
) -> None:
    assert await behind(overflow, 8) == expected


async def test_a_full_buffer_fails_after_what_was_waiting(virtual_time: VirtualTime) -> None:
    given = []
    with pytest.raises(rx.OverflowFailure, match=r"buffer is full \(3 items\)") as caught:
        async with rx.range(8).buffer(3, overflow="fail").open() as waiting:
            async for item in waiting:
                given.append(item)
                await asyncio.sleep(1)
    assert given == [0, 1, 2]
    assert "receive faster, or raise its limit" in str(caught.value)


async def test_limits_in_bytes(virtual_time: VirtualTime) -> None:
    words = ["aaaa", "bb", "cc", "d"]
    oldest = await behind("drop_oldest", 0, limit=5, items=words, unit="bytes")
    assert oldest == ["bb", "cc", "d"]
    newest = await behind("drop_newest", 0, limit=6, items=words, unit="bytes")
    assert newest == ["aaaa", "bb"]
    kept = await behind("backpressure", 0, limit=1, items=words, unit="bytes")
    assert kept == words


@model_of("buffer")
@given(
    st.lists(st.integers(0, 3).map(lambda size: "x" * size), min_size=1, max_size=20),
    st.integers(1, 6),
    st.sampled_from(["drop_oldest", "drop_newest", "latest"]),
)
@examples()
async def test_what_is_dropped_and_what_is_kept_is_everything(
    words: list[str], limit: int, overflow: Any
) -> None:
    lost: rx.SideOutput[Any] = rx.SideOutput("lost")
    marked = list(enumerate(words))
    stream = feed_of(*marked).stream.rebatch(4).buffer(limit, overflow=overflow, discarded=lost)
    kept, dropped = Kept(), Kept()
    await rx.run(stream.to(kept), lost.to(dropped))
    assert sorted(kept.items + dropped.items) == marked
    assert kept.items == sorted(kept.items)


class Kept(rx.Sink[Any]):
    """Keeps what is written."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def writer(self, context: rx.Context) -> rx.Writer[Any]:
        return _KeptWriter(self.items)


class _KeptWriter(rx.Writer[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    async def write(self, chunk: rx.Chunk[Any]) -> None:
        self.items += chunk.items


async def test_drops_are_counted_and_can_be_seen(virtual_time: VirtualTime) -> None:
    lost: rx.SideOutput[int] = rx.SideOutput("lost")
    stream = rx.range(10).buffer(3, overflow="drop_oldest", discarded=lost).named("waiting")
    dropped, kept = Kept(), Kept()
    report = await rx.run(stream.to(kept), lost.to(dropped))
    assert report["waiting"].counters == {"dropped": len(dropped.items)}
    assert sorted(kept.items + dropped.items) == list(range(10))


async def test_a_buffer_lets_upstream_run_ahead_by_its_limit() -> None:
    for limit in (1, 2, 16):
        probe = Probe([*range(1000)])
        settings = rx.Settings(chunk=1)
        async with probe.stream.buffer(limit).open(settings) as items:
            await anext(items)
            for _ in range(200):
                await asyncio.sleep(0)
            # One item was given, one chunk waits for room.
            assert probe.items <= 1 + limit + 1
        probe.check()


async def test_a_buffer_overlaps_both_sides(virtual_time: VirtualTime) -> None:
    async def work(x: int) -> int:
        await asyncio.sleep(1)
        return x

    assert await slow_source(range(10), 1).buffer(5).map(work).collect() == list(range(10))
    assert virtual_time.now == 11
    assert await slow_source(range(10), 1).map(work).collect() == list(range(10))
    assert virtual_time.now == 11 + 20


async def test_a_buffer_gives_several_waiting_items_at_once(virtual_time: VirtualTime) -> None:
    sizes: list[int] = []

    class Sizes(rx.Sink[int]):
        def writer(self, context: rx.Context) -> rx.Writer[int]:
            return SizesWriter()

    class SizesWriter(rx.Writer[int]):
        async def write(self, chunk: rx.Chunk[int]) -> None:
            sizes.append(len(chunk))
            await asyncio.sleep(10.25)

    await rx.run(slow_source(range(31), 1).buffer(100).to(Sizes()))
    assert sizes == [1, 10, 10, 10]


BUILDS: list[Callable[[rx.Stream[Any]], rx.Stream[Any]]] = [
    lambda s: s.buffer(2),
    lambda s: s.buffer(2, overflow="drop_oldest"),
    lambda s: s.rebatch(2),
]


@pytest.mark.parametrize("build", BUILDS)
async def test_of_nothing_comes_nothing(
    build: Callable[[rx.Stream[Any]], rx.Stream[Any]],
) -> None:
    assert await build(rx.empty()).collect() == []
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        await build(rx.fail(error)).collect()
    assert caught.value is error


async def test_a_buffer_gives_what_waits_before_the_failure() -> None:
    given = []
    with pytest.raises(OSError, match="gone"):
        async for item in rx.range(3).concat(rx.fail(OSError("gone"))).buffer(10):
            given.append(item)
            await asyncio.sleep(0)
    assert given == [0, 1, 2]


def test_wrong_limits_and_policies_are_refused_at_once() -> None:
    stream = rx.of(b"1")
    for name in ("buffer", "rebatch"):
        with pytest.raises(ValueError, match=f"{name} needs a count of at least 1, not 0"):
            getattr(stream, name)(0)
        with pytest.raises(TypeError, match=f"{name} needs a whole number of items, not 'a'"):
            getattr(stream, name)("a")
    with pytest.raises(ValueError, match="overflow must be one of backpressure, drop_oldest, "):
        stream.buffer(1, overflow="block")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='unit="items" or "bytes", not \'mb\''):
        stream.buffer(1, unit="mb")
    lost: rx.SideOutput[bytes] = rx.SideOutput("lost")
    for overflow in ("backpressure", "fail"):
        with pytest.raises(ValueError, match=f'"{overflow}" discards nothing; leave out'):
            stream.buffer(1, overflow=overflow, discarded=lost)
    with pytest.raises(TypeError, match=r"discarded must be a rx\.SideOutput, not <Stream"):
        stream.buffer(1, overflow="latest", discarded=rx.of(1))  # type: ignore[arg-type]


async def test_items_without_a_length_cannot_be_counted_in_bytes() -> None:
    with pytest.raises(TypeError, match=r"object of type 'int' has no len\(\)"):
        await rx.of(1).buffer(10, unit="bytes").collect()


async def test_times_stay_with_their_items_when_some_are_dropped() -> None:
    feed = Feed((rx.Chunk([1, 2, 3, 4], [10, 20, 30, 40]),))
    for overflow, kept in (
        ("drop_oldest", [(3, 30), (4, 40)]),
        ("drop_newest", [(1, 10), (2, 20)]),
    ):
        stream = feed.stream.buffer(2, overflow=overflow)  # type: ignore[arg-type]
        assert pairs(await signals(stream)) == kept


def kept_of(words: list[str], limit: int, overflow: str) -> list[str]:
    """What a buffer in bytes holds after these came, one by one. One that is larger than the limit
    fits where nothing else takes room."""
    held: list[str] = []
    for word in words:
        held.append(word)
        if overflow == "latest":
            held = [word]
        elif overflow == "drop_newest":
            if any(held[:-1]) and sum(map(len, held)) > limit:
                held.pop()
        else:
            while len(held) > 1 and sum(map(len, held)) > limit:
                held.pop(0)
    return held


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "latest"])
@given(
    st.lists(st.integers(0, 7).map(lambda size: "x" * size), max_size=12),
    st.integers(1, 9),
    st.integers(1, 12),
)
@examples()
def test_every_policy_in_bytes_whatever_the_chunks(
    overflow: Any, words: list[str], limit: int, size: int
) -> None:
    async def main() -> None:
        # Numbered, to tell them apart; the length is that of the word.
        items = [Word(word, number) for number, word in enumerate(words)]
        chunks = (rx.Chunk(items[at : at + size]) for at in range(0, len(items), size))
        stream = Feed(tuple(chunks)).stream.buffer(limit, overflow=overflow, unit="bytes")
        given: list[Any] = []
        async with stream.open() as waiting:
            async for item in waiting:
                given.append(item)
                await asyncio.sleep(1)
        assert given == kept_of(items, limit, overflow)

    run(main())


class Word(str):
    """A word with a number by which it differs from others that read the same."""

    number: int

    def __new__(cls, word: str, number: int) -> Word:
        made = super().__new__(cls, word)
        made.number = number
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Word) and self.number == other.number

    __hash__ = None  # type: ignore[assignment]


@model_of("buffer")
@given(
    st.lists(st.integers(0, 7).map(lambda size: b"x" * size), max_size=12),
    st.integers(1, 9),
    st.integers(1, 12),
)
@examples()
def test_a_buffer_in_bytes_that_fails_fails_at_the_first_that_does_not_fit(
    words: list[bytes], limit: int, size: int
) -> None:
    fitting = len(words)
    for count in range(2, len(words) + 1):
        if any(words[: count - 1]) and sum(map(len, words[:count])) > limit:
            fitting = count - 1
            break

    async def main() -> None:
        chunks = (rx.Chunk(words[at : at + size]) for at in range(0, len(words), size))
        stream = Feed(tuple(chunks)).stream.buffer(limit, overflow="fail", unit="bytes")
        given: list[Any] = []
        try:
            async with stream.open() as waiting:
                async for item in waiting:
                    given.append(item)
                    await asyncio.sleep(1)
            assert fitting == len(words)
        except rx.OverflowFailure as error:
            assert f"({limit} in size)" in str(error)
            assert fitting < len(words)
        assert given == words[:fitting]

    run(main())


async def test_prefetch_has_items_ready(virtual_time: VirtualTime) -> None:
    probe = Probe([*range(1000)])
    async with probe.stream.prefetch(4).open(rx.Settings(chunk=1)) as items:
        assert await anext(items) == 0
        await asyncio.sleep(1)
        # One was given, and one waits for room.
        assert probe.items == 1 + 4 + 1
    probe.check()
    assert "prefetch" in str(rx.of(1).prefetch(4).explain())
    with pytest.raises(ValueError, match="prefetch needs a count of at least 1, not 0"):
        rx.of(1).prefetch(0)
