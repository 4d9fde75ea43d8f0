"""`reactive run --checkpoint`: stopped, killed and started again, as a deployment does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import accumulate, count
from pathlib import Path
from typing import Any

import pytest

from reactive.cli import main

COMMAND = (sys.executable, "-m", "reactive")
PATIENCE = 60

PIPELINES = """
import asyncio

import reactive as rx
from connectors import files


async def slowly(n):
    await asyncio.sleep(0.002)
    return n


totals = (
    files.follow("numbers.txt", start="beginning")
    .map(int)
    .map(slowly, concurrency=16)
    .scan(lambda total, n: total + n, 0)
    .named("total")
    .map(str)
    .to(files.write_lines("totals.txt", append=True))
)
copied = files.follow("log.txt").map(str)
followed = copied.to(files.write_lines("copy.txt", append=True))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipelines.py").write_text(PIPELINES)
    (tmp_path / "numbers.txt").touch()
    return tmp_path


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(folder: Path, request: pytest.FixtureRequest) -> Start:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, "run", *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        request.addfinalizer(process.communicate)
        request.addfinalizer(process.kill)
        return process

    return run


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def more(path: Path) -> None:
    """Wait until there are more lines than now."""
    enough = len(lines(path)) + 20
    until(lambda: len(lines(path)) >= enough)


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
    """What it said on standard error."""
    process.send_signal(number)
    return process.communicate(timeout=PATIENCE)[1]


@pytest.fixture
def growing(folder: Path) -> Iterator[Callable[[], list[str]]]:
    """A program that appends a number every few milliseconds; the function stops it, and gives the
    totals of all it wrote."""
    over = threading.Event()
    numbers = count()

    def write() -> None:
        with (folder / "numbers.txt").open("a") as file:
            while not over.wait(0.005):
                file.write(f"{next(numbers)}\n")
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()

    def finish() -> list[str]:
        over.set()
        writer.join()
        return list(map(str, accumulate(range(next(numbers)))))

    yield finish
    finish()


def test_deployments_lose_and_repeat_nothing(
    folder: Path, start: Start, growing: Callable[[], list[str]]
) -> None:
    out = folder / "totals.txt"
    run = ("pipelines:totals", "--checkpoint", "state.db", "--every", "0.2")
    for first in (True, False, False):
        process = start(*run)
        more(out)
        said = stop(process)
        assert process.returncode == 0, said
        assert "SIGTERM: taking no more, and a last checkpoint; once more to end at once" in said
        (epoch,) = re.findall(r"^drained after SIGTERM, with epoch (\d+) committed, in", said, re.M)
        assert re.search(rf"^checkpoints .* epochs {epoch if first else ''}", said, re.M)
    process = start(*run)
    expected = growing()
    until(lambda: len(lines(out)) >= len(expected))
    assert stop(process)
    assert lines(out) == expected


def test_after_a_crash_too(folder: Path, start: Start, growing: Callable[[], list[str]]) -> None:
    out = folder / "totals.txt"
    run = ("pipelines:totals", "--checkpoint", "state.db", "--every", "0.1", "--quiet")
    for _ in range(2):
        process = start(*run)
        more(out)
        stop(process, signal.SIGKILL)
    process = start(*run)
    expected = growing()
    until(lambda: len(lines(out)) >= len(expected))
    stop(process)
    assert lines(out) == expected


def test_what_a_savepoint_has_can_be_had_again(folder: Path, start: Start) -> None:
    log, copy = folder / "log.txt", folder / "copy.txt"
    log.write_text("1\n2\n")
    run = ("pipelines:followed", "--checkpoint", "state.db", "--every", "0.1")
    process = start(*run, "--savepoint", "before")
    until(lambda: lines(copy) == ["1", "2"])
    stop(process)
    with log.open("a") as file:
        file.write("3\n")
    process = start(*run)
    until(lambda: lines(copy) == ["1", "2", "3"])
    stop(process)
    with log.open("a") as file:
        file.write("4\n")
    process = start(*run, "--restore", "before")
    until(lambda: "4" in lines(copy))
    said = stop(process)
    assert lines(copy)[-2:] == ["3", "4"]
    assert process.returncode == 0, said
    process = start(*run, "--restore", "never")
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert said.startswith("reactive: state.db: has no epoch 'never'; there are: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--every", "3"], "--every needs --checkpoint FILE"),
        (["--savepoint", "a"], "--savepoint needs --checkpoint FILE"),
        (["--checkpoint", "state.db", "--every", "0"], "--every must be above 0 seconds"),
    ],
)
def test_options_that_cannot_work(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(folder)
    assert main(["run", "pipelines:totals", *options]) == 2
    assert says in capsys.readouterr().err
