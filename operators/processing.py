"""processing: state and timers by key, and how handlers of them are run."""

from __future__ import annotations

import asyncio
import pickle
import reprlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import repeat, starmap
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from operators.checking import MISSING
from operators.handling import (
    KeyedProcess,
    ProcessContext,
    class_of_handler,
    make_handler,
)
from operators.replaying import Replay
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.graph import Node
from reactive.levels import Changes, Kept, added_pieces, dumps, saved_pieces
from reactive.operator import Holding, Step, Stepwise, kind_of_state
from reactive.policy import side_node
from reactive.signals import Chunk, Signal, Watermark
from reactive.state import KeyedSnapshot, States, declared_states
from reactive.timers import Due, Timers
from reactive.windows import LATEST, MICROSECONDS

if TYPE_CHECKING:
    from operators.state_budget import StateBudget
    from reactive.context import Context

Work: TypeAlias = Generator[None, None, None]
Make: TypeAlias = Callable[[], KeyedProcess[Any, Any, Any]]

_LOOK_EVERY = 16
_MOST_AT_ONCE = 512
_SLICE_SECONDS = 0.0005
_BEYOND_THE_END = 1_000
_FETCHED_AT_ONCE = 128


@dataclass(frozen=True)
class Process(Stepwise):
    """`process`, and what is built on it."""

    key: Callable[[Any], Any]
    handler: Make
    title: str
    bounds: tuple[tuple[str, object], ...] = ()
    late: Node | None = None
    has_timers: bool = False
    """Whether its handlers may set timers of event time."""
    held: tuple[Holding, ...] = ()

    @property
    def label(self) -> str:
        return self.title

    @property
    def state_kind(self) -> str:
        kind = class_of_handler(self.handler)
        return kind_of_state(self.title, kind.__qualname__)

    def details(self) -> dict[str, object]:
        return dict(self.bounds)

    def holds(self, batch: bool) -> Sequence[Holding]:
        return self.held

    @property
    def spills(self) -> bool:
        return True

    def side_outputs(self) -> Sequence[Node]:
        return () if self.late is None else (self.late,)

    def step(self, context: Context) -> Step[Any, Any]:
        return _ProcessStep(self, context)


@dataclass(frozen=True)
class TimedProcess(Process):
    """The same with a handler that has timers of the clock."""

    timed: ClassVar[bool] = True


