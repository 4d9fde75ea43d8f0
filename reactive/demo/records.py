"""The lines on the wire: one JSON object a flight, one line in a thousand broken on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import orjson

from reactive.demo.data import Departure

EVERY = 1000
FIRST = 500


def encode(departure: Departure) -> bytes:
    """A flight as a line, without the newline."""
    return orjson.dumps(departure._asdict(), option=orjson.OPT_UTC_Z)


def cut_short(line: bytes) -> bytes:
    return line[: len(line) // 2]


def word_for_a_number(line: bytes) -> bytes:
    head, _, _ = line.rpartition(b'"delay":')
    return head + b'"delay":"late"}'


def not_utf8(line: bytes) -> bytes:
    return line.replace(b'"carrier":"', b'"carrier":"\xff', 1)


def no_origin(line: bytes) -> bytes:
    return line.replace(b'"origin"', b'"from"', 1)


WAYS: tuple[Callable[[bytes], bytes], ...] = (cut_short, word_for_a_number, not_utf8, no_origin)


def is_broken(number: int) -> bool:
    """Whether line `number` of the replay is one of the broken ones."""
    return number % EVERY == FIRST


def lines(departures: Iterable[Departure]) -> Iterator[tuple[str, bytes]]:
    """The replay in order: the airport that tells, and its line."""
    for number, departure in enumerate(departures):
        line = encode(departure)
        if is_broken(number):
            line = WAYS[number // EVERY % len(WAYS)](line)
        yield departure.origin, line
