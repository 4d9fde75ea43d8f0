"""What every framing is: a blueprint that makes decoders and encodes frames, free of any I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from reactive.errors import DecodeError, FrameTooLongError, TruncatedError
from reactive.fast_dataclasses import dataclass

MAX_FRAME = 1 << 20

Oversize: TypeAlias = Literal["fail", "skip", "truncate"]


@dataclass(frozen=True)
class Framing(ABC):
    """How a byte stream is cut into frames. A blueprint: give it to a connector.

    `max_frame` is the most bytes a frame may have, and the most that a decoder ever holds of one.
    `oversize` says what happens to a longer one: `fail` ends the connection with
    `FrameTooLongError`, `skip` drops the frame, `truncate` gives its first `max_frame` bytes;
    both go on with the next frame and are counted.
    """

    max_frame: int = MAX_FRAME
    oversize: Oversize = "fail"

    def __post_init__(self) -> None:
        if self.max_frame < 1:
            raise ValueError(f"max_frame must be at least 1 byte, not {self.max_frame}")
        if self.oversize not in get_args(Oversize):
            known = ", ".join(get_args(Oversize))
            raise ValueError(f"oversize must be one of {known}, not {self.oversize!r}")

    @property
    @abstractmethod
    def name(self) -> str:
        """How `explain()` calls it."""

    @abstractmethod
    def decoder(self) -> Decoder:
        """A new decoder, for one connection."""

    def encode(self, items: Sequence[bytes]) -> bytes:
        """The bytes that a decoder of this framing turns back into `items`.

        Raises `TypeError` for what is not bytes, `FrameTooLongError` for an item above
        `max_frame`, `ValueError` for one that this framing cannot carry.
        """
        strange = set(map(type, items)) - {bytes, bytearray}
        if strange:
            raise TypeError(
                f"a frame is bytes, not {strange.pop().__qualname__}; "
                "encode the items first, for example .map(str.encode) or .map(orjson.dumps)"
            )
        if items and (longest := max(map(len, items))) > self.max_frame:
            raise FrameTooLongError(
                f"an item of {longest} bytes is longer than max_frame={self.max_frame}; "
                "raise max_frame on both sides"
            )
        return self._encode(items)

    @abstractmethod
    def _encode(self, items: Sequence[bytes]) -> bytes: ...


class Decoder(ABC):
    """One connection's decoding. Any cutting of the byte stream into blocks gives the same
    frames and the same error.

    `skipped` and `truncated` count oversize frames. After malformed bytes `error` is set: the
    frames before them are returned as usual, and the next call raises it.
    """

    __slots__ = ("_given", "error", "max_frame", "oversize", "skipped", "truncated")

    def __init__(self, framing: Framing) -> None:
        self.max_frame = framing.max_frame
        self.oversize = framing.oversize
        self.skipped = 0
        self.truncated = 0
        self.error: DecodeError | None = None
        self._given = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take a block of bytes; give the frames it completes, in order."""
        if self.error is not None:
            raise self.error
        frames: list[bytes] = []
        try:
            self._scan(data, frames)
        except DecodeError as error:
            self.error = error.with_traceback(None)
        self._given += len(frames)
        return frames

    def end(self) -> list[bytes]:
        """The byte stream has ended: give what it completes (most often nothing).

        Raises `TruncatedError` if it ended inside a frame.
        """
        if self.error is not None:
            raise self.error
        frames: list[bytes] = []
        try:
            self._finish(frames)
        except DecodeError as error:
            self.error = error
            raise
        self._given += len(frames)
        return frames

    @property
    @abstractmethod
    def pending(self) -> int:
        """Bytes held of a frame that is not complete; never above `max_frame` plus its header."""

    @abstractmethod
    def _scan(self, data: bytes, frames: list[bytes]) -> None: ...

    @abstractmethod
    def _finish(self, frames: list[bytes]) -> None: ...

    def _which(self, frames: list[bytes], start: int) -> str:
        number = self._given + self.skipped + len(frames) + 1
        return f"frame {number} (from byte {start})"

    def _too_long(
        self, frames: list[bytes], start: int, length: int | None = None
    ) -> FrameTooLongError:
        size = "is" if length is None else f"has {length} bytes,"
        return FrameTooLongError(
            f"{self._which(frames, start)} {size} longer than max_frame={self.max_frame}; "
            "raise max_frame, or set oversize='skip' or 'truncate'"
        )

    def _torn(self, start: int, detail: str) -> TruncatedError:
        return TruncatedError(f"the bytes ended inside the frame from byte {start}: {detail}")