class _ProcessStep(Step[Any, Any]):
    """Work is a generator, so that it can be left in the middle when it has held the loop for
    long enough, and be gone on with."""

    def __init__(self, operator: Process, context: Context) -> None:
        handler = make_handler(operator.title, operator.handler)
        self._handler = handler
        self._key = operator.key
        self._context = context
        self._late = None if operator.late is None else context.side(operator.late)
        self._drops_late = operator.late is not None or not handler.takes_late
        self._clock = asyncio.get_running_loop().time
        self._scope: ProcessContext[Any] = ProcessContext(self._clock, operator.timed)
        self._states = States(handler, self._scope)
        self._scope._changed = self._states.changed
        self._timers = self._scope._timers
        self._clock_timers = self._scope._clock_timers
        self._replay = Replay(context.keeps_changes)
        # Without watermarks all timers would come after all items.
        self._replays = operator.has_timers and context.batch
        self._timed: bool | None = None
        self._latest = self._scope.watermark
        self._results: list[Any] = []
        self._times: list[int] = []
        self._work: Work | None = None
        self._then: Watermark | None = None
        self._ending = False
        self._unsaved: set[Any] = set()
        self._saved_early: list[tuple[Any, bytes | None]] = []
        memory = context.settings.state_memory
        budget: StateBudget | None = None
        if memory is not None:
            # With it comes sqlite3, which takes a while to import.
            from operators.state_budget import StateBudget

            budget = StateBudget(context, memory, self._states)
        self._budget = budget
        gauges = context.meter.gauges
        gauges["keys"] = lambda: len(self._states.keys()) + (budget.on_disk if budget else 0)
        gauges["timers"] = lambda: len(self._timers) + len(self._clock_timers)
        if budget is not None:
            gauges["keys_in_memory"] = lambda: len(self._states.keys())
            gauges["keys_on_disk"] = lambda: budget.on_disk

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        self._timed = chunk.times is not None
        if self._replays and chunk.times is not None:
            self._replay.add(chunk.items, chunk.times)
            return
        self._work = self._handle(chunk.items, chunk.times)
        self.resume(out)

    def on_watermark(self, watermark: Watermark, out: list[Signal[Any]]) -> None:
        if self._replays:
            return
        self._work, self._then = self._advance(watermark.time), watermark
        self.resume(out)

    def on_end(self, out: list[Signal[Any]]) -> None:
        self._work = self._end()
        self.resume(out)

    def on_timer(self, now: float, out: list[Signal[Any]]) -> None:
        if self._work is None:
            self._work = self._ring(round(now * MICROSECONDS))
        self.resume(out)
        if self.busy:
            # Without a signal at hand nobody would resume: the deadline brings it back here.
            self.busy, self.deadline = False, now

    def resume(self, out: list[Signal[Any]]) -> None:
        assert self._work is not None
        self.busy = True
        try:
            self.busy = next(self._work, MISSING) is not MISSING
        except Exception as error:
            self._note(error)
            raise
        finally:
            if self._results:
                out.append(Chunk(self._results, self._times if self._timed else None))
                self._results, self._times = [], []
        if self.busy:
            return
        self._work = None
        if self._then is not None:
            out.append(self._then)
            self._then = None
        first = self._clock_timers.first()
        self.deadline = None if first is None else first / MICROSECONDS
        self.done = self._ending

    def close(self) -> None:
        # A handler's generator that was left in the middle has its own things to clean up.
        work, self._work = self._work, None
        try:
            if work is not None:
                work.close()
        finally:
            if self._budget is not None:
                self._budget.close()

    def _note(self, error: Exception) -> None:
        annotate(error, self._context)
        if self._scope.key is not MISSING:
            error.add_note(f"for key {reprlib.repr(self._scope.key)}")

    def _handle(
        self, items: Sequence[Any], times: Sequence[int] | None, *, replayed: bool = False
    ) -> Work:
        budget = self._budget
        if budget is None:
            return self._items(items, times, self._key, replayed)
        return self._within(budget, items, times, replayed)

    def _within(
        self,
        budget: StateBudget,
        items: Sequence[Any],
        times: Sequence[int] | None,
        replayed: bool,
    ) -> Work:
        """The same within a budget of memory for states."""
        until = self._clock() + _SLICE_SECONDS
        for start in range(0, len(items), _FETCHED_AT_ONCE):
            if self._clock() >= until:
                yield
                until = self._clock() + _SLICE_SECONDS
            place = slice(start, start + _FETCHED_AT_ONCE)
            key_of = budget.using(self._key, items[place])
            some_times = None if times is None else times[place]
            yield from self._items(items[place], some_times, key_of, replayed)
            yield from self._trim()

    def _trim(self) -> Work:
        """Put on disk what there is no memory for."""
        if self._budget is None:
            return
        scope, clock = self._scope, self._clock
        last, scope.key = scope.key, MISSING
        until = clock() + _SLICE_SECONDS
        for _ in self._budget.trim(last):
            if clock() >= until:
                yield
                until = clock() + _SLICE_SECONDS

    def _items(
        self,
        items: Sequence[Any],
        times: Sequence[int] | None,
        key_of: Callable[[Any], Any],
        replayed: bool,
    ) -> Work:
        scope, on_item = self._scope, self._handler.on_item
        clock, timers, unsaved = self._clock, self._timers, self._unsaved
        watermark = scope.watermark
        scope.timer = None
        until = clock() + _SLICE_SECONDS
        if times is None:
            scope._time = None
            scope.now = round(clock() * MICROSECONDS)
            yield from self._forget(scope.now)
        else:
            self._latest = max(self._latest, max(times))
        add, add_time = self._results.append, self._times.append
        count = 0
        for item, time in zip(items, times or repeat(None, len(items)), strict=True):
            if replayed and time is not None and time > watermark:
                if timers._queue and timers._queue[0][0] <= time:
                    yield from self._fire(time)
                    add, add_time = self._results.append, self._times.append
                    scope.timer = None
                scope.watermark = scope._passed = watermark = time
            scope.key = MISSING
            scope.key = key_of(item)
            if unsaved and scope.key in unsaved:
                self._save_early(scope.key)
            if time is not None:
                scope._time = time
                if time >= watermark:
                    scope.now = scope._stamp = time
                else:
                    scope.now = scope._stamp = watermark
                    if self._drops_late:
                        self._put_aside(item)
                        continue
            given = on_item(item, scope)
            if given is not None:
                for result in given:
                    add(result)
                    add_time(scope._stamp)
                    count += 1
                    if not count % _LOOK_EVERY and (not count % _MOST_AT_ONCE or clock() >= until):
                        yield
                        until = clock() + _SLICE_SECONDS
                        add, add_time = self._results.append, self._times.append
            if timers._queue and timers._queue[0][0] <= watermark:
                yield from self._fire(watermark)
                add, add_time = self._results.append, self._times.append
                scope.timer = None

    def _put_aside(self, item: Any) -> None:
        self._context.meter.count("late")
        if self._late is not None:
            self._late(item)

    def _advance(self, watermark: int) -> Work:
        scope = self._scope
        yield from self._fire(watermark)
        scope.watermark = scope._passed = max(scope.watermark, watermark)
        if self._timed:
            yield from self._forget(scope.watermark)
        yield from self._trim()

    def _fire(self, watermark: int) -> Work:
        """Call the handler for the timers of event time that are due, in the order of time."""
        scope, timers, on_timer = self._scope, self._timers, self._handler.on_timer
        clock = self._clock
        beyond: dict[Any, int] = {}
        if self._unsaved and timers._queue and timers._queue[0][0] <= watermark:
            yield from self._save_all()
        until, count = clock() + _SLICE_SECONDS, 0
        take = self._taking(timers)
        while (due := take(watermark)) is not None:
            scope.watermark = max(scope.watermark, due.time)
            scope.ended = self._ending and due.time > self._latest
            self._enter(due, due.time)
            if scope.ended:
                beyond[due.key] = beyond.get(due.key, 0) + 1
                if beyond[due.key] > _BEYOND_THE_END:
                    raise RuntimeError(
                        "the input has ended, and timers go on setting timers; set none where "
                        "context.ended is true"
                    )
            given = on_timer(due.time, scope)
            if given is not None:
                yield from self._take(given)
            count += 1
            if count == _MOST_AT_ONCE or clock() >= until:
                yield from self._trim()
                yield
                until, count = clock() + _SLICE_SECONDS, 0

    def _taking(self, timers: Timers) -> Callable[[int], Due | None]:
        """How to take out the next timer that is due by a time, with what its key has in memory."""
        budget = self._budget
        if budget is None:
            return timers.take

        def take(until: int) -> Due | None:
            keys = timers.soon(until, 1)
            if keys and not budget.knows(keys[0]):
                budget.fetch(timers.soon(until, _FETCHED_AT_ONCE))
            if keys and keys[0] in self._unsaved:
                # It was on disk when the others were saved.
                self._save_early(keys[0])
            return timers.take(until)

        return take

    def _enter(self, due: Due, time: int | None) -> None:
        """Set the scene for a timer."""
        scope = self._scope
        scope.key, scope._time = due.key, time
        scope.timer = due.name if isinstance(due.name, str) else None
        self._states.changed.add(due.key)
        if time is not None:
            scope.now = max(time, scope.watermark)
            scope._stamp = max(time, scope._passed)

    def _take(self, given: Iterable[Any]) -> Work:
        """Take over what a handler gives, with pauses."""
        scope, clock = self._scope, self._clock
        until = clock() + _SLICE_SECONDS
        for count, result in enumerate(given, 1):
            self._results.append(result)
            self._times.append(scope._stamp)
            if not count % _LOOK_EVERY and (not count % _MOST_AT_ONCE or clock() >= until):
                yield
                until = clock() + _SLICE_SECONDS

    def _ring(self, now: int) -> Work:
        """Call the handler for the timers of the clock that are due."""
        scope, clock = self._scope, self._clock
        yield from self._save_all()
        until, count = clock() + _SLICE_SECONDS, 0
        take = self._taking(self._clock_timers)
        while (due := take(now)) is not None:
            self._enter(due, due.note)
            if due.note is None:
                scope.now = round(clock() * MICROSECONDS)
            given = self._handler.on_clock_timer(scope)
            if given is not None:
                yield from self._take(given)
            yield from self._fire(scope._passed)
            count += 1
            if count == _MOST_AT_ONCE or clock() >= until:
                yield from self._trim()
                yield
                until, count = clock() + _SLICE_SECONDS, 0
        yield from self._trim()

    def _end(self) -> Work:
        scope = self._scope
        for chunk in self._replay.chunks():
            yield from self._handle(chunk.items, chunk.times, replayed=True)
            yield from self._forget(scope.watermark)
        self._ending = True
        yield from self._fire(LATEST)
        scope.ended = scope._ending = True
        yield from self._ring(LATEST)
        yield from self._fire(LATEST)

    def _forget(self, now: int) -> Work:
        """Give back memory of states that are over."""
        if self._budget is not None:
            for _ in self._budget.over(now):
                yield from self._forget_here(now)
                yield from self._trim()
                yield
        yield from self._forget_here(now)

    def _forget_here(self, now: int) -> Work:
        clock = self._clock
        if self._unsaved and self._states.forgets(now):
            yield from self._save_all()
        until = clock() + _SLICE_SECONDS
        for count, _ in enumerate(self._states.forget(now), 1):
            if not count % _MOST_AT_ONCE and clock() >= until:
                yield
                until = clock() + _SLICE_SECONDS

    def snapshot(self) -> KeyedSnapshot[Any]:
        states: dict[Any, bytes] = {}
        for key in self._states.keys().union(self._timers.keys(), self._clock_timers.keys()):
            saved = self._pickled(key)
            if saved is not None:
                states[key] = saved
        if self._budget is not None:
            for key, on_disk, _ in self._budget.everything():
                saved = self._pickled(key, on_disk)
                assert saved is not None
                states[key] = saved
        self._states.changed.clear()
        self._replay.added()
        return KeyedSnapshot(self._shared(), states, list(self._replay))

    def changes(self) -> Changes:
        """What has changed since the last snapshot or changes."""
        changed = self._states.changed
        self._unsaved = changed.copy()
        changed.clear()
        if self._budget is None:
            pieces = saved_pieces(self._unsaved, self._saved, self._saved_early)
        else:
            pieces = self._budget.freeze(self._unsaved, self._saved, self._saved_early)
        sections = {"keys": pieces}
        if self._replays:
            sections["items"] = added_pieces(self._replay.added(), lambda held: self._key(held[2]))
        return Changes(self._shared(), sections)

    def _shared(self) -> dict[str, Any]:
        scope = self._scope
        return {
            "watermark": scope.watermark,
            "latest": self._latest,
            "timed": self._timed,
            "clock": round(self._clock() * MICROSECONDS),
        }

    def _saved(self, key: Any, states: Any = None) -> tuple[Any, ...] | None:
        """What a key has, with its `states` if they are on disk; None if nothing."""
        saved = (
            states or self._states.saved(key),
            self._timers.saved(key) or None,
            self._clock_timers.saved(key) or None,
        )
        return saved if any(saved) else None

    def _pickled(self, key: Any, states: Any = None) -> bytes | None:
        try:
            saved = self._saved(key, states)
            return None if saved is None else dumps(saved)
        except Exception as error:
            annotate(error, self._context)
            error.add_note(f"for key {reprlib.repr(key)}")
            raise

    def _save_early(self, key: Any) -> None:
        """Save what a key had at the barrier, before that changes."""
        self._unsaved.discard(key)
        self._saved_early.append((key, self._pickled(key)))

    def _save_all(self) -> Work:
        """The same for all of them, where it is not said which ones change."""
        until = self._clock() + _SLICE_SECONDS
        while self._unsaved:
            self._save_early(next(iter(self._unsaved)))
            if self._clock() >= until:
                yield
                until = self._clock() + _SLICE_SECONDS

    def restore(self, state: KeyedSnapshot[Any] | Kept) -> None:
        if isinstance(state, Kept):
            states = state.sections["keys"]
            self._replay.go_on(state.sections.get("items", {}).values())
        else:
            states = {key: pickle.loads(saved) for key, saved in state.states.items()}
            self._replay.go_on(state.held)
        scope, shared = self._scope, state.shared
        scope.watermark = scope._passed = shared["watermark"]
        self._latest = shared["latest"]
        self._timed = shared["timed"]
        # The clock of the loop says nothing to another process: what is left of a time counts.
        later = round(self._clock() * MICROSECONDS) - shared["clock"]
        shift = 0 if self._timed else later
        ages = not self._timed and self._states.age
        timers: list[Any] = []
        clock_timers: list[Any] = []
        for key, (own_states, own_timers, own_clock_timers) in self._each(states):
            self._states.load(key, own_states, shift)
            if own_timers:
                timers += [(key, timer) for timer in own_timers]
            if own_clock_timers:
                clock_timers += [(key, (time + later, *timer)) for time, *timer in own_clock_timers]
            if own_clock_timers or ages:
                self._states.changed.add(key)
            if self._budget is not None:
                self._budget.loaded(key)
        self._timers.load(timers)
        self._clock_timers.load(clock_timers)
        first = self._clock_timers.first()
        self.deadline = None if first is None else first / MICROSECONDS

    def _each(self, states: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
        """All of them; within a budget, those that were given are let go."""
        if self._budget is None:
            yield from states.items()
            return
        for key in list(states):
            yield key, states.pop(key)


def process_operator(
    key: Callable[[Any], Any],
    handler: Make,
    title: str,
    late: object = None,
    bounds: dict[str, object] | None = None,
    held: tuple[Holding, ...] | None = None,
) -> Process:
    """Check the arguments, and describe running a handler."""
    kind = class_of_handler(handler)
    side = None if late is None else side_node(late)
    if late is not None and side is None:
        raise TypeError(f"late must be a rx.SideOutput, not {late!r}")
    if bounds is None:
        states = {name: f"lives {state.lives}" for name, state in declared_states(kind).items()}
        bounds = {"handler": kind.__name__, **states}
    clocked = kind.on_clock_timer is not KeyedProcess.on_clock_timer
    operator = TimedProcess if clocked else Process
    has_timers = kind.on_timer is not KeyedProcess.on_timer
    if held is None:
        held = tuple(starmap(_state_held, declared_states(kind).items()))
    return operator(key, handler, title, tuple(bounds.items()), side, has_timers, held)


def _state_held(name: str, state: Any) -> Holding:
    what = f"for each key, `{name}`"
    if state.lives == "for ever":
        fix = f"give `{name}` a `ttl`, unless the handler clears it when a key is done with"
        return Holding(what, None, fix)
    return Holding(what, f"for {state.lives}" if state.lives != "by handler" else "by its ttl")
