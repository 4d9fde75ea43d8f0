"""sort and group: as Python's own, in memory and on disk, and what becomes of the disk."""

from __future__ import annotations

import asyncio
import enum
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from catalogue import model_of
from feeds import Feed, Pair, check, controls, examples, feed_of, feeds, pairs, signals
from hypothesis import given
from hypothesis import strategies as st

import reactive as rx
from connectors import memory
from operators.sizes import held_bytes

MEMORIES = st.sampled_from([None, 1, 150, 1000, 10_000])
"""In bytes; from what holds everything to what holds nothing."""
KEYS: list[Callable[[int], Any] | None] = [None, lambda x: -x, lambda x: x % 3, lambda x: str(x)]
PLACES = st.lists(st.integers(-5, 5), max_size=80)


def sorted_pairs(
    key: Callable[[Any], Any] | None, reverse: bool
) -> Callable[[list[Pair]], list[Pair]]:
    by: Callable[[Any], Any] = key or (lambda x: x)
    return lambda given: sorted(given, key=lambda pair: by(pair[0]), reverse=reverse)


def grouped_pairs(key: Callable[[Any], Any]) -> Callable[[list[Pair]], list[Pair]]:
    def model(given: list[Pair]) -> list[Pair]:
        groups: dict[Any, list[Any]] = {}
        times: dict[Any, int] = {}
        for item, time in given:
            groups.setdefault(key(item), []).append(item)
            if time is not None:
                times[key(item)] = max(time, times.get(key(item), time))
        return [((found, items), times.get(found)) for found, items in groups.items()]

    return model


async def check_whole(
    build: Callable[[rx.Stream[Any]], rx.Stream[Any]],
    feed: Feed,
    model: Callable[[list[Pair]], list[Pair]],
) -> None:
    """As `check`, and what becomes of watermarks and idleness: the last watermark follows all."""
    given = await signals(build(feed.stream))
    assert pairs(given) == model(feed.pairs)
    said = [one for one in feed.controls if isinstance(one, rx.Watermark)]
    barriers = [one for one in feed.controls if isinstance(one, rx.Barrier)]
    assert controls(given) == barriers + said[-1:]
    if said:
        assert given[-1] == said[-1]


@model_of("assume_bounded")
@given(feeds())
@examples(20)
async def test_assume_bounded_changes_nothing(feed: Feed) -> None:
    await check(lambda stream: stream.assume_bounded(), feed, lambda pairs: pairs)


