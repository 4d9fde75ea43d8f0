"""Ways to run, and how every one of them ends: closed, with the right exception."""

from __future__ import annotations

import asyncio
import gc
import signal

import pytest
import structlog
from parts import Kept, Probe

import reactive as rx
from reactive.testing.plugin import VirtualTime


async def test_describing_does_nothing() -> None:
    probe = Probe([1])
    stream = probe.stream.map(str).merge(rx.interval(1)).batch(2, within=1)
    job = stream.to(Kept())
    repr(stream), repr(job), str(job.explain()), job.explain().mermaid()
    assert probe.opened == probe.reads == 0


async def test_iterating_runs_in_the_consumers_own_task() -> None:
    tasks = set()
    async for _ in rx.range(100).map(lambda _: tasks.add(asyncio.current_task())).batch(3):
        assert len(asyncio.all_tasks()) == 1
    assert tasks == {asyncio.current_task()}


@pytest.mark.parametrize("size", [1, 2, 7, 1000, 5000])
async def test_iterating_gives_every_item_once(size: int) -> None:
    settings = rx.Settings(chunk=size)
    async with rx.range(10_000).open(settings) as items:
        assert [item async for item in items] == list(range(10_000))


async def test_a_blueprint_runs_many_times_and_concurrently() -> None:
    stream = rx.range(100).enumerate().map(lambda pair: sum(pair)).batch(7)
    first = await stream.collect()
    assert await asyncio.gather(*[stream.collect() for _ in range(5)]) == [first] * 5


async def test_open_closes_before_the_block_is_left(virtual_time: VirtualTime) -> None:
    probe = Probe(endless=True, delay=1, slow_close=2)
    async with probe.stream.merge(rx.never()).open() as items:
        async for _ in items:
            break
        assert probe.closed == 0
    assert probe.closed == 1
    assert len(asyncio.all_tasks()) == 1


async def test_a_bare_loop_left_by_break_warns_and_closes(virtual_time: VirtualTime) -> None:
    probe = Probe(endless=True, delay=1)

    async def consume() -> None:
        async for _ in probe.stream:
            break

    with pytest.warns(ResourceWarning, match=r"use `async with stream.open\(\) as items`"):
        await consume()
        gc.collect()
        await asyncio.sleep(0.1)
    assert probe.closed == 1


async def test_closing_the_iterator_explicitly_does_not_warn() -> None:
    probe = Probe(endless=True)
    items = aiter(probe.stream)
    assert await anext(items) == 0
    await items.aclose()  # type: ignore[attr-defined]
    await items.aclose()  # type: ignore[attr-defined]
    assert probe.closed == 1
    with pytest.raises(StopAsyncIteration):
        await anext(items)


async def test_closing_before_the_first_pull_opens_nothing() -> None:
    probe = Probe([1])
    async with probe.stream.open():
        pass
    assert probe.opened == 0


async def test_after_the_end_every_pull_says_so() -> None:
    items = aiter(rx.range(1))
    assert [item async for item in items] == [0]
    for _ in range(3):
        with pytest.raises(StopAsyncIteration):
            await anext(items)


async def test_after_a_failure_every_pull_says_the_end() -> None:
    items = aiter(rx.fail(OSError("once")))
    with pytest.raises(OSError, match="once"):
        await anext(items)
    with pytest.raises(StopAsyncIteration):
        await anext(items)


async def test_an_open_cannot_be_entered_twice() -> None:
    opened = rx.range(3).open()
    async with opened:
        pass
    with pytest.raises(rx.PlanError, match=r"call stream\.open"):
        async with opened:
            pass


async def test_run_reports_counters_and_seconds(virtual_time: VirtualTime) -> None:
    kept = Kept()
    job = Probe([1, 2, 3], delay=1).stream.map(str).named("text").to(kept)
    report = await rx.run(job)
    assert kept.items == ["1", "2", "3"]
    assert kept.finished == kept.closed == 1
    assert report.seconds == pytest.approx(4)
    assert (report["text"].items_in, report["text"].items_out) == (3, 3)
    assert report["kept"].items_in == 3
    with pytest.raises(KeyError, match="no operator named 'nope'"):
        report["nope"]


