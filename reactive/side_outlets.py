"""Where items leave a region for side outputs, in line with the barriers that pass it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactive.channel import Waker
from reactive.errors import ChannelClosed
from reactive.graph import Node
from reactive.side_entry import SideEntry
from reactive.signals import Barrier, Chunk

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.region import Region


class _Outlet:
    """Collects what a region sends to one side output of its run."""

    __slots__ = ("entry", "pending")

    def __init__(self, entry: SideEntry) -> None:
        self.entry = entry
        self.pending: list[Any] = []


class _ForeignOutlet:
    """Collects what a region sends to a side output of a run around its own."""

    __slots__ = ("pending", "send")

    def __init__(self, send: Callable[[Any], None]) -> None:
        self.send = send
        self.pending: list[Any] = []


class SideOutlets:
    """What the operators of one region send to side outputs, until the region hands it on.

    What a run within an operator sends to those of the run around it waits until the region of that
    operator has passed the barrier that was passed here: it would overtake it otherwise.
    """

    def __init__(self, region: Region) -> None:
        execution = region.execution
        self.unsent = False
        self._region = region
        self._own = {
            side: _Outlet(execution.side_entry(side))
            for side in region.plan.sides
            if side in execution.plan.side_feeders
        }
        self._foreign: dict[Node, _ForeignOutlet] = {}
        self._around = _region_around(region)
        self._passed: Barrier | None = None
        self._followers: set[Waker] = set()
        self._ended = False

    def sender(self, node: Node, context: Context) -> Callable[[Any], None]:
        """How an operator sends to a side output."""
        outlet: _Outlet | _ForeignOutlet | None = self._own.get(node) or self._foreign.get(node)
        if outlet is None:
            send_out = self._region.execution.foreign_side(node, context)
            if self._around is None:
                return send_out
            outlet = self._foreign[node] = _ForeignOutlet(send_out)
        pending = outlet.pending

        def send(item: Any) -> None:
            self.unsent = True
            pending.append(item)

        return send

    @property
    def most_pending(self) -> int:
        """How many items wait to leave for the side output for which most do."""
        own = (len(outlet.pending) for outlet in self._own.values())
        foreign = (len(outlet.pending) for outlet in self._foreign.values())
        return max((*own, *foreign), default=0)

    async def flush(self) -> None:
        """Hand on what was sent."""
        self.unsent = False
        for outlet in self._own.values():
            items = outlet.pending.copy()
            outlet.pending.clear()
            if items:
                entry = outlet.entry
                await entry.ready(self._region)
                try:
                    await entry.channel.send(Chunk(items))
                except ChannelClosed:
                    self._region.execution.count_unread(entry.channel.name, len(items))
        if any(outlet.pending for outlet in self._foreign.values()):
            await self._follow()
            self.hand_out()

    async def _follow(self) -> None:
        """Wait until the region around has passed the barrier that this one has."""
        assert self._around is not None
        around, waker = self._around.sides, Waker()
        around._followers.add(waker)
        try:
            while around._is_behind(self._passed):
                await waker.wait()
        finally:
            around._followers.discard(waker)

    def _is_behind(self, barrier: Barrier | None) -> bool:
        if barrier is None:
            return False
        return self._passed is None or self._passed.epoch < barrier.epoch

    def hand_out(self) -> None:
        """Hand what goes to a run around this one on at once, if no barrier is to go first."""
        for outlet in self._foreign.values():
            items = outlet.pending.copy()
            outlet.pending.clear()
            for item in items:
                outlet.send(item)

    def passes(self, barrier: Barrier) -> None:
        """What is sent from here on is behind this barrier."""
        self._passed = barrier
        for waker in self._followers:
            waker.wake()
        for outlet in self._own.values():
            outlet.entry.passed(self._region, barrier)

    def end(self) -> None:
        """Nothing more is sent."""
        if not self._ended:
            self._ended = True
            for outlet in self._own.values():
                outlet.entry.ended(self._region)


def _region_around(region: Region) -> Region | None:
    """The region whose task pulls the run of this one. None where it is the same task, which gives
    all in line, or where no barriers come."""
    if region.execution.coordinator is None or _is_pulled(region):
        return None
    around = _outer(region)
    while around is not None and _is_pulled(around):
        around = _outer(around)
    return around


def _is_pulled(region: Region) -> bool:
    job = region.plan.job
    return job is not None and job.sink is None


def _outer(region: Region) -> Region | None:
    parent = region.execution.parent
    return None if parent is None else parent.region
