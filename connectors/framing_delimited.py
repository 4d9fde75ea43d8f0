"""Frames that end with a delimiter, and frames of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from connectors.framing_base import Decoder, Framing
from reactive.fast_dataclasses import dataclass

Unterminated: TypeAlias = Literal["fail", "emit"]


@dataclass(frozen=True)
class Delimited(Framing):
    """Frames that each end with `end`."""

    end: bytes = b"\n"
    carriage_return: bool = False
    unterminated: Unterminated = "fail"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.end:
            raise ValueError("the delimiter must have at least one byte")
        if self.unterminated not in get_args(Unterminated):
            raise ValueError(f"unterminated must be 'fail' or 'emit', not {self.unterminated!r}")

    @property
    def name(self) -> str:
        return "lines" if self.end == b"\n" else f"delimiter {self.end!r}"

    def decoder(self) -> DelimitedDecoder:
        return DelimitedDecoder(self)

    def _encode(self, items: Sequence[bytes]) -> bytes:
        if not items:
            return b""
        end = self.end
        encoded = end.join((*items, b""))
        plain = len(end) == 1 and encoded.count(end) == len(items)
        # An item may also complete a delimiter together with the one that follows it.
        if not plain and encoded.split(end) != [*items, b""]:
            for item in items:
                if (item + end).find(end) != len(item):
                    raise ValueError(
                        f"the item {bytes(item[:80])!r} contains the delimiter {end!r}; "
                        "use a length-prefixed framing for such items"
                    )
        return encoded


class DelimitedDecoder(Decoder):
    """Splits at a delimiter, at the speed of `bytes.split`."""

    __slots__ = (
        "_carriage_return",
        "_delimiter",
        "_discarding",
        "_fed",
        "_held",
        "_partial",
        "_start",
        "_unterminated",
    )

    def __init__(self, framing: Delimited) -> None:
        super().__init__(framing)
        self._delimiter = framing.end
        self._carriage_return = framing.carriage_return
        self._unterminated = framing.unterminated
        self._partial = bytearray()
        self._held = b""
        self._discarding = False
        self._fed = 0
        self._start = 0

    @property
    def pending(self) -> int:
        return len(self._partial) + len(self._held)

    def _scan(self, data: bytes, frames: list[bytes]) -> None:
        self._fed += len(data)
        # What may be the beginning of a delimiter was held back, so that it is found whole here.
        data = self._held + data
        text = data
        # One byte is found at the speed of memchr, two are not.
        if self._carriage_return and b"\r" in data:
            text = data.replace(b"\r\n", b"\n")
        parts = text.split(self._delimiter)
        rest = parts.pop()
        if parts:
            partial = self._partial
            within = len(text) + len(partial) <= self.max_frame
            if partial:
                parts[0] = b"".join((partial, parts[0]))
                partial.clear()
            if within and not self._discarding:
                frames.extend(parts)
            else:
                self._admit(parts, data, frames)
            self._discarding = False
            self._start = self._fed - len(rest)
        self._keep(rest, frames)

    def _admit(self, parts: list[bytes], data: bytes, frames: list[bytes]) -> None:
        for index, part in enumerate(parts):
            if index == 0 and self._discarding:
                continue
            if len(part) <= self.max_frame:
                frames.append(part)
            elif self.oversize == "truncate":
                self.truncated += 1
                frames.append(part[: self.max_frame])
            elif self.oversize == "skip":
                self.skipped += 1
            else:
                start = self._start
                if index:
                    before = data.split(self._delimiter)[:index]
                    start = self._fed - len(data)
                    start += sum(map(len, before)) + index * len(self._delimiter)
                raise self._too_long(frames, start)

    def _keep(self, rest: bytes, frames: list[bytes]) -> None:
        hold = len(self._delimiter) - 1
        if self._carriage_return and rest.endswith(b"\r"):
            hold = 1
        settled = len(rest) - hold if hold else len(rest)
        if settled < 0:
            settled = 0
        self._held = rest[settled:]
        if self._discarding or not settled:
            return
        partial = self._partial
        partial += rest[:settled]
        if len(partial) > self.max_frame:
            begin = bytes(partial[: self.max_frame])
            partial.clear()
            if self.oversize == "fail":
                raise self._too_long(frames, self._start)
            if self.oversize == "truncate":
                self.truncated += 1
                frames.append(begin)
            else:
                self.skipped += 1
            self._discarding = True

    def _finish(self, frames: list[bytes]) -> None:
        rest = bytes(self._partial) + self._held
        self._partial.clear()
        self._held = b""
        if self._unterminated == "fail":
            if rest or self._discarding:
                detail = f"{self._fed - self._start} bytes came without the {self._delimiter!r}"
                raise self._torn(self._start, detail)
        elif rest and not self._discarding:
            self._admit([rest], rest, frames)


@dataclass(frozen=True)
class FixedSize(Framing):
    """Frames of one size."""

    size: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise ValueError(f"a frame must have at least 1 byte, not {self.size}")

    @property
    def name(self) -> str:
        return f"fixed size {self.size}"

    def decoder(self) -> FixedSizeDecoder:
        return FixedSizeDecoder(self)

    def _encode(self, items: Sequence[bytes]) -> bytes:
        for item in items:
            if len(item) != self.size:
                raise ValueError(
                    f"an item of {len(item)} bytes cannot be a frame of exactly {self.size} bytes"
                )
        return b"".join(items)


class FixedSizeDecoder(Decoder):
    """Cuts every `size` bytes."""

    __slots__ = ("_buffer", "_size")

    def __init__(self, framing: FixedSize) -> None:
        super().__init__(framing)
        self._size = framing.size
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        return len(self._buffer)

    def _scan(self, data: bytes, frames: list[bytes]) -> None:
        size = self._size
        buffer = self._buffer
        if buffer:
            if len(buffer) + len(data) < size:
                buffer += data
                return
            data = b"".join((buffer, data))
            buffer.clear()
        whole = len(data) - len(data) % size
        frames += [data[start : start + size] for start in range(0, whole, size)]
        buffer += data[whole:]

    def _finish(self, frames: list[bytes]) -> None:
        if self._buffer:
            detail = f"it has {len(self._buffer)} of {self._size} bytes"
            raise self._torn(self._given * self._size, detail)
