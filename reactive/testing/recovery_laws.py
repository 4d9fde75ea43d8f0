"""What a pipeline must keep through crashes, checked by simulation: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from operators.creating import from_source
from reactive.checkpoint import Checkpoint
from reactive.context import Mode, Settings
from reactive.errors import CheckpointError, DeadlockError
from reactive.fast_dataclasses import dataclass
from reactive.run import Run, start
from reactive.stream import Job, Stream
from reactive.testing.describe import describe_task
from reactive.testing.observing import LawBroken, same_items
from reactive.testing.simulation import (
    Fault,
    InjectedFault,
    Ledger,
    Life,
    ShufflingLoop,
    SimulatedSink,
    SimulatedSource,
    World,
)

SEEDS_VARIABLE = "REACTIVE_SEEDS"
LONGEST_LIFE_SECONDS = 50_000
LONGEST_EPOCH_SECONDS = 400
MOST_DISTURBED_LIVES = 4

_Built: TypeAlias = Stream[Any] | Sequence[Stream[Any]]
_Ending: TypeAlias = Literal["end", "crash", "cancel", "drain", "fault"]
_ENDINGS: tuple[_Ending, ...] = ("crash", "crash", "cancel", "drain", "fault", "fault")


def check_recovery(
    build: Callable[..., _Built],
    *inputs: Iterable[Any],
    ordered: bool = True,
    mode: Mode = "stream",
    seeds: int | Iterable[int] = 50,
) -> None:
    """Check that a pipeline, crashed and disturbed in any way and run again until it is done, gives
    what it gives undisturbed; raise `LawBroken`, with the seed that makes the same case again.

    `build` is a function of as many streams as there are `inputs`, each of which is the items that
    the stream gives, from a source that can be read again. It returns a stream or several, which
    become the jobs of a run with checkpoints, each into a transactional sink; it is called anew for
    every run, and what it gives must depend on its input alone. With `ordered=False` the order of
    what comes out does not count.

    Every seed makes a history: reads, writes, the state store and turns of the loop take virtual
    time as chance has it, and so do the sizes of chunks and edges, and when checkpoints are taken.
    A run ends by a crash between any two steps, a cancellation at any `await`, a drain, or a
    source, sink or store that fails (a full disk), with or without having done what it was
    asked for; the next goes on from the store. At every moment what is visible has to be the
    beginning of what is expected, nothing is committed whose epoch was not saved, a failure must
    not be swallowed, and no task may be left behind.

    `seeds` is how many histories are tried, or which. The environment variable `REACTIVE_SEEDS`
    (`7`, or `1000-1999`) takes its place. Call it from a plain test, not an async one.

    ```python
    def totals(numbers):
        return numbers.scan(lambda total, n: total + n, 0)

    check_recovery(totals, range(20))
    ```
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "check_recovery runs loops of its own: call it from a test that is not async"
        )
    law = _RecoveryLaw(build, [list(items) for items in inputs], ordered, mode)
    with _quiet():
        law.learn()
        for seed in _chosen(seeds):
            law.check(seed)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log events of so many failures on purpose."""
    logger = logging.getLogger("reactive")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _chosen(seeds: int | Iterable[int]) -> Iterable[int]:
    wanted = os.environ.get(SEEDS_VARIABLE)
    if wanted:
        first, _, last = wanted.partition("-")
        return range(int(first), int(last or first) + 1)
    return range(seeds) if isinstance(seeds, int) else seeds


@dataclass(frozen=True)
class _Plan:
    """How one life is to go."""

    ending: _Ending
    settings: Settings
    every: float
    retain: int
    at_round: int = 0
    after: float = 0.0
    fault: Fault | None = None
    savepoint: str | None = None
    ask: tuple[float, ...] = ()
    idle_at: int = 0

    def __str__(self) -> str:
        told = {
            "end": "to the end",
            "crash": f"crashes at round {self.at_round}",
            "cancel": f"is cancelled at round {self.at_round}",
            "drain": f"is drained after {self.after:g} s"
            + (f" with savepoint {self.savepoint!r}" if self.savepoint else ""),
            "fault": str(self.fault),
        }[self.ending]
        asked = "".join(f", a checkpoint is asked for after {at:g} s" for at in self.ask)
        bounds = f"chunk={self.settings.chunk}, edge={self.settings.edge}"
        return f"{told} (every={self.every:g}, {bounds}){asked}"


class _RecoveryLaw:
    def __init__(
        self,
        build: Callable[..., _Built],
        inputs: list[list[Any]],
        ordered: bool,
        mode: Mode,
    ) -> None:
        self.build = build
        self.inputs = inputs
        self.ordered = ordered
        self.mode: Mode = mode
        self.expected: list[list[Any]] = []
        self.calls: Counter[str] = Counter()
        self.rounds = 0
        self.seconds = 0.0

    def jobs(self, life: Life) -> list[Job]:
        streams = [from_source(SimulatedSource(items, life)) for items in self.inputs]
        built = self.build(*streams)
        outputs = [built] if isinstance(built, Stream) else list(built)
        ledgers = life.world.ledgers
        ledgers += [Ledger() for _ in outputs[len(ledgers) :]]
        return [
            output.to(SimulatedSink(ledger, life))
            for output, ledger in zip(outputs, ledgers, strict=True)
        ]

    def learn(self) -> None:
        """What an undisturbed run gives, and how long one takes."""
        history = _History(self, None)
        history.play([_Plan("end", Settings(), 1000.0, 1)])
        self.expected = [ledger.items for ledger in history.world.ledgers]
        slow = _History(self, random.Random(0))
        slow.play([_Plan("end", Settings(chunk=2, edge=2), 0.5, 2)])
        slow.compare(whole=True)
        self.calls = slow.life.calls
        self.rounds, self.seconds = slow.loop.rounds, slow.loop.time()

    def check(self, seed: int) -> None:
        chance = random.Random(seed)
        count = chance.randint(1, MOST_DISTURBED_LIVES)
        plans = [self._plan(chance, number) for number in range(count)]
        last = self._plan(chance, count)
        plans.append(_Plan("end", last.settings, last.every, last.retain))
        history = _History(self, chance)
        try:
            history.play(plans)
            history.compare(whole=True)
        except (LawBroken, DeadlockError) as broken:
            lived = plans[: history.lived]
            told = "".join(f"\n    run {number}: {plan}" for number, plan in enumerate(lived, 1))
            again = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
            command = f"{SEEDS_VARIABLE}={seed} python -m pytest '{again}'"
            raise LawBroken(
                f"recovery: {broken}\n    seed {seed}{told}\n    again: "
                + (command if again else f"check_recovery(..., seeds=[{seed}])")
            ) from broken

    def _plan(self, chance: random.Random, number: int) -> _Plan:
        settings = Settings(chunk=chance.randint(1, 6), edge=chance.randint(1, 6))
        every = chance.choice((0.02, 0.3, 2.0, 20.0))
        asked = chance.random() < 0.4
        kinds = sorted(self.calls)
        call = chance.choice(kinds)
        return _Plan(
            chance.choice(_ENDINGS),
            settings,
            every,
            chance.randint(1, 3),
            at_round=chance.randint(1, self.rounds),
            after=chance.random() * self.seconds,
            fault=Fault(call, chance.randint(1, self.calls[call]), chance.random() < 0.5),
            savepoint=f"savepoint {number}" if chance.random() < 0.3 else None,
            ask=(chance.random() * self.seconds,) if asked else (),
            idle_at=chance.randint(1, 30) if every >= 2 and chance.random() < 0.5 else 0,
        )


class _History:
    """One case: lives in one world, on one loop."""

    def __init__(self, law: _RecoveryLaw, chance: random.Random | None) -> None:
        self.law = law
        self.chance = chance
        self.world = World(ledgers=[Ledger() for _ in law.expected])
        self.loop = ShufflingLoop()
        self.loop.chance = chance
        self.lived = 0
        self.late: str | None = None
        self.life: Life

    def play(self, plans: Sequence[_Plan]) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._play(plans))

    async def _play(self, plans: Sequence[_Plan]) -> None:
        for plan in plans:
            self.lived += 1
            fault = plan.fault if plan.ending == "fault" else None
            self.life = Life(self.world, self.chance, fault)
            self.life.idle_at = plan.idle_at
            await self._live(plan)
            if self.late is not None:
                raise LawBroken(self.late)
            if not self.life.dead:
                self._check_nobody_left()
            self.compare(whole=False)

    async def _live(self, plan: _Plan) -> None:
        life, loop = self.life, self.loop
        task = loop.create_task(self._run(plan), name="the run")

        def end() -> None:
            life.dead = plan.ending == "crash"
            task.cancel()

        if plan.ending in ("crash", "cancel"):
            loop.at_round(loop.rounds + plan.at_round, end)
        done, _ = await asyncio.wait((task,), timeout=LONGEST_LIFE_SECONDS)
        if not done:
            tasks = "".join(f"\n    {describe_task(task)}" for task in asyncio.all_tasks())
            task.cancel()
            await asyncio.wait((task,))
            raise LawBroken(f"a run did not end in {LONGEST_LIFE_SECONDS} virtual seconds{tasks}")
        if life.dead:
            if not task.cancelled():
                task.exception()
            return
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            if life.failed is not None and not life.failed.startswith("source"):
                raise LawBroken(f"a failure of {life.failed!r} was swallowed")
            return
        for each in _leaves(error):
            if isinstance(each, LawBroken) or not isinstance(each, InjectedFault):
                raise LawBroken(f"a run failed with {each!r}") from each

    async def _run(self, plan: _Plan) -> None:
        life = self.life
        checkpoint = Checkpoint(life.store, every=plan.every, retain=plan.retain)
        started = start(
            *self.law.jobs(life), settings=plan.settings, mode=self.law.mode, checkpoint=checkpoint
        )
        async with started as run:
            asking = [asyncio.ensure_future(self._ask(run, at)) for at in plan.ask]
            try:
                if plan.ending == "drain":
                    await self._drain(run, plan)
                else:
                    await run.wait()
            finally:
                for each in asking:
                    each.cancel()
                if asking:
                    await asyncio.wait(asking)

    async def _ask(self, run: Run, after: float) -> None:
        await asyncio.sleep(after)
        try:
            async with asyncio.timeout(LONGEST_EPOCH_SECONDS):
                await run.checkpoint()
        except (CheckpointError, InjectedFault, asyncio.CancelledError):
            pass
        except TimeoutError:
            tasks = "".join(f"\n    {describe_task(task)}" for task in asyncio.all_tasks())
            self.late = f"a checkpoint took more than {LONGEST_EPOCH_SECONDS} seconds{tasks}"

    async def _drain(self, run: Run, plan: _Plan) -> None:
        try:
            async with asyncio.timeout(plan.after):
                await run.wait()
        except TimeoutError:
            await run.stop(savepoint=plan.savepoint or False)

    def _check_nobody_left(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            told = "\n    ".join(map(describe_task, left))
            raise LawBroken(f"tasks are left behind:\n    {told}")

    def compare(self, *, whole: bool) -> None:
        """What is visible against what may be."""
        expected = self.law.expected
        if not expected:
            return
        for number, (ledger, wanted) in enumerate(zip(self.world.ledgers, expected, strict=True)):
            seen = ledger.items
            if whole and not ledger.finished:
                raise LawBroken(f"output {number} was not finished")
            if whole:
                right = same_items(seen, wanted, ordered=self.law.ordered)
            elif self.law.ordered:
                right = seen == wanted[: len(seen)]
            else:
                right = not Counter(map(repr, seen)) - Counter(map(repr, wanted))
            if not right:
                raise LawBroken(f"output {number} differs\n    has    {seen}\n    wanted {wanted}")


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
