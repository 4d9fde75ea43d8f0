"""Joins in windows on disk: results are the same with a budget of memory for a few keys as
without; within a window keys come in another order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from disorder import HOWS, Event, Pair, bounds, by_key, cuts, items_of, two_inputs, whole_and_rest
from feeds import Feed, examples, pairs, signals
from hypothesis import given
from hypothesis import strategies as st
from test_window_joins import GAP, WINDOWS

import reactive as rx
from connectors import memory
from reactive.testing.virtual_time import run

MEMORY = st.sampled_from([1, 1, 3_000])


async def check(stream: rx.Stream[Any], settings: rx.Settings, memory: int) -> None:
    within = replace(settings, state_memory=memory)
    expected = pairs(await signals(stream, settings))
    given = pairs(await signals(stream, within))
    assert Counter(map(repr, given)) == Counter(map(repr, expected))
    ends = [item.window.end for item, _ in given if item.pane.timing != "late"]
    assert ends == sorted(ends)
    whole = await stream.collect(mode="batch")
    assert Counter(map(repr, whole)) == Counter(
        map(repr, await stream.collect(replace(within, mode="batch")))
    )


@pytest.mark.parametrize("name", WINDOWS)
def test_results_are_the_same(name: str) -> None:
    lateness = 0 if name in ("session", "global") else 6

    @given(two_inputs, bounds, MEMORY, st.sampled_from([*HOWS, "groups"]), st.booleans())
    @examples(25)
    def law(inputs: Pair, settings: rx.Settings, memory: int, how: Any, waits: bool) -> None:
        left, right = (by_key(one.stream.assume_bounded()) for one in inputs)
        if how == "groups":
            stream: rx.Stream[Any] = left.cogroup(
                right, window=WINDOWS[name], allowed_lateness=lateness * waits
            )
        else:
            stream = left.join(
                right, window=WINDOWS[name], how=how, allowed_lateness=lateness * waits
            )
        run(check(stream, settings, memory))

    law()


@pytest.mark.parametrize("name", ["sliding", "session"])
def test_it_goes_on_from_a_barrier(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    *others, bytes_of = rx.Settings.__init__.__defaults__ or (None,)
    assert bytes_of is None
    monkeypatch.setattr(rx.Settings.__init__, "__defaults__", (*others, 1))
    lateness = 0 if name == "session" else 3

    def build(left: rx.Stream[Event], right: rx.Stream[Event]) -> rx.Stream[Any]:
        return by_key(left).join(
            by_key(right), window=WINDOWS[name], how="full", allowed_lateness=lateness
        )

    @given(st.tuples(cuts(), cuts()), st.booleans())
    @examples(30)
    def law(feeds: tuple[tuple[Feed, Feed], ...], changes: bool) -> None:
        after, again = run(whole_and_rest(build, feeds, changes))
        assert Counter(map(repr, items_of(again))) == Counter(map(repr, items_of(after)))

    law()


async def test_it_is_on_disk() -> None:
    for window in (rx.Tumbling(5), rx.Session(GAP)):
        seen: list[tuple[float, float]] = []

        def look(n: int, seen: list[tuple[float, float]] = seen) -> None:
            if n == 700:
                joined = {one.name: one for one in running.metrics().operators}["joined"]
                seen.append((joined.gauges["keys_in_memory"], joined.gauges["keys_on_disk"]))

        left = rx.range(701).tap(look).event_time(lambda n: 0).key_by(lambda n: n % 500)
        right = rx.range(10).event_time(lambda n: 0).key_by(lambda n: n)
        given: list[Any] = []
        limits = rx.Settings(state_memory=1, mode="stream", chunk=8, edge=8)
        job = left.join(right, window=window).named("joined").to(memory.append(given))
        async with rx.start(job, settings=limits) as running:
            await running.wait()
        # A piece of a chunk of each side may be there besides.
        assert len(seen) == 1 and seen[0][0] <= 17 and seen[0][1] >= 450
        assert len(given) == 20


async def test_a_bad_place_is_told() -> None:
    stream = rx.range(20).event_time(lambda n: 0).key_by(lambda n: n)
    joined = stream.join(stream, window=rx.Tumbling(5))
    with pytest.raises(FileNotFoundError) as caught:
        await joined.collect(rx.Settings(state_memory=1, spill_directory="/no such place"))
    assert any("spill_directory" in note for note in caught.value.__notes__)


def test_explain_says_the_budget() -> None:
    stream = rx.range(20).event_time(lambda n: 0).key_by(lambda n: n)
    joined = stream.join(stream, window=rx.Tumbling(5))
    text = str(joined.explain(rx.Settings(state_memory=64_000_000)))
    assert "past about 64,000,000 bytes on disk" in text
    assert "on disk" not in str(joined.explain())
