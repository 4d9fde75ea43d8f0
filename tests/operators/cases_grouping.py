"""Cases of `operators/grouping.py` for the tests of every operator."""

from __future__ import annotations

from typing import Any

from cases import Build, Case, fail

MERGED: tuple[Any, ...] = ("signals", "lateness")
"""The groups and the stream of them are inputs of their own to what merges them: idle together
or not, and who is idle is not waited for. Without idleness see test_grouping.py."""

LAWS: dict[str, Build | Case] = {
    "group_by": Case(
        lambda s: s.group_by(lambda x: x % 3).merge_map(
            lambda group: group.enumerate().map(lambda pair: (group.key, pair))
        ),
        ordered=False,
        readahead=130,
        skip=MERGED,
    ),
    "group_by, batches of a group": Case(
        lambda s: s.group_by(lambda x: x % 2, buffer=1).merge_map(lambda group: group.batch(2)),
        ordered=False,
        readahead=40,
        skip=MERGED,
    ),
    "group_by of few groups": Case(
        lambda s: s.group_by(lambda x: x, limit=2).merge_map(lambda group: group.to_list()),
        ordered=False,
        readahead=130,
        skip=MERGED,
    ),
    "group_by of too many groups": Case(
        lambda s: s.group_by(lambda x: x, limit=4, overflow="fail").map(lambda group: group.key),
        readahead=130,
    ),
    "group_by, the keys": Case(
        lambda s: s.group_by(lambda x: x).map(lambda group: group.key), readahead=130
    ),
    "group_by of groups that end when idle": Case(
        lambda s: s.group_by(lambda x: x % 3, idle=5).merge_map(lambda group: group.to_list()),
        ordered=False,
        readahead=130,
        skip=MERGED,
    ),
}

RULES: dict[str, Build] = {
    "group_by": lambda s: s.group_by(id).merge_map(lambda group: group),
    "group_by of one key": lambda s: s.group_by(type).map(lambda group: group.key),
    "group_by one after the other": lambda s: s.group_by(type).concat_map(lambda group: group),
}

CALLBACKS: dict[str, Build] = {
    "group_by": lambda s: s.group_by(fail).merge_map(lambda group: group),
    "a group of group_by": lambda s: s.group_by(id).merge_map(lambda group: group.map(fail)),
}
