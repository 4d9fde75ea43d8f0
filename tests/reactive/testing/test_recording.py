"""Marble streams and recordings, on the real engine in virtual time."""

from __future__ import annotations

import asyncio

import pytest

import reactive as rx
from reactive.testing import DeadlockError, run
from reactive.testing.marbles import End, Failure, Item, MarbleError
from reactive.testing.recording import Marbles, assert_marbles, cold, record

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize(
    "diagram", ["|", "a|", "-a-b-|", "-(ab)-c|", "-a 30s b 250ms |", "-a-(b|)", "#", "-a-#", "(a#)"]
)
async def test_a_cold_stream_does_what_its_diagram_draws(diagram: str) -> None:
    await assert_marbles(cold(diagram), diagram)


async def test_every_run_begins_anew() -> None:
    stream = cold("-a-|")
    await asyncio.sleep(0.5)
    assert (await record(stream)).diagram() == "-a-|"
    both = await asyncio.gather(record(stream), record(stream))
    assert [recording.diagram() for recording in both] == ["-a-|", "-a-|"]


async def test_values_errors_and_frames() -> None:
    error = LookupError("gone")
    recording = await record(cold("-a-#", {"a": [1]}, error, frame=0.25))
    assert recording.events == (Item(0.25, [1]), Failure(0.75, error))
    assert recording.items == [[1]]
    assert recording.diagram({"x": [1]}, frame=0.25) == "-x-#"
    assert str(recording) == "-a-#" or "a = [1]" in str(recording)


async def test_items_that_are_late_come_at_once() -> None:
    async def slow(item: str) -> str:
        await asyncio.sleep(2.5)
        return item

    await assert_marbles(cold("-abc|").map(slow), "- 2.5s a 1.5s b 1.5s (c|)")


async def test_until_ends_a_recording() -> None:
    assert (await record(cold("-a-b-c"), until=3)).events == (Item(1.0, "a"),)
    assert (await record(cold("-a-b-c"), until=3.1)).items == ["a", "b"]


def test_silence_for_ever_is_a_deadlock() -> None:
    with pytest.raises(DeadlockError):
        run(record(cold("-a")))


async def test_a_timeout_error_of_the_stream_is_its_failure() -> None:
    recording = await record(cold("-#", error=TimeoutError("its own")), until=5)
    assert isinstance(recording.events[0], Failure)


def test_real_time_is_refused() -> None:
    with pytest.raises(RuntimeError, match="need virtual time"):
        asyncio.run(record(rx.of(1)))


async def test_a_subscription_in_a_cold_diagram_is_refused() -> None:
    with pytest.raises(ValueError, match="means nothing"):
        cold("-^a|")


class TestAssertMarbles:
    async def test_operators(self) -> None:
        await assert_marbles(cold("-a-b-|").take(1), "-(a|)")
        await assert_marbles(cold("-a-b-|").map(str.upper), "-A-B-|")
        await assert_marbles(cold("a-b-|").merge(cold("-c-d|")), "acbd|")
        await assert_marbles(
            cold("abc 20s d|").batch(2, within=5),
            "-x 5s y 16s (z|)",
            {"x": ["a", "b"], "y": ["c"], "z": ["d"]},
        )

    async def test_silence_must_last(self) -> None:
        await assert_marbles(cold("-a"), "-a----")
        with pytest.raises(AssertionError):
            await assert_marbles(cold("-a-|"), "-a----")

    async def test_an_end_must_come(self) -> None:
        with pytest.raises(AssertionError):
            await assert_marbles(cold("-a"), "-a-|")
        with pytest.raises(AssertionError):
            await assert_marbles(rx.interval(1), "-a-|", {"a": 0})

    async def test_both_diagrams_are_shown(self) -> None:
        with pytest.raises(AssertionError) as caught:
            await assert_marbles(cold("-a--b|"), "-a-b-|")
        assert "expected  -a-b-|" in str(caught.value)
        assert "given     -a--b|" in str(caught.value)

    async def test_failures(self) -> None:
        await assert_marbles(cold("-#", error=OSError("x")), "-#")
        await assert_marbles(cold("-#", error=OSError("x")), "-#", error=OSError("x"))
        await assert_marbles(cold("-#"), "-#", error=MarbleError("# in the diagram"))
        with pytest.raises(AssertionError, match=r"# is OSError\('x'\)"):
            await assert_marbles(cold("-#", error=OSError("x")), "-#", error=OSError("y"))
        with pytest.raises(AssertionError):
            await assert_marbles(cold("-#", error=OSError("x")), "-|")

    async def test_equal_is_not_enough_when_late(self) -> None:
        with pytest.raises(AssertionError):
            await assert_marbles(cold("- 1ms a|"), "-a|")


async def test_the_fixture(marbles: Marbles) -> None:
    stream = marbles.cold("-a-|", {"a": 1})
    await marbles.check(stream, "-b-|", {"b": 1})
    assert (await marbles.record(stream, until=0.5)).events == ()
    assert (await Marbles(frame=0.1).record(cold("a|"))).events == (Item(0.0, "a"), End(1.0))
