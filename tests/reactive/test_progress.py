"""How far a run has come: sources that know their size, phases of operators, the bar."""

from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path
from typing import Any

import pytest

import reactive as rx
from connectors import files, memory
from reactive.metrics import Progress
from reactive.progress_bar import progress_bar


async def seen_at(stream: rx.Stream[Any], item: Any, **options: Any) -> list[Progress]:
    """The progress of a run when an item reaches its sink."""
    seen: list[Progress] = []
    started: list[rx.Run] = []

    def look(given: Any) -> None:
        if given == item:
            seen.extend(started[0].progress())

    async with rx.start(stream.to(memory.call(look)), **options) as run:
        started.append(run)
        await run.wait()
    return seen


class TestSources:
    async def test_a_sequence_knows_its_length(self) -> None:
        (one,) = await seen_at(rx.range(1000), 100)
        assert (one.operator, one.phase, one.total, one.unit) == ("range", "reading", 1000, "items")
        assert 100 < one.done < 300
        assert one.fraction == one.done / 1000

    async def test_what_has_no_end_tells_what_it_gave(self) -> None:
        (one,) = await seen_at(rx.unfold(0, lambda n: (n, n + 1)).take(100), 50)
        assert one.done > 50
        assert (one.total, one.unit, one.fraction, one.remaining) == (None, "items", None, None)

    async def test_files_know_their_bytes(self, tmp_path: Path) -> None:
        for name in "ab":
            (tmp_path / name).write_text("".join(f"{name}{n:08}\n" for n in range(50_000)))
        lines = files.read_lines(tmp_path / "*")
        (one,) = await seen_at(lines, "a00000000")
        assert (one.total, one.unit) == (1_000_000, "bytes")
        assert 0 < one.done < 100_000
        (one,) = await seen_at(lines, "b00000000")
        assert 500_000 < one.done < 700_000
        (one,) = await seen_at(lines, "b00049999")
        assert one.fraction == 1

    async def test_compressed_files_count_as_they_are_on_the_disk(self, tmp_path: Path) -> None:
        path = tmp_path / "lines.gz"
        path.write_bytes(gzip.compress("".join(f"{n}\n" for n in range(100_000)).encode()))
        (one,) = await seen_at(files.read_lines(path), "99999")
        assert one.done == one.total == path.stat().st_size

    async def test_a_pipe_has_no_size(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path)

        def write() -> None:
            path.write_text("a\nb\n")

        writing = asyncio.create_task(asyncio.to_thread(write))
        (one,) = await seen_at(files.read_lines(path), "b")
        await writing
        assert (one.total, one.unit) == (None, "items")

    async def test_before_and_after_the_run(self) -> None:
        job = rx.range(10).to(memory.call(lambda _: None))
        async with rx.start(job) as run:
            assert run.progress() == []
            await run.wait()
            first = run.progress()
            await asyncio.sleep(0.01)
            assert run.progress() == first
        (one,) = run.progress()
        assert (one.done, one.total) == (10, 10)


class TestPhases:
    async def test_of_a_sort_in_memory(self) -> None:
        (source, sort) = await seen_at(rx.range(5000).map(lambda n: n * 7 % 5003).sort(), 7)
        assert source.fraction == 1
        assert (sort.operator, sort.phase, sort.total) == ("sort", "sorting", 5000)
        assert 7 < sort.done < 5000

    async def test_of_a_sort_on_disk(self) -> None:
        (_, sort) = await seen_at(rx.range(5000).sort(reverse=True, memory=20_000), 4000)
        assert (sort.phase, sort.total, sort.unit) == ("merging", 5000, "items")
        assert 1000 <= sort.done < 5000

    async def test_of_groups(self) -> None:
        numbers = rx.range(5000)
        first = (0, list(range(0, 5000, 10)))
        (_, group) = await seen_at(numbers.group(lambda n: n % 10), first)
        assert (group.phase, group.done, group.total) == ("giving groups", 5000, 5000)
        (_, group) = await seen_at(numbers.group(lambda n: n % 10, memory=50_000), first)
        assert (group.phase, group.total) == ("merging", 5000)
        assert group.done > 0

    async def test_while_gathering_only_the_source_is_told(self) -> None:
        looked: list[list[str]] = []
        started: list[rx.Run] = []

        def look(n: int) -> int:
            if n == 4000:
                looked.append([one.operator for one in started[0].progress()])
            return n

        for memory_ in (None, 20_000):
            job = rx.range(5000).map(look).sort(memory=memory_).to(memory.call(lambda _: None))
            async with rx.start(job) as run:
                started[:] = [run]
                await run.wait()
        assert looked == [["range"], ["range"]]


def progress(phase: str, done: int, total: int | None, unit: Any = "items") -> Progress:
    return Progress("sort", phase, done, total, unit, 10.0)


class TestNumbers:
    def test_rates_and_what_remains(self) -> None:
        one = progress("reading", 250, 1000)
        assert (one.fraction, one.rate, one.remaining) == (0.25, 25, 30)

    def test_when_nothing_is_known_yet(self) -> None:
        begun = Progress("sort", "merging", 0, 100, "items", 0.0)
        assert (begun.fraction, begun.rate, begun.remaining) == (0, 0, None)
        assert progress("merging", 0, 100).remaining is None
        assert progress("reading", 0, 0).fraction == 1
        assert progress("reading", 120, 100).fraction == 1
        assert progress("reading", 120, 100).remaining == 0


class TestTheBar:
    def test_of_bytes(self) -> None:
        reading = progress("reading", 430_000_000, 1_000_000_000, "bytes")
        assert progress_bar([reading]) == (
            "reading  43% [========>           ] 430 MB of 1 GB  43 MB/s  13 s left"
        )

    def test_of_several_sources(self) -> None:
        both = [progress("reading", 100, 1000), progress("reading", 900, 1000)]
        assert progress_bar(both) == (
            "reading  50% [==========>         ] 1,000 of 2,000  100/s  10 s left"
        )

    @pytest.mark.parametrize(
        "reading",
        [
            [progress("reading", 5, None)],
            [progress("reading", 5, 10), progress("reading", 5, None)],
            [progress("reading", 5, 10), progress("reading", 5, 10, "bytes")],
            [],
            [progress("reading", 10, 10)],
        ],
    )
    def test_where_there_is_nothing_to_tell(self, reading: list[Progress]) -> None:
        assert progress_bar(reading) == ""

    def test_of_a_phase_once_all_is_read(self) -> None:
        merging = progress("merging", 1_500_000, 2_000_000)
        assert progress_bar([progress("reading", 1, 2), merging]).startswith("reading  50%")
        assert progress_bar([progress("reading", 2, 2), merging]) == (
            "sort: merging  75% [===============>    ] 1,500,000 of 2,000,000  150,000/s  3 s left"
        )
        assert progress_bar([progress("merging runs", 7, None)]) == "sort: merging runs"

    def test_of_what_takes_long(self) -> None:
        assert progress_bar([progress("reading", 1, 100)]).endswith("0.1/s  16:30 min left")
        assert progress_bar([progress("reading", 1, 10_000)]).endswith("  27:46:30 h left")

    def test_it_is_always_as_long(self) -> None:
        bars = [progress_bar([progress("merging", n, 100)]) for n in range(1, 101)]
        assert {bar.index("]") - bar.index("[") for bar in bars} == {21}
