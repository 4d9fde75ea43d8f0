"""Pieces of whole lines in, records out; free of any I/O. Says what is wrong with which line."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any, ClassVar, Generic, TypeVar

import orjson

from connectors.line_splitting import TextEncoding, offset_after, split_lines
from reactive.errors import DecodeError
from reactive.fast_dataclasses import dataclass

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a piece stands: its file, how many lines come before it, and its first byte."""

    path: str
    lines: int = 0
    offset: int = 0

    def line(self, number: int, offset: int) -> str:
        """How messages name a line of the piece, counted from 0, and a byte of the piece."""
        return f"{self.path}, line {self.lines + number + 1} (byte {self.offset + offset})"


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that could not be read: how many good ones of the piece come before it, how many
    lines are used up after it, what was read of it, and why it failed."""

    before: int
    lines: int
    item: Any
    error: Exception


@dataclass(slots=True)
class Parsed(Generic[T]):
    """What one piece holds.

    `ends` says after how many lines each item ends; None if every item is one line. `unused` is
    how many bytes at the end belong to a record that goes on in the next piece.
    """

    items: list[T]
    lines: int
    ends: Sequence[int] | None = None
    failures: list[Failure] = field(default_factory=list)
    unused: int = 0


class Parser(ABC, Generic[T]):
    """Reads the records of one file."""

    def __init__(self, encoding: TextEncoding) -> None:
        self.encoding = encoding

    ready = True
    """Whether records can be read from anywhere; otherwise the start has to be read first."""

    @abstractmethod
    def parse(self, data: bytes, place: Place, last: bool) -> Parsed[T]:
        """The records of a piece of whole lines; only the `last` may lack its newline."""

    def lines_offset(self, data: bytes, lines: int) -> int:
        """How many bytes of a piece its first `lines` lines take."""
        return offset_after(data, lines, self.encoding.newline)


class RecordFormat(ABC, Generic[T_co]):
    """What the records of a file are: a blueprint, from which every file gets its parser."""

    codec: str | None
    """The text encoding by its codec's name; None where bytes are read as they are."""
    piece_bytes: ClassVar[int] = 1 << 17
    """The most bytes parsed in one step, and about the most records: what takes no more than
    about half a millisecond."""
    piece_records: ClassVar[int] = 1 << 16

    @property
    @abstractmethod
    def name(self) -> str:
        """The default name of an operator that reads this."""

    @abstractmethod
    def parser(self, encoding: TextEncoding) -> Parser[T_co]:
        """A new parser for one file."""

    def details(self) -> dict[str, object]:
        """For `explain()`."""
        return {} if self.codec is None else {"encoding": self.codec}


class LineParser(Parser[T]):
    """One record a line. A piece is read at once; if that fails, again line by line."""

    def parse(self, data: bytes, place: Place, last: bool) -> Parsed[T]:
        try:
            items = self._all(data)
        except Exception:
            return self._each(data, place, [])
        return Parsed(items, len(items))

    @abstractmethod
    def _all(self, data: bytes) -> list[T]:
        """The records of all lines; raises if any line is not exactly one."""

    @abstractmethod
    def _one(self, line: bytes, ended: bool, records: list[T]) -> None:
        """Add the record of one line, if it has one. `ended` tells whether a newline followed."""

    @abstractmethod
    def _explained(self, error: Exception, line: bytes, number: int, where: _Where) -> Exception:
        """What to raise for an error in a line."""

    def _each(self, data: bytes, place: Place, items: list[T]) -> Parsed[T]:
        """Line by line, after those that gave `items`."""
        newline = self.encoding.newline
        lines = split_lines(data, newline)
        ends = list(range(1, len(items) + 1))
        failures: list[Failure] = []
        for number in range(len(items), len(lines)):
            line = lines[number]
            before = len(items)
            ended = number + 1 < len(lines) or data.endswith(newline)
            try:
                self._one(line, ended, items)
            except Exception as error:
                where = _Where(place, data, newline)
                told = self._explained(error, line, number, where)
                failures.append(Failure(before, number + 1, line, told))
            else:
                if len(items) > before:
                    ends.append(number + 1)
        return Parsed(items, len(lines), ends, failures)


@dataclass(frozen=True, slots=True)
class _Where:
    """Finds the byte of a line only when a message needs it."""

    place: Place
    data: bytes
    newline: bytes

    def line(self, number: int, within: int = 0) -> str:
        return self.place.line(number, offset_after(self.data, number, self.newline) + within)


def undecodable(error: UnicodeDecodeError, where: str) -> DecodeError:
    """An error for bytes that are not text in the encoding asked for."""
    broken = error.object[error.start : error.end]
    told = DecodeError(
        f"{where}: {bytes(broken)!r} is not {error.encoding} text ({error.reason}); give the right "
        "encoding=, or errors='replace', or on_error= to pass over such lines"
    )
    told.__cause__ = error
    return told


