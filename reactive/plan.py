"""From the graph to a plan: names, checks, regions and edges. `explain()` is the plan printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from reactive.channel import Overflow
from reactive.context import Mode
from reactive.ending import Resolved, resolve_mode
from reactive.endpoint import Sink
from reactive.errors import PlanError
from reactive.fast_dataclasses import dataclass
from reactive.graph import Location, Node, boundedness, walk, with_nested
from reactive.operator import (
    Buffered,
    Inline,
    SideOperator,
    SourceOperator,
    Staged,
    Stepwise,
)

NESTED_PULLS = 32
"""Past this many stages pulled within each other an edge is put in, to bound the call stack."""


@dataclass(frozen=True, eq=False)
class JobPlan:
    """A stream, and the sink it goes to; None when the caller takes the items."""

    root: Node
    sink: Sink[Any] | None = None
    location: Location | None = None
    name: str | None = None


@dataclass(eq=False)
class EdgePlan:
    """A bounded edge from the region that ends with `upstream` into input `index` of `consumer`.
    `consumer` is None for the edge into a sink or to the caller."""

    name: str
    upstream: Node
    consumer: Node | None
    index: int
    limit: int | None
    overflow: Overflow = "backpressure"
    in_bytes: bool = False
    discarded: Node | None = None
    listening: bool = False
    """Whether the source before it is to be open before anything is read, and waits."""


@dataclass(eq=False)
class RegionPlan:
    """What runs in one task: a tree of operators that ends with `root`."""

    number: int
    root: Node
    nodes: list[Node] = field(default_factory=list)
    inputs: list[EdgePlan] = field(default_factory=list)
    outputs: list[EdgePlan] = field(default_factory=list)
    sides: list[Node] = field(default_factory=list)
    job: JobPlan | None = None


@dataclass(eq=False)
class Plan:
    """How a set of jobs runs together."""

    jobs: list[JobPlan]
    regions: list[RegionPlan]
    names: dict[Node, str]
    job_names: dict[JobPlan, str]
    edges: dict[tuple[Node | JobPlan, int], EdgePlan]
    side_feeders: dict[Node, int]
    bounded: dict[Node, bool]
    pulls: int
    """How many stages are pulled within each other where that is deepest."""
    apart: bool
    """Whether all of it runs in tasks of its own."""
    resolved: Resolved
    """The mode it runs in, and why."""

    def region_of(self, job: JobPlan) -> RegionPlan:
        """The region in which a job's items come out."""
        return next(region for region in self.regions if region.job is job)


