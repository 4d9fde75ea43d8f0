"""Files in and out: lines, JSON lines, CSV, bytes; plain or compressed; whole, or as they grow.

```python
import reactive as rx
from connectors import files

errors = files.read_lines("logs/*.log.gz").filter(lambda line: "ERROR" in line)
await rx.run(errors.to(files.write_lines("errors.txt")))
```

Sources take a path, a glob, or a list of them; `"-"` is standard input. A glob gives its files
sorted by name, and is an error if it matches nothing. Files compressed with gzip, bzip2, xz or
zstd (which before Python 3.14 needs `pip install "reactive-pipelines[zstd]"`) are recognised by
their first bytes, or else by their suffix; several members one after the other are one file.

What the system's page cache holds is read in place; where the disk has to be asked, and to
decompress, a thread of the source's own does it, ahead of what is processed, and ends with the run.
A source has one file open at a time and a few blocks of it (some 2 MB) in memory, whatever the size
of the files, and reads no faster than the pipeline takes.

A broken line is an error that names the file, the line, the byte, and the reason; `on_error`
takes `"skip"`, `rx.replace(...)` or an `rx.SideOutput` instead, as for any operator. What is wrong
with a whole file (missing, a directory, truncated or damaged compressed data) always is an error,
raised after everything before it was delivered.

Positions are bytes of the plain contents, so in a compressed file seeking decompresses from its
start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar, overload

import orjson

from connectors.compression import check_compression
from connectors.csv_records import Csv, Dialect
from connectors.file_blocks import CompressionArgument
from connectors.file_follow import FollowedRecords, FollowStart
from connectors.file_paths import STANDARD, PathArgument, PathsArgument, path_text, paths_tuple
from connectors.file_reading import BytesFiles, FilePosition, RecordFiles
from connectors.file_writing import CompressionTarget, FileSink, Rotation
from connectors.followed_file import FollowPosition
from connectors.line_splitting import check_encoding, encoding_to_write
from connectors.record_assembly import LEAST_LINE_LIMIT
from connectors.record_encoding import CsvEncoding, JsonEncoding, LineEncoding, RecordEncoding
from connectors.record_parsing import Json, Lines, RecordFormat
from reactive import from_source
from reactive.endpoint import Sink
from reactive.policy import ErrorPolicy, check_policy
from reactive.stream import Stream

__all__ = [
    "FilePosition",
    "FollowPosition",
    "Rotation",
    "follow",
    "read_bytes",
    "read_csv",
    "read_jsonl",
    "read_lines",
    "write_csv",
    "write_jsonl",
    "write_lines",
]

T = TypeVar("T")

MAX_LINE_BYTES = 1 << 26


def _records(
    paths: PathsArgument,
    record_format: RecordFormat[T],
    compression: CompressionArgument,
    max_line_bytes: int,
    on_error: object,
) -> Stream[T]:
    check_compression(compression)
    check_policy(on_error)
    _check_line_limit(max_line_bytes)
    source = RecordFiles(paths_tuple(paths), compression, record_format, max_line_bytes, on_error)
    return from_source(source)


def _check_line_limit(max_line_bytes: int) -> None:
    if max_line_bytes < LEAST_LINE_LIMIT:
        raise ValueError(f"max_line_bytes must be at least {LEAST_LINE_LIMIT}")


@overload
def read_lines(
    paths: PathsArgument,
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    keep_ends: bool = False,
    compression: CompressionArgument = "auto",
    max_line_bytes: int = MAX_LINE_BYTES,
    on_error: ErrorPolicy[str] = "raise",
) -> Stream[str]: ...
@overload
def read_lines(
    paths: PathsArgument,
    *,
    encoding: None,
    keep_ends: bool = False,
    compression: CompressionArgument = "auto",
    max_line_bytes: int = MAX_LINE_BYTES,
    on_error: ErrorPolicy[bytes] = "raise",
) -> Stream[bytes]: ...
def read_lines(
    paths: PathsArgument,
    *,
    encoding: str | None = "utf-8",
    errors: str = "strict",
    keep_ends: bool = False,
    compression: CompressionArgument = "auto",
    max_line_bytes: int = MAX_LINE_BYTES,
    on_error: ErrorPolicy[Any] = "raise",
) -> Stream[Any]:
    r"""The lines of files, as text, or as bytes with `encoding=None`.

    Emits each line without its end, `\n` or `\r\n` (`keep_ends=True` leaves it as it is); a last
    line without an end counts. Only `\n` ends a line. A byte order mark of UTF-8, or of `utf-16`
    and `utf-32`, is not part of the first line. Completes after the last file; from standard input
    lines come as they are written, and it completes when that is closed. Backpressure: reads no
    faster than items are taken.

    `errors` is how undecodable bytes are handled: `"strict"` makes the line a broken one,
    `"replace"` and the others are those of `bytes.decode`. A line longer than `max_line_bytes` is
    a broken one, too. The dead letter of a broken line is its bytes.

    Raises `ConnectorError` (a file is missing, a directory, not permitted), `DecodeError` (a broken
    line, damaged compressed data), `TruncatedError` (compressed data that ends too early, or a
    file that shrank while it was read), `FrameTooLongError`.

    ```python
    words = files.read_lines(["a.txt", "more/*.txt.gz"]).flat_map(str.split)
    print(await words.count())
    ```
    """
    lines = Lines(check_encoding(encoding, errors), errors, keep_ends)
    return _records(paths, lines, compression, max_line_bytes, on_error)


def read_bytes(
    paths: PathsArgument,
    *,
    block: int = 1 << 18,
    compression: CompressionArgument = "auto",
) -> Stream[bytes]:
    """The contents of files, decompressed, in blocks of at most `block` bytes.

    Emits what is there, so blocks may be shorter; where they are cut carries no meaning. A block
    never spans two files. Completes after the last file. Backpressure: reads no faster than items
    are taken.

    Raises `ConnectorError`, `DecodeError` and `TruncatedError` as `read_lines` does.

    ```python
    size = await files.read_bytes("backup.tar.zst").map(len).sum()
    ```
    """
    check_compression(compression)
    if block < 1:
        raise ValueError(f"block must be at least 1 byte, not {block}")
    return from_source(BytesFiles(paths_tuple(paths), compression, block))


@overload
def read_jsonl(
    paths: PathsArgument,
    *,
    compression: CompressionArgument = "auto",
    max_line_bytes: int = MAX_LINE_BYTES,
    on_error: ErrorPolicy[Any] = "raise",
) -> Stream[Any]: ...
@overload
def read_jsonl(
    paths: PathsArgument,
    *,
    parse: Callable[[bytes], T],
    compression: CompressionArgument = "auto",
    max_line_bytes: int = MAX_LINE_BYTES,
    on_error: ErrorPolicy[T] = "raise",
) -> Stream[T]: ...
def read_jsonl(
    paths: PathsArgument,
    *,
    parse: Callable[[bytes], Any] = orjson.loads,
    compression: CompressionArgument = "auto",
    max_line_bytes: int = MAX_LINE_BYTES,
    on_error: ErrorPolicy[Any] = "raise",
) -> Stream[Any]:
    """The values of JSON Lines files: one JSON value a line, in UTF-8.

    Emits what `parse` makes of the bytes of each line: plain Python values by default, or objects
    of one's own with such functions as pydantic's `Order.model_validate_json` or
    `msgspec.json.Decoder(Order).decode`. Blank lines are passed over. Completes, backpressures
    and fails as `read_lines` does. The dead letter of a broken line is its bytes; errors of `parse`
    other than for malformed JSON are raised as they are, with a note naming file and line.

    ```python
    paid = files.read_jsonl("orders-*.jsonl.zst").filter(lambda order: order["paid"])
    ```
    """
    if not callable(parse):
        raise TypeError(f"parse must be a function of the bytes of a line, not {parse!r}")
    return _records(paths, Json(parse), compression, max_line_bytes, on_error)


@overload
def read_csv(
    paths: PathsArgument,
    *,
    header: Literal[True] | Sequence[str] = True,
    delimiter: str = ",",
    quotechar: str | None = '"',
    escapechar: str | None = None,
    skip_spaces: bool = False,
    encoding: str = "utf-8",
    errors: str = "strict",
    compression: CompressionArgument = "auto",
    max_line_bytes: int = MAX_LINE_BYTES,
    on_error: ErrorPolicy[dict[str, str]] = "raise",
) -> Stream[dict[str, str]]: ...
@overload
def read_csv(
    paths: PathsArgument,
    *,
    header: Literal[False],
    delimiter: str = ",",
    quotechar: str | None = '"',
    escapechar: str | None = None,
    skip_spaces: bool = False,
    encoding: str = "utf-8",
    errors: str = "strict",
    compression: CompressionArgument = "auto",
    max_line_bytes: int = MAX_LINE_BYTES,
    on_error: ErrorPolicy[list[str]] = "raise",
) -> Stream[list[str]]: ...
def read_csv(
    paths: PathsArgument,
    *,
    header: bool | Sequence[str] = True,
    delimiter: str = ",",
    quotechar: str | None = '"',
    escapechar: str | None = None,
    skip_spaces: bool = False,
    encoding: str = "utf-8",
    errors: str = "strict",
    compression: CompressionArgument = "auto",
    max_line_bytes: int = MAX_LINE_BYTES,
    on_error: ErrorPolicy[Any] = "raise",
) -> Stream[Any]:
    """The rows of CSV files, parsed strictly by the standard library.

    Emits a dict of column names to text for each row. The names come from the first row of each
    file; or give them as `header=[...]` for files without one; with `header=False` rows are lists,
    of any length. Quoted fields may hold newlines. `skip_spaces` drops spaces after delimiters,
    `quotechar=None` takes quotes as they are. Empty lines are passed over. Completes, backpressures
    and fails as `read_lines` does.

    A row is broken if it has more or fewer fields than the header, or a quote that is not closed
    or is followed by text. After a broken row, reading goes on with the line after its first; its
    dead letter is its text. A header that is broken, or names a column twice, is always an error.

    ```python
    async for row in files.read_csv("people.csv"):
        print(row["name"])
    ```
    """
    dialect = Dialect(delimiter, quotechar, escapechar, skip_spaces)
    if isinstance(header, str) or not (isinstance(header, bool) or len(header)):
        raise ValueError("header must be True, False, or a list of at least one column name")
    columns = header if isinstance(header, bool) else tuple(header)
    rows = Csv(dialect, columns, check_encoding(encoding, errors), errors)
    return _records(paths, rows, compression, max_line_bytes, on_error)


@overload
def follow(
    path: PathArgument,
    *,
    start: FollowStart = "beginning",
    poll: float = 0.25,
    encoding: str = "utf-8",
    errors: str = "strict",
    keep_ends: bool = False,
    max_line_bytes: int = MAX_LINE_BYTES,
    on_error: ErrorPolicy[str] = "raise",
) -> Stream[str]: ...
@overload
def follow(
    path: PathArgument,
    *,
    encoding: None,
    start: FollowStart = "beginning",
    poll: float = 0.25,
    keep_ends: bool = False,
    max_line_bytes: int = MAX_LINE_BYTES,
    on_error: ErrorPolicy[bytes] = "raise",
) -> Stream[bytes]: ...
def follow(
    path: PathArgument,
    *,
    start: FollowStart = "beginning",
    poll: float = 0.25,
    encoding: str | None = "utf-8",
    errors: str = "strict",
    keep_ends: bool = False,
    max_line_bytes: int = MAX_LINE_BYTES,
    on_error: ErrorPolicy[Any] = "raise",
) -> Stream[Any]:
    """The lines of a file as they are written to it, as `tail -F` shows them. Never completes.

    Emits a line once its end is written; a line that is not complete yet is held. Looks for more
    every `poll` seconds of the loop's clock, and at once while there is more. `start="end"` leaves
    out the lines that are complete when it starts. A file that is not there yet is waited for.

    When the path becomes another file's (log rotation by renaming), the old one is read until it
    had nothing new for one `poll`, then the new one from its start; files that came and were
    rotated away in between (`log.1`, `log-20250131`) are read on the way, oldest first. A file that
    was truncated, or written anew from its start (rotation by copying), is read from its start. An
    incomplete line that the old file, or the old contents, ended with is emitted as it is.

    Loses what is written to a file after it was left, and what is written and truncated away
    within one `poll`. Backpressure: reads no faster than items are taken.

    A position knows the file by its identity and first bytes: a follower that starts again there
    finds it under its rotated name, finishes it, and goes on, or raises `ConnectorError` if it is
    gone. Raises also `ConnectorError` if the path is a directory or may not be read, and for broken
    lines as `read_lines` does.

    ```python
    async for line in files.follow("/var/log/syslog", start="end"):
        print(line)
    ```
    """
    where = path_text(path)
    if where == STANDARD:
        raise ValueError("standard input cannot be followed; files.read_lines('-') waits for lines")
    if start not in ("beginning", "end"):
        raise ValueError(f"start must be 'beginning' or 'end', not {start!r}")
    if not poll > 0:
        raise ValueError(f"poll must be above 0 seconds, not {poll}")
    check_policy(on_error)
    _check_line_limit(max_line_bytes)
    lines: RecordFormat[Any] = Lines(check_encoding(encoding, errors), errors, keep_ends)
    return from_source(FollowedRecords(where, lines, start, poll, max_line_bytes, on_error))


def _sink(
    path: PathArgument,
    encoding: RecordEncoding[T],
    newline: bytes,
    append: bool,
    compression: CompressionTarget,
    level: int | None,
    rotate: Rotation | None,
    fsync: bool,
) -> Sink[T]:
    check_compression(compression)
    return FileSink(path_text(path), encoding, newline, append, compression, level, rotate, fsync)


def write_lines(
    path: PathArgument,
    *,
    encoding: str = "utf-8",
    end: str = "\n",
    append: bool = False,
    compression: CompressionTarget = "auto",
    level: int | None = None,
    rotate: Rotation | None = None,
    fsync: bool = False,
) -> Sink[str | bytes]:
    r"""Write each item, text or bytes, as a line; `"-"` is standard output.

    By default the file is replaced as a whole: items go to a temporary file beside it
    (`.NAME.XXXXXXXX.partial`), which takes its name, and the mode of the file it replaces, when the
    stream has ended well. If it fails or is cancelled, the temporary file is removed and the old
    file is as it was. With `append=True`, items are added to the file as they come and stay there;
    a torn last line is ended first. Devices and pipes are written to directly.

    The suffix chooses the compression (`.gz`, `.bz2`, `.xz`, `.zst`), or `compression` does, with
    `level`. Appended to, or on a pipe, gzip and zstd are flushed with every chunk. `rotate` writes
    several files, see `Rotation`. `fsync=True` waits until the finished file is on the disk.

    In a run with checkpoints, every line is there once, whatever was interrupted: nothing is seen
    before the epoch it belongs to is committed, and what is not committed is discarded by the run
    that continues. A whole file grows as `.NAME.XXXXXXXX.staged` and is seen when the stream has
    ended well; one that goes on after that, because a later run had more items, is replaced again.
    With `append=True`, an epoch is joined to the file when it is committed, so that readers and
    followers see the file only grow; up to 64 KiB of it wait in the checkpoint, more in a hidden
    file. Others may append between two epochs; within one, that is an error. Of several files,
    each is seen at the commit of the epoch in which it was ended. Compressed data is ended with
    every epoch, so very short ones compress badly. Every epoch is on the disk when it is
    committed, also without `fsync`. Going on from an older checkpoint, or savepoint, cuts back a
    whole file that is not finished; what was appended since, and parts, stay, and their lines come
    again. Standard output, devices and pipes get items as they come, and again after a crash: at
    least once.

    Each item is followed by `end`; one that holds newlines makes several lines. Backpressure: the
    next items are taken when these are written. Loses nothing.

    Raises `ConnectorError` (no such directory, a directory, not permitted, no space left),
    `TypeError` for an item that is neither text nor bytes; the items before it are written.

    ```python
    await rx.run(rx.range(100).map(str).to(files.write_lines("numbers.txt.gz")))
    ```
    """
    check_encoding(encoding, "strict")
    lines = LineEncoding(encoding, end)
    newline = end.encode(encoding_to_write(encoding)[0])
    return _sink(path, lines, newline, append, compression, level, rotate, fsync)


def write_jsonl(
    path: PathArgument,
    *,
    default: Callable[[Any], Any] | None = None,
    option: int = 0,
    append: bool = False,
    compression: CompressionTarget = "auto",
    level: int | None = None,
    rotate: Rotation | None = None,
    fsync: bool = False,
) -> Sink[Any]:
    """Write each item as one line of JSON, by orjson.

    Plain values, dataclass objects, datetimes, UUIDs and enums are written as they are; for
    others, `default(item)` gives something that can be. `option` is a combination of orjson's
    (`orjson.OPT_NON_STR_KEYS`). The rest is as in `write_lines`.

    Raises `orjson.JSONEncodeError`, a `TypeError`, for an item that is no JSON, with a note saying
    which; the items before it are written.

    ```python
    await rx.run(totals.to(files.write_jsonl("totals.jsonl")))
    ```
    """
    if default is not None and not callable(default):
        raise TypeError(f"default must be a function, not {default!r}")
    if option & orjson.OPT_INDENT_2:
        raise ValueError("OPT_INDENT_2 would spread an item over several lines; leave it out")
    encoding = JsonEncoding(default, option)
    return _sink(path, encoding, b"\n", append, compression, level, rotate, fsync)


def write_csv(
    path: PathArgument,
    *,
    columns: Iterable[str] | None = None,
    header: bool = True,
    delimiter: str = ",",
    line_end: str = "\n",
    encoding: str = "utf-8",
    append: bool = False,
    compression: CompressionTarget = "auto",
    level: int | None = None,
    rotate: Rotation | None = None,
    fsync: bool = False,
) -> Sink[Any]:
    """Write each item as a row of CSV: a mapping, a dataclass object, a tuple or a list.

    The columns are `columns`, or the names in the first item; every item must have just these.
    Every new file starts with them as its header unless `header=False`, or unless items are
    sequences and `columns` is not given. The rest is as in `write_lines`.

    Raises `ValueError` for an item that lacks a column or has another, `TypeError` for one that is
    no row, with a note saying which; the items before it are written.

    ```python
    await rx.run(people.to(files.write_csv("people.csv", columns=["name", "age"])))
    ```
    """
    if isinstance(columns, str):
        raise TypeError("columns must be a list of names, not one text")
    names = None if columns is None else tuple(columns)
    check_encoding(encoding, "strict")
    rows = CsvEncoding(names, header, delimiter, line_end, encoding)
    newline = line_end.encode(encoding_to_write(encoding)[0])
    return _sink(path, rows, newline, append, compression, level, rotate, fsync)
