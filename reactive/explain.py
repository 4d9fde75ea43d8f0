"""`explain()`: the plan in words and as a Mermaid diagram."""

from __future__ import annotations

import os
from collections.abc import Sequence

from reactive.checkpoint import Checkpoint, as_checkpoint
from reactive.context import Mode, Settings, with_mode
from reactive.debloating import TARGET_SECONDS
from reactive.delivery import check_delivery, paths
from reactive.fast_dataclasses import dataclass
from reactive.graph import Node, with_nested
from reactive.operator import Holding, Inline, Operator, SideOperator, SourceOperator
from reactive.plan import EdgePlan, JobPlan, Plan, RegionPlan, make_plan


@dataclass(frozen=True)
class Explanation:
    """A plan to look at: `print` it, or draw `mermaid()`."""

    plan: Plan
    settings: Settings
    checkpoint: Checkpoint | None = None

    def __str__(self) -> str:
        return "\n".join(_text(self.plan, self.settings, self.checkpoint))

    def _repr_markdown_(self) -> str:
        return f"```mermaid\n{self.mermaid()}\n```"

    def mermaid(self) -> str:
        """The plan as a Mermaid flowchart: a box per region, an arrow per edge."""
        return "\n".join(_mermaid(self.plan, self.settings))


def explain_jobs(
    jobs: Sequence[JobPlan],
    settings: Settings | None = None,
    mode: Mode | None = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
) -> Explanation:
    """Plan jobs without running them."""
    settings, checkpoint = with_mode(settings, mode), as_checkpoint(checkpoint)
    plan = make_plan(jobs, mode=settings.mode, checkpoints=checkpoint is not None)
    if checkpoint is not None and checkpoint.delivery is not None:
        check_delivery(plan, checkpoint.delivery)
    return Explanation(plan, settings, checkpoint)


def _text(plan: Plan, settings: Settings, checkpoint: Checkpoint | None) -> list[str]:
    regions = len(plan.regions)
    ends = "bounded: ends by itself" if plan.resolved.ends else "unbounded: runs until stopped"
    lines = [
        f"{regions} region{'s' * (regions > 1)}, {ends}",
        f"chunks of up to {settings.chunk:,} items; the event loop is held for at most "
        f"{settings.slice_seconds * 1000:g} ms",
        f"mode {plan.resolved.mode}: {plan.resolved.reason}",
    ]
    if checkpoint is not None:
        lines.append(
            f"a checkpoint every {checkpoint.every:g} s; an edge with backpressure holds no more "
            f"than is taken in {TARGET_SECONDS * 1000:g} ms"
        )
    for region in plan.regions:
        lines += ["", f"region {region.number}: {_task(region)}"]
        lines += [f"  from {edge.name}: {_bound(edge, settings)}" for edge in region.inputs]
        for group in _groups(region):
            if len(group) > 1:
                lines.append("  fused into one loop:")
            indent = "    " if len(group) > 1 else "  "
            lines += [f"{indent}{_describe(plan, node)}" for node in group]
        if region.job is not None and region.job.sink is not None:
            details = _details(region.job.sink.details())
            lines.append(f"  sink {plan.job_names[region.job]}{details}")
        lines += [f"  to {edge.name}" for edge in region.outputs]
        lines += [f"  to side output {side.operator.label}" for side in region.sides]
    return lines + _state(plan, settings) + _delivery(plan)


def _delivery(plan: Plan) -> list[str]:
    """How often an item is in the output, whatever interrupts the run."""
    told = [f"  {path}" for path in paths(plan)]
    if not told:
        return []
    return [
        "",
        "delivery, in a run with checkpoints (without, what is under way in a crash is lost):",
        *told,
    ]


def _state(plan: Plan, settings: Settings) -> list[str]:
    """What is held, by whom, and how large it may grow; with a warning where nothing bounds it."""
    batch = plan.resolved.mode == "batch"
    lines = [
        f"  {name if within is node else f'{name}, in {within.label}'}: {holding.what}; "
        f"{holding.limit or _without_limit(plan, node, within, holding)}"
        f"{_budget(within.operator, settings)}"
        for node, name in plan.names.items()
        for within in with_nested(node)
        for holding in within.operator.holds(batch)
    ]
    return ["", "state, held in memory:", *lines] if lines else []


