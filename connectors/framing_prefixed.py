"""Frames that say their length first."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from struct import Struct
from typing import Literal, TypeAlias

from connectors.framing_base import Decoder, Framing
from reactive.errors import DecodeError, FrameTooLongError
from reactive.fast_dataclasses import dataclass

ByteOrder: TypeAlias = Literal["big", "little"]

_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_VARINT_BYTES = 10
_MOST_DIGITS = 19
_ZERO, _NINE = b"09"


class PrefixedDecoder(Decoder):
    """Reads headers and cuts what they announce. Holds one incomplete frame, and nothing of a
    frame that is dropped."""

    __slots__ = ("_buffer", "_discard", "_dropped_from", "_fed", "_need", "_trailer_due")

    trailer = b""

    def __init__(self, framing: Framing) -> None:
        super().__init__(framing)
        self._buffer = bytearray()
        self._need = 1
        self._discard = 0
        self._dropped_from = 0
        self._trailer_due = False
        self._fed = 0

    @property
    def pending(self) -> int:
        return len(self._buffer)

    @abstractmethod
    def _header(self, data: bytes, at: int) -> tuple[int, int, int] | None:
        """Where the frame at `at` begins and ends and where the next one begins, which may all
        lie past what has come; None if that cannot be told yet."""

    def _scan(self, data: bytes, frames: list[bytes]) -> None:
        self._fed += len(data)
        if self._discard:
            dropped = min(self._discard, len(data))
            self._discard -= dropped
            data = data[dropped:]
        buffer = self._buffer
        if len(buffer) + len(data) < self._need:
            buffer += data
            return
        if buffer:
            data = b"".join((buffer, data))
            buffer.clear()
        buffer += data[self._parse(data, frames) :]

    def _parse(self, data: bytes, frames: list[bytes]) -> int:
        """Cut what is complete; returns where the incomplete frame begins. `_need` is then how
        many bytes it takes, from there, before there is any more to do."""
        size, base = len(data), self._fed - len(data)
        header_at, longest, trailer = self._header, self.max_frame, self.trailer
        at = 0
        while True:
            if self._trailer_due:
                if at == size:
                    self._need = 1
                    return at
                self._check_trailer(data, at, base)
                self._trailer_due = False
                at += 1
            try:
                header = header_at(data, at)
            except DecodeError as error:
                raise type(error)(f"{self._which(frames, base + at)}: {error}") from None
            if header is None:
                self._need = size - at + 1
                return at
            begin, finish, following = header
            if finish - begin > longest:
                following = self._drop(data, at, header, base, frames)
                if following < 0:
                    return at
            elif following > size:
                self._need = following - at
                return at
            else:
                if trailer:
                    self._check_trailer(data, finish, base)
                frames.append(data[begin:finish])
            at = following

    def _drop(
        self, data: bytes, at: int, header: tuple[int, int, int], base: int, frames: list[bytes]
    ) -> int:
        """Apply the policy to a frame above the limit; returns where to go on, or -1 if its
        first `max_frame` bytes are wanted and have yet to come."""
        begin, finish, following = header
        if self.oversize == "fail":
            raise self._too_long(frames, base + at, self._announced(data, at, finish - begin))
        if self.oversize == "truncate":
            if len(data) - begin < self.max_frame:
                self._need = begin - at + self.max_frame
                return -1
            self.truncated += 1
            frames.append(data[begin : begin + self.max_frame])
        else:
            self.skipped += 1
        self._dropped_from = base + at
        self._need = 1
        if self.trailer:
            self._trailer_due = True
            following = finish
        self._discard = max(0, following - len(data))
        return min(following, len(data))

    def _announced(self, data: bytes, at: int, length: int) -> int | None:
        """The length that the sender announced for the frame at `at`, for messages."""
        return length

    def _check_trailer(self, data: bytes, at: int, base: int) -> None:
        if data[at : at + 1] != self.trailer:
            raise DecodeError(
                f"byte {base + at} is {data[at : at + 1]!r} where {self.trailer!r} must end a frame"
            )

    def _finish(self, frames: list[bytes]) -> None:
        if self._discard or self._trailer_due:
            missing = self._discard + self._trailer_due
            raise self._torn(self._dropped_from, f"{missing} bytes are missing")
        if held := self.pending:
            raise self._torn(self._fed - held, f"only {held} bytes of it came")


@dataclass(frozen=True)
class LengthPrefixed(Framing):
    """Frames after an unsigned integer of `width` bytes."""

    width: int = 4
    byteorder: ByteOrder = "big"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width not in _FORMATS:
            raise ValueError(f"the length has 1, 2, 4 or 8 bytes, or is 'varint', not {self.width}")
        if self.byteorder not in ("big", "little"):
            raise ValueError(f"byteorder must be 'big' or 'little', not {self.byteorder!r}")

    @property
    def name(self) -> str:
        return f"length prefixed, {8 * self.width} bits {self.byteorder} endian"

    @property
    def header(self) -> Struct:
        """The form of the length."""
        return Struct((">" if self.byteorder == "big" else "<") + _FORMATS[self.width])

    def decoder(self) -> LengthPrefixedDecoder:
        return LengthPrefixedDecoder(self)

    def _encode(self, items: Sequence[bytes]) -> bytes:
        most = (1 << 8 * self.width) - 1
        pack = self.header.pack
        pieces: list[bytes] = []
        for item in items:
            if len(item) > most:
                raise FrameTooLongError(
                    f"an item of {len(item)} bytes does not fit a length of {self.width} bytes "
                    f"(at most {most}); use a wider length"
                )
            pieces.append(pack(len(item)))
            pieces.append(item)
        return b"".join(pieces)


class LengthPrefixedDecoder(PrefixedDecoder):
    """Lengths of a fixed width."""

    __slots__ = ("_unpack", "_width")

    def __init__(self, framing: LengthPrefixed) -> None:
        super().__init__(framing)
        self._unpack = framing.header.unpack_from
        self._width = framing.width

    def _header(self, data: bytes, at: int) -> tuple[int, int, int] | None:
        begin = at + self._width
        if begin > len(data):
            return None
        finish = begin + self._unpack(data, at)[0]
        return begin, finish, finish

    def _parse(self, data: bytes, frames: list[bytes]) -> int:
        unpack, width, longest = self._unpack, self._width, self.max_frame
        size = len(data)
        base = self._fed - size
        at = 0
        # The general loop, with the header read in place: this one is paid for every frame.
        while (begin := at + width) <= size:
            length = unpack(data, at)[0]
            finish = begin + length
            if length > longest:
                finish = self._drop(data, at, (begin, finish, finish), base, frames)
                if finish < 0:
                    return at
            elif finish > size:
                self._need = finish - at
                return at
            else:
                frames.append(data[begin:finish])
            at = finish
        self._need = width
        return at


@dataclass(frozen=True)
class VarintPrefixed(Framing):
    """Frames after an unsigned LEB128 integer, as Protocol Buffers delimit messages."""

    @property
    def name(self) -> str:
        return "varint prefixed"

    def decoder(self) -> VarintPrefixedDecoder:
        return VarintPrefixedDecoder(self)

    def _encode(self, items: Sequence[bytes]) -> bytes:
        pieces: list[bytes] = []
        for item in items:
            pieces.append(_varint(len(item)))
            pieces.append(item)
        return b"".join(pieces)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


class VarintPrefixedDecoder(PrefixedDecoder):
    """Lengths in base 128, lowest group first."""

    __slots__ = ()

    def _header(self, data: bytes, at: int) -> tuple[int, int, int] | None:
        if at < len(data) and (byte := data[at]) < 0x80:
            return at + 1, at + 1 + byte, at + 1 + byte
        length = shift = 0
        for position in range(at, min(at + _VARINT_BYTES, len(data))):
            byte = data[position]
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                if length >> 64:
                    raise DecodeError("its varint length is above 64 bits")
                finish = position + 1 + length
                return position + 1, finish, finish
            shift += 7
        if len(data) - at >= _VARINT_BYTES:
            raise DecodeError(f"its varint length does not end within {_VARINT_BYTES} bytes")
        return None


class _DecimalDecoder(PrefixedDecoder):
    """A decimal length, then a separator."""

    __slots__ = ()

    separator = b":"
    zero = True

    def _header(self, data: bytes, at: int) -> tuple[int, int, int] | None:
        separator = data.find(self.separator, at, at + _MOST_DIGITS + 1)
        digits = data[at:separator] if separator >= 0 else data[at : at + _MOST_DIGITS + 1]
        if separator < 0 or not digits.isdigit() or digits[0] == _ZERO:
            self._check_digits(digits, complete=separator >= 0)
            if separator < 0:
                return None
        finish = separator + 1 + int(digits)
        return separator + 1, finish, finish + len(self.trailer)

    def _check_digits(self, digits: bytes, complete: bool) -> None:
        # Byte by byte, so that the verdict does not depend on how many have come.
        for index, digit in enumerate(digits):
            if not _ZERO <= digit <= _NINE:
                wrong = digits[index : index + 1]
                raise DecodeError(f"{wrong!r} is no part of a decimal length")
            if index == _MOST_DIGITS:
                raise DecodeError(f"its decimal length has more than {_MOST_DIGITS} digits")
            if digits[0] == _ZERO and (index or not self.zero):
                raise DecodeError("its decimal length starts with a zero")
        if complete and not digits:
            raise DecodeError(f"it has no decimal length before {self.separator!r}")


@dataclass(frozen=True)
class Netstring(Framing):
    """`5:hello,`"""

    @property
    def name(self) -> str:
        return "netstring"

    def decoder(self) -> NetstringDecoder:
        return NetstringDecoder(self)

    def _encode(self, items: Sequence[bytes]) -> bytes:
        return b"".join([b"%d:%b," % (len(item), item) for item in items])


class NetstringDecoder(_DecimalDecoder):
    """Decimal length, colon, frame, comma."""

    __slots__ = ()

    trailer = b","


@dataclass(frozen=True)
class OctetCounted(Framing):
    """`5 hello`, as syslog over TCP sends messages."""

    non_transparent: bool = False

    @property
    def name(self) -> str:
        return "octet counted, or lines" if self.non_transparent else "octet counted"

    def decoder(self) -> OctetCountedDecoder:
        return OctetCountedDecoder(self)

    def _encode(self, items: Sequence[bytes]) -> bytes:
        if b"" in items:
            raise ValueError("an octet-counted message has at least one byte, not none")
        return b"".join([b"%d %b" % (len(item), item) for item in items])


class OctetCountedDecoder(_DecimalDecoder):
    """Decimal length, space, message; or, where allowed, a `<...` message up to a line feed."""

    __slots__ = ("_discarding_line", "_in_line", "_non_transparent")

    separator = b" "
    zero = False

    def __init__(self, framing: OctetCounted) -> None:
        super().__init__(framing)
        self._non_transparent = framing.non_transparent
        self._in_line = False
        self._discarding_line = False

    def _scan(self, data: bytes, frames: list[bytes]) -> None:
        if self._discarding_line:
            newline = data.find(b"\n")
            dropped = len(data) if newline < 0 else newline + 1
            self._discarding_line = newline < 0
            self._fed += dropped
            data = data[dropped:]
        elif self._in_line and b"\n" not in data and self.pending + len(data) <= self.max_frame:
            self._fed += len(data)
            self._buffer += data
            return
        super()._scan(data, frames)

    def _header(self, data: bytes, at: int) -> tuple[int, int, int] | None:
        if not self._non_transparent or data[at : at + 1] != b"<":
            return super()._header(data, at)
        newline = data.find(b"\n", at)
        self._in_line = newline < 0
        if newline >= 0:
            return at, newline, newline + 1
        if len(data) - at <= self.max_frame:
            return None
        self._in_line = False
        self._discarding_line = True
        return at, len(data), len(data)

    def _announced(self, data: bytes, at: int, length: int) -> int | None:
        return None if data[at : at + 1] == b"<" else length

    def _finish(self, frames: list[bytes]) -> None:
        if self._discarding_line:
            raise self._torn(self._dropped_from, "its line feed is missing")
        super()._finish(frames)
