"""What `explain()` says of state: what is held, how large it may grow, where nothing bounds it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

import reactive as rx

Stream = rx.Stream[Any]

LIVE: Stream = rx.interval(1)
ENDS: Stream = rx.range(9)
WARNS = "WARNING, grows for as long as it runs: "


def timed(stream: Stream) -> Stream:
    return stream.event_time(lambda n: n, lateness=5)


def keyed(stream: Stream) -> rx.KeyedStream[int, Any]:
    return timed(stream).key_by(lambda n: n % 3)


def state(stream: Stream | rx.Job, **options: Any) -> list[str]:
    """The lines of the section, without their operators' names."""
    text = str(stream.explain(**options))
    if "state, held in memory:" not in text:
        return []
    section = text.split("state, held in memory:\n")[1]
    return [line.split(": ", 1)[1] for line in section.splitlines()]


class Totals(rx.KeyedProcess[int, Any, Any]):
    total = rx.ValueState(0)
    recent = rx.ListState[int](ttl=60)
    seen = rx.MapState[int, int](ttl=lambda handler: 5.0)

    def on_item(self, item: Any, context: rx.ProcessContext[int]) -> Iterable[Any]:
        return ()


WINDOWS = {
    "of time": (
        lambda s: keyed(s).window(rx.Tumbling(60)).aggregate(rx.count()),
        "for each key, a result so far (count) of open windows; a window is let go when the "
        "watermark is past its end, so it is as many as keys come in that time",
    ),
    "kept for late items": (
        lambda s: timed(s).window(rx.Sliding(60, 10), allowed_lateness=30).aggregate(n=rx.count()),
        "a result so far (n: count) of 6 open windows or more; a window is let go when the "
        "watermark is 30 s past its end",
    ),
    "with all items": (
        lambda s: keyed(s).window(rx.Session(9)).to_list(),
        "for each key, all items of open sessions; a window is let go when the watermark is past "
        "its end, so it is as many as keys come in that time",
    ),
    "that never close, for each key": (
        lambda s: keyed(s).window(rx.Global(), trigger=EACH).aggregate(rx.count()),
        "for each key, a result so far (count) of one window, until the stream ends; "
        f"{WARNS}use windows that close, such as rx.Tumbling(60) or rx.Session(gap)",
    ),
    "that never close and give nothing": (
        lambda s: s.window(rx.Global()).to_list(),
        "all items of one window, until the stream ends, which gives nothing before that; "
        f"{WARNS}use windows that close, such as rx.Tumbling(60) or rx.Session(gap)",
    ),
    "one that never closes": (
        lambda s: s.window(rx.Global(), trigger=EACH).aggregate(rx.count()),
        "a result so far (count) of one window, until the stream ends; one",
    ),
    "of so many items, for each key": (
        lambda s: keyed(s).window(rx.Count(9)).aggregate(rx.count()),
        "for each key, a result so far (count) of a window that is not full; "
        f"{WARNS}a key that does not come again keeps its window; use windows of time, such as "
        "rx.Session(gap), or keys of which there are few",
    ),
    "of so many items": (
        lambda s: s.window(rx.Count(9)).to_list(),
        "all items of a window that is not full; 9 items at most",
    ),
}
EACH = rx.Repeatedly(rx.AfterCount(1))

