"""Items in, the bytes of lines out; free of any I/O. Lines, JSON lines, CSV."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import orjson

from connectors.line_splitting import encoding_to_write
from connectors.record_fields import Fields
from reactive.fast_dataclasses import dataclass

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Encoder(ABC, Generic[T]):
    """Encodes the items of one run."""

    def __init__(self) -> None:
        self._count = 0

    def encode(self, items: Iterable[T], out: list[bytes]) -> None:
        """Add the bytes of each item to `out`; on an error it has those of the items before."""
        before = len(out)
        try:
            self._encode(items, out)
        except Exception as error:
            number = self._count + len(out) - before + 1
            error.add_note(f"while writing item {number}{self._advice(error)}")
            raise
        finally:
            self._count += len(out) - before

    def header(self) -> bytes:
        """What a new file starts with, as far as it is known by now."""
        return b""

    def snapshot(self) -> Any:
        """What another encoder needs to go on after what this one has encoded: picklable."""
        return self._count, None

    def restore(self, snapshot: Any) -> None:
        """Go on where another encoder was."""
        self._count, _ = snapshot

    @abstractmethod
    def _encode(self, items: Iterable[T], out: list[bytes]) -> None: ...

    def _advice(self, error: Exception) -> str:
        return ""


class RecordEncoding(ABC, Generic[T_contra]):
    """What items are written as: a blueprint, from which every run gets its encoder."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The default name of an operator that writes this."""

    @abstractmethod
    def encoder(self) -> Encoder[Any]:
        """A new encoder for one run."""


@dataclass(frozen=True)
class LineEncoding(RecordEncoding[str | bytes]):
    """Each item, followed by `end`."""

    encoding: str
    end: str

    @property
    def name(self) -> str:
        return "write_lines"

    def encoder(self) -> Encoder[str | bytes]:
        return _LineEncoder(self)


class _LineEncoder(Encoder[str | bytes]):
    def __init__(self, blueprint: LineEncoding) -> None:
        super().__init__()
        self._asked = blueprint.encoding
        self._encoding, self._mark = encoding_to_write(blueprint.encoding)
        self._end = blueprint.end
        self._end_bytes = blueprint.end.encode(self._encoding)

    def header(self) -> bytes:
        return self._mark

    def _encode(self, items: Iterable[str | bytes], out: list[bytes]) -> None:
        encoding, end, end_bytes = self._encoding, self._end, self._end_bytes
        append = out.append
        for item in items:
            if isinstance(item, str):
                append((item + end).encode(encoding))
            elif isinstance(item, (bytes, bytearray, memoryview)):
                append(bytes(item) + end_bytes)
            else:
                raise TypeError(
                    f"write_lines takes str or bytes, not {type(item).__qualname__}; map the items "
                    "first, for example .map(str), or use files.write_jsonl"
                )

    def _advice(self, error: Exception) -> str:
        if isinstance(error, UnicodeEncodeError):
            return f"; {self._asked} has no such character, encoding='utf-8' has them all"
        return ""


@dataclass(frozen=True)
class JsonEncoding(RecordEncoding[Any]):
    """Each item as JSON in a line of its own."""

    default: Callable[[Any], Any] | None
    option: int

    @property
    def name(self) -> str:
        return "write_jsonl"

    def encoder(self) -> Encoder[Any]:
        return _JsonEncoder(self)


class _JsonEncoder(Encoder[Any]):
    def __init__(self, blueprint: JsonEncoding) -> None:
        super().__init__()
        self._default = blueprint.default
        self._option = blueprint.option | orjson.OPT_APPEND_NEWLINE

    def _encode(self, items: Iterable[Any], out: list[bytes]) -> None:
        append, dumps, default, option = out.append, orjson.dumps, self._default, self._option
        for item in items:
            append(dumps(item, default, option))

    def _advice(self, error: Exception) -> str:
        return (
            "; map the items to plain values first, or give default="
            if (isinstance(error, orjson.JSONEncodeError))
            else ""
        )


@dataclass(frozen=True)
class CsvEncoding(RecordEncoding[Any]):
    """Each item as a row. Items are mappings, dataclass objects or sequences."""

    columns: tuple[str, ...] | None
    header: bool
    delimiter: str
    line_end: str
    encoding: str

    def __post_init__(self) -> None:
        try:
            self.writer([])
        except (TypeError, ValueError, csv.Error) as error:
            raise ValueError(
                f"this is no delimiter for CSV: {self.delimiter!r}, {error}"
            ) from error

    @property
    def name(self) -> str:
        return "write_csv"

    def writer(self, rows: list[str]) -> Any:
        """The standard library's writer, which appends the text of each row to `rows`."""
        return csv.writer(_Rows(rows), delimiter=self.delimiter, lineterminator=self.line_end)

    def encoder(self) -> Encoder[Any]:
        return _CsvEncoder(self)


class _Rows:
    def __init__(self, rows: list[str]) -> None:
        self.write = rows.append


class _CsvEncoder(Encoder[Any]):
    def __init__(self, blueprint: CsvEncoding) -> None:
        super().__init__()
        self._encoding, self._mark = encoding_to_write(blueprint.encoding)
        self._header = blueprint.header
        self._fields = Fields("write_csv", blueprint.columns)
        self._rows: list[str] = []
        self._write = blueprint.writer(self._rows).writerow

    def _encode(self, items: Iterable[Any], out: list[bytes]) -> None:
        rows, write, encoding = self._rows, self._write, self._encoding
        fields = self._fields.of
        for item in items:
            rows.clear()
            write(fields(item))
            out.append("".join(rows).encode(encoding))

    def header(self) -> bytes:
        columns = self._fields.columns
        if not self._header or columns is None:
            return self._mark
        self._rows.clear()
        self._write(columns)
        return self._mark + "".join(self._rows).encode(self._encoding)

    def snapshot(self) -> Any:
        return self._count, self._fields.columns

    def restore(self, snapshot: Any) -> None:
        self._count, columns = snapshot
        if self._fields.columns is None:
            self._fields.columns = columns
