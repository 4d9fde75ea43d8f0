"""nesting: streams made of each item, run inside the pipeline."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from operators.asynchronous import check_concurrency
from operators.checking import MISSING, check_plain
from operators.grouping import live_groups
from operators.inner import InnerStream, InnerStreams, inner_streams, timed
from operators.inner_iterables import InnerIterable
from operators.inner_progress import Progress
from operators.inner_tasks import ExhaustMapStage, MergeMapStage, SwitchMapStage
from reactive.chain import let_others_run
from reactive.fast_dataclasses import dataclass
from reactive.graph import Blueprint
from reactive.operator import Stage, Staged
from reactive.signals import Barrier, Chunk, Signal
from reactive.tasks import uninterrupted

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)

_CONCURRENCY = 16


@dataclass(frozen=True)
class _Nested(Staged):
    fn: Callable[[Any], Any] | None
    """None where the items are the inner streams themselves."""

    title: str

    @property
    def label(self) -> str:
        return self.title

    def bounded(self, inputs: Sequence[bool]) -> bool:
        # Nothing tells what the function will make.
        return False


@dataclass(frozen=True)
class ConcatMap(_Nested):
    """`concat_map` and `concat_all`."""

    concurrent: ClassVar[bool] = False

    def stage(self, context: Context) -> Stage[Any]:
        return _ConcatMapStage(self.fn, context)


class _ConcatMapStage(Stage[Any]):
    """Pulls the outer stream and one inner stream at a time, all in its region's task."""

    def __init__(self, fn: Callable[[Any], Any] | None, context: Context) -> None:
        self._context = context
        self._ready: deque[Signal[Any]] = deque()
        self._progress = Progress(self._ready.append, sequential=True)
        self._streams = InnerStreams(fn, context, self._ready.append, self._progress)
        self._items: deque[InnerStream] = deque()
        self._failure: Exception | None = None
        self._inner: InnerStream | None = None
        self._opened = False

    async def open(self) -> None:
        await self.inputs[0].open()

    async def read(self) -> Signal[Any] | None:
        context, streams, region = self._context, self._streams, self._streams.region
        while True:
            if self._ready:
                return self._ready.popleft()
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            inner = self._inner
            if inner is not None:
                chunk = self._at_once(inner)
                if chunk is None and self._inner is not None:
                    chunk = await self._read_inner(inner)
                if region.unsent:
                    await region.flush()
                if chunk is not None:
                    # Who takes it looks whether to let others run.
                    return chunk
            elif self._items:
                self._begin()
                if region.unsent:
                    await region.flush()
                if not streams.overdue:
                    continue
            else:
                signal = await self.inputs[0].read()
                if signal is None or type(signal) is Barrier:
                    return signal
                if type(signal) is Chunk:
                    context.meter.items_in += len(signal.items)
                    self._items.extend(inner_streams(signal))
                    self._progress.outer_gave_items(signal.times is not None)
                else:
                    self._progress.outer_gave(signal)
            if streams.overdue or context.overdue():
                streams.overdue = False
                await let_others_run()

    def _begin(self) -> None:
        """Go on to the next inner stream that has to be waited for."""
        self._opened = False
        try:
            self._inner = self._streams.take(self._items, self._context.settings.chunk)
        except Exception as error:
            # What came before it goes first.
            self._failure = error

    def _at_once(self, inner: InnerStream) -> Chunk[Any] | None:
        """What an inner stream gives without waiting, if it is of a kind that tells."""
        iterable = inner.puller
        if type(iterable) is not InnerIterable:
            return None
        item = iterable.at_once()
        if item is not MISSING:
            self._progress.inner_gave_items(inner)
            return Chunk([item], None if inner.time is None else [inner.time])
        if iterable.is_closed:
            self._inner = None
        return None

    async def _read_inner(self, inner: InnerStream) -> Chunk[Any] | None:
        puller = inner.puller
        assert puller is not None
        if not self._opened:
            self._opened = True
            await puller.open()
        signal = await puller.read()
        if type(signal) is Chunk:
            self._progress.inner_gave_items(inner)
            return timed(signal, inner.time)
        if signal is None:
            self._inner = None
            await uninterrupted(puller.close())
            self._progress.ended(inner)
        elif type(signal) is not Barrier:
            self._progress.inner_gave(inner, signal)
        return None

    async def close(self) -> None:
        inner, self._inner = self._inner, None
        if inner is not None and inner.puller is not None:
            await inner.puller.close()

    def snapshot(self) -> Any:
        return self._progress.snapshot()

    def restore(self, state: Any) -> None:
        self._progress.restore(state)


