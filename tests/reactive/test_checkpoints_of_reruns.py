"""State of operators that `retry` runs anew: a checkpoint has what they hold now, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recovery import Ledger, LedgerSink, Ticks, run_to_the_end

import reactive as rx
from reactive.testing import VirtualTimeLoop


class Counting(rx.KeyedProcess[int, int, tuple[int, int]]):
    count = rx.ValueState(0)

    def on_item(self, item: int, context: Any) -> Iterator[tuple[int, int]]:
        self.count += 1
        yield context.key, self.count


def given(folder: Path, cuts: list[tuple[float, bool]]) -> list[Any]:
    ledger = Ledger()
    failed: list[int] = []

    def fails_at_five(counted: tuple[int, int]) -> tuple[int, int]:
        if counted == (5, 1) and not failed:
            failed.append(5)
            raise OSError("once")
        return counted

    def jobs() -> list[rx.Job]:
        counted = rx.from_source(Ticks(40, 1.0)).key_by(lambda n: n % 20).process(Counting)
        again = counted.map(fails_at_five).retry(rx.Backoff(1, jitter=0))
        return [again.to(LedgerSink(ledger))]

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(run_to_the_end(folder / "state.db", jobs, cuts, 0.9))
    return ledger.items


@pytest.mark.parametrize("seconds", [8.5, 12.3, 30.1])
def test_what_was_held_before_is_not_mixed_in(tmp_path: Path, seconds: float) -> None:
    (tmp_path / "whole").mkdir()
    assert given(tmp_path, [(seconds, False)]) == given(tmp_path / "whole", [])


@pytest.mark.parametrize(
    "again",
    [
        lambda stream: stream.retry(rx.Backoff(1000, maximum=1000, jitter=0)),
        lambda stream: stream.restart(rx.Backoff(1000, maximum=1000, jitter=0)),
        lambda stream: stream.map(abs).repeat(2, pause=1000),
    ],
    ids=["retry", "restart", "repeat"],
)
def test_a_pause_holds_up_neither_checkpoints_nor_a_drain(tmp_path: Path, again: Any) -> None:
    ledger = Ledger()
    failed: list[int] = []

    def fails_at_five(n: int) -> int:
        if n == 5 and not failed:
            failed.append(n)
            raise OSError("once")
        return n

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stream = again(rx.from_source(Ticks(8, 1.0)).map(fails_at_five)).scan(max, 0)
        checkpoint = rx.Checkpoint(tmp_path / "state.db", every=400)
        async with rx.start(stream.to(LedgerSink(ledger)), checkpoint=checkpoint) as run:
            await asyncio.sleep(20)
            for _ in range(2):
                await run.checkpoint()
                assert loop.time() == 20
            committed = list(ledger.items)
            assert committed
            await asyncio.sleep(500)
            await run.stop()
            assert loop.time() == 520
        assert ledger.items == committed

    failed.extend([5] if "repeat" in repr(again(rx.never())) else [])
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
