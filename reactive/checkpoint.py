"""What a user says of checkpoints: where, how often, and from where to go on."""

from __future__ import annotations

import os
from typing import Final, Literal, TypeAlias, get_args

from reactive.fast_dataclasses import dataclass
from reactive.store import Store

Delivery: TypeAlias = Literal["at most once", "at least once", "exactly once"]

RANKS: Final = {name: rank for rank, name in enumerate(get_args(Delivery))}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Checkpoints of a run: after a crash, the next run goes on where the last one was.

    `store` is the path of a SQLite database, which is made if need be; the address of a folder
    (`"s3://bucket/pipeline"`, `"file:///var/lib/pipeline"`), on any filesystem that fsspec knows
    (extra `fsspec`); or a `Store`. Every `every`
    seconds (and when a source asks for it, whose senders wait for an answer) all that a run needs
    to go on is saved there, as one epoch: how far each source was read, what each operator holds,
    what each sink has prepared. The first comes after a quarter of that time. Only what has changed
    since the epoch before is written. Items go on flowing meanwhile. `retain` epochs are kept, and
    savepoints until they are deleted.

    A run with a store that holds epochs goes on from `restore`: the latest one, one of a number,
    the savepoint of a name, or None, which starts afresh. Going on from an earlier one discards
    those after it. State belongs to operators by their names: give those that hold any a name
    (`.named("totals")`) and the pipeline can change around them. State of an operator that is
    not there any more is dropped, a new operator starts with none, and state that does not fit the
    operator of its name is a `CheckpointError` before anything runs.

    With `delivery`, every path from a source to a sink has to give at least that, or the run is a
    `PlanError` that says which does not and why: `"exactly once"` needs sources that can be read
    again, or whose senders send again, and sinks that take part in epochs.

    Stopping with a drain, as SIGTERM does under `reactive run`, takes a last checkpoint in place of
    ending the input: open windows stay open, for the next run.

    ```python
    numbers = rx.range(3).scan(lambda total, n: total + n, 0).named("total")
    job = numbers.to(memory.call(print))
    await rx.run(job, checkpoint=rx.Checkpoint("state.db", every=10))
    ```
    """

    store: str | os.PathLike[str] | Store
    every: float = 10.0
    retain: int = 3
    restore: Literal["latest"] | int | str | None = "latest"
    delivery: Delivery | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.store, str | os.PathLike | Store):
            raise TypeError(
                f"a checkpoint store is a path, or a reactive.store.Store, not {self.store!r}"
            )
        if isinstance(self.every, bool) or not isinstance(self.every, int | float):
            raise TypeError(f"every is seconds, not {self.every!r}")
        if not self.every > 0:
            raise ValueError(f"every must be above 0 seconds, not {self.every}")
        if self.retain < 1:
            raise ValueError(f"retain must be at least 1 epoch, not {self.retain}")
        if self.delivery is not None and self.delivery not in RANKS:
            known = ", ".join(map(repr, RANKS))
            raise ValueError(f"delivery must be one of {known}, not {self.delivery!r}")


def as_checkpoint(value: Checkpoint | str | os.PathLike[str] | None) -> Checkpoint | None:
    """A path alone means the defaults."""
    if value is None or isinstance(value, Checkpoint):
        return value
    if isinstance(value, str | os.PathLike):
        return Checkpoint(value)
    raise TypeError(f'checkpoint is rx.Checkpoint("state.db", every=10), or a path, not {value!r}')
