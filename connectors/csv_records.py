"""CSV in pieces, by the standard library's parser; free of any I/O."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, ClassVar

from connectors.line_splitting import TextEncoding, offset_after, split_lines
from connectors.record_parsing import Failure, Parsed, Parser, Place, RecordFormat, undecodable
from reactive.errors import DecodeError
from reactive.fast_dataclasses import dataclass

Row = Any
"""A dict by column name, or a list of fields."""


@dataclass(frozen=True)
class Dialect:
    """How fields are set apart and quoted."""

    delimiter: str = ","
    quotechar: str | None = '"'
    escapechar: str | None = None
    skip_spaces: bool = False

    def __post_init__(self) -> None:
        try:
            self.reader([])
        except (TypeError, ValueError, csv.Error) as error:
            raise ValueError(
                f"this is no way to write CSV: {error} (delimiter={self.delimiter!r}, "
                f"quotechar={self.quotechar!r}, escapechar={self.escapechar!r})"
            ) from error

    def reader(self, lines: Any) -> Any:
        """The standard library's reader over an iterable of lines."""
        quoted = self.quotechar is not None
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quotechar,
            escapechar=self.escapechar,
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            skipinitialspace=self.skip_spaces,
            strict=True,
        )


@dataclass(frozen=True)
class Csv(RecordFormat[Row]):
    """Rows of CSV. `header` says whether the first row names the columns, or what their names
    are in files without one."""

    dialect: Dialect
    header: bool | tuple[str, ...]
    codec: str | None
    errors: str
    piece_bytes: ClassVar[int] = 1 << 14
    piece_records: ClassVar[int] = 256

    @property
    def name(self) -> str:
        return "read_csv"

    def parser(self, encoding: TextEncoding) -> CsvParser:
        return CsvParser(self, encoding)


class CsvParser(Parser[Row]):
    """Reads the rows of one file. A piece is read at once where every line is one row with the
    right number of fields, and row by row where not."""

    def __init__(self, blueprint: Csv, encoding: TextEncoding) -> None:
        super().__init__(encoding)
        self._dialect = blueprint.dialect
        self._errors = blueprint.errors
        self._codec = encoding.codec or "utf-8"
        header = blueprint.header
        self._columns: Sequence[str] | None = None if isinstance(header, bool) else header
        self.ready = header is not True

    def parse(self, data: bytes, place: Place, last: bool) -> Parsed[Row]:
        if self.ready:
            try:
                items = self._all(data.decode(self._codec, self._errors))
            except (UnicodeDecodeError, csv.Error, ValueError):
                pass
            else:
                return Parsed(items, len(items))
        return _Slow(self, data, place, last).parse()

    def _all(self, text: str) -> list[Row]:
        reader = self._dialect.reader(io.StringIO(text, newline="\n"))
        rows: list[list[str]] = list(reader)
        columns = self._columns
        widths = set(map(len, rows))
        if reader.line_num != len(rows) or 0 in widths:
            raise ValueError("not one row a line")
        if columns is None:
            return rows
        if widths != {len(columns)}:
            raise ValueError("not the columns of the header")
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def row(self, fields: list[str]) -> Row:
        """A row as it is given, once the columns are known."""
        columns = self._columns
        if columns is None:
            return fields
        if len(fields) != len(columns):
            raise DecodeError(
                f"has {len(fields)} fields where the header names {len(columns)} columns"
            )
        return dict(zip(columns, fields, strict=True))

    def take_header(self, fields: list[str], where: str) -> None:
        """Learn the columns' names. Raises `DecodeError` if they cannot tell the fields apart."""
        twice = next((name for name in fields if fields.count(name) > 1), None)
        if twice is not None:
            raise DecodeError(
                f"{where}: the header names the column {twice!r} twice, so one would hide the "
                "other; rename one, or give header=False for rows as lists"
            )
        self._columns = fields
        self.ready = True


