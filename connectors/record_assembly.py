"""From the blocks of a file to its records: splitting, parsing, and the order of delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from connectors.line_splitting import LineSplitter, detect_encoding, may_become_mark
from connectors.record_delivery import Delivery
from connectors.record_parsing import Failure, Parsed, Parser, Place, RecordFormat
from reactive.errors import FrameTooLongError
from reactive.signals import Chunk

if TYPE_CHECKING:
    from reactive.context import Context

T = TypeVar("T")

FIRST_PIECE_BYTES = 1 << 14
LEAST_PIECE_BYTES = 1 << 12
MOST_BLOCK_BYTES = 1 << 22
LEAST_LINE_LIMIT = 1 << 17


class Assembly(Generic[T]):
    """Turns the blocks of one file after another into records to be taken in chunks.

    Feed it only when nothing is left to take: then one piece is held at a time, and `offset` and
    `line` say exactly where the records that were taken end.
    """

    def __init__(
        self, blueprint: RecordFormat[T], context: Context, on_error: object, max_line_bytes: int
    ) -> None:
        self._blueprint = blueprint
        self._max_line_bytes = max_line_bytes
        self._delivery: Delivery[T] = Delivery(context, on_error)
        self._path = ""
        self._lines = 0
        self._first = b""
        self._start = 0
        self._parser: Parser[T] | None = None
        self._splitter = LineSplitter()
        self._line_bytes = 0.0
        self.newline = b"\n"

    @property
    def path(self) -> str:
        """The file being read."""
        return self._path

    @property
    def offset(self) -> int:
        """The byte of the file where the records that were taken end."""
        return self._delivery.offset

    @property
    def line(self) -> int:
        """How many lines of the file those records take."""
        return self._delivery.line

    @property
    def begun(self) -> bool:
        """Whether enough of the file was read to go on with it from anywhere."""
        return self._parser is not None and self._parser.ready

    def block_bytes(self, limit: int) -> int:
        """How much to read next, so that a piece gives about one chunk of `limit` records and
        never keeps the event loop long."""
        most = self._blueprint.piece_bytes
        limit = min(limit, self._blueprint.piece_records)
        if not self._line_bytes:
            return min(FIRST_PIECE_BYTES, most)
        size = min(most, max(LEAST_PIECE_BYTES, int(self._line_bytes * limit * 0.95)))
        # What is held is parsed again with every block, so blocks grow with it.
        return max(size, min(self._splitter.pending, MOST_BLOCK_BYTES))

    def begin(self, path: str, offset: int = 0, line: int = 0) -> None:
        """Start with a file, from where it starts or, with what it has learned of it, elsewhere."""
        if path != self._path or not offset:
            self._parser = None
        self._path = path
        self._lines = line
        self._start = offset
        self._first = b""
        self.newline = b"\n" if self._parser is None else self._parser.encoding.newline
        self._splitter = LineSplitter(self.newline, offset)
        self._delivery.add(self._parser, Parsed([], 0), b"", Place(path, line, offset))

    def feed(self, block: bytes) -> None:
        """Take the next block of the file."""
        parser = self._parser
        if parser is None:
            self._first += block
            if may_become_mark(self._blueprint.codec, self._first):
                return
            parser, block = self._learn()
        data = self._splitter.feed(block)
        if data:
            self._parse(parser, data, last=False)
        elif self._splitter.pending > self._max_line_bytes:
            self._give_up_line(parser)

    def finish(self) -> None:
        """The file has ended: what is left is its last line."""
        parser = self._parser
        if parser is None:
            parser, block = self._learn()
            self._splitter.feed(block)
        if data := self._splitter.finish():
            self._parse(parser, data, last=True)
        else:
            end = Place(self._path, self._lines, self._splitter.offset)
            self._delivery.add(parser, Parsed([], 0), b"", end)

    def _learn(self) -> tuple[Parser[T], bytes]:
        """See from its first bytes how the file is encoded."""
        encoding = detect_encoding(self._blueprint.codec, self._first)
        parser = self._parser = self._blueprint.parser(encoding)
        self.newline = encoding.newline
        self._splitter = LineSplitter(encoding.newline, self._start + encoding.mark)
        first, self._first = self._first, b""
        return parser, first[encoding.mark :]

    def _parse(self, parser: Parser[T], data: bytes, last: bool) -> None:
        place = Place(self._path, self._lines, self._splitter.offset - len(data))
        parsed = parser.parse(data, place, last)
        if parsed.unused:
            self._splitter.put_back(data[len(data) - parsed.unused :])
            if not parsed.lines and self._splitter.pending > self._max_line_bytes:
                self._give_up_line(parser)
                return
        self._lines += parsed.lines
        self._line_bytes = (len(data) - parsed.unused) / max(1, len(parsed.items))
        self._delivery.add(parser, parsed, data, place)

    def _give_up_line(self, parser: Parser[T]) -> None:
        place = Place(self._path, self._lines, self._splitter.offset)
        error = FrameTooLongError(
            f"{place.line(0, 0)}: is longer than max_line_bytes={self._max_line_bytes}; raise it, "
            "or give on_error= to pass over such lines"
        )
        held = self._splitter.drop_line()
        # The line is not over, so a position that lies here still comes before it.
        parsed: Parsed[T] = Parsed([], 0, None, [Failure(0, 0, held, error)])
        self._delivery.add(parser, parsed, b"", place)
        self._lines += 1

    async def take(self, limit: int) -> Chunk[T] | None:
        """Up to `limit` records that are ready; None when more has to be fed first."""
        return await self._delivery.take(limit)
