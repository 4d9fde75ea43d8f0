"""What the records of a journal are made of: items as bytes, and back."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import orjson

from reactive.errors import JournalError
from reactive.fast_dataclasses import dataclass
from reactive.journal_format import (
    IDLENESS,
    ITEMS,
    WATERMARK,
    Body,
    Frame,
    pack_lengths,
    pack_times,
    unpack_lengths,
    unpack_times,
    watermark_time,
)
from reactive.serializers import OTHERWISE, Serializer
from reactive.signals import IDLE, Chunk, Signal, Watermark

_BYTES, _TEXT, _JSON, _PICKLE, _OWN = 1, 2, 3, 4, 5
_LARGE: Final = 16 * 1024 * 1024
_AT_ONCE: Final = {_BYTES: 4096, _TEXT: 4096, _JSON: 256, _PICKLE: 256, _OWN: 32}
"""How many items to make bytes of before others may have the loop."""
_JSON_OPTIONS: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def _kind(item: Any) -> int:
    return _BYTES if type(item) is bytes else _TEXT if type(item) is str else _JSON


@dataclass(frozen=True)
class Records:
    """Makes frames of items, and items of frames."""

    serializer: Serializer
    largest: int = _LARGE
    """A frame of several items is split where it would have more bytes."""

    def pieces(self, chunk: Chunk[Any]) -> Iterator[tuple[Chunk[Any], Body]]:
        """A chunk as frames, piece by piece, so that others may have the loop in between. Where an
        item fails, those before it come first."""
        start = 0
        for encoding, end in self._runs(chunk.items):
            while start < end:
                stop = min(end, start + _AT_ONCE[encoding])
                piece = _part(chunk, start, stop)
                try:
                    data = self._encode(encoding, piece.items)
                except Exception:
                    # Once more one by one, up to the item that fails.
                    for at in range(start, stop):
                        single = _part(chunk, at, at + 1)
                        yield single, _body(encoding, single, self._encode(encoding, single.items))
                else:
                    yield from self._split(encoding, piece, data)
                start = stop

    def _split(
        self, encoding: int, chunk: Chunk[Any], data: bytes
    ) -> Iterator[tuple[Chunk[Any], Body]]:
        """One frame, or several where it would be large."""
        if len(data) <= self.largest or len(chunk) == 1:
            yield chunk, _body(encoding, chunk, data)
            return
        for half in chunk.split(len(chunk) // 2):
            yield from self._split(encoding, half, self._encode(encoding, half.items))

    def _runs(self, items: Sequence[Any]) -> list[tuple[int, int]]:
        """How to encode the items that follow one another, and where that ends."""
        if self.serializer != "plain":
            return [(_PICKLE if self.serializer == "pickle" else _OWN, len(items))]
        types = set(map(type, items))
        if len(types) == 1 or not types & {bytes, str}:
            return [(_kind(items[0]), len(items))]
        runs, end = [], 0
        for kind, run in groupby(items, _kind):
            end += sum(1 for _ in run)
            runs.append((kind, end))
        return runs

    def _encode(self, encoding: int, items: list[Any]) -> bytes:
        if encoding == _BYTES:
            return b"".join((pack_lengths(list(map(len, items))), *items))
        if encoding == _TEXT:
            text = "".join(items).encode("utf-8", "surrogatepass")
            return pack_lengths(list(map(len, items))) + text
        if encoding == _JSON:
            return _to_json(items)
        if encoding == _PICKLE:
            return pickle.dumps(items, 5)
        encode = self.serializer[0]
        made = [encode(item) for item in items]  # type: ignore[operator]
        for data in made:
            if not isinstance(data, bytes):
                raise TypeError(f"encode of a journal's serializer gives bytes, not {data!r}")
        return b"".join((pack_lengths(list(map(len, made))), *made))

    def signal(self, frame: Frame, skip: int = 0) -> Signal[Any]:
        """What was made into a frame, without the first `skip` items."""
        if frame.kind == WATERMARK:
            return Watermark(watermark_time(frame))
        if frame.kind == IDLENESS:
            return IDLE
        times, at = unpack_times(frame)
        chunk = Chunk(self._decode(frame, at), times)
        return chunk.split(skip)[1] if skip else chunk

    def _decode(self, frame: Frame, at: int) -> list[Any]:
        data, encoding = frame.data, frame.encoding
        if encoding == _JSON:
            items: list[Any] = orjson.loads(memoryview(data)[at:])
            return items
        if encoding == _PICKLE:
            if self.serializer != "pickle":
                raise JournalError(
                    f"record {frame.first:,} was written with pickle, which runs whatever code it "
                    'names: read the journal with serializer="pickle" if you trust who wrote it'
                )
            kept: list[Any] = pickle.loads(memoryview(data)[at:])
            return kept
        pieces, at = unpack_lengths(frame, at)
        if encoding == _TEXT:
            text = data[at:].decode("utf-8", "surrogatepass")
            return [text[start:end] for start, end in pieces]
        found = [data[at + start : at + end] for start, end in pieces]
        if encoding == _BYTES:
            return found
        if isinstance(self.serializer, str):
            raise JournalError(
                f"record {frame.first:,} was written by functions of one's own: read the journal "
                "with serializer=(encode, decode)"
            )
        return list(map(self.serializer[1], found))


def _part(chunk: Chunk[Any], start: int, end: int) -> Chunk[Any]:
    if end - start == len(chunk):
        return chunk
    times = chunk.times
    return Chunk(chunk.items[start:end], None if times is None else times[start:end])


def _body(encoding: int, chunk: Chunk[Any], data: bytes) -> Body:
    timed = chunk.times is not None
    return Body(ITEMS, encoding, timed, len(chunk), pack_times(chunk.times) + data)


def _to_json(items: list[Any]) -> bytes:
    """As JSON, if that gives the same back: what is read again after a crash must not be of
    another kind than what went through before it."""
    try:
        data = orjson.dumps(items, option=_JSON_OPTIONS)
        same = orjson.loads(data)
    except TypeError as error:
        raise TypeError(
            f"a journal cannot keep {_short(items)} as JSON: {error}; {OTHERWISE}"
        ) from None
    if same != items:
        raise TypeError(
            f"a journal would give {_short(items)} back as {_short(same)}, since it keeps it as "
            f"JSON; {OTHERWISE}"
        )
    return data


def _short(items: list[Any]) -> str:
    shown = repr(items[0] if len(items) == 1 else items)
    return shown if len(shown) <= 100 else f"{shown[:97]}..."
