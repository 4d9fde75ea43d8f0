"""What a stream gives when it is run, signal by signal, and scripts to run it on: for the laws."""

from __future__ import annotations

import asyncio
import pickle
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias

from reactive.context import Settings
from reactive.epoch_parts import EpochParts
from reactive.execution import Execution
from reactive.fast_dataclasses import dataclass
from reactive.graph import walk
from reactive.levels import Changes
from reactive.plan import JobPlan, make_plan
from reactive.restoring import restore
from reactive.signals import Barrier, Chunk, Control, Signal
from reactive.testing.describe import describe_task
from reactive.testing.memory_store import MemoryStore
from reactive.testing.scripts import Pause, ScriptStep

if TYPE_CHECKING:
    from reactive.stream import Stream

SECOND = 1_000_000
LONGEST_RUN_SECONDS = 2_000


class LawBroken(AssertionError):
    """A pipeline does not keep a law; the message says which, and on what."""


@dataclass(frozen=True, slots=True)
class Given:
    """An item that came out, with its event time if it had one."""

    value: Any
    time: int | None = None

    def __repr__(self) -> str:
        return repr(self.value) if self.time is None else f"{self.value!r}@{self.time}"


Entry: TypeAlias = Given | Control


@dataclass(frozen=True)
class Outcome:
    """Everything that one run gave, without the boundaries of chunks, and how it ended."""

    entries: tuple[Entry, ...]
    error: tuple[type[BaseException], str] | None = None

    @property
    def values(self) -> list[Any]:
        """The items alone."""
        return [entry.value for entry in self.entries if isinstance(entry, Given)]

    @property
    def barriers(self) -> list[Barrier]:
        """The barriers alone."""
        return [entry for entry in self.entries if isinstance(entry, Barrier)]

    def before(self, control: Control) -> list[Given] | None:
        """The items that came before a barrier or watermark; None if it did not come."""
        if control not in self.entries:
            return None
        place = self.entries.index(control)
        return [entry for entry in self.entries[:place] if isinstance(entry, Given)]

    def __str__(self) -> str:
        given = " ".join(map(repr, self.entries)) or "nothing"
        return given if self.error is None else f"{given}, then {self.error[0].__name__}"


def flatten(signal: Signal[Any]) -> Iterable[Entry]:
    """A signal as entries: the items of a chunk one by one."""
    if not isinstance(signal, Chunk):
        return (signal,)
    times = signal.times
    if times is None:
        return (Given(item) for item in signal.items)
    if len(times) != len(signal.items):
        raise LawBroken(f"a chunk came out with {len(times)} times: {signal!r}")
    return (Given(item, time) for item, time in zip(signal.items, times, strict=True))


async def observe(stream: Stream[Any], settings: Settings | None = None) -> Outcome:
    """Run a stream to its end or failure and note every signal it gives."""
    limit = asyncio.timeout(LONGEST_RUN_SECONDS)
    waiting: list[str] = []

    def look() -> None:
        waiting.extend(describe_task(task) for task in asyncio.all_tasks())

    timer = asyncio.get_running_loop().call_later(LONGEST_RUN_SECONDS - 1, look)
    try:
        async with limit:
            return await _observe(stream, settings)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise LawBroken(
            "\n".join([f"{stream!r} did not end in {LONGEST_RUN_SECONDS:,} s:", *waiting])
        ) from error
    finally:
        timer.cancel()


async def _observe(stream: Stream[Any], settings: Settings | None) -> Outcome:
    execution = Execution(make_plan([JobPlan(stream.node)]), settings)
    entries: list[Entry] = []
    try:
        await execution.open()
        while (signal := await execution.read()) is not None:
            if isinstance(signal, Chunk) and not signal.items:
                raise LawBroken("an empty chunk came out")
            entries += flatten(signal)
        await execution.close()
    except LawBroken:
        await execution.close()
        raise
    except Exception as error:
        await execution.close_after(error)
        return Outcome(tuple(entries), (type(error), str(error)))
    except BaseException as error:
        await execution.close_after(error)
        raise
    return Outcome(tuple(entries))


async def ends(stream: Stream[Any]) -> bool:
    """Whether a stream ends or fails within the longest run."""
    try:
        async with asyncio.timeout(LONGEST_RUN_SECONDS):
            await _observe(stream, None)
    except TimeoutError:
        return False
    return True


def same_items(one: Sequence[Any], other: Sequence[Any], *, ordered: bool) -> bool:
    """Whether two runs gave the same items, in the same order if that is asked for."""
    if ordered:
        return list(one) == list(other)
    if all(isinstance(item, Hashable) for item in (*one, *other)):
        try:
            return Counter(one) == Counter(other)
        except TypeError:
            pass
    return sorted(map(repr, one)) == sorted(map(repr, other))


def has_several_inputs(stream: Stream[Any]) -> bool:
    """Whether some operator reads more than one stream, so that its control signals are aligned
    from several."""
    return any(len(node.inputs) > 1 for node in walk([stream.node]))


