"""Writing to what is no regular file: standard output, pipes, terminals, devices."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import stat
import sys

from connectors.compression import Compression, Compressor
from connectors.file_errors import file_error
from connectors.file_paths import STANDARD
from reactive.blocking import BlockingWorker
from reactive.channel import Waker

READER_POLL_SECONDS = 0.05


def is_stream(path: str) -> bool:
    """Whether what is written there cannot be replaced or taken back; blocking."""
    if path == STANDARD:
        return True
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


class OutputStream:
    """Writes bytes as the reader takes them, without holding a thread while it does not.

    What was written stays written; `finish` only ends compressed data.
    """

    is_new = True

    def __init__(
        self,
        path: str,
        *,
        compression: Compression | None,
        level: int | None,
        worker: BlockingWorker,
    ) -> None:
        self.path = "standard output" if path == STANDARD else path
        self.size = 0
        self._path = path
        self._worker = worker
        self._waker = Waker()
        self._descriptor = -1
        self._at_once = select.PIPE_BUF
        self._pollable = True
        self._compressor = (
            None if compression is None else Compressor(compression, level, prompt=True)
        )

    async def open(self) -> None:
        """Open it; a named pipe waits here for its reader."""
        try:
            if self._path == STANDARD:
                self._descriptor = await self._worker.run(_standard_output, undo=os.close)
                self._pollable = not stat.S_ISREG(os.fstat(self._descriptor).st_mode)
                return
            while True:
                try:
                    self._descriptor = await self._worker.run(
                        os.open, self._path, _FLAGS, undo=os.close
                    )
                    return
                except OSError as error:
                    if error.errno != errno.ENXIO:
                        raise
                await asyncio.sleep(READER_POLL_SECONDS)
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    async def write(self, data: bytes) -> None:
        """Write all of it."""
        if self._compressor is not None:
            data = await self._worker.run(self._compressor.compress, data)
        await self._put(data)

    async def finish(self) -> None:
        """End compressed data, and close."""
        if self._compressor is not None:
            rest, self._compressor = self._compressor.finish(), None
            await self._put(rest)
        self.close()

    async def _put(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                written = await self._put_some(view)
                self.size += written
                view = view[written:]
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    async def _put_some(self, view: memoryview) -> int:
        if self._pollable and not await self._wait_writable():
            self._pollable = False
        if not self._pollable:
            return await self._worker.run(os.write, self._descriptor, view)
        try:
            # A pipe in blocking mode takes this much without blocking once it is writable.
            return os.write(self._descriptor, view[: self._at_once])
        except BlockingIOError:
            return 0

    async def _wait_writable(self) -> bool:
        """Wait until a write returns at once; False where that cannot be told."""
        loop = asyncio.get_running_loop()
        try:
            loop.add_writer(self._descriptor, self._waker.wake)
        except OSError:
            return False
        try:
            await self._waker.wait()
        finally:
            loop.remove_writer(self._descriptor)
        return True

    def close(self) -> None:
        """Let go of the descriptor."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


_FLAGS = os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK


def _standard_output() -> int:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        return os.dup(sys.__stdout__.fileno())  # type: ignore[union-attr]
    except (AttributeError, ValueError) as error:
        raise OSError(errno.EBADF, "standard output is closed") from error