def make_plan(
    jobs: Sequence[JobPlan],
    *,
    apart: bool = False,
    mode: Mode = "stream",
    checkpoints: bool = False,
) -> Plan:
    """Check the graph and cut it into regions. Nothing runs. With `apart`, what the caller takes
    comes over an edge, from a task with a call stack of its own. With `checkpoints`, a source
    shares its region only with the inlines and steps behind it, through which a barrier can be
    passed while the source is waited for."""
    nodes = list(walk(job.root for job in jobs))
    uses = _uses(nodes, jobs)
    names = unique_names(nodes)
    job_names = _job_names(jobs, names)
    roots = [job.root for job in jobs]
    resolved = resolve_mode(mode, roots, nodes)
    edges: dict[tuple[Node | JobPlan, int], EdgePlan] = {}
    regions: dict[Node, RegionPlan] = {}
    depth: dict[Node, int] = {}
    alone = _alone(nodes, jobs)
    by_source: dict[Node, bool] = {}

    def cut(upstream: Node, consumer: Node | None, job: JobPlan | None, index: int) -> None:
        key: Node | JobPlan
        if consumer is not None:
            key, target = consumer, names[consumer]
        else:
            assert job is not None
            key, target = job, job_names[job]
        edge = EdgePlan(f"{names[upstream]} -> {target}", upstream, consumer, index, None)
        if consumer is not None and isinstance(consumer.operator, Staged):
            edge.limit = consumer.operator.edge_limit()
        if consumer is not None and isinstance(consumer.operator, Buffered):
            buffered = consumer.operator
            edge.name = names[consumer]
            edge.limit, edge.overflow = buffered.limit, buffered.overflow
            edge.in_bytes, edge.discarded = buffered.in_bytes, buffered.discarded
        edges[key, index] = edge

    for node in nodes:
        depth[node] = 0
        by_source[node] = checkpoints and isinstance(node.operator, SourceOperator)
        for index, upstream in enumerate(node.inputs):
            ends = by_source[upstream] and (upstream in alone or isinstance(node.operator, Staged))
            if ends or uses[upstream] > 1 or not _pulls_directly(node, upstream):
                cut(upstream, node, None, index)
                continue
            by_source[node] |= by_source[upstream]
            depth[node] = max(depth[node], depth[upstream] + isinstance(node.operator, Staged))
            if depth[node] >= NESTED_PULLS:
                depth[node] = 0
                for other in range(index + 1):
                    cut(node.inputs[other], node, None, other)
    for job in jobs:
        if by_source[job.root] or uses[job.root] > 1 or apart:
            cut(job.root, None, job, 0)

    for node in nodes:
        _check_listening(node, edges, uses)

    cut_off = {edge.upstream for edge in edges.values()}
    roots = [node for node in nodes if node in cut_off]
    roots += [job.root for job in jobs if job.root not in cut_off]
    for root in roots:
        regions[root] = _region(len(regions) + 1, root, edges)
    ordered = list(regions.values())
    for job in jobs:
        if (edge_in := edges.get((job, 0))) is not None:
            ordered.append(RegionPlan(len(ordered) + 1, job.root, [], [edge_in], job=job))
        else:
            regions[job.root].job = job
    for edge in edges.values():
        sender = regions[edge.upstream]
        sender.outputs.append(edge)
        if edge.discarded is not None and edge.discarded not in sender.sides:
            sender.sides.append(edge.discarded)
    side_feeders = _check_sides(nodes, ordered)
    pulls = max(depth.values(), default=0)
    return Plan(
        list(jobs),
        ordered,
        names,
        job_names,
        edges,
        side_feeders,
        boundedness(nodes),
        pulls,
        apart,
        resolved,
    )


def _pulls_directly(consumer: Node, upstream: Node) -> bool:
    operator = consumer.operator
    if isinstance(operator, Inline):
        return True
    if isinstance(operator, Stepwise):
        return not operator.timed or isinstance(upstream.operator, Buffered)
    if isinstance(operator, Staged):
        return not operator.concurrent
    return False


def _alone(nodes: Sequence[Node], jobs: Sequence[JobPlan]) -> set[Node]:
    """The sources that no operator may share a region with in a run with checkpoints: all of a run
    within an operator, which is to hear of failures, and of what goes to its side outputs, in line
    with the barriers; and those that listen before they are read, ahead of any barrier."""
    if any(job.sink is None for job in jobs):
        return {node for node in nodes if isinstance(node.operator, SourceOperator)}
    sources: set[Node] = set()
    for node in nodes:
        if node.operator.listens is not None:
            upstream = node.inputs[node.operator.listens]
            while isinstance(upstream.operator, (Inline, Stepwise)):
                upstream = upstream.inputs[0]
            sources.add(upstream)
    return sources


def _check_listening(
    node: Node, edges: Mapping[tuple[Node | JobPlan, int], EdgePlan], uses: Mapping[Node, int]
) -> None:
    """A source is known to listen once it is open, which is seen within one region, or over an
    edge that comes straight from it."""
    index = node.operator.listens
    if index is None:
        return
    consumer, upstream = node, node.inputs[index]
    while (consumer, index) not in edges:
        operator = upstream.operator
        if isinstance(operator, SourceOperator):
            return
        if not isinstance(operator, (Inline, Stepwise)):
            break
        consumer, index, upstream = upstream, 0, upstream.inputs[0]
    edge = edges.get((consumer, index))
    if edge is not None and _is_only_a_source(consumer, upstream, uses):
        edge.listening = True
        return
    what = consumer if (consumer, index) in edges and consumer is not node else upstream
    raise PlanError(
        f"{node.operator.label} ({node.location}) has its live stream listen before the history "
        "is read, which it can see only of a source with what works item by item, used nowhere "
        f"else; {what.label} is in the way: put it behind {node.operator.label}, and use its "
        "result wherever the live stream was used"
    )


