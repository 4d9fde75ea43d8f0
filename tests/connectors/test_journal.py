"""journal.read: what another pipeline keeps, as a source of its own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from file_parts import reading, source_of, take

import reactive as rx
from connectors import journal
from reactive.errors import JournalError
from reactive.journal_log import JournalLog
from reactive.journal_records import Records
from reactive.signals import Chunk, Watermark
from reactive.testing import scripted_source

POLL = 0.02


def write(path: Path, *items: Any, segment_bytes: int = 1_000_000) -> None:
    """What another program does: append, sync, and let go of the journal."""
    log = JournalLog(str(path), segment_bytes)
    log.open()
    log.append([body for _, body in Records("plain").pieces(Chunk(list(items)))])
    log.close()


async def test_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, *range(10))
    assert await journal.read(tmp_path).collect() == list(range(10))
    assert await journal.read(tmp_path, start=7).collect() == [7, 8, 9]
    assert await journal.read(tmp_path, start="end").collect() == []
    assert await journal.read(tmp_path, start=12).collect() == []


async def test_chunks_have_no_more_than_was_asked_for(tmp_path: Path) -> None:
    write(tmp_path, *range(10))
    async with reading(journal.read(tmp_path)) as reader:
        assert await take(reader, 4) == [0, 1, 2, 3]
        assert reader.position() == 4
        assert await take(reader, 4) == [4, 5, 6, 7]


async def test_positions(tmp_path: Path) -> None:
    write(tmp_path, "a", b"b", 3, segment_bytes=1)
    write(tmp_path, "d", segment_bytes=1)
    items = ["a", b"b", 3, "d"]
    for position in range(5):
        async with reading(journal.read(tmp_path)) as reader:
            await reader.seek(position)
            assert reader.position() == position
            got: list[Any] = []
            while (chunk := await take(reader, 1)) is not None:
                got += chunk
                assert reader.position() == position + len(got)
            assert got == items[position:]
    assert source_of(journal.read(tmp_path)).replayable


async def test_a_position_of_another_source_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 1)
    async with reading(journal.read(tmp_path)) as reader:
        with pytest.raises(JournalError, match="taken from another source"):
            await reader.seek(("a", 1))


async def test_it_follows_a_journal_that_is_written(tmp_path: Path) -> None:
    path = tmp_path / "j"
    async with reading(journal.read(path, follow=True, poll=POLL)) as reader:
        waiting = asyncio.ensure_future(take(reader))
        await asyncio.sleep(3 * POLL)
        assert not waiting.done()
        write(path, 1, 2)
        assert await waiting == [1, 2]
        waiting = asyncio.ensure_future(take(reader))
        await asyncio.sleep(3 * POLL)
        waiting.cancel()
        await asyncio.wait([waiting])
        write(path, "in the next segment", segment_bytes=1)
        assert await take(reader) == ["in the next segment"]


async def test_following_from_the_end(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    async with reading(journal.read(tmp_path, follow=True, start="end", poll=POLL)) as reader:
        write(tmp_path, 3)
        assert await take(reader) == [3]


async def test_times_and_watermarks(tmp_path: Path) -> None:
    path = tmp_path / "j"
    script = [Chunk(["a"], [5]), Watermark(5), Chunk(["b"], [7])]
    await scripted_source(script).journal(path).collect()
    async with reading(journal.read(path)) as reader:
        given = [await reader.read(10) for _ in range(4)]
    assert given == [Chunk(["a"], [5]), Watermark(5), Chunk(["b"], [7]), None]


def only_file(path: Path) -> Path:
    [file] = path.glob("*.journal")
    return file


def flip(file: Path, byte: int) -> None:
    contents = bytearray(file.read_bytes())
    contents[byte] ^= 1
    file.write_bytes(contents)


def shorten(file: Path, count: int) -> None:
    os.truncate(file, file.stat().st_size - count)


async def test_a_torn_end_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "whole")
    write(tmp_path, "torn")
    shorten(only_file(tmp_path), 40)
    assert await journal.read(tmp_path).collect() == ["whole"]


async def test_damage_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "whole")
    flip(only_file(tmp_path), 70)
    place = r"journal: byte 40: damaged where record 0 should be: the checksum"
    with pytest.raises(JournalError, match=place):
        await journal.read(tmp_path).collect()


async def test_no_journal_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal here"):
        await journal.read(tmp_path / "none").collect()


def forget_the_first(path: Path) -> None:
    min(path.glob("*.journal")).unlink()


async def test_records_that_were_let_go(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path, number, segment_bytes=1)
    forget_the_first(tmp_path)
    assert await journal.read(tmp_path).collect() == [1, 2]
    with pytest.raises(JournalError, match="record 0 was asked for, and the journal begins"):
        await journal.read(tmp_path, start=0).collect()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"path": b"x"}, TypeError),
        ({"path": "x", "start": "now"}, ValueError),
        ({"path": "x", "start": -1}, ValueError),
        ({"path": "x", "poll": 0}, ValueError),
        ({"path": "x", "serializer": None}, TypeError),
    ],
)
def test_bad_parameters(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=r"journal\.read"):
        journal.read(**arguments)


def test_what_explain_says() -> None:
    text = str(journal.read("received", follow=True).explain())
    assert "read (path: received, start: beginning, poll: 0.1 s, serializer: plain)" in text
    assert "[source, unbounded, replayable]" in text
    assert isinstance(journal.read("received"), rx.Stream)
