"""A regular file being written: replaced as a whole at the end, or appended to.

Blocking calls only, made one at a time; the writer has them made in a thread.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path

from connectors.compression import Compression, Compressor
from connectors.file_errors import file_error


class OutputFile:
    """One output file.

    Without `append`, a new file is written beside the target, as `.NAME.XXXXXXXX.partial`, and
    renamed to it by `finish`, so that readers see the old contents or all of the new ones.
    """

    def __init__(
        self,
        path: str,
        *,
        append: bool,
        compression: Compression | None,
        level: int | None,
        fsync: bool,
        newline: bytes = b"\n",
    ) -> None:
        self.path = path
        self.size = 0
        self.is_new = True
        self._append = append
        self._fsync = fsync
        self._newline = newline
        self._torn = False
        self._descriptor = -1
        self._target = Path(path)
        self._partial: Path | None = None
        self._compression: Compression | None = compression
        self._level = level
        self._compressor: Compressor | None = None

    def open(self) -> None:
        """Make the file. Raises `ConnectorError` where that is not possible."""
        if self._compression is not None:
            self._compressor = Compressor(self._compression, self._level, prompt=self._append)
        try:
            # Through a link, what it points to is replaced, not the link.
            self._target = Path(self.path).resolve()
            if self._append:
                self._open_to_append()
            else:
                self._open_beside()
        except OSError as error:
            self.discard()
            raise file_error(error, self.path, "write") from error

    def _open_to_append(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._target, flags, 0o666)
        self.size = os.fstat(self._descriptor).st_size
        self.is_new = not self.size
        if self.size and self._compression is None:
            end = os.pread(self._descriptor, len(self._newline), self.size - len(self._newline))
            self._torn = end != self._newline

    def _end_torn_line(self) -> None:
        """An unfinished last line must not swallow the first new one."""
        if self._torn:
            self._torn = False
            self._put(self._newline)

    def _open_beside(self, suffix: str = "partial") -> None:
        mode = None
        try:
            status = self._target.stat()
        except FileNotFoundError:
            pass
        else:
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            mode = stat.S_IMODE(status.st_mode)
        partial = self._target.with_name(f".{self._target.name}.{secrets.token_hex(4)}.{suffix}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(partial, flags, 0o666)
        self._partial = partial
        if mode is not None:
            os.fchmod(self._descriptor, mode)

    def write(self, data: bytes) -> None:
        """Add plain bytes. Raises `ConnectorError`; an appended file then ends where it ended."""
        if self._compressor is not None:
            data = self._compressor.compress(data)
        try:
            self._end_torn_line()
            self._put(data)
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        written = 0
        try:
            while written < len(view):
                written += os.write(self._descriptor, view[written:])
        except OSError:
            if self._append and written and self._compressor is None:
                self._take_back(written)
            raise
        self.size += written

    def _take_back(self, written: int) -> None:
        """Cut off a torn line, unless somebody else has appended meanwhile."""
        if os.fstat(self._descriptor).st_size == self.size + written:
            os.ftruncate(self._descriptor, self.size)

    def finish(self) -> None:
        """Make the output final, under its own name."""
        try:
            if self._compressor is not None:
                rest, self._compressor = self._compressor.finish(), None
                self._put(rest)
            self._end_torn_line()
            if self._fsync:
                os.fsync(self._descriptor)
            self.release()
            if self._partial is not None:
                self._partial.replace(self._target)
                self._partial = None
                if self._fsync:
                    sync_directory(self._target.parent)
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    def discard(self) -> None:
        """Give up what is not finished; what was appended stays, with compressed data ended."""
        try:
            if self._append and self._compressor is not None and self._descriptor >= 0:
                rest, self._compressor = self._compressor.finish(), None
                self._put(rest)
            if self._descriptor >= 0:
                self._end_torn_line()
        except OSError as error:
            raise file_error(error, self.path, "write") from error
        finally:
            self.release()
            if self._partial is not None:
                self._partial.unlink(missing_ok=True)
                self._partial = None

    def release(self) -> None:
        """Let go of the descriptor; what is in the file stays."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Wait until names in a folder are on the disk."""
    directory = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
