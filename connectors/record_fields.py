"""Items as rows: the values of mappings, dataclass objects and sequences, in order of columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


class Fields:
    """The values of one item after the other. The columns, where they are not given, are the
    names in the first item that has names; every item must have just these."""

    def __init__(self, user: str, columns: tuple[str, ...] | None) -> None:
        self.columns = columns
        self._user = user

    def of(self, item: Any) -> Sequence[Any]:
        """The values of an item. Raises `ValueError` where columns are missing or too many,
        `TypeError` for what is no row."""
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            item = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
        elif isinstance(item, tuple) and (names := getattr(item, "_fields", None)) is not None:
            item = dict(zip(names, item, strict=True))
        if isinstance(item, Mapping):
            return self._by_name(item)
        if isinstance(item, Sequence) and not isinstance(item, (str, bytes)):
            if self.columns is not None and len(item) != len(self.columns):
                raise ValueError(
                    f"a row of {len(item)} fields does not fit the {len(self.columns)} columns "
                    f"{', '.join(self.columns)}"
                )
            return item
        raise TypeError(
            f"{self._user} takes mappings, dataclass objects, tuples or lists, not "
            f"{type(item).__qualname__}; map the items first"
        )

    def _by_name(self, item: Mapping[str, Any]) -> list[Any]:
        columns = self.columns
        if columns is None:
            columns = self.columns = tuple(item)
        if len(item) == len(columns):
            try:
                return [item[name] for name in columns]
            except KeyError:
                pass
        missing = [name for name in columns if name not in item]
        extra = [str(name) for name in item if name not in columns]
        parts = [f"lacks {', '.join(missing)}"] * bool(missing)
        parts += [f"has also {', '.join(extra)}"] * bool(extra)
        raise ValueError(
            f"a row does not fit the columns {', '.join(columns)}: it {' and '.join(parts)}; give "
            "all rows the same keys, for example with map"
        )
