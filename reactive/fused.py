"""The step that runs one fused group over chunks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from inspect import CO_GENERATOR
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from reactive.fuse import annotate, generate, owner_of
from reactive.levels import Changes, Kept, Tracked
from reactive.operator import Inline, Step
from reactive.signals import Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context


class FusedStep(Step[Any, Any]):
    """Runs one fused group over chunks; a group with inner loops pauses to stay fair."""

    def __init__(self, operators: Sequence[tuple[Inline, Context]]) -> None:
        self.operators = operators
        self.name = "|".join([context.name for _, context in operators])
        self.fused = generate(operators, self.name)
        self._run = self.fused.run
        self._pauses = bool(self.fused.run.__code__.co_flags & CO_GENERATOR)
        self.budget = 1
        self.most = operators[0][1].settings.chunk
        self._following: Step[Any, Any] | None = None
        self._paused: Any = None
        self._finishing = False
        self._meter = operators[0][1].meter
        self._last_meter = operators[-1][1].meter
        for _, context in operators:
            context.meter.counts_in = context.meter is self._meter
            context.meter.counts_out = context.meter is self._last_meter

    def on_chunk(self, chunk: Chunk[Any], out: list[Signal[Any]]) -> None:
        items, times = chunk.items, chunk.times
        self._meter.items_in += len(items)
        result: list[Any] = []
        if times is None and not self._pauses:
            # The common case, spelled out: this is what every chunk pays.
            stopped: int | None = None
            try:
                stopped = self._run(items, result.append, None, 0)
            except Exception as error:
                self._annotate(error)
                raise
            finally:
                if result:
                    self._last_meter.items_out += len(result)
                    out.append(Chunk(result))
            if stopped is not None:
                self._finish(stopped, out)
        elif times is None:

            def start() -> Any:
                return self.fused.run(items, result.append, None, self.budget)

            self._work(start, result, [], out)
        else:
            result_times: list[int] = []

            def start_timed() -> Any:
                append_time = result_times.append
                return self.fused.run_timed(items, times, result.append, append_time, self.budget)

            self._work(start_timed, result, result_times, out)

    def on_watermark(self, watermark: Watermark, out: list[Signal[Any]]) -> None:
        if self.fused.rise is not None:
            self.fused.rise(watermark.time)
        out.append(watermark)

    def due(self, watermark: int) -> int:
        if self._following is None or self.fused.rise is not None:
            return super().due(watermark)
        return self._following.due(watermark)

    def leads_to(self, step: Step[Any, Any]) -> None:
        self._following = step

    def resume(self, out: list[Signal[Any]]) -> None:
        result: list[Any] = []
        times: list[int] = []
        paused = self._paused
        self._work(
            lambda: paused.send((result.append, times.append, self.budget)), result, times, out
        )

    def on_end(self, out: list[Signal[Any]]) -> None:
        self._finish(0, out)

    def _finish(self, start: int, out: list[Signal[Any]]) -> None:
        """Give what the operators from `start` on still hold: their input has ended."""
        self._finishing = True
        result: list[Any] = []
        times: list[int] = []

        def begin() -> Any:
            return self.fused.finish(result.append, times.append, self.budget, start)

        self._work(begin, result, times, out)

    def _work(
        self,
        act: Callable[[], Any],
        result: list[Any],
        times: list[int],
        out: list[Signal[Any]],
    ) -> None:
        """Run one leg of the generated function; hand on what it gave, whatever happened."""
        paused, self._paused, self.busy = self._paused, None, False
        stopped: int | None = None
        try:
            outcome = act()
            if isinstance(outcome, GeneratorType):
                paused = outcome
                paused.send(None)
            elif paused is None:
                stopped = outcome
            if paused is not None:
                self._paused, self.busy = paused, True
        except StopIteration as end:
            if paused is None:
                raise
            stopped = end.value
        except Exception as error:
            self._annotate(error)
            raise
        finally:
            if result:
                self._last_meter.items_out += len(result)
                out.append(Chunk(result, times or None))
        if self.busy:
            return
        if stopped is not None:
            self._finish(stopped, out)
        elif self._finishing:
            self.done = True

    def _annotate(self, error: Exception) -> None:
        index = owner_of(error.__traceback__, self.fused.filename, self.fused.owners)
        if index is not None:
            annotate(error, self.operators[index][1])

    def close(self) -> None:
        # The paused function holds the inner iterables it is in the middle of.
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.close()

    def snapshot(self) -> dict[str, tuple[Any, ...]]:
        return {
            self.operators[index][1].name: tuple(
                [each.whole() if isinstance(each, Tracked) else each for each in state]
            )
            for index, state in self.fused.snapshot().items()
        }

    def changes(self) -> dict[str, tuple[Any, ...] | Changes]:
        states = self.fused.snapshot()
        return {self.operators[index][1].name: _changes(state) for index, state in states.items()}

    def restore(self, state: dict[str, tuple[Any, ...] | Kept]) -> None:
        indices = {context.name: index for index, (_, context) in enumerate(self.operators)}
        self.fused.restore({indices[name]: _copied(held) for name, held in state.items()})


def _changes(state: tuple[Any, ...]) -> tuple[Any, ...] | Changes:
    by_key = {str(place): each for place, each in enumerate(state) if isinstance(each, Tracked)}
    if not by_key:
        return state
    shared = tuple([None if isinstance(each, Tracked) else each for each in state])
    return Changes(shared, {name: each.freeze() for name, each in by_key.items()})


def _copied(held: tuple[Any, ...] | Kept) -> tuple[Any, ...]:
    if isinstance(held, Kept):
        shared = enumerate(held.shared)
        held = tuple([held.sections.get(str(place), each) for place, each in shared])
    return tuple(map(copy.copy, held))
