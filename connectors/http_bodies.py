"""What a client posts: its declared form, its size, and the items in it; free of any I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import orjson

from connectors.compression import Decompressor
from connectors.http_messages import content_type
from reactive.errors import DecodeError

IngestFormat: TypeAlias = Literal["json", "jsonl", "raw"]

JSON_LINES = frozenset(
    {
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
    }
)

_BLOCK = 1 << 16
_SLICE_BYTES = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Refusal(Exception):
    """A request that is not taken: the status to answer with, why, and more for the answer."""

    def __init__(
        self,
        status: int,
        why: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        **details: Any,
    ) -> None:
        super().__init__(why)
        self.status = status
        self.headers = headers
        self.details = details


def form_of(declared: str, wanted: IngestFormat) -> IngestFormat:
    """How to read a body with this Content-Type. Raises `Refusal` (415)."""
    kind, charset = content_type(declared)
    if wanted == "raw":
        return "raw"
    if charset not in (None, "utf-8", "utf8", "us-ascii"):
        raise Refusal(415, f"the charset {charset!r} is not understood; send UTF-8")
    is_json = kind == "application/json" or kind.endswith("+json")
    if wanted == "jsonl" and (is_json or kind in JSON_LINES or kind in ("", "text/plain")):
        return "jsonl"
    if wanted == "json":
        if is_json or not kind:
            return "json"
        if kind in JSON_LINES:
            return "jsonl"
    known = "application/x-ndjson"
    if wanted == "json":
        known = f"application/json or {known}"
    raise Refusal(
        415, f"a body of Content-Type {kind} is not understood; send {known}", accepted=known
    )


class Unpacker:
    """Collects a body, unpacked as it comes, and never more than `max_body` bytes of it."""

    def __init__(self, encoding: str, max_body: int) -> None:
        self._max_body = max_body
        self._body = bytearray()
        self._decompressor: Decompressor | None = None
        coding = encoding.strip().lower()
        if coding in ("gzip", "x-gzip"):
            self._decompressor = Decompressor("gzip")
        elif coding not in ("", "identity"):
            raise Refusal(
                415,
                f"the Content-Encoding {coding!r} is not understood; send gzip or none",
                headers=(("accept-encoding", "gzip"),),
            )

    def feed(self, block: bytes) -> Iterator[int]:
        """Take a block; gives, piece by piece, how many bytes of body it makes.

        Raises `Refusal`: 413 past the limit, 400 for damaged gzip.
        """
        decompressor = self._decompressor
        if decompressor is None:
            self._add(block)
            yield len(block)
            return
        try:
            decompressor.feed(block)
            while piece := decompressor.read(_BLOCK):
                self._add(piece)
                yield len(piece)
        except DecodeError as error:
            raise Refusal(400, f"the body is not gzip as it says: {error}") from error

    def _add(self, piece: bytes) -> None:
        if len(self._body) + len(piece) > self._max_body:
            raise too_large(self._max_body)
        self._body += piece

    def whole(self) -> bytes:
        """The body, once it has ended. Raises `Refusal` (400) where its gzip was cut off."""
        if self._decompressor is not None:
            try:
                self._decompressor.end()
            except DecodeError as error:
                raise Refusal(400, f"the body is not whole: {error}") from error
        return bytes(self._body)


def too_large(max_body: int) -> Refusal:
    """The answer to a body above the limit."""
    return Refusal(
        413, f"the body has more than {max_body} bytes; send less at a time", max_body=max_body
    )


def parse_document(body: bytes) -> list[Any]:
    """The items of a JSON body: those of an array, or the one value. Raises `Refusal` (400)."""
    text = body.removeprefix(_BYTE_ORDER_MARK)
    if not text.strip():
        raise Refusal(400, "the body is empty; send a JSON value, or an array of them")
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refusal(
            400,
            f"line {error.lineno}: not valid JSON, {error.msg} at column {error.colno}",
            line=error.lineno,
            column=error.colno,
        ) from error
    return document if isinstance(document, list) else [document]


def parse_lines(body: bytes) -> Iterator[list[Any]]:
    """The items of a body of JSON Lines, slice by slice, so that others get their turn between
    two. Blank lines are passed over. Raises `Refusal` (400) that names the line."""
    lines = body.removeprefix(_BYTE_ORDER_MARK).split(b"\n")
    step = max(1, len(lines) * _SLICE_BYTES // max(1, len(body)))
    for start in range(0, len(lines), step):
        items: list[Any] = []
        number = start
        try:
            for line in lines[start : start + step]:
                number += 1
                if line and not line.isspace():
                    items.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise Refusal(
                400,
                f"line {number}: not valid JSON, {error.msg} at column {error.pos + 1}",
                line=number,
                column=error.pos + 1,
            ) from error
        yield items
