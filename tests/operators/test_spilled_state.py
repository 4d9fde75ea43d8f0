"""Keyed state on disk: results are the same with a budget of memory for a few keys as without."""

from __future__ import annotations

import asyncio
import pickle
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cases_stateful import Count
from hypothesis import given, settings
from hypothesis import strategies as st
from test_changes import Checkpoints, push

import reactive as rx
from operators.processing import Process
from reactive.metrics import Meter
from reactive.signals import AnySignal
from reactive.spilled_keys import SpilledKeys
from reactive.testing import check_recovery
from reactive.testing.plugin import VirtualTime

SECOND = 1_000_000
DESCRIPTORS = Path("/proc/self/fd")
Item = tuple[Any, str, int]


class Remember(rx.KeyedProcess[Any, Item, tuple[Any, ...]]):
    """Uses every kind of state, with times to live, and timers."""

    seen = rx.ValueState(0)
    young = rx.ValueState(0, ttl=3)
    items = rx.ListState[int]()
    young_items = rx.ListState[int](ttl=2)
    entries = rx.MapState[int, int](ttl=4, expires="watermark")
    total = rx.ReducingState(rx.sum(), ttl=5)

    def on_item(
        self, item: Item, context: rx.ProcessContext[Any]
    ) -> Iterator[tuple[Any, ...]] | None:
        _, verb, number = item
        if verb == "look":
            return self.everything("item", context)
        if verb == "timer":
            context.set_timer(context.time + number * SECOND, "one" if number % 2 else None)
        elif verb == "clear":
            del self.seen
            self.items.clear()
            self.entries.clear()
        else:
            self.seen += 1
            self.young += number
            self.items.append(number)
            self.young_items.append(number)
            self.entries[number % 3] = self.entries.get(number % 3, 0) + 1
            self.total.add(number)
        return None

    def on_timer(self, time: int, context: rx.ProcessContext[Any]) -> Iterator[tuple[Any, ...]]:
        yield from self.everything("timer", context)
        if self.seen:
            self.seen -= 1
            context.set_timer(time + self.seen * SECOND)

    def everything(self, what: str, context: rx.ProcessContext[Any]) -> Iterator[tuple[Any, ...]]:
        yield (
            what,
            context.key,
            self.seen,
            self.young,
            list(self.items),
            list(self.young_items),
            dict(self.entries),
            self.total.result(),
        )


def remembering(
    memory: int | None, *, mode: Any = "stream", folder: Path | None = None
) -> tuple[Any, Meter]:
    meter = Meter("it")
    operator = rx.never().key_by(lambda item: item[0]).process(Remember).node.operator
    assert isinstance(operator, Process)
    directory = None if folder is None else str(folder)
    limits = rx.Settings(state_memory=memory, mode=mode, spill_directory=directory)
    return operator.step(rx.Context("it", None, limits, meter)), meter


