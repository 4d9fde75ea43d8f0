from __future__ import annotations

import asyncio
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from file_parts import COMPRESSORS, collect_into, reading, take, take_all
from hypothesis import given, settings
from hypothesis import strategies as st

import reactive as rx
from connectors import files
from reactive.errors import ConnectorError, DecodeError, TruncatedError

LINES = st.lists(
    st.one_of(
        st.text(alphabet='aäß\u0a00 \r,"', max_size=12),
        st.integers(500, 4000).map(lambda size: "x" * size),
    ),
    max_size=30,
)
Read = Callable[[list[Path]], rx.Stream[Any]]
READS: dict[str, Read] = {
    "text": lambda paths: files.read_lines(paths, errors="replace"),
    "bytes": lambda paths: files.read_lines(paths, encoding=None, keep_ends=True),
    "utf-16": lambda paths: files.read_lines(paths, encoding="utf-16", errors="replace"),
    "csv": lambda paths: files.read_csv(paths, header=False, on_error="skip"),
    "csv with header": lambda paths: files.read_csv(paths, on_error="skip"),
    "jsonl": lambda paths: files.read_jsonl(paths, on_error=rx.replace("broken")),
    "blocks": lambda paths: files.read_bytes(paths, block=100),
}


def content(lines: list[str], how: str, last_end: bool) -> bytes:
    if how == "csv with header":
        lines = ["id,note", *lines]
    text = "\n".join(lines) + "\n" * last_end
    return text.encode("utf-16" if how == "utf-16" else "utf-8")


@settings(deadline=None, max_examples=150)
@given(
    how=st.sampled_from(sorted(READS)),
    contents=st.lists(st.tuples(LINES, st.booleans()), min_size=1, max_size=3),
    suffix=st.sampled_from(["", "", *COMPRESSORS]),
    limit=st.integers(1, 9),
    stops=st.lists(st.integers(0, 6), min_size=1, max_size=4),
)
def test_stopped_anywhere_and_resumed_the_items_are_the_same(
    how: str,
    contents: list[tuple[list[str], bool]],
    suffix: str,
    limit: int,
    stops: list[int],
) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as directory:
            paths = []
            for number, (lines, last_end) in enumerate(contents):
                path = Path(directory) / f"{number}{suffix}"
                data = content(lines, how, last_end)
                path.write_bytes(COMPRESSORS[suffix](data) if suffix else data)
                paths.append(path)
            stream = READS[how](paths)
            expected = await stream.collect()
            position: Any = None
            items: list[Any] = []
            for stop in [*stops, None]:
                async with reading(stream, position) as reader:
                    if stop is None:
                        items += await take_all(reader, limit)
                    for _ in range(stop or 0):
                        items += await take(reader, limit) or []
                    position = pickle.loads(pickle.dumps(reader.position()))
            if how == "blocks":
                assert b"".join(items) == b"".join(expected)
            else:
                assert items == expected

    asyncio.run(main())


async def test_a_position_is_a_byte_and_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("ä\nbc\n\nd".encode())
    async with reading(files.read_lines(path)) as reader:
        places = []
        while await take(reader, 1) is not None:
            position = reader.position()
            places.append((position.path, position.offset, position.line))
        last = reader.position()
    assert places == [
        (str(path), offset, line) for offset, line in ((3, 1), (6, 2), (7, 3), (8, 4))
    ]
    async with reading(files.read_lines(path), last) as reader:
        assert await take(reader) is None


async def test_lines_after_a_position_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(COMPRESSORS[".gz"](b"one\ntwo\n\xff\n"))
    async with reading(files.read_lines(path)) as reader:
        assert await take(reader, 1) == ["one"]
        position = reader.position()
    async with reading(files.read_lines(path), position) as reader:
        assert await take(reader) == ["two"]
        with pytest.raises(DecodeError, match=r"line 3 \(byte 8\)"):
            await take(reader)


async def test_a_failed_line_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("1\n2\nbroken\n4\n")
    async with reading(files.read_jsonl(path)) as reader:
        assert await take(reader) == [1, 2]
        position = reader.position()
        with pytest.raises(DecodeError):
            await take(reader)
        assert reader.position() == position
    path.write_text("1\n2\nmended\n4\n".replace("mended", "3"))
    async with reading(files.read_jsonl(path), position) as reader:
        assert await take(reader) == [3, 4]


async def test_a_growing_file_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n")
    async with reading(files.read_lines(path)) as reader:
        assert await take_all(reader) == ["one", "two"]
        position = reader.position()
    with path.open("a") as file:
        file.write("three\n")
    async with reading(files.read_lines(path), position) as reader:
        assert await take_all(reader) == ["three"]


async def test_a_position_is_found_among_other_files(tmp_path: Path) -> None:
    for name in ("b", "d"):
        (tmp_path / name).write_text(f"{name}1\n{name}2\n")
    everything = files.read_lines(tmp_path / "*")
    async with reading(everything) as reader:
        assert await take(reader, 3) == ["b1", "b2"]
        assert await take(reader, 1) == ["d1"]
        position = reader.position()
    for name in ("c", "e"):
        (tmp_path / name).write_text(f"{name}1\n")
    async with reading(everything, position) as reader:
        assert await take_all(reader) == ["d2", "e1"]


async def test_a_position_in_a_file_that_is_gone_or_another(tmp_path: Path) -> None:
    path, other = tmp_path / "a.txt", tmp_path / "b.txt"
    path.write_text("one\ntwo\n")
    other.write_text("else\n")
    stream = files.read_lines(tmp_path / "*.txt")
    async with reading(stream) as reader:
        await take(reader, 1)
        position = reader.position()
    path.write_text("ONE\ntwo\n")
    with pytest.raises(ConnectorError, match=r"a\.txt: does not start as it did when byte 4 was"):
        async with reading(stream, position):
            pass
    path.unlink()
    with pytest.raises(
        ConnectorError, match=r"a\.txt: is the file to go on with, but is not among"
    ):
        async with reading(stream, position):
            pass
    with pytest.raises(ConnectorError, match="a position in files is a FilePosition, not 17"):
        async with reading(stream, 17):
            pass


@pytest.mark.parametrize("suffix", ["", ".gz"])
async def test_a_position_past_the_end(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    compress = COMPRESSORS[suffix] if suffix else bytes
    long = b"0123456789" * 200 + b"\n"
    path.write_bytes(compress(long * 3))
    async with reading(files.read_lines(path)) as reader:
        await take_all(reader)
        position = reader.position()
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(compress(long * 3)[:1200] if not suffix else compress(long * 3))
    if suffix:
        async with reading(files.read_lines(path), position) as reader:
            assert await take(reader) is None
    else:
        with pytest.raises(
            TruncatedError, match="holds 1200 bytes, so it cannot be read from byte"
        ):
            async with reading(files.read_lines(path), position):
                pass


async def test_positions_of_a_run_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    data = COMPRESSORS[".gz"](b"".join(b"%d\n" % (n * 7919) for n in range(100_000)))
    path.write_bytes(data[: len(data) // 2])
    seen: list[str] = []
    with pytest.raises(TruncatedError):
        await collect_into(seen, files.read_lines(path))
    async with reading(files.read_lines(path)) as reader:
        again: list[str] = []
        with pytest.raises(TruncatedError):
            while items := await take(reader):
                again += items
        position = reader.position()
    assert again == seen
    path.write_bytes(data)
    async with reading(files.read_lines(path), position) as reader:
        again += await take_all(reader)
    assert again == [str(n * 7919) for n in range(100_000)]
