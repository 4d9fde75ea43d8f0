"""The sketches behind `operators/sketching.py`: those of Apache DataSketches, as stages.

A stage, since the library is imported when the run starts, which takes too long for the loop.
"""

from __future__ import annotations

import math
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from reactive.chain import let_others_run
from reactive.errors import EmptyStreamError
from reactive.extras import load_extra
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.operator import Stage, Staged
from reactive.signals import Chunk, Signal, Watermark

if TYPE_CHECKING:
    from reactive.context import Context

_ITEMS_BETWEEN_LOOKS = 64


class Sketch(ABC):
    """A sketch in one run."""

    update: Callable[[Any], object]
    """Takes an item."""

    @abstractmethod
    def result(self) -> Any:
        """What the fold gives."""

    @abstractmethod
    def dump(self) -> bytes:
        """The sketch in its own serialization."""


@dataclass(frozen=True)
class _Sketched(Staged, ABC):
    concurrent: ClassVar[bool] = False

    error: float

    def details(self) -> dict[str, object]:
        return {"error": f"{self.error:g}"}

    @abstractmethod
    def sketch(self, library: Any, saved: bytes | None) -> Sketch:
        """A new sketch, or the one that was saved."""

    def stage(self, context: Context) -> Stage[Any]:
        return _SketchStage(self, context)


