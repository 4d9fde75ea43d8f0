"""Sending items to a server: batches, several requests at once, and another try where it helps."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import orjson

from connectors.http_client import Answer, Client, ClientOptions, Request
from connectors.http_messages import HttpError, HttpStatusError, shown_url
from reactive.endpoint import Sink, Writer
from reactive.errors import DecodeError
from reactive.signals import Chunk
from reactive.tasks import raise_together

if TYPE_CHECKING:
    from reactive.context import Context

PostFormat: TypeAlias = Literal["jsonl", "json", "raw"]

MEDIA_TYPES: dict[PostFormat, str] = {
    "jsonl": "application/x-ndjson",
    "json": "application/json",
    "raw": "application/octet-stream",
}

_IN_PLACE_BYTES = 1 << 15
_ANSWER_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Post(Sink[Any]):
    """See `http.post`."""

    options: ClientOptions
    method: str
    format: PostFormat
    batch: int
    max_body: int
    concurrency: int
    compression: Literal["gzip"] | None
    default: Callable[[Any], Any] | None
    option: int

    def __post_init__(self) -> None:
        if self.format not in get_args(PostFormat):
            known = ", ".join(map(repr, get_args(PostFormat)))
            raise ValueError(f"{self.label}: format must be one of {known}, not {self.format!r}")
        if self.compression not in (None, "gzip"):
            raise ValueError(f"{self.label}: compression must be None or 'gzip'")
        for name in ("batch", "max_body", "concurrency"):
            if getattr(self, name) < 1:
                raise ValueError(f"{self.label}: {name} must be at least 1")
        if self.format == "jsonl" and self.option & orjson.OPT_INDENT_2:
            raise ValueError(
                f"{self.label}: OPT_INDENT_2 would spread an item over several lines; leave it out"
            )
        if self.format == "raw" and self.batch != 1:
            raise ValueError(
                f"{self.label}: with format='raw' every item is a body of its own: give batch=1"
            )

    @property
    def label(self) -> str:
        return "http.post"

    def details(self) -> dict[str, object]:
        return {
            "url": shown_url(self.options.url),
            "format": self.format,
            "batch": f"{self.batch} items, {self.max_body} bytes",
            "concurrency": self.concurrency,
        }

    def writer(self, context: Context) -> PostWriter:
        return PostWriter(self, context)


class PostWriter(Writer[Any]):
    """Sends each chunk and waits until the server has taken all of it.

    So what `write` has returned for is the server's, and nothing is in flight between two calls:
    a failure is known before the next item is taken.
    """

    def __init__(self, sink: Post, context: Context) -> None:
        self._sink = sink
        self._context = context
        self._client = Client(sink.options, context)
        self._sent = 0
        self._headers = {"Content-Type": MEDIA_TYPES[sink.format]}
        given = {name.lower() for name in sink.options.headers}
        if "content-type" in given:
            del self._headers["Content-Type"]
        if sink.compression is not None:
            self._headers["Content-Encoding"] = sink.compression

    async def open(self) -> None:
        await self._client.open()

    async def write(self, chunk: Chunk[Any]) -> None:
        batches = self._batches(chunk.items)
        workers = min(self._sink.concurrency, len(chunk.items))
        if workers <= 1:
            await self._send_all(batches)
            return
        tasks = [asyncio.create_task(self._send_all(batches)) for _ in range(workers)]
        try:
            _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            if pending:
                # What is under way may still arrive; nothing new is begun after a failure.
                batches.close()
                await asyncio.wait(pending, timeout=self._sink.options.timeout)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        raise_together([error for task in tasks if (error := _failure(task)) is not None])

    async def _send_all(self, batches: Iterator[tuple[bytes, int]]) -> None:
        """Take one batch after the other from what all workers share."""
        for body, count in batches:
            await self._send(body, count)

    async def _send(self, body: bytes, count: int) -> None:
        sink = self._sink
        if sink.compression is not None:
            if len(body) > _IN_PLACE_BYTES:
                body = await asyncio.to_thread(_gzip, body)
            else:
                body = _gzip(body)
        request = Request(sink.options.url, sink.method, self._headers, body)

        async def attempt() -> None:
            async with self._client.ask(request) as answer:
                await _pass_over(answer)

        try:
            await self._client.retrying(attempt)
        except HttpStatusError as error:
            error.add_note(f"{count} items were refused, after {self._sent} were taken")
            raise
        self._sent += count
        self._context.meter.count("requests")

    def _batches(self, items: list[Any]) -> Generator[tuple[bytes, int], None, None]:
        """The bodies to send for these items, each with the number of items in it.

        An item that cannot be encoded raises once those before it were given.
        """
        most = self._sink.batch
        for start in range(0, len(items), most):
            parts, failure = self._encode(items[start : start + most])
            yield from self._bodies(parts)
            if failure is not None:
                raise failure

    def _encode(self, items: list[Any]) -> tuple[list[bytes], Exception | None]:
        """The items as bytes, up to one that fails, and its error."""
        sink = self._sink
        parts: list[bytes] = []
        append, item = parts.append, None
        try:
            if sink.format == "raw":
                for item in items:
                    append(_as_bytes(item))
            else:
                dumps, default, option = orjson.dumps, sink.default, sink.option
                for item in items:
                    append(dumps(item, default, option))
        except Exception as error:
            error.add_note(f"{sink.label}: the item that cannot be sent is {item!r:.200}")
            return parts, error
        return parts, None

    def _bodies(self, parts: list[bytes]) -> Iterator[tuple[bytes, int]]:
        """Encoded items as bodies within the limit in bytes; one that alone is above it alone."""
        most = self._sink.max_body
        sizes = list(map(len, parts))
        if parts and sum(sizes) + len(parts) < most:
            yield self._join(parts), len(parts)
            return
        start = size = 0
        for index, part_size in enumerate(sizes):
            if index > start and size + part_size + 1 >= most:
                yield self._join(parts[start:index]), index - start
                start, size = index, 0
            size += part_size + 1
        if start < len(parts):
            yield self._join(parts[start:]), len(parts) - start

    def _join(self, parts: list[bytes]) -> bytes:
        if self._sink.format == "jsonl":
            return b"\n".join((*parts, b""))
        if self._sink.batch == 1:
            return parts[0]
        return b"[" + b",".join(parts) + b"]"

    def position(self) -> int:
        return self._sent

    async def close(self) -> None:
        await self._client.close()


def _as_bytes(item: Any) -> bytes:
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
    raise TypeError(
        f"with format='raw' an item is bytes, not {type(item).__qualname__}; encode the items "
        "first, for example .map(str.encode)"
    )


def _gzip(data: bytes) -> bytes:
    return zlib.compress(data, 6, 16 + zlib.MAX_WBITS)


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


async def _pass_over(answer: Answer) -> None:
    """Read what the server says to a success, so that the connection can be used again."""
    passed = 0
    try:
        while passed < _ANSWER_BYTES and (block := await answer.read()):
            passed += len(block)
    except (HttpError, DecodeError):
        # The status has said that the items were taken; to send them again would be wrong.
        pass
