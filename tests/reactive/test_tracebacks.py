"""User exceptions pass through as they are, point at the user's line, and come in order."""

from __future__ import annotations

import inspect
import linecache
import traceback
from pathlib import Path

import pytest
from parts import Kept, Probe

import reactive as rx
from connectors import files


def _line() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


async def _failing(stream: rx.Stream[object]) -> tuple[list[object], Exception]:
    got: list[object] = []
    with pytest.raises(ZeroDivisionError) as caught:
        async with stream.open(rx.Settings(chunk=64)) as items:
            async for item in items:
                got.append(item)  # noqa: PERF401  what came before the failure counts
    return got, caught.value


async def test_items_before_the_failing_one_are_delivered() -> None:
    stream = rx.from_source(Chunked([list(range(10))])).map(lambda x: 6 // (6 - x))
    got, _ = await _failing(stream)
    assert got == [1, 1, 1, 2, 3, 6]


class Chunked(rx.Source[int]):
    """Gives exactly these chunks."""

    def __init__(self, chunks: list[list[int]]) -> None:
        self.chunks = chunks

    def reader(self, context: rx.Context) -> rx.Reader[int]:
        return _ChunkedReader(list(self.chunks))


class _ChunkedReader(rx.Reader[int]):
    def __init__(self, chunks: list[list[int]]) -> None:
        self.chunks = chunks

    async def read(self, limit: int) -> rx.Signal[int] | None:
        return rx.Chunk(self.chunks.pop(0)) if self.chunks else None


async def test_the_earlier_item_fails_first_across_steps() -> None:
    stream = (
        rx.from_source(Chunked([list(range(10))]))
        .map(lambda x: 1 // (7 - x))
        .rebatch(1)
        .tap(lambda x: None)
        .enumerate()
        .map(lambda pair: 1 // (3 - pair[0]))
    )
    got, error = await _failing(stream)
    assert len(got) == 3
    assert "map-2" in error.__notes__[0]


@pytest.mark.parametrize("buffered", [False, True])
async def test_the_note_names_operator_and_line(buffered: bool) -> None:
    stream = rx.range(10)
    if buffered:
        stream = stream.buffer(3)
    stream = stream.map(lambda x: x).named("before")
    line = _line() + 1
    failing = stream.map(lambda x: 1 // (3 - x)).named("ratio").filter(lambda x: True)
    _, error = await _failing(failing)
    assert error.__notes__ == [f"in operator ratio ({__file__}:{line})"]


async def test_the_note_names_awaited_and_sink_operators() -> None:
    async def divide(x: int) -> float:
        return 1 / (3 - x)

    for concurrency in (None, 4):
        _, error = await _failing(rx.range(9).map(divide, concurrency=concurrency).named("divide"))
        assert error.__notes__[0].startswith("in operator divide (")

    def refuse(_: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full") as caught:
        await rx.run(rx.of(1).to(Kept(on_write=refuse)).named("shelf"))
    assert caught.value.__notes__[0].startswith("in operator shelf (")

    with pytest.raises(OSError, match="probe failed") as caught:
        await Probe([1], fail_at=0).stream.named("intake").collect()
    assert caught.value.__notes__[0].startswith("in operator intake (")


async def test_the_note_names_a_sink_that_cannot_be_opened_or_finished(tmp_path: Path) -> None:
    with pytest.raises(rx.ConnectorError, match="there is no directory") as caught:
        await rx.run(rx.of("a").to(files.write_lines(tmp_path / "no" / "letters.txt")))
    assert caught.value.__notes__[0].startswith(f"in operator write_lines ({__file__}:")

    taken = rx.defer(lambda: (tmp_path / "letters.txt").mkdir() or rx.of("a"))
    with pytest.raises(rx.ConnectorError, match="directory") as caught:
        await rx.run(taken.to(files.write_lines(tmp_path / "letters.txt")).named("letters"))
    assert caught.value.__notes__[-1].startswith("in operator letters (")


async def test_generated_code_shows_in_the_traceback() -> None:
    _, error = await _failing(rx.range(5).map(lambda x: 1 // (3 - x)))
    text = "".join(traceback.format_exception(error))
    assert "<reactive fused" in text
    assert "x1 = fn_0(x0)" in text
    assert "lambda x: 1 // (3 - x)" in text


async def test_generated_code_is_kept_within_bounds() -> None:
    for count in range(700):
        await rx.range(3).skip(count).take(1).collect()
    kept = [name for name in linecache.cache if name.startswith("<reactive fused")]
    assert len(kept) <= 513


async def test_a_function_that_gives_a_coroutine_is_refused() -> None:
    async def fetch(x: int) -> int:
        return x

    with pytest.raises(TypeError, match="pass concurrency=1"):
        await rx.range(3).map(lambda x: fetch(x)).collect()
    assert await rx.range(3).map(lambda x: fetch(x), concurrency=1).collect() == [0, 1, 2]
