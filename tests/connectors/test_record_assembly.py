from __future__ import annotations

import asyncio
import csv
import io
from typing import Any

import orjson
import pytest
from file_parts import context
from hypothesis import example, given, settings
from hypothesis import strategies as st

import reactive as rx
from connectors.csv_records import Csv, Dialect
from connectors.record_assembly import Assembly
from connectors.record_parsing import Json, Lines, RecordFormat

MAX_LINE = 1 << 17
FORMATS: dict[str, RecordFormat[Any]] = {
    "text": Lines("utf-8", "strict", False),
    "text with ends": Lines("utf-8", "strict", True),
    "bytes": Lines(None, "strict", False),
    "utf-16": Lines("utf-16", "strict", False),
    "json": Json(orjson.loads),
    "csv": Csv(Dialect(), True, "utf-8", "strict"),
    "csv lists": Csv(Dialect(), False, "utf-8", "strict"),
}


def told(item: Any, error: Exception) -> tuple[Any, str]:
    return ("broken", item if isinstance(item, str) else bytes(item), str(error))


def records(
    how: str, data: bytes, sizes: list[int], limit: int, max_line: int = MAX_LINE
) -> list[Any]:
    """What comes of a file in blocks of these sizes, failures as items."""

    async def main() -> list[Any]:
        policy = rx.replace_with(told)
        assembly = Assembly(FORMATS[how], context(), policy, max_line)
        items: list[Any] = []

        async def take() -> None:
            while (chunk := await assembly.take(limit)) is not None:
                assert 0 < len(chunk.items) <= limit
                items.extend(chunk.items)

        assembly.begin("file")
        start = 0
        for size in [*sizes, len(data)]:
            if start < len(data) and size:
                assembly.feed(data[start : start + size])
                await take()
            start += size
        assembly.finish()
        await take()
        assert assembly.offset == len(data)
        return items

    return asyncio.run(main())


RAW = st.lists(
    st.sampled_from(
        [b"a", b"1", b"\xc3\xa4", b"\xff", b"\n", b"\r\n", b"\n", b",", b'"', b'""', b" ", b"{}"]
    ),
    max_size=40,
).map(b"".join)
SIZES = st.lists(st.integers(0, 8), max_size=40)


@settings(deadline=None, max_examples=300)
@given(how=st.sampled_from(sorted(FORMATS)), data=RAW, sizes=SIZES, limit=st.integers(1, 5))
@example("csv", b'a\n1\n"\n', [3], 1)
@example("csv lists", b'x\n"a\nb"c\nd\n', [7], 5)
def test_blocks_carry_no_meaning(how: str, data: bytes, sizes: list[int], limit: int) -> None:
    if how == "csv":
        data = b"a,b\n" + data
    if how == "utf-16":
        data = data.decode("utf-8", "ignore").encode("utf-16-le") + data[:1] * (len(data) % 3 == 0)
    assert records(how, data, sizes, limit) == records(how, data, [], 100)


@settings(deadline=None)
@given(
    rows=st.lists(
        st.lists(st.text(alphabet='ab,"\n\r ä', max_size=6), min_size=2, max_size=2), max_size=12
    ),
    sizes=SIZES,
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_rows_are_those_of_the_standard_library(
    rows: list[list[str]], sizes: list[int], end: str
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([["x", "y"], *rows])
    found = records("csv", file.getvalue().encode(), sizes, 3)
    assert found == [{"x": x, "y": y} for x, y in rows]


@settings(deadline=None)
@given(
    lines=st.lists(st.tuples(st.integers(1, 300), st.sampled_from("ab")), max_size=12),
    sizes=st.lists(st.integers(0, 200), max_size=20),
)
def test_lines_that_are_too_long_cost_only_themselves(
    lines: list[tuple[int, str]], sizes: list[int]
) -> None:
    # A block never holds more than the limit, as pieces are never larger than it.
    texts = [letter * length for length, letter in lines]
    data = "".join(text + "\n" for text in texts).encode()
    found = records("text", data, [*(min(size, 40) for size in sizes), *[40] * len(data)], 4, 100)
    kept = [item for item in found if isinstance(item, str)]
    numbers = [
        int(item[2].partition("line ")[2].partition(" ")[0])
        for item in found
        if not isinstance(item, str)
    ]
    assert kept == [text for number, text in enumerate(texts, 1) if number not in numbers]
    assert all(len(texts[number - 1]) > 60 for number in numbers)
    assert all(len(text) <= 140 for text in kept)


@pytest.mark.parametrize("how", ["text", "bytes", "json", "csv", "csv lists"])
def test_nothing_gives_nothing(how: str) -> None:
    assert records(how, b"", [], 10) == []
    assert records(how, b"\xef\xbb\xbf" if how != "bytes" else b"", [1, 1], 10) == []
