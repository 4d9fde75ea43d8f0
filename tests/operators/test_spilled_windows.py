"""Windows on disk: results are the same with a budget of memory for a few keys as without."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_changes import SECOND, STREAMS, Checkpoints, keyed, push
from test_spilled_state import files_in

import reactive as rx
from operators.windowing import Aggregate
from reactive.metrics import Meter
from reactive.operator import Step
from reactive.signals import AnySignal
from reactive.testing import check_recovery

WINDOWS: dict[str, Callable[[], rx.Stream[Any]]] = {
    **STREAMS,
    "lists": lambda: keyed().window(rx.Sliding(6, every=4)).to_list(),
    "sessions of lists": lambda: keyed().window(rx.Session(2)).to_list(),
    "by count": lambda: keyed().window(rx.Count(3, every=2)).aggregate(rx.count()),
    "for ever": lambda: (
        keyed()
        .window(rx.Global(), trigger=rx.Repeatedly(rx.AfterCount(3)), accumulation="accumulating")
        .aggregate(rx.sum(lambda pair: pair[1]))
    ),
}

# Keys that are equal though their pickles differ, and keys whose hashes are equal.
_keys = st.sampled_from([1, 1.0, -1, -2, "a", ("a", 1), ("a", True), None])
_pairs = st.lists(st.tuples(_keys, st.integers(0, 6)), min_size=1, max_size=6)
_script = st.lists(
    st.one_of(
        st.tuples(st.just("items"), _pairs),
        st.tuples(st.just("items"), _pairs),
        st.tuples(st.just("watermark"), st.integers(0, 3)),
        st.tuples(st.just("barrier"), st.none()),
        st.tuples(st.just("pickle"), st.integers(1, 2)),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("snapshot"), st.sampled_from([None, 1, 1_500])),
    ),
    max_size=40,
)


def windows_of(
    stream: rx.Stream[Any], memory: int | None, mode: Any = "stream", folder: Path | None = None
) -> tuple[Step[Any, Any], Meter]:
    operator, meter = stream.node.operator, Meter("it")
    assert isinstance(operator, Aggregate)
    directory = None if folder is None else str(folder)
    limits = rx.Settings(state_memory=memory, mode=mode, spill_directory=directory)
    return operator.step(rx.Context("it", None, limits, meter)), meter


def gauge(meter: Meter, name: str) -> float:
    return meter.gauges[name]()


def alike(result: rx.Windowed[Any, Any]) -> tuple[Any, str]:
    """Of equal keys it is not said which one is given."""
    return result.key, str(result[1:])


async def _compare(name: str, memory: int, script: list[tuple[str, Any]], mode: Any) -> None:
    """A step within a budget, and one without, get the same; the first is replaced at times by
    what was kept of it, and gets again what came after that."""
    whole, count = windows_of(WINDOWS[name](), None, mode)
    step, meter = windows_of(WINDOWS[name](), memory, mode)
    kept, since = Checkpoints(), list[AnySignal]()
    expected: Counter[Any] = Counter()
    given: Counter[Any] = Counter()
    uncommitted: Counter[Any] = Counter()
    now, low = 0, 0
    within: int | None = memory

    def feed(signal: AnySignal | None) -> None:
        expected.update(map(alike, push(whole, signal)))
        uncommitted.update(map(alike, push(step, signal)))
        assert meter.counters.get("late") == count.counters.get("late") or restarted
        if signal is not None:
            assert gauge(meter, "windows") == gauge(count, "windows")
        if within == 1:
            assert gauge(meter, "keys_in_memory") <= 1
        if signal is not None:
            since.append(signal)

    restarted = False
    kept.barrier(step)
    for action, what in script:
        if action == "items":
            times = [(now + offset) * SECOND for _, offset in what]
            feed(rx.Chunk([(key, now + offset) for key, offset in what], times))
            now += 1
        elif action == "watermark":
            low = max(low, now - what)
            feed(rx.Watermark(low * SECOND))
        elif action == "pickle":
            kept.pickle(what)
        elif action == "barrier":
            kept.pickle(1_000)
            kept.barrier(step)
            since.clear()
            given += uncommitted
            uncommitted.clear()
        elif action == "restart":
            restarted = True
            kept.pickle(1_000)
            step.close()
            step, meter = windows_of(WINDOWS[name](), within, mode)
            step.restore(kept.held())
            uncommitted.clear()
            for signal in since:
                uncommitted.update(map(alike, push(step, signal)))
        else:
            restarted = True
            kept.pickle(1_000)
            saved = step.snapshot()
            step.close()
            step, meter = windows_of(WINDOWS[name](), what, mode)
            within = what
            step.restore(saved)
            kept.rows.clear()
            kept.barrier(step)
            since.clear()
            given += uncommitted
            uncommitted.clear()
    feed(None)
    step.close()
    assert given + uncommitted == expected


@pytest.mark.parametrize("name", WINDOWS)
@settings(max_examples=20, deadline=None)
@given(st.sampled_from([1, 1, 2_000]), _script, st.sampled_from(["stream", "stream", "batch"]))
def test_results_are_the_same(
    name: str, memory: int, script: list[tuple[str, Any]], mode: str
) -> None:
    asyncio.run(_compare(name, memory, script, mode))


async def test_it_is_on_disk_and_gone_at_its_time() -> None:
    for name, ends in (("tumbling", 4), ("sliding", 6), ("sessions", 2), ("late", 9)):
        step, meter = windows_of(WINDOWS[name](), 1)
        push(step, rx.Chunk([(key, 0) for key in range(1_000)], [0] * 1_000))
        assert (gauge(meter, "keys_in_memory"), gauge(meter, "keys_on_disk")) == (1, 999)
        given = push(step, rx.Watermark(ends * SECOND))
        assert {result.key for result in given} == set(range(1_000))
        assert gauge(meter, "keys_in_memory") == gauge(meter, "keys_on_disk") == 0
        assert gauge(meter, "windows") == 0
        step.close()


async def test_what_is_left_over_in_memory_is_bounded() -> None:
    """Of sessions and panes on disk nothing stays in the lists of when they end."""
    for name in ("sessions", "late"):
        step, _ = windows_of(WINDOWS[name](), 1)
        for _ in range(10):
            push(step, rx.Chunk([(key, 0) for key in range(1_000)], [0] * 1_000))
        engine: Any = step._engine  # type: ignore[attr-defined]
        left = engine._ends if name == "late" else next(iter(engine._buckets.values()))
        assert len(left) < 1_300
        step.close()


async def test_results_come_in_the_order_of_time() -> None:
    for name in ("tumbling", "sliding", "late"):
        step, _ = windows_of(WINDOWS[name](), 1)
        times = [(n * 7919) % 60 * SECOND for n in range(300)]
        push(step, rx.Chunk([(n % 50, 0) for n in range(300)], times))
        ends = [result.window.end for result in push(step, rx.Watermark(100 * SECOND))]
        assert ends == sorted(ends)
        step.close()


async def test_only_what_changed_is_given_again() -> None:
    step, _ = windows_of(WINDOWS["late"](), 1)
    kept = Checkpoints()
    push(step, rx.Chunk([(key, 0) for key in range(500)], [0] * 500))
    kept.barrier(step)
    kept.pickle(1_000)
    assert len(kept.held().sections["windows"]) == 500
    push(step, rx.Chunk([(3, 0), (400, 0)], [0, 0]))
    kept.rows.clear()
    kept.barrier(step)
    # What comes while they are pickled is of the next time.
    push(step, rx.Chunk([(3, 0), (7, 0)], [0, 0]))
    kept.pickle(1_000)
    held = kept.held().sections["windows"]
    assert {key: live.accumulator[0] for key, (live,) in of_each(held)} == {3: 2, 400: 2}
    step.close()


def of_each(held: dict[Any, dict[Any, Any]]) -> list[tuple[Any, tuple[Any, ...]]]:
    return [(key, tuple(windows.values())) for key, windows in held.items()]


async def test_the_budget_holds_after_a_restore() -> None:
    for name in WINDOWS:
        if name == "for ever":
            continue
        step, _ = windows_of(WINDOWS[name](), None)
        push(step, rx.Chunk([(key, 1) for key in range(300)], [0] * 300))
        kept = Checkpoints()
        kept.barrier(step)
        kept.pickle(1_000)
        saved = step.snapshot()
        expected = Counter(map(alike, push(step, None)))
        for state in (kept.held(), saved):
            again, meter = windows_of(WINDOWS[name](), 1)
            again.restore(state)
            assert gauge(meter, "keys_in_memory") == 1
            assert Counter(map(alike, push(again, None))) == expected
            again.close()


def test_recovery_within_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way, through a store: crashes, failures and cancellations change nothing."""
    *others, memory = rx.Settings.__init__.__defaults__ or (None,)
    assert memory is None
    monkeypatch.setattr(rx.Settings.__init__, "__defaults__", (*others, 1))

    def windowed(items: rx.Stream[Any]) -> list[rx.Stream[Any]]:
        timed = items.event_time(lambda pair: pair[1], lateness=2)
        by_key: rx.KeyedStream[Any, Any] = timed.key_by(lambda pair: pair[0])
        sliding = by_key.window(rx.Sliding(6, every=2)).aggregate(rx.count())
        sessions = by_key.window(rx.Session(2), allowed_lateness=3, accumulation="accumulating")
        joined = by_key.join(by_key, window=rx.Tumbling(4), how="left")
        return [sliding, sessions.to_list(), joined]

    script = [(n * 5 % 7, n // 3 - 2 * (n % 10 == 9)) for n in range(60)]
    check_recovery(windowed, script, ordered=False, seeds=12)


def test_explain_says_the_budget_of_windows() -> None:
    limits = rx.Settings(state_memory=64_000_000)
    for name in WINDOWS:
        assert "past about 64,000,000 bytes on disk" in str(WINDOWS[name]().explain(limits))
    clocked = rx.AfterWatermark(early=rx.AfterProcessingTime(1))
    for stream in (
        keyed().window(rx.Tumbling(4), trigger=clocked).aggregate(rx.count()),
        keyed().window(rx.Tumbling(4), timestamp="earliest").aggregate(rx.count()),
        rx.never().event_time(lambda n: n).window(rx.Tumbling(4)).aggregate(rx.count()),
    ):
        assert "on disk" not in str(stream.explain(limits))


class Holder:
    """Does not pickle."""

    def __init__(self) -> None:
        self.held = lambda: None


async def test_what_does_not_pickle_is_named() -> None:
    stream = rx.range(20).event_time(lambda n: 0).map(lambda n: (n, Holder()))
    windows = stream.key_by(lambda pair: pair[0]).window(rx.Tumbling(4)).to_list()
    assert len(await windows.collect(rx.Settings(state_memory=1_000_000))) == 20
    with pytest.raises(TypeError) as caught:
        await windows.named("lists").collect(rx.Settings(state_memory=1))
    assert str(caught.value).startswith("lists (")
    assert "cannot be put on disk, for it does not pickle" in str(caught.value)


async def test_a_failure_first_gives_what_came_before_it() -> None:
    late = rx.AfterWatermark(early=rx.AfterCount(1))
    stream = rx.from_iterable([3, 1, 0, 2]).event_time(lambda n: 0).key_by(lambda n: 1 // n)
    found: list[Any] = []
    with pytest.raises(ZeroDivisionError) as caught:
        windows = stream.window(rx.Tumbling(4), trigger=late).aggregate(rx.sum())
        async with windows.open(rx.Settings(state_memory=1, mode="stream")) as items:
            found.extend([await anext(items), await anext(items)])
            await anext(items)
    assert [(item.key, item.value) for item in found] == [(0, 3), (1, 1)]
    assert any("test_spilled_windows.py" in note for note in caught.value.__notes__)


async def test_the_file_is_gone_and_a_bad_place_is_told(tmp_path: Path) -> None:
    stream = rx.range(300).event_time(lambda n: n).key_by(lambda n: n % 70)
    windows = stream.window(rx.Session(100)).aggregate(rx.count())
    limits = rx.Settings(state_memory=1, spill_directory=str(tmp_path))
    assert len(await windows.collect(limits)) == 70
    assert files_in(tmp_path) == 0
    limits = rx.Settings(state_memory=1, spill_directory=str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError) as caught_here:
        await windows.collect(limits)
    assert any("spill_directory" in note for note in caught_here.value.__notes__)


_MANY = """
import asyncio, sys
from pathlib import Path
import reactive as rx

keys, memory = int(sys.argv[1]), int(sys.argv[2])
numbers = rx.range(keys).event_time(lambda n: n / keys).key_by(lambda n: n)
sums = numbers.window(rx.Tumbling(60)).aggregate(n=rx.count(), least=rx.min(), total=rx.sum())
limits = rx.Settings(state_memory=memory or None, mode="stream")

async def main():
    async with sums.open(limits) as windows:
        return sum([each.value.total async for each in windows])

total = asyncio.run(main())
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
    expected, without = run(300_000, 0)
    total, within = run(300_000, 5_000_000)
    assert total == expected
    assert within - nothing < 35_000_000 < 50_000_000 < without - nothing
