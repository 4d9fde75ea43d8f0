"""continuing: a history that ends, and then what is live, with neither a gap nor a duplicate."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from operators.checking import check_count, check_plain, refuse_awaitable
from reactive.errors import PlanError
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate
from reactive.graph import Blueprint, Node, as_stream, stream_of, walk
from reactive.inlets import Rising
from reactive.levels import Changes, Kept, Tracked
from reactive.operator import Holding, Puller, SourceOperator, Stage, Staged
from reactive.signals import Chunk, Signal
from reactive.tasks import uninterrupted

if TYPE_CHECKING:
    from operators.folding import SupportsLess
    from reactive.context import Context
    from reactive.stream import Stream

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)

REMEMBERED = 100_000


@dataclass(frozen=True)
class Then(Staged):
    """`then`, with a live stream that listens while the history is read."""

    concurrent: ClassVar[bool] = False
    listens: ClassVar[int | None] = 1

    sequence: Callable[[Any], Any] | None
    key: Callable[[Any], Hashable] | None
    remember: int

    def details(self) -> dict[str, object]:
        if self.key is None:
            return {"overlap": "by a sequence"}
        return {"overlap": f"by key, of the last {self.remember:,} items"}

    def holds(self, batch: bool) -> Sequence[Holding]:
        if self.key is None:
            return ()
        return [Holding("keys of the last items of the history", f"{self.remember:,} at most")]

    def stage(self, context: Context) -> Stage[Any]:
        if self.key is None:
            assert self.sequence is not None
            return _ThenStage(_Passed(self.sequence), context)
        return _ThenStage(_Seen(self.key, self.remember, context.keeps_changes), context)


class _Passed:
    """Knows the items of the history by a number that rises: the highest is enough."""

    def __init__(self, number: Callable[[Any], Any]) -> None:
        self._number = number
        self._highest: Any = None
        self._any = False
        self.over = False

    def remember(self, items: list[Any]) -> None:
        highest = max(map(self._number, items))
        refuse_awaitable(highest)
        if not self._any or highest > self._highest:
            self._highest, self._any = highest, True

    def knows(self, item: Any) -> bool:
        if self._any and not self._number(item) > self._highest:
            return True
        self.over = True
        return False

    def snapshot(self) -> Any:
        return self._highest, self._any, self.over

    def restore(self, state: Any) -> None:
        self._highest, self._any, self.over = state


class _Seen:
    """Knows the last items of the history by their keys."""

    over = False

    def __init__(self, key: Callable[[Any], Hashable], limit: int, tracks: bool) -> None:
        self._key = key
        self._limit = limit
        self._count = 0
        self.keys: Tracked[Hashable] = Tracked(tracks)
        """Which of all items was the last of each key, in that order."""

    def remember(self, items: list[Any]) -> None:
        keys = self.keys
        for item in items:
            self._count += 1
            key = self._key(item)
            refuse_awaitable(key)
            keys.touch(key)
            keys.pop(key, None)
            keys[key] = self._count
        while len(keys) > self._limit:
            keys.take(next(iter(keys)))

    def knows(self, item: Any) -> bool:
        return self._key(item) in self.keys

    def snapshot(self) -> Any:
        return self.keys.whole()

    def restore(self, state: Any) -> None:
        self.keys.load(state, order=lambda count: count)
        self._count = max(self.keys.values(), default=0)


class _ThenStage(Stage[Any]):
    """Lets the live input listen, reads the history to its end, and then what the live one has
    that did not come before."""

    def __init__(self, known: _Passed | _Seen, context: Context) -> None:
        self._known = known
        self._context = context
        self._live = False
        self._rising = Rising()

    async def open(self) -> None:
        history, live = self.inputs
        await live.open()
        if self._live:
            # A run before this one came to the end of it; who feeds it need not wait.
            await history.close()
        else:
            await history.open()

    async def read(self) -> Signal[Any] | None:
        while not self._rising.passes(signal := await self._read()):
            pass
        return signal

    async def _read(self) -> Signal[Any] | None:
        history, live = self.inputs
        if not self._live:
            signal = await history.read()
            if type(signal) is Chunk:
                self._call(self._known.remember, signal.items)
            if signal is not None:
                return signal
            self._live = True
            await uninterrupted(history.close())
        while True:
            signal = await live.read()
            if type(signal) is not Chunk or self._known.over:
                return signal
            if (rest := self._without_known(signal)) is not None:
                return rest

    def _without_known(self, chunk: Chunk[Any]) -> Chunk[Any] | None:
        known = self._known
        kept = [
            at
            for at, item in enumerate(chunk.items)
            if known.over or not self._call(known.knows, item)
        ]
        if len(kept) == len(chunk.items):
            return chunk
        self._context.meter.count("overlap", len(chunk.items) - len(kept))
        if not kept:
            return None
        times = chunk.times
        return Chunk(
            [chunk.items[at] for at in kept],
            None if times is None else [times[at] for at in kept],
        )

    def _call(self, fn: Callable[[Any], Any], argument: Any) -> Any:
        try:
            return fn(argument)
        except Exception as error:
            annotate(error, self._context)
            raise

    def snapshot(self) -> Any:
        return self._live, self._known.snapshot(), self._rising.snapshot()

    def changes(self) -> Any:
        if isinstance(self._known, _Passed):
            return self.snapshot()
        shared = self._live, self._rising.snapshot()
        return Changes(shared, {"keys": self._known.keys.freeze()})

    def restore(self, state: Any) -> None:
        if isinstance(state, Kept):
            live, said = state.shared
            state = live, state.sections["keys"], said
        self._live, known, said = state
        self._known.restore(known)
        self._rising.restore(said)


@dataclass(frozen=True)
class ThenMade(Staged):
    """`then`, with a function that makes the live stream."""

    concurrent: ClassVar[bool] = False

    fn: Callable[[Any], Any]

    @property
    def label(self) -> str:
        return "then"

    def bounded(self, inputs: Sequence[bool]) -> bool:
        return False

    def stage(self, context: Context) -> Stage[Any]:
        return _ThenMadeStage(self.fn, context)


class _ThenMadeStage(Stage[Any]):
    """Keeps the last item, also of the live stream, so that a run that is restored in the middle
    of that has it made anew from where it was."""

    def __init__(self, fn: Callable[[Any], Any], context: Context) -> None:
        self._fn = fn
        self._context = context
        self._last: Any = None
        self._live = False
        self._made: Puller[Any] | None = None
        self._rising = Rising()

    async def open(self) -> None:
        if self._live:
            await self.inputs[0].close()
        else:
            await self.inputs[0].open()

    async def read(self) -> Signal[Any] | None:
        while not self._rising.passes(signal := await self._read()):
            pass
        if type(signal) is Chunk:
            self._last = signal.items[-1]
        return signal

    async def _read(self) -> Signal[Any] | None:
        if not self._live:
            signal = await self.inputs[0].read()
            if signal is not None:
                return signal
            self._live = True
            await uninterrupted(self.inputs[0].close())
        if self._made is None:
            self._made = self._context.nested(self._make())
            await self._made.open()
        return await self._made.read()

    def _make(self) -> Any:
        try:
            return as_stream(self._fn(self._last)).node
        except Exception as error:
            annotate(error, self._context)
            raise

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()

    def snapshot(self) -> Any:
        return self._last, self._live, self._rising.snapshot()

    def restore(self, state: Any) -> None:
        self._last, self._live, said = state
        self._rising.restore(said)


class Continuing(Blueprint[T_co]):
    """then."""

    __slots__ = ()

    @overload
    def then(self, live: Stream[U], /) -> Stream[T_co | U]: ...

    @overload
    def then(
        self: Blueprint[T], live: Stream[U], /, *, sequence: Callable[[T | U], SupportsLess]
    ) -> Stream[T | U]: ...

    @overload
    def then(
        self: Blueprint[T],
        live: Stream[U],
        /,
        *,
        key: Callable[[T | U], Hashable],
        remember: int = REMEMBERED,
    ) -> Stream[T | U]: ...

    @overload
    def then(self: Blueprint[T], live: Callable[[T | None], Stream[U]], /) -> Stream[T | U]: ...

    def then(
        self,
        live: Stream[Any] | Callable[[Any], Stream[Any]],
        /,
        *,
        sequence: Callable[[Any], SupportsLess] | None = None,
        key: Callable[[Any], Hashable] | None = None,
        remember: int = REMEMBERED,
    ) -> Stream[Any]:
        """Give a history that ends, and go on live, with neither a gap nor a duplicate between.

        ```text
        --1--2--3|
        --4--5---           live
        then(lambda last: live)
        --1--2--3--4--5
        ```

        What the two have in common decides how they are joined:

        - **Positions**, with `then(live)`: both are sources, and `live` can go on where the
          history ends. `files.read_lines("app.log*").then(files.follow("app.log"))` reads the
          rotated files oldest first, then the newest of them and the file itself as they grow,
          and what is written, rotated or compressed meanwhile is neither missed nor read twice.
          Put it directly behind the two sources and all else behind it. Sources of yours say with
          `Source.after` what they can follow.
        - **A sequence**, with `sequence=`: a number, or what else has an order, that rises from
          item to item in what is live. `live` listens before the history is read, and what it gives
          up to the highest of the history is left out.
        - **A key**, with `key=`: what tells one item from another, for items in no order. `live`
          listens first, and what has the key of one of the last `remember` items of the history is
          left out; so those are all the items that both may give.
        - **A function**: `then(fn)` calls `fn` with the last item of the history, None if there was
          none, for a stream that starts after it: a query from an id on, a subscription from an
          offset on.

        With a sequence or a key, what comes live while the history is read waits with its source,
        which has to listen as it is opened: connections and listeners do, an iterator does not. It
        waits in the source's bounded inbox: a sender is held up, or what the source's own policy
        says becomes of it. The live stream may be a source with what works item by item
        (`map` of a plain function, `filter`); event times, and what runs concurrently, go behind.

        Emits what both give, in their order. Backpressures the one that is read. Completes when
        live does, if ever. Fails with either. Loses nothing. Watermarks pass unless they would go
        back; with `event_time` behind it, nothing is late by the change. Counts as `overlap` what
        it left out.

        With checkpoints a run goes on at either side. A function is then called again, with the
        last item of all that were given.

        `PlanError`, saying what to do, for two that have no positions in common, for a history
        that does not end, and for a live stream that is not known to listen first. Raises what the
        functions raise.

        ```python
        lines = files.read_lines("app.log*").then(files.follow("app.log"))
        trades = rx.of({"id": 1}, {"id": 2}).then(rx.of({"id": 2}), sequence=lambda t: t["id"])
        ```
        """
        if not isinstance(live, Blueprint):
            if sequence is not None or key is not None:
                raise TypeError(
                    "then takes a `sequence` or a `key` of two streams; a function that makes the "
                    "live stream starts it behind the last item itself"
                )
            check_plain("then", live)
            _check_ends(self.node)
            return self._then(ThenMade(live))
        if sequence is not None and key is not None:
            raise TypeError("then takes a `sequence` or a `key`, not both")
        if sequence is None and key is None:
            return _continued(self, live)
        check_plain("then", sequence or key)
        check_count("then (remember)", remember, 1)
        _check_ends(self.node)
        return self._then(Then(sequence, key, remember), live)


def _check_ends(history: Node) -> None:
    ends: dict[Node, bool] = {}
    for node in walk([history]):
        operator = node.operator
        ends[node] = operator.cuts or operator.bounded([ends[upstream] for upstream in node.inputs])
    if not ends[history]:
        raise PlanError(
            f"then would never come to the live stream, since nothing says that {history.label!r} "
            "ends: take a part of it with take(count) or take_for(seconds), or say "
            ".assume_bounded() behind it if you know that it ends; to read both at once, merge"
        )


def _continued(history: Blueprint[Any], live: Blueprint[Any]) -> Stream[Any]:
    """One source that reads both."""
    _check_ends(history.node)
    before, after = history.node, live.node
    for node, what in ((before, "the history"), (after, "the live stream")):
        if not isinstance(node.operator, SourceOperator):
            raise PlanError(
                f"then goes on at a position, which only sources have, and {what} ends with "
                f"{node.label}: put .then(...) directly behind the sources and {node.label} behind "
                "that, once for both; or give then a `sequence` or a `key`"
            )
    assert isinstance(before.operator, SourceOperator)
    assert isinstance(after.operator, SourceOperator)
    source = after.operator.source.after(before.operator.source)
    made = stream_of(SourceOperator(source))
    name = before.name or after.name
    return made if name is None else made.named(name)
