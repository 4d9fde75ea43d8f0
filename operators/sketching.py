"""sketching: approximate results about any number of items, in little memory.

What does the work is imported when it is described, since few pipelines need it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from operators.folding import SupportsLess
from reactive.graph import Blueprint

if TYPE_CHECKING:
    from reactive.stream import Single

L = TypeVar("L", bound=SupportsLess)
T_co = TypeVar("T_co", covariant=True)


class Sketching(Blueprint[T_co]):
    """approximate_distinct_count, approximate_quantiles, heavy_hitters.

    Each gives one item when upstream completes, as a fold does, from a sketch of Apache
    DataSketches, whose memory does not grow with the stream. They need the extra `sketches`:
    `pip install "reactive-pipelines[sketches]"`; without it a run fails with `ImportError`.
    """

    __slots__ = ()

    def approximate_distinct_count(self, *, error: float = 0.01) -> Single[int]:
        """About how many different items there are.

        ```text
        --a--b--a--|
        approximate_distinct_count()
        -----------(2|)
        ```

        Emits once and completes when upstream does; 0 for an empty stream. `error` is the relative
        standard error: the result is off by less than that in two cases of three, by less than
        three times that in all but three of a thousand; a few items are counted exactly. Holds a
        HyperLogLog sketch, 8 KiB for 0.01 and four times that for half the error. Takes items as
        they come, without backpressure. Loses nothing, but a failing upstream gives no result.
        Items are text, numbers and bytes, `TypeError` for others: map them first. `ValueError` for
        an error not within 0.0006 to 0.1.

        ```python
        visitors = await rx.of("ann", "bob", "ann").approximate_distinct_count()
        ```
        """
        from operators.sketches import ApproximateDistinctCount

        _check_share("approximate_distinct_count", "an error", error, 0.0006, 0.1)
        return self._one(ApproximateDistinctCount(error))

    def approximate_quantiles(
        self: Sketching[L], ranks: Sequence[float], *, error: float = 0.01
    ) -> Single[list[L]]:
        """About which items the quantiles are: a list of one item for each of `ranks`.

        ```text
        --4--1--3--2--|
        approximate_quantiles([0.5, 1])
        --------------([24] |)
        ```

        A rank is a number from 0, the smallest item, to 1, the largest: 0.5 is the median. Emits
        once and completes when upstream does: items that came, of which at least that share of all
        is not larger. `error` is in rank: with 0.01, the item for 0.5 has one from 0.49 to 0.51, in
        99 of 100 runs. The extremes are exact, and all is for up to 2 / `error` items. Beyond, runs
        differ, since the sketch, that of Karnin, Lang and Liberty, tosses coins. Holds some 8 /
        `error` items at most. Takes items as they come, without backpressure. Loses nothing, but a
        failing upstream gives no result. Without items, `EmptyStreamError`; `ValueError` for NaN,
        for ranks not within 0 to 1 and an error not within 0.0001 to 0.3. Raises what `<` of the
        items raises.

        ```python
        median, slow = await rx.range(1000).approximate_quantiles([0.5, 0.99])
        ```
        """
        from operators.sketches import ApproximateQuantiles

        if isinstance(ranks, (int, float, str)) or not ranks:
            raise TypeError(
                f"approximate_quantiles needs a list of ranks such as [0.5, 0.99], not {ranks!r}"
            )
        for rank in ranks:
            _check_share("approximate_quantiles", "ranks", rank, 0, 1)
        _check_share("approximate_quantiles", "an error", error, 0.0001, 0.3)
        return self._one(ApproximateQuantiles(error, tuple(map(float, ranks))))

    def heavy_hitters(
        self, share: float, *, error: float | None = None
    ) -> Single[list[tuple[T_co, int]]]:
        """The items that make up at least a share of all, with about how often they came.

        ```text
        --a--b--a--|
        heavy_hitters(0.5)
        -----------([a2] |)
        ```

        Emits once and completes when upstream does, the most frequent first; an empty list for an
        empty stream. No item that makes up `share` is missing; one that makes up less may be there,
        but none below `share` less `error`, by default a tenth of it. A count is never too low, and
        too high by no more than `error` of all items; up to about 3 / `error` different items it is
        exact. Holds as many. Takes items as they come, without backpressure. Loses nothing, but a
        failing upstream gives no result. `TypeError` for an item that cannot be hashed;
        `ValueError` for a share not above 0 and up to 1, and an error not within 0.000001 and the
        share.

        ```python
        [(word, count)] = await rx.of("to", "be", "to", "to").heavy_hitters(0.6)
        ```
        """
        from operators.sketches import HeavyHitters

        _check_share("heavy_hitters", "a share", share, 0.00001, 1)
        if error is None:
            error = share / 10
        _check_share("heavy_hitters", "an error", error, 0.000001, share)
        return self._one(HeavyHitters(error, share))


def _check_share(operator: str, what: str, value: Any, least: float, most: float) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{operator} needs {what} as a number, not {value!r}")
    if math.isnan(value) or not least <= value <= most:
        raise ValueError(f"{operator} needs {what} from {least:g} to {most:g}, not {value!r}")
