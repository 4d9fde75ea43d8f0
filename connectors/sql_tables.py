"""What rows are written to: a table, or a statement of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from reactive.fast_dataclasses import dataclass

Columns: TypeAlias = Mapping[str, str] | Iterable[str] | None
"""The names of columns, or a mapping of names to the types that a new table gives them."""


@dataclass(frozen=True)
class Target:
    """A table with its columns and key, or a statement."""

    user: str
    table: str | None
    statement: str | None
    columns: tuple[str, ...] | None
    types: tuple[str, ...] | None
    key: tuple[str, ...]
    create: bool

    def __post_init__(self) -> None:
        if (self.table is None) == (self.statement is None):
            raise ValueError(f"{self.user}: give a table or statement=, one of them")
        if self.statement is not None and (self.key or self.create):
            raise ValueError(
                f"{self.user}: key= and create= are for a table; a statement of your own says "
                "ON CONFLICT itself, and its table has to be there"
            )
        if self.columns is not None:
            if not self.columns:
                raise ValueError(f"{self.user}: columns must have at least one name")
            for name in self.key:
                if name not in self.columns:
                    raise ValueError(
                        f"{self.user}: the key {name!r} is not among the columns "
                        f"{', '.join(self.columns)}"
                    )

    @property
    def what(self) -> str:
        """What is written to, for messages."""
        return f"the statement {self.statement!r:.80}" if self.table is None else self.table

    def writing(
        self, columns: tuple[str, ...] | None, width: int, mark: Callable[[int], str]
    ) -> str:
        """The statement for one row of `width` values; `mark` gives the n-th parameter."""
        if self.statement is not None:
            return self.statement
        assert self.table is not None
        marks = ", ".join(mark(number) for number in range(1, width + 1))
        if columns is None:
            if self.key:
                raise ValueError(
                    f"{self.user}: rows without names and a key need columns=, the names of "
                    "their values"
                )
            return f"INSERT INTO {quoted(self.table)} VALUES ({marks})"
        names = ", ".join(map(quoted_name, columns))
        statement = f"INSERT INTO {quoted(self.table)} ({names}) VALUES ({marks})"
        if not self.key:
            return statement
        others = [name for name in columns if name not in self.key]
        updates = ", ".join(f"{quoted_name(it)} = excluded.{quoted_name(it)}" for it in others)
        action = f"UPDATE SET {updates}" if others else "NOTHING"
        key = ", ".join(map(quoted_name, self.key))
        return f"{statement} ON CONFLICT ({key}) DO {action}"

    def creating(self, columns: tuple[str, ...] | None) -> str:
        """The statement that makes the table where there is none."""
        assert self.table is not None
        if columns is None:
            raise ValueError(f"{self.user}: create=True needs columns=, as the rows have no names")
        types = self.types or ("",) * len(columns)
        parts = [
            f"{quoted_name(name)} {kind}".rstrip()
            for name, kind in zip(columns, types, strict=True)
        ]
        if self.key:
            parts.append(f"PRIMARY KEY ({', '.join(map(quoted_name, self.key))})")
        return f"CREATE TABLE IF NOT EXISTS {quoted(self.table)} ({', '.join(parts)})"


def target(
    user: str,
    table: str | None,
    statement: str | None,
    columns: Columns,
    key: str | Iterable[str],
    create: bool,
) -> Target:
    """A target, from what a user gives."""
    if isinstance(columns, str):
        raise TypeError(f"{user}: columns must be a list of names, not one text")
    types = tuple(columns.values()) if isinstance(columns, Mapping) else None
    names = None if columns is None else tuple(columns)
    keys = (key,) if isinstance(key, str) else tuple(key)
    return Target(user, table, statement, names, types, keys, create)


def quoted_name(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def quoted(table: str) -> str:
    """The name of a table, which may begin with that of its schema and a dot."""
    return ".".join(map(quoted_name, table.split(".")))
