"""Appending in runs with checkpoints: what an epoch adds is joined to the file at its commit.

Blocking calls only, made one at a time; the writer has them made in a thread.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from io import BytesIO
from pathlib import Path
from typing import IO

from connectors.compression import Compression, Compressor
from connectors.file_errors import file_error
from connectors.file_staging import STAGED, Stage, Staging, Token
from connectors.output_file import sync_directory
from reactive.errors import ConnectorError
from reactive.log import log_event

CARRIED_BYTES = 1 << 16
"""An epoch up to this size is kept with the checkpoint, a larger one in a hidden file."""

_BLOCK = 1 << 20


class JoinedFile(Staging):
    """A file to which each epoch adds at once what was written in it.

    Joining can be repeated: the token says at which size of the file it begins. What is there
    already is never truncated, so that those who follow the file see it only grow.
    """

    kind = "the end of a file"

    def __init__(
        self, path: str, compression: Compression | None, level: int | None, newline: bytes
    ) -> None:
        super().__init__(path, compression, level)
        self._newline = newline
        self._descriptor = -1
        self._unsynced = False
        self._new_name = True
        self._added = _Added(self)

    def _recover(self, token: Token | None) -> Stage:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self.target, flags, 0o666)
        # The file may have been made, or joined to, just before the crash.
        self._unsynced = True
        if token is not None:
            self.commit(token)
        for path in self._left_over(re.escape(self.target.name)):
            path.unlink()
        size = self._size()
        if token is not None and size > token["start"] + token["length"]:
            log_event(
                "warning",
                "file_longer_than_at_checkpoint",
                path=self.path,
                bytes=size - token["start"] - token["length"],
                effect="what this pipeline has added since then comes again",
            )
        self._added.size = size
        self._added.is_new = not size
        if size and self.compression is None:
            end = os.pread(self._descriptor, len(self._newline), size - len(self._newline))
            if end != self._newline:
                # An unfinished last line must not swallow the first new one.
                self._added.write(self._newline)
        return self._added

    def begin(self, path: str) -> Stage:
        return self._added

    def end(self, stage: Stage) -> None:
        """It goes on until the run is over."""

    def prepare(self, stage: Stage | None) -> Token:
        try:
            if self._unsynced:
                os.fsync(self._descriptor)
                self._unsynced = False
            if self._new_name:
                sync_directory(self.target.parent)
                self._new_name = False
            name, data, length = self._added.take()
            start = self._size()
        except OSError as error:
            raise file_error(error, self.path, "write") from error
        return {
            "kind": self.kind,
            "start": start,
            "length": length,
            "staged": name,
            "data": data,
        }

    def commit(self, token: Token) -> None:
        start, length = token["start"], token["length"]
        if not length:
            return
        try:
            size = self._size()
            if size < start:
                raise ConnectorError(
                    f"{self.path}: is {size} bytes long, and had {start} at the last checkpoint; "
                    "put back what was there, or begin without the checkpoint"
                )
            source = self._source(token)
            if source is None:
                if size < start + length:
                    raise ConnectorError(
                        f"{self.path}: lacks {start + length - size} bytes of the last checkpoint, "
                        f"and {token['staged']}, which had them, is gone; put one of them back, or "
                        "begin without the checkpoint"
                    )
                return
            with source:
                self._join(source, start, size)
            if token["staged"] is not None:
                os.fsync(self._descriptor)
                self.target.with_name(token["staged"]).unlink(missing_ok=True)
            else:
                self._unsynced = True
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    def _source(self, token: Token) -> IO[bytes] | None:
        if token["staged"] is None:
            return BytesIO(token["data"])
        try:
            return self.target.with_name(token["staged"]).open("rb")
        except FileNotFoundError:
            return None

    def _join(self, source: IO[bytes], start: int, size: int) -> None:
        """Write it, having looked that what is there already is ours, which is written again: it
        may not have reached the disk, though it can be read."""
        place = start
        while block := source.read(_BLOCK):
            there = os.pread(self._descriptor, len(block), place) if place < size else b""
            if not block.startswith(there):
                raise ConnectorError(
                    f"{self.path}: somebody else has written to it, {place - start} bytes into "
                    "what this pipeline was about to add; let it be the only one that writes to "
                    "the file while it runs"
                )
            done = 0
            while done < len(block):
                done += os.pwrite(self._descriptor, memoryview(block)[done:], place + done)
            place += len(block)

    def _size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def finish(self) -> None:
        # What is written only now is no item: the header of a file that got none.
        self.commit(self.prepare(None))
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    def close(self) -> None:
        self._added.close()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _Added:
    """What was written since the last barrier: in memory, and past a size in a hidden file."""

    def __init__(self, owner: JoinedFile) -> None:
        self.size = 0
        self.is_new = True
        self._owner = owner
        self._compressor: Compressor | None = None
        self._buffer = bytearray()
        self._file: IO[bytes] | None = None
        self._path: Path | None = None

    def write(self, data: bytes) -> None:
        compression = self._owner.compression
        if compression is not None and data:
            if self._compressor is None:
                self._compressor = Compressor(compression, self._owner.level)
            data = self._compressor.compress(data)
        self._put(data)

    def _put(self, data: bytes) -> None:
        self._buffer += data
        self.size += len(data)
        if len(self._buffer) > CARRIED_BYTES:
            try:
                self._spill()
            except OSError as error:
                raise file_error(error, self._owner.path, "write") from error

    def _spill(self) -> None:
        if self._file is None:
            target = self._owner.target
            name = f".{target.name}.{secrets.token_hex(4)}.{STAGED}"
            self._path = target.with_name(name)
            self._file = self._path.open("xb", buffering=0)
            shutil.copymode(target, self._path)
        view = memoryview(self._buffer)
        while view:
            view = view[self._file.write(view) :]
        view.release()
        self._buffer = bytearray()

    def take(self) -> tuple[str | None, bytes, int]:
        """All of it, durable, and begin anew: the name of the hidden file or the bytes, and how
        many there are."""
        if self._compressor is not None:
            rest, self._compressor = self._compressor.finish(), None
            self._put(rest)
        if self._file is None:
            data, self._buffer = bytes(self._buffer), bytearray()
            return None, data, len(data)
        assert self._path is not None
        self._spill()
        length = self._file.tell()
        os.fsync(self._file.fileno())
        sync_directory(self._path.parent)
        self.close()
        return self._path.name, b"", length

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
