"""Compressed bytes in, plain bytes out, and back; free of any I/O. gzip, bzip2, xz and zstd."""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, get_args

from connectors.extras import import_extra
from reactive.errors import DecodeError, TruncatedError

Compression: TypeAlias = Literal["gzip", "bz2", "xz", "zstd"]

_BY_SUFFIX: dict[str, Compression] = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".lzma": "xz",
    ".zst": "zstd",
    ".zstd": "zstd",
}

_BZ2_LEVELS = b"123456789"
_BY_MAGIC: dict[bytes, Compression] = {
    b"\x1f\x8b\x08": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
# A bzip2 file starts with three letters, which text may do too: the block mark has to follow.
for _level in _BZ2_LEVELS:
    for _mark in (b"1AY&SY", b"\x17rE8P\x90"):
        _BY_MAGIC[b"BZh" + bytes((_level,)) + _mark] = "bz2"


def check_compression(compression: object) -> None:
    """Refuse what is no compression, where the pipeline is described."""
    if compression not in ("auto", None, *get_args(Compression)):
        known = ", ".join(map(repr, get_args(Compression)))
        raise ValueError(f"compression must be 'auto', None or one of {known}, not {compression!r}")


def compression_of_suffix(name: str) -> Compression | None:
    """What the end of a file name promises."""
    return next((kind for end, kind in _BY_SUFFIX.items() if name.lower().endswith(end)), None)


def compression_of_magic(head: bytes) -> Compression | None:
    """What the first bytes of a file show."""
    return next((kind for magic, kind in _BY_MAGIC.items() if head.startswith(magic)), None)


def may_become_magic(head: bytes) -> bool:
    """Whether so few bytes could still turn out to be the start of compressed data."""
    return any(len(head) < len(magic) and magic.startswith(head) for magic in _BY_MAGIC)


def detect_compression(name: str, head: bytes) -> Compression | None:
    """What a file is by its first bytes or, where they cannot tell, by its name.

    Raises `DecodeError` when the name promises a compression that the bytes are not.
    """
    shown = compression_of_magic(head)
    promised = compression_of_suffix(name)
    if shown is not None or promised is None:
        return shown
    if not head:
        # What is written to it between the first look and the first read is what its name says.
        return promised
    if name.lower().endswith(".lzma") or _is_skippable_zstd(head) or may_become_magic(head):
        return promised
    raise DecodeError(
        f"it is named like {promised} data, but starts with {head[:8]!r}; "
        "rename it, or read it as it is with compression=None"
    )


def _is_skippable_zstd(head: bytes) -> bool:
    return 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18"


def zstd_module() -> Any:
    """The zstd of the standard library, or its backport for older Pythons."""
    module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return import_extra(module, "zstd", "zstd")


class _Member(Protocol):
    """One compressed stream, as the standard library's decompressors work."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _GzipMember:
    """Gives zlib's decompressor the form that those of bz2, lzma and zstd have."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self._filled = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        # When the output was cut, the last bytes may wait inside zlib with no input left.
        return not (self._inner.unconsumed_tail or self._filled)

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        plain = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._filled = len(plain) == max_length
        return plain


def _member_maker(compression: Compression) -> Callable[[], _Member]:
    if compression == "gzip":
        return _GzipMember
    if compression == "bz2":
        return bz2.BZ2Decompressor
    if compression == "xz":
        return lzma.LZMADecompressor
    maker: Callable[[], _Member] = zstd_module().ZstdDecompressor
    return maker


def _is_decompression_error(error: Exception) -> bool:
    if isinstance(error, (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError)):
        return True
    return type(error).__name__ == "ZstdError"


class Decompressor:
    """Turns compressed blocks into plain ones, through any number of members one after another.

    Feed it, then read until it gives nothing; call `end` when the input has ended. It never gives
    more than asked for, however strongly the data is compressed.
    """

    def __init__(self, compression: Compression) -> None:
        self.compression = compression
        self._new_member = _member_maker(compression)
        self._member = self._new_member()
        self._input = b""
        self._begun = False
        self._first = True
        self._fed = 0

    def feed(self, data: bytes) -> None:
        """Add compressed bytes."""
        self._input = self._input + data if self._input else data
        self._fed += len(data)

    def read(self, limit: int) -> bytes:
        """Up to `limit` plain bytes; nothing when more has to be fed first.

        Raises `DecodeError` at damaged data.
        """
        while True:
            member = self._member
            if member.eof:
                self._input = member.unused_data + self._input
                self._member = member = self._new_member()
                self._begun = self._first = False
            if not self._begun:
                # Archivers pad the end of a member with zero bytes.
                if not self._first:
                    self._input = self._input.lstrip(b"\0")
                if not self._input:
                    return b""
                self._begun = True
            elif not self._input and member.needs_input:
                return b""
            data, self._input = self._input, b""
            try:
                plain = member.decompress(data, limit)
            except Exception as error:
                if not _is_decompression_error(error):
                    raise
                raise DecodeError(self._damage(error)) from error
            if plain:
                return plain

    def end(self) -> None:
        """The input has ended. Raises `TruncatedError` if that was inside a member."""
        if self._begun and not self._member.eof:
            raise TruncatedError(
                f"the {self.compression} data ends after {self._fed} bytes, in the middle of a "
                "compressed block; it was cut off, so copy or download it again"
            )

    def _damage(self, error: Exception) -> str:
        what = "the data" if self._first else "what follows a complete member"
        return (
            f"{what} is damaged, or not {self.compression} (in the first {self._fed} compressed "
            f"bytes: {error}); copy or download it again"
        )


class Compressor:
    """Turns plain blocks into compressed ones.

    With `prompt`, what was given comes out with the same call, as far as the format can: gzip and
    zstd flush a block each time, bzip2 and xz keep theirs until it is full.
    """

    def __init__(
        self, compression: Compression, level: int | None = None, *, prompt: bool = False
    ) -> None:
        self._inner: Any
        self._flush: tuple[Any, ...] | None = None
        if compression == "gzip":
            default = 6 if level is None else level
            self._inner = zlib.compressobj(default, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
            self._flush = (zlib.Z_SYNC_FLUSH,)
        elif compression == "bz2":
            self._inner = bz2.BZ2Compressor(9 if level is None else level)
        elif compression == "xz":
            self._inner = lzma.LZMACompressor(preset=level)
        else:
            zstd = zstd_module()
            parameter = zstd.CompressionParameter
            options = {parameter.checksum_flag: 1}
            if level is not None:
                options[parameter.compression_level] = level
            self._inner = zstd.ZstdCompressor(options=options)
            self._flush = (zstd.ZstdCompressor.FLUSH_BLOCK,)
        if not prompt:
            self._flush = None

    def compress(self, data: bytes) -> bytes:
        """The compressed bytes that are ready once `data` was added."""
        ready: bytes = self._inner.compress(data)
        return ready if self._flush is None else ready + self._inner.flush(*self._flush)

    def finish(self) -> bytes:
        """The rest, with the end of the member."""
        rest: bytes = self._inner.flush()
        return rest
