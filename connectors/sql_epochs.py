"""Rows and epochs in one transaction: what the writers into SQL databases have in common.

The rows of an epoch wait until it is committed: few of them with the checkpoint, many in a table
of their own. `commit` then writes them and the number of the epoch in one transaction, so that a
later run sees whether that has happened. A table `reactive_epochs` has a row for every sink of
every state store: by an identity that is drawn with its first run and kept in its checkpoints.
"""

from __future__ import annotations

import asyncio
import secrets
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from connectors.record_fields import Fields
from connectors.sql_tables import Target
from reactive.endpoint import Writer
from reactive.errors import ConnectorError
from reactive.fast_dataclasses import dataclass
from reactive.log import log_event
from reactive.signals import Chunk

if TYPE_CHECKING:
    from reactive.context import Context

Row: TypeAlias = tuple[Any, ...]

CARRIED_ROWS = 1024
CARRIED_BYTES = 1 << 20
"""An epoch of up to so many rows and bytes of text is kept with the checkpoint."""

EPOCHS = "reactive_epochs"
AT_ONCE = 128


@dataclass(frozen=True)
class Batch:
    """The rows of an epoch: some staged in the database, as a part of its own, or some carried."""

    part: int
    staged: int
    rows: Sequence[Row]

    def __len__(self) -> int:
        return self.staged + len(self.rows)


class SqlWriter(Writer[Any]):
    """Writes rows as they come or, in a run with checkpoints, when their epoch is committed."""

    def __init__(self, target: Target, context: Context) -> None:
        self.target = target
        self._context = context
        self._fields = Fields(target.user, target.columns)
        self._written = 0
        self._width = 0
        self._sink = ""
        self._epoch = 0
        self._part = 0
        self._staged = 0
        self._held: list[Row] = []
        self._held_bytes = 0

    @property
    @abstractmethod
    def where(self) -> str:
        """The database, for messages."""

    @abstractmethod
    async def begin(self, columns: tuple[str, ...] | None, width: int) -> None:
        """Called before the first rows, once it is known what is in them."""

    @abstractmethod
    async def insert(self, rows: Sequence[Row]) -> None:
        """Write rows in a transaction of their own; if one fails, those before it."""

    @abstractmethod
    async def recorded(self, sink: str) -> int:
        """The last epoch of this sink that is in the database, 0 for none."""

    @abstractmethod
    async def stage(self, sink: str, part: int, rows: Sequence[Row], durable: bool) -> None:
        """Keep rows for later. Those before are durable when this is."""

    @abstractmethod
    async def attempt(self, sink: str, batch: Batch) -> None:
        """Write the rows of an epoch, and take that back."""

    @abstractmethod
    async def apply(self, sink: str, epoch: int, batch: Batch | None) -> None:
        """Write the rows of an epoch and its number in one transaction."""

    @abstractmethod
    async def unstage(self, sink: str) -> None:
        """Forget all rows that were kept for later."""

    @abstractmethod
    async def forget(self) -> None:
        """Forget what runs have staged, of an operator of this name, that committed nothing."""

    async def write(self, chunk: Chunk[Any]) -> None:
        rows: list[Row] = []
        failure: Exception | None = None
        items = chunk.items
        for start in range(0, len(items), AT_ONCE):
            try:
                rows.extend(map(tuple, map(self._fields.of, items[start : start + AT_ONCE])))
            except Exception as error:
                number = self._written + len(rows) + 1
                error.add_note(f"while writing item {number} to {self.target.what}")
                failure = error
                break
            if self._context.overdue():
                await asyncio.sleep(0)
        if rows:
            await self._begin(self._fields.columns, len(rows[0]))
            if self._sink:
                await self._hold(rows)
            else:
                await self.insert(rows)
            self._written += len(rows)
        if failure is not None:
            raise failure

    async def _begin(self, columns: tuple[str, ...] | None, width: int) -> None:
        if not self._width:
            await self.begin(columns, width)
            self._width = width

    async def _hold(self, rows: list[Row]) -> None:
        size = sum(len(it) for row in rows for it in row if isinstance(it, (str, bytes)))
        if self._held and (
            len(self._held) + len(rows) > CARRIED_ROWS or self._held_bytes + size > CARRIED_BYTES
        ):
            await self._stage_held(durable=False)
        self._held += rows
        self._held_bytes += size

    async def _stage_held(self, *, durable: bool) -> None:
        await self.stage(self._sink, self._part, self._held, durable)
        self._staged += len(self._held)
        self._held, self._held_bytes = [], 0

    def position(self) -> int:
        """How many rows were taken."""
        return self._written

    async def recover(self, epoch: int, token: Any) -> None:
        if token is None:
            self._sink = secrets.token_hex(8)
            await self.forget()
            return
        self._sink = token["sink"]
        if token["width"]:
            columns = token["columns"]
            if self._fields.columns is None:
                self._fields.columns = columns
            await self._begin(columns, token["width"])
        batch, before = _batch(token), token["after"]
        reached = epoch if batch else before
        found = await self.recorded(self._sink)
        if found > reached:
            log_event(
                "warning",
                "database_ahead_of_checkpoint",
                operator=self._context.name,
                effect="rows of the epochs since then come again",
                database=self.where,
                found=found,
                restored=epoch,
            )
            await self.apply(self._sink, reached, None)
        elif found < reached:
            if found != before:
                raise ConnectorError(
                    f"{self.where}: has the rows of this pipeline until epoch {found}, and its "
                    f"checkpoint goes on after epoch {before}; put back the database as it was, "
                    "or begin without the checkpoint"
                )
            await self.apply(self._sink, epoch, batch)
        self._epoch = reached
        await self.unstage(self._sink)

    async def prepare(self, epoch: int) -> Any:
        if self._staged:
            await self._stage_held(durable=True)
        batch = Batch(self._part, self._staged, self._held)
        self._held, self._held_bytes = [], 0
        self._staged = 0
        self._part += 1
        if batch:
            # What the table refuses must fail while the epoch can still be given up.
            await self.attempt(self._sink, batch)
        return {
            "sink": self._sink,
            "after": self._epoch,
            "columns": self._fields.columns,
            "width": self._width,
            "part": batch.part,
            "staged": batch.staged,
            "rows": batch.rows,
        }

    async def commit(self, epoch: int, token: Any) -> None:
        if (batch := _batch(token)) and epoch > self._epoch:
            await self.apply(self._sink, epoch, batch)
            self._epoch = epoch

    async def finish(self) -> None:
        if self._sink:
            await self.unstage(self._sink)


def _batch(token: Any) -> Batch:
    return Batch(token["part"], token["staged"], token["rows"])
