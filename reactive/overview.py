"""A run at a glance, in the order of its plan: what went through each part, what waits before it,
what its task is doing. Operators fused into one loop are counted together and are one row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field

from reactive.fast_dataclasses import dataclass
from reactive.graph import Node
from reactive.metrics import OperatorMetrics
from reactive.operator import Inline, SideOperator, SourceOperator
from reactive.plan import Plan, RegionPlan, make_plan
from reactive.run import Run
from reactive.stream import Job


@dataclass
class Row:
    """An operator, a fused group or a sink. `queued` counts the items waiting before it and
    `limit` how many may; both are None where nothing can wait. `doing` is said of the last row
    of each task."""

    name: str
    items_in: int | None
    items_out: int | None
    counters: dict[str, int] = field(default_factory=dict)
    queued: int | None = None
    limit: int | None = None
    doing: str = ""


class Overview:
    """Rows for the runs of some jobs."""

    def __init__(self, jobs: Sequence[Job], *, checkpoints: bool = False) -> None:
        self.plan: Plan = make_plan([job.planned for job in jobs], checkpoints=checkpoints)
        self.sources = {
            name
            for node, name in self.plan.names.items()
            if isinstance(node.operator, SourceOperator)
        }
        self._sides = {
            name
            for node, name in self.plan.names.items()
            if isinstance(node.operator, SideOperator)
        }

    def rows(self, run: Run) -> list[Row]:
        """The rows as they are now."""
        meters = {each.name: each for each in run.metrics().operators}
        states = run.regions()
        rows = [
            row
            for number, region in enumerate(self.plan.regions)
            for row in self._region(region, states[number].state if states else "", meters)
        ]
        # What is left was counted by runs inside operators, such as those of `retry`.
        left = [each for name, each in meters.items() if name not in self._sides]
        return rows + [_row([each]) for each in left]

    def _region(
        self, region: RegionPlan, state: str, meters: dict[str, OperatorMetrics]
    ) -> Iterator[Row]:
        edges = [meter for edge in region.inputs if (meter := meters.pop(edge.name, None))]
        groups = [[self.plan.names[node] for node in group] for group in _groups(region)]
        if region.job is not None and region.job.sink is not None:
            groups.append([self.plan.job_names[region.job]])
        rows = [_row([meters.pop(name, _unmetered(name)) for name in names]) for names in groups]
        if not rows:
            return
        if edges:
            rows[0].queued = int(sum(edge.gauges["depth"] for edge in edges))
            rows[0].limit = int(sum(edge.gauges["limit"] for edge in edges))
            if dropped := sum(edge.counters.get("dropped", 0) for edge in edges):
                rows[0].counters["dropped"] = rows[0].counters.get("dropped", 0) + dropped
        rows[-1].doing = state
        yield from rows


def _groups(region: RegionPlan) -> Iterator[list[Node]]:
    """What is fused together; side outputs are left out, they only pass on."""
    group: list[Node] = []
    for node in region.nodes:
        if isinstance(node.operator, SideOperator):
            continue
        fuses = group and isinstance(node.operator, Inline) and group[-1] in node.inputs
        if fuses and isinstance(group[-1].operator, Inline):
            group.append(node)
            continue
        if group:
            yield group
        group = [node]
    if group:
        yield group


def _row(meters: list[OperatorMetrics]) -> Row:
    first, last = meters[0], meters[-1]
    name = first.name
    if len(meters) > 1:
        name += f" {'+' if len(meters) == 2 else '...'} {last.name}"
    counters: dict[str, int] = {}
    for meter in meters:
        for counter, count in meter.counters.items():
            counters[counter] = counters.get(counter, 0) + count
    return Row(name, first.items_in, last.items_out, counters)


def _unmetered(name: str) -> OperatorMetrics:
    return OperatorMetrics(name, 0, 0, {}, {})
