"""What a sink must keep through crashes: every item stands there once, whatever was interrupted."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import pickle
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from reactive.fast_dataclasses import dataclass

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'check_sink needs Hypothesis: pip install "reactive-pipelines[testing]"'
    ) from missing

from reactive.context import Context, Settings
from reactive.endpoint import Sink, Writer
from reactive.metrics import Meter
from reactive.signals import Chunk
from reactive.testing.observing import LawBroken, same_items
from reactive.testing.trying import for_all

T = TypeVar("T")

Shows: TypeAlias = Literal["at commit", "by parts"]
_Visible: TypeAlias = Callable[[Path], Iterable[Any] | Awaitable[Iterable[Any]]]


def check_sink(
    make: Callable[[Path], Sink[T]],
    items: Iterable[T],
    visible: _Visible,
    *,
    expected: Callable[[Sequence[T]], Iterable[Any]] = list,
    shows: Shows = "at commit",
    ordered: bool = True,
    examples: int = 25,
) -> None:
    """Check that a sink has every item once, through crashes at every point of its two-phase
    commit; raise `LawBroken`, with the calls that led to it.

    `make` gets a new, empty folder and gives a sink that writes into it, or to a place named after
    it; it is called once for every run. `visible` gets the same folder and gives what can be seen
    there, which is nothing where nothing was written yet; it may be an async function. What must
    be seen after some items were committed is `expected` of these, by default the items themselves.

    Every point of interruption is tried once, then random histories: the items come in random
    chunks, with epochs between them; a run ends somewhere (within or after a write, within or
    after `prepare`, before, within or after `commit`, after `finish`), killed, or cancelled and
    closed; the next has a new writer, which gets `recover` with the last epoch that was kept and
    its token, pickled and read back, and the items since then, in other chunks. A killed writer is
    not called again, but lives on in this process: locks that the system would release with a
    process must not be held between two calls.

    At the end, all items must be visible, once. Before that, with a sink whose `replayed` is
    `transactional`, nothing may be visible that was not committed, and with `shows="at commit"`
    everything that was must be; `shows="by parts"` is for sinks that show what is committed later,
    such as whole files. With `ordered=False` the order does not count. Call it from a plain test,
    not an async one; `examples` is how many random histories are tried.

    ```python
    def test_our_sink_keeps_its_promise():
        check_sink(
            lambda folder: files.write_jsonl(folder / "out.jsonl", append=True),
            range(12),
            lambda folder: map(json.loads, (folder / "out.jsonl").open()),
        )
    ```
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "check_sink runs loops of its own: call it from a test that is not async"
        )
    sink_law = _SinkLaw(make, tuple(items), visible, expected, shows, ordered)

    def law(history: _History) -> None:
        with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
            runner.run(sink_law.check(history, Path(folder)))

    for ending, closed in itertools.product(get_args(_Ending), (False, True)):
        law(
            [_Life((_Epoch((2, 1), (1,), 1, False),), _Epoch((1,), (1,), 2, False), ending, closed)]
        )
    for_all(_histories(), law, examples)


_Ending: TypeAlias = Literal[
    "written", "writing", "preparing", "prepared", "kept", "committing", "committed", "finished"
]
_CANCELLED: tuple[_Ending, ...] = ("writing", "preparing", "committing")


@dataclass(frozen=True)
class _Epoch:
    """Some writes and a barrier, with what is written between `prepare` and `commit`."""

    writes: tuple[int, ...]
    between: tuple[int, ...]
    gap: int
    twice: bool


@dataclass(frozen=True)
class _Life:
    """A run: whole epochs, and one that is interrupted."""

    epochs: tuple[_Epoch, ...]
    last: _Epoch
    ending: _Ending
    closed: bool
    turns: int = 2


_History: TypeAlias = list[_Life]


def _histories() -> st.SearchStrategy[_History]:
    sizes = st.lists(st.integers(1, 3), max_size=2).map(tuple)
    epochs = st.builds(_Epoch, sizes, sizes, st.integers(1, 3), st.booleans())
    lives = st.builds(
        _Life,
        st.lists(epochs, max_size=2).map(tuple),
        epochs,
        st.sampled_from(get_args(_Ending)),
        st.booleans(),
        st.integers(0, 4),
    )
    return st.lists(lives, min_size=2, max_size=5)


class _SinkLaw:
    def __init__(
        self,
        make: Callable[[Path], Sink[Any]],
        items: tuple[Any, ...],
        visible: _Visible,
        expected: Callable[[Sequence[Any]], Iterable[Any]],
        shows: Shows,
        ordered: bool,
    ) -> None:
        self.make = make
        self.items = items
        self.visible = visible
        self.expected = expected
        self.shows = shows
        self.ordered = ordered

    async def check(self, history: _History, folder: Path) -> None:
        await _Trial(self, folder).play(history)


