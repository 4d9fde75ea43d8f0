"""Only type-checked: keys and items of groups are inferred from lambdas, in both checkers."""

from __future__ import annotations

from typing import assert_type

import reactive as rx

words = rx.of("apple", "bee", "ant")


def lengths(group: rx.Group[str, str]) -> rx.Stream[tuple[str, int]]:
    return group.map(lambda word: (group.key, len(word)))


def grouping() -> None:
    groups = words.group_by(lambda word: len(word), limit=10, idle=60)
    assert_type(groups, rx.Stream[rx.Group[int, str]])
    assert_type(groups.map(lambda group: group.key), rx.Stream[int])
    assert_type(groups.merge_map(lambda group: group), rx.Stream[str])
    assert_type(groups.merge_map(lambda group: group.batch(10, within=1)), rx.Stream[list[str]])
    assert_type(
        groups.merge_map(lambda group: group.map(lambda word: (group.key, word))),
        rx.Stream[tuple[int, str]],
    )
    assert_type(groups.merge_all(), rx.Stream[str])
    assert_type(words.group_by(lambda word: word[0]).merge_map(lengths), rx.Stream[tuple[str, int]])
    assert_type(
        groups.filter(lambda group: group.key > 1).concat_map(lambda group: group.count()),
        rx.Stream[int],
    )