# Keys that are equal though their pickles differ, and keys whose hashes are equal.
_keys = st.sampled_from([1, 1.0, -1, -2, "a", ("a", 1), ("a", True), None])
_items = st.tuples(
    _keys, st.sampled_from(["add", "add", "look", "timer", "clear"]), st.integers(0, 6)
)
_script = st.lists(
    st.one_of(
        st.tuples(st.just("items"), st.lists(st.tuples(_items, st.integers(0, 6)), min_size=1)),
        st.tuples(st.just("watermark"), st.integers(0, 5)),
        st.tuples(st.just("barrier"), st.none()),
        st.tuples(st.just("pickle"), st.integers(1, 2)),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=40,
)


class _Kept:
    """A step within a budget, from whose checkpoints another one goes on at times."""

    def __init__(self, memory: int, mode: Any) -> None:
        self._memory, self._mode = memory, mode
        self._step, _ = remembering(memory, mode=mode)
        self._kept = Checkpoints()
        self._kept.barrier(self._step)
        self._since: list[AnySignal] = []
        self.given: list[Any] = []
        self._uncommitted: list[Any] = []

    def feed(self, signal: AnySignal | None) -> None:
        self._uncommitted += push(self._step, signal)
        if signal is not None:
            self._since.append(signal)

    def pickle(self, most: int) -> None:
        self._kept.pickle(most)

    def barrier(self) -> None:
        self._kept.pickle(1_000)
        self._kept.barrier(self._step)
        self._commit()

    def _commit(self) -> None:
        self._since.clear()
        self.given += self._uncommitted
        self._uncommitted.clear()

    def restart(self) -> None:
        self._kept.pickle(1_000)
        self._step.close()
        self._step, _ = remembering(self._memory, mode=self._mode)
        self._step.restore(self._kept.held())
        self._uncommitted.clear()
        for signal in self._since:
            self._uncommitted += push(self._step, signal)

    def close(self) -> None:
        self._step.close()


async def _compare(memory: int, script: list[tuple[str, Any]]) -> None:
    whole, _ = remembering(None)
    kept = _Kept(memory, "stream")
    expected: list[Any] = []

    def feed(signal: AnySignal | None) -> None:
        expected.extend(push(whole, signal))
        kept.feed(signal)

    now, low = 0, 0
    for action, what in script:
        if action == "items":
            times = [(now + offset) * SECOND for _, offset in what]
            feed(rx.Chunk([item for item, _ in what], times))
            now += 1
        elif action == "watermark":
            low = max(low, now - what)
            feed(rx.Watermark(low * SECOND))
        elif action == "pickle":
            kept.pickle(what)
        elif action == "barrier":
            kept.barrier()
        elif action == "restart":
            kept.restart()
    feed(None)
    kept.close()
    assert kept.given + kept._uncommitted == expected


@pytest.mark.parametrize("memory", [1, 1_500])
@settings(max_examples=60, deadline=None)
@given(_script)
def test_changes_amount_to_what_is_held_wherever_it_is(
    memory: int, script: list[tuple[str, Any]]
) -> None:
    asyncio.run(_compare(memory, script))


@given(_script)
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("mode", ["stream", "batch"])
def test_the_snapshot_law(mode: str, script: list[tuple[str, Any]]) -> None:
    """At any moment a new step can go on from a snapshot, with a budget or without."""

    async def main() -> None:
        whole, _ = remembering(None, mode=mode)
        step, _ = remembering(1, mode=mode)
        now, low = 0, 0
        expected: list[Any] = []
        given: list[Any] = []

        def feed(signal: AnySignal | None) -> None:
            expected.extend(push(whole, signal))
            given.extend(push(step, signal))

        for number, (action, what) in enumerate(script):
            if action == "items":
                times = [(now + offset) * SECOND for _, offset in what]
                feed(rx.Chunk([item for item, _ in what], times))
                now += 1
            elif action == "watermark":
                low = max(low, now - what)
                feed(rx.Watermark(low * SECOND))
            else:
                saved, others = step.snapshot(), whole.snapshot()
                assert saved.states.keys() == others.states.keys()
                step.close()
                step, _ = remembering((1, None, 1_500)[number % 3], mode=mode)
                step.restore(pickle.loads(pickle.dumps(saved)))
        feed(None)
        step.close()
        assert given == expected

    asyncio.run(main())


class Young(rx.KeyedProcess[int, int, tuple[int, int]]):
    seen = rx.ValueState(0, ttl=10)

    def on_item(self, item: int, context: rx.ProcessContext[int]) -> list[tuple[int, int]]:
        self.seen += 1
        return [(item, self.seen)]


def step_of(stream: rx.Stream[Any], memory: int = 1, mode: Any = "stream") -> tuple[Any, Meter]:
    operator, meter = stream.node.operator, Meter("it")
    assert isinstance(operator, Process)
    limits = rx.Settings(state_memory=memory, mode=mode)
    return operator.step(rx.Context("it", None, limits, meter)), meter


def gauge(meter: Meter, name: str) -> float:
    return meter.gauges[name]()


async def test_what_is_over_is_forgotten_on_disk_too() -> None:
    step, meter = step_of(rx.never().key_by(int).process(Young))
    push(step, rx.Chunk(list(range(1000)), [number * 1_000 for number in range(1000)]))
    push(step, rx.Chunk([0], [5 * SECOND]))
    assert gauge(meter, "keys") == 1000
    assert gauge(meter, "keys_in_memory") == 1
    assert gauge(meter, "keys_on_disk") == 999
    push(step, rx.Watermark(10 * SECOND + 499_000))
    assert gauge(meter, "keys") == 501
    kept = Checkpoints()
    kept.barrier(step)
    kept.pickle(1_000)
    assert kept.held().sections["keys"].keys() == {0, *range(500, 1000)}
    push(step, rx.Watermark(11 * SECOND))
    assert gauge(meter, "keys") == 1
    kept.barrier(step)
    kept.pickle(1_000)
    assert kept.held().sections["keys"].keys() == {0}
    # The lives that are known in memory are those of what is in memory.
    lives = step._states.handles["seen"]._lives
    assert len(lives._until) <= 1
    step.close()


async def test_by_the_clock_it_is_over_too(virtual_time: VirtualTime) -> None:
    step, meter = step_of(rx.never().key_by(int).process(Young))
    assert push(step, rx.Chunk(list(range(100)))) == [(number, 1) for number in range(100)]
    await asyncio.sleep(9)
    assert push(step, rx.Chunk([5])) == [(5, 2)]
    await asyncio.sleep(9)
    assert push(step, rx.Chunk([5, 6])) == [(5, 3), (6, 1)]
    assert gauge(meter, "keys") == 2
    step.close()


async def test_lives_do_not_add_up_as_keys_come_and_go() -> None:
    step, _ = step_of(rx.never().key_by(int).process(Young))
    for _ in range(40):
        push(step, rx.Chunk(list(range(200)), [0] * 200))
    lives = step._states.handles["seen"]._lives
    assert len(lives._queue) < 1_300
    # Those of keys on disk are known there.
    assert len(lives._until) == 1
    step.close()


class Alarm(rx.KeyedProcess[int, int, tuple[int, int]]):
    """Tells what it knows by a timer of the clock."""

    last = rx.ValueState(0)

    def on_item(self, item: int, context: rx.ProcessContext[int]) -> None:
        self.last = item
        context.set_clock_timer(10)

    def on_clock_timer(self, context: rx.ProcessContext[int]) -> Iterator[tuple[int, int]]:
        yield context.key, self.last
        del self.last


async def test_timers_of_the_clock_bring_their_keys_back(virtual_time: VirtualTime) -> None:
    step, meter = step_of(rx.never().key_by(lambda n: n % 300).process(Alarm))
    push(step, rx.Chunk(list(range(900))))
    assert gauge(meter, "keys_on_disk") == 299
    await asyncio.sleep(20)
    out: list[Any] = []
    while step.deadline is not None:
        step.on_timer(asyncio.get_running_loop().time(), out)
    told = [item for chunk in out for item in chunk.items]
    assert told == [(key, 600 + key) for key in range(300)]
    assert gauge(meter, "keys") == gauge(meter, "timers") == 0
    step.close()


async def test_only_what_changed_is_given_again() -> None:
    step, _ = step_of(rx.never().key_by(int).process(Young))
    kept = Checkpoints()
    push(step, rx.Chunk(list(range(500)), [0] * 500))
    kept.barrier(step)
    kept.pickle(1_000)
    assert len(kept.held().sections["keys"]) == 500
    push(step, rx.Chunk([3, 400], [0, 0]))
    kept.rows.clear()
    kept.barrier(step)
    # What comes while they are pickled is of the next time.
    push(step, rx.Chunk([3, 7], [0, 0]))
    kept.pickle(1_000)
    held = kept.held().sections["keys"]
    assert {key: saved[0]["seen"][0] for key, saved in held.items()} == {3: 2, 400: 2}
    step.close()


def seen_in(kept: Checkpoints) -> dict[Any, int]:
    held = kept.held().sections["keys"]
    return {key: saved[0]["seen"] for key, saved in held.items() if "seen" in saved[0]}


async def test_what_goes_to_disk_before_it_was_saved_is_saved_from_there() -> None:
    step, _ = remembering(1)
    push(step, rx.Chunk([(1, "add", 1)], [0]))
    kept = Checkpoints()
    kept.barrier(step)
    assert step._states.has(1)
    push(step, rx.Chunk([(number, "add", 1) for number in range(2, 300)], [0] * 298))
    assert not step._states.has(1)
    kept.pickle(1_000)
    assert seen_in(kept) == {1: 1}
    step.close()


async def test_what_a_timer_changes_on_disk_is_saved_before() -> None:
    step, _ = remembering(1)
    push(step, rx.Chunk([("a", "add", 1), ("a", "timer", 2), ("b", "add", 1)], [0, 0, 0]))
    push(step, rx.Chunk([("b", "add", 1)], [0]))
    kept = Checkpoints()
    kept.barrier(step)
    push(step, rx.Watermark(2 * SECOND))
    kept.pickle(1_000)
    assert seen_in(kept) == {"a": 1, "b": 2}
    assert kept.held().sections["keys"]["a"][1] is not None
    kept.barrier(step)
    kept.pickle(1_000)
    assert seen_in(kept) == {"a": 0, "b": 2}
    step.close()


async def test_a_snapshot_saves_what_is_on_disk() -> None:
    step, _ = remembering(1)
    push(step, rx.Chunk([(number, "add", 1) for number in range(9)], [0] * 9))
    assert step.snapshot().states.keys() == set(range(9))
    kept = Checkpoints()
    kept.barrier(step)
    kept.pickle(1_000)
    assert seen_in(kept) == {}
    step.close()


async def test_the_budget_holds_after_a_restore() -> None:
    step, _ = remembering(None)
    push(step, rx.Chunk([(number, "add", 1) for number in range(500)], [0] * 500))
    kept = Checkpoints()
    kept.barrier(step)
    kept.pickle(1_000)
    for state in (kept.held(), step.snapshot()):
        again, meter = remembering(1)
        again.restore(state)
        assert gauge(meter, "keys_in_memory") == 1
        assert gauge(meter, "keys") == 500
        assert push(again, rx.Chunk([(400, "look", 0)], [0]))[0][:3] == ("item", 400, 1)
        again.close()


def test_recovery_within_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way, through a store: crashes, failures and cancellations change nothing."""
    *others, memory = rx.Settings.__init__.__defaults__ or (None,)
    assert memory is None
    monkeypatch.setattr(rx.Settings.__init__, "__defaults__", (*others, 1))
    assert rx.Settings().state_memory == 1

    def remembered(items: rx.Stream[Any]) -> rx.Stream[Any]:
        timed = items.event_time(lambda each: each[1], lateness=3)
        return timed.key_by(lambda each: each[0][0]).process(Gather)

    verbs = ("add", "timer", "look", "add", "look")
    script = [((n * 5 % 7, verbs[n % 5], n % 4), n // 3) for n in range(60)]
    check_recovery(remembered, script, seeds=30)


class Gather(Remember):
    def on_item(self, item: Any, context: rx.ProcessContext[Any]) -> Any:
        return super().on_item(item[0], context)


class Holds(rx.KeyedProcess[int, int, int]):
    held = rx.ValueState[Any](None)

    def on_item(self, item: int, context: rx.ProcessContext[int]) -> list[int]:
        self.held = (lambda: item) if item == 7 else item
        return [item]


async def test_state_that_does_not_pickle() -> None:
    holding = rx.range(20).key_by(int).process(Holds).named("holds")
    assert await holding.collect(rx.Settings(state_memory=1_000_000)) == list(range(20))
    with pytest.raises(TypeError) as caught:
        await holding.collect(rx.Settings(state_memory=1))
    message = str(caught.value)
    assert message.startswith("holds (")
    assert "more state than the 1 bytes of rx.Settings(state_memory=...)" in message
    assert "that of the key 7 cannot be put on disk" in message
    assert not any("for key" in note for note in caught.value.__notes__)


class Self:
    """Equal to itself alone."""


async def test_keys_that_would_not_be_found_again() -> None:
    counted = rx.of(Self(), Self(), Self()).key_by(lambda each: each).process(Count)
    with pytest.raises(TypeError, match="Self objects do not equal what their pickles give"):
        await counted.collect(rx.Settings(state_memory=1))


async def test_a_key_function_that_fails_fails_at_its_item() -> None:
    failing = rx.of(1, 2, 0, 3).key_by(lambda x: 1 // x).process(Count)
    found: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        async with failing.open(rx.Settings(state_memory=1)) as items:
            found.extend([await anext(items), await anext(items)])
            await anext(items)
    assert found == [(1, 1), (0, 1)]


def test_equal_hashes_are_no_equal_keys() -> None:
    assert hash(-1) == hash(-2)
    keys = SpilledKeys(None)
    spilled, others = keys.section(), keys.section()
    others.put([(-2, pickle.dumps((-2, "other")), None, 0)])
    spilled.put([(key, pickle.dumps((key, str(key))), None, 0) for key in (-1, -2, 3)])
    assert spilled.take([-2, 5]) == [(-2, "-2", 0)]
    assert sorted(spilled.everything()) == [(-1, "-1", 0), (3, "3", 0)]
    assert (spilled.count, keys.count) == (2, 3)
    assert len(list(spilled.clear())) == 1
    assert (spilled.count, keys.count) == (0, 1)
    assert others.take([-1, -2]) == [(-2, "other", 0)]
    keys.close()


def files_in(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir())


class TestTheFile:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "spilled"
        folder.mkdir()
        return folder

    def counted(self, look: Any, count: int = 300) -> rx.Stream[Any]:
        return rx.range(count).map(look).key_by(lambda x: x % 100).process(Count)

    async def test_nothing_is_ever_seen_of_it(self, folder: Path) -> None:
        def look(x: int) -> int:
            assert files_in(folder) == 0
            return x

        limits = rx.Settings(state_memory=1, spill_directory=str(folder), chunk=10)
        found = await self.counted(look).collect(limits)
        assert found[-1] == (99, 3)
        with pytest.raises(ZeroDivisionError):
            await self.counted(lambda x: x // (x - 250)).collect(limits)
        assert files_in(folder) == 0

    async def test_cancelled_anywhere_it_leaves_nothing(self, folder: Path) -> None:
        limits = rx.Settings(state_memory=1, spill_directory=str(folder), chunk=10)
        descriptors = files_in(DESCRIPTORS)
        for turns in range(0, 120, 7):
            task = asyncio.create_task(
                self.counted(str).map(lambda x: x).buffer(5).collect(limits)  # type: ignore[arg-type]
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        assert files_in(folder) == 0
        assert files_in(DESCRIPTORS) == descriptors

    async def test_where_there_is_no_such_folder(self, tmp_path: Path) -> None:
        limits = rx.Settings(state_memory=1, spill_directory=str(tmp_path / "absent"))
        with pytest.raises(FileNotFoundError) as caught:
            await self.counted(int).collect(limits)
        assert any("spill_directory" in note for note in caught.value.__notes__)

    def test_full_it_says_so_and_what_to_do(self, folder: Path) -> None:
        code = f"""
import asyncio, resource, signal, sqlite3, reactive as rx
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
totals = rx.range(100_000).key_by(lambda x: x).scan(lambda a, b: a + b)
try:
    asyncio.run(totals.collect(rx.Settings(state_memory=1, spill_directory={str(folder)!r})))
except sqlite3.OperationalError as error:
    print(error, *error.__notes__, sep="\\n")
"""
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert "scan (<string>:5) has the state of" in done.stdout, done.stdout + done.stderr
        assert f"keys in {folder}; rx.Settings(spill_directory=...)" in done.stdout
        assert files_in(folder) == 0


async def test_only_its_owner_may_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink, modes = Path.unlink, list[int]()

    def look(path: Path) -> None:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        unlink(path)

    monkeypatch.setattr(Path, "unlink", look)
    limits = rx.Settings(state_memory=1, spill_directory=str(tmp_path))
    await rx.range(10).key_by(int).process(Count).collect(limits)
    assert modes == [0o600]


@pytest.mark.parametrize("mode", ["stream", "batch"])
async def test_what_is_built_on_it(mode: Any) -> None:
    pairs = [(n * 7 % 40, n) for n in range(400)]
    keyed = rx.from_iterable(pairs).event_time(lambda pair: pair[1]).key_by(lambda pair: pair[0])
    pattern = rx.Pattern[tuple[int, int]]("low", lambda pair: pair[1] % 3 == 0)
    pattern = pattern.then("next", lambda pair: pair[1] % 2 == 0).within(100)
    for stream in (
        keyed.scan(lambda total, pair: total + pair[1], 0, ttl=60),
        keyed.deduplicate(within=50),
        keyed.match(pattern).map(lambda match: (match.key, match["low"], match["next"])),
    ):
        limits = rx.Settings(mode=mode, state_memory=1)
        assert await stream.collect(limits) == await stream.collect(mode=mode) != []


def test_explain_says_the_budget() -> None:
    counted = rx.never().key_by(int).process(Count)
    text = str(counted.explain(rx.Settings(state_memory=64_000_000)))
    assert "; past about 64,000,000 bytes on disk" in text
    assert "on disk" not in str(counted.explain())


def test_a_budget_is_some_bytes() -> None:
    with pytest.raises(ValueError, match="state_memory must be at least 1 byte"):
        rx.Settings(state_memory=0)


_MANY = """
import asyncio, sys
from pathlib import Path
import reactive as rx

class Last(rx.KeyedProcess):
    seen = rx.ValueState(0)
    text = rx.ValueState("")

    def on_item(self, item, context):
        self.seen += 1
        self.text = f"{self.text[:500]} {item} " + "x" * 500
        if item >= keys:
            yield context.key * self.seen + len(self.text)

keys, memory = int(sys.argv[1]), int(sys.argv[2])
numbers = rx.range(keys + 20_000).key_by(lambda n: n if n < keys else n * 7919 % keys)
limits = rx.Settings(state_memory=memory or None)
total = sum(asyncio.run(numbers.process(Last).collect(limits)))
# Not getrusage: where a large process starts this one, that begins with what that one had.
status = Path("/proc/self/status").read_text()
print(total, status.partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.timeout(600)
def test_many_keys_in_little_memory() -> None:
    def run(keys: int, memory: int) -> tuple[int, int]:
        command = [sys.executable, "-c", textwrap.dedent(_MANY), str(keys), str(memory)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        total, peak = done.stdout.split()
        return int(total), int(peak) * 1024

    _, nothing = run(10, 0)
    expected, without = run(250_000, 0)
    total, within = run(250_000, 32_000_000)
    assert total == expected
    assert within - nothing < 80_000_000 < 150_000_000 < without - nothing
