"""Blueprints: they pickle, run again and at once, can be read, explained and named."""

from __future__ import annotations

import asyncio
import dataclasses
import operator
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from parts import Kept

import reactive as rx
from reactive.graph import walk
from reactive.testing.plugin import VirtualTime


async def passing(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        yield item


async def doubled(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


OFFSET = 100

PIPELINES: dict[str, Callable[[], rx.Stream[Any]]] = {
    "mapping": lambda: (
        rx.range(50)
        .map(lambda x: x + OFFSET)
        .flat_map(lambda x: [x] * (x % 3))
        .enumerate()
        .starmap(lambda n, x: n * x)
        .tap(lambda x: None)
        .pairwise()
        .scan(lambda total, pair: total + pair[1], 0)
    ),
    "scan without a beginning": lambda: rx.range(9).scan(operator.add),
    "filtering": lambda: (
        rx.range(50)
        .filter(lambda x: x % 7)
        .filter_map(lambda x: x % 5 or None)
        .distinct(lambda x: x % 4)
        .distinct_until_changed()
    ),
    "limiting": lambda: (
        rx.range(50)
        .skip(2)
        .take(30)
        .skip_while(lambda x: x < 5)
        .take_while(lambda x: x < 25)
        .take_last(9)
        .take_until(rx.never())
    ),
    "nothing taken": lambda: rx.range(50).take(0),
    "batching": lambda: rx.range(50).batch(4).map(sum).sliding(3, 2).batch(2, within=60),
    "policies": lambda: rx.range(5).map(lambda x: 1 / x, on_error=rx.replace(0.0)),
    "policies of functions": lambda: rx.range(5).map(
        lambda x: 1 / x, on_error=rx.replace_with(lambda item, error: (item, str(error)))
    ),
    "awaited": lambda: rx.range(20).map(doubled).map(doubled, concurrency=4).through(passing),
    "on threads": lambda: rx.range(9).map(lambda x: x + 1, on="thread"),
    "combining": lambda: (
        rx.range(9).concat(rx.of(1, 2)).zip(rx.range(100), rx.of(*"abcdefgh"), strict=False)
    ),
    "flow": lambda: rx.range(50).buffer(3).rebatch(4),
    "rescuing": lambda: (
        rx.of("1", "x")
        .map(int)
        .recover(rx.of(5))
        .retry(rx.Backoff(attempts=1))
        .recover_with(lambda error: rx.of(str(error)))
    ),
    "creating": lambda: rx.unfold(1, lambda n: (n, n + 1) if n < 9 else None).concat(
        rx.empty(), rx.defer(lambda: rx.of(OFFSET)), rx.timer(0)
    ),
    "sum": lambda: rx.range(9).sum(),
    "min": lambda: rx.of("bb", "a").min(len),
    "reduce": lambda: rx.range(9).reduce(lambda a, b: a + b),
    "mean": lambda: rx.range(9).mean(),
    "last": lambda: rx.range(9).last(),
    "to_dict": lambda: rx.range(9).to_dict(lambda x: x % 3),
    "used twice": lambda: (lambda s: s.zip(s.map(lambda x: -x)))(rx.range(9).map(lambda x: x + 1)),
    "named": lambda: rx.range(3).map(str).named("text"),
}


@pytest.mark.parametrize("name", PIPELINES)
async def test_a_pickled_copy_gives_the_same(name: str) -> None:
    stream = PIPELINES[name]()
    copy = cloudpickle.loads(cloudpickle.dumps(stream))
    assert type(copy) is type(stream)
    assert repr(copy) == repr(stream)
    assert await copy.collect() == await stream.collect()
    assert await cloudpickle.loads(cloudpickle.dumps(copy)).collect() == await stream.collect()


async def test_a_loaded_single_can_be_awaited() -> None:
    total = cloudpickle.loads(cloudpickle.dumps(rx.range(4).sum()))
    assert await total == 6


async def test_a_fan_out_is_still_one_node_after_pickling() -> None:
    source = rx.range(9).tap(lambda x: None)
    copy = cloudpickle.loads(cloudpickle.dumps(source.zip(source)))
    assert len(list(walk([copy.node]))) == 3


async def test_jobs_and_their_side_output_pickle_together() -> None:
    bad: rx.SideOutput[rx.DeadLetter[str]] = rx.SideOutput("bad")
    shared = rx.of("1", "x", "2").map(int, on_error=bad)
    jobs = shared.to(Kept()).named("good"), bad.to(Kept()).named("letters"), shared.to(Kept())
    good, letters, more = cloudpickle.loads(cloudpickle.dumps(jobs))
    report = await rx.run(good, letters, more)
    assert good.planned.sink.items == more.planned.sink.items == [1, 2]
    assert [letter.item for letter in letters.planned.sink.items] == ["x"]
    assert report["good"].items_in == 2
    assert report["of"].items_out == 3


@pytest.mark.parametrize("kind", ["chain", "fallbacks", "retried"])
async def test_long_pipelines_pickle(kind: str) -> None:
    stream = rx.range(3)
    if kind == "fallbacks":
        for _ in range(1000):
            stream = stream.concat(rx.fail(OSError())).recover(rx.empty())
    else:
        for _ in range(1000):
            stream = stream.map(lambda x: x + 1)
    if kind == "retried":
        stream = stream.retry(1)
    copy = cloudpickle.loads(cloudpickle.dumps(stream))
    assert await copy.collect() == await stream.collect()


def test_a_pickled_pipeline_runs_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "stream.pickle"
    # Sent by value, since the other process has no module of this name.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        path.write_bytes(cloudpickle.dumps(PIPELINES["mapping"]()))
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    program = (
        "import asyncio, pickle, sys, pathlib\n"
        "stream = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "print(asyncio.run(stream.collect()))\n"
    )
    given = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert given.stdout.strip() == str(asyncio.run(PIPELINES["mapping"]().collect()))


@pytest.mark.parametrize("name", PIPELINES)
async def test_a_blueprint_runs_again_and_at_once(name: str) -> None:
    stream = PIPELINES[name]()
    first = await stream.collect()
    assert await stream.collect() == first
    assert await asyncio.gather(stream.collect(), stream.collect()) == [first, first]
    half = await stream.take(len(first) // 2).collect()
    assert half == first[: len(first) // 2]
    assert await stream.collect() == first


def test_blueprints_are_immutable() -> None:
    stream = rx.of(1).map(str)
    with pytest.raises(AttributeError):
        stream.something = 1  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        stream.node.name = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        stream.node.operator.fn = int  # type: ignore[attr-defined]
    renamed = stream.named("text")
    assert stream.node.name is None
    assert renamed.node.name == "text"


def test_a_repr_is_the_pipeline_in_one_line() -> None:
    bad: rx.SideOutput[Any] = rx.SideOutput("bad")
    stream = (
        rx.range(3)
        .map(int, on_error=bad)
        .named("parse")
        .merge(rx.empty(), rx.never())
        .batch(2, within=1.5)
        .buffer(9, overflow="latest")
    )
    assert repr(stream) == (
        "<Stream range() | parse: map(on_error=to side output bad) | merge() with 2 others | "
        "batch(count=2, within=1.5 s) | buffer(limit=9 items, overflow=latest)>"
    )
    assert repr(rx.range(3).sum()) == "<Single range() | sum()>"
    assert "to side output" not in repr(bad)
    assert repr(bad).startswith("<SideOutput bad")
    assert repr(stream.to(Kept())).startswith("<Job <Stream range()")
    assert len(repr(functional(10_000))) < 500


def functional(count: int) -> rx.Stream[int]:
    stream = rx.range(3)
    for _ in range(count):
        stream = stream.map(int)
    return stream


class TestExplaining:
    """A pipeline with fusing, fan-out, a buffer, a concurrent map and a side output."""

    def explained(self) -> rx.Explanation:
        bad: rx.SideOutput[rx.DeadLetter[Any]] = rx.SideOutput("bad")
        shared = (
            rx.range(100)
            .filter(lambda x: x % 2)
            .map(lambda x: x + 1, on_error=bad)
            .named("parse")
            .buffer(17, overflow="drop_oldest")
            .named("waiting")
        )
        slow = shared.map(doubled, concurrency=5, ordered=False).named("slow")
        return slow.merge(shared.map(lambda x: -x), bad.map(lambda letter: 0)).explain(
            rx.Settings(chunk=64, edge=128)
        )

    def test_the_text_says_what_runs_where(self) -> None:
        text = str(self.explained())
        lines = text.splitlines()
        assert "bounded" in lines[0]
        assert "64 items" in lines[1]
        fused = lines.index("  fused into one loop:")
        assert lines[fused + 1].strip().startswith("filter")
        assert lines[fused + 2].strip().startswith("parse (on_error: to side output bad)")
        assert f"({__file__}:" in lines[fused + 1]
        assert "at most 17 items waiting, overflow drop_oldest" in text
        assert "at most 10 items waiting, overflow backpressure" in text
        assert "at most 128 items waiting, overflow backpressure" in text
        assert "slow (concurrency: 5, results: as completed)" in text
        assert "to side output bad" in text
        assert "range [source, bounded, replayable]" in text

    def test_every_region_and_edge_is_told(self) -> None:
        text = str(self.explained())
        headings = [line for line in text.splitlines() if line.startswith("region ")]
        assert text.splitlines()[0].startswith(f"{len(headings)} regions")
        froms = [line.split(" from ")[1] for line in text.splitlines() if line.startswith("  from")]
        tos = [line.split(" to ")[1] for line in text.splitlines() if line.startswith("  to ")]
        edges = {line.split(":")[0] for line in froms}
        assert edges == {line for line in tos if not line.startswith("side output")}
        assert sum("the consumer's own task" in heading for heading in headings) == 1

    def test_the_diagram_has_every_operator_and_edge(self) -> None:
        diagram = self.explained().mermaid()
        lines = diagram.splitlines()
        assert lines[0] == "flowchart LR"
        assert sum(line.strip().startswith("subgraph") for line in lines) == sum(
            line.strip() == "end" for line in lines
        )
        for name in ("range", "filter", "parse", "waiting", "slow", "merge", "bad"):
            assert any(f'["{name}' in line for line in lines), name
        assert '|"17 items, drop_oldest"|' in diagram
        assert '|"10 items, backpressure"|' in diagram
        assert "-.->" in diagram
        nodes = {line.split("[")[0].strip() for line in lines if '["' in line}
        nodes |= {line.split("(")[0].strip() for line in lines if '(("' in line}
        for line in lines:
            if "-->" in line or "==>" in line or "-.->" in line:
                start, end = line.split()[0], line.split()[-1]
                assert {start, end} <= nodes

    def test_names_cannot_break_the_diagram(self) -> None:
        diagram = rx.of(1).map(str).named('say "hi" [x]').explain().mermaid()
        assert "say 'hi' [x]" in diagram

    def test_a_notebook_shows_the_diagram(self) -> None:
        markdown = self.explained()._repr_markdown_()
        assert markdown.startswith("```mermaid\nflowchart LR")
        assert markdown.endswith("```")

    def test_a_linear_pipeline_is_one_region_without_an_edge(self) -> None:
        text = str(rx.range(3).map(str).batch(2).explain())
        assert text.startswith("1 region, bounded: ends by itself")
        assert " from " not in text
        assert "unbounded" in str(rx.interval(1).explain())

    def test_a_job_tells_its_sink(self) -> None:
        job = rx.range(3).to(Kept()).named("keep")
        assert "sink keep" in str(job.explain())
        assert "keep" in job.explain().mermaid()

    def test_nested_graphs_are_told(self) -> None:
        text = str(rx.of(1).named("inner").retry(3).recover(rx.of(2).named("other")).explain())
        assert "runs inner by itself" in text
        assert "runs other by itself" in text
        assert "up to 3 times" in text


def test_two_operators_of_one_name_are_refused() -> None:
    stream = rx.of(1).map(str).named("same").map(int).named("same")
    with pytest.raises(rx.PlanError, match=r"two operators are named 'same': map at .*; give"):
        stream.explain()


async def test_one_operator_used_twice_keeps_its_name() -> None:
    parsed = rx.of("1").map(int).named("parse")
    report = await rx.run(parsed.map(str).to(Kept()), parsed.to(Kept()))
    assert report["parse"].items_out == 1


async def test_a_name_that_was_given_wins_over_the_default() -> None:
    stream = rx.of("1").map(int).map(str).named("map").map(int)
    report = await rx.run(stream.to(Kept()))
    names = [reading.name for reading in report.operators]
    assert len(names) == len(set(names))
    assert "map" in names


async def test_a_report_says_which_names_there_are() -> None:
    report = await rx.run(rx.of(1).to(Kept()))
    with pytest.raises(KeyError, match="no operator named 'parse' in this run; there are: of"):
        report["parse"]


def test_wrong_names_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="name must not be empty"):
        rx.of(1).named("")
    with pytest.raises(TypeError, match="name is a string, not 5"):
        rx.of(1).named(5)  # type: ignore[arg-type]


def test_a_side_output_is_named_when_it_is_made() -> None:
    with pytest.raises(TypeError, match=r"named when it is made: rx\.SideOutput\('other'\)"):
        rx.SideOutput[int]("bad").named("other")


async def test_a_named_subject_is_a_stream_of_what_is_pushed() -> None:
    subject: rx.Subject[int] = rx.Subject()
    subject.send_nowait(1)
    subject.close()
    assert await subject.named("orders").collect() == [1]


async def test_naming_the_result_of_a_fold_keeps_it_awaitable(virtual_time: VirtualTime) -> None:
    named = rx.range(4).sum().named("total")
    assert isinstance(named, rx.Single)
    assert await named == 6
