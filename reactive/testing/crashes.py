"""The crash harness: a real process, killed with SIGKILL at any instant and started again until it
is done, has to leave behind what an uninterrupted one does.

`python -m reactive.testing.crashes --help` says how it is used.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from reactive.checkpoint import Checkpoint
from reactive.context import Mode, Settings
from reactive.fast_dataclasses import dataclass
from reactive.run import run
from reactive.stream import Job
from reactive.targets import TargetError, find
from reactive.testing.crash_points import WHENS, Point, Watch
from reactive.testing.observing import LawBroken

STORE = "state.db"
SECONDS_A_LIFE = 60.0
TRIES_OF_A_ROUND = 25

_Made: TypeAlias = Job | Sequence[Job]


def check_crashes(
    make: Callable[[Path], _Made],
    *,
    setup: Callable[[Path], object] | None = None,
    output: Callable[[Path], Any] | None = None,
    kills: int = 100,
    seed: int | None = None,
    every: float = 0.01,
    ordered: bool = True,
    mode: Mode = "auto",
    state_memory: int | None = None,
) -> str:
    """Check that jobs that are killed with SIGKILL again and again, and go on, leave behind what
    an uninterrupted run does; raise `LawBroken`. Gives a line that says what was tried.

    `make` gets a folder and gives the jobs, which read and write there; it runs in a process of
    its own, with a checkpoint every `every` seconds in that folder. `setup` puts into the folder
    what they read. `output` gets the folder when a run has completed and gives what is compared:
    by default the contents of every file but the state store. All three are functions of a module,
    found there by their names. With `ordered=False` neither the order of lines counts, nor that
    of a list. With `state_memory` all runs but the uninterrupted one have so many bytes for keyed
    state (see `rx.Settings`), the rest of which is on disk.

    Half of the kills come at any instant, half before, after or halfway through a call that
    matters: a write, `fsync` or rename, the commit of a database, a sink's `prepare`, `commit` or
    `recover`, the saving of an epoch. Now and then a process has a disk that is full at some point
    instead, on which it fails. When a run has completed it is looked at, and another begins, until
    there were so many `kills`. `seed` makes the same ones again, as far as the machine lets
    it: it is part of the error, with the command that repeats it.

    ```python
    def test_totals_survive_kills():
        check_crashes(totals, setup=write_orders, kills=20)
    ```
    """
    command = [sys.executable, "-m", "reactive.testing.crashes", _named(make)]
    command += ["--kills", str(kills), "--every", str(every), "--mode", mode]
    command += [] if seed is None else ["--seed", str(seed)]
    command += [] if setup is None else ["--setup", _named(setup)]
    command += [] if output is None else ["--output", _named(output)]
    command += [] if ordered else ["--unordered"]
    command += [] if state_memory is None else ["--state-memory", str(state_memory)]
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise LawBroken(f"crashes: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def _named(function: Callable[..., Any]) -> str:
    name = f"{function.__module__}:{function.__qualname__}"
    if "<" in name:
        raise ValueError(
            f"check_crashes finds functions by their names, in another process, and {name} has "
            "none there: define it at the top of a module"
        )
    return name


@dataclass(frozen=True)
class _Kill:
    """How one process is to be killed."""

    after: float
    point: Point | None = None
    room: int | None = None
    """In place of a kill: how many bytes a file may have, as if the disk were full then."""

    def __str__(self) -> str:
        if self.room is not None:
            return f"had a disk with room for files of {self.room} bytes"
        if self.point is None:
            return f"was killed after {self.after:.4f} s"
        return f"was killed {self.point}"


@dataclass(frozen=True)
class _Ended:
    """How a process has ended."""

    killed: bool
    status: int
    seconds: float
    calls: Counter[str]


class Trial:
    """The rounds of one job: each is a run from its beginning to its end, with kills in between."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._make = find(options.target)
        self._setup = None if options.setup is None else find(options.setup)
        self._output = _contents if options.output is None else find(options.output)
        self._options = options
        self._folder = folder / "run"
        self._log = folder / "errors.txt"
        self._wanted: Any = None
        self._usual: Counter[str] = Counter()
        self._seconds = 0.0
        self._largest = 0
        self.kills = self.failures = 0
        self.at: Counter[str] = Counter()
        self.plans: list[_Kill] = []

    def learn(self) -> None:
        """The output of an uninterrupted run, its time, and the calls that it makes."""
        self._begin()
        ended = self._live(None)
        self._check_status(ended)
        self._wanted = self._seen()
        self._usual, self._seconds = ended.calls, ended.seconds
        paths = [path for path in self._folder.rglob("*") if path.is_file()]
        self._largest = max(path.stat().st_size for path in paths)

    def round(self, number: int, kills: int) -> None:
        """One run, killed at most so many times."""
        chance = random.Random(f"{self._options.seed}, round {number}")
        self.plans = []
        self.failures_of_round = 0
        self._begin()
        while True:
            planned = len(self.plans) - self.failures_of_round
            plan = self._plan(chance) if planned < kills else None
            if plan is not None:
                self.plans.append(plan)
            ended = self._live(plan)
            if plan is not None and plan.room is not None and ended.status:
                self.failures_of_round += 1
                continue
            if not ended.killed:
                break
            assert plan is not None
            self.kills += 1
            self.at["any instant" if plan.point is None else plan.point.call] += 1
        if plan is not None:
            # It was done before it was to be killed.
            self.plans.pop()
        self.failures += self.failures_of_round
        self._check_status(ended)
        seen = self._seen()
        if seen != self._wanted:
            raise LawBroken(f"the output differs{_difference(self._wanted, seen)}")

    def _plan(self, chance: random.Random) -> _Kill:
        luck = chance.random()
        if luck < 0.1:
            return _Kill(SECONDS_A_LIFE, room=chance.randrange(self._largest + 1))
        if luck < 0.5:
            return _Kill(chance.random() * self._seconds)
        call = chance.choice(sorted(self._usual))
        number = int(self._usual[call] ** chance.random())
        when = chance.choice(WHENS if call == "write" else ("before", "after"))
        return _Kill(SECONDS_A_LIFE, Point(call, number, when))

    def _begin(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        if self._setup is not None:
            self._setup(self._folder)

    def _seen(self) -> Any:
        seen = self._output(self._folder)
        if self._options.unordered:
            if isinstance(seen, dict):
                return {name: sorted(data.splitlines()) for name, data in seen.items()}
            return Counter(map(repr, seen))
        return list(seen) if isinstance(seen, Iterator) else seen

    def _live(self, plan: _Kill | None) -> _Ended:
        """Run the jobs in a child process, and kill it as planned."""
        reading, writing = os.pipe()
        began = time.monotonic()
        child = os.fork()
        if not child:
            os.close(reading)
            self._be_a_child(plan, writing)
        os.close(writing)
        over = False
        try:
            after = SECONDS_A_LIFE if plan is None else plan.after
            # The end of the pipe is the end of the process.
            over = bool(select.select([reading], [], [], after)[0])
        finally:
            if not over:
                os.kill(child, signal.SIGKILL)
            calls = _told(reading)
            _, status = os.waitpid(child, 0)
        seconds = time.monotonic() - began
        if not over and (plan is None or plan.after == SECONDS_A_LIFE):
            raise LawBroken(f"a run did not end in {SECONDS_A_LIFE:g} s{self._errors()}")
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return _Ended(killed, status, seconds, calls)

    def _be_a_child(self, plan: _Kill | None, writing: int) -> None:
        status = 1
        try:
            with self._log.open("wb") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            if plan is not None and plan.room is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (plan.room, resource.RLIM_INFINITY))
            watch = Watch(None if plan is None else plan.point)
            write = os.write
            watch.install()
            # The uninterrupted one is not of any plans.
            asyncio.run(self._run(self._options.state_memory if self.plans else None))
            lines = [f"{call}\t{count}\n" for call, count in watch.calls.items()]
            write(writing, "".join(lines).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    async def _run(self, state_memory: int | None) -> None:
        made = self._make(self._folder)
        jobs = [made] if isinstance(made, Job) else list(made)
        checkpoint = Checkpoint(self._folder / STORE, every=self._options.every)
        settings = Settings(mode=self._options.mode, state_memory=state_memory)
        await run(*jobs, checkpoint=checkpoint, settings=settings)

    def _check_status(self, ended: _Ended) -> None:
        if ended.status:
            raise LawBroken(f"a run failed{self._errors()}")

    def _errors(self) -> str:
        return "\n" + self._log.read_text(errors="replace") if self._log.exists() else ""


def _told(reading: int) -> Counter[str]:
    """The calls that a process has counted, if it came so far."""
    with os.fdopen(reading, "rb") as pipe:
        pairs = [line.split("\t") for line in pipe.read().decode().splitlines()]
    return Counter({call: int(count) for call, count in pairs})


def _contents(folder: Path) -> dict[str, bytes]:
    """Every file but the state store."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name.startswith(STORE):
            continue
        found[name] = data = path.read_bytes()
        if data.startswith(b"SQLite format 3\0"):
            raise TargetError(
                f"{name} is a database, whose bytes may differ though its rows are the same; "
                "give --output MODULE:NAME, a function that gets the folder and gives the rows"
            )
    return found


def _difference(wanted: Any, seen: Any) -> str:
    if isinstance(wanted, dict) and isinstance(seen, dict):
        for name in sorted(wanted.keys() | seen.keys()):
            if wanted.get(name) != seen.get(name):
                return f" in {name}{_difference(wanted.get(name), seen.get(name))}"
    if isinstance(wanted, bytes) and isinstance(seen, bytes):
        return _difference(wanted.splitlines(), seen.splitlines())
    if isinstance(wanted, Counter) and isinstance(seen, Counter):
        lost, more = list((wanted - seen).elements()), list((seen - wanted).elements())
        return f"\n    missing {lost[:5]}\n    too many {more[:5]}"
    if isinstance(wanted, list) and isinstance(seen, list):
        at = next(
            (at for at, (one, other) in enumerate(zip(wanted, seen, strict=False)) if one != other),
            min(len(wanted), len(seen)),
        )
        one, other = wanted[at : at + 3], seen[at : at + 3]
        return (
            f": {len(seen)} and {len(wanted)} are wanted, from number {at} on"
            f"\n    has    {other}\n    wanted {one}"
        )
    return f"\n    has    {seen!r:.500}\n    wanted {wanted!r:.500}"


ABOUT = """\
Kill a pipeline with SIGKILL again and again, start it again until it is done, and compare what it
leaves behind with what an uninterrupted run does.
"""
DETAILS = """\
MODULE:NAME is a function in a module that is found from the current folder. It gets a folder (a
pathlib.Path) and returns a job, or a list of jobs, that reads and writes there:

  def totals(folder):
      orders = files.read_jsonl(folder / "orders.jsonl").event_time(lambda o: o["time"])
      per_hour = orders.key_by(lambda o: o["country"]).window(rx.Tumbling(3600))
      return per_hour.aggregate(rx.count()).to(files.write_jsonl(folder / "totals.jsonl"))

  def write_orders(folder):
      (folder / "orders.jsonl").write_text(...)

  $ python -m reactive.testing.crashes shop:totals --setup shop:write_orders --kills 500

It runs with a checkpoint every 10 ms. Half of the kills come at any instant, half before, after or
halfway through a call that matters: write, fsync, rename, unlink, the commit of an SQLite database,
a sink's recover, write, prepare, commit and finish, the saving of an epoch. Now and then a process
has a disk that is full at some point instead, on which it fails. When a run has completed, its
output is compared, and another round begins, until there were enough kills.

Processes are forked from one that has imported everything, so that each begins in milliseconds.
A job that takes a tenth of a second to a few seconds is best: it is to be killed many times.

exit status:
  0  the output was right every time
  1  it was not, or a run failed: standard error says how, with the command for the same kills
  2  MODULE:NAME or an option is not usable
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m reactive.testing.crashes",
        description=ABOUT,
        epilog=DETAILS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("target", metavar="MODULE:NAME", help="a function from a folder to jobs")
    made.add_argument("--setup", metavar="MODULE:NAME", help="puts what is read into the folder")
    made.add_argument(
        "--output",
        metavar="MODULE:NAME",
        help="from the folder to what is compared (default: every file but the state store)",
    )
    made.add_argument("--unordered", action="store_true", help="lines may come in any order")
    made.add_argument("--kills", type=int, default=100, help="how many (default: 100)")
    made.add_argument("--seed", type=int, help="the same kills again (default: a random one)")
    made.add_argument(
        "--round",
        type=int,
        help=f"this round of the seed only, {TRIES_OF_A_ROUND} times or until the output differs: "
        "no machine does the same at the same instant",
    )
    made.add_argument(
        "--every", type=float, default=0.01, help="seconds between checkpoints (default: 0.01)"
    )
    made.add_argument("--mode", choices=["auto", "stream", "batch"], default="auto")
    made.add_argument(
        "--state-memory", type=int, metavar="BYTES", help="for keyed state (default: no limit)"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = parser().parse_args(arguments)
    if options.seed is None:
        options.seed = random.getrandbits(32)
    folder = Path(tempfile.mkdtemp(prefix="reactive-crashes-"))
    try:
        trial = Trial(options, folder)
        return _try(trial, options, folder)
    except TargetError as error:
        print(f"error: {error}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        return 2


def _try(trial: Trial, options: argparse.Namespace, folder: Path) -> int:
    progress = _Progress(options.kills)
    rounds = number = 0
    try:
        trial.learn()
        while trial.kills < options.kills:
            rounds += 1
            number = rounds if options.round is None else options.round
            trial.round(number, options.kills - trial.kills)
            progress.tell(trial.kills, rounds)
            if options.round is not None and rounds == TRIES_OF_A_ROUND:
                break
            if rounds > 20 + 20 * options.kills:
                raise LawBroken("it is done before it can be killed; give it more to do")
    except LawBroken as broken:
        progress.clear()
        told = "".join(f"\n    one {plan}" for plan in trial.plans)
        print(
            f"{broken}\n    seed {options.seed}, round {number}, after {trial.kills} kills{told}\n"
            f"    what is there: {folder}\n    again: {_again(options, number)}",
            file=sys.stderr,
        )
        return 1
    progress.clear()
    shutil.rmtree(folder, ignore_errors=True)
    places = ", ".join(f"{count} {place}" for place, count in trial.at.most_common())
    print(
        f"{options.target}: {trial.kills} kills ({places}) and {trial.failures} full disks in "
        f"{rounds} rounds, seed "
        f"{options.seed}: the output was that of the uninterrupted run every time"
    )
    return 0


def _again(options: argparse.Namespace, number: int) -> str:
    """The command for the same round."""
    parts = ["python -m reactive.testing.crashes", options.target]
    for name in ("setup", "output"):
        if (value := getattr(options, name)) is not None:
            parts += [f"--{name}", value]
    parts += ["--unordered"] if options.unordered else []
    parts += ["--every", str(options.every), "--mode", options.mode]
    if options.state_memory is not None:
        parts += ["--state-memory", str(options.state_memory)]
    return " ".join([*parts, "--seed", str(options.seed), "--round", str(number)])


class _Progress:
    """Says on standard error how far it is: on one line of a terminal, else now and then."""

    def __init__(self, kills: int) -> None:
        self._kills = kills
        self._terminal = sys.stderr.isatty()
        self._began = self._said = time.monotonic()

    def tell(self, kills: int, rounds: int) -> None:
        now = time.monotonic()
        if now - self._said < (0.2 if self._terminal else 10.0):
            return
        self._said = now
        left = (now - self._began) / max(1, kills) * (self._kills - kills)
        line = f"{kills} of {self._kills} kills, {rounds} rounds, about {left:.0f} s left"
        print(f"\r\033[K{line}" if self._terminal else line, end="", file=sys.stderr)
        print("" if self._terminal else "\n", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
