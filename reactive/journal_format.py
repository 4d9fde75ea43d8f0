"""The bytes of a journal: headers of segments, and frames, packed and parsed without I/O.

A journal is a folder of segments, each named by the offset of its first record. A segment is a
header and then frames; a frame is what came at once: a few records of one kind, with one checksum.
All numbers are little-endian.

Every frame says up to which byte its segment was known to be on the disk when it was written. So
what a crash has torn can be told from damage: no later frame vouches for what was never synced.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from mmap import mmap
from typing import Final, NamedTuple, TypeAlias

from reactive.errors import JournalError

ITEMS: Final = 0
WATERMARK: Final = 1
IDLENESS: Final = 2
MARK: Final = 3
"""No record: it only says what is on the disk."""

_MAGIC: Final = b"RXJOURNL"
_VERSION: Final = 1
_SEGMENT: Final = struct.Struct("<8sHxx16sQI")
SEGMENT_HEADER: Final = _SEGMENT.size

_FRAME_MAGIC: Final = b"\xf7RxF"
_FRAME: Final = struct.Struct("<4sIIIQQBBBx")
_CHECKED: Final = struct.Struct("<IIQQBBBx")
FRAME_HEADER: Final = _FRAME.size
_UNCHECKED: Final = FRAME_HEADER - _CHECKED.size

LARGEST_BODY: Final = 2**32 - 1
_TIME: Final = struct.Struct("<q")

Bytes: TypeAlias = bytes | mmap


class Body(NamedTuple):
    """A frame that has not been given its place yet."""

    kind: int
    encoding: int
    timed: bool
    records: int
    data: bytes


class Frame(NamedTuple):
    """A frame as it was read, and how many bytes of its segment it takes."""

    kind: int
    encoding: int
    timed: bool
    first: int
    records: int
    synced: int
    data: bytes
    size: int


class Damaged(Exception):
    """Bytes that are no frame, and why."""


def pack_segment(journal: bytes, first: int) -> bytes:
    """The header of a segment: which journal it is of, and the offset of its first record."""
    plain = _SEGMENT.pack(_MAGIC, _VERSION, journal, first, 0)[:-4]
    return plain + zlib.crc32(plain).to_bytes(4, "little")


def parse_segment(data: bytes, file: str) -> tuple[bytes, int]:
    """The journal and the first offset that the header of a segment says."""
    if len(data) < SEGMENT_HEADER or not data.startswith(_MAGIC):
        raise JournalError(f"{file}: byte 0: this is not a segment of a journal")
    _, version, journal, first, checksum = _SEGMENT.unpack_from(data)
    if zlib.crc32(data[: SEGMENT_HEADER - 4]) != checksum:
        raise JournalError(f"{file}: byte 0: the header is damaged: its checksum does not fit")
    if version != _VERSION:
        raise JournalError(
            f"{file}: written in version {version} of the format, and this release reads version "
            f"{_VERSION}; read it with the release that wrote it"
        )
    return journal, first


def pack_frame(body: Body, first: int, synced: int) -> bytes:
    """The header of a frame, to stand before its data."""
    kind, encoding, timed, records, data = body
    checked = _CHECKED.pack(len(data), records, first, synced, kind, encoding, timed)
    checksum = zlib.crc32(data, zlib.crc32(checked))
    return _FRAME_MAGIC + checksum.to_bytes(4, "little") + checked


def frame_size(body: Body) -> int:
    """How many bytes it takes with its header."""
    return FRAME_HEADER + len(body.data)


def needed(data: Bytes, at: int) -> int:
    """How many bytes the frame that begins at `at` takes, by what of it there is."""
    if len(data) - at < FRAME_HEADER:
        return FRAME_HEADER
    return FRAME_HEADER + int.from_bytes(data[at + 8 : at + 12], "little")


def parse_frame(data: Bytes, at: int, expected: int | None) -> Frame | None:
    """The frame that begins at `at`; None if it is not all there. `Damaged` if it is none, or
    does not begin with the record `expected`."""
    if len(data) - at < FRAME_HEADER:
        if data[at : at + 4] != _FRAME_MAGIC[: len(data) - at]:
            raise Damaged("no frame begins there")
        return None
    head = _FRAME.unpack_from(data, at)
    magic, checksum, length, records, first, synced, kind, encoding, timed = head
    if magic != _FRAME_MAGIC:
        raise Damaged("no frame begins there")
    start, end = at + FRAME_HEADER, at + FRAME_HEADER + length
    if end > len(data):
        return None
    body = data[start:end]
    if zlib.crc32(body, zlib.crc32(data[at + _UNCHECKED : start])) != checksum:
        raise Damaged("the checksum of a frame does not fit")
    if expected is not None and first != expected:
        raise Damaged(f"a frame begins with record {first:,}, and {expected:,} comes next")
    return Frame(kind, encoding, bool(timed), first, records, synced, body, end - at)


def vouched(data: Bytes, at: int) -> bool:
    """Whether a frame behind byte `at` says that this byte was on the disk when it was written:
    then it was not torn by a crash, it is damaged."""
    found = at
    while (found := data.find(_FRAME_MAGIC, found + 1)) >= 0:
        try:
            frame = parse_frame(data, found, None)
        except Damaged:
            continue
        if frame is not None and frame.synced > at:
            return True
    return False


def scan(data: Bytes, first: int) -> Iterator[tuple[int, Frame]]:
    """The frames of a segment, each with where it ends; up to the first that is not whole."""
    at = SEGMENT_HEADER
    while at < len(data):
        try:
            frame = parse_frame(data, at, first)
        except Damaged:
            return
        if frame is None:
            return
        at += frame.size
        first += frame.records
        yield at, frame


def pack_times(times: Sequence[int] | None) -> bytes:
    """What stands before all else in a frame of items that have times."""
    return b"" if times is None else struct.pack(f"<{len(times)}q", *times)


def unpack_times(frame: Frame) -> tuple[list[int] | None, int]:
    """The times of a frame's records, and where in its data they end."""
    if not frame.timed:
        return None, 0
    return list(struct.unpack_from(f"<{frame.records}q", frame.data)), 8 * frame.records


def pack_lengths(lengths: Sequence[int]) -> bytes:
    """What stands before records that are told apart by their lengths."""
    return struct.pack(f"<{len(lengths)}I", *lengths)


def unpack_lengths(frame: Frame, at: int) -> tuple[list[tuple[int, int]], int]:
    """Where each record begins and ends in what follows the lengths, and where that begins."""
    lengths = struct.unpack_from(f"<{frame.records}I", frame.data, at)
    return list(pairwise(accumulate(lengths, initial=0))), at + 4 * frame.records


def watermark_body(time: int) -> Body:
    """A watermark as a record."""
    return Body(WATERMARK, 0, False, 1, _TIME.pack(time))


def watermark_time(frame: Frame) -> int:
    """The time of a watermark that was a record."""
    time: int = _TIME.unpack(frame.data)[0]
    return time


IDLE_BODY: Final = Body(IDLENESS, 0, False, 1, b"")
MARK_BODY: Final = Body(MARK, 0, False, 0, b"")
