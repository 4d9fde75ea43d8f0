"""Generated code around aggregators: what they write with, and how it becomes functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reactive.fuse import compile_source

if TYPE_CHECKING:
    from operators.aggregates import Aggregator


class AggregateCode:
    """What an aggregator writes code with. `item` names the item; `held` is the accumulator, an
    expression that can be assigned to."""

    def __init__(self) -> None:
        self.item = "item"
        self.held = "held"
        self._names = 0
        self._depth = 0
        self._lines: list[str] = []
        self._bindings: dict[str, Any] = {}

    def bind(self, hint: str, value: Any) -> str:
        """A name by which the code reaches a Python object, such as the user's function."""
        name = self.fresh(hint)
        self._bindings[name] = value
        return name

    def fresh(self, hint: str) -> str:
        """A name that nothing else has, for a variable that lasts for one item."""
        self._names += 1
        return f"{hint}_{self._names}"

    def line(self, text: str) -> None:
        """Add a line."""
        self._lines.append("    " * self._depth + text)

    def block(self, header: str, *lines: str) -> None:
        """Add a block: a header line and what stands under it."""
        self.line(header)
        self._depth += 1
        for text in lines:
            self.line(text)
        self._depth -= 1

    def take_lines(self) -> list[str]:
        """What was written since the last time."""
        lines, self._lines = self._lines, []
        return lines

    def functions(self, lines: Sequence[str], names: Sequence[str], title: str) -> list[Any]:
        """Compile `lines`, which define functions with these names; what was bound is at hand."""
        arguments = ", ".join(self._bindings)
        body = [*lines, f"return {', '.join(names)},"]
        text = f"def make({arguments}):\n" + "".join(f"    {line}\n" for line in body)
        code, _ = compile_source(text, title)
        namespace: dict[str, Any] = {"__name__": "reactive.windows"}
        exec(code, namespace)
        return list(namespace["make"](*self._bindings.values()))


def code_of(aggregator: Aggregator[Any, Any, Any], method: str) -> Any:
    """The aggregator's own code for `method`, or the general one that calls the method: where a
    subclass has overridden that and not the code for it, the code is of something else."""
    from operators.aggregates import Aggregator

    for kind in type(aggregator).__mro__:
        if f"{method}_code" in vars(kind):
            return getattr(aggregator, f"{method}_code")
        if method in vars(kind):
            break
    return getattr(Aggregator, f"{method}_code").__get__(aggregator)
