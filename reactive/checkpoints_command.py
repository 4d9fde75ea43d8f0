"""`reactive checkpoints`: look into a checkpoint store, and delete from it."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from reactive.epoch_parts import OPERATOR, SINK, SOURCE
from reactive.errors import CheckpointError
from reactive.store import WHOLE, Epoch, Snapshot, Store, find, open_store

ABOUT = """\
Look at the checkpoints of a pipeline, and delete some.

STORE is what the pipeline was given as `checkpoint=`: the path of a SQLite database, or the address
of a folder. Looking is safe while a run uses it.
"""
EXAMPLES = """\
examples:
  reactive checkpoints list state.db              the epochs: when, how large, savepoints by name
  reactive checkpoints show state.db              the newest: where sources were, what has state
  reactive checkpoints show state.db release      a savepoint
  reactive checkpoints delete state.db 41 42      no run goes on from these again
"""
LIST = """\
List the epochs of a store, the oldest first. A run goes on from the last one, or from the one that
`rx.Checkpoint(restore=...)` names.
"""
SHOW = """\
Show one epoch: how far each source was read, which operators hold state and how much, what the
sinks have committed. It also checks that all of it is undamaged.
"""
DELETE = """\
Delete epochs, by their numbers or the names of savepoints. What later epochs need of them is kept.
No run may be using the store.
"""

Make = Callable[..., argparse.ArgumentParser]


def add_to(parser: argparse.ArgumentParser, make: Make) -> None:
    """Add the commands to `reactive checkpoints`."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, about, work in (
        ("list", LIST, _list),
        ("show", SHOW, _show),
        ("delete", DELETE, _delete),
    ):
        command = make(commands.add_parser, name, about, "", help=about.split(".")[0].lower())
        command.add_argument("store", metavar="STORE", help="the store")
        if name == "show":
            command.add_argument(
                "epoch",
                metavar="EPOCH",
                nargs="?",
                help="a number or a savepoint (default: the last)",
            )
        elif name == "delete":
            command.add_argument("epochs", metavar="EPOCH", nargs="+", help="numbers or savepoints")
        command.set_defaults(command=lambda options, work=work: _explained(work, options))


def _explained(work: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> int:
    import sys

    try:
        work(options)
    except CheckpointError as error:
        print(f"reactive: {error}", file=sys.stderr)
        return 1
    return 0


def _list(options: argparse.Namespace) -> None:
    with _Reading(options.store) as store:
        epochs = store.epochs()
        if not epochs:
            print(f"{store.title} has no epochs")
            return
        rows = [
            (
                str(epoch.number),
                _time(epoch),
                _bytes(epoch.size),
                ", ".join(filter(None, (epoch.name, "all input had ended" if epoch.ended else ""))),
            )
            for epoch in epochs
        ]
        _table(("epoch", "taken", "written", ""), rows, numbers=(0, 2))


def _show(options: argparse.Namespace) -> None:
    with _Reading(options.store) as store:
        epochs = store.epochs()
        if not epochs:
            raise CheckpointError(f"{store.title} has no epochs")
        found = find(store, epochs, options.epoch) if options.epoch else epochs[-1]
        snapshot = store.load(found.number)
        name = f", the savepoint {found.name}" if found.name else ""
        print(f"epoch {found.number}{name}, taken {_time(found)}")
        if found.ended:
            print("all input had ended: a run goes no further")
        for title, prefix in (("sources", SOURCE), ("operators", OPERATOR), ("sinks", SINK)):
            rows = list(_owners(snapshot, prefix))
            if rows:
                print()
                _table((title, "bytes", ""), rows, numbers=(1,))


def _owners(snapshot: Snapshot, prefix: str) -> Iterable[tuple[str, str, str]]:
    sizes: dict[str, int] = {}
    for owner, groups in snapshot.parts.items():
        if owner.startswith(prefix):
            name = owner.removeprefix(prefix).partition("#")[0]
            size = sum(len(data) for pickles in groups.values() for data in pickles)
            sizes[name] = sizes.get(name, 0) + size
    for name, size in sizes.items():
        if prefix == OPERATOR and _is_none(snapshot, prefix + name):
            continue
        yield name, f"{size:,}", _about(snapshot, prefix, name)


def _is_none(snapshot: Snapshot, owner: str) -> bool:
    data = snapshot.parts[owner][WHOLE][-1]
    return data == pickle.dumps(None, pickle.HIGHEST_PROTOCOL)


def _about(snapshot: Snapshot, prefix: str, name: str) -> str:
    """What can be said of it in a few words. A position may be of a class that is not here."""
    if prefix == OPERATOR:
        return snapshot.owners[prefix + name].kind
    try:
        what, ended = pickle.loads(snapshot.parts[prefix + name][WHOLE][-1])
    except Exception as error:
        return f"cannot be read here: {error}"
    text = repr(what) if what is not None else ("no position" if prefix == SOURCE else "")
    text = text if len(text) <= 100 else f"{text[:97]}..."
    return f"{text} (ended)" if ended else text


def _delete(options: argparse.Namespace) -> None:
    store = open_store(options.store)
    try:
        store.open()
        epochs = store.epochs()
        found = [find(store, epochs, wanted) for wanted in options.epochs]
        for epoch in found:
            store.delete(epoch.number)
            print(f"deleted epoch {epoch.number}" + (f", {epoch.name}" if epoch.name else ""))
    finally:
        store.close()


class _Reading:
    """A store, opened to be looked at."""

    def __init__(self, address: str) -> None:
        self._store = open_store(address)

    def __enter__(self) -> Store:
        self._store.open(reading=True)
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()


def _time(epoch: Epoch) -> str:
    return datetime.fromtimestamp(epoch.created).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> None:
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    for row in (heads, *rows):
        cells = [
            f"{cell:>{width}}" if column in numbers else f"{cell:<{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
