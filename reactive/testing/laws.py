"""The laws that every operator keeps, checked on random chunks, at every await, in every order.

Used for the library's own operators, and meant for those that users write.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'check_laws needs Hypothesis: pip install "reactive-pipelines[testing]"'
    ) from missing

from operators.creating import from_iterable
from reactive.context import Settings
from reactive.plan import JobPlan, make_plan
from reactive.signals import IDLE, Barrier, Control, Idle, Watermark
from reactive.testing.interrupting import Interruptions
from reactive.testing.observing import (
    SECOND,
    Given,
    LawBroken,
    Outcome,
    Script,
    Stepping,
    ends,
    has_several_inputs,
    has_several_sources,
    observe,
    same_items,
)
from reactive.testing.probes import Probe
from reactive.testing.scripts import Pause, ScriptStep, scripted_source
from reactive.testing.trying import for_all
from reactive.testing.virtual_time import run

if TYPE_CHECKING:
    from reactive.stream import Stream

T = TypeVar("T")
U = TypeVar("U")

Law: TypeAlias = Literal[
    "chunking", "signals", "lateness", "cancelling", "backpressure", "reuse", "pickling", "snapshot"
]

_QUIET_SECONDS = 10.0
_MANY = 120
_SETTLING_ROUNDS = 30
_BOUNDS = (1, 2, 16)
"""How many items chunks and edges hold at most, for the law `backpressure`."""
_END = object()


def check_laws(
    build: Callable[[Stream[Any]], Stream[Any]],
    items: Iterable[Any],
    *,
    ordered: bool = True,
    readahead: int = 0,
    skip: Collection[Law] = (),
    examples: int = 25,
) -> None:
    """Check that what `build` makes of a stream keeps the laws of operators; raise `LawBroken`.

    `build` is a function from a stream to a stream, such as `lambda s: s.map(str)`; `items` is
    what the stream gives, a handful. Call it from a plain test, not an async one: every run has
    a virtual-time loop of its own and is in stream mode. `examples` is how many random cases the
    laws with random cases try. The laws:

    - `chunking`: the items, and a failure, are the same however the input is cut into chunks,
      with and without event times, whatever the bounds of the run, and however often it lets
      others run.
    - `signals`: every control signal comes out once, in order, and what comes before it does not
      depend on what comes after it, nor on the chunks. Where several inputs are combined,
      watermarks may merge; where there are other sources, which give no barriers, none are given
      here either.
    - `lateness`: no item is earlier than a watermark that came out before it.
    - `cancelling`: cancelled at any step, collected or sent to a sink, or left after any number
      of items, it closes its source exactly once and its sink, waits for both however long they
      take, lets the cancellation out and nothing else, and leaves nothing behind: no task, no
      async generator, thread or descriptor.
    - `backpressure`: it does not pull more than it needs for the items taken so far, but for what
      the bounded edges of its plan hold and `readahead` items that it declares.
    - `reuse`: a second run and two at the same time give the same as the first.
    - `pickling`: a copy through cloudpickle gives the same.
    - `snapshot`: state kept at any barrier, pickled and put into a new run, goes on the same;
      kept as a whole, or as checkpoints do, as what has changed since an earlier barrier.
      Checked where items come in at one place; a pipeline that ends before the barrier is left
      out.

    With `ordered=False` the order of items does not count: for `merge` and the like. `skip` names
    laws that do not hold by design: an overflow policy that drops keeps neither `chunking` nor
    `backpressure`.

    ```python
    check_laws(lambda stream: stream.map(lambda x: x + 1).batch(3), range(7))
    ```
    """
    unknown = set(skip) - set(get_args(Law))
    if unknown:
        known = ", ".join(get_args(Law))
        raise ValueError(f"the laws are {known}; there is no {unknown.pop()!r}")
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "check_laws runs loops of its own: call it from a test that is not async"
        )
    laws = _Laws(build, tuple(items), ordered, readahead, examples)
    for law in get_args(Law):
        if law not in skip:
            getattr(laws, law)()


class _Laws:
    """The laws of one pipeline, each a method."""

    def __init__(
        self,
        build: Callable[[Stream[Any]], Stream[Any]],
        items: tuple[Any, ...],
        ordered: bool,
        readahead: int,
        examples: int,
    ) -> None:
        self._build = build
        self._items = items
        self._ordered = ordered
        self._readahead = readahead
        self._examples = examples
        self._stops: bool | None = None
        self._reference = self._observe(Script(items).steps())

    def _observe(self, steps: Iterable[ScriptStep[Any]], bounds: Settings | None = None) -> Outcome:
        return run(observe(self._build(scripted_source(steps)), bounds))

    def _same(self, one: Sequence[Any], other: Sequence[Any]) -> bool:
        return same_items(one, other, ordered=self._ordered)

    def chunking(self) -> None:
        """Any cut of the input gives the same items and the same failure."""
        references = {
            timed: self._observe(Script(self._items, timed=timed).steps())
            for timed in (False, True)
        }

        def law(case: tuple[list[int], list[int], bool, Settings]) -> None:
            sizes, yields, timed, bounds = case
            steps = Script(self._items, timed=timed).steps(sizes, yields)
            outcome, expected = self._observe(steps, bounds), references[timed]
            same = self._same(outcome.values, expected.values) and (
                not self._ordered or outcome.entries == expected.entries
            )
            if outcome.error != expected.error or not same:
                raise LawBroken(
                    "chunking: the result depends on how the input was cut into chunks\n"
                    f"    input     {_show(steps)}\n    bounds    {bounds}\n"
                    f"    gave      {outcome}\n    one by one {expected}"
                )

        for_all(st.tuples(_sizes, _yields, st.booleans(), _bounds), law, self._examples)

    def signals(self) -> None:
        """Control signals keep their place."""

        def law(case: _SignalCase) -> None:
            script, sizes, yields, pick = case
            script = self._fair(script)
            came, outcome, complain = self._signals_of("signals", script, sizes, yields)
            one_by_one = self._observe(script.steps())
            several = has_several_inputs(self._build(scripted_source(())))
            kinds = (Barrier,) if several else (Barrier, Watermark, Idle)
            came = [signal for signal in came if isinstance(signal, kinds)]
            wanted = [signal for signal in script.signals if isinstance(signal, kinds)]
            if outcome.error is not None or self._stops_by_itself():
                wanted = wanted[: len(came)]
            if came != wanted:
                raise complain("they did not all come out once and in order")
            marks = [signal for signal in came if not isinstance(signal, Idle)]
            if not marks or (several and not self._ordered):
                return
            mark = marks[pick % len(marks)]
            before, expected = outcome.before(mark), one_by_one.before(mark)
            if expected is not None and not self._same(before or (), expected):
                raise complain(f"what comes before {mark} depends on the chunks")
            place = next(at for at in sorted(script.controls) if mark in script.controls[at])
            cut = self._observe(script.cut_after(place).steps()).before(mark)
            if cut is not None and not self._same(before or (), cut):
                raise complain(f"what comes before {mark} depends on what comes after it")

        for_all(_signal_cases(self._items), law, self._examples)

    def lateness(self) -> None:
        """Watermarks stay true."""

        def law(case: _SignalCase) -> None:
            script, sizes, yields, _ = case
            script = self._fair(script)
            if any(isinstance(signal, Idle) for signal in script.signals) and has_several_inputs(
                self._build(scripted_source(()))
            ):
                return
            _, outcome, complain = self._signals_of("lateness", script, sizes, yields)
            low: int | None = None
            for entry in outcome.entries:
                if isinstance(entry, Watermark):
                    if low is not None and entry.time < low:
                        raise complain("a watermark went back")
                    low = entry.time
                elif not isinstance(entry, Given) or entry.time is None or low is None:
                    continue
                elif entry.time < low:
                    raise complain(f"{entry} is earlier than the watermark before it")

        for_all(_signal_cases(self._items), law, self._examples)

    def _fair(self, script: Script) -> Script:
        """The script with barriers only if all sources give them."""
        several = has_several_sources(self._build(scripted_source(())))
        return script.without_barriers() if several else script

    def _signals_of(
        self, law: str, script: Script, sizes: Sequence[int], yields: Sequence[int]
    ) -> tuple[list[Control], Outcome, Callable[[str], LawBroken]]:
        steps = script.steps(sizes, yields)
        outcome = self._observe(steps)
        came = [entry for entry in outcome.entries if not isinstance(entry, Given)]

        def complain(complaint: str) -> LawBroken:
            return LawBroken(
                f"{law}: {complaint}\n    input     {_show(steps)}\n    gave      {outcome}"
            )

        return came, outcome, complain

    def cancelling(self) -> None:
        """Whatever interrupts it and when, everything is closed, once, before control returns."""
        Interruptions(self._build, self._items, self._reference, self._same).check()

    def backpressure(self) -> None:
        """It pulls no more than it needs, its bounded edges hold and it has declared."""
        many = (
            (self._items * (_MANY // max(1, len(self._items)) + 1))[:_MANY] if self._items else ()
        )
        if self._reference.error is None:
            needed = run(self._needed(many))
            for size in _BOUNDS:
                run(self._check_pulls(many, needed, Settings(chunk=size, edge=size)))

    async def _needed(self, items: Sequence[Any]) -> list[int]:
        """For each item that comes out, how many had gone in when it did, given one by one with
        time to settle between them, though at one moment of the clock."""
        script = Script(tuple(items)).steps(yields=[_SETTLING_ROUNDS])
        probe = Probe(scripted_source(script))
        bounds = Settings(chunk=1, edge=1)
        async with self._build(probe.stream).open(bounds, mode="stream") as given:
            return [probe.items async for _ in given]

    async def _check_pulls(
        self, items: Sequence[Any], needed: Sequence[int], bounds: Settings
    ) -> None:
        probe = Probe(scripted_source(Script(tuple(items)).steps()))
        stream = self._build(probe.stream)
        held = self._readahead + bounds.chunk + _held_by_edges(stream, bounds)
        async with stream.open(bounds, mode="stream") as given:
            for taken in range(len(needed) + 1):
                await asyncio.sleep(_QUIET_SECONDS)
                ahead = taken + held
                allowed = held + (needed[ahead] if ahead < len(needed) else len(items))
                if probe.items > allowed:
                    raise LawBroken(
                        f"backpressure: after {taken} items were taken it had pulled "
                        f"{probe.items}, with {bounds} and readahead of {held} items at most "
                        f"{allowed}; if it holds more by design, declare it with readahead="
                    )
                if await anext(given, _END) is _END:
                    return

    def reuse(self) -> None:
        """A blueprint can be run again, and at the same time."""

        async def twice() -> None:
            stream = self._build(from_iterable(self._items))
            first = await observe(stream)
            runs = [first, await observe(stream)]
            runs += await asyncio.gather(observe(stream), observe(stream))
            for outcome in runs:
                self._compare("reuse: runs of the same stream differ", outcome)

        run(twice())

    def pickling(self) -> None:
        """A blueprint can be sent to another process."""
        try:
            import cloudpickle
        except ImportError:
            return
        stream = self._build(from_iterable(self._items))
        try:
            copy = cloudpickle.loads(cloudpickle.dumps(stream))
        except Exception as error:
            raise LawBroken(f"pickling: {stream!r} does not pickle: {error!r}") from error
        self._compare("pickling: a pickled copy differs", run(observe(copy)))

    def _stops_by_itself(self) -> bool:
        """Whether it ends, having enough of these items, while its source goes on in silence."""
        if self._stops is None:
            endless = scripted_source(Script(self._items).steps(), ends=False)
            self._stops = run(ends(self._build(endless)))
        return self._stops

    def _compare(self, complaint: str, outcome: Outcome) -> None:
        expected = self._reference
        if outcome.error != expected.error or not self._same(outcome.values, expected.values):
            raise LawBroken(f"{complaint}\n    gave      {outcome}\n    expected  {expected}")

    def snapshot(self) -> None:
        """State copied at a barrier goes on the same in a new run."""
        stream = self._build(from_iterable(self._items))
        if self._items and self._reference.error is None and not has_several_sources(stream):
            places = st.integers(0, len(self._items))
            for_all(
                st.tuples(st.tuples(places, places).map(sorted), st.booleans(), st.booleans()),
                lambda case: run(self._restored(*case)),
                self._examples,
            )

    async def _restored(self, places: list[int], timed: bool, changes: bool) -> None:
        earlier, place = places
        first, second = Barrier(1), Barrier(2)
        controls: dict[int, tuple[Control, ...]] = {earlier: (first,)}
        controls[place] = (*controls.get(place, ()), second)
        script = Script(self._items, controls, timed)
        source = scripted_source(script.steps())
        last = second if changes else None
        async with Stepping(self._build(source), changes_until=last) as whole:
            before, came = await whole.read_until(first)
            if came:
                between, came = await whole.read_until(second)
                before += between
            if not came:
                return
            after, _ = await whole.read_until(None)
            # Only now: what is kept has to be a copy, which going on does not change.
            states = await whole.saved()
        rest = self._build(scripted_source(script.cut_before(place)))
        async with Stepping(rest, states) as restored:
            again, _ = await restored.read_until(None)
        # Nothing says in what order keys come back that were kept apart.
        if not same_items(again, after, ordered=self._ordered and not changes):
            kept = f"kept as changes after {earlier} items" if changes else "kept as a whole"
            raise LawBroken(
                f"snapshot: restored after {place} items, {kept}, it goes on differently\n"
                f"    before    {before}\n    gave      {again}\n"
                f"    expected  {after}"
            )


def _held_by_edges(stream: Stream[Any], bounds: Settings) -> int:
    """What the edges of a plan hold, and the hands of those who send and receive there."""
    edges = make_plan([JobPlan(stream.node)]).edges.values()
    return sum((edge.limit or bounds.edge) + 2 * bounds.chunk for edge in edges)


def _show(steps: Iterable[ScriptStep[Any]]) -> str:
    return " ".join("." if isinstance(step, Pause) else repr(step) for step in steps)


_sizes = st.lists(st.integers(1, 6), max_size=4)
_yields = st.lists(st.integers(0, 3), max_size=3)
_kinds = st.sampled_from(["watermark", "barrier", "idle"])
# With the least time there is, others are let in at every opportunity, in virtual time too.
_slices = st.sampled_from([Settings().slice_seconds, math.ulp(0.0)])
_bounds = st.builds(
    Settings, chunk=st.integers(1, 5), edge=st.integers(1, 5), slice_seconds=_slices
)


_SignalCase: TypeAlias = tuple[Script, list[int], list[int], int]


def _signal_cases(items: tuple[Any, ...]) -> st.SearchStrategy[_SignalCase]:
    return st.tuples(_scripts(items), _sizes, _yields, st.integers(0, 20))


@st.composite
def _scripts(draw: st.DrawFn, items: tuple[Any, ...]) -> Script:
    """The items with control signals at random places: watermarks that are true, barriers with
    ascending numbers, idleness."""
    places = draw(st.sets(st.integers(0, len(items)), max_size=5))
    controls: dict[int, tuple[Control, ...]] = {}
    epoch = 0
    for place in sorted(places):
        found: list[Control] = []
        for kind in draw(st.lists(_kinds, min_size=1, max_size=3, unique=True)):
            if kind == "barrier":
                epoch += 1
                found.append(Barrier(epoch))
            else:
                found.append(IDLE if kind == "idle" else Watermark(place * SECOND))
        controls[place] = tuple(found)
    return Script(items, controls, timed=True)
