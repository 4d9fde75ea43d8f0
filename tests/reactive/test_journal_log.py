"""The log of a journal: what was synced is there again, whatever happened to the rest."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactive.errors import JournalError
from reactive.journal_files import Cursor, end_of, segments, whole
from reactive.journal_format import SEGMENT_HEADER, Body
from reactive.journal_log import JournalLog, Retention
from reactive.journal_records import Records
from reactive.signals import Chunk

RECORDS = Records("plain")

IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where syncing is quick, for tests with many examples."""


def bodies(items: list[Any], times: list[int] | None = None) -> list[Body]:
    return [body for _, body in RECORDS.pieces(Chunk(items, times))]


@contextmanager
def opened(folder: Path | str, segment_bytes: int = 1_000_000) -> Iterator[JournalLog]:
    log = JournalLog(str(folder), segment_bytes)
    try:
        log.open()
        yield log
    finally:
        log.close()


def crash(log: JournalLog) -> None:
    """Leave a log as a killed process does: nothing more is written, and the lock is free."""
    for descriptor in (log._descriptor, log._lock):
        os.close(descriptor)
    log._descriptor = log._lock = -1


def items_from(folder: Path | str, offset: int = 0) -> list[Any]:
    cursor = Cursor(str(folder), offset)
    try:
        found: list[Any] = []
        while frames := cursor.read(most=100):
            for frame, skip in frames:
                signal = RECORDS.signal(frame, skip)
                assert isinstance(signal, Chunk)
                found += signal.items
        return found
    finally:
        cursor.close()


def files_of(folder: Path | str) -> list[Path]:
    return sorted(Path(folder).glob("*.journal"))


batches = st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=4), min_size=1, max_size=8)
segment_sizes = st.sampled_from([1, 200, 500, 1_000_000])


@given(batches, segment_sizes, st.data())
@settings(max_examples=60, deadline=None)
def test_all_is_read_from_any_record_on(
    groups: list[list[bytes]], size: int, data: st.DataObject
) -> None:
    items = [item for group in groups for item in group]
    with TemporaryDirectory(dir=IN_MEMORY) as folder:
        with opened(folder, size) as log:
            for group in groups:
                log.append(bodies(group))
            log.sync()
            offset = data.draw(st.integers(0, len(items)))
            assert items_from(folder, offset) == items[offset:]
            cursor = Cursor(folder, offset, log.place(offset))
            assert sum(frame.records - skip for frame, skip in cursor.read()) == len(items) - offset
            cursor.close()
        with opened(folder, size) as log:
            assert (log.start, log.end) == (0, len(items))
            log.append(bodies([b"more"]))
        assert items_from(folder) == [*items, b"more"]
        assert end_of(folder) == len(items) + 1


@given(batches, segment_sizes, st.data())
@settings(max_examples=80, deadline=None)
def test_a_tail_cut_anywhere_is_repaired(
    groups: list[list[bytes]], size: int, data: st.DataObject
) -> None:
    """A file that ends anywhere gives the whole frames before, and goes on from there."""
    with TemporaryDirectory(dir=IN_MEMORY) as folder:
        log = JournalLog(folder, size)
        log.open()
        for group in groups:
            log.append(bodies(group))
        log.sync()
        crash(log)
        last = files_of(folder)[-1]
        first = segments(folder)[-1]
        last.write_bytes(last.read_bytes()[: data.draw(st.integers(0, last.stat().st_size))])
        items = [item for group in groups for item in group]
        with opened(folder, size) as log:
            assert first <= log.end <= len(items)
            left = log.end
            log.append(bodies([b"more"]))
        assert items_from(folder) == [*items[:left], b"more"]


@given(batches, batches, st.data())
@settings(max_examples=80, deadline=None)
def test_what_was_never_synced_may_be_anything(
    synced: list[list[bytes]], torn: list[list[bytes]], data: st.DataObject
) -> None:
    """Pages get to the disk in any order: of what was not synced, any part may be missing in the
    middle, and whole frames behind it. What was synced is there, and nothing is refused."""
    with TemporaryDirectory(dir=IN_MEMORY) as folder:
        log = JournalLog(folder, 1_000_000)
        log.open()
        for group in synced:
            log.append(bodies(group))
            log.sync()
        path = files_of(folder)[0]
        safe = path.stat().st_size
        for group in torn:
            log.append(bodies(group))
        crash(log)
        contents = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(safe, len(contents) - 1))
            length = data.draw(st.integers(1, 50))
            end = min(len(contents), start + length)
            contents[start:end] = data.draw(st.binary(min_size=end - start, max_size=end - start))
        path.write_bytes(contents)
        before = [item for group in synced for item in group]
        after = [item for group in torn for item in group]
        with opened(folder) as log:
            assert log.end >= len(before)
            left = log.end - len(before)
        assert items_from(folder) == before + after[:left]


