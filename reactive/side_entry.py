"""Where items enter a side output: from several regions, whose barriers are aligned."""

from __future__ import annotations

from typing import Any

from reactive.channel import Channel, Waker
from reactive.signals import Barrier


class SideEntry:
    """The channel into a side output, and the regions that feed it.

    A barrier enters when it has passed all of them. One that it has passed waits with what it
    sends until then, as a stage does that reads several inputs.
    """

    def __init__(self, channel: Channel[Any], feeders: int) -> None:
        self.channel = channel
        self._feeders = feeders
        self._passed: dict[object, Waker] = {}
        self._barrier: Barrier | None = None

    def passed(self, feeder: object, barrier: Barrier) -> None:
        """A barrier has passed one of the regions."""
        self._passed[feeder] = Waker()
        self._barrier = barrier
        self._check()

    def ended(self, feeder: object) -> None:
        """One of the regions sends nothing more; the last one ends the side output."""
        self._passed.pop(feeder, None)
        self._feeders -= 1
        self._check()
        if not self._feeders:
            self.channel.end()

    def _check(self) -> None:
        if self._barrier is None or len(self._passed) < self._feeders:
            return
        if not self.channel.closed:
            self.channel.admit(self._barrier)
        self._barrier = None
        passed, self._passed = self._passed, {}
        for waker in passed.values():
            waker.wake()

    async def ready(self, feeder: object) -> None:
        """Wait until what the region sends may enter."""
        waker = self._passed.get(feeder)
        if waker is not None:
            await waker.wait()
