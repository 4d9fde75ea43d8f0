"""`Group`: the items of one key, as `group_by` gives them."""

from __future__ import annotations

from typing import Generic, NoReturn, TypeVar

from reactive.graph import Node
from reactive.stream import Stream

K_co = TypeVar("K_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)


class Group(Stream[T_co], Generic[K_co, T_co]):
    """The items of one key within a run of `group_by`, from the first one on.

    A stream like any other, that can be read once: several uses in one pipeline are one reading.
    It is live: it ends, or fails, with the stream that was grouped, and while nobody reads it its
    items wait. Whoever stops reading it before its end gives it up; the next item of its key
    opens another group. A Group belongs to a run and does not pickle.

    ```python
    totals = rx.of("a", "bb", "c").group_by(len).merge_map(
        lambda group: group.count().map(lambda total: (group.key, total))
    )
    ```
    """

    __slots__ = ("_key",)

    def __init__(self, key: K_co, node: Node) -> None:
        super().__init__(node)
        self._key = key

    @property
    def key(self) -> K_co:
        """What the key function gave for every item of this group."""
        return self._key

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Group belongs to a run and does not pickle; send its items instead")

    def __repr__(self) -> str:
        return f"<Group {self._key!r}>"
