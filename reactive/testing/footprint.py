"""What this process holds: threads, open descriptors, child processes; and what came to it since.

On Linux all of it is read from `/proc`. Elsewhere descriptors are read from `/dev/fd` where there
is one, and child processes are not seen.
"""

from __future__ import annotations

import gc
import io
import os
import socket
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

from reactive.fast_dataclasses import dataclass
from reactive.testing.describe import describe_descriptor, describe_thread
from reactive.testing.workers import is_idle_worker

LeakKind: TypeAlias = Literal[
    "task", "async generator", "thread", "socket", "descriptor", "process"
]

_DESCRIPTORS = next((path for path in ("/proc/self/fd", "/dev/fd") if Path(path).is_dir()), None)
_STANDARD_STREAMS = 3


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that was there at the end and not at the beginning."""

    kind: LeakKind
    description: str


@dataclass(frozen=True, slots=True)
class Footprint:
    """The threads, descriptors and child processes of one moment."""

    threads: frozenset[threading.Thread]
    descriptors: dict[int, tuple[int, int]]
    children: frozenset[int]

    @classmethod
    def take(cls) -> Footprint:
        """Look now; well under a millisecond."""
        _settle_uvloop()
        return cls(frozenset(threading.enumerate()), _descriptors(), _children())

    def has_grown(self, *, idle_workers: bool) -> bool:
        """Whether anything has come since; see `grown`."""
        return bool(self._threads(idle_workers) or self._descriptors() or self._children())

    def grown(self, *, idle_workers: bool) -> Iterator[Leak]:
        """What has come since. With `idle_workers` false, workers of thread pools count only
        while they have a call to run."""
        for thread in self._threads(idle_workers):
            yield Leak("thread", describe_thread(thread))
        for number in self._descriptors():
            yield _descriptor_leak(number)
        for child in self._children():
            yield Leak("process", _describe_child(child))

    def _threads(self, idle_workers: bool) -> list[threading.Thread]:
        return [
            thread
            for thread in threading.enumerate()
            if thread not in self.threads
            and thread is not threading.current_thread()
            and (idle_workers or not is_idle_worker(thread))
        ]

    def _descriptors(self) -> list[int]:
        return [
            number
            for number, identity in _descriptors().items()
            if self.descriptors.get(number) != identity
            and number not in _of_multiprocessing("_fd", "_forkserver_alive_fd")
        ]

    def _children(self) -> list[int]:
        new = _children() - self.children
        return sorted(new - _of_multiprocessing("_pid", "_forkserver_pid")) if new else []


def _descriptors() -> dict[int, tuple[int, int]]:
    """Every open descriptor but the standard streams, with the device and inode it leads to, so
    that one which was closed and its number used again is told from the old one."""
    found: dict[int, tuple[int, int]] = {}
    if _DESCRIPTORS is None:
        return found
    with os.scandir(_DESCRIPTORS) as listing:
        numbers = [int(entry.name) for entry in listing]
    for number in numbers:
        if number < _STANDARD_STREAMS:
            continue
        try:
            status = os.fstat(number)
        except OSError:
            continue
        found[number] = (status.st_dev, status.st_ino)
    return found


def _children() -> frozenset[int]:
    found: set[int] = set()
    try:
        with os.scandir("/proc/self/task") as tasks:
            listings = [f"{task.path}/children" for task in tasks]
    except OSError:
        return frozenset()
    for path in listings:
        try:
            with open(path, "rb") as listing:  # noqa: PTH123
                found.update(map(int, listing.read().split()))
        except OSError:
            continue
    return frozenset(found)


def _of_multiprocessing(tracker_attribute: str, server_attribute: str) -> set[int]:
    """What `multiprocessing` keeps for its two helper processes until the interpreter ends."""
    found: set[int] = set()
    for module, holder, attribute in (
        ("multiprocessing.resource_tracker", "_resource_tracker", tracker_attribute),
        ("multiprocessing.forkserver", "_forkserver", server_attribute),
    ):
        number = getattr(getattr(sys.modules.get(module), holder, None), attribute, None)
        if number is not None:
            found.add(number)
    return found


_uvloop_settled = False


def _settle_uvloop() -> None:
    """Let uvloop open the pipe that the first loop of a process makes and no loop closes."""
    global _uvloop_settled
    if not _uvloop_settled and "uvloop" in sys.modules:
        sys.modules["uvloop"].new_event_loop().close()
        _uvloop_settled = True


def _descriptor_leak(number: int) -> Leak:
    try:
        described = describe_descriptor(number)
    except OSError:
        described = f"file descriptor {number}: closed meanwhile"
    for holder in _holders(number):
        described += f"\n    held by {holder!r}"
        made = tracemalloc.get_object_traceback(holder)
        if made is not None:
            described += "".join(f"\n    created {line.strip()}" for line in made.format())
    kind: LeakKind = "socket" if described.startswith("socket") else "descriptor"
    return Leak(kind, described)


def _holders(number: int) -> Iterator[Any]:
    """The Python objects that own a descriptor."""
    for candidate in gc.get_objects():
        if isinstance(candidate, (socket.socket, io.FileIO, io.TextIOWrapper)):
            try:
                if candidate.fileno() == number:
                    yield candidate
            except (OSError, ValueError):
                continue


def _describe_child(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        command = ""
    return f"child process {pid}: {command or 'ended, but nobody has waited for it'}"
