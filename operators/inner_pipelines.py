"""Inner pipelines that are a source with operators one behind the other: most are. They are put
together within the region of the outer stream, without a plan and a run of their own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from operators.creating import items_at_hand
from operators.inner_loops import InnerLoop, inner_loop
from operators.reading import PolledReader, PolledSource
from reactive.chain import Chain, Fairness, FedChain
from reactive.channel import Waker
from reactive.context import Context, with_mode
from reactive.endpoint import Source
from reactive.fuse import annotate
from reactive.fused import FusedStep
from reactive.graph import Location, Node, walk
from reactive.operator import Inline, Operator, Puller, SourceOperator, Staged, Step, Stepwise
from reactive.plan import unique_names
from reactive.pullers import SourcePuller, StagePuller
from reactive.signals import Barrier, Chunk, Signal
from reactive.steps import Surroundings, make_steps

if TYPE_CHECKING:
    from reactive.metrics import Meter
    from reactive.region import Region

_SHAPES_KEPT = 64
_MOST_STAGES = 4
"""Stages are pulled within each other, and the call stack is bounded."""

Told: TypeAlias = list[tuple[Operator, Context]]
"""Operators, each with what it is told."""


class InnerPipelines:
    """Makes the pipelines of one operator's inner streams."""

    def __init__(self, context: Context, region: Region) -> None:
        self._context = context
        self._region = region
        self._fairness = region.execution.fairness
        self._surroundings = _Within(region)
        self._most = context.settings.chunk
        self._shapes: OrderedDict[Hashable, _Shape] = OrderedDict()
        self.loop: InnerLoop | None = None
        """What runs pipelines as the last one in one go, if it is known."""
        self._meters: dict[str, Meter] = {}

    def meter(self, name: str) -> Meter:
        """The counters of all inner operators of this name."""
        meter = self._meters.get(name)
        if meter is None:
            full = f"{self._context.name}/{name}"
            meter = self._meters[name] = self._region.execution.meter(full)
        return meter

    def context(self, name: str, location: Location | None) -> Context:
        """What an inner operator is told."""
        return replace(self._context, name=name, location=location, meter=self.meter(name))

    def find(self, root: Node) -> InnerPipeline | None:
        """What the pipeline is made of; None if it needs a plan."""
        operators: list[Any] = []
        key: list[object] = []
        node = root
        while True:
            operator = node.operator
            kind = type(operator)
            key += (kind, node.name, id(node.location))
            if kind.label is not Operator.label:
                key.append(operator.label)
            if not node.inputs:
                break
            operators.append(operator)
            node, *others = node.inputs
            if others:
                return None
        if not isinstance(operator, SourceOperator):
            return None
        source = operator.source
        ends = source.bounded
        key.append(ends)
        shape = self._shapes.get(tuple(key)) or self._new_shape(tuple(key), ends, root)
        if shape is None or (shape.needs_plan_without_end and not ends):
            return None
        self.loop = shape.loop
        operators.reverse()
        return InnerPipeline(root, source, ends, operators, shape)

    def _new_shape(self, key: Hashable, ends: bool, root: Node) -> _Shape | None:
        source, *nodes = walk([root])
        operators = [node.operator for node in nodes]
        if not all(map(_is_simple, operators)):
            return None
        if sum(isinstance(operator, Staged) for operator in operators) > _MOST_STAGES:
            return None
        names = unique_names([source, *nodes])
        contexts = [self.context(names[node], node.location) for node in (source, *nodes)]
        if not ends and self._context.batch:
            # As a plan of its own would: what may be endless runs as a stream.
            settings = with_mode(self._context.settings, "stream")
            contexts = [replace(context, settings=settings) for context in contexts]
        shape = self._shapes[key] = _Shape(contexts, operators)
        if len(self._shapes) > _SHAPES_KEPT:
            self._shapes.popitem(last=False)
        return shape

    def make(self, pipeline: InnerPipeline) -> Puller[Any]:
        """What runs the pipeline. Where all it needs is in memory, it is a `FedChain`, which has
        been fed."""
        shape = pipeline.shape
        told: Told = list(zip(pipeline.operators, shape.contexts, strict=True))
        puller: Puller[Any] | None = None
        start = 0
        for index in (*shape.stages, len(told)):
            if index > start or puller is None:
                steps = make_steps(told[start:index], _nothing_restored)
                if puller is None:
                    puller = self._head(pipeline, steps)
                elif steps:
                    puller = Chain(puller, steps, self._fairness, self._surroundings)
            if index < len(told):
                operator, context = told[index]
                assert isinstance(operator, Staged)
                stage = operator.stage(context)
                puller = StagePuller(stage, [puller], context, self._surroundings)
            start = index + 1
        assert puller is not None
        return puller

    def _head(
        self, pipeline: InnerPipeline, steps: Sequence[tuple[Step[Any, Any], str]]
    ) -> Puller[Any]:
        source, shape = pipeline.source, pipeline.shape
        feeds_a_loop = bool(steps) and isinstance(steps[0][0], FusedStep)
        items = items_at_hand(source)
        if items is not None and len(items) <= self._most:
            chain = FedChain(steps, self._fairness, self._surroundings, shape.slices)
            shape.source.meter.items_out += len(items)
            if items:
                # A fused loop goes over any sequence.
                chain.feed(Chunk(items if feeds_a_loop else list(items)))  # type: ignore[arg-type]
            chain.end()
            shape.look_for_a_loop(pipeline.root)
            return chain
        if isinstance(source, PolledSource) and not shape.stages:
            reader = source.reader(shape.source)
            return PolledChain(
                reader, shape.source, steps, self._fairness, self._surroundings, shape.slices
            )
        ends = pipeline.ends
        for operator in pipeline.operators:
            ends = operator.bounded([ends])
        head = _InnerSource(source, shape.source, self._region, told=not ends)
        if not steps:
            return head
        head.feeds_a_loop = feeds_a_loop
        return Chain(head, steps, self._fairness, self._surroundings)


