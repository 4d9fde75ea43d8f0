"""Inner pipelines of items in memory with operators that fuse into one loop: a call for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from inspect import CO_GENERATOR
from operator import is_
from typing import TYPE_CHECKING, Any

from operators.creating import items_at_hand
from reactive.fuse import annotate, gives_at_end, known_recipe, owner_of
from reactive.operator import Inline, Operator
from reactive.steps import fair_slice

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.graph import Node
    from reactive.recipes import Recipe


class InnerLoop:
    """Runs pipelines that are described by the same lines, with the function that was generated for
    the first of them. Their operators give no more than they get, and nothing at the end."""

    def __init__(
        self,
        nodes: Sequence[Node],
        recipe: Recipe,
        contexts: Sequence[Context],
        slices: list[int],
    ) -> None:
        self._recipe = recipe
        self._contexts = contexts
        self._slices = slices
        self._time = asyncio.get_running_loop().time
        self._meters = [context.meter for context in (contexts[0], contexts[1], contexts[-1])]
        # From the end to the source.
        self._marks = [(node.location, node.name, type(node.operator)) for node in nodes[::-1]]
        source: Any = nodes[0].operator
        self._kind_of_source = type(source.source)
        self._bound: list[Any] = []
        self._function: Callable[..., Any] | None = None

    def run(self, root: Node, room: int, result: list[Any]) -> bool:
        """Add to the result what a pipeline gives; on a failure, what comes before it. False where
        it is none for this loop, or gives too much at once."""
        operators: list[Any] = []
        node = root
        for location, name, kind in self._marks:
            operator = node.operator
            if type(operator) is not kind or node.location is not location or node.name != name:
                return False
            operators.append(operator)
            if node.inputs:
                node = node.inputs[0]
        source = operators.pop().source
        # The type tells what it is called.
        items = items_at_hand(source) if type(source) is self._kind_of_source else None
        # A chain of the same kind has learned how many are quick.
        most = self._slices[0] if self._slices else 1
        if items is None or not (1 < most >= len(items) <= room):
            return False
        operators.reverse()
        if not self._recipe.fits(operators):
            return False
        self._call(items, operators, result)
        return True

    def _call(self, items: Sequence[Any], operators: Sequence[Inline], result: list[Any]) -> None:
        count = len(items)
        function = self._bind(self._recipe.values(operators))
        source, first, last = self._meters
        source.items_out += count
        first.items_in += count
        before = self._time() if count > 1 else 0.0
        try:
            function(items, result.append, None, 0)
        except Exception as error:
            made = self._recipe.source
            index = owner_of(error.__traceback__, made.code.co_filename, made.owners)
            if index is not None:
                annotate(error, self._contexts[index + 1])
            raise
        finally:
            last.items_out += len(result)
        if count > 1:
            self._slices[0] = fair_slice(self._slices[0], count, self._time() - before)

    def _bind(self, values: list[Any]) -> Callable[..., Any]:
        """The function of the loop; the one of before, where it is to call the same."""
        if self._function is not None and all(map(is_, values, self._bound)):
            return self._function
        function, *_, snapshot, _ = self._recipe.source.make(*values)
        if not snapshot():
            self._function, self._bound = function, values
        made: Callable[..., Any] = function
        return made


def inner_loop(
    nodes: Sequence[Node], contexts: Sequence[Context], slices: list[int]
) -> InnerLoop | None:
    """The loop of a pipeline that has run as a chain; None where only a chain will do."""
    operators: list[Any] = [node.operator for node in nodes[1:]]
    if any(gives_at_end(each) or type(each).label is not Operator.label for each in operators):
        return None
    recipe = known_recipe(operators)
    if recipe is None:
        return None
    function = recipe.source.make(*recipe.values(operators))[0]
    if function.__code__.co_flags & CO_GENERATOR:
        return None
    return InnerLoop(nodes, recipe, contexts, slices)