class _Slow:
    """One piece, row by row: multi-line rows, the header, blank lines, and whatever is broken."""

    def __init__(self, parser: CsvParser, data: bytes, place: Place, last: bool) -> None:
        self._parser = parser
        self._data = data
        self._place = place
        self._last = last
        self._newline = parser.encoding.newline
        self._undecodable: dict[int, UnicodeDecodeError] = {}
        self._lines = self._decode()
        self._items: list[Row] = []
        self._ends: list[int] = []
        self._failures: list[Failure] = []

    def _decode(self) -> list[str]:
        parser = self._parser
        try:
            text = self._data.decode(parser._codec, parser._errors)
            lines = io.StringIO(text, newline="\n").readlines()
            raw = split_lines(self._data, self._newline)
            if len(raw) == len(lines):
                return lines
        except UnicodeDecodeError:
            raw = split_lines(self._data, self._newline)
        lines = []
        for number, line in enumerate(raw):
            try:
                text = line.decode(parser._codec, parser._errors)
            except UnicodeDecodeError as error:
                self._undecodable[number] = error
                text = line.decode(parser._codec, "replace")
            lines.append(text + "\n")
        if lines and self._last and not self._data.endswith(self._newline):
            lines[-1] = lines[-1][:-1]
        return lines

    def parse(self) -> Parsed[Row]:
        total = len(self._lines)
        base = 0
        reader = self._parser._dialect.reader(iter(self._lines))
        used = total
        while True:
            start = base + reader.line_num
            try:
                fields = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                if not self._last and base + reader.line_num >= total:
                    # The row may go on in the next piece.
                    used = start
                    break
                self._fail(start, start + 1, self._malformed(error, start, base + reader.line_num))
                # One stray quote can swallow many rows: go on with the very next line.
                base = start + 1
                reader = self._parser._dialect.reader(iter(self._lines[base:]))
                continue
            if fields:
                self._take(fields, start, base + reader.line_num)
        unused = len(self._data) - self._offset(used) if used < total else 0
        return Parsed(self._items, used, self._ends, self._failures, unused)

    def _take(self, fields: list[str], start: int, end: int) -> None:
        parser = self._parser
        if self._undecodable:
            broken = next((line for line in range(start, end) if line in self._undecodable), None)
            if broken is not None:
                error = self._undecodable[broken]
                self._fail(start, end, undecodable(error, self._where(broken, error.start)))
                return
        if not parser.ready:
            parser.take_header(fields, self._where(start))
            return
        try:
            row = parser.row(fields)
        except DecodeError as error:
            told = DecodeError(
                f"{self._where(start)}: {error}; mend the row, or give on_error= to pass over "
                "such rows"
            )
            self._fail(start, end, told)
            return
        self._items.append(row)
        self._ends.append(end)

    def _fail(self, start: int, end: int, error: Exception) -> None:
        if not self._parser.ready:
            raise error
        text = "".join(self._lines[start:end]).removesuffix("\n").removesuffix("\r")
        self._failures.append(Failure(len(self._items), end, text, error))

    def _malformed(self, error: csv.Error, start: int, end: int) -> DecodeError:
        if end >= len(self._lines) and str(error) == "unexpected end of data":
            why = "a quote is opened in this row and never closed"
        elif str(error).startswith("field larger than field limit"):
            why = (
                f"{error}: a quote that is never closed, or a field so long that "
                "csv.field_size_limit(bytes) has to be raised"
            )
        else:
            seen = "" if end == start + 1 else f", seen in line {self._place.lines + end}"
            why = f"{error}{seen}; a quote inside a quoted field has to be doubled"
        told = DecodeError(
            f"{self._where(start)}: {why}; mend the row, or give on_error= to pass over such rows"
        )
        told.__cause__ = error
        return told

    def _offset(self, lines: int) -> int:
        return offset_after(self._data, lines, self._newline)

    def _where(self, line: int, within: int = 0) -> str:
        return self._place.line(line, self._offset(line) + within)
