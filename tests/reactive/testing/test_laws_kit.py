"""The laws catch operators that break them: one wrong operator for each way to be wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import reactive as rx
from reactive.chain import Edge
from reactive.graph import stream_of
from reactive.operator import Operator, Stage, Staged, Step, Stepwise
from reactive.testing import LawBroken, LeakError, check_laws

LAWS = [
    "chunking",
    "signals",
    "lateness",
    "cancelling",
    "backpressure",
    "reuse",
    "pickling",
    "snapshot",
]


def breaks(law: str, operator: Callable[[], Operator], complaint: str, **options: Any) -> None:
    """The operator breaks this law, and is caught at it."""
    with pytest.raises((LawBroken, LeakError), match=complaint):
        check_laws(
            lambda stream: stream_of(operator(), stream),
            range(6),
            skip=[other for other in LAWS if other != law],  # type: ignore[misc]
            **options,
        )


@dataclass(frozen=True)
class Steps(Stepwise):
    make: Callable[[], Step[Any, Any]]

    def step(self, context: rx.Context) -> Step[Any, Any]:
        return self.make()


@dataclass(frozen=True)
class Stages(Staged):
    make: Callable[[], Stage[Any]]

    def stage(self, context: rx.Context) -> Stage[Any]:
        return self.make()


class Passing(Step[Any, Any]):
    def on_chunk(self, chunk: rx.Chunk[Any], out: list[Any]) -> None:
        out.append(chunk)


class Forwarding(Stage[Any]):
    @property
    def edge(self) -> Edge:
        edge = self.inputs[0]
        assert isinstance(edge, Edge)
        return edge

    async def read(self) -> Any:
        return await self.edge.read()


@pytest.mark.parametrize("operator", [Steps(Passing), Stages(Forwarding)])
def test_operators_that_pass_everything_on_keep_them_all(operator: Operator) -> None:
    check_laws(lambda stream: stream_of(operator, stream), range(6), examples=10)


def test_giving_the_size_of_chunks() -> None:
    class Sizes(Passing):
        def on_chunk(self, chunk: rx.Chunk[Any], out: list[Any]) -> None:
            out.append(rx.Chunk([len(chunk)]))

    breaks("chunking", lambda: Steps(Sizes), "depends on how the input was cut")


def test_losing_times_of_long_chunks() -> None:
    class Short(Passing):
        def on_chunk(self, chunk: rx.Chunk[Any], out: list[Any]) -> None:
            out.append(rx.Chunk(chunk.items, chunk.times and chunk.times[:1]))

    breaks("chunking", lambda: Steps(Short), "came out with 1 times", examples=50)


def test_losing_a_control_signal() -> None:
    class Deaf(Forwarding):
        async def read(self) -> Any:
            while (signal := await super().read()) is not None:
                if not isinstance(signal, rx.Barrier):
                    return signal
            return None

    breaks("signals", lambda: Stages(Deaf), "did not all come out")


def test_giving_a_control_signal_too_late() -> None:
    class Swapping(Forwarding):
        def __init__(self) -> None:
            self.held: Any = None

        async def read(self) -> Any:
            if self.held is not None:
                held, self.held = self.held, None
                return held
            signal = await super().read()
            if isinstance(signal, rx.Barrier):
                self.held = signal
                following = await super().read()
                if following is None:
                    self.held = None
                    return signal
                return following
            return signal

    breaks("signals", lambda: Stages(Swapping), "did not all come out|depends on", examples=100)


def test_holding_items_past_a_watermark() -> None:
    class Holding(Passing):
        def __init__(self) -> None:
            self.held: list[rx.Chunk[Any]] = []

        def on_chunk(self, chunk: rx.Chunk[Any], out: list[Any]) -> None:
            self.held.append(chunk)

        def on_end(self, out: list[Any]) -> None:
            out += self.held

    breaks("lateness", lambda: Steps(Holding), "earlier than the watermark", examples=100)


def test_leaving_a_task_behind() -> None:
    class Leaving(Forwarding):
        async def open(self) -> None:
            self.task = asyncio.create_task(asyncio.sleep(60), name="left behind")

    breaks("cancelling", lambda: Stages(Leaving), "before these tasks ended: left behind")


def test_leaving_a_thread_behind() -> None:
    release = threading.Event()
    threads: list[threading.Thread] = []

    class Leaving(Forwarding):
        async def open(self) -> None:
            threads.append(threading.Thread(target=release.wait, name="left behind"))
            threads[-1].start()

    try:
        breaks("cancelling", lambda: Stages(Leaving), "thread 'left behind'")
    finally:
        release.set()
        for thread in threads:
            thread.join()


def test_swallowing_the_cancellation() -> None:
    class Swallowing(Forwarding):
        async def read(self) -> Any:
            try:
                return await super().read()
            except asyncio.CancelledError:
                return None

    breaks("cancelling", lambda: Stages(Swallowing), "swallowed the cancellation")


def test_raising_something_else_when_cancelled() -> None:
    class Raising(Forwarding):
        async def read(self) -> Any:
            try:
                return await super().read()
            except asyncio.CancelledError:
                raise LookupError("instead") from None

    breaks("cancelling", lambda: Stages(Raising), r"it raised LookupError\('instead'\)")


def test_taking_in_all_it_can_get() -> None:
    class Hoarding(Forwarding):
        def __init__(self) -> None:
            self.held: list[Any] = []
            self.task: asyncio.Task[None] | None = None
            self.arrived = asyncio.Event()

        async def hoard(self) -> None:
            while (signal := await self.edge.read()) is not None:
                self.held.append(signal)
                self.arrived.set()
            self.held.append(None)
            self.arrived.set()

        async def open(self) -> None:
            self.task = asyncio.create_task(self.hoard())

        async def read(self) -> Any:
            while not self.held:
                self.arrived.clear()
                await self.arrived.wait()
            return self.held.pop(0)

        async def close(self) -> None:
            assert self.task is not None
            self.task.cancel()
            await asyncio.wait([self.task])

    breaks("backpressure", lambda: Stages(Hoarding), "declare it with readahead=")
    check_laws(
        lambda stream: stream_of(Stages(Hoarding), stream),
        range(6),
        readahead=120,
        skip=["pickling"],
    )


def test_keeping_state_in_the_blueprint() -> None:
    @dataclass(frozen=True)
    class Remembering(Stepwise):
        seen: list[Any] = field(default_factory=list)

        def step(self, context: rx.Context) -> Step[Any, Any]:
            seen = self.seen

            class First(Passing):
                def on_chunk(self, chunk: rx.Chunk[Any], out: list[Any]) -> None:
                    fresh = [item for item in chunk.items if item not in seen]
                    seen.extend(fresh)
                    if fresh:
                        out.append(rx.Chunk(fresh))

            return First()

    breaks("reuse", Remembering, "runs of the same stream differ")


def test_a_blueprint_that_does_not_pickle() -> None:
    lock = threading.Lock()
    with pytest.raises(LawBroken, match="does not pickle: TypeError"):
        check_laws(lambda stream: stream.tap(lambda _: lock.locked()), range(3))


def test_forgetting_state_in_a_snapshot() -> None:
    class Counting(Passing):
        def __init__(self) -> None:
            self.count = 0

        def on_chunk(self, chunk: rx.Chunk[Any], out: list[Any]) -> None:
            self.count += len(chunk)
            out.append(rx.Chunk([self.count - len(chunk) + place for place in range(len(chunk))]))

    class Saving(Counting):
        def snapshot(self) -> Any:
            return self.count

        def restore(self, state: Any) -> None:
            self.count = state

    breaks("snapshot", lambda: Steps(Counting), "goes on differently", examples=50)
    check_laws(
        lambda stream: stream_of(Steps(Saving), stream), range(6), skip=["chunking", "pickling"]
    )


def test_a_snapshot_that_is_not_a_copy() -> None:
    class Sharing(Passing):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_chunk(self, chunk: rx.Chunk[Any], out: list[Any]) -> None:
            for item in chunk.items:
                self.seen.append(item)
                out.append(rx.Chunk([len(self.seen)]))

        def snapshot(self) -> Any:
            return self.seen

        def restore(self, state: Any) -> None:
            self.seen = state

    breaks("snapshot", lambda: Steps(Sharing), "goes on differently", examples=50)


def test_not_ending() -> None:
    class Endless(Forwarding):
        async def read(self) -> Any:
            signal = await super().read()
            return signal if signal is not None else await self.forever()

        async def forever(self) -> Any:
            await asyncio.Event().wait()

    with pytest.raises(AssertionError, match=r"did not end in (.|\n)*waits in .*Endless\.forever"):
        check_laws(lambda stream: stream_of(Stages(Endless), stream), range(3))


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="there is no 'chunks'"):
        check_laws(lambda stream: stream, [1], skip=["chunks"])  # type: ignore[list-item]


async def test_an_async_test_is_refused() -> None:
    with pytest.raises(RuntimeError, match="not async"):
        check_laws(lambda stream: stream, [1])


def test_the_fixture(laws: Callable[..., None]) -> None:
    laws(lambda stream: stream.map(str), range(3), examples=5)
    with pytest.raises(LawBroken):
        laws(lambda stream: stream_of(Stages(Sleeping), stream), range(3), examples=5)


class Sleeping(Forwarding):
    async def read(self) -> Any:
        await asyncio.Event().wait()
