"""How a stream of bytes is cut into frames: lines, delimiters, length prefixes, netstrings,
syslog's octet counts, fixed sizes.

Free of any I/O: a framing is a blueprint that a connector takes as a parameter. Each connection
gets a decoder of its own.

```python
decoder = framing.lines().decoder()
decoder.feed(b"one\\ntw")  # [b"one"]
decoder.feed(b"o\\n")  # [b"two"]
decoder.end()  # [], or TruncatedError inside a line
```

Parameters that all framings share, except `fixed_size`:

`max_frame`: the most bytes of one frame, without its delimiter or length (default 1 MiB). Memory
for an incomplete frame is bounded by it, whatever a peer announces.
`oversize`: what happens to a longer frame: `"fail"` (default) ends the connection with
`FrameTooLongError`, `"skip"` drops the frame, `"truncate"` gives its first `max_frame` bytes.
The last two find the next frame and go on; connectors count them as `frames_skipped` and
`frames_truncated`.
"""

from __future__ import annotations

from typing import Literal

from connectors.framing_base import MAX_FRAME, Decoder, Framing, Oversize
from connectors.framing_delimited import Delimited, FixedSize, Unterminated
from connectors.framing_prefixed import (
    ByteOrder,
    LengthPrefixed,
    Netstring,
    OctetCounted,
    VarintPrefixed,
)

__all__ = [
    "Decoder",
    "Framing",
    "delimiter",
    "fixed_size",
    "length_prefixed",
    "lines",
    "netstring",
    "octet_counted",
    "varint_prefixed",
]


def lines(
    *,
    max_frame: int = MAX_FRAME,
    oversize: Oversize = "fail",
    unterminated: Unterminated = "fail",
) -> Framing:
    """Lines that end with a line feed, or with carriage return and line feed; neither is part of
    the frame. Empty lines are frames.

    `unterminated` is what a last line without its line feed is when the peer closes: `"fail"`
    (default) counts it as torn (`TruncatedError`), since a peer that was killed leaves the same
    bytes; `"emit"` gives it.
    """
    return Delimited(max_frame, oversize, b"\n", True, unterminated)


def delimiter(
    end: bytes,
    *,
    max_frame: int = MAX_FRAME,
    oversize: Oversize = "fail",
    unterminated: Unterminated = "fail",
) -> Framing:
    """Frames that each end with `end`, one byte or several, which is not part of the frame.
    `unterminated` as in `lines`."""
    return Delimited(max_frame, oversize, bytes(end), False, unterminated)


def length_prefixed(
    width: Literal[1, 2, 4, 8, "varint"] = 4,
    *,
    byteorder: ByteOrder = "big",
    max_frame: int = MAX_FRAME,
    oversize: Oversize = "fail",
) -> Framing:
    """Frames after their length, an unsigned integer of `width` bytes that does not count
    itself."""
    if width == "varint":
        return VarintPrefixed(max_frame, oversize)
    return LengthPrefixed(max_frame, oversize, width, byteorder)


def varint_prefixed(*, max_frame: int = MAX_FRAME, oversize: Oversize = "fail") -> Framing:
    """Frames after their length as an unsigned LEB128 integer, as Protocol Buffers delimit
    messages. A length that does not end within 10 bytes or passes 64 bits is a `DecodeError`."""
    return VarintPrefixed(max_frame, oversize)


def netstring(*, max_frame: int = MAX_FRAME, oversize: Oversize = "fail") -> Framing:
    """Netstrings: `5:hello,`. What is not one is a `DecodeError`."""
    return Netstring(max_frame, oversize)


def octet_counted(
    *,
    non_transparent: bool = False,
    max_frame: int = MAX_FRAME,
    oversize: Oversize = "fail",
) -> Framing:
    """Syslog over TCP (RFC 6587): `5 hello`, a decimal length, a space, the message.

    With `non_transparent`, a message that begins with `<`, as every syslog message does, instead
    of a digit goes up to the next line feed; senders of either kind, and of both, are understood.
    The price: after a sender's wrong length, a `<` in the wrong place is taken for a message
    where the strict form gives a `DecodeError`.
    """
    return OctetCounted(max_frame, oversize, non_transparent)


def fixed_size(size: int) -> Framing:
    """Frames of exactly `size` bytes, with nothing between them."""
    return FixedSize(max(size, 1), "fail", size)
