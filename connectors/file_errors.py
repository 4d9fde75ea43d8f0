"""What the operating system says about a file, in words that name the file and the fix."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from reactive.errors import ConnectorError


def file_error(error: OSError, path: str, doing: str) -> ConnectorError:
    """A `ConnectorError` for `error`, which came while `doing` ("read", "write") to `path`."""
    told = ConnectorError(f"{path}: {_reason(error, path, doing)}")
    told.__cause__ = error
    return told


def _reason(error: OSError, path: str, doing: str) -> str:
    code = error.errno
    if code == errno.ENOENT:
        if doing == "read":
            start = "" if Path(path).is_absolute() else f" (looked for in {Path.cwd()})"
            return f"there is no such file{start}; check the path"
        return f"there is no directory {Path(path).parent}; create it first"
    if code == errno.EISDIR:
        if doing == "read":
            return f"is a directory, not a file; give a glob, such as {str(Path(path) / '*')!r}"
        return "is a directory, not a file; give the path of a file in it"
    if code in (errno.EACCES, errno.EPERM):
        return (
            f"permission to {doing} it was denied to user {os.geteuid()}; change its mode or "
            "owner, or that of its directory, or run as a user who may"
        )
    if code == errno.ENOTDIR:
        return "a part of the path is a file, not a directory; check the path"
    if code in (errno.ENOSPC, errno.EDQUOT):
        return f"no space was left to write it ({os.strerror(code)}); free some, then run again"
    if code == errno.EPIPE:
        return "whoever read it has closed it, so nothing more can be written"
    if code == errno.EMFILE:
        return "too many files are open in this process; raise its limit (ulimit -n)"
    why = error.strerror or str(error)
    return f"cannot {doing} it: {why}"