class InnerPipeline:
    """A source and the operators behind it."""

    __slots__ = ("ends", "operators", "root", "shape", "source")

    def __init__(
        self, root: Node, source: Source[Any], ends: bool, operators: list[Any], shape: _Shape
    ) -> None:
        self.root = root
        self.source = source
        self.ends = ends
        self.operators = operators
        self.shape = shape


class PolledChain(FedChain):
    """Steps that are fed by a reader which can be asked what it has."""

    def __init__(
        self,
        reader: PolledReader[Any],
        context: Context,
        steps: Sequence[tuple[Step[Any, Any], str]],
        fairness: Fairness,
        region: Surroundings,
        slices: list[int],
    ) -> None:
        super().__init__(steps, fairness, region, slices)
        self._reader = reader
        self._context = context
        self._waker = Waker()
        self._over = False

    def begin(self, wake: Callable[[], None]) -> None:
        """Open the reader; `wake` is called when it may have something."""
        try:
            self._reader.begin(wake)
        except Exception as error:
            annotate(error, self._context)
            raise

    def poll(self, most: int) -> Signal[Any] | None:
        """The next signal that came through, after a piece of work if there is none."""
        self.waits = False
        if self.at_rest and not self._over:
            self._ask()
        return super().poll(most)

    def _ask(self) -> None:
        try:
            signal = self._reader.poll(self._context.settings.chunk)
        except Exception as error:
            annotate(error, self._context)
            self._over = True
            self.end(error)
            return
        if signal is not None:
            if type(signal) is Chunk:
                self._context.meter.items_out += len(signal.items)
            self.feed(signal)
        elif self._reader.ended:
            self._over = True
            self.end()
        else:
            self.waits = True

    async def open(self) -> None:
        """Open the reader."""
        self.begin(self._waker.wake)

    async def read(self) -> Signal[Any] | None:
        """The next signal that came through; None at the end."""
        while (signal := await super().read()) is None and not self.ended:
            await self._waker.wait()
        return signal

    def release(self) -> None:
        """Close the steps and the reader at once."""
        try:
            super().release()
        finally:
            self._reader.finish()


class _Shape:
    """The operators of a pipeline, as far as they are not anew each time: what they are told, and
    how many items each step gets at once, as the last one learned."""

    def __init__(self, contexts: list[Context], operators: Sequence[Operator]) -> None:
        self.source, *self.contexts = self._all = contexts
        self.slices: list[int] = []
        self.stages = [
            index for index, operator in enumerate(operators) if isinstance(operator, Staged)
        ]
        self.needs_plan_without_end = any(
            operator.vouches or type(operator).without_end is not Operator.without_end
            for operator in operators
        )
        self.loop: InnerLoop | None = None
        self._may_loop = bool(operators) and all(isinstance(each, Inline) for each in operators)

    def look_for_a_loop(self, root: Node) -> None:
        """See whether operators that fuse, and were generated by now, need no chain."""
        if self._may_loop:
            self._may_loop = False
            self.loop = inner_loop([*walk([root])], self._all, self.slices)


def _is_simple(operator: Operator) -> bool:
    """Whether it can be run behind any input, without an edge between them."""
    if isinstance(operator, Staged):
        return operator.simple
    if type(operator).nested is not Operator.nested:
        return False
    return isinstance(operator, Inline) or (isinstance(operator, Stepwise) and not operator.timed)


def _nothing_restored(name: str, restore: Callable[[Any], None]) -> None:
    return None


class _Within:
    """The region of the outer stream, for what runs inner ones: at a barrier none of them is under
    way, so there is nothing to keep."""

    keeps = False
    keeps_changes = False

    def __init__(self, region: Region) -> None:
        self._region = region
        self.state = ""

    @property
    def unsent(self) -> bool:
        return self._region.unsent

    def keep(self, barrier: Barrier, states: Mapping[str, Any]) -> None:
        """Nothing of an inner stream is kept."""

    async def flush(self) -> None:
        await self._region.flush()


class _InnerSource(SourcePuller):
    """A source of an inner stream, in the region of the outer one. If `told`, a drain asks it to
    take no more."""

    def __init__(
        self, source: Source[Any], context: Context, region: Region, *, told: bool
    ) -> None:
        super().__init__(source, context, region)
        self._told = told

    async def open(self) -> None:
        if self._told:
            self._region.sources[self] = None
            if self._region.execution.stopping:
                self.stop()
        await super().open()

    async def close(self) -> None:
        self._region.sources.pop(self, None)
        await super().close()