def _is_only_a_source(consumer: Node, upstream: Node, uses: Mapping[Node, int]) -> bool:
    """Whether there is an edge between them only because the source has a region to itself, which
    a barrier can be put behind."""
    alone = isinstance(upstream.operator, SourceOperator) and uses[upstream] == 1
    return alone and _pulls_directly(consumer, upstream)


def _uses(nodes: Sequence[Node], jobs: Sequence[JobPlan]) -> dict[Node, int]:
    uses = dict.fromkeys(nodes, 0)
    for node in nodes:
        for upstream in node.inputs:
            uses[upstream] += 1
    for job in jobs:
        uses[job.root] += 1
    return uses


def _region(
    number: int, root: Node, edges: dict[tuple[Node | JobPlan, int], EdgePlan]
) -> RegionPlan:
    region = RegionPlan(number, root)
    stack = [root]
    while stack:
        node = stack.pop()
        region.nodes.append(node)
        for index, upstream in enumerate(node.inputs):
            edge = edges.get((node, index))
            if edge is None:
                stack.append(upstream)
            else:
                region.inputs.append(edge)
    region.nodes.reverse()
    for node in region.nodes:
        for feeder in with_nested(node):
            # What a buffer discards is sent by the region before it, which drops it.
            if feeder is node and isinstance(node.operator, Buffered):
                continue
            region.sides += [
                side for side in feeder.operator.side_outputs() if side not in region.sides
            ]
    return region


def unique_names(nodes: Sequence[Node]) -> dict[Node, str]:
    """A name for each operator: the user's, or its label with a number where there are several."""
    names: dict[Node, str] = {}
    by_name: dict[str, Node] = {}
    for node in (node for node in nodes if node.name is not None):
        assert node.name is not None
        other = by_name.get(node.name)
        if other is not None:
            raise PlanError(
                f"two operators are named {node.name!r}: {other.operator.label} at "
                f"{other.location} and {node.operator.label} at {node.location}; "
                "give each its own .named(...)"
            )
        by_name[node.name] = node
        names[node] = node.name
    counts: dict[str, int] = {}
    for node in nodes:
        if node in names:
            continue
        label = name = node.operator.label
        count = counts.get(label, 0)
        while count == 0 or name in by_name:
            count += 1
            name = label if count == 1 else f"{label}-{count}"
        counts[label] = count
        by_name[name] = node
        names[node] = name
    return names


def _job_names(jobs: Sequence[JobPlan], names: dict[Node, str]) -> dict[JobPlan, str]:
    taken = set(names.values())
    result: dict[JobPlan, str] = {}
    for job in jobs:
        label = job.name or ("caller" if job.sink is None else job.sink.label)
        name, count = label, 1
        while name in taken:
            count += 1
            name = f"{label}-{count}"
        taken.add(name)
        result[job] = name
    return result


def _check_sides(nodes: Sequence[Node], regions: Sequence[RegionPlan]) -> dict[Node, int]:
    """How many regions feed each side output that this run reads."""
    feeders = {node: 0 for node in nodes if isinstance(node.operator, SideOperator)}
    for region in regions:
        for side in region.sides:
            if side in feeders:
                feeders[side] += 1
    for side, count in feeders.items():
        if count == 0:
            raise PlanError(
                f"side output {side.operator.label!r} ({side.location}) is read in this run, but "
                "no operator of the run feeds it; run the job that does together with this one"
            )
    _check_cycles(regions, feeders)
    return feeders


def _check_cycles(regions: Sequence[RegionPlan], feeders: dict[Node, int]) -> None:
    """A side output must not lead back into a region that feeds it."""
    if not feeders:
        return
    downstream: dict[int, list[int]] = {region.number: [] for region in regions}
    for region in regions:
        for other in regions:
            feeds_edge = any(edge in other.inputs for edge in region.outputs)
            feeds_side = any(side in other.nodes for side in region.sides)
            if feeds_edge or feeds_side:
                downstream[region.number].append(other.number)
    for region in regions:
        seen: set[int] = set()
        stack = list(downstream[region.number])
        while stack:
            number = stack.pop()
            if number == region.number:
                raise PlanError(
                    f"a side output fed by {region.root.label} ({region.root.location}) leads "
                    "back into it; send it to a sink or another pipeline instead"
                )
            if number not in seen:
                seen.add(number)
                stack.extend(downstream[number])
