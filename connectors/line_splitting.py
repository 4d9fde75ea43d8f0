"""Blocks of bytes in, whole lines out; free of any I/O. Finds lines in every encoding."""

from __future__ import annotations

import codecs
import sys

from reactive.fast_dataclasses import dataclass

_WIDE_MARKS = {
    "utf-16": ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")),
    "utf-32": ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")),
}
_NATIVE = "le" if sys.byteorder == "little" else "be"


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """How the text of one file is encoded: the codec, how it writes a newline, and how many bytes
    of byte order mark the file starts with."""

    codec: str | None
    newline: bytes
    mark: int

    @property
    def simple(self) -> bool:
        """Whether a newline byte is always a newline, wherever it stands."""
        return len(self.newline) == 1


def check_encoding(encoding: str | None, errors: str) -> str | None:
    """The codec's own name, or None for bytes; refused where the pipeline is described."""
    if encoding is None:
        return None
    try:
        codecs.lookup_error(errors)
    except LookupError as error:
        raise ValueError(
            f"errors must be 'strict', 'replace', 'ignore' or another handler of codecs.register_"
            f"error, not {errors!r}"
        ) from error
    try:
        name = codecs.lookup(encoding).name
        "\n".encode(encoding)
    except LookupError as error:
        raise ValueError(
            f"unknown text encoding {encoding!r}; use one such as 'utf-8', or None for bytes"
        ) from error
    return name


def detect_encoding(codec: str | None, head: bytes) -> TextEncoding:
    """What the first bytes of a file say about an encoding: its byte order mark, if any."""
    if codec is None:
        return TextEncoding(None, b"\n", 0)
    if codec in ("utf-8", "utf-8-sig"):
        return TextEncoding("utf-8", b"\n", 3 if head.startswith(codecs.BOM_UTF8) else 0)
    if codec in _WIDE_MARKS:
        for mark, ordered in _WIDE_MARKS[codec]:
            if head.startswith(mark):
                return TextEncoding(ordered, "\n".encode(ordered), len(mark))
        ordered = f"{codec}-{_NATIVE}"
        return TextEncoding(ordered, "\n".encode(ordered), 0)
    return TextEncoding(codec, "\n".encode(codec), 0)


def encoding_to_write(encoding: str) -> tuple[str, bytes]:
    """The codec for the parts of a file, and the byte order mark that a new file starts with."""
    name = codecs.lookup(encoding).name
    if name == "utf-8-sig":
        return "utf-8", codecs.BOM_UTF8
    if name in _WIDE_MARKS:
        mark = next(mark for mark, codec in _WIDE_MARKS[name] if codec.endswith(_NATIVE))
        return f"{name}-{_NATIVE}", mark
    return name, b""


def may_become_mark(codec: str | None, head: bytes) -> bool:
    """Whether so few bytes could still turn out to be the start of a byte order mark."""
    if codec in ("utf-8", "utf-8-sig"):
        marks = [codecs.BOM_UTF8]
    else:
        marks = [mark for mark, _ in _WIDE_MARKS.get(codec or "", ())]
    return any(len(head) < len(mark) and mark.startswith(head) for mark in marks)


def split_lines(data: bytes, newline: bytes = b"\n") -> list[bytes]:
    """The lines of `data` without their newlines; the last may lack one."""
    if len(newline) == 1:
        lines = data.split(newline)
    else:
        lines = []
        start = 0
        while (end := _find(data, newline, start)) >= 0:
            lines.append(data[start:end])
            start = end + len(newline)
        lines.append(data[start:])
    if not lines[-1]:
        lines.pop()
    return lines


def offset_after(data: bytes, count: int, newline: bytes = b"\n") -> int:
    """How many bytes the first `count` lines of `data` take, newlines included."""
    if len(newline) == 1:
        lines = data.split(newline, count)
        if len(lines) <= count:
            return len(data)
        return len(data) - len(lines[-1])
    offset = 0
    for _ in range(count):
        end = _find(data, newline, offset)
        if end < 0:
            return len(data)
        offset = end + len(newline)
    return offset


def _find(data: bytes, newline: bytes, start: int) -> int:
    """The next newline that lies on a character boundary."""
    width = len(newline)
    found = data.find(newline, start)
    while found >= 0 and found % width:
        found = data.find(newline, found + 1)
    return found


def _end_of_last(data: bytes, newline: bytes) -> int:
    """Where the last whole line ends; 0 if there is none."""
    width = len(newline)
    found = data.rfind(newline)
    while found >= 0 and found % width:
        found = data.rfind(newline, 0, found + width - 1)
    return found + width if found >= 0 else 0


class LineSplitter:
    """Cuts blocks into pieces of whole lines, whatever the blocks' boundaries.

    `offset` is the position in the file of the first byte that was not given yet, `pending` how
    many bytes are held of a line that is not complete.
    """

    def __init__(self, newline: bytes = b"\n", offset: int = 0) -> None:
        self.offset = offset
        self.pending = 0
        self._newline = newline
        self._held: list[bytes] = []
        self._dropping = False

    def feed(self, block: bytes) -> bytes:
        """Take a block; give the lines that are whole now, newlines included, or nothing."""
        if self._dropping and not (block := self._drop(block)):
            return b""
        newline = self._newline
        if len(newline) > 1 and self._held:
            block = b"".join((*self._held, block))
            self._held, self.pending = [], 0
        end = _end_of_last(block, newline)
        if not end:
            if block:
                self._held.append(block)
                self.pending += len(block)
            return b""
        if self._held or end < len(block):
            view = memoryview(block)
            data = b"".join((*self._held, view[:end]))
            rest = bytes(view[end:])
            self._held, self.pending = ([rest], len(rest)) if rest else ([], 0)
        else:
            data = block
        self.offset += len(data)
        return data

    def put_back(self, data: bytes) -> None:
        """Take back the end of what was given last, to be given again with what follows it."""
        if data:
            self.offset -= len(data)
            self.pending += len(data)
            self._held.insert(0, data)

    def drop_line(self) -> bytes:
        """Give up the line that is held, what was read of it and what still comes."""
        held = b"".join(self._held)
        self.offset += self.pending
        self._held, self.pending = [], 0
        self._dropping = True
        return held

    def _drop(self, block: bytes) -> bytes:
        """Pass over bytes up to the end of the line; give what follows it."""
        newline = self._newline
        width = len(newline)
        block = b"".join((*self._held, block))
        self._held, self.pending = [], 0
        skew = -self.offset % width
        end = _find(block[skew:] if skew else block, newline, 0)
        if end >= 0:
            end += skew + width
            self.offset += end
            self._dropping = False
            return block[end:]
        # A wide newline may lie across two blocks.
        keep = min(len(block), width - 1)
        self.offset += len(block) - keep
        if keep:
            self._held, self.pending = [block[-keep:]], keep
        return b""

    def finish(self) -> bytes:
        """The file has ended: what is left, which lacks its newline."""
        data = b"".join(self._held)
        self.offset += len(data)
        self._held, self.pending = [], 0
        return data
