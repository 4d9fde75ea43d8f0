"""One body, fetched once: as blocks of bytes, or as records, one a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from connectors.compression import (
    Compression,
    Decompressor,
    compression_of_magic,
    may_become_magic,
)
from connectors.http_client import BLOCK, Answer, Client, Request
from connectors.http_reading import HttpReader, HttpSource
from connectors.line_splitting import check_encoding
from connectors.record_assembly import Assembly
from connectors.record_parsing import RecordFormat
from reactive.endpoint import Reader
from reactive.errors import ConnectorError, DecodeError
from reactive.fast_dataclasses import dataclass
from reactive.policy import check_policy, describe_policy, policy_sides
from reactive.signals import Chunk

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.graph import Node

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_IN_PLACE: tuple[Compression, ...] = ("gzip", "zstd")


class Download:
    """The bytes of one body. With `unpack`, a gzip or zstd file is read as what is in it."""

    def __init__(self, client: Client, url: str, *, unpack: bool) -> None:
        self._client = client
        self._url = url
        self._answer: Answer | None = None
        self._undecided = unpack
        self._head = b""
        self._decompressor: Decompressor | None = None

    async def answer(self) -> Answer:
        """Send the request, tried again as the client's options say, unless that was done."""
        if self._answer is None:
            request = Request(self._url)
            self._answer = await self._client.retrying(lambda: self._client.begin(request))
        return self._answer

    async def read(self) -> bytes:
        """The next block; empty at the end. Cancelling loses nothing."""
        answer = await self.answer()
        if self._undecided:
            await self._decide(answer)
        decompressor = self._decompressor
        if decompressor is None:
            head, self._head = self._head, b""
            return head or await answer.read()
        try:
            while not (block := decompressor.read(BLOCK)):
                data = await answer.read()
                if not data:
                    decompressor.end()
                    return b""
                decompressor.feed(data)
        except DecodeError as error:
            if str(error).startswith(answer.name):
                raise
            raise type(error)(f"{answer.name}: {error}") from error
        return block

    async def _decide(self, answer: Answer) -> None:
        """See from the first bytes whether it is a compressed file."""
        while not self._head or may_become_magic(self._head):
            data = await answer.read()
            if not data:
                break
            self._head += data
        compression = compression_of_magic(self._head)
        if compression in _IN_PLACE:
            self._decompressor = Decompressor(compression)
            self._decompressor.feed(self._head)
            self._head = b""
        elif compression is not None:
            raise ConnectorError(
                f"{answer.name}: is a {compression} file, which takes too long to unpack on the "
                "event loop; download it and use files.read_lines, or take it as it is with "
                "get_bytes"
            )
        self._undecided = False

    def release(self) -> None:
        """Let go of the connection."""
        if self._answer is not None:
            self._answer.release()


@dataclass(frozen=True, kw_only=True)
class GetBytes(HttpSource[bytes]):
    """See `http.get_bytes`."""

    @property
    def bounded(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return "http.get_bytes"

    def reader(self, context: Context) -> Reader[bytes]:
        return BytesReader(self, context)


class BytesReader(HttpReader[bytes]):
    """Gives the blocks of a body as they come."""

    def __init__(self, source: GetBytes, context: Context) -> None:
        super().__init__(source.options, context)
        self._download = Download(self.client, source.options.url, unpack=False)

    async def read(self, limit: int) -> Chunk[bytes] | None:
        block = await self.until_stopped(self._download.read())
        return Chunk([block]) if block else None

    async def close(self) -> None:
        self._download.release()
        await super().close()


@dataclass(frozen=True, kw_only=True)
class GetRecords(HttpSource[T_co]):
    """See `http.get_lines` and `http.get_jsonl`.

    `form` is the format of the records; where the server names a charset, `form_of_codec` makes
    it.
    """

    form: RecordFormat[T_co]
    form_of_codec: Callable[[str | None], RecordFormat[T_co]] | None
    name: str
    on_error: object
    max_line_bytes: int

    def __post_init__(self) -> None:
        check_policy(self.on_error)
        if self.max_line_bytes < 1:
            raise ValueError(f"{self.name}: max_line_bytes must be at least 1")

    @property
    def bounded(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return self.name

    def details(self) -> dict[str, object]:
        return {**super().details(), **describe_policy(self.on_error)}

    def side_outputs(self) -> Sequence[Node]:
        return policy_sides(self.on_error)

    def reader(self, context: Context) -> Reader[T_co]:
        return RecordReader(self, context)


class RecordReader(HttpReader[T], Generic[T]):
    """Gives the records of a body as they come."""

    def __init__(self, source: GetRecords[T], context: Context) -> None:
        super().__init__(source.options, context)
        self._source = source
        self._context = context
        self._download = Download(self.client, source.options.url, unpack=True)
        self._assembly: Assembly[T] | None = None
        self._block = memoryview(b"")
        self._ended = False

    async def read(self, limit: int) -> Chunk[T] | None:
        while True:
            assembly = self._assembly
            if assembly is not None:
                chunk = await assembly.take(limit)
                if chunk is not None:
                    return chunk
                if self._block:
                    size = assembly.block_bytes(limit)
                    part, self._block = self._block[:size], self._block[size:]
                    assembly.feed(bytes(part))
                    continue
            if self._ended or self.stopping:
                return None
            block = await self.until_stopped(self._next_block())
            if block:
                self._block = memoryview(block)
            elif not self.stopping:
                self._ended = True
                assert self._assembly is not None
                self._assembly.finish()

    async def _next_block(self) -> bytes:
        if self._assembly is None:
            answer = await self._download.answer()
            source = self._source
            form = source.form
            if source.form_of_codec is not None and answer.charset is not None:
                form = source.form_of_codec(_codec(answer))
            assembly = Assembly(form, self._context, source.on_error, source.max_line_bytes)
            assembly.begin(answer.name)
            self._assembly = assembly
        return await self._download.read()

    async def close(self) -> None:
        self._download.release()
        await super().close()


def _codec(answer: Answer) -> str | None:
    try:
        return check_encoding(answer.charset, "strict")
    except ValueError as error:
        raise DecodeError(
            f"{answer.name}: the server names the charset {answer.charset!r}, which is unknown; "
            "give the right encoding="
        ) from error
