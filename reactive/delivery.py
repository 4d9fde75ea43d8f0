"""How often an item is in the output, whatever interrupts the run: of every path from a source to a
sink, from what the source, the operators on the way and the sink can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from reactive.checkpoint import RANKS, Delivery
from reactive.endpoint import Replayed, Sink, Source
from reactive.errors import PlanError
from reactive.fast_dataclasses import dataclass
from reactive.graph import Node, with_nested
from reactive.operator import SideOperator, SourceOperator
from reactive.plan import JobPlan, Plan

_WRITTEN: Final[Mapping[Replayed, str]] = {
    "transactional": "is written in the transaction of its epoch",
    "idempotent": "takes its own place when it is written again",
    "repeated": "may be written again",
}


@dataclass(frozen=True)
class Path:
    """What leads from a source to a sink, in a run with checkpoints."""

    source: str
    sink: str
    delivery: Delivery | None
    """None where an item may be lost and another be there twice."""
    why: str
    fix: str = ""
    """What to do for a stronger delivery."""
    dropping: Sequence[str] = ()
    """Operators on the way that leave items out because they were asked to."""

    def __str__(self) -> str:
        told = f"{self.source} -> {self.sink}: {self.delivery or 'no guarantee'}: {self.why}"
        if self.dropping:
            told += f"; left out on purpose by {', '.join(self.dropping)}"
        return f"{told}; {self.fix}" if self.fix else told


@dataclass(frozen=True)
class _Way:
    """What is between a node and a sink."""

    journal: Node | None = None
    forgetful: Node | None = None
    again: Node | None = None
    dropping: tuple[Node, ...] = ()


def paths(plan: Plan) -> list[Path]:
    """Every path of a plan, in the order of its jobs."""
    feeders = _feeders(plan)
    found: dict[Path, None] = {}
    for job in plan.jobs:
        if job.sink is not None:
            for path in _of_job(plan, job, job.sink, feeders):
                found[path] = None
    return list(found)


def check_delivery(plan: Plan, wanted: Delivery) -> None:
    """Raise `PlanError` if a path gives less than is wanted."""
    for path in paths(plan):
        if path.delivery is None or RANKS[path.delivery] < RANKS[wanted]:
            raise PlanError(
                f"delivery={wanted!r} was asked for, and {path}. Or ask for less: "
                "rx.Checkpoint(..., delivery=...)"
            )


def check_acknowledging(plan: Plan) -> None:
    """Raise `PlanError` if a source of a run without checkpoints has senders wait for them."""
    for node, name in plan.names.items():
        for inner in with_nested(node):
            operator = inner.operator
            if isinstance(operator, SourceOperator) and operator.source.acknowledges:
                raise PlanError(
                    f"{name} ({node.location}) answers when items are committed, and a run without "
                    "checkpoints commits nothing: run it as a job, "
                    'rx.run(job, checkpoint=rx.Checkpoint("state.db")), or do without ack="commit"'
                )


def _feeders(plan: Plan) -> dict[Node, list[Node]]:
    """The operators that send to each side output."""
    feeders: dict[Node, list[Node]] = {}
    for node in plan.names:
        for inner in with_nested(node):
            for side in inner.operator.side_outputs():
                feeders.setdefault(side, []).append(node)
    return feeders


def _of_job(
    plan: Plan, job: JobPlan, sink: Sink[object], feeders: Mapping[Node, Sequence[Node]]
) -> list[Path]:
    result: list[Path] = []
    seen: set[tuple[Node, _Way]] = set()
    stack = [(job.root, "", _Way())]
    while stack:
        node, prefix, way = stack.pop()
        if (node, way) in seen:
            continue
        seen.add((node, way))
        operator = node.operator
        name = prefix + plan.names.get(node, node.label)
        if isinstance(operator, SourceOperator):
            result.append(_path(plan, job, sink, name, operator.source, way))
            continue
        way = _Way(
            node if operator.replays else way.journal,
            way.forgetful or (node if operator.forgets else None),
            way.again or (node if operator.begins_anew else None),
            (node, *way.dropping) if operator.drops and node not in way.dropping else way.dropping,
        )
        before = list(feeders.get(node, ())) if isinstance(operator, SideOperator) else []
        stack += [(each, prefix, way) for each in [*node.inputs, *before]]
        stack += [(each, f"{name}/", way) for each in operator.nested()]
    return result[::-1]


def _path(
    plan: Plan, job: JobPlan, sink: Sink[object], name: str, source: Source[object], way: _Way
) -> Path:
    def named(node: Node) -> str:
        return plan.names.get(node, node.label)

    title = plan.job_names[job]
    dropping = tuple(map(named, way.dropping))
    comes_again = source.replayable or source.acknowledges or way.journal is not None
    repeated = sink.replayed == "repeated"
    if way.forgetful is not None:
        operator = way.forgetful.operator
        why = f"no checkpoint keeps {operator.forgets} in {named(way.forgetful)}"
        if repeated and comes_again:
            why += f", and what comes again {_WRITTEN[sink.replayed]}"
        delivery: Delivery | None = None if repeated and comes_again else "at most once"
        fix = "use operators whose state is kept, such as scan, or key_by(...).process"
        return Path(name, title, delivery, why, fix, dropping)
    if not comes_again:
        why = f"{name} cannot be read again"
        return Path(name, title, "at most once", why, f"add {source.replay_fix}", dropping)
    if way.again is not None and source.acknowledges and not source.replayable:
        # Attempts know no keys of those before, and who has an answer does not send again.
        why = (
            f"an attempt of {named(way.again)} begins with nothing: what operators before it held "
            "is gone, though it was answered for, and what is sent again is given again"
        )
        fix = "let the run fail and go on from its checkpoint, and handle single items by on_error="
        return Path(name, title, None, why, fix, dropping)
    if source.replayable:
        why = "read again from where the checkpoint was"
    elif source.acknowledges:
        why = f"sent again by who had no answer, and {source.repeats}"
    else:
        assert way.journal is not None
        why = f"given again by {named(way.journal)} once it is there"
    why += f", each {_WRITTEN[sink.replayed]}"
    if repeated:
        fix = "for each once, use a transactional sink, or one that writes by key"
        return Path(name, title, "at least once", why, fix, dropping)
    return Path(name, title, "exactly once", why, "", dropping)
