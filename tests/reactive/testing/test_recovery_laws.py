"""The simulation finds what it is there to find, and finds it again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import reactive as rx
from connectors import memory
from reactive.committing import Committing
from reactive.operator import Step, Stepwise
from reactive.pump import Pump
from reactive.testing import LawBroken, MemoryStore, check_recovery, simulation


class _Forgetful(Step[int, int]):
    def __init__(self) -> None:
        self._total = 0

    def on_chunk(self, chunk: rx.Chunk[int], out: list[rx.Signal[int]]) -> None:
        for item in chunk.items:
            self._total += item
            out.append(rx.Chunk([self._total]))


@dataclass(frozen=True)
class Forgetful(Stepwise):
    """A sum that no checkpoint has."""

    def step(self, context: rx.Context) -> Step[Any, Any]:
        return _Forgetful()


def total(before: int, n: int) -> int:
    return before + n


def scanned(numbers: rx.Stream[int]) -> rx.Stream[int]:
    return numbers.scan(total, 0)


def broken(build: Callable[..., Any] = scanned, **options: Any) -> str:
    with pytest.raises(LawBroken) as raised:
        check_recovery(build, range(30), **options)
    return str(raised.value)


def test_state_that_is_not_kept_is_found() -> None:
    told = broken(lambda numbers: numbers._then(Forgetful()))
    assert "output 0 differs" in told


def test_a_seed_makes_the_same_history_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(numbers: rx.Stream[int]) -> rx.Stream[int]:
        return numbers._then(Forgetful())

    told = broken(forgetful)
    seed = told.partition("seed ")[2].split()[0]
    assert f"REACTIVE_SEEDS={seed} python -m pytest" in told
    assert "test_a_seed_makes_the_same_history_again" in told
    assert broken(forgetful, seeds=[int(seed)]) == told
    monkeypatch.setenv("REACTIVE_SEEDS", seed)
    assert broken(forgetful) == told
    monkeypatch.setenv("REACTIVE_SEEDS", f"{seed}-{seed}")
    assert broken(forgetful) == told


def test_an_epoch_that_is_committed_before_it_is_saved_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def prepare(self: Committing, epoch: int, *, ended: bool = False) -> None:
        token = await self._writer.prepare(epoch)
        await self._writer.commit(epoch, token)
        self._coordinator.answer(self, epoch, token, ended=ended)

    monkeypatch.setattr(Committing, "prepare", prepare)
    assert "was not saved" in broken()


def test_a_position_past_what_was_given_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def put(self: Pump, barrier: rx.Barrier) -> None:
        self._position = self.source.position()
        honest(self, barrier)

    honest = Pump._put
    monkeypatch.setattr(Pump, "_put", put)
    assert "differs" in broken()


def test_a_swallowed_failure_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def finish(self: simulation._SimulatedWriter) -> None:
        with contextlib.suppress(OSError):
            await honest(self)

    honest = simulation._SimulatedWriter.finish
    monkeypatch.setattr(simulation._SimulatedWriter, "finish", finish)
    assert "was swallowed" in broken(seeds=200)


def test_what_never_ends_is_found() -> None:
    async def stuck(n: int) -> int:
        await asyncio.Event().wait()
        return n

    assert "did not end in 50000 virtual seconds" in broken(lambda numbers: numbers.map(stuck))


def test_it_refuses_to_run_within_a_loop() -> None:
    async def within() -> None:
        check_recovery(scanned, range(3))

    with pytest.raises(RuntimeError, match="not async"):
        asyncio.run(within())


async def test_runs_go_on_from_memory() -> None:
    store = MemoryStore()
    given: list[int] = []
    numbers = rx.interval(0.001).take(20).scan(total, 0)
    async with rx.start(numbers.to(memory.call(given.append)), checkpoint=rx.Checkpoint(store)):
        await asyncio.sleep(0.005)
    assert store.epochs()
    with pytest.raises(rx.CheckpointError, match="has no epoch 99"):
        store.load(99)


async def test_a_store_is_of_one_run_at_a_time() -> None:
    store = MemoryStore("ours")
    job = rx.never().to(memory.call(print))
    async with rx.start(job, checkpoint=rx.Checkpoint(store)) as run:
        with pytest.raises(rx.CheckpointError, match="ours: another run uses"):
            await rx.run(rx.of(1).to(memory.call(print)), checkpoint=rx.Checkpoint(store))
        await run.stop()
