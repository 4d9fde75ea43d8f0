"""journaling: items on disk before they go on, so that a crash loses none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from operators.checking import check_count, check_seconds
from reactive.errors import PlanError
from reactive.fast_dataclasses import dataclass
from reactive.graph import Blueprint, Node, walk, with_nested
from reactive.operator import SourceOperator, Stage, Staged
from reactive.serializers import Serializer, check_serializer, describe_serializer

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import Stream

T_co = TypeVar("T_co", covariant=True)

_SEGMENT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Journal(Staged):
    """`journal`."""

    replays: ClassVar[bool] = True

    path: str
    serializer: Serializer
    start: Literal["beginning", "end"] | None
    sync_every: float
    segment_bytes: int
    limit_bytes: int | None
    retain_bytes: int | None
    retain_seconds: float | None
    replayed: Sequence[str]
    """The sources before it that give again what they gave after the last checkpoint."""
    lost: Sequence[str]
    """Those that do not."""

    def details(self) -> dict[str, object]:
        bounds = {
            "limit_bytes": self.limit_bytes,
            "retain_bytes": self.retain_bytes,
            "retain_seconds": self.retain_seconds,
        }
        return {
            "path": self.path,
            "start": self.begins,
            "sync_every": f"{self.sync_every:g} s",
            "segment_bytes": f"{self.segment_bytes:,}",
            **{name: f"{bound:,}" for name, bound in bounds.items() if bound is not None},
            "serializer": describe_serializer(self.serializer),
            "after a crash": "cut at the checkpoint" if self.replayed else "replayed to its end",
        }

    @property
    def begins(self) -> str:
        """Where reading begins without a checkpoint, in a journal that there is already."""
        return self.start or ("end" if self.replayed and not self.lost else "beginning")

    def stage(self, context: Context) -> Stage[Any]:
        from operators.journal_stage import JournalStage
        from reactive.journal_log import Retention

        keeps = context.region is not None and context.region.keeps
        if keeps and self.replayed and self.lost:
            raise PlanError(
                f"{context.where()}: it takes in what {_names(self.replayed)} can give again after "
                f"a crash together with what {_names(self.lost)} cannot, so that the journal may "
                "neither be cut nor kept; put the journal before they are combined, behind what "
                "cannot be had again"
            )
        retention = Retention(
            self.limit_bytes,
            self.retain_bytes,
            self.retain_seconds,
            keeps and self.retain_bytes is None and self.retain_seconds is None,
        )
        return JournalStage(
            self.path,
            self.serializer,
            context,
            begins=self.begins,
            sync_every=self.sync_every,
            segment_bytes=self.segment_bytes,
            retention=retention,
            keeps=keeps,
            replayed=bool(self.replayed),
        )


def _names(labels: Sequence[str]) -> str:
    return " and ".join(labels)


def _sources_of(node: Node) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The sources before a node: those that give again what was not committed, or whose senders
    do, and the others."""
    replayed: dict[str, None] = {}
    lost: dict[str, None] = {}
    for upstream in walk([node]):
        for inner in with_nested(upstream):
            operator = inner.operator
            if isinstance(operator, SourceOperator):
                source = operator.source
                again = source.replayable or source.acknowledges
                (replayed if again else lost)[inner.label] = None
            elif not inner.inputs and not operator.nested():
                lost[inner.label] = None
    return tuple(replayed), tuple(lost)


