"""A checkpoint waits a fraction of a second for what is under way, however slow a pipeline is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from recovery import Ledger, LedgerSink, LedgerWriter
from slow_program import COUNT

import reactive as rx
from connectors import memory
from reactive.testing import VirtualTimeLoop

SECONDS = 5.0
PROGRAM = Path(__file__).with_name("slow_program.py")


async def slowly(item: Any) -> Any:
    await asyncio.sleep(0.01)
    return item


def many() -> rx.Stream[int]:
    return rx.from_iterable(list(range(1_000_000)))


class Timed(dict[int, list[Any]]):
    """When each epoch was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def setdefault(self, epoch: int, token: Any = None) -> Any:
        self.times.append(asyncio.get_running_loop().time())
        return super().setdefault(epoch, token)


def committed(folder: Path, jobs: Callable[[rx.Sink[Any]], Sequence[rx.Job]]) -> list[float]:
    """When epochs were committed, in a run of some seconds with a checkpoint each second."""
    epochs = Timed()

    async def main() -> None:
        made = jobs(LedgerSink(Ledger(epochs)))
        checkpoint = rx.Checkpoint(folder / "state.db", every=1)
        async with rx.start(*made, checkpoint=checkpoint, mode="stream") as run:
            await asyncio.sleep(SECONDS)
            await run.stop(drain=False)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    return epochs.times


BAD = rx.SideOutput[rx.DeadLetter[int]]("bad")


def refuse(n: int) -> int:
    if n % 10:
        raise ValueError(n)
    return n


SLOW: dict[str, Callable[[rx.Stream[int], rx.Sink[Any]], Sequence[rx.Job]]] = {
    "map": lambda s, out: [s.map(slowly).to(out)],
    "calls": lambda s, out: [s.map(slowly, concurrency=2).to(out)],
    "edges": lambda s, out: [s.map(abs).prefetch(500).map(abs).buffer(2000).map(slowly).to(out)],
    "bytes": lambda s, out: [s.map(bytes).buffer(10**6, unit="bytes").map(slowly).to(out)],
    "zip": lambda s, out: [s.map(abs).zip(s.skip(20)).map(slowly).to(out)],
    "merge": lambda s, out: [rx.merge(s, many()).map(slowly).to(out)],
    "merge_map": lambda s, out: [s.merge_map(rx.of).map(slowly).to(out)],
    "slow branch": lambda s, out: [s.to(out), s.map(slowly).to(memory.call(abs))],
    "slow sink": lambda s, out: [s.to(out), s.to(memory.call(slowly))],
    "side": lambda s, out: [s.map(refuse, on_error=BAD).to(out), BAD.to(memory.call(slowly))],
}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_pipeline_commits_each_second(tmp_path: Path, name: str) -> None:
    times = committed(tmp_path, lambda out: SLOW[name](many(), out))
    assert times[0] < 1, "the first comes early"
    assert max(b - a for a, b in pairwise([*times, SECONDS])) < 2


def live(folder: Path, most: int) -> int | None:
    """Start the program, and kill it when it has handled so many items; its status if it ended."""
    with subprocess.Popen([sys.executable, PROGRAM, folder], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if len(process.stdout.read(most)) < most:
            return process.wait()
        process.kill()
        return None


def test_a_slow_pipeline_that_is_killed_soon_comes_to_its_end(tmp_path: Path) -> None:
    """It is killed when it has handled 60 items: far fewer than an edge may hold."""
    assert live(tmp_path, 60) is None
    for _ in range(COUNT):
        if (status := live(tmp_path, 60)) is not None:
            break
    assert status == 0
    assert (tmp_path / "out.jsonl").read_text() == "".join(f"{n}\n" for n in range(COUNT))


@dataclass(frozen=True, eq=False)
class Bulk(LedgerSink):
    """Makes one request of all that it is given at once."""

    fixed: float = 0.3
    each: float = 0.0

    def writer(self, context: rx.Context) -> rx.Writer[Any]:
        return BulkWriter(self)


class BulkWriter(LedgerWriter):
    def __init__(self, bulk: Bulk) -> None:
        super().__init__(bulk.ledger)
        self._bulk = bulk

    async def write(self, chunk: rx.Chunk[Any]) -> None:
        await asyncio.sleep(self._bulk.fixed + self._bulk.each * len(chunk))
        await super().write(chunk)


@pytest.mark.parametrize(
    ("fixed", "each", "part"), [(0.3, 0, 0.7), (0.04, 0, 0.9), (0.3, 0.001, 0.4), (0, 1e-6, 0.9)]
)
def test_a_sink_gets_as_much_at_once_as_it_is_quick_with(
    tmp_path: Path, fixed: float, each: float, part: float
) -> None:
    """With `part` of the speed that it would have if an edge held as much as it may."""
    ledger = Ledger()

    async def main() -> None:
        job = rx.merge(many(), many()).to(Bulk(ledger, fixed, each))
        async with rx.start(job, checkpoint=tmp_path / "state.db", mode="stream") as run:
            await asyncio.sleep(30 if fixed else 0.1)
            await run.stop()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    most = 1024 / (fixed + 1024 * each)
    assert len(ledger.items) > part * most * (30 if fixed else 0.1)


def far(s: rx.Stream[int], by: int) -> rx.Stream[Any]:
    """One branch is so many items ahead of the other, which the edges between them have to hold."""
    return s.map(abs).prefetch(1024).map(abs).zip(s.skip(by))


BRANCHES: dict[str, Callable[[rx.Stream[int]], rx.Stream[Any]]] = {
    "one edge": lambda s: s.map(abs).zip(s.skip(900)),
    "edges in line": lambda s: far(s, 2500),
    "slow behind it": lambda s: far(s, 2500).map(slowly),
    "one within another": lambda s: far(s, 500).map(lambda pair: pair[0]).zip(s.skip(600)),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_that_is_ahead_is_not_held_back(tmp_path: Path, name: str) -> None:
    ledger = Ledger()
    job = BRANCHES[name](rx.from_iterable(range(4000))).to(LedgerSink(ledger))

    async def main() -> None:
        async with asyncio.timeout(500):
            await rx.run(job, checkpoint=tmp_path / "state.db", mode="stream")

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    assert len(ledger.items) >= 1500
