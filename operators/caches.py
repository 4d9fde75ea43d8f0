"""What was fetched, kept for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from operators.checking import MISSING, check_count, check_seconds
from reactive.fast_dataclasses import dataclass


@dataclass(frozen=True)
class Cache:
    """How `enrich` keeps what it fetched: for the `size` keys that were asked for last, each for
    `ttl` seconds of the loop's clock at most, or for as long as there is room.

    Each run has a cache of its own, empty at first. `ValueError` for a size below 1 and a `ttl`
    not above 0.

    ```python
    rx.Cache(size=10_000, ttl=60)
    ```
    """

    size: int = 1024
    ttl: float | None = None

    def __post_init__(self) -> None:
        check_count("Cache", self.size, 1)
        if self.ttl is not None:
            check_seconds("Cache", "a `ttl`", self.ttl)

    def __str__(self) -> str:
        for_ = "" if self.ttl is None else f" for {self.ttl:g} s"
        return f"up to {self.size:,} keys{for_}"

    def start(self) -> Cached:
        """The cache of one run."""
        return Cached(self.size, self.ttl)


class Cached:
    """A cache at work: the key that was asked for longest ago leaves first."""

    def __init__(self, size: int, ttl: float | None) -> None:
        self._size = size
        self._ttl = ttl
        self._clock = asyncio.get_running_loop().time
        self._kept: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> Any:
        """What is kept for a key, or `MISSING`."""
        kept = self._kept.get(key)
        if kept is None:
            return MISSING
        value, until = kept
        if self._ttl is not None and self._clock() >= until:
            del self._kept[key]
            return MISSING
        self._kept.move_to_end(key)
        return value

    def put(self, key: Hashable, value: Any) -> None:
        """Keep what was fetched for a key."""
        until = 0.0 if self._ttl is None else self._clock() + self._ttl
        self._kept[key] = value, until
        self._kept.move_to_end(key)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