class Journaling(Blueprint[T_co]):
    """journal."""

    __slots__ = ()

    def journal(
        self,
        path: str | os.PathLike[str],
        *,
        serializer: Serializer = "plain",
        start: Literal["beginning", "end"] | None = None,
        sync_every: float = 0.01,
        segment_bytes: int = _SEGMENT_BYTES,
        limit_bytes: int | None = None,
        retain_bytes: int | None = None,
        retain_seconds: float | None = None,
    ) -> Stream[T_co]:
        """Have every item on disk before it goes on, in a log from which a later run reads it
        again: for what comes in over TCP, UDP or HTTP and cannot be had again.

        ```text
        --1-2-3-4-----------|   (downstream is busy)
        journal("received").map(busy(4))
        ------1---2---3---4-|
        ```

        `path` is a folder, made where there is none, for one run at a time. Items are appended as
        they come, also while downstream is busy, and are on disk when they go on: one `fsync` for
        all that came since the last, which begins at most every `sync_every` seconds. Emits
        the items themselves with their event times, in order, as soon as they are on disk; of what
        downstream is behind with, up to 16 MB are in memory and the rest is read from disk.
        Backpressures while the disk is slower than upstream, and at `limit_bytes`. Completes with
        upstream, once everything was given; a failure comes after that too.

        **After a crash.** What was appended is there, but what was torn in the middle is cut off;
        it had not gone on. A run that continues a checkpoint reads from where downstream was then:
        what came in after it, before the crash, is given again, and then what comes in now.
        Where upstream gives that again itself (a file), the journal is cut there instead.
        Without a checkpoint to continue, `start` says where to begin: at the `"beginning"` of what
        is kept, or at the `"end"`, with what comes in now. The default is the beginning, so
        that nothing is lost, though without checkpoints some of it may have been dealt with;
        where upstream can replay it is the end. Watermarks and idleness are
        recorded with the items. A barrier passes after the items in memory and before those that
        are only on disk: a checkpoint does not wait until downstream has caught up.

        **What is deleted.** Whole segments, of `segment_bytes` each, once all in them is done with:
        committed, where the run takes checkpoints, else never. With `retain_bytes` or
        `retain_seconds` they are kept, and deleted when there are more bytes or they are older; in
        a run without checkpoints, what went on is then done with. `limit_bytes` is how large the
        journal may be: beyond it everything that is done with is deleted, or went on in a run
        without checkpoints, and then upstream has to wait. What comes until the next checkpoint
        may pass it.

        `serializer="plain"` keeps `bytes`, `str` and what JSON gives back as it was (dicts, lists,
        numbers, None); `TypeError` for anything else. `"pickle"` keeps what pickles; only read such
        a journal if you trust who can write to the folder. A pair `(encode, decode)` makes bytes
        of an item and an item of bytes. Raises what they raise.

        Raises `OSError` when the disk is full or fails: the run ends, for nobody knows then what is
        on the disk. `JournalError`, when the run begins, if another writes the journal, if it is
        damaged anywhere but at its torn end (with file and byte), or if it is not the journal, or
        no longer has the records, of the checkpoint. `ValueError` for bounds that cannot hold.
        Damage in the very last records, of which nothing was written after them, cannot be told
        from what a crash tears, unless the run was closed in order.

        ```python
        lines = tcp.listen("127.0.0.1", 9000).journal("received")
        ```
        """
        folder = os.fspath(path)
        if not isinstance(folder, str):
            raise TypeError(f"journal needs a path as text, not {path!r}")
        if not folder:
            raise ValueError("journal needs the path of a folder, and it is empty")
        check_serializer("journal", serializer)
        if start not in (None, "beginning", "end"):
            raise ValueError(f'journal starts at the "beginning" or the "end", not {start!r}')
        check_seconds("journal", "`sync_every`", sync_every, zero=True)
        if retain_seconds is not None:
            check_seconds("journal", "`retain_seconds`", retain_seconds, zero=True)
        check_count("journal (segment_bytes)", segment_bytes, 1)
        if retain_bytes is not None:
            check_count("journal (retain_bytes)", retain_bytes, 0)
        if limit_bytes is not None:
            check_count("journal (limit_bytes)", limit_bytes, 1)
            if limit_bytes < 2 * segment_bytes:
                raise ValueError(
                    f"journal deletes whole segments, so limit_bytes={limit_bytes:,} has to be at "
                    f"least two of them; with segment_bytes={limit_bytes // 4:,} there are four"
                )
        replayed, lost = _sources_of(self._node)
        return self._then(
            Journal(
                folder,
                serializer,
                start,
                sync_every,
                segment_bytes,
                limit_bytes,
                retain_bytes,
                retain_seconds,
                replayed,
                lost,
            )
        )
