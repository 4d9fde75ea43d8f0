"""Opens a file for reading, and sees what kind it is."""

from __future__ import annotations

import errno
import os
import stat
import sys

from connectors.compression import detect_compression
from connectors.file_blocks import (
    HEAD_BYTES,
    Blocks,
    CompressedBlocks,
    CompressionArgument,
    OpenedFile,
    PlainBlocks,
    naming,
)
from connectors.file_errors import file_error
from connectors.file_paths import STANDARD
from connectors.stream_blocks import StreamBlocks
from reactive.blocking import BlockingWorker


async def open_blocks(
    path: str,
    compression: CompressionArgument,
    worker: BlockingWorker,
    held: int | None = None,
) -> Blocks:
    """Open a file for reading, whatever kind it is; the one of the descriptor `held`, if given,
    whatever has the path by now.

    Raises `ConnectorError` where it cannot be opened, `DecodeError` where it is not what its name
    promises.
    """
    try:
        file = await worker.run(_open, path, held, undo=OpenedFile.close)
    except OSError as error:
        raise file_error(error, path, "read") from error
    try:
        if not stat.S_ISREG(file.status.st_mode):
            return StreamBlocks(file, compression, worker)
        if compression == "auto":
            with naming(path):
                compression = detect_compression("" if path == STANDARD else path, file.head)
        if compression is None:
            return PlainBlocks(file, worker)
        return CompressedBlocks(file, compression, worker)
    except BaseException:
        file.close()
        raise


def _open(path: str, held: int | None) -> OpenedFile:
    if held is not None:
        descriptor = os.dup(held)
    elif path == STANDARD:
        descriptor = os.dup(_standard_input())
    else:
        # Without O_NONBLOCK, a pipe that nobody writes to would block in open.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            return OpenedFile(path, descriptor, status, b"", 0)
        # A redirected standard input may have been read in part by whoever had it before.
        start = os.lseek(descriptor, 0, os.SEEK_CUR)
        head = os.pread(descriptor, HEAD_BYTES, start)
    except BaseException:
        os.close(descriptor)
        raise
    return OpenedFile(path, descriptor, status, head, start)


def _standard_input() -> int:
    try:
        return sys.__stdin__.fileno()  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError) as error:
        raise OSError(errno.EBADF, "standard input is closed") from error
