"""What an epoch is made of: each owner's part, of which only what has changed is saved."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from reactive.errors import CheckpointError
from reactive.graph import Node, walk
from reactive.levels import Changes, Pieces
from reactive.store import WHOLE, Owner, Part, Save, Snapshot, digest

if TYPE_CHECKING:
    from reactive.plan import Plan

PLAN: Final = "plan"
OPERATOR: Final = "operator:"
SOURCE: Final = "source:"
SINK: Final = "sink:"
SHARED: Final = "shared"
SECTIONS: Final = "sections"


class EpochParts:
    """Collects the parts of one epoch after the other."""

    def __init__(self, plan: Plan) -> None:
        self._kinds = kinds_of(plan)
        self._shape = pickle.dumps((plan.resolved.mode, shape_of(plan)))
        self._epoch = 0
        self._parts: dict[str, list[Part]] = {}
        self._unmade: list[tuple[str, str, Pieces]] = []
        self._owners: dict[str, Owner] = {}
        self._known: dict[str, bytes] = {}
        self._begun: set[str] = set()
        self._anew: set[str] = set()

    def go_on_from(self, snapshot: Snapshot) -> None:
        """Save what differs from this epoch, which is in the store."""
        self._owners = dict(snapshot.owners)

    def begin(self, epoch: int) -> None:
        """The next epoch."""
        self._epoch = epoch
        self._parts.clear()
        self._unmade.clear()
        self._anew.clear()
        self._whole(PLAN, self._shape)

    def begins_anew(self, name: str) -> None:
        """An operator begins with nothing, as when its stream is run again: what it has from the
        next time on that it is kept is not added to what it had before."""
        self._begun.add(OPERATOR + name)

    def drop(self, prefix: str) -> None:
        """What was kept of operators and sources whose names begin so is of no use: the epoch has
        not left them, and what they gave is run again."""
        for owner in [name for name in self._parts if name.partition(":")[2].startswith(prefix)]:
            del self._parts[owner]
        self._unmade = [each for each in self._unmade if not each[0].startswith(prefix)]

    def keep_operator(self, name: str, state: Any) -> None:
        """What an operator holds."""
        owner = OPERATOR + name
        if owner in self._begun:
            self._begun.remove(owner)
            self._anew.add(owner)
        if isinstance(state, Changes):
            self._keep_changes(owner, name, state)
            return
        self._whole(owner, self._pickled(name, state))

    def _keep_changes(self, owner: str, name: str, changes: Changes) -> None:
        shared = {SHARED: changes.shared, SECTIONS: list(changes.sections)}
        self._whole(owner, self._pickled(name, shared))
        for title, pieces in changes.sections.items():
            section = section_owner(owner, title)
            self._parts[section] = []
            self._unmade.append((name, section, pieces))

    async def complete(self, pause: Callable[[], Awaitable[None]]) -> None:
        """Make the parts that were left for later, with pauses."""
        while self._unmade:
            name, owner, pieces = self._unmade.pop()
            groups: dict[int, list[bytes]] = {}
            try:
                for some in pieces:
                    for group, data in some:
                        groups.setdefault(group, []).append(data)
                    await pause()
            except Exception as error:
                raise _no_pickle(name, error) from error
            self._parts[owner] = [
                Part(owner, group, False, b"".join(made)) for group, made in groups.items()
            ]

    def _pickled(self, name: str, state: Any) -> bytes:
        try:
            return pickle.dumps(state, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise _no_pickle(name, error) from error

    def keep_source(self, name: str, position: Any, *, ended: bool) -> None:
        """Where a source was."""
        self._whole(SOURCE + name, pickle.dumps((position, ended), pickle.HIGHEST_PROTOCOL))

    def keep_sink(self, name: str, token: Any, *, ended: bool) -> None:
        """What a sink has prepared."""
        try:
            data = pickle.dumps((token, ended), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise CheckpointError(
                f"what the sink {name} has prepared cannot be saved, for it does not pickle "
                f"({error}); its writer's `prepare` has to return plain values"
            ) from error
        self._whole(SINK + name, data)

    def _whole(self, owner: str, data: bytes) -> None:
        self._parts[owner] = [Part(owner, WHOLE, True, data)]

    def save(self, created: float, *, ended: bool, name: str | None) -> Save:
        """The epoch, without what the one before has already."""
        owners: dict[str, Owner] = {}
        changed: list[Part] = []
        for owner, parts in self._parts.items():
            base = owner.partition("#")[0]
            kind = self._kinds.get(base, "")
            before = self._owners.get(owner)
            same = before is not None and before.kind == kind and base not in self._anew
            since = before.since if same and before is not None else self._epoch
            owners[owner] = Owner(kind, since)
            for part in parts:
                if part.group == WHOLE and same and self._known.get(owner) == digest(part.data):
                    continue
                changed.append(part)
        return Save(self._epoch, created, ended, owners, changed, name)

    def saved(self, save: Save) -> None:
        """It is in the store now."""
        self._owners = dict(save.owners)
        self._known = {owner: self._known[owner] for owner in save.owners if owner in self._known}
        for part in save.parts:
            if part.group == WHOLE:
                self._known[part.owner] = digest(part.data)


def section_owner(owner: str, title: str) -> str:
    """Whose the parts of a section are."""
    return f"{owner}#{title}"


def _no_pickle(name: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"the state of operator {name} cannot be saved, for it does not pickle ({error}); keep "
        "plain values, or objects of classes that are defined in a module, in it"
    )


def kinds_of(plan: Plan) -> Mapping[str, str]:
    """What each owner of a plan is, so that nothing gets the state of something else."""
    kinds = {PLAN: ""}
    for name, node in named_nodes(plan.names):
        kinds[OPERATOR + name] = node.operator.state_kind
        kinds[SOURCE + name] = node.operator.state_kind
    for job, name in plan.job_names.items():
        kinds[SINK + name] = "" if job.sink is None else job.sink.label
    return kinds


def named_nodes(names: Mapping[Node, str], prefix: str = "") -> list[tuple[str, Node]]:
    """All operators of a plan, also those that others run, by the names they have in a run."""
    from reactive.plan import unique_names

    found: list[tuple[str, Node]] = []
    for node, name in names.items():
        found.append((prefix + name, node))
        for inner in node.operator.nested():
            found += named_nodes(unique_names(list(walk([inner]))), f"{prefix}{name}/")
    return found


def shape_of(plan: Plan) -> dict[str, tuple[str, bool]]:
    """The operators by their names: their labels, and whether a user has named them."""
    nodes = named_nodes(plan.names)
    return {name: (node.operator.label, node.name is not None) for name, node in nodes}