async def test_run_refuses_what_is_no_job() -> None:
    with pytest.raises(TypeError, match="at least one job"):
        await rx.run()
    with pytest.raises(TypeError, match=r"make one with stream.to\(sink\)"):
        await rx.run(rx.of(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="needs a sink"):
        rx.of(1).to(print)  # type: ignore[arg-type]


async def test_one_failing_job_stops_the_others(virtual_time: VirtualTime) -> None:
    probe, kept = Probe(endless=True, delay=1), Kept()
    with pytest.raises(OSError, match="late"):
        await rx.run(
            probe.stream.to(kept),
            rx.timer(3.5).flat_map(lambda _: 1 / 0, on_error="skip").to(Kept()),
            rx.timer(3.5).concat(rx.fail(OSError("late"))).to(Kept()),
        )
    assert probe.closed == 1
    assert (kept.items, kept.finished, kept.closed) == ([0, 1, 2], 0, 1)


async def test_two_failures_at_once_form_a_group(virtual_time: VirtualTime) -> None:
    def job(error: Exception) -> rx.Job:
        def fail(_: int) -> None:
            raise error

        return rx.timer(1).map(fail).to(Kept())

    with pytest.raises(ExceptionGroup) as caught:
        await rx.run(job(OSError("a")), job(KeyError("b")))
    assert {type(error) for error in caught.value.exceptions} == {OSError, KeyError}


async def test_one_failure_seen_by_two_jobs_is_raised_once() -> None:
    shared = rx.fail(OSError("shared"))
    with pytest.raises(OSError, match="shared"):
        await rx.run(shared.map(str).to(Kept()), shared.map(repr).to(Kept()))


async def test_start_runs_beside_the_block_and_drains_on_leaving(
    virtual_time: VirtualTime,
) -> None:
    probe, kept = Probe(endless=True, delay=1), Kept()
    async with rx.start(probe.stream.map(lambda x: x * 10).to(kept)) as run:
        await asyncio.sleep(2.5)
        assert run.running and not run.failed
        assert kept.items == [0, 10]
    assert (kept.items, kept.finished, kept.closed) == ([0, 10], 1, 1)
    assert not run.running


async def test_stop_with_drain_takes_no_more_and_loses_nothing(virtual_time: VirtualTime) -> None:
    probe, kept = Probe(endless=True, delay=0.01), Kept(delay=1)
    async with rx.start(probe.stream.buffer(50).to(kept)) as run:
        await asyncio.sleep(1.5)
        given = probe.given
        report = await run.stop(drain=True)
        assert probe.closed == 1
    assert kept.items == list(range(len(kept.items)))
    assert given <= len(kept.items) == probe.given
    assert report["kept"].items_in == probe.given


async def test_stop_without_drain_discards(virtual_time: VirtualTime) -> None:
    probe, kept = Probe(endless=True, delay=0.01), Kept(delay=1)
    async with rx.start(probe.stream.buffer(50).to(kept)) as run:
        await asyncio.sleep(1.5)
        await run.stop(drain=False)
        assert (kept.finished, kept.closed, probe.closed) == (0, 1, 1)


async def test_an_exception_in_the_block_cancels_and_surfaces(virtual_time: VirtualTime) -> None:
    probe, kept = Probe(endless=True, delay=1), Kept()
    with pytest.raises(ValueError, match="mine"):
        async with rx.start(probe.stream.to(kept)):
            await asyncio.sleep(1.5)
            raise ValueError("mine")
    assert (kept.finished, kept.closed, probe.closed) == (0, 1, 1)


async def test_a_job_that_fails_meanwhile_is_raised_on_leaving(virtual_time: VirtualTime) -> None:
    with pytest.raises(OSError, match="probe failed"):
        async with rx.start(Probe(endless=True, fail_at=2).stream.to(Kept())) as run:
            await asyncio.sleep(1)
            assert run.failed


async def test_waiting_raises_as_soon_as_a_job_fails(virtual_time: VirtualTime) -> None:
    async with rx.start(
        Probe(endless=True, delay=1, fail_at=2).stream.to(Kept()), rx.never().to(Kept())
    ) as run:
        with pytest.raises(OSError, match="probe failed"):
            await run.wait()
        assert virtual_time.now == pytest.approx(3)


async def test_states_tell_who_waits_for_whom(virtual_time: VirtualTime) -> None:
    async with rx.start(
        rx.range(10_000).named("fast").buffer(10).named("wait").to(Kept(delay=100)),
        rx.interval(50).named("slow").to(Kept()),
    ) as run:
        await asyncio.sleep(1)
        states = {region.name: region.state for region in run.regions()}
        assert states == {
            "fast": "blocked by wait",
            "wait": "blocked by kept",
            "slow": "waiting for slow",
        }
        assert run.metrics()["wait"].gauges["depth"] == 10
        await run.stop(drain=False)


async def test_embedding_touches_no_signal_handler() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with rx.start(rx.never().to(Kept())) as run:
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
        await run.stop()


async def test_a_stream_used_twice_runs_once_and_feeds_both() -> None:
    probe = Probe(list(range(50)))
    shared = probe.stream.map(lambda x: x + 1)
    a, b = Kept(), Kept()
    await rx.run(shared.filter(lambda x: x % 2).to(a), shared.batch(10).to(b))
    assert probe.opened == probe.closed == 1
    assert a.items == [x for x in range(1, 51) if x % 2]
    assert [x for batch in b.items for x in batch] == list(range(1, 51))


async def test_the_slower_branch_sets_the_pace(virtual_time: VirtualTime) -> None:
    settings = rx.Settings(chunk=1, edge=4)
    shared = Probe(endless=True).stream
    slow, fast = Kept(delay=1), Kept()
    async with rx.start(shared.to(slow), shared.to(fast), settings=settings) as run:
        await asyncio.sleep(100)
        await run.stop(drain=False)
    assert 0 < len(fast.items) - len(slow.items) <= 4 + 2


async def test_a_branch_that_ends_early_does_not_hold_the_other() -> None:
    probe = Probe(list(range(5000)))
    a, b = Kept(), Kept()
    await rx.run(probe.stream.take(3).to(a), probe.stream.to(b))
    assert (a.items, len(b.items)) == ([0, 1, 2], 5000)


async def test_a_diamond_with_a_filter_does_not_lock_up() -> None:
    shared = rx.range(20_000)
    rare = shared.filter(lambda x: x % 1000 == 0)
    pairs = await rx.range(5).zip(shared.merge(rare).filter(lambda x: x % 4000 == 0)).collect()
    assert len(pairs) == 5


async def test_what_is_never_asked_for_is_never_opened() -> None:
    first, second = Probe([1, 2]), Probe([3])
    shared = second.stream
    assert await first.stream.concat(shared, shared).take(2).collect() == [1, 2]
    assert second.opened == 0


async def test_upstream_is_closed_when_downstream_needs_no_more(virtual_time: VirtualTime) -> None:
    probe = Probe(endless=True, delay=1)
    kept = Kept()
    await rx.run(probe.stream.buffer(5).take(3).to(kept))
    assert kept.items == [0, 1, 2]
    assert probe.closed_at == pytest.approx(3)


async def test_branches_that_wait_for_each_other_are_reported(virtual_time: VirtualTime) -> None:
    shared = rx.range(10_000)
    lagging = shared.zip(shared.skip(5000))
    with structlog.testing.capture_logs() as events, pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await lagging.first()
    assert [event["event"] for event in events] == ["full_branch_holds_back_others"]
    assert events[0]["full"] == ["range -> zip"]
    assert await shared.buffer(6000).zip(shared.skip(5000)).count() == 5000