class BytesLines(LineParser[bytes]):
    """Lines as bytes."""

    def __init__(self, encoding: TextEncoding, keep_ends: bool) -> None:
        super().__init__(encoding)
        self._keep_ends = keep_ends

    def _all(self, data: bytes) -> list[bytes]:
        if self._keep_ends:
            return io.BytesIO(data).readlines()
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return lines

    def _one(self, line: bytes, ended: bool, records: list[bytes]) -> None:
        raise AssertionError("no line of bytes is broken")

    def _explained(self, error: Exception, line: bytes, number: int, where: _Where) -> Exception:
        return error


class TextLines(LineParser[str]):
    """Lines as text."""

    def __init__(self, encoding: TextEncoding, errors: str, keep_ends: bool) -> None:
        super().__init__(encoding)
        assert encoding.codec is not None
        self._codec = encoding.codec
        self._errors = errors
        self._keep_ends = keep_ends
        # Error handlers and the multi-byte codecs may swallow a newline, or make one up.
        self._exact = errors == "strict" or self._codec in ("utf-8", "ascii", "iso8859-1")

    def _all(self, data: bytes) -> list[str]:
        text = data.decode(self._codec, self._errors)
        if self._keep_ends:
            lines = io.StringIO(text, newline="\n").readlines()
        else:
            if "\r" in text:
                text = text.replace("\r\n", "\n")
            lines = text.split("\n")
            if not lines[-1]:
                lines.pop()
        if not self._exact and len(lines) != len(split_lines(data, self.encoding.newline)):
            raise ValueError("the lines of the text are not those of the bytes")
        return lines

    def _one(self, line: bytes, ended: bool, records: list[str]) -> None:
        text = line.decode(self._codec, self._errors)
        if ended:
            text = text + "\n" if self._keep_ends else text.removesuffix("\r")
        records.append(text)

    def _explained(self, error: Exception, line: bytes, number: int, where: _Where) -> Exception:
        if isinstance(error, UnicodeDecodeError):
            return undecodable(error, where.line(number, error.start))
        return error


class JsonLines(LineParser[T]):
    """Lines that are each one JSON value; blank lines are passed over."""

    def __init__(self, encoding: TextEncoding, parse: Callable[[bytes], T]) -> None:
        super().__init__(encoding)
        self._parse = parse

    def parse(self, data: bytes, place: Place, last: bool) -> Parsed[T]:
        items: list[T] = []
        append, parse = items.append, self._parse
        try:
            for line in split_lines(data):
                append(parse(line))
        except Exception:
            # The user's function is not called again for what it has parsed.
            return self._each(data, place, items)
        return Parsed(items, len(items))

    def _all(self, data: bytes) -> list[T]:
        raise NotImplementedError

    def _one(self, line: bytes, ended: bool, records: list[T]) -> None:
        if line and not line.isspace():
            records.append(self._parse(line))

    def _explained(self, error: Exception, line: bytes, number: int, where: _Where) -> Exception:
        if not isinstance(error, orjson.JSONDecodeError):
            error.add_note(f"while parsing {where.line(number)}: {_shown(line)}")
            return error
        within = len(error.doc[: error.pos].encode()) if isinstance(error.doc, str) else 0
        told = DecodeError(
            f"{where.line(number, within)}: not valid JSON, {error.msg} at column {error.pos + 1} "
            f"of {_shown(line)}; mend the line, or give on_error= to pass over such lines"
        )
        told.__cause__ = error
        return told


def _shown(line: bytes) -> str:
    text = line[:80].decode("utf-8", "backslashreplace")
    return repr(text) + ("..." if len(line) > 80 else "")


@dataclass(frozen=True)
class Lines(RecordFormat[Any]):
    """Lines of text, or of bytes without a codec."""

    codec: str | None
    errors: str
    keep_ends: bool

    @property
    def name(self) -> str:
        return "read_lines"

    def parser(self, encoding: TextEncoding) -> Parser[Any]:
        if encoding.codec is None:
            return BytesLines(encoding, self.keep_ends)
        return TextLines(encoding, self.errors, self.keep_ends)


@dataclass(frozen=True)
class Json(RecordFormat[T_co]):
    """One JSON value a line."""

    parse: Callable[[bytes], T_co]
    codec: str | None = "utf-8"
    piece_bytes: ClassVar[int] = 1 << 15
    piece_records: ClassVar[int] = 512

    @property
    def name(self) -> str:
        return "read_jsonl"

    def parser(self, encoding: TextEncoding) -> Parser[T_co]:
        return JsonLines(encoding, self.parse)

    def details(self) -> dict[str, object]:
        return {}
