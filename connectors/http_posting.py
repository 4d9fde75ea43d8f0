"""Sending items to a server: batches, several requests at once, and another try where it helps."""

from __future__ import annotations

import asyncio
import secrets
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import orjson

from connectors.http_client import Answer, Client, ClientOptions, Request
from connectors.http_messages import HttpError, HttpStatusError, shown_url
from reactive.endpoint import Replayed, Sink, Writer
from reactive.errors import ConnectorError, DecodeError
from reactive.fast_dataclasses import dataclass
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

PostKey: TypeAlias = Callable[[Any], str] | Literal["epoch"] | None
KEY = "Idempotency-Key"
MAX_HELD = 64 << 20
"""The most bytes of requests that an epoch may hold."""

_IN_PLACE_BYTES = 1 << 15
_ANSWER_BYTES = 1 << 16


class Batch(NamedTuple):
    """What is sent in one request."""

    body: bytes
    items: int
    key: str | None = None


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
    key: PostKey = None

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
        if not (self.key in (None, "epoch") or callable(self.key)):
            raise ValueError(
                f"{self.label}: key must be 'epoch', a function of an item, or None, "
                f"not {self.key!r}"
            )
        if callable(self.key) and self.batch != 1:
            raise ValueError(
                f"{self.label}: with a key for every item each is a request of its own: give "
                "batch=1"
            )
        if self.key is not None and KEY.lower() in map(str.lower, self.options.headers):
            raise ValueError(f"{self.label}: give key= or the header {KEY}, one of them")

    @property
    def replayed(self) -> Replayed:
        if self.key is None:
            return "repeated"
        return "transactional" if self.key == "epoch" else "idempotent"

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
    a failure is known before the next item is taken. With `key="epoch"` in a run with checkpoints,
    it is `commit` that sends, what the checkpoint has kept.
    """

    def __init__(self, sink: Post, context: Context) -> None:
        self._sink = sink
        self._context = context
        self._client = Client(sink.options, context)
        self._sent = 0
        self._run = secrets.token_hex(8)
        self._requests = 0
        self._held: list[Batch] | None = None
        self._held_bytes = 0
        self._epoch = 0
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
        if self._held is None:
            await self._send_all(batches, len(chunk.items))
        else:
            for batch in batches:
                await self._hold(batch, self._held)

    async def _hold(self, batch: Batch, held: list[Batch]) -> None:
        body = await self._packed(batch.body)
        self._held_bytes += len(body)
        if self._held_bytes > MAX_HELD:
            raise ConnectorError(
                f"{self._sink.label}: the requests of one epoch have more than {MAX_HELD >> 20} "
                "MiB; take checkpoints more often, or send at once, with key=None or a function"
            )
        held.append(Batch(body, batch.items))

    async def recover(self, epoch: int, token: Any) -> None:
        if self._sink.key == "epoch":
            self._held = []
            await super().recover(epoch, token)

    async def prepare(self, epoch: int) -> Any:
        if self._held is None:
            return None
        held, self._held, self._held_bytes = self._held, [], 0
        # Drawn for this epoch alone: another run that comes here again has other requests.
        return {"key": secrets.token_hex(8), "requests": [(it.body, it.items) for it in held]}

    async def commit(self, epoch: int, token: Any) -> None:
        if token is not None and epoch > self._epoch:
            requests = token["requests"]
            keyed = (
                Batch(body, count, f"{token['key']}-{number}")
                for number, (body, count) in enumerate(requests)
            )
            await self._send_all(keyed, len(requests), packed=True)
            self._epoch = epoch

    async def _send_all(
        self, batches: Generator[Batch, None, None], most: int, *, packed: bool = False
    ) -> None:
        workers = min(self._sink.concurrency, most)
        if workers <= 1:
            await self._send_each(batches, packed)
            return
        tasks = [asyncio.create_task(self._send_each(batches, packed)) for _ in range(workers)]
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

    async def _send_each(self, batches: Iterator[Batch], packed: bool) -> None:
        """Take one batch after the other from what all workers share."""
        for batch in batches:
            await self._send(batch, packed)

    async def _packed(self, body: bytes) -> bytes:
        if self._sink.compression is None:
            return body
        if len(body) > _IN_PLACE_BYTES:
            return await asyncio.to_thread(_gzip, body)
        return _gzip(body)

    async def _send(self, batch: Batch, packed: bool) -> None:
        sink = self._sink
        body = batch.body if packed else await self._packed(batch.body)
        headers = self._headers if batch.key is None else {**self._headers, KEY: batch.key}
        request = Request(sink.options.url, sink.method, headers, body)

        async def attempt() -> None:
            async with self._client.ask(request) as answer:
                await _pass_over(answer)

        try:
            await self._client.retrying(attempt)
        except HttpStatusError as error:
            error.add_note(f"{batch.items} items were refused, after {self._sent} were taken")
            raise
        self._sent += batch.items
        self._context.meter.count("requests")

    def _batches(self, items: list[Any]) -> Generator[Batch, None, None]:
        """The bodies to send for these items, each with the number of items in it.

        An item that cannot be encoded raises once those before it were given.
        """
        most = self._sink.batch
        for start in range(0, len(items), most):
            parts, failure = self._encode(items[start : start + most])
            for body, count in self._bodies(parts):
                yield Batch(body, count, self._key(items[start]))
            if failure is not None:
                raise failure

    def _key(self, item: Any) -> str | None:
        """What the server is to know a request by, whose first item this is."""
        key = self._sink.key
        if key is None:
            return None
        if key == "epoch":
            self._requests += 1
            return f"{self._run}-{self._requests}"
        told: object = key(item)
        if not isinstance(told, str):
            raise TypeError(
                f"{self._sink.label}: key must give text for an item, not "
                f"{type(told).__qualname__}, which it gave for {item!r:.200}"
            )
        return told

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
