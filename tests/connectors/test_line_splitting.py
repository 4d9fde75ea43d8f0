from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.line_splitting import (
    LineSplitter,
    check_encoding,
    detect_encoding,
    encoding_to_write,
    may_become_mark,
    offset_after,
    split_lines,
)

CODECS = ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "cp037", "shift_jis"]
# U+0A00 and U+000A next to each other look like newlines at odd bytes of UTF-16.
TEXTS = st.text(alphabet="ab\n\r\u0a00\u000a", max_size=60)


def blocks_of(data: bytes, sizes: list[int]) -> list[bytes]:
    blocks = []
    start = 0
    for size in [*sizes, len(data)]:
        blocks.append(data[start : start + size])
        start += size
    return blocks


@given(text=TEXTS, codec=st.sampled_from(CODECS), sizes=st.lists(st.integers(0, 9), max_size=30))
def test_any_blocks_give_the_same_whole_lines(text: str, codec: str, sizes: list[int]) -> None:
    text = text.replace("\u0a00", "a") if codec in ("cp037", "shift_jis") else text
    data = text.encode(codec)
    newline = "\n".encode(codec)
    splitter = LineSplitter(newline)
    lines: list[bytes] = []
    whole = b""
    for block in blocks_of(data, sizes):
        piece = splitter.feed(block)
        whole += piece
        assert splitter.offset == len(whole)
        assert splitter.offset + splitter.pending <= len(data)
        assert not piece or piece.decode(codec).endswith("\n")
        lines += split_lines(piece, newline)
    rest = splitter.finish()
    assert whole + rest == data
    expected = text.split("\n")
    if not expected[-1]:
        expected.pop()
    assert [line.decode(codec) for line in lines + split_lines(rest, newline)] == expected


@given(text=TEXTS, codec=st.sampled_from(CODECS[:4]), count=st.integers(0, 70))
def test_the_offset_after_some_lines(text: str, codec: str, count: int) -> None:
    kept = text.split("\n")
    head = "\n".join(kept[:count]) + ("\n" if count and count < len(kept) else "")
    newline = "\n".encode(codec)
    assert offset_after(text.encode(codec), count, newline) == len(head.encode(codec))


@given(
    before=st.integers(0, 3),
    long=st.integers(1, 20),
    after=st.integers(0, 3),
    codec=st.sampled_from(CODECS[:4]),
    size=st.integers(1, 9),
)
def test_a_line_that_is_dropped_costs_only_itself(
    before: int, long: int, after: int, codec: str, size: int
) -> None:
    newline = "\n".encode(codec)
    head = ("ab\n" * before).encode(codec)
    line = ("\u0a00" * long + "\n").encode(codec)
    tail = ("cd\n" * after + "e").encode(codec)
    splitter = LineSplitter(newline)
    given_out = splitter.feed(head + line[:1])
    assert splitter.drop_line() == line[:1]
    rest = line[1:] + tail
    for start in range(0, len(rest), size):
        given_out += splitter.feed(rest[start : start + size])
    given_out += splitter.finish()
    assert given_out == head + tail
    assert splitter.offset == len(head + line + tail)


def test_what_is_put_back_comes_again() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"one\ntwo\nthr") == b"one\ntwo\n"
    splitter.put_back(b"two\n")
    assert (splitter.offset, splitter.pending) == (4, 7)
    assert splitter.feed(b"ee\n") == b"two\nthree\n"


@pytest.mark.parametrize(
    ("codec", "mark", "found"),
    [
        ("utf-8", codecs.BOM_UTF8, "utf-8"),
        ("utf-8-sig", codecs.BOM_UTF8, "utf-8"),
        ("utf-16", codecs.BOM_UTF16_BE, "utf-16-be"),
        ("utf-16", codecs.BOM_UTF16_LE, "utf-16-le"),
        ("utf-32", codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_byte_order_marks(codec: str, mark: bytes, found: str) -> None:
    name = check_encoding(codec, "strict")
    detected = detect_encoding(name, mark + "x".encode(found))
    assert (detected.codec, detected.mark) == (found, len(mark))
    assert detect_encoding(name, b"").mark == 0
    assert may_become_mark(name, mark[:1])
    assert not may_become_mark(name, mark)
    assert not may_become_mark(name, b"x")


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_parts_written_after_a_mark_are_one_text(codec: str) -> None:
    part, mark = encoding_to_write(codec)
    assert (mark + "a".encode(part) + "b".encode(part)).decode(codec) == "ab"


def test_an_unknown_encoding_says_what_to_give() -> None:
    with pytest.raises(ValueError, match="unknown text encoding 'utf-9'; use one such as 'utf-8'"):
        check_encoding("utf-9", "strict")
    with pytest.raises(ValueError, match="errors must be 'strict', 'replace'"):
        check_encoding("utf-8", "ignroe")
