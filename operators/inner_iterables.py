"""Async iterables as inner streams: what they give without waiting costs no more than a call."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any

from operators.checking import MISSING
from operators.reading import EagerIterableReader
from reactive.fuse import annotate
from reactive.pullers import ReaderPuller
from reactive.signals import Chunk, Signal

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.region import Region


class InnerIterable:
    """An async iterable as an inner stream. A drain asks it to take no more."""

    __slots__ = ("_closed", "_context", "_puller", "_reader", "_region", "ended")

    def __init__(self, iterable: AsyncIterable[Any], context: Context, region: Region) -> None:
        self._context = context
        self._region = region
        self._reader = EagerIterableReader(iterable)
        self._puller: ReaderPuller | None = None
        self._closed = False
        self.ended = False
        """Whether it gives no more."""

    @property
    def is_generator(self) -> bool:
        """Whether it is an async generator, of which nothing is left once it has ended."""
        return self._reader.is_generator

    @property
    def is_closed(self) -> bool:
        """Whether nothing is left to close."""
        return self._reader.is_over and self._reader.is_generator

    @property
    def waits(self) -> bool:
        """Whether it has come to wait, so that `wait` has to follow at once, in the same task."""
        return self._reader.begun is not None

    async def open(self) -> None:
        """Nothing to do: it begins with the first item."""

    def at_once(self) -> Any:
        """The next item, where that takes no waiting. Else `MISSING`: it `waits`, or has ended."""
        self._region.check_cancelled()
        return self.step()

    def step(self) -> Any:
        """The same where nothing is to come between, a cancellation of the region neither."""
        reader = self._reader
        if self._region.execution.stopping:
            self.ended = True
            return MISSING
        try:
            item = reader.read_at_once()
        except Exception as error:
            annotate(error, self._context)
            raise
        if item is not MISSING:
            self._context.meter.items_out += 1
        else:
            self.ended = reader.is_over
        return item

    async def wait(self) -> Signal[Any] | None:
        """The item that is waited for; None at the end."""
        region, puller = self._region, self._puller
        if puller is None:
            puller = self._puller = ReaderPuller(self._context, region, self._reader)
        region.sources[puller] = None
        try:
            signal = await puller.read()
        finally:
            del region.sources[puller]
        self.ended = signal is None
        return signal

    async def read(self) -> Signal[Any] | None:
        """The next item; None at the end."""
        item = MISSING if self.ended or self.waits else self.at_once()
        if item is not MISSING:
            return Chunk([item])
        return await self.wait() if self.waits else None

    async def close(self) -> None:
        """Close the iterable, once."""
        closed, self._closed = self._closed, True
        self.ended = True
        if not closed:
            try:
                await self._reader.close()
            except Exception as error:
                annotate(error, self._context)
                raise