def has_several_sources(stream: Stream[Any]) -> bool:
    """Whether items come in at more than one place, graphs that operators run included."""
    sources, roots = 0, [stream.node]
    while roots:
        for node in walk([roots.pop()]):
            nested = node.operator.nested()
            sources += not node.inputs and not nested
            roots += nested
    return sources > 1


@dataclass(frozen=True)
class Script:
    """Items with control signals between them: what the source gives, whatever the chunks.

    `controls[place]` come before the item at `place`; those at `len(items)` come last.
    """

    items: tuple[Any, ...]
    controls: dict[int, tuple[Control, ...]] = field(default_factory=dict)
    timed: bool = False

    def steps(self, sizes: Sequence[int] = (), yields: Sequence[int] = ()) -> list[ScriptStep[Any]]:
        """The signals, the items cut into chunks of up to these sizes, which repeat, with so many
        rounds of the event loop before each chunk. Without sizes, every item is a chunk."""
        steps: list[ScriptStep[Any]] = []
        place, count = 0, 0
        while True:
            steps += self.controls.get(place, ())
            if place == len(self.items):
                return steps
            size = sizes[count % len(sizes)] if sizes else 1
            end = next(
                (at for at in range(place + 1, place + size) if self.controls.get(at)),
                min(place + size, len(self.items)),
            )
            steps += [Pause()] * (yields[count % len(yields)] if yields else 0)
            steps.append(self._chunk(place, end))
            place, count = end, count + 1

    def _chunk(self, start: int, end: int) -> Chunk[Any]:
        times = [place * SECOND for place in range(start, end)] if self.timed else None
        return Chunk(list(self.items[start:end]), times)

    def cut_after(self, place: int) -> Script:
        """The same up to and with the control signals before the item at `place`."""
        controls = {at: found for at, found in self.controls.items() if at <= place}
        return Script(self.items[:place], controls, self.timed)

    def cut_before(self, place: int) -> list[ScriptStep[Any]]:
        """The rest of the items, with their times, every item a chunk, without control signals."""
        return [self._chunk(at, at + 1) for at in range(place, len(self.items))]

    def without_barriers(self) -> Script:
        """The same for a pipeline in which other sources give none, as they would in a run that
        takes checkpoints."""
        controls: dict[int, tuple[Control, ...]] = {
            place: tuple(signal for signal in found if not isinstance(signal, Barrier))
            for place, found in self.controls.items()
        }
        return Script(self.items, controls, self.timed)

    @property
    def signals(self) -> list[Control]:
        """The control signals in order."""
        return [signal for place in sorted(self.controls) for signal in self.controls[place]]


class Stepping:
    """A run that keeps what its operators hold at barriers, and can begin with what was kept: as a
    whole, or as checkpoints do up to a barrier, at which nothing is pickled before it has to be."""

    def __init__(
        self,
        stream: Stream[Any],
        restored: Mapping[str, Any] | None = None,
        *,
        changes_until: Barrier | None = None,
    ) -> None:
        self.kept: dict[str, Any] = {}
        self._plan = make_plan([JobPlan(stream.node)])
        self._last = changes_until
        self._epochs: dict[int, dict[str, Any]] = {}
        self._execution = Execution(
            self._plan,
            keeper=self._keep,
            restored=restored,
            keeps_changes=changes_until is not None,
        )

    def _keep(self, barrier: Barrier, states: Mapping[str, Any]) -> None:
        if self._last is None:
            self.kept |= states
            return
        epoch = self._epochs.setdefault(barrier.epoch, {})
        for name, state in states.items():
            if isinstance(state, Changes):
                sections = state.sections
                if barrier != self._last:
                    sections = {title: iter(list(made)) for title, made in sections.items()}
                epoch[name] = Changes(pickle.loads(pickle.dumps(state.shared)), sections)
            else:
                epoch[name] = pickle.loads(pickle.dumps(state))

    async def saved(self) -> dict[str, Any]:
        """What was kept, as a later run would be given it."""
        if not self._epochs:
            kept: dict[str, Any] = pickle.loads(pickle.dumps(self.kept))
            return kept
        parts, store = EpochParts(self._plan), MemoryStore()
        for number, states in self._epochs.items():
            parts.begin(number)
            for name, state in states.items():
                parts.keep_operator(name, state)
            await parts.complete(lambda: asyncio.sleep(0))
            save = parts.save(0.0, ended=False, name=None)
            store.save(save)
            parts.saved(save)
        return restore(store.load(max(self._epochs)), self._plan, store.title).states

    async def __aenter__(self) -> Stepping:
        await self._execution.open()
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is None:
            await self._execution.close()
        else:
            await self._execution.close_after(error)

    async def read_until(self, barrier: Barrier | None) -> tuple[list[Entry], bool]:
        """What comes before a barrier, or before the end; and whether the barrier came."""
        entries: list[Entry] = []
        while (signal := await self._execution.read()) is not None:
            if signal == barrier:
                return entries, True
            entries += flatten(signal)
        return entries, False
