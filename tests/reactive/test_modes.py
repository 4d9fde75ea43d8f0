"""Modes: what a plan is run as, why, and what is refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import reactive as rx
from reactive.explain import explain_jobs
from reactive.fuse import Code
from reactive.operator import Inline
from reactive.printing import Printed


@dataclass(frozen=True)
class Tell(Inline):
    """Gives the mode that it runs in for every item."""

    def emit(self, code: Code) -> None:
        code.let(code.bind("mode", "batch" if code.context.batch else "stream"))


@dataclass(frozen=True)
class AllOfIt(Tell):
    """Says that it waits for the end of its input."""

    only_in_batch: bool = False

    def without_end(self, batch: bool) -> str | None:
        return "tell windows of it instead" if batch or not self.only_in_batch else None


def tell(stream: rx.Stream[Any]) -> rx.Stream[str]:
    return stream._then(Tell())


def numbers() -> Iterator[int]:
    yield 1


async def later() -> AsyncIterator[int]:
    yield 1


BAD = rx.SideOutput[rx.DeadLetter[int]]("bad")
live = rx.interval(1)
ended = rx.range(3)

BATCH = {
    "a range": ended,
    "a list": rx.from_iterable([1]),
    "two sources": ended.merge(rx.of(1)),
    "retry of what ends": ended.retry(2),
    "a fallback that ends": ended.recover(rx.of(1)),
    "a shared stream that ends": ended.share(),
    "an iterator that is said to end": rx.from_iterable(numbers()).map(str).assume_bounded(),
    "a dead end of dead letters": ended.map(str, on_error=BAD),
}
STREAM = {
    "an interval": live,
    "as many as are taken of it": live.take(3),
    "one live source of two": ended.merge(live),
    "what zip ends": live.zip(ended),
    "an iterator, of which nothing is known": rx.from_iterable(numbers()),
    "an async iterator": rx.from_async_iterable(later()),
    "retry of what goes on": live.retry(2),
    "a fallback that goes on": ended.recover(live),
    "endless repetition": ended.repeat(),
    "inner streams": ended.concat_map(rx.of),
    "what is deferred": rx.defer(lambda: ended),
    "a shared stream that goes on": live.share(),
}


@pytest.mark.parametrize("name", BATCH)
def test_auto_is_batch_when_every_source_ends(name: str) -> None:
    explanation = BATCH[name].explain()
    assert explanation.plan.resolved.mode == "batch"
    assert "mode batch: every source ends by itself" in str(explanation)


@pytest.mark.parametrize("name", STREAM)
def test_auto_is_stream_when_a_source_goes_on(name: str) -> None:
    explanation = STREAM[name].explain()
    assert explanation.plan.resolved.mode == "stream"
    assert "mode stream: nothing says that " in str(explanation)


def test_the_reason_is_the_source() -> None:
    text = str(ended.merge(live.map(str).retry(3)).explain())
    assert f"nothing says that interval ({__file__}:" in text


def test_what_was_asked_for_is_said() -> None:
    assert "mode stream: asked for" in str(ended.explain(mode="stream"))
    assert "mode batch: asked for" in str(ended.explain(rx.Settings(mode="batch")))
    assert "mode stream: asked for" in str(
        ended.to(Printed()).explain(rx.Settings(mode="batch"), mode="stream")
    )


async def test_every_way_to_run_has_modes() -> None:
    told = tell(rx.of(1))
    assert await told.collect() == ["batch"]
    assert await told.collect(mode="stream") == ["stream"]
    assert await told.collect(rx.Settings(mode="stream")) == ["stream"]
    assert await told.collect(rx.Settings(mode="stream"), mode="batch") == ["batch"]
    assert [mode async for mode in told] == ["batch"]
    assert await told.first() == "batch"
    assert await tell(rx.from_iterable(numbers())).first() == "stream"
    async with told.open(mode="stream") as items:
        assert [mode async for mode in items] == ["stream"]
    async with told.open(rx.Settings(chunk=1)) as items:
        assert [mode async for mode in items] == ["batch"]


async def test_jobs_have_modes() -> None:
    from connectors import memory

    given: list[str] = []
    job = tell(rx.of(1)).to(memory.call(given.append))
    await rx.run(job)
    await rx.run(job, mode="stream")
    await rx.run(job, settings=rx.Settings(mode="stream"))
    await rx.run(job, settings=rx.Settings(mode="stream"), mode="batch")
    async with rx.start(job, mode="stream") as running:
        await running.wait()
    assert given == ["batch", "stream", "stream", "batch", "stream"]


async def test_all_jobs_of_a_run_have_one_mode() -> None:
    from connectors import memory

    given: list[str] = []
    came = asyncio.Event()
    told = tell(rx.of(1)).tap(given.append).to(memory.call(lambda _: came.set()))
    async with rx.start(told, live.to(memory.call(print))):
        await came.wait()
    assert given == ["stream"]


async def test_runs_within_a_run_have_its_mode() -> None:
    for mode in ("stream", "batch"):
        assert await tell(ended).take(1).retry(2).collect(mode=mode) == [mode]
        assert await tell(ended).share().take(1).collect(mode=mode) == [mode]
        inner = rx.of(1).concat_map(lambda _: tell(ended)).take(1)
        assert await inner.collect(mode=mode) == [mode]
    assert await ended.concat_map(lambda _: tell(ended)).take(1).collect() == ["stream"]


async def test_an_endless_stream_made_in_batch_runs_as_a_stream() -> None:
    made = rx.of(1).concat_map(lambda _: tell(rx.from_iterable(numbers())))
    assert await made.take(1).collect(mode="batch") == ["stream"]


@pytest.mark.parametrize("stream", [live, live.map(str).buffer(3), ended.merge(live)])
async def test_batch_of_what_goes_on_is_refused(stream: rx.Stream[Any]) -> None:
    wanted = rf"nothing says that interval \({__file__}:\d+\) does: take a part of it with take"
    with pytest.raises(rx.PlanError, match=wanted):
        await stream.collect(mode="batch")


async def test_batch_of_a_part_of_it_is_not() -> None:
    assert await tell(rx.from_iterable(numbers()).take(1)).collect(mode="batch") == ["batch"]
    zipped = tell(rx.unfold(0, lambda n: (n, n + 1)).zip(rx.of(1)))
    assert await zipped.collect(mode="batch") == ["batch"]


@pytest.mark.parametrize("mode", ["", "Batch", None, 3])
def test_what_is_no_mode_is_refused(mode: Any) -> None:
    with pytest.raises(ValueError, match="mode must be one of 'auto', 'stream', 'batch', not"):
        rx.Settings(mode=mode)


class TestWaitingForTheEnd:
    def test_of_what_never_comes_is_refused(self) -> None:
        whole = live.map(str)._then(AllOfIt())
        wanted = (
            rf"all_of_it \({__file__}:\d+\) gives nothing before its input has ended, and nothing "
            rf"says that interval \({__file__}:\d+\) ends by itself: tell windows of it instead, "
        )
        with pytest.raises(rx.PlanError, match=wanted):
            whole.explain()
        with pytest.raises(rx.PlanError, match=wanted):
            whole.take(3).explain()
        with pytest.raises(rx.PlanError, match=wanted):
            whole.retry(3).explain()

    def test_of_what_ends_is_fine(self) -> None:
        said = rx.from_iterable(numbers()).assume_bounded()
        for stream in (ended, live.take(3), live.zip(ended), live.take_for(3), said):
            assert stream._then(AllOfIt()).explain()

    def test_only_in_batch(self) -> None:
        assert live._then(AllOfIt(only_in_batch=True)).take(3).explain()
        with pytest.raises(rx.PlanError, match="all_of_it"):
            live._then(AllOfIt(only_in_batch=True)).take(3).explain(mode="batch")

    def test_a_side_output_goes_on_as_long_as_what_feeds_it(self) -> None:
        letters = BAD._then(AllOfIt()).to(Printed())
        fed = ended.map(str, on_error=BAD).to(Printed())
        assert explain_jobs([letters.planned, fed.planned])
        endless = live.map(str, on_error=BAD).retry(3).to(Printed())
        with pytest.raises(rx.PlanError, match=r"all_of_it .* nothing says that bad "):
            explain_jobs([letters.planned, endless.planned])


class TestTheCommand:
    PIPELINES = """
import reactive as rx
from dataclasses import dataclass
from reactive.operator import Inline

@dataclass(frozen=True)
class Tell(Inline):
    def emit(self, code):
        code.let(code.bind("mode", "batch" if code.context.batch else "stream"))

few = rx.of(1)._then(Tell())
live = rx.interval(1)
"""

    def command(self, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "pipelines.py").write_text(self.PIPELINES)
        command = [sys.executable, "-m", "reactive", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    def test_runs_in_a_mode(self, tmp_path: Path) -> None:
        assert self.command(tmp_path, "run", "pipelines:few").stdout == "batch\n"
        done = self.command(tmp_path, "run", "pipelines:few", "--mode", "stream")
        assert done.stdout == "stream\n"

    def test_refuses_batch_of_what_goes_on(self, tmp_path: Path) -> None:
        done = self.command(tmp_path, "run", "pipelines:live", "--mode=batch")
        assert done.returncode == 2
        assert 'reactive: mode="batch" needs what ends by itself' in done.stderr

    def test_explains_a_mode(self, tmp_path: Path) -> None:
        done = self.command(tmp_path, "explain", "pipelines:few", "--mode=stream")
        assert "mode stream: asked for" in done.stdout
