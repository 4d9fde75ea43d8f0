"""What is read out of posted bodies, without a network."""

import gzip
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.http_bodies import (
    IngestFormat,
    Refusal,
    Unpacker,
    form_of,
    parse_document,
    parse_lines,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def unpack(blocks: list[bytes], encoding: str = "", max_body: int = 1000) -> bytes:
    unpacker = Unpacker(encoding, max_body)
    counted = sum(sum(unpacker.feed(block)) for block in blocks)
    body = unpacker.whole()
    assert counted == len(body)
    return body


def refusal(call: Any, *arguments: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        result = call(*arguments)
        if not isinstance(result, (bytes, str)):
            list(result)
    return caught.value


@pytest.mark.parametrize(
    ("declared", "wanted", "form"),
    [
        ("application/json", "json", "json"),
        ("Application/JSON; charset=UTF-8", "json", "json"),
        ("application/vnd.api+json", "json", "json"),
        ("", "json", "json"),
        ("application/x-ndjson", "json", "jsonl"),
        ("application/jsonl; charset=utf-8", "json", "jsonl"),
        ("application/json", "jsonl", "jsonl"),
        ("text/plain", "jsonl", "jsonl"),
        ("", "jsonl", "jsonl"),
        ("image/png", "raw", "raw"),
        ("", "raw", "raw"),
        ("text/plain; charset=latin-1", "raw", "raw"),
    ],
)
def test_forms(declared: str, wanted: IngestFormat, form: str) -> None:
    assert form_of(declared, wanted) == form


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [
        ("text/plain", "json"),
        ("application/x-www-form-urlencoded", "json"),
        ("application/x-www-form-urlencoded", "jsonl"),
        ("application/json; charset=latin-1", "json"),
        ("text/plain; charset=utf-16", "jsonl"),
    ],
)
def test_forms_that_are_refused(declared: str, wanted: IngestFormat) -> None:
    refused = refusal(form_of, declared, wanted)
    assert refused.status == 415
    assert "send" in str(refused)


@given(st.lists(VALUES, max_size=20), st.sampled_from(["\n", "\r\n", "\n\n", "\n \n"]))
def test_lines_give_back_what_was_written(values: list[Any], end: str) -> None:
    body = b"".join(orjson.dumps(value) + end.encode() for value in values)
    assert [item for part in parse_lines(body) for item in part] == values
    without_end = body.rstrip(b"\r\n ")
    assert [item for part in parse_lines(without_end) for item in part] == values


@given(st.lists(VALUES, max_size=20))
def test_documents_give_back_what_was_written(values: list[Any]) -> None:
    assert parse_document(orjson.dumps(values)) == values
    one = {"values": values}
    assert parse_document(b"\xef\xbb\xbf" + orjson.dumps(one)) == [one]


def test_many_lines_come_in_slices() -> None:
    body = b'{"n": 1}\n' * 50_000
    parts = list(parse_lines(body))
    assert sum(map(len, parts)) == 50_000
    assert len(parts) > 5 and max(map(len, parts)) < 10_000


@pytest.mark.parametrize(
    ("body", "line", "column"),
    [(b"{]", 1, 2), (b"1\n2\n{]\n4", 3, 2), (b"\n\n\n{}x", 4, 3), (b'1\n"\xff"\n', 2, 1)],
)
def test_a_broken_line_is_named(body: bytes, line: int, column: int) -> None:
    refused = refusal(parse_lines, body)
    assert refused.status == 400
    assert refused.details == {"line": line, "column": column}
    assert str(refused).startswith(f"line {line}: not valid JSON, ")


def test_a_broken_document_is_named() -> None:
    refused = refusal(parse_document, b'[1,\n 2,\n  {"a" 3}]')
    assert (refused.status, refused.details["line"]) == (400, 3)
    assert str(refused).startswith("line 3: not valid JSON, ")


@pytest.mark.parametrize("body", [b"", b"  \n", b"\xef\xbb\xbf"])
def test_an_empty_document(body: bytes) -> None:
    assert "the body is empty" in str(refusal(parse_document, body))


def test_deep_nesting_is_refused_and_does_no_harm() -> None:
    assert refusal(parse_document, b"[" * 100_000 + b"]" * 100_000).status == 400


@given(st.binary(max_size=300), st.lists(st.integers(1, 50)), st.sampled_from(["", "gzip"]))
def test_any_cutting_unpacks_to_the_same(data: bytes, cuts: list[int], encoding: str) -> None:
    packed = gzip.compress(data) if encoding else data
    blocks = []
    for cut in cuts:
        blocks.append(packed[:cut])
        packed = packed[cut:]
    assert unpack([*blocks, packed], encoding) == data


def test_gzip_of_several_members() -> None:
    packed = gzip.compress(b"one") + gzip.compress(b"two")
    assert unpack([packed], "GZIP") == b"onetwo"
    assert unpack([packed[:30], packed[30:]], "x-gzip") == b"onetwo"


def test_the_limit_holds_for_what_is_unpacked() -> None:
    bomb = gzip.compress(bytes(100_000_000))
    assert len(bomb) < 100_000
    unpacker = Unpacker("gzip", 1_000_000)
    given_out = 0
    with pytest.raises(Refusal) as caught:
        for count in unpacker.feed(bomb):
            given_out += count
    assert caught.value.status == 413
    assert given_out <= 1_000_000
    assert refusal(unpack, [b"x" * 600, b"x" * 401]).status == 413
    assert unpack([b"x" * 600, b"x" * 400]) == b"x" * 1000


def test_broken_gzip() -> None:
    packed = gzip.compress(bytes(range(256)))
    assert refusal(unpack, [packed[:-9]], "gzip").status == 400
    assert "not whole" in str(refusal(unpack, [packed[:-9]], "gzip"))
    assert "not gzip" in str(refusal(unpack, [b"{}"], "gzip"))
    assert "not gzip" in str(refusal(unpack, [packed + b"garbage"], "gzip"))
    assert unpack([], "gzip") == b""


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "deflate"])
def test_other_encodings_are_refused(encoding: str) -> None:
    refused = refusal(Unpacker, encoding, 1000)
    assert refused.status == 415
    assert ("accept-encoding", "gzip") in refused.headers
