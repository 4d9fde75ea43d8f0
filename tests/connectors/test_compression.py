from __future__ import annotations

import gzip
import itertools
import random
import sys

import pytest
from file_parts import COMPRESSORS
from hypothesis import given
from hypothesis import strategies as st

from connectors.compression import (
    Compression,
    Compressor,
    Decompressor,
    compression_of_magic,
    compression_of_suffix,
    detect_compression,
    may_become_magic,
)
from reactive.errors import ConnectorError, DecodeError, TruncatedError

ALL: list[Compression] = ["gzip", "bz2", "xz", "zstd"]
SUFFIX: dict[Compression, str] = {"gzip": ".gz", "bz2": ".bz2", "xz": ".xz", "zstd": ".zst"}


def compress(kind: Compression, data: bytes) -> bytes:
    return COMPRESSORS[SUFFIX[kind]](data)


def decompress(kind: Compression, blocks: list[bytes], limit: int = 1 << 16) -> bytes:
    decompressor = Decompressor(kind)
    plain = b""
    for block in blocks:
        decompressor.feed(block)
        while part := decompressor.read(limit):
            assert len(part) <= limit
            plain += part
    decompressor.end()
    return plain


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


@given(
    kind=st.sampled_from(ALL),
    members=st.lists(st.binary(max_size=300), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 10_000), max_size=5),
    limit=st.integers(1, 100),
)
def test_any_members_in_any_blocks_give_the_plain_bytes(
    kind: Compression, members: list[bytes], cuts: list[int], limit: int
) -> None:
    data = b"".join(compress(kind, member) for member in members)
    assert decompress(kind, cut(data, cuts), limit) == b"".join(members)


@given(
    kind=st.sampled_from(ALL),
    blocks=st.lists(st.binary(max_size=300), max_size=5),
    prompt=st.booleans(),
)
def test_what_the_compressor_writes_is_read_back(
    kind: Compression, blocks: list[bytes], prompt: bool
) -> None:
    compressor = Compressor(kind, prompt=prompt)
    data = b"".join(map(compressor.compress, blocks)) + compressor.finish()
    assert decompress(kind, [data]) == b"".join(blocks)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_prompt_compressor_keeps_nothing_back(kind: Compression) -> None:
    compressor = Compressor(kind, prompt=True)
    decompressor = Decompressor(kind)
    for number in range(3):
        decompressor.feed(compressor.compress(b"line %d\n" % number))
        assert decompressor.read(100) == b"line %d\n" % number


@pytest.mark.parametrize("kind", ALL)
def test_strongly_compressed_data_comes_in_bounded_parts(kind: Compression) -> None:
    size = 10_000_000
    decompressor = Decompressor(kind)
    decompressor.feed(compress(kind, bytes(size)))
    total = 0
    while part := decompressor.read(1 << 16):
        assert len(part) <= 1 << 16
        total += len(part)
    decompressor.end()
    assert total == size


@pytest.mark.parametrize("kind", ALL)
def test_data_cut_anywhere_inside_a_member_is_truncated(kind: Compression) -> None:
    plain = random.Random(1).randbytes(2000)
    data = compress(kind, plain)
    for end in [1, 5, len(data) // 2, len(data) - 1]:
        with pytest.raises(TruncatedError, match=f"{kind} data ends after {end} bytes"):
            decompress(kind, [data[:end]])


@pytest.mark.parametrize("kind", ALL)
def test_what_came_before_the_cut_is_given(kind: Compression) -> None:
    plain = random.Random(1).randbytes(2_000_000)
    data = compress(kind, plain)
    decompressor = Decompressor(kind)
    decompressor.feed(data[: len(data) * 2 // 3])
    given = b""
    while part := decompressor.read(1 << 16):
        given += part
    assert plain.startswith(given)
    assert len(given) > len(plain) // 3


@pytest.mark.parametrize("kind", ALL)
def test_damaged_data_is_an_error(kind: Compression) -> None:
    compressor = Compressor(kind)
    data = bytearray(compressor.compress(random.Random(1).randbytes(2000)) + compressor.finish())
    data[len(data) // 2] ^= 0xFF
    data[len(data) // 2 + 1] ^= 0xFF
    with pytest.raises(DecodeError, match=f"the data is damaged, or not {kind}"):
        decompress(kind, [bytes(data)])


def test_garbage_after_a_member_is_an_error() -> None:
    with pytest.raises(DecodeError, match="what follows a complete member is damaged"):
        decompress("gzip", [gzip.compress(b"good") + b"garbage"])


def test_zero_bytes_after_a_member_are_padding() -> None:
    data = gzip.compress(b"one") + bytes(500) + gzip.compress(b"two") + bytes(3)
    assert decompress("gzip", [data]) == b"onetwo"
    assert decompress("gzip", [data[:100], data[100:]]) == b"onetwo"


@pytest.mark.parametrize("kind", ALL)
def test_every_kind_is_known_by_its_magic_and_its_suffix(kind: Compression) -> None:
    data = compress(kind, b"hello")
    assert compression_of_magic(data) == kind
    assert compression_of_suffix("some.JSONL" + SUFFIX[kind].upper()) == kind
    assert detect_compression("no suffix", data) == kind
    assert all(may_become_magic(data[:length]) for length in range(3))


def test_text_that_starts_like_bzip2_is_text() -> None:
    assert detect_compression("letters.txt", b"BZh9 is how bzip2 data starts") is None


def test_a_name_that_promises_what_the_bytes_are_not_is_an_error() -> None:
    with pytest.raises(DecodeError, match=r"named like gzip data, but starts with b'hello'"):
        detect_compression("a.gz", b"hello")
    assert detect_compression("a.gz", b"") == "gzip"
    assert detect_compression("a.gz", b"\x1f\x8b") == "gzip"


def test_zstd_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.version_info >= (3, 14):
        pytest.skip("zstd is in the standard library")
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    with pytest.raises(ConnectorError, match=r'pip install "reactive-pipelines\[zstd\]"'):
        Decompressor("zstd")
