"""What a region pulls from besides edges and chains: its source, its stages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reactive.context import Context
from reactive.endpoint import Reader, Source
from reactive.fuse import annotate
from reactive.metrics import Progress
from reactive.operator import Puller, Stage
from reactive.signals import Barrier, Chunk, Signal
from reactive.steps import Surroundings
from reactive.tasks import raise_together

if TYPE_CHECKING:
    from reactive.region import Region


class ReaderPuller:
    """Reads a reader for its region, and can be asked to stop while it waits."""

    def __init__(self, context: Context, region: Region, reader: Reader[Any] | None = None) -> None:
        self._context = context
        self._region = region
        self._reader = reader
        self._task: asyncio.Task[Any] | None = None
        self._waiting = f"waiting for {context.name}"
        self._stopping = False
        self._interrupted = False
        self.most: int = context.settings.chunk
        """The most items to read at once."""

    async def read(self) -> Signal[Any] | None:
        """What the reader has now."""
        reader = self._reader
        assert reader is not None
        self._region.check_cancelled()
        if self._stopping:
            return None
        self._region.state = self._waiting
        self._task = task = asyncio.current_task()
        cancellations = 0 if task is None else task.cancelling()
        try:
            signal = await reader.read(self.most)
        except asyncio.CancelledError:
            if not self._interrupted or (task is not None and task.cancelling() > 1):
                raise
            signal = None
        except Exception as error:
            annotate(error, self._context)
            raise
        finally:
            self._task = None
            if self._interrupted:
                self._interrupted = False
                if task is not None:
                    task.uncancel()
        if task is not None and task.cancelling() > cancellations:
            # The reader swallowed a cancellation; it still counts.
            raise asyncio.CancelledError
        self._region.state = "working"
        if type(signal) is Chunk:
            meter = self._context.meter
            meter.items_out += len(signal.items)
        elif signal is None:
            self.at_end()
        return signal

    def at_end(self) -> None:
        """The reader has ended."""

    def stop(self) -> None:
        """Take no more from outside: let the reader finish, or end the stream here."""
        reader = self._reader
        if reader is not None and reader.stop():
            return
        self._stopping = True
        if self._task is not None and not self._interrupted:
            self._interrupted = True
            self._task.cancel()

    async def close(self) -> None:
        """Close the reader, once."""
        reader, self._reader = self._reader, None
        if reader is not None:
            try:
                await reader.close()
            except Exception as error:
                annotate(error, self._context)
                raise


class SourcePuller(ReaderPuller):
    """Reads a source."""

    def __init__(self, source: Source[Any], context: Context, region: Region) -> None:
        super().__init__(context, region)
        self._source = source
        self.feeds_a_loop = False
        self._time = asyncio.get_running_loop().time
        self.begins: tuple[Any] | None = None
        """The position at which to begin, if not where the source does."""
        self._opened: float | None = None
        self._whole: Progress | None = None

    async def open(self) -> None:
        """Make the reader and let it acquire what it needs."""
        self._reader = self._source.reader(self._context)
        self._reader.any_sequence = self.feeds_a_loop
        try:
            await self._reader.open()
            if self.begins is not None and self._source.replayable:
                await self._reader.seek(self.begins[0])
        except Exception as error:
            annotate(error, self._context)
            raise
        self._opened = self._time()
        self._context.meter.progress = self.progress
        if self._stopping:
            # Asked to stop before it began: what was accepted by then is still given.
            self._stopping = not self._reader.stop()

    def progress(self) -> Progress | None:
        """How far the source has been read."""
        reader = self._reader
        if self._whole is not None or reader is None or self._opened is None:
            return self._whole
        meter = self._context.meter
        done, total, unit = reader.extent() or (meter.items_out, None, "items")
        return Progress(meter.name, "reading", done, total, unit, self._time() - self._opened)

    def at_end(self) -> None:
        self._whole = self.progress()

    @property
    def replayable(self) -> bool:
        """Whether it can be read again from where it was."""
        return self._source.replayable

    def position(self) -> Any:
        """Where the next read begins."""
        return None if self._reader is None else self._reader.position()

    def committed(self, position: Any) -> None:
        """What was given before it is durable at every sink."""
        if self._reader is not None:
            self._reader.committed(position)

    async def close(self) -> None:
        self._whole = self.progress()
        await super().close()


class StagePuller:
    """Runs a stage in its region and closes its inputs after it."""

    def __init__(
        self,
        stage: Stage[Any],
        inputs: Sequence[Puller[Any]],
        context: Context,
        region: Surroundings,
    ) -> None:
        self._stage = stage
        self._inputs = inputs
        self._context = context
        self._region = region
        stage.inputs = inputs

    async def open(self) -> None:
        """Open the stage."""
        await self._stage.open()

    async def read(self) -> Signal[Any] | None:
        """The stage's next signal."""
        signal = await self._stage.read()
        if type(signal) is Chunk:
            self._context.meter.items_out += len(signal.items)
        elif type(signal) is Barrier and self._region.keeps:
            self._region.keep(signal, {self._context.name: self._state()})
        return signal

    def _state(self) -> Any:
        stage = self._stage
        return stage.changes() if self._region.keeps_changes else stage.snapshot()

    async def close(self) -> None:
        """Close the stage, then every input, whatever fails on the way."""
        await close_all([self._stage, *self._inputs])


async def close_all(parts: Sequence[Any]) -> None:
    """Close everything; raise what failed at the end."""
    errors: list[BaseException] = []
    for part in parts:
        try:
            await part.close()
        except Exception as error:
            errors.append(error)
    raise_together(errors)
