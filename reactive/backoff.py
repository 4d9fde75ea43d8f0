"""How long to wait between attempts, and how many of them there may be in what time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

from reactive.fast_dataclasses import dataclass

_SHARED_RANDOM = Random()


@dataclass(frozen=True, slots=True)
class Backoff:
    """The waits between repeated attempts, in seconds of the loop's clock.

    The first wait is `initial`, each next one `factor` times as long, none longer than `maximum`.
    Every wait is then varied by up to `jitter` of itself in both directions (0.1: 90 % to 110 %),
    so that many clients of one failed peer do not return together. `attempts` is how many waits
    there are, that is, how often the work is tried again after it failed once; `None` never gives
    up. A `Backoff` holds no state: every `delays()` starts afresh.

    ```python
    backoff = rx.Backoff(initial=0.1, maximum=5, attempts=8)
    for delay in backoff.delays():
        await asyncio.sleep(delay)
        ...
    ```
    """

    initial: float = 0.1
    factor: float = 2.0
    maximum: float = 30.0
    jitter: float = 0.1
    attempts: int | None = None

    def __post_init__(self) -> None:
        for name in ("initial", "factor", "maximum", "jitter"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"Backoff {name} must be a finite number")
        if self.initial < 0:
            raise ValueError("Backoff initial must be 0 or more seconds")
        if self.factor < 1:
            raise ValueError("Backoff factor must be 1 or more, or the waits would shrink")
        if self.maximum < self.initial:
            raise ValueError(
                f"Backoff maximum ({self.maximum:g} s) must not be below initial "
                f"({self.initial:g} s)"
            )
        if not 0 <= self.jitter <= 1:
            raise ValueError("Backoff jitter is a fraction of the wait, from 0 to 1")
        if self.attempts is not None and self.attempts < 0:
            raise ValueError("Backoff attempts must be 0 or more, or None to never give up")

    def delays(self, random: Random | None = None) -> Iterator[float]:
        """Give the waits in order; ends when `attempts` is used up.

        `random` is where the jitter comes from; give a seeded one for repeatable waits.
        """
        source = _SHARED_RANDOM if random is None else random
        delay = self.initial
        given = 0
        while self.attempts is None or given < self.attempts:
            given += 1
            yield delay * source.uniform(1 - self.jitter, 1 + self.jitter)
            delay = min(delay * self.factor, self.maximum)


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """At most `retries` further attempts within any `per` seconds of the loop's clock.

    A `Backoff` begins anew after each success, so that what fails after every item would be tried
    again for ever; a budget counts across successes. It holds no state: every run of an operator
    has the whole of it.

    ```python
    stream.retry(rx.Backoff(initial=0.1), budget=rx.RetryBudget(10, per=60))
    ```
    """

    retries: int
    per: float

    def __post_init__(self) -> None:
        if not isinstance(self.retries, int) or isinstance(self.retries, bool):
            raise TypeError(f"RetryBudget needs a whole number of retries, not {self.retries!r}")
        if self.retries < 1:
            raise ValueError("RetryBudget needs at least 1 retry; for none use retry(0)")
        if not isinstance(self.per, (int, float)) or isinstance(self.per, bool):
            raise TypeError(f"RetryBudget needs `per` in seconds, not {self.per!r}")
        if not (math.isfinite(self.per) and self.per > 0):
            raise ValueError(f"RetryBudget needs `per` above 0 seconds, not {self.per}")