OTHERS = {
    "distinct": (
        lambda s: s.distinct(),
        [
            f"every value, or key, that came; {WARNS}give distinct a `count`, or a time with "
            "`within`"
        ],
    ),
    "distinct of the last": (
        lambda s: s.distinct(count=1000),
        ["the values, or keys, that came last; 1,000 at most"],
    ),
    "distinct within": (
        lambda s: s.distinct(within=5, count=9),
        ["the values, or keys, that came last; those of 5 s, 9 at most"],
    ),
    "a handler": (
        lambda s: keyed(s).process(Totals),
        [
            f"for each key, `total`; {WARNS}give `total` a `ttl`, unless the handler clears it "
            "when a key is done with",
            "for each key, `recent`; for 60 s",
            "for each key, `seen`; by its ttl",
        ],
    ),
    "scan": (
        lambda s: keyed(s).scan(lambda a, b: a),
        [f"for each key, its result so far; {WARNS}give scan a `ttl`"],
    ),
    "scan with a ttl": (
        lambda s: keyed(s).scan(lambda a, b: a, ttl=9),
        ["for each key, its result so far; for 9 s after its last item"],
    ),
    "deduplicate": (
        lambda s: keyed(s).deduplicate(within=5),
        ["for each key, when items came; those of 5 s"],
    ),
    "match": (
        lambda s: keyed(s).match(rx.Pattern("a", bool).within(7)),
        ["for each key, items that the watermark has not passed, and attempts; those of 7 s"],
    ),
    "group_by": (
        lambda s: s.group_by(lambda n: n % 2, limit=5, buffer=7),
        ["for each key, a group and what was not read of it; 5 groups at most, 7 items each"],
    ),
    "replay": (
        lambda s: s.replay(5, seconds=60),
        ["items for those who come later; 5 at most, those of 60 s"],
    ),
    "then by key": (
        lambda s: rx.of(1).then(s, key=lambda n: n, remember=50),
        ["keys of the last items of the history; 50 at most"],
    ),
    "a join in windows": (
        lambda s: keyed(s).join(keyed(LIVE), window=rx.Tumbling(5)),
        [
            "for each key, all items of both sides of open windows; a window is let go when the "
            "watermark is past its end"
        ],
    ),
    "a join within an interval": (
        lambda s: keyed(s).interval_join(keyed(LIVE), before=1, after=1),
        [
            "for each key, items of both sides; until the watermark of the other side has passed "
            "what they can meet"
        ],
    ),
    "a join of tables": (
        lambda s: keyed(s).table().join(keyed(LIVE).table(limit=9)),
        [
            f"the latest item of every key of the left table; {WARNS}give its table(...) a `limit`",
            "the latest item of every key of the right table; 9 keys at most",
        ],
    ),
    "a look into a table": (
        lambda s: keyed(LIVE).lookup(keyed(s).table()),
        [f"the latest item of every key of the right table; {WARNS}give its table(...) a `limit`"],
    ),
    "what holds nothing": (lambda s: s.map(str).filter(bool).batch(3), []),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_what_windows_hold(name: str) -> None:
    build, expected = WINDOWS[name]
    assert state(build(LIVE)) == [expected]


@pytest.mark.parametrize("name", OTHERS)
def test_what_other_operators_hold(name: str) -> None:
    build, expected = OTHERS[name]
    assert state(build(LIVE)) == expected


@pytest.mark.parametrize("name", sorted({*WINDOWS, *OTHERS} - {"a look into a table"}))
def test_there_is_no_warning_of_an_input_that_ends(name: str) -> None:
    build = (WINDOWS | OTHERS)[name][0]
    for mode in ("stream", "auto"):
        assert not any(WARNS in line for line in state(build(ENDS), mode=mode))


def test_only_the_input_that_grows_is_warned_of() -> None:
    assert not any(WARNS in line for line in state(keyed(LIVE).lookup(keyed(ENDS).table())))


def test_in_batch_windows_hold_all_there_is() -> None:
    counts = keyed(ENDS).window(rx.Tumbling(60)).aggregate(rx.count())
    assert state(counts) == [
        "for each key, a result so far (count) of every window; as much as there is in its input"
    ]


def test_the_operator_is_named_also_within_another() -> None:
    text = str(LIVE.distinct().named("once").explain())
    assert "\n  once: every value" in text
    text = str(LIVE.retry(3).explain())
    assert "state, held" not in text
    text = str(LIVE.distinct().retry(3).explain())
    assert "\n  retry, in distinct: every value" in text
    assert WARNS in text
    assert WARNS not in str(ENDS.distinct().retry(3).explain())


def test_sorting_says_how_much_is_in_memory() -> None:
    assert state(ENDS.sort()) == ["all items; the run's `memory` of them, the others on disk"]
    grouped = ENDS.group(lambda n: n % 2, memory=9000)
    assert state(grouped) == ["all items; 9,000 bytes of them, the others on disk"]
