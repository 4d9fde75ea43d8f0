"""What operators refuse where a pipeline is described, and how they bind users' functions."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, GeneratorType
from typing import TYPE_CHECKING, Any

from reactive.errors import MisusedFunctionError
from reactive.fuse import Code

if TYPE_CHECKING:
    from reactive.context import Context


class _Missing:
    """Marks what is not there yet, or was not given; the same object after pickling."""

    def __reduce__(self) -> str:
        return "MISSING"


MISSING = _Missing()


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling `fn` is known to give a coroutine."""
    # Asking `inspect` costs more than the rest of an operator that is described at run time.
    if isinstance(fn, (BuiltinFunctionType, type)):
        return False
    if isinstance(fn, FunctionType) and not fn.__dict__:
        return bool(fn.__code__.co_flags & inspect.CO_COROUTINE)
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
        getattr(fn, "__call__", None)  # noqa: B004  async callables define the method
    )


def check_callable(operator: str, fn: object) -> None:
    """Refuse what cannot be called, where the pipeline is described."""
    if not callable(fn):
        raise TypeError(f"{operator} needs a function, not {type(fn).__name__} {fn!r}")


def check_plain(operator: str, fn: object) -> None:
    """Refuse what cannot be called or what nobody would await, where the pipeline is described."""
    check_callable(operator, fn)
    if callable(fn) and is_async(fn):
        raise TypeError(
            f"{operator} takes a plain function, and {fn!r} is async; use map(...) for the part "
            "that has to be awaited"
        )


def bind_plain(code: Code, hint: str, fn: Callable[..., Any]) -> str:
    """A name for the user's plain function, whose first result is looked at."""
    name = code.bind(hint, fn)
    code.check_first_call(name, _refuse_unless_mapped)
    return name


def _refuse_unless_mapped(result: object) -> None:
    refuse_awaitable(
        result, "write it as `async def`, or pass concurrency=1 to have each result awaited"
    )


def refuse_awaitable(
    result: object, fix: str = "use map(...) for the part that has to be awaited"
) -> None:
    """Catch a plain function that hands back a coroutine, such as `lambda x: fetch(x)`."""
    kind = type(result)
    if not hasattr(kind, "__await__") and kind is not GeneratorType:
        # `inspect` would come to the same, in three times the time.
        return
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise MisusedFunctionError(
            f"the function gave {type(result).__name__}, which nobody would await; {fix}"
        )


def giving_awaitables(operator: str, fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`fn`, of which nobody knows whether it gives what can be awaited, refused if it does not."""
    if is_async(fn):
        return fn

    def call(item: Any) -> Any:
        result = fn(item)
        if not inspect.isawaitable(result):
            raise MisusedFunctionError(
                f"{operator} awaits what its function gives, and it gave {result!r}; leave out "
                'concurrency=, or run a plain function beside the loop with on="thread"'
            )
        return result

    return call


def check_count(operator: str, count: int, at_least: int = 0) -> None:
    """Refuse a count that makes no sense, where the pipeline is described."""
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{operator} needs a whole number of items, not {count!r}")
    if count < at_least:
        raise ValueError(f"{operator} needs a count of at least {at_least}, not {count}")


def check_seconds(operator: str, what: str, seconds: float, *, zero: bool = False) -> None:
    """Refuse a time that makes no sense, where the pipeline is described."""
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise TypeError(f"{operator} needs {what} in seconds, not {seconds!r}")
    if not (math.isfinite(seconds) and (seconds > 0 or (zero and seconds == 0))):
        least = "of 0 seconds or more" if zero else "above 0 seconds"
        raise ValueError(f"{operator} needs {what} {least}, not {seconds}")


def explain_key(error: Exception, context: Context) -> None:
    """Say of a key that cannot be hashed whose it is; dictionaries only tell its type."""
    traceback = error.__traceback__
    if type(error) is not TypeError or traceback is None:
        return
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    names = traceback.tb_frame.f_locals
    for key in (names.get("of"), names.get("key")):
        try:
            hash(key)
        except TypeError:
            raise TypeError(
                f"{context.where()}: key_by gave {key!r}, a {type(key).__name__}, which cannot be "
                "hashed; have it give a string, a number or a tuple of such"
            ) from error
