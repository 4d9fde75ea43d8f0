"""journal: a process that is killed at any instant has lost nothing that went on."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from reactive.journal_files import Cursor, end_of, segments
from reactive.journal_log import JournalLog
from reactive.journal_records import Records
from reactive.signals import Chunk

INGEST = textwrap.dedent(
    """
    import asyncio, os, random, signal, sys
    import reactive as rx

    path, acknowledged, first, kill = sys.argv[1:]
    descriptor = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def numbers():
        number = int(first)
        while True:
            yield number
            number += 1
            if number % 97 == 0:
                await asyncio.sleep(0.001)

    def acknowledge(number):
        os.write(descriptor, f"{number}\\n".encode())

    def deadly(call, before):
        calls = int(kill.split(":")[1])

        def wrapped(*arguments):
            nonlocal calls
            calls -= 1
            if not calls:
                before(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments)

        return wrapped

    def half(descriptor, pieces):
        joined = b"".join(pieces)
        writev(descriptor, [joined[: len(joined) // 2]])

    fsync, writev = os.fsync, os.writev
    if kill.startswith("fsync"):
        os.fsync = deadly(os.fsync, lambda *_: None)
    elif kill.startswith("synced"):
        os.fsync = deadly(os.fsync, fsync)
    elif kill.startswith("half"):
        os.writev = deadly(os.writev, half)

    stream = rx.from_async_iterable(numbers()).journal(
        path, start="end", segment_bytes=20_000, sync_every=0.002
    )

    async def main():
        async with stream.open() as items:
            async for number in items:
                acknowledge(number)

    asyncio.run(main())
    """
)


def ingest(path: Path, acknowledged: Path, first: int, kill: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", INGEST, str(path), str(acknowledged), str(first), kill]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def told(acknowledged: Path) -> list[int]:
    """What was acknowledged; a line that the kill cut short does not count."""
    lines = acknowledged.read_text().split("\n")[:-1] if acknowledged.exists() else []
    return [int(line) for line in lines]


def kept(path: Path) -> list[int]:
    log = JournalLog(str(path), 20_000)
    log.open()
    log.close()
    cursor, records, found = Cursor(str(path), log.start), Records("plain"), []
    while frames := cursor.read():
        for frame, skip in frames:
            chunk = records.signal(frame, skip)
            assert isinstance(chunk, Chunk)
            found += chunk.items
    cursor.close()
    return found


def check(path: Path, acknowledged: Path) -> int:
    """Everything acknowledged is there, once, in order; returns how many there are."""
    numbers = kept(path)
    assert numbers == list(range(len(numbers)))
    said = told(acknowledged)
    assert max(said, default=-1) < len(numbers)
    assert len(set(said)) == len(said)
    return len(numbers)


def killed(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors.decode()


def test_killed_at_random_instants(tmp_path: Path) -> None:
    path, acknowledged = tmp_path / "j", tmp_path / "acknowledged"
    seed = random.randrange(2**32)
    instants = random.Random(seed)
    count = 0
    for _ in range(6):
        before = len(told(acknowledged))
        process = ingest(path, acknowledged, count, "never")
        try:
            deadline = time.monotonic() + 60
            while len(told(acknowledged)) == before and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(instants.uniform(0, 0.15))
        finally:
            process.kill()
        killed(process)
        before, count = count, check(path, acknowledged)
        assert count > before, f"seed {seed}"


@pytest.mark.parametrize("place", ["fsync", "synced", "half"])
@pytest.mark.parametrize("call", [2, 5, 9])
def test_killed_within_a_sync_and_a_write(tmp_path: Path, place: str, call: int) -> None:
    """Twice, so that the second time begins with what the first has torn."""
    path, acknowledged = tmp_path / "j", tmp_path / "acknowledged"
    count = 0
    for _ in range(2):
        killed(ingest(path, acknowledged, count, f"{place}:{call}"))
        count = check(path, acknowledged)


WITH_CHECKPOINTS = textwrap.dedent(
    """
    import asyncio, sys
    import reactive as rx
    from connectors import sqlite

    path, store, output, first, last = sys.argv[1:]

    async def numbers():
        for number in range(int(first), int(last)):
            yield {"number": number}
            if number % 50 == 0:
                await asyncio.sleep(0.001)

    rows = rx.from_async_iterable(numbers()).journal(path, segment_bytes=5_000).named("received")
    job = rows.scan(lambda total, row: {"number": row["number"], "count": total["count"] + 1},
                    {"count": 0}).named("counted").to(sqlite.write(output, "numbers", create=True))
    asyncio.run(rx.run(job, checkpoint=rx.Checkpoint(store, every=0.03)))
    """
)


def rows_of(output: Path) -> list[tuple[int, int]]:
    with contextlib.closing(sqlite3.connect(output)) as database:
        try:
            return database.execute("SELECT number, count FROM numbers ORDER BY rowid").fetchall()
        except sqlite3.OperationalError:
            return []


def test_from_what_cannot_be_had_again_to_a_database_exactly_once(tmp_path: Path) -> None:
    """Killed at random with checkpoints: all that came into the journal is in the table, once, and
    the running count says that the state between them has seen it once."""
    path, output = tmp_path / "j", tmp_path / "output.db"
    seed = random.randrange(2**32)
    instants = random.Random(seed)
    for attempt in range(6):
        first = end_of(str(path))
        last = first + (20 if attempt == 5 else 10**9)
        script = [sys.executable, "-c", WITH_CHECKPOINTS, str(path), str(tmp_path / "state.db")]
        process = subprocess.Popen(
            [*script, str(output), str(first), str(last)], stderr=subprocess.PIPE
        )
        if attempt == 5:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors.decode()
            break
        deadline = time.monotonic() + 60
        before = len(rows_of(output))
        while len(rows_of(output)) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(instants.uniform(0, 0.15))
        process.kill()
        killed(process)
    rows = rows_of(output)
    assert rows == [(number, number + 1) for number in range(len(rows))], f"seed {seed}"
    assert len(rows) == last
    # What was committed was let go of.
    assert segments(str(path))[0] > 0


FULL = textwrap.dedent(
    """
    import asyncio, resource, signal, sys
    import reactive as rx

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    given = 0

    def count(item):
        global given
        given += 1

    stream = rx.range(10**6).map(lambda n: b"%08d" % n * 25).journal(sys.argv[1], sync_every=0)
    try:
        asyncio.run(stream.tap(count).collect())
    except OSError as error:
        print(given, error.errno, *error.__notes__, sep="|")
    """
)


def test_a_full_disk_ends_the_run_and_what_went_on_is_there(tmp_path: Path) -> None:
    path = tmp_path / "j"
    command = [sys.executable, "-c", FULL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    given, _, note = done.stdout.strip().split("|")[:3]
    assert "was writing the journal" in note
    log = JournalLog(str(path), 10**6)
    log.open()
    log.close()
    assert int(given) <= end_of(str(path)) < 300
