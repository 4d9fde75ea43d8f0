from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import orjson
import pytest
from file_parts import COMPRESSORS, collect_into, reading, source_of, take, take_all

import connectors.file_blocks
import reactive as rx
from connectors import files
from connectors.file_opening import open_blocks
from reactive.blocking import BlockingWorker
from reactive.errors import ConnectorError, DecodeError, FrameTooLongError, TruncatedError

LINES = ["first", "", "größer", "with\x0bvertical\u2028tab", "last"]
TEXT = "\n".join(LINES) + "\n"


@pytest.fixture(params=["page cache", "worker"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test with both ways of reading a plain file."""
    if request.param == "worker":
        monkeypatch.setattr(connectors.file_blocks, "_NOWAIT", None)


async def test_lines_as_text(tmp_path: Path, way: None, any_loop: None) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT.encode())
    assert await files.read_lines(path).collect() == LINES


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("closed", [True, False])
async def test_line_ends(tmp_path: Path, end: str, closed: bool) -> None:
    path = tmp_path / "a.txt"
    text = end.join(LINES) + end * closed
    path.write_bytes(text.encode())
    ends = [line + end for line in LINES]
    if not closed:
        ends[-1] = LINES[-1]
    assert await files.read_lines(path).collect() == LINES
    assert await files.read_lines(path, keep_ends=True).collect() == ends
    in_bytes = files.read_lines(path, encoding=None)
    assert await in_bytes.collect() == [line.encode() for line in LINES]
    kept = files.read_lines(path, encoding=None, keep_ends=True)
    assert await kept.collect() == [line.encode() for line in ends]


@pytest.mark.parametrize("suffix", COMPRESSORS)
async def test_compressed_files_by_magic_and_by_suffix(tmp_path: Path, suffix: str) -> None:
    data = COMPRESSORS[suffix](TEXT.encode()) + COMPRESSORS[suffix](b"more\n")
    named = tmp_path / f"a.txt{suffix}"
    plain_name = tmp_path / "b.txt"
    named.write_bytes(data)
    plain_name.write_bytes(data)
    for path in (named, plain_name):
        assert await files.read_lines(path).collect() == [*LINES, "more"]
        assert (
            b"".join(await files.read_bytes(path, block=7).collect()) == (TEXT + "more\n").encode()
        )
    as_it_is = files.read_bytes(named, compression=None)
    assert b"".join(await as_it_is.collect()) == data


async def test_many_blocks_of_many_lines(tmp_path: Path, way: None) -> None:
    lines = [f"{number} {'x' * (number * 7 % 200)}" for number in range(60_000)]
    data = "\n".join(lines).encode()
    for suffix in ("", ".gz"):
        path = tmp_path / f"big{suffix}"
        path.write_bytes(COMPRESSORS[suffix](data) if suffix else data)
        assert await files.read_lines(path).collect() == lines
        async with reading(files.read_lines(path)) as reader:
            assert await take_all(reader, limit=100) == lines


linux = pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="the system has no such read")


@linux
async def test_a_file_that_the_page_cache_does_not_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    lines = [f"{number:099}" for number in range(60_000)]
    path.write_text("\n".join(lines))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert await files.read_lines(path).collect() == lines


@linux
async def test_a_page_cache_with_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    lines = [f"{number:099}" for number in range(60_000)]
    path.write_text("\n".join(lines))
    calls: list[int] = []
    read = os.preadv

    def read_if_cached(descriptor: int, buffers: Any, offset: int, flags: int) -> int:
        calls.append(offset)
        if len(calls) % 3 == 1:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return read(descriptor, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", read_if_cached)
    assert await files.read_lines(path).collect() == lines
    assert len(calls) > 6


async def test_chunks_fill_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"{number:080}\n" for number in range(50_000)))
    async with reading(files.read_lines(path)) as reader:
        sizes = []
        while (items := await take(reader)) is not None:
            sizes.append(len(items))
    assert sum(sizes) == 50_000
    assert len(sizes) < 1.2 * 50_000 / 1024 + 2


async def test_paths_globs_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.log", "a.log", "c.txt", "odd[1].log"):
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / "d.log").mkdir()
    (tmp_path / "d.log" / "e.log").write_text("e.log\n")
    monkeypatch.chdir(tmp_path)
    assert await files.read_lines("*.log").collect() == ["a.log", "b.log", "odd[1].log"]
    assert await files.read_lines(["c.txt", Path("a.log")]).collect() == ["c.txt", "a.log"]
    assert await files.read_lines(["c.txt", "[ab].log"]).collect() == ["c.txt", "a.log", "b.log"]
    assert await files.read_lines("odd[1].log").collect() == ["odd[1].log"]
    assert await files.read_lines("**/e.log").collect() == ["e.log"]
    assert await files.read_lines(["a.log", "a.log"]).collect() == ["a.log", "a.log"]


async def test_empty_files_have_no_lines(tmp_path: Path) -> None:
    for name in ("a", "b.gz", "c.csv"):
        (tmp_path / name).touch()
    assert await files.read_lines([tmp_path / "a", tmp_path / "b.gz"]).collect() == []
    assert await files.read_csv(tmp_path / "c.csv").collect() == []
    assert await files.read_bytes(tmp_path / "a").collect() == []


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
async def test_a_compressed_file_filled_between_opening_and_reading(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.touch()
    worker = BlockingWorker("test")
    blocks = await open_blocks(str(path), "auto", worker)
    try:
        path.write_bytes(COMPRESSORS[suffix](b"one"))
        assert await blocks.read(100) == b"one"
    finally:
        await blocks.close()
        await worker.close()


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "latin-1", "cp1140"]
)
async def test_encodings(tmp_path: Path, encoding: str) -> None:
    lines = [line.replace("\u2028", "|") for line in LINES] * 500
    path = tmp_path / "a.txt"
    path.write_bytes("\n".join(lines).encode(encoding))
    assert await files.read_lines(path, encoding=encoding).collect() == lines


async def test_a_byte_order_mark_of_utf8_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("name\nJosé\n".encode("utf-8-sig"))
    assert await files.read_lines(path).collect() == ["name", "José"]
    assert await files.read_csv(path).collect() == [{"name": "José"}]


async def test_errors_are_replaced_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"good\nb\xffd\nb\xe2\ngood")
    lines = files.read_lines(path, errors="replace")
    assert await lines.collect() == ["good", "b\ufffdd", "b\ufffd", "good"]
    wide = tmp_path / "b.txt"
    wide.write_bytes("good\n".encode("shift_jis") + b"\x81\n" + "日本\n".encode("shift_jis"))
    lines = files.read_lines(wide, encoding="shift_jis", errors="replace")
    assert await lines.collect() == ["good", "\ufffd", "日本"]


async def test_malformed_utf8_names_line_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\nth\xffree\nfour\n")
    seen: list[str] = []
    with pytest.raises(DecodeError, match=r"a\.txt, line 3 \(byte 10\): b'\\xff' is not utf-8"):
        await collect_into(seen, files.read_lines(path))
    assert seen == ["one", "two"]
    assert await files.read_lines(path, on_error="skip").collect() == ["one", "two", "four"]
    replaced = files.read_lines(path, on_error=rx.replace("?"))
    assert await replaced.collect() == ["one", "two", "?", "four"]


async def test_skipped_lines_are_counted_and_errors_come_late_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    lines = [b"%d" % number for number in range(100_000)]
    lines[70_000] = b"\xff"
    data = b"\n".join(lines)
    path.write_bytes(data)
    start = data.index(b"\xff")
    with pytest.raises(DecodeError, match=rf"line 70001 \(byte {start}\)"):
        await files.read_lines(path).collect()
    async with rx.start(
        files.read_lines(path, on_error="skip").to(files.write_lines("/dev/null"))
    ) as run:
        await run.wait()
        assert run.metrics()["read_lines"].counters["skipped"] == 1


async def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n  \n[2]\r\n"three"')
    assert await files.read_jsonl(path).collect() == [{"a": 1}, [2], "three"]


async def test_json_lines_with_a_parser_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("1\n2\nx\n4\n")
    calls: list[bytes] = []

    def parse(line: bytes) -> int:
        calls.append(line)
        return int(line)

    with pytest.raises(ValueError, match="invalid literal") as caught:
        await files.read_jsonl(path, parse=parse).collect()
    assert any("line 3 (byte 4): 'x'" in note for note in caught.value.__notes__)
    assert calls[:2] == [b"1", b"2"]
    assert calls.count(b"1") == 1
    skipping = files.read_jsonl(path, parse=int, on_error="skip")
    assert await skipping.collect() == [1, 2, 4]


async def test_malformed_json_names_line_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"ä": tru}\n{"a": 3}\n')
    seen: list[Any] = []
    message = (
        r"a\.jsonl, line 2 \(byte 16\): not valid JSON, .* column \d+ of '\{\"ä\": tru\}'; mend"
    )
    with pytest.raises(DecodeError, match=message) as caught:
        await collect_into(seen, files.read_jsonl(path))
    assert seen == [{"a": 1}]
    assert isinstance(caught.value.__cause__, orjson.JSONDecodeError)


async def test_broken_lines_go_to_a_side_output(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    count = 5_000
    path.write_text("".join("{\n" if n % 1000 == 7 else f"{n}\n" for n in range(count)))
    bad = rx.SideOutput[rx.DeadLetter[bytes]]("bad")
    good_path, bad_path = tmp_path / "good.jsonl", tmp_path / "bad.txt"
    await rx.run(
        files.read_jsonl(path, on_error=bad).to(files.write_jsonl(good_path)),
        bad.map(lambda letter: f"{letter.operator} {letter.item!r} {letter.error}").to(
            files.write_lines(bad_path)
        ),
    )
    assert await files.read_jsonl(good_path).collect() == [n for n in range(count) if n % 1000 != 7]
    letters = await files.read_lines(bad_path).collect()
    assert [letter.split(": ")[0] for letter in letters][:2] == [
        f"read_jsonl b'{{' {path}, line 8 (byte 15)",
        f"read_jsonl b'{{' {path}, line 1008 (byte 3926)",
    ]
    assert len(letters) == 5


async def test_a_line_that_is_too_long(tmp_path: Path, way: None) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n" + b"x" * 1_000_000 + b"\nthree\n" + b"y" * 300_000)
    limited = {"max_line_bytes": 200_000}
    with pytest.raises(FrameTooLongError, match=r"a\.txt, line 2 \(byte 4\): is longer than max_l"):
        await files.read_lines(path, **limited).collect()
    assert await files.read_lines(path, on_error="skip", **limited).collect() == ["one", "three"]
    assert [len(line) for line in await files.read_lines(path).collect()] == [3, 10**6, 5, 300_000]


async def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,note\r\n1,"a ""b"", c"\r\n\r\n2,"two\r\nlines"\r\n3,\r\n')
    rows = [{"id": "1", "note": 'a "b", c'}, {"id": "2", "note": "two\r\nlines"}]
    rows.append({"id": "3", "note": ""})
    assert await files.read_csv(path).collect() == rows
    as_lists = [["id", "note"], *(list(row.values()) for row in rows)]
    assert await files.read_csv(path, header=False).collect() == as_lists
    named = files.read_csv(path, header=["x", "y"]).skip(1).map(lambda row: row["y"])
    assert await named.collect() == [row["note"] for row in rows]


async def test_csv_with_other_marks(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("a\t b\n'x\ty'\t z\n")
    rows = files.read_csv(path, delimiter="\t", quotechar="'", skip_spaces=True)
    assert await rows.collect() == [{"a": "x\ty", "b": "z"}]
    path.write_text('a|b\n"x|5"\n')
    rows = files.read_csv(path, delimiter="|", quotechar=None)
    assert await rows.collect() == [{"a": '"x', "b": '5"'}]
    with pytest.raises(ValueError, match=r"no way to write CSV: .*delimiter"):
        files.read_csv(path, delimiter=",,")


async def test_quoted_newlines_across_blocks(tmp_path: Path, way: None) -> None:
    rows = [{"n": str(n), "text": "line\n" * (n * 37 % 900) + '"quoted", ä'} for n in range(300)]
    path = tmp_path / "a.csv"
    await rx.run(rx.from_iterable(rows).to(files.write_csv(path)))
    assert path.stat().st_size > 500_000
    assert await files.read_csv(path).collect() == rows
    async with reading(files.read_csv(path)) as reader:
        assert await take_all(reader, limit=3) == rows


BROKEN_CSV = 'a,b\n1,2\n3\n4,5,6\n7,"8"x\n9,10\n11,"open\n12,13\n14,15'


async def test_broken_csv_names_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(BROKEN_CSV)
    letters: list[rx.DeadLetter[str]] = []
    bad = rx.SideOutput[rx.DeadLetter[str]]("bad")
    kept: list[dict[str, str]] = []

    class Into(rx.Sink[Any]):
        def __init__(self, items: list[Any]) -> None:
            self.items = items

        def writer(self, context: rx.Context) -> rx.Writer[Any]:
            sink = self

            class Keep(rx.Writer[Any]):
                async def write(self, chunk: rx.Chunk[Any]) -> None:
                    sink.items.extend(chunk.items)

            return Keep()

    await rx.run(files.read_csv(path, on_error=bad).to(Into(kept)), bad.to(Into(letters)))
    assert [row["a"] for row in kept] == ["1", "9", "12", "14"]
    told = [str(letter.error).removeprefix(f"{path}, ") for letter in letters]
    assert told[0].startswith("line 3 (byte 8): has 1 fields where the header names 2 columns")
    assert told[1].startswith("line 4 (byte 10): has 3 fields where the header names 2 columns")
    assert told[2].startswith("line 5 (byte 16): ',' expected after '\"'")
    assert told[3].startswith("line 7 (byte 28): a quote is opened in this row and never closed")
    assert [letter.item for letter in letters] == ["3", "4,5,6", '7,"8"x', '11,"open']
    with pytest.raises(DecodeError, match=r"a\.csv, line 3 \(byte 8\)"):
        await files.read_csv(path).collect()


async def test_an_open_quote_in_a_large_csv_costs_one_row(tmp_path: Path) -> None:
    rows = [f"{n},{'x' * 90}\n" for n in range(20_000)]
    rows[5_000] = '5000,"' + "x" * 90 + "\n"
    path = tmp_path / "a.csv"
    path.write_text("n,x\n" + "".join(rows))
    with pytest.raises(
        DecodeError, match=r"line 5002 \(byte \d+\): .*a quote that is never closed"
    ):
        await files.read_csv(path).collect()
    left = await files.read_csv(path, on_error="skip").map(lambda row: int(row["n"])).collect()
    assert left == [n for n in range(20_000) if n != 5_000]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"a,b,a\n1,2,3\n", r"line 1 \(byte 0\): the header names the column 'a' twice"),
        (b'a,"b"x\n1,2\n', r"line 1 \(byte 0\): ',' expected after"),
        (b"a,\xff\n1,2\n", r"line 1 \(byte 2\): b'\\xff' is not utf-8"),
    ],
)
async def test_a_broken_header_is_always_an_error(
    tmp_path: Path, header: bytes, reason: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(header)
    with pytest.raises(DecodeError, match=reason):
        await files.read_csv(path, on_error="skip").collect()


async def test_undecodable_csv_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\n1,2\n3,"x\n\xff"\n5,6\n')
    with pytest.raises(DecodeError, match=r"line 4 \(byte 13\): b'\\xff' is not utf-8"):
        await files.read_csv(path).collect()
    rows = files.read_csv(path, on_error="skip").map(lambda row: row["a"])
    assert await rows.collect() == ["1", "5"]


async def test_a_truncated_gzip_gives_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    lines = [f"{number * 7919 % 100_003}" for number in range(100_000)]
    data = COMPRESSORS[".gz"]("\n".join(lines).encode())
    path.write_bytes(data[: len(data) // 2])
    seen: list[str] = []
    with pytest.raises(TruncatedError, match=r"a\.txt\.gz: the gzip data ends after \d+ bytes, in"):
        await collect_into(seen, files.read_lines(path))
    assert len(seen) > 30_000
    assert seen == lines[: len(seen)]


async def test_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    data = bytearray(COMPRESSORS[".gz"](os.urandom(100_000)))
    data[60_000] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DecodeError, match=r"a\.txt\.gz: the data is damaged, or not gzip"):
        await files.read_bytes(path).collect()
    path.write_bytes(b"not gzip at all\n")
    with pytest.raises(DecodeError, match=r"a\.txt\.gz: it is named like gzip data, but starts"):
        await files.read_lines(path).collect()
    assert await files.read_lines(path, compression=None).collect() == ["not gzip at all"]


async def test_missing_files_and_globs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConnectorError, match=r"x\.txt: there is no such file \(looked for in /"):
        await files.read_lines("x.txt").collect()
    with pytest.raises(ConnectorError, match=r"\*\.txt: no file matches this glob in /"):
        await files.read_lines("*.txt").collect()
    with pytest.raises(
        ConnectorError, match=rf"{tmp_path}: is a directory, not a file; give a glob"
    ):
        await files.read_lines(tmp_path).collect()
    (tmp_path / "sub").mkdir()
    with pytest.raises(ConnectorError, match="matches only directories"):
        await files.read_lines("*").collect()
    (tmp_path / "a.txt").touch()
    with pytest.raises(ConnectorError, match=r"a\.txt/b: a part of the path is a file"):
        await files.read_lines("a.txt/b").collect()


async def test_a_missing_file_of_many_is_told_before_anything_is_read(tmp_path: Path) -> None:
    there = tmp_path / "there.txt"
    there.write_text("one\n")
    async with reading(files.read_lines(there)):
        pass
    with pytest.raises(ConnectorError, match=r"gone\.txt: there is no such file"):
        async with reading(files.read_lines([there, tmp_path / "gone.txt"])):
            pass


async def test_a_file_that_vanishes_before_its_turn(tmp_path: Path) -> None:
    first, second = tmp_path / "1.txt", tmp_path / "2.txt"
    first.write_text("one\n")
    second.write_text("two\n")
    async with reading(files.read_lines([first, second])) as reader:
        second.unlink()
        assert await take(reader) == ["one"]
        with pytest.raises(ConnectorError, match=r"2\.txt: there is no such file"):
            await take(reader)


async def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, way: None) -> None:
    path = tmp_path / "a.txt"
    path.write_text("0123456\n" * 1_000_000)
    async with reading(files.read_lines(path)) as reader:
        assert await take(reader)
        os.truncate(path, 4_000_000)
        with pytest.raises(
            TruncatedError, match=r"a\.txt: ends at byte \d+, but had 8000000 bytes"
        ):
            await take_all(reader)


def test_permission_denied(tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("secret\n")
    path.chmod(0)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_mode & 0o001 == 0:
            directory.chmod(directory.stat().st_mode | 0o011)
    script = (
        "import asyncio, os, sys\n"
        "from connectors import files\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "asyncio.run(files.read_lines(sys.argv[1]).collect())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"ConnectorError: {path}: permission to read it was denied to user" in done.stderr


async def test_a_named_pipe_gives_lines_as_they_come(tmp_path: Path, any_loop: None) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    async with reading(files.read_lines(path)) as reader:
        first = asyncio.ensure_future(take(reader))
        await asyncio.sleep(0)
        writer = os.open(path, os.O_WRONLY)
        os.write(writer, b"one\ntw")
        assert await first == ["one"]
        waiting = asyncio.ensure_future(take(reader))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        os.write(writer, b"o\n")
        assert await take(reader) == ["two"]
        os.write(writer, b"three")
        os.close(writer)
        assert await take(reader) == ["three"]
        assert await take(reader) is None
        assert reader.position() is None


async def test_stop_ends_a_wait_for_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    async with reading(files.read_lines(path)) as reader:
        writer = os.open(path, os.O_WRONLY)
        os.write(writer, b"one\ntorn")
        assert await take(reader) == ["one"]
        waiting = asyncio.ensure_future(take(reader))
        await asyncio.sleep(0)
        assert reader.stop() is True
        assert await waiting is None
        os.close(writer)


async def test_a_compressed_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    data = COMPRESSORS[".gz"](TEXT.encode())
    async with reading(files.read_lines(path)) as reader:
        writer = os.open(path, os.O_WRONLY)
        collecting = asyncio.ensure_future(take_all(reader))
        for start in range(0, len(data), 3):
            os.write(writer, data[start : start + 3])
            await asyncio.sleep(0)
        os.close(writer)
        assert await collecting == LINES


@pytest.mark.parametrize("piped", [True, False])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_standard_input(tmp_path: Path, piped: bool, suffix: str) -> None:
    script = (
        "import asyncio\n"
        "from connectors import files\n"
        "async def main():\n"
        "    async for line in files.read_lines('-'): print(ascii(line))\n"
        "asyncio.run(main())\n"
    )
    data = COMPRESSORS[suffix](TEXT.encode()) if suffix else TEXT.encode()
    if piped:
        done = subprocess.run(
            [sys.executable, "-c", script], input=data, capture_output=True, check=True
        )
    else:
        path = tmp_path / "input"
        path.write_bytes(b"12345" + data)
        with path.open("rb", buffering=0) as file:
            file.seek(5)
            done = subprocess.run(
                [sys.executable, "-c", script], stdin=file, capture_output=True, check=True
            )
    assert done.stdout.decode().splitlines() == [ascii(line) for line in LINES]


async def test_devices(tmp_path: Path) -> None:
    assert await files.read_lines("/dev/null").collect() == []
    blocks = files.read_bytes("/dev/zero", block=1000).take(3)
    assert await blocks.collect() == [bytes(1000)] * 3


async def test_leaving_early_closes_everything(tmp_path: Path, way: None) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(COMPRESSORS[".gz"](b"0123456\n" * 2_000_000))
    plain = tmp_path / "a.txt"
    plain.write_bytes(b"0123456\n" * 2_000_000)
    for each in (path, plain):
        assert await files.read_lines(each).take(5).collect() == ["0123456"] * 5
        assert await files.read_bytes(each).map(len).first() > 0


async def test_a_cancelled_read_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    lines = [str(number) for number in range(300_000)]
    path.write_bytes(COMPRESSORS[".gz"]("\n".join(lines).encode()))
    async with reading(files.read_lines(path)) as reader:
        seen: list[str] = []
        cancelled = 0
        while True:
            task = asyncio.ensure_future(take(reader))
            await asyncio.sleep(0)
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
                cancelled += 1
                items = await take(reader)
            else:
                items = task.result()
            if items is None:
                break
            seen += items
        assert seen == lines
        assert cancelled > 0


async def test_describing_does_nothing_and_runs_anew(tmp_path: Path) -> None:
    path = tmp_path / "later.txt"
    lines = files.read_lines(path)
    path.write_text("one\n")
    assert await lines.collect() == ["one"]
    path.write_text("two\n")
    assert await asyncio.gather(lines.collect(), lines.collect()) == [["two"], ["two"]]
    copied = cloudpickle.loads(cloudpickle.dumps(files.read_jsonl(path, parse=lambda raw: raw)))
    assert await copied.collect() == [b"two"]


def test_what_a_source_says_of_itself() -> None:
    source = source_of(files.read_csv(["a.csv", "b*.csv"], on_error="skip"))
    assert (source.label, source.bounded, source.replayable) == ("read_csv", True, True)
    assert source.details() == {
        "paths": "a.csv, b*.csv",
        "encoding": "utf-8",
        "on_error": "skip",
    }
    assert not source_of(files.read_lines("-")).bounded
    assert source_of(files.follow("a.log", poll=2)).details()["poll"] == "2 s"


@pytest.mark.parametrize(
    ("describe", "reason"),
    [
        (lambda: files.read_lines([]), "give at least one path or glob"),
        (lambda: files.read_lines(""), "must not be empty"),
        (lambda: files.read_lines(["-", "-"]), "can be read only once"),
        (lambda: files.read_lines("a", encoding="utf-9"), "unknown text encoding"),
        (lambda: files.read_lines("a", compression="zip"), "compression must be 'auto', None"),
        (lambda: files.read_lines("a", max_line_bytes=10), "max_line_bytes must be at least"),
        (lambda: files.read_bytes("a", block=0), "block must be at least 1 byte"),
        (lambda: files.read_csv("a", header="name"), "header must be True, False, or a list"),
        (lambda: files.follow("-"), "standard input cannot be followed"),
        (lambda: files.follow("a", poll=0), "poll must be above 0 seconds"),
        (lambda: files.follow("a", start="middle"), "start must be 'beginning' or 'end'"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_described(describe: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        describe()
    with pytest.raises(TypeError, match="on_error must be"):
        files.read_lines("a", on_error="ignore")  # type: ignore[call-overload]
