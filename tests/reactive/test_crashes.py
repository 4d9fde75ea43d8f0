"""Jobs in real processes, killed with SIGKILL again and again, leave behind what they should."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from crash_pipelines import CRASHING, rows, write_rows

import reactive as rx
from connectors import memory
from reactive.testing import LawBroken, check_crashes

KILLS = int(os.environ.get("REACTIVE_KILLS", "10"))


@pytest.mark.timeout(600 + 10 * KILLS)
@pytest.mark.parametrize("name", CRASHING)
def test_killed_until_done(name: str) -> None:
    case = CRASHING[name]
    told = check_crashes(
        case.make,
        setup=case.setup,
        output=case.output,
        ordered=case.ordered,
        kills=KILLS,
        seed=random.getrandbits(32),
        state_memory=case.state_memory,
    )
    assert f": {KILLS} kills (" in told
    print(told)


def without_checkpoints(folder: Path) -> rx.Job:
    """Its sink adds what comes again once more."""
    sink = memory.call(lambda row: lines(folder, row["n"]))
    return rows(folder).to(sink)


def lines(folder: Path, n: int) -> None:
    with (folder / "out.txt").open("a") as file:
        file.write(f"{n}\n")


def failing(folder: Path) -> rx.Job:
    return rx.fail(ValueError("on purpose")).to(memory.call(print))


def table(folder: Path) -> rx.Job:
    (folder / "made.db").write_bytes(b"SQLite format 3\0")
    return rx.of(1).to(memory.call(print))


@pytest.mark.timeout(600)
def test_what_comes_twice_is_found_and_found_again() -> None:
    with pytest.raises(LawBroken) as raised:
        check_crashes(without_checkpoints, setup=write_rows, kills=50, seed=3)
    told = str(raised.value)
    assert "the output differs in out.txt" in told
    assert "and 600 are wanted" in told
    assert "one was killed " in told
    command = told.partition("again: python ")[2].split()
    assert command[-4:-1] == ["--seed", "3", "--round"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    again = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True
    )
    assert again.returncode == 1
    assert "the output differs in out.txt" in again.stderr


def test_a_run_that_fails_says_why() -> None:
    with pytest.raises(LawBroken, match=r"a run failed\n(.|\n)*ValueError: on purpose"):
        check_crashes(failing, kills=1)


def test_databases_are_compared_by_their_rows() -> None:
    with pytest.raises(LawBroken, match=r"made\.db is a database, whose bytes may differ"):
        check_crashes(table, kills=1)


def test_functions_are_found_by_name() -> None:
    with pytest.raises(ValueError, match="define it at the top of a module"):
        check_crashes(lambda folder: rx.of(1).to(memory.call(print)))


def test_the_command_teaches() -> None:
    command = [sys.executable, "-m", "reactive.testing.crashes"]
    told = subprocess.run([*command, "--help"], capture_output=True, text=True)
    assert "shop:totals --setup shop:write_orders --kills 500" in told.stdout
    wrong = subprocess.run([*command, "nowhere:job"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "there is no module 'nowhere'" in wrong.stderr
