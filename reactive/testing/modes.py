"""Batch and stream give the same final results: checked on random arrivals of the same items."""

from __future__ import annotations

import asyncio
import operator
import random
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from operators.timestamps import Timestamp, Unit, microseconds
from reactive.context import Mode, Settings
from reactive.signals import Chunk
from reactive.testing.observing import LawBroken, same_items
from reactive.testing.scripts import Pause, ScriptStep, scripted_source
from reactive.testing.virtual_time import run
from reactive.windows import ONLY_PANE, Window, Windowed

if TYPE_CHECKING:
    from reactive.stream import Stream

_Place: TypeAlias = tuple[Any, Window]
"""A key and a window."""
_Final: TypeAlias = dict[_Place, list[Any]]


def check_modes(
    build: Callable[..., Stream[Any]],
    *inputs: Iterable[Any],
    time: Callable[[Any], Timestamp] | None = None,
    unit: Unit | None = None,
    lateness: float = 0.0,
    delay: float = 1.0,
    same: Callable[[Any, Any], bool] = operator.eq,
    examples: int = 25,
    seed: int | None = None,
) -> None:
    """Check that what `build` makes of its inputs gives the same final panes in batch as it does
    as a stream; raise `LawBroken`.

    `build` is a function of as many streams as there are `inputs`, each of which is the items that
    the stream gives. The pipeline runs both ways on random arrivals of them: cut into chunks at
    random, with random delays of up to `delay` seconds (virtual ones, less than what is idle) in
    between, and out of order. For that `time` tells when an item happened, as for
    `event_time(fn, unit)`; an item then comes up to `lateness` seconds of event time later than it
    should, which is what the pipeline has to bear with without an item being late. Without `time`
    they come in the order given.

    Of each key and window the last pane counts: early ones come before it, and retracted ones are
    void. Batch gives one pane of each, on time. The values of a pane, of which joins give several,
    are compared by `same`, such as `math.isclose`, in any order. With `accumulation="discarding"`
    and several panes, the last one is only what came after those before it: compare
    `"accumulating"`. What is no `Windowed` is compared as it is, in any order. Call it from a plain
    test, not an async one; `examples` is how many arrivals are tried, the first of them in order
    and without delay; `seed` makes the same ones again.

    ```python
    def totals(numbers):
        timed = numbers.event_time(lambda n: n, lateness=3)
        return timed.window(rx.Tumbling(10)).aggregate(rx.sum())

    check_modes(totals, range(50), time=lambda n: n, lateness=3)
    ```
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "check_modes runs loops of its own: call it from a test that is not async"
        )
    if not inputs:
        raise TypeError("check_modes needs the items of at least one input")
    rows = [list(items) for items in inputs]
    times: list[list[int]] | None = None
    if time is not None:
        times = [[microseconds(time(item), unit) for item in row] for row in rows]

    seed = random.getrandbits(32) if seed is None else seed
    chance = random.Random(seed)
    columns: Sequence[list[int] | None] = [None] * len(rows) if times is None else times
    for number in range(examples):
        late, pause = (round(lateness * 1_000_000), delay) if number else (0, 0.0)
        scripts = [
            _arrival(row, column, late, pause, chance)
            for row, column in zip(rows, columns, strict=True)
        ]
        bounds = Settings(chunk=chance.randint(1, 5), edge=chance.randint(1, 5))
        batch, live = (
            run(build(*map(scripted_source, scripts)).collect(bounds, mode=mode)) for mode in _MODES
        )
        complaint = _compare(batch, live, same)
        if complaint is not None:
            shown = "".join(f"\n    input     {_show(script)}" for script in scripts)
            raise LawBroken(
                f"modes: {complaint} (example {number}, seed={seed}){shown}\n"
                f"    batch     {batch}\n    stream    {live}"
            )


_MODES: tuple[Mode, Mode] = ("batch", "stream")
_Script: TypeAlias = list[ScriptStep[Any]]


def _arrival(
    row: Sequence[Any],
    times: Sequence[int] | None,
    lateness: int,
    delay: float,
    chance: random.Random,
) -> _Script:
    """The items out of order as far as they may be, in chunks and with pauses."""
    items = list(row)
    if times is not None:
        some = [chance.choice((0, chance.randint(0, lateness), lateness)) for _ in items]
        arrives = [time + late for time, late in zip(times, some, strict=True)]
        items = [items[place] for place in sorted(range(len(items)), key=arrives.__getitem__)]
    script: _Script = []
    most = chance.choice((1, 3, 10, 1000))
    longest = chance.choice((0.0, delay))
    while items:
        size = chance.randint(1, most)
        script += [Pause(chance.uniform(0, longest)), Chunk(items[:size])]
        del items[:size]
    return script


def _compare(
    batch: Sequence[Any], live: Sequence[Any], same: Callable[[Any, Any], bool]
) -> str | None:
    """What is wrong, if anything."""
    others = [[item for item in one if not isinstance(item, Windowed)] for one in (batch, live)]
    if not same_items(*others, ordered=False):
        return "batch and stream give different items"
    wanted: _Final = {}
    for item in batch:
        if isinstance(item, Windowed):
            if item.pane != ONLY_PANE:
                return f"batch gives a pane that is not the only one, on time: {item}"
            wanted.setdefault((item.key, item.window), []).append(item.value)
    final = _final(live, wanted)
    for place in (*wanted, *final):
        if place not in final:
            return f"the stream gives nothing for {_place(place)}"
        if place not in wanted:
            return f"batch gives nothing for {_place(place)}"
        if not _alike(wanted[place], final[place], same):
            return (
                f"for {_place(place)} batch gives {_values(wanted[place])}, and the stream at "
                f"last {_values(final[place])}"
            )
    return None


def _final(live: Sequence[Any], wanted: _Final) -> _Final:
    """What the last pane has of each key and window, but for windows that have become part of
    another."""
    final: _Final = {}
    last: dict[_Place, int] = {}
    complete: set[_Place] = set()
    for item in live:
        if isinstance(item, Windowed) and not item.pane.retracted:
            place = item.key, item.window
            if last.get(place) != item.pane.index:
                last[place], final[place] = item.pane.index, []
            final[place].append(item.value)
            if item.pane.timing != "early":
                complete.add(place)
    for place in set(final) - complete - set(wanted):
        key, window = place
        if any(key == of and _within(window, whole) for of, whole in wanted):
            del final[place]
    return final


def _alike(wanted: Sequence[Any], given: Sequence[Any], same: Callable[[Any, Any], bool]) -> bool:
    """Whether two panes have the same values, in any order."""
    left = list(given)
    for value in wanted:
        place = next((place for place, other in enumerate(left) if same(value, other)), None)
        if place is None:
            return False
        del left[place]
    return not left


def _values(values: Sequence[Any]) -> str:
    return ", ".join(map(repr, values))


def _within(window: Window, whole: Window) -> bool:
    return whole.start <= window.start and window.end <= whole.end


def _place(place: _Place) -> str:
    key, window = place
    return f"{window}" if key is None else f"{key!r}, {window}"


def _show(script: Iterable[ScriptStep[Any]]) -> str:
    return " ".join(
        f"{step.seconds:g} s" if isinstance(step, Pause) else repr(step) for step in script
    )
