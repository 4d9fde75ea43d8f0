"""What an operator does when the user's function fails on an item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar, Union

from reactive.errors import MisusedFunctionError
from reactive.fast_dataclasses import dataclass
from reactive.graph import Blueprint, Node
from reactive.operator import SideOperator

if TYPE_CHECKING:
    from reactive.context import Context
    from reactive.stream import SideOutput

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class DeadLetter(Generic[T_co]):
    """An item that an operator could not handle, why, and the operator's name."""

    item: T_co
    error: Exception
    operator: str


@dataclass(frozen=True, slots=True)
class Replace(Generic[T_co]):
    """An error policy that puts something in place of the failed item; see `replace`."""

    substitute: Callable[[Any, Exception], T_co]


@dataclass(frozen=True, slots=True)
class _Constant(Generic[T_co]):
    value: T_co

    def __call__(self, item: Any, error: Exception) -> T_co:
        return self.value


def replace(value: U) -> Replace[U]:
    """An error policy: give `value` in place of each item that fails. Counted as `replaced`.

    ```python
    stream.map(float, on_error=rx.replace(0.0))
    ```
    """
    return Replace(_Constant(value))


def replace_with(substitute: Callable[[Any, Exception], U]) -> Replace[U]:
    """An error policy: give `substitute(item, error)` in place of each item that fails.

    ```python
    stream.map(parse, on_error=rx.replace_with(lambda line, error: {"unparsed": line}))
    ```
    """
    if not callable(substitute):
        raise TypeError(
            f"replace_with needs a function of the item and the error, not {substitute!r}; for a "
            "value use rx.replace(value)"
        )
    return Replace(substitute)


ErrorPolicy: TypeAlias = Union[Literal["raise", "skip"], Replace[U], "SideOutput[DeadLetter[Any]]"]


def check_policy(policy: object) -> None:
    """Refuse what is no error policy, where the pipeline is described."""
    if policy in ("raise", "skip") or isinstance(policy, Replace) or side_node(policy) is not None:
        return
    raise TypeError(
        'on_error must be "raise", "skip", rx.replace(value), rx.replace_with(function) or an '
        f"rx.SideOutput, not {policy!r}"
    )


def side_node(policy: object) -> Node | None:
    """The side output that a policy sends to, if it does."""
    if isinstance(policy, Blueprint) and isinstance(policy.node.operator, SideOperator):
        return policy.node
    return None


def policy_sides(policy: object) -> Sequence[Node]:
    """For `Operator.side_outputs`."""
    node = side_node(policy)
    return () if node is None else (node,)


def describe_policy(policy: object) -> dict[str, object]:
    """For `Operator.details`."""
    if policy == "raise":
        return {}
    node = side_node(policy)
    if node is not None:
        return {"on_error": f"to side output {node.operator.label}"}
    return {"on_error": "replace" if isinstance(policy, Replace) else policy}


@dataclass(frozen=True, slots=True)
class Handler:
    """A policy at work in one run: call it with the item and the error."""

    handle: Callable[[Any, Exception], Any]
    replaces: bool


def bind_policy(policy: object, context: Context) -> Handler | None:
    """The policy's handler for one run; None when errors are raised."""
    handler = _handler(policy, context)
    if handler is None:
        return None
    handle = handler.handle

    def unless_misused(item: Any, error: Exception) -> Any:
        if isinstance(error, MisusedFunctionError):
            raise error
        return handle(item, error)

    return Handler(unless_misused, handler.replaces)


def _handler(policy: object, context: Context) -> Handler | None:
    count = context.meter.count
    node = side_node(policy)
    if node is not None:
        send = context.side(node)

        def to_side(item: Any, error: Exception) -> None:
            count("dead_letters")
            send(DeadLetter(item, error, context.name))

        return Handler(to_side, replaces=False)
    if isinstance(policy, Replace):
        substitute = policy.substitute

        def put_in_place(item: Any, error: Exception) -> Any:
            count("replaced")
            return substitute(item, error)

        return Handler(put_in_place, replaces=True)
    if policy == "skip":

        def skip(item: Any, error: Exception) -> None:
            count("skipped")

        return Handler(skip, replaces=False)
    return None