def _budget(operator: Operator, settings: Settings) -> str:
    if not operator.spills or settings.state_memory is None:
        return ""
    return f"; past about {settings.state_memory:,} bytes on disk"


def _without_limit(plan: Plan, node: Node, within: Node, holding: Holding) -> str:
    upstream = [node] if within is not node else list(node.inputs)
    if holding.input is not None:
        upstream = [node.inputs[holding.input]]
    if all(plan.bounded[each] for each in upstream):
        return "as much as there is in its input"
    return f"WARNING, grows for as long as it runs: {holding.fix}"


def _task(region: RegionPlan) -> str:
    if region.job is None:
        return "own task, starts when first asked for an item"
    return "the consumer's own task" if region.job.sink is None else "own task"


def _bound(edge: EdgePlan, settings: Settings) -> str:
    limit = settings.edge if edge.limit is None else edge.limit
    unit = "bytes" if edge.in_bytes else "items"
    return f"at most {limit:,} {unit} waiting, overflow {edge.overflow}"


def _groups(region: RegionPlan) -> list[list[Node]]:
    """The region's operators in order, those fused together in one group."""
    groups: list[list[Node]] = []
    for node in region.nodes:
        last = groups[-1][-1] if groups else None
        fuses = isinstance(node.operator, Inline)
        if fuses and last is not None and isinstance(last.operator, Inline) and last in node.inputs:
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


def _describe(plan: Plan, node: Node) -> str:
    operator = node.operator
    kind = ""
    if isinstance(operator, SourceOperator):
        bounded = "bounded" if operator.source.bounded else "unbounded"
        replayable = ", replayable" if operator.source.replayable else ""
        kind = f" [source, {bounded}{replayable}]"
    elif isinstance(operator, SideOperator):
        kind = " [side output]"
    nested = "".join(f" [runs {inner.label} by itself]" for inner in operator.nested())
    where = f"  ({node.location})" if node.location is not None else ""
    return f"{plan.names[node]}{_details(operator.details())}{kind}{nested}{where}"


def _details(details: dict[str, object]) -> str:
    if not details:
        return ""
    return f" ({', '.join(f'{key}: {value}' for key, value in details.items())})"


def _mermaid(plan: Plan, settings: Settings) -> list[str]:
    ids = {node: f"n{number}" for number, node in enumerate(plan.names)}
    lines = ["flowchart LR"]
    for region in plan.regions:
        lines.append(f'  subgraph r{region.number}["region {region.number}"]')
        for node in region.nodes:
            text = f"{plan.names[node]}{_details(node.operator.details())}".replace('"', "'")
            lines.append(f'    {ids[node]}["{text}"]')
        if region.job is not None and region.job.sink is not None:
            lines.append(f'    j{region.number}[/"{plan.job_names[region.job]}"/]')
        elif region.job is not None:
            lines.append(f'    j{region.number}(("caller"))')
        lines.append("  end")
    for region in plan.regions:
        for node in region.nodes:
            for index, upstream in enumerate(node.inputs):
                edge = plan.edges.get((node, index))
                lines.append(_arrow(ids[upstream], ids[node], edge, settings))
            lines += [
                f"  {ids[node]} -.-> {ids[side]}"
                for side in node.operator.side_outputs()
                if side in ids
            ]
        if region.job is not None:
            edge = plan.edges.get((region.job, 0))
            lines.append(_arrow(ids[region.job.root], f"j{region.number}", edge, settings))
    return lines


def _arrow(start: str, end: str, edge: EdgePlan | None, settings: Settings) -> str:
    if edge is None:
        return f"  {start} --> {end}"
    limit = settings.edge if edge.limit is None else edge.limit
    unit = "bytes" if edge.in_bytes else "items"
    return f'  {start} ==>|"{limit:,} {unit}, {edge.overflow}"| {end}'
