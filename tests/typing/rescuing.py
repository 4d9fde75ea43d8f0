"""Only type-checked: errors are inferred from `on`, guarded functions keep their signatures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import assert_type

import reactive as rx

numbers = rx.range(10)
words = rx.of("a", "bb")
breaker = rx.CircuitBreaker(failures=3, reset=10, on=OSError, when=lambda error: error.errno == 5)


class Refused(Exception):
    status: int = 0


async def other(error: Exception) -> rx.Stream[bytes]:
    return rx.of(b"")


async def close() -> None: ...


def again() -> None:
    assert_type(numbers.retry(), rx.Stream[int])
    assert_type(numbers.retry(3, when=lambda error: bool(error.args)), rx.Stream[int])
    assert_type(numbers.retry(on=Refused, when=lambda e: e.status > 500), rx.Stream[int])
    assert_type(
        numbers.retry(on=(OSError, ValueError), budget=rx.RetryBudget(10, per=60)), rx.Stream[int]
    )
    assert_type(numbers.restart(rx.Backoff(maximum=60), healthy=30), rx.Stream[int])
    assert_type(numbers.restart(on=Refused, when=lambda e: e.status > 500), rx.Stream[int])
    assert_type(numbers.repeat(), rx.Stream[int])
    assert_type(numbers.repeat(3, pause=1), rx.Stream[int])


def recovering() -> None:
    assert_type(numbers.recover(words), rx.Stream[int | str])
    assert_type(
        numbers.recover(words, on=Refused, when=lambda e: e.status == 1), rx.Stream[int | str]
    )
    assert_type(numbers.recover_with(lambda error: rx.of(str(error))), rx.Stream[int | str])
    assert_type(numbers.recover_with(lambda e: rx.of(e.status), on=Refused), rx.Stream[int])
    assert_type(numbers.recover_with(other), rx.Stream[int | bytes])
    assert_type(numbers.recover_with(lambda error: rx.fail(error)), rx.Stream[int])
    assert_type(numbers.recover_with(lambda error: numbers.count()), rx.Stream[int])


def ending() -> None:
    assert_type(numbers.on_complete(lambda: print("done")), rx.Stream[int])
    assert_type(numbers.on_error(lambda error: print(error.args)), rx.Stream[int])
    assert_type(numbers.on_error(lambda e: print(e.status), on=Refused), rx.Stream[int])
    assert_type(numbers.finally_(close), rx.Stream[int])
    assert_type(numbers.finally_(lambda: print("closed")), rx.Stream[int])
    assert_type(
        numbers.on_complete(close).on_error(other).finally_(asyncio.Event().set), rx.Stream[int]
    )


@breaker
async def fetch(number: int, *, fresh: bool = False) -> bytes:
    return b""


@breaker
def parse(text: str) -> int:
    return 0


async def circuits() -> None:
    assert_type(await fetch(1, fresh=True), bytes)
    assert_type(parse("1"), int)
    assert_type(numbers.map(fetch, concurrency=2), rx.Stream[bytes])
    assert_type(words.map(parse), rx.Stream[int])
    guarded: Callable[[Exception], Awaitable[rx.Stream[bytes]]] = breaker(other)
    assert_type(numbers.recover_with(guarded), rx.Stream[int | bytes])
    assert_type(numbers.circuit_breaker(breaker), rx.Stream[int])
    with breaker.guard():
        await close()


async def refused() -> None:
    numbers.recover(5)  # type: ignore[call-overload]
    numbers.recover(lambda error: words)  # type: ignore[call-overload]
    numbers.recover_with(words)  # type: ignore[call-overload]
    numbers.retry(budget=5)  # type: ignore[call-overload]
    numbers.repeat("3")  # type: ignore[arg-type]
    numbers.on_error(lambda: None)  # type: ignore[arg-type, misc]
    numbers.circuit_breaker(5)  # type: ignore[arg-type]
    await fetch("1")  # type: ignore[arg-type]
