"""What comes out of runs that are cut off and go on is what one run would have given."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from recovery import Ledger, LedgerSink, Ticks, run_to_the_end
from recovery_pipelines import CASES

import reactive as rx
from reactive.testing import MemoryStore, VirtualTimeLoop, check_recovery

SEEDS = 40


@pytest.mark.parametrize("name", CASES)
def test_whatever_happens(name: str) -> None:
    case = CASES[name]
    check_recovery(case.build, *case.inputs, ordered=case.ordered, seeds=SEEDS)


@pytest.mark.parametrize("name", ["tumbling", "sessions", "process", "fan-out", "two feeders"])
def test_whatever_happens_in_batch(name: str) -> None:
    case = CASES[name]
    check_recovery(case.build, *case.inputs, ordered=case.ordered, mode="batch", seeds=SEEDS)


ON_DISK = ("scan", "tumbling", "sessions", "process", "fan-out", "dead letters", "window join")


@pytest.mark.parametrize("name", ON_DISK)
def test_going_on_from_a_database(name: str, tmp_path: Path) -> None:
    case = CASES[name]

    def play(cuts: list[tuple[float, bool]], store: Path) -> list[list[object]]:
        ledgers: list[Ledger] = []

        def jobs() -> list[rx.Job]:
            built = case.build(
                *(
                    rx.from_source(Ticks(len(items), 1.0)).map(lambda n, items=items: items[n])
                    for items in case.inputs
                )
            )
            outputs = [built] if isinstance(built, rx.Stream) else list(built)
            ledgers.extend(Ledger() for _ in outputs[len(ledgers) :])
            pairs = zip(outputs, ledgers, strict=True)
            return [output.to(LedgerSink(ledger)) for output, ledger in pairs]

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(run_to_the_end(store, jobs, cuts, 2.5))
        assert all(ledger.finished for ledger in ledgers)
        return [ledger.items for ledger in ledgers]

    whole = play([], tmp_path / "whole.db")
    given = play([(9.7, False), (5.2, True), (8.3, False)], tmp_path / "state.db")
    if case.ordered:
        assert given == whole
    else:
        assert [Counter(map(repr, items)) for items in given] == [
            Counter(map(repr, items)) for items in whole
        ]


async def test_an_epoch_that_has_left_one_attempt_is_not_of_the_next(
    virtual_time: object,
) -> None:
    async def long(n: int) -> int:
        await asyncio.sleep(20)
        return n

    ledgers = [Ledger(), Ledger()]
    store = MemoryStore()

    def jobs() -> list[rx.Job]:
        numbers = rx.from_source(Ticks(5, 1.0))
        # The epoch of 3.5 s leaves `repeat` at once, and lasts for a minute of calls.
        twice, slow = numbers.repeat(2), rx.from_source(Ticks(6, 1.0)).map(long)
        pairs = zip((twice, slow), ledgers, strict=True)
        return [stream.to(LedgerSink(ledger)) for stream, ledger in pairs]

    checkpoint = rx.Checkpoint(store, every=3.5)
    await run_to_the_end(checkpoint, jobs, [(90.0, False)])
    assert ledgers[0].items == [*range(5), *range(5)]
    assert ledgers[1].items == [*range(6)]
