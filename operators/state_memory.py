"""What budgets of memory have in common: how much a key takes, and what goes wrong with a disk."""

from __future__ import annotations

import reprlib
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from reactive.levels import dumps
from reactive.spilled_keys import SpilledKeys, pickled

if TYPE_CHECKING:
    from reactive.context import Context

EVICTED_AT_ONCE: Final = 64
_OVERHEAD_BYTES: Final = 250
_BYTES_A_PICKLED_BYTE: Final = 3
_SAMPLES: Final = 64
_PICKLED_BYTES_A_PIECE: Final = 4096


class StateSizes:
    """The mean size of keys that were seen lately.

    A key takes a dozen times what its number takes on disk, or as much as a long text does; nobody
    can tell at a reasonable price. It is taken to be three times its pickle, and what the
    dictionaries take.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._size = float(_OVERHEAD_BYTES)
        self._samples = 0
        self._pieces_to_sample = 0

    @property
    def most(self) -> int:
        """How many keys there is memory for."""
        return max(1, int(self._memory / self._size))

    def sample(self, held: Callable[[], Any]) -> None:
        """Look at a key, with what it holds; the larger they are, the more seldom."""
        self._pieces_to_sample -= 1
        if self._pieces_to_sample > 0:
            return
        try:
            size = len(dumps(held()))
        except Exception:
            # It is told to be the key's fault once it has to go.
            return
        self._pieces_to_sample = size // _PICKLED_BYTES_A_PIECE
        self.learn(size)

    def learn(self, size: int) -> None:
        """The pickle of a key with what it holds has so many bytes."""
        self._samples = min(self._samples + 1, _SAMPLES)
        size = size * _BYTES_A_PICKLED_BYTE + _OVERHEAD_BYTES
        self._size += (size - self._size) / self._samples


def to_disk(context: Context, key: Any, held: Any) -> bytes:
    """The pickle of a key and what it holds. `TypeError` for what has none."""
    try:
        return pickled(key, held)
    except Exception as error:
        raise TypeError(
            f"{context.where()} has more state than the {context.settings.state_memory:,} bytes "
            f"of rx.Settings(state_memory=...), and that of the key {reprlib.repr(key)} cannot be "
            f"put on disk, for it does not pickle ({error}); keep plain values, or objects of "
            "classes that are defined in a module, in it, or give it more memory"
        ) from error


class DiskErrors:
    """Where the disk fails, says whose it is, and what to do: `with` it, as often as there is work
    with the disk."""

    __slots__ = ("_context", "_keys")

    def __init__(self, context: Context, keys: SpilledKeys) -> None:
        self._context = context
        self._keys = keys

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (OSError, sqlite3.Error)):
            context = self._context
            where = context.settings.spill_directory or "the directory for temporary files"
            error.add_note(
                f"{context.where()} has the state of {self._keys.count:,} keys in {where}; "
                "rx.Settings(spill_directory=...) says another place, and with a larger "
                "state_memory= it needs less"
            )
