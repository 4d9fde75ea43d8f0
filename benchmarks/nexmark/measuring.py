"""Runs the contestants in turns: to check what they give, and to time them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.model import Samples
from benchmarks.nexmark.contestants import Contestant
from benchmarks.nexmark.events import Event
from benchmarks.nexmark.processes import Failed, Process
from benchmarks.nexmark.queries import Query
from benchmarks.nexmark.sql import Database

WARM = 10_000
"""So many events come before those that count, to warm up and to tell how many that may be."""
SECONDS = 1.0
"""A peer gets as many events as it can take in about so long, of processor time."""


@dataclass(frozen=True)
class Checked:
    """What came of a check: no complaint if all rows are right."""

    query: Query
    contestant: Contestant
    events: int
    rows: int
    complaint: str | None


@dataclass
class Measured:
    """The seconds that each query took for an event, by contestant and round."""

    queries: Sequence[Query]
    contestants: Sequence[Contestant]
    events: int
    rounds: int = 0
    samples: dict[int, Samples] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def check(
    queries: Sequence[Query],
    events: Sequence[Event],
    contestants: Sequence[Contestant],
    say: Callable[[str], None],
) -> Iterator[Checked]:
    """Compare the rows of each query and contestant with those of SQL."""
    counts = [min(each.most_checked or len(events), len(events)) for each in contestants]
    with ExitStack() as stack:
        # Before the databases, which have threads that do not outlive a fork.
        processes = [_started(stack, contestant, events) for contestant in contestants]
        databases: dict[int, Database] = {}
        for count in set(counts):
            say(f"loading {count:,} events into DuckDB")
            databases[count] = database = Database(events[:count])
            stack.callback(database.close)
        for query in queries:
            for process, count in zip(processes, counts, strict=True):
                if query.number not in process.queries:
                    continue
                contestant = process.contestant
                if query.number == 12 and not contestant.ours:
                    # The clock of others cannot be set.
                    continue
                say(f"{query.name}: {contestant.name}")
                expected = databases[count].rows(query.number)
                try:
                    complaint = process.check(query.number, count, expected)
                except Failed as error:
                    complaint = f"failed:\n{error}"
                yield Checked(query, contestant, count, len(expected), complaint)


def measure(
    queries: Sequence[Query],
    events: Sequence[Event],
    contestants: Sequence[Contestant],
    rounds: int,
    clock: str,
    say: Callable[[str], None],
) -> Iterator[Measured]:
    """Time each query and contestant, after a run over a few events to warm up; gives what is
    known after each round."""
    measured = Measured(queries, contestants, len(events))
    measured.samples = {query.number: Samples() for query in queries}
    with ExitStack() as stack:
        processes = [_started(stack, contestant, events) for contestant in contestants]
        counts: dict[tuple[int, str], int] = {}
        for number in range(-1, rounds):
            for query in queries:
                playing = [each for each in processes if query.number in each.queries]
                turn = number % len(playing)
                for process in playing[turn:] + playing[:turn]:
                    contestant = process.contestant
                    name = f"{query.name} by {contestant.name}"
                    if name in measured.failures:
                        continue
                    say(f"round {number + 1} of {rounds}: {name}")
                    at = query.number, contestant.name
                    count = counts.get(at, min(WARM, len(events)))
                    try:
                        timing = process.time(query.number, count)
                    except Failed as error:
                        measured.failures[name] = str(error)
                        continue
                    if number < 0:
                        able = max(count, int(count * SECONDS / timing.cpu))
                        counts[at] = len(events) if contestant.ours else min(able, len(events))
                        continue
                    seconds = timing.cpu if clock == "cpu" else timing.wall
                    figures = {"seconds": seconds / count, "events": count}
                    measured.samples[query.number].add(number, contestant.name, figures)
            if number >= 0:
                measured.rounds += 1
                yield measured


def _started(stack: ExitStack, contestant: Contestant, events: Sequence[Event]) -> Process:
    process = Process(contestant, events)
    stack.callback(process.close)
    return process
