"""The blueprint as a graph: nodes, their names and places, and the base that families extend."""

from __future__ import annotations

import os
import sys
import typing
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from reactive.fast_dataclasses import dataclass
from reactive.operator import Operator

if TYPE_CHECKING:
    from reactive.stream import Single, Stream

T_co = TypeVar("T_co", covariant=True)

_ROOT = os.path.dirname(os.path.dirname(__file__))
_OWN_FOLDERS = tuple(
    os.path.join(_ROOT, room, "") for room in ("reactive", "operators", "connectors")
)
_DEMO = os.path.join(_ROOT, "reactive", "demo", "")
"""The demo is a program of a user's kind, although it ships with the library."""


@dataclass(frozen=True, slots=True)
class Location:
    """The line of user code that defined an operator."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@lru_cache(maxsize=1024)
def _is_own(file: str) -> bool:
    own = file.startswith(_OWN_FOLDERS) and not file.startswith(_DEMO)
    return own or file == typing.__file__


_location = lru_cache(maxsize=4096)(Location)
"""One object for each line: streams made at run time come from few of them, and very often."""


def caller_location() -> Location | None:
    """The nearest line on the stack that is not the library's own."""
    # Whoever asks is the library's own.
    frame = sys._getframe(1).f_back
    while frame is not None:
        code = frame.f_code
        if not _is_own(code.co_filename):
            return _location(code.co_filename, frame.f_lineno, code.co_qualname)
        frame = frame.f_back
    return None


# Without slots it is made in less time, and streams are described at run time too, very often.
@dataclass(frozen=True, eq=False)
class Node:
    """One operator in a graph. Identity matters: a node used twice runs once and fans out."""

    operator: Operator
    inputs: tuple[Node, ...] = ()
    name: str | None = None
    location: Location | None = None

    @property
    def label(self) -> str:
        """The user's name for it, or the operator's own."""
        return self.name or self.operator.label


def walk(roots: Iterable[Node]) -> Iterator[Node]:
    """Every node that the roots need, inputs before their consumers, each once."""
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((upstream, False) for upstream in reversed(node.inputs))


def _with_everything_before(root: Node) -> tuple[Node, ...]:
    """A node with all it refers to, each after what it refers to itself."""
    ordered: dict[int, Node] = {}
    seen: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            ordered[id(node)] = node
        elif id(node) not in seen:
            seen.add(id(node))
            operator = node.operator
            stack.append((node, True))
            for others in (node.inputs, operator.nested(), operator.side_outputs()):
                stack.extend((other, False) for other in others)
    return tuple(ordered.values())


def _restore(kind: type[Blueprint[Any]], nodes: tuple[Node, ...]) -> Blueprint[Any]:
    blueprint = kind.__new__(kind)
    blueprint._node = nodes[-1]
    return blueprint


def boundedness(nodes: Iterable[Node]) -> dict[Node, bool]:
    """Which of the nodes end by themselves; inputs come before their consumers, as `walk` gives."""
    bounded: dict[Node, bool] = {}
    for node in nodes:
        bounded[node] = node.operator.bounded([bounded[upstream] for upstream in node.inputs])
    return bounded


def with_nested(node: Node) -> Iterator[Node]:
    """An operator, and those of all graphs that run within it."""
    yield node
    graphs = list(node.operator.nested())
    while graphs:
        for inner in walk([graphs.pop()]):
            yield inner
            graphs += inner.operator.nested()


class Blueprint(Generic[T_co]):
    """The base of `Stream` and of every operator family: an immutable description.

    Families are mixins over it. They build new streams with `_then`; `Stream`, which inherits
    every family, is made known here once it exists.
    """

    __slots__ = ("_node",)

    stream_class: ClassVar[type[Stream[Any]]]
    single_class: ClassVar[type[Single[Any]]]

    def __init__(self, node: Node) -> None:
        self._node = node

    def __reduce__(self) -> tuple[Any, ...]:
        # Nodes are given after those they refer to: pickling does not descend the whole chain.
        return _restore, (type(self), _with_everything_before(self._node))

    @property
    def node(self) -> Node:
        """The graph node this stream is the output of."""
        return self._node

    def _then(self, operator: Operator, *others: Blueprint[Any]) -> Stream[Any]:
        """The stream that `operator` makes of this one and `others`, defined at the caller."""
        inputs: tuple[Node, ...] = (self._node,)
        if others:
            inputs += tuple(as_stream(other)._node for other in others)
        return Blueprint.stream_class(Node(operator, inputs, None, caller_location()))

    def _one(self, operator: Operator) -> Single[Any]:
        """The same for an operator that gives exactly one item."""
        return Blueprint.single_class(Node(operator, (self._node,), None, caller_location()))

    def _renamed(self, name: str) -> Stream[T_co]:
        if not isinstance(name, str):
            raise TypeError(f"an operator's name is a string, not {name!r}")
        if not name:
            raise ValueError("an operator's name must not be empty")
        return Blueprint.stream_class(replace(self._node, name=name))


def stream_of(operator: Operator, *inputs: Blueprint[Any]) -> Stream[Any]:
    """A stream that starts at `operator`."""
    nodes = tuple(as_stream(stream)._node for stream in inputs) if inputs else ()
    return Blueprint.stream_class(Node(operator, nodes, None, caller_location()))


def as_stream(value: Blueprint[Any]) -> Blueprint[Any]:
    """Refuse what is not a stream, with the fix, where the pipeline is described."""
    if not isinstance(value, Blueprint):
        raise TypeError(
            f"expected a Stream, got {type(value).__name__}; wrap it with "
            "rx.from_iterable(...) or rx.from_async_iterable(...)"
        )
    return value
