"""Which files a source means: paths, globs, lists of them, "-" for standard input."""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Iterable
from typing import TypeAlias

from connectors.file_errors import file_error
from reactive.errors import ConnectorError

PathArgument: TypeAlias = str | os.PathLike[str]
PathsArgument: TypeAlias = PathArgument | Iterable[PathArgument]

STANDARD = "-"
"""Standard input as a source, standard output as a target."""


def path_text(path: PathArgument) -> str:
    """A path as text, refused where the pipeline is described if it is none."""
    text: object = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"a path must be a str or a path object, not {type(text).__name__}")
    if not text:
        raise ValueError("a path must not be empty")
    return text


def paths_tuple(paths: PathsArgument) -> tuple[str, ...]:
    """The paths and globs of a source as text, in the order given."""
    if isinstance(paths, (str, os.PathLike)):
        return (path_text(paths),)
    texts = tuple(map(path_text, paths))
    if not texts:
        raise ValueError("give at least one path or glob; the list is empty")
    if texts.count(STANDARD) > 1:
        raise ValueError(f"standard input ({STANDARD!r}) can be read only once")
    return texts


def resolve_paths(patterns: Iterable[str]) -> list[str]:
    """The files meant, globs expanded and sorted; blocking.

    A path that exists is taken literally, whatever characters it has. Directories that a glob
    matches are passed over. Raises `ConnectorError` for a glob without a match, a missing file, a
    directory, or a file that may not be read, before anything is read.
    """
    files: list[str] = []
    for pattern in patterns:
        if pattern == STANDARD:
            files.append(pattern)
        elif glob.has_magic(pattern) and not os.path.lexists(pattern):
            files += _matches(pattern)
        else:
            files.append(pattern)
    for file in files:
        if file != STANDARD:
            _check(file)
    return files


def _matches(pattern: str) -> list[str]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  text in, text out
    files = [match for match in matches if not os.path.isdir(match)]  # noqa: PTH112
    if files:
        return files
    if matches:
        raise ConnectorError(
            f"{pattern}: matches only directories; to read the files in them, end it with '/*'"
        )
    where = "" if os.path.isabs(pattern) else f" in {os.getcwd()}"  # noqa: PTH109, PTH117
    raise ConnectorError(f"{pattern}: no file matches this glob{where}; check the path")


def _check(path: str) -> None:
    try:
        status = os.stat(path)  # noqa: PTH116
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise file_error(error, path, "read") from error
