"""Which errors an operator of the rescuing family takes care of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from operators.checking import check_plain, refuse_awaitable
from reactive.errors import PlanError
from reactive.fast_dataclasses import dataclass
from reactive.fuse import annotate

if TYPE_CHECKING:
    from reactive.context import Context

ErrorTypes: TypeAlias = type[Exception] | tuple[type[Exception], ...]


@dataclass(frozen=True)
class Condition:
    """The types an error must have, and what a function must say of it.

    A `PlanError` never meets it: no further attempt makes a pipeline right that cannot run.
    """

    on: ErrorTypes = Exception
    when: Callable[[Any], object] | None = None

    def met_by(self, error: BaseException) -> bool:
        """Whether an error is one of those meant. Raises what `when` raises."""
        if isinstance(error, PlanError) or not isinstance(error, self.on):
            return False
        if self.when is None:
            return True
        answer = self.when(error)
        refuse_awaitable(answer)
        return bool(answer)

    def met_in(self, context: Context, error: BaseException) -> bool:
        """The same; what `when` raises says which operator it belongs to."""
        try:
            return self.met_by(error)
        except Exception as failure:
            annotate(failure, context)
            raise


def condition(
    operator: str, on: ErrorTypes, when: Callable[[Any], object] | None = None
) -> Condition:
    """Refuse what `except` could not name, or what would catch a cancellation."""
    for kind in on if isinstance(on, tuple) else (on,):
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"{operator}: `on` needs exception types such as OSError, not {on!r}")
    if when is not None:
        check_plain(f"{operator}: `when`", when)
    return Condition(on, when)
