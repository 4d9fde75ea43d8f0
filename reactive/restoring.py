"""Going on from an epoch: which one, and whether what it holds fits the pipeline."""

from __future__ import annotations

import gc
import pickle
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Any

from reactive.epoch_parts import (
    OPERATOR,
    PLAN,
    SECTIONS,
    SHARED,
    SINK,
    SOURCE,
    kinds_of,
    named_nodes,
    section_owner,
    shape_of,
)
from reactive.errors import CheckpointError, DamagedError
from reactive.fast_dataclasses import dataclass
from reactive.levels import Kept, put_together
from reactive.log import log_event
from reactive.store import WHOLE, Snapshot, Store, find

if TYPE_CHECKING:
    from reactive.plan import Plan


@dataclass
class Restored:
    """What a run goes on from: nothing, at first."""

    epoch: int = 0
    ended: bool = False
    states: dict[str, Any] = field(default_factory=dict)
    positions: dict[str, Any] = field(default_factory=dict)
    ended_sources: dict[str, Any] = field(default_factory=dict)
    tokens: dict[str, tuple[Any, bool]] = field(default_factory=dict)

    def position(self, name: str) -> tuple[Any] | None:
        """Where a source goes on, given out once: what is run again later begins anew."""
        return (self.positions.pop(name),) if name in self.positions else None

    def committed(self, job: str) -> tuple[int, Any]:
        """The epoch that a sink has committed last, and its token; 0 and None for one that was not
        there yet."""
        return (self.epoch, self.tokens[job][0]) if job in self.tokens else (0, None)

    def has_ended(self, job: str) -> bool:
        """Whether a sink's input had ended."""
        return self.tokens.get(job, (None, False))[1]


def find_epoch(store: Store, wanted: int | str | None) -> Snapshot | None:
    """The epoch to go on from; None to start afresh. Blocking."""
    if wanted is None:
        return None
    epochs = store.epochs()
    if wanted != "latest":
        return store.load(find(store, epochs, wanted).number)
    damage: DamagedError | None = None
    for epoch in reversed(epochs):
        try:
            return store.load(epoch.number)
        except DamagedError as error:
            damage = damage or error
            log_event("error", "epoch_damaged", error=str(error), fix="the one before is used")
    if damage is not None:
        raise damage
    return None


def restore(snapshot: Snapshot, plan: Plan, title: str) -> Restored:
    """What the parts of a plan go on from, checked."""
    kinds = kinds_of(plan)
    restored = Restored(snapshot.epoch.number, snapshot.epoch.ended)
    _check_names(snapshot, plan, title)
    made = tuple(f"{name}/" for name, node in named_nodes(plan.names) if node.operator.resumes)
    for owner, parts in snapshot.parts.items():
        if owner == PLAN or "#" in owner:
            continue
        was, kind = snapshot.owners[owner].kind, kinds.get(owner)
        kept, _, name = owner.partition(":")
        if kind is None and name.startswith(made):
            # What it fits is only known once the stream is made.
            kind = was
        if kind is None:
            if kept != "operator" or _holds_something(parts):
                log_event("warning", "state_dropped", **{kept: name}, store=title)
            continue
        if kind != was:
            raise CheckpointError(
                f"{title}: the {kept} {name!r} was {was}, and is {kind} now, which its state does "
                f'not fit; give it another name to start it afresh (.named("..."))'
            )
        value = _value(owner, snapshot, title)
        if owner.startswith(OPERATOR):
            restored.states[name] = value
        elif owner.startswith(SINK):
            restored.tokens[name] = value
        elif owner.startswith(SOURCE):
            position, ended = value
            restored.positions[name] = position
            if ended:
                restored.ended_sources[name] = position
    return restored


def _holds_something(parts: Mapping[int, Any]) -> bool:
    return pickle.loads(parts[WHOLE][-1]) is not None


def _value(owner: str, snapshot: Snapshot, title: str) -> Any:
    try:
        whole = pickle.loads(snapshot.parts[owner][WHOLE][-1])
        if not (isinstance(whole, dict) and whole.keys() == {SHARED, SECTIONS}):
            return whole
        sections: dict[str, dict[Any, Any]] = {}
        with _nothing_collected():
            for name in whole[SECTIONS]:
                held = sections[name] = {}
                for pickles in snapshot.parts[section_owner(owner, name)].values():
                    held.update(put_together(pickles))
        return Kept(whole[SHARED], sections)
    except Exception as error:
        raise CheckpointError(
            f"{title}: what {owner.replace(':', ' ')} had cannot be read ({error!r}); a class in "
            "it may have been renamed or changed: put it back, or start with a new store"
        ) from error


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Without the collector of cycles, which would go through all that is there again and again
    while millions of objects come that stay: more than half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _check_names(snapshot: Snapshot, plan: Plan, title: str) -> None:
    """Where the pipeline has changed, operators that nobody has named may have got each other's
    names: refuse to guess which state is whose."""
    mode, before = pickle.loads(snapshot.parts[PLAN][WHOLE][-1])
    if mode != plan.resolved.mode:
        raise CheckpointError(
            f"{title}: was saved by a run in {mode}, in which operators hold something else than "
            f'in {plan.resolved.mode}; go on with mode="{mode}", or start with a new store'
        )
    now = shape_of(plan)
    if before == now:
        return
    was, is_now = _unnamed(before), _unnamed(now)
    for owner, parts in snapshot.parts.items():
        name = owner.partition(":")[2]
        if not owner.startswith((OPERATOR, SOURCE)) or name not in before or before[name][1]:
            continue
        label = before[name][0]
        if was[label] != is_now[label] and is_now[label] and _holds_something(parts):
            raise CheckpointError(
                f"{title}: the pipeline has changed, and it cannot be told which of its operators "
                f"is {name!r}, whose state was saved: there were {was[label]} {label} without a "
                f"name of their own, and now there are {is_now[label]}; give them names "
                '(.named("...")) before the first checkpoint, or start with a new store'
            )


def _unnamed(shape: Mapping[str, tuple[str, bool]]) -> Counter[str]:
    return Counter(label for label, named in shape.values() if not named)
