"""check_sink: is content with a sink that keeps its promise, and sees every way to break it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import reactive as rx
from reactive.endpoint import Replayed
from reactive.testing import LawBroken, check_sink


@dataclass(frozen=True)
class Spool(rx.Sink[Any]):
    """A file of JSON for every epoch."""

    folder: Path
    make: Callable[[Path], rx.Writer[Any]]
    replayed: Replayed = "transactional"  # type: ignore[misc]

    def writer(self, context: rx.Context) -> rx.Writer[Any]:
        return self.make(self.folder)


class SpoolWriter(rx.Writer[Any]):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: list[Any] = []

    def staged(self, epoch: int) -> Path:
        return self.folder / f".{epoch}.json"

    def shown(self, epoch: int) -> Path:
        return self.folder / f"{epoch:09}.json"

    async def write(self, chunk: rx.Chunk[Any]) -> None:
        self.items += chunk.items

    async def recover(self, epoch: int, token: Any) -> None:
        await super().recover(epoch, token)
        for left in self.folder.glob(".*.json"):
            left.unlink()

    async def prepare(self, epoch: int) -> Any:
        items, self.items = self.items, []
        self.staged(epoch).write_text(json.dumps(items))
        return epoch

    async def commit(self, epoch: int, token: Any) -> None:
        if self.staged(epoch).exists():
            self.staged(epoch).rename(self.shown(epoch))


class ShowsTooEarly(SpoolWriter):
    async def prepare(self, epoch: int) -> Any:
        await super().prepare(epoch)
        await super().commit(epoch, epoch)


class ShowsTooLate(SpoolWriter):
    async def recover(self, epoch: int, token: Any) -> None:
        for left in self.folder.glob(".*.json"):
            if self.epoch(left) > epoch:
                left.unlink()

    async def commit(self, epoch: int, token: Any) -> None:
        pass

    async def finish(self) -> None:
        for staged in self.folder.glob(".*.json"):
            await super().commit(self.epoch(staged), None)

    def epoch(self, staged: Path) -> int:
        return int(staged.name.split(".")[1])


class ForgetsWhatWasPrepared(SpoolWriter):
    async def recover(self, epoch: int, token: Any) -> None:
        for left in self.folder.glob(".*.json"):
            left.unlink()


class CommitsWhatIsWrittenMeanwhile(SpoolWriter):
    async def prepare(self, epoch: int) -> Any:
        return None

    async def commit(self, epoch: int, token: Any) -> None:
        if self.items:
            await super().prepare(epoch)
            await super().commit(epoch, token)


class CommitsTwice(SpoolWriter):
    async def prepare(self, epoch: int) -> Any:
        items, self.items = self.items, []
        return items

    async def commit(self, epoch: int, token: Any) -> None:
        number = len(list(self.folder.iterdir()))
        self.shown(number).write_text(json.dumps(token))


class ClosesWhatIsPrepared(SpoolWriter):
    async def close(self) -> None:
        for left in self.folder.glob(".*.json"):
            left.unlink()


class TokenThatDoesNotPickle(SpoolWriter):
    async def prepare(self, epoch: int) -> Any:
        await super().prepare(epoch)
        return lambda: None


class Fails(SpoolWriter):
    async def commit(self, epoch: int, token: Any) -> None:
        raise OSError("no such luck")


class AtOnce(SpoolWriter):
    """Writes each item under its own name, which is idempotent."""

    async def write(self, chunk: rx.Chunk[Any]) -> None:
        for item in chunk.items:
            self.shown(item).write_text(json.dumps([item]))

    async def prepare(self, epoch: int) -> Any:
        return None


def visible(folder: Path) -> list[Any]:
    return [
        item for path in sorted(folder.glob("[0-9]*.json")) for item in json.loads(path.read_text())
    ]


def check(make: Callable[[Path], rx.Writer[Any]], **options: Any) -> None:
    check_sink(lambda folder: Spool(folder, make), range(15), visible, **options)


def test_a_sink_that_keeps_its_promise() -> None:
    check(SpoolWriter)


def test_a_look_may_be_async() -> None:
    async def later(folder: Path) -> list[Any]:
        return visible(folder)

    check_sink(lambda folder: Spool(folder, SpoolWriter), range(5), later)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (ShowsTooEarly, "may at most be"),
        (ShowsTooLate, "may at most be"),
        (ForgetsWhatWasPrepared, "visible is"),
        (CommitsWhatIsWrittenMeanwhile, "visible is"),
        (CommitsTwice, "visible is"),
        (ClosesWhatIsPrepared, "visible is"),
        (TokenThatDoesNotPickle, "the token does not pickle"),
        (Fails, "it raised OSError\\('no such luck'\\)"),
    ],
)
def test_a_sink_that_breaks_it(make: Any, complaint: str) -> None:
    with pytest.raises(LawBroken, match=complaint) as caught:
        check(make)
    assert "recover(0, None)" in str(caught.value)


def test_what_shows_later_may_show_parts() -> None:
    check(ShowsTooLate, shows="by parts")


def test_idempotence_is_looked_at_when_all_was_written() -> None:
    check_sink(lambda folder: Spool(folder, AtOnce, "idempotent"), range(10), visible)
    with pytest.raises(LawBroken, match="may at most be"):
        check(AtOnce)


def test_what_is_expected_may_differ_from_the_items() -> None:
    doubled = lambda items: [2 * item for item in items]  # noqa: E731

    def twice(folder: Path) -> list[Any]:
        return doubled(visible(folder))

    check_sink(lambda folder: Spool(folder, SpoolWriter), range(10), twice, expected=doubled)


def test_a_sink_that_promises_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"spool says that it is 'repeated'"):
        check_sink(lambda folder: Spool(folder, SpoolWriter, "repeated"), [1], visible)


async def test_it_is_called_from_a_plain_test() -> None:
    with pytest.raises(RuntimeError, match="not async"):
        check(SpoolWriter)
