"""How `map` makes one call that does not fuse: with a time limit, and again when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from operators.checking import check_seconds
from reactive.backoff import Backoff
from reactive.errors import MisusedFunctionError
from reactive.fast_dataclasses import dataclass

if TYPE_CHECKING:
    from reactive.context import Context

AsyncCall: TypeAlias = Callable[[Any], Awaitable[Any]]
ErrorTypes: TypeAlias = type[Exception] | tuple[type[Exception], ...]


@dataclass(frozen=True)
class Calling:
    """The terms of each call: `timeout` seconds for every attempt, `retry` between them."""

    timeout: float | None = None
    retry: Backoff | None = None
    retry_on: ErrorTypes = Exception

    def details(self) -> dict[str, object]:
        """For `Operator.details`."""
        shown: dict[str, object] = {}
        if self.timeout is not None:
            shown["timeout"] = f"{self.timeout:g} s"
        if self.retry is not None:
            attempts = self.retry.attempts
            shown["retry"] = "for ever" if attempts is None else f"up to {attempts} times"
        return shown

    def bind(self, call: AsyncCall, context: Context) -> AsyncCall:
        """`call` on these terms, in one run."""
        if self.timeout is not None:
            call = _limited(call, self.timeout, context)
        if self.retry is not None:
            call = _retried(call, self.retry, self.retry_on, context)
        return call


def check_calling(
    timeout: float | None,
    retry: Backoff | int | None,
    retry_on: ErrorTypes,
    on: str,
    operator: str = "map",
) -> Calling:
    """The terms as the user gave them, refused where they make no sense."""
    if timeout is not None:
        check_seconds(operator, "`timeout`", timeout)
        if on != "loop":
            raise ValueError(
                f'map(on="{on}") cannot interrupt a call, so that a timeout would only hide that '
                "it goes on; have the function itself give up"
            )
    if isinstance(retry, int) and not isinstance(retry, bool):
        retry = Backoff(attempts=retry)
    if retry is not None and not isinstance(retry, Backoff):
        raise TypeError(f"{operator}: retry is a rx.Backoff or a number of attempts, not {retry!r}")
    for kind in retry_on if isinstance(retry_on, tuple) else (retry_on,):
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(
                f"{operator}: retry_on needs exception types such as OSError, not {kind!r}"
            )
    if retry is None and retry_on is not Exception:
        raise ValueError(
            f"{operator}: retry_on says which errors to try again after; pass retry= as well"
        )
    return Calling(timeout, retry, retry_on)


def _limited(call: AsyncCall, seconds: float, context: Context) -> AsyncCall:
    async def limited(item: Any) -> Any:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await call(item)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutError(f"{context.name}: no result within {seconds:g} s") from error

    return limited


def _retried(call: AsyncCall, backoff: Backoff, on: ErrorTypes, context: Context) -> AsyncCall:
    async def retried(item: Any) -> Any:
        delays: Iterator[float] | None = None
        attempts = 0
        while True:
            attempts += 1
            try:
                return await call(item)
            except MisusedFunctionError:
                raise
            except on as error:
                if delays is None:
                    delays = backoff.delays()
                delay = next(delays, None)
                if delay is None:
                    if attempts > 1:
                        error.add_note(f"given up after {attempts} attempts")
                    raise
            context.meter.count("retries")
            await asyncio.sleep(delay)

    return retried
