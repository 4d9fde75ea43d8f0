"""A pipeline that has got another sink since its last checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import reactive as rx


class _Writer(rx.Writer[Any]):
    def __init__(self, sink: Recovered) -> None:
        self._sink = sink

    async def write(self, chunk: rx.Chunk[Any]) -> None:
        self._sink.items.extend(chunk.items)

    async def recover(self, epoch: int, token: Any) -> None:
        self._sink.recovered.append((epoch, token))

    async def prepare(self, epoch: int) -> Any:
        return None


@dataclass(frozen=True)
class Recovered(rx.Sink[Any]):
    """Notes from where its writers are to go on."""

    recovered: list[Any] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)

    def writer(self, context: rx.Context) -> rx.Writer[Any]:
        return _Writer(self)


async def test_a_new_sink_has_committed_nothing(tmp_path: Path) -> None:
    numbers = rx.from_iterable(range(5))
    old, new = Recovered(), Recovered()
    store = tmp_path / "state.db"
    await rx.run(numbers.to(old).named("old"), checkpoint=store)
    await rx.run(numbers.to(old).named("old"), numbers.to(new).named("new"), checkpoint=store)
    (first, (epoch, token)) = old.recovered
    assert first == (0, None)
    assert (epoch > 0, token) == (True, None)
    assert new.recovered == [(0, None)]
