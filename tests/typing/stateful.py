"""Only type-checked: handlers, states and patterns of keyed streams, in both checkers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_type

import reactive as rx


@dataclass(frozen=True)
class Login:
    user: str
    ok: bool
    at: int


logins = rx.of(Login("ann", True, 1)).event_time(lambda login: login.at)
keyed = logins.key_by(lambda login: login.user)
late = rx.SideOutput[Login]("late")


class Failures(rx.KeyedProcess[str, Login, tuple[str, int]]):
    count = rx.ValueState(0, ttl=3600)
    last = rx.ValueState[Login | None](None)
    recent = rx.ListState[Login](ttl=60)
    by_hour = rx.MapState[int, int](ttl=lambda handler: 60, expires="watermark")
    total = rx.ReducingState(rx.count())

    def __init__(self, most: int = 3) -> None:
        self.most = most

    def on_item(self, item: Login, context: rx.ProcessContext[str]) -> Iterator[tuple[str, int]]:
        assert_type(self.count, int)
        assert_type(self.last, Login | None)
        assert_type(self.recent[0], Login)
        assert_type(self.recent[:2], list[Login])
        assert_type(list(self.recent), list[Login])
        assert_type(self.by_hour[3], int)
        assert_type(self.by_hour.get(3), int | None)
        assert_type(self.total.result(), int)
        assert_type(context.key, str)
        assert_type(context.time, int)
        self.count += 1
        self.last = item
        self.recent.append(item)
        self.by_hour[3] = self.by_hour.get(3, 0) + 1
        self.total.add(item)
        del self.last
        context.set_timer(context.after(60), "quiet")
        context.set_clock_timer(1)
        yield context.key, self.count

    def on_timer(self, time: int, context: rx.ProcessContext[str]) -> list[tuple[str, int]] | None:
        return None if context.ended else [(context.key, time)]


class Anything(rx.KeyedProcess[Any, object, str]):
    def on_item(self, item: object, context: rx.ProcessContext[Any]) -> None:
        return None


def processing() -> None:
    assert_type(keyed.process(Failures), rx.Stream[tuple[str, int]])
    assert_type(keyed.process(lambda: Failures(5), late=late), rx.Stream[tuple[str, int]])
    assert_type(keyed.process(partial(Failures, 5)), rx.Stream[tuple[str, int]])
    assert_type(keyed.process(Anything), rx.Stream[str])
    assert_type(Failures.recent, rx.ListState[Login])


def deduplicating() -> None:
    assert_type(keyed.deduplicate(within=10), rx.Stream[Login])
    assert_type(
        keyed.deduplicate(within=10, by=lambda login: login.ok, late=late), rx.Stream[Login]
    )


def scanning() -> None:
    assert_type(keyed.scan(lambda one, other: other), rx.Stream[tuple[str, Login]])
    assert_type(keyed.scan(lambda n, login: n + 1, 0, ttl=60), rx.Stream[tuple[str, int]])
    assert_type(
        keyed.scan(lambda seen, login: [*seen, login.at], factory=list[int]),
        rx.Stream[tuple[str, list[int]]],
    )


def later(login: Login, earlier: Mapping[str, Login]) -> bool:
    return login.at > earlier["failed"].at


def matching() -> None:
    pattern = (
        rx.Pattern[Login]("failed", lambda login: not login.ok)
        .then("again", lambda login: not login.ok)
        .not_followed_by("out", lambda login: login.at < 0)
        .followed_by("in", lambda login: login.ok, later)
        .within(60)
    )
    assert_type(pattern, rx.Pattern[Login])
    matches = keyed.match(pattern, overlapping=False, late=late)
    assert_type(matches, rx.Stream[rx.Match[str, Login]])
    assert_type(matches.map(lambda match: match["in"]), rx.Stream[Login])
    assert_type(matches.map(lambda match: match.key), rx.Stream[str])
    anything: rx.Pattern[object] = rx.Pattern("any", bool)
    assert_type(keyed.match(anything.within(1)), rx.Stream[rx.Match[str, Login]])
