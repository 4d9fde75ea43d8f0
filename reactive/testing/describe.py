"""Words for tasks, threads and open descriptors, for error messages that have to name them."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_DEEPEST = 12
_LINKS = {"cr_frame": "cr_await", "ag_frame": "ag_await", "gi_frame": "gi_yieldfrom"}
_WRAPPERS = {
    "anext_awaitable",
    "async_generator_asend",
    "async_generator_athrow",
    "coroutine_wrapper",
}


def place(code: CodeType, line: int | None) -> str:
    """A function and a line of it: `pump (reader.py:12)`, the path relative where it can be."""
    path = code.co_filename
    try:
        shown = str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        shown = path
    return f"{code.co_qualname} ({shown}:{line or code.co_firstlineno})"


def waiting_frames(awaitable: Any) -> list[FrameType]:
    """The frames a suspended coroutine waits in, from its own to the innermost."""
    frames: list[FrameType] = []
    while awaitable is not None and len(frames) < _DEEPEST:
        frame, awaited = _suspended(awaitable)
        if frame is not None:
            frames.append(frame)
        elif type(awaitable).__name__ in _WRAPPERS:
            awaited = next(filter(_has_frame, gc.get_referents(awaitable)), None)
        awaitable = awaited
    return frames


def _suspended(awaitable: Any) -> tuple[FrameType | None, Any]:
    """The frame of a coroutine or generator, and what it awaits."""
    for frame, awaited in _LINKS.items():
        if hasattr(awaitable, frame):
            return getattr(awaitable, frame), getattr(awaitable, awaited)
    return None, None


def _has_frame(value: Any) -> bool:
    return any(hasattr(value, frame) for frame in _LINKS)


def describe_task(task: asyncio.Task[Any], created: str | None = None) -> str:
    """A task's name, its coroutine, where it was created if that is known, where it waits."""
    coroutine = task.get_coro()
    called = getattr(coroutine, "__qualname__", None) or repr(coroutine)
    lines = [f"task {task.get_name()!r} running {called}()"]
    if created is not None:
        lines.append(f"    created in {created}")
    lines += [
        f"    waits in {place(frame.f_code, frame.f_lineno)}" for frame in waiting_frames(coroutine)
    ]
    return "\n".join(lines)


def describe_thread(thread: threading.Thread) -> str:
    """A thread's name, what it was started with, and the line it is at."""
    target = getattr(thread, "_target", None)
    code = getattr(target, "__code__", None)
    lines = [f"thread {thread.name!r}" + (" (daemon)" if thread.daemon else "")]
    if code is not None:
        lines.append(f"    started with {place(code, None)}")
    frame = sys._current_frames().get(thread.ident or 0)
    for _ in range(_DEEPEST):
        if frame is None:
            break
        lines.append(f"    is at {place(frame.f_code, frame.f_lineno)}")
        frame = frame.f_back
    return "\n".join(lines)


def describe_descriptor(number: int) -> str:
    """What an open file descriptor of this process leads to: a path, a pipe, a socket's ends."""
    try:
        target = str(Path(f"/proc/self/fd/{number}").readlink())
    except OSError:
        target = "unknown"
    if not target.startswith("socket:"):
        return f"file descriptor {number}: {target}"
    copy = socket.socket(fileno=os.dup(number))
    try:
        family = getattr(copy.family, "name", str(copy.family))
        kind = getattr(copy.type, "name", str(copy.type))
        ends = f"{_address(copy.getsockname)} -> {_address(copy.getpeername)}"
    finally:
        copy.close()
    return f"socket {number}: {family} {kind} {ends}"


def _address(ask: Any) -> str:
    try:
        address = ask()
    except OSError:
        return "nobody"
    if isinstance(address, tuple):
        return ":".join(str(part) for part in address[:2])
    return str(address) or "unnamed"
