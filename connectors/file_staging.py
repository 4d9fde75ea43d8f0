"""Files that a run with checkpoints writes: hidden until what is in them is committed.

Blocking calls only, made one at a time; the writer has them made in a thread.
"""

from __future__ import annotations

import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from connectors.compression import Compression, Compressor
from connectors.file_errors import file_error
from connectors.output_file import OutputFile, sync_directory
from reactive.errors import ConnectorError

STAGED = "staged"
"""The suffix of hidden files that outlive a run."""

Token: TypeAlias = dict[str, Any]
"""Plain values only: a checkpoint may be read by a later version."""


class Stage(Protocol):
    """A file being written, as the writer sees it."""

    size: int
    is_new: bool

    def write(self, data: bytes) -> None:
        """Add plain bytes."""


class Staging(ABC):
    """How files come to be seen, in runs with checkpoints."""

    kind: str

    def __init__(self, path: str, compression: Compression | None, level: int | None) -> None:
        self.path = path
        self.compression: Compression | None = compression
        self.level = level
        # Through a link, what it points to is written.
        self.target = Path(path).resolve()

    def recover(self, token: Token | None) -> Stage | None:
        """Settle what an earlier run left, and give the file that it was in."""
        if token is not None and token["kind"] != self.kind:
            raise ConnectorError(
                f"{self.path}: its checkpoint was made by a sink that wrote {token['kind']}, and "
                f"this one writes {self.kind}; let it write as before, or begin without the "
                "checkpoint"
            )
        try:
            return self._recover(token)
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    @abstractmethod
    def _recover(self, token: Token | None) -> Stage | None: ...

    @abstractmethod
    def begin(self, path: str) -> Stage:
        """A new file, to be seen as `path`."""

    @abstractmethod
    def end(self, stage: Stage) -> None:
        """Nothing more is written to this file."""

    @abstractmethod
    def prepare(self, stage: Stage | None) -> Token:
        """Make durable what was written. `stage` is the file that goes on."""

    @abstractmethod
    def commit(self, token: Token) -> None:
        """Show what the token is of."""

    @abstractmethod
    def finish(self) -> None:
        """Show the rest, durably."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything, and leave what `recover` needs."""

    def _left_over(self, pattern: str) -> Iterator[Path]:
        """The hidden files of this sink."""
        known = re.compile(rf"\.{pattern}\.[0-9a-f]{{8}}\.{STAGED}")
        for path in self.target.parent.iterdir():
            if known.fullmatch(path.name):
                yield path