class TestSorting:
    @given(feeds(), st.sampled_from(KEYS), st.booleans(), MEMORIES)
    @examples(60)
    async def test_is_that_of_python(
        self, feed: Feed, key: Any, reverse: bool, memory: int | None
    ) -> None:
        await check_whole(
            lambda s: s.sort(key, reverse=reverse, memory=memory), feed, sorted_pairs(key, reverse)
        )

    @given(st.lists(st.text() | st.binary().map(str), max_size=60), MEMORIES)
    @examples(30)
    async def test_of_text(self, texts: list[str], memory: int | None) -> None:
        assert await rx.from_iterable(texts).sort(memory=memory).collect() == sorted(texts)

    @model_of("sort")
    @given(PLACES, st.booleans(), MEMORIES)
    @examples(30)
    async def test_is_stable(self, numbers: list[int], reverse: bool, memory: int | None) -> None:
        items = list(enumerate(numbers))
        stream = rx.from_iterable(items).sort(lambda x: x[1], reverse=reverse, memory=memory)
        expected = sorted(items, key=lambda x: x[1], reverse=reverse)
        assert await stream.collect() == expected

    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("memory", [None, 40_000])
    @pytest.mark.parametrize(
        "numbers",
        [
            pytest.param(range(5000), id="in order"),
            pytest.param(range(5000, 0, -1), id="in reverse"),
            pytest.param([7] * 5000, id="all equal"),
            pytest.param([n * 7919 % 5003 for n in range(5000)], id="in no order"),
            pytest.param([n // 700 * 700 - n for n in range(5000)], id="in runs"),
        ],
    )
    async def test_of_many(self, numbers: Any, memory: int | None, reverse: bool) -> None:
        items = [(number, place) for place, number in enumerate(numbers)]
        stream = rx.from_iterable(items).sort(lambda x: x[0], reverse=reverse, memory=memory)
        assert await stream.collect() == sorted(items, key=lambda x: x[0], reverse=reverse)

    async def test_more_runs_than_are_merged_at_once(self) -> None:
        numbers = [n * 7919 % 503 for n in range(300)]
        ordered = rx.from_iterable(numbers).map(str).sort(memory=100)
        given: list[str] = []
        async with rx.start(ordered.to(memory_of(given))) as run:
            report = await run.wait()
        assert given == sorted(map(str, numbers))
        # Two items are a run, and each of the merges before the last writes some of them again.
        assert report["sort"].counters["spilled_bytes"] > 2 * 300 * len("12")

    async def test_the_key_is_called_once_for_each_item(self) -> None:
        calls: list[int] = []

        def key(x: int) -> int:
            calls.append(x)
            return -x

        await rx.range(100).sort(key, memory=500).collect()
        assert calls == list(range(100))

    async def test_items_that_are_not_text_keep_what_they_are(self) -> None:
        items = [Fraction(n, 7) for n in range(30)]
        given = await rx.from_iterable(reversed_(items)).sort(memory=1000).collect()
        assert given == items
        assert all(type(item) is Fraction for item in given)

    async def test_a_memory_of_the_settings(self) -> None:
        given: list[int] = []
        job = rx.range(1000).sort(reverse=True).to(memory_of(given))
        report = await rx.run(job, settings=rx.Settings(memory=5000))
        assert given == list(reversed(range(1000)))
        assert report["sort"].counters["spilled_bytes"]
        report = await rx.run(job)
        assert "spilled_bytes" not in report["sort"].counters

    async def test_items_that_cannot_be_compared(self) -> None:
        with pytest.raises(TypeError, match="'<' not supported") as caught:
            await rx.from_iterable([1, 2, "a"]).sort().collect()
        assert any(note.startswith("in operator sort (") for note in caught.value.__notes__)

    async def test_items_that_can_be_compared_until_runs_meet(self) -> None:
        mixed: list[Any] = [*range(50), *map(str, range(50))]
        for budget in (None, 200):
            with pytest.raises(TypeError, match="'<' not supported") as caught:
                await rx.from_iterable(mixed).sort(memory=budget).collect()
            assert any("in operator sort" in note for note in caught.value.__notes__)

    async def test_a_drain_gives_what_came(self) -> None:
        given: list[int] = []
        numbers: asyncio.Queue[int] = asyncio.Queue()
        taken = asyncio.Event()

        async def feed() -> Any:
            for number in (3, 1, 2):
                yield number
            taken.set()
            yield await numbers.get()

        stream = rx.from_async_iterable(feed()).assume_bounded().sort()
        async with rx.start(stream.to(memory_of(given))):
            await taken.wait()
            await asyncio.sleep(0)
        assert given == [1, 2, 3]

    async def test_a_failure_discards_what_is_held(self) -> None:
        given: list[int] = []
        with pytest.raises(OSError, match="gone"):
            async for item in rx.range(100).concat(rx.fail(OSError("gone"))).sort(memory=500):
                given.append(item)  # noqa: PERF401  kept on failure
        assert given == []


class TestGrouping:
    @model_of("group")
    @given(feeds(), st.sampled_from(KEYS[1:]), MEMORIES)
    @examples(60)
    async def test_is_that_of_a_dictionary(self, feed: Feed, key: Any, memory: int | None) -> None:
        await check_whole(lambda s: s.group(key, memory=memory), feed, grouped_pairs(key))

    @given(feeds(max_size=60), st.sampled_from(KEYS[1:]), MEMORIES)
    @examples(30)
    async def test_runs_of_equal_keys_are_those_of_itertools_once_sorted(
        self, feed: Feed, key: Any, memory: int | None
    ) -> None:
        from itertools import groupby

        stream = rx.from_iterable(feed.items).sort(key, memory=memory).group(key, memory=memory)
        expected = [
            (found, list(items)) for found, items in groupby(sorted(feed.items, key=key), key)
        ]
        assert await stream.collect() == expected

    @pytest.mark.parametrize("keys", [1, 3, 400, 3000])
    async def test_of_many(self, keys: int) -> None:
        numbers = [n * 7919 % 5003 for n in range(5000)]
        stream = rx.from_iterable(numbers).group(lambda n: n % keys, memory=30_000)
        groups: dict[int, list[int]] = {}
        for number in numbers:
            groups.setdefault(number % keys, []).append(number)
        assert await stream.collect() == list(groups.items())

    async def test_keys_of_the_same_hash(self) -> None:
        stream = rx.range(200).group(lambda n: Colliding(n % 50), memory=2000)
        given = await stream.collect()
        assert given == [(Colliding(n), list(range(n, 200, 50))) for n in range(50)]

    async def test_a_group_of_many_items_is_written_in_pieces(self) -> None:
        words = ["x" * 100 for _ in range(500)]
        given = await rx.from_iterable(words).group(len, memory=20_000).collect()
        assert given == [(100, words)]

    async def test_keys_that_are_the_same_when_they_come_back(self) -> None:
        keys: list[Any] = [None, True, 2.5, "a", b"b", (1, "c"), Colour.RED, len, frozenset({1})]
        items = [(key, n) for n in range(20) for key in keys]
        given = await rx.from_iterable(items).group(lambda x: x[0], memory=1000).collect()
        assert given == [(key, [(key, n) for n in range(20)]) for key in keys]

    async def test_keys_that_equal_only_themselves_are_refused_on_disk(self) -> None:
        keys = [Plain(), Plain()]
        stream = rx.range(1000)
        held = await stream.group(lambda n: keys[n % 2]).collect()
        assert [key for key, _ in held] == keys
        with pytest.raises(TypeError, match="does not equal its pickled copy") as caught:
            await stream.group(lambda n: keys[n % 2], memory=1000).collect()
        assert any("in operator group" in note for note in caught.value.__notes__)

    async def test_a_key_that_cannot_be_hashed(self) -> None:
        with pytest.raises(TypeError, match="unhashable") as caught:
            await rx.of(1).group(lambda n: [n]).collect()  # type: ignore[type-var]
        assert any("in operator group" in note for note in caught.value.__notes__)


DESCRIPTORS = Path("/proc/self/fd")


def files_in(folder: Path) -> int:
    return len(list(folder.iterdir()))


def memory_of(given: list[Any]) -> Any:
    """A sink into a list."""
    return memory.call(given.append)


def reversed_(items: list[Any]) -> list[Any]:
    return items[::-1]


@dataclass(frozen=True)
class Colliding:
    """A key whose hash says nothing."""

    number: int

    def __hash__(self) -> int:
        return 7


class Plain:
    """An object that equals only itself."""


class Colour(enum.Enum):
    RED = 1


live = rx.interval(1)


class TestPlans:
    @pytest.mark.parametrize("whole", [lambda s: s.sort(), lambda s: s.group(str)])
    def test_an_endless_stream_is_refused(self, whole: Any) -> None:
        wanted = r"nothing says that interval \(.*\) ends by itself: cut the stream into windows"
        with pytest.raises(rx.PlanError, match=wanted):
            whole(live).explain()
        assert whole(live.take(3)).explain()
        assert whole(live.assume_bounded()).explain()

    @pytest.mark.parametrize("name", ["sort", "group"])
    def test_a_memory_that_is_none_is_refused(self, name: str) -> None:
        whole = getattr(rx.of(1), name)
        with pytest.raises(ValueError, match=f"{name} needs memory= of at least 1 byte, not 0"):
            whole(str, memory=0)
        for wrong in ("1 GB", 1.5, True):
            with pytest.raises(TypeError, match=f"{name} needs memory= as a whole number"):
                whole(str, memory=wrong)
        with pytest.raises(ValueError, match="at least 1 byte"):
            rx.Settings(memory=0)

    def test_an_async_key_is_refused(self) -> None:
        async def key(x: int) -> int:
            return x

        with pytest.raises(TypeError, match="sort takes a plain function"):
            rx.of(1).sort(key)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="group takes a plain function"):
            rx.of(1).group(key)  # type: ignore[type-var]

    async def test_a_key_that_would_have_to_be_awaited_is_refused(self) -> None:
        async def later(x: int) -> int:
            return x

        with pytest.raises(TypeError, match="which nobody would await"):
            await rx.of(1).sort(lambda x: later(x)).collect()  # type: ignore[arg-type, return-value]

    def test_explain_says_what_is_held(self) -> None:
        text = str(rx.of(1).sort(reverse=True, memory=1_000_000).explain())
        assert "sort (order: descending, memory: 1,000,000 bytes)" in text
        assert "  sort: all items; 1,000,000 bytes of them, the others on disk" in text


class TestTheDisk:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "spilled"
        folder.mkdir()
        return folder

    async def test_nothing_is_ever_seen_of_it(self, folder: Path) -> None:
        def look(x: int) -> int:
            assert files_in(folder) == 0
            return x

        settings = rx.Settings(spill_directory=str(folder))
        stream = rx.range(2000).map(look).sort(reverse=True, memory=1000).map(look)
        assert (await stream.collect(settings))[:2] == [1999, 1998]
        assert files_in(folder) == 0

    @pytest.mark.parametrize("name", ["sort", "group"])
    async def test_cancelled_anywhere_it_leaves_nothing(self, folder: Path, name: str) -> None:
        settings = rx.Settings(spill_directory=str(folder), chunk=50)
        descriptors = files_in(DESCRIPTORS)
        for turns in range(0, 200, 9):
            stream = getattr(rx.range(600), name)(str, memory=3000)
            task = asyncio.create_task(stream.collect(settings))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or len(task.result()) == 600
        assert files_in(folder) == 0
        assert files_in(DESCRIPTORS) == descriptors

    def test_killed_it_leaves_nothing(self, folder: Path) -> None:
        code = f"""
import asyncio, reactive as rx
def tell(n):
    if n == 50_000:
        print("now", flush=True)
    return n
numbers = rx.range(10_000_000).map(tell).sort(reverse=True, memory=100_000)
asyncio.run(numbers.collect(rx.Settings(spill_directory={str(folder)!r})))
"""
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "now\n"
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert files_in(folder) == 0

    def test_full_it_says_so_and_what_to_do(self, folder: Path) -> None:
        code = f"""
import asyncio, resource, signal, reactive as rx
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
numbers = rx.range(100_000).sort(reverse=True, memory=100_000)
try:
    asyncio.run(numbers.collect(rx.Settings(spill_directory={str(folder)!r})))
except OSError as error:
    print(error, *error.__notes__, sep="\\n")
"""
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        message, *notes = done.stdout.splitlines()
        assert message == "[Errno 27] File too large"
        assert "sort (<string>:5) had put" in notes[0]
        assert f"bytes into {folder}; rx.Settings(spill_directory=...)" in notes[0]
        assert files_in(folder) == 0

    async def test_where_there_is_no_such_folder(self, tmp_path: Path) -> None:
        settings = rx.Settings(spill_directory=str(tmp_path / "absent"))
        assert await rx.range(3).sort().collect(settings) == [0, 1, 2]
        with pytest.raises(FileNotFoundError) as caught:
            await rx.range(300).sort(memory=1000).collect(settings)
        assert any("spill_directory" in note for note in caught.value.__notes__)

    async def test_what_does_not_pickle_says_so(self) -> None:
        functions = rx.range(300).map(lambda n: lambda: n)
        with pytest.raises(Exception, match="pickle") as caught:
            await functions.sort(key=id, memory=1000).collect()
        assert any("items have to pickle" in note for note in caught.value.__notes__)


class TestSizes:
    def test_of_text_and_bytes_are_exact(self) -> None:
        words = ["", "a" * 1000, "ä", "\N{SNAKE}" * 10]
        assert held_bytes(words) == sum(map(sys.getsizeof, words)) + 24 * len(words)
        lines = [b"", b"a" * 1000]
        assert held_bytes(lines) == sum(map(sys.getsizeof, lines)) + 24 * len(lines)

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda text: (text, 1), id="tuple"),
            pytest.param(lambda text: [text], id="list"),
            pytest.param(lambda text: {"key": text}, id="dict"),
            pytest.param(lambda text: {text: 1}.keys(), id="not looked into"),
            pytest.param(lambda text: {"key": [{"inner": (text,)}]}, id="nested"),
            pytest.param(lambda text: frozenset({text}), id="set"),
            pytest.param(lambda text: WithDict(text), id="object"),
            pytest.param(lambda text: WithSlots(text), id="slots"),
            pytest.param(lambda text: bytearray(text.encode()), id="bytearray"),
        ],
    )
    def test_of_others_have_what_is_in_them(
        self, make: Callable[[str], Any], request: pytest.FixtureRequest
    ) -> None:
        small = held_bytes([make("a") for _ in range(100)])
        large = held_bytes([make("a" * 1001) for _ in range(100)])
        looked_into = "not looked into" not in request.node.name
        assert (large - small == 100_000) is looked_into

    def test_what_refers_to_itself_ends(self) -> None:
        loop: list[Any] = []
        loop += [loop, loop]
        assert held_bytes([loop]) > 0


class WithDict:
    def __init__(self, text: str) -> None:
        self.text = text


class WithSlots:
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


async def test_feeds_of_this_file_hold() -> None:
    feed = feed_of(3, 1, 2, times=[5, 4, 9])
    await check(lambda s: s.sort(), feed, sorted_pairs(None, reverse=False))