@given(batches, segment_sizes, st.data())
@settings(max_examples=120, deadline=None)
def test_a_changed_bit_is_never_read_as_something_else(
    groups: list[list[bytes]], size: int, data: st.DataObject
) -> None:
    """It is refused with file and byte wherever something synced later stands behind it, which in
    a journal that was closed is everywhere."""
    items = [item for group in groups for item in group]
    with TemporaryDirectory(dir=IN_MEMORY) as folder:
        with opened(folder, size) as log:
            for group in groups:
                log.append(bodies(group))
                log.sync()
        paths = files_of(folder)
        ends = [path.stat().st_size for path in paths]
        path = data.draw(st.sampled_from(paths))
        contents = bytearray(path.read_bytes())
        mark = 36 if path == paths[-1] else 0
        at = data.draw(st.integers(0, len(contents) - 1))
        contents[at] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(contents)
        if at >= len(contents) - mark:
            # The mark of the end itself, behind which nothing stands: nothing is lost with it.
            assert items_from(folder) == items
            return
        place = r"\.journal: byte [\d,]+: "
        with pytest.raises(JournalError, match=place) as refused, opened(folder, size):
            items_from(folder)
        assert path.name in str(refused.value)
        assert [path.stat().st_size for path in paths][:-1] == ends[:-1]
        assert path.read_bytes() == contents, "nothing was changed"


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    with opened(tmp_path, 1) as log:
        for number in range(4):
            log.append(bodies([b"%d" % number]))
    files_of(tmp_path)[2].unlink()
    with pytest.raises(JournalError, match=r"2 should be|next file begins with 3"):
        items_from(tmp_path)


@pytest.mark.parametrize("contents", [b"", b"RXJ", bytes(SEGMENT_HEADER), bytes(4096)])
def test_a_segment_whose_header_never_came_to_the_disk(tmp_path: Path, contents: bytes) -> None:
    with opened(tmp_path) as log:
        log.append(bodies([b"kept"]))
    (tmp_path / f"{1:020d}.journal").write_bytes(contents)
    with opened(tmp_path) as log:
        assert log.end == 1
        log.append(bodies([b"more"]))
    assert items_from(tmp_path) == [b"kept", b"more"]


def test_another_file_is_not_taken_for_a_segment(tmp_path: Path) -> None:
    (tmp_path / f"{0:020d}.journal").write_bytes(b"my own notes" * 10)
    foreign = "byte 0: this is not a segment of a journal"
    with pytest.raises(JournalError, match=foreign), opened(tmp_path):
        pass


def test_a_later_version_is_named(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    path = files_of(tmp_path)[0]
    contents = bytearray(path.read_bytes())
    contents[8] = 9

    contents[36:40] = zlib.crc32(contents[:36]).to_bytes(4, "little")
    path.write_bytes(contents)
    with pytest.raises(JournalError, match="version 9 of the format"), opened(tmp_path):
        pass


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(tmp_path / "journal", 1) as log:
            log.append(bodies([b"a"]))
            log.append(bodies([b"b"]))
    finally:
        os.umask(before)
    folder = tmp_path / "journal"
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}


