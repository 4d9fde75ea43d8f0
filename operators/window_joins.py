"""Joins in windows: the operator and the stage that runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from operators.assigners import Global, WindowAssigner
from operators.joined_windows import Form, JoinedWindows, Results
from operators.merging_join_windows import Merging
from operators.shared_join_windows import Shared
from operators.sides import AT_ONCE, ONLY_IN_STREAM, Given, Key, Sides, kept
from reactive.fast_dataclasses import dataclass
from reactive.graph import Node
from reactive.levels import Changes, Kept
from reactive.operator import Holding, Stage, Staged, kind_of_state
from reactive.signals import Chunk, Control
from reactive.windows import LATEST

if TYPE_CHECKING:
    from reactive.context import Context


@dataclass(frozen=True)
class WindowJoin(Staged):
    """`join` and `cogroup` in windows."""

    left: Key
    right: Key
    assigner: WindowAssigner
    how: str
    allowed_lateness: float
    late: Node | None
    operator: str = "join"

    @property
    def label(self) -> str:
        return self.operator

    def details(self) -> dict[str, object]:
        shown: dict[str, object] = {} if self.operator == "cogroup" else {"how": self.how}
        shown["windows"] = self.assigner
        if self.allowed_lateness:
            shown["allowed lateness"] = f"{self.allowed_lateness:g} s"
        return shown

    def holds(self, batch: bool) -> Sequence[Holding]:
        late = f"{self.allowed_lateness:g} s past its end"
        closes = late if self.allowed_lateness else "past its end"
        limit = None if batch else f"a window is let go when the watermark is {closes}"
        what = f"for each key, all items of both sides of {self.assigner.holds()}"
        return [Holding(what, limit)]

    def side_outputs(self) -> Sequence[Node]:
        return () if self.late is None else (self.late,)

    def without_end(self, batch: bool) -> str | None:
        if not isinstance(self.assigner, Global):
            return ONLY_IN_STREAM if batch else None
        return (
            f"give it windows ({self.operator}(..., window=rx.Tumbling(60))), join within an "
            "interval (interval_join(..., before=5, after=5)), make tables of what is updated "
            "(.table(limit=100_000)) and join or look up those"
        )

    @property
    def state_kind(self) -> str:
        return kind_of_state(self.label, self.how, self.assigner)

    def form(self) -> Form:
        """What comes of a window."""
        return Form(self.operator == "join", kept(self.how))

    @property
    def spills(self) -> bool:
        return True

    def stage(self, context: Context) -> Stage[Any]:
        if context.settings.state_memory is not None:
            # With it comes sqlite3, which takes a while to import.
            from operators.spilling_joins import SpillingJoinStage

            return SpillingJoinStage(self, context)
        return WindowJoinStage(self, context)


class WindowJoinStage(Sides):
    """A join in windows in one run."""

    def __init__(
        self,
        operator: WindowJoin,
        context: Context,
        shared: Callable[..., JoinedWindows] = Shared,
        merging: Callable[..., JoinedWindows] = Merging,
    ) -> None:
        super().__init__(context, operator.left, operator.right, operator.late)
        self._uses_time = operator.assigner.uses_time
        self._timed = True
        kind = merging if operator.assigner.merging else shared
        self._windows: JoinedWindows = kind(operator, self.refuse)
        context.meter.gauges["windows"] = self._windows.live

    def hold(self) -> Any:
        return super().hold(), self._timed, self._windows.snapshot()

    def hold_changes(self) -> Changes:
        changes = self._windows.changes()
        return Changes((super().hold(), self._timed, changes.shared), changes.sections)

    def go_on(self, state: Any) -> None:
        if isinstance(state, Kept):
            sides, self._timed, shared = state.shared
            windows: Any = Kept(shared, state.sections)
        else:
            sides, self._timed, windows = state
        super().go_on(sides)
        self._windows.restore(windows)

    def take(self, side: int, chunk: Chunk[Any]) -> Given:
        self._timed = self._timed and chunk.times is not None
        times = self.times_of(side, chunk) if self._uses_time else [0] * len(chunk.items)
        taking = self._windows.take(side, self.keys[side], chunk.items, times, self.passed(side))
        yield from self._given(taking)

    def pass_on(self, signal: Control) -> Given:
        yield from self._given(self._windows.complete(self.watermark))
        yield signal

    def finish(self) -> Given:
        return self._given(self._windows.complete(LATEST))

    def _given(self, results: Results) -> Given:
        """Results in chunks that are worth handing on."""
        items: list[Any] = []
        times: list[int] = []
        try:
            for some in results:
                if not some:
                    yield None
                    continue
                items += some
                times += [some[0].window.end - 1] * len(some)
                if len(items) >= AT_ONCE:
                    given, items, stamps, times = items, [], times, []
                    yield Chunk(given, stamps if self._timed else None)
        except Exception:
            if items:
                yield Chunk(items, times if self._timed else None)
            raise
        if items:
            yield Chunk(items, times if self._timed else None)
