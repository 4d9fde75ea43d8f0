"""What `reactive.fast_dataclasses` makes is what `dataclasses` makes."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, InitVar, field
from typing import Any, ClassVar

import pytest

from reactive import fast_dataclasses

EACH: Any = (dataclasses.dataclass, fast_dataclasses.dataclass)
BOTH: Any = pytest.mark.parametrize("dataclass", EACH)
NAMES = ("Point", "Named", "Listed", "ByKeyword", "Unequal", "Checked", "OwnEquality", "OwnHash")


def classes(dataclass: Any) -> dict[str, Any]:
    """The same classes, made by one or the other."""

    @dataclass(frozen=True)
    class Point:
        kind: ClassVar[str] = "point"
        x: int
        y: int = 2

    @dataclass(frozen=True)
    class Named(Point):
        """A point with a name."""

        name: str = "here"

    @dataclass(frozen=True)
    class Listed:
        items: list[int] = field(default_factory=list)
        hidden: int = field(default=3, repr=False, compare=False)

    @dataclass(frozen=True, kw_only=True)
    class ByKeyword(Point):
        z: int = 5
        w: int = field(default=6, kw_only=False)

    @dataclass(frozen=True, eq=False)
    class Unequal:
        x: int = 1

    @dataclass(frozen=True)
    class Checked:
        x: int = 1

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("x is negative")

    @dataclass(frozen=True)
    class OwnEquality:
        x: int = 1

        def __eq__(self, other: object) -> bool:
            return True

        def __repr__(self) -> str:
            return "own"

    @dataclass(frozen=True)
    class OwnHash:
        x: int = 1

        def __hash__(self) -> int:
            return 7

    return {name: made for name, made in locals().items() if name != "dataclass"}


SLOW, FAST = classes(dataclasses.dataclass), classes(fast_dataclasses.dataclass)
VALUES: dict[str, Callable[[Any], list[Any]]] = {
    "Point": lambda cls: [cls(1), cls(1), cls(1, 3), cls(y=3, x=1)],
    "Named": lambda cls: [cls(1), cls(1, 2, "there"), cls(1, name="there")],
    "Listed": lambda cls: [cls(), cls([1]), cls(hidden=4)],
    "ByKeyword": lambda cls: [cls(1, z=3), cls(1, 2, 4, z=3), cls(1, 2, w=4)],
    "Unequal": lambda cls: [cls(), cls(), cls(2)],
    "Checked": lambda cls: [cls(1), cls(2)],
    "OwnEquality": lambda cls: [cls(1), cls(2)],
    "OwnHash": lambda cls: [cls(1), cls(2), cls(2)],
}


@pytest.mark.parametrize("name", NAMES)
def test_objects_show_compare_and_hash_alike(name: str) -> None:
    slow, fast = VALUES[name](SLOW[name]), VALUES[name](FAST[name])
    if name != "Unequal":
        assert [repr(value) for value in fast] == [repr(value) for value in slow]
        assert [hashed(value) for value in fast] == [hashed(value) for value in slow]
    assert [[one == other for one in fast] for other in fast] == [
        [one == other for one in slow] for other in slow
    ]
    assert fast[0] != slow[0] or name == "OwnEquality"
    for value in fast:
        assert dataclasses.asdict(value) == vars(value)
        assert vars(copy.copy(value)) == vars(dataclasses.replace(value)) == vars(value)


def hashed(value: Any) -> Any:
    try:
        return hash(value)
    except TypeError as error:
        return str(error)


@pytest.mark.parametrize("name", NAMES)
def test_classes_say_alike_what_they_have(name: str) -> None:
    slow, fast = SLOW[name], FAST[name]
    assert str(inspect.signature(fast)) == str(inspect.signature(slow))
    assert fast.__match_args__ == slow.__match_args__
    assert fast.__init__.__qualname__ == slow.__init__.__qualname__
    assert dataclasses.is_dataclass(fast)
    told = [[repr(each) for each in dataclasses.fields(cls)] for cls in (fast, slow)]
    assert told[0] == told[1]


@BOTH
def test_nothing_can_be_changed(dataclass: Any) -> None:
    made = classes(dataclass)

    class Open(made["Point"]):  # type: ignore[misc]
        more: int

    point, opened = made["Point"](1), Open(1)
    for name in ("x", "new"):
        with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(point, name, 5)
        with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
            delattr(point, name)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
        opened.x = 5
    opened.more = 5
    del opened.more
    with pytest.raises(ValueError, match="x is negative"):
        made["Checked"](-1)
    with pytest.raises(
        TypeError, match=r"__init__\(\) missing 1 required positional argument: 'x'"
    ):
        made["Point"]()
    assert made["Listed"]().items is not made["Listed"]().items


@BOTH
def test_either_inherits_from_the_other(dataclass: Any) -> None:
    (inherit,) = (other for other in EACH if other is not dataclass)
    point = classes(dataclass)["Point"]
    more = inherit(frozen=True)(type("More", (point,), {"__annotations__": {"z": "int"}, "z": 9}))
    assert repr(more(1)) == "More(x=1, y=2, z=9)"
    assert more(1, z=3) == more(1, 2, 3)
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):
        inherit(type("Thawed", (point,), {"__annotations__": {"z": "int"}, "z": 9}))
    thawed = inherit(type("Thawed", (), {"__annotations__": {"z": "int"}, "z": 9}))
    with pytest.raises(TypeError, match="cannot inherit frozen dataclass from a non-frozen one"):
        dataclass(frozen=True)(type("Frozen", (thawed,), {"__annotations__": {}}))


@fast_dataclasses.dataclass(frozen=True)
class Pickled:
    inside: Any
    other: int = 0


def test_objects_are_pickled_and_matched() -> None:
    assert pickle.loads(pickle.dumps(Pickled([1], 2))) == Pickled([1], 2)
    match Pickled(1, 2):
        case Pickled(inside, other=other):
            assert (inside, other) == (1, 2)
    knot: list[Any] = []
    knot.append(Pickled(knot))
    assert repr(knot) == "[Pickled(inside=[...], other=0)]"


def test_what_is_not_known_is_left_to_dataclasses() -> None:
    @fast_dataclasses.dataclass(frozen=True)
    class Given:
        x: int = field(default=0, init=False)
        start: InitVar[int] = 1

        def __post_init__(self, start: int) -> None:
            object.__setattr__(self, "x", start * 2)

    @fast_dataclasses.dataclass(frozen=True, slots=True, order=True)
    class Slotted:
        x: int

    assert Given(4).x == 8
    assert Slotted(1) < Slotted(2)
    assert not hasattr(Slotted(1), "__dict__")