def test_a_second_writer_is_refused_and_told_which_process_it_is(tmp_path: Path) -> None:
    with opened(tmp_path):
        said = rf"this process \({os.getpid()}\) is writing"
        with pytest.raises(JournalError, match=said), opened(tmp_path):
            pass
        code = (
            "import sys; from reactive.journal_log import JournalLog; "
            "JournalLog(sys.argv[1], 1000).open()"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert f"process {os.getpid()} is writing this journal" in other.stderr
    with opened(tmp_path):
        pass


@given(batches, segment_sizes, st.data())
@settings(max_examples=60, deadline=None)
def test_it_can_be_cut_wherever_a_frame_begins(
    groups: list[list[bytes]], size: int, data: st.DataObject
) -> None:
    with TemporaryDirectory(dir=IN_MEMORY) as folder:
        with opened(folder, size) as log:
            ends = [0]
            for group in groups:
                log.append(bodies(group))
                ends.append(log.end)
            log.sync()
            end = data.draw(st.sampled_from(ends))
            log.cut(end)
            assert log.end == end
            log.append(bodies([b"instead"]))
        items = [item for group in groups for item in group]
        assert items_from(folder) == [*items[:end], b"instead"]
        with opened(folder, size) as log:
            assert log.end == end + 1


def filled(log: JournalLog, count: int = 6) -> None:
    for number in range(count):
        log.append(bodies([b"%d" % number * 100]))
    log.sync()


@pytest.mark.parametrize(
    ("settled", "retention", "left"),
    [
        (0, Retention(keeps_nothing=True), [0, 1, 2, 3, 4, 5]),
        (3, Retention(keeps_nothing=True), [3, 4, 5]),
        (6, Retention(keeps_nothing=True), [5]),
        (6, Retention(), [0, 1, 2, 3, 4, 5]),
        (6, Retention(keep_bytes=500), [3, 4, 5]),
        (2, Retention(keep_bytes=0), [2, 3, 4, 5]),
        (6, Retention(keep_seconds=3600), [0, 1, 2, 3, 4, 5]),
        (4, Retention(keep_seconds=1), [4, 5]),
        (6, Retention(limit=500, keep_seconds=3600), [4, 5]),
        (1, Retention(limit=500), [1, 2, 3, 4, 5]),
    ],
)
def test_what_is_let_go(
    tmp_path: Path, settled: int, retention: Retention, left: list[int]
) -> None:
    with opened(tmp_path, 1) as log:
        filled(log)
        if retention.keep_seconds == 1:
            an_hour_ago = time.time() - 3600
            for path in files_of(tmp_path):
                os.utime(path, (an_hour_ago, an_hour_ago))
        log.let_go(settled, retention)
        assert log.start == left[0]
        assert log.size == sum(path.stat().st_size for path in files_of(tmp_path))
    assert segments(str(tmp_path)) == left
    if left[0]:
        with pytest.raises(JournalError, match="let go"):
            items_from(tmp_path)


def test_a_full_journal_lets_go_of_one_segment_at_least(tmp_path: Path) -> None:
    with opened(tmp_path, 1) as log:
        filled(log)
        log.let_go(6, Retention(limit=100_000), full=True)
        assert segments(str(tmp_path)) == [1, 2, 3, 4, 5]
        for _ in range(5):
            log.let_go(6, Retention(limit=100_000), full=True)
        assert segments(str(tmp_path)) == [6]
        log.append(bodies([b"more"]))
    assert items_from(tmp_path, 6) == [b"more"]


@pytest.mark.parametrize("call", ["fsync", "writev"])
def test_after_a_failure_nothing_more_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A sync that failed once and then succeeds has not written what was lost the first time."""

    def fail(*args: Any) -> Any:
        raise OSError(5, "Input/output error")

    with opened(tmp_path) as log:
        log.append(bodies([b"kept"]))
        log.sync()
        with monkeypatch.context() as patched:
            patched.setattr(os, call, fail)
            with pytest.raises(OSError, match="Input/output error"):
                log.append(bodies([b"lost"]))
                log.sync()
        for attempt in (lambda: log.append(bodies([b"more"])), log.sync):
            with pytest.raises(JournalError, match="earlier write or sync of this journal failed"):
                attempt()
    with opened(tmp_path) as log:
        assert items_from(tmp_path)[0] == b"kept"


def test_a_write_that_is_taken_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writev = os.writev

    def some(descriptor: int, pieces: list[Any]) -> int:
        joined = b"".join(pieces)
        return writev(descriptor, [joined[: max(1, len(joined) // 3)]])

    monkeypatch.setattr(os, "writev", some)
    with opened(tmp_path) as log:
        log.append(bodies([b"a" * 50, b"b"]) + bodies(["c", {"d": 1}]))
    assert items_from(tmp_path) == [b"a" * 50, b"b", "c", {"d": 1}]


def test_whole_says_what_every_segment_has(tmp_path: Path) -> None:
    with opened(tmp_path, 1) as log:
        filled(log, 3)
    found = [(first, end) for _, first, end, _ in whole(str(tmp_path))]
    assert found == [(0, 1), (1, 2), (2, 3)]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(values | st.binary() | st.text(), min_size=1, max_size=12), st.booleans())
@settings(max_examples=100, deadline=None)
def test_plain_items_come_back_as_they_were(items: list[Any], timed: bool) -> None:
    times = list(range(-3, len(items) - 3)) if timed else None
    with TemporaryDirectory(dir=IN_MEMORY) as folder:
        with opened(folder) as log:
            log.append(bodies(items, times))
        cursor = Cursor(folder, 0)
        chunks = [RECORDS.signal(frame, skip) for frame, skip in cursor.read()]
        cursor.close()
    found = [item for chunk in chunks for item in chunk.items]  # type: ignore[union-attr]
    assert found == items
    assert [type(item) for item in found] == [type(item) for item in items]
    if timed:
        assert [time for chunk in chunks for time in chunk.times] == times  # type: ignore[union-attr]


@pytest.mark.parametrize("item", [(1, 2), float("inf"), {1: 2}, {"a": b"b"}, {1}, 2**70, object()])
def test_what_json_would_change_is_refused(item: Any) -> None:
    with pytest.raises(TypeError, match=r'serializer="pickle" takes whatever pickles'):
        bodies(["fine", item])