class StagedFile(OutputFile):
    """A hidden file beside its target, which can be continued by a later run."""

    def __init__(self, path: str, compression: Compression | None, level: int | None) -> None:
        super().__init__(path, append=False, compression=None, level=level, fsync=True)
        self._packing: Compression | None = compression
        self._synced = 0

    @property
    def final(self) -> Path:
        """What it is to be named."""
        return self._target

    @property
    def hidden(self) -> Path:
        """What it is named."""
        assert self._partial is not None
        return self._partial

    def _open_beside(self, suffix: str = STAGED) -> None:
        super()._open_beside(suffix)

    def reopen(self, hidden: Path, size: int, modified: int) -> None:
        """Go on after the first `size` bytes of what an earlier run has written."""
        self._target = Path(self.path).resolve()
        self._partial = hidden
        self._descriptor = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        found = os.fstat(self._descriptor).st_size
        if found < size:
            raise ConnectorError(
                f"{hidden}: is {found} bytes long, and had {size} at the last checkpoint; put "
                "back what was there, or begin without the checkpoint"
            )
        if found > size:
            os.ftruncate(self._descriptor, size)
        os.utime(self._descriptor, ns=(modified, modified))
        self.size = self._synced = size
        self.is_new = not size

    def copy_of(self, original: Path, size: int) -> None:
        """Begin with the first `size` bytes of another file."""
        self.open()
        with original.open("rb") as source, os.fdopen(os.dup(self._descriptor), "wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            copy.truncate(size)
        os.lseek(self._descriptor, size, os.SEEK_SET)
        self.size = size
        self.is_new = not size

    def write(self, data: bytes) -> None:
        if self._compressor is None and self._packing is not None and data:
            self._compressor = Compressor(self._packing, self.level)
        super().write(data)

    @property
    def level(self) -> int | None:
        """The level of compression."""
        return self._level

    def sync(self) -> None:
        """Wait until all of it is on the disk, with compressed data ended."""
        if self._compressor is not None:
            rest, self._compressor = self._compressor.finish(), None
            self._put(rest)
        if self.size != self._synced:
            os.fsync(self._descriptor)
            self._synced = self.size

    def end(self) -> None:
        """Nothing more is written to it."""
        if not self.size and self._compressor is None and self._packing is not None:
            self._compressor = Compressor(self._packing, self.level)
        self.sync()

    def identity(self) -> list[int]:
        """What tells it from other files, under whatever name."""
        status = os.fstat(self._descriptor)
        return [status.st_ino, status.st_mtime_ns]


class StagedParts(Staging):
    """Files that are seen as a whole: one, named when the run has ended well, or many, each named
    when the epoch in which it was ended is committed."""

    kind = "whole files"

    def __init__(
        self,
        path: str,
        compression: Compression | None,
        level: int | None,
        *,
        left_over: str | None = None,
    ) -> None:
        super().__init__(path, compression, level)
        self._single = left_over is None
        if not self._single:
            self.target = Path(path).parent.resolve() / Path(path).name
        self._pattern = left_over or re.escape(self.target.name)
        self._open: list[StagedFile] = []
        self._ended: list[StagedFile] = []
        self._published: list[Any] | None = None
        self._new_names = True

    def _recover(self, token: Token | None) -> StagedFile | None:
        file = None
        keep = set()
        if token is not None:
            self.commit(token)
            if (going_on := token["open"]) is not None:
                hidden, final, size, _, modified = going_on
                if self._here(hidden).exists():
                    file = StagedFile(str(self._here(final)), self.compression, self.level)
                    self._open.append(file)
                    file.reopen(self._here(hidden), size, modified)
                    keep.add(file.hidden)
                elif self._single:
                    self._published = going_on
                    self._check_published()
        for path in self._left_over(self._pattern):
            if path not in keep:
                path.unlink()
        return file

    def _check_published(self) -> None:
        """Whether the file that is there is what was written until the last checkpoint."""
        assert self._published is not None
        _, final, size, inode, modified = self._published
        try:
            found = self._here(final).stat()
        except FileNotFoundError:
            found = None
        # An empty one may have got its header since.
        if (
            found is not None
            and found.st_ino == inode
            and (not size or (found.st_size, found.st_mtime_ns) == (size, modified))
        ):
            return
        raise ConnectorError(
            f"{self.path}: what was written of it until the last checkpoint is neither in a "
            "hidden file beside it nor in the file itself; put it back, or begin without the "
            "checkpoint"
        )

    def _here(self, name: str) -> Path:
        return self.target.with_name(name)

    def begin(self, path: str) -> StagedFile:
        file = StagedFile(path, self.compression, self.level)
        if self._published is not None:
            # It was finished, and now there is more: those who read it see it whole meanwhile.
            final, size = self._published[1:3]
            file.copy_of(self._here(final), size)
            self._published = None
        else:
            file.open()
        self._open.append(file)
        self._new_names = True
        return file

    def end(self, stage: Stage) -> None:
        assert isinstance(stage, StagedFile)
        try:
            stage.end()
        except OSError as error:
            raise file_error(error, stage.path, "write") from error
        stage.release()
        self._open.remove(stage)
        self._ended.append(stage)

    def prepare(self, stage: Stage | None) -> Token:
        ended, self._ended = self._ended, []
        going_on: Any = self._published
        try:
            if isinstance(stage, StagedFile):
                stage.sync()
                going_on = [stage.hidden.name, stage.final.name, stage.size, *stage.identity()]
            if self._new_names:
                sync_directory(self.target.parent)
                self._new_names = False
        except OSError as error:
            raise file_error(error, self.path, "write") from error
        names = [[file.hidden.name, file.final.name] for file in ended]
        return {"kind": self.kind, "ended": names, "open": going_on}

    def commit(self, token: Token) -> None:
        try:
            for hidden, final in token["ended"]:
                try:
                    self._here(hidden).replace(self._here(final))
                except FileNotFoundError:
                    # It was committed before. Whoever takes the files may have taken it since.
                    pass
                else:
                    self._new_names = True
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    def finish(self) -> None:
        try:
            for file in self._ended:
                file.hidden.replace(file.final)
            self._ended.clear()
            sync_directory(self.target.parent)
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    def close(self) -> None:
        for file in self._open:
            file.release()
