"""Interrupts a pipeline at every step, in every way, and looks at what is left: for the laws."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from reactive.run import run as run_jobs
from reactive.testing.leaks import check_leaks
from reactive.testing.observing import LawBroken, Outcome, Script
from reactive.testing.probes import Probe, SinkProbe
from reactive.testing.scripts import scripted_source
from reactive.testing.sources import stubborn_source
from reactive.testing.virtual_time import VirtualTimeLoop, run

if TYPE_CHECKING:
    from reactive.stream import Stream

_MOST_ROUNDS = 60
_STUBBORN_SECONDS = 5.0
_QUIET_SECONDS = 10.0


class Interruptions:
    """The ways to interrupt one pipeline, each run on a virtual-time loop of its own."""

    def __init__(
        self,
        build: Callable[[Stream[Any]], Stream[Any]],
        items: tuple[Any, ...],
        reference: Outcome,
        same: Callable[[Sequence[Any], Sequence[Any]], bool],
    ) -> None:
        self._build = build
        self._items = items
        self._reference = reference
        self._same = same

    def check(self) -> None:
        """Whatever interrupts it and when, everything is closed, once, before control returns."""
        for way in (self._collected, self._sent):
            rounds = run(self._interrupt(way, None))
            for number in _picks(rounds):
                run(self._interrupt(way, number))
        for count in range(len(self._reference.values) + 1):
            run(self._left_after(count))
        run(self._stubborn())

    async def _interrupt(
        self,
        way: Callable[[Stream[Any], SinkProbe[Any]], Coroutine[Any, Any, None]],
        number: int | None,
    ) -> int:
        """Run it one way and cancel it at a round of the loop; returns how many it took."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        probe, sink = Probe(scripted_source(Script(self._items).steps([2]))), SinkProbe[Any]()
        async with check_leaks():
            begun = loop.rounds
            task = loop.create_task(way(self._build(probe.stream), sink))
            if number is not None:
                loop.at_round(begun + number, task.cancel)
            await asyncio.wait([task])
            rounds = loop.rounds - begun
            self._check_closed(f"cancelled at step {number}" if number else "run", probe, sink)
            if task.cancelled():
                if number is None:
                    raise LawBroken("cancelling: it cancelled itself")
                return rounds
            self._check_end(task.exception(), sink, f"cancelled at step {number}")
        return rounds

    def _check_end(self, error: BaseException | None, sink: SinkProbe[Any], when: str) -> None:
        """It ended by itself, or too soon to be cancelled: as it does undisturbed."""
        if error is not None:
            if self._reference.error is None or not isinstance(error, self._reference.error[0]):
                raise LawBroken(f"cancelling: {when}, it raised {error!r}") from error
        elif not self._same(sink.items, self._reference.values):
            raise LawBroken(
                f"cancelling: {when}, it swallowed the cancellation and ended with {sink.items}"
            )

    def _check_closed(self, when: str, probe: Probe[Any], sink: SinkProbe[Any]) -> None:
        """Nothing of the run is left at the very moment at which control returned."""
        for watched in (probe, sink):
            try:
                watched.check()
            except AssertionError as error:
                raise LawBroken(f"cancelling: {when}: {error}") from error
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            names = ", ".join(sorted(task.get_name() for task in tasks))
            raise LawBroken(f"cancelling: {when}, it returned before these tasks ended: {names}")

    async def _collected(self, stream: Stream[Any], sink: SinkProbe[Any]) -> None:
        sink.items += await stream.collect(mode="stream")

    async def _sent(self, stream: Stream[Any], sink: SinkProbe[Any]) -> None:
        await run_jobs(stream.to(sink.sink), mode="stream")

    async def _left_after(self, count: int) -> None:
        """Take some items and leave."""
        probe = Probe(scripted_source(Script(self._items).steps([2])))
        async with check_leaks():
            async with self._build(probe.stream).open(mode="stream") as items:
                for _ in range(count):
                    await anext(items)
            self._check_closed(f"left after {count} items", probe, SinkProbe())

    async def _stubborn(self) -> None:
        """Cancel it while it waits for a source that is slow to stop."""
        probe = Probe(stubborn_source(self._items, _STUBBORN_SECONDS))
        async with check_leaks():
            stream = self._build(probe.stream)
            task = asyncio.get_running_loop().create_task(stream.collect(mode="stream"))
            await asyncio.sleep(_QUIET_SECONDS)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._check_closed("cancelled while its source was slow to stop", probe, SinkProbe())


def _picks(rounds: int) -> list[int]:
    """Every round, or, of very many, the first and the last and some between."""
    if rounds <= _MOST_ROUNDS:
        return list(range(1, rounds + 1))
    third = _MOST_ROUNDS // 3
    between = range(third, rounds - third, max(1, (rounds - 2 * third) // third))
    return sorted({*range(1, third + 1), *between, *range(rounds - third, rounds + 1)})
