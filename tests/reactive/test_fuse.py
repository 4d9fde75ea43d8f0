"""Operators of one's own as generated code: names, states, ends, and what a reader sees of it."""

from __future__ import annotations

import gc
import linecache
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

import reactive as rx
from operators.checking import refuse_awaitable
from operators.mapping import Map
from reactive.fuse import Code
from reactive.operator import Inline


def using(stream: rx.Stream[Any], operator: Inline) -> rx.Stream[Any]:
    return stream._then(operator)


@dataclass(frozen=True)
class EveryNth(Inline):
    """Gives every nth item, and at the end the last one that was left out."""

    n: int

    def emit(self, code: Code) -> None:
        left = code.state("left", str(self.n))
        skipped = code.state("skipped", "()")
        code.line(f"{left} -= 1")
        code.block(f"if {left}:", f"{skipped} = ({code.item},)", *code.skipping())
        code.line(f"{left}, {skipped} = {self.n}, ()")

    def end(self, code: Code) -> str:
        return code.state("skipped", "()")


async def test_an_operator_of_ones_own_fuses_with_its_neighbours() -> None:
    stream = using(rx.range(8).map(lambda x: x + 1), EveryNth(3)).map(lambda x: x * 10)
    assert await stream.collect() == [30, 60, 80]
    assert await stream.collect() == [30, 60, 80]
    twice = using(using(rx.range(20), EveryNth(2)), EveryNth(3))
    assert await twice.collect() == [5, 11, 17, 19]
    assert "fused into one loop" in str(twice.explain())


@dataclass(frozen=True)
class Ending(Inline):
    """Passes items on; what it gives at the end is all that tells one from another."""

    last: str
    bound: bool = False

    def emit(self, code: Code) -> None:
        code.let(code.item)

    def end(self, code: Code) -> str:
        return f"({code.bind('last', self.last) if self.bound else repr(self.last)},)"


async def test_groups_that_differ_in_their_ends_or_in_what_is_bound_keep_apart() -> None:
    for last in ("a", "b"):
        for bound in (False, True):
            stream = using(rx.of(0), Ending(last, bound))
            assert await stream.map(str).collect() == ["0", last]
            assert await stream.map(lambda x: x).collect() == [0, last]


async def test_groups_that_are_made_again_and_again_are_written_once() -> None:
    def filenames() -> set[str]:
        return {name for name in linecache.cache if "fused" in name}

    async def run(number: int) -> None:
        assert await rx.of(1, 5).map(lambda x: x + number).count().collect() == [2]

    await run(0)
    before = filenames()
    for number in range(20):
        await run(number)
    assert filenames() == before


@dataclass(frozen=True)
class Between(Inline):
    """Keeps what lies between what two functions give."""

    binds: ClassVar[tuple[str, ...] | None] = ("low", "high")

    low: Callable[[], int]
    high: Callable[[], int]
    inclusive: bool

    def emit(self, code: Code) -> None:
        low, high = code.bind("low", self.low), code.bind("high", self.high)
        less = "<=" if self.inclusive else "<"
        code.skip_unless(f"{low}() {less} {code.item} {less} {high}()")


async def test_what_is_only_bound_is_bound_anew_without_writing_again() -> None:
    def number(value: int) -> Callable[[], int]:
        return lambda: value

    same = number(2)
    for _ in range(3):
        for low, high in ((number(1), number(3)), (number(2), number(4)), (same, same)):
            for inclusive in (False, True):
                stream = using(rx.range(9), Between(low, high, inclusive))
                first, last = (low(), high()) if inclusive else (low() + 1, high() - 1)
                assert await stream.collect() == [*range(first, last + 1)]
                twice = using(stream, Between(number(0), number(3), True)).map(str)
                assert await twice.collect() == [str(x) for x in range(first, min(last, 3) + 1)]


async def test_what_belongs_to_a_run_is_made_for_every_run() -> None:
    @dataclass(frozen=True)
    class Seen(Inline):
        binds: ClassVar[tuple[str, ...] | None] = ()

        def emit(self, code: Code) -> None:
            seen = code.bind("seen", [])
            code.line(f"{seen}.append({code.item})")
            code.let(f"len({seen})")

    for _ in range(3):
        assert await using(rx.of("a", "b"), Seen()).collect() == [1, 2]


async def test_an_operator_that_changes_the_code_of_another_is_written_itself() -> None:
    @dataclass(frozen=True)
    class Louder(Map):
        def emit(self, code: Code) -> None:
            super().emit(code)
            code.let(f"{code.item} + '!'")

    for _ in range(3):
        assert await rx.of("a").map(str.upper).collect() == ["A"]
        assert await using(rx.of("a"), Louder(str.upper)).collect() == ["A!"]


async def test_a_function_that_is_bound_by_itself_as_well_keeps_its_places() -> None:
    for fn in (refuse_awaitable, str, refuse_awaitable, abs):
        assert await rx.of(1).map(fn).collect() == [fn(1)]


async def test_functions_that_end_up_in_recipes_are_not_kept_alive() -> None:
    class Held:
        def __call__(self, item: int) -> int:
            return item

    gone = []
    for _ in range(3):
        held = Held()
        gone.append(weakref.ref(held))
        assert await rx.of(1).map(held).take(1).collect() == [1]
        del held
    gc.collect()
    assert [one() for one in gone] == [None, None, None]


@dataclass(frozen=True)
class Clash(Inline):
    """Uses one name for two things."""

    state_first: bool

    def emit(self, code: Code) -> None:
        for kind in (self.state_first, not self.state_first):
            if kind:
                code.state("value", "0")
            else:
                code.bind("value", len)


@pytest.mark.parametrize("state_first", [True, False])
async def test_one_name_for_a_binding_and_a_state_is_refused(state_first: bool) -> None:
    with pytest.raises(ValueError, match=r"clash \(.*uses 'value' for a binding and for a state"):
        await using(rx.of(1), Clash(state_first)).collect()


async def test_a_traceback_shows_the_generated_line() -> None:
    def broken(x: int) -> float:
        return 1 / x

    with pytest.raises(ZeroDivisionError) as caught:
        await rx.of(1, 0).map(broken).map(str).collect()
    frames = traceback.extract_tb(caught.value.__traceback__)
    (frame,) = [frame for frame in frames if frame.filename.startswith("<reactive fused")]
    assert frame.line is not None
    assert "fn_0(x0)" in frame.line
    assert "map|map" in frame.filename
    assert linecache.getline(frame.filename, frame.lineno or 0).strip() == frame.line


@pytest.mark.parametrize("mark", ["{x}", "{}", "%s", "\\n", '"""', "'''", "#"])
async def test_labels_and_values_cannot_get_into_the_code(mark: str) -> None:
    stream = rx.of(mark).map(lambda x: x + mark).named(mark).scan(lambda a, b: a + b, mark)
    assert await stream.filter(lambda x: mark in x).last(default=mark) == mark * 3
