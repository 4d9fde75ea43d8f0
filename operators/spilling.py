"""Items on disk, while there are more than fit into memory."""

from __future__ import annotations

import io
import os
import pickle
from array import array
from collections.abc import Awaitable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reactive.blocking import BlockingWorker, finished

if TYPE_CHECKING:
    import asyncio

    from reactive.context import Context

T = TypeVar("T")

_PROTOCOL: Final = 5
_PLAIN: Final = frozenset({str, bytes})


def encode(value: Any, items: Iterable[Any]) -> bytes:
    """A picklable value as bytes; `items` are those within it, of which plain text and bytes do
    without what keeps track of objects that are shared."""
    if _PLAIN.issuperset(map(type, items)):
        out = io.BytesIO()
        pickler = pickle.Pickler(out, _PROTOCOL)
        pickler.fast = True
        pickler.dump(value)
        return out.getvalue()
    return pickle.dumps(value, _PROTOCOL)


class Blocks:
    """Where the blocks of one run or partition are in the file, in order."""

    __slots__ = ("_ends", "_starts", "size")

    def __init__(self) -> None:
        self._starts = array("Q")
        self._ends = array("Q")
        self.size = 0
        """What its items take in memory."""

    def add(self, start: int, end: int, size: int) -> None:
        """One more block, whose items take `size` bytes in memory."""
        self._starts.append(start)
        self._ends.append(end)
        self.size += size

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)


class Spill:
    """Blocks of bytes in a file without a name, which is gone with the process whatever happens.

    Reading and writing are done in a thread; making bytes of items and items of bytes is not, as
    it would hold up the event loop from there as well. Blocks are therefore small.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._directory = context.settings.spill_directory
        self._worker = BlockingWorker(context.name)
        self._descriptor = -1
        self._end = 0
        self._writing: asyncio.Future[None] | None = None

    @property
    def written(self) -> int:
        """How many bytes were written so far."""
        return self._end

    async def write(self, blocks: Blocks, value: Any, items: Iterable[Any], size: int) -> int:
        """Put a value into a new block at the end, where `size` is what it takes in memory.
        Returns how many bytes the block has, while it is being written, once the one before it
        was."""
        try:
            data = encode(value, items)
        except Exception as error:
            error.add_note(
                f"{self._context.where()} puts on disk what does not fit into its memory, for "
                "which items have to pickle; with a larger memory= it may need no disk"
            )
            raise
        await self.put(blocks, data, size)
        return len(data)

    async def put(self, blocks: Blocks, data: bytes, size: int) -> None:
        """The same with the bytes of a block."""
        if self._descriptor < 0:
            opening = self._worker.run(_open, self._directory, undo=os.close)
            self._descriptor = await self._disk(opening)
        await self.flush()
        start, self._end = self._end, self._end + len(data)
        self._writing = self._worker.submit(_write, self._descriptor, data, start)
        blocks.add(start, self._end, size)

    async def flush(self) -> None:
        """Wait until everything was written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await self._disk(finished(writing))

    def fetch(self, start: int, end: int) -> asyncio.Future[bytes]:
        """Begin to read a block."""
        return self._worker.submit(_read, self._descriptor, start, end - start)

    async def fetched(self, fetching: asyncio.Future[bytes]) -> Any:
        """What is in a block."""
        data: bytes = await self._disk(finished(fetching))
        return pickle.loads(data)

    async def values(self, blocks: Blocks) -> list[bytes]:
        """The bytes of all blocks."""
        await self.flush()
        return [await self._disk(finished(self.fetch(start, end))) for start, end in blocks]

    async def _disk(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except OSError as error:
            where = self._directory or "the directory for temporary files"
            error.add_note(
                f"{self._context.where()} had put {self._end:,} bytes into {where}; "
                "rx.Settings(spill_directory=...) says another place, and with a larger memory= "
                "it needs less"
            )
            raise

    async def close(self) -> None:
        """Give the disk back, once nothing reads or writes any more."""
        await self._worker.close()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _open(directory: str | None) -> int:
    import tempfile

    with tempfile.TemporaryFile(prefix="reactive-", dir=directory, buffering=0) as file:
        return os.dup(file.fileno())


def _write(descriptor: int, data: bytes, start: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, start)
        rest, start = rest[written:], start + written


def _read(descriptor: int, start: int, size: int) -> bytes:
    data = os.pread(descriptor, size, start)
    while len(data) < size:
        more = os.pread(descriptor, size - len(data), start + len(data))
        if not more:
            raise OSError(f"{size - len(data)} bytes are gone from a temporary file")
        data += more
    return data
