"""Where a process is killed from within: before, after, or halfway through a call that matters.

Installed in a process that was forked to be killed, and in no other.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

from reactive.fast_dataclasses import dataclass

When: TypeAlias = Literal["before", "halfway", "after"]
WHENS: tuple[When, ...] = get_args(When)


@dataclass(frozen=True)
class Point:
    """The `number`-th call of a kind."""

    call: str
    number: int
    when: When

    def __str__(self) -> str:
        place = "halfway through" if self.when == "halfway" else self.when
        return f"{place} {self.call} {self.number}"


class Watch:
    """Counts the calls that matter, and kills the process at one of them."""

    def __init__(self, point: Point | None) -> None:
        self.calls: Counter[str] = Counter()
        self._point = point

    def begins(self, call: str) -> When | None:
        """A call is made; says when in it the process is to be killed, if it is this one."""
        self.calls[call] += 1
        point = self._point
        if point is None or (point.call, point.number) != (call, self.calls[call]):
            return None
        if point.when == "before":
            kill()
        return point.when

    def around(self, call: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, watched."""

        def watched(*arguments: Any, **options: Any) -> Any:
            when = self.begins(call)
            result = function(*arguments, **options)
            if when is not None:
                kill()
            return result

        return watched

    def install(self) -> None:
        """Watch the files, the databases, the sinks and the state store of this process."""
        module: Any = os
        for call in ("fsync", "fdatasync", "replace", "rename", "unlink", "ftruncate"):
            if hasattr(module, call):
                setattr(module, call, self.around(call, getattr(module, call)))
        module.write = self._write(os.write)
        self._watch_sqlite()
        self._watch_runs()

    def _write(self, write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        def watched(descriptor: int, data: Any) -> int:
            when = self.begins("write")
            if when == "halfway":
                data = memoryview(data)[: len(data) // 2]
            written = write(descriptor, data)
            if when is not None:
                kill()
            return written

        return watched

    def _watch_sqlite(self) -> None:
        watch = self

        class Watched(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                is_commit = sql.lstrip()[:6].upper() == "COMMIT"
                when = watch.begins("SQLite commit") if is_commit else None
                cursor = super().execute(sql, *arguments)
                if when is not None:
                    kill()
                return cursor

            def commit(self) -> None:
                when = watch.begins("SQLite commit")
                super().commit()
                if when is not None:
                    kill()

        connect = sqlite3.connect
        module: Any = sqlite3
        module.connect = lambda *arguments, **options: connect(
            *arguments, **{"factory": Watched, **options}
        )

    def _watch_runs(self) -> None:
        from reactive.committing import Committing
        from reactive.pullers import SourcePuller
        from reactive.sqlite_store import SqliteStore

        store: Any = SqliteStore
        for call in ("save", "tidy"):
            setattr(store, call, self.around(f"store {call}", getattr(store, call)))
        sink: Any = Committing
        make = sink.__init__

        def made(committing: Any, writer: Any, *arguments: Any) -> None:
            make(committing, _WatchedWriter(writer, self), *arguments)

        sink.__init__ = made
        source: Any = SourcePuller
        source.open = self._awaited("source open", source.open)

    def _awaited(self, call: str, function: Callable[..., Any]) -> Callable[..., Any]:
        async def watched(*arguments: Any) -> Any:
            when = self.begins(call)
            result = await function(*arguments)
            if when is not None:
                kill()
            return result

        return watched


class _WatchedWriter:
    """A writer whose calls are watched."""

    def __init__(self, writer: Any, watch: Watch) -> None:
        self._writer = writer
        for call in ("recover", "write", "prepare", "commit", "finish"):
            setattr(self, call, watch._awaited(f"sink {call}", getattr(writer, call)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


def kill() -> None:
    """End this process as a crash does."""
    os.kill(os.getpid(), signal.SIGKILL)
