"""What holds by key what an operator has: in memory, or in part on disk."""

from __future__ import annotations

from typing import Any

from reactive.levels import Levels


class Keeping:
    """What windows of any kind are held by, so that where they are is chosen in one place."""

    def held(self, by_key: dict[Any, Any] | None = None, *, changed: bool = False) -> Levels[Any]:
        """What is to hold by key; at first what an earlier run held, which is `changed` if the
        next checkpoint is to write all of it."""
        if by_key is None:
            return Levels()
        for held in by_key.values():
            self.come(held)
        return Levels.changed(by_key) if changed else Levels(by_key)

    def come(self, held: Any) -> None:
        """This is what a key has; remember when it has to be looked at."""
