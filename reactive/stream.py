"""`Stream`: the immutable blueprint with the fluent API, assembled from the operator families."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from operators.arranging import Arranging
from operators.batching import Batching
from operators.combining import Combining
from operators.continuing import Continuing
from operators.enriching import Enriching
from operators.event_time import EventTime
from operators.filtering import Filtering
from operators.finding import Finding
from operators.flow import Flow
from operators.folding import Folding
from operators.grouping import Grouping
from operators.journaling import Journaling
from operators.keyed import Keyed
from operators.limiting import Limiting
from operators.mapping import Mapping
from operators.nesting import Nesting
from operators.pairing import Pairing
from operators.rescuing import Rescuing
from operators.reshaping import Reshaping
from operators.sharing import Sharing
from operators.sketching import Sketching
from operators.through import Extending
from operators.timing import Timing
from reactive.endpoint import Sink
from reactive.explain import Explanation, explain_jobs
from reactive.graph import Blueprint, Location, Node, caller_location
from reactive.operator import SideOperator
from reactive.plan import JobPlan
from reactive.run import OpenStream, collect, iterate, take_single

if TYPE_CHECKING:
    from reactive.checkpoint import Checkpoint
    from reactive.context import Mode, Settings

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Stream(
    Mapping[T_co],
    Reshaping[T_co],
    Nesting[T_co],
    Filtering[T_co],
    Limiting[T_co],
    Finding[T_co],
    Folding[T_co],
    Arranging[T_co],
    Sketching[T_co],
    Batching[T_co],
    Combining[T_co],
    Continuing[T_co],
    Pairing[T_co],
    Grouping[T_co],
    EventTime[T_co],
    Keyed[T_co],
    Enriching[T_co],
    Timing[T_co],
    Flow[T_co],
    Journaling[T_co],
    Rescuing[T_co],
    Sharing[T_co],
    Extending[T_co],
    Blueprint[T_co],
):
    """A description of items over time: immutable, reusable, and doing nothing by itself.

    Every method gives a new stream. It runs when it is iterated (`async for`, or
    `async with stream.open() as items`), awaited as a whole (`await stream.collect()`), or sent
    to a sink in a job (`rx.run(stream.to(sink))`), each time anew; runs are independent. Within
    one run every operator executes once, however often its stream is used.

    ```python
    squares = rx.range(5).map(lambda x: x * x)
    async for square in squares:
        print(square)
    ```
    """

    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[T_co]:
        """Run it in the consumer's own task.

        Leaving the loop early leaves the run open until the iterator is collected, with a
        `ResourceWarning`; use `open()` to have it closed at once.
        """
        return iterate(self._node)

    def open(
        self, settings: Settings | None = None, *, mode: Mode | None = None
    ) -> OpenStream[T_co]:
        """Run it for an `async with` block, which closes everything before it is left.

        `mode` is that of `Settings`: `"auto"`, `"stream"`, or `"batch"`, where a `PlanError` tells
        what never ends. Iterating or awaiting without `open` or `collect` is `"auto"`.

        ```python
        async with rx.interval(1).open() as ticks:
            async for tick in ticks:
                break
        ```
        """
        return OpenStream(self._node, settings, mode)

    async def collect(
        self, settings: Settings | None = None, *, mode: Mode | None = None
    ) -> list[T_co]:
        """Run it to its end and return all items; `mode` is as for `open`.

        ```python
        items = await rx.range(3).collect()
        ```
        """
        return await collect(self._node, settings, mode)

    def to(self, sink: Sink[T_co]) -> Job:
        """Send it to a sink: a job for `rx.run`, `rx.start` or the `reactive` command.

        Describes only. The sink's writer takes the items as they come and backpressures; when
        the stream completes the output is made final, when it fails it is discarded.

        ```python
        await rx.run(rx.of("a", "b").to(files.write_lines("letters.txt")))
        ```
        """
        if not isinstance(sink, Sink):
            raise TypeError(
                f"to() needs a sink, such as files.write_lines(path), not {sink!r}; "
                "for a function use memory.call(function)"
            )
        return Job(JobPlan(self._node, sink, caller_location()))

    def named(self, name: str) -> Stream[T_co]:
        """Give the operator that was added last a name, for metrics, errors and checkpoints.

        ```python
        rx.of("1").map(int).named("parse")
        ```
        """
        return self._renamed(name)

    def explain(self, settings: Settings | None = None, *, mode: Mode | None = None) -> Explanation:
        """The plan of running it: the mode and why, regions, what was fused, every bound and
        policy; what state is held, how large it may grow, and a warning where nothing bounds it.

        `print` it for text; `.mermaid()` gives a diagram.

        ```python
        print(rx.range(3).map(str).explain())
        ```
        """
        return explain_jobs([JobPlan(self._node)], settings, mode)

    def __repr__(self) -> str:
        parts: list[str] = []
        node: Node | None = self._node
        while node is not None and len(parts) < 12:
            details = ", ".join(f"{key}={value}" for key, value in node.operator.details().items())
            name = (
                node.operator.label if node.name is None else f"{node.name}: {node.operator.label}"
            )
            others = len(node.inputs) - 1
            with_others = f" with {others} other{'s' * (others > 1)}" if others > 0 else ""
            parts.append(f"{name}({details}){with_others}")
            node = node.inputs[0] if node.inputs else None
        if node is not None:
            parts.append("...")
        return f"<{type(self).__name__} {' | '.join(reversed(parts))}>"


class Single(Stream[T_co]):
    """A stream of exactly one item, which can be awaited: `total = await stream.sum()`."""

    __slots__ = ()

    def named(self, name: str) -> Single[T_co]:
        """As `Stream.named`; the result can be awaited still.

        ```python
        total = await rx.range(3).sum().named("total")
        ```
        """
        return Single(self._renamed(name).node)

    def __await__(self) -> Generator[Any, Any, T_co]:
        return take_single(self._node).__await__()


class SideOutput(Stream[T_co]):
    """Where operators send what leaves the main path: dead letters, discarded or late items.

    Give it to operators (`on_error=BAD`, `discarded=LOST`) and use it as a stream in the same
    run: `await rx.run(main.to(sink), BAD.to(other_sink))`. Several operators may feed one. It
    completes when they all have. In a run that does not read it, what is sent to it is counted
    and reported by a warning at the end.

    ```python
    BAD = rx.SideOutput[rx.DeadLetter[str]]("bad")
    numbers = rx.of("1", "x").map(int, on_error=BAD)
    ```
    """

    __slots__ = ()

    def __init__(self, name: str | Node) -> None:
        if isinstance(name, Node):
            super().__init__(name)
            return
        if not isinstance(name, str):
            raise TypeError(f"a side output's name is a string, not {name!r}")
        if not name:
            raise ValueError("a side output needs a name")
        super().__init__(Node(SideOperator(name), (), name, caller_location()))

    def named(self, name: str) -> NoReturn:
        """Refuses: a side output has the name it was made with, by which operators know it."""
        raise TypeError(f"a side output is named when it is made: rx.SideOutput({name!r})")


class Job:
    """A stream and the sink it goes to: what `rx.run`, `rx.start` and the command line run."""

    __slots__ = ("_planned",)

    def __init__(self, planned: JobPlan) -> None:
        self._planned = planned

    def __reduce__(self) -> tuple[Any, ...]:
        planned = self._planned
        parts: tuple[Any, ...] = Stream(planned.root), planned.sink, planned.location, planned.name
        return _restore_job, parts

    @property
    def planned(self) -> JobPlan:
        """What the planner is given."""
        return self._planned

    def named(self, name: str) -> Job:
        """Give the job a name, for metrics and messages."""
        planned = self._planned
        return Job(JobPlan(planned.root, planned.sink, planned.location, name))

    def explain(
        self,
        settings: Settings | None = None,
        *,
        mode: Mode | None = None,
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    ) -> Explanation:
        """The plan of running it; see `Stream.explain`. With `checkpoint`, as `rx.run` has it, that
        of a run that takes checkpoints, which is cut differently; no store is opened."""
        return explain_jobs([self._planned], settings, mode, checkpoint)

    def __repr__(self) -> str:
        sink = self._planned.sink
        return f"<Job {Stream(self._planned.root)!r} -> {sink.label if sink else 'caller'}>"


def _restore_job(
    stream: Stream[Any], sink: Sink[Any] | None, location: Location | None, name: str | None
) -> Job:
    return Job(JobPlan(stream.node, sink, location, name))


Blueprint.stream_class = Stream
Blueprint.single_class = Single