@dataclass(frozen=True)
class MergeMap(_Nested):
    """`merge_map` and `merge_all`."""

    concurrency: int

    def details(self) -> dict[str, object]:
        return {"concurrency": self.concurrency}

    def edge_limit(self) -> int | None:
        return self.concurrency

    def stage(self, context: Context) -> Stage[Any]:
        return MergeMapStage(self.fn, self.concurrency, context)


@dataclass(frozen=True)
class SwitchMap(_Nested):
    """`switch_map` and `switch`."""

    def stage(self, context: Context) -> Stage[Any]:
        return SwitchMapStage(self.fn, context)


@dataclass(frozen=True)
class ExhaustMap(_Nested):
    """`exhaust_map`."""

    def stage(self, context: Context) -> Stage[Any]:
        return ExhaustMapStage(self.fn, context)


class Nesting(Blueprint[T_co]):
    """concat_map, merge_map, switch_map, exhaust_map, concat_all, merge_all, switch.

    What holds for all of them: an inner stream is a `Stream` or any async iterable, run within
    the run and closed as soon as it ends, fails or is left. Its items keep their event times;
    without, they have that of the outer item. A watermark of the outer stream is held back while
    inner streams of earlier items run; those that give watermarks of their own hold it back only
    as far as they are behind. Inner streams that wait for nothing (`rx.of`, a list, plain functions
    over them) are run on the spot, and what they give leaves together, as far as a chunk and the
    fairness to the loop allow. A failure of `fn` or of an inner stream fails the stream and closes
    the others. `run.stop(drain=True)` lets inner streams that are known to end do so, and asks the
    sources of others (generators too) to take no more.
    """

    __slots__ = ()

    def concat_map(self, fn: Callable[[T_co], AsyncIterable[U]]) -> Stream[U]:
        """Give all items of the stream that `fn` makes of each item, one stream after the other.

        ```text
        a-b------------|
        concat_map(lambda x: rx.interval(3).take(2).map(lambda n: f"{x}{n}"))
        ---a0-a1-b0-b1-|
        ```

        Emits what the current inner stream gives. Backpressures while it runs: the next item is
        taken, and `fn` called, when it has ended and was closed; where Rx would queue items
        without bound, upstream waits, and so does its failure (Rx fails at once). Completes when
        upstream and the last inner stream have.
        Loses nothing. A checkpoint waits for the inner streams of the items before it.
        `TypeError` when `fn` is async, or gives no stream: for lists use `flat_map`.

        ```python
        rx.of(1, 2).concat_map(lambda x: rx.of(x, x * 10))
        ```
        """
        check_plain("concat_map", fn)
        return self._then(ConcatMap(fn, "concat_map"))

    def concat_all(self: Nesting[AsyncIterable[U]]) -> Stream[U]:
        """Give all items of each stream of a stream of streams, one stream after the other.

        ```text
        a-b------------|
        map(lambda x: rx.interval(3).take(2).map(lambda n: f"{x}{n}")).concat_all()
        ---a0-a1-b0-b1-|
        ```

        Emits, backpressures and completes as `concat_map`. Loses nothing.

        ```python
        rx.of(rx.of(1, 2), rx.of(3)).concat_all()
        ```
        """
        return self._then(ConcatMap(None, "concat_all"))

    def merge_map(
        self, fn: Callable[[T_co], AsyncIterable[U]], concurrency: int | None = None
    ) -> Stream[U]:
        """Give the items of the streams that `fn` makes of each item, several streams at once.

        ```text
        a-b---------|
        merge_map(lambda x: rx.interval(4).take(2).map(lambda n: f"{x}{n}"))
        ----a0b0a1b1|
        ```

        Runs up to `concurrency` inner streams at a time, each within one task: 16 by default, and
        for the groups of `group_by` as many as may be live. Emits what any of them gives, as it
        comes; each keeps its order. Backpressures upstream while all slots are taken, where Rx
        would start or queue without bound, and the inner streams when downstream does: they run
        ahead by an edge's limit (1,024 items) together. A failure of upstream comes after the items
        before it have begun (Rx fails at once). Completes when upstream and all inner
        streams have. Loses nothing. A checkpoint waits for the inner streams of the items before
        it. `TypeError` when `fn` is async, or gives no stream: for lists use `flat_map`;
        `ValueError` for a concurrency below 1.

        ```python
        rx.of(1, 2).merge_map(lambda x: rx.interval(0.1).map(lambda n: (x, n)).take(3))
        ```
        """
        check_plain("merge_map", fn)
        return self._then(MergeMap(fn, "merge_map", self._concurrency(concurrency)))

    def merge_all(self: Nesting[AsyncIterable[U]], concurrency: int | None = None) -> Stream[U]:
        """Give the items of the streams of a stream of streams, several streams at once.

        ```text
        a-b---------|
        map(lambda x: rx.interval(4).take(2).map(lambda n: f"{x}{n}")).merge_all()
        ----a0b0a1b1|
        ```

        Emits, backpressures and completes as `merge_map`. Loses nothing.

        ```python
        rx.of(rx.of(1, 2), rx.of(3)).merge_all()
        ```
        """
        return self._then(MergeMap(None, "merge_all", self._concurrency(concurrency)))

    def _concurrency(self, concurrency: int | None) -> int:
        check_concurrency(concurrency)
        return concurrency or live_groups(self._node) or _CONCURRENCY

    def switch_map(self, fn: Callable[[T_co], AsyncIterable[U]]) -> Stream[U]:
        """Give the items of the stream that `fn` makes of the latest item.

        ```text
        a----b---------|
        switch_map(lambda x: rx.interval(4).take(2).map(lambda n: f"{x}{n}"))
        ----a0---b0--b1|
        ```

        Emits what the inner stream of the latest item gives. From the moment the next item is
        there, nothing more of it comes: it is cancelled, and what downstream has not taken of it
        is dropped, counted (`dropped`). The next one begins when it was closed, so that the two
        never overlap; items that are overtaken before `fn` was called are skipped, counted
        (`skipped`). Backpressures the inner stream when downstream does, upstream never by
        itself. Completes when upstream and the last inner stream have. A checkpoint keeps the
        current item; a restored run begins its inner stream anew. `TypeError` when `fn` is
        async, or gives no stream.

        ```python
        rx.of("a", "ab").switch_map(lambda query: rx.of(query, query))
        ```
        """
        check_plain("switch_map", fn)
        return self._then(SwitchMap(fn, "switch_map"))

    def switch(self: Nesting[AsyncIterable[U]]) -> Stream[U]:
        """Give the items of the latest stream of a stream of streams.

        ```text
        a----b---------|
        map(lambda x: rx.interval(4).take(2).map(lambda n: f"{x}{n}")).switch()
        ----a0---b0--b1|
        ```

        Emits, backpressures, completes and loses as `switch_map`. In a run that takes
        checkpoints, the inner streams have to pickle.

        ```python
        rx.of(rx.of(1, 2), rx.of(3)).switch()
        ```
        """
        return self._then(SwitchMap(None, "switch"))

    def exhaust_map(self, fn: Callable[[T_co], AsyncIterable[U]]) -> Stream[U]:
        """Give the items of the stream that `fn` makes of an item, ignoring items meanwhile.

        ```text
        a----b----c---------|
        exhaust_map(lambda x: rx.interval(4).take(2).map(lambda n: f"{x}{n}"))
        ----a0--a1----c0--c1|
        ```

        Emits what the inner stream gives. Items that come while it runs, until it was closed, are
        dropped, counted (`dropped`). Backpressures the inner stream when downstream does,
        upstream never by itself. Completes when upstream and the inner stream have. A checkpoint
        waits for the inner stream. `TypeError` when `fn` is async, or gives no stream.

        ```python
        rx.of(1, 2).exhaust_map(lambda x: rx.of(x, x * 10))
        ```
        """
        check_plain("exhaust_map", fn)
        return self._then(ExhaustMap(fn, "exhaust_map"))
