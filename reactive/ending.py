"""What of a graph ends by itself, and which mode of running follows from that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from reactive.context import Mode
from reactive.errors import PlanError
from reactive.fast_dataclasses import dataclass
from reactive.graph import Node, walk, with_nested
from reactive.operator import SideOperator

_FIX = (
    "take a part of it with take(count) or take_for(seconds), or say .assume_bounded() behind it "
    "if you know that it ends"
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a mode came to, and why."""

    mode: Literal["stream", "batch"]
    reason: str
    ends: bool
    """Whether everything comes to an end by itself."""


def resolve_mode(mode: Mode, roots: Sequence[Node], nodes: Sequence[Node]) -> Resolved:
    """The mode in which to run the graph of `roots`, whose nodes are `nodes`. Raises `PlanError`
    where batch was asked for and something never ends, and where an operator would wait for ever
    for the end of its input."""
    ending = _ending(roots, nodes)
    resolved = Resolved(*_resolve(mode, roots, ending), all(ending[root] for root in roots))
    _check_inputs(nodes, ending, resolved)
    graphs = [graph for node in nodes for graph in node.operator.nested()]
    while graphs:
        root = graphs.pop()
        inner = list(walk([root]))
        _check_inputs(inner, _ending([root], inner), resolved)
        graphs += (graph for node in inner for graph in node.operator.nested())
    return resolved


def _resolve(
    mode: Mode, roots: Sequence[Node], ending: Mapping[Node, bool]
) -> tuple[Literal["stream", "batch"], str]:
    if mode == "stream":
        return "stream", "asked for"
    if mode == "batch":
        for root in roots:
            if not ending[root]:
                raise PlanError(
                    'mode="batch" needs what ends by itself, and nothing says that '
                    f'{_where(_origin(root, ending))} does: {_FIX}, or use mode="stream"'
                )
        return "batch", "asked for"
    source = _endless_source(roots)
    if source is None:
        return "batch", "every source ends by itself"
    return "stream", f"nothing says that {_where(source)} ends by itself"


def _ending(roots: Sequence[Node], nodes: Sequence[Node]) -> dict[Node, bool]:
    """Which of the nodes come to an end, if only because they have had enough. A side output ends
    when all that feed it have; those run for as long as the jobs they are part of."""
    fed_in: dict[Node, set[Node]] = {}
    if any(isinstance(node.operator, SideOperator) for node in nodes):
        fed_in = {root: _sides_fed_in(root) for root in roots}
    endless: set[Node] = set()
    while True:
        ending: dict[Node, bool] = {}
        for node in nodes:
            inputs = [ending[upstream] for upstream in node.inputs]
            operator = node.operator
            ending[node] = node not in endless and (operator.cuts or operator.bounded(inputs))
        lasting = {side for root, sides in fed_in.items() if not ending[root] for side in sides}
        if lasting <= endless:
            return ending
        endless |= lasting


def _sides_fed_in(root: Node) -> set[Node]:
    return {
        side
        for node in walk([root])
        for feeder in with_nested(node)
        for side in feeder.operator.side_outputs()
    }


def _check_inputs(nodes: Iterable[Node], ending: Mapping[Node, bool], resolved: Resolved) -> None:
    """Refuse an operator that would wait for the end of an input that has none."""
    for node in nodes:
        endless = next((upstream for upstream in node.inputs if not ending[upstream]), None)
        if endless is None:
            continue
        instead = node.operator.without_end(resolved.mode == "batch")
        if instead is not None:
            raise PlanError(
                f"{_where(node)} gives nothing before its input has ended, and nothing says that "
                f"{_where(_origin(endless, ending))} ends by itself: {instead}, {_FIX}"
            )


def _origin(node: Node, ending: Mapping[Node, bool]) -> Node:
    """Where it comes from that a node has no end."""
    while True:
        upstream = next((each for each in node.inputs if not ending[each]), None)
        if upstream is None:
            return _endless_source([node]) or node
        node = upstream


def _endless_source(roots: Iterable[Node]) -> Node | None:
    """A node that has no end though its inputs may have, of all that the roots run, but for what
    is vouched for; rather one that runs no other by itself, as `retry` does."""
    found: Node | None = None
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if id(node) in seen or node.operator.vouches:
            continue
        seen.add(id(node))
        nested = node.operator.nested()
        if not node.operator.bounded([True] * len(node.inputs)):
            if not nested:
                return node
            found = found or node
        stack += reversed(node.inputs)
        stack += nested
    return found


def _where(node: Node) -> str:
    return node.label if node.location is None else f"{node.label} ({node.location})"