class _Trial:
    """One history: what a coordinator would keep, and the writers that were killed."""

    def __init__(self, law: _SinkLaw, folder: Path) -> None:
        self._law = law
        self._folder = folder
        self._calls: list[str] = []
        self._killed: list[Writer[Any]] = []
        self._kept = 0
        self._token = pickle.dumps(None)
        self._position = 0
        self._committed = 0
        self._at = 0
        self._transactional = False

    async def play(self, history: _History) -> None:
        try:
            for life in history:
                await self._live(life)
            rest = _Epoch((len(self._law.items),), (), 1, False)
            await self._live(_Life((), rest, "finished", True))
            await self._look(whole=True)
        finally:
            await asyncio.gather(
                *(writer.close() for writer in self._killed), return_exceptions=True
            )

    async def _live(self, life: _Life) -> None:
        sink = self._law.make(self._folder)
        if sink.replayed == "repeated":
            raise ValueError(
                f"{sink.label} says that it is 'repeated': there is no law that it could keep. "
                "Where it takes back, or puts in the same place, what comes again, let "
                "Sink.replayed say so"
            )
        self._transactional = sink.replayed == "transactional"
        context = Context(sink.label, None, Settings(), Meter(sink.label))
        writer = sink.writer(context)
        self._say("-- a new writer")
        try:
            await self._call(writer, "open")
            self._at = self._position
            await self._call(writer, "recover", self._kept, pickle.loads(self._token))
            self._committed = self._position
            await self._look()
            for epoch in life.epochs:
                await self._write(writer, epoch.writes)
                await self._keep(epoch, await self._prepare(writer, epoch))
                await self._write(writer, epoch.between)
                await self._commit(writer, epoch.twice)
                await self._look()
            await self._end(writer, life)
        except LawBroken:
            raise
        except Exception as error:
            raise LawBroken(self._tell(f"it raised {error!r}")) from error
        finally:
            if life.closed or life.ending in _CANCELLED:
                await self._call(writer, "close")
            else:
                self._say("-- killed")
                self._killed.append(writer)
        await self._look()

    async def _end(self, writer: Writer[Any], life: _Life) -> None:
        epoch, ending = life.last, life.ending
        if ending == "writing":
            chunk = Chunk(list(self._take(3))) if self._at < len(self._law.items) else None
            if chunk is not None:
                await self._cancel(writer, life.turns, "write", chunk)
            return
        await self._write(writer, epoch.writes)
        if ending == "written":
            return
        if ending == "preparing":
            await self._cancel(writer, life.turns, "prepare", self._kept + epoch.gap)
            return
        token = await self._prepare(writer, epoch)
        if ending == "prepared":
            return
        await self._keep(epoch, token)
        if ending != "finished":
            await self._write(writer, epoch.between)
        if ending == "kept":
            return
        if ending == "committing":
            token = pickle.loads(self._token)
            await self._cancel(writer, life.turns, "commit", self._kept, token)
            return
        await self._commit(writer, epoch.twice)
        if ending == "finished":
            await self._call(writer, "finish")

    async def _write(self, writer: Writer[Any], sizes: Iterable[int]) -> None:
        for size in sizes:
            if items := self._take(size):
                await self._call(writer, "write", Chunk(list(items)))

    def _take(self, size: int) -> Sequence[Any]:
        items = self._law.items[self._at : self._at + size]
        self._at += len(items)
        return items

    async def _prepare(self, writer: Writer[Any], epoch: _Epoch) -> Any:
        return await self._call(writer, "prepare", self._kept + epoch.gap)

    async def _keep(self, epoch: _Epoch, token: Any) -> None:
        """What the state store does between `prepare` and `commit`."""
        try:
            self._token = pickle.dumps(token)
        except Exception as error:
            raise LawBroken(self._tell(f"the token does not pickle: {error!r}")) from error
        self._kept += epoch.gap
        self._position = self._at
        self._say(f"-- epoch {self._kept} is kept")

    async def _commit(self, writer: Writer[Any], twice: bool) -> None:
        for _ in range(1 + twice):
            token = pickle.loads(self._token)
            await asyncio.create_task(self._call(writer, "commit", self._kept, token))
        self._committed = self._position

    async def _call(self, writer: Writer[Any], name: str, *arguments: Any) -> Any:
        self._say(f"{name}({', '.join(map(_shown, arguments))})")
        return await getattr(writer, name)(*arguments)

    async def _cancel(self, writer: Writer[Any], turns: int, name: str, *arguments: Any) -> None:
        call = asyncio.create_task(self._call(writer, name, *arguments))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        self._say(f"-- cancelled after {turns} turns of the loop")
        try:
            await call
        except asyncio.CancelledError:
            pass

    async def _look(self, *, whole: bool = False) -> None:
        """Compare what can be seen with what may be."""
        law = self._law
        if not whole and not self._transactional:
            return
        found = law.visible(self._folder)
        seen = list(await found if inspect.isawaitable(found) else found)
        least = self._committed if law.shows == "at commit" else 0
        most = self._position
        if whole:
            least = most = len(law.items)
        for count in range(most, least - 1, -1):
            if same_items(seen, list(law.expected(law.items[:count])), ordered=law.ordered):
                return
        allowed = list(law.expected(law.items[:most]))
        told = "must be" if whole else "may at most be"
        raise LawBroken(self._tell(f"visible is {seen}\n    what {told} {allowed}"))

    def _say(self, line: str) -> None:
        self._calls.append(line)

    def _tell(self, complaint: str) -> str:
        return "sink: {}\n    after\n        {}".format(complaint, "\n        ".join(self._calls))


def _shown(value: Any) -> str:
    return repr(value.items) if isinstance(value, Chunk) else f"{value!r:.200}"