class _SketchStage(Stage[Any]):
    def __init__(self, operator: _Sketched, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._saved: bytes | None = None
        self._time: int | None = None
        self._passed: int | None = None
        self._ended = False

    async def open(self) -> None:
        library = await load_extra("datasketches", "sketches", self._context.where())
        self._sketch = self._operator.sketch(library, self._saved)
        await self.inputs[0].open()

    async def read(self) -> Signal[Any] | None:
        if self._ended:
            return None
        while (signal := await self.inputs[0].read()) is not None:
            if type(signal) is not Chunk:
                if type(signal) is Watermark:
                    self._passed = signal.time
                return signal
            await self._take(signal)
        self._ended = True
        try:
            result = self._sketch.result()
        except Exception as error:
            annotate(error, self._context)
            raise
        times = [time for time in (self._time, self._passed) if time is not None]
        return Chunk([result], [max(times)] if times else None)

    async def _take(self, chunk: Chunk[Any]) -> None:
        update, items = self._sketch.update, chunk.items
        self._context.meter.items_in += len(items)
        for start in range(0, len(items), _ITEMS_BETWEEN_LOOKS):
            try:
                for item in items[start : start + _ITEMS_BETWEEN_LOOKS]:
                    update(item)
            except Exception as error:
                annotate(error, self._context)
                raise
            if self._context.overdue():
                await let_others_run()
        self._time = None if chunk.times is None else chunk.times[-1]

    def snapshot(self) -> Any:
        return self._sketch.dump(), self._time, self._passed

    def restore(self, state: Any) -> None:
        self._saved, self._time, self._passed = state


@dataclass(frozen=True)
class ApproximateDistinctCount(_Sketched):
    """`approximate_distinct_count`: HyperLogLog, whose relative standard error, with the estimator
    by historic inverse probability that this library has, is sqrt(ln 2) / sqrt(k) for k = 2 ** n
    cells."""

    def sketch(self, library: Any, saved: bytes | None) -> Sketch:
        if saved is not None:
            return _DistinctSketch(library.hll_sketch.deserialize(saved))
        cells = math.log(2) / self.error**2
        return _DistinctSketch(library.hll_sketch(max(7, math.ceil(math.log2(cells)))))


class _DistinctSketch(Sketch):
    def __init__(self, sketch: Any) -> None:
        self._sketch = sketch
        self._update = sketch.update

    def update(self, item: Any) -> None:
        self._update(item if type(item) is str and item else _told_apart(item))

    def result(self) -> int:
        count: int = round(self._sketch.get_estimate())
        return count

    def dump(self) -> bytes:
        saved: bytes = self._sketch.serialize_updatable()
        return saved


_LARGE = 1 << 63


def _told_apart(item: Any) -> int | float | str:
    """What the sketch takes for an item, the same for what is equal in Python: it would tell 1
    from 1.0, take large whole numbers for fractions, and leave out empty text."""
    if isinstance(item, str):
        return str(item) or "\0text"
    if isinstance(item, float):
        if not item.is_integer():
            return item
        item = int(item)
    if isinstance(item, int):
        return int(item) if -_LARGE <= item < _LARGE else f"\0number {item}"
    if isinstance(item, bytes):
        return f"\0bytes {item.decode('latin-1')}"
    raise TypeError(
        f"approximate_distinct_count takes text, numbers and bytes, not {type(item).__name__} "
        f"{item!r}; map the items to one of these first, by a field or with repr"
    )


@dataclass(frozen=True)
class ApproximateQuantiles(_Sketched):
    """`approximate_quantiles`: the sketch of Karnin, Lang and Liberty, "Optimal quantile
    approximation in streams" (2016), whose error in rank, as the library has measured it at 99 %
    confidence, is 2.296 / k ** 0.9723."""

    ranks: tuple[float, ...]

    def sketch(self, library: Any, saved: bytes | None) -> Sketch:
        kind = library.kll_items_sketch
        serde = _serialization(library)
        if saved is not None:
            return _QuantilesSketch(kind.deserialize(saved, serde), serde, self.ranks)
        size = math.ceil((2.296 / self.error) ** (1 / 0.9723))
        return _QuantilesSketch(kind(max(8, size)), serde, self.ranks)


class _QuantilesSketch(Sketch):
    def __init__(self, sketch: Any, serde: Any, ranks: tuple[float, ...]) -> None:
        self._sketch = sketch
        self._update = sketch.update
        self._serde = serde
        self._ranks = ranks

    def update(self, item: Any) -> None:
        if item != item:
            raise ValueError(f"{item!r} has no rank among the others; filter it out first")
        self._update(item)

    def result(self) -> list[Any]:
        if self._sketch.is_empty():
            raise EmptyStreamError(
                "approximate_quantiles needs at least one item and the stream had none"
            )
        return [self._quantile(rank) for rank in self._ranks]

    def _quantile(self, rank: float) -> Any:
        # The extremes are known exactly, but not to this method of the library.
        if rank == 0:
            return self._sketch.get_min_value()
        if rank == 1:
            return self._sketch.get_max_value()
        return self._sketch.get_quantile(rank, inclusive=True)

    def dump(self) -> bytes:
        saved: bytes = self._sketch.serialize(self._serde)
        return saved


@dataclass(frozen=True)
class HeavyHitters(_Sketched):
    """`heavy_hitters`: Misra and Gries' frequent items, as Anderson and others improved them ("A
    high-performance algorithm for identifying frequent items in data streams", 2017), whose error
    is a share of 3.5 / 2 ** n of all for 2 ** n places."""

    share: float

    def details(self) -> dict[str, object]:
        return {"share": f"{self.share:g}", **super().details()}

    def sketch(self, library: Any, saved: bytes | None) -> Sketch:
        kind = library.frequent_items_sketch
        serde = _serialization(library)
        if saved is not None:
            return _FrequentSketch(kind.deserialize(saved, serde), serde, self.share, library)
        size = max(3, math.ceil(math.log2(3.5 / self.error)))
        return _FrequentSketch(kind(size), serde, self.share, library)


class _FrequentSketch(Sketch):
    def __init__(self, sketch: Any, serde: Any, share: float, library: Any) -> None:
        self._sketch = sketch
        self._serde = serde
        self._share = share
        self._kind = library.frequent_items_error_type.NO_FALSE_NEGATIVES
        self.update = sketch.update

    def result(self) -> list[tuple[Any, int]]:
        # The sketch gives what may be above a threshold, and at it is enough.
        threshold = math.ceil(self._share * self._sketch.total_weight) - 1
        rows = self._sketch.get_frequent_items(self._kind, max(0, threshold))
        counted = [(item, count) for item, count, _, _ in rows]
        return sorted(counted, key=lambda row: row[1], reverse=True)

    def dump(self) -> bytes:
        saved: bytes = self._sketch.serialize(self._serde)
        return saved


def _serialization(library: Any) -> Any:
    """How the library saves the items that a sketch holds: each pickled, behind its length."""

    class Pickled(library.PyObjectSerDe):  # type: ignore[misc]
        def get_size(self, item: Any) -> int:
            return len(self.to_bytes(item))

        def to_bytes(self, item: Any) -> bytes:
            pickled = pickle.dumps(item)
            return len(pickled).to_bytes(8, "little") + pickled

        def from_bytes(self, data: bytes, offset: int) -> tuple[Any, int]:
            start = offset + 8
            length = int.from_bytes(data[offset:start], "little")
            return pickle.loads(data[start : start + length]), 8 + length

    return Pickled()
