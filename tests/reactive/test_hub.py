"""Hub: broadcast to subscribers that come and go, each with its own overflow policy."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import Kept

import reactive as rx
from reactive.channel import Overflow
from reactive.testing import check_leaks, run
from reactive.testing.plugin import VirtualTime

BIT = rx.Settings(chunk=1)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def listening(stream: rx.Stream[Any], pause: float = 0.0) -> list[Any]:
    """Take one item after the other, with a pause after each."""
    given = []
    async with stream.open(BIT) as items:
        async for item in items:
            given.append(item)
            if pause:
                await asyncio.sleep(pause)
    return given


@dataclass(eq=False)
class Client:
    """A subscriber as the model sees it: when it comes and goes, how long an item keeps it busy."""

    join: float
    leave: float
    pause: float
    limit: int
    overflow: Overflow
    queue: list[int] = field(default_factory=list)
    held: int | None = None
    busy_until: float | None = None
    failing: bool = False
    gone: bool = False
    dropped: int = 0
    given: list[tuple[float, object]] = field(default_factory=list)

    def offer(self, now: float, item: int) -> None:
        if self.failing:
            return
        self.queue.append(item)
        if self.busy_until is None:
            self.take(now)
        elif self.overflow == "latest":
            self.dropped += len(self.queue) - 1
            self.queue = self.queue[-1:]
        elif len(self.queue) > self.limit:
            if self.overflow == "backpressure":
                self.held = self.queue.pop()
            elif self.overflow == "fail":
                self.queue.pop()
                self.failing = True
            else:
                self.dropped += 1
                self.queue.pop(0 if self.overflow == "drop_oldest" else -1)

    def take(self, now: float) -> None:
        """Be free for the next item, which may let the sender go on."""
        self.busy_until = None
        if self.queue:
            self.given.append((now, self.queue.pop(0)))
            self.busy_until = now + self.pause
            if self.held is not None:
                self.queue.append(self.held)
                self.held = None
        elif self.failing:
            self.finish(now, "failed")

    def finish(self, now: float, how: str) -> None:
        self.given.append((now, how))
        self.gone = True


def model(sends: list[float], clients: list[Client], closes: float) -> float:
    """Let the clients have what they get; returns when the last item was sent."""
    coming = [*enumerate(sends)]
    arriving = sorted(clients, key=lambda client: client.join)
    here: list[Client] = []
    sent = last = 0.0
    closed = sending = False

    def arrive(now: float) -> None:
        client = arriving.pop(0)
        if closed:
            client.finish(now, "end")
        else:
            here.append(client)

    def send(now: float) -> None:
        nonlocal sending
        item, _ = coming.pop(0)
        for client in here:
            client.offer(now, item)
        sending = True

    def close(now: float) -> None:
        nonlocal closed
        closed = True

    def free(now: float) -> None:
        busy = [client for client in here if client.busy_until == now]
        busy[0].take(now)

    def go(now: float) -> None:
        client = next(client for client in here if client.leave == now)
        client.gone, client.held = True, None

    while True:
        blocked = any(client.held is not None for client in here)
        if sending and not blocked:
            sent, sending = last, False
        changes: list[tuple[float, int, Callable[[float], None]]] = []
        if arriving:
            changes.append((arriving[0].join, 0, arrive))
        changes += [(client.leave, 1, go) for client in here]
        changes += [(c.busy_until, 2, free) for c in here if c.busy_until is not None]
        if coming and not blocked:
            changes.append((max(coming[0][1], last), 3, send))
        if not coming and not blocked and not closed:
            changes.append((max(closes, last), 3, close))
        if not changes:
            return sent
        now, _, happen = min(changes, key=lambda change: change[:2])
        happen(now)
        last = now
        for client in here:
            if closed and client.busy_until is None and not client.gone:
                client.finish(now, "end")
        here[:] = [client for client in here if not client.gone]


PAUSES = [0.0, 0.000713, 0.001129, 0.000871]
clients = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.integers(0, 25),
        st.integers(1, 5),
        st.integers(1, 3),
        st.sampled_from(["backpressure", "drop_oldest", "drop_newest", "latest", "fail"]),
    ),
    min_size=1,
    max_size=4,
)


@given(st.lists(st.integers(0, 15), max_size=12).map(sorted), clients)
@settings(max_examples=100, deadline=None)
def test_everyone_gets_what_its_policy_says(sends: list[float], drawn: list[Any]) -> None:
    described = [
        Client(
            join + 0.1 + 0.01 * number,
            join + stay + 0.6 + 0.01 * number,
            pause + PAUSES[number],
            limit,
            overflow,
        )
        for number, (join, stay, pause, limit, overflow) in enumerate(drawn)
    ]
    sends = [time + 0.0003 * number for number, time in enumerate(sends)]
    closes = 18.05
    hub: rx.Hub[int] = rx.Hub()
    given: list[list[tuple[float, object]]] = [[] for _ in described]
    feeds = [hub.subscribe(limit=c.limit, overflow=c.overflow) for c in described]

    async def visit(number: int) -> None:
        client, now = described[number], asyncio.get_running_loop().time
        start = now()
        mine = given[number]
        await asyncio.sleep(client.join)
        try:
            async with (
                asyncio.timeout(client.leave - client.join),
                feeds[number].open(BIT) as items,
            ):
                async for item in items:
                    mine.append((now() - start, item))
                    await asyncio.sleep(client.pause)
                mine.append((now() - start, "end"))
        except rx.OverflowFailure:
            mine.append((now() - start, "failed"))
        except TimeoutError:
            pass

    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        visits = [asyncio.ensure_future(visit(number)) for number in range(len(described))]
        for number, time in enumerate(sends):
            await asyncio.sleep(max(0.0, start + time - loop.time()))
            await hub.send(number)
        sent = loop.time() - start
        await asyncio.sleep(max(0.0, start + closes - loop.time()))
        hub.close()
        await asyncio.gather(*visits)
        assert hub.subscribers == 0
        return sent

    sent = run(main())
    expected = model(sends, described, closes)
    for client, mine, feed in zip(described, given, feeds, strict=True):
        assert [(round(time, 6), what) for time, what in mine] == [
            (round(time, 6), what) for time, what in client.given
        ]
        assert feed.dropped == client.dropped
    if sends:
        assert round(sent, 6) == round(expected, 6)


async def test_who_comes_later_gets_what_is_sent_from_then_on(virtual_time: VirtualTime) -> None:
    hub: rx.Hub[int] = rx.Hub()
    await hub.send(0)
    assert hub.subscribers == 0
    one = asyncio.ensure_future(hub.collect())
    await settled()
    await hub.send(1)
    two = asyncio.ensure_future(hub.map(str).collect())
    three = asyncio.ensure_future(hub.take(1).collect())
    await settled()
    assert hub.subscribers == 3
    hub.send_nowait(2)
    await settled()
    assert hub.subscribers == 2
    hub.send_nowait(3)
    hub.close()
    assert await asyncio.gather(one, two, three) == [[1, 2, 3], ["2", "3"], [2]]
    assert hub.subscribers == 0


async def test_a_hub_is_a_sink_whose_streams_do_not_end_it() -> None:
    hub: rx.Hub[int] = rx.Hub(name="prices")
    kept, slow = Kept(), Kept(delay=0.001)
    feed = hub.subscribe(limit=5, overflow="drop_oldest", name="client 7")
    async with rx.start(hub.to(kept), feed.to(slow)) as listeners:
        await settled()
        report = await rx.run(rx.range(2000).to(hub), rx.range(2000, 4000).to(hub))
        assert sorted(kept.items) == list(range(4000))
        assert report["prices"].items_in == 2000
        assert "prices-2" in [operator.name for operator in report.operators]
        await rx.run(rx.of(4000).to(hub))
        hub.close()
        report = await listeners.wait()
    assert kept.items[-1] == slow.items[-1] == 4000
    assert feed.dropped > 0
    assert len(slow.items) + feed.dropped == 4001
    assert report["client 7"].counters == {"dropped": feed.dropped}
    assert report["prices"].counters == {}


async def test_a_stream_that_fails_does_not_fail_the_hub_it_feeds() -> None:
    hub: rx.Hub[int] = rx.Hub()
    listener = asyncio.ensure_future(hub.collect())
    await settled()
    with pytest.raises(OSError, match="gone"):
        await rx.run(rx.of(1, 2).concat(rx.fail(OSError("gone"))).to(hub))
    await hub.send(3)
    hub.close()
    assert await listener == [1, 2, 3]


async def test_a_whole_hub_may_be_in_one_run(virtual_time: VirtualTime) -> None:
    hub: rx.Hub[int] = rx.Hub()
    kept = Kept()
    async with rx.start(hub.to(kept), rx.interval(1).take(3).to(hub)) as running:
        await asyncio.sleep(5)
        hub.close()
        await running.wait()
    assert kept.items == [0, 1, 2]


async def test_one_that_backpressures_holds_senders_and_so_everybody_back(
    virtual_time: VirtualTime,
) -> None:
    hub: rx.Hub[int] = rx.Hub(limit=2)
    quick = asyncio.ensure_future(listening(hub))
    dropping = asyncio.ensure_future(
        listening(hub.subscribe(overflow="drop_newest", limit=1), pause=100)
    )
    slow = asyncio.ensure_future(listening(hub, pause=10))
    await settled()
    for number in range(6):
        await hub.send(number)
    assert virtual_time.now == 30
    hub.close()
    assert await asyncio.gather(quick, dropping, slow) == [[*range(6)], [0, 3], [*range(6)]]


async def test_all_get_items_of_several_senders_in_one_order(virtual_time: VirtualTime) -> None:
    hub: rx.Hub[int] = rx.Hub(limit=1)
    listeners = [asyncio.ensure_future(listening(hub, pause)) for pause in (0, 0.7, 1.1, 0, 0.3)]
    await settled()

    async def send(first: int) -> None:
        for number in range(10):
            await hub.send(first + number)
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as tasks:
        for first in (0, 100, 200):
            tasks.create_task(send(first))
    hub.close()
    one, *others = await asyncio.gather(*listeners)
    assert sorted(one) == [first + number for first in (0, 100, 200) for number in range(10)]
    assert all(other == one for other in others)


async def test_a_sender_goes_on_when_the_one_it_waits_for_leaves(
    virtual_time: VirtualTime,
) -> None:
    hub: rx.Hub[int] = rx.Hub(limit=1)
    leaving = asyncio.ensure_future(listening(hub, pause=1000))
    staying = asyncio.ensure_future(listening(hub))
    await settled()
    sending = [asyncio.ensure_future(hub.send(number)) for number in range(5)]
    await asyncio.sleep(5)
    assert [task.done() for task in sending] == [True, True, False, False, False]
    leaving.cancel()
    await asyncio.gather(*sending)
    assert virtual_time.now == 5
    hub.close()
    assert await staying == [0, 1, 2, 3, 4]


async def test_a_cancelled_send_has_reached_who_had_room_and_the_next_has_its_turn(
    virtual_time: VirtualTime,
) -> None:
    hub: rx.Hub[int] = rx.Hub(limit=1)
    slow = asyncio.ensure_future(listening(hub, pause=10))
    quick = asyncio.ensure_future(listening(hub))
    await settled()
    sending = [asyncio.ensure_future(hub.send(number)) for number in range(5)]
    await asyncio.sleep(5)
    sending[2].cancel()
    await asyncio.gather(*sending, return_exceptions=True)
    hub.close()
    assert await slow == [0, 1, 3, 4]
    assert await quick == [0, 1, 2, 3, 4]
    assert sending[2].cancelled()


async def test_send_nowait_gives_to_all_or_to_nobody() -> None:
    hub: rx.Hub[int] = rx.Hub()
    patient = hub.subscribe(limit=2, name="patient")
    losing = hub.subscribe(limit=1, overflow="drop_oldest")
    streams = asyncio.gather(patient.collect(), losing.collect())
    await settled()
    hub.send_nowait(0)
    hub.send_nowait(1)
    with pytest.raises(rx.OverflowFailure, match=r"patient is full \(2 items\), so nobody"):
        hub.send_nowait(2)
    hub.close()
    assert await streams == [[0, 1], [1]]
    assert (patient.dropped, losing.dropped) == (0, 1)


@pytest.mark.parametrize("error", [None, OSError("gone")])
async def test_the_end_comes_after_what_was_sent(error: Exception | None) -> None:
    hub: rx.Hub[int] = rx.Hub()
    given: list[int] = []
    early = asyncio.ensure_future(hub.tap(given.append).collect())
    await settled()
    await hub.send(1)
    hub.close() if error is None else hub.fail(error)
    hub.close()
    late = asyncio.ensure_future(hub.subscribe(limit=3).collect())
    results = await asyncio.gather(early, late, return_exceptions=True)
    assert results == ([[1], []] if error is None else [error, error])
    assert given == [1]
    with pytest.raises(rx.StreamClosedError, match="hub was closed"):
        hub.send_nowait(2)
    with pytest.raises(rx.StreamClosedError, match="hub was closed"):
        await hub.send(2)
    with pytest.raises(rx.StreamClosedError, match="hub was closed"):
        await rx.run(rx.of(1).to(hub))


async def test_a_sender_that_waits_is_told_of_the_end(virtual_time: VirtualTime) -> None:
    hub: rx.Hub[int] = rx.Hub(limit=1)
    slow = asyncio.ensure_future(listening(hub, pause=10))
    await settled()
    await hub.send(0)
    await settled()
    await hub.send(1)
    waiting = asyncio.ensure_future(hub.send(2))
    await settled()
    hub.close()
    with pytest.raises(rx.StreamClosedError, match="closed before there was room"):
        await waiting
    assert await slow == [0, 1]


async def test_stopping_a_subscriber_lets_it_finish(virtual_time: VirtualTime) -> None:
    hub: rx.Hub[int] = rx.Hub()
    kept = Kept(delay=1)
    async with rx.start(hub.to(kept), settings=BIT) as running:
        await settled()
        for number in range(4):
            await hub.send(number)
        stopping = asyncio.ensure_future(running.stop(drain=True))
        await settled()
        assert hub.subscribers == 0
        await hub.send(99)
        await stopping
    assert kept.items == [0, 1, 2, 3]


async def test_subscribers_leave_nothing_behind() -> None:
    hub: rx.Hub[int] = rx.Hub()
    async with check_leaks():
        for rounds in range(8):
            task = asyncio.ensure_future(hub.subscribe().collect())
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert hub.subscribers == 0


async def test_threads_may_send() -> None:
    hub: rx.Hub[int] = rx.Hub(limit=2)
    listener = asyncio.ensure_future(listening(hub, pause=0.001))
    await settled()

    def produce() -> None:
        for number in range(5):
            hub.send_from_thread(number)

    await asyncio.to_thread(produce)
    with pytest.raises(RuntimeError, match=r"wait for itself; use await hub\.send\(item\)"):
        hub.send_from_thread(1)
    hub.close()
    assert await listener == [0, 1, 2, 3, 4]
    with pytest.raises(rx.StreamClosedError):
        await asyncio.to_thread(hub.send_from_thread, 1)


async def test_a_thread_waits_no_longer_than_it_wants() -> None:
    hub: rx.Hub[int] = rx.Hub(limit=1)
    slow = asyncio.ensure_future(listening(hub, pause=60))
    await settled()
    for number in range(2):
        await hub.send(number)
        await settled()
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(hub.send_from_thread, 2, 0.01)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow


def test_loops_one_after_another_may_use_it_and_two_at_once_may_not() -> None:
    hub: rx.Hub[int] = rx.Hub()
    with pytest.raises(RuntimeError, match="send_from_thread needs a Hub that was made in"):
        hub.send_from_thread(1)

    async def first(count: int) -> list[int]:
        reading = asyncio.ensure_future(hub.take(count).collect())
        await settled()
        await hub.send(1)
        return await reading

    assert asyncio.run(first(1)) == asyncio.run(first(1)) == [1]

    async def elsewhere(work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        with pytest.raises(RuntimeError, match="hub is in use in another event loop; make a hub"):
            await asyncio.to_thread(asyncio.run, work())

    async def beside() -> None:
        reading = asyncio.ensure_future(hub.collect())
        await settled()
        await elsewhere(lambda: hub.take(1).collect())
        await elsewhere(lambda: hub.send(1))
        for call in (lambda: hub.send_nowait(1), hub.close):
            with pytest.raises(RuntimeError, match=r"or use hub\.send_from_thread"):
                await asyncio.to_thread(call)
        hub.close()
        assert await reading == []

    asyncio.run(beside())


def test_it_does_not_pickle() -> None:
    hub: rx.Hub[int] = rx.Hub()
    for what in (hub, hub.map(str), hub.subscribe(), hub.subscribe().map(str)):
        with pytest.raises(TypeError, match="a Hub belongs to one program and does not pickle"):
            pickle.dumps(what)


def test_it_tells_what_it_is() -> None:
    hub: rx.Hub[int] = rx.Hub(10, overflow="latest", name="prices")
    assert repr(hub) == "<Hub prices(limit=10 items, overflow=latest)>"
    feed = hub.subscribe(limit=5)
    assert repr(feed) == "<Subscription prices(limit=5 items, overflow=latest)>"
    assert "prices (limit: 10 items, overflow: latest) [source, unbounded]" in str(hub.explain())


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="limit must be at least 1"):
        rx.Hub(0)
    with pytest.raises(TypeError, match="limit must be a whole number"):
        rx.Hub[int]().subscribe(limit=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="overflow must be one of"):
        rx.Hub[int]().subscribe(overflow="block")  # type: ignore[arg-type]


def test_a_thread_does_not_wait_for_a_loop_that_was_closed() -> None:
    failures: list[BaseException] = []

    async def make() -> rx.Hub[int]:
        return rx.Hub()

    loop = asyncio.new_event_loop()
    hub = loop.run_until_complete(make())
    called = threading.Event()
    call_soon = loop.call_soon_threadsafe

    def call_soon_threadsafe(*args: Any, **kwargs: Any) -> Any:
        handle = call_soon(*args, **kwargs)
        called.set()
        return handle

    loop.call_soon_threadsafe = call_soon_threadsafe  # type: ignore[assignment, method-assign]

    def send() -> None:
        try:
            hub.send_from_thread(1)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    called.wait(5)
    loop.close()
    thread.join(5)
    assert not thread.is_alive()
    assert [type(failure) for failure in failures] == [rx.StreamClosedError]
